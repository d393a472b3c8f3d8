"""Cron texts as plugins write them."""

from __future__ import annotations


def cron(text: str) -> str:
    """A schedule for aiocron: plugins put the optional seconds last, it wants them first."""
    fields = text.split()
    return " ".join([fields[5], *fields[:5]] if len(fields) == 6 else fields)
