"""Rows of the log as its readers search it: by parties, kinds, topics, markings, in either direction.

Where it is known from the rollup in which hours something fits, only these are looked at: rows of a rare sort are found
at once however far back they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import ColumnElement, Connection, select, text

from broker.store import rollup
from broker.store.log import EventRow
from broker.store.rollup import Wanted
from broker.store.tables import event, line

OBJECT_ROWS_MAX = 10_000
"""Events about lines whose ids begin alike that are looked at."""

_COLUMNS = (event.c.seq, event.c.time, event.c.kind, event.c.party, event.c.party_seq, event.c.object, event.c.body)


def page(conn: Connection, wanted: Wanted, *, limit: int, newest: bool = True) -> list[EventRow]:
    """Return the first events that fit, newest first, or oldest first."""
    if wanted.is_all:
        return _rows(conn, wanted, wanted.low, wanted.high, limit=limit, newest=newest)
    found: list[EventRow] = []
    for low, high in _places(conn, wanted, newest=newest):
        found += _rows(conn, wanted, low, high, limit=limit - len(found), newest=newest)
        if len(found) == limit:
            break
    return found


def part(conn: Connection, wanted: Wanted, *, before: int, limit: int) -> list[EventRow]:
    """Return events that fit with seq < before, newest first, walking the log: for those who take all of them."""
    return _rows(conn, wanted, wanted.low, min(before, wanted.high), limit=limit, newest=True)


def about(conn: Connection, beginning: str, wanted: Wanted) -> list[EventRow]:
    """Return the events about lines whose id begins so, of OBJECT_ROWS_MAX at most, newest first."""
    # What begins so is a range in the order of bytes alone; a Postgres that sorts otherwise has no index for it.
    column = event.c.object if sorts_by_bytes(conn) else event.c.object.collate("C")
    after = beginning[:-1] + chr(ord(beginning[-1]) + 1)
    statement = select(*_COLUMNS).where(column >= beginning, column < after)
    # Sorted here: asked to sort, a database walks the whole log from its head instead.
    rows = [EventRow(*row) for row in conn.execute(statement.limit(OBJECT_ROWS_MAX))]
    fitting = (row for row in rows if wanted.low <= row.seq < wanted.high)
    return sorted((row for row in fitting if wanted.has(row.party, row.kind)), key=lambda row: -row.seq)


def sorts_by_bytes(conn: Connection) -> bool:
    """Tell whether the database compares texts by their bytes, and its indexes with it, as SQLite does."""
    # An index is used only for the collation that it was made with, so a comparison that names one would never find it.
    return bool(conn.scalar(text("SELECT 'Z' < 'a' AND 'Z' < '_' AND 'a-c' < 'aab'")))


def headers(conn: Connection, seqs: Sequence[int]) -> dict[int, tuple[str, int]]:
    """Return topic and rank of the marking of the bulletins accepted at these indexes."""
    statement = select(line.c.seq, line.c.topic, line.c.tlp_rank).where(line.c.seq.in_(seqs), line.c.topic.is_not(None))
    return {row.seq: (row.topic, row.tlp_rank) for row in conn.execute(statement)}


def _places(conn: Connection, wanted: Wanted, *, newest: bool) -> Iterator[tuple[int, int]]:
    upto = rollup.size(conn)
    # What is not rolled up yet may have anything.
    fresh = (max(wanted.low, upto), wanted.high)
    if newest:
        yield fresh
    for first, last in rollup.ranges(conn, wanted, newest=newest):
        yield max(first, wanted.low), min(last + 1, wanted.high)
    if not newest:
        yield fresh


def _rows(conn: Connection, wanted: Wanted, low: int, high: int, *, limit: int, newest: bool) -> list[EventRow]:
    if low >= high:
        return []
    statement = select(*_COLUMNS).where(event.c.seq >= low, event.c.seq < high, *_conditions(wanted))
    statement = statement.order_by(event.c.seq.desc() if newest else event.c.seq).limit(limit)
    return [EventRow(*row) for row in conn.execute(statement)]


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    found = [event.c.seq >= wanted.low, event.c.seq < wanted.high]
    if wanted.parties is not None:
        found.append(event.c.party.in_(wanted.parties))
    if wanted.kinds is not None:
        found.append(event.c.kind.in_(wanted.kinds))
    if wanted.is_of_bulletins:
        bulletins = select(line.c.seq).where(line.c.seq == event.c.seq)
        if wanted.topics is not None:
            bulletins = bulletins.where(line.c.topic.in_(wanted.topics))
        if wanted.tlps is not None:
            bulletins = bulletins.where(line.c.tlp_rank.in_(wanted.tlps))
        found.append(bulletins.exists())
    return found
