"""What the documentation of the doors names exists, and what exists is named."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from hubkernel import cli
from hubkernel.api import JobHandle
from hubkernel.facade import Docs
from hubkernel.hub.tables import HIDDEN, PUBLIC
from hubkernel.magics import NotebookHub, _split_options

USERS = Path(cli.__file__).parents[1] / "docs" / "users"
CLI, NOTEBOOK = (USERS / "cli.md").read_text(), (USERS / "notebook.md").read_text()


def subcommands() -> dict[str, argparse.ArgumentParser]:
    return dict(_below(cli.parser(), ""))


def _below(parser: argparse.ArgumentParser, prefix: str) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        for name, below in action.choices.items() if isinstance(action, argparse._SubParsersAction) else ():
            yield prefix + name, below
            yield from _below(below, f"{prefix}{name} ")


def options(parser: argparse.ArgumentParser) -> set[str]:
    return {option for action in parser._actions for option in action.option_strings} - {"-h", "--help"}


def test_the_reference_has_each_command_with_its_options() -> None:
    sections = dict(re.findall(r"^##+ `hubkernel ([^`]+)`\n(.*?)(?=^##|\Z)", CLI, re.M | re.S))
    parsers = subcommands()
    assert sections.keys() == parsers.keys()
    for name, text in sections.items():
        table = "".join(line for line in text.splitlines() if line.startswith("| `-"))
        assert set(re.findall(r"`(--?[\w-]+)", table)) == options(parsers[name]), name


def test_the_reference_has_the_general_options_and_each_exit_status() -> None:
    general = CLI.partition("## ")[0]
    assert all(f"`{option}" in general for option in options(cli.parser()))
    statuses = {int(number) for number in re.findall(r"^\| (\d+) \|", CLI, re.M)}
    assert statuses == {0, cli.FAILED, cli.USAGE, cli.BUSY, cli.INTERRUPTED}


def test_what_the_notebook_page_calls_exists() -> None:
    commands = {row.name for row in (*PUBLIC, *HIDDEN)}
    of_hub = set(re.findall(r"(?<!-)\bhub\.(\w+)", NOTEBOOK))
    assert of_hub
    assert not {name for name in of_hub if name not in commands and not hasattr(NotebookHub, name)}
    assert not {name for name in re.findall(r"\bjob\.(\w+)", NOTEBOOK) if not hasattr(JobHandle, name)}
    assert not {name for name in re.findall(r"\bdocs\.(\w+)", NOTEBOOK) if not hasattr(Docs, name)}
    for line in re.findall(r"^%hub (--[\w-]+.*)$", NOTEBOOK, re.M):
        assert _split_options(line)[0] is False
