"""Rows of the log: leaves, event bodies, checkpoints."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Executable, and_, bindparam, false, func, or_, select

from broker.store.bulk import insert_rows
from broker.store.tables import checkpoint, event, insert_new, log
from lintas import merkle

FETCH_MAX = 1_000
"""Rows read at a time when walking the log."""


class LogRow(NamedTuple):
    """A stored leaf and its event, as found; nothing about it is checked yet. `body` is None after a purge."""

    seq: int
    entry: bytes
    nodes: bytes
    time: int
    kind: str
    party: str
    party_seq: int
    object: str | None
    body: bytes | None


@dataclass(frozen=True, slots=True)
class EventRow:
    """A stored event as shown to those entitled."""

    seq: int
    time: int
    kind: str
    party: str
    party_seq: int
    object: str | None
    body: bytes | None


@dataclass(frozen=True, slots=True)
class EventFilter:
    """What an administrator asks for; None means any. Times are Unix microseconds, `since` inclusive, `until` not."""

    since: int | None = None
    until: int | None = None
    kinds: frozenset[str] | None = None
    party: str | None = None
    object: str | None = None
    text: str | None = None


def head(conn: Connection) -> tuple[int, int]:
    """Return the size of the log and the time of its newest event (0, 0 when empty)."""
    row = conn.execute(_HEAD).first()
    return (row.seq + 1, row.time) if row else (0, 0)


def append(conn: Connection, leaves: Sequence[Mapping[str, Any]], events: Sequence[Mapping[str, Any]]) -> None:
    """Insert leaves and their events; the primary key refuses a second row for an index."""
    insert_rows(conn, log, leaves)
    insert_rows(conn, event, events)


def party_seqs(conn: Connection, parties: Collection[str]) -> dict[str, int]:
    """Return the newest `party_seq` of each party, 0 for a new one."""
    newest = dict.fromkeys(parties, 0)
    statement = select(event.c.party, func.max(event.c.party_seq)).where(event.c.party.in_(parties))
    newest.update(conn.execute(statement.group_by(event.c.party)).all())
    return newest


def nodes(conn: Connection, addresses: Sequence[tuple[int, int]]) -> list[bytes]:
    """Return the tree nodes (level, index) in one SELECT; a missing one is a KeyError."""
    places = [merkle.node_address(level, index) for level, index in addresses]
    statement = select(log.c.seq, log.c.nodes).where(log.c.seq.in_({seq for seq, _ in places}))
    rows = {row.seq: row.nodes for row in conn.execute(statement)}
    return [rows[seq][offset : offset + merkle.HASH_BYTES] for seq, offset in places]


def frontier(conn: Connection, size: int) -> merkle.Frontier:
    """Rebuild the frontier of the tree of this size."""
    return merkle.Frontier(size, tuple(nodes(conn, merkle.frontier_nodes(size))))


def rows(conn: Connection, start: int, stop: int) -> Iterator[LogRow]:
    """Yield the rows start <= seq < stop in order. A missing event or leaf shows as a gap."""
    for low in range(start, stop, FETCH_MAX):
        found = conn.execute(_ROWS, {"low": low, "high": min(low + FETCH_MAX, stop)})
        yield from map(LogRow._make, found)


def entries(conn: Connection, start: int, stop: int) -> list[bytes]:
    """Return the 32-byte entries start <= seq < stop."""
    statement = select(log.c.entry).where(log.c.seq >= start, log.c.seq < stop).order_by(log.c.seq)
    return list(conn.scalars(statement))


def add_checkpoint(conn: Connection, size: int, note: bytes) -> bytes:
    """Keep a signed checkpoint; return the one that is kept for this size, which another replica may have signed."""
    added = insert_new(conn, checkpoint).returning(checkpoint.c.size)
    if conn.execute(added, {"size": size, "note": note}).first() is not None:
        return note
    kept = checkpoint_at(conn, size)
    assert kept is not None
    return kept


def newest_checkpoint(conn: Connection) -> tuple[int, bytes] | None:
    """Return size and note of the newest checkpoint, None before the first."""
    row = conn.execute(select(checkpoint.c.size, checkpoint.c.note).order_by(checkpoint.c.size.desc()).limit(1)).first()
    return (row.size, row.note) if row else None


def checkpoint_over(conn: Connection, seq: int) -> tuple[int, bytes] | None:
    """Return the first checkpoint that covers this index: the one its receipt was made with."""
    statement = select(checkpoint.c.size, checkpoint.c.note).where(checkpoint.c.size > seq)
    row = conn.execute(statement.order_by(checkpoint.c.size).limit(1)).first()
    return (row.size, row.note) if row else None


def checkpoint_at(conn: Connection, size: int) -> bytes | None:
    """Return the checkpoint of exactly this size."""
    return conn.scalar(select(checkpoint.c.note).where(checkpoint.c.size == size))


def checkpoints(conn: Connection) -> Iterator[tuple[int, bytes]]:
    """Yield every checkpoint, oldest first."""
    for row in conn.execute(select(checkpoint.c.size, checkpoint.c.note).order_by(checkpoint.c.size)):
        yield row.size, row.note


def event_at(conn: Connection, seq: int) -> EventRow | None:
    """Return one event."""
    row = conn.execute(select(*_EVENT_COLUMNS).where(event.c.seq == seq)).first()
    return EventRow(*row) if row else None


def times(conn: Connection, seqs: Collection[int]) -> dict[int, int]:
    """Return when the events at these indexes were logged, in Unix microseconds."""
    found: dict[int, int] = {}
    asked = sorted({*seqs})
    for start in range(0, len(asked), FETCH_MAX):
        statement = select(event.c.seq, event.c.time).where(event.c.seq.in_(asked[start : start + FETCH_MAX]))
        found |= {row.seq: row.time for row in conn.execute(statement)}
    return found


def events_of(
    conn: Connection, parties: Collection[str], *, after: int, limit: int, kinds: Collection[str] | None = None
) -> list[EventRow]:
    """Return events of these parties with seq > after, oldest first."""
    wanted = [event.c.party.in_(parties), event.c.seq > after]
    if kinds is not None:
        wanted.append(event.c.kind.in_(kinds))
    return _events(conn, select(*_EVENT_COLUMNS).where(*wanted).order_by(event.c.seq).limit(limit))


def events_of_kinds(conn: Connection, kinds: Collection[str], *, after: int) -> list[EventRow]:
    """Return every event of these kinds with seq > after, oldest first."""
    statement = select(*_EVENT_COLUMNS).where(event.c.kind.in_(kinds), event.c.seq > after)
    return _events(conn, statement.order_by(event.c.seq))


def newest_of_kind(conn: Connection, kind: str) -> EventRow | None:
    """Return the newest event of this kind."""
    statement = select(*_EVENT_COLUMNS).where(event.c.kind == kind).order_by(event.c.seq.desc()).limit(1)
    row = conn.execute(statement).first()
    return EventRow(*row) if row else None


def parties_since(conn: Connection, after: int) -> frozenset[str]:
    """Return the parties of the events with seq > after."""
    return frozenset(conn.scalars(select(event.c.party).where(event.c.seq > after).distinct()))


def search(conn: Connection, wanted: EventFilter, *, before: int | None, limit: int) -> list[EventRow]:
    """Return events that fit the filter with seq < before, newest first."""
    statement = select(*_EVENT_COLUMNS).where(_matches(wanted))
    if before is not None:
        statement = statement.where(event.c.seq < before)
    return _events(conn, statement.order_by(event.c.seq.desc()).limit(limit))


def counts(conn: Connection) -> dict[str, int]:
    """Return how many events of each kind there are (an index-only scan; for administrators)."""
    statement = select(event.c.kind, func.count()).group_by(event.c.kind)
    return dict(conn.execute(statement).all())


_EVENT_COLUMNS = (
    event.c.seq,
    event.c.time,
    event.c.kind,
    event.c.party,
    event.c.party_seq,
    event.c.object,
    event.c.body,
)


_HEAD = select(event.c.seq, event.c.time).order_by(event.c.seq.desc()).limit(1)
_ROWS = (
    select(log.c.seq, log.c.entry, log.c.nodes, *_EVENT_COLUMNS[1:])
    .join_from(log, event, log.c.seq == event.c.seq)
    .where(log.c.seq >= bindparam("low"), log.c.seq < bindparam("high"))
    .order_by(log.c.seq)
)


def _events(conn: Connection, statement: Executable) -> list[EventRow]:
    return [EventRow(*row) for row in conn.execute(statement)]


def _matches(wanted: EventFilter) -> ColumnElement[bool]:
    parts: list[ColumnElement[bool]] = [event.c.seq >= 0]
    if wanted.since is not None:
        parts.append(event.c.time >= wanted.since)
    if wanted.until is not None:
        parts.append(event.c.time < wanted.until)
    if wanted.kinds is not None:
        parts.append(event.c.kind.in_(wanted.kinds))
    if wanted.party is not None:
        parts.append(event.c.party == wanted.party)
    if wanted.object is not None:
        parts.append(event.c.object == wanted.object)
    if wanted.text is not None:
        parts.append(_has_text(wanted.text))
    return and_(*parts)


def _has_text(text: str) -> ColumnElement[bool]:
    same_seq = event.c.seq == int(text) if text.isascii() and text.isdigit() and len(text) < 16 else false()  # noqa: PLR2004
    return or_(
        same_seq,
        event.c.party.contains(text, autoescape=True),
        event.c.object.contains(text, autoescape=True),
    )
