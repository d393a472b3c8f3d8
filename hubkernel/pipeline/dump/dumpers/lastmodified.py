"""Dumpers that know what is new by what the server says of each file: its date, its ETag, its size."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from hubkernel.pipeline.dump.dumpers.base import BaseDumper, DumperException
from hubkernel.pipeline.dump.fetch import shown
from hubkernel.pipeline.dump.models import RemoteFile


class LastModifiedBaseDumper(BaseDumper):
    """Dumps :attr:`SRC_URLS`. The release is the date of the last url, else its ETag, else today and a hash.

    Derive from a protocol's own one; that has :meth:`describe` and :meth:`download`.
    """

    SRC_URLS: list[str] = []
    RELEASE_FORMAT = "%Y-%m-%d"
    RESOLVE_FILENAME = True
    """Take the file name that the server gives, if it gives one, instead of the url's last part."""
    COMPLETE_LIST = True

    def list_files(self, url: str) -> list[RemoteFile]:
        """The files behind an url: one, except where an url can be a folder. ``name`` is where a file goes."""
        remote = self.described(url)
        name = remote.name if remote and self.RESOLVE_FILENAME else _last_part(url)
        return [remote.model_copy(update={"name": name}) if remote else RemoteFile(url=url, name=name)]

    def set_release(self) -> None:
        last = self.list_files(self._urls()[-1])
        dates = [file.modified for file in last if file.modified]
        etags = [file.etag for file in last if file.etag]
        if dates:
            self.release = max(dates).strftime(self.RELEASE_FORMAT)
        elif etags:
            self.release = etags[-1].removeprefix("W/").strip('"')
        else:
            self.BY_CONTENT = True
            self.release = datetime.now(UTC).strftime("%Y-%m-%d")
            self.logger.warning("the server gives neither a date nor an ETag: the release is named by today and a hash")

    def remote_is_better(self, remotefile: str, localfile: str) -> bool:
        return not self.unchanged(remotefile, localfile)

    def create_todump_list(self, force: bool = False) -> None:
        found = self._named([file for url in self._urls() for file in self.list_files(url)])
        self.set_release()
        for remote in found:
            self._described[remote.url] = remote
            local = self._current(remote.name)
            if force or local is None or self.remote_is_better(remote.url, str(local)):
                self.to_dump.append({"remote": remote.url, "local": str(Path(self.new_data_folder, remote.name))})

    def _urls(self) -> list[str]:
        urls = self.__class__.SRC_URLS if not isinstance(self.SRC_URLS, list | tuple) else self.SRC_URLS
        if not isinstance(urls, list | tuple) or not urls:
            raise DumperException(f"{type(self).__name__}: SRC_URLS is {urls!r}, it has to be a list of urls")
        return list(urls)

    def _current(self, name: str) -> Path | None:
        path = Path(self.current_data_folder, name) if self.current_data_folder else None
        return path if path and path.exists() else None

    def _named(self, files: list[RemoteFile]) -> list[RemoteFile]:
        """Each file with a name of its own."""
        taken: set[str] = set()
        named = []
        for file in files:
            name = free_name(file.name, taken)
            if name != file.name:
                self.logger.warning("%s is there twice; that of %s becomes %s", file.name, shown(file.url), name)
            taken.add(name)
            named.append(file.model_copy(update={"name": name}))
        return named


def free_name(name: str, taken: set[str]) -> str:
    """``name``, or ``name-2`` and so on before its suffixes."""
    stem, dot, suffixes = name.partition(".")
    candidate, number = name, 2
    while candidate in taken:
        candidate, number = f"{stem}-{number}{dot}{suffixes}", number + 1
    return candidate


def _last_part(url: str) -> str:
    from hubkernel.pipeline.dump.fetch import name_in

    return name_in(url)
