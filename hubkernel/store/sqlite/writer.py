"""A new collection, from its first part to its commit."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace

from hubkernel.store.base import CollectionWriter, Duplicate, Fold, WriteReport
from hubkernel.store.errors import StoreError
from hubkernel.store.sqlite import index
from hubkernel.store.sqlite.connection import translated
from hubkernel.store.sqlite.files import Claim, Entry, Folder, part_number
from hubkernel.store.sqlite.part import ROW_BITS, SQLitePart, read_tally
from hubkernel.store.sqlite.seal import Progress, Sealing


class SQLiteWriter(CollectionWriter):
    """A new collection. What ``store.writer()`` gave owns it; what ``store.join`` gave can only write parts."""

    def __init__(self, folder: Folder, token: str | None = None, *, base: str | None = None) -> None:
        self._folder = folder
        self._claim = Claim(folder) if token is None else None
        self.token = self._claim.token if self._claim else str(token)
        self._parts: list[SQLitePart] = []
        self._report: WriteReport | None = None
        self._name = base
        self._base = folder.hold(base, self.token) if base is not None else None
        if token is not None and not folder.lock(token).exists():
            raise StoreError(f"the writer {token!r} has ended: it was committed, aborted or swept")

    @classmethod
    def resumed(cls, folder: Folder, token: str, base: str | None, parts: Container[int] | None = None) -> SQLiteWriter:
        """The owner of what a dead one has written; see :meth:`DocumentStore.resume`."""
        claim = Claim(folder, token)
        try:
            writer = cls(folder, token)
            writer._claim, writer._name = claim, base
            writer._base = _same_base(folder, token, base)
            if folder.file(token).exists():
                raise StoreError(f"the writer {token!r} was being sealed: write it again")
            finished = writer.finished()
            for path in folder.parts(token):
                number = part_number(path)
                if number not in finished or (parts is not None and number not in parts):
                    path.unlink()
        except BaseException:
            claim.release()
            raise
        return writer

    def finished(self) -> dict[int, int]:
        found = {part_number(path): read_tally(path) for path in self._folder.parts(self.token)}
        return {number: tally.documents for number, tally in found.items() if tally is not None and tally.closed}

    def leave(self) -> None:
        for part in self._parts:
            part.discard()
        if self._claim is not None:
            self._claim.release()
        self._claim = None

    def part(self, number: int = 0) -> SQLitePart:
        if not 0 <= number < 1 << (62 - ROW_BITS):
            raise ValueError(f"no part can have the number {number}")
        if self._report is not None:
            raise StoreError("the writer is sealed: nothing more can be written to it")
        base = self._folder.base(self.token)
        part = SQLitePart(
            self._folder.part(self.token, number), number, self._folder.max_pages, base if base.exists() else None
        )
        self._parts = [*(old for old in self._parts if not old.closed), part]
        return part

    def seal(
        self,
        on_duplicate: Duplicate = Duplicate.ERROR,
        *,
        fold: Fold | None = None,
        progress: Progress | None = None,
    ) -> WriteReport:
        self._must_own("seal")
        policy = Duplicate(on_duplicate)
        if policy is Duplicate.MERGE and fold is None:
            raise ValueError("the policy 'merge' needs a fold")
        if self._report is not None or any(not part.closed for part in self._parts):
            raise StoreError("seal comes once, after all parts are closed")
        path = self._folder.file(self.token)
        with translated(path):
            sealing = Sealing(self._folder, self.token, progress, compare=self._name is not None)
            report = sealing.run(policy, fold)
        stays = self._base is not None and report.same
        self._report = replace(report, token=self._base.token) if self._base and stays else report
        return self._report

    def commit(self, name: str, *, archive: str | None = None) -> None:
        self._must_own("commit")
        if self._report is None:
            raise StoreError("seal the writer before it is committed")
        if not name or archive == "":
            raise ValueError("a collection needs a name")
        if self._name not in (None, name):
            raise ValueError(f"the writer was opened to replace {self._name!r}, not {name!r}")
        if self._report.same:
            self._leave(name)
            return
        self._carry_indexes(name)
        replaced = self._folder.add(name, self.token, self._report.documents, archive)
        self._end(erase=False)
        if replaced:
            self._folder.erase(replaced)

    def abort(self) -> None:
        if self._claim is not None:
            self._end(erase=True)

    def _carry_indexes(self, name: str) -> None:
        """Index the same fields as the collection that is to be replaced."""
        if (old := self._folder.find(name)) is not None:
            with translated(self._folder.path):
                for field in index.fields(self._folder, old.token):
                    index.build(self._folder, self.token, field, self.token, lambda: None)

    def _leave(self, name: str) -> None:
        """Nothing has changed: the base goes on being the collection."""
        if self._base is None or self._folder.entry(name).token != self._base.token:
            raise StoreError(f"{name!r} was replaced or renamed while it was loaded again: try again")
        self._end(erase=True)

    def _end(self, *, erase: bool) -> None:
        for part in self._parts:
            part.discard()
        self._folder.erase(self.token, collection=erase)
        if self._claim is not None:
            self._claim.release()
        self._claim = None

    def _must_own(self, action: str) -> None:
        if self._claim is None:
            raise StoreError(f"cannot {action}: the writer has ended, or was joined from elsewhere")


def _same_base(folder: Folder, token: str, name: str | None) -> Entry | None:
    """Raises :class:`StoreError` if it is not what it was when the writer was opened."""
    entry = folder.find(name) if name is not None else None
    held = folder.base(token)
    if held.exists() != (entry is not None) or (entry and not held.samefile(folder.file(entry.token))):
        raise StoreError(f"{name!r} was replaced since the writer {token!r} was opened: write it again")
    return entry
