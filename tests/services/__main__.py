"""``python -m tests.services``: what the service tests need, and whether this machine has it. Exit status 1 if not."""

from __future__ import annotations

import sys
from collections.abc import Callable

from tests.services import ServiceMissingError, browser, elasticsearch, mongod, npm, openssh, sdk

PROBES: dict[str, Callable[[], str]] = {
    "mongod": mongod.probe,
    "elasticsearch": elasticsearch.probe,
    "openssh": openssh.probe,
    "sockjs-client": npm.probe,
    "chromium": browser.probe,
    "biothings": sdk.probe,
}


def main() -> int:
    status = 0
    for name, probe in PROBES.items():
        try:
            print(f"{name}: {probe()}")
        except ServiceMissingError as error:
            print(f"{name}: MISSING: {error}", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
