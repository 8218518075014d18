"""Rows of watch lists: the indicators an agency saved under a name, as HMACs alone."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, Select, delete, func, insert, select

from broker.store.tables import indicator, watch


def replace(conn: Connection, agency: str, name: str, digests: Sequence[tuple[str, bytes]]) -> None:
    """Set the (type, digest) pairs of a list; none removes it."""
    conn.execute(delete(watch).where(watch.c.agency == agency, watch.c.name == name))
    if digests:
        rows = [{"agency": agency, "name": name, "type": type_, "digest": each} for type_, each in digests]
        conn.execute(insert(watch), rows)


def counts(conn: Connection, agency: str) -> dict[str, int]:
    """Return the names of an agency's lists, sorted, with the number of indicators of each."""
    statement = select(watch.c.name, func.count()).where(watch.c.agency == agency).group_by(watch.c.name)
    return dict(conn.execute(statement.order_by(watch.c.name)).all())


def seqs(agency: str, names: Collection[str]) -> Select[int]:
    """Return the query for the bulletins that have an indicator of these lists, whoever may read them."""
    same = (indicator.c.type == watch.c.type) & (indicator.c.digest == watch.c.digest)
    found = select(indicator.c.seq).join_from(watch, indicator, same)
    return found.where(watch.c.agency == agency, watch.c.name.in_(names))


def forget(conn: Connection) -> None:
    """Remove every list, to be made anew."""
    conn.execute(delete(watch))
