"""The features of a hub and what they need of each other, as data. What a feature needs is started before it, whatever
the order in which the features are listed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

DEFAULT_FEATURES = [
    "config",
    "job",
    "dump",
    "upload",
    "dataplugin",
    "source",
    "build",
    "auto_archive",
    "diff",
    "index",
    "snapshot",
    "release",
    "inspect",
    "sync",
    "api",
    "terminal",
    "reloader",
    "dataupload",
    "ws",
    "readonly",
    "upgrade",
    "autohub",
    "hooks",
]


class FeatureError(AssertionError, ValueError):
    """The features cannot work together as listed; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Feature:
    """Rules of one feature."""

    requires: tuple[str, ...] = ()
    """Must be listed too."""
    after: tuple[str, ...] = ()
    """Start before it, if they are listed."""
    owed: str = ""
    """Why the feature cannot be had yet; empty for one that works."""


FEATURES: dict[str, Feature] = {
    "config": Feature(),
    "job": Feature(),
    "dump": Feature(after=("job",)),
    "upload": Feature(after=("job",)),
    "dataplugin": Feature(requires=("source",), after=("job", "dump", "upload")),
    "source": Feature(requires=("dump", "upload"), after=("dump", "upload", "dataplugin")),
    "build": Feature(after=("job", "source", "upload")),
    "auto_archive": Feature(after=("build",), owed="old builds are not archived by age yet"),
    "diff": Feature(after=("build",), owed="builds cannot be compared yet"),
    "index": Feature(after=("job", "build")),
    "snapshot": Feature(("index",), ("index",), "snapshots of indices cannot be taken yet"),
    "auto_snapshot_cleaner": Feature(("snapshot",), ("snapshot",), "there are no snapshots to clean yet"),
    "release": Feature(("diff", "snapshot"), ("diff", "snapshot"), "releases cannot be published yet"),
    "inspect": Feature(("upload", "build"), ("upload", "build"), "documents cannot be inspected yet"),
    "sync": Feature(after=("build", "diff", "index"), owed="diffs cannot be applied yet"),
    "api": Feature(("index",), ("index",), "test APIs cannot be started yet; 'search' and 'document' query an index"),
    "terminal": Feature(requires=("ws",)),
    "reloader": Feature(after=("source", "dataplugin")),
    "dataupload": Feature(requires=("ws",)),
    "ws": Feature(after=("terminal", "dataupload")),
    "readonly": Feature(after=("ws", "api")),
    "upgrade": Feature(after=("dump",)),
    "autohub": Feature(
        after=("dump", "upload", "sync", "index"), owed="releases of other hubs cannot be installed yet"
    ),
    "hooks": Feature(),
    "studio": Feature(after=("job", "ws", "terminal", "dataupload", "api")),
}


def clean(features: Iterable[str]) -> list[str]:
    """Without duplicates, in the order of their first occurrence."""
    return list(dict.fromkeys(features))


def switch_off(features: list[str], configs: Mapping[str, object], *, asked_for: bool) -> dict[str, str]:
    """Take the features whose ``*_config`` is False out of the list, and those that cannot be without them; returns
    the reasons by feature. Raises :class:`FeatureError` for one of the latter if the list was ``asked_for`` rather than
    the default.
    """
    off = {name for name, config in configs.items() if config is False}
    reasons = {name: f"{_setting(name)} is False" for name in off if name != "api"}
    dependent = {}
    if "api" in off:
        dependent["readonly"] = "api_config is False, and it serves the API"
    if "ws" in off:
        needing = [name for name in features if "ws" in FEATURES.get(name, Feature()).requires and name not in off]
        dependent |= dict.fromkeys(needing, "websocket_config is False, and it needs 'ws'")
    for name, reason in dependent.items():
        if asked_for and name in features:
            raise FeatureError(f"{name!r} feature cannot be had: {reason}")
    disabled = {name: reason for name, reason in {**reasons, **dependent}.items() if name in features}
    features[:] = [name for name in features if name not in disabled]
    return disabled


def _setting(name: str) -> str:
    return "websocket_config" if name == "ws" else f"{name}_config"


def check(features: Sequence[str]) -> None:
    """Raise :class:`FeatureError` if ``job`` is missing, or something that a listed feature requires."""
    if "job" not in features:
        raise FeatureError("'job' feature is mandatory")
    for name in features:
        missing = [need for need in FEATURES.get(name, Feature()).requires if need not in features]
        if missing:
            raise FeatureError(f"{name!r} feature requires {' and '.join(map(repr, missing))}")


def ordered(features: Sequence[str]) -> list[str]:
    """The same features, each after those it needs and otherwise in the order of the list. A feature without rules (a
    subclass's own) may count on ``job`` and on what stands before it.
    """
    waiting = list(features)
    done: list[str] = []
    while waiting:
        ready = next((name for name in waiting if not _needs(name, features) & set(waiting)), None)
        if ready is None:
            raise FeatureError(f"these features need each other in a circle: {', '.join(waiting)}")
        waiting.remove(ready)
        done.append(ready)
    return done


def _needs(name: str, features: Sequence[str]) -> set[str]:
    if name in FEATURES:
        return set(FEATURES[name].after)
    return {"job", *features[: features.index(name)]}
