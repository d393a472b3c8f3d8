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
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)
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
from hubkernel.jobs.masking import MASK, masked, names_secret
from hubkernel.pipeline.common import cron_expression
from hubkernel.pipeline.credentials import check_reference
from hubkernel.store import StateStore

__all__ = ["ConfigError", "HubConfig", "masked"]

COLLECTION = "hub_config"
"""State collection of what ``setconf`` stored: ``{"_id": setting, "value": JSON value}``."""


DOTTED = r"[A-Za-z_][\w-]*\.[A-Za-z_]\w*"
"""``Class.ATTRIBUTE``"""
EARLY = ("config_readonly", "placement", "state_url")
"""Read before the hub's state is, so that ``setconf`` cannot change them."""
DERIVED = {
    "log_folder": "logs",
    "upload_folder": "dataupload",
    "diff_folder": "diff",
    "release_folder": "release",
}

log = logging.getLogger(__name__)


def _setting(default: Any, section: str, description: str, *, old: str = "", live: bool = False, **more: Any) -> Any:
    """A documented option. ``old`` is its name in a BioThings ``config.py``; a ``live`` one needs no restart."""
    extra: dict[str, Any] = {"section": section, "old": old, "live": live}
    if callable(default):
        return Field(default_factory=default, description=description, json_schema_extra=extra, **more)
    return Field(default, description=description, json_schema_extra=extra, **more)


WebOrigin = Annotated[str, StringConstraints(pattern=r"^https?://[A-Za-z0-9.\-\[\]:]+$")]
"""A web page's scheme, host and port; a ``*`` is none."""


class HubConfig(BaseModel):
    """Every option of a hub. ``HubConfig.load(home)`` reads them; an instance never shows a secret."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    hub_name: str = _setting(
        "BioThings Hub", "General", "Name shown in banners, prompts and the status.", old="HUB_NAME", live=True
    )
    hub_icon: str | None = _setting(
        None, "General", "Url of a picture that doors show beside the name.", old="HUB_ICON"
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
        None,
        "Folders",
        "Folder of downloaded releases; unset: the home. The folders below stand beside it if it is called "
        "`datasources`, else in it.",
        old="DATA_ARCHIVE_ROOT",
    )
    log_folder: Path | None = _setting(
        None, "Folders", "Folder of logs; unset: `logs` by `data_root`, else in the home.", old="LOG_FOLDER"
    )
    diff_folder: Path | None = _setting(
        None, "Folders", "Folder of differences between builds, once there are any; unset: `diff`.", old="DIFF_PATH"
    )
    release_folder: Path | None = _setting(
        None, "Folders", "Folder of releases, once they can be made; unset: `release`.", old="RELEASE_PATH"
    )
    plugin_folders: list[Path] = _setting(
        list, "Folders", "More folders whose sub-folders are plugins, besides the home's.", old="DATA_PLUGIN_FOLDER"
    )
    active_datasources: list[str] = _setting(
        list,
        "Folders",
        "Importable packages whose folders are plugins, for a hub without a script of its own.",
        old="ACTIVE_DATASOURCES",
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
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = _setting(
        "INFO", "Logs", "What the hub's own code writes into logs/hub.log."
    )
    log_size: int = _setting(10_000_000, "Logs", "Bytes of logs/hub.log; then a new one begins.", ge=10_000)
    logs_kept: int = _setting(5, "Logs", "Earlier logs/hub.log.1, .2, ... that are kept.", ge=0)
    job_log_size: int = _setting(
        10_000_000, "Logs", "Bytes of logs/jobs/<job>.jsonl; of a longer log the newest part is kept.", ge=10_000
    )
    job_log_days: int = _setting(30, "Logs", "Days for which the logs of jobs are kept.", ge=1)
    events_kept: int = _setting(10_000, "Jobs", "Events kept for a door that reconnects.", ge=1)
    time_zone: str | None = _setting(
        None, "Schedules", "Time zone of all schedules, for instance Europe/Berlin; unset: that of the machine."
    )
    missed_schedules: Literal["skip", "run"] = _setting(
        "skip",
        "Schedules",
        'What becomes of runs that were due while the hub was off: "skip", or "run" (once, at the start).',
    )
    skip_dumper_schedule: bool = _setting(
        False, "Schedules", "Do not run dumps by the schedules of their sources.", old="SKIP_DUMPER_SCHEDULE"
    )
    upload_poll: str | None = _setting(
        None,
        "Schedules",
        "Cron by which a hub without a script of its own uploads what was dumped; unset: it leaves that to its users.",
    )
    skip_uploader_poll: bool = _setting(
        False, "Schedules", "Do not upload by itself what a dump marked for upload.", old="SKIP_UPLOADER_POLL"
    )
    logins: dict[str, str] = _setting(
        dict,
        "Security",
        "Host name of private sources -> where the login for it is: `env:NAME`, `file:path` or "
        "`keyring:service/user`. What stands there is `user:password`, or the whole value of an Authorization header.",
    )
    audit_max_bytes: int = _setting(
        10_000_000, "Security", "Size from which on the audit log begins a new file; nine older ones are kept.", ge=1000
    )
    studio_port: int | None = _setting(
        None,
        "Studio",
        "Port of the API that BioThings Studio speaks to; unset: none; 0: any free one.",
        old="HUB_API_PORT",
        ge=0,
        le=65535,
    )
    studio_host: str = _setting("127.0.0.1", "Studio", "Address that the Studio port listens on.")
    studio_origins: list[WebOrigin] = _setting(
        list,
        "Studio",
        "Origins (scheme://host[:port]) of the Studio web pages that may use the hub; any other page is refused.",
    )
    readonly_port: int | None = _setting(
        None,
        "Web",
        "Port of the read-only server; unset: the next one after `studio_port`, if there is one. It is always below "
        "hubkernel/readonly/api of the hub's own server.",
        old="READONLY_HUB_API_PORT",
        ge=0,
        le=65535,
    )
    notify_webhooks: dict[str, SecretStr] = _setting(
        dict, "Notifications", "Name -> url that gets notifications as JSON."
    )
    notify_secret: SecretStr | None = _setting(
        None, "Notifications", "Key with which notifications to webhooks are signed (HMAC-SHA256)."
    )
    slack_webhook: SecretStr | None = _setting(
        None, "Notifications", "Incoming webhook of Slack, or of what speaks like it.", old="SLACK_WEBHOOK"
    )
    slack_mentions: list[str] = _setting(
        list,
        "Notifications",
        'Who is called in Slack when something fails: ["<!here>", "<@U024BE7LH>"].',
        old="SLACK_MENTIONS",
        live=True,
    )
    notify_events: list[str] = _setting(
        lambda: [
            "job.failed",
            "job.interrupted",
            "schedule.failed",
            "hub.*",
            "log.*",
            "upgrade.available",
            "notify",
        ],
        "Notifications",
        "What is told, as patterns.",
        live=True,
    )
    readonly_host: str = _setting("127.0.0.1", "Web", "Address that port listens on.")
    readonly_open: bool = _setting(
        False, "Web", "Let everybody who reaches the read-only server read, without a token."
    )
    upload_limit: int = _setting(10 * 1024**3, "Web", "Bytes of the largest file that may be uploaded.", ge=1)
    app_folder: Path | None = _setting(
        None, "Upgrade", "Git checkout of the hub's own application, which 'upgrade' upgrades.", old="APP_FOLDER"
    )
    upgrade_check: str | None = _setting(
        None,
        "Upgrade",
        "Cron by which the hub looks for new versions of the application and of itself; unset: it never does.",
        old="HUB_CHECK_UPGRADE",
    )
    upgrade_pip_options: list[str] = _setting(
        list, "Upgrade", 'Options of pip install for upgrades, for instance ["--index-url", "https://mirror/simple"].'
    )
    upload_folder: Path | None = _setting(
        None,
        "Web",
        "Folder of uploaded files; unset: `dataupload` by `data_root`, else in the home.",
        old="DATA_UPLOAD_FOLDER",
    )
    ssh_port: int | None = _setting(
        None, "SSH", "Port of the ssh console; unset: no console.", old="HUB_SSH_PORT", ge=0, le=65535
    )
    ssh_host: str = _setting("127.0.0.1", "SSH", "Address the ssh console listens on.")
    ssh_passwords: dict[str, SecretStr] = _setting(
        dict, "SSH", "User -> argon2 hash of the password. Keys in ssh/authorized_keys need none.", old="HUB_PASSWD"
    )

    @field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, zone: str | None) -> str | None:
        if zone is not None:
            try:
                ZoneInfo(zone)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                raise ValueError(f"no time zone {zone!r}; write it as Europe/Berlin or UTC") from None
        return zone

    @field_validator("upgrade_check", "upload_poll")
    @classmethod
    def _is_a_cron(cls, cron: str | None) -> str | None:
        if cron is not None:
            cron_expression(cron)
        return cron

    _sources: dict[str, Setting] = PrivateAttr(default_factory=dict)
    _base: Path = PrivateAttr(default_factory=Path.cwd)
    _module: Module = PrivateAttr(default_factory=lambda: Module({}, {}, {}, {}))
    _others: dict[str, Any] = PrivateAttr(default_factory=dict)
    _overrides: dict[str, Any] = PrivateAttr(default_factory=dict)
    """What ``setconf`` stored, by setting, by name in the user's module, or by ``Class.ATTRIBUTE``."""
    _next: dict[str, Any] = PrivateAttr(default_factory=dict)
    """What changes only at the next start."""

    @field_validator("logins")
    @classmethod
    def _are_references(cls, value: dict[str, str]) -> dict[str, str]:
        for reference in value.values():
            check_reference(reference)
        return value

    @model_validator(mode="after")
    def _derive(self) -> HubConfig:
        """What follows from other settings as long as it is not given."""
        if self.data_root is not None:
            root = self.data_root.parent if self.data_root.name == "datasources" else self.data_root
            for name, folder in DERIVED.items():
                self.__dict__[name] = self.__dict__[name] or root / folder
        if self.readonly_port is None and self.studio_port:
            self.__dict__["readonly_port"] = self.studio_port + 1
        return self

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
