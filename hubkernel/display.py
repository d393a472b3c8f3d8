"""How jobs, tables and documents look: as text, as HTML, as a mime bundle for JupyterLab.

Pure functions from a thing to its looks, registered with IPython by type in :func:`register`, so that nothing below the
doors knows of display. A state is always written as a word; colour only repeats it. Everything is escaped.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from typing import TYPE_CHECKING, Any

from hubkernel.api import JobHandle
from hubkernel.facade import Docs, Found, Hub, Jobs, Rows

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

JOB_MIME = "application/vnd.hubkernel.job+json"
MAX_ROWS = 50
MAX_CELL = 80
LOG_LINES = 12
BAR = 20
GAP = 2
NARROWEST = 8
NO_TERMINAL = (160, 24)

Bundle = dict[str, Any]

Column = str | Callable[[Mapping[str, Any]], Any]


def _upload_status(source: Mapping[str, Any]) -> str:
    uploads = (source.get("upload") or {}).get("sources") or {}
    return ", ".join(sorted({str(upload.get("status") or "never") for upload in uploads.values()}))


COLUMNS: dict[str, dict[str, Column]] = {
    "sources": {
        "name": "name",
        "release": "download.release",
        "dump": lambda source: (source.get("download") or {}).get("status") or "never",
        "upload": _upload_status,
        "documents": "count",
        "broken": lambda source: (source.get("data_plugin") or {}).get("error"),
    },
    "builds": {
        "name": "_id",
        "recipe": "build_config.name",
        "status": "status",
        "documents": "count",
        "started": "started_at",
    },
}
"""The columns of known tables: title -> dotted path, or what takes it from a row. Other tables show what they have."""
_SOMETIMES = {"broken"}
"""Columns that are only there if a row has something in them."""


# ------------------------------------------------------------------------------------------------------------- values


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``3 min 5 s``, ``2 h 4 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes else f"{rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def elapsed(job: JobHandle) -> str:
    """How long a job has run so far, or ran; empty before it started."""
    started, finished = job.record.started, job.record.finished
    return duration((finished or time.time()) - started) if started else ""


def amount(job: JobHandle) -> str:
    """``45%``, or how much is done while the total is unknown."""
    if (share := job.progress) is not None:
        return f"{share:.0%}"
    return f"{job.record.done:,.0f}" if job.record.done else ""


def shorten(value: Any, width: int = MAX_CELL) -> str:
    """One line of at most ``width`` characters."""
    match value:
        case None:
            text = ""
        case int() if not isinstance(value, bool):
            text = f"{value:,}"
        case float():
            text = f"{value:,.4g}"
        case datetime():
            text = f"{value:%Y-%m-%d %H:%M}"
        case list() | tuple() if all(isinstance(item, str) for item in value):
            text = ", ".join(value)
        case _:
            text = " ".join(str(value).split())
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


def result_text(result: Any, width: int = MAX_CELL) -> str:
    """What came of a job, on one line: the keys and values of a dict as a list, without its punctuation."""

    def spelled(value: Any) -> str:
        if not isinstance(value, Mapping):
            return shorten(value)
        return ", ".join(
            f"{key}: {spelled(v)}" if isinstance(v, Mapping) else f"{key} {spelled(v)}" for key, v in value.items()
        )

    return shorten(spelled(result), width)


def _at(row: Mapping[str, Any], column: Column) -> Any:
    if callable(column):
        return column(row)
    value: Any = row
    for key in column.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


# --------------------------------------------------------------------------------------------------------------- jobs


def reason(job: JobHandle) -> str:
    """Why a job ended as it did; empty if its state says it all."""
    return job.error if job.error and job.error != job.state else ""


def note(job: JobHandle) -> str:
    """What else there is to say of a job in a list: why it failed, what came of it, or what it does."""
    if job.state == "done":
        return "" if job.record.result is None else result_text(job.record.result)
    return reason(job) if job.finished else job.message


def facts(job: JobHandle) -> list[str]:
    """What there is to say of a job beside its state: how far it is and what it does, or what came of it."""
    if job.state == "done":
        found = [elapsed(job), f"→ {note(job)}" if note(job) else ""]
    elif job.finished:
        found = [elapsed(job)]
    else:
        found = [amount(job), elapsed(job), job.message]
    return [fact for fact in found if fact]


def job_text(job: JobHandle) -> str:
    """One line, and the error of a job that has one."""
    line = " · ".join([f"Job {job.id}", job.command, job.state, *facts(job)])
    return f"{line}\n{reason(job)}" if reason(job) else line


def job_line(job: JobHandle, width: int | None = None) -> str:
    """The line that a terminal draws over and over while the job runs, not wider than the terminal."""
    width = width or shutil.get_terminal_size(NO_TERMINAL).columns
    share = job.progress
    filled = round(BAR * (share or 0.0))
    bar = "" if share is None else f"[{'#' * filled}{'.' * (BAR - filled)}] "
    return shorten(f"{job.command}  {bar}{job.state}  {'  '.join(facts(job))}", max(20, width - 1))


def job_html(job: JobHandle) -> str:
    """A card: bar (first, so that those of several jobs stand in line), what, state, message, and on failure the error;
    the log folded away.
    """
    share = job.progress
    value = "" if share is None else f" max='1' value='{share:.4f}'"
    bar = f"<progress aria-label='progress of job {job.id}'{value}></progress> "
    if job.finished and job.state != "done":
        bar = ""
    head = f"{bar}<b>Job {job.id}</b> <code>{escape(job.command)}</code> <b>{escape(job.state)}</b> "
    return (
        f"<div class='hubkernel-job' role='status' aria-live='polite'>{head}"
        f"{escape(' · '.join(facts(job)))}{_error_html(job)}{_log_html(job)}</div>"
    )


def _error_html(job: JobHandle) -> str:
    if not reason(job):
        return ""
    trace = job.record.traceback or ""
    details = f"<details><summary>traceback</summary><pre>{escape(trace)}</pre></details>" if trace else ""
    return f"<div><b>Error:</b> <code>{escape(reason(job))}</code></div>{details}"


def _log_html(job: JobHandle) -> str:
    if not job.log:
        return ""
    lines = "\n".join(escape(line) for line in job.log[-LOG_LINES:])
    return f"<details><summary>log ({len(job.log)})</summary><pre>{lines}</pre></details>"


def job_bundle(job: JobHandle) -> Bundle:
    """The job for every kind of front end. The JSON is ``JobRecord.to_dict()`` and names the hub's home."""
    return {"text/plain": job_text(job), "text/html": job_html(job), JOB_MIME: job.record.to_dict()}


def job_brief(job: JobHandle) -> Bundle:
    """One line, for where the card stands just above."""
    text = job_text(job)
    return {"text/plain": text, "text/html": f"<small>{escape(text)}</small>"}


def job_note(job: JobHandle) -> Bundle:
    """For consoles, which do not change what they have printed: text only. Where HTML is shown, the card has it all."""
    return {"text/plain": job_text(job), "text/html": ""}


# ------------------------------------------------------------------------------------------------------------- tables


def columns(rows: Sequence[Mapping[str, Any]], kind: str = "") -> dict[str, Column]:
    """Title and content of the columns: those known for the kind, else ``_id`` and every other key in its order."""
    if kind in COLUMNS:
        known = COLUMNS[kind]
        empty = {title for title in _SOMETIMES & known.keys() if not any(_at(row, known[title]) for row in rows)}
        return {title: column for title, column in known.items() if title not in empty}
    keys = dict.fromkeys(key for row in rows for key in row)
    return {str(key): _getter(key) for key in sorted(keys, key=lambda key: key != "_id")}


def _getter(key: Any) -> Column:
    return lambda row: row.get(key)


def _cells(rows: Sequence[Mapping[str, Any]], chosen: Mapping[str, Column]) -> list[list[str]]:
    return [[shorten(_at(row, column)) for column in chosen.values()] for row in rows[:MAX_ROWS]]


def table_text(rows: Sequence[Mapping[str, Any]], kind: str = "", width: int | None = None) -> str:
    """Aligned columns, together not wider than the terminal."""
    if not rows:
        return f"no {kind or 'rows'}"
    chosen = columns(rows, kind)
    lines = [list(chosen), *_cells(rows, chosen)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(chosen))]
    widest = _widest(widths, (width or shutil.get_terminal_size(NO_TERMINAL).columns) - GAP * len(widths))
    widths = [min(width, widest) for width in widths]
    drawn = [
        (" " * GAP).join(shorten(cell, width).ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join(drawn) + _more(len(rows), "\n")


def _widest(widths: Sequence[int], room: int) -> int:
    """How wide a column may be so that all fit: narrow ones keep what they need, wide ones share the rest."""
    widest = max(widths)
    while widest > NARROWEST and sum(min(width, widest) for width in widths) > room:
        widest -= 1
    return widest


def table_html(rows: Sequence[Mapping[str, Any]], kind: str = "") -> str:
    """A table with header cells that say so."""
    if not rows:
        return f"<em>no {escape(kind or 'rows')}</em>"
    chosen = columns(rows, kind)
    sides = [_side(rows, column) for column in chosen.values()]
    head = "".join(f"<th scope='col'{side}>{escape(title)}</th>" for title, side in zip(chosen, sides, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{side}>{escape(cell)}</td>" for cell, side in zip(cells, sides, strict=True)) + "</tr>"
        for cells in _cells(rows, chosen)
    )
    table = f"<table class='hubkernel'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return table + escape(_more(len(rows), ""))


def _side(rows: Sequence[Mapping[str, Any]], column: Column) -> str:
    """Numbers stand right, all else left (JupyterLab's own style puts every table's text on the right)."""
    values = [value for row in rows[:MAX_ROWS] if (value := _at(row, column)) is not None]
    numbers = values and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    return f" style='text-align:{'right' if numbers else 'left'}'"


def _more(rows: int, before: str) -> str:
    return f"{before}… and {rows - MAX_ROWS:,} more" if rows > MAX_ROWS else ""


def table_bundle(rows: Sequence[Mapping[str, Any]], kind: str = "") -> Bundle:
    return {"text/plain": table_text(rows, kind), "text/html": table_html(rows, kind)}


def job_rows(jobs: Iterable[JobHandle]) -> list[dict[str, Any]]:
    """Jobs as rows of a table."""
    return [
        {
            "id": job.id,
            "command": job.command,
            "state": job.state,
            "progress": amount(job),
            "time": elapsed(job),
            "message": note(job),
        }
        for job in jobs
    ]


def found_bundle(found: Found) -> Bundle:
    """How many documents a search found, and the best of them."""
    title = f"{found.get('total', 0):,} found"
    hits = found.get("hits") or []
    if not hits:
        return {"text/plain": title, "text/html": f"<b>{title}</b>"}
    return {
        "text/plain": f"{title}\n{table_text(hits)}",
        "text/html": f"<div><b>{title}</b></div>{table_html(hits)}",
    }


def docs_bundle(docs: Docs) -> Bundle:
    """How many documents there are, and the first five."""
    head, title = docs.head(), repr(docs)
    return {
        "text/plain": f"{title}\n{table_text(head)}" if head else title,
        "text/html": f"<div><b>{escape(title.strip('<>'))}</b></div>{table_html(head)}",
    }


def hub_bundle(hub: Hub) -> Bundle:
    """Where the hub is and what it can be asked next."""
    text = repr(hub)
    return {"text/plain": text, "text/html": f"<code>{escape(text)}</code> <small>hub.&lt;TAB&gt; for commands</small>"}


# ------------------------------------------------------------------------------------------------------- registration


def value_bundle(value: Any) -> Bundle | None:
    """The looks of one of our things, or None."""
    for kind, render in BUNDLES.items():
        if isinstance(value, kind):
            return render(value)
    return None


BUNDLES: dict[type, Callable[[Any], Bundle]] = {
    JobHandle: job_bundle,
    Jobs: lambda jobs: table_bundle(job_rows(jobs), "jobs"),
    Rows: lambda rows: table_bundle(rows, rows.kind),
    Found: found_bundle,
    Docs: docs_bundle,
    Hub: hub_bundle,
}


def register(shell: InteractiveShell) -> None:
    """Teach a shell how our types look. Registering again changes nothing."""
    formatter = shell.display_formatter
    for kind, render in BUNDLES.items():
        formatter.mimebundle_formatter.for_type(kind, render)
        if issubclass(kind, list | dict):  # IPython prefers its own printer of these to a bundle's text
            formatter.formatters["text/plain"].for_type(kind, _pretty(render))


def unregister(shell: InteractiveShell) -> None:
    """Take it back."""
    for kind in BUNDLES:
        shell.display_formatter.mimebundle_formatter.pop(kind, None)
        shell.display_formatter.formatters["text/plain"].pop(kind, None)


def _pretty(render: Callable[[Any], Bundle]) -> Callable[[Any, Any, bool], None]:
    """What IPython's pretty printer calls for ``text/plain``."""

    def draw(value: Any, printer: Any, cycle: bool) -> None:
        printer.text(render(value)["text/plain"])

    return draw
