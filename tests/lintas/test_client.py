"""Tests of both clients against a real hub, with a middle between them that loses, refuses and lies."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from broker.hub import open_hub
from broker.settings import read_settings
from deploy.make_secrets import make_certificate
from lintas import AsyncClient, Client, pages, wire
from lintas.draft import Draft
from lintas.errors import (
    STATUS,
    BadReceipt,
    BadRequest,
    BadSettings,
    Busy,
    Evidence,
    HubUnreachable,
    InconsistentLog,
    InternalError,
    KeyNotActive,
    LintasError,
    MalformedPayload,
    NotFound,
    OrderConflict,
    RateLimited,
    ReadOnly,
    Recalled,
    Refusal,
    RequestTimeout,
    Stale,
    StorageFull,
    StorageUnreachable,
    TlpAboveCeiling,
    Unauthorized,
    Unverified,
    Withheld,
)
from lintas.header import BULLETIN
from lintas.keys import Hub, Identity, SigningKey, save_identity
from lintas.line import parse, sign
from lintas.request import Request, Response
from lintas.session import IDLE_S, TOKEN_LIFE_S, TOKEN_SPARE_S, Session
from lintas.state import REFUSED, REPLACED, SENT, WAITING, State
from lintas.transport import response_of, trusted
from lintas.wire import Published
from tests.conftest import ShiftedClock, served

if TYPE_CHECKING:
    from tests.lintas.conftest import Hostile, Recording

both_ways = pytest.mark.parametrize("way", ["Client", "AsyncClient"])

Draw = Callable[..., Draft]

HOUR = 3_600


def publish(hostile: Hostile, draft: Draw, title: str, **other: Any) -> Published:
    """Publish an alert of my-police to sg-fiu."""
    return hostile.hub.client("my-police").publish(draft(title, **other))


def accepted(hostile: Hostile) -> list[str]:
    """Return the ids of our own bulletins that the log has, in order."""
    rows = hostile.hub.get("/v1/log/events?limit=1000&kind=bulletin.accepted", "sg-fiu").text.splitlines()
    events = [json.loads(json.loads(row)["body"]) for row in rows[:-1]]
    return [event["object"] for event in events if event["kind"] == "bulletin.accepted"]


def posts(hostile: Hostile, path: str = "/v1/bulletins") -> list[bytes]:
    """Return the bodies posted so far."""
    return [body for request, body in hostile.middle.requests if request == f"POST {path}"]


def answering(path: str, **odd: Any) -> Callable[[httpx.Request, httpx.Response], httpx.Response | None]:
    """Answer each request for this path otherwise: other `status`, `body`, `headers`."""

    def tamper(request: httpx.Request, answer: httpx.Response) -> httpx.Response | None:
        if request.url.path != path:
            return None
        headers = {**answer.headers, **odd.get("headers", {})}
        headers.pop("content-length", None)
        body = odd.get("body", answer.content)
        return httpx.Response(odd.get("status", answer.status_code), headers=headers, content=body)

    return tamper


# --- reading ---


@both_ways
def test_follow(hostile: Hostile, draft: Draw) -> None:
    """Bulletins come in log order, each once, and the place is kept on disk."""
    first, second = publish(hostile, draft, "first"), publish(hostile, draft, "second")

    titles = [each.content.title for each in hostile.client.follow(once=True)]
    again = list(hostile.client.follow(once=True))

    assert (["first", "second"], []) == (titles, again)
    assert second.seq <= hostile.state.get_int("feed_after", -1)
    assert first.seq < second.seq


@both_ways
def test_follow_page_by_page(hostile: Hostile, draft: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    """A feed longer than a page comes page by page."""
    for title in ("first", "second", "third"):
        publish(hostile, draft, title)
    monkeypatch.setattr("lintas.pages.PAGE_LIMIT", 2)

    titles = [each.content.title for each in hostile.client.follow(once=True)]

    assert ["first", "second", "third"] == titles


def test_follow_goes_on(hostile: Hostile, draft: Draw) -> None:
    """A follower waits for what comes next; one stopped in the middle of a page gets the rest of it again."""
    publish(hostile, draft, "first")
    publish(hostile, draft, "second")
    follower = hostile.client.follow(pause_s=0)
    seen = [next(follower).content.title, next(follower).content.title]
    publish(hostile, draft, "third")
    seen.append(next(follower).content.title)
    follower.close()

    again = [each.content.title for each in hostile.client.follow(once=True)]

    assert (["first", "second", "third"], ["third"]) == (seen, again)


def test_follow_goes_on_awaited(hostile: Hostile, draft: Draw) -> None:
    """An awaited follower waits for what comes next too."""
    publish(hostile, draft, "first")

    async def follow() -> list[str]:
        identity = hostile.client.session.identity
        state = State(":memory:", log_key=identity.hub.log_key)
        async with AsyncClient(identity, state, clock=hostile.hub.clock) as client:
            found = []
            async for item in client.follow(pause_s=0):
                assert item.content is not None
                found.append(item.content.title)
                if len(found) == 2:
                    break
                publish(hostile, draft, "second")
            return found

    assert ["first", "second"] == asyncio.run(follow())


@both_ways
def test_fetch(hostile: Hostile, draft: Draw) -> None:
    """One bulletin is fetched by its id and verified."""
    made = publish(hostile, draft, "first")

    found = hostile.client.fetch(made.id)

    assert (made.id, made.seq, "first", ()) == (found.id, found.seq, found.content.title, found.marks)


def test_fetch_shows_marks(hostile: Hostile, draft: Draw) -> None:
    """What the hub marks on a single bulletin is passed on."""
    made = publish(hostile, draft, "first")
    hostile.middle.tamper = answering(f"/v1/bulletins/{made.id}", headers={"lintas-marks": "suspect, odd"})

    assert ("suspect",) == hostile.client.fetch(made.id).marks


def test_fetch_of_what_was_recalled(hostile: Hostile, draft: Draw) -> None:
    """A recalled bulletin is not given; the error names the recall."""
    made = publish(hostile, draft, "first")
    payload = {"title": "recall", "summary": "Wrong.", "reason": "false-positive"}
    recall = publish(hostile, draft, "", kind="recall", refs=[f"recalls:{made.id}"], payload=payload)

    with pytest.raises(Recalled) as caught:
        hostile.client.fetch(made.id)

    assert {"by": recall.id} == caught.value.extra


def test_fetch_of_what_is_not_ours(hostile: Hostile, draft: Draw) -> None:
    """What was not released to us is not there."""
    made = publish(hostile, draft, "first", release_to=["id-police"])

    with pytest.raises(NotFound):
        hostile.client.fetch(made.id)


@pytest.mark.parametrize("seq", ["", "x", "-1", "\u0661", "1.0"])
def test_fetch_needs_a_place(hostile: Hostile, draft: Draw, seq: str) -> None:
    """Without the place in the log the history of the key cannot be judged."""
    made = publish(hostile, draft, "first")
    path = f"/v1/bulletins/{made.id}"
    hostile.middle.tamper = answering(path, headers={"lintas-seq": seq.encode()})

    with pytest.raises(MalformedPayload):
        hostile.client.fetch(made.id)


def test_fetch_of_another_bulletin(hostile: Hostile, draft: Draw) -> None:
    """A hub that answers with another sound bulletin is noticed."""
    made, other = publish(hostile, draft, "first"), publish(hostile, draft, "second")
    raw = hostile.hub.get(f"/v1/bulletins/{other.id}", "sg-fiu").content
    hostile.middle.tamper = answering(f"/v1/bulletins/{made.id}", body=raw)

    with pytest.raises(Unverified, match="another bulletin"):
        hostile.client.fetch(made.id)


def test_silent_hub(hostile: Hostile, draft: Draw) -> None:
    """A hub that says there is nothing new, though its log released something, is noticed on the second look."""
    publish(hostile, draft, "first")
    cursor = str(hostile.state.get_int("events_after", -1))
    hostile.middle.tamper = answering("/v1/bulletins", body=b"", headers={"lintas-cursor": cursor})
    hostile.client.confirm(hostile.client.pull())
    hostile.hub.clock.advance(IDLE_S)
    hostile.client.sync()

    with pytest.raises(Withheld):
        hostile.client.confirm(hostile.client.pull())


def test_withholding_hub(hostile: Hostile, draft: Draw) -> None:
    """A hub that leaves one bulletin out of the feed is noticed when the page is confirmed."""
    made = publish(hostile, draft, "first")
    publish(hostile, draft, "second")
    rows = hostile.hub.get("/v1/bulletins", "sg-fiu").content.splitlines(keepends=True)
    hostile.middle.tamper = answering("/v1/bulletins", body=rows[1])

    with pytest.raises(Withheld, match=made.id):
        list(hostile.client.follow(once=True))


def test_idle_follower_asks_seldom(hostile: Hostile) -> None:
    """Without news the log is asked only after a while, so that idle polls do not fill it."""
    counts = []
    for pause_s in (0, 0, IDLE_S - 5, 10):
        hostile.hub.clock.advance(pause_s)
        hostile.middle.requests.clear()
        hostile.client.pull()
        counts.append([path for path, _ in hostile.middle.requests].count("GET /v1/log/events"))

    assert [0, 0, 0, 1] == counts


def test_alarm_on_a_key_that_we_did_not_make(hostile: Hostile) -> None:
    """A key for our own agency that appears from elsewhere raises an alarm with the next page."""
    intruder = SigningKey.generate()
    hostile.hub.client("sg-fiu").rotate(intruder, holder="duty desk", overlap_s=0)
    hostile.hub.clock.advance(IDLE_S)

    (alarm,) = hostile.client.pull().alarms

    assert intruder.kid in alarm


# --- publishing ---


@both_ways
def test_publish(hostile: Hostile, draft: Draw) -> None:
    """A published bulletin has a receipt that verifies offline, and is kept as sent."""
    made = hostile.client.publish(draft("first", release_to=["id-police"]))
    (kept,) = hostile.state.outgoing(SENT)

    logged = hostile.client.verify(kept.line, made.receipt)

    assert (made.id, made.seq, made.receipt) == (kept.id, logged.seq, kept.receipt)
    assert [made.id] == accepted(hostile)


@both_ways
def test_refused_for_a_moment(hostile: Hostile, draft: Draw) -> None:
    """After a 503 the same bytes are sent again, and once is enough."""
    hostile.middle.refuse = 1
    hostile.middle.requests.clear()

    made = hostile.client.publish(draft("first", release_to=["id-police"]))

    first, second = posts(hostile)
    assert (first, [made.id]) == (second, accepted(hostile))


@both_ways
def test_answer_lost(hostile: Hostile, draft: Draw) -> None:
    """When only the answer was lost, sending again gives the same receipt, and nothing is there twice."""
    hostile.middle.lose = 1
    hostile.middle.requests.clear()

    made = hostile.client.publish(draft("first", release_to=["id-police"]))

    first, second = posts(hostile)
    assert (first, [made.id]) == (second, accepted(hostile))
    assert hostile.client.receipt(made.id) == made.receipt


@both_ways
def test_hub_away(hostile: Hostile, draft: Draw) -> None:
    """While the hub is away a signed line waits; later the very same bytes are sent."""
    hostile.middle.cut = 2
    with pytest.raises(HubUnreachable):
        hostile.client.publish(draft("first", release_to=["id-police"]))
    (waiting,) = hostile.state.outgoing()

    (made,) = hostile.client.flush()

    assert ([made.id], waiting.line) == (accepted(hostile), posts(hostile)[-1])
    assert [] == hostile.state.outgoing()


@both_ways
def test_503_does_not_pass(hostile: Hostile, draft: Draw) -> None:
    """A hub that stays busy is told so; the line waits."""
    hostile.middle.refuse = 2
    hostile.middle.refusal = 503, b'{"type":"tag:lintas.example,2026:busy"}'

    with pytest.raises(Busy):
        hostile.client.publish(draft("first", release_to=["id-police"]))

    assert [WAITING] == [each.state for each in hostile.state.outgoing()]


@both_ways
def test_rate_limited(hostile: Hostile, draft: Draw) -> None:
    """A hub that is asked too much is asked again when it says; if that does not help the line waits."""
    asked = iter(("0", "0", "0", None))

    def tamper(request: httpx.Request, answer: httpx.Response) -> httpx.Response | None:
        after = next(asked, None) if request.method == "POST" else None
        content = b'{"type":"tag:lintas.example,2026:rate-limited"}'
        return None if after is None else httpx.Response(429, headers={"Retry-After": after}, content=content)

    hostile.middle.tamper = tamper
    with pytest.raises(RateLimited):
        hostile.client.publish(draft("first", release_to=["id-police"]))
    (waiting,) = hostile.state.outgoing()
    hostile.middle.requests.clear()

    (made,) = hostile.client.flush()

    first, second = posts(hostile)
    assert (waiting.line, [made.id]) == (first, accepted(hostile))
    assert first == second


@pytest.mark.parametrize(("status", "body"), [(502, b"<html>"), (503, b'{"type":"about:blank"}'), (504, b"")])
def test_proxy_without_hub(hostile: Hostile, draft: Draw, status: int, body: bytes) -> None:
    """What a proxy says in the place of a hub that it lost is no refusal: the same line is sent again, or waits."""
    hostile.middle.refuse, hostile.middle.refusal = 3, (status, body)
    with pytest.raises(HubUnreachable, match=f"proxy.*{status}"):
        hostile.client.publish(draft("first", release_to=["id-police"]))
    assert [WAITING] == [each.state for each in hostile.state.outgoing()]

    (made,) = hostile.client.flush()

    assert [made.id] == accepted(hostile)
    assert 1 == len(set(posts(hostile)))


@both_ways
def test_tag_is_idempotent(hostile: Hostile, draft: Draw) -> None:
    """A tag used before sends nothing new, whatever the draft says now."""
    first = hostile.client.publish(draft("first", release_to=["id-police"]), tag="case-1")
    hostile.middle.requests.clear()

    again = hostile.client.publish(draft("other", release_to=["id-police"]), tag="case-1")

    assert (first, [], [first.id]) == (again, posts(hostile), accepted(hostile))


@both_ways
def test_tag_of_a_waiting_line(hostile: Hostile, draft: Draw) -> None:
    """A tag whose line waits sends that line on."""
    hostile.middle.cut = 2
    with pytest.raises(HubUnreachable):
        hostile.client.publish(draft("first", release_to=["id-police"]), tag="case-1")
    (waiting,) = hostile.state.outgoing()

    made = hostile.client.publish(draft("other", release_to=["id-police"]), tag="case-1")

    assert (waiting.id, [waiting.id]) == (made.id, accepted(hostile))


@both_ways
def test_refused_for_good(hostile: Hostile, draft: Draw) -> None:
    """What the hub refuses for good waits no more; its tag tells why."""
    hostile.hub.order("ceiling", agency="sg-fiu", tlp="CLEAR")
    wanted = draft("first", release_to=["id-police"])

    with pytest.raises(TlpAboveCeiling):
        hostile.client.publish(wanted, tag="case-1")

    assert ["tlp-above-ceiling"] == [each.problem for each in hostile.state.outgoing(REFUSED)]
    with pytest.raises(OrderConflict, match="tlp-above-ceiling"):
        hostile.client.publish(wanted, tag="case-1")


@both_ways
def test_outbox_is_flushed(hostile: Hostile, draft: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits in the outbox goes out in order, many lines a request; a refused line does not hold up the rest."""
    monkeypatch.setattr("lintas.wire.BATCH_LINES_MAX", 2)
    hostile.hub.order("ceiling", agency="sg-fiu", tlp="GREEN")
    tlps = ["GREEN", "AMBER", "GREEN"]
    kept = [
        hostile.client.enqueue(draft(f"{number}", tlp=tlp, release_to=["id-police"]), tag=f"case-{number}")
        for number, tlp in enumerate(tlps)
    ]
    again = hostile.client.enqueue(draft("0", release_to=["id-police"]), tag="case-0")

    outcomes = hostile.client.flush()

    assert ([True, True, True], False) == (kept, again)
    assert [Published, TlpAboveCeiling, Published] == [type(each) for each in outcomes]
    assert [outcomes[0].id, outcomes[2].id] == accepted(hostile)
    assert ([2, 1], []) == ([body.count(b"\n") + 1 for body in posts(hostile)], hostile.client.flush())


@both_ways
def test_stale_line_is_signed_again(hostile: Hostile, draft: Draw) -> None:
    """A line that waited for more than a day is signed anew, names the first one, and is good for as long."""
    hostile.middle.cut = 2
    with pytest.raises(HubUnreachable):
        hostile.client.publish(draft("first", release_to=["id-police"]), tag="case-1")
    hostile.hub.clock.advance(25 * HOUR)

    made = hostile.client.publish(draft("first", release_to=["id-police"]), tag="case-1")

    (old,), (new,) = hostile.state.outgoing(REPLACED), hostile.state.outgoing(SENT)
    first, second = parse(old.line), parse(new.line)
    assert (made.id, [made.id], "case-1", None) == (new.id, accepted(hostile), new.tag, old.tag)
    assert {**json.loads(first.payload), "reissue_of": first.id} == json.loads(second.payload)
    assert (first.header.exp or 0) - first.header.iat == (second.header.exp or 0) - second.header.iat
    assert first.header.release_to == second.header.release_to


@both_ways
def test_stale_lines_of_the_outbox(hostile: Hostile, draft: Draw) -> None:
    """A stale line among others is signed anew, its references with it."""
    first = hostile.client.publish(draft("first", release_to=["id-police"]))
    hostile.client.enqueue(draft("old", release_to=["id-police"], refs=[f"supersedes:{first.id}"]), tag="old")
    hostile.hub.clock.advance(25 * HOUR)
    hostile.client.enqueue(draft("new", release_to=["id-police"]), tag="new")

    outcomes = hostile.client.flush()

    assert [first.id, outcomes[1].id, outcomes[0].id] == accepted(hostile)
    (replaced,) = hostile.state.outgoing(REPLACED)
    sent = {each.id: parse(each.line) for each in hostile.state.outgoing(SENT)}
    assert (f"supersedes:{first.id}",) == sent[outcomes[0].id].header.refs
    assert replaced.id == json.loads(sent[outcomes[0].id].payload)["reissue_of"]


def test_receipt_of_another_line(hostile: Hostile, draft: Draw) -> None:
    """A receipt that proves another line is none: the line goes on waiting."""
    other = hostile.client.publish(draft("first", release_to=["id-police"]))
    hostile.middle.tamper = answering("/v1/bulletins", body=other.receipt)

    with pytest.raises(BadReceipt):
        hostile.client.publish(draft("second", release_to=["id-police"]))

    assert 1 == len(hostile.state.outgoing())


@both_ways
def test_receipt_of_a_bulletin_received(hostile: Hostile, draft: Draw) -> None:
    """A recipient has a proof too: that the log released the bulletin to it."""
    made = publish(hostile, draft, "first")
    (item,) = hostile.client.follow(once=True)

    logged = hostile.client.verify(item.line.raw, hostile.client.receipt(made.id))

    assert "bulletin.released" == logged.event["kind"]


def test_receipt_of_another_tree(hostile: Hostile, draft: Draw) -> None:
    """A receipt from a twin of the log with another past is refused, though the pinned key signed it."""
    twin = hostile.twin()
    line = hostile.hub.client("my-police").sign(draft("first"))
    for hub in (hostile.hub, twin):
        hub.client("my-police").publish_line(line)
    hostile.client.sync()
    path = f"/v1/bulletins/{line.id}/receipt"
    hostile.middle.tamper = answering(path, body=twin.get(path, "sg-fiu").content)

    with pytest.raises(InconsistentLog):
        hostile.client.receipt(line.id)


def test_receipt_that_proves_nothing(hostile: Hostile, draft: Draw) -> None:
    """A receipt that was tampered with is refused."""
    made = publish(hostile, draft, "first")
    path = f"/v1/bulletins/{made.id}/receipt"
    hostile.middle.tamper = answering(path, body=made.receipt)

    assert hostile.client.receipt(made.id) == made.receipt
    hostile.middle.tamper = answering(path, body=(made.receipt or b"").replace(b"index ", b"index 1", 1))
    with pytest.raises(BadReceipt):
        hostile.client.receipt(made.id)


def test_offline_verification(hostile: Hostile, draft: Draw) -> None:
    """Offline, a line is verified with its receipt and the keys known so far."""
    made = hostile.client.publish(draft("first", release_to=["id-police"]))
    (kept,) = hostile.state.outgoing(SENT)
    line = parse(kept.line)
    stranger = SigningKey.from_seed(bytes(32))
    members = {"typ": BULLETIN, "iss": "sg-fiu", "aud": line.header.aud, "iat": line.header.iat, "exp": line.header.exp}
    members |= {"kind": "alert", "topic": "cyber", "tlp": "GREEN", "release_to": ["*"], "urgency": "routine"}
    forged = sign(members, line.payload, stranger)

    with pytest.raises(BadReceipt):
        hostile.client.verify(forged, made.receipt)
    hostile.client.session._replay = None
    hostile.client.session.state._db.execute("DELETE FROM control")
    with pytest.raises(Unverified):
        hostile.client.verify(kept.line, made.receipt)


# --- keys, orders, administration ---


@both_ways
def test_rotation_and_revocation(hostile: Hostile) -> None:
    """A key hands over to another, then ends itself, each with a receipt."""
    new = SigningKey.generate()

    rotated = hostile.client.rotate(new, holder="duty desk", overlap_s=HOUR)
    revoked = hostile.client.revoke("superseded", 0)

    assert (("key.rotated",), ("key.revoked",)) == (rotated.events, revoked.events)
    assert (rotated.seq, False) == (rotated.logged.seq, rotated.needs_second)
    hostile.hub.clock.advance(TOKEN_LIFE_S)
    with pytest.raises(Refusal):
        hostile.client.pull()


@both_ways
@pytest.mark.parametrize("party", ["admin/registrar"])
def test_orders(hostile: Hostile) -> None:
    """An administrator orders, another countersigns; an invitation's code is told once."""
    waiting = hostile.client.order("ceiling", {"agency": "sg-fiu", "tlp": "GREEN"})
    first = hostile.hub.client("admin/auditor").session.sign_order("ceiling", {"agency": "sg-fiu", "tlp": "AMBER"})
    done = hostile.client.countersign(first.raw)
    invited = hostile.client.order("invite", {"agency": "my-police"})

    assert (True, False) == (waiting.needs_second, done.needs_second)
    assert "grant.changed" in done.events
    assert "AMBER" == hostile.hub.hub.directory.grant("sg-fiu").ceiling
    assert (invited.id, True) == (invited.invite, bool(invited.code))


@both_ways
@pytest.mark.parametrize("party", ["admin/registrar"])
def test_enrolment(hostile: Hostile, way: str) -> None:
    """An invited party enrols its own key with the code."""
    invited = hostile.client.order("invite", {"agency": "my-police"})
    identity = Identity("my-police", SigningKey.generate(), hostile.client.session.identity.hub)
    state = State(":memory:", log_key=identity.hub.log_key)
    asked = {"invite": invited.invite, "code": invited.code or "", "holder": "duty desk"}

    if way == "Client":
        with Client(identity, state, clock=hostile.hub.clock) as client:
            answer = client.enrol(**asked)
    else:

        async def enrol() -> wire.Answer:
            async with AsyncClient(identity, state, clock=hostile.hub.clock) as awaited:
                return await awaited.enrol(**asked)

        answer = asyncio.run(enrol())

    assert ("key.enrolled",) == answer.events
    assert identity.key.kid in hostile.hub.hub.directory.keys


@both_ways
@pytest.mark.parametrize("party", ["admin/registrar"])
def test_admin_reads(hostile: Hostile) -> None:
    """An administrator reads events and views."""
    events = hostile.client.admin_events(limit=3)
    stats = hostile.client.admin_view("stats")

    assert (3, dict) == (len(events["events"]), type(stats))
    with pytest.raises(BadRequest):
        hostile.client.admin_events(limit=-1)


@pytest.mark.parametrize("party", ["admin/registrar"])
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"[" * 100_000, b"\xff"], ids=len)
def test_unreadable_view(hostile: Hostile, body: bytes) -> None:
    """A view that is no object is told as the hub's fault, not with a crash."""
    hostile.middle.tamper = answering("/v1/admin/stats", body=body)
    with pytest.raises(HubUnreachable):
        hostile.client.admin_view("stats")


@pytest.mark.parametrize("party", ["admin/registrar"])
def test_order_without_its_receipt(hostile: Hostile) -> None:
    """What a hub says of an order counts only with the receipt of its event."""
    order = hostile.client.session.sign_order("invite", {"agency": "my-police"})
    true = hostile.hub.post("/v1/orders", order.raw, "application/vnd.lintas.order").json()
    published = hostile.hub.client("my-police").session

    for receipt in ("", "x", None, 7):
        with pytest.raises(BadReceipt):
            told(hostile.client.session, order, {**true, "receipt": receipt})
    assert () == told(hostile.client.session, order, {**true, "events": 7}).events
    assert published.party == "my-police"


def told(session: Session, order: Any, members: dict[str, Any]) -> wire.Answer:
    """Return what an order's answer is read as."""
    operation = wire.post_order(session, order)
    next(operation)
    try:
        operation.send(Response(200, {}, json.dumps(members).encode()))
    except StopIteration as stop:
        found: wire.Answer = stop.value
        return found
    raise AssertionError


# --- what a hub may answer to a line ---


@pytest.fixture
def session(recording: Recording) -> Session:
    """A session of sg-fiu without a hub."""
    state = State(":memory:", log_key=recording.identity.hub.log_key)
    return Session(recording.identity, state, lambda: recording.now_us)


def outcome(operation: Any, *answers: Response) -> Any:
    """Give an operation these answers; return what it raises or returns, or its next request."""
    try:
        found = next(operation)
        for answer in answers:
            found = operation.send(answer)
    except StopIteration as stop:
        return stop.value
    except LintasError as fault:
        return fault
    return found


def problem(kind: type[LintasError], detail: str = "Because.") -> Response:
    """Return a refusal as a hub answers it."""
    return Response(STATUS[kind], {}, json.dumps(kind(detail).problem()).encode())


def waiting_line(session: Session) -> Any:
    """Return a line that is not yet in the outbox."""
    members: dict[str, Any] = {
        "kind": "alert",
        "topic": "cyber",
        "tlp": "GREEN",
        "release_to": ["*"],
        "urgency": "routine",
    }
    return session.sign_line(BULLETIN, b'{"summary":"x","title":"x"}', exp=session.now() + HOUR, **members)


PASSING = {
    RateLimited,
    Busy,
    ReadOnly,
    StorageUnreachable,
    StorageFull,
    InternalError,
    RequestTimeout,
    KeyNotActive,
}


@pytest.mark.parametrize("kind", [kind for kind in STATUS if kind is not Stale], ids=lambda kind: kind.code)
def test_refusal_settles_or_waits(session: Session, kind: type[LintasError]) -> None:
    """What may pass by itself leaves a line waiting, sent alone or with others; the rest refuses it for good."""
    line, other = waiting_line(session), session.sign_line("vnd.lintas.order", b"{}")
    session.state.enqueue(other.id, other.raw)
    row = {"id": other.id, "status": STATUS[kind], "problem": kind("Because.").problem()}
    answer = Response(200, {}, json.dumps(row).encode() + b"\n")

    (together,) = outcome(wire.flush(session), answer)
    alone = outcome(wire.publish(session, line), problem(kind))

    assert (kind, kind) == (type(together), type(alone))
    state = WAITING if kind in PASSING else REFUSED
    assert [other.id, line.id] == [each.id for each in session.state.outgoing(state)]


@pytest.mark.parametrize(
    "answer",
    [
        Response(502, {}, b"<html>bad gateway</html>"),
        Response(404, {}, b"not here"),
        Response(302, {"location": "https://elsewhere.example/"}, b""),
        Response(429, {}, b'{"type":"about:blank"}'),
        Response(200, {}, b"<html>sign in to the network</html>"),
        Response(201, {}, b""),
    ],
    ids=lambda answer: f"{answer.status} {len(answer.body)}",
)  # fmt: skip
def test_answer_of_a_proxy(session: Session, answer: Response) -> None:
    """What no hub says leaves a line waiting: a proxy in between does not decide about bulletins."""
    line = waiting_line(session)

    fault = outcome(wire.publish(session, line), answer)

    assert isinstance(fault, LintasError)
    assert [line.id] == [each.id for each in session.state.outgoing()]


def batch_answers(line_id: str) -> dict[str, bytes]:
    """Return answers to a batch of this one line that are none."""
    good = {"id": line_id, "status": 201, "seq": 5}
    bad = [
        {**good, "id": "A" * 43},
        {"status": 201, "seq": 5},
        {**good, "status": "201"},
        {**good, "seq": "5"},
        {"id": line_id, "status": 201},
        {**good, "problem": 7},
        {"id": line_id, "status": 422, "problem": "stale"},
    ]
    rows = {f"row {number}": json.dumps(each).encode() for number, each in enumerate(bad)}
    twice = json.dumps(good).encode() + b"\n" + json.dumps(good).encode()
    return {**rows, "empty": b"", "twice": twice, "html": b"<html>", "array": b"[]", "deep": b"[" * 100_000}


@pytest.mark.parametrize("name", batch_answers(""))
def test_batch_answer_is_strict(session: Session, name: str) -> None:
    """A batch is settled by an answer that tells of each of its lines, in order; else the lines wait."""
    line = waiting_line(session)
    session.state.enqueue(line.id, line.raw)

    fault = outcome(wire.flush(session), Response(200, {}, batch_answers(line.id)[name]))

    assert isinstance(fault, HubUnreachable)
    assert [line.id] == [each.id for each in session.state.outgoing()]


@pytest.mark.parametrize(("status", "is_taken"), [(200, True), (201, True), (202, False), (204, False)])
def test_batch_row_of_another_status(session: Session, status: int, *, is_taken: bool) -> None:
    """A line is accepted with 200 or 201, not with whatever sounds well."""
    line = waiting_line(session)
    session.state.enqueue(line.id, line.raw)
    row = json.dumps({"id": line.id, "status": status, "seq": 5}).encode()

    found = outcome(wire.flush(session), Response(200, {}, row))

    assert is_taken == (found == [Published(line.id, 5, None)])


def test_receipt_of_a_release_is_no_acceptance(session: Session, recording: Recording) -> None:
    """The proof that a bulletin was released is no proof that the hub accepted it from us."""
    line = recording.published[0]
    released = recording.released_receipt

    fault = outcome(wire.publish(session, line), Response(200, {}, released))

    assert isinstance(fault, BadReceipt)
    assert [line.id] == [each.id for each in session.state.outgoing()]


def test_receipt_of_a_bulletin_is_no_order(session: Session, recording: Recording) -> None:
    """The receipt of a bulletin does not pass for that of an order."""
    members = {"receipt": recording.released_receipt.decode(), "events": []}

    fault = outcome(wire.post_order(session, recording.published[0]), Response(200, {}, json.dumps(members).encode()))

    assert isinstance(fault, BadReceipt)


def test_unauthorized_read(session: Session) -> None:
    """A refused token is told as such."""
    assert isinstance(outcome(pages.pull(session), problem(Unauthorized)), Unauthorized)


def test_page_before_the_first_event(session: Session) -> None:
    """Before the first event no index is named."""
    request = next(pages.pull(session))

    assert Request("GET", "/v1/bulletins?limit=500", headers=request.headers) == request


# --- transport, files, tokens ---


@both_ways
def test_redirect_is_not_followed(hostile: Hostile) -> None:
    """A hub cannot send a client, and its token with it, elsewhere."""
    hostile.middle.tamper = answering("/v1/bulletins", status=302, headers={"location": "http://127.0.0.1:9/"})
    hostile.middle.requests.clear()

    with pytest.raises(Refusal):
        hostile.client.pull()

    assert ["GET /v1/bulletins"] == [path for path, _ in hostile.middle.requests]


@both_ways
def test_answer_has_a_size(hostile: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer larger than any hub needs is not read to its end."""
    monkeypatch.setattr("lintas.transport.RESPONSE_BYTES_MAX", 1_000)
    hostile.middle.tamper = answering("/v1/bulletins", body=b"x" * 1_001)

    with pytest.raises(HubUnreachable, match="larger"):
        hostile.client.pull()


def test_nothing_compressed_is_asked_for(hostile: Hostile) -> None:
    """A client asks for plain bytes, so that no answer grows while it is read."""
    asked = []
    hostile.middle.tamper = lambda request, _answer: asked.append(request.headers["accept-encoding"])

    hostile.client.pull()

    assert {"identity"} == set(asked)


def test_response_headers_are_lower_case() -> None:
    """Header names are lower case, whatever the hub writes."""
    found = response_of(httpx.Response(200, headers={"Lintas-Seq": "7"}), b"")

    assert Response(200, {"lintas-seq": "7"}, b"") == found


def test_token_is_used_until_nearly_over(hostile: Hostile) -> None:
    """A token is made anew a minute before it ends, and not before."""
    first = hostile.client.token()
    hostile.hub.clock.advance(TOKEN_LIFE_S - TOKEN_SPARE_S - 5)
    same = hostile.client.token()
    hostile.hub.clock.advance(6)
    header = parse(hostile.client.token().encode()).header

    assert (first, TOKEN_LIFE_S, "read") == (same, (header.exp or 0) - header.iat, header.scope)
    assert first != hostile.client.token()


@pytest.mark.parametrize("party", ["admin/registrar"])
def test_token_of_an_administrator(hostile: Hostile) -> None:
    """An administrator's token has its own scope."""
    assert "admin" == parse(hostile.client.token().encode()).header.scope


def test_recipients_are_shown_before_signing(hostile: Hostile, draft: Draw) -> None:
    """Whom a draft goes to is told before anything is signed; the signer may narrow it."""
    wanted = draft("first", release_to=["id-police", "my-police"])

    line = hostile.client.sign(wanted, release_to=["id-police"])

    assert (("id-police", "my-police"), ("id-police",)) == (hostile.client.recipients(wanted), line.header.release_to)
    assert ("id-police", "my-police") == hostile.client.sign(wanted).header.release_to
    assert ("sg-fiu", []) == (hostile.client.party, hostile.state.outgoing())


def test_client_of_an_identity_file(hostile: Hostile, tmp_path: Path) -> None:
    """A client opened from files acts as their identity at the address given; the state stands beside them."""
    identity = hostile.client.session.identity
    away = Identity(identity.party, identity.key, Hub("http://127.0.0.1:9", identity.hub.name, identity.hub.log_key))
    path = tmp_path / "sg-fiu.json"
    save_identity(path, away, b"x")

    with Client.open(path, b"x", hub=hostile.hub.url) as client:
        synced = client.sync()

    assert (True, True, "sg-fiu") == (synced.events > 0, path.with_suffix(".state").exists(), client.party)
    with Client.open(path, b"x") as client:
        assert "http://127.0.0.1:9" == client.session.identity.hub.url


def test_async_client_of_an_identity_file(hostile: Hostile, tmp_path: Path) -> None:
    """An AsyncClient opened from files does the same."""
    path = tmp_path / "sg-fiu.json"
    save_identity(path, hostile.client.session.identity.with_url("http://127.0.0.1:9"), b"x")

    async def sync() -> tuple[int, str]:
        async with AsyncClient.open(path, b"x", hub=hostile.hub.url) as client:
            found = (await client.sync()).events
        async with AsyncClient.open(path, b"x") as client:
            return found, client.session.identity.hub.url

    events, url = asyncio.run(sync())

    assert (True, True, "http://127.0.0.1:9") == (events > 0, path.with_suffix(".state").exists(), url)


def _sync(path: Path, passphrase: bytes, **options: Any) -> int:
    with Client.open(path, passphrase, **options) as client:
        return client.sync().size


def _sync_awaited(path: Path, passphrase: bytes, **options: Any) -> int:
    async def sync() -> int:
        async with AsyncClient.open(path, passphrase, **options) as client:
            return (await client.sync()).size

    return asyncio.run(sync())


def test_hub_with_a_certificate_of_its_own(
    exercise_data: Path, clock: ShiftedClock, quick: None, tmp_path: Path
) -> None:
    """Both clients talk to a hub whose certificate the named authority vouches for, and to no other."""
    names = "ours", "theirs"
    pairs = {name: make_certificate(("127.0.0.1",)) for name in names}
    for name, (authority, own) in pairs.items():
        (tmp_path / f"{name}-ca.pem").write_bytes(authority)
        (tmp_path / f"{name}.pem").write_bytes(own)
    path, passphrase = exercise_data / "agencies/sg-fiu.json", (exercise_data / "passphrase").read_bytes().strip()
    hub = open_hub(read_settings({}, data=str(exercise_data)), clock)
    hub.start()

    with served(hub, ssl_certfile=tmp_path / "ours.pem") as url:
        for opened in (_sync, _sync_awaited):
            assert opened(path, passphrase, hub=url, ca=tmp_path / "ours-ca.pem") > 0
            for ca in (tmp_path / "theirs-ca.pem", None):
                with pytest.raises(HubUnreachable, match="CERTIFICATE_VERIFY_FAILED"):
                    opened(path, passphrase, hub=url, ca=ca)
    hub.stop()


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_no_certificates(tmp_path: Path, content: bytes | None) -> None:
    """A file without certificates is named as the setting that is wrong, instead of trusting whoever is there."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(BadSettings, match=r"LINTAS_CA: .*ca\.pem"):
        trusted(path, "https://hub.example")


def test_nobody_is_trusted_without_tls() -> None:
    """A client of a hub without TLS reads no authorities; one with TLS reads the usual ones."""
    assert (0, True) == (
        len(trusted(None, "http://hub").get_ca_certs()),
        len(trusted(None, "https://hub").get_ca_certs()) > 50,
    )


def test_both_clients_offer_the_same() -> None:
    """Whatever a Client does an AsyncClient does, under the same name with the same parameters."""
    names = {name for name in vars(Client) if not name.startswith("_")} - {"close"}
    other = {name for name in vars(AsyncClient) if not name.startswith("_")} - {"aclose"}

    assert names == other
    parameters = {name: list(signature(getattr(Client, name)).parameters) for name in names}
    assert {name: list(signature(getattr(AsyncClient, name)).parameters) for name in names} == parameters


def test_evidence_is_no_refusal() -> None:
    """A program can tell a hub that says no from one that cannot prove what it says."""
    assert not issubclass(Refusal, Evidence)
