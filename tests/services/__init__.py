"""Real servers for the tests: found or fetched without hand work, or named in one line as what is missing."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


class ServiceMissingError(Exception):
    """A service cannot be had on this machine; the message is one line that says what is missing and what to do."""


def required() -> bool:
    """Whether a missing service is a failure (CI, ``make test``) rather than a reason to skip."""
    return bool(os.environ.get("CI")) or os.environ.get("HUBKERNEL_REQUIRE_SERVICES") == "1"


def missing(error: ServiceMissingError) -> NoReturn:
    """End the running test: failed where services are required, else skipped, with the same one line."""
    if required():
        pytest.fail(str(error), pytrace=False)
    pytest.skip(str(error))
