"""Dumpers for what is on a disk already, and for sources without files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from hubkernel.pipeline.dump.dumpers.base import BaseDumper, DumperException
from hubkernel.pipeline.dump.dumpers.lastmodified import LastModifiedBaseDumper
from hubkernel.pipeline.dump.fetch import download, local_path, probe
from hubkernel.pipeline.dump.models import MANIFEST, ReleaseFile, RemoteFile


class FileDumper(LastModifiedBaseDumper):
    """Copies ``file://`` urls, each a file or a folder with all that is in it, when they change."""

    def list_files(self, url: str) -> list[RemoteFile]:
        return probe(self.worker, url, self.policy)

    def describe(self, remotefile: str) -> RemoteFile | None:
        found = probe(self.worker, remotefile, self.policy)
        return found[0] if len(found) == 1 else None

    def download(self, remotefile: str, localfile: str) -> ReleaseFile:
        remote = self.described(remotefile)
        if remote is None:
            raise DumperException(f"{remotefile} is a folder now: dump again")
        local = Path(localfile)
        remote = remote.model_copy(update={"name": local.relative_to(self.new_data_folder).as_posix()})
        return download(self.worker, remote, local, Path(f"{local}.part"), self.policy)


class FilesystemDumper(BaseDumper):
    """Brings local files that your ``create_todump_list`` lists (``remote`` is a path) into the release."""

    FS_OP = "cp"
    """``cp``: copied. ``mv``: moved; it goes from its old place once the release is published. ``ln``: a symbolic link.
    """

    def describe(self, remotefile: str) -> RemoteFile | None:
        path = Path(remotefile).absolute()
        if not path.is_file():
            return None
        (found,) = probe(self.worker, path.as_uri(), self.policy)
        return found.model_copy(update={"url": remotefile})

    def remote_is_better(self, remotefile: str, localfile: str) -> bool:
        return not self.unchanged(remotefile, localfile)

    def download(self, remotefile: str, localfile: str) -> Any:
        source, target = Path(remotefile).absolute(), Path(localfile)
        if not source.exists():
            raise DumperException(f"{remotefile}: no such file or folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        if self.FS_OP == "ln":
            target.symlink_to(source)
        elif self.FS_OP in ("cp", "mv"):
            self._copy(source, target)
        else:
            raise DumperException(f"FS_OP is {self.FS_OP!r}: it is 'cp', 'mv' or 'ln'")
        return localfile

    def _copy(self, source: Path, target: Path) -> None:
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            (described,) = probe(self.worker, source.as_uri(), self.policy)
            download(self.worker, described, target, Path(f"{target}.part"), self.policy)

    def published(self) -> None:
        for source in [Path(file["remote"]) for file in self.to_dump] if self.FS_OP == "mv" else []:
            if source.is_dir():
                shutil.rmtree(source)
            else:
                source.unlink(missing_ok=True)


class ManualDumper(BaseDumper):
    """Takes a folder that somebody has put in place: ``dump("src", path="2020")``."""

    MANUAL = True
    ALWAYS = True
    COMPLETE_LIST = True

    def create_todump_list(self, force: bool = False, path: str = "", release: str | None = None) -> None:
        """``path`` is absolute, or below the source's folder in the archive; "" is that folder itself, without the
        releases in it. The release is called by the last part of the path unless ``release`` says otherwise.
        """
        folder = self._folder(str(path))
        self.release = release or self.release or folder.name
        releases = [file.parent for file in folder.rglob(MANIFEST) if file.parent != folder]
        names = [file for file in folder.rglob("*") if file.is_file() and not any(map(file.is_relative_to, releases))]
        files = [file for file in names if not any(part.startswith(".") for part in file.relative_to(folder).parts)]
        if not files:
            raise DumperException(f"{folder} is empty: put the data of {self.src_name} there first")
        for file in sorted(files):
            local = Path(self.new_data_folder, file.relative_to(folder))
            self.to_dump.append({"remote": str(file), "local": str(local)})

    def download(self, remotefile: str, localfile: str) -> str:
        """Files in the archive are linked, unless the plugin's own code could change them; others are copied, so that
        the release stays as it is.
        """
        from hubkernel.pipeline.dump.assembling import is_own_post_dump
        from hubkernel.pipeline.dump.staging import link

        root, source, target = self._home(), Path(remotefile), Path(localfile)
        if root and source.is_relative_to(root) and is_own_post_dump(type(self)):
            link(source, target)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            (described,) = probe(self.worker, source.as_uri(), self.policy)
            download(self.worker, described, target, Path(f"{target}.part"), self.policy)
        return localfile

    def _home(self) -> Path | None:
        root = (self.surroundings.root if self.surroundings else None) or self.src_root_folder
        return Path(root) if root else None

    def _folder(self, path: str) -> Path:
        roots = [Path(root) for root in (self.src_root_folder, self._home()) if root]
        candidates = [Path(path)] if Path(path).is_absolute() else [root / path for root in roots]
        if path.startswith("file://"):
            candidates = [local_path(path)]
        found = next((candidate for candidate in candidates if candidate.is_dir()), None)
        if found is None:
            places = " nor ".join(map(str, dict.fromkeys(candidates))) or path
            raise DumperException(f"there is no folder {places}: give the path of the folder with the data")
        return found


class DummyDumper(BaseDumper):
    """Downloads nothing: its release is an empty folder, in which ``post_dump`` may write."""

    ALWAYS = True
    COMPLETE_LIST = True

    def create_todump_list(self, force: bool = False) -> None:
        self.set_release()
        self.release = self.release or self.timestamp

    def download(self, remotefile: str, localfile: str) -> Any:
        raise DumperException(f"{type(self).__name__} downloads nothing")
