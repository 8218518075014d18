"""Rows of stored lines: who they go to, what they refer to."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Connection,
    Select,
    and_,
    bindparam,
    func,
    literal_column,
    not_,
    or_,
    select,
    union_all,
    update,
)

from broker.store import watches
from broker.store.bulk import insert_rows
from broker.store.tables import delivery, indicator, line, recipient, ref
from lintas.filter import EVERYTHING, Filter
from lintas.vocabulary import tlp_rank

RELEASED = "released"
WITHDRAWING = ("recalls", "recalls-part", "supersedes")
"""Relations that change what the holders of the earlier bulletin may rely on."""

RECALL = "recall"
EVERYONE = "*"
FETCH_MAX = 1_000
"""Rows read at a time when walking all lines."""

FEEDS_MAX = 1_024
"""Feed statements that are kept ready: two for each agency and filter in use."""


class StoredLine(NamedTuple):
    """A line with the columns that decide who may read it. `at` is the second it was accepted.

    `raw` is None once the content was purged; `is_personal` tells that it has person data, or may have some;
    `is_said_of`, that later bulletins refer to it, or may.
    """

    seq: int
    id: str
    typ: str
    raw: bytes | None
    iss: str
    kid: str
    at: int
    exp: int | None
    kind: str | None
    topic: str | None
    urgency: str | None
    tlp_rank: int | None
    withdraws: bool
    is_personal: bool
    is_said_of: bool = True


@dataclass(frozen=True, slots=True)
class Reader:
    """Whose feed is read, and what may be in it now. `topics` None means every topic."""

    agency: str
    topics: frozenset[str] | None
    tlp_rank_max: int
    only_withdrawals: bool = False


@dataclass(frozen=True, slots=True)
class Passed:
    """What a cursor passed: log indexes above `above` up to `until`; by which ways it is received; the second now."""

    above: int
    until: int
    ways: Collection[str]
    now: int


@dataclass(frozen=True, slots=True)
class Reference:
    """A later bulletin that says something (`relation`) of an earlier one."""

    target: int
    relation: str
    id: str


_COLUMNS = (
    line.c.seq,
    line.c.id,
    line.c.typ,
    line.c.raw,
    line.c.iss,
    line.c.kid,
    line.c.at,
    line.c.exp,
    line.c.kind,
    line.c.topic,
    line.c.urgency,
    line.c.tlp_rank,
    line.c.withdraws,
    line.c.is_personal,
    select(ref.c.seq).where(ref.c.target == line.c.seq).exists().label("is_said_of"),
)


def insert_lines(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert accepted lines; the unique id refuses a second one."""
    insert_rows(conn, line, rows)


def insert_recipients(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert who they are addressed to."""
    insert_rows(conn, recipient, rows)


def insert_refs(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert what they say of earlier ones."""
    insert_rows(conn, ref, rows)


def known(conn: Connection, ids: Collection[str]) -> dict[str, int]:
    """Return the log index of each of these ids that is stored."""
    if conn.dialect.name == "sqlite":
        # One parameter, however many: SQLite has a limit, and the statement stays prepared.
        statement, wanted = "SELECT id, seq FROM line WHERE id IN (SELECT value FROM json_each(?))", json.dumps([*ids])
        return dict(conn.exec_driver_sql(statement, (wanted,)).all())
    return dict(conn.exec_driver_sql("SELECT id, seq FROM line WHERE id = ANY(%s)", ([*ids],)).all())


def by_id(conn: Connection, line_id: str) -> StoredLine | None:
    """Return a stored line of any kind."""
    row = conn.execute(select(*_COLUMNS).where(line.c.id == line_id)).first()
    return _line(row) if row else None


def by_ids(conn: Connection, ids: Collection[str]) -> dict[str, bytes]:
    """Return the bytes of these lines; those that were purged are left out."""
    found: dict[str, bytes] = {}
    asked = list(ids)
    for start in range(0, len(asked), FETCH_MAX):
        statement = select(line.c.id, line.c.raw).where(line.c.id.in_(asked[start : start + FETCH_MAX]))
        found |= {row.id: row.raw for row in conn.execute(statement) if row.raw is not None}
    return found


def by_seq(conn: Connection, seqs: Collection[int]) -> dict[int, StoredLine]:
    """Return the lines that were accepted at these log indexes."""
    return {row.seq: _line(row) for row in conn.execute(select(*_COLUMNS).where(line.c.seq.in_(seqs)))}


def recipients(conn: Connection, seq: int) -> dict[str, str]:
    """Return the state (released, not-entitled, suspended) of each recipient of a bulletin."""
    statement = select(recipient.c.agency, recipient.c.state).where(recipient.c.seq == seq)
    return dict(conn.execute(statement).all())


def released_seqs(conn: Connection, seq: int) -> dict[str, int]:
    """Return the index of the event that released a bulletin, for each agency (or ``*``) that it was released to."""
    statement = select(recipient.c.agency, recipient.c.released_seq).where(recipient.c.seq == seq)
    return {row.agency: row.released_seq for row in conn.execute(statement) if row.released_seq is not None}


def released_seq(conn: Connection, seq: int, agency: str) -> int | None:
    """Return the index of the event that released a bulletin to this agency, by name or to everyone."""
    statement = select(recipient.c.released_seq).where(
        recipient.c.seq == seq, recipient.c.agency.in_((agency, EVERYONE)), recipient.c.state == RELEASED
    )
    return conn.scalar(statement)


def said(conn: Connection, seq: int) -> set[tuple[str, str]]:
    """Return what a bulletin says of earlier ones: relation, id."""
    statement = select(ref.c.relation, line.c.id).join_from(ref, line, ref.c.target == line.c.seq)
    return {(row.relation, row.id) for row in conn.execute(statement.where(ref.c.seq == seq))}


def references(conn: Connection, seqs: Collection[int]) -> list[Reference]:
    """Return what later bulletins say of these, oldest first."""
    statement = (
        select(ref.c.target, ref.c.relation, line.c.id)
        .join_from(ref, line, ref.c.seq == line.c.seq)
        .where(ref.c.target.in_(seqs))
        .order_by(ref.c.seq)
    )
    return [Reference(*row) for row in conn.execute(statement)]


def targets(conn: Connection, seq: int) -> set[int]:
    """Return the log indexes of the bulletins that this one says something of."""
    return set(conn.scalars(select(ref.c.target).where(ref.c.seq == seq)))


def feed(
    conn: Connection, reader: Reader, wanted: Filter, *, after: int, limit: int, ref_to: str | None = None
) -> list[StoredLine]:
    """Return the bulletins the reader may have with seq > after, oldest first; `ref_to`: only those naming this id.

    Two index walks (own name, everyone) that the database merges as far as they are needed: the cost does not grow
    with the backlog.
    """
    found = conn.execute(_feed(reader, wanted, ref_to), {"after": after, "limit": limit})
    return [_line(row) for row in found.all()]


def waiting(conn: Connection, reader: Reader, wanted: Filter, *, after: int, limit: int) -> int:
    """Return how many bulletins a feed has with seq > after, counted up to `limit`."""
    bounds = {"after": after, "limit": limit}
    return len(conn.scalars(_feed(reader, wanted, None, is_count=True), bounds).all())


@lru_cache(maxsize=FEEDS_MAX)
def _feed(reader: Reader, wanted: Filter, ref_to: str | None, *, is_count: bool = False) -> CompoundSelect[Any]:
    # Kept ready: to build it costs several times what the database takes to answer it.
    halves = [_half(reader, wanted, ref_to, agency) for agency in (reader.agency, EVERYONE)]
    if is_count:
        halves = [half.with_only_columns(recipient.c.seq) for half in halves]
    # By the first column, `recipient.seq`, in whose order both indexes are: nothing has to be sorted.
    return union_all(*halves).order_by(literal_column("1")).limit(bindparam("limit"))


def _half(reader: Reader, wanted: Filter, ref_to: str | None, agency: str) -> Select[*tuple[Any, ...]]:
    half = (
        select(recipient.c.seq, *_COLUMNS[1:])
        .join_from(recipient, line, recipient.c.seq == line.c.seq)
        .where(recipient.c.agency == agency, recipient.c.state == RELEASED, recipient.c.seq > bindparam("after"))
        .where(allowed(reader), *_wanted(wanted, reader.agency), *_refers(ref_to))
    )
    return half.where(line.c.iss != reader.agency) if agency == EVERYONE else half


def since(conn: Connection, after: int, *, limit: int) -> list[StoredLine]:
    """Return every bulletin with seq > after, whoever may have it, oldest first."""
    return [_line(row) for row in conn.execute(_SINCE, {"after": after, "limit": limit}).all()]


def released_between(conn: Connection, first: int, last: int) -> dict[int, set[str]]:
    """Return to whom (or ``*``) the bulletins from log index `first` to `last` were released."""
    found: dict[int, set[str]] = defaultdict(set)
    for seq, agency in conn.execute(_RELEASED_BETWEEN, {"first": first, "last": last}).all():
        found[seq].add(agency)
    return found


_SINCE = (
    select(*_COLUMNS)
    .where(line.c.seq > bindparam("after"), line.c.kind.is_not(None))
    .order_by(line.c.seq)
    .limit(bindparam("limit"))
)
_RELEASED_BETWEEN = select(recipient.c.seq, recipient.c.agency).where(
    recipient.c.seq >= bindparam("first"), recipient.c.seq <= bindparam("last"), recipient.c.state == RELEASED
)


def wanted_of(
    conn: Connection, seqs: Collection[int], wanted: Filter, *, agency: str, ref_to: str | None = None
) -> set[int]:
    """Return which of these bulletins a filter of this agency asks for."""
    statement = select(line.c.seq).where(line.c.seq.in_(seqs), *_wanted(wanted, agency), *_refers(ref_to))
    return set(conn.scalars(statement))


def published(
    conn: Connection, issuer: str, wanted: Filter, *, after: int, limit: int, ref_to: str | None = None
) -> list[StoredLine]:
    """Return the issuer's own bulletins with seq > after, oldest first."""
    statement = select(*_COLUMNS).where(line.c.iss == issuer, line.c.kind.is_not(None), line.c.seq > after)
    statement = statement.where(*_wanted(wanted, issuer), *_refers(ref_to)).order_by(line.c.seq).limit(limit)
    return [_line(row) for row in conn.execute(statement).all()]


def matching(conn: Connection, *conditions: ColumnElement[bool], limit: int) -> list[StoredLine]:
    """Return the lines that meet these conditions, oldest first."""
    statement = select(*_COLUMNS).where(*conditions).order_by(line.c.seq).limit(limit)
    return [_line(row) for row in conn.execute(statement).all()]


def first_opened(conn: Connection, was: Reader, reader: Reader, wanted: Filter, passed: Passed) -> int | None:
    """Return the first bulletin passed and never received that the reader could not have as `was`, and can have now.

    What has ended or was withdrawn needs no going back.
    """
    received = select(delivery.c.seq).where(
        delivery.c.seq == line.c.seq,
        delivery.c.agency == reader.agency,
        delivery.c.way.in_(passed.ways),
        delivery.c.received_seq.is_not(None),
    )
    withdrawn = select(ref.c.seq).where(ref.c.target == line.c.seq, ref.c.relation.in_(("recalls", "supersedes")))
    statement = (
        select(func.min(line.c.seq))
        .where(line.c.seq > passed.above, line.c.seq <= passed.until, line.c.exp > passed.now, line.c.raw.is_not(None))
        .where(is_released_to(reader), not_(allowed(was)), *_wanted(wanted, reader.agency))
        .where(~received.correlate(line).exists(), ~withdrawn.correlate(line).exists())
    )
    return conn.scalar(statement)


def is_released_to(reader: Reader) -> ColumnElement[bool]:
    """Return the condition that a line was released to the reader, who may still have it."""
    mine = recipient.alias()
    released = select(mine.c.seq).where(
        mine.c.agency.in_((reader.agency, EVERYONE)), mine.c.seq == line.c.seq, mine.c.state == RELEASED
    )
    return and_(line.c.iss != reader.agency, released.correlate(line).exists(), allowed(reader))


def set_personal(conn: Connection, seq: int, *, is_personal: bool) -> None:
    """Note whether a bulletin has person data."""
    conn.execute(update(line).where(line.c.seq == seq).values(is_personal=is_personal))


def every(conn: Connection) -> Iterator[StoredLine]:
    """Yield every stored line, oldest first."""
    after = -1
    while rows := conn.execute(select(*_COLUMNS).where(line.c.seq > after).order_by(line.c.seq).limit(FETCH_MAX)).all():
        for row in rows:
            yield _line(row)
        after = rows[-1].seq


def _line(row: Sequence[Any]) -> StoredLine:
    return StoredLine._make(row)


def allowed(reader: Reader) -> ColumnElement[bool]:
    """Return the condition that a line lies within what the reader may have now."""
    # Later changes of grants narrow what is read; nothing narrows a recall. New content waits for a suspension's end.
    if reader.only_withdrawals:
        return and_(line.c.withdraws.is_(True), line.c.kind == RECALL)
    inside = line.c.tlp_rank <= reader.tlp_rank_max
    if reader.topics is not None:
        inside = and_(inside, line.c.topic.in_(reader.topics))
    return or_(line.c.withdraws.is_(True), inside)


def says(wanted: Filter) -> list[ColumnElement[bool]]:
    """Return the conditions that a filter sets on what the header of a line says."""
    parts: list[ColumnElement[bool]] = []
    if wanted.topics:
        parts.append(line.c.topic.in_(wanted.covered_topics()))
    if wanted.kinds:
        parts.append(line.c.kind.in_(wanted.kinds))
    if wanted.issuers:
        parts.append(line.c.iss.in_(wanted.issuers))
    if wanted.countries:
        parts.append(func.substr(line.c.iss, 1, 2).in_(wanted.countries))
    if wanted.urgencies:
        parts.append(line.c.urgency.in_(wanted.urgencies))
    if wanted.tlps:
        parts.append(line.c.tlp_rank.in_({tlp_rank(tlp) for tlp in wanted.tlps}))
    return parts


def _wanted(wanted: Filter, agency: str) -> list[ColumnElement[bool]]:
    if wanted == EVERYTHING:
        return []
    parts = says(wanted)
    if wanted.indicators:
        found = select(indicator.c.seq).where(indicator.c.seq == line.c.seq, indicator.c.type.in_(wanted.indicators))
        parts.append(found.exists())
    if wanted.watches:
        parts.append(line.c.seq.in_(watches.seqs(agency, wanted.watches)))
    # Whatever the filter: who received something must learn that it was withdrawn.
    withdrawing = select(ref.c.seq).where(ref.c.seq == line.c.seq, ref.c.relation.in_(WITHDRAWING)).exists()
    return [or_(and_(*parts), withdrawing)]


def _refers(target_id: str | None) -> list[ColumnElement[bool]]:
    if target_id is None:
        return []
    target = select(line.c.seq).where(line.c.id == target_id).correlate(None).scalar_subquery()
    return [line.c.seq.in_(select(ref.c.seq).where(ref.c.target == target))]
