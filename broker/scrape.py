"""The address where figures are read, with the thread that answers there.

A thread of its own, so that a hub whose event loop is busy, or whose queue is full, can still be looked at. One reader
at a time: there are one or two.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer

from broker.exposition import MEDIA
from lintas.errors import BadSettings

SOCKET_S = 5.0
"""How long one reader may keep the next one waiting."""

PATH = "/metrics"

logger = logging.getLogger("lintas.metrics")


class Listener:
    """Answers `GET /metrics` with what `text` returns."""

    def __init__(self, address: tuple[str, int], text: Callable[[], bytes]) -> None:
        """Listen, or raise BadSettings; `start` begins to answer."""
        host, port = address
        try:
            self._http = _Http(address, text)
        except OSError as fault:
            raise BadSettings(f"LINTAS_METRICS: cannot listen on {host}:{port}: {fault.strerror}.") from fault
        self._thread = threading.Thread(target=self._http.serve_forever, name="lintas-metrics", daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._http.server_address[1]
        return port

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more."""
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


class _Http(TCPServer):
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], text: Callable[[], bytes]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.text = text
        super().__init__(address, _Handler)

    def handle_error(self, _request: object, _client: object) -> None:
        logger.warning("a reader of figures was not answered", exc_info=True)  # noqa: LOG014 - called while it is handled


class _Handler(BaseHTTPRequestHandler):
    timeout = SOCKET_S
    server_version = "lintas"
    sys_version = ""
    server: _Http

    def do_GET(self) -> None:
        if self.path != PATH:
            self.send_error(404)
            return
        body = self.server.text()
        self.send_response(200)
        self.send_header("Content-Type", MEDIA)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: who reads figures is no event."""
