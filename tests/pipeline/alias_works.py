"""What the tests of aliases run in workers: code of the engine, as it would be before and after that of a plugin."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from hubkernel.executors import Worker
from hubkernel.pipeline.plugins import load_function
from hubkernel.pipeline.surroundings import Surroundings, enter


def name_of(worker: Worker, module: str) -> str:
    """The real name of what ``import module`` gives here."""
    try:
        return importlib.import_module(module).__name__
    except ModuleNotFoundError as error:
        return f"missing {error.name}"


def call(worker: Worker, folder: str, target: str, surroundings: Surroundings) -> Any:
    with enter(surroundings):
        return load_function(Path(folder), target)()
