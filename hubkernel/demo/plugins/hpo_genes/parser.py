"""Read genes of phenotypes from ``phenotype_to_genes.txt``: one document a term."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

COLUMNS = ["hpo_id", "hpo_name", "ncbi_gene_id", "gene_symbol", "disease_id"]


def load_data(data_folder: str) -> Iterator[dict[str, Any]]:
    """Yield ``{"_id": term, "genes": [{"ncbi", "symbol", "diseases": [ids]}]}``, genes sorted by symbol.

    The file has all rows of a term together, so that one term at a time is in memory.
    """
    with Path(data_folder, "phenotype_to_genes.txt").open(encoding="utf-8") as lines:
        header = next(lines).rstrip("\n").split("\t")
        if header != COLUMNS:
            raise ValueError(f"phenotype_to_genes.txt has columns {header}, not {COLUMNS}")
        rows = (line.rstrip("\n").split("\t") for line in lines)
        for term, group in groupby(rows, key=lambda row: row[0]):
            yield {"_id": term, "genes": genes_of(group)}


def genes_of(rows: Iterable[list[str]]) -> list[dict[str, Any]]:
    """The rows of one term as genes, each with the diseases that link it to the term."""
    genes: dict[tuple[str, str], dict[str, Any]] = {}
    for _, _, ncbi, symbol, disease in rows:
        gene = genes.setdefault((symbol, ncbi), {"ncbi": ncbi, "symbol": symbol, "diseases": []})
        gene["diseases"].append(disease)
    return [genes[key] for key in sorted(genes)]
