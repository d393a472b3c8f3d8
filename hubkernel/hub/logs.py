"""The hub's own log, ``logs/hub.log``, and where else a log record goes: to the job whose code logged it, and, if it
says ``extra={"event": True}`` or ``extra={"notify": True}``, to the event documents and to notifications.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubkernel.executors.logs import current_worker, line_of
from hubkernel.jobs import current
from hubkernel.jobs.masking import MaskingFormatter, redact

if TYPE_CHECKING:
    from hubkernel.hub.server import HubServer

OWN = "hubkernel"
"""Logger of all of the hub's code. Records of others are kept from WARNING on."""
FORMAT = "%(asctime)s [%(process)d:%(threadName)s] %(name)s %(levelname)s %(message)s"
EVENTS = "event"
"""State collection of event documents."""
EVENTS_KEPT = 1000


class HubLog(logging.Handler):
    """Stands on the root logger from :meth:`open` to :meth:`close`. Two hubs in one process write both logs."""

    def __init__(self, server: HubServer, file: Path) -> None:
        super().__init__()
        self._server = server
        config = server.config
        self._file = _File(file, maxBytes=config.log_size, backupCount=config.logs_kept, encoding="utf-8", delay=True)
        self._file.setFormatter(MaskingFormatter(FORMAT))
        self._inside = threading.local()
        self._level_before: int | None = None

    def open(self) -> None:
        """Begin. The hub's own loggers tell what the setting ``log_level`` says, unless somebody set their level."""
        Path(self._file.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        own = logging.getLogger(OWN)
        if own.level == logging.NOTSET:
            self._level_before = own.level
            own.setLevel(self._server.config.log_level)
        logging.getLogger().addHandler(self)

    def close(self) -> None:
        """End; safe to call twice."""
        logging.getLogger().removeHandler(self)
        if self._level_before is not None:
            logging.getLogger(OWN).setLevel(self._level_before)
            self._level_before = None
        self._file.close()
        super().close()

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(self._inside, "now", False):
            return  # logging a record must not log
        self._inside.now = True
        try:
            self._give(record)
        except Exception:
            self.handleError(record)
        finally:
            self._inside.now = False

    def _give(self, record: logging.LogRecord) -> None:
        own = record.name.partition(".")[0] == OWN
        if own or record.levelno >= logging.WARNING:
            self._file.handle(record)
        if record.levelno >= logging.WARNING:
            _tell_job(record)
        if getattr(record, "notify", False) or getattr(record, "event", False):
            self._server.alerts.record(record)
        last = logging.lastResort
        if last is not None and record.levelno >= last.level and not _others(record.name):
            last.handle(record)  # Python would have shown it if this handler were not there


class _File(RotatingFileHandler):
    """A full disk or a folder that is gone costs lines, and is said once on standard error."""

    failed = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name of the base class
        if not self.failed:
            super().handleError(record)
        self.failed = True


def _tell_job(record: logging.LogRecord) -> None:
    if vars(record).setdefault("told_job", False):
        return  # by the other hub of this process
    record.told_job = True
    worker = current_worker.get()
    if worker is not None:
        worker.log(line_of(record))
    elif (log_record := getattr(current(), "log_record", None)) is not None:
        log_record(record)


def _others(name: str) -> bool:
    """Whether somebody else handles records of this logger."""
    logger: logging.Logger | None = logging.getLogger(name)
    while logger is not None:
        if any(not isinstance(handler, HubLog) for handler in logger.handlers):
            return True
        logger = logger.parent if logger.propagate else None
    return False


class Alerts:
    """Event documents: what everybody who looks at the hub should know, kept in its state."""

    def __init__(self, server: HubServer) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._said: set[str] = set()

    def alert(self, event: str, text: str) -> None:
        """For instance ``alert("hub_restart", "Hub is restarting")``: an event document whose message is ``{"type":
        "alert", "msg": text, "event": event}`` as JSON. Each is said once in the life of a hub.
        """
        with self._lock:
            if event in self._said:
                return
            self._said.add(event)
        message = json.dumps({"type": "alert", "msg": text, "event": event})
        self._insert(message, logging.CRITICAL, self._server.logger.name)

    def record(self, record: logging.LogRecord) -> None:
        """A log record that asked for it; ``notify`` tells the receivers of notifications too."""
        notify = bool(getattr(record, "notify", False))
        self._insert(record.getMessage(), record.levelno, record.name, notify=notify)

    @property
    def restarting(self) -> bool:
        return "hub_restart" in self._said

    def _insert(self, message: str, level: int, name: str, **more: Any) -> None:
        now = time.time()
        document = {
            "_id": f"{now:.6f}-{os.urandom(3).hex()}",
            "created": now,
            "asctime": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now)),
            "msg": redact(message),
            "level": logging.getLevelName(level),
            "name": name,
            "pid": os.getpid(),
            "pname": threading.current_thread().name,
            **more,
        }
        self._server.state.collection(EVENTS).insert_one(document)

    def prune(self) -> int:
        """Forget all but the newest event documents; returns how many."""
        events = self._server.state.collection(EVENTS)
        newest = events.find(None, ["created"], sort=[("created", -1)], skip=EVENTS_KEPT, limit=1)
        return events.delete_many({"created": {"$lte": newest[0]["created"]}}) if newest else 0
