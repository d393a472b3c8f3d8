from __future__ import annotations

import functools
from typing import Any

import pytest

from hubkernel.hub.commands import (
    BadArgumentsError,
    Command,
    CommandDefinition,
    HiddenCommands,
    HubCommands,
    Role,
    UnknownCommandError,
    lookup,
)
from hubkernel.hub.syntax import Call, parse


def dump(src: str, force: bool = False, limit: int | None = None, **kw: Any) -> str:
    """Dump a source.

    More about it.
    """
    return f"{src} {force} {limit} {kw}"


async def merge(name: str, *, sources: list[str] | None = None) -> None:
    """Merge."""


def registry() -> HubCommands:
    commands = HubCommands()
    commands["dump"] = dump
    commands["merge"] = CommandDefinition(merge, role=Role.developer)
    commands["status"] = CommandDefinition(lambda: {}, tracked=False, role=Role.viewer, doc="Numbers.")
    return commands


def test_a_callable_becomes_a_command() -> None:
    command = registry()["dump"]
    assert isinstance(command, Command)
    assert (command.usage, command.summary) == ("dump(src, force=False, limit=None, **kw)", "Dump a source.")
    assert (command.tracked, command.is_async, command.public, command.role) == (True, False, True, Role.operator)
    assert command("x", force=True, steps="post") == "x True None {'steps': 'post'}"


def test_definitions_keep_what_they_say() -> None:
    commands = registry()
    assert (commands["merge"].is_async, commands["merge"].role) == (True, Role.developer)
    assert (commands["status"].tracked, commands["status"].doc) == (False, "Numbers.")


def test_async_is_seen_through_partials_and_instances() -> None:
    class Merge:
        async def __call__(self) -> None: ...

    assert Command.of("m", functools.partial(merge, "x")).is_async
    assert Command.of("m", Merge()).is_async
    assert not Command.of("m", functools.partial(dump, "x")).is_async


def test_hidden_commands_are_not_public() -> None:
    hidden = HiddenCommands()
    hidden["x"] = dump
    assert hidden["x"].public is False


@pytest.mark.parametrize(
    "again",
    [
        lambda commands: commands.__setitem__("dump", dump),
        lambda commands: commands.update({"dump": dump}),
        lambda commands: commands.update(dump=dump),
        lambda commands: commands.__ior__({"dump": dump}),
    ],
)
def test_no_name_is_given_twice(again: Any) -> None:
    commands = registry()
    before = commands["dump"]
    with pytest.raises(ValueError, match=r"^Command 'dump' already defined$"):
        again(commands)
    assert commands["dump"] is before


def test_setdefault_takes_a_new_name_and_keeps_an_old_one() -> None:
    commands = registry()
    before = commands["dump"]
    assert commands.setdefault("dump", merge) is before
    assert commands.setdefault("more", merge).name == "more"


def test_a_name_that_was_deleted_is_free_again() -> None:
    commands = registry()
    del commands["dump"]
    commands["dump"] = merge
    assert commands["dump"].is_async


def test_objects_stay_as_they_are() -> None:
    commands = HubCommands()
    commands["index_config"] = {"env": {}}
    assert commands["index_config"] == {"env": {}}


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "dump: 'src' is missing; it is dump(src, force=False"),
        (("x",), {"force": "yes"}, "dump: 'force' takes True or False, not 'yes'"),
        ((1,), {}, "dump: 'src' takes text in quotes, not 1"),
        (("x",), {"limit": True}, "dump: 'limit' takes a whole number or None, not True"),
        (("x", True, 1, 2), {}, "dump: too many positional arguments"),
        (("x",), {"src": "y"}, "dump: multiple values for argument 'src'"),
    ],
)
def test_bad_arguments_are_explained(args: tuple[Any, ...], kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(BadArgumentsError) as caught:
        registry()["dump"].bind(args, kwargs)
    assert message in str(caught.value)


def test_a_misspelt_keyword_names_the_nearest() -> None:
    with pytest.raises(BadArgumentsError, match=r"merge: no parameter 'source'; did you mean 'sources'\? it is merge"):
        registry()["merge"].bind(("x",), {"source": []})


def test_an_unknown_command_names_the_nearest() -> None:
    with pytest.raises(UnknownCommandError, match="no command 'dmup'; did you mean 'dump'"):
        lookup("dmup", registry(), HiddenCommands())


def test_the_text_of_a_call_has_what_was_passed() -> None:
    command = registry()["dump"]
    assert command.text(("mvcgi",), {"force": True}) == "dump(src='mvcgi',force=True)"
    assert command.text((), {"src": ["a", "b"], "steps": "post"}) == "dump(src=['a', 'b'],steps='post')"


def test_the_text_of_a_call_can_be_read_again() -> None:
    def schedule(crontab: str, func: str, *args: Any, **kwargs: Any) -> None: ...

    command = Command.of("schedule", schedule)
    text = command.text(("0 3 * * *", "setconf", "hub_name", "x"), {"more": 1})
    assert text == "schedule('0 3 * * *','setconf','hub_name','x',more=1)"
    assert parse(text) == Call("schedule", ("0 3 * * *", "setconf", "hub_name", "x"), {"more": 1})
    assert command.text(("0 3 * * *", "status")) == "schedule(crontab='0 3 * * *',func='status')"


def test_roles_are_ordered() -> None:
    assert Role.viewer < Role.operator < Role.developer
