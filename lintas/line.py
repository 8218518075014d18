"""The signed line, a strict compact JWS.

Everything that changes something is one such line: ASCII, three base64url parts, one way to write each value, kept and
served byte for byte. Its id is the hash of the whole line. General JOSE libraries are not used to open lines: even
the strictest accept duplicate members, ``crit: []`` or ``b64: false``.
Spec: docs/spec/line.md; RFC 7515 section 7.1, RFC 8037, RFC 8725.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from lintas import ed25519
from lintas.errors import BadSignature, MalformedLine, TooLarge, WrongType
from lintas.header import LINE_BYTES_MAX, Header, check_header, parse_header
from lintas.strict import b64u, unb64u

SIGNATURE_CHARACTERS = 86
"""64 bytes of Ed25519 signature in base64url."""


class Signer(Protocol):
    """What signing needs: an identity file, an HSM or a test key."""

    @property
    def kid(self) -> str:
        """The RFC 7638 thumbprint of the public key."""

    def sign(self, data: bytes) -> bytes:
        """Return the 64-byte Ed25519 signature."""


@dataclass(frozen=True, slots=True)
class Line:
    """A well-formed line. Its signature is not yet checked: that is `check`."""

    raw: bytes
    id: str
    header: Header
    payload: bytes
    signature: bytes

    @property
    def signing_input(self) -> bytes:
        """The bytes that were signed: header and payload parts with the dot between."""
        return self.raw[: -SIGNATURE_CHARACTERS - 1]

    @property
    def head(self) -> str:
        """The header in base64url, as it was sent: what sealed content is bound to."""
        return self.raw.split(b".", 1)[0].decode()


def line_id(raw: bytes) -> str:
    """Return the id of a line: base64url of the SHA-256 of all its bytes."""
    return b64u(hashlib.sha256(raw).digest())


def parse(raw: bytes, typ: str | None = None) -> Line:
    """Read a line strictly, without looking at keys or clocks.

    Raises TooLarge, MalformedLine, or WrongType when `typ` is given and the line is of another kind.
    """
    size_max = LINE_BYTES_MAX[typ] if typ else max(LINE_BYTES_MAX.values())
    if len(raw) > size_max:
        raise TooLarge(f"A line here has at most {size_max} bytes; this one has {len(raw)}.")
    header_part, payload_part, signature_part = _parts(raw)
    header = parse_header(_decode(header_part, "header"))
    if typ is not None and header.typ != typ:
        raise WrongType(f"This is a {header.typ}; here only {typ} is taken.", member="typ")
    if len(raw) > LINE_BYTES_MAX[header.typ]:
        raise TooLarge(f"A {header.typ} has at most {LINE_BYTES_MAX[header.typ]} bytes.")
    payload = _decode(payload_part, "payload")
    return Line(
        raw=raw, id=line_id(raw), header=header, payload=payload, signature=_decode(signature_part, "signature")
    )


def check(line: Line, public_key: bytes) -> None:
    """Verify the signature with the 32-byte key on record for (`kid`, `iss`); raise BadSignature."""
    if not ed25519.verify(public_key, line.signature, line.signing_input):
        raise BadSignature(member="signature")


def sign(members: Mapping[str, Any], payload: bytes, signer: Signer) -> bytes:
    """Make a line of these header members and payload bytes; `alg` and `kid` are filled in.

    Raises MalformedLine for a header that no hub would take, before anything is signed.
    """
    return sign_under(make_head(members, signer), payload, signer)


def make_head(members: Mapping[str, Any], signer: Signer) -> str:
    """Return the header in base64url as `sign` would send it: content is sealed under it before it is signed."""
    full = {"alg": "Ed25519", "typ": members["typ"], "kid": signer.kid, **members}
    check_header(dict(full))
    return b64u(json.dumps(full, separators=(",", ":")).encode())


def sign_under(head: str, payload: bytes, signer: Signer) -> bytes:
    """Make a line of a header from `make_head` and payload bytes."""
    signing_input = f"{head}.{b64u(payload)}".encode()
    return signing_input + b"." + b64u(signer.sign(signing_input)).encode()


def is_nested(line: Line) -> bool:
    """Tell whether the payload is itself a line (a rotation, or an order of two people)."""
    return not line.payload.startswith(b"{")


def _parts(raw: bytes) -> tuple[str, str, str]:
    try:
        text = raw.decode("ascii")
    except UnicodeDecodeError as fault:
        raise MalformedLine("A line is ASCII.") from fault
    parts = text.split(".")
    if len(parts) != len(("header", "payload", "signature")):
        raise MalformedLine(f"A line has three parts; this has {len(parts)}.")
    if len(parts[2]) != SIGNATURE_CHARACTERS:
        raise MalformedLine(f"The signature part has {SIGNATURE_CHARACTERS} characters.", member="signature")
    return parts[0], parts[1], parts[2]


def _decode(part: str, name: str) -> bytes:
    try:
        return unb64u(part)
    except ValueError as fault:
        raise MalformedLine(f"The {name} part is not canonical base64url.", member=name) from fault
