"""What work says through Python's ``logging`` belongs to its job, as what it prints does."""

from __future__ import annotations

import logging
from contextvars import ContextVar

from hubkernel.executors.base import Worker

current_worker: ContextVar[Worker | None] = ContextVar("hubkernel_worker", default=None)
"""The work that this thread does, on a thread executor."""


CHATTY = {"botocore", "elastic_transport", "httpcore", "httpx", "pymongo", "urllib3"}
"""Libraries that log every request; only their warnings belong to a job."""


class WorkerLogHandler(logging.Handler):
    """Gives records to the work that runs in this process: ``WARNING my.module: text``."""

    def __init__(self, level: int = logging.INFO) -> None:
        super().__init__(level)
        self.worker: Worker | None = None
        """Of a process that does one piece of work at a time, with all its threads."""

    def emit(self, record: logging.LogRecord) -> None:
        worker = self.worker or current_worker.get()
        chatter = record.levelno < logging.WARNING and record.name.partition(".")[0] in CHATTY
        if worker is not None and not chatter:
            worker.log(line_of(record))


def line_of(record: logging.LogRecord) -> str:
    """With the traceback, if it has one."""
    text = f"{record.levelname} {record.name}: {record.getMessage()}"
    if record.exc_info:
        text += "\n" + logging.Formatter().formatException(record.exc_info)
    return text
