from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from hubkernel.hub import status


def manager(**answers: Any) -> Any:
    def answer(value: Any) -> Any:
        def method() -> Any:
            if isinstance(value, Exception):
                raise value
            return value

        return method

    return SimpleNamespace(**{name: answer(value) for name, value in answers.items()})


def test_core_c42_numbers() -> None:
    managers = {
        "source_manager": manager(get_sources=[{"count": 3}, {"count": None}, {}]),
        "build_manager": manager(
            build_info=[{}, {}], build_config_info={"build_configs": {"a": {}}, "builder_classes": {}}
        ),
        "api_manager": manager(get_apis=[{"status": "running"}, {"status": "failed"}, {}]),
    }
    assert status(managers) == {
        "source": {"total": 3, "documents": 3},
        "build": {"total": 2},
        "build_conf": {"total": 1},
        "api": {"total": 3, "running": 1},
    }


def test_core_c42_null_for_what_is_missing_or_broken(caplog: pytest.LogCaptureFixture) -> None:
    empty = {
        "source": {"total": None, "documents": None},
        "build": {"total": None},
        "build_conf": {"total": None},
        "api": {"total": None, "running": None},
    }
    assert status({}) == empty
    with caplog.at_level(logging.WARNING):
        assert status({"source_manager": manager(get_sources=RuntimeError("broken"))}) == empty
    assert "source_manager" in caplog.text
