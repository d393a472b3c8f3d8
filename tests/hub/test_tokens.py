from __future__ import annotations

import hashlib
import hmac
import json
import stat

import pytest

from hubkernel.hub.commands import BadArgumentsError, ConflictError, Role, UnknownNameError
from hubkernel.hub.home import HubHome
from hubkernel.hub.tokens import DAY, TokenFileError, TokenInfo, TokenStore


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(home: HubHome, clock: Clock) -> TokenStore:
    return TokenStore(home, clock=clock)


def test_a_token_says_whose_it_is(tokens: TokenStore) -> None:
    token = tokens.create("ci", "operator")
    assert token.startswith("hk_") and len(token) == 46
    assert tokens.check(token) == TokenInfo("ci", Role.operator, 1_000_000.0, None)
    for wrong in ("", "hk_", token[:-1], token + "x", token.upper(), "\udcff"):
        assert tokens.check(wrong) is None


def test_only_a_hash_is_stored_for_the_owner_alone(tokens: TokenStore) -> None:
    token = tokens.create("ci")
    assert stat.S_IMODE(tokens.file.stat().st_mode) == 0o600
    text = tokens.file.read_text()
    assert token not in text and token[3:] not in text
    assert hashlib.sha256(token.encode()).hexdigest() in text
    assert [file.name for file in tokens.file.parent.iterdir() if "part" in file.name] == []


def test_a_name_is_given_once(tokens: TokenStore) -> None:
    token = tokens.create("ci")
    with pytest.raises(ConflictError, match="there is a token 'ci' already"):
        tokens.create("ci", "developer")
    assert tokens.check(token).role is Role.viewer  # type: ignore[union-attr]


def test_an_expired_token_is_void_and_its_name_free(tokens: TokenStore, clock: Clock) -> None:
    token = tokens.create("ci", days=1)
    clock.now += DAY - 1
    assert tokens.check(token) is not None
    clock.now += 1
    assert tokens.check(token) is None
    assert [(entry["expired"], entry["expires"]) for entry in tokens.list()] == [(True, "1970-01-13T13:46:40+00:00")]
    assert tokens.check(tokens.create("ci")) is not None


def test_rotation_keeps_name_and_role(tokens: TokenStore) -> None:
    old = tokens.create("ci", "operator")
    new = tokens.rotate("ci", days=7)
    assert tokens.check(old) is None
    assert tokens.check(new) == TokenInfo("ci", Role.operator, 1_000_000.0, 1_000_000.0 + 7 * DAY)


def test_revocation_is_seen_by_who_has_the_store_open(tokens: TokenStore, home: HubHome) -> None:
    token, other = tokens.create("ci"), tokens.create("me")
    elsewhere = TokenStore(home.root, clock=Clock())
    assert elsewhere.check(token) is not None
    tokens.revoke("ci")
    assert elsewhere.check(token) is None
    assert elsewhere.check(other) is not None
    assert [entry["name"] for entry in elsewhere.list()] == ["me"]
    with pytest.raises(UnknownNameError, match="no token 'mee'; did you mean 'me'"):
        tokens.revoke("mee")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"name": "../x"}, "is not a name"),
        ({"name": ""}, "is not a name"),
        ({"name": "ci", "role": "operater"}, "no role 'operater'; did you mean 'operator'"),
        ({"name": "ci", "days": 0}, "days is 0"),
        ({"name": "ci", "days": float("nan")}, "days is nan"),
    ],
)
def test_bad_arguments_make_no_token(tokens: TokenStore, arguments: dict[str, object], says: str) -> None:
    with pytest.raises(BadArgumentsError, match=says):
        tokens.create(**arguments)  # type: ignore[arg-type]
    assert not tokens.file.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"tokens": [{"name": "x"}]}'])
def test_a_damaged_file_lets_nobody_in(tokens: TokenStore, text: str, caplog: pytest.LogCaptureFixture) -> None:
    token = tokens.create("ci")
    tokens.file.write_text(text)
    assert tokens.check(token) is None
    assert "is damaged" in caplog.text
    with pytest.raises(TokenFileError, match="restore it, or remove it"):
        tokens.create("other")
    assert tokens.file.read_text() == text


def test_all_hashes_are_compared_in_constant_time(tokens: TokenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [tokens.create(name) for name in ("a", "b", "c")]
    compared: list[str] = []
    original = hmac.compare_digest

    def compare(left: str, right: str) -> bool:
        compared.append(right)
        return original(left, right)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    for token in (*made, "wrong"):
        compared.clear()
        tokens.check(token)
        assert len(compared) == 3
    assert {len(given) for given in compared} == {64}


def test_a_write_that_fails_changes_nothing(tokens: TokenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    token = tokens.create("ci")
    before = json.loads(tokens.file.read_text())

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        tokens.create("other")
    assert json.loads(tokens.file.read_text()) == before
    assert tokens.check(token) is not None
    assert [file.name for file in tokens.file.parent.iterdir() if ".part" in file.name] == []
