"""Ed25519 with the two rules that make all verifiers agree.

OpenSSL and libsodium differ on signatures made with crooked keys. With both rules, a key is checked once at enrolment
and a signature whose R is the identity is refused, they accept exactly the same signatures. So the faster one is used
where it is installed: libsodium, by the extra ``lintas[fast]``. Signing is here for callers that hold a seed; it has
one outcome (RFC 8032), so it may change between the two as well. Where a seed is kept is not this module's concern.
Spec: docs/spec/line.md; RFC 8032 section 5.1.
"""

from __future__ import annotations

from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from lintas.errors import WeakKey

try:
    from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
    from nacl.exceptions import BadSignatureError
except ImportError:
    HAS_LIBSODIUM = False
else:
    HAS_LIBSODIUM = True

KEY_BYTES = 32
SIGNATURE_BYTES = 64

IDENTITY = b"\x01" + bytes(31)
"""The encoding of the neutral element. An R spelt in any other way for it never equals what a verifier computes."""

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_SQRT_OF_MINUS_ONE = pow(2, (_P - 1) // 4, _P)

_Point = tuple[int, int, int, int]
"""Extended coordinates (X, Y, Z, T): x = X/Z, y = Y/Z, x*y = T/Z."""

_NEUTRAL: _Point = (0, 1, 1, 0)


def verify(key: bytes, signature: bytes, data: bytes) -> bool:
    """Tell whether this is the signature of `data` under a key that `check_public_key` accepted. About 60 or 100 us."""
    if signature.startswith(IDENTITY):
        return False
    if HAS_LIBSODIUM:
        return is_good_to_libsodium(key, signature, data)
    return is_good_to_openssl(key, signature, data)


def is_good_to_libsodium(key: bytes, signature: bytes, data: bytes) -> bool:
    """Ask libsodium, which must be there."""
    # The library reads as many bytes as these have, whatever it is given.
    if len(key) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        crypto_sign_open(signature + data, key)
    except BadSignatureError:
        return False
    return True


def is_good_to_openssl(key: bytes, signature: bytes, data: bytes) -> bool:
    """Ask OpenSSL, which takes an R that is the identity."""
    try:
        _load(key).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


def sign(seed: bytes, data: bytes) -> bytes:
    """Return the 64-byte signature of `data` by the key of a 32-byte seed: one whichever library makes it."""
    if HAS_LIBSODIUM:
        _, secret = crypto_sign_seed_keypair(seed)
        return crypto_sign(data, secret)[:SIGNATURE_BYTES]
    return Ed25519PrivateKey.from_private_bytes(seed).sign(data)


def public_key_of(seed: bytes) -> bytes:
    """Return the 32-byte public key of a 32-byte seed."""
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


@lru_cache(maxsize=4096)
def check_public_key(key: bytes) -> None:
    """Raise WeakKey unless these bytes are the one encoding of a point of prime order. About 2 ms.

    Good keys are remembered: each replay of the directory meets the same ones again.
    """
    if len(key) != KEY_BYTES:
        raise WeakKey(f"A public key is {KEY_BYTES} bytes long.")
    point = _decode(key)
    if point is None:
        raise WeakKey("The public key is not the canonical encoding of a point on the curve.")
    if _is_neutral(point):
        raise WeakKey("The public key is the neutral element.")
    # The curve has 8L points and L is an odd prime: what L takes to the neutral element has order L, nothing else has.
    if not _is_neutral(_multiply(_L, point)):
        raise WeakKey("The public key is of small or mixed order.")


@lru_cache(maxsize=4096)
def _load(key: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(key)


def _decode(key: bytes) -> _Point | None:
    """Decode as RFC 8032 5.1.3 does: y below p, and no sign on x = 0; None for any other spelling."""
    number = int.from_bytes(key, "little")
    sign, y = number >> 255, number & (1 << 255) - 1
    if y >= _P:
        return None
    x = _square_root((y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P)
    if x is None or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = _P - x
    return x, y, 1, x * y % _P


def _square_root(square: int) -> int | None:
    root = pow(square, (_P + 3) // 8, _P)
    if (root * root - square) % _P:
        root = root * _SQRT_OF_MINUS_ONE % _P
    return root if (root * root - square) % _P == 0 else None


def _add(first: _Point, second: _Point) -> _Point:
    """Add two points, equal or not: the formulas are complete on this curve (RFC 8032 5.1.4)."""
    x1, y1, z1, t1 = first
    x2, y2, z2, t2 = second
    a = (y1 - x1) * (y2 - x2) % _P
    b = (y1 + x1) * (y2 + x2) % _P
    c = 2 * t1 * t2 * _D % _P
    d = 2 * z1 * z2 % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _multiply(scalar: int, point: _Point) -> _Point:
    product = _NEUTRAL
    while scalar:
        if scalar & 1:
            product = _add(product, point)
        point = _add(point, point)
        scalar >>= 1
    return product


def _is_neutral(point: _Point) -> bool:
    x, y, z, _ = point
    return x % _P == 0 and (y - z) % _P == 0
