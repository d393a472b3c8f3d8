"""``query_string``: the tree of :mod:`hubkernel.search.lucene` becomes a query on the fields of an index."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hubkernel.search import lucene
from hubkernel.search.errors import QueryError, parsing_error, unsupported
from hubkernel.search.lucene import Occur
from hubkernel.search.queries import MUST, MUST_NOT, SHOULD, Queries, Query

_OCCUR = {Occur.MUST: MUST, Occur.SHOULD: SHOULD, Occur.MUST_NOT: MUST_NOT}
_KNOWN = frozenset(
    [
        "query",
        "default_field",
        "fields",
        "default_operator",
        "lenient",
        "analyze_wildcard",
        "allow_leading_wildcard",
        "boost",
        "type",
        "tie_breaker",
        "escape",
        "max_determinized_states",
        "auto_generate_synonyms_phrase_query",
        "phrase_slop",
        "_name",
        "enable_position_increments",
        "fuzzy_transpositions",
    ]
)


def query_string(queries: Queries, body: dict[str, Any]) -> Query:
    """The query for the body of a ``query_string`` clause. 400 for a syntax error, even with ``lenient``."""
    if unknown := set(body) - _KNOWN:
        raise parsing_error(f"[query_string] query does not support {sorted(unknown)}")
    if "query" not in body:
        raise parsing_error("[query_string] must be provided with a [query]")
    if body.get("type", "best_fields") != "best_fields":
        raise unsupported(f"[query_string] of type [{body['type']}]", "use best_fields")
    text = str(body["query"])
    compiler = _Compiler(queries, body)
    try:
        tree = lucene.parse(text, default_and=compiler.operator == "and")
    except lucene.SyntaxProblem as problem:
        raise QueryError("query_shard_exception", f"Failed to parse query [{text}]: {problem}") from problem
    query = compiler.compile(tree) if tree is not None else None
    if query is None:
        return queries.nothing()
    return queries.boosted(query, float(body.get("boost", 1.0)))


@dataclass
class _Target:
    path: str
    weight: float


class _Compiler:
    """``compile`` gives None for a clause that says nothing (no words): it is left out, as in Elasticsearch."""

    def __init__(self, queries: Queries, body: dict[str, Any]) -> None:
        self.queries = queries
        self.operator = str(body.get("default_operator", "or")).lower()
        self.fields = _fields(queries, body)
        everywhere = self.fields == ["*"] and not body.get("fields")
        self.lenient = everywhere or body.get("lenient") in (True, "true")
        self.leading = body.get("allow_leading_wildcard") not in (False, "false")
        self.slop = int(body.get("phrase_slop", 0))
        self.tie_breaker = float(body.get("tie_breaker", 0.0))

    def compile(self, node: lucene.Node) -> Query | None:
        if isinstance(node, lucene.Clauses):
            return self._clauses(node)
        if isinstance(node, lucene.Boost):
            inner = self.compile(node.node)
            return None if inner is None else self.queries.boosted(inner, node.factor)
        if node.field == "_exists_":
            return self._exists(node)
        if isinstance(node, lucene.Pattern) and node.everything:
            return self._everything(node)
        return self._on_fields(node)

    def _clauses(self, node: lucene.Clauses) -> Query | None:
        made = [(occur, self.compile(each)) for occur, each in node.clauses]
        kept = [(_OCCUR[occur], query) for occur, query in made if query is not None]
        return self.queries.boolean(kept) if kept else None

    def _exists(self, node: lucene.Text | lucene.Phrase | lucene.Pattern | Any) -> Query:
        return self.queries.exists(node.text)

    def _everything(self, node: lucene.Pattern) -> Query:
        """``*`` and ``*:*`` are all documents, ``field:*`` those that have the field."""
        if node.field == "*" or (node.field is None and self.fields == ["*"]):
            return self.queries.everything()
        if node.field is not None:
            return self.queries.exists(node.field)
        return self.queries.any_of([self.queries.exists(target.path) for target in self._targets(None)])

    def _targets(self, field: str | None) -> list[_Target]:
        names = self.fields if field is None else [field.replace("^", "")]
        return [_Target(path, weight) for path, weight in self.queries.weighted(names)]

    def _on_fields(self, node: Any) -> Query | None:
        targets = self._targets(node.field)
        if not targets:
            return self.queries.nothing()
        made = [(self._on_field(node, target.path), target.weight) for target in targets]
        found = [self.queries.boosted(query, weight) for query, weight in made if query is not None]
        return self.queries.best_of(found, self.tie_breaker) if found else None

    def _on_field(self, node: Any, path: str) -> Query | None:
        queries, lenient = self.queries, self.lenient
        match node:
            case lucene.Text():
                return queries.match(path, node.text, operator=self.operator, lenient=lenient)
            case lucene.Phrase():
                return queries.phrase(path, node.text, node.slop or self.slop, lenient=lenient)
            case lucene.Pattern():
                if node.parts[0][0] and not self.leading:
                    raise QueryError("query_shard_exception", "'*' or '?' not allowed as first character")
                return queries.pattern(path, node.parts, lenient=lenient)
            case lucene.Range():
                return queries.range(
                    path, node.low, node.high, lenient=lenient,
                    include_low=node.include_low, include_high=node.include_high,
                )  # fmt: skip
            case lucene.Regex():
                return queries.regexp(path, node.pattern, lenient=lenient)
            case lucene.Fuzzy():
                return queries.fuzzy(path, node.text, node.distance, lenient=lenient)
        raise AssertionError(node)


def _fields(queries: Queries, body: dict[str, Any]) -> list[str]:
    fields = body.get("fields")
    if fields:
        return [fields] if isinstance(fields, str) else list(fields)
    default = body.get("default_field")
    return [str(default)] if default else queries.default_fields()
