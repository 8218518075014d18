"""Rows of the collections of TAXII: who may find which object, what was added when.

A page is read by walking a reader's own additions in the order they were added, so that its cost does not grow with
what others have, nor with what was added before. An observable that stands in several bulletins is found once: where
its marking is narrowest, there where it was added first.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    Select,
    and_,
    bindparam,
    delete,
    false,
    func,
    literal,
    literal_column,
    not_,
    or_,
    select,
    text,
)

from broker.store.bulk import insert_rows
from broker.store.lines import EVERYONE, RECALL, RELEASED, WITHDRAWING, Reader
from broker.store.tables import event, line, recipient, ref
from broker.store.taxii_tables import taxii_addition, taxii_filled, taxii_object, taxii_reader
from lintas.stix.ids import stamp

EXPIRED = "bulletin.expired"
SUPERSEDES = "supersedes"
BOUNDS_MAX = 1_024
"""Statements that are kept ready: two for each agency, token and directory with suspects in use."""

MS_US = 1_000


@dataclass(frozen=True, slots=True)
class State:
    """How many events of the log are in the collections, and the newest time that an object was given."""

    size: int = 0
    added: int = 0


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a caller may have: within what its agency may read, what its token opens.

    `topics` None means every topic. `suspects` are keys with the second from which nothing signed with them is served.
    """

    reader: Reader
    tlp_rank_max: int
    topics: frozenset[str] | None
    suspects: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Sought:
    """What of a collection is sought: added later than `after`, of these ids, types, versions; none means any.

    `versions` are times in microseconds.
    """

    collection: str
    after: int = -1
    ids: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    versions: frozenset[int] = frozenset()


class Found(NamedTuple):
    """An object that may be served; `seq` is the bulletin it is read through, None if none."""

    added: int
    id: str
    version: str | None
    size_bytes: int
    seq: int | None
    is_gone: bool


class Told(NamedTuple):
    """An event that says which bulletins ended, with its time in microseconds."""

    seq: int
    time: int
    body: bytes


def state(conn: Connection) -> State:
    """Return how far the collections follow the log."""
    row = conn.execute(select(taxii_filled.c.size, taxii_filled.c.added)).first()
    return State() if row is None else State(row.size, row.added)


def set_state(conn: Connection, new: State) -> None:
    """Note how far they follow."""
    conn.execute(_SET_STATE, {"size": new.size, "added": new.added})


_SET_STATE = text(
    "INSERT INTO taxii_filled (id, size, added) VALUES (0, :size, :added) "
    "ON CONFLICT (id) DO UPDATE SET size = excluded.size, added = excluded.added"
)


def find(conn: Connection, bounds: Bounds, sought: Sought, *, limit: int, now: int) -> list[Found]:
    """Return what a caller finds in a collection, in the order it was added."""
    size = state(conn).size
    params = {"after": sought.after, "limit": limit, "now": now, "size": size, "collection": sought.collection}
    if sought.ids:
        statement = _by_id(bounds).where(taxii_object.c.id.in_(sought.ids))
        return [Found._make(row) for row in conn.execute(_narrowed(statement, sought), params)]
    statements = (_narrowed(_walk(bounds, agency), sought) for agency in (bounds.reader.agency, EVERYONE))
    halves = [conn.execute(statement, params) for statement in statements]
    rows = [Found._make(row) for row in islice(heapq.merge(*halves, key=attrgetter("added")), limit)]
    for half in halves:
        half.close()
    return rows


def bodies(conn: Connection, added: Sequence[int]) -> dict[int, bytes]:
    """Return the bytes of the objects that were added at these times."""
    return dict(_of_numbers(conn, "SELECT added, body FROM taxii_object WHERE added IN ", added))


def _of_numbers(conn: Connection, asked: str, numbers: Collection[int]) -> list[Any]:
    # One parameter, however many: a list that is bound costs more than what it finds.
    if conn.dialect.name == "sqlite":
        found = conn.exec_driver_sql(f"{asked}(SELECT value FROM json_each(?))", (json.dumps([*numbers]),))  # noqa: S608 - a text of our own
        return [*found]
    return [*conn.exec_driver_sql(f"{asked}(SELECT unnest(%s::bigint[]))", ([*numbers],))]


def insert_additions(
    conn: Connection,
    additions: Sequence[Mapping[str, Any]],
    readers: Sequence[Mapping[str, Any]],
    objects: Sequence[Mapping[str, Any]],
) -> None:
    """Insert additions with who may find them, with their objects."""
    insert_rows(conn, taxii_addition, additions)
    insert_rows(conn, taxii_reader, readers)
    insert_rows(conn, taxii_object, objects)


def recount(conn: Connection) -> None:
    """Have Postgres count the tables, by whose sizes it plans a page; by itself it does so minutes later."""
    if conn.dialect.name != "sqlite":
        conn.exec_driver_sql("ANALYZE taxii_addition, taxii_reader, taxii_object, recipient, ref")


def forget(conn: Connection, seqs: Collection[int]) -> None:
    """Remove all that tells of these bulletins."""
    found = conn.execute(
        select(taxii_addition.c.first, taxii_addition.c.last).where(taxii_addition.c.seq.in_(seqs))
    ).all()
    for first, last in found:
        conn.execute(delete(taxii_object).where(taxii_object.c.added.between(first, last)))
        conn.execute(delete(taxii_reader).where(taxii_reader.c.last == last))
    if found:
        conn.execute(delete(taxii_addition).where(taxii_addition.c.seq.in_(seqs)))


def empty(conn: Connection) -> None:
    """Remove everything, to be made again; times that were given are not given again."""
    for table in (taxii_object, taxii_reader, taxii_addition):
        conn.execute(delete(table))
    set_state(conn, State(0, state(conn).added))


def known(conn: Connection, ids: Collection[str]) -> set[str]:
    """Return which of these objects there are."""
    return set(conn.scalars(select(taxii_object.c.id).where(taxii_object.c.id.in_(ids))))


def heads(conn: Connection, seqs: Collection[int]) -> list[tuple[int, str, str]]:
    """Return index, id and issuer of these bulletins, in the order of the log."""
    return sorted(_of_numbers(conn, "SELECT seq, id, iss FROM line WHERE seq IN ", seqs))


def seqs_of(conn: Connection, ids: Collection[str]) -> list[int]:
    """Return the indexes of these bulletins, in the order of the log."""
    return list(conn.scalars(select(line.c.seq).where(line.c.id.in_(ids)).order_by(line.c.seq)))


def first_of(conn: Connection, seq: int) -> int:
    """Return the bulletin that a chain of supersessions began with."""
    chain = select(literal(seq, BigInteger).label("seq")).cte("chain", recursive=True)
    before = select(func.min(ref.c.target)).where(ref.c.seq == chain.c.seq, ref.c.relation == SUPERSEDES)
    earlier = before.correlate(chain).scalar_subquery()
    chain = chain.union_all(select(earlier).select_from(chain).where(earlier.is_not(None)))
    first: int = conn.scalars(select(func.min(chain.c.seq))).one()
    return first


def is_behind(conn: Connection) -> bool:
    """Tell whether the log has something that the collections do not have yet."""
    size = select(taxii_filled.c.size).scalar_subquery()
    bulletins = select(line.c.seq).where(line.c.seq >= size, line.c.kind.is_not(None))
    ends = select(event.c.seq).where(event.c.kind == EXPIRED, event.c.seq >= size)
    is_empty = ~select(taxii_filled.c.id).exists()
    return bool(conn.scalar(select(or_(is_empty, bulletins.exists(), ends.exists()))))


def expired_between(conn: Connection, start: int, stop: int, *, limit: int) -> list[Told]:
    """Return the events start <= seq < stop that say which bulletins ended."""
    columns = (event.c.seq, event.c.time, event.c.body)
    statement = select(*columns).where(event.c.kind == EXPIRED, event.c.seq >= start, event.c.seq < stop)
    return [
        Told(row.seq, row.time, row.body or b"") for row in conn.execute(statement.order_by(event.c.seq).limit(limit))
    ]


def says(conn: Connection, seq: int) -> list[tuple[str, int]]:
    """Return what a bulletin withdraws: relation, target."""
    statement = select(ref.c.relation, ref.c.target).where(ref.c.seq == seq, ref.c.relation.in_(WITHDRAWING))
    return [(row.relation, row.target) for row in conn.execute(statement.order_by(ref.c.target))]


def said(conn: Connection, target: int) -> list[tuple[str, int]]:
    """Return what withdraws a bulletin, oldest first: relation, index."""
    statement = select(ref.c.relation, ref.c.seq).where(ref.c.target == target, ref.c.relation.in_(WITHDRAWING))
    return [(row.relation, row.seq) for row in conn.execute(statement.order_by(ref.c.seq))]


def misplaced(conn: Connection) -> int | None:
    """Return a bulletin of which something is served to an agency that it was not released to, or after its purge."""
    released = select(recipient.c.seq).where(
        recipient.c.seq == taxii_addition.c.seq,
        recipient.c.agency == taxii_reader.c.agency,
        recipient.c.state == RELEASED,
    )
    wrong = (
        select(taxii_addition.c.seq)
        .join_from(taxii_addition, taxii_reader, taxii_reader.c.last == taxii_addition.c.last)
        .where(taxii_addition.c.seq.is_not(None), ~released.exists())
    )
    purged = select(taxii_addition.c.seq).join_from(taxii_addition, line, line.c.seq == taxii_addition.c.seq)
    for statement in (wrong, purged.where(line.c.raw.is_(None))):
        seq = conn.scalar(statement.limit(1))
        if seq is not None:
            return seq
    return None


@lru_cache(maxsize=BOUNDS_MAX)
def _walk(bounds: Bounds, agency: str) -> Select[Any]:
    # Kept ready, as the halves of a feed are.
    spans = taxii_addition.join(taxii_reader, taxii_reader.c.last == taxii_addition.c.last)
    objects = taxii_object.c.added.between(taxii_addition.c.first, taxii_addition.c.last)
    return (
        _found(spans.join(taxii_object, objects), bounds)
        .where(taxii_reader.c.agency == agency, _readable(taxii_addition, bounds, agency))
        .where(taxii_reader.c.last > bindparam("after"))
        .order_by(taxii_reader.c.last, taxii_object.c.added)
    )


@lru_cache(maxsize=BOUNDS_MAX)
def _by_id(bounds: Bounds) -> Select[Any]:
    spans = taxii_object.join(taxii_addition, taxii_addition.c.last == taxii_object.c.last).join(
        taxii_reader, taxii_reader.c.last == taxii_addition.c.last
    )
    # Not by its index: what is sought is found by its id, and few have it.
    agency = taxii_reader.c.agency.concat("")
    return _found(spans, bounds).where(_readable_by(agency, taxii_addition, bounds)).order_by(taxii_object.c.added)


def _found(spans: FromClause, bounds: Bounds) -> Select[Any]:
    size_bytes = func.length(taxii_object.c.body)
    columns = (
        taxii_object.c.added,
        taxii_object.c.id,
        taxii_object.c.version,
        size_bytes,
        taxii_addition.c.seq,
        taxii_addition.c.is_gone,
    )
    return (
        select(*columns)
        .select_from(spans)
        .where(taxii_reader.c.collection == bindparam("collection"), taxii_object.c.added > bindparam("after"))
        .where(_stands(taxii_addition, bounds), ~_better(bounds).exists())
        .limit(bindparam("limit"))
    )


def _narrowed(statement: Select[Any], sought: Sought) -> Select[Any]:
    if sought.types:
        statement = statement.where(or_(*(taxii_object.c.id.startswith(f"{each}--") for each in sorted(sought.types))))
    if sought.versions:
        texts = {each for time_us in sought.versions for each in _spellings(time_us)}
        unversioned = and_(taxii_object.c.version.is_(None), taxii_object.c.added.in_(sought.versions))
        statement = statement.where(or_(taxii_object.c.version.in_(texts), unversioned))
    return statement


def _spellings(time_us: int) -> Iterator[str]:
    # As the export writes them.
    written = stamp(time_us)
    yield written
    if time_us % MS_US == 0:
        yield f"{written[:-4]}Z"


_Spans = Any
"""The table of additions, or an alias of it."""


def _readable_by(agency: ColumnElement[str], spans: _Spans, bounds: Bounds) -> ColumnElement[bool]:
    return or_(*(and_(agency == each, _readable(spans, bounds, each)) for each in (bounds.reader.agency, EVERYONE)))


def _readable(spans: _Spans, bounds: Bounds, agency: str) -> ColumnElement[bool]:
    """Return the condition that a caller may have what was released to its agency by name, or to everyone."""
    mine = bounds.reader
    inside = _inside(spans, mine.tlp_rank_max, mine.topics)
    if mine.only_withdrawals:
        allowed = and_(spans.c.withdraws, or_(spans.c.is_gone, spans.c.kind == RECALL))
    else:
        allowed = or_(spans.c.withdraws, inside)
    if agency == EVERYONE:
        # That it is gone is told to those who could have it, for ids are made of values.
        allowed = and_(allowed, spans.c.iss != mine.agency, or_(not_(spans.c.is_gone), inside))
    allowed = and_(allowed, _inside(spans, bounds.tlp_rank_max, bounds.topics))
    return or_(spans.c.seq.is_(None), allowed)


def _inside(spans: _Spans, rank_max: int, topics: frozenset[str] | None) -> ColumnElement[bool]:
    inside = spans.c.tlp_rank <= rank_max
    return inside if topics is None else and_(inside, _among(spans.c.topic, sorted(topics)))


def _among(column: ColumnElement[str], values: Collection[str]) -> ColumnElement[bool]:
    # Words of our own, written out: to bind a list costs more at every page than to look it up.
    assert all(each.replace(".", "").replace("-", "").isalnum() for each in values)
    return column.in_([literal_column(f"'{each}'") for each in values]) if values else false()


def _stands(spans: _Spans, bounds: Bounds) -> ColumnElement[bool]:
    """Return the condition that nothing has withdrawn it, not even what is in the log alone yet."""
    later = select(ref.c.seq).where(
        ref.c.target == spans.c.seq, _among(ref.c.relation, WITHDRAWING), ref.c.seq >= bindparam("size")
    )
    parts = [
        or_(spans.c.until.is_(None), spans.c.until > bindparam("now")),
        or_(spans.c.is_gone, ~later.correlate(spans).exists()),
    ]
    if bounds.suspects:
        keys = or_(*(and_(line.c.kid == kid, line.c.at >= since) for kid, since in bounds.suspects))
        signed = select(line.c.seq).where(line.c.seq == spans.c.seq, keys)
        parts.append(or_(spans.c.is_gone, ~signed.correlate(spans).exists()))
    return and_(*parts)


def _better(bounds: Bounds) -> Select[Any]:
    """Select what a caller finds in the place of an object: its newer version, its narrower or earlier occurrence."""
    other, spans, whose = taxii_object.alias(), taxii_addition.alias(), taxii_reader.alias()
    earlier = and_(spans.c.tlp_rank == taxii_addition.c.tlp_rank, other.c.added < taxii_object.c.added)
    narrower = or_(spans.c.tlp_rank > taxii_addition.c.tlp_rank, earlier)
    found = other.join(spans, spans.c.last == other.c.last).join(whose, whose.c.last == spans.c.last)
    is_versioned = taxii_object.c.version.is_not(None)
    return (
        select(other.c.added)
        .select_from(found)
        .where(other.c.id == taxii_object.c.id, other.c.added != taxii_object.c.added)
        .where(whose.c.collection == bindparam("collection"), _readable_by(whose.c.agency, spans, bounds))
        .where(or_(and_(is_versioned, other.c.added > taxii_object.c.added), and_(not_(is_versioned), narrower)))
        .where(_stands(spans, bounds))
        .correlate(taxii_object, taxii_addition)
    )
