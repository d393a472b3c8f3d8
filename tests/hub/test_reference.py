from __future__ import annotations

from pathlib import Path

from hubkernel.hub.reference import main, pages

DOCS = Path(__file__).parents[2] / "docs"


def test_generated_pages_are_current() -> None:
    for name, text in pages().items():
        assert (DOCS / name).read_text() == text, "run: python -m hubkernel.hub.reference"


def test_the_generator_writes_them(tmp_path: Path) -> None:
    main(tmp_path)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")) == sorted(pages())
