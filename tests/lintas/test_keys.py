"""Tests of signing keys and of the encrypted file that keeps one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from lintas.errors import BadIdentity, IdentityLocked, MalformedPayload, WeakKey
from lintas.jwk import jwk, public_of_jwk, thumbprint
from lintas.keys import (
    IDENTITY_BYTES_MAX,
    Hub,
    Identity,
    SigningKey,
    fresh_content_key,
    fresh_opening,
    load_identity,
    lock_identity,
    save_identity,
    unlock_identity,
    write_private,
)
from lintas.opening import OpeningKey
from lintas.strict import b64u

HUB = Hub(
    url="http://127.0.0.1:8700", name="lintas.example-k3v9q2xa", log_key="lintas.example-k3v9q2xa/log/1+00000000+A"
)
KEY = SigningKey.from_seed(bytes(range(32)))
NEXT = SigningKey.from_seed(bytes(32))
OPENINGS = tuple(OpeningKey.from_seed(bytes([number]) * 32) for number in (1, 2))
IDENTITY = Identity(party="my-police", key=KEY, hub=HUB, next_key=NEXT, openings=OPENINGS)
PASSPHRASE = b"correct horse"


@pytest.fixture(scope="module")
def locked() -> bytes:
    """An identity file."""
    return lock_identity(IDENTITY, PASSPHRASE)


def edited(data: bytes, *path: str, value: Any) -> bytes:
    """Return an identity file with one member changed."""
    members = json.loads(data)
    place = members
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return json.dumps(members).encode()


def test_thumbprint_of_the_rfc() -> None:
    """The key of RFC 8037 appendix A.2 has the thumbprint of appendix A.3."""
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")

    assert "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k" == SigningKey.from_seed(seed).kid


def test_jwk_round_trip() -> None:
    """A public key comes back from its JWK."""
    assert KEY.public == public_of_jwk(jwk(KEY.public))


BAD_JWKS: dict[str, Any] = {
    "not an object": "x",
    "list of names": ["crv", "kty", "x"],
    "member missing": {"kty": "OKP", "crv": "Ed25519"},
    "private": {**jwk(KEY.public), "d": b64u(KEY.seed)},
    "other curve": {**jwk(KEY.public), "crv": "X25519"},
    "other type": {**jwk(KEY.public), "kty": "EC"},
    "number": {**jwk(KEY.public), "x": 7},
    "padded": {**jwk(KEY.public), "x": b64u(KEY.public) + "="},
    "short": {**jwk(KEY.public), "x": b64u(KEY.public[:31])},
    "long": {**jwk(KEY.public), "x": b64u(KEY.public + b"\0")},
}


@pytest.mark.parametrize("value", BAD_JWKS.values(), ids=BAD_JWKS)
def test_jwk_is_strict(value: Any) -> None:
    """A public key has one form; a private part is no part of it."""
    with pytest.raises(MalformedPayload):
        public_of_jwk(value)


def test_jwk_of_a_weak_key() -> None:
    """A key of small order is refused."""
    with pytest.raises(WeakKey):
        public_of_jwk(jwk(bytes(32)))


def test_generated_keys_differ() -> None:
    """Every new key is another one, and its kid follows from its public part."""
    first, second = SigningKey.generate(), SigningKey.generate()

    assert first.seed != second.seed
    assert thumbprint(first.public) == first.kid


def test_secret_is_never_shown() -> None:
    """Neither a key nor an identity shows its seed when printed."""
    shown = f"{KEY!r} {IDENTITY!r} {KEY} {IDENTITY}"

    assert KEY.kid in shown
    seeds = (KEY.seed, *(each.seed for each in OPENINGS))
    assert [] == [form for seed in seeds for form in (repr(seed), seed.hex(), b64u(seed), "seed") if form in shown]


def test_identity_round_trip(locked: bytes) -> None:
    """An identity comes back from its file, next key and opening keys included, oldest first."""
    assert unlock_identity(locked, PASSPHRASE) == IDENTITY


def test_identity_without_next_key() -> None:
    """An identity that is not rotating has no next key; one made before there was sealing opens nothing."""
    alone = Identity(party="admin/registrar", key=KEY, hub=HUB)

    assert alone == unlock_identity(lock_identity(alone, PASSPHRASE), PASSPHRASE)


def test_file_holds_no_seed(locked: bytes) -> None:
    """No seed stands in the file in the clear."""
    seeds = [KEY.seed, NEXT.seed, *(each.seed for each in OPENINGS)]

    assert [] == [seed for seed in seeds if b64u(seed).encode() in locked]


def test_identity_too_large_to_be_read() -> None:
    """What could not be read back is not written."""
    crowd = tuple(OpeningKey.from_seed(number.to_bytes(32, "big")) for number in range(300))

    with pytest.raises(BadIdentity):
        lock_identity(Identity(party="my-police", key=KEY, hub=HUB, openings=crowd), PASSPHRASE)


def test_fresh_keys_differ() -> None:
    """No opening key and no content key is ever made twice."""
    assert fresh_opening().kid != fresh_opening().kid
    assert (32, False) == (len(fresh_content_key()), fresh_content_key() == fresh_content_key())


def test_same_identity_is_sealed_anew(locked: bytes) -> None:
    """Salt and nonce are fresh each time."""
    other = json.loads(lock_identity(IDENTITY, PASSPHRASE))
    first = json.loads(locked)

    assert first["kdf"]["salt"] != other["kdf"]["salt"]
    assert first["cipher"]["nonce"] != other["cipher"]["nonce"]


def test_wrong_passphrase(locked: bytes) -> None:
    """Another passphrase does not open it."""
    with pytest.raises(IdentityLocked):
        unlock_identity(locked, b"correct horsf")


TAMPERED: dict[str, tuple[tuple[str, ...], Any]] = {
    "party": (("party",), "sg-fiu"),
    "kid": (("kid",), NEXT.kid),
    "url": (("hub", "url"), "http://attacker.example"),
    "hub": (("hub", "name"), "lintas.example-aaaaaaaa"),
    "log key": (("hub", "log_key"), "attacker"),
    "salt": (("kdf", "salt"), b64u(bytes(16))),
    "nonce": (("cipher", "nonce"), b64u(bytes(12))),
    "cipher": (("cipher", "name"), "none"),
    "sealed": (("sealed",), b64u(bytes(60))),
    "more": (("note",), "x"),
}


@pytest.mark.parametrize(("path", "value"), TAMPERED.values(), ids=TAMPERED)
def test_public_members_are_authenticated(locked: bytes, path: tuple[str, ...], value: Any) -> None:
    """Nothing in the file can be changed by one who has not the passphrase, the pinned log key least of all."""
    with pytest.raises(IdentityLocked):
        unlock_identity(edited(locked, *path, value=value), PASSPHRASE)


MALFORMED: dict[str, tuple[tuple[str, ...], Any]] = {
    "version": (("v",), 2),
    "cheap kdf": (("kdf", "n"), 2),
    "dear kdf": (("kdf", "n"), 2**40),
    "other kdf": (("kdf", "name"), "pbkdf2"),
    "long nonce": (("cipher", "nonce"), b64u(bytes(13))),
    "padded salt": (("kdf", "salt"), "AA=="),
    "sealed number": (("sealed",), 7),
    "no kdf": (("kdf",), None),
}


@pytest.mark.parametrize(("path", "value"), MALFORMED.values(), ids=MALFORMED)
def test_other_form(locked: bytes, path: tuple[str, ...], value: Any) -> None:
    """A file of another form or cost is refused before the passphrase is tried."""
    with pytest.raises(BadIdentity):
        unlock_identity(edited(locked, *path, value=value), PASSPHRASE)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b'{"sealed":"AA"}', b" " * (IDENTITY_BYTES_MAX + 1)])
def test_no_identity_file(data: bytes) -> None:
    """Whatever is no identity file is called so."""
    with pytest.raises(BadIdentity):
        unlock_identity(data, PASSPHRASE)


@pytest.mark.parametrize(
    "identity",
    [Identity("nobody", KEY, HUB), Identity("my-police", KEY, Hub("", "lintas.example", ""))],
    ids=["party", "hub"],
)
def test_sealed_nonsense(identity: Identity) -> None:
    """Authentic members are still read for their shape."""
    with pytest.raises(BadIdentity):
        unlock_identity(lock_identity(identity, PASSPHRASE), PASSPHRASE)


def test_size_is_bounded(locked: bytes) -> None:
    """A file of the largest size is read, one of a byte more is not."""
    room = b" " * (IDENTITY_BYTES_MAX - len(locked))

    assert IDENTITY == unlock_identity(locked + room, PASSPHRASE)
    with pytest.raises(BadIdentity):
        unlock_identity(locked + room + b" ", PASSPHRASE)


def test_saved_identity_is_private(tmp_path: Path) -> None:
    """The file on disk is readable by its owner alone, even under a lax umask."""
    path = tmp_path / "my-police.json"
    before = os.umask(0)
    try:
        save_identity(path, IDENTITY, PASSPHRASE)
    finally:
        os.umask(before)

    assert (0o600, IDENTITY) == (path.stat().st_mode & 0o777, load_identity(path, PASSPHRASE))


def test_saved_over_another(tmp_path: Path) -> None:
    """A file is replaced whole, and its mode with it; nothing else is left beside it."""
    path = tmp_path / "secret"
    path.write_bytes(b"old")
    path.chmod(0o644)

    write_private(path, b"new")

    assert (b"new", 0o600, [path]) == (path.read_bytes(), path.stat().st_mode & 0o777, list(tmp_path.iterdir()))


def test_failed_write_leaves_nothing(tmp_path: Path) -> None:
    """When the file cannot be put in place, nothing of the secret stays on disk."""
    path = tmp_path / "taken"
    path.mkdir()

    with pytest.raises(OSError, match="taken"):
        write_private(path, b"secret")

    assert [path] == list(tmp_path.iterdir())


def test_absent_file(tmp_path: Path) -> None:
    """A file that is not there is named."""
    with pytest.raises(BadIdentity, match=r"absent\.json"):
        load_identity(tmp_path / "absent.json", PASSPHRASE)


def test_address_may_change_but_not_the_pin() -> None:
    """Another address leaves name and log key as they were pinned."""
    moved = IDENTITY.with_url("https://hub.example/")

    assert Hub("https://hub.example", HUB.name, HUB.log_key) == moved.hub
