"""The files that the compared plugins read: a few hundred rows each, the same bytes every time.

They have what the field's files are full of: dashes, NA, blanks, text beyond ASCII, numbers that are none, records that
are nested or repeated.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Any
from xml.sax.saxutils import escape

MODIFIED = 1_700_000_000
"""Of all files: 2023-11-14."""
EMPTY = ("-", "NA", "", ".", "n/a", "none", " ", "unknown", "Not Available")
WORDS = ("alpha", "Ångström", "β-Carotin", "naïve", "日本語", "tab-less", "O'Neil", 'say "x"', "a;b", "50%", "€", "ﬁ")
NUMBERS = ("7", "007", "1.50", "-3", "1e5", "+4", "12,5", "0", "9606", "3.0", "1_000", "nan", "inf", "٣")


def write(folder: Path) -> None:
    """All files, with their date."""
    for name, content in files().items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        os.utime(target, (MODIFIED, MODIFIED))


def files() -> dict[str, bytes]:
    random = Random(20)
    return {
        "terms.obo": terms(random),
        "names.txt": "".join(
            f"D{n:04}={phrase(random)}\n" for n in range(0, 300, 2) for _ in range(1 + n % 3)
        ).encode(),
        "drugs.tsv.gz": gzipped(drugs(random)),
        "assays.zip": zipped({"assays/rows.csv": b"\xef\xbb\xbf" + assays(random), "README": b"not data"}),
        "articles.xml.gz": gzipped(articles(random)),
        "genes.json": genes(random),
        "variants.jsonl": lines(variants(random)),
        "pairs.tsv": pairs(random),
        **{f"part{n}.jsonl": lines(part(random, n)) for n in range(3)},
        "clashes.tsv": table("\t", ["id", "value"], [(f"c{n % 150}", n) for n in range(160)]),
        "labels.txt.gz": gzipped(labels(random)),
        "synonyms.tsv": synonyms(random),
        "archive/index.txt": b"2023-05\n2023-11\n2022-12\n",
        "archive/2023-11.zip": zipped({f"site{n}.csv": counts(random, n) for n in range(3)}),
        "merged.tsv": merged(random),
        "rootkeys.jsonl": lines(rootkeys(random)),
    }


def gzipped(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, (2023, 11, 14, 0, 0, 0)), content)
    return buffer.getvalue()


def lines(records: Iterable[Any]) -> bytes:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()


def table(delimiter: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter, lineterminator="\n").writerows([header, *rows])
    return buffer.getvalue().encode()


def phrase(random: Random, most: int = 3) -> str:
    return " ".join(random.choices(WORDS, k=random.randint(1, most)))


def value(random: Random) -> str:
    """A cell as tables have it."""
    return random.choice((random.choice(EMPTY), random.choice(NUMBERS), phrase(random, 2)))


def terms(random: Random) -> bytes:
    text = ["format-version: 1.2", "data-version: releases/2023-11", ""]
    for number in range(220):
        quoted = phrase(random).replace('"', '\\"')
        text += [
            "[Term]",
            f"id: T:{number:07}",
            f"name: {phrase(random)}",
            f'def: "{quoted} ! no comment" [PMID:{number}]',
        ]
        text += [
            f'synonym: "{random.choice(WORDS[:4])}" {random.choice(("EXACT", "BROAD"))} []' for _ in range(number % 4)
        ]
        text += [
            f"xref: {random.choice(('UMLS:C', 'MSH:D', 'http://x.org/'))}{random.randrange(999)}"
            for _ in range(number % 3)
        ]
        text += [f"is_a: T:{random.randrange(number):07} ! parent" for _ in range(number % 3 if number else 0)]
        text += ["is_obsolete: true"] if number % 17 == 16 else []
        text.append("")
    return "\n".join([*text, "[Typedef]", "id: part_of", "name: part of", ""]).encode()


def drugs(random: Random) -> bytes:
    header = ["Drug ID", "Code", "Chrom", "Targets", "Dose Low", "Dose High", "Unit", "Weight", "Comment"]
    rows = []
    for number in range(300):
        targets = "|".join(value(random) for _ in range(random.randint(1, 4)))
        cells = [value(random) for _ in range(4)]
        rows.append([f"D{number:04}", f"{number:03}", str(number % 22 + 1), targets, *cells[:2], "mg", *cells[2:]])
    return table("\t", header, rows)


def assays(random: Random) -> bytes:
    rows = []
    for number in range(250):
        flags = "".join(random.choices("YN", k=number % 4))
        reading = random.choice(["", "1.5", "-0.0", "1e-9", "12"])
        comment = random.choice(["", "two\nlines", 'with "quotes", and commas', phrase(random)])
        rows.append([f"A{number}", phrase(random), reading, f"target {number % 40}", flags, comment])
    return table(",", ["id", "name", "value", "target", "flags", "comment"], rows)


def articles(random: Random) -> bytes:
    text = ['<?xml version="1.0" encoding="UTF-8"?>', "<articles>"]
    for number in range(200):
        people = [f"<author><last>{escape(phrase(random, 1))}</last><first/></author>" for _ in range(number % 4)]
        words = [f"<keyword>{escape(phrase(random, 1))}</keyword>" for _ in range(number % 3)]
        title = f"<title>{escape(phrase(random, 6))} &amp; more</title>" if number % 9 else "<title/>"
        journal = f"<journal>{escape(phrase(random, 2))}</journal><year>{1990 + number % 30}</year>"
        text.append(f'<article id="{number}">{title}{journal}{"".join(people)}{"".join(words)}</article>')
    return "\n".join([*text, "</articles>"]).encode()


def genes(random: Random) -> bytes:
    records: list[dict[str, Any]] = []
    for number in range(250):
        record = {"id": number, "symbol": phrase(random, 1), "dropped": True}
        record["pos"] = {
            "chr": str(number % 22 + 1),
            "start": number * 10**7,
            "end": None,
            "strand": (-1, 1)[number % 2],
        }
        record["alias"] = [phrase(random, 1) for _ in range(number % 4)]
        if number % 5 == 0:
            record["notes"] = [[1, 2.5], {"empty": {}, "none": [], "nested": [{"deep": [True, None, "x"]}]}]
        records.append(record)
    return json.dumps({"genes": records}, ensure_ascii=False, indent=1).encode()


def variants(random: Random) -> Iterable[dict[str, Any]]:
    for number in range(240):
        yield {"hgvs": f"chr1:g.{number % 200}A>T", "ref": "A", "alt": "T", "freq": 0.25, "ids": ["rs1", "rs1"]}


def pairs(random: Random) -> bytes:
    """110 ids, most of them three times. Those that 5 divides relate to one, then to several, and then to one again."""
    rows = []
    for number in range(300):
        key, turn = number % 110, number // 110
        kind = "typed" if key % 4 == 0 else "plain"
        related = "+".join(f"{turn}{n}" for n in range((1, 2, 1)[turn])) if key % 5 == 0 else ""
        rows.append([f"P{key}", f"Q{number % 7}", f"{number % 4}.5", kind, related])
    return table("\t", ["left", "right", "score", "kind", "related"], rows)


def part(random: Random, number: int) -> Iterable[dict[str, Any]]:
    for row in range(100):
        yield {"_id": f"{number}-{row}", "text": phrase(random), "numbers": [row, row / 8, -row]}


def labels(random: Random) -> bytes:
    rows = []
    for number in range(250):
        refs = ";".join(random.choice((*EMPTY, "R1", "R2", "R3")) for _ in range(random.randint(1, 3)))
        rows.append(f"L{number}|{phrase(random)} |{random.choice((*EMPTY, '1'))}|{refs}\n")
    return "".join(rows).encode()


def synonyms(random: Random) -> bytes:
    rows = [[f"L{number // 2}", random.choice(WORDS[:5]), random.choice(("exact", "-"))] for number in range(0, 300)]
    return table("\t", ["id", "synonym", "kind"], rows)


def counts(random: Random, site: int) -> bytes:
    rows = [[f"S{site}-{row % 80}", f"site {row % 3}", str(row % 7), str(row % 9)] for row in range(110)]
    return table(",", ["id", "site", "count", "depth"], rows)


def merged(random: Random) -> bytes:
    rows = [[f"M{number % 90}", f"name {number % 4}", random.choice("abc"), str(number % 3)] for number in range(240)]
    return table("\t", ["id", "name", "tag", "size"], rows)


def rootkeys(random: Random) -> Iterable[dict[str, Any]]:
    for number in range(200):
        document: dict[str, Any] = {"_id": f"R{number % 80}", "source": [f"s{number % 3}"]}
        if number % 80 % 2 == 0:
            document["a" if number < 80 else "b"] = number
        yield document
