"""Receipts from the stored log, with other proofs."""

from __future__ import annotations

import itertools
from base64 import b64encode

from broker.signer import read_keys
from broker.store import log
from broker.store.engine import Connection
from lintas import merkle
from lintas.errors import NotFound, Purged
from lintas.receipt import Receipt, format_receipt


def receipt(conn: Connection, seq: int, covered: tuple[int, bytes] | None = None) -> bytes:
    """Return the receipt of an event under this checkpoint (size, note), by default under the first that covered it.

    Under the first it is always the same bytes. Raises Purged when the body is gone: a receipt holds the whole event.
    """
    row = log.event_at(conn, seq)
    covered = covered or log.checkpoint_over(conn, seq)
    if row is None or covered is None:
        raise NotFound
    if row.body is None:
        raise Purged(seq=seq)
    size, note = covered
    return format_receipt(Receipt(index=seq, proof=inclusion(conn, seq, size), checkpoint=note, extra=row.body))


def crossing(conn: Connection, key_id: str) -> bytes:
    """Return the receipt of the event that announced the key of the log after this one.

    From the rows, not from what the signer knows: another replica may have announced it a moment ago.
    """
    known = read_keys(conn)
    pairs = itertools.pairwise(() if known is None else known.entries)
    seq = next((new.seq for old, new in pairs if old.key.key_id.hex() == key_id), None)
    if seq is None:
        raise NotFound("No key of the log followed this one.")
    return receipt(conn, seq)


def proof(conn: Connection, seq: int, size: int | None) -> bytes:
    """Return the tlog-proof of an entry, without its body, under the newest checkpoint or the one of `size`."""
    found_size, note = _checkpoint(conn, size)
    if seq >= found_size:
        raise NotFound("No checkpoint of that size covers that index.")
    return format_receipt(Receipt(index=seq, proof=inclusion(conn, seq, found_size), checkpoint=note, extra=None))


def inclusion(conn: Connection, seq: int, size: int) -> tuple[bytes, ...]:
    """Return the inclusion proof of an index in the tree of this size, with one SELECT."""
    return tuple(merkle.inclusion_proof(seq, size, lambda wanted: log.nodes(conn, wanted)))


def witness_body(conn: Connection, old: int, size: int | None) -> bytes:
    """Return a C2SP add-checkpoint body: the old size, the consistency proof, the checkpoint (newest, or of `size`)."""
    new_size, note = _checkpoint(conn, size)
    if old > new_size:
        raise NotFound("The log is smaller than that.")
    hashes: list[bytes] = []
    if 0 < old < new_size:
        hashes = merkle.consistency_proof(old, new_size, lambda wanted: log.nodes(conn, wanted))
    lines = [f"old {old}", *(b64encode(each).decode() for each in hashes), "", ""]
    return "\n".join(lines).encode() + note


def _checkpoint(conn: Connection, size: int | None) -> tuple[int, bytes]:
    if size is None:
        found = log.newest_checkpoint(conn)
    else:
        note = log.checkpoint_at(conn, size)
        found = None if note is None else (size, note)
    if found is None:
        raise NotFound("No checkpoint of that size was published.")
    return found
