"""Rows of registered interests: what each agency looks for, what it is told of others who look for the same.

Values stand here as HMACs alone, like everywhere in the index.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from broker.store.tables import interest, interest_value, match


@dataclass(frozen=True, slots=True)
class StoredInterest:
    """A registered interest. `checked_seq` is None until its first results are there."""

    seq: int
    id: str
    agency: str
    mode: str
    case_ref: str
    at: int
    until: int
    count: int
    checked_seq: int | None


@dataclass(frozen=True, slots=True)
class Pair:
    """Two interests of two agencies in one value: an earlier one and a later one, each with its mode, its place."""

    earlier: int
    earlier_place: int
    earlier_mode: str
    later: int
    later_place: int
    later_mode: str


@dataclass(frozen=True, slots=True)
class Told:
    """What interest `seq` may be told at one of its places: whose interest has the same, in which mode and case."""

    seq: int
    place: int
    agency: str
    mode: str
    case_ref: str


_COLUMNS = (
    interest.c.seq,
    interest.c.id,
    interest.c.agency,
    interest.c.mode,
    interest.c.case_ref,
    interest.c.at,
    interest.c.until,
    interest.c.count,
    interest.c.checked_seq,
)


def add(conn: Connection, found: StoredInterest, digests: Sequence[tuple[str, bytes]]) -> None:
    """Insert an interest with the (type, digest) of each of its places."""
    conn.execute(insert(interest), {column.name: getattr(found, column.name) for column in _COLUMNS})
    insert_values(conn, found.seq, digests)


def insert_values(conn: Connection, seq: int, digests: Sequence[tuple[str, bytes]]) -> None:
    """Insert the (type, digest) of each place of an interest."""
    rows = [{"type": type_, "digest": each, "seq": seq, "place": n} for n, (type_, each) in enumerate(digests)]
    conn.execute(insert(interest_value), rows)


def standing(conn: Connection, agency: str, now: int) -> list[StoredInterest]:
    """Return the interests of an agency that have not ended, oldest first."""
    statement = select(*_COLUMNS).where(interest.c.agency == agency, interest.c.until > now).order_by(interest.c.seq)
    return [StoredInterest(*row) for row in conn.execute(statement)]


def by_id(conn: Connection, agency: str, interest_id: str, now: int) -> StoredInterest | None:
    """Return an interest of this agency that has not ended."""
    statement = select(*_COLUMNS).where(interest.c.id == interest_id)
    row = conn.execute(statement.where(interest.c.agency == agency, interest.c.until > now)).first()
    return StoredInterest(*row) if row else None


def registered(conn: Connection, agency: str, since: int) -> list[tuple[int, int]]:
    """Return time and number of indicators of what an agency registered after a second, oldest first, ended or not."""
    statement = select(interest.c.at, interest.c.count).where(interest.c.agency == agency, interest.c.at > since)
    return [(at, count) for at, count in conn.execute(statement.order_by(interest.c.seq))]


def due(conn: Connection, before: int, limit: int) -> list[StoredInterest]:
    """Return interests registered before a second whose first results are not there yet, oldest first."""
    statement = select(*_COLUMNS).where(interest.c.checked_seq.is_(None), interest.c.at < before)
    return [StoredInterest(*row) for row in conn.execute(statement.order_by(interest.c.seq).limit(limit))]


def pairs(conn: Connection, seqs: Collection[int], now: int) -> list[Pair]:
    """Return each earlier interest of another agency that stands and has a value of one of these.

    Earlier alone, so that each pair is found once, by its later half.
    """
    mine, theirs = interest_value.alias(), interest_value.alias()
    later, earlier = interest.alias(), interest.alias()
    statement = (
        select(earlier.c.seq, theirs.c.place, earlier.c.mode, later.c.seq, mine.c.place, later.c.mode)
        .join_from(mine, theirs, (mine.c.type == theirs.c.type) & (mine.c.digest == theirs.c.digest))
        .join(later, later.c.seq == mine.c.seq)
        .join(earlier, earlier.c.seq == theirs.c.seq)
        .where(mine.c.seq.in_(seqs), theirs.c.seq < mine.c.seq, earlier.c.agency != later.c.agency)
        .where(earlier.c.until > now, later.c.until > now)
        .order_by(mine.c.seq, mine.c.place, theirs.c.seq)
    )
    return [Pair(*row) for row in conn.execute(statement)]


def tell(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert what interests are told: `seq`, `place`, and the `other` that has the same."""
    conn.execute(insert(match), rows)


def set_checked(conn: Connection, seq: int, checked_seq: int) -> None:
    """Note the event that says that the first results of an interest are there."""
    conn.execute(update(interest).where(interest.c.seq == seq).values(checked_seq=checked_seq))


def told(conn: Connection, seqs: Collection[int]) -> list[Told]:
    """Return what these interests were told, by interest, then place."""
    statement = (
        select(match.c.seq, match.c.place, interest.c.agency, interest.c.mode, interest.c.case_ref)
        .join_from(match, interest, match.c.other == interest.c.seq)
        .where(match.c.seq.in_(seqs))
        .order_by(match.c.seq, match.c.place, match.c.other)
    )
    return [Told(*row) for row in conn.execute(statement)]


def end(conn: Connection, seq: int, now: int) -> None:
    """End an interest: it matches no more, and what it was told is forgotten."""
    conn.execute(update(interest).where(interest.c.seq == seq).values(until=now))
    forget_ended(conn, now)


def forget_ended(conn: Connection, now: int) -> None:
    """Remove the values of interests that have ended, and what they were told. What they told others stays."""
    ended = select(interest.c.seq).where(interest.c.until <= now)
    for table in (interest_value, match):
        conn.execute(delete(table).where(table.c.seq.in_(ended)))


def every(conn: Connection, now: int) -> list[tuple[int, str]]:
    """Return index and id of every interest that stands."""
    statement = select(interest.c.seq, interest.c.id).where(interest.c.until > now)
    return [(row.seq, row.id) for row in conn.execute(statement)]


def forget_values(conn: Connection) -> None:
    """Remove the values of all interests, to be made anew."""
    conn.execute(delete(interest_value))
