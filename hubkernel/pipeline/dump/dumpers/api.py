"""A dumper for sources that are asked document by document."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from hubkernel.pipeline.dump.dumpers.base import BaseDumper, DumperException


class APIDumper(BaseDumper):
    """Writes what :meth:`get_document` gives to files of JSON lines. Always dumps."""

    ALWAYS = True
    COMPLETE_LIST = True

    @staticmethod
    def get_document() -> Iterator[tuple[str, Any]]:
        """Called in a worker: yield ``(file name, document)``."""
        raise NotImplementedError

    @staticmethod
    def get_release() -> str:
        """Called in a worker, before :meth:`get_document`: the label of the release."""
        raise NotImplementedError

    def create_todump_list(self, force: bool = False) -> None:
        self.release = str(self.get_release())
        self.to_dump.append({"remote": "get_document()", "local": self.new_data_folder})

    def remote_is_better(self, remotefile: str, localfile: str) -> bool:
        return True

    def download(self, remotefile: str, localfile: str) -> str:
        folder, written, count = Path(localfile), dict[str, IO[str]](), 0
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as open_files:
            for count, (name, document) in enumerate(self.get_document(), 1):
                if name not in written:
                    written[name] = open_files.enter_context(self._open(folder, name))
                json.dump(document, written[name], default=str, ensure_ascii=False)
                written[name].write("\n")
                self.worker.progress(count, None, f"{count:,} documents")
        if not count:
            raise DumperException(f"{type(self).__name__}.get_document gave nothing")
        for name in written:
            (folder / f"{name}.part").replace(folder / name)
        return localfile

    def _open(self, folder: Path, name: str) -> IO[str]:
        from hubkernel.pipeline.dump.checks import inside

        path = inside(folder, name, "get_document")
        path.parent.mkdir(parents=True, exist_ok=True)
        return Path(f"{path}.part").open("w", encoding="utf-8")
