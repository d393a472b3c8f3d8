"""The ssh server of a hub, by the hub's settings."""

from __future__ import annotations

from hubkernel.api import LocalHub
from hubkernel.hub.server import HubServer
from hubkernel.owner import read_owner
from hubkernel.ssh.children import Children
from hubkernel.ssh.server import LOOPBACK, RunningSSHServer, listen


async def start(server: HubServer) -> RunningSSHServer:
    """Listen where ``ssh_port`` and ``ssh_host`` say. Called on the hub's loop, which the server uses from then on.

    A hub that no other process can reach gives its developers the command prompt too.
    """
    config, folder = server.config, server.home.ssh
    owner = read_owner(server.home.run)
    can_be_reached = owner is not None and owner.placement != "embedded"
    attributes = {
        "NAME": server.name,
        "PASSWORDS": {user: secret.get_secret_value() for user, secret in config.ssh_passwords.items()},
        "SHELL": LocalHub(server),
        "HISTORY": folder / "history",
        "UPLOADS": server.upload_root if "dataupload" in server.features else None,
        "CHILDREN": Children(server.home.root) if can_be_reached else None,
    }
    return await listen(attributes, [str(folder / "host_key")], config.ssh_host or LOOPBACK, config.ssh_port or 0)
