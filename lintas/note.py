"""The signed note, text under one or more signature lines.

Only a note that a known key signed is opened; a bad signature by a known key refuses it, whatever else it carries.
Signature lines of unknown keys are kept and ignored: that is how witnesses add theirs. Every value has one spelling
here, so base64 with unused bits set is refused although some readers take it. Notes are signed with Ed25519 (0x01); the
keys of witnesses (0x04) are spelt here too, and what they sign is the matter of ``lintas.cosignature``.
Spec: docs/spec/log.md; C2SP signed-note.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from lintas import ed25519
from lintas.errors import BadNote, WeakKey

ALGORITHM_ED25519 = 1

ALGORITHM_COSIGNATURE = 4
"""Ed25519 as well, over a text that begins with the time (C2SP tlog-cosignature)."""

KEY_ID_BYTES = 4

NOTE_BYTES_MAX = 262_144
"""Room for the signatures of the largest quorum with post-quantum keys, nearly 7 kB of base64 each."""

SIGNATURES_MAX = 64
"""Two log keys during a rotation and 32 witnesses fit twice; the format asks for 16 at least."""

_CONTROL = re.compile(rb"[\x00-\x09\x0b-\x1f]")
_PREFIX = "\u2014 "
_NAME = re.compile(r"[^\s+\x00-\x1f\ud800-\udfff]+")
_KEY_ID = re.compile(r"[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A key that notes are checked with. Name and key id together say which key a signature line is by."""

    name: str
    key_id: bytes
    algorithm: int
    public: bytes

    @classmethod
    def of(cls, name: str, public: bytes, algorithm: int = ALGORITHM_ED25519) -> VerifierKey:
        """Name a sound 32-byte Ed25519 public key; ValueError when the name cannot stand in a note."""
        if not _NAME.fullmatch(name):
            raise ValueError("the name of a key is empty or has a space, a plus or a control character")
        key_id = sha256(name.encode() + b"\n" + bytes([algorithm]) + public).digest()[:KEY_ID_BYTES]
        return cls(name, key_id, algorithm, public)

    def text(self) -> str:
        """Return the line by which an administrator hands this key out: ``name+key id+base64``."""
        return f"{self.name}+{self.key_id.hex()}+{b64(bytes([self.algorithm]) + self.public)}"


@dataclass(frozen=True, slots=True)
class SignerKey:
    """A key that signs notes, held in memory. `repr` never shows the seed."""

    verifier: VerifierKey
    seed: bytes = field(repr=False)

    @classmethod
    def from_seed(cls, name: str, seed: bytes, algorithm: int = ALGORITHM_ED25519) -> SignerKey:
        """Name the key of a 32-byte seed; ValueError when the name cannot stand in a note."""
        return cls(VerifierKey.of(name, ed25519.public_key_of(seed), algorithm), seed)

    @property
    def name(self) -> str:
        """The name of the key."""
        return self.verifier.name

    def text(self) -> str:
        """Return the line to keep in a secret file, as Go's note package writes it."""
        typed = bytes([self.verifier.algorithm]) + self.seed
        return f"PRIVATE+KEY+{self.name}+{self.verifier.key_id.hex()}+{b64(typed)}"


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line, by a known key or not."""

    name: str
    key_id: bytes
    signature: bytes

    def line(self) -> str:
        """Return the line, with its newline."""
        return f"{_PREFIX}{self.name} {b64(self.key_id + self.signature)}\n"


@dataclass(frozen=True, slots=True)
class OpenedNote:
    """The text, the known keys that signed it, and every signature line in order, for whoever adds one."""

    text: bytes
    verified: tuple[VerifierKey, ...]
    signatures: tuple[Signature, ...]


def vkey(name: str, public: bytes) -> str:
    """Return the verifier key line of a 32-byte Ed25519 public key."""
    return VerifierKey.of(name, public).text()


def parse_vkey(text: str, algorithm: int = ALGORITHM_ED25519) -> VerifierKey:
    """Read a verifier key line; raise BadNote unless it is sound in every part, the curve point included."""
    name, key_id, public = _parse_key(text, algorithm)
    try:
        ed25519.check_public_key(public)
    except WeakKey as fault:
        raise BadNote(f"The verifier key is unsound. {fault.detail}") from fault
    return _with_id(VerifierKey.of(name, public, algorithm), key_id)


def parse_signer_key(text: str, algorithm: int = ALGORITHM_ED25519) -> SignerKey:
    """Read a signer key line; raise BadNote when it is not one. No message repeats the secret."""
    prefix = "PRIVATE+KEY+"
    if not text.startswith(prefix):
        raise BadNote("This is not a signer key.")
    name, key_id, seed = _parse_key(text.removeprefix(prefix), algorithm)
    key = SignerKey.from_seed(name, seed, algorithm)
    _with_id(key.verifier, key_id)
    return key


def sign_note(text: str | bytes, *signers: SignerKey) -> bytes:
    """Sign a text that ends in a newline; ValueError when no note can carry it."""
    data = text.encode() if isinstance(text, str) else text
    return format_note(
        data, (Signature(key.name, key.verifier.key_id, ed25519.sign(key.seed, data)) for key in signers)
    )


def format_note(text: bytes, signatures: Iterable[Signature]) -> bytes:
    """Put signature lines under a text; ValueError when the outcome is not a note that can be opened."""
    note = text + b"\n" + "".join(signature.line() for signature in signatures).encode()
    try:
        found, _ = split_note(note)
    except BadNote as fault:
        raise ValueError(fault.detail) from fault
    if found != text:
        raise ValueError("the text of a note ends in a newline")
    return note


def open_note(note: bytes, keys: Sequence[VerifierKey]) -> OpenedNote:
    """Open a note that at least one of these keys signed.

    Raise BadNote when it is malformed, signed by none of them, or when a signature by one of them does not verify.
    """
    text, signatures = split_note(note)
    known = {(key.name, key.key_id): key for key in keys}
    verified: dict[VerifierKey, None] = {}
    for each in signatures:
        key = known.get((each.name, each.key_id))
        if key is None:
            continue
        if not ed25519.verify(key.public, each.signature, text):
            raise BadNote(f"The signature by {key.name} does not belong to this text.")
        verified[key] = None
    if not verified:
        raise BadNote("None of the pinned keys signed this note.")
    return OpenedNote(text, tuple(verified), signatures)


def split_note(note: bytes) -> tuple[bytes, tuple[Signature, ...]]:
    """Return text and signature lines of a note; raise BadNote when it is malformed. Nothing is verified yet."""
    if len(note) > NOTE_BYTES_MAX:
        raise BadNote(f"A note has at most {NOTE_BYTES_MAX} bytes.")
    if _CONTROL.search(note):
        raise BadNote("The note has a control character.")
    try:
        whole = note.decode("utf-8")
    except UnicodeDecodeError as fault:
        raise BadNote("The note is not UTF-8.") from fault
    # The text may have empty lines itself: the last one ends it.
    text, separator, signatures = whole.rpartition("\n\n")
    if not separator or not signatures.endswith("\n"):
        raise BadNote("A note is a text, an empty line, then signature lines.")
    lines = signatures[:-1].split("\n")
    if len(lines) > SIGNATURES_MAX:
        raise BadNote(f"A note has at most {SIGNATURES_MAX} signatures.")
    return f"{text}\n".encode(), tuple(_parse_signature(line) for line in lines)


def b64(data: bytes) -> str:
    """Encode as standard base64 with padding."""
    return b64encode(data).decode("ascii")


def unb64(text: str) -> bytes:
    """Decode canonical standard base64; raise ValueError for any other spelling."""
    try:
        data = b64decode(text, validate=True)
    except ValueError:
        data = b""
    # Another spelling decodes to the same bytes: unused bits set, or padding in the middle.
    if b64(data) != text:
        raise ValueError("is not canonical base64")
    return data


def _parse_signature(line: str) -> Signature:
    name, _, encoded = line.removeprefix(_PREFIX).partition(" ")
    try:
        data = unb64(encoded)
    except ValueError as fault:
        raise BadNote("A signature is not canonical base64.") from fault
    if not line.startswith(_PREFIX) or not _NAME.fullmatch(name) or len(data) <= KEY_ID_BYTES:
        raise BadNote("A signature line is a dash, a name, then key id with signature.")
    return Signature(name, data[:KEY_ID_BYTES], data[KEY_ID_BYTES:])


def _parse_key(text: str, algorithm: int) -> tuple[str, bytes, bytes]:
    # Only the first two plus signs separate: the base64 after them may have its own.
    name, _, rest = text.partition("+")
    key_id, _, encoded = rest.partition("+")
    try:
        typed = unb64(encoded)
    except ValueError:
        typed = b""
    if not _NAME.fullmatch(name) or not _KEY_ID.fullmatch(key_id) or len(typed) != 1 + ed25519.KEY_BYTES:
        raise BadNote("A key is a name, eight hexadecimal digits and base64, joined by plus signs.")
    if typed[0] != algorithm:
        raise BadNote(f"The key is of another algorithm ({typed[0]}) than belongs here ({algorithm}).")
    return name, bytes.fromhex(key_id), typed[1:]


def _with_id(key: VerifierKey, key_id: bytes) -> VerifierKey:
    if key.key_id != key_id:
        raise BadNote("The id of the key is not that of its name and bytes: it was mistyped or tampered with.")
    return key
