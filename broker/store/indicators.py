"""Rows of the index of indicators, which holds no value: only an HMAC of each with a key of the hub.

A plain hash of a phone number hides nothing, since all of them can be tried.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, delete, select

from broker.store.bulk import insert_rows
from broker.store.tables import indicator, line

BLOCK_BYTES = 64
"""Of SHA-256."""


def digest(key: bytes, type_: str, value: str) -> bytes:
    """Return what stands for a canonical value of this type in every index: its HMAC-SHA-256 (RFC 2104)."""
    inner, outer = _pads(key)
    return sha256(outer + sha256(inner + f"{type_}\0{value}".encode()).digest()).digest()


@lru_cache(maxsize=1)
def _pads(key: bytes) -> tuple[bytes, bytes]:
    # Written out, it takes two hashes; asked for by its name, OpenSSL looks the algorithm up for every value.
    padded = (sha256(key).digest() if len(key) > BLOCK_BYTES else key).ljust(BLOCK_BYTES, b"\0")
    return bytes(each ^ 0x36 for each in padded), bytes(each ^ 0x5C for each in padded)


def rows(key: bytes, seq: int, values: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    """Return the rows for the (type, canonical value) pairs of a bulletin, each once."""
    return [{"type": each, "digest": digest(key, each, value), "seq": seq} for each, value in sorted({*values})]


def insert_indicators(conn: Connection, found: Sequence[Mapping[str, Any]]) -> None:
    """Insert the rows of accepted bulletins."""
    insert_rows(conn, indicator, found)


def newest(conn: Connection) -> tuple[int, bytes, set[tuple[str, bytes]]] | None:
    """Return the newest bulletin in the index that still has its content: seq, line, (type, digest) pairs."""
    kept = select(line.c.seq, line.c.raw).join_from(indicator, line, indicator.c.seq == line.c.seq)
    found = conn.execute(kept.where(line.c.raw.is_not(None)).order_by(indicator.c.seq.desc()).limit(1)).first()
    if found is None or found.raw is None:
        return None
    rows = conn.execute(select(indicator.c.type, indicator.c.digest).where(indicator.c.seq == found.seq))
    return found.seq, found.raw, {(row.type, row.digest) for row in rows}


def forget(conn: Connection) -> None:
    """Remove every row, to be made anew."""
    conn.execute(delete(indicator))
