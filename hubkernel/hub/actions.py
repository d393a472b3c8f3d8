"""The commands that are the hub's own: what it shows of itself, its jobs, its settings and its documents."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hubkernel.hub.backup import backup, restore
from hubkernel.hub.code import run_code
from hubkernel.hub.commands import Command, ConflictError, lookup
from hubkernel.hub.config import ConfigError, masked
from hubkernel.hub.config_plain import decoded
from hubkernel.hub.graph import LOOK_BACK, graph, graph_text
from hubkernel.hub.launching import origin
from hubkernel.hub.names import hint, nearest
from hubkernel.hub.schedule import get_schedule, iso
from hubkernel.hub.summary import status
from hubkernel.jobs.render import timesofar

if TYPE_CHECKING:
    from hubkernel.hub.server import HubServer
    from hubkernel.hub.upgrades import Upgrades
    from hubkernel.jobs.models import JobRecord

PAGE = 10_000
"""The most documents that one page holds."""

RUNNING = ("created", "queued", "running")


class HubActions:
    """Methods that become commands. Their docstrings are the commands' help."""

    def __init__(self, server: HubServer) -> None:
        self.server = server

    def status(self) -> dict[str, Any]:
        """Numbers of sources, documents, builds and configurations, and what this hub is.

        ``hub`` has its name, home, features, and by name: features that cannot be had yet, and broken sources.
        """
        server = self.server
        about = {
            "name": server.name,
            "icon": server.config.hub_icon,
            "home": str(server.home),
            "features": list(server.features),
            "unavailable": dict(server.unavailable),
            "disabled": dict(server.disabled),
            "broken": dict(server.plugins.broken) if server.managers else {},
            "running": len(server.jobs.list(running=True)),
            "hook_errors": list(server.hook_errors),
            "studio": server.services.studio.url if server.services.studio is not None else None,
            "missing_settings": dict(server.config.missing),
            "notifications": server.notifier.status(),
            "versions": server.upgrades.versions() if server.upgrades is not None else None,
            "reloader": server.reloader.status() if server.reloader is not None else None,
        }
        return {**status(server.managers or {}), "hub": about}

    def config(self) -> dict[str, Any]:
        """All settings with their meaning and where they come from; secrets are masked."""
        return self.server.config.show()

    def setconf(self, name: str, value: Any) -> dict[str, Any]:
        """Change a setting, now or (``needs_restart``) at the next start. It is stored in the hub's state.

        ``setconf("my_source.SCHEDULE", "0 3 * * *")`` changes a key of the source's dumper from the next ``reload`` on.
        """
        if "." in name:
            self._check_override(name, value)
        result = self.server.config.store(self.server.state, name, value)
        if result["name"] == "hub_name":
            self.server.name = result["value"]
        return result

    def _check_override(self, name: str, value: Any) -> None:
        """As far as can be said before the class or source is registered. Raises :class:`ConfigError`."""
        owner, _, attribute = name.partition(".")
        plugins = self.server.plugins.plugins
        builders = getattr(self.server.managers.get("build_manager"), "builder_classes", {}).values()
        known = [*plugins, *(cls.__name__ for cls in builders)]
        if owner not in known and nearest(owner, known, cutoff=0.8):
            raise ConfigError(f"no class or source {owner!r}{hint(owner, known)}")
        if owner in plugins:
            try:
                plugins[owner].check_setting(attribute, decoded(value, None))
            except ValueError as error:
                raise ConfigError(f"{owner}.{attribute}: {error}") from None

    def resetconf(self, name: str | None = None) -> list[str]:
        """Forget what setconf stored, for one setting or for all; returns their names."""
        names = self.server.config.reset(self.server.state, name)
        if "hub_name" in names:
            self.server.name = self.server.config.hub_name
        return names

    def index_config(self) -> dict[str, Any]:
        """The index environments as they are configured; secrets are masked."""
        config: dict[str, Any] = masked(self.server.config.index_config)
        return config

    def stop(self, force: bool = False) -> str:
        """Stop the hub. While jobs run that is refused, unless ``force`` interrupts them."""
        return self._end(force, restart=False)

    def restart(self, force: bool = False, stop: bool = False) -> str:
        """Stop the hub and start it anew (or, with ``stop``, only stop it). ``force`` interrupts what runs."""
        return self._end(force, restart=not stop)

    def _end(self, force: bool, *, restart: bool) -> str:
        running = self.server.jobs.list(running=True)
        if running and not force:
            what = ", ".join(f"{record.id} {record.command or record.name}" for record in running[:5])
            raise ConflictError(f"{len(running)} job(s) run: {what}. Wait for them, or use force=True")
        self.server.end(restart=restart)
        return f"Hub is {'restarting' if restart else 'stopping'}"

    def help(self, command: Any = None) -> str:
        """List the commands, or explain one: ``help("dump")``."""
        if command is None:
            names = "\n".join(f"    {name}" for name in sorted(self.server.commands or {}))
            return f"Available commands:\n\n{names}\n\nType: 'help(command)' for more"
        found = self._find(command)
        return f"{found.name}{found.signature}\n\n{found.doc}".rstrip()

    def _find(self, name: str | Callable[..., Any]) -> Command:
        name = name if isinstance(name, str) else str(getattr(name, "__name__", name))
        return lookup(name, self.server.commands or {}, self.server.extra_commands or {})

    def run(self, text: str) -> Any:
        """Run a line of commands, each after the one before has succeeded: ``run('dump("x") && upload("x")')``.

        A chain is one job; its result is the list of theirs. Everything is checked before the first command starts.
        """
        return self.server.launcher.run(text, origin())

    def commands(
        self, id: int | None = None, running: bool | None = None, failed: bool | None = None, limit: int = 100
    ) -> dict[str, Any]:
        """Launched commands by their number, newest first; ``running`` and ``failed`` choose among them."""
        if id is not None:
            return {str(id): self.command(id)}
        records = self.server.jobs.list(running=running, failed=failed, limit=limit)
        return {str(record.id): command_info(record) for record in records}

    def command(self, id: int) -> dict[str, Any]:
        """One launched command: its text, state, times, progress and results."""
        record = self.server.jobs.get(id)
        if record is None:
            raise LookupError(f"No such command with ID {id!r}")
        return command_info(record)

    def cancel(self, id: int) -> bool:
        """Cancel a running command by its number; False if it had already ended."""
        if self.server.jobs.get(id) is None:
            raise LookupError(f"No such command with ID {id!r}")
        return self.server.jobs.cancel(id)

    def top(self, action: str = "summary") -> str:
        """What runs now, as a table; ``top("pending")`` shows what waits."""
        return self.server.jobs.top(action)

    def job_info(self) -> dict[str, Any]:
        """Queues, workers and memory of the job manager."""
        return self.server.jobs.job_info()

    def sch(self) -> str:
        """The timers of the hub, soonest first."""
        return get_schedule(self.server.loop)

    def schedule(self, crontab: str, func: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Run a command by a cron of 5 or 6 fields (seconds last), from now on and after a restart of the hub.

        ``schedule("0 3 * * *", "dump", "hpo_terms")``: the command, then its arguments. Returns the schedule.
        """
        self.server.launcher.check(func, args, kwargs, origin())
        return self.server.schedules.add(crontab, func, args, kwargs)

    def schedules(self) -> list[dict[str, Any]]:
        """All schedules: those that users made, by number, and those of sources, builds and the hub, by name.

        ``{"id", "cron", "command", "state", "next", "last_run", "runs", "error"}``; times are ISO 8601, in UTC.
        """
        return self.server.schedules.all()

    def pause_schedule(self, id: int | str) -> dict[str, Any]:
        """Do not run a schedule until it is resumed, also after a restart of the hub."""
        return self.server.schedules.pause(id)

    def resume_schedule(self, id: int | str) -> dict[str, Any]:
        """Run a paused schedule by the clock again; what was due meanwhile is not made up for."""
        return self.server.schedules.resume(id)

    def run_schedule(self, id: int | str) -> dict[str, Any]:
        """Run a schedule once, now, also if it is paused."""
        return self.server.schedules.run_now(id)

    def remove_schedule(self, id: int | str) -> None:
        """Forget a schedule that somebody made. Those of sources, builds and the hub can only be paused."""
        self.server.schedules.remove(id)

    def triggers(self, state: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
        """What stages left for the next ones, newest first; ``state`` is ``pending``, ``taken``, ``done`` or
        ``failed``.
        """
        return self.server.schedules.triggers.list(state, limit)

    def job_log(self, id: int, tail: int = 100) -> list[dict[str, Any]]:
        """The newest ``tail`` lines of all that a job said, also while it runs, with times and levels:
        ``{"time", "level", "from", "message"}``. Times are ISO 8601, in UTC.
        """
        entries = self.server.jobs.log_of(id, tail)
        return [{**entry, "time": iso(entry["time"], "milliseconds")} for entry in entries]

    def notify(self, text: str) -> bool:
        """Send a text to all receivers of notifications; False if there is none."""
        return self.server.notifier.send("notify", text)

    async def upgrade(
        self, code_base: str = "application", dry_run: bool = False, force: bool = False
    ) -> dict[str, Any]:
        """Upgrade the code of the hub's ``application`` (a git checkout, fast-forward only) or of ``hubkernel`` (by
        pip), for the next start.

        ``dry_run`` only shows what would be done. An upgrade that fails is undone. It is refused while other jobs run
        unless ``force``.
        """
        return await self._upgrades.upgrade(code_base, dry_run, force)

    async def check_upgrade(self) -> dict[str, Any]:
        """Look for new versions of the application and of hubkernel; ``{name: what is new, or None}``."""
        return await self._upgrades.check()

    @property
    def _upgrades(self) -> Upgrades:
        upgrades = self.server.upgrades
        if upgrades is None:
            raise LookupError("this hub was made without the feature 'upgrade'")
        return upgrades

    def graph(self, id: int | None = None, text: bool = True, limit: int = LOOK_BACK) -> str | dict[str, Any]:
        """Which job followed from which, among the newest ``limit``; with ``id``, only what belongs to that job.

        ``text=False`` gives ``{"jobs": {id: {...}}, "edges": [{"from", "to", "by"}]}``.
        """
        found = graph(self.server.jobs.list(limit=limit), id)
        if id is not None and id not in found["jobs"]:
            raise LookupError(f"no job {id!r} among the newest {limit}")
        return graph_text(found) if text else found

    def documents(
        self,
        name: str,
        query: dict[str, Any] | None = None,
        fields: list[str] | None = None,
        after: str | None = None,
        limit: int = 1000,
    ) -> list[dict[str, Any]]:
        """One page of the documents of a source or build, in ``_id`` order; ``after`` is the last ``_id`` of the page
        before.
        """
        if not 0 < limit <= PAGE:
            raise ValueError(f"limit is {limit}; a page has 1 to {PAGE} documents")
        conditions: list[dict[str, Any]] = [query] if query else []
        if after is not None:
            conditions.append({"_id": {"$gt": after}})
        filter = {"$and": conditions} if len(conditions) > 1 else next(iter(conditions), None)
        return list(self.server.context.store.collection(name).find(filter, fields or None, limit=limit))

    def count(self, name: str, query: dict[str, Any] | None = None) -> int:
        """How many documents a source or build has, or how many match."""
        return self.server.context.store.collection(name).count(query)

    def build(self, id: str) -> dict[str, Any]:
        """One build with all that is known of it."""
        found: dict[str, Any] = self.server.managers["build_manager"].build_info(id)
        return found

    def load_plugin(self, folder: str) -> dict[str, Any]:
        """Load the plugin of a folder, or load it again after a change."""
        from pathlib import Path

        plugin = self.server.plugins.load(Path(folder).expanduser())
        return {"name": plugin.name, "folder": str(plugin.folder), "warnings": list(plugin.warnings)}

    def reload(self) -> dict[str, Any]:
        """Load all plugins again; returns the sources there are and the broken ones with their reasons."""
        self.server.reload_plugins()
        return {"sources": sorted(self.server.plugins.plugins), "broken": dict(self.server.plugins.broken)}

    def export_command_documents(self, filepath: str) -> str:
        """Write the reference of all public commands as reStructuredText; returns the file's path."""
        self.server.export_command_documents(filepath)
        return filepath

    async def quick_index(
        self,
        datasource_name: str,
        doc_type: str,
        indexer_env: str,
        subsource: str | None = None,
        index_name: str | None = None,
        *,
        num_shards: int = 1,
        num_replicas: int = 0,
        extra_index_settings: dict[str, Any] | None = None,
        ids: list[str] | None = None,
        batch_size: int = 500,
    ) -> Any:
        """Index one source as it is, to look at it: a build is made for it and removed at the end."""
        return await self.server.quick_index(
            datasource_name,
            doc_type,
            indexer_env,
            subsource,
            index_name,
            num_shards=num_shards,
            num_replicas=num_replicas,
            extra_index_settings=extra_index_settings,
            ids=ids,
            batch_size=batch_size,
        )

    def backup(self, folder: str = ".", archive: str | None = None) -> str:
        """Write the hub's state (neither documents nor jobs) to a file of JSON lines; returns its path."""
        return backup(self.server.state, folder, archive)

    def restore(self, archive: str, drop: bool = False) -> dict[str, int]:
        """Put a backup back; with ``drop``, also remove what it does not have. Returns numbers by collection."""
        return restore(self.server.state, archive, drop)

    def run_code(self, code: str) -> dict[str, Any]:
        """Run Python in the hub's own process, with its managers (``jm``, ``dm``, ...) and commands as names.

        Returns what it printed as ``output``, the ``value`` of a last expression as text, and the traceback of an
        ``error``. In a notebook: ``%%hub exec``.
        """
        return run_code(self.server, code)

    def expose(
        self, endpoint_name: str, command_name: str, method: str, suffix: str = "", force_bodyargs: bool = False
    ) -> None:
        """Give a command a path in the REST API; for hooks, before the hub is configured."""
        self.server.add_api_endpoint(endpoint_name, command_name, method, suffix=suffix, force_bodyargs=force_bodyargs)


def launched(record: JobRecord) -> dict[str, Any]:
    """A command that was accepted just now: ``{"cmd", "started_at", "id", "is_done": false}``; the command ``command``
    tells the rest.
    """
    started = record.started or record.created
    return {"cmd": record.command or record.name, "started_at": started, "id": record.id, "is_done": False}


def command_info(record: JobRecord) -> dict[str, Any]:
    """A job as a launched command: ``{"id", "cmd", "started_at", "is_done"}`` and, once done, ``failed``,
    ``finished_at``, ``duration`` and ``results``.
    """
    done = record.state not in RUNNING
    info: dict[str, Any] = {
        "id": record.id,
        "cmd": record.command or record.name,
        "started_at": record.started or record.created,
        "is_done": done,
        "state": str(record.state),
        "done": record.done,
        "total": record.total,
        "message": record.message,
    }
    if done:
        end = record.finished or info["started_at"]
        failed = record.state != "done"
        info["failed"] = failed
        info["finished_at"] = end
        info["duration"] = timesofar(info["started_at"], end)
        info["results"] = [_reason(record)] if failed else _as_list(record.result)
    return info


def _reason(record: JobRecord) -> str:
    """The message of what the job failed of, without the error's type; otherwise how it ended."""
    if record.state != "failed":
        return record.error or str(record.state)
    kind, _, message = (record.error or "").partition(": ")
    return message or kind


def _as_list(result: Any) -> list[Any]:
    return result if isinstance(result, list) else [result]


async def finish(value: Any) -> Any:
    """The result of a command that may be asynchronous."""
    return await value if asyncio.iscoroutine(value) or asyncio.isfuture(value) else value
