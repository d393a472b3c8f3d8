"""From one stage to the next: marks become triggers, triggers become jobs, and each job knows what it follows.

Which stages there are is :data:`STAGES`. When a stage looks for work is its ``poll_schedule``
(``managers_custom_args={"upload": {"poll_schedule": "*/5 * * * *"}}``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from hubkernel.hub.commands import AlreadyRunningError
from hubkernel.jobs import JobInterrupted, because
from hubkernel.pipeline.build.models import Autobuild
from hubkernel.pipeline.build.state import status_of
from hubkernel.pipeline.triggers import Triggers
from hubkernel.store.base import Document

if TYPE_CHECKING:
    from hubkernel.hub.server import HubServer

log = logging.getLogger(__name__)


class NotYet(Exception):  # noqa: N818 - it is no error
    """The document is not ready for its stage; its mark stays."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage that follows another."""

    name: str
    """Of the mark (``pending: [name]``) and of the command that does the work."""
    collection: str
    """Where the documents are that may be marked."""
    manager: str
    plan: Callable[[HubServer, Document], tuple[dict[str, Any], list[int]] | None]
    """``(arguments of the command, ids of the jobs it follows)`` for a marked document; None if the mark is void.
    Raises :class:`NotYet`."""


class Chains:
    """The triggers of a hub at work. Lives on the hub's loop; :meth:`recover` runs before it."""

    def __init__(self, server: HubServer) -> None:
        self.server = server
        self.triggers = Triggers(server.state, server.jobs.owner)
        self._refused: set[tuple[str, str]] = set()

    def recover(self) -> None:
        """Settle what a dead hub had taken. Its jobs must have been recovered before."""
        for id in self.triggers.recover(self.server.jobs.journal.of_trigger):
            log.info("trigger %s waits again: its hub ended before the work did", id)
        self.triggers.prune()

    def poll(self, name: str) -> list[str]:
        """Start what waits for a stage; returns the subjects (sources, builds)."""
        stage = STAGES[name]
        marked = self.collect(stage)
        started = []
        for row in self.triggers.waiting(stage.name):
            if row["attempts"] == 0 and row["subject"] not in marked:
                self.triggers.finish(row["_id"])  # somebody's own command has done it
            elif not self._busy(stage, row["subject"]) and self.triggers.take(row["_id"]):
                self._start(stage, row)
                started.append(row["subject"])
        return started

    def collect(self, stage: Stage) -> set[str]:
        """Make a row of each mark; returns whose they are. The mark itself goes away when the work is accepted."""
        marked: set[str] = set()
        for document in self.server.state.collection(stage.collection).find({"pending": stage.name}):
            subject = document["_id"]
            try:
                plan = stage.plan(self.server, document)
            except NotYet as reason:
                self._refuse(stage, subject, str(reason))
                continue
            if plan is None:
                self._unmark(stage, subject)
            else:
                args, cause = plan
                self.triggers.add(stage.name, subject, args=args, cause=cause)
                marked.add(subject)
        return marked

    def _refuse(self, stage: Stage, subject: str, reason: str) -> None:
        """Said once in the life of a hub; the mark stays."""
        if reason and (stage.name, subject) not in self._refused:
            self._refused.add((stage.name, subject))
            log.warning("%s of %s waits: %s", stage.name, subject, reason)
            self.server.bus.publish("trigger", subject, "refused", {"stage": stage.name, "reason": reason})

    def _busy(self, stage: Stage, subject: str) -> bool:
        """Somebody's own upload of the source goes on."""
        if stage.name != "upload" or subject not in self.server.plugins.plugins:
            return False
        collections = self.server.plugins.plugins[subject].uploaders.keys()
        return bool(collections & self.server.managers["upload_manager"].running().keys())

    def _start(self, stage: Stage, row: Document) -> None:
        id = row["_id"]
        try:
            with because(trigger=id, jobs=row["cause"]):
                job = self.server.launch(stage.name, **row["args"])
        except AlreadyRunningError:
            self.triggers.release(id)
            return
        except Exception as error:
            log.exception("%s of %s cannot be started", stage.name, row["subject"])
            self._unmark(stage, row["subject"])
            self.triggers.finish(id, f"{type(error).__name__}: {error}")
            return
        self._unmark(stage, row["subject"])
        self.triggers.started(id, job.id)
        job.future.add_done_callback(partial(self._ended, id))

    def _unmark(self, stage: Stage, subject: str) -> None:
        self.server.state.collection(stage.collection).update_one({"_id": subject}, {"$pull": {"pending": stage.name}})

    def _ended(self, id: int, future: Future[Any]) -> None:
        """Called by the journal's thread. An interrupted job leaves the row as it is, for the next start."""
        error = future.exception()
        if not isinstance(error, JobInterrupted):
            self.triggers.finish(id, None if error is None else f"{type(error).__name__}: {error}")


def _upload(server: HubServer, document: Document) -> tuple[dict[str, Any], list[int]]:
    name = document["_id"]
    if name in server.plugins.broken:
        raise NotYet(f"the plugin {name} is broken")
    if name not in server.plugins.plugins:
        raise NotYet(f"there is no source {name!r} in this hub")
    return {"src": name}, _ids(document.get("download", {}).get("job"))


def _index(server: HubServer, document: Document) -> tuple[dict[str, Any], list[int]] | None:
    status = status_of(document)
    if status == "building":
        raise NotYet("")
    env = Autobuild.model_validate(document["build_config"].get("autobuild") or {}).index_env
    if status != "success" or env is None:
        return None
    return {"indexer_env": env, "build_name": document["_id"]}, _ids(document["jobs"][-1].get("job"))


def _ids(*jobs: Any) -> list[int]:
    return [job for job in jobs if isinstance(job, int)]


STAGES = {
    stage.name: stage
    for stage in (
        Stage("upload", "src_dump", "source_manager", _upload),
        Stage("index", "src_build", "index_manager", _index),
    )
}
