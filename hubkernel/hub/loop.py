"""The hub's own event loop in its own thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any


class LoopThread:
    """A loop that runs in a daemon thread from construction until :meth:`close`."""

    def __init__(self, name: str = "hub") -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._thread.start()

    def _main(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            self._finish()
            self.loop.close()

    def _finish(self) -> None:
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())

    @property
    def inside(self) -> bool:
        """Whether the caller is in the loop's thread, and so must not wait for it."""
        return threading.current_thread() is self._thread

    def run(self, coroutine: Coroutine[Any, Any, Any], timeout: float | None = None) -> Any:
        """Run a coroutine on the loop from another thread and wait for its result."""
        if self.inside:
            coroutine.close()
            raise RuntimeError("the hub loop cannot wait for itself; await the coroutine instead")
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout)

    def close(self) -> None:
        """Cancel what still runs and end the thread. From within the loop the thread ends as soon as it can."""
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self.loop.stop)
            if not self.inside:
                self._thread.join()


def inside_a_loop() -> bool:
    """Whether a loop runs in the caller's thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
