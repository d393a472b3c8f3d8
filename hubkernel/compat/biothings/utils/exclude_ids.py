"""``biothings.utils.exclude_ids``: leave long lists out of the documents of some ids."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import wraps
from typing import Any

from hubkernel.compat.biothings.utils.dotstring import list_length, remove_key


class ExcludeFieldsById:
    """Decorates a function that yields documents: from those whose ``_id`` is in ``exclusion_ids`` it removes each of
    the fields (dotted paths) that is a list of more than ``min_list_size`` items.
    """

    def __init__(self, exclusion_ids: Collection[str], field_lst: Sequence[str], min_list_size: int = 1000) -> None:
        self.exclusion_ids = exclusion_ids if isinstance(exclusion_ids, dict) else frozenset(exclusion_ids)
        self.field_lst = field_lst
        self.min_list_size = min_list_size

    def __call__(self, f: Callable[..., Any]) -> Callable[..., Iterator[dict[str, Any]]]:
        @wraps(f)
        def documents(*args: Any, **kwargs: Any) -> Iterator[dict[str, Any]]:
            for document in f(*args, **kwargs):
                if document["_id"] in self.exclusion_ids:
                    for field in self.field_lst:
                        if list_length(document, field) > self.min_list_size:
                            remove_key(document, field)
                yield document

        return documents
