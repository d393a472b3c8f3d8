from __future__ import annotations

from pathlib import Path

import pytest

from hubkernel.hub.files import OutsideError
from hubkernel.hub.uploads import OffsetError, TooLargeError, UploadBusyError, UploadError, Uploads


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    return Uploads(tmp_path / "root", limit=100)


def test_a_file_appears_when_it_is_whole(uploads: Uploads) -> None:
    upload = uploads.begin("src", "data.csv")
    upload.write(b"one,")
    assert not upload.target.exists()
    upload.write(b"two")
    assert upload.finish() == uploads.root / "src" / "data.csv"
    assert upload.target.read_bytes() == b"one,two"
    assert [path.name for path in upload.target.parent.iterdir()] == ["data.csv"]


def test_the_file_before_stays_until_then(uploads: Uploads) -> None:
    first = uploads.begin("src", "data.csv")
    first.write(b"old")
    target = first.finish()
    second = uploads.begin("src", "data.csv")
    second.write(b"new")
    assert target.read_bytes() == b"old"
    second.finish()
    assert target.read_bytes() == b"new"


def test_an_upload_goes_on_where_it_broke_off(uploads: Uploads) -> None:
    assert uploads.offset("src", "big") is None
    upload = uploads.begin("src", "big", length=6)
    upload.write(b"abc")
    upload.leave()
    assert uploads.offset("src", "big") == 3
    for offset in (0, 2, 4):
        with pytest.raises(OffsetError, match=f"3 bytes are here already; the part begins at {offset}") as caught:
            uploads.begin("src", "big", length=6, offset=offset)
        assert caught.value.offset == 3
    upload = uploads.begin("src", "big", length=6, offset=3)
    with pytest.raises(UploadError, match="has 3 bytes, not the 6"):
        upload.finish()
    upload.write(b"def")
    assert upload.finish().read_bytes() == b"abcdef"
    assert uploads.offset("src", "big") is None


def test_without_an_offset_it_begins_anew(uploads: Uploads) -> None:
    upload = uploads.begin("src", "big")
    upload.write(b"abc")
    upload.leave()
    again = uploads.begin("src", "big")
    again.write(b"x")
    assert again.finish().read_bytes() == b"x"


def test_sizes_are_limited(uploads: Uploads) -> None:
    with pytest.raises(TooLargeError, match="101 bytes are more than the 100"):
        uploads.begin("src", "big", length=101)
    upload = uploads.begin("src", "big")
    upload.write(b"x" * 100)
    with pytest.raises(TooLargeError, match="101 bytes"):
        upload.write(b"x")
    upload.discard()
    assert uploads.offset("src", "big") is None
    upload = uploads.begin("src", "small", length=2)
    with pytest.raises(UploadError, match="more bytes than the 2"):
        upload.write(b"xyz")
    upload.leave()


def test_one_sends_a_file_at_a_time(uploads: Uploads) -> None:
    first = uploads.begin("src", "same")
    with pytest.raises(UploadBusyError, match="same is being uploaded by somebody else"):
        uploads.begin("src", "same")
    first.leave()
    uploads.begin("src", "same").discard()


@pytest.mark.parametrize(("source", "name"), [("..", "x"), ("a/b", "x"), ("src", "../x"), ("src", ".x"), ("", "x")])
def test_names_stay_inside(uploads: Uploads, source: str, name: str) -> None:
    with pytest.raises(OutsideError):
        uploads.begin(source, name)


def test_links_are_not_followed_out(uploads: Uploads, tmp_path: Path) -> None:
    uploads.root.mkdir()
    (uploads.root / "src").symlink_to(tmp_path)
    with pytest.raises(OutsideError):
        uploads.begin("src", "x")
    (uploads.root / "real").mkdir()
    (uploads.root / "real" / ".x.part").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic links"):
        uploads.begin("real", "x")
    assert not (tmp_path / "victim").exists()
