"""hubkernel: a data hub that lives in Jupyter.

``%load_ext hubkernel`` in a notebook, ``hubkernel demo`` in a terminal. Importing this package is cheap on purpose:
everything heavy is loaded by the first command that needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["__version__", "load_ipython_extension", "unload_ipython_extension"]

__version__ = "0.1.0"


def load_ipython_extension(shell: InteractiveShell) -> None:
    """``%load_ext hubkernel`` calls this: register ``%hub``, ``%%hub`` and put ``hub`` into its namespace."""
    from hubkernel.magics import load

    load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Called by IPython for ``%unload_ext hubkernel``: take the magics back and close an embedded hub."""
    from hubkernel.magics import unload

    unload(shell)


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Called by jupyter_server, which knows the extension as ``hubkernel``."""
    from hubkernel.server_ext import _jupyter_server_extension_points as points

    return points()
