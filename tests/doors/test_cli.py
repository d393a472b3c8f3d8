"""The command line in this process, with a fake hub; tests/e2e runs the real one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hubkernel import cli, client, live
from hubkernel.api import JobHandle, LocalHub
from hubkernel.hub.home import HubHome
from hubkernel.jobs.models import JobRecord
from hubkernel.owner import OwnerLock
from hubkernel.store import open_state
from tests.doors.fake import FakeServer

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def connected(api: LocalHub, monkeypatch: pytest.MonkeyPatch) -> LocalHub:
    monkeypatch.setattr(client, "connect", lambda home=None, door="": api)
    monkeypatch.setattr(client, "disconnect", lambda home=None: None)
    return api


@pytest.fixture
def home(tmp_path: Path) -> str:
    return str(tmp_path / "home")


def run(home: str, *arguments: str) -> int:
    return cli.main(["--home", home, *arguments])


# ----------------------------------------------------------------------------------------------------------------- exec


@pytest.mark.usefixtures("connected")
class TestExec:
    def test_a_result_goes_to_stdout_and_progress_to_stderr(self, home: str, capsys: Captured) -> None:
        assert run(home, "exec", "quick()") == 0
        out, err = capsys.readouterr()
        assert out == "quickly\n"
        assert "quick()" in err and "done" in err

    def test_quiet_shows_no_progress(self, home: str, capsys: Captured) -> None:
        assert run(home, "exec", "-q", "quick") == 0
        assert capsys.readouterr() == ("quickly\n", "")

    def test_words_are_joined(self, home: str, capsys: Captured) -> None:
        assert run(home, "exec", "later", "41") == 0
        assert capsys.readouterr().out == "42\n"

    def test_lists_are_tables_and_the_rest_is_json(self, home: str, capsys: Captured) -> None:
        assert run(home, "exec", "sources") == 0
        assert capsys.readouterr().out.splitlines()[1].split()[0] == "hpo_terms"
        assert run(home, "exec", "status()") == 0
        assert json.loads(capsys.readouterr().out) == {"source": {"total": 2}}

    def test_json_is_one_line(self, home: str, capsys: Captured) -> None:
        assert run(home, "exec", "--json", "status()") == 0
        assert json.loads(capsys.readouterr().out) == {"source": {"total": 2}}
        assert run(home, "exec", "--json", "quick()") == 0
        job = json.loads(capsys.readouterr().out)
        assert (job["state"], job["result"], job["command"]) == ("done", "quickly", "quick()")

    def test_a_chain_is_one_job_and_shows_all_results(self, home: str, capsys: Captured, server: FakeServer) -> None:
        assert run(home, "exec", "quick() && status() && sources") == 0
        out = capsys.readouterr().out
        assert out.startswith("quickly\n{\n")
        assert "hpo_terms" in out
        assert run(home, "exec", "--json", "quick() && status()") == 0
        job = json.loads(capsys.readouterr().out)
        assert (job["command"], job["result"]) == ("quick() && status()", ["quickly", {"source": {"total": 2}}])
        assert len(server.jobs.records) == 2

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("dmp('x')", "no command 'dmp'; did you mean 'dump'?"),
            ("dump", "'src' is missing"),
            ("dump(__import__('os'))", "only literals"),
            ("status && ", "'&&' needs a command on both sides"),
            ("quick && dmp x", "no command 'dmp'; did you mean 'dump'?"),
            ("status && quick", "can't chain commands"),
        ],
    )
    def test_wrong_usage_is_status_2(
        self, home: str, text: str, says: str, capsys: Captured, server: FakeServer
    ) -> None:
        assert run(home, "exec", text) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert says in err
        assert not server.jobs.records

    def test_a_failure_is_status_1_and_stops_the_chain(self, home: str, capsys: Captured, server: FakeServer) -> None:
        assert run(home, "exec", "setconf nothing 1 && setconf x 2") == 1
        assert "there is no setting 'nothing'" in capsys.readouterr().err
        assert len(server.jobs.records) == 1

    def test_a_failed_job_is_status_1_with_its_record_as_json(
        self, home: str, capsys: Captured, server: FakeServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(self: live.PlainScreen, job: JobHandle) -> None:
            if not job.finished:
                server.jobs.move(job.id, state="failed", error="404: http://x/y", traceback="Traceback ...")

        monkeypatch.setattr(live.PlainScreen, "draw", fail)
        assert run(home, "exec", "--json", "--traceback", "dump x") == 1
        out, err = capsys.readouterr()
        assert json.loads(out)["state"] == "failed"
        assert err.endswith("Traceback ...\nhubkernel: job 1 dump(src='x') failed: 404: http://x/y\n")

    def test_ctrl_c_cancels_the_job(
        self, home: str, capsys: Captured, server: FakeServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        draw = live.PlainScreen.draw

        def interrupt(self: live.PlainScreen, job: JobHandle) -> None:
            draw(self, job)
            if not job.finished:
                signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(live.PlainScreen, "draw", interrupt)
        assert run(home, "exec", "dump x") == 130
        assert [record.state for record in server.jobs.records.values()] == ["cancelled"]
        assert "Cancelling job 1" in capsys.readouterr().err


def test_a_home_in_use_is_status_75(home: str, capsys: Captured) -> None:
    lock = OwnerLock(HubHome.find(home).run)
    lock.acquire()
    assert run(home, "exec", "status") == 75
    assert f"the hub at {home} is in use by process" in capsys.readouterr().err
    lock.release()


def test_no_command_is_wrong_usage(capsys: Captured) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([])
    assert caught.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


# --------------------------------------------------------------------------------------------------------------- status


@pytest.fixture
def used_home(tmp_path: Path) -> HubHome:
    home = HubHome(tmp_path / "home").create()
    (home.plugins / "hpo_genes").mkdir()
    state = open_state(home.state_url)
    download = {"status": "success", "release": "2025-01-16"}
    upload = {"jobs": {"hpo_terms": {"status": "success", "count": 19484}}}
    state["src_dump"].insert_one({"_id": "hpo_terms", "download": download, "upload": upload})
    state["src_build"].insert_one(
        {
            "_id": "hpo_1",
            "build_config": {"name": "hpo"},
            "jobs": [{"status": "success"}],
            "_meta": {"stats": {"total": 19484}},
        }
    )
    state["job"].insert_one(JobRecord(7, "dump", command="dump(src='hpo_terms')", state="done").to_document())
    state.close()
    return home


def test_status_shows_sources_builds_and_jobs(used_home: HubHome, capsys: Captured) -> None:
    assert run(str(used_home), "status") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["hpo_genes", "never", "never"] in lines
    assert ["hpo_terms", "2025-01-16", "success", "success", "19,484"] in lines
    assert ["hpo_1", "hpo", "success", "19,484"] in lines
    assert ["7", "dump(src='hpo_terms')", "done"] in lines


def test_status_works_while_another_process_owns_the_home(used_home: HubHome, capsys: Captured) -> None:
    lock = OwnerLock(used_home.run)
    owner = lock.acquire()
    assert run(str(used_home), "status") == 0
    assert f"in use by process {owner.pid} since" in capsys.readouterr().out
    assert run(str(used_home), "status", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["owner"]["pid"], found["sources"][1]["documents"]) == (owner.pid, 19484)
    lock.release()


def test_status_of_no_hub_makes_none(home: str, capsys: Captured) -> None:
    assert run(home, "status") == 0
    assert f"No hub at {home} yet" in capsys.readouterr().out
    assert not Path(home).exists()


# ------------------------------------------------------------------------------------------------------- install-kernel


def test_install_kernel_writes_a_spec_that_starts_this_python(tmp_path: Path, home: str, capsys: Captured) -> None:
    assert run(home, "install-kernel", "--prefix", str(tmp_path)) == 0
    spec = json.loads((tmp_path / "share/jupyter/kernels/hub/kernel.json").read_text())
    assert spec["argv"] == [sys.executable, "-m", "hubkernel.kernel", "-f", "{connection_file}"]
    assert spec["env"] == {"HUBKERNEL_HOME": home}
    assert spec["interrupt_mode"] == "signal"
    assert "choose the kernel 'Hub'" in capsys.readouterr().out


def test_the_packaged_spec_is_the_installed_one_but_for_the_python(tmp_path: Path) -> None:
    cli.main(["install-kernel", "--prefix", str(tmp_path)])
    installed = json.loads((tmp_path / "share/jupyter/kernels/hub/kernel.json").read_text())
    packaged = json.loads((Path(cli.__file__).parents[1] / "share/kernels/hub/kernel.json").read_text())
    assert {**installed, "argv": ["python", *installed["argv"][1:]]} == packaged


# -------------------------------------------------------------------------------------------------------- what it costs

HEAVY = {
    "IPython",
    "ipykernel",
    "tornado",
    "elasticsearch",
    "tantivy",
    "pymongo",
    "pandas",
    "numpy",
    "pydantic",
    "httpx",
}


def loaded(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sorted(sys.modules), file=sys.stderr)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stderr.split())


@pytest.mark.parametrize(
    ("code", "also_absent"),
    [
        ("import hubkernel", {"asyncio", "argparse", "sqlite3", "logging"}),
        ("import hubkernel.cli; hubkernel.cli.parser().format_help()", {"asyncio", "sqlite3", "logging", "json"}),
        ("import hubkernel.client", set()),
        ("import hubkernel.cli; hubkernel.cli.main(['--home', '/nowhere/at/all', 'status'])", {"asyncio", "sqlite3"}),
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(code: str, also_absent: set[str]) -> None:
    modules = loaded(code)
    assert any(name.startswith("hubkernel") for name in modules)
    assert not modules & (HEAVY | also_absent)


def test_status_of_a_used_home_loads_no_engine(used_home: HubHome) -> None:
    modules = loaded(f"import hubkernel.cli; hubkernel.cli.main(['--home', {str(used_home)!r}, 'status'])")
    assert "sqlite3" in modules
    assert not modules & {*HEAVY, "hubkernel.hub.server"}
