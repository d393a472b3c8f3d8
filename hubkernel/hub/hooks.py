"""Hook files: Python files of the hub's owner that run once the commands exist, and may add names and endpoints."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


def hook_files(folder: Path) -> list[Path]:
    """All ``*.py`` of the folder in alphabetical order; none if there is no such folder."""
    return sorted(folder.glob("*.py"))


def run_hook_file(file: Path, namespace: dict[str, Any]) -> str | None:
    """Run a file with ``namespace`` as its globals: it sees the commands, and later hooks and consoles see what it
    defines. Returns None, or the error as one line if it failed; a failed file stops nothing else.
    """
    try:
        code = compile(file.read_text("utf-8"), str(file), "exec")
        exec(code, namespace)
    except Exception as error:
        log.exception("hook %s failed", file)
        return f"{file}{_line(error, file)}: {type(error).__name__}: {error}"
    return None


def _line(error: BaseException, file: Path) -> str:
    if isinstance(error, SyntaxError):
        return f", line {error.lineno}"
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(file):
            line = trace.tb_lineno
        trace = trace.tb_next
    return f", line {line}" if line else ""
