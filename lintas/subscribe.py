"""Operations on durable subscriptions, whose cursor the hub keeps.

Following one is safe against being killed anywhere: a page comes again until its cursor is moved, and what was taken
over of it is remembered beside the identity, so nothing is shown twice. The feed itself is followed with a cursor of
our own; its subscription at the hub is told how far we got, so that originators learn that we received.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from lintas import feed, proving, wire, withdrawal
from lintas.errors import HubUnreachable, LintasError, Refusal, Unverified, Withheld
from lintas.feed import FeedPage, Received
from lintas.filter import Filter, read_filter
from lintas.pages import PAGE_LIMIT, Pulled
from lintas.request import Operation, Request, Response, expect, read, reading, waiting
from lintas.session import Session
from lintas.state import Released
from lintas.strict import Json, canonical
from lintas.subscription import BEGINNING, FEED, Proven, proven

JSON_MEDIA = "application/json"
UNTOLD = "feed_untold"
"""Where the memory keeps how far the feed was taken over that the hub was not told yet; -1 when it was."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription as the hub shows it: the part of the feed it gives, the index up to which that was taken over."""

    name: str
    wanted: Filter
    cursor: int


def subscribe(
    session: Session, name: str, wanted: Mapping[str, Sequence[str]], start: str | int
) -> Operation[Subscription]:
    """Make a subscription, or exchange the filter of one; `start` (now, beginning, an index) counts when it is made."""
    members = {"filter": {member: list(values) for member, values in wanted.items()}, "start": start}
    response = yield from _change(session, "PUT", _path(name), members)
    return _subscription(wire.object_of(response.body))


def unsubscribe(session: Session, name: str) -> Operation[Subscription]:
    """End a subscription; return what it was."""
    return _subscription(wire.object_of((yield from _change(session, "DELETE", _path(name))).body))


def subscriptions(session: Session) -> Operation[list[Subscription]]:
    """Return our subscriptions, the built-in one first."""
    rows = wire.object_of((yield from read(session, "/v1/subscriptions")).body).get("subscriptions")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise HubUnreachable("The hub's answer holds no list of subscriptions.")
    return [_subscription(row) for row in rows]


def move(session: Session, name: str, cursor: int) -> Operation[Subscription]:
    """Move a cursor: forward says that everything up to it was received, back has it delivered again."""
    response = yield from _change(session, "POST", f"{_path(name)}/cursor", {"cursor": cursor})
    return _subscription(wire.object_of(response.body))


def pull(session: Session, name: str) -> Operation[Pulled]:
    """Get the page at the cursor of a subscription and verify it; what was taken over of it before is left out."""
    return (yield from take_page(session, name, (yield ask_page(session, name))))


def ask_page(session: Session, name: str, *, wait_s: int = 0) -> Request:
    """Make the request for the page at a cursor; `wait_s`: the hub may wait so long for something to come."""
    return waiting(reading(session, f"{_path(name)}/bulletins", limit=PAGE_LIMIT), wait_s)


def take_page(session: Session, name: str, response: Response) -> Operation[Pulled]:
    """Verify the page that was the answer."""
    shown = session.state.get_int("events_after", BEGINNING)
    page, alarms = yield from _read_page(session, name, response, shown)
    known = proven(session.state, name)
    if known is not None and page.after > known.cursor:
        # Another desk may have moved the cursor back in between. A hub that skips does so again.
        shown = session.state.get_int("events_after", BEGINNING)
        page, alarms = yield from _read_page(session, name, (yield ask_page(session, name)), shown)
        known = proven(session.state, name)
    if page.rows and known is None:
        raise Unverified(f"The log knows no subscription `{name}` of {session.party}.")
    if known is not None and page.after > known.cursor:
        raise Withheld(f"`{name}` is served after index {page.after}, but was taken over up to {known.cursor} only.")
    taken = _taken(session, name, page)
    items = yield from proving.verify_page(session, page)
    has_waited = "preference-applied" in response.headers
    unseen = session.state.unseen_of(each.id for each in items)
    new = tuple(each for each in items if each.seq > taken or each.id in unseen)
    return Pulled(new, page, alarms, name, has_waited=has_waited)


def confirm_item(session: Session, pulled: Pulled, item: Received) -> None:
    """Note that one item was taken over."""
    if pulled.subscription is None:
        feed.confirm_item(session, item)
        return
    with session.state.transaction():
        session.state.mark_seen([item.id])
        session.state.put(f"taken:{pulled.subscription}", f"{pulled.page.after} {item.seq}".encode())


def confirm(session: Session, pulled: Pulled) -> Operation[None]:
    """Move the cursor past a page that was taken over; raise Withheld if the hub kept back what the log released."""
    name, page = pulled.subscription, pulled.page
    if name is None:
        take_over(session, pulled)
        yield from tell_feed(session)
        return
    known = proven(session.state, name)
    with session.state.transaction():
        session.state.mark_seen(each.id for each in pulled.items)
    missing = _left_out(session, known, page)
    if missing is not None and feed.is_outgrown(session, page):
        # Asked for before we knew that we may read more: it comes again, with the rest.
        return
    if missing is not None:
        raise Withheld(f"Event {missing.seq} released bulletin {missing.id} to {session.party}.")
    if page.rows:
        yield from move(session, name, page.cursor)
        session.state.put(f"taken:{name}", b"")


def take_over(session: Session, pulled: Pulled) -> None:
    """Move our own cursor past a page of the feed; the hub is told by `tell_feed`. Raise Withheld as `confirm` does."""
    if pulled.page.rows:
        session.state.put(UNTOLD, max(pulled.page.cursor, session.state.get_int(UNTOLD, BEGINNING)))
    feed.confirm_page(session, pulled.page, pulled.items)


def tell_feed(session: Session) -> Operation[None]:
    """Tell the hub how far the feed was taken over; what it does not take now is told with the next page."""
    untold = session.state.get_int(UNTOLD, BEGINNING)
    if untold == BEGINNING:
        return
    try:
        yield from move(session, FEED, untold)
    except (HubUnreachable, Refusal):
        # We have the bulletins; only their originators do not know yet.
        return
    session.state.put(UNTOLD, BEGINNING)


def _read_page(
    session: Session, name: str, response: Response, shown: int
) -> Operation[tuple[FeedPage, tuple[str, ...]]]:
    expect(response, 200)
    page = feed.read_page(
        response.body,
        after=feed.index(response.headers.get("lintas-after")),
        shown=shown,
        cursor=response.headers.get("lintas-cursor"),
        is_last="link" not in response.headers,
    )
    alarms: list[str] = []
    known = proven(session.state, name)
    is_moved = known is None or page.after > known.cursor
    if page.rows or is_moved or session.is_due() or _left_out(session, known, page) is not None:
        alarms = (yield from wire.catch_up(session)).alarms
    return page, tuple(alarms)


def _left_out(session: Session, known: Proven | None, page: FeedPage) -> Released | None:
    """Return a bulletin that was released to us, that this page must hold and that was never taken over."""
    if known is None:
        return None
    seen_to = min(page.cursor, session.state.get_int("events_after", BEGINNING))
    unseen = session.state.unseen_between(page.after, seen_to)
    directory, party = session.directory, session.party
    return next((each for each in unseen if known.wants(each) and withdrawal.may_read(directory, party, each)), None)


def _taken(session: Session, name: str, page: FeedPage) -> int:
    # It counts for this very page alone: after a move of the cursor everything is shown that comes.
    after, _, seq = (session.state.get(f"taken:{name}") or b"").decode().partition(" ")
    return int(seq) if after == str(page.after) else BEGINNING


def _change(session: Session, method: str, path: str, members: Json | None = None) -> Operation[Response]:
    headers = {"Authorization": f"Bearer {session.token('subscribe')}"}
    body, media = (b"", None) if members is None else (canonical(members), JSON_MEDIA)
    response = yield Request(method, path, body, media, headers)
    return expect(response, 200, 201)


def _path(name: str) -> str:
    return f"/v1/subscriptions/{quote(name, safe='')}"


def _subscription(row: Json) -> Subscription:
    name, cursor = row.get("name"), row.get("cursor")
    try:
        wanted = read_filter(row.get("filter") or {})
    except LintasError as fault:
        raise HubUnreachable(f"The hub shows a filter that cannot be read: {fault}") from fault
    if not isinstance(name, str) or type(cursor) is not int:
        raise HubUnreachable("The hub's answer is no subscription.")
    return Subscription(name, wanted, cursor)
