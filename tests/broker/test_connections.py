"""Connections that only take room, over real sockets: each one past a limit is told so or cut, and leaves nothing."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from urllib.parse import urlsplit

import pytest

from broker import connections as module
from broker import limits
from broker.connections import Connections, Patience
from lintas.errors import PROBLEM_TYPE_PREFIX
from tests.broker.conftest import Desks, Template, inner_desks
from tests.conftest import served, wait_until

GET = b"GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n"
POST = b"POST /v1/bulletins HTTP/1.1\r\nHost: hub\r\nContent-Type: application/vnd.lintas.bulletin\r\n"
SHORT = Patience(head_s=0.3, linger_s=0.3, taking_s=0.3)
STRANGER = "127.0.0.2"
"""An address that is not counted as the hub's own machine."""


class Guarded:
    """A served hub whose connections have little time."""

    def __init__(self, desks: Desks, connections: Connections) -> None:
        self.desks = desks
        self.connections = connections

    @contextmanager
    def connect(self, *parts: bytes, source: str = "127.0.0.1") -> Iterator[socket.socket]:
        """Open a connection from this address and send these bytes."""
        address = urlsplit(self.desks.url)
        target = (address.hostname or "", address.port or 0)
        with socket.create_connection(target, timeout=5, source_address=(source, 0)) as connection:
            for part in parts:
                connection.sendall(part)
            yield connection

    def ask(self, *parts: bytes, source: str = "127.0.0.1") -> bytes:
        """Send bytes; return everything that comes until the hub ends the connection."""
        with self.connect(source=source) as connection:
            with suppress(ConnectionError):
                for part in parts:
                    connection.sendall(part)
            return rest(connection)


def rest(connection: socket.socket) -> bytes:
    """Return everything that comes until the other side ends the connection."""
    found = b""
    try:
        while data := connection.recv(65_536):
            found += data
    except ConnectionResetError:
        pass
    return found


def drip(connection: socket.socket, drop: bytes) -> None:
    """Send a little again and again until the connection is cut."""
    with suppress(ConnectionError):
        for _ in range(100):
            connection.sendall(drop)
            time.sleep(0.04)
        raise AssertionError("It was not cut.")


def answer(connection: socket.socket) -> bytes:
    """Return one small answer."""
    return connection.recv(65_536)


def problems(text: bytes) -> list[tuple[int, str]]:
    """Return status and code of each problem in a sequence of answers."""
    found = []
    for head, body in re.findall(rb"HTTP/1\.1 (\d{3}) [^\0]*?\r\n\r\n(\{[^}]*\})?", text):
        members = json.loads(body) if body else {}
        found.append((int(head), str(members.get("type", "")).removeprefix(PROBLEM_TYPE_PREFIX)))
    return found


@pytest.fixture(scope="module")
def guarded(few: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A hub for all tests of this module, at most six connections."""
    with inner_desks(few, tmp_path_factory.mktemp("connections") / "hub") as desks:
        connections = Connections(desks.hub, 6, SHORT)
        with served(desks.hub, connections) as desks.url:
            yield Guarded(desks, connections)


@pytest.fixture(autouse=True)
def _nothing_is_left(guarded: Guarded) -> Iterator[None]:
    yield
    wait_until(lambda: len(guarded.connections) == 0)
    assert not guarded.connections._idle
    assert not guarded.connections._counts


def test_silent_connection(guarded: Guarded) -> None:
    """A connection on which nothing is asked is told that it is late, and ends."""
    assert [(408, "request-timeout")] == problems(guarded.ask())


def test_slow_head(guarded: Guarded) -> None:
    """Headers that come drop by drop do not keep a connection: the time runs from the first one."""
    began = time.monotonic()
    with guarded.connect(GET[:-2]) as connection:
        drip(connection, b"X: a\r\n")

    assert time.monotonic() - began < 3


def test_empty_lines(guarded: Guarded) -> None:
    """Line ends before a request are no request: after an answer they do not keep a connection either."""
    with guarded.connect(GET) as connection:
        first = answer(connection)
        connection.sendall(b"\r\n")

        assert b"HTTP/1.1 200" in first
        assert [(408, "request-timeout")] == problems(rest(connection))


def test_kept_alive(guarded: Guarded) -> None:
    """A connection that was answered waits for the next request for longer than for a head."""
    with guarded.connect(GET) as connection:
        answer(connection)
        time.sleep(SHORT.head_s * 1.5)
        connection.sendall(GET)

        assert b"HTTP/1.1 200" in answer(connection)


@pytest.mark.parametrize(
    "head",
    [
        GET[:-2] + b"X: " + b"a" * 16_400 + b"\r\n\r\n",
        GET[:-2] + b"".join(b"X-%d: a\r\n" % number for number in range(2_000)) + b"\r\n",
        GET[:-2] + b"X: " + b"a" * 300_000,
        b"GET /" + b"a" * 16_400 + b" HTTP/1.1\r\nHost: hub\r\n\r\n",
    ],
    ids=["one header", "many headers", "header without end", "address"],
)
def test_large_head(guarded: Guarded, head: bytes) -> None:
    """A head past its size is refused while it comes, and its connection ends."""
    assert [(413, "too-large")] == problems(guarded.ask(head))


def test_head_at_the_limit(guarded: Guarded) -> None:
    """A head of nearly the largest size is served."""
    with guarded.connect(GET[:-2] + b"X: " + b"a" * 16_200 + b"\r\n\r\n") as connection:
        assert b"HTTP/1.1 200" in answer(connection)


def test_large_trailers(guarded: Guarded) -> None:
    """Trailers of a chunked body count as headers do."""
    head = POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"

    trailers = (b"X-%d: %b\r\n" % (number, b"a" * 1_000) for number in range(20))

    assert [(413, "too-large")] == problems(guarded.ask(head, *trailers))


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: chunked\r\n\r\n",
        POST + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
        POST + b"Content-Length: 100000000\r\n\r\n",
    ],
    ids=["GET", "refused by its type", "refused by its length"],
)
def test_body_that_nobody_reads(guarded: Guarded, head: bytes) -> None:
    """A body that goes on after the answer is cut soon; the answer was there to be read."""
    with guarded.connect(head) as connection:
        first = answer(connection)
        drip(connection, b"1\r\na\r\n")

    assert first.startswith(b"HTTP/1.1 ")


def test_body_that_ends_late(guarded: Guarded) -> None:
    """A body that ends shortly after the answer costs nothing: the connection goes on."""
    with guarded.connect(POST + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\n") as connection:
        first = answer(connection)
        connection.sendall(b"abcde")
        time.sleep(SHORT.linger_s * 1.5)
        connection.sendall(GET)

        assert (b"HTTP/1.1 415", b"HTTP/1.1 200") == (first[:12], answer(connection)[:12])


def test_pipeline(guarded: Guarded) -> None:
    """Some requests may be sent ahead; thousands are not queued."""
    with guarded.connect(GET * 4) as connection:
        found = b""
        while found.count(b"HTTP/1.1 200") < 4:
            found += answer(connection)

    assert guarded.ask(GET * 2_000).count(b"HTTP/1.1 200") < 2_000


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 50,
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /%00 HTTP/1.1\r\nHost: hub\r\nBad Header: x\r\n\r\n",
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["TLS", "version", "header name", "two lengths", "two numbers", "chunk size"],
)
def test_no_http(guarded: Guarded, raw: bytes) -> None:
    """What is no HTTP is refused as a problem that repeats nothing of it, and counted."""
    counts = guarded.desks.hub.strangers._counts
    counts.clear()

    found = guarded.ask(raw)

    assert [(400, "bad-request")] == problems(found)
    assert b"Bad Header" not in found
    assert [{"bad-request"}] == [set(codes) for codes in counts.values()]


def test_reader_that_does_not_read(guarded: Guarded) -> None:
    """An answer that is not taken is not kept for ever."""
    document = b"GET /openapi.json HTTP/1.1\r\nHost: hub\r\n\r\n"
    address = urlsplit(guarded.desks.url)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.settimeout(5)
        connection.connect((address.hostname or "", address.port or 0))
        # What the system itself holds for a slow reader is filled first.
        for _ in range(400):
            try:
                connection.sendall(document * 4)
            except OSError:
                break
            if not len(guarded.connections):
                break
        wait_until(lambda: len(guarded.connections) == 0, 5)


def test_slow_reader_that_reads(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader on a slow line is left alone as long as it takes what comes."""
    monkeypatch.setattr(module, "TAKEN_BYTES_MIN", 1)
    with guarded.connect(b"GET /openapi.json HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n") as connection:
        found = b""
        while data := connection.recv(2_000):
            found += data
            time.sleep(0.005)

    assert found.startswith(b"HTTP/1.1 200")
    assert found.endswith(b"}")


def test_full_of_idle_connections(guarded: Guarded) -> None:
    """When every place is taken the connection that has been idle longest makes room: nobody is kept out by silence."""
    with ExitStack() as stack:
        idle = [stack.enter_context(guarded.connect(GET)) for _ in range(6)]
        first = [answer(connection)[:12] for connection in idle]
        with guarded.connect(GET) as late:
            served_late = answer(late)[:12]
            cut = rest(idle[0])
        idle[1].sendall(GET)

        assert [b"HTTP/1.1 200"] * 8 == [*first, served_late, answer(idle[1])[:12]]
        assert b"" == cut


def test_full_of_busy_connections(guarded: Guarded) -> None:
    """When all are at work the next one is told to come back."""
    with ExitStack() as stack:
        for _ in range(6):
            stack.enter_context(guarded.connect(POST + b"Content-Length: 5\r\n\r\n"))
        wait_until(lambda: len(guarded.connections) == 6 and not guarded.connections._idle)

        refused = guarded.ask(GET)

    assert [(503, "busy")] == problems(refused)
    assert b"retry-after: 1" in refused


def test_connections_of_one_address(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    """One address has so many connections; others still get in, and one that ends makes room."""
    monkeypatch.setattr(module, "ADDRESS_MAX", 2)
    with ExitStack() as stack:
        first, second = (stack.enter_context(guarded.connect(GET, source=STRANGER)) for _ in range(2))
        answers = [answer(first)[:12], answer(second)[:12]]
        refused = guarded.ask(GET, source=STRANGER)
        with guarded.connect(GET, source="127.0.0.3") as other:
            answers.append(answer(other)[:12])
        first.close()
        wait_until(lambda: guarded.connections._counts[STRANGER] == 1)
        with guarded.connect(GET, source=STRANGER) as third:
            answers.append(answer(third)[:12])

    assert [(429, "rate-limited")] == problems(refused)
    assert [b"HTTP/1.1 200"] * 4 == answers


@pytest.mark.parametrize("is_trusted", [True, False])
def test_connections_of_a_proxy(guarded: Guarded, monkeypatch: pytest.MonkeyPatch, is_trusted: bool) -> None:  # noqa: FBT001
    """A trusted proxy carries everybody's connections: it has no limit of its own."""
    monkeypatch.setattr(module, "ADDRESS_MAX", 0)
    monkeypatch.setattr(limits, "is_trusted", lambda *_given: is_trusted)

    with guarded.connect(GET, source=STRANGER) as connection:
        assert (b"HTTP/1.1 200" if is_trusted else b"HTTP/1.1 429") == answer(connection)[:12]
