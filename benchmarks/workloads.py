"""Deterministic workloads: the same bytes on every machine, so that two runs, or two systems, can be compared.

``python -m benchmarks.workloads FOLDER [NAME ...]`` writes what is asked for (all of it by default) and skips what is
there already. A document is about 0.9 KB of JSON, shaped like a gene or drug annotation: nested objects, lists of
objects, strings, integers, floats, booleans.

=================== =========== ====================================================================================
file                documents   what is in it
=================== =========== ====================================================================================
src_a.jsonl         100,000     ids 0 to 100k, the document under the key ``a``
src_b.jsonl         100,000     ids 50k to 150k
src_c.jsonl         100,000     every second id of 0 to 200k
src_d.jsonl         100,000     ids 25k to 125k
new_a.jsonl         about 100k  ``src_a`` a release later: 5% changed, 1% added, 1% gone
big.jsonl           200,000     one flat upload
dup.jsonl           200,000     100k ids, each twice, far apart
par/part0-7.jsonl   200,000     one upload in eight files
big.tsv             200,000     20 columns
=================== =========== ====================================================================================
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

Document = dict[str, Any]

SIZE = 100_000
SPECIES = (9606, 10090, 10116)
WORDS = (
    "kinase",
    "receptor",
    "ligand",
    "binding",
    "transport",
    "membrane",
    "nuclear",
    "mitochondrial",
    "inhibitor",
    "agonist",
    "protein",
    "complex",
    "pathway",
    "signal",
    "growth",
    "factor",
    "alpha",
    "beta",
    "gamma",
    "delta",
    "oxidase",
    "synthase",
)


def phrase(random: Random, words: int) -> str:
    return " ".join(random.choices(WORDS, k=words))


def annotation(random: Random) -> Document:
    """One gene-like record. The order of the calls is the workload: changing it changes every document."""
    return {
        "name": phrase(random, 4),
        "symbol": f"{random.choice(WORDS)[:3].upper()}{random.randrange(1000)}",
        "taxid": random.choice(SPECIES),
        "score": round(random.random() * 100, 4),
        "active": random.random() < 0.5,
        "summary": phrase(random, 28),
        "xrefs": {
            "uniprot": [f"P{random.randrange(99999):05d}" for _ in range(3)],
            "ensembl": f"ENSG{random.randrange(10**9):011d}",
            "ncbi": random.randrange(10**6),
        },
        "go": [go_term(random) for _ in range(4)],
        "location": {
            "chr": str(random.randrange(1, 23)),
            "start": random.randrange(10**8),
            "end": random.randrange(10**8),
            "strand": random.choice([1, -1]),
        },
    }


def go_term(random: Random) -> Document:
    return {
        "id": f"GO:{random.randrange(10**6):07d}",
        "evidence": random.choice(["IEA", "IDA", "TAS"]),
        "term": phrase(random, 3),
        "pubmed": [random.randrange(10**8) for _ in range(2)],
    }


def doc_id(number: int) -> str:
    return f"ID{number:07d}"


def document(number: int, source: str, version: int = 0) -> Document:
    return {"_id": doc_id(number), source: annotation(Random(f"{source}:{number}:{version}"))}


def duplicated(seed: str) -> Iterator[Document]:
    for number in range(SIZE):
        yield {"_id": doc_id(number), "dup": {"x": [annotation(Random(f"{seed}:{number}"))]}}


def next_release() -> Iterator[Document]:
    """``src_a`` as it looks after an update: the lottery for each document is drawn from one seeded stream."""
    random = Random("newa")
    for number in range(SIZE):
        draw = random.random()
        if draw < 0.01:
            continue
        current = document(number, "a")
        yield changed(current, number, random.randrange(4)) if draw < 0.06 else current
    yield from (document(number, "a") for number in range(SIZE, SIZE + SIZE // 100))


def changed(current: Document, number: int, kind: int) -> Document:
    body, fresh = current["a"], document(number, "a", version=1)["a"]
    if kind == 0:
        body["score"] = fresh["score"]
    elif kind == 1:
        body["go"][1] = fresh["go"][1]
    elif kind == 2:
        body["xrefs"]["uniprot"].append("Q99999")
    else:
        current["a"] = fresh
    return current


COLUMNS = (
    "id",
    "name",
    "symbol",
    "taxid",
    "score",
    "active",
    "summary",
    "uniprot",
    "ensembl",
    "ncbi",
    "chr",
    "start",
    "end",
    "strand",
    "go1",
    "go2",
    "go3",
    "go4",
    "note",
    "extra",
)


def tsv_row(number: int) -> str:
    body = annotation(Random(f"tsv:{number}"))
    xrefs, location = body["xrefs"], body["location"]
    row = [doc_id(number), *(body[key] for key in ("name", "symbol", "taxid", "score", "active", "summary"))]
    row += ["|".join(xrefs["uniprot"]), xrefs["ensembl"], xrefs["ncbi"]]
    row += [location[key] for key in ("chr", "start", "end", "strand")]
    row += [f"{go['id']}:{go['evidence']}:{go['term']}" for go in body["go"]]
    return "\t".join(map(str, [*row, body["summary"], ""]))


def tsv_lines() -> Iterator[str]:
    yield "\t".join(COLUMNS)
    yield from (tsv_row(number) for number in range(2 * SIZE))


def json_lines(documents: Iterable[Document]) -> Iterator[str]:
    return (json.dumps(item, separators=(",", ":")) for item in documents)


def part(number: int) -> Callable[[], Iterator[str]]:
    first, count = number * SIZE // 4, SIZE // 4
    return lambda: json_lines(document(index, "par") for index in range(first, first + count))


FILES: dict[str, Callable[[], Iterator[str]]] = {
    "src_a.jsonl": lambda: json_lines(document(number, "a") for number in range(SIZE)),
    "src_b.jsonl": lambda: json_lines(document(number + SIZE // 2, "b") for number in range(SIZE)),
    "src_c.jsonl": lambda: json_lines(document(number * 2, "c") for number in range(SIZE)),
    "src_d.jsonl": lambda: json_lines(document(number + SIZE // 4, "d") for number in range(SIZE)),
    "new_a.jsonl": lambda: json_lines(next_release()),
    "big.jsonl": lambda: json_lines(document(number, "big") for number in range(2 * SIZE)),
    "dup.jsonl": lambda: (line for seed in ("dup", "dup2") for line in json_lines(duplicated(seed))),
    **{f"par/part{number}.jsonl": part(number) for number in range(8)},
    "big.tsv": tsv_lines,
}


def write(folder: Path, name: str) -> Path:
    """Write one file of :data:`FILES` unless it is there; half a file never stands under the final name."""
    target = folder / name
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".part")
        with partial.open("w", encoding="utf-8") as stream:
            stream.writelines(f"{line}\n" for line in FILES[name]())
        partial.replace(target)
    return target


def main() -> None:
    folder, names = Path(sys.argv[1]), sys.argv[2:] or list(FILES)
    for name in names:
        path = write(folder, name)
        print(f"{path}  {path.stat().st_size / 1e6:.0f} MB", flush=True)


if __name__ == "__main__":
    main()
