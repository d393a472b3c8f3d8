"""What is remembered of a source's dumps: its document in ``src_dump``.

``download`` tells of the last attempt, but its ``release`` and ``data_folder`` are always those of the last good one,
also under ``last_good``; so a failed dump takes nothing away. ``history`` has the latest attempts, the newest last.
"""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hubkernel.jobs.context import current
from hubkernel.jobs.render import timesofar
from hubkernel.pipeline.context import PipelineContext
from hubkernel.pipeline.dump.models import Release

logger = logging.getLogger(__name__)

HISTORY = 50
"""How many attempts are kept."""


class SourceState:
    """The document of one source, and its log. Each method is one durable write."""

    def __init__(self, context: PipelineContext, source: str) -> None:
        self.source = source
        self.collection = context.state["src_dump"]
        self.logfile = context.logs / "dataload" / f"dump_{source}.log"

    def log(self, message: str) -> None:
        """Append a line to the log of the source's dumps."""
        logger.info("%s: %s", self.source, message)
        self.logfile.parent.mkdir(parents=True, exist_ok=True)
        with self.logfile.open("a", encoding="utf-8") as log:
            log.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {message}\n")

    def load(self) -> dict[str, Any]:
        return self.collection.find_one({"_id": self.source}) or {}

    def last_good(self) -> tuple[Release, str] | None:
        """The last good release and its folder; None if there is none, or its files are gone."""
        folder = self.load().get("last_good", {}).get("data_folder")
        release = Release.read(Path(folder)) if folder else None
        return (release, folder) if release else None

    def succeeded(self) -> bool:
        return bool(self.load().get("download", {}).get("status") == "success")

    def unfinished(self) -> bool:
        """Whether the last attempt came to no good end, so that the next one has to look at everything."""
        return self.load().get("download", {}).get("status") in ("failed", "canceled", "downloading")

    def being_uploaded(self) -> dict[str, str]:
        """Collection by the data folder that it is loaded from, of the uploads that run."""
        jobs = self.load().get("upload", {}).get("jobs", {})
        return {str(job.get("data_folder")): name for name, job in jobs.items() if job.get("status") == "uploading"}

    def begin(self, started: datetime) -> dict[str, Any]:
        """Status ``downloading``; returns the ``download`` block as it was."""
        before: dict[str, Any] = self.load().get("download", {})
        running = {"status": "downloading", "started_at": started, "pid": os.getpid(), "logfile": str(self.logfile)}
        self._set({"download": {**self._kept(), **running}})
        return before

    def restore(self, before: Mapping[str, Any]) -> None:
        """Back to what :meth:`begin` found: there was nothing new."""
        self._set({"download": dict(before)})

    def succeed(self, release: Release, folder: str, started: datetime, *, pending: bool) -> None:
        now = datetime.now(UTC)
        good = {"release": release.release, "data_folder": folder, "at": now, "size": release.size}
        download = {**self._ended("success", started, now), **good, "last_success": now, "job": current().id}
        del download["at"]
        update: dict[str, Any] = {"$set": {"download": download, "last_good": good}}
        files = {"files": len(release.files), **({"skipped": release.skipped} if release.skipped else {})}
        update["$set"]["history"] = self._history({**download, **files})
        if pending:
            update["$addToSet"] = {"pending": "upload"}
        self.collection.update_one({"_id": self.source}, update, upsert=True)

    def fail(self, error: BaseException, started: datetime, *, status: str = "failed") -> None:
        trace = "".join(traceback.format_exception(error))
        attempt = {
            **self._ended(status, started, datetime.now(UTC)),
            "err": str(error) or type(error).__name__,
            "tb": trace,
        }
        brief = {key: value for key, value in attempt.items() if key != "tb"}
        self._set({"download": {**self._kept(), **attempt}, "history": self._history(brief)})

    def _kept(self) -> dict[str, Any]:
        document = self.load()
        good = document.get("last_good")
        if not good:
            return {}
        return {"release": good["release"], "data_folder": good["data_folder"], "last_success": good["at"]}

    def _ended(self, status: str, started: datetime, ended: datetime) -> dict[str, Any]:
        time = timesofar(started.timestamp(), ended.timestamp())
        return {"status": status, "started_at": started, "time": time, "logfile": str(self.logfile)}

    def _history(self, attempt: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [*self.load().get("history", []), dict(attempt)][-HISTORY:]

    def _set(self, values: Mapping[str, Any]) -> None:
        self.collection.update_one({"_id": self.source}, {"$set": dict(values)}, upsert=True)
