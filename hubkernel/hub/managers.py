"""How each manager of a hub is made. Called by the ``configure_*_manager`` methods of the server, once each."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import psutil

from hubkernel.pipeline.context import PipelineContext

if TYPE_CHECKING:
    from hubkernel.hub.server import HubServer
    from hubkernel.jobs.manager import JobManager
    from hubkernel.pipeline.plugins import Plugin, PluginManager

log = logging.getLogger(__name__)

POLL = "* * * * * */10"
"""When a stage looks for what the one before it left, unless its ``poll_schedule`` says otherwise."""


def make_job_manager(server: HubServer) -> JobManager:
    """The job manager, by the settings; ``managers_custom_args["job"]`` may have ``num_workers`` and
    ``max_memory_usage`` (their BioThings names) and whatever else the manager takes.
    """
    from hubkernel.jobs.logs import JobLogs
    from hubkernel.jobs.manager import JobManager

    config = server.config
    args = server.mixargs("job", {"num_workers": config.max_workers, "max_memory_usage": config.max_memory})
    workers, memory = args.pop("num_workers"), args.pop("max_memory_usage")
    if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 1):
        raise ValueError(
            f"managers_custom_args['job']['num_workers'] is {workers!r}; it takes a whole number from 1 on"
        )
    executors = {
        "process": config.executor_url or f"process://?workers={workers or os.cpu_count() or 1}",
        "thread": f"thread://?workers={config.max_threads}",
    }
    logs = JobLogs(server.log_folder / "jobs", config.job_log_size)
    return JobManager(
        server.state,
        executors=executors,
        emit=server.bus.publish,
        max_memory=memory,
        loop=server.loop,
        logs=logs,
        **args,
    )


def make_context(server: HubServer, jobs: JobManager) -> PipelineContext:
    """What all stages share: folders, stores, jobs."""
    home, config = server.home, server.config
    root = config.data_root or home.root
    folders = list(config.plugin_folders)
    if root != home.root:
        folders.append(home.plugins)
    store_url, search_url = config.store_url or home.store_url, config.search_url or home.search_url
    return PipelineContext(
        root, server.state, store_url, search_url, jobs, folders, config.log_folder, config.for_plugins
    )


def make_plugin_manager(server: HubServer) -> PluginManager:
    """The one plugin manager of the hub, which dump, upload and sources share."""
    from hubkernel.pipeline.plugins import PluginManager

    plugins = PluginManager(server.context, **server.mixargs("dataplugin"))
    plugins.adjust = lambda plugin: adjust(plugin, server.config.class_overrides(plugin.name))
    plugins.install = server.config.install_requirements
    plugins.registry.logins = server.config.logins
    plugins.is_busy = lambda name: is_busy(server, name)
    plugins.on_change = lambda: server.bus.publish(
        "data_plugin", None, "reloaded", {"changed": [], "broken": dict(plugins.broken)}
    )
    return plugins


def is_busy(server: HubServer, source: str) -> bool:
    """Whether a source is being dumped or uploaded."""
    managers = server.managers or {}
    plugin = server.plugins.plugins.get(source)
    dumping = managers["dump_manager"].running() if "dump_manager" in managers else {}
    uploading = managers["upload_manager"].running() if "upload_manager" in managers else {}
    return source in dumping or bool(plugin and plugin.specs.keys() & uploading.keys())


def adjust(plugin: Plugin, overrides: Mapping[str, Any]) -> None:
    """Apply what ``setconf("<source>.SCHEDULE", ...)`` stored: attributes of the source's dumper, in capitals. One that
    is wrong becomes a warning of the plugin.
    """
    for name, value in overrides.items():
        try:
            plugin.set(name, value)
        except ValueError as error:
            plugin.warnings.append(f"setconf {plugin.name}.{name}: {error}")


def make_dump_manager(server: HubServer) -> Any:
    from hubkernel.pipeline.dump import DumpManager

    config = server.config
    given = {"logins": config.logins, "docker_config": config.docker_config, "docker_host": config.docker_host}
    return DumpManager(server.context, server.plugins, **server.mixargs("dump", given))


def make_upload_manager(server: HubServer) -> Any:
    """The uploads; ``poll_schedule`` among the arguments is for the hub, which polls."""
    from hubkernel.pipeline.upload import UploadManager

    config = server.config
    own = {"keep_archive": config.keep_archive, "max_loss": config.max_loss, "max_loss_of": config.max_loss_of}
    args = _without_poll(server, "upload", server.mixargs("upload", own), config.upload_poll)
    return UploadManager(server.context, server.plugins, **args)


def make_source_manager(server: HubServer) -> Any:
    from hubkernel.pipeline.sources import SourceManager

    managers = server.managers or {}
    return SourceManager(server.context, server.plugins, managers["dump_manager"], managers["upload_manager"])


def make_build_manager(server: HubServer) -> Any:
    from hubkernel.pipeline.build import BuildManager

    builds = BuildManager(server.context, **server.mixargs("build"))
    for cls in builds.builder_classes.values():
        server.config.supersede(cls)
    return builds


def make_index_manager(server: HubServer) -> Any:
    from hubkernel.pipeline.index import IndexManager

    args = server.mixargs("index", {"poll_schedule": POLL, "config": server.config.index_config or None})
    return IndexManager(server.context, **_without_poll(server, "index", args))


def _without_poll(server: HubServer, stage: str, args: dict[str, Any], otherwise: str | None = None) -> dict[str, Any]:
    server.poll_schedules[stage] = args.pop("poll_schedule", None) or otherwise
    return args


def repair(server: HubServer) -> list[str]:
    """Set what a dead hub left as running (downloading, uploading, building) to what is true: ``canceled``, or
    ``success`` if only the record of it was missing. Returns what was done, in words.

    What a living process of another hub does is left alone.
    """
    from hubkernel.pipeline.build.state import recover as recover_builds
    from hubkernel.pipeline.upload.state import recover as recover_uploads

    state, store = server.state, server.context.store
    dumps = server.managers.get("dump_manager")
    repaired = [f"dump of {name}: canceled" for name in dumps.clean_stale_status()] if dumps is not None else []
    repaired += recover_uploads(state, store, _lives) + recover_builds(state, store, _lives)
    if repaired:
        log.warning("the hub ended while they ran: %s", "; ".join(repaired))
    return repaired


def _lives(pid: Any) -> bool:
    """Whether another process of that number lives; it then is another hub's, since this one has just begun."""
    if not isinstance(pid, int) or pid == os.getpid():
        return False
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
