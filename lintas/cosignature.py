"""The cosignature, a witness's word that a checkpoint extends all it saw before.

It is a signature line of the checkpoint's note: key id, the time of signing as a big-endian uint64 of Unix seconds, an
Ed25519 signature over ``cosignature/v1``, the time, the text of the checkpoint. The time is the witness's own word: the
tree was there by then. Whoever holds the log's signature with enough witnesses' knows that none of them was shown
another log.
Spec: docs/spec/log.md; C2SP tlog-cosignature (algorithm 0x04).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lintas import ed25519
from lintas.errors import BadNote
from lintas.note import ALGORITHM_COSIGNATURE, Signature, SignerKey, VerifierKey

TIME_BYTES = 8
TIME_MAX = 2**63 - 1
"""The largest time the format allows."""


@dataclass(frozen=True, slots=True)
class Cosignature:
    """A verified cosignature: whose, of what time (Unix seconds), and the line that carries it."""

    witness: VerifierKey
    time: int
    signature: Signature


def cosign(text: bytes, key: SignerKey, *, time: int) -> Signature:
    """Cosign the text of a checkpoint. The caller has checked it against all it saw, and kept it durably."""
    if key.verifier.algorithm != ALGORITHM_COSIGNATURE:
        # The same bytes under a key that also signs notes could be taken for another statement.
        raise ValueError("a witness signs with a key of its own algorithm")
    if not 0 < time <= TIME_MAX:
        raise ValueError("a cosignature has a time after 1970")
    signature = time.to_bytes(TIME_BYTES, "big") + ed25519.sign(key.seed, signed_text(text, time))
    return Signature(key.name, key.verifier.key_id, signature)


def signed_text(text: bytes, time: int) -> bytes:
    """Return what a witness signs: never the text of a note, so neither passes for the other."""
    return b"cosignature/v1\ntime %d\n" % time + text


def check_cosignatures(
    text: bytes, signatures: Iterable[Signature], witnesses: Iterable[VerifierKey]
) -> tuple[Cosignature, ...]:
    """Return the cosignatures by these witnesses, in order; lines of anybody else are ignored.

    Raise BadNote when one by a known witness does not verify, as for every signature by a known key.
    """
    known = {(key.name, key.key_id): key for key in witnesses}
    found = []
    for each in signatures:
        key = known.get((each.name, each.key_id))
        if key is not None:
            found.append(_check(text, each, key))
    return tuple(found)


def _check(text: bytes, line: Signature, key: VerifierKey) -> Cosignature:
    time = int.from_bytes(line.signature[:TIME_BYTES], "big")
    signature = line.signature[TIME_BYTES:]
    is_good = 0 < time <= TIME_MAX and ed25519.verify(key.public, signature, signed_text(text, time))
    if key.algorithm != ALGORITHM_COSIGNATURE or not is_good:
        raise BadNote(f"The cosignature by {key.name} does not belong to this checkpoint.")
    return Cosignature(key, time, line)
