"""The hub in a Jupyter server: REST for every command and job, one websocket of events. Also the owner process."""

from __future__ import annotations

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Called by jupyter_server to find the extension."""
    from hubkernel.server_ext.app import HubKernelApp

    return [{"module": "hubkernel.server_ext", "app": HubKernelApp}]
