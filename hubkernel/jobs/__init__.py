"""Jobs: a pure state machine, its journal, admission, and the manager that runs the work on executors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hubkernel.jobs.context import JobContext, because, current
from hubkernel.jobs.errors import AdmissionError, JobCancelled, JobInterrupted

if TYPE_CHECKING:
    from hubkernel.jobs.manager import Job, JobManager
    from hubkernel.jobs.models import JobRecord

__all__ = [
    "AdmissionError",
    "Job",
    "JobCancelled",
    "JobContext",
    "JobInterrupted",
    "JobManager",
    "JobRecord",
    "because",
    "current",
]


def __getattr__(name: str) -> Any:
    if name in ("Job", "JobManager"):
        from hubkernel.jobs import manager

        return getattr(manager, name)
    if name == "JobRecord":
        from hubkernel.jobs.models import JobRecord

        return JobRecord
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
