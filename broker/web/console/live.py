"""Bulletins as they come in, by their headers: server-sent events for the overview.

Nothing of a bulletin's content is in it. It rings with the hub's bells, looks at the session each time before it says
something, and ends with it, after an hour, or when the hub stops; the page's script comes again by itself.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from broker import sessions
from broker.delivery import in_reader
from broker.hub import Hub
from broker.sessions import Visitor
from broker.standing import reader
from broker.store import shown
from broker.store.engine import Connection
from broker.store.sessions import session_of
from broker.store.shown import Part, Shown
from broker.web.console import words
from broker.web.console.headers import headers_of
from broker.web.console.rendering import Page
from broker.web.console.session import record_view, visitor_of
from broker.web.http import hub_of, integer_param
from lintas import vocabulary
from lintas.directory import EVERY_PARTNER
from lintas.event import US_PER_S
from lintas.filter import EVERYTHING

HEARTBEAT_S = 15.0
STREAM_S_MAX = 3_600.0
"""After an hour the browser comes again, with what it has seen as `Last-Event-ID`."""

ROWS_MAX = 50
RETRY_MS = 3_000

router = APIRouter(route_class=Page)


@router.get("/console/live")
async def live(request: Request) -> Response:
    """Tell of bulletins above log index `after`, those that the visitor may know of."""
    visitor = await visitor_of(request, frozenset({"after"}))
    hub = hub_of(request)
    after = integer_param(request, "after", 0)
    last = request.headers.get("last-event-id", "")
    if last.isascii() and last.isdigit():
        after = max(after, int(last[:16]))
    await record_view(hub, visitor, "live")
    headers = headers_of(request) | {"X-Accel-Buffering": "no"}
    return StreamingResponse(_events(hub, visitor, after), headers=headers, media_type="text/event-stream")


async def _events(hub: Hub, visitor: Visitor, after: int) -> AsyncIterator[bytes]:
    clock = asyncio.get_running_loop().time
    end = clock() + STREAM_S_MAX
    yield b"retry: %d\n\n" % RETRY_MS
    with hub.wakeup.bell(EVERY_PARTNER if visitor.is_admin else visitor.party) as bell:
        while clock() < end and not hub.wakeup.is_stopping:
            found = await in_reader(hub, lambda conn, after=after: _new(conn, hub, visitor, after))  # type: ignore[misc]
            if found is None:
                return
            for each in reversed(found):
                yield b"id: %d\ndata: %b\n\n" % (each.seq, json.dumps(members(each)).encode())
                after = each.seq
            with suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_S):
                    await bell.wait()
                    continue
            yield b":\n\n"


def _new(conn: Connection, hub: Hub, visitor: Visitor, after: int) -> list[Shown] | None:
    """Return what is new, the newest first; None when the session is over."""
    session = session_of(conn, visitor.session)
    if sessions.session_fault(session, hub.directory, visitor.browser, hub.now()) is not None:
        return None
    who = None if visitor.is_admin else reader(hub.directory, visitor.party)
    return shown.newest(conn, who, EVERYTHING, Part(after=after, limit=ROWS_MAX))


def members(each: Shown) -> dict[str, str]:
    """Return a bulletin as the page's script shows it: words only, no markup."""
    known = vocabulary.load()
    time = words.iso(each.at * US_PER_S)
    return {
        "id": each.id,
        "topic": known.title("topics", each.topic),
        "kind": known.title("kinds", each.kind),
        "issuer": each.iss,
        "country": words.badge(each.iss),
        "tlp": vocabulary.TLP[each.tlp_rank],
        "urgency": each.urgency,
        "time": time,
        "clock": time[11:19],
    }
