"""Receive webhooks of a hub, verify each, print what came.

python -m clients.scripts.receive_webhook --key whpk_... --port 8480

`lintas webhook set` prints the key. Put a TLS proxy in front. The signature of a call proves the hub; the line in it is
verified as one from the feed is, with the keys that this agency's client has proven from the log.
"""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

import click

from clients.settings import open_client, read_settings
from clients.show import safe
from lintas import Call, Client, Line, LintasError, open_webhook
from lintas.errors import BadRequest

BODY_BYTES_MAX = 262_144
"""No line is longer."""

READ_S_MAX = 10
SEEN_MAX = 10_000
"""Ids remembered; a real receiver keeps them with what it took over."""


class Receiver(BaseHTTPRequestHandler):
    """Answers challenges, prints verified lines; 2xx tells the hub that it may go on."""

    timeout = READ_S_MAX
    client: Client
    key: str
    seen: dict[str, None]

    def do_POST(self) -> None:
        """Take one call."""
        try:
            call = open_webhook(dict(self.headers.items()), self._body(), self.key, self.client.session.now())
            answer = self._take(call, self.headers.get("lintas-seq", ""))
        except LintasError as fault:
            click.echo(f"refused: {safe(str(fault))}", err=True)
            self._answer(400)
        else:
            self._answer(200, answer)

    def _body(self) -> bytes:
        length = self.headers.get("content-length", "")
        return self.rfile.read(min(int(length), BODY_BYTES_MAX + 1)) if length.isascii() and length.isdigit() else b""

    def _take(self, call: Call, seq: str) -> bytes:
        if call.members.get("type") == "webhook.challenge":
            return str(call.members["challenge"]).encode()
        if call.id not in self.seen:
            if call.line is not None:
                verify(self.client, call.line, seq)
            click.echo(describe(call))
            # Kept only now: what could not be verified comes again.
            self.seen[call.id] = None
            if len(self.seen) > SEEN_MAX:
                del self.seen[next(iter(self.seen))]
        return b""

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print no request lines: the path may be a secret."""


def verify(client: Client, line: Line, seq: str) -> None:
    """Verify a line that is said to stand at this index of the log; raise a LintasError."""
    if line.header.kid not in client.directory.keys:
        client.sync()
    if not seq.isascii() or not seq.isdigit():
        raise BadRequest("The header lintas-seq is missing.", member="lintas-seq")
    client.verify_line(line.raw, seq=int(seq))


def describe(call: Call) -> str:
    """Return one line of text about a call."""
    if call.line is None:
        return safe(" ".join(str(call.members.get(name, "")) for name in ("type", "id", "state", "tlp", "urgency")))
    header = call.line.header
    return f"{call.line.id}  {header.iss}  TLP:{header.tlp}  {header.urgency} {header.kind}"


def server(client: Client, key: str, host: str, port: int) -> HTTPServer:
    """Return a server that receives for this client; the caller runs it."""
    handler = type("ReceiverOf", (Receiver,), {"client": client, "key": key, "seen": {}})
    return HTTPServer((host, port), handler)


@click.command()
@click.option("--key", required=True, help="The hub's webhook key, whpk_...")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8480, show_default=True, help="Port to listen on.")
def main(key: str, host: str, port: int) -> None:
    """Print every call that the hub signed, until interrupted."""
    try:
        with open_client(read_settings()) as client:
            client.sync()
            server(client, key, host, port).serve_forever()
    except LintasError as fault:
        raise click.ClickException(str(fault)) from fault
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
