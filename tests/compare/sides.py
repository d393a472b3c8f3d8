"""The two sides of the comparison: each runs plugins and gives the documents it ends with."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import uuid
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from hubkernel import client
from hubkernel.api import JobFailedError
from hubkernel.hub.home import HubHome
from hubkernel.store import open_store
from tests.services import sdk

HERE = Path(__file__).parent
PLACEHOLDER = "http://data.invalid"
"""What the plugins' files say for the address of the test server."""
SECONDS = 100
Documents = dict[str, dict[str, Any]]


@dataclass
class Outcome:
    """What one plugin ended with."""

    collections: dict[str, Documents] = field(default_factory=dict)
    release: str | None = None
    errors: list[str] = field(default_factory=list)


def install(folder: Path, names: Iterable[str], url: str, *, sdk_forms: bool = False) -> None:
    """Copy plugins, and let them read from ``url``. ``sdk_forms``: as classes where the SDK's manifest cannot do it."""
    for name in names:
        shutil.copytree(HERE / "plugins" / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        form = HERE / "sdk_forms" / name
        if sdk_forms and form.is_dir():
            (folder / name / "manifest.json").unlink()
            shutil.copytree(form, folder / name, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        for file in (folder / name).rglob("*"):
            if file.is_file():
                file.write_text(file.read_text(encoding="utf-8").replace(PLACEHOLDER, url), encoding="utf-8")


def sdk_command(plugin: Path) -> Outcome:
    """``biothings-cli dataplugin dump_and_upload`` in the plugin's folder, on SQLite."""
    command = [sdk.python().with_name("biothings-cli"), "dataplugin", "dump_and_upload"]
    done = _run(command, plugin)
    if done.returncode:
        return Outcome(errors=[done.stdout[-2000:] + done.stderr[-2000:]])
    with closing(sqlite3.connect(plugin / ".biothings_hub" / "biothings_hubdb")) as database:
        (text,) = database.execute("SELECT document FROM src_dump").fetchone()
    record = json.loads(text)
    found = dict(_sqlite_collections(plugin / ".biothings_hub" / "data_src_database"))
    return Outcome({name: found[name] for name in record["upload"]["jobs"]}, record["download"]["release"])


def _sqlite_collections(path: Path) -> Iterator[tuple[str, Documents]]:
    with closing(sqlite3.connect(path)) as database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            rows = database.execute(f'SELECT document FROM "{name}"')
            yield name, _by_id(json.loads(text) for (text,) in rows)


def sdk_hub(folder: Path, names: Iterable[str], mongod_url: str) -> dict[str, Outcome]:
    """The SDK's hub on mongod; ``folder`` holds its plugins in ``plugins``."""
    for script in (HERE / "sdk_hub.py", HERE.parents[1] / "benchmarks" / "peer" / "hub.py"):
        shutil.copy(script, folder)  # the SDK asks git for the remote of a plugin's file: away from this checkout
    with closing(MongoClient(mongod_url)) as server:
        host, port = server.address
        assert host == "127.0.0.1"
        prefix = f"sdk_{uuid.uuid4().hex[:8]}"  # never used before: a drop may still be under way when it returns
        done = _run([sdk.python(), "sdk_hub.py", port, prefix, folder / "plugins", *names], folder)
        if done.returncode or not done.stdout.strip():
            raise AssertionError(
                f"the SDK's hub ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
            )
        found = json.loads(done.stdout.splitlines()[-1])
        return {name: _from_mongod(server[f"{prefix}_src"], ended) for name, ended in found.items()}


def _from_mongod(database: Any, ended: dict[str, Any]) -> Outcome:
    present = set(database.list_collection_names())
    collections = {name: _by_id(database[name].find()) for name in ended["collections"] if name in present}
    return Outcome(collections, ended["release"], ended["errors"])


def _by_id(documents: Iterable[dict[str, Any]]) -> Documents:
    return {document["_id"]: document for document in documents}


def _run(command: list[Any], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    line = [str(part) for part in command]
    return subprocess.run(
        line, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )


@contextmanager
def our_hub(home: HubHome, store_url: str | None = None) -> Iterator[Any]:
    """``run(name)`` dumps and uploads one source with the ordinary commands and gives its outcome."""
    hub = client.connect(home, placement="embedded")
    store = open_store(store_url or home.store_url)

    def run(name: str) -> Outcome:
        outcome = Outcome()
        try:
            for command in ("dump", "upload"):
                hub.call(command, name).result(SECONDS)
        except JobFailedError as error:
            outcome.errors.append(str(error))
        info = hub.call("source_info", name)
        outcome.release = info["download"].get("release")
        names = [found for found in hub.call("upload_info").get(name, []) if found in store]
        outcome.collections = {found: _by_id(store[found].find()) for found in names}
        return outcome

    try:
        yield run
    finally:
        store.close()
        client.disconnect(home)
