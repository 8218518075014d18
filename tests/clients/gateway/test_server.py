"""The gateway's HTTP server against hostile programs of the same machine."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from clients.gateway import scripting
from clients.gateway.guard import Guard, Tokens, names_of
from clients.gateway.server import CONNECTIONS_MAX, Asked, Server
from lintas.errors import LintasError, NotFound
from lintas.imported import INPUT_BYTES_MAX
from lintas.taxii import Answer
from tests.conftest import wait_until

READ, POST = "r" * 40, "p" * 40


@dataclass
class Served:
    """A server that answers with what it was asked."""

    server: Server
    url: str
    told: list[str]

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return "127.0.0.1", self.server.server_address[1]

    def raw(self, text: str | bytes) -> bytes:
        """Send bytes as they are; return the answer until the connection ends."""
        with socket.create_connection(self.address, timeout=5) as connection:
            connection.sendall(text if isinstance(text, bytes) else text.replace("\n", "\r\n").encode())
            try:
                connection.shutdown(socket.SHUT_WR)
                return b"".join(iter(lambda: connection.recv(65_536), b""))
            except OSError:
                return b""

    def head(self, *lines: str, method: str = "POST", path: str = "/x") -> str:
        """Write the head of a request with a good token."""
        host = self.url.removeprefix("http://")
        return "\n".join(
            [f"{method} {path} HTTP/1.1", f"Host: {host}", f"Authorization: Bearer {POST}", *lines, "", ""]
        )


def answer(asked: Asked) -> Answer:
    """Answer with what was asked; fail for some paths."""
    if asked.path == "/refused":
        raise NotFound("secret-of-a-refusal")
    if asked.path == "/broken":
        raise RuntimeError("secret-of-ours")
    told = {"method": asked.method, "path": asked.path, "query": asked.query, "body": len(asked.body)}
    return Answer(200, {"Content-Type": "application/json"}, json.dumps(told).encode())


def refuse(_path: str, fault: LintasError) -> Answer:
    """Answer a refusal."""
    return scripting.refused(fault)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """A server."""
    told: list[str] = []
    server = Server("127.0.0.1", 0, answer, refuse, told.append)
    port: int = server.server_address[1]
    server.guard = Guard(Tokens(READ, POST), names_of("127.0.0.1", port))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield Served(server, f"http://127.0.0.1:{port}", told)
    server.shutdown()
    server.server_close()
    thread.join()


def ask(served: Served, method: str = "GET", path: str = "/x", **given: Any) -> httpx.Response:
    """Ask with the token that posts, unless other headers are given."""
    headers = {"Authorization": f"Bearer {POST}"} | given.pop("headers", {})
    return httpx.request(method, served.url + path, headers=headers, timeout=10, **given)


def test_answers(served: Served) -> None:
    """A tool with its token is answered; the path is decoded, the query is not."""
    answer = ask(served, "POST", "/a%20b?c=%20", content=b"hello")

    assert {"method": "POST", "path": "/a b", "query": "c=%20", "body": 5} == answer.json()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": ""}, 401),
        ({"Authorization": f"Bearer {POST[:-1]}"}, 401),
        ({"Authorization": f"Bearer {READ}"}, 403),
        ({"Host": "evil.example"}, 400),
        ({"Origin": "http://evil.example"}, 403),
        ({"Content-Encoding": "gzip"}, 400),
    ],
)
def test_refused_before_it_is_read(served: Served, headers: dict[str, str], status: int) -> None:
    """Wrong tokens, foreign names, browsers and packed bodies are refused, and the connection ends."""
    answer = ask(served, "POST", headers=headers, content=b"{}")

    assert (status, "close", status) == (answer.status_code, answer.headers["connection"], answer.json()["status"])
    assert (status == 401) == ("www-authenticate" in answer.headers)


def test_body_too_large(served: Served) -> None:
    """A body beyond the limit is refused by its head alone."""
    said = served.raw(served.head(f"Content-Length: {INPUT_BYTES_MAX + 1}"))

    assert said.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "lines",
    [
        ("Transfer-Encoding: chunked",),
        ("Content-Length: -1",),
        ("Content-Length: 1", "Content-Length: 2"),
        ("Content-Length: " + "9" * 400,),
        ("Content-Length: five",),
        ("Content-Length: 50",),
    ],
)
def test_odd_lengths(served: Served, lines: tuple[str, ...]) -> None:
    """A body whose length is missing, doubtful or wrong is refused."""
    status = int(served.raw(served.head(*lines) + "hello").split()[1])

    assert status in (400, 413)


@pytest.mark.parametrize(
    "text",
    [
        b"\x16\x03\x01\x02\x00",
        b"GET\r\n\r\n",
        b"GET /x HTTP/9.9\r\n\r\n",
        b"GET /" + b"a" * 70_000,
        b"BREW /x HTTP/1.1\r\n\r\n",
    ],
)
def test_no_http(served: Served, text: bytes) -> None:
    """What is no request of HTTP that we know gets an error or nothing, and the next one is served."""
    said = served.raw(text)

    assert b" 200 " not in said
    assert 200 == ask(served).status_code


def test_absolute_address(served: Served) -> None:
    """An address of another server in the first line is not ours."""
    assert b"HTTP/1.1 404 " in served.raw(served.head(method="GET", path="http://evil.example/x"))


def test_head_has_no_body(served: Served) -> None:
    """HEAD answers as GET does, without the body."""
    answer = ask(served, "HEAD")

    assert (200, b"", True) == (answer.status_code, answer.content, int(answer.headers["content-length"]) > 0)


def test_fault_of_ours(served: Served) -> None:
    """A fault of ours shows nothing of what it held; the journal is told its place."""
    answer = ask(served, path="/broken")

    assert (500, False) == (answer.status_code, "secret" in answer.text)
    assert [True] == [
        re.fullmatch(r"a request failed: RuntimeError at test_server.py:\d+", each) is not None for each in served.told
    ]


def test_refusal(served: Served) -> None:
    """A refusal is a problem with its text."""
    answer = ask(served, path="/refused")

    assert (404, "secret-of-a-refusal", "application/problem+json") == (
        answer.status_code,
        answer.json()["detail"],
        answer.headers["content-type"],
    )


def test_no_cross_origin(served: Served) -> None:
    """Nothing permits pages to read an answer, and a preflight is not answered."""
    answers = [ask(served), ask(served, "OPTIONS")]

    assert [] == [name for each in answers for name in each.headers if name.startswith("access-control")]
    assert 501 == answers[1].status_code


def test_connections(served: Served) -> None:
    """Beyond so many connections the next is closed at once; when they end, there is room again."""
    held = [socket.create_connection(served.address, timeout=5) for _ in range(CONNECTIONS_MAX)]
    for each in held:
        each.sendall(b"GET /x HTTP/1.1\r\n")
    try:
        with pytest.raises(httpx.TransportError):
            ask(served)
    finally:
        for each in held:
            each.close()

    wait_until(lambda: served.raw(served.head("Connection: close", method="GET")).startswith(b"HTTP/1.1 200 "))
