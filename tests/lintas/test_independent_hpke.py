"""Sealed content opened by another implementation, and content of theirs opened by us.

The other side is RFC 9180 written out here from hashes of the standard library over foreign primitives: ML-KEM-768 of
kyber-py, X25519 of libsodium, AES-GCM of PyCryptodome. Nothing of it is shared with what seals in `lintas.sealed`.
X-Wing itself is held against Appendix C of draft-connolly-cfrg-xwing-kem.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass

import pytest
from Crypto.Cipher import AES
from kyber_py.ml_kem import ML_KEM_768  # type: ignore[import-untyped]
from nacl.bindings import crypto_scalarmult, crypto_scalarmult_base

from lintas.opening import OpeningKey, load_public
from lintas.sealed import read_sealed, seal, unseal

LABEL = rb"\.//^" + b"\\"
HEAD = "eyJhbGciOiJFZDI1NTE5In0"
CONTENT = b'{"summary":"FICTIONAL.","title":"Interop"}'
SUITE_ID = b"HPKE" + bytes.fromhex("647a00010002")
VECTORS = [
    (
        "7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26",
        (
            "3cb1eea988004b93103cfb0aeefd2a686e01fa4a58e8a3639ca8a1e3f9ae57e2"
            "35b8cc873c23dc62b8d260169afa2f75ab916a58d974918835d25e6a435085b2"
        ),
        "d2df0522128f09dd8e2c92b1e905c793d8f57a54c3da25861f10bf4ca613e384",
        ("e2236b35a8c24b39b10aa1323a96a919", "b83aa828d4d62b9a83ceffe1d3d3bb1e"),
    ),
    (
        "badfd6dfaac359a5efbb7bcc4b59d538df9a04302e10c8bc1cbf1a0b3a5120ea",
        (
            "17cda7cfad765f5623474d368ccca8af0007cd9f5e4c849f167a580b14aabdef"
            "aee7eef47cb0fca9767be1fda69419dfb927e9df07348b196691abaeb580b32d"
        ),
        "f2e86241c64d60f6649fbc6c5b7d17180b780a3f34355e64a85749949c45f150",
        ("0333285fa253661508c9fb444852caa4", "c93beb22326705699bbc3d1d0aa6339b"),
    ),
]
"""Seed, encapsulation seed, shared secret, and how public key and ciphertext begin; draft appendix C."""


@dataclass(frozen=True)
class XWing:
    """An X-Wing pair of the other side (draft section 5)."""

    lattice: bytes
    scalar: bytes
    public: bytes

    @classmethod
    def of(cls, seed: bytes) -> XWing:
        """Expand a seed."""
        expanded = hashlib.shake_256(seed).digest(96)
        public, private = ML_KEM_768._keygen_internal(expanded[:32], expanded[32:64])
        return cls(private, expanded[64:], public + crypto_scalarmult_base(expanded[64:]))

    def decapsulate(self, sent: bytes) -> bytes:
        """Return the shared secret."""
        first = ML_KEM_768.decaps(self.lattice, sent[:1088])
        return combine(first, crypto_scalarmult(self.scalar, sent[1088:]), sent[1088:], self.public[1184:])


def encapsulate(public: bytes, randomness: bytes) -> tuple[bytes, bytes]:
    """Return a shared secret and what to send, from 64 bytes of randomness."""
    first, sent = ML_KEM_768._encaps_internal(public[:1184], randomness[:32])
    point = crypto_scalarmult_base(randomness[32:])
    second = crypto_scalarmult(randomness[32:], public[1184:])
    return combine(first, second, point, public[1184:]), sent + point


def combine(first: bytes, second: bytes, sent: bytes, public: bytes) -> bytes:
    """Combine both shared secrets."""
    return hashlib.sha3_256(first + second + sent + public + LABEL).digest()


def key_and_nonce(shared: bytes, info: bytes) -> tuple[bytes, bytes]:
    """Run the key schedule of HPKE's base mode (RFC 9180 section 5.1)."""

    def extract(salt: bytes, label: bytes, material: bytes) -> bytes:
        return hmac.digest(salt or bytes(32), b"HPKE-v1" + SUITE_ID + label + material, "sha256")

    def expand(label: bytes, size: int) -> bytes:
        message = size.to_bytes(2, "big") + b"HPKE-v1" + SUITE_ID + label + context
        return hmac.digest(secret, message + b"\1", "sha256")[:size]

    context = b"\0" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", info)
    secret = extract(shared, b"secret", b"")
    return expand(b"key", 32), expand(b"base_nonce", 12)


def bytes_of(text: str) -> bytes:
    """Decode base64url."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def text_of(data: bytes) -> str:
    """Encode base64url."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def opened_there(payload: bytes, pair: XWing, kid: str) -> bytes:
    """Open a sealed payload as docs/spec/sealed.md says, with nothing of ours."""
    members = json.loads(payload)
    wrap = bytes_of(members["to"][kid])
    key, nonce = key_and_nonce(pair.decapsulate(wrap[:1120]), b"lintas-e2e-v1\0" + HEAD.encode())
    content_key = AES.new(key, AES.MODE_GCM, nonce=nonce).decrypt_and_verify(wrap[1120:-16], wrap[-16:])
    assert bytes_of(members["kc"]) == hashlib.sha256(b"lintas-e2e-commit\0" + content_key).digest()
    ciphertext = bytes_of(members["ct"])
    cipher = AES.new(content_key, AES.MODE_GCM, nonce=bytes(12))
    cipher.update(HEAD.encode())
    return cipher.decrypt_and_verify(ciphertext[:-16], ciphertext[-16:])


def sealed_there(content: bytes, public: bytes) -> bytes:
    """Seal content to one key as docs/spec/sealed.md says, with nothing of ours."""
    content_key, size = secrets.token_bytes(32), 1024
    shared, sent = encapsulate(public, secrets.token_bytes(64))
    key, nonce = key_and_nonce(shared, b"lintas-e2e-v1\0" + HEAD.encode())
    wrapped, wrapped_tag = AES.new(key, AES.MODE_GCM, nonce=nonce).encrypt_and_digest(content_key)
    cipher = AES.new(content_key, AES.MODE_GCM, nonce=bytes(12))
    cipher.update(HEAD.encode())
    closed, tag = cipher.encrypt_and_digest(content.ljust(size))
    kid = text_of(hashlib.sha256(public).digest())
    commitment = hashlib.sha256(b"lintas-e2e-commit\0" + content_key).digest()
    members = {
        "to": {kid: text_of(sent + wrapped + wrapped_tag)},
        "kc": text_of(commitment),
        "ct": text_of(closed + tag),
    }
    return json.dumps(members).encode()


@pytest.mark.parametrize(("seed", "randomness", "shared", "starts"), VECTORS)
def test_other_side_is_x_wing(seed: str, randomness: str, shared: str, starts: tuple[str, str]) -> None:
    """The other implementation gives the vectors of the draft, in both directions."""
    pair = XWing.of(bytes.fromhex(seed))
    secret, sent = encapsulate(pair.public, bytes.fromhex(randomness))

    assert (shared, shared) == (secret.hex(), pair.decapsulate(sent).hex())
    assert starts == (pair.public.hex()[:32], sent.hex()[:32])


@pytest.mark.parametrize("seed", [vector[0] for vector in VECTORS])
def test_same_key_of_same_seed(seed: str) -> None:
    """A seed is the same public key on both sides."""
    ours, theirs = OpeningKey.from_seed(bytes.fromhex(seed)), XWing.of(bytes.fromhex(seed))

    assert theirs.public == ours.public
    assert ours.kid == text_of(hashlib.sha256(theirs.public).digest())


def test_ours_opened_there() -> None:
    """What we seal, the other implementation opens; behind the content stand spaces."""
    seeds = [secrets.token_bytes(32) for _ in range(3)]
    keys = [OpeningKey.from_seed(seed) for seed in seeds]
    payload = seal(CONTENT, head=HEAD, to={key.kid: key.public for key in keys}, content_key=secrets.token_bytes(32))

    opened = [opened_there(payload, XWing.of(seed), key.kid) for seed, key in zip(seeds, keys, strict=True)]

    assert [CONTENT.ljust(1024)] * 3 == opened


def test_theirs_opened_here() -> None:
    """What the other implementation seals, we open."""
    key = OpeningKey.from_seed(secrets.token_bytes(32))

    opened = unseal(read_sealed(sealed_there(CONTENT, key.public)), head=HEAD, keys=[key])

    assert CONTENT == opened.rstrip()


def test_their_key_is_sound() -> None:
    """A public key of the other implementation passes our enrolment check, whatever its seed."""
    keys = [XWing.of(secrets.token_bytes(32)).public for _ in range(8)]

    assert 8 == len([load_public(key) for key in keys])
