from __future__ import annotations

import stat

import asyncssh
import pytest

from hubkernel.hub.commands import BadArgumentsError, ConflictError, UnknownNameError
from hubkernel.hub.home import HubHome
from hubkernel.hub.keys import KeyStore


def public_key(comment: str = "me@here", kind: str = "ssh-ed25519") -> tuple[str, str]:
    key = asyncssh.generate_private_key(kind, comment=comment)
    return key.export_public_key().decode(), key.get_fingerprint()


@pytest.fixture
def keys(home: HubHome) -> KeyStore:
    return KeyStore(home)


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256"])
def test_a_key_is_listed_as_ssh_keygen_shows_it(keys: KeyStore, kind: str) -> None:
    text, fingerprint = public_key(kind=kind)
    expected = {"user": "ann", "role": "viewer", "type": kind, "fingerprint": fingerprint, "comment": "me@here"}
    assert keys.add("ann", text, "viewer") == expected
    assert keys.listed() == keys.listed("ann") == [expected]
    assert keys.listed("bob") == []


def test_ssh_reads_what_is_written(keys: KeyStore) -> None:
    (first, _), (second, _) = public_key(), public_key("other key, of mine")
    keys.add("ann", first, "developer")
    keys.add("ann", second)
    file = keys.folder / "ann.pub"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    found = asyncssh.read_authorized_keys(str(file))
    for text, role in ((first, "developer"), (second, "operator")):
        options = found.validate(asyncssh.import_public_key(text), "host", "127.0.0.1")
        assert options is not None
        assert options["environment"] == {"HUB_ROLE": role}


def test_lines_of_others_are_kept_and_understood(keys: KeyStore) -> None:
    keys.folder.mkdir()
    (mine, fingerprint), (second, other) = public_key(), public_key()
    limited = f'from="10.0.0.*",environment="HUB_ROLE=viewer" {mine.strip()}'
    (keys.folder / "ann.pub").write_text(f"# my keys\n{limited}\n")
    keys.add("ann", second, "operator")
    assert [(key["role"], key["fingerprint"]) for key in keys.listed("ann")] == [
        ("viewer", fingerprint),
        ("operator", other),
    ]
    keys.revoke("ann", other)
    assert (keys.folder / "ann.pub").read_text() == f"# my keys\n{limited}\n"


def test_keys_are_revoked_one_by_one_or_all(keys: KeyStore) -> None:
    (first, one), (second, two) = public_key(), public_key()
    keys.add("ann", first)
    keys.add("ann", second)
    with pytest.raises(UnknownNameError, match=r"ann has no key 'SHA256:x'; there is SHA256:"):
        keys.revoke("ann", "SHA256:x")
    assert [key["fingerprint"] for key in keys.revoke("ann", one)] == [one]
    assert [key["fingerprint"] for key in keys.revoke("ann")] == [two]
    assert keys.users() == []
    with pytest.raises(UnknownNameError, match="'ann' has no keys"):
        keys.revoke("ann")


def test_the_same_key_twice(keys: KeyStore) -> None:
    text, _ = public_key()
    keys.add("ann", text)
    with pytest.raises(ConflictError, match=r"ann has the key SHA256:.* already"):
        keys.add("ann", text, "developer")


PRIVATE = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
GOOD = public_key()[0]


@pytest.mark.parametrize(
    ("user", "key", "role", "says"),
    [
        ("../ann", GOOD, "viewer", "is not a name"),
        ("ann", "hello", "viewer", "this is no public key"),
        ("ann", PRIVATE, "viewer", "this is a private key"),
        ("ann", f'command="sh" {GOOD}', "viewer", "this is no public key"),
        ("ann", f"{GOOD}\n{GOOD}", "viewer", "this is no public key"),
        ("ann", "ssh-ed25519 AAAA", "viewer", "is damaged"),
        ("ann", GOOD.replace("ssh-ed25519", "ssh-rsa", 1), "viewer", "is damaged"),
        ("ann", GOOD, "root", "no role 'root'"),
    ],
    ids=["user", "text", "private", "options", "two lines", "cut", "other type", "role"],
)
def test_what_is_no_key_is_refused(keys: KeyStore, user: str, key: str, role: str, says: str) -> None:
    with pytest.raises(BadArgumentsError, match=says):
        keys.add(user, key, role)
    assert not keys.folder.exists()
