"""The ``upgrade`` feature of a hub: its commands, the look for news, and what ``status`` shows of versions."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hubkernel import __version__
from hubkernel.hub.names import hint
from hubkernel.hub.upgrade import Application, Package, UpgradeError
from hubkernel.jobs import current

if TYPE_CHECKING:
    from hubkernel.hub.server import HubServer

log = logging.getLogger(__name__)

OLD_NAMES = {"biothings_sdk": "hubkernel"}
"""Names of code bases in BioThings."""


class Upgrades:
    """What can be upgraded, by name: ``application`` if the setting ``app_folder`` is there, and ``hubkernel``."""

    def __init__(self, server: HubServer) -> None:
        self.server = server
        options = server.config.upgrade_pip_options
        self.bases: dict[str, Application | Package] = {"hubkernel": Package(options=options)}
        self._versions: dict[str, dict[str, Any]] = {"hubkernel": {"version": __version__}}
        self._one = threading.Lock()
        if server.config.app_folder is not None:
            self.bases["application"] = Application(server.config.app_folder, options=options)
            self._look()

    def _look(self) -> None:
        """The version of the application, as far as there is one."""
        application = self.bases.get("application")
        if isinstance(application, Application):
            try:
                self._versions["application"] = application.version()
            except UpgradeError as error:
                self._versions["application"] = {"error": str(error)}
                log.warning("the application cannot be upgraded: %s", error)

    def versions(self) -> dict[str, dict[str, Any]]:
        """``{"hubkernel": {"version"}, "application": {"branch", "commit", "date", "giturl"}}``; each with ``upgrade``,
        what is new, if the last look found something.
        """
        return {name: dict(version) for name, version in self._versions.items()}

    async def check(self) -> dict[str, Any]:
        """Look for news of everything; ``{name: what is new, or None, or {"error"}}``."""
        found = {name: await self._check(name) for name in self.bases}
        return found

    async def _check(self, name: str) -> dict[str, Any] | None:
        before = self._versions[name].get("upgrade")
        try:
            news = await asyncio.to_thread(self.bases[name].check)
        except UpgradeError as error:
            current().log(f"{name}: {error}")
            log.warning("no news of %s: %s", name, error)
            return {"error": str(error)}
        self._versions[name].pop("upgrade", None)
        if news is not None:
            self._versions[name]["upgrade"] = news
            if news != before:
                self.server.bus.publish("upgrade", name, "available", news)
        return news

    async def upgrade(self, code_base: str, dry_run: bool, force: bool) -> dict[str, Any]:
        """Raises :class:`UpgradeError`."""
        name = OLD_NAMES.get(code_base, code_base)
        if name not in self.bases:
            unset = "; set app_folder to its checkout" if name == "application" else hint(name, self.bases)
            raise UpgradeError(f"no code base {code_base!r} here{unset}")
        self._refuse(dry_run or force)
        # Shielded: a pip or a merge that is stopped half-way is worse than one that is not wanted any more.
        work = asyncio.to_thread(self._upgrade, name, dry_run, current().log)
        result: dict[str, Any] = await asyncio.shield(work)
        if result["upgraded"]:
            self.server.bus.publish("upgrade", name, "upgraded", {"from": result["from"], "to": result["to"]})
        return result

    def _refuse(self, anyway: bool) -> None:
        others = [job for job in self.server.jobs.list(running=True) if job.id != current().id]
        if others and not anyway:
            names = ", ".join(f"{job.id} {job.command or job.name}" for job in others[:3])
            raise UpgradeError(f"jobs run with the code as it is ({names}): wait for them, or use force=True")

    def _upgrade(self, name: str, dry_run: bool, tell: Callable[[str], object]) -> dict[str, Any]:
        if not self._one.acquire(blocking=False):
            raise UpgradeError("another upgrade goes on")
        try:
            result = self.bases[name].upgrade(dry_run, tell)
        finally:
            self._one.release()
        if result["upgraded"]:
            self._versions[name].pop("upgrade", None)
            self._versions[name]["needs_restart"] = True
            if name == "application":
                self._versions[name] = {**self._versions[name], "next": result["to"]}
        return result
