"""Where settings come from: a TOML file, a Python module of UPPER_CASE names, the environment. Each value keeps the
place it came from, so that an error can point there.
"""

from __future__ import annotations

import logging
import os
import re
import runpy
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hubkernel.hub.config_comments import Comment, read_comments
from hubkernel.hub.config_values import ConfigurationDefault, ConfigurationError, plain_value
from hubkernel.hub.home import ENVIRONMENT as HOME_VARIABLE
from hubkernel.hub.names import nearest

log = logging.getLogger(__name__)

PREFIX = "HUBKERNEL_"


class ConfigError(ValueError):
    """A setting is wrong. The message names the file, the line, the setting and what to do; one line a mistake."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A value as it was written, and where."""

    value: Any
    place: str
    """``/home/me/hubkernel.toml, line 3`` or ``environment variable HUBKERNEL_X``."""
    name: str
    """The name that was used there."""


def read_toml(file: Path, known: Mapping[str, str]) -> dict[str, Setting]:
    """Settings of a TOML file; keys are the setting names, in lower or (as in BioThings) upper case.

    Raises :class:`ConfigError` for bad TOML, a table or key that is no setting, or a setting given twice.
    """
    text = file.read_text("utf-8")
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: not valid TOML: {error}") from None
    found: dict[str, Setting] = {}
    mistakes = []
    for key, value in values.items():
        place = f"{file}, line {_line(text, key)}"
        name = known.get(key)
        if name is None:
            mistakes.append(_unknown(place, key, known))
        elif name in found:
            mistakes.append(f"{place}: {key!r} is given twice (also as {found[name].name!r}); remove one")
        else:
            found[name] = Setting(value, place, key)
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return found


@dataclass(slots=True)
class Module:
    """A Python configuration module as it was read."""

    settings: dict[str, Setting]
    """By name of the setting."""
    others: dict[str, Any]
    """Its other UPPER_CASE names, which the user's own code may read."""
    comments: dict[str, Comment]
    """By name as it is written there."""
    missing: dict[str, str]
    place: str = ""
    """Its file. In ``missing`` are names that stand for a value that has to be given, with what for."""


def read_module(file: Path, known: Mapping[str, str]) -> Module:
    """Settings of a Python module. Only a name that is almost that of a setting is a mistake.

    Raises :class:`ConfigError` with the user's line if the module fails.
    """
    try:
        names = runpy.run_path(str(file))
    except Exception as error:
        raise ConfigError(f"{file}{_failing_line(error, file)}: {type(error).__name__}: {error}") from error
    module = Module({}, {}, read_comments(file.read_text("utf-8")), {}, str(file))
    mistakes = []
    for key, value in names.items():
        if not re.fullmatch(r"[A-Z][A-Z0-9_]*", key):
            continue
        meant = None if key in known else nearest(key, (k for k in known if k.isupper()), cutoff=0.92)
        if meant is not None:
            mistakes.append(f"{file}: unknown setting {key!r}; did you mean {meant!r}?")
        elif isinstance(value, ConfigurationError):
            module.missing[key] = str(value)
        else:
            _add(module, file, known, key, _value(file, key, value, names))
            if isinstance(value, ConfigurationDefault) and value.desc:
                comment = module.comments.get(key, Comment())
                module.comments[key] = replace(comment, desc=comment.desc or value.desc)
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return module


def _add(module: Module, file: Path, known: Mapping[str, str], key: str, value: Any) -> None:
    if key in known:
        module.settings[known[key]] = Setting(value, f"{file}, {key}", key)
    else:
        module.others[key] = value


def _value(file: Path, key: str, value: Any, names: Mapping[str, Any]) -> Any:
    try:
        return plain_value(value, names)
    except Exception as error:
        raise ConfigError(f"{file}, {key}: {type(error).__name__}: {error}") from error


def read_environment(environ: Mapping[str, str], known: Mapping[str, str]) -> dict[str, Setting]:
    """``HUBKERNEL_<SETTING>`` variables. One that is almost a setting is a :class:`ConfigError`, others are ignored."""
    found, mistakes = {}, []
    for variable, value in environ.items():
        if not variable.startswith(PREFIX) or variable == HOME_VARIABLE:
            continue
        name = known.get(variable.removeprefix(PREFIX).lower())
        if name is not None:
            found[name] = Setting(value, f"environment variable {variable}", variable)
        elif (meant := nearest(variable, (PREFIX + k.upper() for k in known), cutoff=0.85)) is not None:
            mistakes.append(f"environment variable {variable}: no such setting; did you mean {meant!r}?")
        else:
            log.debug("environment variable %s is no setting", variable)
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return found


def find_file(home_file: Path) -> Path | None:
    """The configuration file: ``hubkernel.toml`` in the home, or ``config.py`` beside it; None if there is neither."""
    module = home_file.with_name("config.py")
    if home_file.exists() and module.exists():
        raise ConfigError(f"both {home_file} and {module} exist; keep one of them")
    return next((file for file in (home_file, module) if file.exists()), None)


def _unknown(place: str, key: str, known: Mapping[str, str]) -> str:
    meant = nearest(key, known.values())
    return f"{place}: unknown setting {key!r}" + (f"; did you mean {meant!r}?" if meant else "")


def _line(text: str, key: str) -> int:
    """Line of a top-level key or table, from 1."""
    pattern = re.compile(rf"\s*\[*\s*[\"']?{re.escape(key)}[\"']?\s*[\].=]")
    return next((number for number, line in enumerate(text.splitlines(), 1) if pattern.match(line)), 1)


def _failing_line(error: BaseException, file: Path) -> str:
    if isinstance(error, SyntaxError):
        return f", line {error.lineno}"
    lines = []
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == os.fspath(file):
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    return f", line {lines[-1]}" if lines else ""
