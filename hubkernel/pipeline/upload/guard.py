"""A release that loses many of its documents does not replace the one before it unless somebody says that it may."""

from __future__ import annotations

from hubkernel.pipeline.upload.errors import LostDocumentsError


def check_loss(src: str, allowed: float, *, old: int, new: int, releases: tuple[str | None, str | None]) -> None:
    """Raises :class:`LostDocumentsError` if ``new`` documents are more than ``allowed`` per cent fewer than ``old``.

    ``src`` is what ``upload`` takes; 0 allows any loss. ``releases`` are those of old and new.
    """
    old_release, new_release = releases
    if not allowed or new >= old or (old - new) * 100 <= allowed * old:
        return
    lost = 100 * (old - new) / old
    before = f"release {old_release}" if old_release else "the collection"
    raise LostDocumentsError(
        f"{src}: release {new_release} has {new:,} documents, {before} has {old:,}: {lost:.0f} % fewer, "
        f"and max_loss is {allowed:g} %. The new release was parsed without an error but not put in place; its "
        f"files are still there. If it is right: upload({src!r}, accept_loss=True).",
        old=old,
        new=new,
    )
