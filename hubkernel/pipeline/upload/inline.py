"""A stand-in for the job manager that plugin code may ask for work: what it is given, it does at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from hubkernel.pipeline.upload.errors import UploadError


class InlineJobs:
    """Given as ``job_manager`` to methods of a plugin. They run in a worker already, so nothing is gained by another;
    what is worth doing in parallel belongs into ``jobs()``.
    """

    async def defer_to_process(self, pinfo: Any, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run ``function(*args, **kwargs)``; returns a future that has its result or error."""
        future = asyncio.get_running_loop().create_future()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future

    defer_to_thread = defer_to_process

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise UploadError(f"job_manager.{name} is not there within a plugin: only defer_to_process and defer_to_thread")
