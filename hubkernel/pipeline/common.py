"""The few lines that several stages need."""

from __future__ import annotations

import ast
import asyncio
import secrets
import string
import time
from collections.abc import Coroutine, Sequence
from datetime import datetime
from typing import Any

ALPHABET = string.digits + string.ascii_lowercase
TREE_ATTEMPTS = 20


def random_letters(count: int) -> str:
    """Digits and small letters."""
    return "".join(secrets.choice(ALPHABET) for _ in range(count))


def syntax_tree(source: str | bytes, file: str = "<unknown>") -> ast.Module:
    """That of a module's source. Raises ``SyntaxError``.

    Up to Python 3.12 the interpreter counts the depth of all threads' trees together: a thread whose tree is made while
    another's is may find its count wrong (``SystemError``, CPython issue 106905). The source is not at fault then.
    """
    for _ in range(TREE_ATTEMPTS):
        try:
            return ast.parse(source, file)
        except SystemError:
            time.sleep(0)  # to the other thread
    return ast.parse(source, file)


def cron_expression(text: str) -> str:
    """A cron of 5 fields (minute hour day month weekday) or 6 (seconds last) as :mod:`cronsim` takes it: seconds first.

    Raises ``ValueError``.
    """
    from cronsim import CronSim, CronSimError

    fields = text.split()
    usage = "write minute hour day month weekday [second]"
    if len(fields) not in (5, 6):
        raise ValueError(f"{text!r} is no cron schedule: {usage}")
    expression = " ".join([*fields[5:], *fields[:5]])
    try:
        CronSim(expression, datetime.now().astimezone())
    except CronSimError as error:
        raise ValueError(f"{text!r} is no cron schedule: {str(error).lower()}; {usage}") from None
    return expression


async def all_or_first_error(work: Sequence[Coroutine[Any, Any, Any]]) -> list[Any]:
    """Run all at once. The first error cancels the others and is raised, as itself, once they have ended."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
