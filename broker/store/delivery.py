"""Rows of what was sent to whom, by which way, with what readers did about it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Select, Table, and_, insert, or_, select, update

from broker.store.tables import ack, delivery, event, line


@dataclass(frozen=True, slots=True)
class Delivered:
    """How one bulletin reached an agency by one way: the indexes of the events that say so."""

    agency: str
    way: str
    sent_seq: int
    received_seq: int | None


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """What an agency's client signed of a bulletin: `state` is opened or acknowledged, `seq` the event's index."""

    agency: str
    state: str
    seq: int


@dataclass(frozen=True, slots=True)
class Misfit:
    """A row about a bulletin (`seq`) and an agency that no event of the log stands behind."""

    seq: int
    agency: str


@dataclass(frozen=True, slots=True)
class Sending:
    """Bulletins that go to an agency by one way; `sent_seq` is the event that says so."""

    agency: str
    way: str
    seqs: Collection[int]
    sent_seq: int


def insert_sent(conn: Connection, agency: str, way: str, seqs: Collection[int], *, sent_seq: int) -> None:
    """Note the first sending of these bulletins by this way; a later one changes nothing."""
    insert_sendings(conn, [Sending(agency, way, seqs, sent_seq)])


def insert_sendings(conn: Connection, sendings: Iterable[Sending]) -> None:
    """Note many sendings at once, as `insert_sent` does each."""
    # One statement a page: to bind each bulletin by itself costs more than to store it.
    rows = [(each.agency, each.way, each.sent_seq, list(each.seqs)) for each in sendings if each.seqs]
    if not rows:
        return
    if conn.dialect.name == "sqlite":
        conn.exec_driver_sql(_INSERT_SQLITE, [(*place, json.dumps(seqs)) for *place, seqs in rows])
    else:
        conn.exec_driver_sql(_INSERT_POSTGRES, rows)


# SQLite takes ON CONFLICT for a join's ON unless there is a condition between.
_INSERT_SQLITE = (
    "INSERT INTO delivery (agency, way, sent_seq, seq) SELECT ?, ?, ?, value FROM json_each(?) WHERE true "
    "ON CONFLICT DO NOTHING"
)
_INSERT_POSTGRES = (
    "INSERT INTO delivery (agency, way, sent_seq, seq) SELECT %s::text, %s::text, %s::bigint, unnest(%s::bigint[]) "
    "ON CONFLICT DO NOTHING"
)


def is_unreceived(conn: Connection, agency: str, ways: Collection[str], until: int) -> bool:
    """Tell whether something was sent up to this index that the agency's cursor has not passed yet."""
    statement = select(delivery.c.seq).where(*_unreceived(agency, ways, until)).limit(1)
    return conn.execute(statement).first() is not None


def mark_received(conn: Connection, agency: str, ways: Collection[str], until: int, *, received_seq: int) -> int:
    """Note that the agency took over what was sent up to this index; return how many bulletins that are."""
    statement = update(delivery).where(*_unreceived(agency, ways, until)).values(received_seq=received_seq)
    return conn.execute(statement).rowcount


def was_sent(conn: Connection, seq: int, agency: str) -> bool:
    """Tell whether a bulletin was ever sent to this agency."""
    statement = select(delivery.c.seq).where(delivery.c.seq == seq, delivery.c.agency == agency).limit(1)
    return conn.execute(statement).first() is not None


def sent_among(conn: Connection, agency: str, way: str, seqs: Collection[int]) -> set[int]:
    """Return which of these bulletins were sent to an agency by this way."""
    mine = (delivery.c.agency == agency, delivery.c.way == way, delivery.c.seq.in_(seqs))
    return set(conn.scalars(select(delivery.c.seq).where(*mine)))


def of_bulletin(conn: Connection, seq: int) -> list[Delivered]:
    """Return every delivery of a bulletin, in the order of the log."""
    columns = (delivery.c.agency, delivery.c.way, delivery.c.sent_seq, delivery.c.received_seq)
    statement = select(*columns).where(delivery.c.seq == seq).order_by(delivery.c.sent_seq)
    return [Delivered(*row) for row in conn.execute(statement)]


def insert_ack(conn: Connection, seq: int, agency: str, state: str, *, ack_seq: int) -> None:
    """Keep what an agency said of a bulletin."""
    conn.execute(insert(ack), {"seq": seq, "agency": agency, "state": state, "ack_seq": ack_seq})


def acks(conn: Connection, seq: int, agency: str | None = None) -> list[Acknowledged]:
    """Return what agencies (or this one) said of a bulletin, oldest first."""
    statement = select(ack.c.agency, ack.c.state, ack.c.ack_seq).where(ack.c.seq == seq).order_by(ack.c.ack_seq)
    if agency is not None:
        statement = statement.where(ack.c.agency == agency)
    return [Acknowledged(*row) for row in conn.execute(statement)]


def unsent(conn: Connection) -> Misfit | None:
    """Return a delivery whose sending is not in the log; None when there is none."""
    return _misfit(conn, delivery, delivery.c.sent_seq, event.c.kind != "bulletin.sent")


def unreceived(conn: Connection) -> Misfit | None:
    """Return a delivery that is called received though the log does not say so."""
    return _misfit(conn, delivery, delivery.c.received_seq, event.c.kind != "bulletin.received")


def unsaid(conn: Connection) -> Misfit | None:
    """Return an acknowledgement that is not in the log."""
    other = (event.c.kind != "bulletin." + ack.c.state) | (event.c.object != line.c.id)
    return _misfit(conn, ack, ack.c.ack_seq, other)


def _misfit(conn: Connection, table: Table, place: Column[Any], other: ColumnElement[bool]) -> Misfit | None:
    rows = table.join(line, line.c.seq == table.c.seq).outerjoin(event, event.c.seq == place)
    no_event = or_(event.c.seq.is_(None), event.c.party != table.c.agency, other)
    statement: Select[Any] = select(table.c.seq, table.c.agency).select_from(rows)
    row = conn.execute(statement.where(and_(place.is_not(None), no_event)).limit(1)).first()
    return None if row is None else Misfit(row.seq, row.agency)


def _unreceived(agency: str, ways: Collection[str], until: int) -> tuple[ColumnElement[bool], ...]:
    return (
        delivery.c.agency == agency,
        delivery.c.way.in_(ways),
        delivery.c.seq <= until,
        delivery.c.received_seq.is_(None),
    )
