"""Random questions and changes: hub state in SQLite and in a real mongod give the same answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bson import json_util

from hubkernel.store import Collection, DocumentStore, StateCollection, StoreError, open_state, open_store
from tests.store.conformance.helpers import load
from tests.store.oracle import Generator

pytestmark = pytest.mark.service
STEPS = 60


def outcome(ask: Callable[..., Any], *arguments: Any) -> str:
    """What came of it, as text: field order counts, ``1`` and ``1.0`` are one. Errors count by their kind."""
    try:
        return json_util.dumps(_plain(ask(*arguments)))
    except StoreError as error:
        return type(error).__name__


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


@pytest.fixture
def both(tmp_path: Path, mongo_database_url: str) -> Iterator[list[StateCollection]]:
    states = [open_state(f"sqlite://{tmp_path}/state.db"), open_state(mongo_database_url)]
    yield [state["things"] for state in states]
    for state in states:
        state.close()


@pytest.fixture
def stores(tmp_path: Path, mongo_database_url: str) -> Iterator[list[DocumentStore]]:
    opened = [open_store(f"sqlite://{tmp_path}/store"), open_store(mongo_database_url)]
    yield opened
    for store in opened:
        store.close()


def replacement(make: Generator, number: int) -> dict[str, Any]:
    document = make.document(number)
    if make.random.random() < 0.7:
        del document["_id"]
    return document


def step(make: Generator) -> tuple[str, Callable[[StateCollection], Any]]:
    """One question or change, and how it reads."""
    filter, update, projection, sort = make.filter(), make.update(), make.projection(), make.sort()
    number = make.random.randrange(34)
    one = {"_id": f"d{number:02}"} if make.random.random() < 0.6 else filter
    upsert = make.random.random() < 0.4
    window = {"skip": make.random.randrange(4), "limit": make.random.randrange(9)}
    tied = sort[:1] if make.random.random() < 0.5 else sort
    content = replacement(make, number)
    steps: dict[str, Callable[[StateCollection], Any]] = {
        f"find {filter} {projection} {window}": lambda docs: docs.find(filter, projection, **window),
        f"find {filter} by {tied} {window}": lambda docs: docs.find(filter, sort=tied, **window),
        f"find_one {filter} {projection} by {tied}": lambda docs: docs.find_one(filter, projection, sort=tied),
        f"count {filter}": lambda docs: docs.count(filter),
        f"update_one {one} {update} {upsert}": lambda docs: docs.update_one(one, update, upsert=upsert),
        f"update_many {filter} {update}": lambda docs: docs.update_many(filter, update),
        f"replace_one {one} {content} {upsert}": lambda docs: docs.replace_one(one, content, upsert=upsert),
        f"insert_one {content}": lambda docs: docs.insert_one(content),
    }
    if make.random.random() < 0.1:
        steps = {f"delete_one {filter}": lambda docs: docs.delete_one(filter)}
    return make.random.choice(list(steps.items()))


@pytest.mark.parametrize("seed", range(8))
def test_state_gives_the_same_answers(seed: int, both: list[StateCollection]) -> None:
    make = Generator(1000 + seed)
    for number in range(30):
        document = make.document(number)
        for docs in both:
            docs.insert_one(document)
    for _ in range(STEPS):
        shown, ask = step(make)
        sqlite, mongo = (outcome(ask, docs) for docs in both)
        assert sqlite == mongo, f"seed {seed}: {shown}"
        sqlite, mongo = (outcome(docs.find) for docs in both)
        assert sqlite == mongo, f"seed {seed}: after {shown}"


def found_in(collection: Collection, filter: Any, projection: Any, query: dict[str, Any]) -> list[dict[str, Any]]:
    return list(collection.find(filter, projection, **query))


@pytest.mark.parametrize("seed", range(4))
def test_collections_give_the_same_answers(seed: int, stores: list[DocumentStore]) -> None:
    make = Generator(2000 + seed)
    documents = [make.document(number) for number in range(40)]
    make.random.shuffle(documents)
    for store in stores:
        load(store, "things", documents)
    for _ in range(STEPS):
        filter, projection, sort = make.filter(), make.projection(), make.sort()
        query: dict[str, Any] = {"skip": make.random.randrange(4), "limit": make.random.randrange(9)}
        if make.random.random() < 0.5:
            query["sort"] = sort[: make.random.randrange(1, 3)]
        found = [outcome(found_in, store["things"], filter, projection, query) for store in stores]
        assert found[0] == found[1], f"seed {seed}: {filter} {projection} {query}"
        counts = [outcome(store["things"].count, filter) for store in stores]
        assert counts[0] == counts[1], f"seed {seed}: {filter}"
