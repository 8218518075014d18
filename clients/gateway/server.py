"""The gateway's HTTP server, on this machine alone.

The standard library's: some tools on one machine ask now and then, and an agency needs nothing more installed. A
request is let in by its head before a byte of its body is read.
"""

from __future__ import annotations

import socket
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from clients.gateway.guard import Guard
from lintas.errors import BadRequest, InternalError, LintasError, NotFound, TooLarge
from lintas.imported import INPUT_BYTES_MAX
from lintas.taxii import Answer

READ_S_MAX = 30
"""How long a connection may be silent, within a request or between two."""

CONNECTIONS_MAX = 64
"""As many as the tools of one machine need; the next one is closed at once."""


OURS = "It was the gateway that failed, not the hub; its journal names the place."


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was let in. `path` is decoded, `query` is not; header names are lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


Answering = Callable[[Asked], Answer]
Refusing = Callable[[str, LintasError], Answer]
"""Makes the answer to a path that is refused."""


class Server(ThreadingHTTPServer):
    """Serves what `answering` answers. Each connection has a thread."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = CONNECTIONS_MAX

    def __init__(
        self, host: str, port: int, answering: Answering, refusing: Refusing, report: Callable[[str], None]
    ) -> None:
        """Listen; port 0 chooses one. `guard` is set before it serves. `report` is told of faults of ours."""
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.guard: Guard | None = None
        self.answering = answering
        self.refusing = refusing
        self.report = report
        self._room = threading.BoundedSemaphore(CONNECTIONS_MAX)
        super().__init__((host, port), Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection if there is room."""
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection, then make room."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a connection that broke: a trace could hold what was sent."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "lintas-gateway"
    sys_version = ""
    timeout = READ_S_MAX

    def do_GET(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def log_message(self, *_: object) -> None:
        """Print no request lines: an address may hold what somebody looks for."""

    def _serve(self) -> None:
        path, _, query = self.path.partition("?")
        try:
            answer = self._answer(path, query)
        except LintasError as fault:
            # What follows may be the rest of a body that nobody read.
            self.close_connection = True
            answer = self.server.refusing(path, fault)
        except Exception as fault:  # noqa: BLE001 - a fault of ours in one answer must not end the others
            self.close_connection = True
            self.server.report(f"a request failed: {_place(fault)}")
            answer = self.server.refusing(path, InternalError(OURS))
        self._send(answer)

    def _answer(self, path: str, query: str) -> Answer:
        headers = {name.lower(): value for name, value in self.headers.items()}
        if len(headers) != len(self.headers):
            raise BadRequest("A header stands twice in this request.")
        assert self.server.guard is not None
        self.server.guard.admit(self.command, headers)
        if not path.startswith("/"):
            raise NotFound
        asked = Asked(self.command, unquote(path), query, headers, self._body(headers))
        return self.server.answering(asked)

    def _body(self, headers: dict[str, str]) -> bytes:
        if "transfer-encoding" in headers or "content-encoding" in headers:
            raise BadRequest("A body is sent as it is, with its Content-Length.", member="Transfer-Encoding")
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            raise BadRequest("This is no length.", member="Content-Length")
        if int(length[:20]) > INPUT_BYTES_MAX:
            raise TooLarge(f"A body has at most {INPUT_BYTES_MAX} bytes.")
        body = self.rfile.read(int(length))
        if len(body) != int(length):
            raise BadRequest("The body ended before its length.")
        return body

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)


def _place(fault: Exception) -> str:
    """Say what failed where, without its text: that may hold what was sent."""
    last = traceback.extract_tb(fault.__traceback__)[-1]
    return f"{type(fault).__name__} at {Path(last.filename).name}:{last.lineno}"
