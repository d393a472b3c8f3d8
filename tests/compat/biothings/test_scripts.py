"""``import biothings`` while a hub's script is loaded."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType

import pytest

import hubkernel.hub
from hubkernel.compat.biothings import NAMES, aliased


def test_the_names_of_the_hub_are_ours() -> None:
    with aliased():
        alias = import_module("biothings.hub")
        for name in NAMES:
            assert getattr(alias, name) is getattr(hubkernel.hub, name)
        import_module("biothings").config_for_app(object())
    assert "biothings" not in sys.modules


def test_another_name_is_missing_and_the_nearest_is_named() -> None:
    with aliased(), pytest.raises(AttributeError, match=r"no biothings.hub.HubServr; did you mean 'HubServer'"):
        import_module("biothings.hub").HubServr  # noqa: B018


def test_the_real_one_is_back_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    real = ModuleType("biothings")
    monkeypatch.setitem(sys.modules, "biothings", real)
    with aliased():
        assert import_module("biothings") is not real
    assert sys.modules["biothings"] is real
