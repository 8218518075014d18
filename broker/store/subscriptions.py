"""Rows of durable subscriptions: which part of its feed an agency wants, how far it took it over."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from broker.store.tables import subscription, webhook
from lintas.filter import Filter, read_filter
from lintas.strict import canonical


@dataclass(frozen=True, slots=True)
class Subscription:
    """A named place in an agency's feed; everything up to log index `cursor` was taken over."""

    agency: str
    name: str
    wanted: Filter
    cursor: int


def get(conn: Connection, agency: str, name: str) -> Subscription | None:
    """Return one subscription."""
    row = conn.execute(select(*_COLUMNS).where(*_key(agency, name))).first()
    return None if row is None else _subscription(*row)


def of_agency(conn: Connection, agency: str) -> list[Subscription]:
    """Return the subscriptions of an agency by name."""
    statement = select(*_COLUMNS).where(subscription.c.agency == agency).order_by(subscription.c.name)
    return [_subscription(*row) for row in conn.execute(statement)]


def created_seq(conn: Connection, agency: str, name: str) -> int:
    """Return the index of the event that made one that is there."""
    return conn.execute(select(subscription.c.created_seq).where(*_key(agency, name))).scalar_one()


def create(conn: Connection, made: Subscription, *, created_seq: int) -> None:
    """Insert one; `created_seq` is the index of the event that says so."""
    row = {"agency": made.agency, "name": made.name, "filter": _text(made.wanted), "cursor": made.cursor}
    conn.execute(insert(subscription), row | {"created_seq": created_seq})


def refilter(conn: Connection, agency: str, name: str, wanted: Filter) -> None:
    """Exchange the filter; the cursor stays."""
    conn.execute(update(subscription).where(*_key(agency, name)).values(filter=_text(wanted)))


def move(conn: Connection, agency: str, name: str, cursor: int) -> None:
    """Move the cursor."""
    conn.execute(update(subscription).where(*_key(agency, name)).values(cursor=cursor))


def remove(conn: Connection, agency: str, name: str) -> None:
    """Delete one, and with it the webhook that it was pushed to."""
    conn.execute(delete(subscription).where(*_key(agency, name)))
    conn.execute(delete(webhook).where(webhook.c.agency == agency, webhook.c.subscription == name))


_COLUMNS = (subscription.c.agency, subscription.c.name, subscription.c.filter, subscription.c.cursor)


def _key(agency: str, name: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return subscription.c.agency == agency, subscription.c.name == name


def _text(wanted: Filter) -> str:
    return canonical(wanted.members()).decode()


def _subscription(agency: str, name: str, members: str, cursor: int) -> Subscription:
    return Subscription(agency, name, read_filter(json.loads(members)), cursor)
