"""The proxy's configuration that containers and machines share, before replicas that show what reaches them.

A real HAProxy over real TLS; the replicas are small servers, because what is looked at is what the proxy lets through.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from broker.server import KEEP_ALIVE_S
from broker.streams import HEARTBEAT_S
from broker.web.bulletins import BATCH_BYTES_MAX
from broker.web.http import BODY_S_MAX
from broker.web.waiting import WAIT_S_MAX
from deploy.make_secrets import make_certificate
from lintas.errors import RateLimited, TooLarge
from lintas.problems import from_problem
from lintas.transport import trusted
from tests.conftest import wait_until
from tests.processes import free_port
from tests.topology import CONFIGURATION, find_proxy

TEXT = CONFIGURATION.read_text()


class Replica:
    """A server in the place of a hub: keeps what comes, is ready or not, loses connections when told to."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, str]]] = []
        self.is_ready = True
        self.loses = 0
        self.go_on, self.is_waiting, self.is_left = threading.Event(), threading.Event(), threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Answering,), {"replica": self}))
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Answering(BaseHTTPRequestHandler):
    """How a replica answers."""

    replica: Replica
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/readyz":
            self._answer(200 if self.replica.is_ready else 503)
        elif self._takes():
            {"/stream": self._stream, "/wait": self._wait}.get(self.path, self._answer)()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        if self._takes():
            self._answer(201)

    def _takes(self) -> bool:
        self.replica.got.append((f"{self.command} {self.path}", {k.lower(): v for k, v in self.headers.items()}))
        if self.replica.loses == 0:
            return True
        self.replica.loses -= 1
        self.close_connection = True
        return False

    def _answer(self, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"3\r\n:\n\n\r\n")
        self.replica.go_on.wait(10)
        self.wfile.write(b"0\r\n\r\n")

    def _wait(self) -> None:
        self.replica.is_waiting.set()
        self.connection.settimeout(10)
        if _read(self.connection) == b"":
            self.replica.is_left.set()

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@dataclass
class Proxy:
    """A running proxy with two replicas behind it."""

    folder: Path
    port: int
    health_port: int
    http: httpx.Client
    replicas: list[Replica] = field(default_factory=list)

    @property
    def got(self) -> list[tuple[str, dict[str, str]]]:
        """What reached either replica."""
        return [each for replica in self.replicas for each in replica.got]

    def health(self) -> int:
        """Return what the proxy says of itself to whoever watches it."""
        return httpx.get(f"http://127.0.0.1:{self.health_port}/readyz").status_code

    def connect(self, source: str) -> socket.socket:
        """Connect from an address of this machine, without TLS as yet."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=10, source_address=(source, 0))

    def secure(self, source: str) -> ssl.SSLSocket:
        """Connect from an address of this machine over TLS."""
        return self.context().wrap_socket(self.connect(source), server_hostname="127.0.0.1")

    def context(self) -> ssl.SSLContext:
        """Trust the proxy's authority."""
        return trusted(self.folder / "ca.pem", "https://127.0.0.1")


@pytest.fixture(scope="module")
def program() -> str:
    """The proxy's program, on machines that have it."""
    found = find_proxy()
    if found is None:
        pytest.skip(
            "no haproxy here, so nothing of the proxy was tried: apt install haproxy (`make check` does as root)"
        )
    return found


@pytest.fixture
def proxy(program: str, tmp_path: Path) -> Iterator[Proxy]:
    """A proxy of this test alone, both of its replicas found ready."""
    authority, own = make_certificate(("127.0.0.1",))
    (tmp_path / "ca.pem").write_bytes(authority)
    (tmp_path / "proxy.pem").write_bytes(own)
    replicas = [Replica(), Replica()]
    port, health_port = free_port(), free_port()
    places = {
        "LINTAS_PROXY_LISTEN": f"127.0.0.1:{port}",
        "LINTAS_PROXY_CERTIFICATE": str(tmp_path / "proxy.pem"),
        "LINTAS_PROXY_HEALTH": f"127.0.0.1:{health_port}",
        "LINTAS_HUB_1": f"127.0.0.1:{replicas[0].port}",
        "LINTAS_HUB_2": f"127.0.0.1:{replicas[1].port}",
    }
    with (tmp_path / "log").open("wb") as log:
        command = [program, "-db", "-f", str(CONFIGURATION)]
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **places})
    url = f"https://127.0.0.1:{port}"
    with httpx.Client(base_url=url, verify=trusted(tmp_path / "ca.pem", url), timeout=20) as http:
        found = Proxy(tmp_path, port, health_port, http, replicas)

        def is_up() -> bool:
            assert process.poll() is None, (tmp_path / "log").read_text()
            with contextlib.suppress(httpx.TransportError):
                return found.health() == 200
            return False

        wait_until(is_up)
        yield found
    process.terminate()
    process.wait(20)
    for replica in replicas:
        replica.go_on.set()
        replica.stop()


def test_address_is_what_the_proxy_saw(proxy: Proxy) -> None:
    """What a request says of where it comes from never reaches a replica; what the proxy saw does."""
    claims = ("Forwarded", "X-Real-IP", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-For", "X-Forwarded-Proto")
    proxy.http.get("/v1/bulletins", headers=dict.fromkeys(claims, "for=203.0.113.7") | {"Authorization": "Bearer x"})

    ((_, headers),) = proxy.got
    assert {"x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "https"} == {
        name: value for name, value in headers.items() if name in {claim.lower() for claim in claims}
    }
    assert "Bearer x" == headers["authorization"]


@pytest.mark.parametrize("path", ["/metrics", "/metrics/", "/metrics?name=x", "/%6detrics", "/%6D%65trics"])
def test_metrics_stay_inside(proxy: Proxy, path: str) -> None:
    """Figures of the machine are asked of a replica, not through the proxy, however their path is spelt."""
    answer = proxy.http.get(path)

    assert (404, []) == (answer.status_code, proxy.got)


def test_size_of_a_body(proxy: Proxy) -> None:
    """The largest batch passes; much more than that never reaches a replica and is refused as the hub would."""
    fits = proxy.http.post("/v1/bulletins", content=b"x" * BATCH_BYTES_MAX)
    with proxy.secure("127.0.0.1") as connection:
        head = f"POST /v1/bulletins HTTP/1.1\r\nHost: x\r\nContent-Length: {BATCH_BYTES_MAX + 65_537}\r\n\r\n"
        connection.sendall(head.encode())
        said = connection.recv(65_536)

    assert (201, True, 1) == (fits.status_code, said.startswith(b"HTTP/1.1 413"), len(proxy.got))
    assert TooLarge is type(from_problem(json.loads(said.partition(b"\r\n\r\n")[2]), 413))


def test_tls_alone(proxy: Proxy) -> None:
    """TLS 1.2 is the least that is spoken, and nothing in clear."""
    context = proxy.context()
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with proxy.connect("127.0.0.1") as plain, pytest.raises(ssl.SSLError, match="ALERT_PROTOCOL_VERSION"):
        context.wrap_socket(plain, server_hostname="127.0.0.1")
    with proxy.connect("127.0.0.1") as plain:
        plain.sendall(b"GET /v1/bulletins HTTP/1.1\r\nHost: x\r\n\r\n")

        assert b"" == _read(plain)
    assert [] == proxy.got


@pytest.mark.parametrize("path", ["/v1/bulletins", "/metrics"])
def test_headers_of_an_answer(proxy: Proxy, path: str) -> None:
    """Answers of a replica and of the proxy itself say that this address speaks TLS, and guard a browser."""
    headers = proxy.http.get(path).headers

    assert ("max-age=31536000", "nosniff", "no-referrer") == tuple(
        headers[name] for name in ("strict-transport-security", "x-content-type-options", "referrer-policy")
    )


def test_a_lost_read_is_repeated(proxy: Proxy) -> None:
    """A read whose answer was lost is asked of a replica again, and nobody notices."""
    for replica in proxy.replicas:
        replica.loses = 1

    answer = proxy.http.get("/v1/bulletins")

    assert (200, 3) == (answer.status_code, len(proxy.got))


def test_a_lost_post_is_told(proxy: Proxy) -> None:
    """A post whose answer was lost is not sent twice by the proxy: its sender is told, and repeats the same bytes."""
    for replica in proxy.replicas:
        replica.loses = 1

    # In one piece: what the proxy has whole it could send again.
    with proxy.secure("127.0.0.1") as connection:
        connection.sendall(b"POST /v1/bulletins HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nline")
        said = connection.recv(65_536)

    assert (True, 1) == (said.startswith(b"HTTP/1.1 502 "), len(proxy.got))


def test_a_post_that_was_never_sent(proxy: Proxy) -> None:
    """A post for a replica that is gone goes to the other at once: it was never sent."""
    proxy.replicas[0].stop()

    answers = [proxy.http.post("/v1/bulletins", content=b"line").status_code for _ in range(4)]

    assert [201] * 4 == answers
    assert 4 == len(proxy.replicas[1].got)


def test_a_replica_that_is_not_ready(proxy: Proxy) -> None:
    """A replica that says it is not ready gets nothing; when none is, the proxy says so, and when to come again."""
    proxy.replicas[0].is_ready = False
    wait_until(lambda: _is_down(proxy, 1))
    before = len(proxy.replicas[0].got)
    assert [200] * 4 == [proxy.http.get("/v1/bulletins").status_code for _ in range(4)]
    assert before == len(proxy.replicas[0].got)
    proxy.replicas[1].is_ready = False
    wait_until(lambda: proxy.health() == 503)

    answer = proxy.http.get("/v1/bulletins")

    assert (503, "2", "about:blank") == (answer.status_code, answer.headers["retry-after"], answer.json()["type"])


def test_streams_pass_as_they_come(proxy: Proxy) -> None:
    """What a replica has sent of a stream is with the reader before there is more."""
    with proxy.http.stream("GET", "/stream") as answer:
        first = next(answer.iter_raw())
        is_held = any(replica.go_on.is_set() for replica in proxy.replicas)
        for replica in proxy.replicas:
            replica.go_on.set()

    assert (b":\n\n", False) == (first, is_held)


def test_whoever_leaves_is_gone(proxy: Proxy) -> None:
    """When a reader leaves while its replica waits for news, the replica hears of it."""
    with proxy.secure("127.0.0.1") as connection:
        connection.sendall(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: any(replica.is_waiting.is_set() for replica in proxy.replicas))

    wait_until(lambda: any(replica.is_left.is_set() for replica in proxy.replicas), 5)


def test_requests_of_one_address(proxy: Proxy) -> None:
    """More than a thousand requests in ten seconds from one address are refused for a while, nobody else's are."""
    with proxy.secure("127.0.0.9") as stranger:
        stranger.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 1_000)
        stranger.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        said = _read(stranger)

    assert (1_000, 1) == (said.count(b"HTTP/1.1 404"), said.count(b"HTTP/1.1 429"))
    head, _, body = said[said.index(b"HTTP/1.1 429") :].partition(b"\r\n\r\n")
    assert (RateLimited, True) == (type(from_problem(json.loads(body), 429)), b"retry-after: 10" in head.lower())
    assert 200 == proxy.http.get("/v1/bulletins").status_code


def test_connections_of_one_address(proxy: Proxy) -> None:
    """Two hundred connections of one address are taken and no more; of another address there may be others."""
    with contextlib.ExitStack() as stack:
        taken = []
        for _ in range(203):
            with contextlib.suppress(ConnectionResetError):
                taken.append(stack.enter_context(proxy.connect("127.0.0.9")))

        # What can be read is the end. Which ones, the proxy's threads decide.
        wait_until(lambda: len(taken) - len(select.select(taken, [], [], 0)[0]) == 200)
        assert 200 == proxy.http.get("/v1/bulletins").status_code


def test_log_names_nothing(proxy: Proxy) -> None:
    """The proxy's log has where from, what method, which status; no path, no filter, no token."""
    proxy.http.get("/v1/bulletins/some-id?topic=cyber", headers={"Authorization": "Bearer secret-token"})
    log = proxy.folder / "log"
    wait_until(lambda: "GET 200" in log.read_text())

    text = log.read_text()

    assert "127.0.0.1 GET 200" in text
    assert not re.search(r"bulletins|some-id|cyber|secret", text)


def test_times() -> None:
    """The proxy outwaits the hub's longest wait and several heartbeats; the hub keeps idle connections for longer."""
    times = {name: int(seconds) for name, seconds in re.findall(r"^    timeout ([\w-]+) +(\d+)s$", TEXT, re.MULTILINE)}

    assert min(times["server"], times["client"]) > max(WAIT_S_MAX, 3 * HEARTBEAT_S, BODY_S_MAX)
    assert times["http-keep-alive"] < KEEP_ALIVE_S
    assert times["http-request"] <= BODY_S_MAX


def _is_down(proxy: Proxy, number: int) -> bool:
    return f"hub-{number} is DOWN" in (proxy.folder / "log").read_text()


def _read(connection: socket.socket) -> bytes:
    """Read to the end; a connection that was reset has none."""
    said = b""
    with contextlib.suppress(ConnectionError):
        while chunk := connection.recv(65_536):
            said += chunk
    return said
