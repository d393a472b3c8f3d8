"""Notifications: what people elsewhere want to know at once, posted to webhooks and to Slack (or what speaks like it).

Each receiver has a queue and a thread of its own, so a slow or dead one delays nobody: not the hub, not a job, not
another receiver. What cannot be delivered is tried again with growing pauses, and given up in the end.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from hubkernel.hub.config import masked

if TYPE_CHECKING:
    from hubkernel.hub.events import Event
    from hubkernel.hub.server import HubServer

log = logging.getLogger(__name__)

PAUSES = (1.0, 5.0, 30.0, 120.0, 600.0)
"""Seconds between two attempts."""
QUEUE = 1000
"""Messages that wait for a receiver; then the oldest is dropped."""
TIMEOUT = 10.0
CLOSING = 5.0
"""Seconds for which the end of the hub waits for receivers."""
THREAD = "hubkernel-notify"
JOB_KEYS = ("id", "name", "command", "state", "error", "source", "category", "user", "door", "started", "finished")
COLORS = {"error": "#a30200", "warning": "#daa038", "info": "#2eb886"}
Message = dict[str, Any]
"""``{"event": "job.failed", "level": "error", "time": seconds since the epoch, "hub": name, "text", "data"}``."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a receiver answered."""

    status: int
    retry_after: float | None = None


Post = Callable[[str, bytes, Mapping[str, str]], Reply]
"""``(url, body, headers)``: posts, or raises ``OSError``."""


def post(url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
    """By HTTP. Redirections are not followed."""
    import httpx

    try:
        answer = httpx.post(url, content=body, headers=dict(headers), timeout=TIMEOUT)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise OSError(f"{type(error).__name__}: {error}".replace(url, "(url)")) from None
    after = answer.headers.get("Retry-After", "")
    return Reply(answer.status_code, float(after) if after.isdigit() else None)


class _Quiet(logging.Filter):
    """The url of a receiver is a secret, and httpx logs each one that it asks."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.threadName or "").startswith(THREAD)


@dataclass
class Receiver:
    """One place that notifications go to. Threading: anybody may :meth:`put`; its own thread sends.

    ``encode`` gives the headers of a message and its JSON. ``pause(seconds)`` waits and tells whether the hub ends.
    """

    name: str
    url: str = field(repr=False)
    encode: Callable[[Message], tuple[dict[str, str], Any]]
    post: Post = post
    sign: Callable[[bytes], dict[str, str]] = lambda body: {}
    pause: Callable[[float], bool] | None = None
    sent: int = 0
    given_up: int = 0
    dropped: int = 0
    error: str = ""

    def __post_init__(self) -> None:
        self._queue: deque[tuple[str, Message]] = deque()
        self._changed = threading.Condition()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self.pause = self.pause or self._ending.wait

    def put(self, message: Message) -> None:
        """Send it soon. Never waits."""
        with self._changed:
            if len(self._queue) >= QUEUE:
                self._queue.popleft()
                self.dropped += 1
            self._queue.append((uuid.uuid4().hex, message))
            if self._thread is None:
                self._thread = threading.Thread(target=self._main, name=f"{THREAD}-{self.name}", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self, timeout: float = CLOSING) -> None:
        """Try once more what waits, for ``timeout`` seconds at most."""
        self._ending.set()
        with self._changed:
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout)

    def status(self) -> dict[str, Any]:
        return {
            "sent": self.sent,
            "waiting": len(self._queue),
            "given_up": self.given_up,
            "dropped": self.dropped,
            "error": self.error,
        }

    def _main(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._ending.is_set())
                if not self._queue:
                    return
                id, message = self._queue[0]
            self._deliver(id, message)
            with self._changed:
                if self._queue and self._queue[0][0] == id:
                    self._queue.popleft()

    def _deliver(self, id: str, message: Message) -> None:
        headers, content = self.encode(message)
        body = json.dumps(content, default=str).encode()
        headers = {"Content-Type": "application/json", **headers, "X-Hubkernel-Delivery": id}
        for pause in (*PAUSES, None):
            later = self._attempt(body, {**headers, **self.sign(body)})
            if later is None:
                return
            if pause is None or self._ending.is_set():
                break
            assert self.pause is not None
            self.pause(max(pause, min(later, PAUSES[-1])))
        self.given_up += 1
        log.warning("notification %s is given up for %s: %s", message.get("event"), self.name, self.error)

    def _attempt(self, body: bytes, headers: Mapping[str, str]) -> float | None:
        """None if that is the end of it, else after how many seconds to try again at the earliest."""
        try:
            reply = self.post(self.url, body, headers)
        except OSError as error:
            self.error = str(error)
            return 0.0
        if reply.status < 300:
            self.sent += 1
            self.error = ""
            return None
        self.error = f"HTTP {reply.status}"
        if reply.status in (408, 425, 429) or reply.status >= 500:
            return reply.retry_after or 0.0
        self.given_up += 1
        log.warning("%s refuses a notification: HTTP %s", self.name, reply.status)
        return None


class Notifier:
    """Turns events into messages and gives them to the receivers that the settings name."""

    def __init__(self, server: HubServer, post: Post = post) -> None:
        self.server = server
        config = server.config
        secret = config.notify_secret.get_secret_value() if config.notify_secret is not None else ""
        sign = _signer(secret) if secret else lambda body: {}
        self.receivers = [
            Receiver(name, url.get_secret_value(), _webhook, post, sign) for name, url in config.notify_webhooks.items()
        ]
        if config.slack_webhook is not None:
            self.receivers.append(Receiver("slack", config.slack_webhook.get_secret_value(), self._slack, post))

    def start(self) -> None:
        """Keep the urls out of other people's logs, and tell that the hub is there."""
        if not self.receivers:
            return
        logger = logging.getLogger("httpx")
        if not any(isinstance(one, _Quiet) for one in logger.filters):
            logger.addFilter(_Quiet())
        self.send("hub.start", f"the hub {self.server.name} has started")

    def hear(self, event: Event) -> None:
        """Called with each event of the hub, by the dispatcher."""
        if self.receivers and (found := _of(event)) is not None:
            self.send(*found)

    def send(self, event: str, text: str, level: str = "info", data: Mapping[str, Any] | None = None) -> bool:
        """Give a message to all receivers if the setting ``notify_events`` wants it; False if nobody gets it."""
        if not any(fnmatchcase(event, pattern) for pattern in self.server.config.notify_events):
            return False
        message: Message = {
            "event": event,
            "level": level,
            "time": time.time(),
            "hub": self.server.name,
            "text": masked(text),
            "data": masked(dict(data or {})),
        }
        changed = self.server.hooks.call("notification", message=dict(message))
        if changed is False:
            return False
        message = changed if isinstance(changed, dict) else message
        for receiver in self.receivers:
            receiver.put(message)
        return bool(self.receivers)

    def status(self) -> dict[str, dict[str, Any]]:
        """By receiver: ``{"sent", "waiting", "given_up", "dropped", "error"}``."""
        return {receiver.name: receiver.status() for receiver in self.receivers}

    def close(self) -> None:
        """Try once more what waits; dead receivers hold the end up for a few seconds at most, all together."""
        deadline = time.monotonic() + CLOSING
        for receiver in self.receivers:
            receiver.close(0)
        for receiver in self.receivers:
            receiver.close(max(0.0, deadline - time.monotonic()))

    def _slack(self, message: Message) -> tuple[dict[str, str], Any]:
        level = message.get("level", "info")
        mentions = self.server.config.slack_mentions if level == "error" else []
        text = " ".join([*mentions, f"*{message.get('hub')}*: {message.get('text')}"])
        data = message.get("data") or {}
        shown = [key for key in ("command", "source", "user", "error") if data.get(key)]
        fields = [{"title": key, "value": str(data[key]), "short": key != "error"} for key in shown]
        return {}, {"text": text, "attachments": [{"color": COLORS.get(level, COLORS["info"]), "fields": fields}]}


def _webhook(message: Message) -> tuple[dict[str, str], Any]:
    return {"X-Hubkernel-Event": str(message.get("event"))}, message


def _signer(secret: str) -> Callable[[bytes], dict[str, str]]:
    """``X-Hubkernel-Signature: sha256=<hex>`` of the secret over ``<timestamp>.<body>``."""

    def sign(body: bytes) -> dict[str, str]:
        timestamp = str(int(time.time()))
        digest = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
        return {"X-Hubkernel-Timestamp": timestamp, "X-Hubkernel-Signature": f"sha256={digest}"}

    return sign


def _of(event: Event) -> tuple[str, str, str, dict[str, Any]] | None:
    """``(event, text, level, data)`` of what may be told to people."""
    data = event.data or {}
    if event.entity == "job" and event.op == "update":
        return _of_job(data)
    if (event.entity, event.op) == ("schedule", "failed"):
        return "schedule.failed", f"schedule {event.id} failed: {data.get('error')}", "error", {"schedule": event.id}
    if (event.entity, event.op) == ("upgrade", "available"):
        return "upgrade.available", f"{event.id} {data.get('latest')} is available", "info", {"name": event.id}
    if (event.entity, event.op) == ("event", "insert"):
        return _of_document(data)
    return None


def _of_job(record: Mapping[str, Any]) -> tuple[str, str, str, dict[str, Any]] | None:
    state = record.get("state")
    if state not in ("done", "failed", "cancelled", "interrupted"):
        return None
    text = f"job {record['id']} {record.get('command') or record.get('name')} {state}"
    if record.get("error") and state != "cancelled":
        text += f": {record['error']}"
    levels = {"failed": "error", "interrupted": "warning"}
    return f"job.{state}", text, levels.get(state, "info"), {key: record.get(key) for key in JOB_KEYS}


def _of_document(document: Mapping[str, Any]) -> tuple[str, str, str, dict[str, Any]] | None:
    """Of an alert (``hub.stop``, ``hub.restart``), or of a log record with ``extra={"notify": True}``."""
    text, level = str(document.get("msg", "")), str(document.get("level", "INFO")).lower()
    if document.get("notify"):
        shown = {"critical": "error", "debug": "info"}.get(level, level)
        return f"log.{level}", text, shown, {"logger": document.get("name")}
    if text.startswith('{"type": "alert"'):
        alert = json.loads(text)
        return alert["event"].replace("_", ".", 1), alert["msg"], "warning", {}
    return None
