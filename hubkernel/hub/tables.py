"""The table of commands: which method of which manager stands under which name. Each is registered only if its manager
is there.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from hubkernel.hub.commands import BadArgumentsError, Check, CommandDefinition, HubCommands, Role

if TYPE_CHECKING:
    from hubkernel.hub.server import HubServer

ACCESS = "access"
"""Stands for :class:`~hubkernel.hub.access.AccessActions` where others have a manager."""
OWN = "hub"
"""Stands for :class:`~hubkernel.hub.actions.HubActions` where others have a manager."""


@dataclass(frozen=True, slots=True)
class Row:
    """One command: ``manager`` must exist; ``feature``, if given, must be on."""

    name: str
    manager: str
    method: str
    tracked: bool = True
    role: Role = Role.operator
    feature: str = ""
    takes: Mapping[str, str] = field(default_factory=dict)
    """Which parameters name something, and of what kind (:class:`~hubkernel.hub.known.KnownNames`)."""
    refuses: str = ""
    """Method of the manager that is given the arguments first, and raises ``ValueError`` for those that cannot be."""
    makes: str = ""
    """Kind of the names that are there once it has run; ``*`` is all kinds."""


def _reads(name: str, manager: str, method: str = "", feature: str = "", takes: Mapping[str, str] | None = None) -> Row:
    """Only reads: untracked, for everybody."""
    return Row(name, manager, method or name, tracked=False, role=Role.viewer, feature=feature, takes=takes or {})


_CONF = {"sources": "collections", "roots": "roots"}


PUBLIC = (
    _reads("status", OWN),
    Row("export_command_documents", OWN, "export_command_documents", tracked=False, role=Role.developer),
    _reads("config", OWN, feature="config"),
    # Untracked, so that no journal keeps a secret that somebody tried to set and was refused.
    Row("setconf", OWN, "setconf", tracked=False, role=Role.developer, feature="config"),
    Row("resetconf", OWN, "resetconf", role=Role.developer, feature="config"),
    _reads("source_info", "source_manager", "get_source", takes={"name": "recorded"}),
    Row("source_reset", "source_manager", "reset", takes={"name": "recorded"}),
    Row("dump", "dump_manager", "dump_src", takes={"src": "source"}, refuses="check_arguments"),
    Row("dump_all", "dump_manager", "dump_all"),
    Row("mark_dump_success", "dump_manager", "mark_success", takes={"src": "source"}),
    Row("upload", "upload_manager", "upload_src", takes={"src": "upload"}, makes="subject"),
    Row("upload_all", "upload_manager", "upload_all", makes="subject"),
    _reads("upload_versions", "upload_manager", "versions", takes={"src": "upload"}),
    Row("upload_rollback", "upload_manager", "rollback", takes={"src": "upload"}, makes="subject"),
    Row("update_source_meta", "upload_manager", "update_source_meta", takes={"src": "upload"}),
    _reads("whatsnew", "build_manager", takes={"build_name": "recipe", "old": "build"}),
    _reads("lsmerge", "build_manager", "list_merge", takes={"build_config": "recipe"}),
    Row("rmmerge", "build_manager", "delete_merge", takes={"merge_name": "build"}),
    Row(
        "merge",
        "build_manager",
        "merge",
        takes={"build_name": "recipe", "sources": "recipe_sources"},
        makes="build subject",
    ),
    Row("archive", "build_manager", "archive_merge", takes={"merge_name": "build"}),
    _reads("index_config", OWN, feature="index"),
    Row("index_cleanup", "index_manager", "cleanup", takes={"env": "environment", "build_config": "recipe"}),
    Row("index", "index_manager", "index", takes={"indexer_env": "environment", "build_name": "subject"}),
    _reads("indexes_by_name", "index_manager", "get_indexes_by_name"),
    _reads("search", "index_manager"),
    _reads("document", "index_manager"),
    _reads("documents", OWN),
    _reads("count", OWN),
    Row("load_plugin", OWN, "load_plugin", role=Role.developer, feature="dataplugin", makes="*"),
    Row("reload", OWN, "reload", role=Role.developer, feature="dataplugin", makes="*"),
    Row("register_url", "dataplugin_manager", "register_url", role=Role.developer, makes="*"),
    Row("unregister_url", "dataplugin_manager", "unregister_url", role=Role.developer, makes="*"),
    Row("dump_plugin", "dataplugin_manager", "dump_plugin", role=Role.developer, makes="*"),
    Row("export_plugin", "dataplugin_manager", "export_plugin", role=Role.developer),
    Row("plugin_cell", "dataplugin_manager", "plugin_cell", role=Role.developer, makes="*"),
    Row("create_token", ACCESS, "create_token", tracked=False, role=Role.developer),
    Row("rotate_token", ACCESS, "rotate_token", tracked=False, role=Role.developer),
    Row("list_tokens", ACCESS, "list_tokens", tracked=False, role=Role.developer),
    Row("revoke_token", ACCESS, "revoke_token", tracked=False, role=Role.developer),
    Row("add_key", ACCESS, "add_key", tracked=False, role=Role.developer),
    Row("list_keys", ACCESS, "list_keys", tracked=False, role=Role.developer),
    Row("revoke_key", ACCESS, "revoke_key", tracked=False, role=Role.developer),
    Row("audit", ACCESS, "audit", tracked=False, role=Role.developer),
    Row("backup", OWN, "backup", role=Role.developer),
    Row("restore", OWN, "restore", role=Role.developer, makes="*"),
    # Untracked, since they end what would keep their trace.
    Row("stop", OWN, "stop", tracked=False, role=Role.developer),
    Row("restart", OWN, "restart", tracked=False, role=Role.developer),
    _reads("help", OWN),
    _reads("commands", OWN),
    _reads("command", OWN),
    _reads("run", OWN),
    Row("cancel", OWN, "cancel", tracked=False),
    _reads("schedules", OWN),
    Row("pause_schedule", OWN, "pause_schedule", tracked=False),
    Row("resume_schedule", OWN, "resume_schedule", tracked=False),
    Row("run_schedule", OWN, "run_schedule", tracked=False),
    Row("remove_schedule", OWN, "remove_schedule", tracked=False),
    _reads("triggers", OWN),
    _reads("graph", OWN),
    _reads("job_log", OWN),
    Row("notify", OWN, "notify", tracked=False),
    Row("upgrade", OWN, "upgrade", role=Role.developer, feature="upgrade"),
    Row("check_upgrade", OWN, "check_upgrade", feature="upgrade"),
)

HIDDEN = (
    _reads("sch", OWN),
    _reads("top", OWN),
    _reads("job_info", OWN),
    Row("schedule", OWN, "schedule", tracked=False),
    _reads("sources", "source_manager", "get_sources"),
    Row("source_save_pydantic_model", "upload_manager", "save_pydantic_model", takes={"name": "upload"}),
    Row("source_pydantic_validation", "upload_manager", "validate_src", takes={"name": "upload"}),
    _reads("source_validations", "upload_manager", "get_validations", takes={"name": "upload"}),
    Row("source_save_mapping", "source_manager", "save_mapping", takes={"name": "upload"}),
    _reads("dump_info", "dump_manager"),
    _reads("upload_info", "upload_manager"),
    _reads("builds", "build_manager", "build_info"),
    _reads("build", OWN, feature="build", takes={"id": "build"}),
    _reads("build_config_info", "build_manager"),
    Row("build_save_mapping", "build_manager", "save_mapping", takes={"name": "build"}),
    Row("create_build_conf", "build_manager", "create_build_configuration", takes=_CONF, makes="recipe recipe_sources"),
    Row(
        "update_build_conf",
        "build_manager",
        "update_build_configuration",
        takes={"name": "recipe", **_CONF},
        makes="recipe_sources",
    ),
    Row("delete_build_conf", "build_manager", "delete_build_configuration"),
    _reads("index_info", "index_manager"),
    # Untracked: who validates wants the answer, not the number of a job that may fail unseen.
    Row("validate_mapping", "index_manager", "validate_mapping", tracked=False, takes={"env": "environment"}),
    Row(
        "update_metadata",
        "index_manager",
        "update_metadata",
        takes={"indexer_env": "environment", "build_name": "subject"},
    ),
    Row(
        "quick_index",
        OWN,
        "quick_index",
        feature="index",
        takes={"datasource_name": "quick", "indexer_env": "environment"},
    ),
    Row("run_code", OWN, "run_code", tracked=False, role=Role.developer),
    Row("expose", OWN, "expose", tracked=False, role=Role.developer),
)

SHORTCUTS = {
    "jm": "job_manager",
    "sm": "source_manager",
    "dm": "dump_manager",
    "dpm": "dataplugin_manager",
    "um": "upload_manager",
    "bm": "build_manager",
    "im": "index_manager",
}
"""Names of the managers in hooks and developers' consoles."""


def _check(server: HubServer, row: Row, owner: Any) -> Check | None:
    if not row.refuses:
        return partial(server.known.check, row.takes) if row.takes else None
    refuse = getattr(owner, row.refuses)

    def check(bound: inspect.BoundArguments, made: Collection[str]) -> None:
        server.known.check(row.takes, bound, made)
        try:
            refuse(*bound.args, **bound.kwargs)
        except ValueError as error:
            raise BadArgumentsError(f"{row.name}: {error}") from None

    return check


def fill(registry: HubCommands, rows: tuple[Row, ...], server: HubServer) -> None:
    """Register each row whose manager, method and feature are there and whose name a subclass has not taken."""
    for row in rows:
        if row.feature and row.feature not in server.features:
            continue
        owner: Any = {OWN: server.actions, ACCESS: server.access}.get(row.manager) or server.managers.get(row.manager)
        method = getattr(owner, row.method, None)
        if method is not None and row.name not in registry:
            registry[row.name] = CommandDefinition(
                method,
                tracked=row.tracked,
                role=row.role,
                check=_check(server, row, owner),
                makes=frozenset(row.makes.split()),
            )
