"""The keys of one party, kept in an encrypted file.

An identity file holds one signing seed (Ed25519) and the seeds of opening keys (X-Wing), encrypted with scrypt and
AES-256-GCM, beside the public facts a client needs: who it is, which hub it talks to, which log key it pinned. It is
written with mode 0600, whole or not at all. PKCS#8 is not used: ``BestAvailableEncryption`` derives its key with only
2,048 rounds of PBKDF2.
Spec: docs/spec/identity.md; RFC 7914 (scrypt).
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from lintas import ed25519
from lintas.errors import BadIdentity, IdentityLocked
from lintas.header import is_hub, is_party
from lintas.jwk import thumbprint
from lintas.opening import OpeningKey
from lintas.read_token import ID_CHARACTERS
from lintas.sealed import CONTENT_KEY_BYTES
from lintas.strict import Json, b64u, canonical, parse_object, unb64u

SCRYPT_N = 2**15
SCRYPT_R = 8
SCRYPT_P = 1
"""About 80 ms and 32 MiB for each guess."""

IDENTITY_BYTES_MAX = 16_384
SEED_BYTES = 32


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An Ed25519 key held in memory. Never printed: `repr` shows the kid only."""

    seed: bytes
    public: bytes
    kid: str

    @classmethod
    def generate(cls) -> SigningKey:
        """Make a new key from the operating system's randomness."""
        return cls.from_seed(secrets.token_bytes(SEED_BYTES))

    @classmethod
    def from_seed(cls, seed: bytes) -> SigningKey:
        """Rebuild the key of a 32-byte seed."""
        public = ed25519.public_key_of(seed)
        return cls(seed=seed, public=public, kid=thumbprint(public))

    def sign(self, data: bytes) -> bytes:
        """Return the 64-byte signature."""
        return ed25519.sign(self.seed, data)

    def __repr__(self) -> str:
        """Show which key it is, never the seed."""
        return f"SigningKey({self.kid})"


@dataclass(frozen=True, slots=True)
class Hub:
    """The hub an identity belongs to: where it is, its name (`aud`) and the log key pinned for it."""

    url: str
    name: str
    log_key: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Who signs: a party (agency id or ``admin/<name>``), its key, the key it rotates to, and its hub.

    `openings` open what is sealed to the party, oldest first: the present one, those before it, perhaps the next.
    """

    party: str
    key: SigningKey
    hub: Hub
    next_key: SigningKey | None = None
    openings: tuple[OpeningKey, ...] = ()

    def with_url(self, url: str) -> Identity:
        """Return the same identity talking to the hub at another address; name and log key stay pinned."""
        return replace(self, hub=replace(self.hub, url=url.rstrip("/")))

    def with_log_key(self, log_key: str) -> Identity:
        """Return the same identity pinning another key for the log: a person's decision, never a program's."""
        return replace(self, hub=replace(self.hub, log_key=log_key))


def save_identity(path: Path, identity: Identity, passphrase: bytes) -> None:
    """Write the identity file with mode 0600, whole or not at all (write aside, fsync, rename)."""
    write_private(path, lock_identity(identity, passphrase))


def load_identity(path: Path, passphrase: bytes) -> Identity:
    """Read an identity file; raise BadIdentity or IdentityLocked."""
    try:
        data = path.read_bytes()
    except OSError as fault:
        raise BadIdentity(f"The identity file {path} cannot be read: {fault.strerror}.") from fault
    return unlock_identity(data, passphrase)


def lock_identity(identity: Identity, passphrase: bytes) -> bytes:
    """Serialise and encrypt an identity; `unlock_identity` undoes it. The public members are authenticated."""
    salt, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
    public = _public_members(identity) | {
        "kdf": {"name": "scrypt", "n": SCRYPT_N, "r": SCRYPT_R, "p": SCRYPT_P, "salt": b64u(salt)},
        "cipher": {"name": "AES-256-GCM", "nonce": b64u(nonce)},
    }
    seeds: Json = {"signing": b64u(identity.key.seed)}
    if identity.next_key is not None:
        seeds["next"] = b64u(identity.next_key.seed)
    if identity.openings:
        seeds["opening"] = [b64u(each.seed) for each in identity.openings]
    sealed = AESGCM(_derive(passphrase, salt)).encrypt(nonce, canonical(seeds), canonical(public))
    data = json.dumps(public | {"sealed": b64u(sealed)}, indent=1).encode() + b"\n"
    if len(data) > IDENTITY_BYTES_MAX:
        # Refused before it replaces a file that opens: nobody could read it back.
        raise BadIdentity(f"An identity file of {len(data)} bytes is larger than any that is read.")
    return data


def unlock_identity(data: bytes, passphrase: bytes) -> Identity:
    """Decrypt an identity file; raise BadIdentity for its form, IdentityLocked for the passphrase."""
    if len(data) > IDENTITY_BYTES_MAX:
        raise BadIdentity
    try:
        members = parse_object(data)
        sealed = unb64u(members.pop("sealed"))
        salt, nonce = unb64u(members["kdf"]["salt"]), unb64u(members["cipher"]["nonce"])
        known = {"name": "scrypt", "n": SCRYPT_N, "r": SCRYPT_R, "p": SCRYPT_P, "salt": b64u(salt)}
        if members["v"] != 1 or members["kdf"] != known or len(nonce) != 12:  # noqa: PLR2004 - GCM nonce bytes
            raise BadIdentity
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise BadIdentity from fault
    try:
        seeds = parse_object(AESGCM(_derive(passphrase, salt)).decrypt(nonce, sealed, canonical(members)))
    except InvalidTag as fault:
        raise IdentityLocked from fault
    return _build(members, seeds)


def fresh_nonce() -> str:
    """Return 128 random bits, to be found in the answer: nobody can have prepared it."""
    return b64u(secrets.token_bytes(16))


def fresh_content_key() -> bytes:
    """Return 32 random bytes to close one content with, and never another."""
    return secrets.token_bytes(CONTENT_KEY_BYTES)


def fresh_read_token() -> tuple[str, str]:
    """Return the id of a new read token and its secret, 256 random bits."""
    token_id = base64.b32encode(secrets.token_bytes(8)).decode().lower()[:ID_CHARACTERS]
    return token_id, b64u(secrets.token_bytes(SEED_BYTES))


def fresh_opening() -> OpeningKey:
    """Make a new opening key from the operating system's randomness."""
    return OpeningKey.from_seed(secrets.token_bytes(SEED_BYTES))


def write_private(path: Path, data: bytes) -> None:
    """Write a secret file with mode 0600, whole or not at all."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def _public_members(identity: Identity) -> dict[str, Any]:
    hub = {"url": identity.hub.url, "name": identity.hub.name, "log_key": identity.hub.log_key}
    return {"v": 1, "party": identity.party, "kid": identity.key.kid, "hub": hub}


def _build(members: Mapping[str, Any], seeds: Mapping[str, Any]) -> Identity:
    # Authenticated by the passphrase, so a fault here is ours or an older version's, never an attacker's.
    hub = Hub(**members["hub"])
    if not is_party(members["party"]) or not is_hub(hub.name):
        raise BadIdentity
    key = SigningKey.from_seed(unb64u(seeds["signing"]))
    next_key = SigningKey.from_seed(unb64u(seeds["next"])) if "next" in seeds else None
    openings = tuple(OpeningKey.from_seed(unb64u(seed)) for seed in seeds.get("opening", ()))
    return Identity(party=members["party"], key=key, hub=hub, next_key=next_key, openings=openings)


def _derive(passphrase: bytes, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=32, n=SCRYPT_N, r=SCRYPT_R, p=SCRYPT_P).derive(passphrase)
