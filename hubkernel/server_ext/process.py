"""The Jupyter server of the owner process: the extension alone, on the loopback interface, closed to all but the hub's
own tokens.
"""

from __future__ import annotations

import functools
import logging
import secrets
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from jupyter_server.serverapp import ServerApp
from traitlets import default
from traitlets.config import Config

from hubkernel.owned import server_of
from hubkernel.server_ext.app import Duty, HubKernelApp

if TYPE_CHECKING:
    from hubkernel.owned import OwnedHub

MAX_BODY = 32 * 1024 * 1024
LOG_FORMAT = "[%(levelname)1.1s %(asctime)s %(name)s] %(message)s"


class OwnerServerApp(ServerApp):  # type: ignore[misc]
    """A Jupyter server that knows nothing of its user's other ones: its configuration is in the hub's home."""

    folder: str = ""
    no_browser_open_file = True

    @default("runtime_dir")  # type: ignore[untyped-decorator]
    def _runtime_dir_default(self) -> str:
        return str(Path(self.folder, "run"))

    @property
    def config_file_paths(self) -> list[str]:
        return [self.folder]

    def init_signal(self) -> None:
        """Called by jupyter_server: Ctrl-C ends the hub as SIGTERM does, and asks nothing."""
        super().init_signal()
        signal.signal(signal.SIGINT, self._signal_stop)


class OwnerApp(HubKernelApp):
    """The extension as the owner process launches it."""

    serverapp_class = OwnerServerApp


def serve(owned: OwnedHub, app: Path | None, ready: Callable[[], None]) -> bool:
    """Run the hub and its server until a signal or a command ends them; returns whether they are to begin anew.

    ``ready`` is called once the hub can be reached. Raises what kept the hub from starting.
    """
    logging.basicConfig(format=LOG_FORMAT, level=logging.INFO)
    OwnerServerApp.folder = str(owned.home.root)
    owned.app = str(app) if app is not None else None
    # Not through the configuration, which traitlets copies with all that is in it.
    make = functools.partial(server_of, app=app)
    duty = HubKernelApp.duty = Duty(owned, make, ready)
    OwnerApp.initialize_server(argv=[], config=_config(owned)).start()
    if duty.failure is not None:
        raise duty.failure
    return duty.again


def _config(owned: OwnedHub) -> Config:
    config = Config()
    config.HubKernelApp.home_folder = str(owned.home.root)
    config.ServerApp.ip = "127.0.0.1"
    config.ServerApp.port = 0
    config.ServerApp.open_browser = False
    config.ServerApp.allow_root = True
    config.ServerApp.root_dir = str(owned.home.root)
    config.ServerApp.cookie_secret = secrets.token_bytes(32)
    config.ServerApp.max_body_size = config.ServerApp.max_buffer_size = MAX_BODY
    # Nobody is given this one: what else a Jupyter server can do (files, kernels) is closed.
    config.IdentityProvider.token = secrets.token_hex(32)
    return config
