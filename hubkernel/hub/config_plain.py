"""Values of settings as JSON, and JSON as values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr


def decoded(value: Any, kind: Any) -> Any:
    """A value that may be written as JSON in a text: ``"5"`` for a number. For a setting that is text, only JSON that
    is text itself (or null) is read as JSON.
    """
    if not isinstance(value, str):
        return value
    try:
        found = json.loads(value)
    except ValueError:
        return value
    is_text = kind in (str, Path, str | None, Path | None)
    if is_text and not (isinstance(found, str) or (found is None and kind is not str)):
        return value
    return found


def is_plain(value: Any) -> bool:
    """Whether it can be shown as JSON."""
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and is_plain(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(is_plain(item) for item in value)
    return value is None or isinstance(value, str | int | float | bool | Path | SecretStr)


def alike(value: Any, before: Any) -> bool:
    """Whether both are of one JSON type."""
    if isinstance(before, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(before, bool)
    kinds: Any = next((kinds for kinds in ((int, float), (list, tuple)) if isinstance(before, kinds)), type(before))
    return isinstance(value, kinds)


def plain(value: Any) -> Any:
    """A checked value as JSON."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
