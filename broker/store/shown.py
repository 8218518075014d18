"""Rows of bulletins as a list shows them: what their headers say, the newest first.

The bytes of a bulletin are never read here: a covering index holds what a header says, so that lists and figures cost
what they show, however long the log is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Select, Subquery, func, select, union_all

from broker.store.lines import EVERYONE, RELEASED, Reader, allowed, says
from broker.store.tables import line, recipient
from lintas.filter import Filter

DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Shown:
    """What the header of a bulletin says. `at` is the second it was accepted, `seq` the log index of that event."""

    seq: int
    id: str
    at: int
    iss: str
    kind: str
    topic: str
    urgency: str
    tlp_rank: int


@dataclass(frozen=True, slots=True)
class Part:
    """Which part of a list: log indexes above `after` and, if given, below `before`; at most `limit` rows."""

    after: int = -1
    before: int | None = None
    limit: int = 50


_COLUMNS: tuple[Column[Any], ...] = (
    line.c.seq,
    line.c.id,
    line.c.at,
    line.c.iss,
    line.c.kind,
    line.c.topic,
    line.c.urgency,
    line.c.tlp_rank,
)


def newest(conn: Connection, reader: Reader | None, wanted: Filter, part: Part) -> list[Shown]:
    """Return the newest bulletins of this part; those that the reader issued or may have, or with None all."""
    if reader is None:
        statement = select(*_COLUMNS).where(line.c.kind.is_not(None), *_within(line.c.seq, part), *says(wanted))
        return [Shown(*row) for row in conn.execute(statement.order_by(line.c.seq.desc()).limit(part.limit))]
    found = _mine(reader, says(wanted), part, _COLUMNS)
    return [Shown(*row) for row in conn.execute(select(found).order_by(found.c.seq.desc()).limit(part.limit))]


def by_day(conn: Connection, reader: Reader | None, *, after: int) -> list[tuple[int, str, bool, int]]:
    """Return (day since 1970, topic, whether the reader issued it, how many) of the bulletins above this index."""
    mine = line.c.iss == (reader.agency if reader else "")
    found = _all(reader, after, ((line.c.at // DAY_S).label("day"), line.c.topic, mine.label("own")))
    groups = (found.c.day, found.c.topic, found.c.own)
    rows = conn.execute(select(*groups, func.count()).group_by(*groups))
    return [(row[0], row[1], bool(row[2]), row[3]) for row in rows]


def by_issuer(conn: Connection, reader: Reader | None, *, after: int) -> dict[str, int]:
    """Return how many of the bulletins above this index are from each agency."""
    found = _all(reader, after, (line.c.iss,))
    return dict(conn.execute(select(found.c.iss, func.count()).group_by(found.c.iss)).all())


def _all(reader: Reader | None, after: int, columns: tuple[Any, ...]) -> Subquery:
    if reader is None:
        return select(*columns).where(line.c.kind.is_not(None), line.c.seq > after).subquery()
    return _mine(reader, [], Part(after, limit=0), columns)


def _mine(reader: Reader, conditions: list[ColumnElement[bool]], part: Part, columns: tuple[Any, ...]) -> Subquery:
    """Return the bulletins of three index walks: issued, released by name, released to everyone."""
    own = select(*columns).where(
        line.c.iss == reader.agency, line.c.kind.is_not(None), *_within(line.c.seq, part), *conditions
    )
    walks = [_cut(own, line.c.seq, part)]
    for agency in (reader.agency, EVERYONE):
        walk = (
            select(*columns)
            .join_from(recipient, line, recipient.c.seq == line.c.seq)
            .where(recipient.c.agency == agency, recipient.c.state == RELEASED, *_within(recipient.c.seq, part))
            .where(allowed(reader), line.c.iss != reader.agency, *conditions)
        )
        walks.append(_cut(walk, recipient.c.seq, part))
    return union_all(*walks).subquery()


def _cut(walk: Select[Any], seq: Column[int], part: Part) -> Select[Any]:
    if not part.limit:
        return walk
    return select(walk.order_by(seq.desc()).limit(part.limit).subquery())


def _within(seq: Column[int], part: Part) -> list[ColumnElement[bool]]:
    return [seq > part.after] + ([] if part.before is None else [seq < part.before])
