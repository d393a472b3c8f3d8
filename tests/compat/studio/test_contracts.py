"""What Studio asks of a hub and what it reads of the answers, written down as files, replayed against a real hub.

A contract is a list of steps: a request, and what must stand in its answer. ``response`` is the envelope of a result,
``error`` that of an error, ``body`` an answer without envelope, ``empty`` no body at all. In them ``<int>`` and the
like stand for any value of a kind, ``["<each>", x]`` for a list of any length of x, ``{name}`` for what an earlier step
saved. An answer may have more keys than its contract, unless that says ``exact``; lists have the same length.
``finish`` waits for a launched command. A contract that names a ``command`` holds as soon as the hub has it; until then
its path is not found.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.compat.studio.conftest import Rig, Session, end_rig, make_rig

CONTRACTS = sorted(Path(__file__).with_name("contracts").glob("*.json"))


def is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


KINDS: dict[str, Callable[[Any], object]] = {
    "<any>": lambda value: True,
    "<bool>": lambda value: isinstance(value, bool),
    "<int>": is_int,
    "<int or null>": lambda value: value is None or is_int(value),
    "<number>": lambda value: is_int(value) or isinstance(value, float),
    "<text>": lambda value: isinstance(value, str) and value,
    "<list>": lambda value: isinstance(value, list),
    "<object>": lambda value: isinstance(value, dict),
    "<time>": lambda value: datetime.fromisoformat(value).tzinfo is not None,
    "<duration>": lambda value: re.fullmatch(r"(\d+h)?(\d+m)?\d+(\.\d+)?s", value),
}


def differences(wanted: Any, found: Any, exact: bool, place: str = "") -> Iterator[str]:
    """Where ``found`` is not as it should be."""
    if isinstance(wanted, str) and wanted in KINDS:
        if not KINDS[wanted](found):
            yield f"{place}: {wanted} expected, not {found!r}"
    elif isinstance(wanted, dict) and isinstance(found, dict):
        yield from _of_objects(wanted, found, exact, place)
    elif isinstance(wanted, list) and isinstance(found, list):
        yield from _of_lists(wanted, found, exact, place)
    elif wanted != found or type(wanted) is not type(found):
        yield f"{place}: {wanted!r} expected, not {found!r}"


def _of_objects(wanted: dict[str, Any], found: dict[str, Any], exact: bool, place: str) -> Iterator[str]:
    for key in wanted.keys() - found.keys():
        yield f"{place}.{key} is missing"
    for key in found.keys() - wanted.keys() if exact else ():
        yield f"{place}.{key} is too much"
    for key in wanted.keys() & found.keys():
        yield from differences(wanted[key], found[key], exact, f"{place}.{key}")


def _of_lists(wanted: list[Any], found: list[Any], exact: bool, place: str) -> Iterator[str]:
    if wanted[:1] == ["<each>"]:
        wanted = [wanted[1]] * len(found)
    if len(wanted) != len(found):
        yield f"{place}: {len(wanted)} items expected, not {found!r}"
        return
    for number, (one, other) in enumerate(zip(wanted, found, strict=True)):
        yield from differences(one, other, exact, f"{place}[{number}]")


def filled(value: Any, saved: dict[str, Any]) -> Any:
    """With what earlier steps saved; alone in its place it keeps its type."""
    if isinstance(value, dict):
        return {filled_text(key, saved): filled(item, saved) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, saved) for item in value]
    if isinstance(value, str) and value[1:-1] in saved and value == f"{{{value[1:-1]}}}":
        return saved[value[1:-1]]
    return value


def filled_text(text: str, saved: dict[str, Any]) -> str:
    for name, value in saved.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text


def expected_body(step: dict[str, Any]) -> Any:
    if "error" in step:
        return {"error": step["error"], "status": "error", "code": step["status"]}
    return {**step["response"], "status": "ok"} if "response" in step else step["body"]


def replay(hub: Session, step: dict[str, Any], saved: dict[str, Any]) -> None:
    request = dict(step["request"])
    answer = hub.request(request.pop("method"), filled_text(request.pop("path"), saved), **request)
    assert answer.status_code == step.get("status", 200), (step["request"], answer.text)
    if step.get("empty"):
        assert answer.content == b""
        return
    assert answer.headers["Content-Type"] == "application/json"
    body = answer.json()
    exact = step.get("exact", "error" in step)
    assert not list(differences(filled(expected_body(step), saved), body, exact)), step["request"]
    saved.update({name: body["result"][key] for name, key in step.get("save", {}).items()})
    if "finish" in step:
        hub.finished({"id": saved[step["finish"]]})


@pytest.fixture
def contract_rig(tmp_path: Path) -> Iterator[Rig]:
    rig = make_rig(tmp_path)
    yield rig
    end_rig(rig)


@pytest.mark.parametrize("file", CONTRACTS, ids=lambda file: file.stem)
def test_core_c31_to_c35_the_contract_holds(contract_rig: Rig, file: Path) -> None:
    contract = json.loads(file.read_text())
    hub, saved = contract_rig.session(), dict[str, Any]()
    if contract.get("command", "status") not in contract_rig.studio.context.hub.commands():
        request = next(step["request"] for step in contract["steps"] if contract["command"] in step["request"]["path"])
        assert hub.error(request["method"], request["path"], json=request["json"])[0] == 404
        return
    for step in contract["steps"]:
        replay(hub, step, saved)


def test_the_comparison_finds_what_is_wrong() -> None:
    wanted = {"a": "<int>", "b": ["<each>", {"c": "<text>"}], "d": None, "e": 1}
    good = {"a": 1, "b": [{"c": "x"}, {"c": "y", "more": 1}], "d": None, "e": 1}
    assert not list(differences(wanted, good, exact=False))
    assert len(list(differences(wanted, good, exact=True))) == 1
    for key, bad in {"a": True, "b": [{"c": ""}], "d": 0, "e": 1.0}.items():
        assert len(list(differences(wanted, {**good, key: bad}, exact=False))) == 1, key
    assert list(differences(wanted, {}, exact=False))
