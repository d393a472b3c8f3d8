"""What users hold: ``hub``, whose attributes are its commands, and ``hub.docs(name)``, the documents of a collection.

Everything here goes through :class:`~hubkernel.api.HubAPI`, so it is the same for a hub in another process.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubkernel.api import CommandInfo, HubAPI, JobHandle
from hubkernel.hub.names import hint

if TYPE_CHECKING:
    from IPython.display import IFrame
    from pandas import DataFrame

PAGE = 1000
"""Documents fetched at once by :class:`Docs`."""


@contextmanager
def plainly() -> Iterator[None]:
    """What we raise ourselves says all there is to say: IPython shows it on one line, not the way through the hub."""
    try:
        yield
    except Exception as error:
        if type(error).__module__.startswith("hubkernel.") and not hasattr(error, "_render_traceback_"):
            _show_plainly(error)
        raise


def _show_plainly(error: Exception) -> Exception:
    error._render_traceback_ = lambda: [f"{type(error).__name__}: {error}"]  # type: ignore[attr-defined]
    return error


class Hub:
    """A hub. ``hub.dump("hpo_terms")`` calls the command ``dump``; TAB shows what there is, ``hub.dump?`` explains it.

    ``connect`` is called by every use, not before: holding a ``Hub`` costs nothing and owns nothing.
    """

    def __init__(self, connect: Callable[[], HubAPI]) -> None:
        self._connect = connect

    @property
    def api(self) -> HubAPI:
        """The protocol underneath. Raises :class:`~hubkernel.owner.HubBusyError`."""
        return self._connect()

    @property
    def home(self) -> str:
        """The hub's folder."""
        return self.api.home

    def call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """The command ``name``: its value (see :func:`shaped`), or a :class:`~hubkernel.api.JobHandle`."""
        with plainly():
            return shaped(self.api.call(name, *args, **kwargs), name)

    def job(self, id: int, /) -> JobHandle:
        """The job of that number. Raises ``LookupError``."""
        try:
            return self.api.job(id)
        except LookupError as error:
            raise _show_plainly(error) from None

    def jobs(self, *, running: bool | None = None, failed: bool | None = None, limit: int = 20) -> Jobs:
        """The newest jobs first."""
        return Jobs(self.api.jobs(running=running, failed=failed, limit=limit))

    def cancel(self, id: int, /) -> bool:
        """Ask a job to end; False if there was nothing to cancel."""
        return self.api.cancel(id)

    def terminal(self, height: int = 500) -> IFrame:
        """The terminal of the Jupyter server around this kernel, which needs the extension; ``height`` in pixels."""
        from IPython.display import IFrame

        return IFrame(f"{_server_prefix()}hubkernel/terminal", "100%", height)

    def docs(self, collection: str, /, filter: Mapping[str, Any] | None = None) -> Docs:
        """The documents of a source or a build, fetched as they are used. Raises an error that names those that there
        are if there is none of that name.
        """
        self.call("count", collection)
        return Docs(self, collection, filter)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        commands = self.api.commands()
        if name not in commands:
            raise _show_plainly(AttributeError(f"no command {name!r}{hint(name, commands)}"))
        return proxy(self, commands[name])

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.api.commands()})

    def __repr__(self) -> str:
        api = self.api
        return f"<Hub {api.home} ({api.placement}), {len(api.commands())} commands>"


def _server_prefix() -> str:
    """The base url of the Jupyter server that started this process, as far as that can be known."""
    from jupyter_core.paths import jupyter_runtime_dir

    note = Path(jupyter_runtime_dir(), f"jpserver-{os.environ.get('JPY_PARENT_PID')}.json")
    try:
        return str(json.loads(note.read_text("utf-8"))["base_url"])
    except (OSError, ValueError, KeyError):
        return os.environ.get("JUPYTERHUB_SERVICE_PREFIX", "/")


def proxy(hub: Hub, info: CommandInfo) -> Callable[..., Any]:
    """A function with the command's name, signature and documentation that calls it on ``hub``."""
    command = later(hub, info.name)
    command.__doc__ = info.doc
    command.__signature__ = info.signature  # type: ignore[attr-defined]
    return command


def later(hub: Hub, name: str) -> Callable[..., Any]:
    """A command of which only the name is known before the hub is open."""

    def command(*args: Any, **kwargs: Any) -> Any:
        return hub.call(name, *args, **kwargs)

    command.__name__ = command.__qualname__ = name
    command.__doc__ = f"The command {name!r} of the hub, which opens when it is first used."
    return command


class Rows(list[dict[str, Any]]):
    """What a command lists: a plain list of dicts that doors show as a table. ``kind`` is the command."""

    def __init__(self, rows: Iterable[Mapping[str, Any]], kind: str = "") -> None:
        super().__init__(dict(row) for row in rows)
        self.kind = kind

    def to_pandas(self) -> DataFrame:
        """One row an entry. Needs pandas."""
        frame: DataFrame = _pandas().DataFrame(list(self))
        return frame


class Found(dict[str, Any]):
    """What a search found: a plain dict with ``total`` and ``hits`` that doors show as a table."""


class Jobs(list[JobHandle]):
    """A list of jobs that doors show as a table."""


def shaped(value: Any, kind: str) -> Any:
    """A list of dicts as :class:`Rows`, what a search found as :class:`Found`; anything else as it is."""
    if type(value) is list and value and all(isinstance(item, Mapping) for item in value):
        return Rows(value, kind)
    if type(value) is dict and isinstance(value.get("hits"), list) and "total" in value:
        return Found(value)
    return value


class Docs:
    """The documents of a collection in the order of their ``_id``; a page at a time is in memory.

    ``docs["HP:0001250"]`` is one document, ``docs.find({...})`` a selection, ``for doc in docs`` all of them.
    """

    def __init__(
        self,
        hub: Hub,
        collection: str,
        filter: Mapping[str, Any] | None = None,
        fields: Iterable[str] | None = None,
    ) -> None:
        self._hub = hub
        self.collection = collection
        self.filter = dict(filter or {})
        self.fields = None if fields is None else list(fields)

    def find(self, filter: Mapping[str, Any] | None = None, fields: Iterable[str] | None = None) -> Docs:
        """Those that match a MongoDB-style filter, with only the named fields (dotted paths; ``_id`` always stays)."""
        both = {"$and": [self.filter, dict(filter)]} if self.filter and filter else dict(filter or self.filter)
        return Docs(self._hub, self.collection, both, self.fields if fields is None else fields)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self.stream()

    def stream(self, limit: int | None = None) -> Iterator[dict[str, Any]]:
        """The first ``limit`` documents, or all; fetched page by page while they are used."""
        after: str | None = None
        while limit is None or limit > 0:
            size = PAGE if limit is None else min(PAGE, limit)
            page = self._page(after, size)
            yield from page
            if len(page) < size:
                return
            after = page[-1]["_id"]
            limit = None if limit is None else limit - size

    def _page(self, after: str | None, size: int) -> list[dict[str, Any]]:
        with plainly():
            page: list[dict[str, Any]] = self._hub.api.call(
                "documents", self.collection, query=self.filter or None, fields=self.fields, after=after, limit=size
            )
        return page

    def head(self, n: int = 5) -> Rows:
        """The first ``n``."""
        return Rows(self.stream(n), "documents")

    def __len__(self) -> int:
        with plainly():
            return int(self._hub.api.call("count", self.collection, query=self.filter or None))

    def __bool__(self) -> bool:
        return bool(self.head(1))

    def __getitem__(self, id: str) -> dict[str, Any]:
        found = self.find({"_id": id}).head(1)
        if not found:
            raise KeyError(f"{self.collection} has no document {id!r}")
        return found[0]

    def to_pandas(self, limit: int | None = None) -> DataFrame:
        """A DataFrame with ``_id`` as its index; nested values stay objects. All of it is in memory; needs pandas."""
        frame: DataFrame = _pandas().DataFrame.from_records(list(self.stream(limit)), columns=self._columns())
        return frame.set_index("_id") if "_id" in frame else frame

    def _columns(self) -> list[str] | None:
        return (
            None if self.fields is None else list(dict.fromkeys(["_id", *(f.partition(".")[0] for f in self.fields)]))
        )

    def __repr__(self) -> str:
        chosen = f" where {self.filter}" if self.filter else ""
        return f"<Docs {self.collection}{chosen}: {len(self):,} documents>"


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        raise ImportError("to_pandas() needs pandas: pip install pandas (or hubkernel[lab])") from None
    return pandas
