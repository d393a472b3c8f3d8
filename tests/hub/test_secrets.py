"""No output of a hub shows a secret: they are planted wherever one can be, and looked for in all that is said."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hubkernel.api import JobFailedError, LocalHub
from hubkernel.hub.audit import masked_command
from hubkernel.hub.commands import Role
from hubkernel.hub.home import HubHome
from hubkernel.hub.launching import Origin
from hubkernel.hub.server import HubServer
from hubkernel.jobs.context import current
from hubkernel.jobs.masking import MaskingFormatter, hide, masked, redact
from tests.hub.test_launching import write_plugin

PLANTED = "pl4nted"
HASH = f"$argon2id$v=19$m=65536,t=3,p=4${PLANTED}${PLANTED}"
URL = f"https://me:{PLANTED}@127.0.0.1:9/x"
TOKEN = f"hk_{(PLANTED * 7)[:43]}"

CONFIG = f"""
HUB_NAME = "Secretive"
HUB_PASSWD = {{"me": "{HASH}"}}
PROD = {{"host": "https://me:{PLANTED}@es", "indexer": {{"args": {{"api_key": "{PLANTED}"}}}}}}
INDEX_CONFIG = {{"env": {{"prod": PROD}}}}
MY_PASSWORD = "{PLANTED}"
MY_URL = "{URL}"
MY_CLIENT = {{"user": "me", "secret": "{PLANTED}", "deep": [{{"token": "{PLANTED}"}}]}}
#- hide -#
MY_BUCKET = "{PLANTED}"
"""


class Secretive(HubServer):
    """A hub with a password in a class attribute, and a command that is careless with secrets."""

    PASSWORD = PLANTED

    def configure_commands(self) -> None:
        super().configure_commands()
        self.commands["careless"] = self.careless
        self.commands["given"] = self.given

    async def careless(self, url: str) -> str:
        """Says all it knows."""
        told = {"event": True, "notify": True}
        logging.getLogger("hubkernel.careless").warning("%s, password='%s', %s", url, PLANTED, HASH, extra=told)
        current().log(f"going to {url} with password='{PLANTED}'")
        current().progress(1, 2, f"at {url}")
        raise RuntimeError(f"cannot reach {url} (hash {HASH}, {{'api_key': '{PLANTED}'}})")

    async def given(self, url: str, settings: dict[str, Any]) -> str:
        """Gives back what it was given."""
        return f"{url} {TOKEN}"


@pytest.fixture
def hub(home: HubHome, caplog: pytest.LogCaptureFixture) -> Iterator[LocalHub]:
    caplog.set_level(logging.DEBUG)
    home.config_file.with_name("config.py").write_text(CONFIG)
    write_plugin(home.plugins / "colors", home.root.parent)
    manifest = json.loads((home.plugins / "colors" / "manifest.json").read_text())
    manifest["dumper"]["data_url"] = URL
    (home.plugins / "colors" / "manifest.json").write_text(json.dumps(manifest))
    server = Secretive.open(home, managers_custom_args={"dump": {"attempts": 1}})
    server.run_in_thread()
    hub = LocalHub(server)
    yield hub
    hub.close()


def everything_said(hub: LocalHub) -> Iterator[tuple[str, str]]:
    """All that a hub says without being asked for a secret: ``(where, text)``."""
    server = hub.server
    for name in ("config", "status", "index_config", "index_info", "sources", "commands", "list_tokens", "audit", "sch",
                 "top", "job_info", "dump_info", "help"):  # fmt: skip
        yield name, repr(hub.call(name))
    for job in hub.jobs():
        yield f"job {job.id}", repr(job.record.to_dict()) + repr(job) + str(hub.call("command", job.id))
    yield "events", repr([event.to_dict() for event in server.bus.since(0)])
    yield "backup", Path(hub.call("backup", str(server.home.root))).read_text()
    yield "repr", f"{server!r} {hub!r} {server.config!r} {server.config} {server.access!r}"
    yield "settings", repr(server.config.show())


def test_no_output_shows_a_planted_secret(hub: LocalHub, caplog: pytest.LogCaptureFixture, home: HubHome) -> None:
    errors = []
    calls: list[tuple[str, tuple[Any, ...]]] = [
        ("careless", (URL,)),
        ("given", (URL, {"password": PLANTED, "token": TOKEN})),
        ("dump", ("colors",)),
        ("setconf", ("HUB_PASSWD", {"me": PLANTED})),
        ("setconf", ("MY_PASSWORD", PLANTED)),
        ("setconf", ("search_url", URL)),
        ("setconf", ("logins", {"127.0.0.1": f"me:{PLANTED}"})),
        ("setconf", ("index_config", {"env": {"x": {"host": URL}}})),
        ("run", (f"setconf ssh_passwords {{'me': '{PLANTED}'}}",)),
        ("run", (f"given('{URL}', {{'password': '{PLANTED}'}}) && careless('{URL}')",)),
    ]
    for name, args in calls:
        try:
            value = hub.call(name, *args)
            errors.append(str(value.result(60) if hasattr(value, "result") else value))
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")
            if isinstance(error, JobFailedError):
                errors.append(str(error.record.traceback))
    token = hub.call("create_token", "ci")
    said = {"errors": "\n".join(errors), **dict(everything_said(hub))}
    leaks = {where: text for where, text in said.items() if PLANTED in text or token in text}
    assert not leaks, {where: re.findall(rf".{{60}}{PLANTED}.{{10}}", text) for where, text in leaks.items()}
    assert all("********" in said[where] for where in ("config", "events", "job 1", "errors"))
    ours = [record for record in caplog.records if record.name != "hubkernel.careless"]
    logged = [record.getMessage() for record in ours if PLANTED in record.getMessage()]
    assert not logged
    kept = [
        path
        for path in home.root.rglob("*")
        if path.is_file() and path.name not in ("config.py", "manifest.json") and PLANTED.encode() in path.read_bytes()
    ]
    assert not kept


def test_a_token_is_kept_nowhere(hub: LocalHub, home: HubHome) -> None:
    tokens = [hub.call("create_token", "ci"), hub.call("rotate_token", "ci")]
    tokens.append(hub.server.launcher.run("create_token other", Origin("dan", "rest", Role.developer)))
    hub.close()
    kept = [path for path in home.root.rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert not [path for path in kept for token in tokens if token.encode() in path.read_bytes()]


def test_masking_leaves_the_rest_alone() -> None:
    value = {"url": URL, "n": 1, "list": ["a", None, True], "password": "", "path": Path("/x")}
    assert masked(value) == {
        "url": "https://me:********@127.0.0.1:9/x", "n": 1, "list": ["a", None, True], "password": "", "path": "/x"
    }  # fmt: skip
    for text in ("mongodb://host:27017/db", "https://x.org/a:b@c", "price: $1$", "dump(src='x')", "a@b.c", "$HOME/x"):
        assert (hide(text), redact(text)) == (text, text)


@pytest.mark.parametrize(
    "unit", ["a", " ", "token", "token=", "://", "://a:", "$6$", "hk_", "setconf ", "'", "\\", "&& "]
)
def test_long_texts_take_time_in_proportion(unit: str) -> None:
    """A quadratic search would run into the time limit of the tests."""
    text = unit * (150_000 // len(unit))
    for function in (hide, redact, masked_command):
        function(text)
        function(f"setconf x {text}")


@pytest.mark.parametrize(
    "text",
    [
        URL,
        TOKEN,
        HASH,
        f"password = '{PLANTED}'",
        f"{{'api_key': '{PLANTED}'}}",
        f'{{"Authorization": "Bearer {PLANTED}"}}',
        f"my_secret_key=b'{PLANTED}'",
    ],
)
def test_a_log_that_others_read_is_masked(text: str) -> None:
    written: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            written.append(self.format(record))

    handler = Handler()
    handler.setFormatter(MaskingFormatter("%(message)s"))
    logger = logging.getLogger(f"hubkernel.test.{threading.get_ident()}")
    logger.propagate = False
    logger.addHandler(handler)
    try:
        try:
            raise ValueError(text)
        except ValueError:
            logger.exception("failed with %s", text)
    finally:
        logger.removeHandler(handler)
    (line,) = written
    assert PLANTED not in line
    assert "********" in line
    assert "Traceback" in line
