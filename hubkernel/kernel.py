"""The kernel "Hub": IPython's, with every command of the hub in its namespace. ``python -m hubkernel.kernel`` runs it.

It is ready as fast as the plain kernel: the commands are there from the start, and the hub opens when one is called.
"""

from __future__ import annotations

from typing import Any

from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp

from hubkernel import __version__, client
from hubkernel.facade import later, proxy
from hubkernel.handles import HubClosedError
from hubkernel.hub.home import HubHome
from hubkernel.hub.tables import HIDDEN, PUBLIC
from hubkernel.magics import Extension, load
from hubkernel.owner import OwnerError


class HubKernel(IPythonKernel):  # type: ignore[misc]
    """IPython plus a hub. Interrupting it stops waiting for a job and never the hub (see ``%hub?``)."""

    implementation = "hubkernel"
    implementation_version = __version__

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._extension: Extension = load(self.shell)
        self._opened = False
        hub = self._extension.hub
        self._extension.put({row.name: later(hub, row.name) for row in (*PUBLIC, *HIDDEN)})
        self.shell.events.register("post_run_cell", self._after_cell)

    @property
    def banner(self) -> str:
        """What a console prints first."""
        return (
            f"{self.shell.banner}\nHub {__version__} at {HubHome.find()}\n"
            'Commands are functions: dump("hpo_terms"); %hub? explains; %hub shows what the hub has.\n'
        )

    def do_complete(self, code: str, cursor_pos: int) -> Any:
        self._open()
        return super().do_complete(code, cursor_pos)

    def do_inspect(self, *args: Any, **kwargs: Any) -> Any:
        self._open()
        return super().do_inspect(*args, **kwargs)

    async def do_shutdown(self, restart: bool) -> Any:
        client.disconnect()
        done = super().do_shutdown(restart)
        return await done if hasattr(done, "__await__") else done

    def _after_cell(self, _result: object = None) -> None:
        if client.connected(HubHome.find()):
            self._open()

    def _open(self) -> None:
        """Open the hub, and give the commands that it really has their signatures and documentation."""
        if self._opened:
            return
        hub = self._extension.hub
        try:
            commands = hub.api.commands()
        except (HubClosedError, OwnerError):
            return  # who calls a command is told; completing and inspecting go on without
        self._extension.put({name: proxy(hub, info) for name, info in commands.items()})
        self._opened = True


def main() -> None:
    """Run the kernel with the arguments that Jupyter gives it."""
    from hubkernel.kernel import HubKernel as ImportedKernel  # the class of the module, not of __main__

    IPKernelApp.launch_instance(kernel_class=ImportedKernel)


if __name__ == "__main__":
    main()
