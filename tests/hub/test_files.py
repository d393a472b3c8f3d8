from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubkernel.hub import files
from hubkernel.hub.files import OutsideError, blocks, inside, listing, open_text, plain_name, seek_last_lines


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "a.log").write_text("a")
    (tmp_path / "secret").write_text("s")
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "up").symlink_to(tmp_path)
    (root / "in").symlink_to(root / "sub")
    return root


@pytest.mark.parametrize("path", ["", "sub", "sub/a.log", "in/a.log", "not/there", "a b", "..."])
def test_paths_inside(root: Path, path: str) -> None:
    assert inside(root, path) == (root / path).resolve()


@pytest.mark.parametrize(
    "path",
    ["..", "../secret", "sub/../../secret", "/etc/passwd", "//etc", "out", "up/secret", "a\0b", "..\\secret", "sub/.."],
)
def test_paths_that_lead_out(root: Path, path: str) -> None:
    with pytest.raises(OutsideError, match="leads out of the folder"):
        inside(root, path)


def test_a_root_that_is_a_link_works(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    assert inside(tmp_path / "link", "sub/a.log").read_text() == "a"


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "a\\b", "a\0", "a\n", "x" * 201, "é" * 150])
def test_names_that_are_no_plain_names(name: str) -> None:
    with pytest.raises(OutsideError, match="no plain file name"):
        plain_name(name)


def test_listing(root: Path) -> None:
    (root / "hub.log").touch()
    (root / ".x").touch()
    assert listing(root, root) == ["hub.log", "in/", "sub/"]
    assert listing(root, root, ["hub", "nope"]) == ["hub.log"]
    assert listing(root, root, [""]) == listing(root, root)


@given(
    lines=st.lists(st.binary(max_size=20).map(lambda b: b.replace(b"\n", b"")), max_size=12),
    ended=st.booleans(),
    number=st.integers(1, 14),
    block=st.sampled_from([1, 3, 16]),
    packed=st.booleans(),
)
def test_the_last_lines_are_found(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], ended: bool, number: int, block: int, packed: bool
) -> None:
    content = b"\n".join(lines) + (b"\n" if ended else b"")
    file = tmp_path_factory.getbasetemp() / ("some.log.gz" if packed else "some.log")
    file.write_bytes(gzip.compress(content) if packed else content)
    expected = content.split(b"\n")
    if not expected[-1]:
        expected.pop()
    with pytest.MonkeyPatch.context() as patch, open_text(file) as stream:
        patch.setattr(files, "BLOCK", block)
        more = seek_last_lines(stream, number)
        found = b"".join(blocks(stream))
    assert found.removesuffix(b"\n").split(b"\n") == (expected[-number:] or [b""])
    assert more == (len(expected) > number)
