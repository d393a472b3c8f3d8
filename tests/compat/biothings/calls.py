"""Calls of helpers with documents made up by a seed, the same ones on both sides. Needs Python only: the SDK's side
runs in its own interpreter, ``python calls.py biothings.utils.dataload COUNT``, and prints a line of JSON for each.
"""

from __future__ import annotations

import copy
import importlib
import json
import random
import sys
from collections.abc import Iterator
from typing import Any

TEXTS = ["-", ".", "", "NA", "x", "yes", "no", "1", "2.5", "007", "a,b", "a | b", "0", "1e3", "abc def", "unknown"]


def value(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.random()
    if depth < 3 and kind < 0.2:
        return {chance.choice("abcde"): value(chance, depth + 1) for _ in range(chance.randrange(3))}
    if depth < 3 and kind < 0.4:
        return [value(chance, depth + 1) for _ in range(chance.randrange(4))]
    return chance.choice([*TEXTS, *TEXTS, 0, 1, 2.5, None, True, False, 7])


def inputs(count: int) -> Iterator[dict[str, Any]]:
    chance = random.Random(72)
    for _ in range(count):
        first, second = ({chance.choice("abcdef"): value(chance) for _ in range(chance.randrange(1, 5))} for _ in "12")
        paths = chance.choice([["a"], ["a.b"], ["b", "c.d"], ["a", "a.b"]])
        yield {"a": first, "b": second, "paths": paths, "texts": [chance.choice(TEXTS) for _ in range(3)]}


def shout(key: str, value: Any) -> tuple[str, str]:
    return key.upper(), str(value)


def both(changed: Any, document: Any) -> Any:
    """Of a helper that returns nothing, the document that it has changed."""
    return document


CALLS: dict[str, Any] = {
    "dict_sweep": lambda m, a, b, paths, texts: m.dict_sweep(a),
    "dict_sweep of given values": lambda m, a, b, paths, texts: m.dict_sweep(a, vals=[None, "x"]),
    "unlist": lambda m, a, b, paths, texts: m.unlist(a),
    "unlist_incexcl, include": lambda m, a, b, paths, texts: m.unlist_incexcl(a, include_keys=paths),
    "unlist_incexcl, exclude": lambda m, a, b, paths, texts: m.unlist_incexcl(a, exclude_keys=paths),
    "value_convert_to_number": lambda m, a, b, paths, texts: m.value_convert_to_number(a),
    "value_convert_to_number, skip": lambda m, a, b, paths, texts: m.value_convert_to_number(
        a, skipped_keys=["a", "b"]
    ),
    "int_convert": lambda m, a, b, paths, texts: m.int_convert(a),
    "int_convert, include": lambda m, a, b, paths, texts: m.int_convert(a, include_keys=paths),
    "float_convert, exclude": lambda m, a, b, paths, texts: m.float_convert(a, exclude_keys=paths),
    "boolean_convert": lambda m, a, b, paths, texts: m.boolean_convert(a, paths),
    "dict_traverse": lambda m, a, b, paths, texts: both(m.dict_traverse(a, shout), a),
    "dict_traverse, lists": lambda m, a, b, paths, texts: both(m.dict_traverse(a, shout, traverse_list=True), a),
    "dict_walk": lambda m, a, b, paths, texts: m.dict_walk(a, str.upper),
    "traverse_keys": lambda m, a, b, paths, texts: list(m.traverse_keys(a)),
    "traverse_keys, include": lambda m, a, b, paths, texts: list(m.traverse_keys(a, include_keys=paths)),
    "traverse_keys, exclude": lambda m, a, b, paths, texts: list(m.traverse_keys(a, exclude_keys=paths)),
    "merge_struct": lambda m, a, b, paths, texts: m.merge_struct(a, b),
    "merge_root_keys": lambda m, a, b, paths, texts: m.merge_root_keys(a, b),
    "merge_duplicate_rows": lambda m, a, b, paths, texts: m.merge_duplicate_rows([{"x": a}, {"x": b}], "x"),
    "dict_convert": lambda m, a, b, paths, texts: m.dict_convert(a, keyfn=str.upper, valuefn=str),
    "value_convert": lambda m, a, b, paths, texts: m.value_convert(a, str),
    "normalized_value": lambda m, a, b, paths, texts: m.normalized_value(texts),
    "dict_apply": lambda m, a, b, paths, texts: both(m.dict_apply(a, "a", texts), a),
    "dict_nodup": lambda m, a, b, paths, texts: m.dict_nodup({"a": texts, "b": texts[:1]}),
    "dict_attrmerge": lambda m, a, b, paths, texts: m.dict_attrmerge([{"a": texts}, {"a": texts[0], "b": texts[1]}]),
    "list2dict": lambda m, a, b, paths, texts: m.list2dict([texts, texts[::-1], texts], 1),
    "dupline_seperator": lambda m, a, b, paths, texts: list(m.dupline_seperator(texts, ",")),
    "update_dict_recur": lambda m, a, b, paths, texts: m.update_dict_recur(a, b),
}


def answers(module: Any, count: int) -> Iterator[tuple[str, dict[str, Any], Any]]:
    """``(call, what it was given, what it returned)``, an error as its name."""
    for given in inputs(count):
        for name, call in CALLS.items():
            try:
                answer = call(module, **copy.deepcopy(given))
            except Exception as error:
                answer = f"raised {type(error).__name__}"
            yield name, given, json.loads(json.dumps(answer))


if __name__ == "__main__":
    for found in answers(importlib.import_module(sys.argv[1]), int(sys.argv[2])):
        sys.stdout.write(json.dumps(found[2]) + "\n")
