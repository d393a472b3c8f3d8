from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubkernel.hub.syntax import Call, CommandSyntaxError, parse, parse_chain


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ('dump("x", force=True)', Call("dump", ("x",), {"force": True})),
        ("dump x force=True", Call("dump", ("x",), {"force": True})),
        ("  status  ", Call("status")),
        ("status()", Call("status")),
        ("dump x release=2024-01-02 n=3", Call("dump", ("x",), {"release": "2024-01-02", "n": 3})),
        ('dump "a b" c=[1, "d e"]', Call("dump", ("a b",), {"c": [1, "d e"]})),
        ("f(-1, {'a': (1, None)}, b=b'x')", Call("f", (-1, {"a": (1, None)}), {"b": b"x"})),
        ("upload main.sub", Call("upload", ("main.sub",))),
        ("search idx q=name:x==y", Call("search", ("idx",), {"q": "name:x==y"})),
        ("f(\n  1,\n)", Call("f", (1,))),
        (" dump? ", Call("help", ("dump",))),
        ("dump??", Call("help", ("dump",))),
        ("?dump", Call("help", ("dump",))),
    ],
)
def test_commands(text: str, call: Call) -> None:
    assert parse(text) == call


def test_a_chain() -> None:
    assert parse_chain('a() && b("&& x") && c y') == [Call("a"), Call("b", ("&& x",)), Call("c", ("y",))]


@pytest.mark.parametrize(
    ("text", "message", "position"),
    [
        ("dump(x)", "x is no literal; for text write 'x'", 5),
        ('dump("é", y)', "y is no literal", 10),
        ("f(open('x'))", "only literals", 2),
        ("f(a=__import__('os').system('x'))", "only literals", 4),
        ("f(**{})", "'**' is not allowed", 2),
        ("f(*[1])", "only literals", 2),
        ("f(a=1, a=2)", "'a' is given twice", 7),
        ("f a=1 a=2", "'a' is given twice", 6),
        ("f a=1 b", "comes before the named", 6),
        ("dump(", "')' is missing", 4),
        ('dump("x', "never closed", 5),
        ("a() && ", "both sides", 6),
        ("&& a()", "both sides", 0),
        ("a() && && b()", "both sides", 6),
        ("1+1", "begins with its name", 0),
        ("a.b()", "unexpected '.'", 1),
        ("a() + b()", "only one command", 0),
        ("", "begins with its name", 0),
        ("f [1,", "']' is missing", 2),
        ("f(f'{1}')", "only literals", 2),
    ],
)
def test_errors_point_at_their_place(text: str, message: str, position: int) -> None:
    with pytest.raises(CommandSyntaxError) as caught:
        parse_chain(text)
    assert message in str(caught.value)
    assert caught.value.position == position
    assert str(caught.value).splitlines()[-1] == "  " + " " * position + "^"


def test_a_chain_is_no_single_command() -> None:
    with pytest.raises(CommandSyntaxError, match="only one command"):
        parse("a() && b()")


@given(st.text(max_size=60))
def test_any_text_is_a_command_or_a_syntax_error(text: str) -> None:
    try:
        parse_chain(text)
    except CommandSyntaxError as error:
        assert 0 <= error.position <= len(text)
        assert str(error)


@given(st.lists(st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.lists(st.text())), max_size=4))
def test_what_is_written_as_a_call_is_read_back(values: list[object]) -> None:
    text = f"f({', '.join(map(repr, values))})"
    assert parse(text) == Call("f", tuple(values), {})
