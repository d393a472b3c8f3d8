"""The page on dumpers says what the classes have, and its example runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hubkernel.pipeline.dump import DumpError
from hubkernel.pipeline.dump.dumpers import APIDumper, BaseDumper, FilesystemDumper, LastModifiedHTTPDumper
from tests.pipeline.dump_tools import Bench, web_server

PAGE = (Path(__file__).parents[2] / "docs" / "plugin-authors" / "dumpers.md").read_text()
TOLD_ELSEWHERE = {"prepare", "unprepare", "list_files", "http_policy"}
"""For plugins of old, or for the hub's own protocols."""


def public(kind: type) -> set[str]:
    return {name for name in vars(kind) if not name.startswith("_")}


@pytest.mark.parametrize("kind", [BaseDumper, *LastModifiedHTTPDumper.__mro__[:-2], APIDumper, FilesystemDumper])
def test_everything_that_a_plugin_may_override_is_told(kind: type) -> None:
    words = set(re.findall(r"\w+", PAGE))
    helpers = {"policy", "described", "recorded", "name_of"}
    assert public(kind) - words <= TOLD_ELSEWHERE | helpers


def test_the_example_runs(tmp_path: Path) -> None:
    code = re.search(r'```python title="dumper"\n(.*?)```', PAGE, re.DOTALL)
    assert code is not None
    bench = Bench(tmp_path)
    with web_server() as web:
        for name in ("north", "south"):
            web[f"/{name}.tsv"] = b"station\tmm\n"
        web["/version.txt"] = b"7\n"
        text = code[1].replace("https://data.example.org/weather/", web.url("/")).replace("WeatherDumper", "Mine")
        bench.classes("src", text)
        assert bench.dump("src", year=2020) == "7" and len(bench.files("src")) == 2
        web["/south.tsv"] = b"none"
        web["/version.txt"] = b"8\n"
        with pytest.raises(DumpError, match=r"south\.tsv has no header"):
            bench.dump("src")
    bench.close()
