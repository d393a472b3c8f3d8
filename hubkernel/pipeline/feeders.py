"""Reading a whole collection through :mod:`hubkernel.pipeline.facade`, as plugins do it: in batches of documents or of
ids. Both are exact and keep memory flat; nothing is cached, because ids come without their documents here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from time import monotonic
from typing import Any

from hubkernel.pipeline.facade import CollectionView

STEP = 1000


def doc_feeder(  # noqa: PLR0917 - the signature that plugins know
    collection: CollectionView,
    step: int = STEP,
    s: int | None = None,
    e: int | None = None,
    inbatch: bool = False,
    query: Mapping[str, Any] | None = None,
    batch_callback: Callable[[int, float], Any] | None = None,
    fields: Any = None,
    logger: Any = None,
    session_refresh_interval: int = 5,
) -> Iterator[Any]:
    """Documents that match ``query``, restricted to ``fields``; lists of up to ``step`` of them with ``inbatch``.

    ``s`` and ``e`` are the position of the first one and of the one behind the last. ``batch_callback(position,
    seconds)`` is called after each batch with where it ended and what it took. The other arguments change nothing.
    """
    start, found = s or 0, collection.find(query, fields)
    if e is not None and e <= start:
        return
    documents = found.skip(start).limit(e - start if e else 0)
    position, since = start, monotonic()
    while batch := list(islice(documents, step)):
        yield from [batch] if inbatch else batch
        position += len(batch)
        if batch_callback is not None:
            batch_callback(position, monotonic() - since)
        since = monotonic()


def id_feeder(col: CollectionView, batch_size: int = STEP, *args: Any, **kwargs: Any) -> Iterator[list[Any]]:
    """All ids of a collection in lists of up to ``batch_size``. The other arguments change nothing."""
    ids = col.ids()
    while batch := list(islice(ids, batch_size)):
        yield batch
