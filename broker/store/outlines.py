"""Bulletins in outline, as many as a feed for other tools may have: without content, found by what became of them."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, case, exists, func, literal, or_, select

from broker.store.lines import EVERYONE, RECALL, RELEASED, WITHDRAWING, Reader, StoredLine
from broker.store.tables import event, line, recipient, ref

RECALLS, SUPERSEDES = "recalls", "supersedes"
PURGED = "bulletin.purged"
ASKED_MAX = 500
"""Values in one statement."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Whose feed is read, and within what a read token's own bounds are narrower; topics None means all."""

    reader: Reader
    topics: frozenset[str] | None
    tlp_rank_max: int


def newest(conn: Connection, bounds: Bounds, *, limit: int) -> list[StoredLine]:
    """Return the newest bulletins within the bounds, newest first. `raw` is there only where it may be sealed."""
    halves = []
    for whose in (bounds.reader.agency, EVERYONE):
        half = _visible(bounds).where(recipient.c.agency == whose).order_by(recipient.c.seq.desc()).limit(limit)
        halves.append([StoredLine._make(row) for row in conn.execute(half)])
    return list(islice(heapq.merge(*halves, key=attrgetter("seq"), reverse=True), limit))


def changed_since(conn: Connection, bounds: Bounds, floor: int) -> list[StoredLine]:
    """Return the bulletins older than log index `floor` of which a later one than that said that they are withdrawn."""
    said = select(ref.c.target).where(ref.c.seq >= floor, ref.c.target < floor, ref.c.relation.in_(WITHDRAWING))
    return among(conn, bounds, set(conn.scalars(said)))


def among(conn: Connection, bounds: Bounds, seqs: Collection[int]) -> list[StoredLine]:
    """Return which of these bulletins are within the bounds, oldest first."""
    mine = recipient.c.agency.in_((bounds.reader.agency, EVERYONE))
    found = [
        StoredLine._make(row)
        for part in _parts(sorted(seqs))
        for row in conn.execute(_visible(bounds).where(mine, line.c.seq.in_(part)))
    ]
    return sorted(found, key=attrgetter("seq"))


def mark(conn: Connection, agency: str, *, now: int) -> tuple[int, ...]:
    """Return figures that are others as soon as anything in the outline of an agency's feed may be: cheap to read.

    Whatever withdraws a bulletin is released to its holders itself.
    """
    released = [select(func.max(recipient.c.seq)).where(recipient.c.agency == whose) for whose in (agency, EVERYONE)]
    ended = select(func.max(line.c.exp)).where(line.c.exp <= now, line.c.raw.is_not(None))
    purged = select(func.max(event.c.seq)).where(event.c.kind == PURGED)
    return tuple(-1 if found is None else found for found in map(conn.scalar, (*released, ended, purged)))


def predecessors(conn: Connection, seqs: Collection[int]) -> dict[int, int]:
    """Return for each of these bulletins that supersedes others the oldest of them."""
    statement = select(ref.c.seq, func.min(ref.c.target)).where(ref.c.relation == SUPERSEDES).group_by(ref.c.seq)
    if not seqs:
        return {}
    if len(seqs) > ASKED_MAX:
        # Supersessions are few: all of a span are read sooner than thousands of bulletins are asked about.
        rows = conn.execute(statement.where(ref.c.seq.between(min(seqs), max(seqs))))
        wanted = set(seqs)
        return {seq: target for seq, target in rows if seq in wanted}
    return dict(conn.execute(statement.where(ref.c.seq.in_(seqs))).all())


def successors(conn: Connection, seqs: Collection[int]) -> set[int]:
    """Return the bulletins that supersede one of these."""
    statement = select(ref.c.seq).where(ref.c.target.in_(seqs), ref.c.relation == SUPERSEDES)
    return set(conn.scalars(statement))


def ids_of(conn: Connection, seqs: Iterable[int]) -> dict[int, tuple[str, int]]:
    """Return id and second of acceptance of the bulletins at these log indexes."""
    parts = _parts(sorted(set(seqs)))
    statements = (select(line.c.seq, line.c.id, line.c.at).where(line.c.seq.in_(part)) for part in parts)
    return {row.seq: (row.id, row.at) for statement in statements for row in conn.execute(statement)}


def accepted_at(conn: Connection, ids: Iterable[str]) -> dict[str, int]:
    """Return the second of acceptance of these bulletins."""
    parts = _parts(sorted(set(ids)))
    statements = (select(line.c.id, line.c.at).where(line.c.id.in_(part)) for part in parts)
    return {row.id: row.at for statement in statements for row in conn.execute(statement)}


def seq_of(conn: Connection, line_id: str) -> int | None:
    """Return the log index of a bulletin."""
    return conn.scalar(select(line.c.seq).where(line.c.id == line_id))


def _visible(bounds: Bounds) -> Select[*tuple[Any, ...]]:
    own = [line.c.tlp_rank <= bounds.tlp_rank_max, line.c.kind != RECALL, line.c.raw.is_not(None)]
    if bounds.topics is not None:
        own.append(line.c.topic.in_(bounds.topics))
    return (
        select(*_columns())
        .join_from(recipient, line, recipient.c.seq == line.c.seq)
        .where(recipient.c.state == RELEASED, line.c.iss != bounds.reader.agency, *own, _permitted(bounds.reader))
    )


def _permitted(reader: Reader) -> ColumnElement[bool]:
    if reader.only_withdrawals:
        # While an agency is suspended it learns what was recalled, as in its feed, and nothing else.
        return exists().where(ref.c.target == line.c.seq, ref.c.relation == RECALLS)
    inside = line.c.tlp_rank <= reader.tlp_rank_max
    if reader.topics is not None:
        inside = and_(inside, line.c.topic.in_(reader.topics))
    return or_(line.c.withdraws.is_(True), inside)


def _columns() -> list[ColumnElement[Any]]:
    # Whether a bulletin is sealed stands in its header alone; one without person data is not.
    raw = case((line.c.is_personal, line.c.raw), else_=literal(b"")).label("raw")
    said = select(ref.c.seq).where(ref.c.target == line.c.seq).exists().label("is_said_of")
    given: dict[str, ColumnElement[Any]] = {"raw": raw, "is_said_of": said}
    return [given[name] if name in given else line.c[name] for name in StoredLine._fields]


def _parts(values: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (values[start : start + ASKED_MAX] for start in range(0, len(values), ASKED_MAX))
