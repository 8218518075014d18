"""Requests that wait: the preference `wait` (RFC 7240), streams of server-sent events (WHATWG HTML).

A request that waits is given up as soon as its client has left.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from broker.auth import Caller
from broker.delivery import Source
from broker.streams import Stream, Streams
from broker.web.http import INTEGER_DIGITS_MAX, PRIVATE
from lintas.errors import BadRequest

WAIT_S_MAX = 60
"""A longer wait would outlast proxies and tokens; the caller simply asks again."""

EVENTS_MEDIA = "text/event-stream"

_WAIT = re.compile(r'wait\s*=\s*"?([^";\s]*)"?\s*(?:;.*)?', re.IGNORECASE)
_SECONDS = re.compile(rf"[0-9]{{1,{INTEGER_DIGITS_MAX}}}")

T = TypeVar("T")


def wait_of(request: Request) -> int:
    """Return how many seconds the caller would wait, 0 for not at all; raise BadRequest for what is no time.

    Other preferences are ignored, and of several `wait` the first counts (RFC 7240, section 2).
    """
    for preference in ",".join(request.headers.getlist("prefer")).split(","):
        found = _WAIT.fullmatch(preference.strip())
        if found is not None:
            if not _SECONDS.fullmatch(found[1]):
                raise BadRequest(f"`Prefer: wait=` takes whole seconds, at most {WAIT_S_MAX}.", member="Prefer")
            return min(int(found[1]), WAIT_S_MAX)
    return 0


def waited(seconds: int) -> dict[str, str]:
    """Return the header that tells which wait was granted."""
    return {"Preference-Applied": f"wait={seconds}"} if seconds else {}


async def while_there(request: Request, work: Coroutine[None, None, T]) -> T:
    """Do the work unless the client leaves before it is done; raise ClientDisconnect then."""
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_left(request.receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue


def wants_events(request: Request) -> bool:
    """Tell whether the caller asks for a stream."""
    ranges = (each.partition(";")[0].strip().lower() for each in request.headers.get("accept", "").split(","))
    return EVENTS_MEDIA in ranges


def resume_after(request: Request, after: int) -> int:
    """Return where a stream begins: behind `Last-Event-ID` if there is one, which a resuming browser adds by itself."""
    found = request.headers.getlist("last-event-id")
    if not found:
        return after
    if len(found) > 1 or not _SECONDS.fullmatch(found[0]):
        raise BadRequest("`Last-Event-ID` is the id of an event of this stream.", member="Last-Event-ID")
    return int(found[0])


async def stream(request: Request, source: Source, caller: Caller, *, after: int) -> Response:
    """Answer with a stream of a source; refusals come as problems before it begins."""
    streams: Streams = request.app.state.streams
    opened = await streams.open(source, caller, _extension(request.scope, "lintas.abort") or _nothing, after=after)
    return EventStream(streams, opened)


def _extension(scope: Scope, name: str) -> Callable[..., Any] | None:
    # Another server than ours may not offer it; then a stream costs more memory, and a stuck one ends with its network.
    call: Callable[..., Any] | None = scope.get("extensions", {}).get(name, {}).get("call")
    return call


def _nothing() -> None:
    return


class EventStream(Response):
    """A response without an end of its own: what a stream brings, until it ends or the client leaves."""

    media_type = EVENTS_MEDIA

    def __init__(self, streams: Streams, opened: Stream) -> None:
        """Take a stream that is open; it is closed when the response is over."""
        # `X-Accel-Buffering` keeps the usual proxy from collecting events, no-transform keeps others from packing them.
        headers = {"Cache-Control": f"{PRIVATE['Cache-Control']}, no-transform", "X-Accel-Buffering": "no"}
        super().__init__(headers=headers)
        del self.headers["content-length"]
        self._streams = streams
        self._opened = opened

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Write the stream, if the server can do so once everything around the handler has returned."""
        defer, lost = _extension(scope, "lintas.defer"), _extension(scope, "lintas.lost")
        start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        streams, opened = self._streams, self._opened
        opened.direct = _extension(scope, "lintas.push")
        if lost is not None:
            lost(opened.leave)
        if defer is None or lost is None:
            await _watched(opened, receive, _serve(streams, opened, start, send))
        else:
            # The server tells of the loss itself: a thousand streams need no thousand tasks that wait for it.
            defer(lambda _receive, send: _serve(streams, opened, start, send))


async def _serve(streams: Streams, opened: Stream, start: dict[str, Any], send: Send) -> None:
    async def write(data: bytes) -> None:
        await send({"type": "http.response.body", "body": data, "more_body": True})

    try:
        await send(start)
        await streams.run(opened, write)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        streams.close(opened)


async def _watched(opened: Stream, receive: Receive, serving: Coroutine[None, None, None]) -> None:
    leaving = asyncio.ensure_future(_left(receive))
    leaving.add_done_callback(lambda _done: opened.leave())
    try:
        await serving
    finally:
        leaving.cancel()
