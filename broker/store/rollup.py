"""Counts of events by hour or day, party, kind, topic, marking: what figures over the whole log are made of.

The log is rolled up behind its head, a few thousand events at a time: nothing is added to the work of an append, and a
view adds the events that are not in yet. Derived: `fits` compares it with the log, `recount` makes it again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    delete,
    func,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from broker.store.tables import event, line, rolled, rollup

HOUR, DAY, MONTH = 1, 24, 672
"""Widths of a span in hours, each a multiple of the one before."""

HOUR_US = 3_600_000_000
NO_TOPIC, NO_TLP = "", -1
DAYS_TOGETHER_MAX = 16
RECOUNT_STEP = 50_000

_KEY = ("width", "start", "party", "kind", "topic", "tlp_rank")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events are meant: of these parties, kinds, topics and markings; None means any.

    Indexes from `low` up to but not at `high`.
    """

    low: int = 0
    high: int = 2**62
    parties: frozenset[str] | None = None
    kinds: frozenset[str] | None = None
    topics: frozenset[str] | None = None
    tlps: frozenset[int] | None = None

    @property
    def is_all(self) -> bool:
        """Tell whether nothing but indexes is asked for."""
        return self.parties is None and self.kinds is None and not self.is_of_bulletins

    def has(self, party: str, kind: str) -> bool:
        """Tell whether events of this party and kind are meant, as far as these say."""
        return (self.parties is None or party in self.parties) and (self.kinds is None or kind in self.kinds)

    @property
    def is_of_bulletins(self) -> bool:
        """Tell whether only accepted bulletins can fit."""
        return self.topics is not None or self.tlps is not None


@dataclass(frozen=True, slots=True)
class Cell:
    """What is counted together."""

    party: str
    kind: str
    topic: str
    tlp_rank: int


def size(conn: Connection) -> int:
    """Return how many events are rolled up."""
    return conn.scalar(select(rolled.c.size)) or 0


def roll_up(conn: Connection, start: int, stop: int) -> None:
    """Add the events start <= seq < stop; `start` is what `size` says."""
    for width in (HOUR, DAY, MONTH):
        counted = _counted(start, stop, width)
        insert_or_add = sqlite.insert if conn.dialect.name == "sqlite" else postgresql.insert
        new = insert_or_add(rollup).from_select([column.name for column in rollup.c], counted)
        added = {"count": rollup.c.count + new.excluded.count, "last": new.excluded.last}
        conn.execute(new.on_conflict_do_update(index_elements=_KEY, set_=added))
    if conn.execute(update(rolled).values(size=stop)).rowcount == 0:
        conn.execute(insert(rolled), {"id": 0, "size": stop})


def fits(conn: Connection) -> bool:
    """Tell whether the counts are those of the events that are rolled up. Reads all of these."""
    upto, head = size(conn), conn.scalar(select(func.coalesce(func.max(event.c.seq), -1) + 1))
    cell = _event_columns(HOUR)[:4]
    events = select(*cell, func.count()).select_from(_events).where(event.c.seq < upto).group_by(*cell)
    wanted = {tuple(row[:4]): int(row[4]) for row in conn.execute(events)}
    kept = (rollup.c.party, rollup.c.kind, rollup.c.topic, rollup.c.tlp_rank)
    for width in (HOUR, DAY, MONTH):
        counted = select(*kept, func.sum(rollup.c.count)).where(rollup.c.width == width).group_by(*kept)
        if upto > (head or 0) or wanted != {tuple(row[:4]): int(row[4]) for row in conn.execute(counted)}:
            return False
    return True


def recount(conn: Connection, upto: int) -> None:
    """Count the events below `upto` anew. It takes some ten seconds a million."""
    conn.execute(delete(rollup))
    for start in range(0, upto, RECOUNT_STEP):
        roll_up(conn, start, min(upto, start + RECOUNT_STEP))


def cells(conn: Connection, parties: Collection[str] | None, bounds: tuple[int, int], upto: int) -> dict[Cell, int]:
    """Count the events of these parties with bounds[0] <= seq < bounds[1] by cell; `upto` events are rolled up.

    Whole days and whole hours come from the rollup, what is left over at either end from the events themselves.
    """
    found: dict[Cell, int] = {}
    for columns, source, where in _parts(bounds, upto, conn=conn):
        party, kind, topic, tlp, count, _ = columns
        statement = select(party, kind, topic, tlp, count).select_from(source).where(*where)
        if parties is not None:
            statement = statement.where(party.in_(parties))
        for row in conn.execute(statement.group_by(party, kind, topic, tlp)):
            cell = Cell(*row[:4])
            found[cell] = found.get(cell, 0) + int(row[4])
    return found


def days(
    conn: Connection, kinds: Collection[str], bounds: tuple[int, int], upto: int
) -> dict[tuple[int, str, str, str], int]:
    """Count the events of these kinds by day since 1970, party, kind, topic."""
    found: dict[tuple[int, str, str, str], int] = {}
    for columns, source, where in _parts(bounds, upto, DAY, conn=conn):
        party, kind, topic, _, count, start = columns
        statement = select(start, party, kind, topic, count).select_from(source).where(*where, kind.in_(kinds))
        for row in conn.execute(statement.group_by(start, party, kind, topic)):
            key = int(row[0]) // DAY, row[1], row[2], row[3]
            found[key] = found.get(key, 0) + int(row[4])
    return found


def bars(conn: Connection, wanted: Wanted, span_us: int, upto: int) -> dict[tuple[int, str], int]:
    """Count what is wanted by span of time and kind; the key is when the span begins (Unix microseconds) with the kind.

    A span is an hour, a day or less than an hour. What is shorter is counted one by one: the caller bounds how many.
    """
    if span_us < HOUR_US:
        return _moments(conn, wanted, span_us)
    found: dict[tuple[int, str], int] = {}
    for columns, source, where in _parts((wanted.low, wanted.high), upto, span_us // HOUR_US, conn=conn):
        party, kind, topic, tlp, count, start = columns
        statement = select(start, kind, count).select_from(source)
        statement = statement.where(*where, *_matching(wanted, party, kind, topic, tlp))
        for row in conn.execute(statement.group_by(start, kind)):
            key = int(row[0]) * HOUR_US, row[1]
            found[key] = found.get(key, 0) + int(row[2])
    return found


def _moments(conn: Connection, wanted: Wanted, span_us: int) -> dict[tuple[int, str], int]:
    begin = event.c.time // literal_column(str(span_us)) * literal_column(str(span_us))
    party, kind, topic, tlp, count, _ = _event_columns(HOUR)
    statement = (
        select(begin, kind, count)
        .select_from(_events if wanted.is_of_bulletins else event)
        .where(event.c.seq >= wanted.low, event.c.seq < wanted.high)
    )
    statement = statement.where(*_matching(wanted, party, kind, topic, tlp)).group_by(begin, kind)
    return {(int(row[0]), row[1]): int(row[2]) for row in conn.execute(statement)}


def ranges(conn: Connection, wanted: Wanted, *, newest: bool) -> Iterator[tuple[int, int]]:
    """Yield ranges of indexes (first, last) in which something is wanted, an hour each, in order.

    Days are looked at before their hours: whoever stops early has read little.
    """
    days = [start for start, _, _ in _spans_with(conn, wanted, DAY, None, newest=newest)]
    done, together = 0, 1
    while done < len(days):
        hours = [start + hour for start in days[done : done + together] for hour in range(DAY)]
        for _, first, last in _spans_with(conn, wanted, HOUR, hours, newest=newest):
            yield first, last
        # Whoever goes on is after something rare.
        done, together = done + together, min(2 * together, DAYS_TOGETHER_MAX)


def _spans_with(
    conn: Connection, wanted: Wanted, width: int, hours: Sequence[int] | None, *, newest: bool
) -> Iterator[tuple[int, int, int]]:
    statement = (
        select(rollup.c.start, func.min(rollup.c.first), func.max(rollup.c.last))
        .where(rollup.c.width == width)
        .where(rollup.c.last >= wanted.low, rollup.c.first < wanted.high)
        .where(*_matching(wanted, rollup.c.party, rollup.c.kind, rollup.c.topic, rollup.c.tlp_rank))
        .group_by(rollup.c.start)
        .order_by(rollup.c.start.desc() if newest else rollup.c.start)
    )
    if hours is not None:
        # Named one by one, so that a party and a kind are looked up in each instead of read past.
        statement = statement.where(rollup.c.start.in_(hours))
    for start, first, last in conn.execute(statement):
        yield int(start), int(first), int(last)


def boundary(conn: Connection, time_us: int, size_: int) -> int:
    """Return the index of the first event at this time or later, `size_` when there is none; times rise with it."""
    statement = select(event.c.seq).where(event.c.time >= time_us).order_by(event.c.time).limit(1)
    found = conn.scalar(statement)
    return size_ if found is None else found


@dataclass(frozen=True, slots=True)
class _Spans:
    """A range of indexes as whole hours begin <= hour < end, with what is left over of it as ranges of indexes."""

    begin: int
    end: int
    rest: tuple[tuple[int, int], ...]


_Columns = tuple[ColumnElement[Any], ...]
"""Party, kind, topic, rank of the marking, count, first hour of the span."""


def _parts(
    bounds: tuple[int, int], upto: int, width: int = MONTH, *, conn: Connection
) -> Iterator[tuple[_Columns, FromClause, list[ColumnElement[bool]]]]:
    spans = _spans(conn, bounds, upto)
    yield from (_rolled_part(*part, width) for part in _widest(spans.begin, spans.end, width))
    for low, high in spans.rest:
        if low < high:
            yield _event_columns(width), _events, [event.c.seq >= low, event.c.seq < high]


def _widest(begin: int, end: int, width_max: int) -> Iterator[tuple[int, int, int]]:
    """Cover whole hours by spans as wide as can be: (width, begin, end) each."""
    for width in (MONTH, DAY):
        first, last = -(-begin // width) * width, end // width * width
        if width <= width_max and first < last:
            yield width, first, last
            yield from _widest(begin, first, width - 1)
            yield from _widest(last, end, width - 1)
            return
    if begin < end:
        yield HOUR, begin, end


def _spans(conn: Connection, bounds: tuple[int, int], upto: int) -> _Spans:
    low, high = bounds
    if low >= min(high, upto):
        return _Spans(0, 0, ((low, high),))
    begin, end, rest = 0, _FOR_EVER, [(max(low, upto), high)]
    if low > 0:
        begin = _hour(conn, low)
        if _hour(conn, low - 1) == begin:
            begin += 1
            rest.append((low, min(high, boundary(conn, begin * HOUR_US, upto))))
    if high < upto:
        end = _hour(conn, high - 1) + 1
        if _hour(conn, high) == end - 1:
            end -= 1
            rest.append((max(low, boundary(conn, end * HOUR_US, upto)), high))
    if begin > end:
        # Both ends lie within one hour.
        return _Spans(0, 0, ((low, high),))
    return _Spans(begin, end, tuple(rest))


def _hour(conn: Connection, seq: int) -> int:
    return int(conn.scalars(select(event.c.time).where(event.c.seq == seq)).one()) // HOUR_US


def _rolled_part(
    width: int, begin: int, end: int, shown: int
) -> tuple[_Columns, FromClause, list[ColumnElement[bool]]]:
    start = (
        rollup.c.start if width == shown else rollup.c.start // literal_column(str(shown)) * literal_column(str(shown))
    )
    columns = (rollup.c.party, rollup.c.kind, rollup.c.topic, rollup.c.tlp_rank, func.sum(rollup.c.count), start)
    return columns, rollup, [rollup.c.width == width, rollup.c.start >= begin, rollup.c.start < end]


def _event_columns(width: int) -> _Columns:
    span = event.c.time // literal_column(str(width * HOUR_US)) * literal_column(str(width))
    topic = func.coalesce(line.c.topic, literal_column("''"))
    tlp = func.coalesce(line.c.tlp_rank, literal_column("-1"))
    return (event.c.party, event.c.kind, topic, tlp, func.count(), span)


def _counted(start: int, stop: int, width: int) -> Select[Any]:
    party, kind, topic, tlp, count, span = _event_columns(width)
    first, last = func.min(event.c.seq), func.max(event.c.seq)
    columns: list[ColumnElement[Any]] = [literal_column(str(width)), span, party, kind, topic, tlp, count, first, last]
    return (
        select(*columns)
        .select_from(_events)
        .where(event.c.seq >= start, event.c.seq < stop)
        .group_by(span, party, kind, topic, tlp)
    )


def _matching(
    wanted: Wanted,
    party: ColumnElement[str],
    kind: ColumnElement[str],
    topic: ColumnElement[str],
    tlp: ColumnElement[int],
) -> list[ColumnElement[bool]]:
    pairs = ((party, wanted.parties), (kind, wanted.kinds), (topic, wanted.topics), (tlp, wanted.tlps))
    return [column.in_(values) for column, values in pairs if values is not None]


_events = event.outerjoin(line, line.c.seq == event.c.seq)
_FOR_EVER = 2**40
