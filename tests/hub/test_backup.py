from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hubkernel.hub.backup import BackupError, backup, restore
from hubkernel.store import StateStore, open_state

COLLECTIONS = [
    "src_dump",
    "src_master",
    "src_build",
    "src_build_config",
    "data_plugin",
    "api",
    "cmd",
    "event",
    "hub_config",
]


def fill(state: StateStore) -> None:
    for name in COLLECTIONS:
        for number in range(3):
            when = datetime(2026, 3, 2, 12, tzinfo=UTC)
            state.collection(name).insert_one({"_id": f"{name}{number}", "n": number, "at": when, "deep": {"a": [1]}})


def contents(state: StateStore) -> dict[str, list[dict[str, object]]]:
    return {name: state.collection(name).find(sort=[("_id", 1)]) for name in COLLECTIONS}


def test_core_c78_backup_and_restore_round_trip(state: StateStore, tmp_path: Path) -> None:
    fill(state)
    before = contents(state)
    file = backup(state, tmp_path)
    for line in Path(file).read_text().splitlines():
        json.loads(line)
    state.collection("api").delete_many({})
    state.collection("cmd").update_one({"_id": "cmd0"}, {"$set": {"n": 99}})
    state.collection("event").insert_one({"_id": "new"})
    assert restore(state, file, drop=True) == dict.fromkeys(sorted(COLLECTIONS), 3)
    assert contents(state) == before


def test_core_c78_into_an_empty_hub(state: StateStore, tmp_path: Path) -> None:
    fill(state)
    other = open_state(f"sqlite://{tmp_path}/other.db")
    restore(other, backup(state, tmp_path))
    assert contents(other) == contents(state)
    other.close()


def test_without_drop_what_is_new_stays(state: StateStore, tmp_path: Path) -> None:
    fill(state)
    file = backup(state, tmp_path, "b.jsonl")
    assert file == str(tmp_path / "b.jsonl")
    state.collection("event").insert_one({"_id": "new"})
    restore(state, file)
    assert state.collection("event").count() == 4


@pytest.mark.parametrize("cut", [1, 2, 10])
def test_a_torn_backup_restores_nothing(state: StateStore, tmp_path: Path, cut: int) -> None:
    fill(state)
    file = Path(backup(state, tmp_path))
    file.write_text("".join(line + "\n" for line in file.read_text().splitlines()[:-cut]))
    state.collection("api").delete_many({})
    with pytest.raises(BackupError, match="torn"):
        restore(state, file, drop=True)
    assert state.collection("api").count() == 0
    assert state.collection("event").count() == 3


def test_lines_that_are_lost_in_the_middle_are_missed(state: StateStore, tmp_path: Path) -> None:
    fill(state)
    file = Path(backup(state, tmp_path))
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:5], *lines[6:]]) + "\n")
    with pytest.raises(BackupError, match="torn"):
        restore(state, file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: not a backup"),
        ("{}\n", "line 1: not a backup"),
        ("nonsense\n", "line 1: not JSON"),
        ('{"hubkernel_backup": 1}\n{"document": {}}\n', "line 2: no collection and document"),
        ('{"hubkernel_backup": 1}\n[]\n', "line 2: not an object"),
    ],
)
def test_what_is_no_backup_is_refused_by_line(state: StateStore, tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "b.jsonl"
    file.write_text(text)
    with pytest.raises(BackupError, match=message):
        restore(state, file)


def test_a_failed_backup_leaves_no_file(state: StateStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(state)
    old = backup(state, tmp_path, "b.jsonl")
    before = Path(old).read_bytes()
    monkeypatch.setattr(type(state), "names", lambda self: [*COLLECTIONS, 1 / 0])
    with pytest.raises(ZeroDivisionError):
        backup(state, tmp_path, "b.jsonl")
    assert Path(old).read_bytes() == before
    assert [file.name for file in tmp_path.glob("*.part")] == []


def test_missing_folder_and_file_are_named(state: StateStore, tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError, match="nowhere"):
        backup(state, tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="nothing"):
        restore(state, tmp_path / "nothing")
