"""``python -m hubkernel.server_ext``: the owner process of a hub. It ends on SIGTERM or Ctrl-C.

``hubkernel start`` runs it, and so does every door that needs a hub where there is none.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

FAILED, BUSY = 1, 75
READY = "HUBKERNEL_READY_FD"
"""File descriptor to which a line is written once the hub can be reached."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Own the hub until told to end. Returns the exit status: 75 if another process has the home."""
    options = _parser().parse_args(arguments)
    from hubkernel.hub.home import ENVIRONMENT, HubHome
    from hubkernel.owned import OwnedHub
    from hubkernel.owner import HubBusyError

    ready = os.environ.pop(READY, None)
    home = HubHome.find(options.home)
    os.environ[ENVIRONMENT] = str(home.root)  # a hub's own script finds it so
    try:
        owned = OwnedHub(home, "attach")
    except HubBusyError as error:
        sys.stderr.write(f"hubkernel: {error}\n")
        return BUSY
    try:
        from hubkernel.server_ext.process import serve

        again = serve(owned, Path(options.app) if options.app else None, lambda: _tell(ready))
    except Exception as error:
        if not type(error).__module__.startswith("hubkernel."):
            raise
        sys.stderr.write(f"hubkernel: {error}\n")
        return FAILED
    finally:
        owned.lock.release()
    if again:  # in this place, so that a supervisor sees no end; the files of the new one are closed but the log
        more = ["--app", options.app] if options.app else []
        os.execv(sys.executable, [sys.executable, "-P", "-m", "hubkernel.server_ext", "--home", str(home.root), *more])
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m hubkernel.server_ext", description=__doc__)
    parser.add_argument("--home", metavar="FOLDER", help="the hub's folder")
    parser.add_argument("--app", metavar="FILE", help="the hub's own script, with a subclass of HubServer")
    return parser


def _tell(ready: str | None) -> None:
    if ready is not None:
        with contextlib.suppress(OSError):  # whoever started us may be gone
            os.write(int(ready), b"ready\n")
            os.close(int(ready))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the background of a shell ignores it
    sys.exit(main())
