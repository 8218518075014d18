"""Streams over HTTP: everything once, in order, at once; ended when the reader may read no longer."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
import time
from collections import Counter
from typing import Any

import pytest

from broker import streams as engine
from broker.app import build_app
from broker.auth import Caller
from broker.delivery import Source
from broker.server import Server
from lintas.header import BULLETIN, KEY
from lintas.line import parse
from tests.broker.conftest import REGISTRAR, Desks, problem_of
from tests.broker.streaming import Listener, listening
from tests.conftest import wait_until

ISSUER, READER, OTHER = "my-police", "sg-fiu", "th-cert"
FEED = "/v1/bulletins"
STREAM = {"Accept": "text/event-stream"}


def seq_of(desks: Desks, line_id: str) -> int:
    """Return the log index of a bulletin."""
    return next(row.seq for row in desks.events(kind="bulletin.accepted") if row.object == line_id)


def stream_of(desks: Desks, party: str, query: str = "", **headers: str) -> Any:
    """Open a stream of a party."""
    return listening(desks.url + FEED + query, desks.session(party).token(), **headers)


def open_streams(desks: Desks) -> int:
    """Return how many streams the hub holds."""
    assert desks.streams is not None
    return len(desks.streams._open)


def test_backlog_then_live(desks: Desks) -> None:
    """A stream begins with what was there and goes on with what comes: the rows of a page, in log order."""
    before = [desks.publish(ISSUER, [READER]).id, desks.publish(ISSUER, ["*"], tlp="GREEN").id]
    desks.publish(ISSUER, [OTHER])
    with stream_of(desks, READER) as listener:
        listener.wait_for(2)
        after = [desks.publish(ISSUER, [READER]).id, desks.publish(ISSUER, ["*"], tlp="GREEN").id]
        listener.wait_for(4)

    assert before + after == [parse(row["line"].encode(), BULLETIN).id for row in listener.rows]
    assert desks.rows(FEED, READER) == listener.rows


def test_reasons_are_recorded(desks: Desks) -> None:
    """Why a stream is read stands in the record of each sending, of the backlog or live; another's reason does not."""
    desks.publish(ISSUER, [READER])
    why = desks.session(READER).with_purpose("investigation", "SIM-1", "desk/a")
    with stream_of(desks, READER) as plain, listening(desks.url + FEED, why.token()) as listener:
        listener.wait_for(1)
        desks.publish(ISSUER, [READER])
        listener.wait_for(2)
        plain.wait_for(2)

    sent = desks.details(kind="bulletin.sent")
    reasons = [(each.get("purpose"), each.get("case_ref"), each.get("sub")) for each in sent]
    assert {(None, None, None): 2, ("investigation", "SIM-1", "desk/a"): 2} == Counter(reasons)


def test_form_of_an_event(desks: Desks) -> None:
    """An event has the log index as id, the kind of row as type, the row of a page as data."""
    desks.publish(ISSUER, [READER])
    page = desks.get(FEED, READER).content
    with stream_of(desks, READER) as listener:
        [seq] = listener.wait_for(1)

    assert b"id: %d\nevent: bulletin\ndata: %b\n" % (seq, page) in listener.raw
    assert listener.raw.startswith(b"retry: ")


def test_withdrawn_comes_as_state(desks: Desks) -> None:
    """A withdrawn bulletin is an event of type state; a recall comes over the stream, whatever the filter."""
    line = desks.publish(ISSUER, [READER])
    with stream_of(desks, READER, "?topic=drugs") as filtered, stream_of(desks, READER) as listener:
        listener.wait_for(1)
        recall = desks.recall(ISSUER, line.id, [READER])
        desks.post(recall)
        listener.wait_for(2)
        filtered.wait_for(1)
    with stream_of(desks, READER) as later:
        later.wait_for(2)

    assert ["bulletin", "bulletin"] == [event.type for event in listener.events]
    assert [recall.id] == [parse(row["line"].encode(), BULLETIN).id for row in filtered.rows]
    assert [("state", "recalled"), ("bulletin", None)] == [
        (event.type, row.get("state")) for event, row in zip(later.events, later.rows, strict=True)
    ]


@pytest.mark.parametrize("way", ["after", "Last-Event-ID", "both"])
def test_resume(desks: Desks, way: str) -> None:
    """A stream resumes behind `after`, or behind Last-Event-ID, which counts more."""
    first, second = (desks.publish(ISSUER, [READER]) for _ in range(2))
    seq = seq_of(desks, first.id)
    query = {"after": f"?after={seq}", "Last-Event-ID": "", "both": "?after=0"}[way]
    headers = {} if way == "after" else {"Last-Event-ID": str(seq)}
    with stream_of(desks, READER, query, **headers) as listener:
        found = listener.wait_for(1)

    assert [seq_of(desks, second.id)] == found


@pytest.mark.parametrize("value", ["x", "-1", "1 2", "1" * 17, "", "0x1", "1\t2", "٣"])
def test_bad_last_event_id(shared: Desks, value: str) -> None:
    """A Last-Event-ID that is no index is refused before a stream begins."""
    token = shared.session(READER).token()
    headers: dict[str, str | bytes] = {**STREAM, "Authorization": f"Bearer {token}", "Last-Event-ID": value.encode()}

    answer = shared.http.get(shared.url + FEED, headers=headers)  # type: ignore[arg-type]

    assert (400, "bad-request", "Last-Event-ID") == problem_of(answer)


def test_line_feed_in_last_event_id(shared: Desks) -> None:
    """Carriage returns or line feeds cannot be smuggled in: the request is not one."""
    host, port = shared.url.removeprefix("http://").split(":")
    head = f"GET {FEED} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nLast-Event-ID: 1\n\rX: 2\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        raw.sendall(head.encode())

        assert b"HTTP/1.1 400" == raw.recv(1_000)[:12]


def test_cursor_beyond_log(shared: Desks) -> None:
    """A stream from where the log has not got to is refused."""
    answer = shared.get(FEED + "?after=999999999", READER, **STREAM)

    assert (409, "cursor-beyond-log", "after") == problem_of(answer)


@pytest.mark.parametrize(("query", "member"), [("?limit=5", "limit"), ("?topic=none", "topic"), ("?after=-1", "after")])
def test_bad_parameters(shared: Desks, query: str, member: str) -> None:
    """A stream takes the filters and the cursor of a page, and refuses what it does not know."""
    assert (400, "bad-request", member) == problem_of(shared.get(FEED + query, READER, **STREAM))


def test_no_token(shared: Desks) -> None:
    """Without a token, and for administrators, there is no stream."""
    assert 401 == shared.get(FEED, **STREAM).status_code
    assert 403 == shared.get(FEED, REGISTRAR, **STREAM).status_code


def test_own_bulletins(desks: Desks) -> None:
    """An agency may follow what it issued itself; that is no delivery to it."""
    with stream_of(desks, ISSUER, f"?from={ISSUER}") as own, stream_of(desks, ISSUER) as feed:
        desks.publish(ISSUER, [READER])
        own.wait_for(1)
        desks.publish(READER, [ISSUER])
        feed.wait_for(1)

    assert (1, 1) == (len(own.seqs), len(feed.seqs))


def test_recorded_once_for_many(desks: Desks) -> None:
    """However many connections an agency has, one sending is recorded, before anything is sent."""
    with stream_of(desks, READER) as one, stream_of(desks, READER) as two:
        desks.publish(ISSUER, [READER])
        one.wait_for(1)
        two.wait_for(1)
        [sent] = desks.details(kind="bulletin.sent", party=READER)

    assert one.seqs == two.seqs == [sent["from"]] == [sent["to"]]
    assert (1, "feed") == (sent["count"], sent["way"])


def test_filtered_record_names_them(desks: Desks) -> None:
    """The record of a filtered stream names the bulletins that went over it."""
    with stream_of(desks, READER, "?urgency=flash") as listener:
        desks.publish(ISSUER, [READER])
        line = desks.publish(ISSUER, [READER], urgency="flash")
        listener.wait_for(1)

    assert [[line.id]] == [each["ids"] for each in desks.details(kind="bulletin.sent", party=READER)]


def test_revoked(desks: Desks) -> None:
    """A revoked key ends its streams at once, the others go on."""
    with stream_of(desks, READER) as listener, stream_of(desks, OTHER) as other:
        session = desks.session(READER)
        began = time.monotonic()
        desks.post(session.sign_revocation("keyCompromise", session.now()), KEY)
        wait_until(lambda: listener.ended)
        took_s = time.monotonic() - began
        desks.publish(ISSUER, ["*"], tlp="GREEN")
        other.wait_for(1)

    assert ([], "unauthorized") == (listener.seqs, listener.reason)
    assert 1 == len(other.seqs)
    assert took_s < 2


def test_expired_key(desks: Desks) -> None:
    """A stream does not outlive its key by more than a heartbeat."""
    with stream_of(desks, READER) as listener:
        desks.clock.advance(14 * 31 * 86_400)
        wait_until(lambda: listener.ended, engine.HEARTBEAT_S + 5)

    assert "unauthorized" == listener.reason


def test_suspended(desks: Desks) -> None:
    """A suspended agency's stream goes on with withdrawals alone."""
    line = desks.publish(ISSUER, [READER])
    with stream_of(desks, READER) as listener:
        listener.wait_for(1)
        desks.order("suspend", agency=READER, reason="test")
        desks.publish(ISSUER, [READER])
        recall = desks.recall(ISSUER, line.id, [READER])
        desks.post(recall)
        listener.wait_for(2)

    assert [seq_of(desks, line.id), seq_of(desks, recall.id)] == listener.seqs


def test_grant_changes(desks: Desks) -> None:
    """What is granted counts at the moment a bulletin comes."""
    with stream_of(desks, READER) as listener:
        desks.order("grant", agency=READER, publish=[], read=["drugs"])
        desks.publish(ISSUER, ["*"], tlp="GREEN")
        drugs = desks.publish(ISSUER, ["*"], tlp="GREEN", topic="drugs")
        desks.order("grant", agency=READER, publish=[], read=["*"])
        scam = desks.publish(ISSUER, ["*"], tlp="GREEN")
        listener.wait_for(2)

    assert [seq_of(desks, drugs.id), seq_of(desks, scam.id)] == listener.seqs


def test_heartbeat(desks: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent stream shows that it lives."""
    monkeypatch.setattr(engine, "HEARTBEAT_S", 1)
    with stream_of(desks, READER) as listener:
        wait_until(lambda: listener.raw.count(engine.HEARTBEAT) >= 2)

    assert [] == listener.events


def test_an_hour(desks: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream ends after its longest time; its reader resumes."""
    monkeypatch.setattr(engine, "STREAM_S_MAX", 0.5)
    monkeypatch.setattr(engine, "HEARTBEAT_S", 1)
    with stream_of(desks, READER) as listener:
        wait_until(lambda: listener.ended)

    assert "hour" == listener.reason
    assert 0 == open_streams(desks)


def test_too_many(desks: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agency has so many streams, all together have so many; a place is free again when a reader leaves."""
    monkeypatch.setattr(engine, "STREAMS_PER_AGENCY_MAX", 1)
    monkeypatch.setattr(engine, "STREAMS_MAX", 2)
    with stream_of(desks, READER), stream_of(desks, OTHER):
        answers = [desks.get(FEED, party, **STREAM) for party in (READER, ISSUER)]
    wait_until(lambda: open_streams(desks) == 0)
    with stream_of(desks, READER):
        pass

    assert [(503, "busy", None)] * 2 == [problem_of(answer) for answer in answers]
    assert answers[0].headers["retry-after"]


def large(number: int) -> bytes:
    """Write a payload of about two thousand bytes, each another."""
    return json.dumps({"title": f"SIMULATED {number}", "summary": "x" * 1_900, "case_ref": f"SIM-{number}"}).encode()


def test_slow_reader_is_cut(desks: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that does not read is cut and keeps nobody waiting."""
    monkeypatch.setattr(engine, "BUFFER_BYTES_MAX", 512 * 1024)
    host, port = desks.url.removeprefix("http://").split(":")
    head = f"GET {FEED} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n"
    head += f"Authorization: Bearer {desks.session(READER).token()}\r\n\r\n"
    with socket.socket() as raw, stream_of(desks, READER) as quick:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        raw.connect((host, int(port)))
        raw.sendall(head.encode())
        wait_until(lambda: open_streams(desks) == 2)
        published = 0
        while open_streams(desks) == 2 and published < 4_000:
            batch = [desks.bulletin(ISSUER, [READER], payload=large(published + n)) for n in range(50)]
            answer = desks.http.post(
                desks.url + FEED,
                content=b"\n".join(each.raw for each in batch),
                headers={"Content-Type": "application/jsonl"},
            )
            published += sum(json.loads(row)["status"] == 201 for row in answer.text.splitlines())
            time.sleep(0.01)
        quick.wait_for(published)
        left, got = open_streams(desks), quick.seqs

    assert (1, published, published) == (left, len(set(got)), len(got))


def test_reader_that_leaves(desks: Desks) -> None:
    """A stream is forgotten as soon as its reader has left."""
    with stream_of(desks, READER):
        assert 1 == open_streams(desks)

    wait_until(lambda: open_streams(desks) == 0, 2)


def test_hand_over(desks: Desks) -> None:
    """Readers that join while much is published get everything once, in order."""
    stop = threading.Event()

    def publish() -> None:
        while not stop.is_set():
            desks.publish(ISSUER, ["*"], tlp="GREEN")

    publisher = threading.Thread(target=publish)
    publisher.start()
    listeners: list[Listener] = []
    for number in range(25):
        with stream_of(desks, (READER, OTHER)[number % 2]) as listener:
            listener.wait_for(3 * number + 1)
            listeners.append(listener)
    stop.set()
    publisher.join()

    every = [row.seq for row in reversed(desks.events(kind="bulletin.accepted"))]
    for listener in listeners:
        assert every[: len(listener.seqs)] == listener.seqs


def test_server_stops(desks: Desks) -> None:
    """A server that stops ends its streams instead of waiting for them."""
    server = Server(desks.hub, build_app(desks.hub), host="127.0.0.1", port=0, log_level="error")
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    with listening(f"http://127.0.0.1:{port}{FEED}", desks.session(READER).token()) as listener:
        began = time.monotonic()
        server.should_exit = True
        thread.join(20)
        took_s = time.monotonic() - began
        wait_until(lambda: listener.ended)

    assert "stopping" == listener.reason
    assert took_s < 3


def test_idle_stream_is_written_to_at_once() -> None:
    """What comes for a stream that waits goes straight to its connection, and in order behind what must wait."""
    room = [True, False, True]
    written: list[bytes] = []

    def direct(data: bytes) -> bool:
        has_room = room.pop(0)
        written.extend([data] if has_room else [])
        return has_room

    async def push_three() -> bytes:
        caller = Caller(READER, "kid", "read", exp=0)
        stream = engine.Stream(Source(READER, "feed"), caller, lambda: None, slot=0)
        stream.direct = direct
        taking = asyncio.ensure_future(stream.take())
        await asyncio.sleep(0)
        for data in (b"1", b"2", b"3"):
            stream.push(data)
        return await taking

    waited = asyncio.run(push_three())

    assert ([b"1"], b"23") == (written, waited)


def test_a_request_behind_a_stream(desks: Desks) -> None:
    """A second request on the connection of a stream waits; the stream goes on, framed as it began."""
    host, port = desks.url.removeprefix("http://").split(":")
    token = desks.session(READER).token()
    head = f"GET {FEED} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        raw.sendall(f"{head}Accept: text/event-stream\r\n\r\n{head}\r\n".encode())
        wait_until(lambda: open_streams(desks) == 1)
        line = desks.publish(ISSUER, [READER])
        found = b""
        while line.raw not in found:
            found += raw.recv(65_536)

    size, data = re.findall(rb"\r\n([0-9a-f]+)\r\n(id: .*\n\n)\r\n", found, re.DOTALL)[0]
    assert len(data) == int(size, 16)
    assert data.startswith(b"id: %d\n" % seq_of(desks, line.id))


def test_head_has_no_body(desks: Desks) -> None:
    """Who asks for the head of a stream gets nothing of it, though it is open."""
    host, port = desks.url.removeprefix("http://").split(":")
    head = f"HEAD {FEED} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n"
    head += f"Authorization: Bearer {desks.session(READER).token()}\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=10) as raw, stream_of(desks, READER) as other:
        raw.sendall(head.encode())
        wait_until(lambda: open_streams(desks) == 2)
        desks.publish(ISSUER, [READER])
        other.wait_for(1)
        found = raw.recv(65_536)

    assert found.startswith(b"HTTP/1.1 200")
    assert found.endswith(b"\r\n\r\n")
