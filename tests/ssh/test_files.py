"""scp and sftp, driven by asyncssh's own client."""

from __future__ import annotations

import asyncio
import os
import stat
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from hubkernel.api import LocalHub
from hubkernel.ssh.files import UploadFolder
from tests.ssh.tools import Commandless, login, run, serving, until, with_role

CONTENT = os.urandom(300_000)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder of uploads, with something to steal beside it."""
    (tmp_path / "secret").write_text("secret")
    root = tmp_path / "uploads"
    root.mkdir()
    return root


@asynccontextmanager
async def uploading(root: Path, folder: UploadFolder | None = None) -> AsyncIterator[asyncssh.SFTPClient]:
    uploads = staticmethod(lambda user, role: folder or UploadFolder(root))
    async with (
        serving(root.parent, Commandless(), UPLOADS=uploads) as server,
        login(server, **with_role(root.parent, "operator")) as connection,
        connection.start_sftp_client() as client,
    ):
        yield client


def parts(root: Path) -> list[str]:
    return [file.name for file in root.rglob("*.part")]


def test_files_go_there_and_back(root: Path) -> None:
    async def test() -> None:
        (root.parent / "mine").write_bytes(CONTENT)
        async with uploading(root) as client:
            await client.mkdir("src")
            await client.put(root.parent / "mine", "src/data", preserve=True)
            assert (root / "src" / "data").read_bytes() == CONTENT
            assert "data" in await client.listdir("/src")
            await client.get("src/data", root.parent / "back")
            await client.rename("src/data", "src/other")
            await client.remove("src/other")
            await client.rmdir("src")
        assert (root.parent / "back").read_bytes() == CONTENT
        assert list(root.iterdir()) == []

    run(test)


def test_an_upload_takes_its_place_when_it_is_complete(root: Path) -> None:
    async def test() -> None:
        (root / "data").write_text("old")
        async with uploading(root) as client:
            async with client.open("data", "wb") as file:
                await file.write(b"new")
                assert (root / "data").read_text() == "old"
                assert len(parts(root)) == 1
            assert (root / "data").read_text() == "new"
            assert parts(root) == []

    run(test)


def test_an_upload_that_breaks_off_leaves_the_old_file(root: Path) -> None:
    async def test() -> None:
        (root / "data").write_text("old")
        async with serving(
            root.parent, Commandless(), UPLOADS=staticmethod(lambda user, role: UploadFolder(root))
        ) as server:
            connection = await login(server, **with_role(root.parent, "operator"))
            client = await connection.start_sftp_client()
            file = await client.open("data", "wb")
            await file.write(b"half")
            assert len(parts(root)) == 1
            connection.abort()
            await until(lambda: parts(root) == [])
            assert (root / "data").read_text() == "old"

    run(test)


def test_what_could_not_be_written_does_not_take_the_place(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int, data: bytes, offset: int) -> int:
        raise OSError(28, "No space left on device")

    async def test() -> None:
        (root / "data").write_text("old")
        async with uploading(root) as client:
            file = await client.open("data", "wb")
            monkeypatch.setattr("hubkernel.ssh.files._write_all", full)
            with pytest.raises(asyncssh.SFTPError, match="No space left"):
                await file.write(b"new")
            await file.close()
            assert (root / "data").read_text() == "old"
            assert parts(root) == []

    run(test)


def test_what_came_is_told_and_what_is_too_large_is_not_taken(root: Path) -> None:
    async def test() -> None:
        told: list[Any] = []
        folder = UploadFolder(root, 10, lambda name, size: told.append((name, size)), told.append)
        async with uploading(root, folder) as client:
            await client.mkdir("src")
            async with client.open("src/one", "wb") as file:
                await file.write(b"0123456789")
            with pytest.raises(asyncssh.SFTPError, match="no file of more than 10 bytes"):
                async with client.open("src/two", "wb") as file:
                    await file.write(b"0123456789x")
            async with client.open("src/one", "r+b") as file:
                with pytest.raises(asyncssh.SFTPError, match="upload_limit"):
                    await file.write(b"x", 10)
            async with client.open("src/one", "ab") as file:
                with pytest.raises(asyncssh.SFTPError, match="upload_limit"):
                    await file.write(b"x")
            async with client.open("src/one", "rb") as file:
                assert await file.read() == b"0123456789"
            with pytest.raises(asyncssh.SFTPError, match="upload_limit"):
                await client.truncate("src/one", 11)
            await client.rename("src/one", "three")
            await client.remove("three")
            await client.rmdir("src")
        assert told == [("src/one", 10), "rename('src/one', 'three')", "remove('three')", "rmdir('src')"]

    run(test)


def test_files_may_be_added_to_and_changed_in_place(root: Path) -> None:
    async def test() -> None:
        async with uploading(root) as client:
            async with client.open("log", "ab") as file:
                await file.write(b"one")
            async with client.open("log", "ab") as file:
                await file.write(b"two")
            async with client.open("log", "r+b") as file:
                await file.write(b"O", 0)
                assert await file.read(6, 0) == b"Onetwo"
            with pytest.raises(asyncssh.SFTPError):
                await client.open("log", "xb")
            with pytest.raises(asyncssh.SFTPError):
                await client.open("nothing", "rb")
            with pytest.raises(asyncssh.SFTPError):
                await client.open(".", "wb")
        assert (root / "log").read_text() == "Onetwo"

    run(test)


@pytest.mark.parametrize("path", ["../secret", "/../secret", "a/../../secret", "/a/../secret", "./secret"])
def test_there_is_nothing_above(root: Path, path: str) -> None:
    async def test() -> None:
        async with uploading(root) as client:
            with pytest.raises(asyncssh.SFTPNoSuchFile):
                await client.open(path, "rb")
            async with client.open(path, "wb") as file:
                await file.write(b"mine")
            assert await client.realpath(path) == "/secret"
        assert (root / "secret").read_text() == "mine"
        assert (root.parent / "secret").read_text() == "secret"

    run(test)


@pytest.mark.parametrize("path", ["out/secret", "link", "out/new", "out", "x\0y"])
def test_no_link_leads_out(root: Path, path: str) -> None:
    async def test() -> None:
        (root / "out").symlink_to(root.parent)
        (root / "link").symlink_to(root.parent / "secret")
        async with uploading(root) as client:
            for mode in ("rb", "wb", "ab", "r+b"):
                with pytest.raises(asyncssh.SFTPError):
                    await client.open(path, mode)
            for action in (client.remove, client.listdir, client.rmdir, client.stat, client.mkdir, client.readlink):
                with pytest.raises(asyncssh.SFTPError):
                    await action(path)
            for old, new in ((path, "stolen"), ("stolen", path)):
                with pytest.raises(asyncssh.SFTPError):
                    await client.rename(old, new)
        assert (root.parent / "secret").read_text() == "secret"
        assert sorted(file.name for file in root.iterdir()) == ["link", "out"]

    run(test)


def test_no_links_no_owners_no_bits_that_give_rights(root: Path) -> None:
    async def test() -> None:
        (root / "data").write_text("x")
        async with uploading(root) as client:
            with pytest.raises(asyncssh.SFTPPermissionDenied):
                await client.symlink("/etc", "etc")
            with pytest.raises(asyncssh.SFTPError):
                await client.link("data", "other")
            await client.setstat("data", asyncssh.SFTPAttrs(permissions=0o6755, uid=12345, gid=12345))
            found = (root / "data").stat()
            assert (stat.S_IMODE(found.st_mode), found.st_uid) == (0o755, os.getuid())
            async with client.open("new", "wb", asyncssh.SFTPAttrs(permissions=0o6711)) as file:
                await file.write(b"x")
        assert stat.S_IMODE((root / "new").stat().st_mode) & 0o7000 == 0
        assert sorted(file.name for file in root.iterdir()) == ["data", "new"]

    run(test)


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_a_viewer_and_a_hub_without_uploads_are_refused(root: Path, role: str) -> None:
    async def test() -> None:
        uploads = staticmethod(lambda user, role: UploadFolder(root)) if role == "viewer" else None
        async with (
            serving(root.parent, Commandless(), UPLOADS=uploads) as server,
            login(server, **with_role(root.parent, role)) as connection,
        ):
            with pytest.raises(asyncssh.ChannelOpenError):
                await connection.start_sftp_client()
            with pytest.raises((asyncssh.SFTPError, OSError)):
                await asyncssh.scp(root.parent / "secret", (connection, "."))
        assert list(root.iterdir()) == []

    run(test)


def test_the_old_scp_works_too(root: Path) -> None:
    async def test() -> None:
        (root.parent / "mine").write_bytes(CONTENT)
        async with (
            serving(root.parent, Commandless(), UPLOADS=staticmethod(lambda user, role: UploadFolder(root))) as server,
            login(server, **with_role(root.parent, "operator")) as connection,
        ):
            await asyncssh.scp(root.parent / "mine", (connection, "data"))
            await asyncssh.scp((connection, "data"), root.parent / "back")
            with pytest.raises(asyncssh.SFTPError):
                await asyncssh.scp((connection, "../secret"), root.parent / "stolen")
        assert (root.parent / "back").read_bytes() == CONTENT

    run(test)


def test_a_slow_disk_does_not_stop_the_loop(root: Path, hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = threading.Event()

    def slow(handle: int, data: bytes, offset: int) -> int:
        assert disk.wait(20)
        return os.pwrite(handle, data, offset)

    async def test() -> None:
        monkeypatch.setattr("hubkernel.ssh.files._write_all", slow)
        async with (
            serving(root.parent, hub, UPLOADS=staticmethod(lambda user, role: UploadFolder(root))) as server,
            login(server, **with_role(root.parent, "operator")) as connection,
            connection.start_sftp_client() as client,
        ):
            file = await client.open("data", "wb")
            writing = asyncio.create_task(file.write(b"x"))
            assert (await connection.run("say x")).stdout == "x\n"
            assert not writing.done()
            disk.set()
            await writing
            await file.close()
        assert (root / "data").read_bytes() == b"x"

    run(test)
