"""Who made a writer or holds a lock, and whether that process still lives.

On the machine that asks, a process lives if its pid and start time do. Of other machines only their heartbeat is known.
"""

from __future__ import annotations

import os
import platform
import uuid
from functools import cache
from pathlib import Path
from typing import Any

import psutil

Owner = dict[str, Any]


def me() -> Owner:
    """The running process, for others to judge; small and BSON-able."""
    return {"machine": _machine(), "host": platform.node(), "pid": os.getpid(), "started": _started(os.getpid())}


def is_me(owner: Owner) -> bool:
    return {name: owner.get(name) for name in me()} == me()


def lives(owner: Owner) -> bool | None:
    """Whether the process lives; None if it runs on another machine."""
    if owner.get("machine") != _machine():
        return None
    return bool(_started(int(owner["pid"])) == owner["started"])


def _started(pid: int) -> float | None:
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.Error:
        return None


@cache
def _machine() -> str:
    """Names the set of processes in which a pid means something: a boot of a kernel, and there a pid namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}:{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return f"{platform.node()}:{uuid.getnode()}"
