"""The ssh server of a hub, by the hub's settings."""

from __future__ import annotations

from collections.abc import Callable

from hubkernel.api import Caller, LocalHub
from hubkernel.hub.commands import Role
from hubkernel.hub.server import HubServer
from hubkernel.owner import read_owner
from hubkernel.ssh.children import Children
from hubkernel.ssh.files import UploadFolder
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
        "UPLOADS": _uploads(server),
        "CHILDREN": Children(server.home.root) if can_be_reached else None,
    }
    return await listen(attributes, [str(folder / "host_key")], config.ssh_host or LOOPBACK, config.ssh_port or 0)


def _uploads(server: HubServer) -> Callable[[str, Role], UploadFolder] | None:
    """The folder of uploads as one user has it; None if the hub takes none. What comes is told to all, and who sent it
    to the audit log.
    """
    root = server.upload_root
    if root is None or "dataupload" not in server.features:
        return None

    def folder(user: str, role: Role) -> UploadFolder:
        caller = Caller(user, "ssh", role)

        def received(name: str, size: int) -> None:
            server.bus.publish("upload", name, "insert", {"size": size, "user": user})
            server.audit(caller, f"dataupload({name!r})", "done")

        def changed(text: str) -> None:
            server.audit(caller, f"dataupload: {text}", "done")

        return UploadFolder(root, server.config.upload_limit, received, changed)

    return folder
