"""What every dumper has: attributes that a plugin sets, methods that it overrides, and where the files go.

A dumper lives in a worker, never in the hub. One object lists the files (:meth:`BaseDumper.create_todump_list`); copies
of it download them, several at once; one more does what comes after (:meth:`BaseDumper.post_dump`). All write below a
folder that nobody sees until the release in it is complete.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubkernel.pipeline.dump.errors import DumpError

if TYPE_CHECKING:
    from hubkernel.executors import Worker
    from hubkernel.pipeline.dump.fetch import Policy
    from hubkernel.pipeline.dump.models import ReleaseFile, RemoteFile


class DumperException(DumpError):  # noqa: N818 - the name that plugins know
    """Raised by dumpers; ends the dump of this source."""


@dataclass
class Surroundings:
    """What the hub tells a dumper before it runs."""

    staging: str
    """Folder of the release in the making."""
    current_folder: str | None = None
    """Folder of the last good release."""
    src_doc: dict[str, Any] = field(default_factory=dict)
    """The source's document in ``src_dump``."""
    log_folder: str | None = None
    policy: Policy | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What ``setconf("<source>.<ATTRIBUTE>", value)`` stored for this source."""
    worker: Worker | None = None
    """Progress, log and cancel of the running step; only while one runs."""
    root: str | None = None
    """The source's folder in the archive."""
    show_current: bool = False
    """While the files are listed: a release of the last good one's name begins with the files of that one, so that
    ``os.path.exists(new file)`` tells what there is already."""


class BaseDumper:
    """Derive from it, or better from one of the protocols' dumpers."""

    SRC_NAME: str | None = None
    SRC_ROOT_FOLDER: str | None = None
    AUTO_UPLOAD = True
    SUFFIX_ATTR = "release"
    """Attribute that names the release's folder: ``release`` or ``timestamp``."""
    MAX_PARALLEL_DUMP: int | None = None
    SLEEP_BETWEEN_DOWNLOAD = 0.0
    """Seconds before each download."""
    ARCHIVE = True
    """False: of the releases only the newest is kept."""
    SCHEDULE: str | None = None
    DISABLED = False
    UNCOMPRESS = False
    to_check: list[tuple[str, int]] = []
    """``(path, n)``: a file has to have n lines, a folder n entries, or the dump fails."""

    COMPLETE_LIST = False
    """:meth:`create_todump_list` names every file of the release: those that are in the last one and were neither
    listed nor refused by :meth:`remote_is_better` are gone."""
    ALWAYS = False
    """There is a new release even if nothing is to be downloaded."""
    MANUAL = False
    """Its data are put in place by hand."""
    BY_CONTENT = False
    """The release says nothing of its content: a hash is appended to it."""

    def __init__(
        self,
        src_name: str | None = None,
        src_root_folder: str | None = None,
        log_folder: str | None = None,
        archive: bool | None = None,
    ) -> None:
        self.src_name = src_name or self.SRC_NAME
        self.src_root_folder = src_root_folder or self.SRC_ROOT_FOLDER
        self.log_folder = log_folder
        self.archive = self.ARCHIVE if archive is None else archive
        self.to_dump: list[dict[str, str]] = []
        """What is to be downloaded: ``{"remote": ..., "local": ...}``."""
        self.to_delete: list[str] = []
        """Paths in the release's folder that :meth:`post_dump_delete_files` deletes."""
        self.release: str | None = None
        self.timestamp = datetime.now(UTC).strftime("%Y%m%d")
        self.steps = ["dump", "post"]
        self.logger = logging.getLogger(f"hubkernel.dump.{self.src_name}")
        self.surroundings: Surroundings | None = None
        self._client: Any = None
        self._described: dict[str, RemoteFile | None] = {}
        self._recorded: dict[str, ReleaseFile] | None = None

    # ------------------------------------------------------------------------------------------ what a plugin overrides

    def create_todump_list(self, force: bool = False) -> Any:
        """Called first, in a worker: set :attr:`release`, and fill :attr:`to_dump` with what is new; with ``force``,
        with everything. May be a coroutine. More parameters get what ``dump(src, name=value)`` was given.
        """
        raise NotImplementedError(f"{type(self).__name__} has no create_todump_list")

    def prepare_client(self) -> None:
        """Called when :attr:`client` is first used: set it."""

    def release_client(self) -> None:
        """Called when nothing more is asked of the client: close it and set :attr:`client` to None."""

    def need_prepare(self) -> bool:
        """Whether :meth:`prepare_client` is to be called before :attr:`client` is used."""
        return self._client is None

    def remote_is_better(self, remotefile: str, localfile: str) -> bool:
        """Whether the remote file has to be downloaded, as compared with one of the last good release. What is not
        better is taken over from there.
        """
        return True

    def download(self, remotefile: str, localfile: str) -> Any:
        """Called for each of :attr:`to_dump`, several at once in workers of their own: bring the file to its place.

        If ``<localfile>.part`` exists it is the beginning of this very file, from a download that was interrupted.
        ``localfile`` may also become a folder of files. A dumper that knows the file's hash returns its
        :class:`~hubkernel.pipeline.dump.models.ReleaseFile` (or a list of them; none for a file that is left out),
        whose ``name`` is relative to :attr:`new_data_folder`; anything else that is returned means ``localfile``.
        """
        raise NotImplementedError(f"{type(self).__name__} has no download")

    def post_download(self, remotefile: str, localfile: str) -> None:
        """Called after each download with its own file: check it, raise if it is bad."""

    def post_dump(self, *args: Any, **kwargs: Any) -> None:
        """Called once all files are there, before anybody sees them: unpack, delete, check."""
        self.post_dump_sanity_check()

    def published(self) -> None:
        """Called last, once the release is in the archive."""

    def set_release(self) -> None:
        """Called before the files are listed by dumpers that list by date: set :attr:`release`."""

    def describe(self, remotefile: str) -> RemoteFile | None:
        """What the server says of a file (size, ETag, date), by which an unchanged one is known and a complete one is
        told from a truncated one; None if it says nothing.
        """
        return None

    # ---------------------------------------------------------------------------------------------- what a plugin uses

    @property
    def client(self) -> Any:
        """The connection; opened by :meth:`prepare_client` when it is first used."""
        if self.need_prepare():
            self.prepare_client()
        return self._client

    @client.setter
    def client(self, client: Any) -> None:
        self._client = client

    @property
    def src_doc(self) -> dict[str, Any]:
        """The source's document in ``src_dump``."""
        return self.surroundings.src_doc if self.surroundings else {}

    @property
    def worker(self) -> Worker:
        """Progress, log and cancel of the step that runs; of nobody outside of one."""
        if self.surroundings and self.surroundings.worker:
            return self.surroundings.worker
        from hubkernel.jobs.context import current

        return current()

    @property
    def policy(self) -> Policy:
        """How patient downloads are."""
        from hubkernel.pipeline.dump.fetch import Policy

        return (self.surroundings.policy if self.surroundings else None) or Policy()

    @property
    def new_data_folder(self) -> str:
        """Folder of the release in the making; its name is the release. Raises :class:`DumperException` before the
        release is known.
        """
        from hubkernel.pipeline.dump.staging import show_release

        folder = self._new_folder()
        if folder is None:
            raise DumperException(f"{type(self).__name__}: set self.{self.SUFFIX_ATTR} before new_data_folder is used")
        current = self.current_data_folder
        shows = self.surroundings and self.surroundings.show_current and not self.COMPLETE_LIST
        if shows and current and Path(current).name == folder.name:
            show_release(Path(current), folder)
        return str(folder)

    @property
    def current_data_folder(self) -> str | None:
        """Folder of the last good release, None if there is none."""
        return self.surroundings.current_folder if self.surroundings else None

    @property
    def current_release(self) -> str | None:
        """Label of the last good release."""
        release = self.src_doc.get("last_good", {}).get("release") or self.src_doc.get("download", {}).get("release")
        return str(release) if release is not None else None

    def described(self, remotefile: str) -> RemoteFile | None:
        """:meth:`describe`, asked once for each file."""
        if remotefile not in self._described:
            self._described[remotefile] = self.describe(remotefile)
        return self._described[remotefile]

    def recorded(self, localfile: str) -> ReleaseFile | None:
        """What was recorded of a file of the last good release when it was downloaded."""
        if self._recorded is None:
            from hubkernel.pipeline.dump.models import Release

            release = Release.read(Path(self.current_data_folder)) if self.current_data_folder else None
            self._recorded = {file.name: file for file in release.files} if release else {}
        return self._recorded.get(self.name_of(localfile))

    def unchanged(self, remotefile: str, localfile: str) -> bool:
        """Whether the server surely still has what was recorded of ``localfile``; false if it cannot be told."""
        known, now = self.recorded(localfile), self.described(remotefile)
        return bool(known and now and now.model_copy(update={"name": known.name}).unchanged_since(known))

    def name_of(self, localfile: str) -> str:
        """A file's path relative to its release, the new or the last one, with ``/``."""
        path = Path(localfile)
        for folder in (self.current_data_folder, self._new_folder()):
            if folder and path.is_relative_to(folder):
                return path.relative_to(folder).as_posix()
        return path.name

    def post_dump_sanity_check(self) -> None:
        """Raise :class:`DumperException` if something in :attr:`to_check` is smaller than it has to be; compressed
        text is read too. What is missing is only logged.
        """
        from hubkernel.pipeline.dump.checks import check_sizes

        check_sizes(self.worker, Path(self.new_data_folder), self.to_check, self.logger)

    def post_dump_delete_files(self) -> None:
        """Delete what :attr:`to_delete` names: files, and folders that are empty. Call it from :meth:`post_dump`.

        Raises :class:`DumperException` for a path outside of the release, before anything is deleted.
        """
        from hubkernel.pipeline.dump.checks import delete_files

        delete_files(Path(self.new_data_folder), self.to_delete, self.logger)
        self.to_delete = []

    def prepare(self) -> None:
        """Nothing is left to prepare: plugins of old call it."""

    def unprepare(self) -> None:
        """Close the client: plugins of old call it."""
        if self._client is not None:
            self.release_client()

    def _new_folder(self) -> Path | None:
        from hubkernel.pipeline.dump.staging import folder_name

        suffix = getattr(self, self.SUFFIX_ATTR, None)
        return Path(self._root(), folder_name(str(suffix))) if suffix else None

    def _root(self) -> str:
        if self.surroundings:
            return self.surroundings.staging
        if not self.src_root_folder:
            raise DumperException(f"{type(self).__name__} has no SRC_ROOT_FOLDER")
        return str(Path(self.src_root_folder))
