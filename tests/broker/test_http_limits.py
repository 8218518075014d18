"""Limits of the HTTP surface: sizes, times, encodings, parameters. One step past each is a problem."""

from __future__ import annotations

import gzip
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from broker import writer
from broker.web import bulletins, charging, http
from lintas.errors import LogHalted
from lintas.header import BULLETIN, KEY, LINE_BYTES_MAX, ORDER
from tests.broker.conftest import REGISTRAR, UNKNOWN_ID, Desks, problem_of

ISSUER, READER = "my-police", "sg-fiu"
BULLETIN_MEDIA = f"application/{BULLETIN}"


def send_raw(desks: Desks, *parts: bytes, pause_s: float = 0.0) -> bytes:
    """Send bytes over a socket of their own and return everything that comes back until the hub closes or is done."""
    address = urlsplit(desks.url)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=20) as connection:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause_s)
        answer = b""
        while b"\r\n\r\n" not in answer or not _is_whole(answer):
            received = connection.recv(65_536)
            if not received:
                break
            answer += received
    return answer


def _is_whole(answer: bytes) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(lengths) and len(body) >= int(lengths[0].split(b":")[1])


def head(path: str, *lines: str) -> bytes:
    """Return the head of a POST."""
    return "\r\n".join((f"POST {path} HTTP/1.1", "Host: hub", *lines, "", "")).encode()


@pytest.mark.parametrize(
    ("path", "typ"),
    [("/v1/bulletins", BULLETIN), ("/v1/keys", KEY), ("/v1/orders", ORDER)],
    ids=["line", "key", "order"],
)
def test_oversize_declared(shared: Desks, path: str, typ: str) -> None:
    """A body declared larger than its kind of line may be is refused before it is sent."""
    size = LINE_BYTES_MAX[typ] + 2

    answer = send_raw(shared, head(path, f"Content-Type: application/{typ}", f"Content-Length: {size}"))

    assert b" 413 " in answer.partition(b"\r\n")[0]
    assert b"too-large" in answer


@pytest.mark.parametrize(
    ("path", "typ"),
    [("/v1/bulletins", BULLETIN), ("/v1/keys", KEY), ("/v1/orders", ORDER)],
    ids=["line", "key", "order"],
)
def test_oversize_chunked(shared: Desks, path: str, typ: str) -> None:
    """A body without a length is cut off at the limit."""

    def chunks() -> Iterator[bytes]:
        for _ in range(LINE_BYTES_MAX[typ] // 1_024 + 2):
            yield b"A" * 1_024

    answer = shared.http.post(shared.url + path, content=chunks(), headers={"Content-Type": f"application/{typ}"})

    assert (413, "too-large", None) == problem_of(answer)


def test_at_the_limit(shared: Desks) -> None:
    """A body of the largest size is read whole; one byte more is too large, by size and not by form."""
    limit = LINE_BYTES_MAX[BULLETIN]

    whole = shared.post(b"A" * limit)
    over = shared.post(b"A" * (limit + 1))

    assert (400, "malformed-line") == problem_of(whole)[:2]
    assert (413, "too-large") == problem_of(over)[:2]


def test_oversize_counts(shared: Desks) -> None:
    """What is too large is counted, and nothing of it is stored."""
    before = shared.stored()

    shared.post(b"A" * (LINE_BYTES_MAX[BULLETIN] + 2))
    shared.get("/v1/admin/stats", REGISTRAR)

    assert before == shared.stored()
    assert any("too-large" in detail["codes"] for detail in shared.details(kind="auth.refused"))


def test_batch_lines(shared: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of more lines than the limit is refused whole."""
    monkeypatch.setattr(bulletins, "BATCH_LINES_MAX", 2)

    two = [post_lines(shared, body) for body in (b"a\nb", b"a\nb\n")]
    three = [post_lines(shared, body) for body in (b"a\nb\nc", b"a\nb\nc\n")]

    assert [200, 200] == [answer.status_code for answer in two]
    assert [(413, "too-large", None)] * 2 == [problem_of(answer) for answer in three]


def test_batch_bytes(shared: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of more bytes than the limit is refused whole."""
    monkeypatch.setattr(bulletins, "BATCH_BYTES_MAX", 10)

    ten = post_lines(shared, b"0123456789")
    eleven = post_lines(shared, b"0123456789a")

    assert 200 == ten.status_code
    assert (413, "too-large", None) == problem_of(eleven)


def post_lines(shared: Desks, body: bytes) -> httpx.Response:
    """Post a batch."""
    return shared.http.post(shared.url + "/v1/bulletins", content=body, headers={"Content-Type": "application/jsonl"})


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity, gzip"])
def test_encoded_body(shared: Desks, encoding: str) -> None:
    """An encoded body is never unpacked."""
    body = gzip.compress(shared.bulletin(ISSUER, [READER]).raw)
    headers = {"Content-Type": BULLETIN_MEDIA, "Content-Encoding": encoding}

    answer = shared.http.post(shared.url + "/v1/bulletins", content=body, headers=headers)

    assert (415, "unsupported-media-type", None) == problem_of(answer)


def test_identity_encoding(shared: Desks) -> None:
    """The encoding that changes nothing may be named."""
    headers = {"Content-Type": BULLETIN_MEDIA, "Content-Encoding": "Identity"}

    answer = shared.http.post(
        shared.url + "/v1/bulletins", content=shared.bulletin(ISSUER, [READER]).raw, headers=headers
    )

    assert 201 == answer.status_code


@pytest.mark.parametrize(
    "media", ["", "application/json", "application/jose", "multipart/form-data", f"x{BULLETIN_MEDIA}"]
)
@pytest.mark.parametrize("path", ["/v1/bulletins", "/v1/keys", "/v1/orders"])
def test_content_type(shared: Desks, path: str, media: str) -> None:
    """A body of another type is refused, and the answer names the types taken."""
    raw = shared.bulletin(ISSUER, [READER]).raw

    answer = shared.http.post(shared.url + path, content=raw, headers={"Content-Type": media})

    assert (415, "unsupported-media-type", None) == problem_of(answer)
    assert "application/vnd.lintas." in answer.json()["detail"]


def test_content_type_with_parameters(shared: Desks) -> None:
    """Parameters and letter case of a content type do not matter."""
    raw = shared.bulletin(ISSUER, [READER]).raw
    headers = {"Content-Type": f"{BULLETIN_MEDIA.upper()}; charset=us-ascii"}

    answer = shared.http.post(shared.url + "/v1/bulletins", content=raw, headers=headers)

    assert 201 == answer.status_code


def test_slow_body(shared: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that does not come in time is given up."""
    monkeypatch.setattr(http, "BODY_S_MAX", 0.2)

    answer = send_raw(shared, head("/v1/bulletins", f"Content-Type: {BULLETIN_MEDIA}", "Content-Length: 100") + b"AAA")

    assert b" 408 " in answer.partition(b"\r\n")[0]
    assert b"request-timeout" in answer


def test_broken_off_body(shared: Desks) -> None:
    """A connection that ends within the body leaves nothing and harms nobody."""
    before = shared.stored()
    address = urlsplit(shared.url)
    with socket.create_connection((address.hostname or "", address.port or 0)) as connection:
        connection.sendall(head("/v1/bulletins", f"Content-Type: {BULLETIN_MEDIA}", "Content-Length: 100") + b"AAA")

    assert 200 == shared.get("/healthz").status_code
    assert before == shared.stored()


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: 3", "Content-Length: 4"),
        ("Content-Length: 3", "Transfer-Encoding: chunked"),
        ("Content-Length: -1",),
        ("Content-Length: 3, 4",),
    ],
)
def test_conflicting_lengths(shared: Desks, lines: tuple[str, ...]) -> None:
    """A request whose length can be read in two ways is refused before it reaches the hub's code."""
    before = shared.stored()

    answer = send_raw(shared, head("/v1/bulletins", f"Content-Type: {BULLETIN_MEDIA}", *lines) + b"0\r\n\r\n")

    assert b" 400 " in answer.partition(b"\r\n")[0]
    assert before == shared.stored()


@pytest.mark.parametrize(
    "text",
    [
        "-1",
        "+1",
        "1.0",
        "1e3",
        " 1",
        "0x10",
        "one",
        "",
        "9" * 17,
        str(2**53),
        "\u0661",
        "1_000",
        "1\r\nX-Evil: 1",
        "true",
    ],
)
@pytest.mark.parametrize("path", ["/v1/bulletins", "/v1/log/events"])
def test_cursor(shared: Desks, path: str, text: str) -> None:
    """A cursor that is no plain number in range is refused by name."""
    answer = shared.http.get(
        shared.url + path, params={"after": text}, headers={"Authorization": f"Bearer {shared.session(READER).token()}"}
    )

    assert (400, "bad-request", "after") == problem_of(answer)


def test_cursor_past_the_end(shared: Desks) -> None:
    """A cursor that the log has not reached is an error, never an empty page: a reader would wait in silence."""
    answer = shared.get(f"/v1/bulletins?after={2**53 - 1}", READER)

    assert (409, "cursor-beyond-log", "after") == problem_of(answer)


def test_cursor_at_the_end(shared: Desks) -> None:
    """The newest index gives an empty page and stays where it is."""
    end = shared.get("/v1/bulletins?from=tl-police", READER).headers["lintas-cursor"]

    answer = shared.get(f"/v1/bulletins?after={end}", READER)

    assert (200, b"", end) == (answer.status_code, answer.content, answer.headers["lintas-cursor"])


@pytest.mark.parametrize("limit", ["0", "1001", "-5", "ten"])
@pytest.mark.parametrize("path", ["/v1/bulletins", "/v1/log/events"])
def test_page_limit(shared: Desks, path: str, limit: str) -> None:
    """A page has 1 to 1,000 rows."""
    assert (400, "bad-request", "limit") == problem_of(shared.get(f"{path}?limit={limit}", READER))


@pytest.mark.parametrize(
    "path",
    [
        *("/v1/bulletins", f"/v1/bulletins/{UNKNOWN_ID}", f"/v1/bulletins/{UNKNOWN_ID}/receipt", "/v1/partners"),
        *("/v1/communities", "/v1/keys", "/v1/log/checkpoint", "/v1/log/key", "/v1/log/key/00000000"),
        *("/v1/log/proof/1", "/v1/log/witness"),
        *("/v1/log/events", "/v1/log/tile/0/000", "/healthz", "/readyz", "/.well-known/lintas"),
    ],
)
def test_unknown_parameter(shared: Desks, path: str) -> None:
    """A parameter that means nothing is refused everywhere, so that a mistyped filter never widens an answer."""
    assert (400, "bad-request", "topics") == problem_of(shared.get(f"{path}?topics=cyber", READER))


def test_repeated_parameter(shared: Desks) -> None:
    """A parameter given twice is refused."""
    assert (400, "bad-request", "limit") == problem_of(shared.get("/v1/bulletins?limit=5&limit=6", READER))


@pytest.mark.parametrize("path", ["/v1/bulletins", "/v1/keys", "/v1/orders"])
def test_parameter_of_a_post(shared: Desks, path: str) -> None:
    """A post takes no parameters."""
    answer = shared.http.post(shared.url + path + "?force=1", content=b"x", headers={"Content-Type": BULLETIN_MEDIA})

    assert (400, "bad-request", "force") == problem_of(answer)


@pytest.mark.parametrize("name", ["ref", "topic", "kind", "from"])
@pytest.mark.parametrize("value", ["a%0d%0ab", "a%00b", "%e2%80%ae", "a%1bb"])
def test_control_characters(shared: Desks, name: str, value: str) -> None:
    """A control character in a parameter is refused by name, and comes back nowhere."""
    answer = shared.get(f"/v1/bulletins?{name}={value}", READER)

    assert (400, "bad-request", name) == problem_of(answer)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("topic", "cyber.nothing"),
        ("kind", "gossip"),
        ("from", "MY-POLICE"),
        ("from", "admin/registrar"),
        ("ref", "short"),
    ],
)
def test_unknown_filter_value(shared: Desks, name: str, value: str) -> None:
    """A filter value outside its set is refused by name instead of matching nothing."""
    assert (400, "bad-request", name) == problem_of(shared.get(f"/v1/bulletins?{name}={value}", READER))


@pytest.mark.parametrize(
    "line_id", ["a%0d%0aSet-Cookie:x", "A" * 42, "A" * 44, "A" * 42 + "B", "..%2f..%2fetc", "%00", "' OR 1=1"]
)
@pytest.mark.parametrize("suffix", ["", "/receipt"])
def test_malformed_id(shared: Desks, line_id: str, suffix: str) -> None:
    """A malformed id answers like an unknown one, and nothing of it comes back."""
    answer = shared.get(f"/v1/bulletins/{line_id}{suffix}", READER)

    assert shared.get(f"/v1/bulletins/{UNKNOWN_ID}{suffix}", READER).content == answer.content
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/nothing", "/v1/bulletins/a/b/c", "/v1/admin", "/metrics"])
def test_unknown_address(shared: Desks, path: str) -> None:
    """An address where nothing is answers with a problem."""
    assert (404, "not-found", None) == problem_of(shared.get(path, READER))


@pytest.mark.parametrize(
    ("method", "path"),
    [("DELETE", "/v1/bulletins"), ("PUT", "/v1/keys"), ("POST", "/v1/log/checkpoint"), ("PATCH", "/healthz")],
)
def test_method(shared: Desks, method: str, path: str) -> None:
    """A method that an address does not take answers with a problem."""
    assert (405, "method-not-allowed", None) == problem_of(shared.http.request(method, shared.url + path))


def test_nobody_may_keep_an_answer(shared: Desks) -> None:
    """Problems and reads are private and revalidated."""
    for path in ("/v1/bulletins", "/v1/partners", f"/v1/bulletins/{UNKNOWN_ID}"):
        assert "private, no-cache" == shared.get(path, READER).headers["cache-control"]


def test_fault_of_ours(desks: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours is told as such, without its text; the hub goes on."""

    def fail() -> None:
        raise LogHalted("Row 7: the secret of the operator")

    with monkeypatch.context() as patch:
        patch.setattr(desks.hub.store, "read", fail)
        answer = desks.get("/v1/log/checkpoint")

    assert (500, "internal-error", None) == problem_of(answer)
    assert "secret" not in answer.text
    assert 200 == desks.get("/v1/log/checkpoint").status_code


def test_crash(desks: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug is told as a fault of ours too, without a trace of the code."""

    def fail() -> None:
        raise ZeroDivisionError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(desks.hub.store, "read", fail)
        # A connection of its own: the server closes it.
        answer = httpx.get(desks.url + "/v1/log/checkpoint")

    assert (500, "internal-error", None) == problem_of(answer)
    assert "bug" not in answer.text
    assert 200 == desks.get("/readyz").status_code


def test_busy(desks: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full queue answers 503 and says when to come back."""
    line = desks.bulletin(ISSUER, [READER])

    with monkeypatch.context() as patch:
        patch.setattr(writer, "QUEUE_MAX", 0)
        answer = desks.post(line)

    assert (503, "busy", None) == problem_of(answer)
    assert "1" == answer.headers["retry-after"]
    assert 201 == desks.post(line).status_code


def test_room_for_bodies(desks: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half-read bodies of all connections together have a limit; what ended, well or not, gives its room back."""
    monkeypatch.setattr(charging, "BODIES_BYTES_MAX", 2_000)
    line = desks.bulletin(ISSUER, [READER])

    big = desks.post(b"A" * 3_000)
    malformed = [desks.post(b"A" * 1_500).status_code for _ in range(3)]

    assert (503, "busy", None) == problem_of(big)
    assert "1" == big.headers["retry-after"]
    assert [400, 400, 400] == malformed
    assert 201 == desks.post(line).status_code
