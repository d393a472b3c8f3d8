from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubkernel.server_ext.forms import FileForm, FormError

HEAD = (
    b'--XbX\r\nContent-Disposition: form-data; name="file"; filename="a b.txt"\r\n'
    b"Content-Type: application/octet-stream\r\n\r\n"
)
TAIL = b"\r\n--XbX--\r\n"


class Taker:
    def __init__(self) -> None:
        self.name, self.content = "", b""

    def begin(self, name: str) -> Callable[[bytes], None]:
        self.name = name
        return self.take

    def take(self, block: bytes) -> None:
        self.content += block


def read(body: bytes, size: int = 1000, kind: str = "multipart/form-data; boundary=XbX") -> Taker:
    taker = Taker()
    form = FileForm(kind, taker.begin)
    for at in range(0, len(body), size):
        form.feed(body[at : at + size])
    form.close()
    return taker


@given(
    content=st.binary(max_size=50) | st.text("\r\n-Xb", max_size=60).map(str.encode),
    size=st.integers(1, 40),
)
def test_the_file_is_the_same_whatever_the_chunks(content: bytes, size: int) -> None:
    if b"\r\n--XbX" in b"\r\n" + content:
        return
    taker = read(HEAD + content + TAIL, size)
    assert (taker.name, taker.content) == ("a b.txt", content)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"hello", "the body is no valid form"),
        (b"", "the form has no file"),
        (b"--XbX--\r\n", "the form has no file"),
        (HEAD + b"abc", "ends before its closing boundary"),
        (
            HEAD.replace(b"octet-stream", b"json") + TAIL,
            "must be of type application/octet-stream, not 'application/json'",
        ),
        (HEAD.replace(b'; filename="a b.txt"', b"") + TAIL, "has no file name"),
        (HEAD + b"abc\r\n" + HEAD + TAIL, "more than one part"),
        (b"--XbX\r\n" + b"A" * 100_000, "Maximum header size"),
    ],
)
def test_what_is_no_form_with_a_file_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(FormError, match=message):
        read(body)


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "multipart/form-data", "multipart/form-data; boundary=" + "x" * 500]
)
def test_a_wrong_content_type_is_refused(kind: str) -> None:
    with pytest.raises(FormError, match=r"multipart/form-data|Boundary length"):
        read(b"", kind=kind)
