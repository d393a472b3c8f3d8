"""Random documents, filters, updates, projections and sorts within the documented subset, by seed."""

from __future__ import annotations

import random
from datetime import datetime
from typing import Any

DATE = datetime.fromisoformat("2024-05-06")
SCALARS: list[Any] = [None, 0, 1, 2, 3, 1.5, -1, "a", "b", "abc", "xyz", "", True, False, 10**12, DATE]
PATHS = ["a", "b", "c", "d", "a.x", "b.y", "c.x.y", "a.0", "b.x", "c.1", "d.z", "a.x.0", "a.0.x", "b.1.0"]
COMPARISONS = ["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"]
OTHERS = ["plain", "$in", "$nin", "$exists", "$regex", "$not", "$all", "$size", "$elemMatch"]


class Generator:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def scalar(self) -> Any:
        return self.random.choice(SCALARS)

    def value(self, depth: int = 0) -> Any:
        kind = self.random.random()
        if depth < 2 and kind < 0.16:
            return {self.random.choice("xyz"): self.value(depth + 1) for _ in range(self.random.randint(0, 2))}
        if depth < 2 and kind < 0.34:
            return [self.value(depth + 1) for _ in range(self.random.randint(0, 3))]
        return self.scalar()

    def document(self, number: int) -> dict[str, Any]:
        fields = {name: self.value() for name in "abcd" if self.random.random() < 0.75}
        return {"_id": f"d{number:02}", **fields}

    def path(self) -> str:
        return self.random.choice(PATHS)

    def condition(self) -> Any:
        operator = self.random.choice(COMPARISONS + OTHERS)
        choose = self.random.choice
        match operator:
            case "plain":
                return self.value(1)
            case "$in" | "$nin" | "$all":
                return {operator: [self.value(1) for _ in range(self.random.randint(1, 3))]}
            case "$exists":
                return {operator: choose([True, False])}
            case "$regex":
                return {operator: choose(["^a", "b", "z$", "A"]), "$options": choose(["", "i"])}
            case "$not":
                return {operator: {choose(["$gt", "$lt", "$eq", "$in"]): [self.scalar()]} | {"$exists": True}}
            case "$size":
                return {operator: self.random.randint(0, 3)}
            case "$elemMatch":
                inner = [
                    {"$gt": 0},
                    {"x": 1},
                    {"x": {"$exists": True}},
                    {"$in": ["a", 1]},
                    {"$or": [{"x": 1}, {"y": "a"}]},
                ]
                return {operator: choose([*inner, {"0": 1}, {"$eq": []}])}
        return {operator: self.value(1)}

    def filter(self, depth: int = 0) -> dict[str, Any]:
        if depth < 2 and self.random.random() < 0.2:
            clauses = [self.filter(depth + 1) for _ in range(self.random.randint(1, 2))]
            return {self.random.choice(["$and", "$or", "$nor"]): clauses}
        return {self.path(): self.condition() for _ in range(self.random.choice([1, 1, 2]))}

    def update(self) -> dict[str, Any]:
        update: dict[str, Any] = {}
        for _ in range(self.random.choice([1, 1, 2, 3])):
            operator, argument = self.random.choice(
                [
                    ("$set", self.value()),
                    ("$unset", ""),
                    ("$inc", self.random.choice([1, 2, 0.5, -3])),
                    ("$push", self.value(1)),
                    ("$push", {"$each": [self.value(1), 1]}),
                    ("$addToSet", self.value(1)),
                    ("$addToSet", {"$each": [self.value(1), 1, 1.0]}),
                    ("$pull", self.random.choice([self.value(1), {"$in": [1, "a"]}, {"$gt": 0}, {"x": 1}])),
                    ("$setOnInsert", self.value()),
                ]
            )
            update.setdefault(operator, {})[self.path()] = argument
        return update

    def projection(self) -> dict[str, int]:
        flag = self.random.choice([0, 1])
        projection = {self.random.choice(["a", "b", "c", "d", "a.x", "b.y", "c.x.y"]): flag for _ in range(2)}
        if self.random.random() < 0.3:
            projection["_id"] = self.random.choice([0, 1])
        return projection

    def sort(self) -> list[tuple[str, int]]:
        return [(self.path(), self.random.choice([1, -1])), ("_id", 1)]
