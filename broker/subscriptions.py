"""Durable subscriptions, named places in a feed whose cursor only their agency moves.

A cursor moves when the agency says so, never because something was sent: what was sent and not taken over is sent
again. Moving it forward is the record that everything up to it was received; moving it back replays. The subscription
``feed`` is every agency's whole feed: it is always there, and its row is made when its cursor first moves. Clients keep
a place in the feed of their own, so its cursor stands where the foremost of them is and never moves back.
Spec: docs/spec/http.md (subscriptions).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from broker.batch import Batch
from broker.delivery import Source
from broker.store import delivery, subscriptions
from broker.store.engine import Connection
from broker.store.subscriptions import Subscription
from lintas.errors import (
    BadRequest,
    CursorBeyondLog,
    MalformedPayload,
    NotAllowed,
    NotFound,
    PartnerSuspended,
    QuotaExceeded,
    Refusal,
)
from lintas.filter import EVERYTHING, Filter, read_filter
from lintas.strict import INTEGER_MAX, Json, parse_object

FEED = "feed"
"""The built-in subscription."""

COUNT_MAX = 32
"""Subscriptions of an agency beside the built-in one: a few for each desk and machine that follows on its own."""

BODY_BYTES_MAX = 16_384
"""A filter with all values that its members may have."""

BEGINNING = -1
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


@dataclass(frozen=True, slots=True)
class Wish:
    """What an agency wants of a subscription. `start` None: from now on."""

    name: str
    wanted: Filter
    start: int | None


@dataclass(frozen=True, slots=True)
class Placed:
    """A subscription as it stands now; `is_new`: this request made it."""

    subscription: Subscription
    is_new: bool = False


def read_wish(name: str, agency: str, body: bytes) -> Wish:
    """Read the body of a PUT; raise BadRequest naming the member at fault."""
    if not _NAME.fullmatch(name):
        raise BadRequest("A name has 1 to 32 characters of a-z, 0-9 and -, the first no hyphen.", member="name")
    _check_changeable(name)
    members = _members(body, required="filter", optional="start")
    if not isinstance(members["filter"], Mapping):
        raise BadRequest("`filter` is an object; {} asks for everything.", member="filter")
    try:
        wanted = read_filter(members["filter"])
    except MalformedPayload as fault:
        raise BadRequest(fault.detail, member=f"filter.{fault.member}") from fault
    if wanted.issuers == {agency}:
        raise BadRequest("Nobody is sent what it issued itself.", member="filter.from")
    return Wish(name, wanted, _start(members.get("start", "now")))


def read_cursor(body: bytes) -> int:
    """Read the body of a move; raise BadRequest."""
    cursor = _members(body, required="cursor")["cursor"]
    if type(cursor) is not int or not BEGINNING <= cursor <= INTEGER_MAX:
        raise BadRequest("`cursor` is an index of the log, or -1 for the beginning.", member="cursor")
    return cursor


def find(conn: Connection, agency: str, name: str) -> Subscription:
    """Return a subscription of this agency; raise NotFound."""
    found = subscriptions.get(conn, agency, name)
    if found is None and name == FEED:
        return Subscription(agency, FEED, EVERYTHING, BEGINNING)
    if found is None:
        raise NotFound
    return found


def every(conn: Connection, agency: str) -> list[Subscription]:
    """Return all subscriptions of this agency, the built-in one first."""
    named = [each for each in subscriptions.of_agency(conn, agency) if each.name != FEED]
    return [find(conn, agency, FEED), *named]


def source(found: Subscription) -> Source:
    """Return what a subscription gives as delivery takes it."""
    return Source(found.agency, _way(found.name), found.wanted)


def put(batch: Batch, agency: str, wish: Wish) -> Placed | Refusal:
    """Make a subscription or exchange the filter of one; the same again changes nothing. `start` counts when made."""
    if batch.directory.is_suspended(agency):
        return PartnerSuspended()
    known = subscriptions.get(batch.conn, agency, wish.name)
    if known is None:
        return _create(batch, agency, wish)
    if known.wanted == wish.wanted:
        return Placed(known)
    changed = Subscription(agency, wish.name, wish.wanted, known.cursor)
    subscriptions.refilter(batch.conn, agency, wish.name, wish.wanted)
    batch.append("subscription.changed", agency, detail=_facts(changed))
    return Placed(changed)


def delete(batch: Batch, agency: str, name: str) -> Placed | Refusal:
    """End a subscription. What it delivered stays on record."""
    try:
        _check_changeable(name)
        known = find(batch.conn, agency, name)
    except Refusal as refusal:
        return refusal
    subscriptions.remove(batch.conn, agency, name)
    batch.append("subscription.deleted", agency, detail={"name": name, "cursor": known.cursor})
    return Placed(known)


def move(batch: Batch, agency: str, name: str, cursor: int) -> Placed | Refusal:
    """Move a cursor: forward says that everything up to it was received, back replays, the same again is no event."""
    try:
        known = find(batch.conn, agency, name)
    except NotFound as refusal:
        return refusal
    if cursor >= batch.next_seq:
        return CursorBeyondLog(f"The log ends at index {batch.next_seq - 1}.", member="cursor")
    if cursor < known.cursor and name != FEED:
        moved = Subscription(agency, name, known.wanted, cursor)
        subscriptions.move(batch.conn, agency, name, cursor)
        batch.append("subscription.changed", agency, detail=_facts(moved))
        return Placed(moved)
    return Placed(take_over(batch, known, cursor))


def take_over(batch: Batch, known: Subscription, cursor: int, *, way: str | None = None) -> Subscription:
    """Record that everything up to here was received by this subscription, whichever way it was sent.

    `way` is how that became known, when it was not the agency that moved the cursor (``webhook/<name>``).
    """
    conn, agency, name = batch.conn, known.agency, known.name
    if cursor <= known.cursor and not delivery.is_unreceived(conn, agency, _ways(name), cursor):
        return known
    count = delivery.mark_received(conn, agency, _ways(name), cursor, received_seq=batch.next_seq)
    seq = batch.append("bulletin.received", agency, detail={"way": way or _way(name), "to": cursor, "count": count})
    moved = Subscription(agency, name, known.wanted, max(cursor, known.cursor))
    if name == FEED and subscriptions.get(conn, agency, FEED) is None:
        subscriptions.create(conn, moved, created_seq=seq)
    else:
        subscriptions.move(conn, agency, name, moved.cursor)
    return moved


def _create(batch: Batch, agency: str, wish: Wish) -> Placed | Refusal:
    if len(every(batch.conn, agency)) > COUNT_MAX:
        return QuotaExceeded(f"An agency has at most {COUNT_MAX} subscriptions.")
    if wish.start is not None and wish.start >= batch.next_seq:
        return CursorBeyondLog(f"The log ends at index {batch.next_seq - 1}.", member="start")
    # From now on: after the event that made it.
    cursor = batch.next_seq if wish.start is None else wish.start
    made = Subscription(agency, wish.name, wish.wanted, cursor)
    seq = batch.append("subscription.created", agency, detail=_facts(made))
    subscriptions.create(batch.conn, made, created_seq=seq)
    return Placed(made, is_new=True)


def _check_changeable(name: str) -> None:
    if name == FEED:
        raise NotAllowed("The subscription `feed` is always there and gives everything: make another.", member="name")


def _way(name: str) -> str:
    return FEED if name == FEED else f"subscription/{name}"


def _ways(name: str) -> tuple[str, str]:
    return _way(name), f"webhook/{name}"


def _facts(found: Subscription) -> dict[str, Any]:
    return {"name": found.name, "filter": found.wanted.members(), "cursor": found.cursor}


def _start(value: object) -> int | None:
    if value in ("now", "beginning"):
        return None if value == "now" else BEGINNING
    if type(value) is not int or not 0 <= value <= INTEGER_MAX:
        raise BadRequest("`start` is now, beginning, or an index of the log.", member="start")
    return value


def _members(body: bytes, *, required: str, optional: str | None = None) -> Json:
    try:
        members = parse_object(body)
    except ValueError as fault:
        raise BadRequest(f"The body {fault!s:.100}.") from fault
    for name in members:
        if name not in (required, optional):
            raise BadRequest("The body has a member that is unknown here.", member=name[:64])
    if required not in members:
        raise BadRequest(f"The body needs the member `{required}`.", member=required)
    return members
