"""The Python shell of a developer: IPython in a terminal of its own, with the hub attached.

``python -m hubkernel.ssh.child FD`` is started by :mod:`hubkernel.ssh.children`. It gets ready, then waits at ``FD``
for its orders: ``{"name", "user", "environment"}`` as JSON. If there are none, nobody wanted it.
"""

from __future__ import annotations

import fcntl
import importlib
import json
import os
import signal
import sys
import termios
from typing import Any

READY = ("IPython.terminal.ipapp", "hubkernel.magics", "hubkernel.remote")
"""What takes long to import, done while nobody waits yet."""


def main() -> None:
    """Called once, in a new session whose terminal is standard input."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    # Whoever starts the hub in the background may have it ignore interrupts, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in READY:
        importlib.import_module(name)
    with os.fdopen(int(sys.argv[1])) as control:
        orders = control.read()
    if orders:
        run(**json.loads(orders))


def run(name: str, user: str, environment: dict[str, str]) -> None:
    """IPython until its user leaves."""
    from hubkernel.hub.home import HubHome

    home = HubHome.find()
    os.environ.update(environment)
    os.environ["IPYTHONDIR"] = str(home.ssh / "ipython")
    history = home.ssh / "history"
    history.mkdir(mode=0o700, exist_ok=True)
    shell_app = _application(str(history / f"{user}.sqlite"), _banner(name, user, home))
    shell_app.initialize([])
    _attach(shell_app.shell, {"user": user, "door": "ssh"})
    shell_app.start()


def _banner(name: str, user: str, home: Any) -> str:
    from hubkernel import __version__

    return (
        f"\nWelcome to {name}, {user}!\n"
        f"Python {sys.version.split()[0]}, hubkernel {__version__}, hub at {home}\n"
        '%hub shows what the hub has, %hub? explains, dump("x") and %hub dump x run a command, Ctrl-D leaves.\n'
    )


def _application(history: str, banner: str) -> Any:
    from IPython.terminal.ipapp import TerminalIPythonApp
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.hist_file = history
    shell = config.TerminalInteractiveShell
    shell.banner1, shell.banner2 = banner, "\n"
    shell.prompts_class = _prompts()
    shell.confirm_exit = False
    shell.term_title = False
    return TerminalIPythonApp.instance(config=config)


def _prompts() -> Any:
    from IPython.terminal.prompts import Prompts, Token

    class HubPrompts(Prompts):  # type: ignore[misc]
        def in_prompt_tokens(self) -> list[tuple[Any, str]]:
            number = str(self.shell.execution_count)
            return [(Token.Prompt, "hub ["), (Token.PromptNum, number), (Token.Prompt, "]> ")]

    return HubPrompts


def _attach(shell: Any, caller: dict[str, str]) -> None:
    """``hub``, ``%hub`` and every command; without the hub it is a plain shell that says why."""
    from hubkernel.facade import proxy

    shell.hubkernel_caller = caller
    shell.extension_manager.load_extension("hubkernel")
    extension = shell.hubkernel_extension
    try:
        commands = extension.hub.api.commands()
    except Exception as error:
        print(f"The hub cannot be reached: {error}", file=sys.stderr)  # noqa: T201 - a terminal reads it
        return
    extension.put({name: proxy(extension.hub, info) for name, info in commands.items()})


if __name__ == "__main__":
    main()
