"""The hub's settings: typed, documented, read from one file, the environment and what ``setconf`` stored.

Later wins: default < file (``hubkernel.toml``, or a Python module ``config.py``) < ``setconf`` < ``HUBKERNEL_*``.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from hubkernel.hub.config_sources import ConfigError, Setting, find_file, read_environment, read_module, read_toml
from hubkernel.hub.home import HubHome
from hubkernel.hub.names import hint
from hubkernel.store import StateStore

__all__ = ["ConfigError", "HubConfig", "settings_table"]

MASK = "********"
COLLECTION = "hub_config"
"""State collection of what ``setconf`` stored: ``{"_id": setting, "value": JSON value}``."""


def _setting(default: Any, section: str, description: str, *, old: str = "", live: bool = False, **more: Any) -> Any:
    """A documented option. ``old`` is its name in a BioThings ``config.py``; a ``live`` one needs no restart."""
    extra: dict[str, Any] = {"section": section, "old": old, "live": live}
    if callable(default):
        return Field(default_factory=default, description=description, json_schema_extra=extra, **more)
    return Field(default, description=description, json_schema_extra=extra, **more)


class HubConfig(BaseModel):
    """Every option of a hub. ``HubConfig.load(home)`` reads them; an instance never shows a secret."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    hub_name: str = _setting(
        "BioThings Hub", "General", "Name shown in banners, prompts and the status.", old="HUB_NAME", live=True
    )
    config_readonly: bool = _setting(
        False, "General", "Refuse setconf and resetconf while the hub runs.", old="CONFIG_READONLY"
    )
    app: Path | None = _setting(
        None, "General", "The hub's own script, with a subclass of HubServer; unset: a hub of the home's plugins."
    )
    placement: Literal["attach", "host", "embedded"] = _setting(
        "attach", "General", "Where the hub lives: a process of its own, a Jupyter server, or the process that asks."
    )
    state_url: str | None = _setting(
        None, "Stores", "Url of the hub's state, sqlite:///file or mongodb://host/database; unset: the home's state.db."
    )
    store_url: str | None = _setting(
        None,
        "Stores",
        "Url of the documents, sqlite:///folder or mongodb://host/database; unset: the home's store.",
    )
    search_url: str | None = _setting(
        None,
        "Stores",
        "Url of the search engine, embedded:///folder or http(s)://host; unset: the home's search.",
    )
    index_config: dict[str, Any] = _setting(
        dict, "Stores", "Index environments: {env: {name: {host, indexer: {args}}}}.", old="INDEX_CONFIG"
    )
    data_root: Path | None = _setting(
        None, "Folders", "Folder of downloaded releases and logs; unset: the home.", old="DATA_ARCHIVE_ROOT"
    )
    plugin_folders: list[Path] = _setting(
        list, "Folders", "More folders whose sub-folders are plugins, besides the home's.", old="DATA_PLUGIN_FOLDER"
    )
    hooks_folder: Path | None = _setting(
        None, "Folders", "Folder of hook files (*.py); unset: hooks in the home.", old="HOOKS_FOLDER"
    )
    max_workers: int | None = _setting(
        None, "Jobs", "Worker processes; unset: one a processor.", old="HUB_MAX_WORKERS", ge=1
    )
    max_threads: int = _setting(8, "Jobs", "Worker threads.", ge=1)
    max_memory: int | Literal["auto"] | None = _setting(
        None,
        "Jobs",
        'Bytes of memory above which no further job starts; "auto": 60% of what is available now; unset: no limit.',
        old="HUB_MAX_MEM_USAGE",
    )
    executor_url: str | None = _setting(
        None, "Jobs", "Executor of process steps by url, for instance dask://host:8786; unset: local processes."
    )
    events_kept: int = _setting(10_000, "Jobs", "Events kept for a door that reconnects.", ge=1)
    skip_dumper_schedule: bool = _setting(
        False, "Schedules", "Do not run dumps by the schedules of their sources.", old="SKIP_DUMPER_SCHEDULE"
    )
    skip_uploader_poll: bool = _setting(
        False, "Schedules", "Do not upload by itself what a dump marked for upload.", old="SKIP_UPLOADER_POLL"
    )
    ssh_port: int | None = _setting(
        None, "SSH", "Port of the ssh console; unset: no console.", old="HUB_SSH_PORT", ge=0, le=65535
    )
    ssh_host: str = _setting("127.0.0.1", "SSH", "Address the ssh console listens on.")
    ssh_passwords: dict[str, SecretStr] = _setting(
        dict, "SSH", "User -> argon2 hash of the password. Keys in ssh/authorized_keys need none.", old="HUB_PASSWD"
    )

    _sources: dict[str, Setting] = PrivateAttr(default_factory=dict)
    _stored: set[str] = PrivateAttr(default_factory=set)
    _changed: set[str] = PrivateAttr(default_factory=set)
    _others: dict[str, Any] = PrivateAttr(default_factory=dict)

    @classmethod
    def load(
        cls, home: HubHome, *, state: StateStore | None = None, environ: Mapping[str, str] | None = None
    ) -> HubConfig:
        """Read the home's file, what ``setconf`` stored in ``state`` and the environment.

        Raises :class:`ConfigError` with every mistake in one message.
        """
        settings: dict[str, Setting] = {}
        others: dict[str, Any] = {}
        if (file := find_file(home.config_file)) is not None:
            if file.suffix == ".py":
                settings, others = read_module(file, known_names())
            else:
                settings = read_toml(file, known_names())
        stored = stored_settings(state) if state is not None else {}
        environment = read_environment(os.environ if environ is None else environ, known_names())
        config = cls._build({**settings, **stored, **environment}, file)
        config._sources = {**settings, **environment}
        config._stored = set(stored) - set(environment)
        config._others = others
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

    def source(self, name: str) -> str:
        """Where the value of a setting comes from: ``default``, ``setconf``, or the file and line."""
        if name in self._stored:
            return "setconf"
        setting = self._sources.get(name)
        return setting.place if setting else "default"

    def show(self) -> dict[str, Any]:
        """All settings as JSON, secrets masked: ``{"scope": {"config": {name: {value, default, desc, section, source,
        secret, live}}, "class": {}}, "_dirty": a restart is needed, "allow_edits"}``.
        """
        fields = {name: self._show(name, info) for name, info in type(self).model_fields.items()}
        return {
            "scope": {"config": fields, "class": {}},
            "_dirty": bool(self._changed),
            "allow_edits": not self.config_readonly,
        }

    def _show(self, name: str, info: FieldInfo) -> dict[str, Any]:
        extra = _extra(info)
        return {
            "value": masked(getattr(self, name)),
            "default": masked(info.get_default(call_default_factory=True)),
            "desc": info.description,
            "section": extra["section"],
            "source": self.source(name),
            "secret": is_secret(info),
            "live": extra["live"],
        }

    def store(self, state: StateStore, name: str, value: Any) -> dict[str, Any]:
        """``setconf``: check, store for every later start, and apply now what is live.

        Returns ``{"name", "value", "needs_restart"}``. Raises :class:`ConfigError` and changes nothing if the name or
        the value is wrong, the setting is secret, or the environment fixes it.
        """
        field = self._editable(name)
        checked = self._checked(field, value)
        plain = _plain(checked)
        if masked(plain) != plain:
            raise ConfigError(
                f"{field} holds a password: setconf does not store it; write it into the configuration file"
            )
        state.collection(COLLECTION).replace_one({"_id": field}, {"_id": field, "value": plain}, upsert=True)
        live = self._apply(field, checked)
        self._stored.add(field)
        return {"name": field, "value": plain, "needs_restart": not live}

    def reset(self, state: StateStore, name: str | None = None) -> list[str]:
        """``resetconf``: forget what ``setconf`` stored for one setting, or for all. Returns their names."""
        if self.config_readonly:
            raise ConfigError("the configuration is read-only (config_readonly)")
        stored = state.collection(COLLECTION)
        names = [self.known(name)] if name is not None else [doc["_id"] for doc in stored.find()]
        for field in names:
            stored.delete_one({"_id": field})
            self._stored.discard(field)
            if field in type(self).model_fields:
                self._restore(field)
        return names

    def known(self, name: str) -> str:
        """The setting of that name, in new or old spelling; raises :class:`ConfigError` naming the nearest one."""
        field = known_names().get(name)
        if field is None:
            raise ConfigError(f"unknown setting {name!r}{hint(name, type(self).model_fields)}")
        return field

    def _editable(self, name: str) -> str:
        field = self.known(name)
        if self.config_readonly:
            raise ConfigError("the configuration is read-only (config_readonly)")
        if field in ("config_readonly", "placement", "state_url"):
            raise ConfigError(f"{field} is read before the state is; write it into the configuration file")
        if is_secret(type(self).model_fields[field]):
            raise ConfigError(
                f"{field} is secret and is not stored in the hub's state; set it in the configuration file"
            )
        place = self.source(field)
        if place.startswith("environment"):
            raise ConfigError(f"{field} is fixed by the {place}; unset it first")
        return field

    def _checked(self, field: str, value: Any) -> Any:
        try:
            return getattr(type(self).model_validate({field: value}), field)
        except ValidationError as error:
            raise ConfigError("; ".join(_explain(e, {}) for e in error.errors())) from None

    def _apply(self, field: str, value: Any) -> bool:
        live = bool(_extra(type(self).model_fields[field])["live"])
        if live:
            setattr(self, field, value)
        elif getattr(self, field) != value:
            self._changed.add(field)
        return live

    def _restore(self, field: str) -> None:
        """Back to the value of the file or the default, as far as that works without a restart."""
        setting = self._sources.get(field)
        info = type(self).model_fields[field]
        before = setting.value if setting is not None else info.get_default(call_default_factory=True)
        self._apply(field, self._checked(field, before))

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return [(name, masked(getattr(self, name))) for name in type(self).model_fields]


@cache
def known_names() -> dict[str, str]:
    """Every accepted spelling -> setting: its name, its name in capitals, its BioThings name."""
    names: dict[str, str] = {}
    for name, info in HubConfig.model_fields.items():
        names.update({name: name, name.upper(): name})
        if old := _extra(info)["old"]:
            names[old] = name
    return names


def stored_settings(state: StateStore) -> dict[str, Setting]:
    """What ``setconf`` stored; a setting that no longer exists is left out."""
    documents = state.collection(COLLECTION).find()
    known = known_names()
    return {
        known[doc["_id"]]: Setting(doc["value"], f"setconf {doc['_id']}", doc["_id"])
        for doc in documents
        if doc["_id"] in known
    }


def is_secret(info: FieldInfo) -> bool:
    return "SecretStr" in str(info.annotation)


def masked(value: Any) -> Any:
    """``value`` as JSON in which every secret, also the password in a url, is ``********``."""
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, Mapping):
        return {str(key): MASK if _names_secret(str(key)) else masked(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [masked(item) for item in value]
    if isinstance(value, str):
        return re.sub(r"(?<=://)([^/@:\s]*):[^/@\s]*@", rf"\1:{MASK}@", value)
    return str(value) if isinstance(value, Path) else value


def _plain(value: Any) -> Any:
    """A checked value as JSON."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _names_secret(key: str) -> bool:
    return bool(re.search(r"passw|secret|token|api_?key|credential", key, re.IGNORECASE))


def _extra(info: FieldInfo) -> dict[str, Any]:
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


def settings_table() -> str:
    """``docs/operators/settings.md``: every setting, its meaning and default."""
    lines = [_TABLE_HEAD]
    sections: dict[str, list[str]] = {}
    for name, info in HubConfig.model_fields.items():
        sections.setdefault(_extra(info)["section"], []).append(_row(name, info))
    for section, rows in sections.items():
        lines += [
            f"## {section}",
            "",
            "| setting | default | meaning | BioThings name |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    return "\n".join(lines)


def _row(name: str, info: FieldInfo) -> str:
    default = info.get_default(call_default_factory=True)
    shown = "" if default is None else f"`{json.dumps(masked(default))}`"
    notes = [
        text for flag, text in ((is_secret(info), "Secret."), (_extra(info)["live"], "Takes effect at once.")) if flag
    ]
    meaning = " ".join([info.description or "", *notes]).replace("|", "\\|")
    old = f"`{_extra(info)['old']}`" if _extra(info)["old"] else ""
    return f"| `{name}` | {shown} | {meaning} | {old} |"


_TABLE_HEAD = """# Settings

Generated from `hubkernel/hub/config.py` by `python -m hubkernel.hub.reference`; a test keeps it current.

A hub reads `hubkernel.toml` in its home (`name = value`, one a line), or a Python module `config.py` there, with the
same names in capitals or the BioThings names. `HUBKERNEL_<NAME>` in the environment wins over both, and over `setconf`,
which stores a value in the hub's state. A setting that is not marked takes effect at the next start.
"""

_TABLE_COLUMNS = ("| setting | default | meaning | BioThings name |", "|---|---|---|---|")
