"""``biothings.utils.serializer``: JSON and YAML of documents."""

from __future__ import annotations

from typing import IO, Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import orjson

from hubkernel.compat.biothings._missing import answer


def to_json(data: Any, indent: bool = False, sort_keys: bool = False, return_bytes: bool = False) -> Any:
    """JSON as text, or as bytes. Dates are ISO text, keys any plain values, what has no JSON is its text."""
    option = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
    option |= (orjson.OPT_INDENT_2 if indent else 0) | (orjson.OPT_SORT_KEYS if sort_keys else 0)
    encoded = orjson.dumps(data, default=orjson_default, option=option)
    return encoded if return_bytes else encoded.decode()


def orjson_default(o: Any) -> Any:
    """Called for what JSON does not have: a set becomes a list, anything else its text."""
    return list(o) if isinstance(o, set | frozenset | tuple) else str(o)


def load_json(json_str: bytes | str) -> Any:
    """From JSON. Raises ``ValueError``."""
    return orjson.loads(json_str)


json_dumps, json_loads = to_json, load_json


def to_json_file(data: Any, fobj: IO[str], indent: bool = False, sort_keys: bool = False) -> None:
    """Write JSON into a file that is open for text."""
    fobj.write(to_json(data, indent, sort_keys))


def to_yaml(data: Any, stream: Any = None, Dumper: Any = None, default_flow_style: bool = False) -> Any:
    """YAML, as text or into ``stream``."""
    import yaml

    return yaml.dump(data, stream, Dumper or yaml.SafeDumper, default_flow_style=default_flow_style)


class URL(str):
    """A url without one of its parameters: ``URL(url).remove("page")``."""

    def remove(self, param: str = "format") -> str:
        """All parameters of that name left out."""
        parts = urlsplit(str(self))
        kept = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name != param]
        return urlunsplit(parts._replace(query=urlencode(kept)))


__getattr__ = answer(__name__, why={"to_msgpack": "it writes no msgpack; use to_json(data, return_bytes=True)"})
