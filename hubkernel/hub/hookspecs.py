"""Every extension point of a hub: a function of this name in a hook file, or in a package with an entry point of the
group ``hubkernel.hooks``, is called as said here. It takes those of the arguments that it wants.

An error in it is logged, shown by ``status()``, and stops nothing. What is not said to be called elsewhere is called by
the thread ``hubkernel-dispatch``, soon after it has happened, one after the other: a slow hook delays other hooks only.
An ``async def`` is started on the hub's loop instead, and not waited for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from hubkernel.hub.events import Event
    from hubkernel.hub.server import HubServer

PROJECT = "hubkernel"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Only needed for options: ``@hookimpl(tryfirst=True)``."""


@hookspec
def hub_commands(hub: HubServer) -> dict[str, Any]:
    """Return more commands, ``{name: function or CommandDefinition}``; called once, while the hub is configured."""
    raise NotImplementedError


@hookspec
def hub_configured(hub: HubServer) -> None:
    """All commands and endpoints exist; called once, by the thread that configures the hub."""


@hookspec
def hub_started(hub: HubServer) -> None:
    """The hub is ready: schedules run and doors are open; called once, by the thread that starts the hub."""


@hookspec
def hub_stopping(hub: HubServer) -> None:
    """The hub ends, and jobs that run now will be interrupted; called once, by the thread that stops the hub."""


@hookspec
def job_started(hub: HubServer, job: dict[str, Any]) -> None:
    """A job was accepted; ``job`` is its record without the log."""


@hookspec
def job_ended(hub: HubServer, job: dict[str, Any]) -> None:
    """A job has ended; ``job["state"]`` is ``done``, ``failed``, ``cancelled`` or ``interrupted``."""


@hookspec
def schedule_failed(hub: HubServer, schedule: str, error: str) -> None:
    """A run of a schedule raised an error."""


@hookspec
def plugins_reloaded(hub: HubServer, changed: list[str], broken: dict[str, str]) -> None:
    """Plugins were loaded again: the files that had changed, and the plugins that are broken now, with the reasons."""


@hookspec
def event_published(hub: HubServer, event: Event) -> None:
    """Anything was published on the event bus, progress of jobs included; keep it cheap."""


@hookspec(firstresult=True)
def notification(hub: HubServer, message: dict[str, Any]) -> dict[str, Any] | bool | None:
    """A notification is about to be sent: return another one, False to send none, or None to let it be."""
    raise NotImplementedError


POINTS: dict[str, Any] = {name: value for name, value in list(globals().items()) if hasattr(value, "hubkernel_spec")}
"""Extension point -> its specification, in the order of this file."""
