"""The checkpoint, by which a log commits to its contents.

Size and root are believed only from a note that the log's key signed for the pinned origin: the pinned key, or the one
that followed it by then. Nothing else a hub says about its log counts.
Spec: docs/spec/log.md; C2SP tlog-checkpoint.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from lintas.errors import BadCheckpoint, BadNote, BadProof
from lintas.log_keys import LogKeys
from lintas.merkle import EMPTY_ROOT, HASH_BYTES
from lintas.note import VerifierKey, b64, open_note, unb64

SIZE_DIGITS_MAX = 16
"""A size travels as a JSON integer too, and 2^53 has sixteen digits (RFC 7493)."""

PROOF_HASHES_MAX = 63
"""A tree of 2^63 leaves has no longer proof."""

_DECIMAL = re.compile(r"0|[1-9][0-9]*")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The tree of a log: whose it is, how many leaves it has, its root. We write no extension lines, but keep them."""

    origin: str
    size: int
    root: bytes
    extension: tuple[str, ...] = ()


def format_checkpoint(checkpoint: Checkpoint) -> str:
    """Return the text to sign."""
    return "\n".join((checkpoint.origin, str(checkpoint.size), b64(checkpoint.root), *checkpoint.extension, ""))


def parse_checkpoint(text: str) -> Checkpoint:
    """Read the text of a checkpoint whose signature was checked; raise BadCheckpoint when it is malformed."""
    lines = text.split("\n")
    if lines.pop() or len(lines) < 3 or not all(lines):  # noqa: PLR2004 - origin, size, root
        raise BadCheckpoint("A checkpoint is an origin, a size and a root on lines of their own.")
    origin, size, root, *extension = lines
    try:
        found = Checkpoint(origin, parse_decimal(size), parse_hash(root), tuple(extension))
    except ValueError as fault:
        raise BadCheckpoint(f"The checkpoint has a line that {fault}.") from fault
    if found.size == 0 and found.root != EMPTY_ROOT:
        raise BadCheckpoint("The root is not that of an empty tree.")
    return found


def open_checkpoint(note: bytes, *, origin: str, key: VerifierKey | LogKeys) -> Checkpoint:
    """Open a checkpoint that this key signed for the log of this origin; raise BadNote or BadCheckpoint.

    Of several keys it must be signed by the one that its size asks for, and no line by another may be bad.
    """
    keys = key if isinstance(key, LogKeys) else LogKeys.of(key)
    opened = open_note(note, keys.keys)
    found = parse_checkpoint(opened.text.decode())
    if keys.at(found.size) not in opened.verified:
        raise BadNote(f"A checkpoint of size {found.size} is signed with the key {keys.at(found.size).key_id.hex()}.")
    if found.origin != origin:
        raise BadCheckpoint(f"The checkpoint is of the log {found.origin}, not of {origin}.")
    return found


def open_by_any(note: bytes, keys: Collection[VerifierKey]) -> tuple[Checkpoint, frozenset[VerifierKey]]:
    """Open a checkpoint that one of these keys of one log signed, at whatever size, and say which did.

    For whoever judges what was signed: what the log holds now is for `open_checkpoint` to say.
    """
    opened = open_note(note, [*keys])
    found = parse_checkpoint(opened.text.decode())
    if found.origin not in {key.name for key in keys}:
        raise BadCheckpoint(f"The checkpoint is of another log, {found.origin}.")
    return found, frozenset(opened.verified)


def parse_add_checkpoint(body: bytes) -> tuple[int, tuple[bytes, ...], bytes]:
    """Read what a witness is sent: the old size, the consistency proof, the note; raise BadProof for another form."""
    head, separator, note = body.partition(b"\n\n")
    first, *hashes = head.split(b"\n")
    if not separator or not first.startswith(b"old ") or len(hashes) > PROOF_HASHES_MAX:
        raise BadProof(f"This is no old size with at most {PROOF_HASHES_MAX} hashes before a checkpoint.")
    try:
        size = parse_decimal(first.removeprefix(b"old ").decode("ascii"))
        return size, tuple(parse_hash(each.decode("ascii")) for each in hashes), note
    except ValueError as fault:
        raise BadProof(f"The consistency proof has a line that {fault}.") from fault


def parse_decimal(text: str) -> int:
    """Read a number written in the one right way; raise ValueError for any other spelling."""
    if len(text) > SIZE_DIGITS_MAX or not _DECIMAL.fullmatch(text):
        raise ValueError("is not a plain decimal number")
    return int(text)


def parse_hash(text: str) -> bytes:
    """Read a hash in canonical base64; raise ValueError for any other spelling or length."""
    try:
        found = unb64(text)
    except ValueError:
        found = b""
    if len(found) != HASH_BYTES:
        raise ValueError("is not the base64 of 32 bytes")
    return found
