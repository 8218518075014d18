"""Pages of the feed: asked for, verified.

The place in the feed is kept beside the identity. When a grant widens or a suspension ends, what could not be read
until now lies before that place: the reader goes back once, and what it has seen already is not shown again.
Spec: docs/spec/http.md (`GET /v1/bulletins`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lintas import feed, proving, wire
from lintas.errors import Unverified
from lintas.request import Operation, Request, Response, expect, given, reading, waiting
from lintas.session import Session

PAGE_LIMIT = 500


@dataclass(frozen=True, slots=True)
class Pulled:
    """A verified page of the feed, or of a subscription; confirm it once its items are taken over."""

    items: tuple[feed.Received, ...]
    page: feed.FeedPage
    alarms: tuple[str, ...] = ()
    subscription: str | None = None
    has_waited: bool = False


@dataclass(frozen=True, slots=True)
class AskedPage:
    """The request for a page, with what was known when it was made."""

    request: Request
    after: int
    shown: int


def pull(session: Session) -> Operation[Pulled]:
    """Get the next page of the feed and verify it."""
    asked = ask_page(session)
    return (yield from take_page(session, asked, (yield asked.request)))


def ask_page(session: Session, *, wait_s: int = 0) -> AskedPage:
    """Make the request for the next page; `wait_s`: the hub may wait so long for something to come."""
    feed.go_back(session)
    after = session.state.get_int(feed.AFTER, -1)
    request = waiting(reading(session, "/v1/bulletins", after=given(after), limit=PAGE_LIMIT), wait_s)
    return AskedPage(request, after, shown=session.state.get_int("events_after", -1))


def take_page(session: Session, asked: AskedPage, response: Response) -> Operation[Pulled]:
    """Verify the page that was the answer."""
    expect(response, 200)
    is_last = "link" not in response.headers
    cursor = response.headers.get("lintas-cursor")
    page = feed.read_page(response.body, after=asked.after, shown=asked.shown, cursor=cursor, is_last=is_last)
    alarms: list[str] = []
    if page.rows or session.is_due() or feed.left_out(session, page) is not None:
        # An idle follower asks seldom, so that polls do not fill the log; yet it asks, or a hub could hide everything.
        # What seems to be left out may be out of our reach since: the log says so, or it is withheld.
        alarms = (yield from wire.catch_up(session)).alarms
    items = yield from verify(session, page)
    return Pulled(tuple(items), page, tuple(alarms), has_waited="preference-applied" in response.headers)


def verify(session: Session, page: feed.FeedPage) -> Operation[Sequence[feed.Received]]:
    """Verify the rows of a page; return those that were not shown before."""
    try:
        items = yield from proving.verify_page(session, page)
    except Unverified:
        # A withdrawal that came in after the log was read looks like a lie: look once more before raising an alarm.
        yield from wire.catch_up(session)
        items = yield from proving.verify_page(session, page)
    return feed.unshown(session, items)
