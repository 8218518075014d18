"""Counts of what happened between two places of the log."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from broker.store.tables import event


@dataclass(frozen=True, slots=True)
class Span:
    """Log indexes from `low` up to, without it, `high`."""

    low: int
    high: int


def places(conn: Connection, times: Sequence[int], *, size: int) -> list[int]:
    """Return for each of these times (Unix microseconds) the index of the first event from then on, else `size`."""
    found = []
    for time in times:
        seq = conn.scalar(select(event.c.seq).where(event.c.time >= time).order_by(event.c.time).limit(1))
        found.append(size if seq is None else seq)
    return found


def events(conn: Connection, kinds: Collection[str], span: Span, *, party: str | None = None) -> int:
    """Count the events of these kinds, and of this party. The cost grows with what is of these kinds in the span."""
    wanted = [event.c.kind.in_(kinds), event.c.seq >= span.low, event.c.seq < span.high]
    if party is not None:
        wanted.append(event.c.party == party)
    return conn.scalar(select(func.count()).select_from(event).where(*wanted)) or 0
