"""Every option of a hub: its name, type, default, section and meaning. How they are read is in ``config.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, field_validator, model_validator

from hubkernel.pipeline.common import cron_expression
from hubkernel.pipeline.credentials import check_reference

DERIVED = {
    "log_folder": "logs",
    "upload_folder": "dataupload",
    "diff_folder": "diff",
    "release_folder": "release",
}


def _setting(default: Any, section: str, description: str, *, old: str = "", live: bool = False, **more: Any) -> Any:
    """A documented option. ``old`` is its name in a BioThings ``config.py``; a ``live`` one needs no restart."""
    extra: dict[str, Any] = {"section": section, "old": old, "live": live}
    if callable(default):
        return Field(default_factory=default, description=description, json_schema_extra=extra, **more)
    return Field(default, description=description, json_schema_extra=extra, **more)


WebOrigin = Annotated[str, StringConstraints(pattern=r"^https?://[A-Za-z0-9.\-\[\]:]+$")]
"""A web page's scheme, host and port; a ``*`` is none."""


class Settings(BaseModel):
    """The options themselves."""

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
    events_kept: int = _setting(10_000, "Jobs", "Events kept for a door that reconnects.", ge=1)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = _setting(
        "INFO", "Logs", "What the hub's own code writes into logs/hub.log."
    )
    log_size: int = _setting(10_000_000, "Logs", "Bytes of logs/hub.log; then a new one begins.", ge=10_000)
    logs_kept: int = _setting(5, "Logs", "Earlier logs/hub.log.1, .2, ... that are kept.", ge=0)
    job_log_size: int = _setting(
        10_000_000, "Logs", "Bytes of logs/jobs/<job>.jsonl; of a longer log the newest part is kept.", ge=10_000
    )
    job_log_days: int = _setting(30, "Logs", "Days for which the logs of jobs are kept.", ge=1)
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
    install_requirements: bool = _setting(
        False,
        "Plugins",
        "Install the Python packages that plugins require (by pip, into the hub's own environment). Off: a plugin that "
        "misses some says what to type.",
    )
    keep_archive: int = _setting(3, "Uploads", "Earlier versions of a collection that are kept.", ge=0)
    max_loss: float = _setting(
        20,
        "Uploads",
        "Per cent of its documents that a collection may lose with a new release; one that loses more is not put in "
        "place before somebody accepts it. 0: any loss.",
        ge=0,
        le=100,
    )
    max_loss_of: dict[str, float] = _setting(
        dict, "Uploads", "The same for single sources or collections: {name: per cent}. It goes before `max_loss`."
    )
    logins: dict[str, str] = _setting(
        dict,
        "Security",
        "Host name of private sources -> where the login for it is: `env:NAME`, `file:path` or "
        "`keyring:service/user`. What stands there is `user:password`, or the whole value of an Authorization header.",
    )
    docker_config: dict[str, dict[str, str | None]] = _setting(
        dict,
        "Security",
        "Connection of docker:// urls -> its `client_url`, and for https `tls_cert_path`, `tls_key_path`, "
        "`tls_ca_path`.",
        old="DOCKER_CONFIG",
    )
    docker_host: str | None = _setting(
        None, "Security", "Connection for all docker:// urls, instead of the one they name.", old="DOCKER_HOST"
    )
    audit_max_bytes: int = _setting(
        10_000_000, "Security", "Size from which on the audit log begins a new file; nine older ones are kept.", ge=1000
    )
    ssh_port: int | None = _setting(
        None, "SSH", "Port of the ssh console; unset: no console.", old="HUB_SSH_PORT", ge=0, le=65535
    )
    ssh_host: str = _setting("127.0.0.1", "SSH", "Address the ssh console listens on.")
    ssh_passwords: dict[str, SecretStr] = _setting(
        dict, "SSH", "User -> argon2 hash of the password. Keys in ssh/authorized_keys need none.", old="HUB_PASSWD"
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
    readonly_host: str = _setting("127.0.0.1", "Web", "Address that port listens on.")
    readonly_open: bool = _setting(
        False, "Web", "Let everybody who reaches the read-only server read, without a token."
    )
    upload_limit: int = _setting(10 * 1024**3, "Web", "Bytes of the largest file that may be uploaded.", ge=1)
    upload_folder: Path | None = _setting(
        None,
        "Web",
        "Folder of uploaded files; unset: `dataupload` by `data_root`, else in the home.",
        old="DATA_UPLOAD_FOLDER",
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

    @field_validator("logins")
    @classmethod
    def _are_references(cls, value: dict[str, str]) -> dict[str, str]:
        for reference in value.values():
            check_reference(reference)
        return value

    @model_validator(mode="after")
    def _derive(self) -> Settings:
        """What follows from other settings as long as it is not given."""
        if self.data_root is not None:
            root = self.data_root.parent if self.data_root.name == "datasources" else self.data_root
            for name, folder in DERIVED.items():
                self.__dict__[name] = self.__dict__[name] or root / folder
        if self.readonly_port is None and self.studio_port:
            self.__dict__["readonly_port"] = self.studio_port + 1
        return self
