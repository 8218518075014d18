"""The HTTP server around the application: uvicorn, told how this hub stops or cuts a connection."""

from __future__ import annotations

import resource
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from broker.hub import Hub

CONNECTIONS_MAX = 2_500
"""Connections at once: every stream, every waiting request, and some hundreds for everything else."""

FILES_SPARE = 500
"""Files beside the connections: the database's, the log's, pipes."""

KEEP_ALIVE_S = 75
"""Idle connections stay open longer than a proxy in front keeps them."""

DRAIN_S = 30


class Server(uvicorn.Server):
    """A server that tells waiting readers when it stops, so that it need not wait for them."""

    def __init__(self, hub: Hub, app: Callable[..., Any], **options: Any) -> None:
        """Serve this application; `options` are those of uvicorn's configuration."""
        # Request lines would put ids and filters into a second, unprotected log; the event log has every read.
        super().__init__(
            uvicorn.Config(deferring(app), http=Protocol, server_header=False, access_log=False, **options)
        )
        self._hub = hub

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End what would never end by itself, then drain as uvicorn does."""
        self._hub.wakeup.stop()
        await super().shutdown(sockets)


def deferring(app: Callable[..., Any]) -> Callable[..., Any]:
    """Let a handler leave its response to be written when the layers around it have returned.

    They hold about 8 KiB for each request, which is nothing for a moment, and much for a thousand silent streams.
    """

    async def run(scope: Any, receive: Any, send: Any) -> None:
        deferred: list[Callable[..., Any]] = []
        if scope["type"] == "http":
            scope.setdefault("extensions", {})["lintas.defer"] = {"call": deferred.append}
        await app(scope, receive, send)
        if deferred:
            _trim(scope)
            await deferred.pop()(receive, send)

    return run


def _trim(scope: dict[str, Any]) -> None:
    # The server keeps the request for as long as its response lasts; of it, it needs only these itself.
    for name in scope.keys() - {"type", "method", "http_version", "client", "path", "query_string"}:
        del scope[name]


class Protocol(HttpToolsProtocol):
    """A connection that its handler can cut: a reader who does not read would hold it for ever."""

    def on_message_begin(self) -> None:
        """Offer beside the request to cut its connection, to tell when it is lost, to write to it at once."""
        super().on_message_begin()
        self._lost: Callable[[], None] | None = None
        calls = {"lintas.abort": self.transport.abort, "lintas.lost": self._tell, "lintas.push": self._push}
        self.scope["extensions"] = {name: {"call": call} for name, call in calls.items()}

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever asked."""
        super().connection_lost(exc)
        lost: Callable[[], None] | None = getattr(self, "_lost", None)
        if lost is not None:
            lost()

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


def allow_connections() -> None:
    """Raise this process's limit of open files to what the connections need, as far as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS_MAX + FILES_SPARE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
