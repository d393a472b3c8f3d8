"""The few lines that several stages need."""

from __future__ import annotations

import asyncio
import secrets
import string
from collections.abc import Coroutine, Sequence
from typing import Any

ALPHABET = string.digits + string.ascii_lowercase


def random_letters(count: int) -> str:
    """Digits and small letters."""
    return "".join(secrets.choice(ALPHABET) for _ in range(count))


async def all_or_first_error(work: Sequence[Coroutine[Any, Any, Any]]) -> list[Any]:
    """Run all at once. The first error cancels the others and is raised, as itself, once they have ended."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
