"""What a hub does by the clock: commands on schedules, dumps of sources, builds, what one stage leaves for the next.

A schedule is known by its number if a user made it (it is kept in the hub's state, collection ``schedule``), or by a
name such as ``dump:colors`` if it follows from a manifest, a build configuration or a setting. What is remembered of it
(paused, last run) is kept in the same collection either way.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from hubkernel.hub.actions import finish
from hubkernel.hub.chains import STAGES, Chains
from hubkernel.hub.commands import ForbiddenError, lookup
from hubkernel.hub.launching import origin
from hubkernel.hub.names import hint
from hubkernel.hub.schedule import HubCron, JobRenderer, ScheduleError, check_cron, iso
from hubkernel.jobs import because
from hubkernel.pipeline.triggers import Triggers

if TYPE_CHECKING:
    from hubkernel.hub.events import Event
    from hubkernel.hub.server import HubServer

log = logging.getLogger(__name__)

COLLECTION = "schedule"
CLEANING = "23 4 * * *"
Id = int | str


class NoSuchScheduleError(LookupError):
    """There is no schedule of that number or name."""


@dataclass
class Entry:
    """One schedule."""

    id: Id
    crontab: str
    what: str
    """The command, or what else is done, in words."""
    func: Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    command: str = ""
    """Name of the command, if it is one that a user chose."""
    remembered: bool = True
    """Whether its runs are written down. A poll is not worth a write every ten seconds."""
    cron: HubCron | None = None
    """None while its time is wrong, or its command is gone."""
    paused: bool = False
    error: str = ""
    """Why it cannot run."""


class _InThread:
    """What a cron calls of a function that reads the hub's state: the loop does not wait for a disk."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self.__name__ = JobRenderer().render_method(function)

    def __call__(self) -> Awaitable[Any]:
        return asyncio.to_thread(self._function)


class _Remembered:
    """What a cron calls; it is shown as the command."""

    def __init__(self, run: Callable[[Entry], Awaitable[None]], entry: Entry) -> None:
        self._run, self._entry = run, entry
        self.__name__ = entry.what

    def __call__(self) -> Awaitable[None]:
        return self._run(self._entry)


class Schedules:
    """All schedules of one hub; they live until :meth:`close`. Public methods may be called from any thread.

    ``clock`` gives seconds since the epoch.
    """

    def __init__(self, server: HubServer, clock: Callable[[], float] = time.time) -> None:
        self.server = server
        self.entries: dict[Id, Entry] = {}
        self._clock = clock
        self._closed = False
        self._lock = threading.RLock()

    @functools.cached_property
    def chains(self) -> Chains:
        return Chains(self.server)

    @property
    def triggers(self) -> Triggers:
        return self.chains.triggers

    @property
    def _stored(self) -> Any:
        return self.server.state.collection(COLLECTION)

    # Of users.

    def add(
        self,
        crontab: str,
        func: str | Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Run a command (by name) or a function by a cron; returns what :meth:`all` has of it.

        A command is kept for later starts; a function only lives as long as this hub. Raises :class:`ScheduleError` for
        the cron, ``CommandError`` for the command. An error of a run is logged, published as event
        ``schedule``/``failed``, and ends nothing.
        """
        check_cron(crontab)
        kwargs = dict(kwargs or {})
        if not isinstance(func, str):
            what = getattr(func, "__name__", type(func).__name__)
            return self._add(Entry(self._number(), crontab, what, func, tuple(args), kwargs, remembered=False))
        what = self._checked(func, args, kwargs)
        number = self._number()
        document = {"_id": number, "crontab": crontab, "command": func, "args": list(args), "kwargs": kwargs}
        self._stored.insert_one({**document, "paused": False, "created": self._clock(), "runs": 0})
        return self._add(self._command_entry(document, what))

    def _number(self) -> int:
        """A new one; a restored backup may have brought schedules whose numbers were not counted here."""
        while True:
            number = int(self._stored.next_id())
            if number not in self.entries and self._stored.find_one({"_id": number}) is None:
                return number

    def _checked(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        """The command as text."""
        command = lookup(name, self.server.commands, self.server.extra_commands)
        command.bind(args, kwargs)
        return command.text(args, kwargs)

    def _command_entry(self, document: Mapping[str, Any], what: str) -> Entry:
        run = functools.partial(self._run, document["command"])
        args, kwargs = tuple(document["args"]), dict(document["kwargs"])
        return Entry(document["_id"], document["crontab"], what, run, args, kwargs, document["command"])

    def _add(self, entry: Entry) -> dict[str, Any]:
        """Replaces one of the same id."""
        with self._lock:
            self._drop(entry.id)
            entry.paused = bool((self._remembered(entry.id) or {}).get("paused"))
            self.entries[entry.id] = entry
            if not entry.error:
                self._make_cron(entry)
        return self._shown(entry)

    def _make_cron(self, entry: Entry) -> None:
        zone = self.server.config.time_zone
        try:
            entry.cron = HubCron(
                entry.crontab,
                _Remembered(self._remember, entry) if entry.remembered else entry.func,
                () if entry.remembered else entry.args,
                None if entry.remembered else entry.kwargs,
                loop=self.server.loop,
                on_error=self._failed,
                on_skip=lambda what: self.server.bus.publish("schedule", what, "skipped"),
                tz=ZoneInfo(zone) if zone else None,
                start=not entry.paused,
            )
        except ScheduleError as error:
            entry.error = str(error)
            log.error("schedule %s: %s", entry.id, error)

    def all(self) -> list[dict[str, Any]]:
        """All schedules: ``{"id", "cron", "command", "next", "last_run", "state", "error", "runs"}``. Times are ISO
        8601; ``state`` is ``waiting``, ``running``, ``paused`` or ``broken``.
        """
        with self._lock:
            entries = [*self.entries.values()]
        return [self._shown(entry) for entry in sorted(entries, key=lambda e: (isinstance(e.id, str), e.id))]

    def pause(self, id: Id) -> dict[str, Any]:
        """It does not run by the clock until :meth:`resume`, also after a restart of the hub."""
        return self._set_paused(self._entry(id), True)

    def resume(self, id: Id) -> dict[str, Any]:
        """Run by the clock again. What was due meanwhile is not made up for."""
        return self._set_paused(self._entry(id), False)

    def _set_paused(self, entry: Entry, paused: bool) -> dict[str, Any]:
        if entry.cron is not None and entry.paused != paused:
            entry.cron.cancel() if paused else entry.cron.resume()
        entry.paused = paused
        self._note(entry, {"paused": paused})
        return self._shown(entry)

    def run_now(self, id: Id) -> dict[str, Any]:
        """Run once, now; also one that is paused. Raises ``RuntimeError`` while it runs."""
        entry = self._entry(id)
        if entry.cron is None:
            raise RuntimeError(f"schedule {id!r} cannot run: {entry.error}")
        if entry.cron.running:
            raise RuntimeError(f"schedule {id!r} is running already")
        self.server.loop.call_soon_threadsafe(entry.cron.call_func)
        return self._shown(entry)

    def remove(self, id: Id) -> None:
        """Forget a user's schedule. One that follows from something else can only be paused."""
        entry = self._entry(id)
        if isinstance(entry.id, str):
            raise ValueError(f"schedule {id!r} follows from the hub's sources, builds or settings: pause it instead")
        with self._lock:
            self._drop(entry.id)
        self._stored.delete_one({"_id": entry.id})

    def _entry(self, id: Id) -> Entry:
        """Raises :class:`NoSuchScheduleError`, and :class:`ForbiddenError` for a schedule of a command that is not the
        caller's to run: schedules run with the hub's own rights.
        """
        found = self.entries.get(id)
        if found is None and isinstance(id, str) and id.isdigit():
            found = self.entries.get(int(id))
        if found is None:
            raise NoSuchScheduleError(f"no schedule {id!r}{hint(str(id), map(str, self.entries))}")
        command = self.server.commands.get(found.command) or self.server.extra_commands.get(found.command)
        if command is not None and command.role > origin().role:
            raise ForbiddenError(f"schedule {id!r} is of {command.role.name}s; you are {origin().role.name}")
        return found

    def _drop(self, id: Id) -> None:
        entry = self.entries.pop(id, None)
        if entry is not None and entry.cron is not None:
            entry.cron.cancel()

    # Of the hub.

    def start(self) -> None:
        """Begin: users' schedules, those of sources and builds, the polls; then make up for what was missed, if the
        setting ``missed_schedules`` says so. Called on the hub loop.
        """
        self.chains.recover()
        for document in self._stored.find({"command": {"$exists": True}}):
            self._restore(document)
        for id, crontab, what, func in self._polls():
            self._add(Entry(id, crontab, what, _InThread(func), remembered=False))
        clean = _InThread(self.clean)
        self._add(Entry("clean", CLEANING, "remove old logs, events and triggers", clean, remembered=False))
        check = self.server.config.upgrade_check
        if check and self.server.upgrades is not None:
            run = functools.partial(self._run, "check_upgrade")
            self._add(Entry("check:upgrade", check, "check_upgrade()", run))
        self.sync()
        if self.server.config.missed_schedules == "run":
            self._make_up()

    def _restore(self, document: Mapping[str, Any]) -> None:
        entry = self._command_entry(document, f"{document['command']}(...)")
        try:
            entry.what = self._checked(document["command"], document["args"], document["kwargs"])
        except Exception as error:
            entry.error = str(error)
            log.error("schedule %s cannot run: %s", entry.id, error)
        self._add(entry)

    def _polls(self) -> list[tuple[str, str, str, Callable[[], Any]]]:
        polls: dict[str, Callable[[], Any]] = {"upload": self.upload_pending, "index": self.index_pending}
        found = []
        for name, poll in polls.items():
            crontab = self.server.poll_schedules.get(name)
            skipped = name == "upload" and self.server.config.skip_uploader_poll
            if crontab and STAGES[name].manager in self.server.managers and not skipped:
                found.append((f"poll:{name}", crontab, f"start what waits for {name}", poll))
        return found

    def hear(self, event: Event) -> None:
        """Called with each event of the hub."""
        if event.entity == "build_config" or (event.entity, event.op) == ("data_plugin", "reloaded"):
            self.sync()

    def sync(self) -> None:
        """Follow what manifests and build configurations say now. Called at start and whenever they changed."""
        with self._lock:
            if self._closed:
                return
            wanted = {**self._dumps(), **self._autobuilds()}
            for id in [id for id in self.entries if str(id).startswith(("dump:", "autobuild:")) and id not in wanted]:
                self._drop(id)
            for id in [entry.id for entry in self.entries.values() if entry.command and entry.error]:
                if (document := self._remembered(id)) is not None:
                    self._restore(document)  # its source may have come back
            for id, entry in wanted.items():
                known = self.entries.get(id)
                if known is None or known.crontab != entry.crontab:
                    self._add(entry)

    def _dumps(self) -> dict[Id, Entry]:
        if "source_manager" not in self.server.managers or self.server.config.skip_dumper_schedule:
            return {}
        crontabs = self.server.managers["dump_manager"].schedules()
        return {f"dump:{name}": self._dump_entry(name, crontab) for name, crontab in crontabs.items()}

    def _dump_entry(self, name: str, crontab: str) -> Entry:
        run = functools.partial(self._run, "dump")
        return Entry(f"dump:{name}", crontab, f"dump(src={name!r})", run, (name,))

    def schedule_dump(self, name: str, crontab: str) -> None:
        """``dump(src, schedule=True)``."""
        self._add(self._dump_entry(name, crontab))

    def _autobuilds(self) -> dict[Id, Entry]:
        builds = self.server.managers.get("build_manager")
        found: dict[Id, Entry] = {}
        for name, crontab in (builds.schedules() if builds is not None else {}).items():
            what = f"merge(build_name={name!r}) if a source has news"
            found[f"autobuild:{name}"] = Entry(f"autobuild:{name}", crontab, what, self._autobuild, (name,))
        return found

    async def _autobuild(self, name: str) -> Any:
        """Build if there is news since the last build; the uploads that brought it are the cause."""
        builds = self.server.managers["build_manager"]
        cause = await asyncio.to_thread(builds.uploads_since, name)
        if cause is None:
            return None
        with because(schedule=f"autobuild:{name}", jobs=cause):
            return await self._run("merge", name)

    def _make_up(self) -> None:
        now = self._clock()
        for entry in [*self.entries.values()]:
            document = self._remembered(entry.id) or {}
            seen = document.get("last_run") or document.get("created")
            if entry.cron is None or entry.paused or not seen or entry.cron.due_after(seen) > now:
                continue
            log.info("schedule %s (%s) was due while the hub was off: it runs now", entry.id, entry.what)
            entry.cron.call_func()

    def close(self) -> None:
        """End all of them."""
        with self._lock:
            self._closed = True
            for id in [*self.entries]:
                self._drop(id)

    def upload_pending(self) -> list[str]:
        """Start the upload of each source that a dump marked as ``pending``; returns their names."""
        return self.chains.poll("upload")

    def index_pending(self) -> list[str]:
        """Index each new build whose configuration says where (``autobuild.env``); returns their names."""
        return self.chains.poll("index")

    def clean(self) -> None:
        """Remove the logs of jobs, event documents and triggers that are older than the hub keeps them."""
        self.server.jobs.logs.prune(self.server.config.job_log_days)
        self.server.alerts.prune()
        self.triggers.prune()

    # One run.

    async def _remember(self, entry: Entry) -> None:
        """A run whose beginning and end are written down."""
        began = {"last_run": self._clock(), "last_error": None}
        await asyncio.to_thread(self._note, entry, began, runs=1)
        error: str | None = None
        try:
            with because(schedule=str(entry.id)):
                await entry.func(*entry.args, **entry.kwargs)
        except Exception as problem:
            error = f"{type(problem).__name__}: {problem}"
            raise
        finally:
            await asyncio.to_thread(self._note, entry, {"last_end": self._clock(), "last_error": error})

    async def _run(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Until the job that it starts has ended, so that runs never overlap."""
        result = await finish(await asyncio.to_thread(self.server.launch, name, *args, **kwargs))
        if (future := getattr(result, "future", None)) is not None:
            return await asyncio.wrap_future(future)
        return result

    def _failed(self, what: str, error: BaseException) -> None:
        self.server.bus.publish("schedule", what, "failed", {"error": f"{type(error).__name__}: {error}"})

    # What is remembered.

    def _remembered(self, id: Id) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self._stored.find_one({"_id": id})
        return found

    def _note(self, entry: Entry, values: Mapping[str, Any], runs: int = 0) -> None:
        update = {"$set": dict(values), "$inc": {"runs": runs}}
        if isinstance(entry.id, str) or entry.remembered:
            self._stored.update_one({"_id": entry.id}, update, upsert=isinstance(entry.id, str))

    def _shown(self, entry: Entry) -> dict[str, Any]:
        document = self._remembered(entry.id) or {}
        return {
            "id": entry.id,
            "cron": entry.crontab,
            "command": entry.what,
            "state": _state(entry),
            "next": iso(self._next(entry)),
            "last_run": iso(document.get("last_run")),
            "runs": document.get("runs", entry.cron.runs if entry.cron is not None else 0),
            "error": entry.error or document.get("last_error"),
        }

    def _next(self, entry: Entry) -> float | None:
        if entry.cron is None or entry.paused:
            return None
        return entry.cron.next_run or entry.cron.due_after(self._clock())


def _state(entry: Entry) -> str:
    if entry.cron is None:
        return "broken"
    if entry.cron.running:
        return "running"
    return "paused" if entry.paused else "waiting"
