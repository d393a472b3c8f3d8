"""Put the demo's plugins into a home. They are ordinary plugins there: edit them, or copy them to begin your own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from urllib.parse import urlsplit

PLUGINS = ("hpo_terms", "hpo_genes", "hpo_diseases")
PACKAGED = Path(__file__).parent / "plugins"


def install(plugins: Path, upstream: Path) -> list[Path]:
    """Copy the three plugin folders into ``plugins`` and let them take their data from the files in ``upstream``.

    A folder that is already there belongs to the user and stays as it is. Returns the new ones.
    """
    new = []
    for name in PLUGINS:
        folder = plugins / name
        if folder.exists():
            continue
        draft = plugins / f".{name}.new"
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(PACKAGED / name, draft, ignore=shutil.ignore_patterns("__pycache__"))
        _point_at(draft / "manifest.json", upstream)
        draft.rename(folder)
        new.append(folder)
    return new


def _point_at(file: Path, upstream: Path) -> None:
    manifest = json.loads(file.read_text("utf-8"))
    name = Path(urlsplit(manifest["dumper"]["data_url"]).path).name
    manifest["dumper"]["data_url"] = (upstream / name).absolute().as_uri()
    file.write_text(json.dumps(manifest, indent=2) + "\n", "utf-8")
