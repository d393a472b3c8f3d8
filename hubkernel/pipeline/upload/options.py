"""What ``upload`` is told, checked; and what a hub has laid down for all uploads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hubkernel.pipeline.upload.errors import UploadError
from hubkernel.pipeline.upload.uploaders import DEFAULT_BATCH

STEPS = ("data", "master", "post", "clean")
"""``data``: parse and swap. ``master``: mapping and metadata. ``post``: the plugin's ``post_update_data``. ``clean``:
drop old archives. They run in this order."""
Steps = frozenset[str]


@dataclass(frozen=True, slots=True)
class Options:
    """Of one upload."""

    steps: Steps = frozenset(STEPS)
    force: bool = False
    validate: bool = False
    accept_loss: bool = False
    release: str | None = None
    batch_size: int = DEFAULT_BATCH
    limit: int | None = None
    """Documents of a preview; None for an upload."""
    more: Mapping[str, Any] = field(default_factory=dict)
    """For the plugin's own methods."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Of a hub."""

    keep_archive: int = 3
    max_loss: float = 20.0
    """Per cent of its documents that a collection may lose with a new release; 0 allows any loss."""
    max_loss_of: Mapping[str, float] = field(default_factory=dict)
    """The same for single sources or collections, by name."""
    keylookup: str | None = None
    """The hub's, as ``module:Class``."""

    def loss(self, source: str, collection: str, own: float | None) -> float:
        """What a collection may lose: what the hub says of it, else what its uploader says (``own``), else the hub's
        own figure.
        """
        for name in (f"{source}.{collection}", collection, source):
            if name in self.max_loss_of:
                return self.max_loss_of[name]
        return self.max_loss if own is None else own


def policy(keep_archive: Any, max_loss: Any, max_loss_of: Any) -> Policy:
    """Raises ``ValueError`` for what cannot be."""
    if isinstance(keep_archive, bool) or not isinstance(keep_archive, int) or keep_archive < 0:
        raise ValueError(f"keep_archive is {keep_archive!r}: it takes a whole number from 0 on")
    limits = {"max_loss": max_loss, **{f"max_loss_of[{name!r}]": value for name, value in (max_loss_of or {}).items()}}
    for name, value in limits.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 100:
            raise ValueError(f"{name} is {value!r}: it takes per cent, from 0 (any loss is accepted) to 100")
    return Policy(keep_archive, float(max_loss), dict(max_loss_of or {}))


def checked(steps: str | Iterable[str], batch_size: Any, limit: Any, max_batch_num: Any, **rest: Any) -> Options:
    """Raises :class:`UploadError` for what cannot be."""
    for name, value in {"batch_size": batch_size, "limit": limit, "max_batch_num": max_batch_num}.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise UploadError(f"{name} is {value!r}: it takes a whole number from 1 on")
    limits = [limit, batch_size * max_batch_num if max_batch_num is not None else None]
    given = [number for number in limits if number is not None]
    return Options(steps=_steps(steps), batch_size=batch_size, limit=min(given, default=None), **rest)


def _steps(steps: str | Iterable[str]) -> Steps:
    names = steps.split(",") if isinstance(steps, str) else list(steps)
    chosen = frozenset(name.strip() for name in names)
    unknown = sorted(chosen - set(STEPS))
    if unknown or not chosen:
        raise UploadError(f"steps is {steps!r}: use some of {', '.join(STEPS)}")
    return chosen
