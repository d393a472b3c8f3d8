"""What a hub does by the clock: commands on schedules, dumps of sources, uploads of what was dumped."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hubkernel.hub.actions import finish
from hubkernel.hub.commands import lookup
from hubkernel.hub.schedule import HubCron

if TYPE_CHECKING:
    from hubkernel.hub.server import HubServer

log = logging.getLogger(__name__)


class Schedules:
    """The crons of one hub, by number; they live until :meth:`close`."""

    def __init__(self, server: HubServer) -> None:
        self.server = server
        self.crons: dict[int, HubCron] = {}

    def add(
        self,
        crontab: str,
        func: str | Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Call a command (by name) or a function by a cron; returns ``{"id", "cron", "command"}``.

        An error of a run is logged, published as event ``schedule``/``failed``, and ends nothing.
        """
        kwargs = dict(kwargs or {})
        if isinstance(func, str):
            command = lookup(func, self.server.commands, self.server.extra_commands)
            command.bind(args, kwargs)
            what, func = command.text(args, kwargs), functools.partial(self._run, func)
        else:
            what = getattr(func, "__name__", type(func).__name__)
        number = max(self.crons, default=0) + 1
        self.crons[number] = self._cron(crontab, func, tuple(args), kwargs)
        return {"id": number, "cron": crontab, "command": what}

    def start(self) -> None:
        """Begin with the sources' own schedules and with polling for uploads, as far as the settings allow. Called on
        the hub loop.
        """
        config, managers = self.server.config, self.server.managers
        if "source_manager" in managers and not config.skip_dumper_schedule:
            managers["dump_manager"].schedule_all()
        poll = self.server.upload_poll_schedule
        if "source_manager" in managers and poll and not config.skip_uploader_poll:
            number = max(self.crons, default=0) + 1
            self.crons[number] = self._cron(poll, self.upload_pending)

    def close(self) -> None:
        """End all of them."""
        for cron in self.crons.values():
            cron.cancel()
        self.crons.clear()

    def upload_pending(self) -> list[str]:
        """Start the upload of each source that a dump marked as ``pending``; returns their names."""
        sources = self.server.state.collection("src_dump")
        started = []
        for document in sources.find({"pending": "upload"}, {"_id": 1}):
            if sources.update_one({"_id": document["_id"], "pending": "upload"}, {"$pull": {"pending": "upload"}}):
                self.server.launch("upload", document["_id"])
                started.append(document["_id"])
        return started

    def _cron(self, crontab: str, func: Callable[..., Any], args: tuple[Any, ...] = (), kwargs: Any = None) -> HubCron:
        return HubCron(crontab, func, args, kwargs, loop=self.server.loop, on_error=self._failed)

    async def _run(self, name: str, *args: Any, **kwargs: Any) -> None:
        """One run: until the job that it starts has ended, so that runs never overlap."""
        result = await finish(self.server.launch(name, *args, **kwargs))
        if (future := getattr(result, "future", None)) is not None:
            await asyncio.wrap_future(future)

    def _failed(self, what: str, error: BaseException) -> None:
        self.server.bus.publish("schedule", what, "failed", {"error": f"{type(error).__name__}: {error}"})
