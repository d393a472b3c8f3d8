from __future__ import annotations

import json
import stat
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hubkernel.api import LocalHub
from hubkernel.hub.audit import AuditLog, masked_command
from hubkernel.hub.commands import ForbiddenError, Role
from hubkernel.hub.home import HubHome
from hubkernel.hub.launching import Origin
from hubkernel.hub.server import HubServer


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    return AuditLog(tmp_path / "logs" / "audit.log", max_bytes=2000, kept=2)


def write(log: AuditLog, number: int) -> None:
    log.write("ann", "rest", "operator", f"dump(src='s{number:04}')", "started")


def numbers(log: AuditLog, limit: int = 100) -> list[int]:
    return [int(entry["command"][11:15]) for entry in log.read(limit)]


def test_an_entry_says_who_ran_what_from_where(log: AuditLog) -> None:
    write(log, 1)
    (entry,) = log.read()
    assert datetime.fromisoformat(entry.pop("time")).tzinfo is UTC
    assert entry == {
        "user": "ann", "door": "rest", "role": "operator", "command": "dump(src='s0001')", "outcome": "started"
    }  # fmt: skip
    assert stat.S_IMODE(log.file.stat().st_mode) == 0o600


def test_the_newest_come_first_over_all_files(log: AuditLog) -> None:
    for number in range(80):
        write(log, number)
    names = sorted(file.name for file in log.file.parent.iterdir())
    assert names == ["audit.log", "audit.log.1", "audit.log.2"]
    assert all(file.stat().st_size <= 2000 for file in log.file.parent.iterdir())
    found = numbers(log)
    assert found == list(range(79, 79 - len(found), -1))
    assert 20 < len(found) < 60
    assert numbers(log, 3) == [79, 78, 77]
    assert [entry["command"] for entry in log.read(1, lambda entry: "s0060" in entry["command"])]


def test_a_line_that_was_cut_by_a_crash_spoils_no_other(log: AuditLog) -> None:
    write(log, 1)
    with log.file.open("ab") as file:
        file.write(b'{"time": 1, "us')
    write(log, 2)
    assert numbers(log) == [2, 1]


def test_long_lines_are_read_in_pieces(log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubkernel.hub.audit.BLOCK", 7)
    for number in range(5):
        write(log, number)
    assert numbers(log) == [4, 3, 2, 1, 0]


def test_many_threads_write_whole_lines(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.log")
    threads = [threading.Thread(target=lambda: [write(log, 1) for _ in range(25)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([json.loads(line) for line in log.file.read_text().splitlines()]) == 100


def test_what_cannot_be_written_is_no_error_of_the_command(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "logs").write_text("a file in the way")
    write(AuditLog(tmp_path / "logs" / "audit.log"), 1)
    assert "cannot be written" in caplog.text


@pytest.mark.parametrize(
    "text",
    [
        "setconf(name='ssh_passwords',value={'me': 'planted'})",
        "setconf('HUB_PASSWD', {'me': 'planted'})",
        "setconf ssh_passwords {'me':'planted'}",
        "setconf ssh_passwords {'me':'planted'",
        "run(text=\"setconf('HUB_PASSWD', {'me': 'planted'})\")",
        "reload() && setconf('HUB_PASSWD', {'me': 'planted'}) && stop()",
        "setconf(name='MY_API_KEY',value='planted') && dump(src='x')",
        "register_url(url='https://me:planted@host/x')",
        "update(settings={'api_key': 'planted', \"password\": \"planted\"})",
        "login(password='pla\\'nted planted')",
        "x(hash='$argon2id$v=19$m=65536,t=3,p=4$planted$planted')",
        "x('$6$planted$planted')",
    ],
)
def test_secrets_are_masked(text: str) -> None:
    assert "planted" not in masked_command(text)
    assert "********" in masked_command(text)


def test_other_parts_of_a_chain_stay() -> None:
    found = masked_command("dump('x', force=True) && setconf('HUB_PASSWD', {'me': 'planted'})")
    assert found == "dump('x',force=True) && setconf(name='HUB_PASSWD',value=********)"


def test_other_values_are_not_masked() -> None:
    for text in ("setconf(name='hub_name',value='Mine')", "dump(src='x',force=True)", "find('a:b@c')"):
        assert masked_command(text) == text


def test_the_commands_of_the_hub(home: HubHome) -> None:
    server = HubServer.open(home)
    server.run_in_thread()
    hub = LocalHub(server)
    try:
        token = hub.call("create_token", "ci", role="operator")
        assert server.access.tokens.check(token).role is Role.operator  # type: ignore[union-attr]
        with pytest.raises(ForbiddenError):
            server.launcher.run("stop", Origin("ann", "ssh", Role.viewer))
        server.launcher.run("reload", Origin("dan", "rest", Role.developer))
        server.audit(Origin("dan", "rest", Role.developer), "setconf(name='ssh_passwords',value='x')", "refused: y")
        entries = hub.call("audit", limit=10)
        assert [(e["user"], e["door"], e["role"], e["command"], e["outcome"].split(":")[0]) for e in entries] == [
            ("dan", "rest", "developer", "setconf(name='ssh_passwords',value=********)", "refused"),
            ("dan", "rest", "developer", "reload", "done"),
            ("ann", "ssh", "viewer", "stop", "refused"),
            (hub.caller.user, "python", "developer", "create_token(name='ci',role='operator')", "done"),
        ]
        assert [entry["user"] for entry in hub.call("audit", outcome="refused")] == ["dan", "ann"]
        assert [entry["user"] for entry in hub.call("audit", user="ann", role="viewer", door="ssh")] == ["ann"]
        with pytest.raises(ValueError, match="did you mean 'refused'"):
            hub.call("audit", outcome="refusd")
        operator = hub.as_(user="ann", door="rest", role=Role.operator)
        with pytest.raises(ForbiddenError):
            operator.call("schedule", "0 3 * * *", "setconf", "hub_name", "x")
        with pytest.raises(ValueError, match="secret"):
            hub.call("setconf", "ssh_passwords", {"me": "planted"})
        newest = hub.call("audit", limit=2)
        assert [entry["command"] for entry in newest] == [
            "setconf(name='ssh_passwords',value=********)",
            "schedule('0 3 * * *','setconf','hub_name','x')",
        ]
        assert [entry["outcome"].split(":")[:2] for entry in newest] == [
            ["failed", " ConfigError"],
            ["refused", " ForbiddenError"],
        ]
        assert hub.jobs(limit=5) == [hub.job(1)]
        assert hub.job(1).command == "reload()"
    finally:
        hub.close()
