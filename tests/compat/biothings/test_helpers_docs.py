"""The page of the helpers has all of them, and only what there is."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from hubkernel.compat.biothings.utils import common, dataload

DOCS = Path(__file__).resolve().parents[3] / "docs" / "plugin-authors"
PAGE = (DOCS / "helpers.md").read_text()


def section(title: str) -> str:
    return PAGE.split(f"## {title}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize("module", [dataload, common], ids=lambda module: module.__name__.rpartition(".")[2])
def test_each_helper_has_its_line(module: object) -> None:
    names = set(module.__all__) - {"Min"}  # type: ignore[attr-defined]
    documented = re.findall(r"^\| `(\w+)", section(f"`biothings.utils.{module.__name__.rpartition('.')[2]}`"), re.M)  # type: ignore[attr-defined]
    assert len(documented) == len(set(documented))
    elsewhere = {"list2dict"} if module is common else {"anyfile", "open_anyfile"}
    assert set(documented) == names - elsewhere


def test_the_other_modules_have_what_the_page_says() -> None:
    for line in section("More modules").splitlines()[3:]:
        paths, contents = line.split(" | ", 1)
        names = ["biothings.hub.dataload" + path if path.startswith(".") else path for path in code(paths)]
        modules = [importlib.import_module(f"hubkernel.compat.{name}") for name in names]
        lists = [text.partition("(")[0] for text in code(contents) if re.fullmatch(r"[\w ]+(\(.*)?", text)]
        for name in " ".join(lists).split():
            assert name in ("DATA_ARCHIVE_ROOT", "LOG_FOLDER") or any(hasattr(module, name) for module in modules), name


def code(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def test_what_is_said_to_differ_is_there() -> None:
    for line in section("Differences to the SDK").splitlines()[3:]:
        for name in re.findall(r"`(\w+)", line.split(" | ")[0]):
            modules = (dataload, common, importlib.import_module("hubkernel.compat.biothings.utils.parsers"))
            assert any(hasattr(module, name) for module in modules) or name == "to_msgpack", name
