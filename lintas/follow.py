"""Following a feed without end: over the hub's stream, or by long polls where no stream gets through.

A generator of steps that both clients drive. Whatever the way, a row is shown after signature, key history, release
were checked as for a page, in log order, once; the cursor on disk moves when the row was taken over. By a stream alone
a hub could hide something in silence, so from time to time a page is pulled as well: it must reach what the log showed.

Spec: docs/spec/http.md (streams).
"""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lintas import feed, pages, subscribe, wire
from lintas.errors import Busy, HubUnreachable, InternalError, RateLimited, ReadOnly, Refusal, Unverified
from lintas.feed import Received
from lintas.pages import Pulled
from lintas.request import Operation, Request, Response, expect, given, reading
from lintas.session import IDLE_S, Session
from lintas.stream import EventReader, StreamEvent

EVENTS_MEDIA = "text/event-stream"
WAIT_S = 30
"""How long a poll asks the hub to wait: less than the time after which a request counts as lost."""

POLL_S = 600
"""How long the follower polls before it tries a stream again that did not get through."""

TELL_S = 5
"""How often a follower of a stream tells the hub how far it got, so that originators see what was received."""

PAUSE_S_MAX = 60.0
ROW_EVENTS = ("bulletin", "state")
_INDEX = re.compile(r"[0-9]{1,15}")
PASSING = (HubUnreachable, Busy, RateLimited, ReadOnly, InternalError)
"""What may pass by itself: the follower tries again, later and later."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Open a stream, closing the one before; the answer is a `Response`, without its body when it is a stream."""

    request: Request


@dataclass(frozen=True, slots=True)
class Hear:
    """Take the next bytes of the stream; the answer is empty at its end. Silence is thrown as HubUnreachable."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait about so long: each follower another time, so that not all come back at once."""

    seconds: float


Step = Request | Operation[Any] | Listen | Hear | Pause | Received
"""What a driver does: send a request, run an operation, listen, hear, pause, show."""

Steps = Generator[Step, Any, None]


def follow(session: Session, *, once: bool, poll: bool, pause_s: float, subscription: str | None = None) -> Steps:
    """Show what is there, then what comes; `once` stops at the present, `poll` never asks for a stream.

    A `subscription` is polled: its place is the hub's. Raises HubUnreachable when the hub is not there at first; later
    it is waited for. Raises Evidence when something does not verify, and refusals that do not pass by themselves.
    """
    yield from _pages(session, subscription)
    polls_until, failures = 0, 0
    while not once:
        began = session.now()
        try:
            if poll or subscription is not None or session.now() < polls_until:
                yield from _poll(session, subscription, pause_s)
            elif not (yield from _listen(session)):
                polls_until = session.now() + POLL_S
            failures = 0
        except PASSING as fault:
            # What held for a while and then broke is no repeated failure.
            failures = 0 if session.now() >= began + PAUSE_S_MAX else failures
            # A driver spreads a pause down to its half, which is still not before the hub asked us back.
            asked = fault.extra.get("retry_after")
            yield Pause(min(PAUSE_S_MAX, max(2.0**failures, 2.0 * asked if isinstance(asked, int) else 0)))
            failures += 1


def _poll(session: Session, subscription: str | None, pause_s: float) -> Steps:
    last = yield from _pages(session, subscription, wait_s=WAIT_S)
    if not last.items and not last.has_waited:
        yield Pause(pause_s)


def _pages(session: Session, subscription: str | None = None, *, wait_s: int = 0) -> Generator[Step, Any, Pulled]:
    """Show page after page up to the present; return the last one."""
    while True:
        # Requests are plain steps: other operations of an AsyncClient need not wait for a poll.
        if subscription is None:
            asked = pages.ask_page(session, wait_s=wait_s)
            take = pages.take_page(session, asked, (yield asked.request))
        else:
            response = yield subscribe.ask_page(session, subscription, wait_s=wait_s)
            take = subscribe.take_page(session, subscription, response)
        pulled: Pulled = yield take
        yield from _show(session, pulled)
        yield subscribe.confirm(session, pulled)
        if pulled.page.is_last and not feed.is_to_go_back(session):
            return pulled


def _show(session: Session, pulled: Pulled) -> Steps:
    for item in pulled.items:
        yield item
        # Control is back, so it was taken over: one killed in the middle of a page goes on with the next item.
        subscribe.confirm_item(session, pulled, item)


def _listen(session: Session) -> Generator[Step, Any, bool]:
    """Show what a stream brings until it ends; False when no stream gets through to here."""
    response: Response = yield Listen(_stream_request(session))
    if response.status != 200 or not response.headers.get("content-type", "").startswith(EVENTS_MEDIA):  # noqa: PLR2004
        _check_refusal(response)
        return False
    reader, last, is_heard = EventReader(), -1, False
    checked_at = told_at = session.now()
    while True:
        try:
            chunk: bytes = yield Hear()
        except HubUnreachable:
            if is_heard:
                raise
            # It was opened and nothing came, not even the first comment: something on the way keeps it.
            return False
        if not chunk:
            # Ended in order, as every stream after an hour: what it left out a page brings, or shows to be withheld.
            yield from _pages(session)
            yield Pause(1.0)
            return True
        is_heard = True
        rows = [event for event in reader.take(chunk) if event.type in ROW_EVENTS]
        if rows:
            last = _check_order(rows, last)
            yield from _rows(session, rows)
        if session.now() >= checked_at + IDLE_S or feed.is_to_go_back(session):
            yield from _pages(session)
            checked_at = session.now()
        if session.now() >= told_at + TELL_S:
            # Not for each row; the heartbeat brings us here when nothing else does.
            yield subscribe.tell_feed(session)
            told_at = session.now()


def _check_refusal(response: Response) -> None:
    # What is said of the caller holds for pages too, a hub that is away comes back; anything else may be a proxy that
    # takes no streams.
    try:
        expect(response)
    except Refusal:
        if response.status in (401, 403):
            raise


def _stream_request(session: Session) -> Request:
    after = session.state.get_int(feed.AFTER, -1)
    request = reading(session, "/v1/bulletins", after=given(after))
    return replace(request, headers={**request.headers, "Accept": EVENTS_MEDIA})


def _check_order(events: Sequence[StreamEvent], last: int) -> int:
    for event in events:
        if _index(event) <= last:
            raise Unverified("The stream is out of order.")
        last = _index(event)
    return last


def _index(event: StreamEvent) -> int:
    if not _INDEX.fullmatch(event.id):
        raise Unverified("An event of the stream has no log index.")
    return int(event.id)


def _rows(session: Session, events: Sequence[StreamEvent]) -> Steps:
    """Verify rows that came together, as a page that ends with them, then show them."""
    after = session.state.get_int(feed.AFTER, -1)
    # What a page brought in the meantime is not shown again.
    new = [event for event in events if _index(event) > after]
    if not new:
        return
    body = b"\n".join(event.data for event in new)
    page = feed.read_page(body, after=after, shown=-1, cursor=new[-1].id, is_last=True)
    if [row["seq"] for row in page.rows] != list(map(_index, new)):
        raise Unverified("The stream's ids are not those of its rows.")
    named = feed.named(page)
    if named - session.state.released(named).keys() or session.is_due():
        yield wire.catch_up(session)
    pulled = Pulled(tuple((yield pages.verify(session, page))), page)
    yield from _show(session, pulled)
    subscribe.take_over(session, pulled)
