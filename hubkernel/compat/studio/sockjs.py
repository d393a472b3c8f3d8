"""The SockJS protocol 0.3 as far as its websocket transport needs it: frames as text, and what a client sends.

A server's frame is one letter and JSON: ``o`` (open), ``h`` (heartbeat), ``a[...]`` (messages), ``c[code,"reason"]``
(close). A client sends a JSON array of texts. A raw websocket (``/websocket``) has no frames: each message is one.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from typing import Any

OPEN = "o"
HEARTBEAT = "h"
GREETING = "Welcome to SockJS!\n"


class FrameError(ValueError):
    """What the client sent is no frame; the connection has to be closed."""


def info() -> dict[str, Any]:
    """What a client reads before it connects: the websocket is there, and no cookie is needed."""
    return {"websocket": True, "cookie_needed": False, "origins": ["*:*"], "entropy": secrets.randbits(32)}


def messages_frame(messages: Sequence[str]) -> str:
    """``messages`` are JSON texts."""
    return f"a[{','.join(messages)}]"


def close_frame(code: int, reason: str) -> str:
    return f"c{json.dumps([code, reason], separators=(',', ':'))}"


def unpack(frame: str) -> list[str]:
    """The messages in a client's frame; none in an empty one. Raises :class:`FrameError`."""
    if not frame:
        return []
    try:
        found = json.loads(frame)
    except (ValueError, RecursionError):
        raise FrameError("broken framing") from None
    messages = found if isinstance(found, list) else [found]
    if not all(isinstance(message, str) for message in messages):
        raise FrameError("a frame holds texts")
    return messages
