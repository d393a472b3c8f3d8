"""Helpers of a few lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable, Iterator
from datetime import date, datetime
from importlib import import_module
from itertools import islice
from pathlib import PurePath
from time import process_time, time
from typing import Any

from hubkernel.jobs.render import timesofar as between
from hubkernel.pipeline.common import random_letters


def iter_n(iterable: Iterable[Any], n: int, with_cnt: bool = False) -> Iterator[Any]:
    """Tuples of up to ``n`` items; with ``with_cnt``, ``(tuple, how many items so far)``."""
    items, count = iter(iterable), 0
    while chunk := tuple(islice(items, n)):
        count += len(chunk)
        yield (chunk, count) if with_cnt else chunk


def is_int(s: Any) -> bool:
    """Whether it is a whole number, or a text that ``int`` takes."""
    if isinstance(s, int):
        return True
    if not isinstance(s, str):
        return False
    try:
        int(s)
    except ValueError:
        return False
    return True


def is_float(f: Any) -> bool:
    """Whether it is a float."""
    return isinstance(f, float)


def is_str(s: Any) -> bool:
    """Whether it is a text."""
    return isinstance(s, str)


def is_seq(li: Any) -> bool:
    """Whether it is a list or a tuple."""
    return isinstance(li, list | tuple)


def is_scalar(f: Any) -> bool:
    """Whether it is a text, bytes, a number, a boolean or None."""
    return f is None or isinstance(f, str | bytes | int | float)


def timesofar(t0: float, clock: int = 0, t1: float | None = None) -> str:
    """How long it is since ``t0`` (of ``time.time()``; with ``clock``, CPU seconds) or from there to ``t1``:
    ``1h2m3.4s``.
    """
    now = t1 if t1 is not None else process_time() if clock else time()
    return between(t0, now)


def get_timestamp() -> str:
    """Today as ``YYYYMMDD``."""
    return f"{datetime.now():%Y%m%d}"  # noqa: DTZ005 - the day where the hub is


def get_random_string() -> str:
    """Eight digits and small letters."""
    return random_letters(8)


def newer(t0: str, t1: str, fmt: str = "%Y%m%d") -> bool:
    """Whether the date ``t1`` comes after ``t0``."""
    return datetime.strptime(t1, fmt) > datetime.strptime(t0, fmt)  # noqa: DTZ007 - both of the same kind


def SubStr(input_string: str, start_string: str = "", end_string: str = "", include: int = 0) -> str:
    """The text between the first ``start_string`` and the next ``end_string`` (with them, if ``include``); an empty one
    means the beginning or the end. Nothing if one is not there.
    """
    start = input_string.find(start_string)
    if start < 0:
        return ""
    end = input_string.find(end_string, start + len(start_string)) if end_string else len(input_string)
    if end < 0:
        return ""
    return input_string[start : end + len(end_string)] if include else input_string[start + len(start_string) : end]


def addsuffix(filename: str, suffix: str, noext: bool = False) -> str:
    """``a.txt`` and ``_1`` as ``a_1.txt``; without ``.txt`` if ``noext``."""
    extension = PurePath(filename).suffix
    stem = filename.removesuffix(extension)
    return stem + suffix + ("" if noext else extension)


def sizeof_fmt(num: float, suffix: str = "B") -> str:
    """A number of bytes for people: ``1.5KiB``."""
    for unit in ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi"):
        if abs(num) < 1024.0:
            return f"{num:3.1f}{unit}{suffix}"
        num /= 1024.0
    return f"{num:.1f}Yi{suffix}"


def list_trim(a_list: list[Any], idx_to_remove: Iterable[int]) -> None:
    """Remove the items at these places, in place."""
    for index in sorted({index % len(a_list) for index in idx_to_remove}, reverse=True):
        del a_list[index]


def safe_unicode(s: Any, mask: str = "#") -> str:
    """Bytes (UTF-8) or anything else as text, with ``mask`` for what cannot be decoded."""
    return s.decode("utf-8", "replace").replace("\ufffd", mask) if isinstance(s, bytes) else str(s)


def ask(prompt: str, options: str = "YN") -> str:
    """Not here: plugins run where nobody answers. Raises ``RuntimeError``."""
    raise RuntimeError(f"a plugin cannot ask ({prompt!r}): it runs in a worker, without a terminal")


def json_serial(obj: Any) -> str:
    """A date or time as ISO text, for ``json.dumps(default=...)``; without a zone it is taken as UTC."""
    if isinstance(obj, datetime):
        return obj.isoformat() if obj.tzinfo else f"{obj.isoformat()}+00:00"
    if isinstance(obj, date):
        return obj.isoformat()
    raise TypeError(f"Type {type(obj)} not serializable")


class BiothingsJSONEncoder(json.JSONEncoder):
    """For ``json.dumps(cls=...)``: dates and times as ISO text."""

    def default(self, o: Any) -> Any:
        """Called for what JSON does not have."""
        return json_serial(o)


def json_encode(obj: Any) -> str:
    """JSON in which dates and times are ISO text."""
    return json.dumps(obj, default=json_serial).replace("</", "<\\/")


def get_class_from_classpath(class_path: str) -> Any:
    """The class ``package.module.Class``."""
    module, _, name = class_path.rpartition(".")
    return getattr(import_module(module), name)


def run_once() -> Callable[..., bool]:
    """A function that is true the first time that it is called, or called with the same argument."""
    seen: set[Hashable] = set()

    def first(name: Hashable = None) -> bool:
        before = name in seen
        seen.add(name)
        return not before

    return first


class dotdict(dict[str, Any]):
    """A dict whose items are attributes too, at any depth; one that is not there is None."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = self.get(name)
        return dotdict(value) if type(value) is dict else value

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        self.pop(name, None)


class splitstr(str):
    """A text that has spaces in it."""


async def aiogunzipall(folder: str, pattern: str, job_manager: Any = None, pinfo: Any = None) -> None:
    """As ``gunzipall``. The other arguments change nothing: this runs in a worker already."""
    from hubkernel.compat.biothings.utils._files import gunzipall

    gunzipall(folder, pattern)
