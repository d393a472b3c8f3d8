"""What the jobs do right now, for people (``top``) and for programs (``job_info``)."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

import psutil

from hubkernel.executors.base import Executor
from hubkernel.jobs.admission import Admission, Memory
from hubkernel.jobs.render import clock, sizeof_fmt, table, timesofar
from hubkernel.jobs.steps import Step, Steps

ACTIONS = ("summary", "pending", "done")


def measure() -> Memory:
    """Memory of this process with all its children, and of the machine. Takes some milliseconds."""
    machine = psutil.virtual_memory()
    hub = psutil.Process()
    used = _resident(hub) + sum(_resident(child) for child in hub.children(recursive=True))
    return Memory(used, int(machine.available), int(machine.total))


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


class Monitor:
    """Safe to call from any thread."""

    def __init__(self, steps: Steps, admission: Admission, executors: Mapping[str, Executor]) -> None:
        self._steps, self._admission, self._executors = steps, admission, executors
        self._processes: dict[int, psutil.Process] = {}

    def top(self, action: str = "summary") -> str:
        """``summary``: what runs; ``pending``: what waits; ``done``: what ended. Raises ``ValueError`` otherwise."""
        if action not in ACTIONS:
            raise ValueError(f"Unknown action {action!r}; it is one of {', '.join(ACTIONS)}")
        pending, running = self._pending(), self._running()
        if action == "pending":
            return "\n".join([f"{len(pending)} pending job(s)", *self._table(pending)])
        if action == "done":
            return "\n".join([f"{self._steps.ended} finished job(s)", *self._table(reversed(list(self._steps.done)))])
        in_process = [step for step in running if isinstance(step.worker, int)]
        elsewhere = [step for step in running if not isinstance(step.worker, int)]
        lines = ["\n".join(self._table(steps)) if steps else "" for steps in (in_process, elsewhere)]
        lines += [f"{len(running)} running job(s)", f"{len(pending)} pending job(s), type 'top(pending)' for more"]
        if self._steps.ended:
            lines.append(f"{self._steps.ended} finished job(s), type 'top(done)' for more")
        return "\n".join(lines)

    def _active(self) -> list[Step]:
        """All steps; a job's own row only while no step of it is there."""
        steps = list(self._steps.active.values())
        busy = {step.job for step in steps if step.where}
        return [step for step in steps if step.where or step.job not in busy]

    def _running(self) -> list[Step]:
        return [step for step in self._active() if step.started is not None]

    def _pending(self) -> list[Step]:
        return [step for step in self._active() if step.started is None]

    def _table(self, steps: Iterable[Step]) -> list[str]:
        return table(self._row(step) for step in steps)

    def _row(self, step: Step) -> list[str]:
        memory = cpu = ""
        if isinstance(step.worker, int) and (seen := self._usage(step.worker)) is not None:
            memory, cpu = sizeof_fmt(seen["memory"]["size"]), f"{seen['cpu']['percent']}%"
        described = step.description or (step.reason if step.started is None else "")
        duration = timesofar(step.started, step.finished) if step.started is not None else ""
        pid = str(step.worker or "")
        names = [step.source, step.category, step.step, described]
        return [pid, *names, memory, cpu, clock(step.started), duration]

    def job_info(self) -> dict[str, Any]:
        """Workers, what they do and what they use, in BioThings' shape."""
        memory = measure()
        return {
            "queue": {"process": self._process_queue(), "thread": self._thread_queue()},
            "memory": memory.used,
            "available_system_memory": memory.available,
            "max_memory_usage": self._admission.max_memory,
            "hub_pid": os.getpid(),
        }

    def _process_queue(self) -> dict[str, Any]:
        executor = self._executors.get("process")
        jobs = {step.worker: self._job(step) for step in self._running() if isinstance(step.worker, int)}
        pids = set(executor.processes() if executor is not None else ()) | jobs.keys()
        found: dict[int, dict[str, Any]] = {}
        for pid in sorted(pid for pid in pids if isinstance(pid, int)):
            usage = self._usage(pid)
            if usage is not None:
                found[pid] = {**usage, "job": jobs[pid]} if pid in jobs else usage
        return {
            "running": sorted(pid for pid in found if pid in jobs),
            "pending": [step.id for step in self._pending() if step.where != "thread"],
            "all": found,
            "max": executor.workers if executor is not None else 0,
        }

    def _thread_queue(self) -> dict[str, Any]:
        executor = self._executors.get("thread")
        jobs = {step.worker: self._job(step) for step in self._running() if isinstance(step.worker, str)}
        found: dict[str, dict[str, Any]] = {}
        for thread in threading.enumerate():
            if thread.name in jobs or thread.name.startswith("hubkernel-thread-"):
                found[thread.name] = {"is_alive": thread.is_alive(), "is_daemon": thread.daemon}
                if thread.name in jobs:
                    found[thread.name]["job"] = jobs[thread.name]
        return {
            "running": sorted(name for name in found if name in jobs),
            "pending": [step.id for step in self._pending() if step.where == "thread"],
            "all": found,
            "max": executor.workers if executor is not None else 0,
        }

    def _job(self, step: Step) -> dict[str, Any]:
        started = step.started or time.time()
        return {
            "id": step.job,
            "func_name": step.function,
            "category": step.category,
            "source": step.source,
            "step": step.step,
            "description": step.description,
            "started_at": started,
            "duration": timesofar(started),
        }

    def _usage(self, pid: int) -> dict[str, Any] | None:
        """What the process uses; None if it has ended."""
        try:
            process = self._processes.setdefault(pid, psutil.Process(pid))
            with process.oneshot():
                return {
                    "memory": {"size": process.memory_info().rss, "percent": round(process.memory_percent(), 2)},
                    "cpu": {"status": process.status(), "percent": process.cpu_percent()},
                    "io": _io(process),
                }
        except psutil.Error:
            self._processes.pop(pid, None)
            return None


def _io(process: psutil.Process) -> dict[str, int]:
    try:
        counters = process.io_counters()
    except (AttributeError, psutil.Error):  # not on every system, not for every user
        return {}
    names = ("read_count", "write_count", "read_bytes", "write_bytes")
    return {name: getattr(counters, name) for name in names}
