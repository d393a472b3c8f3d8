"""Which hub a plugin's code runs for: where its documents and its state are, its folders and its plain settings.

The hub makes a :class:`Surroundings` and sends it along with the work; the step that runs in a worker puts it around
the plugin's code with :func:`enter`. Helpers that plugins import (``get_src_db()``, ``config.DATA_ARCHIVE_ROOT``) read
it with :func:`current`. Neither the environment nor a module of settings is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hubkernel.pipeline.context import PipelineContext


class NoSurroundingsError(RuntimeError):
    """Something that needs a hub was used where none is: outside of a dump, an upload or another step of one."""


@dataclass(frozen=True)
class Surroundings:
    """Small and picklable."""

    store_url: str = field(repr=False)
    """Of the documents; may hold a password, as may :attr:`state_url`."""
    state_url: str = field(repr=False)
    archive: str
    """Folder of the downloaded releases, each in ``<source>/<release>``."""
    logs: str
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Plain values by name, in upper case; no secrets."""

    @classmethod
    def of(cls, context: PipelineContext) -> Surroundings:
        """Those of a hub."""
        known = dict(context.settings())
        return cls(context.store_url, context.state.url, str(context.archive), str(context.logs), known)


_here: ContextVar[Surroundings | None] = ContextVar("surroundings", default=None)
_entered: list[Surroundings] = []
_leaving: list[Callable[[], None]] = []


@contextmanager
def enter(surroundings: Surroundings) -> Iterator[None]:
    """Within, :func:`current` answers ``surroundings``, also in threads that the plugin's code starts."""
    token = _here.set(surroundings)
    _entered.append(surroundings)
    try:
        yield
    finally:
        _entered.remove(surroundings)
        _here.reset(token)
        for close in () if _entered else tuple(_leaving):
            close()


def current() -> Surroundings:
    """Those that were entered last. Raises :class:`NoSurroundingsError` where there are none."""
    # A new thread has no context of its own: it is of the step that runs in this process.
    here = _here.get() or (_entered[-1] if _entered else None)
    if here is None:
        raise NoSurroundingsError("there is no hub here: this works in code of a plugin while a hub runs it")
    return here


def when_left(close: Callable[[], None]) -> None:
    """Have ``close()`` called whenever the last surroundings of this process are left, to give back what is open."""
    _leaving.append(close)
