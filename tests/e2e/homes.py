"""Homes for the tests of real clients."""

from __future__ import annotations

import json
from pathlib import Path

from hubkernel.demo.install import install
from hubkernel.hub.home import HubHome

EXCERPT = Path(__file__).parents[1] / "data" / "hpo"

SLOW_PARSER = '''
import time
from pathlib import Path


def load_data(data_folder):
    """A document every 20 ms until there is a file ``enough`` beside the data."""
    number = 0
    while not Path(data_folder, "enough").exists():
        yield {"_id": f"{number:06}"}
        number += 1
        time.sleep(0.02)
'''


def hpo_home(root: Path) -> HubHome:
    """A home with the demo's plugins on the excerpt of the HPO."""
    home = HubHome(root).create()
    install(home.plugins, EXCERPT)
    return home


def add_slow_source(home: HubHome) -> None:
    """A source ``slow`` whose upload never ends by itself."""
    data = home.root / "slow.txt"
    data.write_text("nothing\n")
    plugin = home.plugins / "slow"
    plugin.mkdir()
    (plugin / "parser.py").write_text(SLOW_PARSER)
    manifest = {
        "version": "1.0",
        "dumper": {"data_url": data.as_uri()},
        "uploader": {"parser": "parser:load_data", "on_duplicates": "error"},
    }
    (plugin / "manifest.json").write_text(json.dumps(manifest))


def outcome(home: HubHome) -> dict[int, tuple[str, str]]:
    """``{id: (command, state)}`` of all jobs, read from the state of a home that nobody owns any more."""
    from hubkernel.store import open_state

    state = open_state(home.state_url)
    try:
        return {job["_id"]: (job["command"], job["state"]) for job in state["job"].find(sort=[("_id", 1)])}
    finally:
        state.close()
