"""How a job can end without a result, besides the error of its own code, and why it may not start."""

from __future__ import annotations

from hubkernel.executors.base import CancelledWork


class JobCancelled(CancelledWork):
    """The job was cancelled. An ordinary exception, so that whoever awaits the job is not cancelled too."""


class JobInterrupted(CancelledWork):
    """The hub ended before the job."""


class AdmissionError(RuntimeError):
    """Work can never be admitted: it needs more memory than there is, or one of its predicates raised."""
