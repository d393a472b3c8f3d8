"""What can go wrong between a hub and its workers, besides the errors of the work itself."""

from __future__ import annotations


class NotSendableError(TypeError):
    """A function or its arguments cannot be sent to a worker process. Raised by ``submit``, nothing was started."""


class RemoteError(RuntimeError):
    """An error of the work that cannot be rebuilt here: its class does not pickle, or would end the hub (SystemExit).

    ``str()`` starts with the name of the original class; the remote traceback is its ``__cause__``.
    """


class RemoteTraceback(Exception):  # noqa: N818 - a carrier of text, never raised
    """The text of a traceback that another process printed; shown as the cause of the error that it belongs to."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'
