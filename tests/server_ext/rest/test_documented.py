"""What is served, what the OpenAPI document says and what the docs say are the same."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from hubkernel.hub.openapi_fixed import FIXED
from hubkernel.server_ext.endpoints import EndpointHandler
from hubkernel.server_ext.handlers import CallHandler
from hubkernel.server_ext.readonly import ReadOnly
from hubkernel.server_ext.terminal import TerminalFiles, TerminalHandler
from tests.server_ext.rest.served import Served

DOCS = Path(__file__).parents[3] / "docs"
API = "/hubkernel/api"


def handlers(served: Served) -> dict[str, type]:
    found = {pattern.removeprefix(API): handler for pattern, handler, *_ in served.app.handlers}
    special = (EndpointHandler, CallHandler, ReadOnly, TerminalHandler, TerminalFiles)
    return {pattern: handler for pattern, handler in found.items() if not issubclass(handler, special)}


def test_every_fixed_path_has_its_handler_and_verbs(served: Served) -> None:
    for path, verbs in FIXED.items():
        example = re.sub(r"{\w+}", "1", path)
        (handler,) = [h for pattern, h in handlers(served).items() if re.fullmatch(pattern, example)][:1]
        assert all(callable(getattr(handler, verb)) for verb in verbs), path


def test_every_handler_is_described(served: Served) -> None:
    for pattern, handler in handlers(served).items():
        examples = [path for path in FIXED if re.fullmatch(pattern, re.sub(r"{\w+}", "1", path))]
        assert examples, pattern
        own = {verb for cls in handler.__mro__ if cls.__module__.startswith("hubkernel") for verb in vars(cls)}
        verbs = own & {"get", "put", "post", "delete", "patch", "head"}
        assert verbs == {verb for path in examples for verb in FIXED[path]}, pattern


def test_every_metric_is_documented(served: Served) -> None:
    page = (DOCS / "operators" / "web.md").read_text()
    for family in text_string_to_metric_families(served.get("metrics").text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert name.endswith("_created") or f"| `{name}` |" in page, name


def test_every_status_is_documented() -> None:
    from hubkernel.server_ext import base

    page = (DOCS / "users" / "rest.md").read_text()
    codes = {code for _, code in base._STATUS} | {400, 403, 404, 405, 409, 413, 421, 422, 500}
    assert all(f"| {code} |" in page for code in codes)


def test_the_examples_of_the_page_work(served: Served) -> None:
    """Those of the page on uploads, step by step."""
    path = "dataupload/mysource/data.csv"
    total = {"Upload-Length": "10"}
    assert served.request("PATCH", path, content=b"12345", headers={**total, "Upload-Offset": "0"}).status_code == 204
    offset = served.request("HEAD", path).headers["Upload-Offset"]
    assert offset == "5"
    answer = served.request("PATCH", path, content=b"67890", headers={**total, "Upload-Offset": offset})
    assert answer.status_code == 201
