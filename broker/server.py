"""The HTTP server around the application: uvicorn, told how this hub stops, cuts a connection, counts requests."""

from __future__ import annotations

import logging
import os
import resource
import signal
import socket
from collections.abc import Callable
from functools import partial
from time import monotonic
from types import FrameType
from typing import Any

import uvicorn

from broker.connections import Connections, Protocol
from broker.hub import Hub
from lintas.errors import BadSettings

CONNECTIONS_MAX = 2_500
"""Connections at once: every stream, every waiting request, and some hundreds for everything else."""

FILES_SPARE = 500
"""Files beside the connections: the database's, the log's, pipes."""

KEEP_ALIVE_S = 75
"""Idle connections stay open longer than a proxy in front keeps them."""

ANSWER_S = 30
"""How long requests that are being answered are waited for when the server stops."""

REQUEST_ID_BYTES = 8
CLIENT_ERROR, SERVER_ERROR = 400, 500
NO_ROUTE = "none"
REQUEST_ID = b"lintas-request"
LOG = "Lintas-Log"
WAITED = b"preference-applied"
CLOSE = (b"connection", b"close")

logger = logging.getLogger("lintas.server")


class Server(uvicorn.Server):
    """A server that leaves in order: `/readyz` fails, what is under way is answered, waiting readers are told.

    At SIGTERM it says that it is leaving and goes on serving for `drain_s`, in which proxies send everything elsewhere;
    then, and at an interrupt at once, it takes no more connections, ends streams, answers what came. A second signal
    ends the process where it stands, which loses nothing that was acknowledged.
    """

    def __init__(
        self,
        hub: Hub,
        app: Callable[..., Any],
        connections: Connections | None = None,
        *,
        drain_s: float = 0.0,
        **options: Any,
    ) -> None:
        """Serve this application; `options` are those of uvicorn's configuration."""
        if connections is None:
            connections = Connections(hub, CONNECTIONS_MAX)
        protocol: Any = partial(Protocol, connections)
        # Request lines would put ids and filters into a second, unprotected log; the event log has every read.
        super().__init__(
            uvicorn.Config(
                observing(hub, app),
                http=protocol,
                ws="none",
                # Whose word on addresses counts is decided in broker.limits, for all that count them.
                proxy_headers=False,
                server_header=False,
                # A client that pins a former epoch learns from any answer that somebody has to decide something.
                headers=[(LOG, hub.signer.origin)],
                access_log=False,
                log_config=None,
                **options,
            )
        )
        self._hub = hub
        self._drain_s = drain_s
        self._exit_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - as Python calls it
        """Begin to leave; at the second signal do what it does by default."""
        if self._exit_at is not None:
            signal.signal(sig, signal.SIG_DFL)
            signal.raise_signal(sig)
        is_interrupt = sig == signal.SIGINT
        if is_interrupt:
            # Reported again when everything is closed: whoever sits at a terminal gets the usual exit code.
            self._captured_signals.append(sig)
        self._hub.wakeup.is_leaving = True
        logger.info("leaving", extra={"signal": signal.Signals(sig).name, "seconds": self._drain_s})
        self._exit_at = monotonic() + (0.0 if is_interrupt else self._drain_s)

    async def on_tick(self, counter: int) -> bool:
        """Stop when it is time to; called ten times a second."""
        if self._exit_at is not None and monotonic() >= self._exit_at:
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End what would never end by itself, then drain as uvicorn does."""
        self._hub.wakeup.stop()
        await super().shutdown(sockets)

    @property
    def connection_count(self) -> int:
        """Connections that are open now."""
        return len(self.server_state.connections)


def listen(host: str, port: int) -> list[socket.socket]:
    """Take every address of a host, without answering yet; raise BadSettings, so that a start fails before it works."""
    found = []
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            each = socket.socket(family, kind, protocol)
            found.append(each)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            each.bind(address)
            each.set_inheritable(False)
    except OSError as fault:
        for each in found:
            each.close()
        raise BadSettings(f"Cannot listen on {host}:{port}: {(fault.strerror or str(fault)).lower()}.") from fault
    return found


def observing(hub: Hub, app: Callable[..., Any]) -> Callable[..., Any]:
    """Count each request, name it, log what was refused; let a handler leave its response for later.

    A response that is left is written when the layers around its handler have returned. They hold about 8 KiB for each
    request, which is nothing for a moment, and much for a thousand silent streams.
    """

    async def run(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        deferred: list[Callable[..., Any]] = []
        scope.setdefault("extensions", {})["lintas.defer"] = {"call": deferred.append}
        seen = _Seen(hub, send)
        try:
            await app(scope, receive, seen.send)
        finally:
            seen.tell(scope, is_stream=bool(deferred))
        if deferred:
            _trim(scope)
            del seen
            await deferred.pop()(receive, send)

    return run


class _Seen:
    """One request on its way: when it began, what it was answered with."""

    __slots__ = ("_began", "_hub", "_id", "_send", "_status", "_waited")

    def __init__(self, hub: Hub, send: Callable[[Any], Any]) -> None:
        self._hub = hub
        self._send = send
        self._began = monotonic()
        self._status = 0
        self._waited = False
        self._id = ""

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            headers = message["headers"]
            self._status = message["status"]
            if self._status >= CLIENT_ERROR:
                # With it an operator finds the line in the log of the process; it says nothing else.
                self._id = os.urandom(REQUEST_ID_BYTES).hex()
                headers.append((REQUEST_ID, self._id.encode()))
            self._waited = any(name == WAITED for name, _ in headers)
            if self._hub.wakeup.is_leaving:
                # A kept connection would bring its next request here, and lose it.
                headers.append(CLOSE)
        await self._send(message)

    def tell(self, scope: Any, *, is_stream: bool) -> None:
        # A client that left before the answer has no status of ours: 499 is what proxies call it.
        status = self._status or (200 if is_stream else 499)
        seconds = monotonic() - self._began
        route = getattr(scope.get("route"), "path", NO_ROUTE)
        self._hub.tally.requested(route, status, None if self._waited or is_stream else seconds)
        if status < CLIENT_ERROR and not logger.isEnabledFor(logging.DEBUG):
            return
        level = logging.DEBUG if status < CLIENT_ERROR else logging.INFO if status < SERVER_ERROR else logging.WARNING
        told = {"request": self._id, "method": scope["method"], "route": route, "status": status}
        logger.log(level, "request", extra=told | {"ms": round(1_000 * seconds, 1)})


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
