"""``hubkernel plugin``: begin a plugin, check it, try it, and turn a manifest into classes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hubkernel.api import HubAPI
    from hubkernel.hub.home import HubHome

FAILED = 1


def add_parsers(commands: Any) -> None:
    """The command and what belongs to it; docs/users/cli.md is checked against it."""
    plugin = commands.add_parser("plugin", help="begin, check, try and export a data plugin")
    parts = plugin.add_subparsers(dest="part", required=True, metavar="COMMAND")
    _add_new(parts)
    validate = parts.add_parser("validate", help="check a plugin; all that is wrong, and exit status 1, if anything is")
    validate.add_argument("folder", metavar="FOLDER", nargs="?", default=".", help="the plugin (default: this folder)")
    validate.add_argument("--json", action="store_true", help="one JSON object: name, problems, warnings")
    validate.set_defaults(run=run_validate)
    _add_run(parts)
    _add_export(parts)
    schema = parts.add_parser("schema", help="the JSON Schema of manifests, for editors")
    schema.set_defaults(run=run_schema)


def _add_new(parts: Any) -> None:
    new = parts.add_parser("new", help="write a plugin to begin with; it runs as it is")
    new.add_argument("folder", metavar="FOLDER", help="the new folder; its name becomes the source's")
    new.add_argument("--multi-uploaders", action="store_true", help="with two uploaders, each of its own collection")
    new.add_argument("--parallelizer", action="store_true", help="with a parser that runs for several files at once")
    new.set_defaults(run=run_new)


def _add_run(parts: Any) -> None:
    run = parts.add_parser("run", help="dump and upload a plugin, and show its first documents")
    run.add_argument("folder", metavar="FOLDER", nargs="?", default=".", help="the plugin (default: this folder)")
    run.add_argument("--limit", type=int, default=3, metavar="N", help="documents to show of each collection (3)")
    run.add_argument("--force", action="store_true", help="dump also what has not changed")
    run.set_defaults(run=run_run)


def _add_export(parts: Any) -> None:
    export = parts.add_parser("export", help="write the Python classes that a plugin's manifest stands for")
    export.add_argument("folder", metavar="FOLDER", help="the plugin")
    export.add_argument("target", metavar="TARGET", help="where the new folder, of the source's name, is written")
    export.add_argument("--purge", action="store_true", help="write over the files of an earlier export")
    export.set_defaults(run=run_export)


def run_new(options: argparse.Namespace, home: HubHome) -> int:
    """``hubkernel plugin new``."""
    from hubkernel.pipeline.plugins.templates import new_plugin

    folder = Path(options.folder)
    for file in new_plugin(folder, multi_uploaders=options.multi_uploaders, parallelizer=options.parallelizer):
        print(file)
    print(f"try it: hubkernel plugin run {folder}")
    return 0


def run_validate(options: argparse.Namespace, home: HubHome) -> int:
    """``hubkernel plugin validate``: everything that is wrong, one line each."""
    import json

    from hubkernel.pipeline.plugins import PluginError, load_plugin

    folder = Path(options.folder)
    try:
        plugin = load_plugin(folder)
    except PluginError as error:
        problems = str(error).splitlines()
        if options.json:
            print(json.dumps({"name": None, "problems": problems, "warnings": []}))
        else:
            print("\n".join(problems), file=sys.stderr)
            print(f"hubkernel: {folder} has {len(problems)} problem(s)", file=sys.stderr)
        return FAILED
    if options.json:
        print(json.dumps({"name": plugin.name, "problems": [], "warnings": plugin.warnings}))
        return 0
    for warning in plugin.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    collections = ", ".join(plugin.specs) or "no collection"
    print(f"{plugin.name}: good ({'a dumper' if plugin.dumper else 'no dumper'}; {collections})")
    return 0


def run_run(options: argparse.Namespace, home: HubHome) -> int:
    """``hubkernel plugin run``: in a home of its own that is gone afterwards, or in the one that was given."""
    with _hub(home if options.home else None) as hub:
        loaded = hub.call("load_plugin", str(Path(options.folder).absolute()))
        for warning in loaded["warnings"]:
            print(f"warning: {warning}", file=sys.stderr)
        return _run(hub, loaded["name"], options)


def _run(hub: HubAPI, name: str, options: argparse.Namespace) -> int:
    import json

    source = hub.call("source_info", name)
    if "dumper" in source.get("download", {}):
        release = _job(hub, "dump", name, force=options.force)
        print(f"dump {name}: {release}")
    if not source.get("upload"):
        return 0
    for collection, report in _job(hub, "upload", name).items():
        count = report.get("count") or 0
        print(f"upload {collection}: {count:,} document(s)")
        for document in hub.call("documents", collection, limit=options.limit) if options.limit > 0 else []:
            print(json.dumps(document, indent=2, ensure_ascii=False, default=str))
    return 0


def _job(hub: HubAPI, command: str, *args: Any, **kwargs: Any) -> Any:
    from hubkernel import live

    job = hub.call(command, *args, **kwargs)
    live.wait(job, live.terminal(sys.stderr))
    return job.result()


@contextmanager
def _hub(home: HubHome | None) -> Iterator[HubAPI]:
    """The hub of a home; of None, one that ends and leaves nothing behind."""
    import tempfile

    from hubkernel import client
    from hubkernel.hub.home import HubHome

    if home is not None:
        yield client.connect(home, door="cli")
        client.disconnect(home)
        return
    with tempfile.TemporaryDirectory(prefix="hubkernel-", ignore_cleanup_errors=True) as folder:
        own = HubHome(Path(folder))
        own.create().config_file.write_text("skip_uploader_poll = true\n")
        try:
            yield client.connect(own, placement="embedded", door="cli")
        finally:
            client.disconnect(own)


def run_export(options: argparse.Namespace, home: HubHome) -> int:
    """``hubkernel plugin export``."""
    from hubkernel.pipeline.plugins import PluginError, load_plugin
    from hubkernel.pipeline.plugins.export import export_plugin

    try:
        parts = export_plugin(load_plugin(Path(options.folder)), Path(options.target), purge=options.purge)
    except PluginError as error:
        print(f"hubkernel: {error}", file=sys.stderr)
        return FAILED
    for part, about in parts.items():
        print(f"{part}: {' '.join(filter(None, (about['file'], about['message'])))}")
    return 0


def run_schema(options: argparse.Namespace, home: HubHome) -> int:
    """``hubkernel plugin schema``."""
    import json

    from hubkernel.pipeline.plugins.schema import manifest_schema

    print(json.dumps(manifest_schema(), indent=2))
    return 0
