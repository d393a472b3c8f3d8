"""A Chromium for the tests, without a window: one that is there, else Debian's, installed where this user may."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.services import ServiceMissingError
from tests.services.apt import install

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PACKAGES = ("chromium", "chromium-driver")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1100,720",
)


def find() -> tuple[Path, Path]:
    """The browser and its driver. Raises ServiceMissingError."""
    found = _found()
    if found is None and install(*PACKAGES):
        found = _found()
    if found is None:
        raise ServiceMissingError(f"no Chromium with its driver: install {' and '.join(PACKAGES)}, or put them on PATH")
    return found


def _found() -> tuple[Path, Path] | None:
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which("chromedriver")
    return (Path(browser), Path(driver)) if browser and driver else None


@contextmanager
def opened(folder: Path) -> Iterator[Chrome]:
    """A new browser with its profile in ``folder``; it asks nobody but loopback. Raises ServiceMissingError."""
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    browser, driver = find()
    options = ChromeOptions()
    options.binary_location = str(browser)
    for flag in (*FLAGS, f"--user-data-dir={folder}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = Chrome(options=options, service=Service(str(driver), env={**os.environ, "NO_PROXY": "127.0.0.1"}))
    try:
        yield chrome
    finally:
        chrome.quit()


def probe() -> str:
    """Which version there is. Raises ServiceMissingError."""
    browser, driver = find()
    version = subprocess.run([browser, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return f"{version} ({browser}, {driver})"
