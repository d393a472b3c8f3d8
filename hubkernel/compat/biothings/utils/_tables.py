"""Rows of tables in text files."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from hubkernel.compat.biothings.utils._files import open_anyfile
from hubkernel.compat.biothings.utils._shapes import list2dict

Row = list[str]
Group = dict[Any, Any]


def tabfile_feeder(
    datafile: Any,
    header: int = 1,
    sep: str = "\t",
    includefn: Callable[[Row], Any] | None = None,
    coerce_unicode: bool = True,
    assert_column_no: int | None = None,
) -> Iterator[Row]:
    """Rows of a table as lists of texts, read one by one. ``datafile`` is what
    :func:`~hubkernel.compat.biothings.utils.common.anyfile` takes, or an open file.

    The first ``header`` lines are skipped, and rows for which ``includefn(row)`` is false. A row that has not
    ``assert_column_no`` columns is a ``ValueError`` naming its line. ``coerce_unicode`` changes nothing.
    """
    csv.field_size_limit(sys.maxsize)
    with open_anyfile(datafile) as lines:
        reader = csv.reader(islice(lines, header, None), delimiter=sep)
        for row in reader:
            if assert_column_no is not None and len(row) != assert_column_no:
                raise ValueError(
                    f"Unexpected column number: got {len(row)}, should be {assert_column_no} "
                    f"({datafile}, line {header + reader.line_num})"
                )
            if includefn is None or includefn(row):
                yield row


def tab2list(datafile: Any, cols: Any, **kwargs: Any) -> list[Any]:
    """The values of column ``cols``, or for several columns a list of these for each row. ``kwargs`` are those of
    :func:`tabfile_feeder`.
    """
    rows = tabfile_feeder(datafile, **kwargs)
    if isinstance(cols, int):
        return [row[cols] for row in rows]
    return [[row[index] for index in cols] for row in rows]


def tab2dict(datafile: Any, cols: Sequence[int], key: int, alwayslist: bool = False, **kwargs: Any) -> Group:
    """Rows by their column ``key``: ``{key: value}``, or a list of values where several rows have the key (always with
    ``alwayslist``). A value is the other one of the columns ``cols``, or a tuple of them. ``kwargs`` are those of
    :func:`tabfile_feeder`.
    """
    return _grouped(tabfile_feeder(datafile, **kwargs), cols, key, alwayslist)


def tab2dict_iter(
    datafile: Any, cols: Sequence[int], key: int, alwayslist: bool = False, **kwargs: Any
) -> Iterator[Group]:
    """As :func:`tab2dict`, one dict for each run of rows with the same key; holds no more than one run."""
    for _, rows in groupby(tabfile_feeder(datafile, **kwargs), lambda row: row[key]):
        yield _grouped(rows, cols, key, alwayslist)


def _grouped(rows: Any, cols: Sequence[int], key: int, alwayslist: bool) -> Group:
    # A row may be asked for its key twice, or for columns without it.
    others = [index for index in cols if index != key]
    return list2dict(([row[key], *(row[index] for index in others)] for row in rows), 0, alwayslist)


def tabfile_tester(datafile: Any, header: int = 1, sep: str = "\t") -> None:
    """Print how many rows have how many columns."""
    widths: dict[int, int] = {}
    for row in tabfile_feeder(datafile, header, sep):
        widths[len(row)] = widths.get(len(row), 0) + 1
    for width, count in sorted(widths.items()):
        sys.stdout.write(f"{count} rows have {width} columns\n")


def file_merge(infiles: Sequence[str], outfile: str | None = None, header: int = 1, verbose: int = 1) -> str:
    """Write files of one format one behind the other, the first ``header`` lines of all but the first left out; returns
    the name of the new file (``<first>_merged``, unless it is given).
    """
    target = Path(outfile or f"{infiles[0]}_merged")
    with target.open("w", encoding="utf-8") as writer:
        for number, name in enumerate(infiles):
            with open_anyfile(name) as lines:
                writer.writelines(islice(lines, header if number else 0, None))
    return str(target)


def rec_handler(
    infile: Any, block_end: str = "\n", skip: int = 0, include_block_end: bool = False, as_list: bool = False
) -> Iterator[Any]:
    """Blocks of lines, each as one text (``as_list``: a list of lines), read one by one. A line ``block_end`` ends a
    block, and belongs to it with ``include_block_end``; the first ``skip`` lines are left out. Empty blocks are none.
    """
    block: list[str] = []
    with open_anyfile(infile) as lines:
        for line in islice(lines, skip, None):
            if line != block_end:
                block.append(line)
                continue
            if block:
                yield _block([*block, line] if include_block_end else block, as_list)
            block = []
    if block:
        yield _block(block, as_list)


def _block(lines: list[str], as_list: bool) -> Any:
    return list(lines) if as_list else "".join(lines)
