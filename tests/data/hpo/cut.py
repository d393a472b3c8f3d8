"""How the excerpt beside this file was cut: ``python -m tests.data.hpo.cut FOLDER`` with the three files of a release.

It takes the terms below, all their ancestors up to the root, some obsolete terms, and of every term at most ``ROWS``
rows of each table, word for word. Nothing is made up; only what is not taken is missing.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

CHOSEN = [
    "HP:0000003",  # Multicystic kidney dysplasia
    "HP:0000722",  # Compulsive behaviors: escaped quotes in its definition
    "HP:0001166",  # Arachnodactyly
    "HP:0001250",  # Seizure
    "HP:0001631",  # Atrial septal defect
    "HP:0001629",  # Ventricular septal defect
    "HP:0002119",  # Ventriculomegaly
    "HP:0004322",  # Short stature
    "HP:0000007",  # Autosomal recessive inheritance
    "HP:0003593",  # Infantile onset
    "HP:0000057",  # obsolete, with a replacement
    "HP:0000284",
    "HP:0000368",
]
ROWS = 12
EXCLUDED = 3
"""Rows with NOT that are taken of every term besides."""
HERE = Path(__file__).parent


def stanzas(path: Path) -> tuple[str, dict[str, str], str]:
    """Header, terms by id, and what follows the terms."""
    blocks = path.read_text("utf-8").split("\n\n")
    terms = {block.split("\n")[1].removeprefix("id: "): block for block in blocks if block.startswith("[Term]")}
    rest = [block for block in blocks[1:] if not block.startswith("[Term]")]
    return blocks[0], terms, "\n\n".join(rest)


def with_ancestors(terms: dict[str, str]) -> list[str]:
    wanted, found = list(CHOSEN), set()
    while wanted:
        term = wanted.pop()
        if term not in found:
            found.add(term)
            lines = terms[term].split("\n")
            wanted += [line.split()[1] for line in lines if line.startswith("is_a: ")]
    return [term for term in terms if term in found]


def cut_rows(path: Path, column: int, keep: set[str], head: int) -> list[str]:
    """Header lines and, of each kept term, the first rows; rows with NOT are counted apart."""
    taken: Counter[tuple[str, bool]] = Counter()
    rows = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            cells = line.split("\t")
            if number < head:
                rows.append(line)
                continue
            excluded = cells[2] == "NOT"
            key = (cells[column], excluded)
            if cells[column] in keep and taken[key] < (EXCLUDED if excluded else ROWS):
                taken[key] += 1
                rows.append(line)
    return rows


def main(folder: Path) -> None:
    header, terms, rest = stanzas(folder / "hp.obo")
    keep = with_ancestors(terms)
    blocks = [header, *(terms[term] for term in keep), rest]
    (HERE / "hp.obo").write_text("\n\n".join(blocks), "utf-8")
    genes = cut_rows(folder / "phenotype_to_genes.txt", 0, set(keep), 1)
    (HERE / "phenotype_to_genes.txt").write_text("".join(genes), "utf-8")
    diseases = cut_rows(folder / "phenotype.hpoa", 3, set(keep), 5)
    (HERE / "phenotype.hpoa").write_text("".join(diseases), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
