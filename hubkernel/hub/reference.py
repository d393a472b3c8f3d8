"""Reference pages that are made from the code: the commands as reStructuredText and Markdown, the settings.

``python -m hubkernel.hub.reference`` writes the pages under ``docs/`` again; tests fail while they are not current.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hubkernel.hub.commands import Command
from hubkernel.hub.config_page import settings_table
from hubkernel.hub.home import HubHome


def write_command_documents(commands: Mapping[str, Any], file: Path) -> None:
    """All commands in alphabetical order as ``py:method`` (signature and documentation), objects as ``py:data``."""
    title = "biothings.hub.commands"
    lines = [title, "=" * len(title), ""]
    for name in sorted(commands):
        command = commands[name]
        if isinstance(command, Command):
            lines += [f".. py:method:: {name}{command.signature}", "", *_indented(command.doc), ""]
        else:
            lines += [f".. py:data:: {name}", ""]
    file.write_text("\n".join(lines), encoding="utf-8")


def _indented(text: str) -> list[str]:
    return [f"    {line}".rstrip() for line in text.splitlines()]


def commands_page(public: Mapping[str, Any], hidden: Mapping[str, Any]) -> str:
    """``docs/users/commands.md``: every command, its role and meaning."""
    lines = [_COMMANDS_HEAD]
    for title, commands in (("Commands", public), ("Shortcuts and commands for doors", hidden)):
        lines += [f"## {title}", "", "| command | role | job | meaning |", "|---|---|---|---|"]
        lines += [_row(commands[name]) for name in sorted(commands) if isinstance(commands[name], Command)]
        lines.append("")
    return "\n".join(lines)


def _row(command: Command) -> str:
    paragraph = " ".join(command.doc.split("\n\n", 1)[0].split())
    meaning = re.sub(r":\w+:`(.*?)`|``(.*?)``", lambda found: f"`{found[1] or found[2]}`", paragraph).replace(
        "|", "\\|"
    )
    job = "yes" if command.tracked and command.is_async else ""
    return f"| `{command.usage}` | {command.role.name} | {job} | {meaning} |"


_COMMANDS_HEAD = """# Commands

Generated from the hub's registry by `python -m hubkernel.hub.reference`; a test keeps it current.

Every door knows the same commands: `hub.dump("x")` and `%hub dump x` in a notebook, `hubkernel exec 'dump("x")'` in a
terminal, `dump("x")` at the ssh prompt. Arguments are Python literals. A command marked as a job runs in the
background: it can be waited for, watched and cancelled. `help("dump")` explains one command, and so does `dump?` as a
line of text.

A misspelt command, keyword, source or build is refused at once, with the nearest name there is; so is a command that
still runs with the same arguments. `a() && b()` runs `b` once `a` has succeeded. `run('a() && b()')` has the hub do
that, as one job: all of it is checked before `a` starts, its result is the list of results, and cancelling it cancels
the part that runs and leaves the others out.
"""


def pages() -> dict[str, str]:
    """The generated pages by their path under ``docs/``, made from a default hub in an empty home."""
    from hubkernel.hub.server import HubServer

    with tempfile.TemporaryDirectory() as folder:
        server = HubServer.open(HubHome(Path(folder)))
        server.configure()
        try:
            commands = commands_page(server.commands, server.extra_commands)
        finally:
            server.shutdown()
    return {"users/commands.md": commands, "operators/settings.md": settings_table()}


def main(docs: Path) -> None:
    """Write the pages into a ``docs`` folder."""
    for name, text in pages().items():
        (docs / name).parent.mkdir(parents=True, exist_ok=True)
        (docs / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
