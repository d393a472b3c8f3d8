"""Requests made up by a machine from our own OpenAPI document: the hub answers them all, and never with a 5xx."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from tests.server_ext.rest.served import Served, serve
from tests.server_ext.rest.test_endpoints import write_source

pytestmark = pytest.mark.service

LEFT_OUT = {
    "backup", "restore", "export_command_documents", "load_plugin", "run_code", "schedule", "stop", "restart",
    "upgrade", "slow", "values", "bug",
}  # fmt: skip
"""Commands that write where they are told, end the hub, or misbehave on purpose."""
EXAMPLES = 5


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serve(tmp_path_factory.mktemp("home")) as served:
        write_source(served.home, "mine")
        served.post("call/reload", {})
        (served.server.log_folder / "hub.log").write_text("line\n")
        yield served
        assert served.get("status").status_code == 200


def operations(served: Served) -> list[Any]:
    document = served.get("openapi.json").json()
    del document["paths"]["/events"]
    schema = schemathesis.openapi.from_dict(document)
    found = [result.ok() for result in schema.get_all_operations()]
    return [item for item in found if item.definition.raw.get("x-hubkernel-command") not in LEFT_OUT]


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.name)
def test_no_request_makes_an_error_of_ours(fuzzed: Served, mode: GenerationMode) -> None:
    headers = {"Authorization": f"token {fuzzed.token}"}
    made = []
    for operation in operations(fuzzed):

        @settings(
            max_examples=EXAMPLES,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            answer = case.call(base_url=f"{fuzzed.url}hubkernel/api", headers=headers, timeout=30)
            checks = [not_a_server_error, response_schema_conformance, content_type_conformance]
            case.validate_response(answer, checks=checks)
            made.append(answer.status_code)

        ask()
    assert len(made) > 30 * EXAMPLES
    assert {200, 400, 404} <= set(made)
