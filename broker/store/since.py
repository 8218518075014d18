"""What came into the database since the log had some size, as a replica needs it that was not told."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from broker.store.lines import RELEASED, WITHDRAWING
from broker.store.tables import event, line, recipient, ref

REFUSED_KINDS = ("ack.refused", "bulletin.refused", "key.refused", "order.refused")


def party_seqs(conn: Connection, size: int) -> dict[str, int]:
    """Return the newest `party_seq` of each party that has an event since."""
    statement = select(event.c.party, func.max(event.c.party_seq)).where(event.c.seq >= size)
    return dict(conn.execute(statement.group_by(event.c.party)).all())


def refused(conn: Connection, size: int) -> list[str]:
    """Return the ids of the lines refused since, oldest first."""
    statement = select(event.c.object).where(event.c.kind.in_(REFUSED_KINDS), event.c.seq >= size)
    return [found for found in conn.scalars(statement.order_by(event.c.seq)) if found is not None]


def withdrawn(conn: Connection, size: int) -> int | None:
    """Return the index of the newest recall or supersede since, None when there is none."""
    statement = select(func.max(ref.c.seq)).where(ref.c.relation.in_(WITHDRAWING), ref.c.seq >= size)
    return conn.scalar(statement)


def touched(conn: Connection, size: int) -> frozenset[str]:
    """Return the agencies to whose feeds something was added since, ``*`` for all, and the issuers of bulletins."""
    released = select(recipient.c.agency).where(recipient.c.seq >= size, recipient.c.state == RELEASED).distinct()
    issued = select(line.c.iss).where(line.c.seq >= size, line.c.kind.is_not(None)).distinct()
    return frozenset((*conn.scalars(released), *conn.scalars(issued)))
