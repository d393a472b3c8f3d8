"""Read annotated diseases from ``phenotype.hpoa``: one document a term.

Format: https://obophenotype.github.io/human-phenotype-ontology/annotations/phenotype_hpoa/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

COLUMNS = [
    "database_id",
    "disease_name",
    "qualifier",
    "hpo_id",
    "reference",
    "evidence",
    "onset",
    "frequency",
    "sex",
    "modifier",
    "aspect",
    "biocuration",
]


def load_data(data_folder: str) -> Iterator[dict[str, Any]]:
    """Yield ``{"_id": term, "diseases": [...], "excluded_diseases": [...]}``; an empty list is left out.

    A row whose qualifier is NOT says that the phenotype was looked for and is absent: it goes to ``excluded_diseases``.
    """
    with Path(data_folder, "phenotype.hpoa").open(encoding="utf-8") as lines:
        rows_of = group_rows(lines)
    for term in sorted(rows_of):
        document: dict[str, Any] = {"_id": term}
        for line in rows_of.pop(term):
            row = dict(zip(COLUMNS, line.split("\t"), strict=True))
            key = "excluded_diseases" if row["qualifier"] == "NOT" else "diseases"
            document.setdefault(key, []).append(make_annotation(row))
        yield document


def group_rows(lines: Iterable[str]) -> dict[str, list[str]]:
    """Rows by term. The file is ordered by disease, so that all of it has to be read; rows are kept as text."""
    rows = (line.rstrip("\n") for line in lines if not line.startswith("#"))
    header = next(rows, "").split("\t")
    if header != COLUMNS:
        raise ValueError(f"phenotype.hpoa has columns {header}, not {COLUMNS}")
    rows_of: dict[str, list[str]] = {}
    for row in rows:
        rows_of.setdefault(row.split("\t", 4)[3], []).append(row)
    return rows_of


def make_annotation(row: dict[str, str]) -> dict[str, Any]:
    """One row: what is empty is left out; ``reference``, ``modifier`` and ``biocuration`` hold several values."""
    annotation = {
        "id": row["database_id"],
        "name": row["disease_name"],
        "evidence": row["evidence"],
        "frequency": row["frequency"],
        "onset": row["onset"],
        "sex": row["sex"].lower(),
        "aspect": row["aspect"],
        "reference": values(row["reference"]),
        "modifier": values(row["modifier"]),
        "curation": values(row["biocuration"]),
    }
    return {key: value for key, value in annotation.items() if value}


def values(text: str) -> list[str]:
    """The values between semicolons."""
    return [value.strip() for value in text.split(";") if value.strip()]
