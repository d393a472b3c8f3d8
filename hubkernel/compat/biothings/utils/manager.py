"""``biothings.utils.manager``: the hub has one job manager, and makes it itself."""

from __future__ import annotations

from typing import Any

from hubkernel.compat.biothings._missing import answer


def _load(name: str) -> Any:
    from hubkernel.jobs.manager import JobManager

    return JobManager


__getattr__ = answer(__name__, loads=_load, known=("JobManager",))
