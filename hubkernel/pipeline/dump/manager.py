"""Dump sources: bring their newest release into the archive, complete or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from hubkernel.executors import CancelledWork
from hubkernel.jobs.context import current
from hubkernel.pipeline.context import PipelineContext
from hubkernel.pipeline.dump.errors import DumpError
from hubkernel.pipeline.dump.fetch import Policy, shown
from hubkernel.pipeline.dump.run import DumpRun, Settings, Tally
from hubkernel.pipeline.dump.state import SourceState
from hubkernel.pipeline.plugins import Plugin, PluginManager


class DumpManager:
    """The commands ``dump``, ``dump_all``, ``mark_dump_success`` and what sources say of their schedule. Lives on
    the hub loop.

    ``parallel`` is how many files of all dumps are downloaded at once, ``auto_upload`` whether a new release is marked
    for upload; further arguments are those of :class:`~hubkernel.pipeline.dump.fetch.Policy`.
    """

    def __init__(
        self,
        context: PipelineContext,
        plugins: PluginManager,
        *,
        parallel: int = 4,
        auto_upload: bool = True,
        **policy: Any,
    ) -> None:
        self.context = context
        self.plugins = plugins
        self.settings = Settings(Policy(**policy), asyncio.Semaphore(parallel), auto_upload)
        self.scheduler: Callable[[str, str], object] | None = None
        """``(source, cron)``: who runs dumps by the clock, for ``dump(src, schedule=True)``; set by the hub."""
        self._running: set[str] = set()

    async def dump_src(
        self,
        src: str,
        force: bool = False,
        skip_manual: bool = False,
        schedule: bool = False,
        check_only: bool = False,
    ) -> str:
        """Dump one source; returns its release, or ``Nothing to dump``.

        ``force`` downloads everything again. ``check_only`` only tells whether there is a new release: it returns its
        label, downloads and records nothing. ``schedule`` does not dump now but when the plugin's schedule says so.
        """
        plugin = self.plugins[src]
        if plugin.manifest.dumper.disabled:
            current().log(f"{src} is disabled in its manifest")
            return "Disabled"
        if schedule:
            return self._schedule(plugin)
        return await self._dump(plugin, Tally(), force, check_only)

    async def dump_all(self, force: bool = False, *, check_only: bool = False) -> dict[str, str]:
        """Dump every source that is not disabled, together; returns what :meth:`dump_src` does, by source.

        Raises :class:`DumpError` at the end, naming those that failed; the others are done nevertheless.
        """
        enabled = [plugin for plugin in self.plugins.plugins.values() if not plugin.manifest.dumper.disabled]
        tally = Tally()
        dumps = [self._dump(plugin, tally, force, check_only) for plugin in enabled]
        outcomes = await asyncio.gather(*dumps, return_exceptions=True)
        failed = {}
        for plugin, outcome in zip(enabled, outcomes, strict=True):
            if isinstance(outcome, CancelledWork | asyncio.CancelledError):
                raise outcome
            if isinstance(outcome, BaseException):
                failed[plugin.name] = str(outcome)
        if failed:
            reasons = "\n".join(f"{name}: {reason}" for name, reason in failed.items())
            raise DumpError(f"{len(failed)} of {len(enabled)} dumps failed\n{reasons}")
        return {plugin.name: str(outcome) for plugin, outcome in zip(enabled, outcomes, strict=True)}

    def running(self) -> set[str]:
        """The sources that are being dumped."""
        return set(self._running)

    def dump_info(self) -> list[dict[str, Any]]:
        """Every source with its last dump, its last good release and its history."""
        return [self._info(plugin) for plugin in self.plugins.plugins.values()]

    def mark_success(self, src: str, dry_run: bool = True) -> list[dict[str, Any]]:
        """Declare that the data of the last good release are fine, whatever the last attempt was.

        Returns the document as it is then; it is only written if ``dry_run`` is false.
        """
        plugin = self.plugins[src]
        state = SourceState(self.context, plugin.name)
        good = state.last_good()
        if good is None:
            raise DumpError(f"{src} has no release yet: dump it first")
        if not dry_run:
            state.succeed(*good, datetime.now(UTC), pending=False)
            return [{"_id": src, "download": state.load()["download"]}]
        download = {**state.load().get("download", {}), "status": "success"}
        for key in ("err", "tb", "pid"):
            download.pop(key, None)
        return [{"_id": src, "download": download}]

    def schedules(self) -> dict[str, str]:
        """The cron of every source that has one and is not disabled."""
        dumpers = {name: plugin.manifest.dumper for name, plugin in self.plugins.plugins.items()}
        return {name: dumper.schedule for name, dumper in dumpers.items() if dumper.schedule and not dumper.disabled}

    def clean_stale_status(self) -> list[str]:
        """Dumps that a killed hub left as ``downloading`` become ``canceled``; returns their sources. Call at start."""
        found = self.context.state["src_dump"].find({"download.status": "downloading"})
        stale = [document for document in found if document["_id"] not in self._running]
        for document in stale:
            started = document["download"]["started_at"]
            error = DumpError("the hub ended during the dump; dump again, it goes on where it was")
            SourceState(self.context, document["_id"]).fail(error, _aware(started), status="canceled")
        return [document["_id"] for document in stale]

    def _schedule(self, plugin: Plugin) -> str:
        schedule = plugin.manifest.dumper.schedule
        if not schedule:
            raise DumpError(f"{plugin.name} has no schedule: add one to 'dumper' in {plugin.manifest_file}")
        if self.scheduler is None:
            raise DumpError("nothing runs here by the clock: schedules need a running hub")
        self.scheduler(plugin.name, schedule)
        return f"{plugin.name} is scheduled: {schedule}"

    def _info(self, plugin: Plugin) -> dict[str, Any]:
        document = SourceState(self.context, plugin.name).load()
        dumper = plugin.manifest.dumper
        described = {
            "urls": [shown(url) for url in dumper.data_url],
            "schedule": dumper.schedule,
            "disabled": dumper.disabled,
            "manual": False,
        }
        blocks = {key: document.get(key, {}) for key in ("download", "last_good")}
        history = document.get("history", [])
        return {"_id": plugin.name, "name": plugin.name, **blocks, "history": history, "dumper": described}

    async def _dump(self, plugin: Plugin, tally: Tally, force: bool, check_only: bool) -> str:
        if plugin.name in self._running:
            raise DumpError(f"{plugin.name} is being dumped already")
        self._running.add(plugin.name)
        try:
            return await DumpRun(self.context, self.settings, plugin, tally, force).run(check_only)
        finally:
            self._running.discard(plugin.name)


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
