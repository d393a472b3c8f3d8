"""Index and query documents: ours embedded, through the official client, against what the peer offers locally.

``python -m benchmarks.search [--documents 20000] [--runs 5]``. Without an Elasticsearch server the peer answers queries
from SQLite (``biothings-cli dataplugin serve``), over HTTP; ours answers in process. The limit of indexing is Tantivy
itself, fed with the same leaves. Queries are warm; ours and the peer's take turns, and the median of the runs' medians
counts. The peer looks at every document for each query, so its runs have fewer of them.
"""

from __future__ import annotations

import json
import os
import random
import resource
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import httpx

from benchmarks.harness import measured, options, peer_python, scratch, workload
from benchmarks.ours import plugin
from benchmarks.upload import served

NAME = "src_a"
DOCUMENTS = 20_000
QUERIES, PEER_QUERIES = 50, 5
Timed = tuple[float, float]
"""Seconds of wall time, and of CPU time of all threads."""
Ask = Callable[[str], int]
MAPPING = {
    "dynamic_templates": [
        {"strings": {"match_mapping_type": "string", "mapping": {"type": "keyword", "copy_to": "all"}}}
    ],
    "properties": {"all": {"type": "text"}},
}


def first_documents(folder: Path, count: int) -> Path:
    """The folder with a file of so many documents of the workload."""
    folder.mkdir()
    with (workload(f"{NAME}.jsonl") / f"{NAME}.jsonl").open() as lines, (folder / f"{NAME}.jsonl").open("w") as chosen:
        chosen.writelines(islice(lines, count))
    return folder


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


@contextmanager
def timed(into: list[Timed]) -> Iterator[None]:
    def cpu() -> float:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    wall, spent = time.perf_counter(), cpu()
    yield
    into.append((time.perf_counter() - wall, cpu() - spent))


def index_ours(folder: Path, data: Path, documents: int, runs: list[Timed]) -> None:
    """From the first line read until all documents are indexed and refreshed."""
    from elasticsearch import helpers

    from hubkernel.search import client

    engine = client(f"embedded://{folder}")
    engine.indices.create(index=NAME, mappings=MAPPING)
    with timed(runs), (data / f"{NAME}.jsonl").open() as lines:
        helpers.bulk(engine, ({"_index": NAME, **json.loads(line)} for line in lines), chunk_size=2000)
        engine.indices.refresh(index=NAME)
    if (found := engine.count(index=NAME)["count"]) != documents:
        sys.exit(f"ours indexed {found} documents, not {documents}")
    engine.close()


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, path)
    else:
        yield path, str(value)


def index_limit(folder: Path, data: Path, runs: list[Timed]) -> None:
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
    with timed(runs), (data / f"{NAME}.jsonl").open() as lines:
        for line in lines:
            fields: dict[str, list[str]] = {}
            for name, text in leaves(json.loads(line)):
                fields.setdefault(name, []).append(text)
            fields["all"] = [text for texts in fields.values() for text in texts]
            writer.add_document(tantivy.Document.from_dict(fields))
        writer.commit()


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


def latency(ask: Ask, queries: list[str]) -> float:
    """Median milliseconds of a query."""
    spent = []
    for query in queries:
        started = time.perf_counter()
        ask(query)
        spent.append(time.perf_counter() - started)
    return statistics.median(spent) * 1000


def indexing(folder: Path, data: Path, documents: int, runs: int) -> None:
    ours: list[Timed] = []
    limit: list[Timed] = []
    for run in range(runs):
        print(f"run {run + 1}/{runs}: index", file=sys.stderr, flush=True)
        index_ours(folder / f"ours{run}", data, documents, ours)
        index_limit(folder / f"limit{run}", data, limit)
    wall, cpu = map(statistics.median, zip(*ours, strict=True))
    best_wall, best_cpu = map(statistics.median, zip(*limit, strict=True))
    print(f"index, dynamic mapping, bulks of 2,000: {wall:.2f} s, {documents / wall:,.0f} docs/s, {cpu:.2f} s of CPU")
    print(f"  Tantivy alone: {best_wall:.2f} s, {best_cpu:.2f} s of CPU; the peer indexes nothing without a server")
    print(f"  ours reaches {best_wall / wall:.0%} of the limit in wall time, {best_cpu / cpu:.0%} in CPU time")


def querying(name: str, queries: list[str], ask: Ask, ask_peer: Ask, runs: int) -> None:
    some = queries[:PEER_QUERIES]
    agree = sum(ask(query) == ask_peer(query) for query in some)
    ours, theirs = [], []
    for run in range(runs):
        print(f"run {run + 1}/{runs}: query {name}", file=sys.stderr, flush=True)
        ours.append(latency(ask, queries))
        theirs.append(latency(ask_peer, some))
    mine, peer = statistics.median(ours), statistics.median(theirs)
    print(f"query {name}: ours in process {mine:.2f} ms, the peer's serve {peer:.0f} ms: {peer / mine:,.0f}x as fast")
    print(f"  hit counts agree on {agree} of {len(some)} queries")
    if agree != len(some):
        sys.exit("the two do not answer the same question")


def main() -> None:
    arguments = options(__doc__, documents=DOCUMENTS)
    before = os.getloadavg()[0]
    with scratch() as folder:
        data = first_documents(folder / "data", arguments.documents)
        print(f"{arguments.documents:,} documents; median of {arguments.runs} runs, in turn", flush=True)
        indexing(folder, data, arguments.documents, arguments.runs)
        with (
            served(data) as url,
            our_engine(folder / "ours0") as ask,
            peer_server(folder / "peer", url) as ask_peer,
        ):
            for name, queries in samples(data).items():
                querying(name, queries, ask, ask_peer, arguments.runs)
    print(f"load average: {before:.1f} before, {os.getloadavg()[0]:.1f} after; {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
