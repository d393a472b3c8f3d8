"""Where work runs. :func:`open_executor` chooses by url; the interface is :mod:`hubkernel.executors.base`."""

from __future__ import annotations

from importlib.metadata import entry_points
from urllib.parse import urlsplit

from hubkernel.executors.base import CancelledWork, Executor, Worker, WorkerDied, WorkHandle
from hubkernel.executors.errors import NotSendableError, RemoteError

GROUP = "hubkernel.executors"
EXTRAS = {"dask": "pip install 'hubkernel[dask]'"}
"""Schemes that come with an extra, and how to install it."""


def open_executor(url: str) -> Executor:
    """``process://?workers=4``, ``thread://?workers=8``, or the scheme of an entry point of ``hubkernel.executors``.

    Nothing starts before the first work is submitted. Raises ``ValueError`` for an unknown scheme or option.
    """
    scheme = urlsplit(url).scheme
    found = {point.name: point for point in entry_points(group=GROUP)}
    if scheme not in found:
        known = ", ".join(f"{name}://" for name in sorted(found))
        hint = f"; {scheme}:// comes with an extra: {EXTRAS[scheme]}" if scheme in EXTRAS else ""
        raise ValueError(f"no executor for {url!r}: known are {known or 'none'}{hint}")
    kind: type[Executor] = found[scheme].load()
    return kind.from_url(url)


__all__ = [
    "CancelledWork",
    "Executor",
    "NotSendableError",
    "RemoteError",
    "WorkHandle",
    "Worker",
    "WorkerDied",
    "open_executor",
]
