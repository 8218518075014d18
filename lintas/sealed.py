"""The sealed payload, content that only the agencies named in the header can open.

Hybrid encryption: one fresh content key closes the content, HPKE wraps that key to the opening key of each recipient.
The outer header is bound into both, so content cannot be moved under another header; a commitment to the content key
keeps a dishonest sender from giving one recipient other content than the next.
Deterministic but for `seal`: HPKE draws a fresh encapsulation for each recipient, and the caller a fresh content key.
Spec: docs/spec/sealed.md; RFC 9180 (HPKE), draft-connolly-cfrg-xwing-kem, NIST SP 800-38D (GCM).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from lintas.bulletin import Bulletin, is_partial_recall
from lintas.errors import MalformedPayload, SealedToOldKey
from lintas.header import RECIPIENTS_MAX, is_id
from lintas.opening import OpeningKey, load_public
from lintas.strict import b64u, canonical, parse_object, unb64u

HPKE = "hpke"
"""The value of `enc` in the header of a sealed bulletin."""

CONTENT_KEY_BYTES = 32
ENCAPSULATED_BYTES = 1088 + 32
"""What X-Wing sends beside the wrapped key: an ML-KEM-768 ciphertext, an X25519 public key."""

TAG_BYTES = 16
WRAP_BYTES = ENCAPSULATED_BYTES + CONTENT_KEY_BYTES + TAG_BYTES
PADDED_BYTES_MIN = 1024
"""Content is padded to a power of two, this one at least: its length says little of what it is."""

_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_INFO = b"lintas-e2e-v1\0"
_COMMIT = b"lintas-e2e-commit\0"
_NONCE = bytes(12)
"""Fixed, because no content key ever closes a second content."""

_MEMBERS = {"to", "kc", "ct"}


@dataclass(frozen=True, slots=True)
class Sealed:
    """A well-formed sealed payload: a wrapped content key for each opening kid, the commitment, the ciphertext."""

    to: Mapping[str, bytes]
    commitment: bytes
    ciphertext: bytes


def read_sealed(payload: bytes) -> Sealed:
    """Read a sealed payload as far as anyone can without a key; raise MalformedPayload naming the member."""
    try:
        members = parse_object(payload)
    except ValueError as fault:
        raise MalformedPayload("A sealed payload is one strict JSON object.") from fault
    odd = _MEMBERS.symmetric_difference(members)
    if odd:
        raise MalformedPayload("A sealed payload has the members `to`, `kc`, `ct`.", member=min(odd)[:64])
    ciphertext = _bytes(members["ct"], "ct")
    if not _is_padded(len(ciphertext) - TAG_BYTES):
        raise MalformedPayload("`ct` is a padded content (a power of two, 1,024 at least) and 16 bytes.", member="ct")
    return Sealed(to=_read_wraps(members["to"]), commitment=_bytes(members["kc"], "kc", size=32), ciphertext=ciphertext)


def seal(content: bytes, *, head: str, to: Mapping[str, bytes], content_key: bytes) -> bytes:
    """Return the payload that seals `content` (JSON) to these public opening keys, by kid.

    `head` is the outer header in base64url as it will be sent. `content_key` is 32 random bytes used for nothing else.
    """
    info = _INFO + head.encode()
    wraps = {kid: b64u(_SUITE.encrypt(content_key, load_public(public), info)) for kid, public in to.items()}
    ciphertext = AESGCM(content_key).encrypt(_NONCE, pad(content), head.encode())
    return canonical({"to": wraps, "kc": b64u(commit(content_key)), "ct": b64u(ciphertext)})


def unseal(sealed: Sealed, *, head: str, keys: Collection[OpeningKey]) -> bytes:
    """Return the content, padding included, opened with whichever of these keys it was sealed to.

    Raises SealedToOldKey when it is none of them, MalformedPayload when it was not sealed as it says.
    """
    key = next((each for each in keys if each.kid in sealed.to), None)
    if key is None:
        raise SealedToOldKey
    try:
        content_key = _SUITE.decrypt(sealed.to[key.kid], key.private(), _INFO + head.encode())
    except (InvalidTag, ValueError) as fault:
        raise MalformedPayload("The content key does not open under this header.", member="to") from fault
    if len(content_key) != CONTENT_KEY_BYTES or not hmac.compare_digest(commit(content_key), sealed.commitment):
        raise MalformedPayload("The content key is not the one that all recipients were promised.", member="kc")
    try:
        return AESGCM(content_key).decrypt(_NONCE, sealed.ciphertext, head.encode())
    except InvalidTag as fault:
        raise MalformedPayload("The content does not open under this header.", member="ct") from fault


def commit(content_key: bytes) -> bytes:
    """Return the commitment to a content key."""
    return hashlib.sha256(_COMMIT + content_key).digest()


def pad(content: bytes) -> bytes:
    """Pad JSON with trailing spaces, which every JSON parser skips, to the next power of two."""
    return content.ljust(max(PADDED_BYTES_MIN, 1 << max(len(content) - 1, 0).bit_length()))


def check_inside(content: Bulletin, *, tlp: str, release_to: Collection[str]) -> None:
    """Check what the hub cannot see; raise MalformedPayload. `release_to` are the recipients that the header names.

    A sealed recall withdraws the whole, since the hub sees no indicators; RED names who may read it and says why.
    """
    if is_partial_recall(content):
        raise MalformedPayload("A sealed recall withdraws the whole: it names no indicators.", member="indicators")
    strangers = [post for post in content.named_recipients if post.split("/", 1)[0] not in release_to]
    if strangers:
        raise MalformedPayload(f"{strangers[0]} is not in `release_to`.", member="named_recipients")
    if tlp != "RED":
        return
    if not content.named_recipients:
        raise MalformedPayload("TLP:RED names the posts that may read it.", member="named_recipients")
    if content.marking_reason is None:
        raise MalformedPayload("TLP:RED says in `marking_reason` why it is RED.", member="marking_reason")


def _read_wraps(value: object) -> dict[str, bytes]:
    # The issuer's own key comes on top of the recipients'.
    if not isinstance(value, dict) or not 1 <= len(value) <= RECIPIENTS_MAX + 1 or not all(map(is_id, value)):
        raise MalformedPayload("`to` names the opening keys it is sealed to.", member="to")
    return {kid: _bytes(wrap, "to", size=WRAP_BYTES) for kid, wrap in value.items()}


def _bytes(value: object, member: str, *, size: int | None = None) -> bytes:
    try:
        data = unb64u(value) if isinstance(value, str) else b""
    except ValueError as fault:
        raise MalformedPayload(f"`{member}` is not canonical base64url.", member=member) from fault
    if not data or (size is not None and len(data) != size):
        raise MalformedPayload(f"`{member}` has no valid length.", member=member)
    return data


def _is_padded(size: int) -> bool:
    return size >= PADDED_BYTES_MIN and size & (size - 1) == 0
