"""What the order `webhook` does to the rows of a hub.

An agency orders where one of its subscriptions is pushed to. What only the hub knows (its subscriptions, the operator's
exceptions) is checked here; the rest in ``lintas.decide``.
"""

from __future__ import annotations

from collections.abc import Sequence

from broker.batch import Batch
from broker.reach import Allowed, may_be_plain
from broker.store import webhooks
from lintas.errors import NotAllowed, OrderConflict, QuotaExceeded
from lintas.line import Line
from lintas.orders import Order, open_order
from lintas.webhooks import read_url

WEBHOOKS_MAX = 8
"""Webhooks of one agency: each holds a task and at most one connection of the hub."""

WHOLE_FEED = "feed"
"""The subscription that every agency has."""


def check(batch: Batch, order: Order, allow: Sequence[Allowed]) -> None:
    """Refuse a webhook that this hub cannot have; raise NotAllowed, OrderConflict or QuotaExceeded."""
    agency, name, url = order.lines[0].header.iss, order.args["subscription"], order.args["url"]
    is_known = webhooks.has(batch.conn, agency, name)
    if url is None:
        if not is_known:
            raise OrderConflict("This subscription is not pushed anywhere.", member="subscription")
        return
    if name != WHOLE_FEED and webhooks.place(batch.conn, agency, name) is None:
        raise OrderConflict("There is no such subscription; create it first.", member="subscription")
    address = read_url(url)
    if address.scheme != "https" and not may_be_plain(address, allow):
        raise NotAllowed("A webhook is an https address.", member="url")
    if not is_known and webhooks.count(batch.conn, agency) >= WEBHOOKS_MAX:
        raise QuotaExceeded(f"An agency has at most {WEBHOOKS_MAX} webhooks.", member="subscription")


def change(batch: Batch, line: Line, seq: int) -> None:
    """Set or remove the webhook that an order, logged at `seq`, is about."""
    agency, args = line.header.iss, open_order(line).args
    if args["url"] is None:
        webhooks.remove(batch.conn, agency, args["subscription"])
        return
    if args["subscription"] == WHOLE_FEED and webhooks.begin(batch.conn, agency, WHOLE_FEED, seq=seq):
        detail = {"name": WHOLE_FEED, "filter": {}, "cursor": seq}
        batch.append("subscription.created", agency, detail=detail)
    webhooks.put(batch.conn, agency, args["subscription"], args["url"], order_seq=seq)
