"""Clients that follow subscriptions, acknowledge, or look who has a bulletin, also at a hub that lies."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from lintas.draft import Draft
from lintas.errors import BadReceipt, HubUnreachable, NotFound, PurposeNeeded, Unverified, Withheld
from lintas.header import TOKEN
from lintas.line import parse
from lintas.state import REFUSED, WAITING
from tests.lintas.test_client import answering, both_ways, publish

if TYPE_CHECKING:
    from tests.lintas.conftest import Hostile

Draw = Callable[..., Draft]
Change = Callable[[dict[str, Any]], None]

ISSUER, READER = "my-police", "sg-fiu"
SCAMS = {"topic": ["cyber.scam"]}
PERSON = {"title": "p", "summary": "F.", "indicators": [{"type": "phone", "value": "+60123456789", "role": "caller"}]}


def posts(hostile: Hostile, ending: str) -> list[bytes]:
    """Return the bodies that were posted to addresses with this ending."""
    return [body for name, body in hostile.middle.requests if name.startswith("POST ") and name.endswith(ending)]


def changing(ending: str, change: Change) -> Callable[[httpx.Request, httpx.Response], httpx.Response | None]:
    """Change the JSON of each answer from addresses with this ending."""

    def tamper(request: httpx.Request, answer: httpx.Response) -> httpx.Response | None:
        if not request.url.path.endswith(ending) or answer.status_code >= 300:
            return None
        members = answer.json()
        change(members)
        return httpx.Response(answer.status_code, json=members)

    return tamper


# --- the feed tells what was received ---


@both_ways
def test_received_is_told(hostile: Hostile, draft: Draw) -> None:
    """Following the feed tells the hub how far it was taken over, once a page and not for empty ones."""
    published = publish(hostile, draft, "one")
    list(hostile.client.follow(once=True))
    list(hostile.client.follow(once=True))

    [reader] = hostile.hub.client(ISSUER).readers(published.id)
    assert "received" == reader.progress
    assert 1 == len(posts(hostile, "/feed/cursor"))


def test_received_is_told_later(hostile: Hostile, draft: Draw) -> None:
    """When the hub cannot be told, nothing of the page is lost, and it is told with the next look."""
    published = publish(hostile, draft, "one")
    hostile.middle.tamper = answering("/v1/subscriptions/feed/cursor", status=503)
    items = list(hostile.client.follow(once=True))
    [before] = hostile.hub.client(ISSUER).readers(published.id)
    hostile.middle.tamper = lambda _request, _answer: None
    hostile.middle.requests.clear()
    list(hostile.client.follow(once=True))

    assert [published.id] == [item.id for item in items]
    assert 1 == len(posts(hostile, "/feed/cursor"))
    assert "received" in before.steps


@both_ways
def test_received_though_the_hub_dies(hostile: Hostile, draft: Draw) -> None:
    """A hub that dies while it is told takes nothing back: the page is taken over, and told of with the next."""
    published = publish(hostile, draft, "one")
    page = hostile.client.pull()
    hostile.middle.cut = 2
    hostile.client.confirm(page)
    hostile.middle.requests.clear()
    items = list(hostile.client.follow(once=True))

    assert ([published.id], []) == ([item.id for item in page.items], items)
    assert (0, 1) == (hostile.middle.cut, len(posts(hostile, "/feed/cursor")))


def test_feed_token_has_least_scope(hostile: Hostile, draft: Draw) -> None:
    """What only reads carries a token to read; a token that may move cursors goes with their moves alone."""
    scopes: dict[str, str | None] = {}

    def tamper(request: httpx.Request, _answer: httpx.Response) -> None:
        token = parse(request.headers["authorization"].removeprefix("Bearer ").encode(), TOKEN)
        scopes[request.url.path] = token.header.scope

    hostile.middle.tamper = tamper
    publish(hostile, draft, "one")
    list(hostile.client.follow(once=True))

    assert ("read", "subscribe") == (scopes["/v1/bulletins"], scopes["/v1/subscriptions/feed/cursor"])


# --- subscriptions ---


@both_ways
def test_follow_subscription(hostile: Hostile, draft: Draw) -> None:
    """A subscription is followed from the hub's cursor: each bulletin once, whichever client asks."""
    made = hostile.client.subscribe("scams", SCAMS)
    scam, _ = publish(hostile, draft, "one"), publish(hostile, draft, "two", topic="drugs")

    first = list(hostile.client.follow(once=True, subscription="scams"))
    again = list(hostile.client.follow(once=True, subscription="scams"))

    assert ([scam.id], []) == ([item.id for item in first], again)
    [_, after] = hostile.client.subscriptions()
    assert made.cursor < after.cursor
    assert {"topic": ["cyber.scam"]} == after.wanted.members()


def test_killed_in_a_page(hostile: Hostile, draft: Draw) -> None:
    """A follower killed in the middle of a page goes on with the next item: none twice, none missing."""
    hostile.client.subscribe("scams", SCAMS)
    ids = [publish(hostile, draft, title).id for title in ("one", "two", "three")]
    follower = hostile.client.follow(once=True, subscription="scams")
    shown = [next(follower).id, next(follower).id]
    follower.close()

    shown += [item.id for item in hostile.client.follow(once=True, subscription="scams")]

    # The one that was in hand when it died comes again: it was shown, but nobody said that it was taken over.
    assert [*ids[:2], *ids[1:]] == shown


def test_replayed(hostile: Hostile, draft: Draw) -> None:
    """A cursor moved back gives everything again, though it was shown before."""
    made = hostile.client.subscribe("scams", SCAMS)
    published = publish(hostile, draft, "one")
    first = [item.id for item in hostile.client.follow(once=True, subscription="scams")]
    hostile.client.move("scams", made.cursor)

    again = [item.id for item in hostile.client.follow(once=True, subscription="scams")]

    assert [published.id] == first == again


def test_unsubscribed(hostile: Hostile) -> None:
    """A subscription that was ended is not found any more."""
    hostile.client.subscribe("scams", SCAMS)
    hostile.client.unsubscribe("scams")

    with pytest.raises(NotFound):
        list(hostile.client.follow(once=True, subscription="scams"))


def test_lost_answer(hostile: Hostile, draft: Draw) -> None:
    """A move whose answer was lost is sent again, and nothing is shown twice."""
    hostile.client.subscribe("scams", SCAMS)
    published = publish(hostile, draft, "one")
    pulled = hostile.client.pull("scams")
    hostile.middle.lose = 1
    hostile.client.confirm(pulled)

    assert [published.id] == [item.id for item in pulled.items]
    assert [] == list(hostile.client.follow(once=True, subscription="scams"))


@pytest.mark.parametrize("wanted", [{}, SCAMS, {"tlp": ["AMBER"]}])
def test_withheld(hostile: Hostile, draft: Draw, wanted: dict[str, list[str]]) -> None:
    """A hub that leaves out what a subscription by topic or marking must give is found out by the log."""
    hostile.client.subscribe("scams", wanted)
    hidden, shown = publish(hostile, draft, "one"), publish(hostile, draft, "two")

    def tamper(request: httpx.Request, answer: httpx.Response) -> httpx.Response | None:
        if not request.url.path.endswith("/scams/bulletins"):
            return None
        rows = [row for row in answer.content.splitlines(keepends=True) if json.loads(row)["seq"] != hidden.seq]
        headers = {name: answer.headers[name] for name in ("lintas-cursor", "lintas-after")}
        return httpx.Response(200, headers=headers, content=b"".join(rows))

    hostile.middle.tamper = tamper
    pulled = hostile.client.pull("scams")

    assert [shown.id] == [item.id for item in pulled.items]
    with pytest.raises(Withheld, match=hidden.id):
        hostile.client.confirm(pulled)


def test_skipping_hub(hostile: Hostile, draft: Draw) -> None:
    """A hub that serves from further on than the cursor was ever moved is found out by the log."""
    hostile.client.subscribe("scams", SCAMS)
    hidden = publish(hostile, draft, "one")
    publish(hostile, draft, "two")

    def tamper(request: httpx.Request, _answer: httpx.Response) -> httpx.Response | None:
        if not request.url.path.endswith("/scams/bulletins"):
            return None
        return hostile.hub.get(
            f"/v1/subscriptions/scams/bulletins?after={hidden.seq}",
            READER,
        )

    hostile.middle.tamper = tamper

    with pytest.raises(Withheld, match="taken over up to"):
        hostile.client.pull("scams")


def test_filter_of_the_hub_alone(hostile: Hostile, draft: Draw) -> None:
    """A page of a subscription that the log does not know is not believed."""
    publish(hostile, draft, "one")
    body = hostile.hub.get("/v1/bulletins", READER)
    size = hostile.state.get_int("events_after", -1) + 100
    headers = {"lintas-cursor": str(size), "lintas-after": "-1"}
    path = "/v1/subscriptions/none/bulletins"
    hostile.middle.tamper = answering(path, status=200, headers=headers, body=body.content)

    with pytest.raises(Unverified, match="knows no subscription"):
        hostile.client.pull("none")


@pytest.mark.parametrize(
    "answer",
    [{}, {"name": 1, "filter": {}, "cursor": 1}, {"name": "a", "filter": {"x": []}, "cursor": 1}, {"name": "a"}],
)
def test_odd_subscription(hostile: Hostile, answer: dict[str, Any]) -> None:
    """An answer that is no subscription is not taken for one."""
    hostile.middle.tamper = answering("/v1/subscriptions/a", status=200, body=json.dumps(answer).encode())

    with pytest.raises(HubUnreachable):
        hostile.client.subscribe("a", {})


def test_name_stays_in_its_place(hostile: Hostile) -> None:
    """A name cannot reach another address."""
    with pytest.raises((NotFound, HubUnreachable)):
        hostile.client.unsubscribe("../keys?x=")

    [(request, _)] = [each for each in hostile.middle.requests if each[0].startswith("DELETE")]
    assert "/v1/subscriptions/" in request


# --- acknowledgements ---


@both_ways
def test_acknowledged(hostile: Hostile, draft: Draw) -> None:
    """A reader says that it opened, then that it acknowledged; the originator sees both, signed, at their index."""
    published = publish(hostile, draft, "one")
    list(hostile.client.follow(once=True))
    opened, noted = hostile.client.opened(published.id), hostile.client.acknowledge(published.id)

    [reader] = hostile.hub.client(ISSUER).readers(published.id)

    assert ("opened", "acknowledged") == (opened.state, noted.state)
    assert (opened.seq, noted.seq) == (reader.steps["opened"].seq, reader.steps["acknowledged"].seq)
    line = reader.steps["acknowledged"].line
    assert line is not None
    assert {"id": published.id, "state": "acknowledged", "seq": published.seq} == json.loads(line.payload)


def test_said_once(hostile: Hostile, draft: Draw) -> None:
    """What was said is not sent again."""
    published = publish(hostile, draft, "one")
    first, again = hostile.client.opened(published.id), hostile.client.opened(published.id)

    assert first == again
    assert 1 == len(posts(hostile, "/ack"))


def test_kept_in_the_outbox(hostile: Hostile, draft: Draw) -> None:
    """An acknowledgement that could not be sent waits beside bulletins, and the same bytes are sent later."""
    published = publish(hostile, draft, "one")
    hostile.middle.cut = 2
    with pytest.raises(HubUnreachable):
        hostile.client.acknowledge(published.id)
    [waiting] = hostile.state.outgoing(WAITING)

    [told] = hostile.client.flush()

    assert (published.id, "acknowledged") == (told.id, told.state)
    assert [waiting.line] * 3 == posts(hostile, "/ack")
    assert [] == hostile.state.outgoing(WAITING)


def test_signed_anew_when_stale(hostile: Hostile, draft: Draw) -> None:
    """An acknowledgement that waited for more than a day is signed anew."""
    published = publish(hostile, draft, "one")
    hostile.middle.cut = 2
    with pytest.raises(HubUnreachable):
        hostile.client.opened(published.id)
    hostile.hub.clock.advance(86_400)

    [told] = hostile.client.flush()

    assert "opened" == told.state


def test_refused_then_possible(hostile: Hostile, draft: Draw) -> None:
    """One that was refused is signed anew when it is said again."""
    published = hostile.hub.client(ISSUER).sign(draft("one"))
    with pytest.raises(NotFound):
        hostile.client.opened(published.id)
    [refused] = hostile.state.outgoing(REFUSED)
    hostile.hub.client(ISSUER).publish_line(published)
    hostile.hub.clock.advance(1)

    told = hostile.client.opened(published.id)

    assert ("not-found", "opened") == (refused.problem, told.state)


def test_another_desk_was_first(hostile: Hostile, draft: Draw) -> None:
    """When another client of the agency said it first, its word is shown and proven."""
    published = publish(hostile, draft, "one")
    first = hostile.hub.client(READER).acknowledge(published.id)
    hostile.hub.clock.advance(1)

    told = hostile.client.opened(published.id)

    assert (first.seq, "acknowledged") == (told.seq, told.state)


@pytest.mark.parametrize("other", ["bulletin.sent", "bulletin.opened"])
def test_receipt_of_something_else(hostile: Hostile, draft: Draw, other: str) -> None:
    """A hub that answers with the receipt of another event has not proven that it took our word."""
    published, second = publish(hostile, draft, "one"), publish(hostile, draft, "two")
    opened = hostile.client.opened(second.id)
    wrong = opened.receipt if other == "bulletin.opened" else published.receipt
    hostile.middle.tamper = changing("/ack", lambda members: members.update(receipt=(wrong or b"").decode()))

    with pytest.raises(BadReceipt, match="took our word"):
        hostile.client.opened(published.id)


def test_opened_does_not_prove_acknowledged(hostile: Hostile, draft: Draw) -> None:
    """A receipt that says less than we did is none."""
    published = publish(hostile, draft, "one")
    opened = hostile.client.opened(published.id)
    hostile.middle.tamper = changing("/ack", lambda members: members.update(receipt=opened.receipt.decode()))

    with pytest.raises(BadReceipt, match=r"bulletin\.opened"):
        hostile.client.acknowledge(published.id)


# --- readers ---


@pytest.fixture
def has_readers(hostile: Hostile, draft: Draw) -> str:
    """A bulletin of the hostile client's party that my-police has acknowledged and th-cert not touched."""
    published = hostile.client.publish(draft("mine", release_to=[ISSUER, "th-cert"]))
    reader = hostile.hub.client(ISSUER)
    reader.fetch(published.id)
    reader.opened(published.id)
    reader.acknowledge(published.id)
    found: str = published.id
    return found


@both_ways
def test_readers(hostile: Hostile, has_readers: str) -> None:
    """The originator's client shows how far each recipient got."""
    found = {reader.agency: reader for reader in hostile.client.readers(has_readers)}

    assert ("acknowledged", "released") == (found[ISSUER].progress, found["th-cert"].progress)
    assert ("fetch",) == found[ISSUER].ways


def test_readers_without_kept_receipt(hostile: Hostile, has_readers: str) -> None:
    """Another desk, which did not send the bulletin, asks for the receipt and checks the same."""
    found = hostile.hub.client(READER).readers(has_readers)

    assert {ISSUER, "th-cert"} == {reader.agency for reader in found}


def test_readers_of_everyone(hostile: Hostile, draft: Draw) -> None:
    """A bulletin to everyone shows every partner that may read it."""
    published = hostile.client.publish(draft("all", tlp="GREEN", release_to=["asean-all"]))

    found = hostile.client.readers(published.id)

    assert hostile.client.directory.partners.keys() - {READER} == {reader.agency for reader in found}


def at(agency: str, change: Change) -> Change:
    """Change the row of one reader."""

    def tamper(members: dict[str, Any]) -> None:
        change(next(row for row in members["readers"] if row["agency"] == agency))

    return tamper


def swap_lines(row: dict[str, Any]) -> None:
    """Show the line that says opened as the one that says acknowledged."""
    row["acknowledged"]["line"] = row["opened"]["line"]


LIES: dict[str, Change] = {
    "another reader's word": lambda members: members["readers"][1].update(opened=members["readers"][0]["opened"]),
    "a lesser word": at(ISSUER, swap_lines),
    "no word at all": at(ISSUER, lambda row: row["opened"].pop("line")),
    "a broken word": at(ISSUER, lambda row: row["opened"].update(line=row["opened"]["line"][:-4] + "AAAA")),
    "before the key": at(ISSUER, lambda row: row["opened"].update(seq=0)),
    "no time": at(ISSUER, lambda row: row["sent"].pop("time")),
    "no index": at(ISSUER, lambda row: row["sent"].update(seq="1")),
    "withheld after all": at("th-cert", lambda row: row.update(state="not-entitled")),
    "withheld and sent": at(ISSUER, lambda row: row.update(state="suspended")),
    "left out": lambda members: members["readers"].pop(),
    "twice": lambda members: members["readers"].append(members["readers"][1]),
    "an outsider": at("th-cert", lambda row: row.update(agency="vn-police")),
    "another bulletin": lambda members: members.update(id="A" * 43),
    "another place": lambda members: members.update(seq=1),
    "no list": lambda members: members.update(readers={}),
    "no rows": lambda members: members.update(readers=["x"]),
}


@pytest.mark.parametrize("lie", LIES)
def test_lies_about_readers(hostile: Hostile, has_readers: str, lie: str) -> None:
    """What a hub invents about readers, or leaves out of what the log and their signatures say, is not shown."""
    hostile.middle.tamper = changing("/readers", LIES[lie])

    with pytest.raises(Unverified):
        hostile.client.readers(has_readers)


def test_word_on_another_bulletin(hostile: Hostile, has_readers: str, draft: Draw) -> None:
    """A reader's word on one bulletin is not shown as its word on another."""
    other = hostile.client.publish(draft("other", release_to=[ISSUER]))
    rows = hostile.hub.get(f"/v1/bulletins/{has_readers}/readers", READER).json()["readers"]
    stolen = next(row for row in rows if row["agency"] == ISSUER)["opened"]
    hostile.middle.tamper = changing("/readers", at(ISSUER, lambda row: row.update(opened=stolen)))

    with pytest.raises(Unverified, match="did not sign"):
        hostile.client.readers(other.id)


# --- purpose ---


@both_ways
def test_purpose(hostile: Hostile, draft: Draw) -> None:
    """Person data is fetched by a client that says why; the client without a reason stays as it was."""
    published = publish(hostile, draft, "p", payload=PERSON)
    with pytest.raises(PurposeNeeded):
        hostile.client.fetch(published.id)
    inner = getattr(hostile.client, "_client", hostile.client)
    header = parse(inner.with_purpose("investigation", "SIM-1", officer="desk/a").token().encode(), TOKEN).header

    assert ("investigation", "SIM-1", "desk/a") == (header.purpose, header.case_ref, header.sub)
    assert parse(hostile.client.token().encode(), TOKEN).header.purpose is None


def test_purpose_opens(hostile: Hostile, draft: Draw) -> None:
    """With a reason the bulletin is given, and the acknowledgement names the officer."""
    published = publish(hostile, draft, "p", payload=PERSON)
    client = hostile.client.with_purpose("investigation", "SIM-1", officer="desk/a")

    found = client.fetch(published.id)
    client.opened(published.id)

    [reader] = hostile.hub.client(ISSUER).readers(published.id)
    line = reader.steps["opened"].line
    assert line is not None
    assert (published.id, "desk/a") == (found.id, line.header.sub)
