"""Rows of the index of indicators, which holds no value: only an HMAC of each with a key of the hub.

A plain hash of a phone number hides nothing, since all of them can be tried.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, insert

from broker.store.tables import indicator


def digest(key: bytes, type_: str, value: str) -> bytes:
    """Return what stands for a canonical value of this type in every index."""
    return hmac.digest(key, f"{type_}\0{value}".encode(), "sha256")


def rows(key: bytes, seq: int, values: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    """Return the rows for the (type, canonical value) pairs of a bulletin, each once."""
    return [{"type": each, "digest": digest(key, each, value), "seq": seq} for each, value in sorted({*values})]


def insert_indicators(conn: Connection, found: Sequence[Mapping[str, Any]]) -> None:
    """Insert the rows of accepted bulletins."""
    conn.execute(insert(indicator), found)
