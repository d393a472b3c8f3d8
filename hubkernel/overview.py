"""What a hub has, read from its state without starting it: works while another process owns the home."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from hubkernel.hub.home import HubHome
from hubkernel.owner import Owner, read_owner

JOBS_SHOWN = 5


@dataclass(slots=True)
class Overview:
    """Sources, builds and the latest jobs of a home, as rows of tables; ``owner`` is who has it open."""

    home: str
    exists: bool
    owner: Owner | None = None
    sources: list[dict[str, Any]] = field(default_factory=list)
    builds: list[dict[str, Any]] = field(default_factory=list)
    jobs: list[dict[str, Any]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the owner's token."""
        return {**asdict(self), "owner": self.owner.public() if self.owner else None}

    def text(self) -> str:
        """For a terminal."""
        if not self.exists:
            return f"No hub at {self.home} yet. `hubkernel --home {self.home} demo` makes one."
        from hubkernel.display import table_text

        parts = [f"Hub at {self.home}, {self._owned()}"]
        for title, rows in (("Sources", self.sources), ("Builds", self.builds), ("Latest jobs", self.jobs)):
            parts.append(f"\n{title}\n{table_text(rows)}" if rows else f"\nNo {title.lower()}.")
        return "\n".join(parts)

    def _owned(self) -> str:
        if self.owner is None:
            return "not in use"
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(self.owner.started))
        return f"in use by process {self.owner.pid} since {since}" if self.owner.pid else "in use"


def overview(home: HubHome) -> Overview:
    """Reads; makes no file and takes no lock. Raises :class:`~hubkernel.store.errors.StoreError`."""
    url = _state_url(home)
    if not home.root.is_dir() or (url == home.state_url and not (home.root / "state.db").is_file()):
        return Overview(str(home), exists=False)
    from hubkernel.store import open_state

    state = open_state(url)
    try:
        return Overview(str(home), True, read_owner(home.run), _sources(home, state), _builds(state), _jobs(state))
    finally:
        state.close()


def _state_url(home: HubHome) -> str:
    """The settings are typed and so take their time to load; most homes have none."""
    if (
        not home.config_file.exists()
        and not (home.root / "config.py").exists()
        and "HUBKERNEL_STATE_URL" not in os.environ
    ):
        return home.state_url
    from hubkernel.hub.config import HubConfig

    return HubConfig.load(home).state_url or home.state_url


def _sources(home: HubHome, state: Any) -> list[dict[str, Any]]:
    known = {document["_id"]: document for document in state["src_dump"].find()}
    folders = [entry.name for entry in home.plugins.iterdir() if entry.is_dir()] if home.plugins.is_dir() else []
    installed = {name for name in folders if not name.startswith((".", "_"))}
    return [_source(name, known.get(name, {})) for name in sorted(installed | set(known))]


def _source(name: str, document: Mapping[str, Any]) -> dict[str, Any]:
    download = document.get("download") or {}
    uploads = ((document.get("upload") or {}).get("jobs") or {}).values()
    counts = [upload["count"] for upload in uploads if upload.get("count") is not None]
    return {
        "name": name,
        "release": download.get("release"),
        "download": download.get("status", "never"),
        "upload": ", ".join(sorted({str(upload.get("status")) for upload in uploads})) or "never",
        "documents": sum(counts) if counts else None,
    }


def _builds(state: Any) -> list[dict[str, Any]]:
    found = state["src_build"].find(sort=[("started_at", -1)], limit=JOBS_SHOWN)
    return [_build(document) for document in found]


def _build(document: Mapping[str, Any]) -> dict[str, Any]:
    jobs = document.get("jobs") or [{}]
    stats = (document.get("_meta") or {}).get("stats") or {}
    return {
        "name": document["_id"],
        "recipe": (document.get("build_config") or {}).get("name"),
        "status": jobs[-1].get("status", "unknown"),
        "documents": stats.get("total"),
    }


def _jobs(state: Any) -> list[dict[str, Any]]:
    found = state["job"].find(sort=[("_id", -1)], limit=JOBS_SHOWN)
    return [
        {
            "id": document["_id"],
            "command": document.get("command") or document.get("name"),
            "state": document.get("state"),
            "error": document.get("error"),
        }
        for document in found
    ]
