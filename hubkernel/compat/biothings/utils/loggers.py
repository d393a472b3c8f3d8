"""``biothings.utils.loggers``: loggers whose lines reach the log of the job. They open no files."""

from __future__ import annotations

import logging
from typing import Any

from hubkernel.compat.biothings._missing import answer


def get_logger(logger_name: str, *args: Any, **kwargs: Any) -> tuple[logging.Logger, str | None]:
    """``(logger, None)``: there is no file of its own, what it logs is in the log of the job."""
    return logging.getLogger(f"hubkernel.plugins.{logger_name}"), None


def setup_default_log(default_logger_name: str, log_folder: Any = None, level: int = logging.DEBUG) -> logging.Logger:
    """A logger of that name."""
    logger = get_logger(default_logger_name)[0]
    logger.setLevel(level)
    return logger


def create_logger(log_folder: Any, logger_name: str, level: int = logging.DEBUG) -> logging.Logger:
    """As :func:`setup_default_log`."""
    return setup_default_log(logger_name, level=level)


__getattr__ = answer(__name__, why={"*": "the hub has its own logs; get_logger(name) gives a logger that reaches them"})
