"""Dump sources: bring their newest release into the archive, complete or not at all."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hubkernel.executors import CancelledWork
from hubkernel.jobs.context import current
from hubkernel.pipeline.common import cron_expression
from hubkernel.pipeline.context import PipelineContext
from hubkernel.pipeline.dump.assembling import adopt
from hubkernel.pipeline.dump.dumpers.table import dumper_class
from hubkernel.pipeline.dump.errors import DumpError, FetchError
from hubkernel.pipeline.dump.fetch import Policy, shown
from hubkernel.pipeline.dump.models import Release
from hubkernel.pipeline.dump.progress import Tally
from hubkernel.pipeline.dump.run import Asked, DumpRun, Settings
from hubkernel.pipeline.dump.state import SourceState
from hubkernel.pipeline.plugins import Plugin, PluginManager
from hubkernel.pipeline.plugins.errors import nearest
from hubkernel.pipeline.plugins.specs import DumperSpec

logger = logging.getLogger(__name__)

_ARGUMENTS = ("force", "skip_manual", "schedule", "check_only", "steps")


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
        *,
        steps: str | Iterable[str] | None = None,
        **kwargs: Any,
    ) -> str:
        """Dump one source; returns its release, or ``Nothing to dump``.

        ``force`` downloads everything again. ``check_only`` only tells whether there is a new release: it returns its
        label, downloads and records nothing. ``schedule`` does not dump now but when the source's schedule says so.
        ``skip_manual`` leaves out a source whose data are put in place by hand. ``steps="post"`` does ``post_dump``
        of the last release once more. More arguments go to the dumper, such as ``path`` for data put in place by hand.
        """
        self.check_arguments(src, **kwargs)
        plugin = self.plugins[src]
        spec = self._spec(plugin)
        if spec.disabled:
            current().log(f"{src} is disabled")
            return "Disabled"
        if spec.manual and (skip_manual or schedule):
            current().log(f"{src} is dumped by hand")
            return "Manual"
        if schedule:
            return self._schedule(plugin, spec)
        asked = Asked(force, _post_only(steps), kwargs, plugin.settings)
        return await self._dump(plugin, spec, Tally(), asked, check_only)

    async def dump_all(self, force: bool = False, *, check_only: bool = False) -> dict[str, str]:
        """Dump every source that has a dumper, is not disabled and not dumped by hand, together; returns what
        :meth:`dump_src` does, by source.

        Raises :class:`DumpError` at the end, naming those that failed; the others are done nevertheless.
        """
        specs = {plugin.name: self._spec(plugin) for plugin in self.plugins.plugins.values() if plugin.dumper}
        enabled = [name for name, spec in specs.items() if not (spec.disabled or spec.manual)]
        tally = Tally()
        dumps = [
            self._dump(
                self.plugins[name], specs[name], tally, Asked(force, overrides=self.plugins[name].settings), check_only
            )
            for name in enabled
        ]
        outcomes = await asyncio.gather(*dumps, return_exceptions=True)
        failed = {}
        for name, outcome in zip(enabled, outcomes, strict=True):
            if isinstance(outcome, CancelledWork | asyncio.CancelledError):
                raise outcome
            if isinstance(outcome, BaseException):
                failed[name] = str(outcome)
        if failed:
            reasons = "\n".join(f"{name}: {reason}" for name, reason in failed.items())
            raise DumpError(f"{len(failed)} of {len(enabled)} dumps failed\n{reasons}")
        return {name: str(outcome) for name, outcome in zip(enabled, outcomes, strict=True)}

    def running(self) -> set[str]:
        """The sources that are being dumped."""
        return set(self._running)

    def dump_info(self) -> list[dict[str, Any]]:
        """Every source that has a dumper, with its last dump, its last good release and its history."""
        return [self._info(plugin) for plugin in self.plugins.plugins.values() if plugin.dumper]

    def mark_success(self, src: str, dry_run: bool = True, release: str | None = None) -> list[dict[str, Any]]:
        """Declare that data are fine: those of the last good release, whatever the last attempt was; or those that
        somebody has put into the folder ``release`` of the source's archive.

        Returns the document as it is then; it is only written if ``dry_run`` is false.
        """
        spec = self._spec(self.plugins[src])
        state = SourceState(self.context, spec.source)
        good = state.last_good()
        if release is not None or good is None:
            good = self._by_hand(spec, release, dry_run)
        if not dry_run:
            state.succeed(*good, datetime.now(UTC), pending=False)
            return [{"_id": src, "download": state.load()["download"]}]
        download = {**state.load().get("download", {}), "status": "success"}
        download.update(release=good[0].release, data_folder=good[1])
        for key in ("err", "tb", "pid"):
            download.pop(key, None)
        return [{"_id": src, "download": download}]

    def _by_hand(self, spec: DumperSpec, release: str | None, dry_run: bool) -> tuple[Release, str]:
        archive = self.context.archive / spec.folder
        found = [entry for entry in archive.iterdir() if entry.is_dir()] if archive.is_dir() else []
        folders = sorted(entry.name for entry in found if not entry.name.startswith("."))
        wanted = [release] if release is not None else folders
        if len(wanted) != 1:
            there = (
                f"say which of {', '.join(folders)} as release="
                if folders
                else f"put its data into {archive}/<release>"
            )
            raise DumpError(f"{spec.source} has no release yet: dump it first, or {there}")
        if wanted[0] not in folders:
            raise DumpError(f"{archive} has no folder {wanted[0]!r}; there is {', '.join(folders) or 'none'}")
        folder = str(archive / wanted[0])
        if dry_run:
            return Release(source=spec.source, release=wanted[0], created=datetime.now(UTC), files=[]), folder
        return adopt(spec.source, Path(folder)), folder

    def schedules(self) -> dict[str, str]:
        """The cron of every source that has one, is not disabled and not dumped by hand."""
        found = {}
        for name, plugin in self.plugins.plugins.items():
            spec = self._spec(plugin) if plugin.dumper else None
            if spec is None or not spec.schedule or spec.disabled or spec.manual:
                continue
            try:
                cron_expression(spec.schedule)
            except ValueError as error:
                logger.error("%s is not scheduled: %s", name, error)
                continue
            found[name] = spec.schedule
        return found

    def clean_stale_status(self) -> list[str]:
        """Dumps that a killed hub left as ``downloading`` become ``canceled``; returns their sources. Call at start."""
        found = self.context.state["src_dump"].find({"download.status": "downloading"})
        stale = [document for document in found if document["_id"] not in self._running]
        for document in stale:
            started = document["download"]["started_at"]
            error = DumpError("the hub ended during the dump; dump again, it goes on where it was")
            SourceState(self.context, document["_id"]).fail(error, _aware(started), status="canceled")
        return [document["_id"] for document in stale]

    def _schedule(self, plugin: Plugin, spec: DumperSpec) -> str:
        if not spec.schedule:
            place = f"'dumper' in {plugin.manifest_file}" if spec.section else f"{spec.target} as SCHEDULE"
            raise DumpError(f"{plugin.name} has no schedule: add one to {place}")
        if self.scheduler is None:
            raise DumpError("nothing runs here by the clock: schedules need a running hub")
        self.scheduler(plugin.name, spec.schedule)
        return f"{plugin.name} is scheduled: {spec.schedule}"

    def _spec(self, plugin: Plugin) -> DumperSpec:
        """What is known of its dumper. Raises :class:`DumpError` if it has none."""
        if plugin.dumper is None:
            raise DumpError(f"{plugin.name} has no dumper: its collections are filled without one")
        return plugin.dumper

    def check_arguments(self, src: str, *args: Any, **kwargs: Any) -> None:
        """Called with the arguments of ``dump`` before it begins. Raises ``ValueError`` for one that neither it nor the
        dumper takes, as far as it is known without the dumper's code.
        """
        plugin = self.plugins.plugins.get(src)
        spec = plugin.dumper if plugin else None
        own = spec is None or spec.target is not None
        known = [*_ARGUMENTS, *(() if spec is None or own else _extras(spec.urls))]
        for name in [name for name in kwargs if name not in known]:
            near = nearest(name, known, cutoff=0.75 if own else 0.5)
            if near or not own:
                raise ValueError(f"dump takes no {name!r}" + (f": did you mean {near!r}?" if near else f" for {src}"))

    def _info(self, plugin: Plugin) -> dict[str, Any]:
        document = SourceState(self.context, plugin.name).load()
        spec = self._spec(plugin)
        described = {
            "urls": [shown(url) for url in spec.urls],
            "schedule": spec.schedule,
            "disabled": spec.disabled,
            "manual": spec.manual,
        }
        blocks = {key: document.get(key, {}) for key in ("download", "last_good")}
        history = document.get("history", [])
        return {"_id": plugin.name, "name": plugin.name, **blocks, "history": history, "dumper": described}

    async def _dump(self, plugin: Plugin, spec: DumperSpec, tally: Tally, asked: Asked, check_only: bool) -> str:
        if plugin.name in self._running:
            raise DumpError(f"{plugin.name} is being dumped already")
        self._running.add(plugin.name)
        try:
            if not check_only:
                await self._wait_for_uploads(plugin.name)
            return await DumpRun(self.context, self.settings, (spec, plugin.folder), tally, asked).run(check_only)
        finally:
            self._running.discard(plugin.name)

    async def _wait_for_uploads(self, source: str) -> None:
        """No dump while an uploader of the same source runs."""
        state = SourceState(self.context, source)
        while uploads := state.being_uploaded():
            current().progress(0, None, f"waits for the upload of {', '.join(sorted(uploads.values()))}")
            await wait()


async def wait() -> None:
    """Until the next look at what runs."""
    await asyncio.sleep(1)


def _extras(urls: Sequence[str]) -> list[str]:
    """What the dumper of a protocol takes besides."""
    try:
        kind = dumper_class(urls[-1])
    except FetchError:
        return []
    return [name for name in inspect.signature(kind.create_todump_list).parameters if name not in ("self", "force")]


def _post_only(steps: str | Iterable[str] | None) -> bool:
    """Whether only ``post_dump`` is asked for. Raises :class:`DumpError`."""
    if steps is None:
        return False
    chosen = [step.strip() for step in (steps.split(",") if isinstance(steps, str) else steps)]
    if unknown := [step for step in chosen if step not in ("dump", "post")]:
        raise DumpError(f"steps is {steps!r}: there is no step {unknown[0]!r}, only 'dump' and 'post'")
    return chosen == ["post"]


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
