"""A connection to the hub, cut when it only takes room.

uvicorn's protocol reads requests and writes answers; here are the limits that it lacks. A head has a size and a time, a
request that was answered must end, an answer must be taken, an address has so many connections. What is past a limit
gets a problem, if anything can still be said, and its connection ends.

All of it belongs to the thread of the event loop.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from broker import limits
from broker.hub import Hub
from lintas.errors import STATUS, BadRequest, Busy, RateLimited, Refusal, RequestTimeout, TooLarge

HEAD_BYTES_MAX = 16 * 1024
"""A request line with its headers: four times a token, and room for what proxies add."""

FIELD_EXTRA_BYTES = len(": \r\n")

PIPELINE_MAX = 8
"""Requests that may be sent ahead of their answers. No client of ours does it."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a connection may do nothing useful, in seconds; tests take small ones."""

    head_s: float = 15.0
    """From the first byte, or the opening of the connection, to the end of the head."""

    linger_s: float = 2.0
    """From the answer to the end of a body that nobody reads."""

    taking_s: float = 30.0
    """In this time a reader takes `TAKEN_BYTES_MIN` of what waits for it."""


TAKEN_BYTES_MIN = 64 * 1024
"""Two kilobytes a second: less than the slowest line that carries a bulletin."""

ADDRESS_MAX = 500
"""Connections of one address: three times the streams and waiting requests that an agency may have."""


class Connections:
    """The connections of a server: how many, of whom, which of them are idle."""

    def __init__(self, hub: Hub, count_max: int, patience: Patience | None = None) -> None:
        """Begin without any. `count_max` is how many there may be."""
        self.hub = hub
        self.patience = patience or Patience()
        # Of every malformed request uvicorn would write a line; strangers could fill the disk with them.
        self.logger = logging.getLogger("lintas.http")
        self.logger.setLevel(logging.ERROR)
        self._max = count_max
        self._open: set[Protocol] = set()
        self._idle: OrderedDict[Protocol, None] = OrderedDict()
        self._counts: Counter[str] = Counter()

    def __len__(self) -> int:
        """Return how many are open."""
        return len(self._open)

    def admit(self, connection: Protocol, peer: str | None) -> Refusal | None:
        """Let a connection in; if there is no room the one that has been idle longest makes some, or it is refused."""
        source = limits.source_of(peer)
        is_counted = source not in limits.LOCAL and not limits.is_trusted(peer, self.hub.settings.trusted_proxy)
        if is_counted and self._counts[source] >= ADDRESS_MAX:
            return RateLimited("Too many connections from your address.", retry_after=1)
        if len(self._open) >= self._max:
            if not self._idle:
                return Busy(retry_after=1)
            oldest, _ = self._idle.popitem(last=False)
            oldest.cut()
        self._open.add(connection)
        if is_counted:
            connection.source = source
            self._counts[source] += 1
        return None

    def leave(self, connection: Protocol) -> None:
        """Forget a connection that is over."""
        self._idle.pop(connection, None)
        if connection in self._open:
            self._open.discard(connection)
            if connection.source is not None:
                self._counts -= Counter((connection.source,))

    def mark_idle(self, connection: Protocol) -> None:
        """Note that nothing is asked on a connection now."""
        if connection in self._open:
            self._idle[connection] = None
            self._idle.move_to_end(connection)

    def mark_busy(self, connection: Protocol) -> None:
        """Note that something is asked."""
        self._idle.pop(connection, None)


class Protocol(HttpToolsProtocol):
    """A connection that is cut when it only takes room, by its handler too."""

    def __init__(self, connections: Connections, **options: Any) -> None:
        """Take the connections of the server; `options` are uvicorn's."""
        super().__init__(**options)
        # None until the first request, which uvicorn's type does not say.
        self.cycle: Any
        self.logger = connections.logger
        self.source: str | None = None
        self._connections = connections
        self._head_bytes = 0
        self._field_bytes = 0
        self._in_head = True
        self._too_large = False
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._lost: Callable[[], None] | None = None

    # --- the connection ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let it in, or say why not."""
        super().connection_made(transport)  # type: ignore[arg-type]
        refusal = self._connections.admit(self, self.client[0] if self.client else None)
        if refusal is not None:
            self._refuse(refusal)
            return
        self._connections.mark_idle(self)
        self._begin_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it, and tell whoever asked."""
        super().connection_lost(exc)
        self._connections.leave(self)
        for name in tuple(self._timers):
            self._stop(name)
        if self._lost is not None:
            self._lost()

    def cut(self) -> None:
        """End it at once."""
        self.transport.abort()

    # --- what comes in ---

    def data_received(self, data: bytes) -> None:
        """Read on, as long as the head that these bytes belong to is not too large."""
        if self.transport.is_closing():
            return
        self._connections.mark_busy(self)
        if self._in_head:
            self._head_bytes += len(data)
            self._begin_head()
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            self._refuse(TooLarge(f"The head of a request has at most {HEAD_BYTES_MAX} bytes."))

    def on_message_begin(self) -> None:
        """Begin a request. Offer beside it to cut its connection, to tell when it is lost, to write to it at once."""
        if len(self.pipeline) >= PIPELINE_MAX:
            raise ValueError
        super().on_message_begin()
        self._field_bytes = 0
        self._lost = None
        calls = {"lintas.abort": self.transport.abort, "lintas.lost": self._tell, "lintas.push": self._push}
        self.scope["extensions"] = {name: {"call": call} for name, call in calls.items()}

    def on_url(self, url: bytes) -> None:
        """Take a part of the address."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or a trailer of a chunked body."""
        self._count(len(name) + len(value) + FIELD_EXTRA_BYTES)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin to serve the request."""
        self._in_head = False
        self._head_bytes = 0
        self._stop("head")
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note that the request has ended; what comes next is a head."""
        self._in_head = True
        super().on_message_complete()
        if "linger" in self._timers:
            self._stop("linger")
            self._rest()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request."""
        del msg
        if self._too_large:
            self._refuse(TooLarge(f"The head of a request has at most {HEAD_BYTES_MAX} bytes."))
        else:
            self._refuse(BadRequest("This is not one HTTP request after the other."))

    def _count(self, size_bytes: int) -> None:
        self._field_bytes += size_bytes
        if self._field_bytes > HEAD_BYTES_MAX:
            self._too_large = True
            raise ValueError

    def _begin_head(self) -> None:
        if "head" not in self._timers:
            self._after(self._connections.patience.head_s, "head", self._head_is_late)

    def _head_is_late(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self._refuse(RequestTimeout("The head of a request did not come in time."))

    # --- what goes out ---

    def on_response_complete(self) -> None:
        """End the request, its connection too if its body goes on and on."""
        super().on_response_complete()
        if self.transport.is_closing() or not self.cycle.response_complete:
            return
        if self.cycle.more_body:
            self._after(self._connections.patience.linger_s, "linger", self.transport.close)
        else:
            self._connections.mark_idle(self)

    def _rest(self) -> None:
        # uvicorn waits for the next request from an answer on; bytes of its body ended that.
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)
        self._connections.mark_idle(self)

    def pause_writing(self) -> None:
        """See to it that the reader takes what waits for it."""
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        """Go on: it did."""
        self._stop("taking")
        super().resume_writing()

    def _watch_reader(self) -> None:
        left = self.transport.get_write_buffer_size()

        def look() -> None:
            if self.transport.get_write_buffer_size() > left - TAKEN_BYTES_MIN:
                self.cut()
            else:
                self._watch_reader()

        self._after(self._connections.patience.taking_s, "taking", look)

    def _refuse(self, refusal: Refusal) -> None:
        """Say why the connection ends here, unless an answer is under way on it."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete or not (cycle.response_started or self.pipeline):
            self._count_stranger(refusal)
            self.transport.write(_problem(refusal))
        self.transport.close()

    def _count_stranger(self, refusal: Refusal) -> None:
        source = limits.source_of(self.client[0] if self.client else None)
        if not isinstance(refusal, Busy | RateLimited):
            self._connections.hub.strangers.count(source, refusal.code)

    # --- timers ---

    def _after(self, seconds: float, name: str, call: Callable[[], object]) -> None:
        def run() -> None:
            self._timers.pop(name, None)
            if not self.transport.is_closing():
                call()

        self._stop(name)
        self._timers[name] = self.loop.call_later(seconds, run)

    def _stop(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def _push(self, data: bytes) -> bool:
        # One of a thousand streams is written to in a few microseconds, past everything that a response goes through.
        cycle = self.cycle
        is_writing = cycle.chunked_encoding and not cycle.response_complete
        if not is_writing or self.flow.write_paused or self.transport.is_closing():
            return False
        self.transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        return True

    def _tell(self, lost: Callable[[], None]) -> None:
        self._lost = lost
        if self.transport.is_closing():
            lost()


def _problem(refusal: Refusal) -> bytes:
    status = STATUS[type(refusal)]
    body = json.dumps({**refusal.problem(), "status": status}).encode()
    retry = b"retry-after: %d\r\n" % int(refusal.extra["retry_after"]) if "retry_after" in refusal.extra else b""
    return b"%bcontent-type: application/problem+json\r\ncontent-length: %d\r\n%bconnection: close\r\n\r\n%b" % (
        STATUS_LINE[status],
        len(body),
        retry,
        body,
    )
