"""From what a user's parser returns to a stream of documents, with errors that point at the user's own line."""

from __future__ import annotations

import asyncio
import inspect
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import Any

from hubkernel.executors import CancelledWork, Worker
from hubkernel.pipeline.plugins import PluginError, load_function
from hubkernel.pipeline.upload.errors import ParserError, UploadError
from hubkernel.pipeline.upload.meter import InputMeter
from hubkernel.pipeline.upload.models import Parse
from hubkernel.pipeline.upload.origin import Origin
from hubkernel.store import StoreError

Document = Mapping[str, Any]
INTERVAL = 0.3
"""Seconds between two reports of progress."""


class DocumentStream:
    """Iterates over all documents of one part. ``count`` is how many came so far; nothing is held back."""

    def __init__(self, worker: Worker, work: Parse, load: Callable[..., Any]) -> None:
        """``load(*call)`` gives the documents of one call."""
        self.count = 0
        self._worker = worker
        self._work = work
        self._load = load
        self._label = work.origin.label
        self._call: tuple[Any, ...] = ()
        self._before_call = 0

    def __iter__(self) -> Iterator[Document]:
        try:
            yield from islice(self._reported(self._documents()), self._work.limit)
        except (CancelledWork, ParserError, GeneratorExit):
            raise
        except PluginError as error:
            raise ParserError(str(error)) from None
        except (Exception, SystemExit) as error:
            raise self._blame(error) from None

    def where(self, position: int) -> str:
        """The document at a zero-based position, in words."""
        if not self._work.parallel:
            return f"document {position + 1}"
        return f"document {position + 1 - self._before_call} of {call_text(self._call)}"

    def _documents(self) -> Iterator[Document]:
        for call in self._work.calls:
            self._call, self._before_call = call, self.count
            yield from as_documents(self._load(*call), self._label)

    def _reported(self, documents: Iterable[Document]) -> Iterator[Document]:
        meter, progress = InputMeter(self._work.origin.data_folder), self._worker.progress
        due = monotonic() + INTERVAL
        for document in documents:
            if not isinstance(document, dict) and not isinstance(document, Mapping):
                raise self._not_a_document(document)
            self.count += 1
            if monotonic() > due:
                progress(self.count, meter.expected(self.count), str(meter))
                due = monotonic() + INTERVAL
            yield document
        progress(self.count, self.count, str(meter))

    def _not_a_document(self, value: object) -> ParserError:
        shown = repr(value)
        return ParserError(
            f"{self._work.collection}: {self.where(self.count)} from {self._label} is {_a(value)}, not a dict: "
            f"{shown if len(shown) < 80 else shown[:77] + '...'}",
            document=self.count + 1,
        )

    def _blame(self, error: BaseException) -> ParserError:
        number = self.count + 1
        file, line, frames = user_frame(error, self._work.origin.plugin_folder, self._work.origin.target)
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        while_making = f"while making {self.where(self.count)}"
        return ParserError(
            f"{self._work.collection}: {file}:{line}: {what} ({while_making}).",
            file=file,
            line=line,
            document=number,
            details=frames,
        )


def as_documents(result: Any, parser: str) -> Iterator[Document]:
    """Documents from all that a parser may return: an iterable, ``{id: document}``, or an asynchronous one of these.

    Raises :class:`ParserError` for anything else.
    """
    if inspect.isawaitable(result):
        result = asyncio.run(_wait(result))
    if isinstance(result, AsyncIterator):
        return _from_async(result)
    if isinstance(result, Mapping):
        return _from_mapping(result, parser)
    if isinstance(result, Iterable) and not isinstance(result, (str, bytes)):
        return iter(result)
    raise ParserError(f"{parser} returned {_a(result)}: yield documents, or return a list of them")


def _from_mapping(documents: Mapping[Any, Any], parser: str) -> Iterator[Document]:
    for key, document in documents.items():
        if not isinstance(document, Mapping):
            hint = "it looks like one document: yield it" if "_id" in documents else "the values must be documents"
            raise ParserError(f"{parser} returned a dict with {key!r}: {_a(document)}; {hint}")
        if document.get("_id", key) != key:
            raise ParserError(f"{parser} returned a dict in which {key!r} has the _id {document['_id']!r}")
        yield document if "_id" in document else {"_id": key, **document}


def _from_async(documents: AsyncIterator[Document]) -> Iterator[Document]:
    with asyncio.Runner() as runner:
        while True:
            try:
                yield runner.run(_next(documents))
            except StopAsyncIteration:
                return


async def _next(documents: AsyncIterator[Document]) -> Document:
    return await anext(documents)


async def _wait(result: Awaitable[Any]) -> Any:
    return await result


@contextmanager
def blamed(origin: Origin, target: str, what: str = "") -> Iterator[None]:
    """Errors of plugin code become a :class:`ParserError` that points at its own line. ``target`` is what was called,
    ``what`` the same in words.
    """
    try:
        yield
    except (CancelledWork, UploadError, StoreError):
        raise
    except PluginError as error:
        raise ParserError(str(error)) from None
    except (Exception, SystemExit) as error:
        file, line, frames = user_frame(error, origin.plugin_folder, target)
        during = f" (in {what})" if what else ""
        text = f"{origin.spec.name}: {file}:{line}: {type(error).__name__}: {error}{during}."
        raise ParserError(text, file=file, line=line, details=frames) from None


def user_frame(error: BaseException, folder: str | Path, target: str) -> tuple[str, int, str]:
    """``(file, line, traceback text)`` of the innermost frame in ``folder``, else of the innermost one of all. If that
    is the call of ``target`` itself, which does not take these arguments, it is where ``target`` is defined.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [index for index, frame in enumerate(frames) if Path(frame.filename).is_relative_to(folder)]
    shown = frames[own[0] :] if own else frames
    frame = frames[own[-1]] if own else frames[-1]
    text = "".join(traceback.format_list(shown) + traceback.format_exception_only(error))
    file, line = _definition(folder, target) if _is_ours(frame.filename) else (frame.filename, frame.lineno or 0)
    return file, line, f"Traceback (most recent call last):\n{text}"


def _is_ours(file: str) -> bool:
    return Path(file).parent == Path(__file__).parent


def _definition(folder: str | Path, target: str) -> tuple[str, int]:
    function: Any = inspect.unwrap(load_function(Path(folder), target))
    if isinstance(function, type):
        function = getattr(function, "load_data", function)
    code = getattr(function, "__code__", None)
    return (code.co_filename, code.co_firstlineno) if code else (str(folder), 0)


def call_text(call: tuple[Any, ...]) -> str:
    return f"parser({', '.join(map(repr, call))})"


def _a(value: object) -> str:
    return "None" if value is None else f"a value of type {type(value).__name__}"
