"""Reference pages that are made from the code: the commands as reStructuredText and Markdown, the settings, the REST
API's paths and its OpenAPI document.

``python -m hubkernel.hub.reference`` writes the pages under ``docs/`` again; tests fail while they are not current.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hubkernel.hub.commands import Command
from hubkernel.hub.config_page import settings_table
from hubkernel.hub.home import HubHome
from hubkernel.hub.openapi import openapi
from hubkernel.hub.routes import Routes


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
    job = "yes" if command.tracked and command.is_async else ""
    return f"| `{command.usage}` | {command.role.name} | {job} | {_meaning(command.doc)} |"


def _meaning(doc: str) -> str:
    """The first paragraph, as it can stand in a table."""
    paragraph = " ".join(doc.split("\n\n", 1)[0].split())
    plain = re.sub(r":\w+:`(.*?)`|``(.*?)``", lambda found: f"`{found[1] or found[2]}`", paragraph)
    return plain.replace("|", "\\|")


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


def endpoints_page(document: Mapping[str, Any]) -> str:
    """``docs/users/endpoints.md``: every path of an OpenAPI document but ``call/<command>``."""
    lines = [_ENDPOINTS_HEAD]
    for tag in document["tags"]:
        if tag["name"] == "call":
            continue
        lines += [f"## {tag['description']}", "", "| verb | path | role | meaning |", "|---|---|---|---|"]
        for path, verbs in document["paths"].items():
            lines += [_endpoint(path, verb, about) for verb, about in verbs.items() if tag["name"] in about["tags"]]
        lines.append("")
    return "\n".join(lines)


def _endpoint(path: str, verb: str, about: Mapping[str, Any]) -> str:
    command = f"[`{name}`](commands.md): " if (name := about.get("x-hubkernel-command")) else ""
    meaning = _meaning(about.get("description") or about["summary"])
    return f"| {verb.upper()} | `{path[1:] or '/'}` | {about['x-hubkernel-role']} | {command}{meaning} |"


_ENDPOINTS_HEAD = """# The paths of the REST API

Generated from the hub's registry by `python -m hubkernel.hub.reference`; a test keeps it current. All paths are below
`hubkernel/api/` of the server's base url; [how to use them](rest.md). Besides these there is `POST call/<command>` for
each of the [commands](commands.md).
"""


def pages() -> dict[str, str]:
    """The generated pages by their path under ``docs/``, made from a default hub in an empty home."""
    from hubkernel.hub.server import HubServer
    from hubkernel.pipeline.plugins.schema import manifest_schema

    with tempfile.TemporaryDirectory() as folder:
        server = HubServer.open(HubHome(Path(folder)))
        server.configure()
        try:
            commands = commands_page(server.commands, server.extra_commands)
            together = {**server.commands, **server.extra_commands}
            document = openapi("BioThings Hub", together, Routes(server.api_endpoints, together))
        finally:
            server.shutdown()
    return {
        "users/commands.md": commands,
        "users/endpoints.md": endpoints_page(document),
        "operators/settings.md": settings_table(),
        "developers/openapi.json": _json(document),
        "plugin-authors/manifest.schema.json": json.dumps(manifest_schema(), indent=1) + "\n",
    }


def _json(document: Mapping[str, Any]) -> str:
    """One line a path, so that a change of the API is a change of few lines."""
    paths = ",\n".join(f"{json.dumps(path)}: {json.dumps(verbs)}" for path, verbs in document["paths"].items())
    rest = json.dumps({**document, "paths": None}, indent=1)
    return rest.replace('"paths": null', f'"paths": {{\n{paths}\n}}') + "\n"


def main(docs: Path) -> None:
    """Write the pages into a ``docs`` folder."""
    for name, text in pages().items():
        (docs / name).parent.mkdir(parents=True, exist_ok=True)
        (docs / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
