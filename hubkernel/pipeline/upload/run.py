"""One upload of one collection: its steps in their order, and what is remembered of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hubkernel.executors import CancelledWork, WorkerDied
from hubkernel.jobs.context import current
from hubkernel.pipeline.context import PipelineContext
from hubkernel.pipeline.plugins import Plugin
from hubkernel.pipeline.surroundings import Surroundings
from hubkernel.pipeline.upload import asking, steps
from hubkernel.pipeline.upload.archives import preview_name, prune_archives
from hubkernel.pipeline.upload.code import code_info
from hubkernel.pipeline.upload.errors import NotReadyError, PostUpdateError, UploadError
from hubkernel.pipeline.upload.guard import check_loss
from hubkernel.pipeline.upload.intake import totals
from hubkernel.pipeline.upload.loading import Loading
from hubkernel.pipeline.upload.models import Described, Loaded, Status, UploadJob, described
from hubkernel.pipeline.upload.options import Options, Policy
from hubkernel.pipeline.upload.origin import Origin
from hubkernel.pipeline.upload.progress import Tally
from hubkernel.pipeline.upload.resuming import Progress, fingerprint, in_place
from hubkernel.pipeline.upload.state import COUNTED, LEFT_OUT, UploadState, check_metadata, earlier_release, release_of
from hubkernel.pipeline.upload.validation import Validation
from hubkernel.store import DocumentStore, NoSuchCollectionError, StoreError, WriteReport

logger = logging.getLogger(__name__)


class UploadRun:
    """One run for one collection."""

    def __init__(
        self,
        context: PipelineContext,
        plugin: Plugin,
        collection: str,
        *,
        tally: Tally,
        policy: Policy,
        options: Options | None = None,
    ) -> None:
        self.context = context
        self.plugin = plugin
        self.collection = collection
        self.spec = plugin.specs[collection]
        self.tally = tally
        self.policy = policy
        self.options = options or Options()
        self.job = current()
        self.state = UploadState(context.state, plugin.name, collection)
        self.tally.expect(collection, self.state.last_count())

    @property
    def src(self) -> str:
        """What ``upload`` takes."""
        alone = list(self.plugin.specs) == [self.collection]
        return self.plugin.name if alone else f"{self.plugin.name}.{self.collection}"

    async def run(self) -> dict[str, Any]:
        """Returns ``{"count", "received", "duplicates", "added", "changed", "removed", "unchanged", "release"}``, and
        ``rejected`` and ``too_large`` if there were any.
        """
        release, folder = self._ready()
        origin = self._origin(release, folder)
        if self.options.limit is not None:
            return await self._preview(origin)
        if "data" not in self.options.steps:
            return await self._refresh(origin)
        record = self.state.begin(release, folder, self.job.id)
        try:
            record = await (self._load(record, origin) if self.spec.loads else self._without_data(record, origin))
        except (CancelledWork, asyncio.CancelledError):
            self._end(record, "canceled", "cancelled")
            raise
        except UploadError as error:
            raise self._failed(record, error) from error.__cause__
        except (StoreError, WorkerDied) as error:
            raise self._failed(record, UploadError(f"{self.collection}: {error}.")) from error
        except Exception as error:
            logger.exception("upload of %s", self.collection)
            self._end(record, "failed", f"{type(error).__name__}: {error}")
            raise
        return _numbers(record)

    # --------------------------------------------------------------------------------------------- before the data step

    def _ready(self) -> tuple[str | None, str]:
        """Release and folder. Raises :class:`NotReadyError`."""
        options, source = self.options, self.plugin.name
        if self.spec.dummy:
            return self._dummy_release(), ""
        if not self.spec.loads:
            return options.release or self.state.load().get("release"), ""
        release, folder = release_of(self.state.source(), source, force=options.force)
        if options.release is not None and options.release != release:
            release, folder = options.release, earlier_release(folder, options.release, source)
        if not Path(folder).is_dir():
            hint = f"run dump({source!r}, force=True)"
            raise NotReadyError(f"the data folder of {source} is gone ({folder}): {hint}")
        return release, folder

    def _dummy_release(self) -> str | None:
        if self.options.release is None and "data" in self.options.steps:
            raise NotReadyError(
                f"{self.collection} has no dumper that would tell the release: run upload({self.src!r}, release=...)"
            )
        return self.options.release or self.state.load().get("release")

    def _origin(self, release: str | None, folder: str) -> Origin:
        section = self.spec.section
        return Origin(
            plugin_folder=str(self.plugin.folder),
            spec=self.spec,
            data_folder=folder,
            release=release,
            surroundings=Surroundings.of(self.context),
            src_doc=_plain(self.state.source()),
            options=dict(self.options.more),
            keylookup=self.policy.keylookup if section is not None and section.keylookup is not None else None,
        )

    async def _describe(self, origin: Origin, *, calls: bool = True) -> Described:
        if not asking.needs_asking(self.spec, calls):
            answer = described(self.spec)
        else:
            answer = await self.job.run(
                asking.describe, origin, calls, description=f"{self.collection}: ask the plugin", on_progress=_ignore
            )
        check_metadata(answer.master, str(self.plugin.folder))
        if self.options.more and not answer.takes_options:
            names = ", ".join(map(repr, self.options.more))
            raise UploadError(
                f"upload({self.src!r}): nothing in {self.collection} takes the option {names}: leave it out"
            )
        return answer

    async def _new_master(self, answer: Described) -> dict[str, Any]:
        code = await asyncio.to_thread(code_info, self.plugin.folder)
        return self.state.new_master(answer.master, answer.mapping, code)

    # ------------------------------------------------------------------------------------------------- without the data

    async def _refresh(self, origin: Origin) -> dict[str, Any]:
        """Everything but the data."""
        chosen, answer = self.options.steps, await self._describe(origin, calls=False)
        if "master" in chosen:
            self.state.save_master(await self._new_master(answer))
        await self._post(origin, answer)
        if "clean" in chosen:
            await asyncio.to_thread(prune_archives, self.context.store, self.collection, self._keep(answer))
        return {"count": self.state.load().get("count"), "release": origin.release}

    async def refresh_master(self, dry: bool = False) -> dict[str, Any] | None:
        """Returns what changes: ``{"kclass", "current", "new"}``, or None."""
        last = self.state.load()
        origin = self._origin(last.get("release"), last.get("data_folder") or "")
        current, new = self.state.master(), await self._new_master(await self._describe(origin, calls=False))
        if not dry:
            self.state.save_master(new)
        before, after = ({**document, "timestamp": None} for document in (current, new))
        return None if before == after else {"kclass": self.collection, "current": current, "new": new}

    async def _without_data(self, record: UploadJob, origin: Origin) -> UploadJob:
        """An uploader whose documents come from elsewhere, or that has none."""
        answer = await self._describe(origin, calls=False)
        there = await asyncio.to_thread(_standing, self.context.store, self.collection, origin.release)
        if self.spec.dummy and (there is None or not there.count):
            raise NotReadyError(
                f"{self.collection} is to have its documents from elsewhere, and there are none: fill it first"
            )
        if self.spec.dummy:
            self.state.note_release(origin.release)
        if "master" in self.options.steps:
            self.state.save_master(await self._new_master(answer))
        record = self.state.succeed_without_data(record, there)
        await self._post_recorded(record, origin, answer)
        return record

    # ---------------------------------------------------------------------------------------------------- with the data

    async def _load(self, record: UploadJob, origin: Origin) -> UploadJob:
        answer = await self._describe(origin)
        record.made_of = await asyncio.to_thread(fingerprint, origin, answer, self.options)
        if not self._parses_again(answer) and in_place(
            self.context.store, self.collection, record.current, record.made_of
        ):
            return await self._leave(record, origin, answer)
        loading = self._loading(origin, answer, record.made_of)
        async with loading:
            validation = self._validation(origin, answer) if loading.validates else None
            await loading.parse()
            if not answer.rules.stores:
                loading.writer.abort()
                return self._stored_nothing(record, loading)
            report = await loading.seal()
            await self._guard(record, report, answer)
            if validation is not None:
                await validation.run(answer.mapping, await loading.hold())
            master = await self._new_master(answer) if "master" in self.options.steps else None
            counted = totals(loading.parts)

            def prepare() -> None:
                self.state.prepare(record, report, counted, master)

            await loading.place(prepare, self._keep(answer), "clean" in self.options.steps)
        record = self.state.succeed(record)
        size = f"{report.bytes / 1e6:.1f} MB"
        self._log(f"{report.documents:,} documents of release {record.release} ({size}): {differences(report)}")
        await self._post_recorded(record, origin, answer)
        return record

    def _loading(self, origin: Origin, answer: Described, made_of: str | None = None) -> Loading:
        kept = Progress(self.state, self.context.state, self.context.store, self.collection)
        return Loading(self.context.store, origin, answer, self.tally, self.job, self.options, kept, made_of)

    def _parses_again(self, answer: Described) -> bool:
        """Whatever there is already."""
        return self.options.force or self.options.validate or answer.validates

    async def _leave(self, record: UploadJob, origin: Origin, answer: Described) -> UploadJob:
        """All but parsing: what would come of it is in place."""
        if "master" in self.options.steps:
            self.state.save_master(await self._new_master(answer))
        record = self.state.succeed_unchanged(record)
        self._log(
            f"release {record.release} is in place ({record.count:,} documents), and neither its files nor the plugin "
            f"have changed: not parsed again (upload({self.src!r}, force=True) does)"
        )
        await self._post_recorded(record, origin, answer)
        return record

    def _validation(self, origin: Origin, answer: Described) -> Validation:
        validation = Validation(self.context.state, self.context.store, self.job, origin)
        validation.check_model(answer.mapping)
        return validation

    async def validate(self, model_file: str | None = None) -> dict[str, Any]:
        """Check the documents that are in place; see :meth:`Validation.run`."""
        last = self.state.load().get("current") or {}
        origin = self._origin(last.get("release"), last.get("data_folder") or "")
        validation = Validation(self.context.state, self.context.store, self.job, origin, model_file)
        return await validation.run(await self.mapping(origin))

    async def mapping(self, origin: Origin | None = None) -> dict[str, Any] | None:
        """What the plugin says, else what was saved."""
        origin = origin or self._origin(None, "")
        answer = await self._describe(origin, calls=False)
        return dict(answer.mapping) if answer.mapping else self.state.master().get("mapping")

    def _keep(self, answer: Described) -> int:
        return self.policy.keep_archive if answer.keep_archive is None else answer.keep_archive

    def _stored_nothing(self, record: UploadJob, loading: Loading) -> UploadJob:
        received = totals(loading.parts)["received"]
        self._log(f"{received:,} documents of release {record.release}; its storage stores nothing")
        return self.state.succeed_without_data(record, record.current, received)

    async def _guard(self, record: UploadJob, report: WriteReport, answer: Described) -> None:
        allowed = self.policy.loss(self.plugin.name, self.collection, answer.max_loss)
        if self.options.accept_loss or not allowed:
            return
        there = await asyncio.to_thread(_standing, self.context.store, self.collection, None)
        if there is not None:
            before = record.current.release if record.current else None
            releases = before, record.release
            check_loss(self.src, allowed, old=there.count, new=report.documents, releases=releases)

    async def _preview(self, origin: Origin) -> dict[str, Any]:
        """The first documents, in a collection of their own; nothing else changes."""
        answer, name = await self._describe(origin), preview_name(self.collection)
        async with self._loading(origin, answer) as loading:
            await loading.parse()
            report = await loading.seal()
            await asyncio.to_thread(loading.writer.commit, name)
        self._log(f"{report.documents:,} documents in {name}; {self.collection} is as it was")
        counted = totals(loading.parts)
        numbers = {"count": report.documents, "received": counted["received"], "duplicates": report.duplicates}
        return {**numbers, "release": origin.release, "collection": name}

    # ----------------------------------------------------------------------------------------------------- what follows

    async def _post(self, origin: Origin, answer: Described) -> None:
        if "post" not in self.options.steps or not answer.has_post:
            return
        options, description = self.options, f"{self.collection}: post_update_data"
        chosen = tuple(sorted(options.steps))
        await self.job.run(
            steps.post, origin, chosen, options.force, options.batch_size, description=description, on_progress=_ignore
        )

    async def _post_recorded(self, record: UploadJob, origin: Origin, answer: Described) -> None:
        """Whatever becomes of it, the new collection stays."""
        try:
            await self._post(origin, answer)
        except (UploadError, WorkerDied) as error:
            text = f"{error} The new data is in place ({record.count or 0:,} documents of release {record.release})."
            details = getattr(error, "details", "")
            self.state.fail(record, "failed", text, details)
            raise PostUpdateError(text, details=details) from error

    def _failed(self, record: UploadJob, error: UploadError) -> UploadError:
        if isinstance(error, PostUpdateError):
            return error
        kept = record.current
        old = f"The old data is kept ({kept.count:,} documents of release {kept.release})." if kept else ""
        swapped = self._swapped(record)
        if swapped is None:
            error.add("Whether the new data is in place is not known; the hub looks at its next start.")
        else:
            error.add("The new data is in place." if swapped else old or "Nothing was stored.")
        self._end(record, "failed", str(error), error.details)
        return error

    def _end(self, record: UploadJob, status: Status, error: str, trace: str = "") -> None:
        """After an error: one that came behind the swap does not undo it."""
        swapped = self._swapped(record)
        if swapped:
            self.state.succeed(record)
            return
        if swapped is not None:
            record.prepared = None
        self.state.fail(record, status, error, trace)

    def _swapped(self, record: UploadJob) -> bool | None:
        """None while the store does not tell."""
        try:
            return self.state.in_place(record, self.context.store)
        except StoreError:
            return None

    def _log(self, text: str) -> None:
        logger.info("%s: %s", self.collection, text)
        self.job.log(f"{self.collection}: {text}")


def _numbers(record: UploadJob) -> dict[str, Any]:
    left_out = {name: value for name in LEFT_OUT if (value := getattr(record, name))}
    return {**{name: getattr(record, name) for name in COUNTED}, **left_out, "release": record.release}


def differences(report: WriteReport) -> str:
    """In words: ``"3 added, 12 removed, 1,985 unchanged"``."""
    return ", ".join(f"{count:,} {what}" for what, count in report.differences.items() if count) or "nothing to compare"


def _standing(store: DocumentStore, collection: str, release: str | None) -> Loaded | None:
    """What is in a collection, whoever put it there."""
    try:
        there = store[collection]
        count, size = there.count(), there.size()
    except NoSuchCollectionError:
        return None
    token = store.token(collection)
    return Loaded(release=release, data_folder="", count=count, bytes=size, uploaded_at=datetime.now(UTC), token=token)


def _plain(document: Mapping[str, Any]) -> dict[str, Any]:
    """Without what plugins have no use for: histories are long."""
    jobs = document.get("upload", {}).get("jobs", {})
    slim = {name: {key: job[key] for key in job if key != "history"} for name, job in jobs.items()}
    return {**document, "upload": {"jobs": slim}} if jobs else dict(document)


def _ignore(done: float, total: float | None, message: str) -> None:
    """Progress of a step too short to show."""
