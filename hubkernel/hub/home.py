"""The hub home: the one folder in which a hub keeps everything, and how it is found."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

ENVIRONMENT = "HUBKERNEL_HOME"
MARKER = ".hubkernel"


@dataclass(frozen=True, slots=True)
class HubHome:
    """Paths and default urls of a hub. Touches no disk before :meth:`create`."""

    root: Path

    @classmethod
    def find(cls, path: str | os.PathLike[str] | None = None) -> HubHome:
        """The home at ``path``, else ``$HUBKERNEL_HOME``, else the nearest ``.hubkernel/`` upward from the working
        directory, else the platform's data directory. It need not exist yet.
        """
        chosen = path or os.environ.get(ENVIRONMENT)
        if chosen:
            return cls(Path(chosen).expanduser().absolute())
        here = Path.cwd()
        for folder in (here, *here.parents):
            if (folder / MARKER).is_dir():
                return cls(folder / MARKER)
        import platformdirs

        return cls(platformdirs.user_data_path("hubkernel", appauthor=False).absolute())

    def create(self) -> HubHome:
        """Make the folders that are missing; the home itself and what holds keys or sockets is for its owner only.

        Raises ``NotADirectoryError`` naming the home if a file is in its place.
        """
        if self.root.exists() and not self.root.is_dir():
            raise NotADirectoryError(
                f"the hub home {self.root} is a file; choose a folder, for instance with $HUBKERNEL_HOME"
            )
        for folder in (self.root, self.run, self.ssh):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self.plugins, self.logs):
            folder.mkdir(parents=True, exist_ok=True)
        return self

    @property
    def config_file(self) -> Path:
        """``hubkernel.toml``; the hub works without it."""
        return self.root / "hubkernel.toml"

    @property
    def run(self) -> Path:
        """Locks, sockets and whatever else lives only as long as a process does."""
        return self.root / "run"

    @property
    def plugins(self) -> Path:
        return self.root / "plugins"

    @property
    def hooks(self) -> Path:
        """Python files that run with the commands as their names, once the hub is configured."""
        return self.root / "hooks"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def ssh(self) -> Path:
        """Host key and ``authorized_keys/<user>.pub``."""
        return self.root / "ssh"

    @property
    def dataupload(self) -> Path:
        return self.root / "dataupload"

    @property
    def state_url(self) -> str:
        return f"sqlite://{(self.root / 'state.db').as_posix()}"

    @property
    def store_url(self) -> str:
        return f"sqlite://{(self.root / 'store').as_posix()}"

    @property
    def search_url(self) -> str:
        return f"embedded://{(self.root / 'search').as_posix()}"

    def __str__(self) -> str:
        return str(self.root)
