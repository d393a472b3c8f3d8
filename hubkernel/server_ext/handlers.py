"""REST for commands and jobs: made from the registry, so that a new command needs nothing here."""

from __future__ import annotations

from typing import Any

from tornado import web

from hubkernel import wire
from hubkernel.handles import JobHandle
from hubkernel.hub.commands import BadArgumentsError
from hubkernel.server_ext.base import HubHandler

MAX_LIMIT = 10_000
_TRUTH = {"true": True, "1": True, "false": False, "0": False}


class HubInfoHandler(HubHandler):
    """What this hub is, and who asks. Answering it is how an owner proves that it lives."""

    async def get(self) -> None:
        about = await self.run(self.hub.about)
        self.reply({**about, "user": self.current_user.username, "role": self.hub_role.name})


class RegistryHandler(HubHandler):
    """Every command."""

    async def get(self) -> None:
        commands = await self.run(self.hub.commands)
        self.reply({name: wire.describe(info) for name, info in commands.items()})


class CallHandler(HubHandler):
    """Run a command: 200 with its value, or 202 with its job."""

    async def post(self, name: str) -> None:
        args, kwargs = self._call_arguments()
        value = await self.run(self.hub.call, name, *args, **kwargs)
        if not isinstance(value, JobHandle):
            self.reply({"result": value})
            return
        heard = self.app.heard
        job = await self.run(self.hub.job, value.id)  # what is in the answer is no older than what was heard
        self.set_header("Location", f"{self.base_url}hubkernel/api/jobs/{job.id}")
        self.reply({"job": job.record.to_dict(), "seq": heard}, 202)

    def _call_arguments(self) -> tuple[list[Any], dict[str, Any]]:
        body = self.arguments()
        if unknown := body.keys() - {"args", "kwargs"}:
            raise BadArgumentsError(
                f'the body is {{"args": [...], "kwargs": {{...}}}}, not {", ".join(sorted(unknown))}'
            )
        args, kwargs = body.get("args") or [], body.get("kwargs") or {}
        if not isinstance(args, list) or not isinstance(kwargs, dict):
            raise BadArgumentsError('"args" is a list and "kwargs" an object')
        return args, kwargs


class JobsHandler(HubHandler):
    """The newest jobs."""

    async def get(self) -> None:
        heard = self.app.heard
        limit = self._number("limit", 100)
        jobs = await self.run(self.hub.jobs, running=self._truth("running"), failed=self._truth("failed"), limit=limit)
        self.reply({"jobs": [job.record.to_dict() for job in jobs], "seq": heard})

    def _truth(self, name: str) -> bool | None:
        text = self.get_query_argument(name, "").lower()
        if text not in ("", *_TRUTH):
            raise web.HTTPError(400, f"{name} is {text!r}; it is true or false")
        return _TRUTH.get(text)

    def _number(self, name: str, default: int) -> int:
        text = self.get_query_argument(name, "") or str(default)
        if not text.isdecimal() or not 0 < int(text) <= MAX_LIMIT:
            raise web.HTTPError(400, f"{name} is {text!r}; it is a number from 1 to {MAX_LIMIT}")
        return int(text)


class JobHandler(HubHandler):
    """One job: its whole record, or its end."""

    async def get(self, id: str) -> None:
        heard = self.app.heard
        job = await self.run(self.hub.job, _job_id(id))
        self.reply({"job": job.record.to_dict(), "seq": heard})

    async def delete(self, id: str) -> None:
        await self.run(self.hub.job, _job_id(id))
        self.reply({"cancelled": await self.run(self.hub.cancel, _job_id(id))})


def _job_id(text: str) -> int:
    if len(text) > 18:
        raise web.HTTPError(404, f"no job {text}")
    return int(text)
