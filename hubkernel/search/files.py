"""The search files of one index: everything that touches tantivy for writing.

One tantivy field for each leaf of the mapping, named by its dotted path, so that regular expressions, ranges and sorts
work on all of them (they do not on tantivy's JSON fields). Booleans and dates are integers. Beside them ``_id``,
``_seq`` (the row in the :class:`~hubkernel.search.table.DocumentTable`) and ``_field_names`` (for ``exists``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tantivy

from hubkernel.search.fields import Kind
from hubkernel.search.flatten import Flat
from hubkernel.search.mapping import Mapping

_HEAP = 50_000_000
_DELETES = 1000


class SearchFiles:
    """Opens or makes the folder for ``mapping``. What is added or deleted shows in :attr:`searcher` after a commit."""

    def __init__(self, folder: Path, mapping: Mapping) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.signature = mapping.signature()
        self.schema = _schema(mapping)
        self._index = tantivy.Index(self.schema, path=str(folder))
        for field in mapping.fields.values():
            if field.analyzer is not None:
                self._index.register_tokenizer(field.analyzer.key, field.analyzer.indexing)
        self._writer: Any = None
        self._added = False
        self.searcher = self._index.searcher()

    @property
    def writer(self) -> Any:
        if self._writer is None:
            self._writer = self._index.writer(_HEAP, 1)
        return self._writer

    @property
    def empty(self) -> bool:
        """Whether they hold no document, seen or not yet seen."""
        return not self._added and self.searcher.num_docs == 0

    def add(self, document: Any) -> None:
        """Add what :func:`document` made."""
        self._added = True
        self.writer.add_document(document)

    def delete(self, seqs: list[int]) -> None:
        # by query: delete_documents_by_term does nothing, silently, on some field types (tantivy-py 0.27)
        for start in range(0, len(seqs), _DELETES):
            chunk = seqs[start : start + _DELETES]
            self.writer.delete_documents_by_query(tantivy.Query.term_set_query(self.schema, "_seq", chunk))

    def delete_after(self, seq: int) -> None:
        """Everything newer than ``seq``: the way back to a known state after a crash."""
        newer = tantivy.Query.range_query(self.schema, "_seq", tantivy.FieldType.Integer, seq + 1, None)
        self.writer.delete_documents_by_query(newer)

    def commit(self) -> None:
        self.writer.commit()
        self._index.reload()
        self.searcher = self._index.searcher()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.wait_merging_threads()
            self._writer = None


def document(seq: int, id: str, flat: Flat) -> Any:
    """A row as the search files hold it. It fits those of every mapping that has its fields."""
    return tantivy.Document.from_dict({**flat.values, "_id": [id], "_seq": [seq], "_field_names": list(flat.names)})


def _schema(mapping: Mapping) -> Any:
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("_id", tokenizer_name="raw", index_option="basic")
    builder.add_integer_field("_seq", indexed=True, fast=True)
    builder.add_text_field("_field_names", tokenizer_name="raw", index_option="basic")
    for path, field in mapping.fields.items():
        match field.kind:
            case Kind.TEXT:
                assert field.analyzer is not None
                builder.add_text_field(path, tokenizer_name=field.analyzer.key, index_option="position")
            case Kind.KEYWORD:
                builder.add_text_field(path, fast=True, tokenizer_name="raw", index_option="basic")
            case Kind.INTEGER | Kind.BOOLEAN | Kind.DATE:
                builder.add_integer_field(path, indexed=True, fast=True)
            case Kind.FLOAT:
                builder.add_float_field(path, indexed=True, fast=True)
            case _:
                pass
    return builder.build()
