"""The hub's settings: typed, documented, read from one file, the environment and what ``setconf`` stored.

Later wins: default < file (``hubkernel.toml``, or a Python module ``config.py``) < ``setconf`` < ``HUBKERNEL_*``.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import PrivateAttr, ValidationError
from pydantic.fields import FieldInfo

from hubkernel.hub.config_comments import Comment
from hubkernel.hub.config_plain import alike, decoded, is_plain, plain
from hubkernel.hub.config_sources import (
    ConfigError,
    Module,
    Setting,
    find_file,
    read_environment,
    read_module,
    read_toml,
)
from hubkernel.hub.home import HubHome
from hubkernel.hub.names import hint
from hubkernel.hub.settings import Settings
from hubkernel.jobs.masking import MASK, masked, names_secret
from hubkernel.store import StateStore

__all__ = ["ConfigError", "HubConfig", "masked"]

COLLECTION = "hub_config"
"""State collection of what ``setconf`` stored: ``{"_id": setting, "value": JSON value}``."""

DOTTED = r"[A-Za-z_][\w-]*\.[A-Za-z_]\w*"
"""``Class.ATTRIBUTE``"""
EARLY = ("config_readonly", "placement", "state_url")
"""Read before the hub's state is, so that ``setconf`` cannot change them."""

log = logging.getLogger(__name__)


class HubConfig(Settings):
    """Every option of a hub. ``HubConfig.load(home)`` reads them; an instance never shows a secret."""

    _sources: dict[str, Setting] = PrivateAttr(default_factory=dict)
    _base: Path = PrivateAttr(default_factory=Path.cwd)
    _module: Module = PrivateAttr(default_factory=lambda: Module({}, {}, {}, {}))
    _others: dict[str, Any] = PrivateAttr(default_factory=dict)
    _overrides: dict[str, Any] = PrivateAttr(default_factory=dict)
    """What ``setconf`` stored, by setting, by name in the user's module, or by ``Class.ATTRIBUTE``."""
    _next: dict[str, Any] = PrivateAttr(default_factory=dict)
    """What changes only at the next start."""

    @classmethod
    def load(
        cls, home: HubHome, *, state: StateStore | None = None, environ: Mapping[str, str] | None = None
    ) -> HubConfig:
        """Read the home's file, what ``setconf`` stored in ``state`` and the environment.

        Raises :class:`ConfigError` with every mistake in one message.
        """
        settings: dict[str, Setting] = {}
        module = Module({}, {}, {}, {})
        if (file := find_file(home.config_file)) is not None:
            if file.suffix == ".py":
                module = read_module(file, known_names())
                settings = module.settings
            else:
                settings = read_toml(file, known_names())
        overrides = stored_overrides(state) if state is not None else {}
        stored = {
            name: Setting(overrides[name], f"setconf {name}", name) for name in overrides if name in cls.model_fields
        }
        environment = read_environment(os.environ if environ is None else environ, known_names())
        config = cls._build({**settings, **stored, **environment}, file)
        config._sources = {**settings, **environment}
        config._overrides = {name: value for name, value in overrides.items() if name not in environment}
        config._base, config._module = (file.parent if file is not None else Path.cwd()), module
        config._others = {name: config._overrides.get(name, value) for name, value in module.others.items()}
        return config

    @classmethod
    def _build(cls, settings: dict[str, Setting], file: Path | None) -> HubConfig:
        base = file.parent if file is not None else Path.cwd()
        values = {name: _prepared(name, setting, base) for name, setting in settings.items()}
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError("\n".join(_explain(e, settings) for e in error.errors())) from None

    @property
    def others(self) -> dict[str, Any]:
        """UPPER_CASE names of a Python ``config.py`` that are no settings of the hub; the user's code may want them."""
        return self._others

    def for_plugins(self) -> dict[str, Any]:
        """What code of plugins may read: plain values by their names in capitals, here and in BioThings, and all plain
        names of a Python ``config.py`` that are no settings. Nothing secret, and no url with a password.
        """
        found: dict[str, Any] = {}
        for name, info in type(self).model_fields.items():
            value = getattr(self, name)
            if is_secret_name(name) or not is_plain(value) or self._masked(name, value) != value:
                continue
            found |= dict.fromkeys(filter(None, (name.upper(), extra_of(info)["old"])), plain(value))
        return found | {name: value for name, value in self._others.items() if is_plain(value)}

    @property
    def missing(self) -> dict[str, str]:
        """What a Python ``config.py`` says has to be given and is not: what for, by name."""
        given = {name for name in self._module.missing if known_names().get(name) in self._sources}
        return {name: text for name, text in self._module.missing.items() if name not in given}

    def source(self, name: str) -> str:
        """Where the value of a setting comes from: ``default``, ``setconf``, or the file and line."""
        if name in self._overrides:
            return "setconf"
        setting = self._sources.get(name)
        return setting.place if setting else "default"

    def comment(self, name: str) -> Comment:
        """What a Python ``config.py`` says of a setting, or of another name in it."""
        found = (c for written, c in self._module.comments.items() if known_names().get(written, written) == name)
        return next(found, Comment())

    def show(self) -> dict[str, Any]:
        """All settings as JSON, secrets masked: ``{"scope": {"config": {name: {...}}, "class": {"Class.ATTRIBUTE":
        value}}, "_dirty": whether a restart would change something, "allow_edits"}``.

        Each has ``value``, ``default`` (what ``resetconf`` goes back to), ``desc``, ``section``, ``source``,
        ``secret``, ``live``, ``readonly``, ``hidden``, ``name`` (in BioThings), ``diff`` (a JSON patch, if ``setconf``
        changed it) and ``error`` (if it has to be given).
        """
        names = [*type(self).model_fields, *self._module.others, *self.missing]
        shown = {name: self._show(name) for name in dict.fromkeys(names) if not self.comment(name).invisible}
        dotted = {name: masked(value) for name, value in self._overrides.items() if "." in name}
        dirty = any(value != self._now(name) for name, value in self._next.items())
        return {
            "scope": {"config": shown, "class": dotted},
            "_dirty": dirty,
            "allow_edits": not self.config_readonly,
        }

    def _show(self, name: str) -> dict[str, Any]:
        info, comment = type(self).model_fields.get(name), self.comment(name)
        extra = extra_of(info) if info else {"section": None, "live": False, "old": name}
        secret = is_secret(info) if info else names_secret(name)
        shown = {
            "desc": comment.desc or (info.description if info else None),
            "section": comment.section or extra["section"],
            "source": self.source(name) if info or name in self._overrides else self._module.place,
            "secret": secret,
            "live": extra["live"],
            "readonly": comment.readonly or name in EARLY or secret or self._fixed(name),
            "hidden": comment.hidden,
            "name": extra["old"],
        }
        if (missing := self.missing.get(name)) is not None:
            return {**shown, "error": missing}
        for key, value in (("value", self._now(name)), ("default", self._before(name))):
            if is_plain(value):
                shown[key] = MASK if comment.hidden else self._masked(name, value)
        if name in self._overrides and shown.get("value") != shown.get("default"):
            shown["diff"] = [{"op": "replace", "path": "", "value": shown.get("value")}]
        return shown

    def _fixed(self, name: str) -> bool:
        """By the environment."""
        return self.source(name).startswith("environment")

    def _masked(self, name: str, value: Any) -> Any:
        return masked(value) if name in type(self).model_fields else masked({name: value})[name]

    def _now(self, name: str) -> Any:
        return getattr(self, name) if name in type(self).model_fields else self._others.get(name)

    def _before(self, name: str) -> Any:
        """What holds without ``setconf``."""
        info = type(self).model_fields.get(name)
        if info is None:
            return self._module.others.get(name)
        setting = self._sources.get(name)
        if setting is not None:
            return self._checked(name, _prepared(name, setting, self._base))
        return info.get_default(call_default_factory=True)

    def store(self, state: StateStore, name: str, value: Any) -> dict[str, Any]:
        """``setconf``: check, store for every later start, and apply now what is live.

        ``value`` is the value itself or, as BioThings Studio sends it, its JSON. ``Class.ATTRIBUTE`` changes a class
        attribute, or a source's ``SCHEDULE`` and the like, when that is registered next (:meth:`supersede`). Returns
        ``{"name", "value", "needs_restart"}``. Raises :class:`ConfigError` and changes nothing if the name or the value
        is wrong, the setting is secret or read-only, or the environment fixes it.
        """
        field = self._editable(name)
        stored, checked = self._fitting(field, value)
        if self._masked(field, stored) != stored:
            raise ConfigError(
                f"{field} holds a password: setconf does not store it; write it into the configuration file"
            )
        state.collection(COLLECTION).replace_one({"_id": field}, {"_id": field, "value": stored}, upsert=True)
        self._overrides[field] = stored
        return {"name": field, "value": stored, "needs_restart": not self._apply(field, checked)}

    def _fitting(self, field: str, value: Any) -> tuple[Any, Any]:
        """The value as JSON, and as the setting has it."""
        if field in type(self).model_fields:
            checked = self._checked(field, decoded(value, type(self).model_fields[field].annotation))
            return plain(checked), checked
        value = decoded(value, type(self._module.others.get(field)))
        before = self._module.others.get(field)
        if before is not None and not alike(value, before):
            raise ConfigError(f"{field} takes {type(before).__name__}, as in the configuration file, not {value!r}")
        if not is_plain(value):
            raise ConfigError(f"{field} takes plain values only (text, numbers, lists, ...)")
        return value, value

    def reset(self, state: StateStore, name: str | None = None) -> list[str]:
        """``resetconf``: forget what ``setconf`` stored for one setting, or for all. Returns their names."""
        if self.config_readonly:
            raise ConfigError("the configuration is read-only (config_readonly)")
        stored = state.collection(COLLECTION)
        names = [self.known(name)] if name is not None else [doc["_id"] for doc in stored.find()]
        for field in names:
            stored.delete_one({"_id": field})
            if self._overrides.pop(field, None) is not None and "." not in field:
                self._apply(field, self._before(field))
            self._next = {known: value for known, value in self._next.items() if "." not in field or known != field}
        return names

    def supersede(self, cls: type) -> type:
        """Set what ``setconf`` stored for attributes of a class, by its name; returns the class. Called when the hub
        registers it; scripts call it for classes of their own.
        """
        for attribute, value in self.class_overrides(cls.__name__).items():
            if hasattr(cls, attribute):
                setattr(cls, attribute, value)
            else:
                log.error("setconf %s.%s: no such attribute%s", cls.__name__, attribute, hint(attribute, dir(cls)))
        return cls

    def class_overrides(self, name: str) -> dict[str, Any]:
        """What ``setconf`` stored for attributes of this class or source."""
        dotted = (known.rpartition(".") for known in self._overrides if "." in known)
        return {attribute: self._overrides[f"{name}.{attribute}"] for owner, _, attribute in dotted if owner == name}

    def known(self, name: str) -> str:
        """The setting of that name, in new or old spelling; raises :class:`ConfigError` naming the nearest one."""
        field = known_names().get(name)
        if field is None and (name in self._module.others or name in self.missing or re.fullmatch(DOTTED, name)):
            return name
        if field is None:
            raise ConfigError(f"unknown setting {name!r}{hint(name, [*type(self).model_fields, *self._module.others])}")
        return field

    def _editable(self, name: str) -> str:
        field = self.known(name)
        info, comment = type(self).model_fields.get(field), self.comment(field)
        if self.config_readonly:
            raise ConfigError("the configuration is read-only (config_readonly)")
        if field in EARLY:
            raise ConfigError(f"{field} is read before the state is; write it into the configuration file")
        if comment.readonly or comment.invisible:
            raise ConfigError(f"{field} is marked as read-only in the configuration file; change it there")
        if is_secret(info) if info else names_secret(field):
            raise ConfigError(
                f"{field} is secret and is not stored in the hub's state; set it in the configuration file"
            )
        if self._fixed(field):
            raise ConfigError(f"{field} is fixed by the {self.source(field)}; unset it first")
        return field

    def _checked(self, field: str, value: Any) -> Any:
        try:
            return getattr(type(self).model_validate({field: value}), field)
        except ValidationError as error:
            raise ConfigError("; ".join(_explain(e, {}) for e in error.errors())) from None

    def _apply(self, field: str, value: Any) -> bool:
        """Now if it is live, else at the next start; returns which."""
        info = type(self).model_fields.get(field)
        live = bool(info and extra_of(info)["live"])
        if live:
            setattr(self, field, value)
        else:
            self._next[field] = value
        return live

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return [(name, masked(getattr(self, name))) for name in type(self).model_fields]


@cache
def known_names() -> dict[str, str]:
    """Every accepted spelling -> setting: its name, its name in capitals, its BioThings name."""
    names: dict[str, str] = {}
    for name, info in HubConfig.model_fields.items():
        names.update({name: name, name.upper(): name})
        if old := extra_of(info)["old"]:
            names[old] = name
    return names


def stored_overrides(state: StateStore) -> dict[str, Any]:
    """What ``setconf`` stored, by name; settings in their new spelling."""
    known = known_names()
    found: dict[str, Any] = {doc["_id"]: doc["value"] for doc in state.collection(COLLECTION).find()}
    return {known.get(name) or name: value for name, value in found.items()}


def is_secret(info: FieldInfo) -> bool:
    return "SecretStr" in str(info.annotation)


def is_secret_name(name: str) -> bool:
    """Whether a setting of that name, in any spelling, is secret, looks as if it were, or is where somebody who does
    not know references would write a secret.
    """
    field = known_names().get(name)
    if field == "logins":
        return True
    return is_secret(HubConfig.model_fields[field]) if field else names_secret(name)


def extra_of(info: FieldInfo) -> dict[str, Any]:
    return info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}


def _prepared(name: str, setting: Setting, base: Path) -> Any:
    """The value as pydantic takes it: JSON from the environment, one folder where a list is due, paths from the file's
    folder.
    """
    value = setting.value
    kind = str(HubConfig.model_fields[name].annotation)
    if isinstance(value, str) and setting.name.startswith("HUBKERNEL_") and value[:1] in "[{":
        value = _json(value, setting.place)
    if "list" in kind and isinstance(value, str):
        value = [value]
    if "Path" not in kind or value is None:
        return value
    return [base / Path(v).expanduser() for v in value] if isinstance(value, list) else base / Path(value).expanduser()


def _json(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{place}: not valid JSON: {error}") from None


def _explain(error: Any, settings: Mapping[str, Setting]) -> str:
    """One line for one pydantic error; it never repeats the value, which may be secret."""
    field = str(error["loc"][0])
    setting = settings.get(field)
    where = ".".join(str(part) for part in error["loc"])
    place = f"{setting.place}: " if setting else ""
    return f"{place}{where}: {error['msg']}"
