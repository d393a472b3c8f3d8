"""The frames of SockJS."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubkernel.compat.studio import sockjs


def test_a_frame_of_messages_holds_them_in_order() -> None:
    assert sockjs.messages_frame(['{"op":"pong"}', "1"]) == 'a[{"op":"pong"},1]'


def test_a_close_frame_has_code_and_reason() -> None:
    assert sockjs.close_frame(3000, "Go away!") == 'c[3000,"Go away!"]'


def test_a_client_sends_an_array_of_texts_or_one_text() -> None:
    assert sockjs.unpack('["a","b"]') == ["a", "b"]
    assert sockjs.unpack('"a"') == ["a"]
    assert sockjs.unpack("") == []
    assert sockjs.unpack("[]") == []


@pytest.mark.parametrize("frame", ["x", "{}", "[1]", "[[]]", '["a"', "[" * 100_000, "null"])
def test_anything_else_is_no_frame(frame: str) -> None:
    with pytest.raises(sockjs.FrameError):
        sockjs.unpack(frame)


@settings(deadline=None)
@given(st.text() | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(json.dumps))
def test_whatever_is_sent_is_texts_or_refused(frame: str) -> None:
    with contextlib.suppress(sockjs.FrameError):
        assert all(isinstance(message, str) for message in sockjs.unpack(frame))


def test_the_info_differs_in_its_entropy_only() -> None:
    first, second = sockjs.info(), sockjs.info()
    assert 0 <= first.pop("entropy") < 1 << 32
    second.pop("entropy")
    assert first == second == {"websocket": True, "cookie_needed": False, "origins": ["*:*"]}
    json.dumps(first)
