"""Where work runs. :func:`open_executor` chooses by url; the interface is :mod:`hubkernel.executors.base`."""

from hubkernel.executors.base import CancelledWork, Executor, Worker, WorkerDied, WorkHandle

__all__ = ["CancelledWork", "Executor", "WorkHandle", "Worker", "WorkerDied"]
