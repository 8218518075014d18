"""The HTTP server around the application: uvicorn, told how this hub stops or cuts a connection."""

from __future__ import annotations

import resource
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

import uvicorn

from broker.connections import Connections, Protocol
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

    def __init__(
        self, hub: Hub, app: Callable[..., Any], connections: Connections | None = None, **options: Any
    ) -> None:
        """Serve this application; `options` are those of uvicorn's configuration."""
        if connections is None:
            connections = Connections(hub, CONNECTIONS_MAX)
        protocol: Any = partial(Protocol, connections)
        # Request lines would put ids and filters into a second, unprotected log; the event log has every read.
        super().__init__(
            uvicorn.Config(
                deferring(app),
                http=protocol,
                ws="none",
                # Whose word on addresses counts is decided in broker.limits, for all that count them.
                proxy_headers=False,
                server_header=False,
                access_log=False,
                **options,
            )
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


def allow_connections() -> None:
    """Raise this process's limit of open files to what the connections need, as far as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS_MAX + FILES_SPARE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
