"""Why a dump failed. Every message names the url or file and is complete in itself."""

from __future__ import annotations


class DumpError(Exception):
    """A dump cannot be done. The last good release is still there and in use."""


class FetchError(DumpError):
    """An url cannot be fetched: it is not there, the server fails, or the connection breaks again and again."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        """What an HTTP server answered, if it did."""


class UnpackError(DumpError):
    """A downloaded archive is damaged, or would write outside of its release."""


class DiskFullError(DumpError, OSError):
    """There is no room for the data (or a limit on the size of files was met)."""

    def __str__(self) -> str:
        return str(self.args[0])
