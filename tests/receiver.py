"""A receiver of webhooks for tests: a real HTTP server that keeps what it is sent and answers as told."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from tests.conftest import wait_until


@dataclass(frozen=True)
class Got:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def members(self) -> dict[str, Any]:
        """The body as JSON; empty for a line."""
        found: dict[str, Any] = json.loads(self.body) if self.body.startswith(b"{") else {}
        return found

    @property
    def is_challenge(self) -> bool:
        """Tell whether the hub asks who is there."""
        return self.members.get("type") == "webhook.challenge"


@dataclass(frozen=True)
class Told:
    """What to answer."""

    status: int = 204
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


Answer = Callable[[Got], Told]


def willing(got: Got) -> Told:
    """Meet the challenge, take everything over."""
    return Told(200, got.members["challenge"].encode()) if got.is_challenge else Told()


class Receiver:
    """A server on a loopback port. `answer` may be replaced at any time."""

    def __init__(self, answer: Answer = willing, tls: ssl.SSLContext | None = None) -> None:
        self.answer = answer
        self.got: list[Got] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                got = Got(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                receiver.got.append(got)
                told = receiver.answer(got)
                self.send_response(told.status)
                for name, value in told.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(told.body)))
                self.end_headers()
                self.wfile.write(told.body)

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """Keep quiet about callers that hang up."""

        self._server = Server(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        """Where it is called, with a secret in the path."""
        return f"http://127.0.0.1:{self.port}/hook/s3cr3t"

    @property
    def deliveries(self) -> list[Got]:
        """What came beside challenges."""
        return [got for got in self.got if not got.is_challenge]

    def wait(self, count: int, seconds: float = 20.0) -> list[Got]:
        """Return the deliveries once there are so many."""
        wait_until(lambda: len(self.deliveries) >= count, seconds)
        return self.deliveries

    def __enter__(self) -> Self:
        """Start."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
