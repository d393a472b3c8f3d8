"""The helpers beside those of the real SDK 1.2.2: the same answers, or a difference that has a name here."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.harness import peer_python
from hubkernel.compat.biothings.utils import dataload
from tests.compat.biothings import calls

COUNT = 300
Given = dict[str, Any]
Explains = Callable[[Given, Any, Any], bool]


def inner(value: Any) -> list[Any]:
    """The value and all in it."""
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [value, *(found for child in children for found in inner(child))]


def has_list(given: Given, ours: Any, sdk: Any) -> bool:
    return any(isinstance(value, list) for value in inner(given["a"]))


def sweeps_in_lists(given: Given, ours: Any, sdk: Any) -> bool:
    """What the SDK has and ours has not was to be swept, from a list."""
    unwanted = ["-", ".", "", "NA", "unknown", "x", None]
    texts = [value for value in inner(sdk) if not isinstance(value, dict | list)]
    return has_list(given, ours, sdk) and all(value in inner(ours) or value in unwanted for value in texts)


def reordered(given: Given, ours: Any, sdk: Any) -> bool:
    """The SDK puts a value that meets a list behind it."""
    alike = Counter(json.dumps(value) for value in inner(ours) if not isinstance(value, dict | list))
    return alike == Counter(json.dumps(value) for value in inner(sdk) if not isinstance(value, dict | list))


def fails(given: Given, ours: Any, sdk: Any) -> bool:
    return str(sdk).startswith("raised ")


def conflicts(given: Given, ours: Any, sdk: Any) -> bool:
    return sdk == "raised AssertionError" and ours == "raised MergeConflictError"


def loses_lists(given: Given, ours: Any, sdk: Any) -> bool:
    return len(inner(ours)) > len(inner(sdk)) or booleans(given, ours, sdk)


def booleans(given: Given, ours: Any, sdk: Any) -> bool:
    return ours == sdk or any(isinstance(value, bool) for value in inner([given["a"], given["b"]]))


def puts_none(given: Given, ours: Any, sdk: Any) -> bool:
    return any(isinstance(value, list) and None in value for value in inner(sdk))


def loses_what_is_above(given: Given, ours: Any, sdk: Any) -> bool:
    """For a path ``a.b`` where ``a`` is no object."""
    tops = [path.partition(".")[0] for path in given["paths"] if "." in path]
    return any(not isinstance(given["a"].get(top, {}), dict) for top in tops)


def nested_lists(given: Given, ours: Any, sdk: Any) -> bool:
    """The SDK takes a list in a list for true."""
    return any(isinstance(value, list) and any(isinstance(item, list) for item in value) for value in inner(given["a"]))


def names_elsewhere(given: Given, ours: Any, sdk: Any) -> bool:
    """The SDK also takes keys with a name out of the path at other places."""
    names = {part for path in given["paths"] for part in path.split(".")}
    below = [value for value in inner(list(given["a"].values())) if isinstance(value, dict)]
    return any(names & value.keys() for value in below)


ALLOWED: dict[str, tuple[Explains, ...]] = {
    "dict_sweep": (sweeps_in_lists,),
    "dict_sweep of given values": (sweeps_in_lists,),
    "int_convert": (has_list,),
    "int_convert, include": (fails, has_list),
    "float_convert, exclude": (has_list,),
    "boolean_convert": (fails, loses_what_is_above, names_elsewhere, nested_lists),
    "traverse_keys, include": (fails,),
    "merge_struct": (conflicts, loses_lists, reordered),
    "merge_root_keys": (puts_none,),
    "merge_duplicate_rows": (has_list, lambda given, ours, sdk: has_list({"a": given["b"]}, ours, sdk)),
    "dict_apply": (fails, lambda given, ours, sdk: isinstance(given["a"].get("a"), dict | list)),
    "update_dict_recur": (fails, lambda given, ours, sdk: {} in inner(given["b"])),
}
"""By call, what explains a difference; docs/plugin-authors/helpers.md says it to authors."""


@pytest.mark.service
def test_the_same_answers_as_the_sdk_but_for_what_it_does_wrong() -> None:
    command = [str(peer_python()), "-W", "ignore", calls.__file__, "biothings.utils.dataload", str(COUNT)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(calls.__file__).parent)
    theirs = map(json.loads, done.stdout.splitlines())
    compared: Counter[str] = Counter()
    for (name, given, ours), sdk in zip(calls.answers(dataload, COUNT), theirs, strict=True):
        compared[name] += ours == sdk
        explained = ours == sdk or any(explains(given, ours, sdk) for explains in ALLOWED.get(name, ()))
        assert explained, f"{name}\n given {json.dumps(given)}\n ours  {json.dumps(ours)}\n SDK   {json.dumps(sdk)}"
    assert compared.keys() == calls.CALLS.keys()
    # A difference is the exception: most of what the SDK answers is right.
    few = {name: count for name, count in compared.items() if count < COUNT // 2 and name != "merge_root_keys"}
    assert not few
