"""The opening key of an agency, an X-Wing pair that opens what was sealed to it.

X-Wing joins ML-KEM-768 with X25519: a sealed bulletin stays closed as long as one of the two holds. The pair is rebuilt
from one 32-byte seed, and its id is the hash of its public bytes.
Spec: docs/spec/sealed.md; draft-connolly-cfrg-xwing-kem sections 5.2, 5.3; FIPS 203 section 7.2; RFC 7748.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import MLKEM768X25519PrivateKey, MLKEM768X25519PublicKey

from lintas.errors import WeakKey
from lintas.strict import b64u

SEED_BYTES = 32
MLKEM_PUBLIC_BYTES = 1184
X25519_PUBLIC_BYTES = 32
PUBLIC_BYTES = MLKEM_PUBLIC_BYTES + X25519_PUBLIC_BYTES

OPENING_LIFE_S = 90 * 86_400
"""An opening key has no forward secrecy: whoever gets it opens all that was sealed to it, so it is replaced often."""

RENEW_S = 14 * 86_400
"""A client renews when less is left, so that a desk unattended for a week keeps a current key."""

_X25519_PRIME = 2**255 - 19


@dataclass(frozen=True, slots=True)
class OpeningKey:
    """An opening key held in memory. Never printed: `repr` shows the kid only."""

    seed: bytes = field(repr=False)
    public: bytes = field(repr=False)
    kid: str

    @classmethod
    def from_seed(cls, seed: bytes) -> OpeningKey:
        """Rebuild the pair of a 32-byte seed."""
        mlkem, x25519 = _private_parts(seed)
        public = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
        return cls(seed=seed, public=public, kid=kid_of(public))

    def private(self) -> MLKEM768X25519PrivateKey:
        """Return the pair as HPKE takes it."""
        return MLKEM768X25519PrivateKey(*_private_parts(self.seed))


def kid_of(public: bytes) -> str:
    """Return the id of an opening key: base64url of the SHA-256 of its public bytes."""
    return b64u(hashlib.sha256(public).digest())


def load_public(public: bytes) -> MLKEM768X25519PublicKey:
    """Return a public key as HPKE takes it; raise WeakKey for one that nothing may be sealed to.

    Refused: another length, ML-KEM coefficients that are not reduced, an X25519 point of small order (what is agreed
    with it is known to all), a coordinate written in another way than the shortest.
    """
    if len(public) != PUBLIC_BYTES:
        raise WeakKey(f"An opening key has {PUBLIC_BYTES} bytes; this has {len(public)}.", member="public")
    lattice, point = public[:MLKEM_PUBLIC_BYTES], public[MLKEM_PUBLIC_BYTES:]
    if int.from_bytes(point, "little") >= _X25519_PRIME:
        raise WeakKey("The X25519 half of this opening key is not canonical.", member="public")
    try:
        mlkem, x25519 = MLKEM768PublicKey.from_public_bytes(lattice), X25519PublicKey.from_public_bytes(point)
        # Any private key finds a point of small order: all of them lead it to zero, which is refused.
        X25519PrivateKey.from_private_bytes(bytes(X25519_PUBLIC_BYTES)).exchange(x25519)
    except ValueError as fault:
        raise WeakKey("This opening key is not sound.", member="public") from fault
    return MLKEM768X25519PublicKey(mlkem, x25519)


def _private_parts(seed: bytes) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
    if len(seed) != SEED_BYTES:
        raise ValueError("the seed of an opening key has 32 bytes")
    expanded = hashlib.shake_256(seed).digest(96)
    return MLKEM768PrivateKey.from_seed_bytes(expanded[:64]), X25519PrivateKey.from_private_bytes(expanded[64:])
