"""Streams of bulletins: each connection is a reader that stays.

A stream that is behind catches up by pages of its own. At the live end one fan-out serves all streams of the hub: woken
by a commit it reads what is new once for everyone, records one sending for each source, then puts the same prepared
bytes into the buffer of every stream of that source. Nothing leaves before its record is durable.

Handing over from pages to the fan-out happens between two rounds, at the cursor `g` of the fan-out: the stream gets
everything up to `g` by pages, everything above it from the fan-out, which leaves out what a page had already.

All of it belongs to the thread of the event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from itertools import count

from broker.auth import Caller
from broker.delivery import (
    READ_AGAIN_MAX,
    Page,
    Source,
    Window,
    check_still_active,
    deliver,
    in_reader,
    read_page,
    record_page,
    submit,
)
from broker.hub import Hub
from broker.live import Live, event_of, read_live, record_live
from broker.store.engine import Connection
from broker.wakeup import Bell
from lintas.directory import EVERY_PARTNER, Directory
from lintas.errors import Busy, Refusal, Unauthorized

STREAMS_MAX = 1_500
"""Streams of one process: with the waiting requests they leave connections for publishing."""

STREAMS_PER_AGENCY_MAX = 100
STREAM_S_MAX = 3_600.0
"""After an hour a stream ends and its reader comes again, with a new token."""

HEARTBEAT_S = 15
"""A comment this often, so that proxies keep the connection and readers notice a dead one."""

RETRY_MS = 2_000
PAGE_LIMIT = 200
BUFFER_BYTES_MAX = 1024 * 1024
"""What may wait for one connection; a reader that lets more pile up is cut, and resumes where it was."""

ROUND_S_MAX = 0.05
"""The longest pause between two rounds: under load each round takes more with it instead."""

ABORT_S = 5.0
"""An ended stream whose reader does not take the end is cut after this."""

HEARTBEAT = b":\n\n"
OPENING = b"retry: %d\n\n" % RETRY_MS

Send = Callable[[bytes], Awaitable[None]]
Direct = Callable[[bytes], bool]
"""Writes at once to a connection that has room; False when it has none and the bytes must wait."""

logger = logging.getLogger("lintas.streams")


class Stream:
    """One connection: what waits to be written to it, and whether it ended."""

    __slots__ = (
        "_buffer",
        "_bytes",
        "_ended",
        "_waiter",
        "abort",
        "after",
        "caller",
        "direct",
        "ends_at",
        "first",
        "slot",
        "source",
    )

    def __init__(self, source: Source, caller: Caller, abort: Callable[[], None], *, slot: int) -> None:
        self.source = source
        self.caller = caller
        self.abort = abort
        self.slot = slot
        self.ends_at = asyncio.get_running_loop().time() + STREAM_S_MAX
        self.after = -1
        self.first: Page | None = None
        self.direct: Direct | None = None
        self._buffer: deque[bytes] | None = None
        self._bytes = 0
        self._ended = False
        self._waiter: asyncio.Future[None] | None = None

    def push(self, data: bytes) -> None:
        """Put bytes behind what waits; a reader too slow for them is cut."""
        if self._ended or (self._is_idle and self.direct is not None and self.direct(data)):
            return
        if self._buffer is None:
            self._buffer = deque()
        if self._buffer and self._bytes + len(data) > BUFFER_BYTES_MAX:
            self._end(b"")
            self.abort()
            return
        self._buffer.append(data)
        self._bytes += len(data)
        self._wake()

    def end(self, reason: str) -> None:
        """End it at once: what waits is dropped, the reason is the last event."""
        if not self._ended:
            self._end(b"event: end\ndata: %b\n\n" % reason.encode())
            asyncio.get_running_loop().call_later(ABORT_S, self._abort_if_stuck)

    async def take(self) -> bytes:
        """Wait for what is to be written next; nothing when the stream has ended."""
        if not self._buffer and not self._ended:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        buffer, self._buffer, self._bytes = self._buffer, None, 0
        return b"".join(buffer) if buffer else b""

    def leave(self) -> None:
        """Note that the connection is gone."""
        self._end(b"")

    @property
    def has_ended(self) -> bool:
        """Tell whether nothing more will come."""
        return self._ended

    @property
    def _is_idle(self) -> bool:
        # Nothing waits, nothing is being written: what is written now comes in its order.
        return not self._buffer and self._waiter is not None and not self._waiter.done()

    def _end(self, last: bytes) -> None:
        self._ended = True
        self._buffer, self._bytes = deque((last,)) if last else None, len(last)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _abort_if_stuck(self) -> None:
        if self._buffer:
            self.abort()


class Streams:
    """Every stream of a hub with the fan-out that feeds those at the live end."""

    def __init__(self, hub: Hub) -> None:
        """Begin without a stream."""
        self._hub = hub
        self._open: set[Stream] = set()
        self._counts: Counter[str] = Counter()
        self._slots = count()
        self._groups: dict[Source, set[Stream]] = {}
        self._cursor = -1
        self._asked: tuple[Directory, int, bool] | None = None
        self._between_rounds = asyncio.Lock()
        self._bell: Bell | None = None
        self._fanning: asyncio.Task[None] | None = None
        self._beating: asyncio.Task[None] | None = None

    @property
    def open_count(self) -> int:
        """Streams that are open now."""
        return len(self._open)

    async def open(self, source: Source, caller: Caller, abort: Callable[[], None], *, after: int) -> Stream:
        """Make room for a stream, then read and record its first page; raise Busy, or what the page refuses.

        Whoever opens a stream closes it.
        """
        if len(self._open) >= STREAMS_MAX or self._counts[caller.party] >= STREAMS_PER_AGENCY_MAX:
            raise Busy("Too many streams of yours, or of all, are open.", retry_after=HEARTBEAT_S)
        stream = Stream(source, caller, abort, slot=next(self._slots) % HEARTBEAT_S)
        self._open.add(stream)
        self._counts[caller.party] += 1
        if self._beating is None or self._beating.done():
            self._beating = asyncio.ensure_future(self._beat())
        try:
            stream.first = await self._page(source, caller, Window(after, PAGE_LIMIT))
        except BaseException:
            self.close(stream)
            raise
        return stream

    def close(self, stream: Stream) -> None:
        """Forget a stream whose connection is over."""
        stream.leave()
        self._open.discard(stream)
        self._counts -= Counter((stream.caller.party,))
        group = self._groups.get(stream.source)
        if group is not None:
            group.discard(stream)
            if not group:
                del self._groups[stream.source]

    async def run(self, stream: Stream, send: Send) -> None:
        """Write a stream to its end: the pages it is behind, then what comes."""
        await send(OPENING)
        try:
            await self._catch_up(stream, send)
        except Refusal as refusal:
            stream.end(refusal.code)
        while data := await stream.take():
            await send(data)

    async def _catch_up(self, stream: Stream, send: Send) -> None:
        source, caller = stream.source, stream.caller
        # Nothing else may hold the page: a stream that stays for an hour would keep it in memory.
        page, stream.first = stream.first, None
        assert page is not None
        while True:
            if not page.is_empty and not stream.has_ended:
                await send(b"".join(map(event_of, page.rows)))
            if not page.is_full:
                break
            page = await self._page(source, caller, Window(page.cursor, PAGE_LIMIT))
        cursor, until = page.cursor, await self._join(stream, page.cursor)
        while cursor < until and not stream.has_ended:
            page = await self._page(source, caller, Window(cursor, PAGE_LIMIT), until=until)
            if not page.is_empty:
                await send(b"".join(map(event_of, page.rows)))
            cursor = page.cursor

    async def _page(self, source: Source, caller: Caller, window: Window, *, until: int | None = None) -> Page:
        hub = self._hub

        def read(conn: Connection) -> Page:
            page = read_page(conn, hub.directory, source, window=window, now=hub.now())
            return page if until is None else _up_to(page, until)

        return await deliver(hub, caller, read, lambda batch, page: record_page(batch, source, page))

    async def _join(self, stream: Stream, cursor: int) -> int:
        """Join the live end; return up to where the stream must still catch up by pages."""
        async with self._between_rounds:
            if not self._groups:
                self._cursor = cursor
            if not stream.has_ended:
                stream.after = cursor
                # Equal sources become one object: a thousand streams need no thousand filters.
                stream.source = next((each for each in self._groups if each == stream.source), stream.source)
                self._groups.setdefault(stream.source, set()).add(stream)
                self._wake()
            return self._cursor

    def _wake(self) -> None:
        # What came between the page of the first stream and its joining rang for nobody: the fan-out looks at once.
        if self._fanning is None or self._fanning.done():
            self._fanning = asyncio.ensure_future(self._fan_out())
        elif self._bell is not None:
            self._bell.rung.set()

    # --- the fan-out ---

    async def _fan_out(self) -> None:
        clock = asyncio.get_running_loop().time
        with self._hub.wakeup.bell(EVERY_PARTNER) as self._bell:
            while self._groups:
                began = clock()
                try:
                    sent = await self._rounds()
                except Exception:
                    logger.exception("fan-out failed; every stream ends, its reader resumes")
                    self._end_all("internal-error")
                    sent = False
                # Nobody waits when the hub is idle. Under load each round takes along what came during the last one.
                await asyncio.sleep(min(clock() - began, ROUND_S_MAX) if sent else 0)
                await self._bell.wait()

    async def _rounds(self) -> bool:
        """Bring every stream to the present; tell whether something was sent."""
        sent = False
        while True:
            async with self._between_rounds:
                self._end_newly_revoked()
                if not self._groups:
                    return sent
                live = await self._recorded()
                self._cursor = live.cursor
                self._distribute(live)
            sent = sent or bool(live.pages)
            if not live.is_full:
                return sent

    async def _recorded(self) -> Live:
        """Read what is new for everyone and record that it is sent; both are true of the same state of the hub."""
        hub = self._hub
        for attempt in count(1):
            sources = tuple(self._groups)
            live = await in_reader(
                hub,
                lambda conn, sources=sources: read_live(  # type: ignore[misc]
                    conn, hub.directory, sources, after=self._cursor, now=hub.now()
                ),
            )
            if not live.pages:
                return live
            with suppress(Busy):
                done = await submit(hub, lambda batch, live=live: record_live(batch, live))  # type: ignore[misc]
                if done.value:
                    return live
            self._end_revoked(self._open)
            # Orders that follow one another quickly, or a full queue: readers wait, nothing is skipped.
            await asyncio.sleep(0 if attempt < READ_AGAIN_MAX else ROUND_S_MAX)
        raise AssertionError

    def _distribute(self, live: Live) -> None:
        ready: dict[int, bytes] = {}
        for source, page in live.pages.items():
            parts = [ready.get(row.seq) or ready.setdefault(row.seq, event_of(row)) for row in page.rows]
            data = b"".join(parts)
            for stream in tuple(self._groups.get(source, ())):
                if stream.after < page.rows[0].seq:
                    stream.push(data)
                else:
                    later = [part for row, part in zip(page.rows, parts, strict=True) if row.seq > stream.after]
                    if later:
                        stream.push(b"".join(later))

    # --- ends ---

    def _end_newly_revoked(self) -> None:
        asked = self._hub.directory, self._hub.now(), self._hub.wakeup.is_stopping
        if asked != self._asked:
            self._asked = asked
            self._end_revoked(self._open)

    def _end_revoked(self, streams: set[Stream]) -> None:
        known: dict[str, str | None] = {}
        for stream in tuple(streams):
            if stream.caller.kid not in known:
                known[stream.caller.kid] = self._reason_to_end(stream.caller)
            reason = known[stream.caller.kid]
            if reason is not None:
                self._end(stream, reason)

    def _reason_to_end(self, caller: Caller) -> str | None:
        if self._hub.wakeup.is_stopping:
            return "stopping"
        try:
            check_still_active(self._hub, caller)
        except Unauthorized as refusal:
            return refusal.code
        return None

    def _end_all(self, reason: str) -> None:
        for stream in tuple(self._open):
            self._end(stream, reason)

    def _end(self, stream: Stream, reason: str) -> None:
        group = self._groups.get(stream.source, set())
        group.discard(stream)
        if not group:
            self._groups.pop(stream.source, None)
        stream.end(reason)

    async def _beat(self) -> None:
        clock = asyncio.get_running_loop().time
        for second in count():
            await asyncio.sleep(1)
            if not self._open:
                return
            # A fifteenth of the streams each second: all at once would delay what is being sent.
            turn = {stream for stream in self._open if stream.slot == second % HEARTBEAT_S}
            self._end_revoked(turn)
            for stream in turn:
                stream.push(HEARTBEAT)
                if stream.ends_at <= clock():
                    self._end(stream, "hour")


def _up_to(page: Page, until: int) -> Page:
    rows = tuple(row for row in page.rows if row.seq <= until)
    is_cut = len(rows) < len(page.rows)
    return replace(page, rows=rows, cursor=min(page.cursor, until), is_full=page.is_full and not is_cut)
