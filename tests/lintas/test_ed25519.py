"""Tests of Ed25519: vectors of others, agreement with libsodium, keys that are refused."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import crypto_core_ed25519_is_valid_point
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from lintas import ed25519
from lintas.errors import WeakKey

VECTORS = Path(__file__).resolve().parents[2] / "../shared/data/vectors/wycheproof_ed25519_test.json"
SEED = bytes(range(32))
PUBLIC = ed25519.public_key_of(SEED)
P, L = 2**255 - 19, ed25519._L


def encode(point: tuple[int, int, int, int]) -> bytes:
    """Write a point as RFC 8032 5.1.2 does."""
    inverse = pow(point[2], -1, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def decode(key: bytes) -> tuple[int, int, int, int]:
    """Read a point that is known to be one."""
    point = ed25519._decode(key)
    assert point is not None
    return point


def torsion() -> list[bytes]:
    """Return the eight points whose order divides eight, the neutral element last."""
    # y = 3 is on the curve with a part of order eight; L takes away the rest.
    generator = ed25519._multiply(L, decode((3).to_bytes(32, "little")))
    return [encode(ed25519._multiply(times, generator)) for times in range(1, 9)]


def wycheproof() -> list[Any]:
    """Return (id, key, signature, data, expected) of each vector."""
    if not VECTORS.exists():
        return [pytest.param("", "", "", "", marks=pytest.mark.skip("the Wycheproof vectors are absent"))]
    groups = json.loads(VECTORS.read_text())["testGroups"]
    return [
        pytest.param(group["publicKey"]["pk"], each["sig"], each["msg"], each["result"], id=str(each["tcId"]))
        for group in groups
        for each in group["tests"]
    ]


def libsodium_accepts(key: bytes, signature: bytes, data: bytes) -> bool:
    """Ask the other implementation."""
    try:
        VerifyKey(key).verify(data, signature)
    except (BadSignatureError, ValueError):
        return False
    return True


@pytest.fixture(params=[True, False], ids=["libsodium", "OpenSSL"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify by the one library, then by the other."""
    monkeypatch.setattr(ed25519, "HAS_LIBSODIUM", request.param)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(("key", "signature", "data", "expected"), wycheproof())
def test_vector(key: str, signature: str, data: str, expected: str) -> None:
    """Each Wycheproof vector is decided as it says."""
    found = ed25519.verify(bytes.fromhex(key), bytes.fromhex(signature), bytes.fromhex(data))

    assert found == (expected == "valid")


def test_vectors_are_all_there() -> None:
    """The vector file has the 151 vectors, 88 of them valid, that it had when it was taken."""
    if not VECTORS.exists():
        pytest.skip("the Wycheproof vectors are absent")

    results = [each["result"] for group in json.loads(VECTORS.read_text())["testGroups"] for each in group["tests"]]

    assert (len(results), results.count("valid")) == (151, 88)


@pytest.mark.usefixtures("library")
def test_sign_and_verify() -> None:
    """What a seed signs verifies under its public key, and only the same data does."""
    signature = ed25519.sign(SEED, b"data")

    assert ed25519.verify(PUBLIC, signature, b"data")
    assert not ed25519.verify(PUBLIC, signature, b"Data")


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_verify_under_key_of_wrong_length(length: int) -> None:
    """A key that is not 32 bytes long verifies nothing and raises nothing."""
    assert not ed25519.verify(bytes(length), ed25519.sign(SEED, b"data"), b"data")


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("length", [0, 63, 65])
def test_verify_signature_of_wrong_length(length: int) -> None:
    """A signature that is cut or extended is refused."""
    signature = (ed25519.sign(SEED, b"data") + b"\0")[:length]

    assert not ed25519.verify(PUBLIC, signature, b"data")


@pytest.mark.usefixtures("library")
def test_verify_refuses_s_plus_order() -> None:
    """S + L, the same scalar spelt otherwise, is refused."""
    signature = ed25519.sign(SEED, b"data")
    scalar = int.from_bytes(signature[32:], "little") + L
    respelt = signature[:32] + scalar.to_bytes(32, "little")

    assert not ed25519.verify(PUBLIC, respelt, b"data")


def signed_with(r: bytes, data: bytes) -> bytes:
    """Return a signature with this R and the S that is right if R adds nothing to what the key and S make."""
    digest = bytearray(hashlib.sha512(SEED).digest()[:32])
    digest[0] &= 248
    digest[31] = digest[31] & 63 | 64
    challenge = hashlib.sha512(r + PUBLIC + data).digest()
    scalar = int.from_bytes(challenge, "little") * int.from_bytes(digest, "little") % L
    return r + scalar.to_bytes(32, "little")


@pytest.mark.usefixtures("library")
def test_verify_refuses_identity_r() -> None:
    """A signature whose R is the identity is refused as libsodium does, though OpenSSL takes it."""
    signature = signed_with(ed25519.IDENTITY, b"data")

    Ed25519PublicKey.from_public_bytes(PUBLIC).verify(signature, b"data")

    assert not ed25519.verify(PUBLIC, signature, b"data")
    assert not libsodium_accepts(PUBLIC, signature, b"data")


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize("number", range(9))
def test_verify_refuses_r_of_small_order(number: int, sign: int) -> None:
    """An R of order one to eight, or the identity spelt with y = p + 1, with either sign, is refused."""
    spelt = [*torsion(), (P + 1).to_bytes(32, "little")][number]
    r = (int.from_bytes(spelt, "little") & (1 << 255) - 1 | sign << 255).to_bytes(32, "little")

    assert not ed25519.verify(PUBLIC, signed_with(r, b"data"), b"data")


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("number", range(7))
def test_verify_refuses_r_with_small_order_part(number: int) -> None:
    """A sound R plus a point of small order is refused: no verifier here multiplies by the cofactor."""
    genuine = ed25519.sign(SEED, b"data")
    crooked = encode(ed25519._add(decode(genuine[:32]), decode(torsion()[number])))

    assert not ed25519.verify(PUBLIC, crooked + genuine[32:], b"data")


def test_without_libsodium(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where libsodium is not installed, the same signatures are checked by OpenSSL."""
    monkeypatch.setitem(sys.modules, "nacl.bindings", None)
    spec = importlib.util.spec_from_file_location("without_libsodium", ed25519.__file__)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)

    verdicts = [found.verify(PUBLIC, ed25519.sign(SEED, b"data"), data) for data in (b"data", b"Data")]

    assert (False, [True, False]) == (found.HAS_LIBSODIUM, verdicts)


@given(seed=st.binary(min_size=32, max_size=32), data=st.binary(max_size=64), place=st.integers(0, 511))
def test_libraries_agree(seed: bytes, data: bytes, place: int) -> None:
    """A genuine signature and one with any bit flipped are decided by both libraries alike."""
    key, genuine = ed25519.public_key_of(seed), ed25519.sign(seed, data)
    flipped = (int.from_bytes(genuine, "little") ^ 1 << place).to_bytes(64, "little")

    for signature in (genuine, flipped):
        found = [check(key, signature, data) for check in (ed25519.is_good_to_openssl, ed25519.is_good_to_libsodium)]
        assert [libsodium_accepts(key, signature, data)] * 2 == found


@given(seed=st.binary(min_size=32, max_size=32), data=st.binary(max_size=64))
def test_libraries_sign_alike(seed: bytes, data: bytes) -> None:
    """A seed makes the same signature of the same data by either library."""
    with pytest.MonkeyPatch.context() as patch:
        found = []
        for has_libsodium in (True, False):
            patch.setattr(ed25519, "HAS_LIBSODIUM", has_libsodium)
            found.append(ed25519.sign(seed, data))

    assert found[0] == found[1]


@given(y=st.integers(0, 2**255 - 1), sign=st.integers(0, 1))
def test_check_public_key_agrees_with_libsodium(y: int, sign: int) -> None:
    """Any 32 bytes are taken for a key exactly when libsodium takes them for a point of the prime group."""
    key = (y | sign << 255).to_bytes(32, "little")

    assert is_sound(key) == crypto_core_ed25519_is_valid_point(key)


@given(seed=st.binary(min_size=32, max_size=32))
def test_check_public_key_takes_genuine_keys(seed: bytes) -> None:
    """The key of every seed is sound."""
    ed25519.check_public_key(ed25519.public_key_of(seed))


def test_torsion_is_of_eight_points() -> None:
    """The small-order keys of the next tests are all eight there are."""
    assert len(set(torsion())) == 8
    assert torsion()[-1] == ed25519.IDENTITY


@pytest.mark.parametrize("number", range(7))
def test_check_public_key_refuses_small_order(number: int) -> None:
    """A key of order two, four or eight is refused."""
    with pytest.raises(WeakKey, match="small or mixed order"):
        ed25519.check_public_key(torsion()[number])


def test_check_public_key_refuses_neutral_element() -> None:
    """The neutral element is refused, although L times it is neutral as for a sound key."""
    with pytest.raises(WeakKey, match="neutral element"):
        ed25519.check_public_key(ed25519.IDENTITY)


@pytest.mark.parametrize("number", range(7))
def test_check_public_key_refuses_mixed_order(number: int) -> None:
    """A sound key plus a point of small order is refused."""
    crooked = encode(ed25519._add(decode(PUBLIC), decode(torsion()[number])))

    with pytest.raises(WeakKey, match="small or mixed order"):
        ed25519.check_public_key(crooked)


@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize("y", range(P, 2**255))
def test_check_public_key_refuses_y_above_p(y: int, sign: int) -> None:
    """No y from p upward is canonical, with either sign."""
    with pytest.raises(WeakKey, match="not the canonical encoding"):
        ed25519.check_public_key((y | sign << 255).to_bytes(32, "little"))


@pytest.mark.parametrize("y", [1, P - 1])
def test_check_public_key_refuses_sign_on_zero(y: int) -> None:
    """The two points with x = 0 have no sign."""
    with pytest.raises(WeakKey, match="not the canonical encoding"):
        ed25519.check_public_key((y | 1 << 255).to_bytes(32, "little"))


def test_check_public_key_refuses_bytes_off_the_curve() -> None:
    """A y that no point of the curve has is refused."""
    with pytest.raises(WeakKey, match="not the canonical encoding"):
        ed25519.check_public_key((2).to_bytes(32, "little"))


@pytest.mark.parametrize("key", [b"", PUBLIC[:31], PUBLIC + b"\0"])
def test_check_public_key_refuses_wrong_length(key: bytes) -> None:
    """A key is 32 bytes long."""
    with pytest.raises(WeakKey, match="32 bytes"):
        ed25519.check_public_key(key)


def is_sound(key: bytes) -> bool:
    """Tell whether a key passes the check."""
    try:
        ed25519.check_public_key(key)
    except WeakKey:
        return False
    return True
