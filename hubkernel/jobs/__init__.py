"""Jobs: a pure state machine, its journal, admission, and the manager that runs the work on executors."""

from hubkernel.jobs.context import JobContext, current

__all__ = ["JobContext", "current"]
