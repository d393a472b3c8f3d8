"""Six genes with everything in them that queries trip over."""

from __future__ import annotations

import copy
from typing import Any

SETTINGS: dict[str, Any] = {
    "number_of_shards": 1,
    "number_of_replicas": 0,
    "query": {"default_field": ["_id", "all"]},
    "analysis": {
        "analyzer": {
            "string_lowercase": {"tokenizer": "keyword", "filter": "lowercase"},
            "whitespace_lowercase": {"tokenizer": "whitespace", "filter": "lowercase"},
        },
        "normalizer": {"lowercased": {"type": "custom", "char_filter": [], "filter": ["lowercase"]}},
    },
}

_KEYWORD = {"type": "keyword"}
_LONG = {"type": "long"}
MAPPINGS: dict[str, Any] = {
    "dynamic": "false",
    "_meta": {"biothing_type": "gene", "build_version": "20260101", "src": {"entrez": {"version": "1"}}},
    "properties": {
        "all": {"type": "text"},
        "symbol": {"type": "keyword", "normalizer": "lowercased", "copy_to": ["all"]},
        "name": {
            "type": "text",
            "copy_to": ["all"],
            "fields": {"raw": {"type": "keyword", "ignore_above": 256}},
        },
        "taxid": {"type": "integer"},
        "score": {"type": "float"},
        "bignum": _LONG,
        "pseudo": {"type": "boolean"},
        "date": {"type": "date"},
        "notes": {"type": "text", "analyzer": "whitespace_lowercase"},
        "legacy": {"type": "text", "analyzer": "string_lowercase"},
        "blob": {"type": "object", "enabled": False},
        "nodv": {"type": "keyword", "doc_values": False},
        "gene": {"type": "alias", "path": "symbol"},
        "unsaid": {"type": "keyword", "null_value": "none"},
        "genomic_pos": {"properties": {"chr": _KEYWORD, "start": _LONG, "end": _LONG, "strand": {"type": "byte"}}},
        "go": {
            "properties": {
                "BP": {
                    "properties": {
                        "id": _KEYWORD,
                        "term": {"type": "text", "copy_to": ["all"]},
                        "evidence": _KEYWORD,
                    }
                }
            }
        },
        "xref": {"properties": {"hgnc": _KEYWORD, "omim": {"type": "keyword", "copy_to": ["all"]}}},
    },
}

DOCUMENTS: dict[str, dict[str, Any]] = {
    "1017": {
        "symbol": "CDK2", "name": "cyclin dependent kinase 2", "taxid": 9606, "score": 1.5,
        "bignum": 9007199254740993, "pseudo": False, "date": "2024-01-15", "notes": "Foo-Bar baz",
        "legacy": "Hello World", "blob": {"a": 1}, "nodv": "x1",
        "genomic_pos": {"chr": "12", "start": 55966769, "end": 55972784, "strand": 1},
        "go": {"BP": [
            {"id": "GO:0000082", "term": "G1/S transition of mitotic cell cycle", "evidence": "IDA"},
            {"id": "GO:0006260", "term": "DNA replication", "evidence": "IEA"},
        ]},
        "xref": {"hgnc": "1771", "omim": "116953"},
    },
    "1018": {
        "symbol": "CDK3", "name": "cyclin dependent kinase 3", "taxid": 9606, "score": 2.5, "pseudo": False,
        "date": "2024-02-20T10:00:00Z", "blob": {"a": "text now"}, "unsaid": None,
        "genomic_pos": [
            {"chr": "17", "start": 76000906, "end": 76005998, "strand": -1},
            {"chr": "HG", "start": 100, "end": 200, "strand": 1},
        ],
        "go": {"BP": {"id": "GO:0006260", "term": "DNA replication", "evidence": "IBA"}},
        "xref": {"hgnc": "1772", "omim": "123828"},
    },
    "12566": {
        "symbol": "Cdk2", "name": "cyclin dependent kinase 2", "taxid": 10090, "score": 3.5, "pseudo": False,
        "date": "2023-12-31",
        "genomic_pos": {"chr": "10", "start": 128533808, "end": 128541000, "strand": -1},
    },
    "7157": {
        "symbol": "TP53", "name": "tumor protein p53", "taxid": 9606, "score": 9.5, "pseudo": False,
        "date": "2022-06-01",
        "genomic_pos": {"chr": "17", "start": 7661779, "end": 7687550, "strand": -1},
        "xref": {"hgnc": "11998", "omim": ["191170", "151623"]},
    },
    "AK123:x/y z": {
        "symbol": "PSEUDO1", "name": "some pseudogene (alpha)", "taxid": 9606, "score": -1.0, "pseudo": True,
    },
    "empty": {"taxid": 1},
}  # fmt: skip


def mappings() -> dict[str, Any]:
    return copy.deepcopy(MAPPINGS)
