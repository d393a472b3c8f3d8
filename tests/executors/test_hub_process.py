"""Workers of a hub in another process: started from a script, from stdin, from a kernel, and orphaned."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.executors.conformance.test_executor import SECONDS
from tests.executors.test_process import gone

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="asks for signals")

HUB = """
import sys, threading
sys.path.insert(0, {root!r})
from hubkernel.executors import open_executor
from tests.executors import works
executor = open_executor("process://?workers=2&start={start}")
print("side effect", flush=True)
"""
RESULT = (
    "print(executor.submit(works.add, 1, 2).future.result(60), executor.submit(works.main_module).future.result(60))\n"
)
ORPHANS = """
import os
pids = []
for _ in range(2):
    seen = threading.Event()
    executor.submit(works.{work}, on_log=lambda line: seen.set())
    seen.wait()
if {fork}:
    pid = os.fork()
    if pid == 0:
        import time
        time.sleep(600)
    print("forked", pid, flush=True)
print("pids", *executor.processes(), flush=True)
threading.Event().wait()
"""


def hub(start: str = "auto") -> str:
    return HUB.format(root=str(ROOT), start=start)


def run(*command: str, script: str | None = None) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        input=script,
        capture_output=True,
        text=True,
        timeout=SECONDS * 2,
        check=False,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


@pytest.mark.parametrize("start", ["forkserver", "spawn"])
@pytest.mark.parametrize("way", ["-c", "stdin", "file"])
def test_workers_do_not_run_the_main_module_again(way: str, start: str, tmp_path: Path) -> None:
    script = hub(start) + RESULT  # without an `if __name__ == "__main__"`, and it never closes the executor
    if way == "file":
        path = tmp_path / "script.py"
        path.write_text(script)
        output = run(str(path))
    else:
        output = run("-c", script) if way == "-c" else run("-", script=script)
    assert output == "side effect\n3 None\n"


def test_a_file_in_the_working_directory_does_not_shadow_the_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "selectors.py").write_text("raise SystemExit('shadowed')\n")
    script = tmp_path / "elsewhere" / "script.py"
    script.parent.mkdir()
    script.write_text(hub() + RESULT)
    assert run(str(script)) == "side effect\n3 None\n"


@pytest.mark.parametrize(
    ("start", "work", "fork"),
    [("forkserver", "endless", False), ("spawn", "endless", False), ("forkserver", "endless_with_child", True)],
)
@pytest.mark.service
def test_workers_do_not_outlive_a_killed_hub(start: str, work: str, fork: bool) -> None:
    script = hub(start) + ORPHANS.format(work=work, fork=fork)
    forked = None
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("forked"):
                forked = int(line.split()[1])
            if line.startswith("pids"):
                pids = [int(pid) for pid in line.split()[1:]]
                break
        server = os.getppid() if start == "spawn" else _parent(pids[0])
        process.send_signal(signal.SIGKILL)
        process.wait(SECONDS)
        try:
            assert len(pids) == 2
            assert gone(*pids, *([server] if start == "forkserver" else []))
        finally:
            if forked is not None:
                os.kill(forked, signal.SIGKILL)


def _parent(pid: int) -> int:
    import psutil

    return psutil.Process(pid).ppid()


@pytest.mark.service
def test_workers_of_a_jupyter_kernel_survive_its_interrupt() -> None:
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(kernel_name="python3")
    try:
        _execute(client, hub() + RESULT)
        begun = "seen = threading.Event()\nfrom pathlib import Path\nimport tempfile\n"
        begun += "gate = Path(tempfile.mkdtemp()) / 'gate'\n"
        begun += "work = executor.submit(works.hold, gate, on_log=lambda line: seen.set())\nassert seen.wait(60)\n"
        _execute(client, begun)
        manager.interrupt_kernel()
        assert _execute(client, "gate.touch(); print(work.future.result(60) == work.worker)") == "True\n"
        _execute(client, "executor.close()")
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def _execute(client: object, code: str) -> str:
    printed: list[str] = []

    def output(message: dict[str, dict[str, str]]) -> None:
        if "text" in message["content"]:
            printed.append(message["content"]["text"])

    reply = client.execute_interactive(code, timeout=60, output_hook=output)  # type: ignore[attr-defined]
    assert reply["content"]["status"] == "ok", reply["content"]
    return "".join(printed)
