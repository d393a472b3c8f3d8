"""Index and query 100,000 documents: ours embedded, through the official client, against what the peer offers locally.

``python -m benchmarks.search [--runs 5]``. Without an Elasticsearch server the peer answers queries from SQLite
(``biothings-cli dataplugin serve``), over HTTP; ours answers in process. The limit of indexing is Tantivy itself, fed
with the same leaves. Queries are warm; a run is 50 different queries, and the median of the runs' medians counts.
"""

from __future__ import annotations

import json
import os
import random
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from benchmarks.harness import measured, options, peer_python, scratch, workload
from benchmarks.ours import plugin
from benchmarks.upload import served

NAME = "src_a"
DOCUMENTS = 100_000
QUERIES = 50
Ask = Callable[[str], int]
MAPPING = {
    "dynamic_templates": [
        {"strings": {"match_mapping_type": "string", "mapping": {"type": "keyword", "copy_to": "all"}}}
    ],
    "properties": {"all": {"type": "text"}},
}


def samples(data: Path) -> dict[str, list[str]]:
    """Query texts that both sides understand, with answers in the data."""
    with (data / f"{NAME}.jsonl").open() as lines:
        picked = random.Random(7).sample([json.loads(line) for line in lines], QUERIES)
    return {
        "one field": [f"a.symbol:{item['a']['symbol']}" for item in picked],
        "two fields": [
            f"a.symbol:{item['a']['symbol']} AND a.location.chr:{item['a']['location']['chr']}" for item in picked
        ],
    }


def index_ours(folder: Path, data: Path) -> float:
    """Seconds of wall time until all documents are indexed and refreshed."""
    from elasticsearch import helpers

    from hubkernel.search import client

    engine = client(f"embedded://{folder}")
    engine.indices.create(index=NAME, mappings=MAPPING)
    started = time.perf_counter()
    with (data / f"{NAME}.jsonl").open() as lines:
        documents = ({"_index": NAME, **json.loads(line)} for line in lines)
        helpers.bulk(engine, documents, chunk_size=2000)
    engine.indices.refresh(index=NAME)
    wall = time.perf_counter() - started
    if (found := engine.count(index=NAME)["count"]) != DOCUMENTS:
        sys.exit(f"ours indexed {found} documents, not {DOCUMENTS}")
    engine.close()
    return wall


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, path)
    else:
        yield path, str(value)


def index_limit(folder: Path, data: Path) -> float:
    """Tantivy alone: the same leaves as exact terms, all words in one text field, nothing stored."""
    import tantivy

    with (data / f"{NAME}.jsonl").open() as lines:
        names = sorted({name for name, _ in leaves(json.loads(next(lines)))})
    builder = tantivy.SchemaBuilder()
    for name in names:
        builder.add_text_field(name, tokenizer_name="raw", stored=False)
    builder.add_text_field("all", stored=False)
    folder.mkdir(parents=True)
    writer = tantivy.Index(builder.build(), path=str(folder)).writer(heap_size=256_000_000, num_threads=1)
    started = time.perf_counter()
    with (data / f"{NAME}.jsonl").open() as lines:
        for line in lines:
            fields: dict[str, list[str]] = {}
            for name, text in leaves(json.loads(line)):
                fields.setdefault(name, []).append(text)
            fields["all"] = [text for texts in fields.values() for text in texts]
            writer.add_document(tantivy.Document.from_dict(fields))
    writer.commit()
    return time.perf_counter() - started


@contextmanager
def peer_server(folder: Path, url: str) -> Iterator[Ask]:
    command, target = peer_python().with_name("biothings-cli"), folder / NAME
    plugin(folder, NAME, f"{url}/{NAME}.jsonl")
    measured([command, "dataplugin", "dump"], cwd=target)
    measured([command, "dataplugin", "upload"], cwd=target)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    line = [command, "dataplugin", "serve", "--port", str(port)]
    process = subprocess.Popen(line, cwd=target, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as session:
            wait_until_up(session)
            yield lambda query: int(
                session.get(f"/{NAME}/", params={"q": query}).raise_for_status().json()["total_hit"]
            )
    finally:
        process.kill()
        process.wait()


def wait_until_up(session: httpx.Client) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            session.get("/")
            return
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@contextmanager
def our_engine(folder: Path) -> Iterator[Ask]:
    from hubkernel.search import client

    engine = client(f"embedded://{folder}")
    yield lambda query: int(engine.search(index=NAME, q=query, track_total_hits=True)["hits"]["total"]["value"])
    engine.close()


def latency(ask: Ask, queries: list[str], runs: int) -> tuple[float, list[int]]:
    """Median milliseconds of a query, and the hit counts of the last run."""
    counts = [ask(query) for query in queries]
    medians = []
    for _ in range(runs):
        spent = []
        for query in queries:
            started = time.perf_counter()
            ask(query)
            spent.append(time.perf_counter() - started)
        medians.append(statistics.median(spent))
    return statistics.median(medians) * 1000, counts


def main() -> None:
    arguments = options(__doc__)
    data = workload(f"{NAME}.jsonl")
    questions = samples(data)
    with scratch() as folder, served(data) as url:
        indexing, limit = [], []
        for run in range(arguments.runs):
            indexing.append(index_ours(folder / f"ours{run}", data))
            limit.append(index_limit(folder / f"limit{run}", data))
        ours, best = statistics.median(indexing), statistics.median(limit)
        print(f"median of {arguments.runs} runs; load average {os.getloadavg()[0]:.1f}; {os.cpu_count()} cores")
        print(f"index {DOCUMENTS:,} documents: ours {ours:.1f} s, {DOCUMENTS / ours:,.0f} docs/s")
        print(
            f"  Tantivy alone {best:.1f} s: ours reaches {best / ours:.0%} of the limit; the peer indexes nothing here"
        )
        with our_engine(folder / "ours0") as ask, peer_server(folder / "peer", url) as ask_peer:
            for name, queries in questions.items():
                milliseconds, counts = latency(ask, queries, arguments.runs)
                theirs, peer_counts = latency(ask_peer, queries[:5], 1)
                agree = sum(one == two for one, two in zip(counts, peer_counts, strict=False))
                print(
                    f"{name}: ours {milliseconds:.2f} ms, peer {theirs:.0f} ms: {theirs / milliseconds:,.0f}x as fast"
                )
                print(f"  hit counts agree on {agree} of {len(peer_counts)} queries")


if __name__ == "__main__":
    main()
