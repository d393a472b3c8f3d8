"""A plugin to begin with: small, complete, and with data of its own, so that it runs before a line was changed."""

from __future__ import annotations

import shutil
from pathlib import Path

from hubkernel.pipeline.plugins.models import is_name

_MANIFEST = """\
version: "1.0"
display_name: {name}
__metadata__:
  url: https://example.org/where-the-data-come-from
  license: CC0-1.0
dumper:
  # One url or a list: http, https, ftp, s3 or file. These files came with the plugin: name your own instead.
  data_url:
{urls}
  # uncompress: true
  # schedule: "0 3 * * *"          # minute hour day month weekday [second]
  release: version:release         # remove it, and the date of the last file is the release
"""
_ONE = """\
uploader:
  parser: parser:load_data
  on_duplicates: error             # or ignore (the first stays), or merge
  mapping: mapping:mapping
"""
_PARALLEL = """\
uploader:
  parser: parser:load_file
  parallelizer: parallelizer:files
  on_duplicates: error
  mapping: mapping:mapping
"""
_SEVERAL = """\
uploaders:
  - name: {name}_planets
    parser: parser:load_data
    on_duplicates: error
    mapping: mapping:mapping
  - name: {name}_moons
    parser: parser:load_moons
    on_duplicates: merge
"""
_SEVERAL_PARALLEL = """\
uploaders:
  - name: {name}_planets
    parser: parser:load_file
    parallelizer: parallelizer:files
    on_duplicates: error
    mapping: mapping:mapping
  - name: {name}_moons
    parser: parser:load_moons
    on_duplicates: merge
"""
_PARSER = '''\
"""From the files of a release to documents."""

import csv
from pathlib import Path


def load_data(data_folder):
    """Called with the folder of a release. Yields documents: dicts with a text "_id"."""
    for file in sorted(Path(data_folder).glob("planets*.tsv")):
        yield from load_file(file)


def load_file(file):
    with open(file, newline="") as rows:
        for row in csv.DictReader(rows, delimiter="\\t"):
            yield {"_id": row["id"], "name": row["name"], "radius_km": float(row["radius_km"])}
'''
_MOONS = '''

def load_moons(data_folder):
    """One document for each planet: those of one "_id" are merged."""
    with open(Path(data_folder, "moons.tsv"), newline="") as rows:
        for row in csv.DictReader(rows, delimiter="\\t"):
            yield {"_id": row["planet"], "moons": [{"name": row["name"], "radius_km": float(row["radius_km"])}]}
'''
_PARALLELIZER = '''\
"""Which calls of the parser make the whole; they run side by side."""

from pathlib import Path


def files(uploader):
    """Returns a list of tuples, each the arguments of one call of the parser."""
    return [(str(file),) for file in sorted(Path(uploader.data_folder).glob("planets*.tsv"))]
'''
_VERSION = '''\
"""The release that the data are of."""


def release(self):
    """``self.SRC_URLS`` are the urls; ``self.client`` can ask a server, as in ``self.client.get(url).text``."""
    return "2006"
'''
_MAPPING = '''\
"""How the documents are indexed."""


def mapping(cls):
    """Returns the ``properties`` of an Elasticsearch mapping."""
    return {"name": {"type": "text"}, "radius_km": {"type": "float"}}
'''
_README = """\
# {name}

A data plugin. Try it with `hubkernel plugin run {name}`, check it with `hubkernel plugin validate {name}`.
"""
_DATA = {
    "planets.tsv": "id\tname\tradius_km\nmercury\tMercury\t2439.7\nvenus\tVenus\t6051.8\nearth\tEarth\t6371.0\n",
    "planets-outer.tsv": "id\tname\tradius_km\njupiter\tJupiter\t69911\nsaturn\tSaturn\t58232\n",
    "moons.tsv": "planet\tname\tradius_km\nearth\tMoon\t1737.4\njupiter\tIo\t1821.6\njupiter\tEuropa\t1560.8\n",
}


def new_plugin(folder: Path, *, multi_uploaders: bool = False, parallelizer: bool = False) -> list[Path]:
    """Write a plugin into ``folder``, which must not exist yet; its name becomes the source's. Returns the files.

    Raises ``FileExistsError``, or ``ValueError`` for a name that no source can have.
    """
    name = folder.name
    if not is_name(name):
        raise ValueError(f"{name!r} is no name for a source: use letters, digits, '_' and '-'")
    if folder.exists():
        raise FileExistsError(f"{folder} exists already: choose another name")
    draft = folder.with_name(f".{name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    texts = _texts(folder.absolute(), multi_uploaders, parallelizer)
    for path, text in texts.items():
        (draft / path).parent.mkdir(parents=True, exist_ok=True)
        (draft / path).write_text(text, "utf-8")
    draft.rename(folder)
    return [folder / path for path in texts]


def _texts(folder: Path, several: bool, parallel: bool) -> dict[str, str]:
    data = {name: text for name, text in _DATA.items() if _is_wanted(name, several, parallel)}
    urls = "\n".join(f"    - {(folder / 'data' / name).as_uri()}" for name in data)
    section = {(False, False): _ONE, (False, True): _PARALLEL, (True, False): _SEVERAL}.get(
        (several, parallel), _SEVERAL_PARALLEL
    )
    texts = {
        "manifest.yaml": (_MANIFEST + section).format(name=folder.name, urls=urls),
        "parser.py": _PARSER + (_MOONS if several else ""),
        "version.py": _VERSION,
        "mapping.py": _MAPPING,
        "README.md": _README.format(name=folder.name),
        **{f"data/{name}": text for name, text in data.items()},
    }
    return {**texts, "parallelizer.py": _PARALLELIZER} if parallel else texts


def _is_wanted(data: str, several: bool, parallel: bool) -> bool:
    return {"planets-outer.tsv": parallel, "moons.tsv": several}.get(data, True)
