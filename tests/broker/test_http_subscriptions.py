"""Durable subscriptions over HTTP: filters, cursors that only their agency moves, what is recorded."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.subscriptions import BODY_BYTES_MAX, COUNT_MAX
from lintas.line import Line
from tests.broker.conftest import AUDITOR, FEW, Desks, problem_of

ISSUER, READER, OTHER, *_ = FEW
EVERYTHING: dict[str, Any] = {"filter": {}}
SCAMS = {"filter": {"topic": ["cyber.scam"]}}


def put(desks: Desks, name: str, body: Any, party: str = READER) -> dict[str, Any]:
    """Make or change a subscription that must be taken."""
    answer = desks.change("PUT", f"/v1/subscriptions/{name}", party, body)
    assert answer.status_code in (200, 201), answer.text
    found: dict[str, Any] = answer.json()
    return found


def move(desks: Desks, name: str, cursor: int, party: str = READER) -> dict[str, Any]:
    """Move a cursor that must move."""
    answer = desks.change("POST", f"/v1/subscriptions/{name}/cursor", party, {"cursor": cursor})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def page(desks: Desks, name: str, query: str = "", party: str = READER) -> tuple[list[str], int]:
    """Return the lines of a page with its cursor."""
    answer = desks.get(f"/v1/subscriptions/{name}/bulletins{query}", party)
    assert answer.status_code == 200, answer.text
    rows = [json.loads(row) for row in answer.text.splitlines()]
    return [row.get("line", row.get("state")) for row in rows], int(answer.headers["lintas-cursor"])


def raws(*lines: Line) -> list[str]:
    """Return lines as rows show them."""
    return [line.raw.decode() for line in lines]


def test_made_from_now_on(desks: Desks) -> None:
    """A subscription begins after the event that made it unless it is told otherwise."""
    desks.publish(ISSUER, [READER])
    made = desks.change("PUT", "/v1/subscriptions/scams", READER, SCAMS)
    later = desks.publish(ISSUER, [READER])

    [event] = desks.events(kind="subscription.created")
    assert (201, "/v1/subscriptions/scams") == (made.status_code, made.headers["location"])
    assert {"name": "scams", "cursor": event.seq, **SCAMS} == made.json() == desks.details(kind=event.kind)[0]
    assert raws(later) == page(desks, "scams")[0]


def test_start(desks: Desks) -> None:
    """A subscription begins at the beginning or after an index when that is asked."""
    first, second = desks.publish(ISSUER, [READER]), desks.publish(ISSUER, [READER])
    [_, accepted] = desks.events(kind="bulletin.accepted")
    put(desks, "all", EVERYTHING | {"start": "beginning"})
    put(desks, "some", EVERYTHING | {"start": accepted.seq})

    assert raws(first, second) == page(desks, "all")[0]
    assert raws(second) == page(desks, "some")[0]


def test_filter(desks: Desks) -> None:
    """Filters of every member hold, values of one as alternatives; a recall comes whatever the filter."""
    scam = desks.publish(ISSUER, [READER])
    drugs = desks.publish(ISSUER, [READER], topic="drugs", urgency="flash", kind="advisory")
    other = desks.publish(OTHER, [READER], tlp="GREEN")
    for name, wanted, expected in (
        ("topic", {"topic": ["cyber"]}, [scam, other]),
        ("kind", {"kind": ["advisory"]}, [drugs]),
        ("issuer", {"from": [OTHER]}, [other]),
        ("country", {"country": [ISSUER[:2]]}, [scam, drugs]),
        ("urgency", {"urgency": ["flash", "urgent"]}, [drugs]),
        ("marking", {"tlp": ["GREEN"], "topic": ["cyber.scam"]}, [other]),
        ("indicator", {"indicator": ["vessel-imo"]}, []),
    ):
        put(desks, name, {"filter": wanted, "start": "beginning"})

        assert raws(*expected) == page(desks, name)[0]

    recall = desks.recall(ISSUER, scam.id, [READER])
    desks.post(recall)
    assert raws(recall) == page(desks, "indicator")[0]


def test_redelivered_until_moved(desks: Desks) -> None:
    """A page comes again until its cursor is moved, however often it was read."""
    line = desks.publish(ISSUER, [READER])
    put(desks, "scams", SCAMS | {"start": "beginning"})

    lines, cursor = page(desks, "scams")
    again, _ = page(desks, "scams")
    move(desks, "scams", cursor)
    rest, _ = page(desks, "scams")

    assert raws(line) == lines == again
    assert [] == rest


def test_received_when_moved(desks: Desks) -> None:
    """Moving a cursor forward records what was received; the same again records nothing."""
    desks.publish(ISSUER, [READER])
    put(desks, "scams", SCAMS | {"start": "beginning"})
    _, cursor = page(desks, "scams")

    moved, again = move(desks, "scams", cursor), move(desks, "scams", cursor)

    assert cursor == moved["cursor"] == again["cursor"]
    assert [{"way": "subscription/scams", "to": cursor, "count": 1}] == desks.details(kind="bulletin.received")
    [sent] = desks.details(kind="bulletin.sent")
    assert "subscription/scams" == sent["way"]


def test_replay(desks: Desks) -> None:
    """Moving a cursor back delivers again, is recorded as a change, and takes no receipt back."""
    line = desks.publish(ISSUER, [READER])
    put(desks, "scams", SCAMS | {"start": "beginning"})
    _, cursor = page(desks, "scams")
    move(desks, "scams", cursor)

    moved = move(desks, "scams", -1)

    assert raws(line) == page(desks, "scams")[0]
    assert [moved] == desks.details(kind="subscription.changed")
    assert 1 == len(desks.events(kind="bulletin.received"))


def test_ahead(desks: Desks) -> None:
    """`after` reads ahead or again without moving the cursor, and says from where."""
    desks.publish(ISSUER, [READER])
    second = desks.publish(ISSUER, [READER])
    put(desks, "scams", SCAMS | {"start": "beginning"})
    full = desks.get("/v1/subscriptions/scams/bulletins?limit=1", READER)

    rest = desks.get(full.links["next"]["url"], READER)

    assert raws(second) == [json.loads(rest.text)["line"]]
    assert ("-1", full.headers["lintas-cursor"]) == (full.headers["lintas-after"], rest.headers["lintas-after"])
    assert -1 == desks.get("/v1/subscriptions/scams", READER).json()["cursor"]


def test_changed_filter(desks: Desks) -> None:
    """A second PUT exchanges the filter and keeps the cursor; the same again is no event."""
    made = put(desks, "mine", SCAMS)
    changed = put(desks, "mine", {"filter": {"kind": ["alert"]}, "start": "beginning"})
    again = put(desks, "mine", {"filter": {"kind": ["alert"]}})

    assert made["cursor"] == changed["cursor"] == again["cursor"]
    assert [changed] == desks.details(kind="subscription.changed")


def test_deleted(desks: Desks) -> None:
    """A deleted subscription is gone, which is recorded; its name is free for another."""
    made = put(desks, "mine", SCAMS)
    gone = desks.change("DELETE", "/v1/subscriptions/mine", READER)

    assert (200, made) == (gone.status_code, gone.json())
    assert [{"name": "mine", "cursor": made["cursor"]}] == desks.details(kind="subscription.deleted")
    assert 404 == desks.get("/v1/subscriptions/mine", READER).status_code
    assert 404 == desks.change("DELETE", "/v1/subscriptions/mine", READER).status_code
    assert made["cursor"] < put(desks, "mine", SCAMS)["cursor"]


def test_built_in(desks: Desks) -> None:
    """The subscription `feed` is always there, gives everything, and can neither be changed nor deleted."""
    line = desks.publish(ISSUER, [READER])
    feed = {"name": "feed", "filter": {}, "cursor": -1}

    assert [feed] == desks.get("/v1/subscriptions", READER).json()["subscriptions"]
    assert raws(line) == page(desks, "feed")[0]
    for method, body in (("PUT", SCAMS), ("DELETE", None)):
        answer = desks.change(method, "/v1/subscriptions/feed", READER, body)
        assert (403, "not-allowed", "name") == problem_of(answer)


def test_built_in_never_moves_back(desks: Desks) -> None:
    """The cursor of `feed` stands where the foremost desk is: another desk behind it changes nothing."""
    desks.publish(ISSUER, [READER])
    cursor = int(desks.get("/v1/bulletins", READER).headers["lintas-cursor"])
    move(desks, "feed", cursor)

    behind = move(desks, "feed", 3)

    assert cursor == behind["cursor"]
    assert [{"way": "feed", "to": cursor, "count": 1}] == desks.details(kind="bulletin.received")
    assert [] == desks.events(kind="subscription.changed")


def test_sent_behind_the_cursor(desks: Desks) -> None:
    """What is sent for the first time behind a cursor is received when that place is confirmed once more."""
    desks.publish(ISSUER, [READER])
    size = desks.get("/readyz").json()["size"]
    move(desks, "feed", size - 1)
    cursor = int(desks.get("/v1/bulletins", READER).headers["lintas-cursor"])
    move(desks, "feed", cursor)
    desks.get("/v1/bulletins", READER)
    move(desks, "feed", cursor)

    received = desks.details(kind="bulletin.received")
    assert [{"way": "feed", "to": cursor, "count": 1}, {"way": "feed", "to": size - 1, "count": 0}] == received


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST"])
def test_needs_scope(desks: Desks, method: str) -> None:
    """A token to read changes no subscription and moves no cursor; one to subscribe may read."""
    put(desks, "mine", SCAMS)
    path = "/v1/subscriptions/mine" + ("/cursor" if method == "POST" else "")

    answer = desks.change(method, path, READER, {"cursor": 0} if method == "POST" else SCAMS, scope="read")

    assert (403, "not-allowed", "scope") == problem_of(answer)
    assert 200 == desks.change("GET", "/v1/subscriptions/mine/bulletins", READER).status_code


def test_of_others(desks: Desks) -> None:
    """Subscriptions of other agencies look like none, and nobody else moves their cursors."""
    made = put(desks, "mine", SCAMS)
    for method, path, body in (
        ("GET", "mine", None),
        ("GET", "mine/bulletins", None),
        ("DELETE", "mine", None),
        ("POST", "mine/cursor", {"cursor": 0}),
    ):
        answer = desks.change(method, f"/v1/subscriptions/{path}", OTHER, body)
        unknown = desks.change(method, f"/v1/subscriptions/{path.replace('mine', 'none')}", OTHER, body)
        assert (404, unknown.content) == (answer.status_code, answer.content)

    assert made == desks.get("/v1/subscriptions/mine", READER).json()
    assert ["feed"] == [each["name"] for each in desks.get("/v1/subscriptions", OTHER).json()["subscriptions"]]


def test_administrators(desks: Desks) -> None:
    """An administrator has no feed and so no subscriptions."""
    assert (403, "not-allowed", "scope") == problem_of(desks.get("/v1/subscriptions", AUDITOR))


@pytest.mark.parametrize("name", ["-a", "A", "a" * 33, "a_b", "ä", "a%0Ab"])
def test_names(desks: Desks, name: str) -> None:
    """A name that is none is refused when a subscription is made."""
    answer = desks.change("PUT", f"/v1/subscriptions/{name}", READER, SCAMS)

    assert (400, "bad-request", "name") == problem_of(answer)


@pytest.mark.parametrize(
    ("body", "member"),
    [
        (b"[]", None),
        (b'{"filter":{},"filter":{}}', None),
        (b"{", None),
        ({}, "filter"),
        ({"filter": []}, "filter"),
        ({"filter": {}, "more": 1}, "more"),
        ({"filter": {"topics": ["cyber"]}}, "filter.topics"),
        ({"filter": {"topic": ["nonsense"]}}, "filter.topic[0]"),
        ({"filter": {"topic": ["cyber", "cyber"]}}, "filter.topic[1]"),
        ({"filter": {"from": [READER]}}, "filter.from"),
        ({"filter": {}, "start": -1}, "start"),
        ({"filter": {}, "start": True}, "start"),
        ({"filter": {}, "start": "then"}, "start"),
    ],
)
def test_malformed_put(desks: Desks, body: Any, member: str | None) -> None:
    """What is no subscription is refused with the member at fault, and nothing is made."""
    answer = desks.change("PUT", "/v1/subscriptions/mine", READER, body)

    assert (400, "bad-request", member) == problem_of(answer)
    assert [] == desks.events(kind="subscription.created")


@pytest.mark.parametrize("cursor", [-2, 2**53 - 1 + 0.5, "1", None, True])
def test_malformed_cursor(desks: Desks, cursor: Any) -> None:
    """A cursor that is no index is refused."""
    body = json.dumps({"cursor": cursor}).encode()

    assert 400 == desks.change("POST", "/v1/subscriptions/feed/cursor", READER, body).status_code


def test_too_large(desks: Desks) -> None:
    """A body beyond the limit is not read."""
    answer = desks.change("PUT", "/v1/subscriptions/mine", READER, b" " * (BODY_BYTES_MAX + 1))

    assert (413, "too-large", None) == problem_of(answer)


def test_beyond_the_log(desks: Desks) -> None:
    """A place that the log has not reached is an error wherever it is named, never an empty page."""
    put(desks, "mine", SCAMS)
    size = desks.get("/readyz").json()["size"]

    for answer, member in (
        (desks.change("POST", "/v1/subscriptions/mine/cursor", READER, {"cursor": size}), "cursor"),
        (desks.change("PUT", "/v1/subscriptions/new", READER, SCAMS | {"start": size}), "start"),
        (desks.get(f"/v1/subscriptions/mine/bulletins?after={size + 1}", READER), "after"),
    ):
        assert (409, "cursor-beyond-log", member) == problem_of(answer)
    assert [] == desks.events(kind="bulletin.received")


WIDENINGS: dict[str, tuple[tuple[str, dict[str, str]], tuple[str, dict[str, str]]]] = {
    "stand": (("suspend", {"agency": READER, "reason": "test"}), ("resume", {"agency": READER})),
    "grant": (("ceiling", {"agency": READER, "tlp": "CLEAR"}), ("ceiling", {"agency": READER, "tlp": "GREEN"})),
}


def test_quota(desks: Desks) -> None:
    """An agency has a limited number of subscriptions; what is there already may still change."""
    for number in range(COUNT_MAX):
        put(desks, f"s{number}", SCAMS)
    answer = desks.change("PUT", "/v1/subscriptions/more", READER, SCAMS)

    assert (429, "quota-exceeded", None) == problem_of(answer)
    assert {"kind": ["alert"]} == put(desks, "s0", {"filter": {"kind": ["alert"]}})["filter"]


def test_suspended(desks: Desks) -> None:
    """A suspended agency makes no subscriptions; recalls still come and are taken over."""
    line = desks.publish(ISSUER, [READER])
    put(desks, "mine", SCAMS | {"start": "beginning"})
    desks.order("suspend", agency=READER, reason="test")
    recall = desks.recall(ISSUER, line.id, [READER])
    desks.post(recall)

    lines, cursor = page(desks, "mine")

    assert raws(recall) == lines
    assert cursor == move(desks, "mine", cursor)["cursor"]
    answer = desks.change("PUT", "/v1/subscriptions/new", READER, SCAMS)
    assert (403, "partner-suspended", None) == problem_of(answer)


@pytest.mark.parametrize("cause", ["stand", "grant"])
def test_goes_back_for_what_opens(desks: Desks, cause: str) -> None:
    """A cursor that passed what its agency could not read goes back for it, and the log says so; then it comes once."""
    put(desks, "mine", SCAMS)
    close, open_ = WIDENINGS[cause]
    desks.order(close[0], **close[1])
    missed = desks.publish(ISSUER, ["*"], tlp="GREEN")
    clear = desks.publish(ISSUER, ["*"], tlp="CLEAR")
    desks.post(desks.recall(ISSUER, clear.id, ["*"], tlp="CLEAR"))
    before, cursor = page(desks, "mine")
    move(desks, "mine", cursor)
    desks.order(open_[0], **open_[1])
    after, cursor = page(desks, "mine")

    assert missed.raw.decode() not in before
    assert missed.raw.decode() in after
    assert ["mine"] == [each["name"] for each in desks.details(kind="subscription.changed")]
    move(desks, "mine", cursor)
    # Orders of one second that say the same are one line.
    desks.clock.advance(2)
    assert 201 == desks.order("suspend", agency=READER, reason="test").status_code
    assert 201 == desks.order("resume", agency=READER).status_code
    assert [] == page(desks, "mine")[0]


def test_does_not_go_back(desks: Desks) -> None:
    """A cursor stays for what it had, what came before the subscription, what its filter leaves out, what ended."""
    desks.order("ceiling", agency=READER, tlp="CLEAR")
    desks.publish(ISSUER, ["*"], tlp="GREEN")
    put(desks, "mine", {"filter": {"topic": ["cyber.scam"]}})
    desks.publish(ISSUER, ["*"], tlp="GREEN", topic="drugs")
    desks.publish(ISSUER, ["*"], tlp="GREEN", exp=desks.hub.now() + 60)
    withdrawn = desks.publish(ISSUER, ["*"], tlp="GREEN")
    desks.post(desks.recall(ISSUER, withdrawn.id, ["*"], tlp="GREEN"))
    desks.publish(ISSUER, ["*"], tlp="CLEAR")
    move(desks, "mine", page(desks, "mine")[1])
    desks.clock.advance(120)
    desks.order("ceiling", agency=READER, tlp="GREEN")

    assert [] == desks.events(kind="subscription.changed")


def test_revoked_between(desks: Desks) -> None:
    """A cursor is not moved for a key that is revoked between the request and the commit."""
    kid = desks.session(READER).identity.key.kid
    put(desks, "mine", SCAMS)
    desks.order("revoke", agency=READER, kid=kid, reason="unspecified", since=desks.hub.now())

    answer = desks.change("POST", "/v1/subscriptions/mine/cursor", READER, {"cursor": 0})

    assert 401 == answer.status_code


@settings(max_examples=8)
@given(
    st.lists(st.tuples(st.sampled_from(["publish", "read", "move", "skip", "again"]), st.integers(1, 3)), max_size=12)
)
def test_nothing_is_missing(shared: Desks, steps: list[tuple[str, int]]) -> None:
    """Whatever the order of publishing, reading, moving and dying: each bulletin comes until it is acknowledged."""
    name = f"p{shared.get('/readyz').json()['size']}"
    party = "la-police"
    put(shared, name, SCAMS, party)
    waiting: list[str] = []
    taken, last = [], None
    for step, limit in steps:
        if step == "publish":
            waiting += raws(shared.publish(ISSUER, [party]))
        elif step == "read":
            last = page(shared, name, f"?limit={limit}", party)
            assert waiting[:limit] == last[0]
        elif step == "move" and last is not None:
            move(shared, name, last[1], party)
            taken += last[0]
            waiting, last = waiting[len(last[0]) :], None
        elif step == "skip":
            # The reader was killed: what it read and did not confirm is as if it had not been read.
            last = None
        elif step == "again" and last is not None:
            assert last[0] == page(shared, name, f"?limit={limit}", party)[0][: len(last[0])] or limit < len(last[0])

    assert waiting == page(shared, name, "", party)[0]
    assert len({*taken}) == len(taken)
