"""The kernel "Hub" through Jupyter's own protocol."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from hubkernel.display import JOB_MIME
from hubkernel.hub.home import HubHome
from hubkernel.owner import OwnerLock, read_owner
from tests.e2e.homes import outcome

pytestmark = pytest.mark.service
DEADLINE = 60.0


@dataclass
class Outputs:
    """What a cell has sent so far; ``live`` is the newest state of each display."""

    text: str = ""
    result: dict[str, Any] | None = None
    error: list[str] = field(default_factory=list)
    live: dict[str, dict[str, Any]] = field(default_factory=dict)
    updates: int = 0
    status: str = ""

    def take(self, message: dict[str, Any]) -> None:
        content = message["content"]
        match message["msg_type"]:
            case "stream":
                self.text += content["text"]
            case "execute_result":
                self.result = content["data"]
            case "error":
                self.error = [content["ename"], content["evalue"], *content["traceback"]]
            case "display_data" | "update_display_data" as kind:
                self.live[content["transient"].get("display_id", "")] = content["data"]
                self.updates += kind == "update_display_data"


def reply(client: Any, request: str) -> dict[str, Any]:
    """The reply to one request. Others may come first: a client asks a slow kernel more than once if it is ready."""
    while True:
        message = client.get_shell_msg(timeout=DEADLINE)
        if message["parent_header"].get("msg_id") == request:
            content: dict[str, Any] = message["content"]
            return content


class Cell:
    """One executing cell."""

    def __init__(self, client: Any, code: str) -> None:
        self.client = client
        self.outputs = Outputs()
        self.id = client.execute(code)

    def until(self, wanted: Callable[[Outputs], object]) -> Outputs:
        """Read outputs until ``wanted`` holds or the cell has ended."""
        deadline = time.monotonic() + DEADLINE
        while not wanted(self.outputs):
            message = self.client.get_iopub_msg(timeout=max(0.1, deadline - time.monotonic()))
            if message["parent_header"].get("msg_id") != self.id:
                continue
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                break
            self.outputs.take(message)
        return self.outputs

    def end(self) -> Outputs:
        outputs = self.until(lambda outputs: False)
        outputs.status = reply(self.client, self.id)["status"]
        return outputs


def run(client: Any, code: str) -> Outputs:
    return Cell(client, code).end()


def test_the_kernel_is_ready_before_the_hub_is_open(kernel: Any, home: HubHome) -> None:
    _, client = kernel
    assert run(client, "1 + 1").result == {"text/plain": "2"}
    assert read_owner(home.run) is None
    run(client, "%hub dump hpo_terms && upload hpo_terms")
    assert run(client, "count('hpo_terms')").result == {"text/plain": "60"}
    owner = read_owner(home.run)
    assert owner is not None and owner.placement == "embedded"


def test_every_command_is_a_function_unless_python_has_the_name(kernel: Any) -> None:
    _, client = kernel
    assert run(client, "dump('hpo_terms').result()").result == {"text/plain": "'2025-01-16'"}
    assert run(client, "list((1, 2)), help is __builtins__.help").result == {"text/plain": "([1, 2], True)"}
    assert run(client, "print(dump.__doc__, __import__('inspect').signature(dump))").text.count("force") >= 1
    run(client, "dump = 'mine'\nsources()")
    assert run(client, "dump").result == {"text/plain": "'mine'"}


def test_the_banner_names_the_home(kernel: Any, home: HubHome) -> None:
    _, client = kernel
    banner = reply(client, client.kernel_info())["banner"]
    assert f"at {home}" in banner


def test_a_job_is_displayed_live_and_ends_in_its_final_state(kernel: Any) -> None:
    _, client = kernel
    outputs = run(client, "%hub dump hpo_terms")
    (bundle,) = outputs.live.values()
    assert (bundle[JOB_MIME]["state"], outputs.updates >= 1) == ("done", True)
    assert "<b>done</b>" in bundle["text/html"]
    assert outputs.result is not None
    assert outputs.result["text/plain"].startswith("Job 1 · dump(src='hpo_terms') · done")


def test_a_job_that_nobody_waits_for_stays_live(kernel: Any) -> None:
    _, client = kernel
    run(client, "dump('slow').result()")
    first = Cell(client, "upload('slow')")
    first.end()
    (id,) = first.outputs.live
    client.execute("hub.cancel(2)")
    seen = first.outputs
    deadline = time.monotonic() + DEADLINE
    while seen.live[id][JOB_MIME]["state"] != "cancelled":  # the update may come during that cell or after it
        assert time.monotonic() < deadline
        seen.take(client.get_iopub_msg(timeout=DEADLINE))
    assert "<b>cancelled</b>" in seen.live[id]["text/html"]


def test_an_interrupt_stops_waiting_and_the_hub_and_its_job_live_on(kernel: Any) -> None:
    manager, client = kernel
    run(client, "dump('slow').result()")
    cell = Cell(client, "%hub upload slow\nprint('never')")
    cell.until(lambda outputs: outputs.updates >= 2)
    manager.interrupt_kernel()
    outputs = cell.end()
    assert (outputs.status, outputs.error[0]) == ("error", "WaitInterrupted")
    assert "job 2 goes on. Interrupt again within 2 s to cancel it, or later: hub.cancel(2)" in outputs.text
    assert "never" not in outputs.text
    assert run(client, "hub.job(2).state").result == {"text/plain": "'running'"}
    assert run(client, "hub.cancel(2), hub.job(2).wait(30).state").result == {"text/plain": "(True, 'cancelled')"}


def test_a_second_interrupt_cancels_the_job_and_the_hub_lives_on(kernel: Any, home: HubHome) -> None:
    manager, client = kernel
    run(client, "dump('slow').result()")
    cell = Cell(client, "%hub upload slow")
    cell.until(lambda outputs: outputs.updates >= 2)
    manager.interrupt_kernel()
    cell.until(lambda outputs: "goes on" in outputs.text)
    manager.interrupt_kernel()
    outputs = cell.end()
    assert "Cancelling job 2" in outputs.text
    assert outputs.error[0] == "JobCancelledError"
    assert len(outputs.error) == 3  # one line instead of a traceback
    assert (
        run(client, "%hub upload hpo_terms").error[0] == "JobFailedError"
    )  # it was never dumped: the hub still answers
    manager.shutdown_kernel()
    assert outcome(home)[2] == ("upload(src='slow')", "cancelled")


def test_completion_and_inspection_know_the_commands(kernel: Any) -> None:
    _, client = kernel

    def complete(code: str) -> list[str]:
        matches: list[str] = reply(client, client.complete(code))["matches"]
        return matches

    assert "dump" in complete("du")
    assert complete("%hub dump hpo_") == ["hpo_diseases", "hpo_genes", "hpo_terms"]
    assert complete("dump('hpo_t") == ["hpo_terms"]
    assert complete("hub.dump('hpo_terms', fo") == ["force="]
    text = reply(client, client.inspect("dump"))["data"]["text/plain"]
    assert "force" in text and "src" in text


def test_shutdown_closes_the_hub_and_interrupts_its_jobs(kernel: Any, home: HubHome) -> None:
    manager, client = kernel
    run(client, "dump('slow').result(); job = upload('slow')")
    client.shutdown()
    deadline = time.monotonic() + DEADLINE
    while manager.is_alive():
        assert time.monotonic() < deadline
    assert read_owner(home.run) is None
    assert outcome(home)[2] == ("upload(src='slow')", "interrupted")


def test_a_restart_gives_the_home_back(kernel: Any) -> None:
    manager, client = kernel
    run(client, "sources()")
    manager.restart_kernel(now=True)
    client.wait_for_ready(timeout=DEADLINE)
    assert run(client, "len(sources())").result == {"text/plain": "4"}


def test_a_home_in_use_is_one_line_in_the_cell(kernel: Any, home: HubHome) -> None:
    _, client = kernel
    lock = OwnerLock(home.run)
    lock.acquire()
    outputs = run(client, "sources()")
    lock.release()
    assert outputs.error[0] == "HubBusyError"
    assert f"the hub at {home} is in use by process" in outputs.error[1]
    assert len(outputs.error) == 3
    assert run(client, "len(sources())").result == {"text/plain": "4"}


def test_nothing_is_left_over_in_the_channels(kernel: Any) -> None:
    """A live display must not flood a front end: no message comes from a hub that has nothing to do."""
    _, client = kernel
    run(client, "%hub dump hpo_terms")
    with pytest.raises(queue.Empty):
        client.get_iopub_msg(timeout=1)


def test_wrong_usage_is_one_line_in_the_cell(kernel: Any) -> None:
    _, client = kernel
    for code, words in {
        "dump(1, 2, 3, 4, 5, 6)": "BadArgumentsError: dump",
        "hub.dmup('x')": "did you mean 'dump'?",
        "hub.job(999)": "no job 999",
        "hub.docs('nosuch')": "NoSuchCollectionError",
        "hub.search('nosuch', 'x')": "NoSuchIndexError",
    }.items():
        _, _, *shown = run(client, code).error
        assert len(shown) == 1, shown
        assert words in shown[0]
