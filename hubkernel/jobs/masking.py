"""What must not be shown: secrets in values, in texts and in log records.

A value is secret if its key says so (``password``, ``api_key``, ...), if it is a pydantic ``SecretStr``, or if it looks
like one: the password of an url, a password hash, a token of this hub.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

MASK = "********"
TOKEN_PREFIX = "hk_"

_SECRET = r"passw|passphrase|secret|token|api_?key|access_?key|private_?key|credential|basic_auth|authorization"
_KEY = re.compile(_SECRET, re.IGNORECASE)
_LOOKS = re.compile(
    rf"(?P<url>(?<=://)[^/@:\s\"']*:)[^/@\s\"']+@"
    rf"|\b{TOKEN_PREFIX}[A-Za-z0-9_-]{{43}}"
    r"|\$(?:argon2[a-z]*|2[abxy]|[156y]|pbkdf2[\w-]*|scrypt)\$[^\s\"';}]+"
)
_ASSIGNED = re.compile(
    rf"((?:{_SECRET})[\w.-]{{0,64}}[\"']?\s{{0,8}}[:=]\s{{0,8}}(?:b|Bearer |Basic )?)"
    r"(\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')",
    re.IGNORECASE,
)
"""Nothing stands before the secret word, and repetitions are bounded: a long text takes time in proportion."""


def names_secret(key: str) -> bool:
    """Whether what stands under this key is secret."""
    return bool(_KEY.search(key))


def masked(value: Any) -> Any:
    """``value`` as JSON in which every secret is ``********``."""
    if hasattr(value, "get_secret_value"):
        return MASK
    if isinstance(value, Mapping):
        return {str(key): MASK if names_secret(str(key)) and item else masked(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [masked(item) for item in value]
    if isinstance(value, str):
        return hide(value)
    return value if value is None or isinstance(value, bool | int | float) else hide(str(value))


def hide(text: str) -> str:
    """``text`` without what looks like a secret in itself."""
    if "://" not in text and "$" not in text and TOKEN_PREFIX not in text:
        return text
    return _LOOKS.sub(lambda found: f"{found['url']}{MASK}@" if found["url"] is not None else MASK, text)


def redact(text: str) -> str:
    """Free text (a command, an error, a log line): also without what is assigned to a secret name, as in
    ``api_key='x'`` or ``{"password": "x"}``.
    """
    text = hide(text)
    return _ASSIGNED.sub(lambda found: f"{found[1]}{found[2][0]}{MASK}{found[2][-1]}", text)


class MaskingFormatter(logging.Formatter):
    """For logs that others may read: no secret in a record's message, its traceback or its stack."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))
