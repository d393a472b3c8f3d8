"""The schedules of a hub: kept, paused, run by hand, made up for. No test waits for a clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from hubkernel.hub.commands import BadArgumentsError, CommandError, ForbiddenError, Role, UnknownCommandError
from hubkernel.hub.config import ConfigError
from hubkernel.hub.home import HubHome
from hubkernel.hub.launching import calling
from hubkernel.hub.loop import LoopThread
from hubkernel.hub.schedule import HubCron, ScheduleError
from hubkernel.hub.schedules import NoSuchScheduleError
from hubkernel.hub.server import HubServer
from tests.hub.test_chains import BY_HAND
from tests.hub.test_server import done, plugin, wait_until

Open = Callable[..., HubServer]
NEVER = "0 0 1 1 *"
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC).timestamp()


@pytest.fixture
def open_hub(home: HubHome, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    made: list[HubServer] = []

    def start(clock: float | None = None, **settings: Any) -> HubServer:
        for name, value in settings.items():
            monkeypatch.setenv(f"HUBKERNEL_{name.upper()}", value)
        made.append(HubServer.open(home, managers_custom_args=BY_HAND))
        if clock is not None:
            made[-1].schedules._clock = lambda: clock
        made[-1].run_in_thread()
        return made[-1]

    yield start
    for server in made:
        server.shutdown()


@pytest.fixture
def server(open_hub: Open, home: HubHome) -> HubServer:
    plugin(home, "colors", {"1": "red"})
    return open_hub()


def shown(server: HubServer, id: int | str) -> dict[str, Any]:
    found: dict[str, Any] = next(entry for entry in done(server, "schedules") if entry["id"] == id)
    return found


def others(server: HubServer) -> list[Any]:
    """All but what every hub has."""
    return [entry["id"] for entry in done(server, "schedules") if entry["id"] != "clean"]


def runs(server: HubServer, id: int | str, number: int) -> dict[str, Any]:
    """Wait until the schedule has run so often, and to the end."""
    wait_until(lambda: shown(server, id)["runs"] == number and shown(server, id)["state"] != "running")
    return shown(server, id)


def test_a_schedule_survives_a_restart(server: HubServer, open_hub: Open) -> None:
    made = done(server, "schedule", NEVER, "dump", "colors", force=True)
    assert (made["id"], made["command"], made["state"]) == (1, "dump(src='colors',force=True)", "waiting")
    done(server, "run_schedule", 1)
    assert runs(server, 1, 1)["error"] is None
    server.shutdown()
    again = open_hub()
    entry = shown(again, 1)
    assert (entry["cron"], entry["command"], entry["runs"]) == (NEVER, "dump(src='colors',force=True)", 1)
    assert entry["last_run"] is not None
    done(again, "run_schedule", "1")
    runs(again, 1, 2)
    assert [job.cause for job in again.jobs.list()] == [{"schedule": "1"}] * 2


def test_pause_and_resume(server: HubServer, open_hub: Open) -> None:
    done(server, "schedule", NEVER, "status")
    assert done(server, "pause_schedule", 1)["state"] == "paused"
    assert shown(server, 1)["next"] is None
    wait_until(lambda: server.schedules.entries[1].cron.handle is None)  # type: ignore[union-attr]
    server.shutdown()
    again = open_hub()
    assert shown(again, 1)["state"] == "paused"
    done(again, "run_schedule", 1)
    assert runs(again, 1, 1)["state"] == "paused"
    assert done(again, "resume_schedule", 1)["state"] == "waiting"
    wait_until(lambda: again.schedules.entries[1].cron.handle is not None)  # type: ignore[union-attr]
    assert shown(again, 1)["next"] is not None


def test_remove(server: HubServer, open_hub: Open) -> None:
    done(server, "schedule", NEVER, "status")
    done(server, "remove_schedule", 1)
    assert (others(server), server.state.collection("schedule").find()) == ([], [])
    with pytest.raises(NoSuchScheduleError, match="no schedule 1"):
        done(server, "remove_schedule", 1)
    assert done(server, "schedule", NEVER, "status")["id"] == 2, "a number is not used again"


def test_what_cannot_be_scheduled_is_refused_at_once(server: HubServer) -> None:
    with pytest.raises(ScheduleError, match="cron"):
        done(server, "schedule", "every day", "status")
    with pytest.raises(UnknownCommandError, match="did you mean 'status'"):
        done(server, "schedule", NEVER, "statsu")
    with pytest.raises(BadArgumentsError, match="dump: 'src' is missing"):
        done(server, "schedule", NEVER, "dump")
    with pytest.raises(CommandError, match="did you mean 'colors'"):
        done(server, "schedule", NEVER, "dump", "colrs")
    assert others(server) == []


def test_a_schedule_gives_nobody_more_rights(server: HubServer) -> None:
    done(server, "schedule", NEVER, "backup", "/nowhere")
    with calling("ann", "rest", Role.operator):
        with pytest.raises(ForbiddenError, match="backup is for developers"):
            server.actions.schedule(NEVER, "backup")
        for method in (server.actions.run_schedule, server.actions.remove_schedule, server.actions.pause_schedule):
            with pytest.raises(ForbiddenError, match="is of developers; you are operator"):
                method(1)
        assert server.actions.schedule(NEVER, "status")["id"] == 2
        server.actions.pause_schedule(2)


def test_an_error_is_shown_and_the_schedule_goes_on(server: HubServer) -> None:
    done(server, "schedule", NEVER, "upload", "colors")
    done(server, "run_schedule", 1)
    assert "has not been dumped yet" in runs(server, 1, 1)["error"]
    done(server, "dump", "colors")
    done(server, "run_schedule", 1)
    assert runs(server, 1, 2)["error"] is None


def test_one_that_runs_is_not_started_twice(server: HubServer) -> None:
    gate = asyncio.Event()
    server.schedules.add(NEVER, gate.wait)
    done(server, "run_schedule", 1)
    wait_until(lambda: shown(server, 1)["state"] == "running")
    with pytest.raises(RuntimeError, match="is running already"):
        done(server, "run_schedule", 1)
    events = server.bus.subscribe()
    server.loop.call_soon_threadsafe(server.schedules.entries[1].cron.call_func)  # type: ignore[union-attr]
    assert next(event for event in events if event.entity == "schedule").op == "skipped"
    server.loop.call_soon_threadsafe(gate.set)
    wait_until(lambda: shown(server, 1)["state"] == "waiting")


def test_a_function_lives_as_long_as_its_hub(server: HubServer, open_hub: Open) -> None:
    assert server.schedules.add(NEVER, print)["command"] == "print"
    server.shutdown()
    assert others(open_hub()) == []


def test_a_command_that_is_gone_is_shown(server: HubServer, open_hub: Open) -> None:
    done(server, "schedule", NEVER, "status")
    server.state.collection("schedule").update_one({"_id": 1}, {"$set": {"command": "stauts"}})
    server.shutdown()
    again = open_hub()
    entry = shown(again, 1)
    assert entry["state"] == "broken"
    assert "did you mean 'status'" in entry["error"]
    with pytest.raises(RuntimeError, match="cannot run"):
        done(again, "run_schedule", 1)


def test_sources_have_their_own(open_hub: Open, home: HubHome) -> None:
    folder = plugin(home, "colors", {"1": "red"})
    manifest = folder / "manifest.json"
    text = manifest.read_text()
    manifest.write_text(text.replace('"dumper": {', f'"dumper": {{"schedule": "{NEVER}", '))
    server = open_hub()
    assert shown(server, "dump:colors")["command"] == "dump(src='colors')"
    done(server, "pause_schedule", "dump:colors")
    with pytest.raises(ValueError, match="pause it instead"):
        done(server, "remove_schedule", "dump:colors")
    with pytest.raises(NoSuchScheduleError, match="did you mean 'dump:colors'"):
        done(server, "run_schedule", "dump:colrs")
    server.shutdown()
    again = open_hub()
    assert shown(again, "dump:colors")["state"] == "paused"
    done(again, "run_schedule", "dump:colors")
    runs(again, "dump:colors", 1)
    manifest.write_text(text)
    done(again, "reload")
    again.schedules.sync()
    assert others(again) == []


def test_dump_by_schedule(server: HubServer, home: HubHome) -> None:
    manifest = home.plugins / "colors" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"dumper": {', f'"dumper": {{"schedule": "{NEVER}", '))
    done(server, "load_plugin", str(manifest.parent))
    assert done(server, "dump", "colors", schedule=True) == f"colors is scheduled: {NEVER}"
    assert shown(server, "dump:colors")["state"] == "waiting"


@pytest.mark.parametrize(("policy", "missed"), [("run", True), ("skip", False)])
@pytest.mark.parametrize(("hours_off", "was_due"), [(2, False), (26, True)])
def test_what_was_missed_while_the_hub_was_off(
    open_hub: Open, policy: str, missed: bool, hours_off: int, was_due: bool
) -> None:
    server = open_hub(clock=NOON, time_zone="UTC")
    done(server, "schedule", "0 9 * * *", "status")
    done(server, "schedule", "0 9 * * *", "help")
    done(server, "pause_schedule", 2)
    server.shutdown()
    again = open_hub(clock=NOON + hours_off * 3600, missed_schedules=policy)
    expected = 1 if missed and was_due else 0
    wait_until(lambda: shown(again, 1)["runs"] == expected)
    assert shown(again, 2)["runs"] == 0, "a paused one misses nothing"
    again.shutdown()
    third = open_hub(clock=NOON + hours_off * 3600 + 1)
    assert shown(third, 1)["runs"] == expected, "it is made up for once"


def test_a_hub_without_a_script_uploads_by_itself_if_it_is_told_to(open_hub: Open) -> None:
    server = open_hub()
    assert "poll:upload" not in server.schedules.entries
    server.shutdown()
    assert shown(open_hub(upload_poll="*/5 * * * *"), "poll:upload")["cron"] == "*/5 * * * *"


def test_the_time_zone(open_hub: Open) -> None:
    server = open_hub(time_zone="Asia/Tokyo")
    done(server, "schedule", "0 9 * * *", "status")
    assert datetime.fromisoformat(shown(server, 1)["next"]).astimezone(UTC).hour == 0
    server.shutdown()
    with pytest.raises(ConfigError, match="no time zone 'Mars/Base'; write it as"):
        open_hub(time_zone="Mars/Base")


@pytest.mark.parametrize(
    ("cron", "start", "expected"),
    [
        ("30 2 * * *", datetime(2026, 3, 28, 12, tzinfo=UTC), ["29 01:00", "30 00:30", "31 00:30"]),
        ("30 2 * * *", datetime(2026, 10, 24, 12, tzinfo=UTC), ["25 00:30", "26 01:30", "27 01:30"]),
        ("*/30 * * * *", datetime(2026, 10, 25, 0, tzinfo=UTC), ["25 00:30", "25 01:00", "25 01:30"]),
    ],
)
def test_daylight_saving_loses_and_repeats_no_run(cron: str, start: datetime, expected: list[str]) -> None:
    """In Berlin 2026-03-29 has no 02:30 and 2026-10-25 has two."""
    hub = LoopThread()
    try:
        made = HubCron(cron, print, loop=hub.loop, tz=ZoneInfo("Europe/Berlin"), start=False)
        moments, moment = [], start.timestamp()
        for _ in expected:
            moment = made.due_after(moment)
            moments.append(datetime.fromtimestamp(moment, UTC).strftime("%d %H:%M"))
        assert moments == expected
    finally:
        hub.close()


def test_jobs_are_not_caused_by_who_made_the_schedule(server: HubServer) -> None:
    async def make() -> None:
        server.schedules.add(NEVER, "dump", ["colors"])

    server.jobs.start("make", make).future.result(30)
    done(server, "run_schedule", 1)
    runs(server, 1, 1)
    assert server.jobs.list(limit=1)[0].cause == {"schedule": "1"}


def test_a_job_that_starts_another_is_its_cause(server: HubServer) -> None:
    async def outer() -> int:
        return int(server.launch("dump", "colors").id)

    job = server.jobs.start("outer", outer)
    inner = job.future.result(30)
    assert server.jobs.get(inner).cause == {"jobs": [job.id]}  # type: ignore[union-attr]
    wait_until(lambda: not server.jobs.list(running=True))
