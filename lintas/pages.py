"""Pages of the feed: asked for, verified.

Spec: docs/spec/http.md (`GET /v1/bulletins`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from lintas import feed, wire
from lintas.session import Session
from lintas.wire import Operation, Request, Response

PAGE_LIMIT = 500


@dataclass(frozen=True, slots=True)
class Pulled:
    """A verified page of the feed; confirm it once its items are taken over."""

    items: tuple[feed.Received, ...]
    page: feed.FeedPage
    alarms: tuple[str, ...] = ()
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
    after = session.state.get_int("feed_after", -1)
    request = wire.reading(session, "/v1/bulletins", after=wire.given(after), limit=PAGE_LIMIT)
    if wait_s:
        request = replace(request, headers={**request.headers, "Prefer": f"wait={wait_s}"})
    return AskedPage(request, after, shown=session.state.get_int("events_after", -1))


def take_page(session: Session, asked: AskedPage, response: Response) -> Operation[Pulled]:
    """Verify the page that was the answer."""
    wire.expect(response, 200)
    is_last = "link" not in response.headers
    cursor = response.headers.get("lintas-cursor")
    page = feed.read_page(response.body, after=asked.after, shown=asked.shown, cursor=cursor, is_last=is_last)
    alarms: list[str] = []
    if page.rows or session.is_due():
        # An idle follower asks seldom, so that polls do not fill the log; yet it asks, or a hub could hide everything.
        alarms = (yield from wire.catch_up(session)).alarms
    has_waited = "preference-applied" in response.headers
    return Pulled(tuple(feed.verify_page(session, page)), page, tuple(alarms), has_waited=has_waited)
