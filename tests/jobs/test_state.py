"""Properties of a job's life, whatever happens to it in whatever order."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubkernel.jobs.state import (
    TERMINAL,
    Cancel,
    Event,
    Fail,
    IllegalEventError,
    Instruction,
    Interrupt,
    Journal,
    Life,
    Publish,
    Requeue,
    Settle,
    Start,
    State,
    Stop,
    Stopped,
    Succeed,
    Wait,
    born,
    step,
)

TIMES = st.floats(0, 1e9)
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(Wait, TIMES, st.text(max_size=3)),
    st.builds(Start, TIMES),
    st.builds(Succeed, TIMES, st.integers()),
    st.builds(Fail, TIMES, st.text(max_size=3), st.text(max_size=3)),
    st.builds(Cancel, TIMES),
    st.builds(Stopped, TIMES),
    st.builds(Interrupt, TIMES, st.text(max_size=3)),
    st.builds(Requeue, TIMES),
)
STORIES = st.lists(EVENTS, max_size=12)
EDGES = {
    "created": {"queued", "running", "failed", "cancelled", "interrupted"},
    "queued": {"running", "failed", "cancelled", "interrupted"},
    "running": {"done", "failed", "cancelled", "interrupted"},
    "interrupted": {"queued"},
}


def live(life: Life, events: list[Event]) -> tuple[Life, list[tuple[Life, Event, tuple[Instruction, ...]]]]:
    """Feed all events; those that cannot happen change nothing."""
    steps = []
    for event in events:
        before = life
        try:
            life, instructions = step(life, event)
        except IllegalEventError:
            assert life is before
            continue
        steps.append((before, event, instructions))
    return life, steps


@given(STORIES, st.booleans())
def test_nothing_but_a_requeue_leads_out_of_a_terminal_state(events: list[Event], idempotent: bool) -> None:
    life = born(0, idempotent=idempotent)
    for event in events:
        before = life
        life, _ = live(life, [event])
        if before.state in TERMINAL and life != before:
            assert isinstance(event, Requeue)
            assert before.state is State.INTERRUPTED
            assert idempotent
            assert life.state is State.QUEUED


@given(STORIES)
def test_events_after_the_end_ask_for_nothing(events: list[Event]) -> None:
    _, steps = live(born(0), events)
    assert all(not instructions for before, event, instructions in steps if before.ended)


@given(STORIES, st.booleans(), st.sampled_from([Stopped(1), Fail(1, "e"), Interrupt(1, "hub ended")]))
def test_every_job_can_end_at_every_moment(events: list[Event], idempotent: bool, last: Event) -> None:
    life, _ = live(born(0, idempotent=idempotent), events)
    life, _ = live(life, [last])
    assert life.ended


@given(STORIES, STORIES, TIMES)
def test_after_a_cancel_a_job_ends_as_cancelled_or_had_already_ended(
    before: list[Event], after: list[Event], at: float
) -> None:
    life, _ = live(born(0, idempotent=True), before)
    had_ended = life.ended
    life, instructions = step(life, Cancel(at))
    assert instructions == (() if had_ended else (Stop(),))
    if not had_ended:
        life, _ = live(life, after)
        assert not life.ended or life.state is State.CANCELLED
        life, _ = step(life, Succeed(at)) if life.state is State.RUNNING else step(life, Stopped(at))
        assert life.state is State.CANCELLED


@given(STORIES, st.booleans())
def test_a_job_is_queued_again_only_if_it_was_interrupted_and_is_idempotent(
    events: list[Event], idempotent: bool
) -> None:
    life, _ = live(born(0, idempotent=idempotent), events)
    if idempotent and life.state is State.INTERRUPTED:
        again, _ = step(life, Requeue(5))
        assert again.state is State.QUEUED
        assert not again.cancelling
    else:
        with pytest.raises(IllegalEventError):
            step(life, Requeue(5))


@given(STORIES, st.booleans())
def test_the_story_tells_every_transition_once_and_in_order(events: list[Event], idempotent: bool) -> None:
    life, steps = live(born(0, idempotent=idempotent), events)
    names = [name for name, _ in life.story]
    assert names[0] == "created"
    assert names[-1] == life.state
    assert all(after in EDGES[before] for before, after in itertools.pairwise(names))
    times = [event.at for before, event, _ in steps if step(before, event)[0].story != before.story]
    assert [at for _, at in life.story[1:]] == times


@given(STORIES, st.booleans())
def test_what_is_published_was_journaled_before_and_an_end_is_settled_once(
    events: list[Event], idempotent: bool
) -> None:
    _, steps = live(born(0, idempotent=idempotent), events)
    for before, event, instructions in steps:
        kinds = [type(instruction) for instruction in instructions if not isinstance(instruction, Stop)]
        ends = step(before, event)[0].ended and not before.ended
        assert kinds in ([], [Journal, Publish], [Journal, Settle, Publish])
        assert (Settle in kinds) == ends


@given(STORIES, st.booleans())
def test_the_journal_alone_tells_where_a_job_stands(events: list[Event], idempotent: bool) -> None:
    life, steps = live(born(0, idempotent=idempotent), events)
    record: dict[str, object] = {"state": "created", "story": [["created", 0]]}
    for _, _, instructions in steps:
        for instruction in instructions:
            if isinstance(instruction, Journal):
                record.update(instruction.changes)
    assert record["state"] == life.state
    assert record["story"] == [list(entry) for entry in life.story]
    if life.state is State.FAILED:
        assert record["error"] is not None
    assert (record.get("finished") is not None) == life.ended


@pytest.mark.parametrize("event", [Succeed(1), Wait(1), Start(1)])
def test_what_cannot_happen_is_an_error_of_the_caller(event: Event) -> None:
    life = born(0) if isinstance(event, Succeed) else step(born(0), Start(0))[0]
    with pytest.raises(IllegalEventError, match=type(event).__name__):
        step(life, event)
