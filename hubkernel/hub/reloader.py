"""Plugins are loaded again when their files change, while the hub runs on.

What runs is not touched: a job keeps the plugin as it was when it began, though a step of it that starts after the
change imports the files as they are then. A plugin that cannot be used any more is shown as broken, with the reason,
and refuses new commands until it is mended, which is seen as well.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubkernel.hub.names import hint

if TYPE_CHECKING:
    from hubkernel.hub.server import HubServer

log = logging.getLogger(__name__)

KEYS = ("folders", "managers", "reload_func")
PLUGINS = ("source_manager", "assistant_manager", "dataplugin_manager")
"""Managers whose reload is that of the plugins, which they share."""
STEP, DEBOUNCE = 200, 2000
"""Milliseconds of silence after which changes count as complete, and after which they do in any case."""


class Reloader:
    """Watches folders from :meth:`start` until the loop ends. Lives on the hub's loop; ``status`` from any thread.

    ``config`` is ``reloader_config``: ``folders`` to watch (None: those of plugins and of hook files), ``managers``
    whose ``reload(changed)`` is called (with the changed files; it may be async), and ``reload_func``, which is called
    without arguments instead of all this. Raises ``ValueError`` for another key.
    """

    def __init__(self, server: HubServer, config: Mapping[str, Any]) -> None:
        for key in config:
            if key not in KEYS:
                raise ValueError(f"reloader_config has no {key!r}{hint(key, KEYS) or '; it has ' + ', '.join(KEYS)}")
        self.server = server
        self._config = config
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._reloads = 0
        self._last: str | None = None
        self._error = ""
        self._restart: set[str] = set()

    @property
    def folders(self) -> list[Path]:
        """What is watched: no folder inside of another one."""
        chosen = self._config.get("folders")
        if chosen is None:
            context, plugins = self.server.context, self.server.plugins.plugins.values()
            chosen = [context.plugins, *context.plugin_folders, *(plugin.folder for plugin in plugins), self._hooks]
        there = sorted({Path(folder).expanduser().resolve() for folder in chosen if Path(folder).expanduser().is_dir()})
        return [folder for folder in there if not any(other in folder.parents for other in there)]

    @property
    def _hooks(self) -> Path:
        return self.server.config.hooks_folder or self.server.home.hooks

    def status(self) -> dict[str, Any]:
        """``{"folders", "reloads", "last", "error", "restart"}``; ``restart`` has changed files that wait for one."""
        return {
            "folders": [str(folder) for folder in self.folders],
            "reloads": self._reloads,
            "last": self._last,
            "error": self._error,
            "restart": sorted(self._restart),
        }

    def start(self) -> None:
        """Begin to watch. Called on the hub's loop."""
        self._task = asyncio.get_running_loop().create_task(self._watch(), name="hubkernel-reloader")

    def close(self) -> None:
        """Watch no longer; from any thread."""
        try:
            self.server.loop.call_soon_threadsafe(self._stop.set)
        except RuntimeError:
            log.debug("the loop of the reloader has ended already")

    async def _watch(self) -> None:
        from watchfiles import awatch

        folders = self.folders
        if not folders:
            log.info("there is no folder to watch")
            return
        wanted = partial(_wanted, folders)
        try:
            watched = awatch(*folders, watch_filter=wanted, stop_event=self._stop, step=STEP, debounce=DEBOUNCE)
            async for changes in watched:
                await self.changed({Path(path) for _, path in changes})
        except Exception as error:
            self._error = f"plugin files are not watched any more: {error}"
            log.exception("%s", self._error)

    async def changed(self, files: Collection[Path]) -> None:
        """These files were changed, made or removed: load again what they belong to. Never raises."""
        hooks = {file for file in files if self._hooks.resolve() in file.parents}
        if hooks:
            self._restart |= {str(file) for file in hooks}
            log.warning("hook files changed; they count from the next start of the hub on: %s", _names(hooks))
        rest = set(files) - hooks
        if not rest:
            return
        log.info("changed: %s", _names(rest))
        try:
            await self._reload(sorted(rest))
            self._error = ""
        except Exception as error:
            self._error = f"{type(error).__name__}: {error}"
            log.exception("reloading failed")
        self._reloads += 1
        self._last = datetime.now(UTC).isoformat(timespec="seconds")

    async def _reload(self, files: list[Path]) -> None:
        function = self._config.get("reload_func")
        if function is not None:
            result = await asyncio.to_thread(function)
            await result if inspect.isawaitable(result) else None
            return
        names = self._config.get("managers") or []
        if any(name in PLUGINS for name in names):
            await asyncio.to_thread(self.server.reload_plugins, files)
        for name in names:
            if name not in PLUGINS:
                await self._reload_manager(name, files)

    async def _reload_manager(self, name: str, files: list[Path]) -> None:
        manager = self.server.managers.get(name)
        reload = getattr(manager, "reload", None)
        if reload is None:
            missing = "has no method reload(changed)" if manager is not None else "is not there"
            raise LookupError(f"reloader_config['managers']: {name!r} {missing}{hint(name, self.server.managers)}")
        result = await asyncio.to_thread(reload, files)
        await result if inspect.isawaitable(result) else None


def _wanted(folders: list[Path], change: Any, path: str) -> bool:
    """Not what editors, Python and git leave behind in a watched folder."""
    folder = next((folder for folder in folders if folder in Path(path).parents), None)
    parts = Path(path).relative_to(folder).parts if folder is not None else ()
    hidden = any(part.startswith(".") or part == "__pycache__" for part in parts)
    return bool(parts) and not hidden and not path.endswith(("~", ".pyc", ".swp", ".tmp"))


def _names(files: Iterable[Path]) -> str:
    return ", ".join(str(file) for file in sorted(files))
