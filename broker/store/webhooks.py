"""Rows of webhooks with the place of the subscription that each pushes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, select, update

from broker.store.tables import delivery, line, subscription, webhook

PENDING, ACTIVE, DEAD = "pending", "active", "dead"


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook; `kid` is the key that ordered it. Times are Unix seconds."""

    agency: str
    subscription: str
    url: str
    state: str
    order_seq: int
    tries: int
    since: int | None
    code: str | None
    next_at: int
    kid: str


@dataclass(frozen=True, slots=True)
class Place:
    """Which part of a feed a subscription is (canonical JSON), how far it was taken over."""

    filter: str
    cursor: int


_COLUMNS = (
    webhook.c.agency,
    webhook.c.subscription,
    webhook.c.url,
    webhook.c.state,
    webhook.c.order_seq,
    webhook.c.tries,
    webhook.c.since,
    webhook.c.code,
    webhook.c.next_at,
    line.c.kid,
)
_ITS_SUBSCRIPTION = and_(
    subscription.c.agency == webhook.c.agency,
    subscription.c.name == webhook.c.subscription,
    # One that was deleted and made again is another: it is not pushed to where the former was.
    subscription.c.created_seq <= webhook.c.order_seq,
)
_WITH_PLACE = webhook.join(line, line.c.seq == webhook.c.order_seq).join(subscription, _ITS_SUBSCRIPTION)


def at_work(conn: Connection) -> list[Webhook]:
    """Return every webhook that is not dead."""
    statement = select(*_COLUMNS).select_from(_WITH_PLACE).where(webhook.c.state != DEAD)
    return [_webhook(row) for row in conn.execute(statement)]


def of_agency(conn: Connection, agency: str) -> list[Webhook]:
    """Return an agency's webhooks by the names of their subscriptions."""
    statement = select(*_COLUMNS).select_from(_WITH_PLACE).where(webhook.c.agency == agency)
    return [_webhook(row) for row in conn.execute(statement.order_by(webhook.c.subscription))]


def count(conn: Connection, agency: str) -> int:
    """Return how many webhooks an agency has, one ordered in this very transaction included."""
    rows = select(func.count()).select_from(webhook.join(subscription, _ITS_SUBSCRIPTION))
    return conn.scalar(rows.where(webhook.c.agency == agency)) or 0


def has(conn: Connection, agency: str, name: str) -> bool:
    """Tell whether there is a webhook for this subscription."""
    return conn.execute(select(webhook.c.url).where(*_key(agency, name))).first() is not None


def put(conn: Connection, agency: str, name: str, url: str, *, order_seq: int) -> None:
    """Set where a subscription is pushed to, in place of an earlier one; it has yet to prove itself."""
    remove(conn, agency, name)
    row = {"agency": agency, "subscription": name, "url": url, "state": PENDING, "order_seq": order_seq}
    conn.execute(insert(webhook), row | {"tries": 0, "since": None, "code": None, "next_at": 0})


def remove(conn: Connection, agency: str, name: str) -> None:
    """Push this subscription no more."""
    conn.execute(delete(webhook).where(*_key(agency, name)))


def keep_state(conn: Connection, hook: Webhook) -> bool:
    """Write how a webhook does; False when it was removed or ordered anew meanwhile."""
    statement = update(webhook).where(*_key(hook.agency, hook.subscription), webhook.c.order_seq == hook.order_seq)
    values = {"state": hook.state, "tries": hook.tries, "since": hook.since, "code": hook.code, "next_at": hook.next_at}
    return conn.execute(statement.values(values)).rowcount == 1


def is_active(conn: Connection, hook: Webhook) -> bool:
    """Tell whether this very webhook is still ordered and proven."""
    statement = select(webhook.c.state).where(
        *_key(hook.agency, hook.subscription), webhook.c.order_seq == hook.order_seq
    )
    return conn.scalar(statement) == ACTIVE


def place(conn: Connection, agency: str, name: str) -> Place | None:
    """Return the place of a subscription, None when there is no such one."""
    statement = select(subscription.c.filter, subscription.c.cursor)
    row = conn.execute(statement.where(subscription.c.agency == agency, subscription.c.name == name)).first()
    return Place(*row) if row else None


def begin(conn: Connection, agency: str, name: str, *, seq: int) -> bool:
    """Make a subscription to everything from this index on; False when there is one."""
    is_new = place(conn, agency, name) is None
    if is_new:
        row = {"agency": agency, "name": name, "filter": "{}", "cursor": seq, "created_seq": seq}
        conn.execute(insert(subscription), row)
    return is_new


def move(conn: Connection, agency: str, name: str, *, was: int, to: int) -> None:
    """Move the cursor of a subscription on, unless somebody else moved it meanwhile."""
    mine = (subscription.c.agency == agency, subscription.c.name == name, subscription.c.cursor == was)
    conn.execute(update(subscription).where(*mine).values(cursor=to))


def mark_received(conn: Connection, agency: str, way: str, seqs: Collection[int], *, received_seq: int) -> None:
    """Note that the agency took over these bulletins."""
    mine = (delivery.c.agency == agency, delivery.c.way == way, delivery.c.seq.in_(seqs))
    conn.execute(update(delivery).where(*mine, delivery.c.received_seq.is_(None)).values(received_seq=received_seq))


def _webhook(row: Sequence[Any]) -> Webhook:
    return Webhook(*row)


def _key(agency: str, name: str) -> tuple[ColumnElement[bool], ...]:
    return webhook.c.agency == agency, webhook.c.subscription == name
