"""Documents compared one by one, and the differences that are allowed: each has a name, a rule and a reason."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

Documents = dict[str, dict[str, Any]]


class Missing:
    def __repr__(self) -> str:
        return "(nothing)"


MISSING = Missing()


def canonical(value: Any) -> str:
    """One text for one value: keys sorted, 1, 1.0, true and "1" told apart."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=repr)


@dataclass(frozen=True)
class Difference:
    """``path``: keys joined by dots, without positions in lists; empty for the whole document."""

    id: str
    path: str
    theirs: Any
    ours: Any

    def __str__(self) -> str:
        shown = [value if value is MISSING else canonical(value) for value in (self.theirs, self.ours)]
        return f"{self.id!r} {self.path or 'document'}\n    SDK : {shown[0]}\n    ours: {shown[1]}"


def differences(theirs: Documents, ours: Documents) -> Iterator[Difference]:
    """All of them, in the order of ids. What is in one list and not in the other is told as the whole list."""
    for id in sorted(theirs.keys() | ours.keys()):
        for path, left, right in _walk("", theirs.get(id, MISSING), ours.get(id, MISSING)):
            yield Difference(id, path, left, right)


def _walk(path: str, theirs: Any, ours: Any) -> Iterator[tuple[str, Any, Any]]:
    if MISSING not in (theirs, ours) and canonical(theirs) == canonical(ours):
        return
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in sorted(theirs.keys() | ours.keys()):
            yield from _walk(f"{path}.{key}" if path else key, theirs.get(key, MISSING), ours.get(key, MISSING))
    else:
        yield path, theirs, ours


@dataclass(frozen=True)
class Allowed:
    """A difference that may be: in these collections, at these paths (``*`` matches any), if the rule holds."""

    id: str
    plugin: str
    collection: str
    paths: tuple[str, ...]
    what: str
    why: str
    rule: Callable[[Any, Any], bool]
    """Called with the SDK's value and ours: whether this is that difference and no other."""

    def covers(self, collection: str, difference: Difference) -> bool:
        known = collection == self.collection and any(fnmatchcase(difference.path, path) for path in self.paths)
        return known and self.rule(difference.theirs, difference.ours)


def judged(
    collection: str, theirs: Documents, ours: Documents, allowed: Iterable[Allowed]
) -> tuple[list[Difference], set[str]]:
    """The differences that nothing allows, and the ids of the entries that were met."""
    entries, bad, met = list(allowed), [], set()
    for difference in differences(theirs, ours):
        covering = [entry.id for entry in entries if entry.covers(collection, difference)]
        met.update(covering)
        if not covering:
            bad.append(difference)
    return bad, met


# ----------------------------------------------------------------------------------------------------------- the rules

SWEPT = {"", None, "-", "NA", "n/a", "."}
"""What ``drugs_tsv`` sweeps."""
SWEPT_BY_DEFAULT = {".", "-", "", "NA", "na", "none", " ", "Not Available", "unknown"}


def items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is MISSING else [value]


def same_items(theirs: list[Any], ours: list[Any]) -> bool:
    return sorted(map(canonical, theirs)) == sorted(map(canonical, ours))


def other_order(theirs: Any, ours: Any) -> bool:
    """The same items."""
    return isinstance(theirs, list) and isinstance(ours, list) and same_items(theirs, ours)


def list_was_lost(theirs: Any, ours: Any) -> bool:
    """A part of our items."""
    kept = [canonical(item) for item in items(ours)]
    return len(items(theirs)) < len(kept) and all(canonical(item) in kept for item in items(theirs))


def none_was_added(theirs: Any, ours: Any) -> bool:
    """Our items, and None."""
    return None in items(theirs) and same_items([item for item in theirs if item is not None], items(ours))


def last_item_only(theirs: Any, ours: Any) -> bool:
    return isinstance(ours, list) and len(ours) > 1 and theirs == ours[-1]


def items_stayed_text(theirs: Any, ours: Any) -> bool:
    return isinstance(ours, list) and theirs == [str(item) for item in ours]


def later_row(theirs: Any, ours: Any) -> bool:
    return bool(theirs > ours)


NUMBERS = {"1_000": 1000, "nan": float("nan"), "inf": float("inf")}
"""What only Python reads as numbers, with what the SDK makes of it."""


def as_numbers(value: Any) -> list[Any]:
    """Items as the SDK would have them."""
    return [NUMBERS.get(item, item) if isinstance(item, str) else item for item in items(value)]


def stayed_text(theirs: Any, ours: Any) -> bool:
    return isinstance(theirs, list) == isinstance(ours, list) and canonical(items(theirs)) == canonical(
        as_numbers(ours)
    )


def swept_in_part(swept: set[Any]) -> Callable[[Any, Any], bool]:
    """Our items, and some that should have been swept."""

    def rule(theirs: Any, ours: Any) -> bool:
        rest = [item for item in items(theirs) if item not in swept]
        return len(rest) < len(items(theirs)) and same_items(rest, as_numbers(ours))

    return rule


ORDER = "Ours is the order of arrival on every backend; the SDK's is the reverse on MongoDB and yet another on SQLite."
IGNORED = "Ours is the first; the SDK's is the last within a batch of 10,000 and the first across batches."

ALLOWED = (
    Allowed(
        "sweep-list",
        "drugs_tsv",
        "drugs_tsv",
        ("drug.targets",),
        "An item that should have been swept stays in a list.",
        "The SDK's `dict_sweep` leaves out the item after each one that it removes.",
        swept_in_part(SWEPT),
    ),
    Allowed(
        "number-text",
        "drugs_tsv",
        "drugs_tsv",
        ("drug.*",),
        "`1_000`, `nan` and `inf` are numbers.",
        "Only Python reads them so: a cell `nan` is a name or a gap, and NaN is no JSON.",
        stayed_text,
    ),
    Allowed(
        "sweep-list-default",
        "labels_class",
        "labels_class",
        ("refs",),
        "The same, with the values that are swept by default.",
        "As above.",
        swept_in_part(SWEPT_BY_DEFAULT),
    ),
    Allowed(
        "ignore-first",
        "variants_ignore",
        "variants_ignore",
        ("row",),
        "Of documents with one id another one stays.",
        IGNORED,
        later_row,
    ),
    Allowed(
        "merge-order",
        "pairs_merge",
        "pairs_merge",
        ("partner", "scores", "kind", "evidence.score", "related"),
        "Values that were merged have another order.",
        ORDER,
        other_order,
    ),
    Allowed(
        "merge-loses-list",
        "pairs_merge",
        "pairs_merge",
        ("related",),
        "Records are missing where one record was merged with a list of records.",
        "The SDK's `merge_struct` of a dict and a list gives the dict alone.",
        list_was_lost,
    ),
    Allowed(
        "merge-order-class",
        "merged_class",
        "merged_docs",
        ("name", "tags", "size.value"),
        "Values that were merged have another order.",
        ORDER,
        other_order,
    ),
    Allowed(
        "ignore-first-class",
        "merged_class",
        "first_docs",
        ("row",),
        "Of documents with one id another one stays.",
        IGNORED,
        later_row,
    ),
    Allowed(
        "int-convert-list",
        "archive_class",
        "archive_docs",
        ("archive.count",),
        "Numbers in a list are text.",
        "The SDK's `int_convert` with `include_keys` does not look into lists.",
        items_stayed_text,
    ),
    Allowed(
        "int-convert-last",
        "archive_class",
        "archive_docs",
        ("archive.depth",),
        "Of a list of numbers only the last is there.",
        "The SDK's `int_convert` without `include_keys` writes each item over the one before.",
        last_item_only,
    ),
    Allowed(
        "root-order",
        "rootkeys_class",
        "rootkeys_class",
        ("source", "a", "b"),
        "Values that were merged have another order.",
        ORDER,
        other_order,
    ),
    Allowed(
        "root-none",
        "rootkeys_class",
        "rootkeys_class",
        ("a", "b"),
        "A None is among the values.",
        "The SDK's `RootKeyMergerStorage` adds it where one of the documents has no such key.",
        none_was_added,
    ),
)
