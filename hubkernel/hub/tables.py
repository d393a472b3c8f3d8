"""The table of commands: which method of which manager stands under which name. Each is registered only if its manager
is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hubkernel.hub.commands import CommandDefinition, HubCommands, Role

if TYPE_CHECKING:
    from hubkernel.hub.server import HubServer

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


def _reads(name: str, manager: str, method: str = "", feature: str = "") -> Row:
    """Only reads: untracked, for everybody."""
    return Row(name, manager, method or name, tracked=False, role=Role.viewer, feature=feature)


PUBLIC = (
    _reads("status", OWN),
    Row("export_command_documents", OWN, "export_command_documents", tracked=False),
    _reads("config", OWN, feature="config"),
    # Untracked, so that no journal keeps a secret that somebody tried to set and was refused.
    Row("setconf", OWN, "setconf", tracked=False, role=Role.developer, feature="config"),
    Row("resetconf", OWN, "resetconf", role=Role.developer, feature="config"),
    _reads("source_info", "source_manager", "get_source"),
    Row("dump", "dump_manager", "dump_src"),
    Row("dump_all", "dump_manager", "dump_all"),
    Row("mark_dump_success", "dump_manager", "mark_success"),
    Row("upload", "upload_manager", "upload_src"),
    Row("upload_all", "upload_manager", "upload_all"),
    Row("update_source_meta", "upload_manager", "update_source_meta"),
    _reads("whatsnew", "build_manager"),
    _reads("lsmerge", "build_manager", "list_merge"),
    Row("rmmerge", "build_manager", "delete_merge"),
    Row("merge", "build_manager", "merge"),
    Row("index", "index_manager", "index"),
    _reads("indexes_by_name", "index_manager", "get_indexes_by_name"),
    _reads("search", "index_manager"),
    _reads("document", "index_manager"),
    _reads("documents", OWN),
    _reads("count", OWN),
    Row("load_plugin", OWN, "load_plugin", role=Role.developer, feature="dataplugin"),
    Row("reload", OWN, "reload", role=Role.developer, feature="dataplugin"),
    Row("backup", OWN, "backup", role=Role.developer),
    Row("restore", OWN, "restore", role=Role.developer),
    _reads("help", OWN),
    _reads("commands", OWN),
    _reads("command", OWN),
    Row("cancel", OWN, "cancel", tracked=False),
)

HIDDEN = (
    _reads("sch", OWN),
    _reads("top", OWN),
    _reads("job_info", OWN),
    Row("schedule", OWN, "schedule", tracked=False),
    _reads("sources", "source_manager", "get_sources"),
    _reads("dump_info", "dump_manager"),
    _reads("upload_info", "upload_manager"),
    _reads("builds", "build_manager", "build_info"),
    _reads("build", OWN, feature="build"),
    _reads("build_config_info", "build_manager"),
    Row("create_build_conf", "build_manager", "create_build_configuration"),
    Row("update_build_conf", "build_manager", "update_build_configuration"),
    Row("delete_build_conf", "build_manager", "delete_build_configuration"),
    _reads("index_info", "index_manager"),
    Row("quick_index", OWN, "quick_index", feature="index"),
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


def fill(registry: HubCommands, rows: tuple[Row, ...], server: HubServer) -> None:
    """Register each row whose manager, method and feature are there and whose name a subclass has not taken."""
    for row in rows:
        if row.feature and row.feature not in server.features:
            continue
        owner: Any = server.actions if row.manager == OWN else server.managers.get(row.manager)
        method = getattr(owner, row.method, None)
        if method is not None and row.name not in registry:
            registry[row.name] = CommandDefinition(method, tracked=row.tracked, role=row.role)
