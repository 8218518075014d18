"""Threads, what is due: what each party sees, what it never sees."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import event

from broker import threads
from broker.auth import Caller
from broker.delivery import Window, submit_as
from broker.due import due_of
from broker.store import exchange as store
from broker.store import tables
from broker.threads import read_thread
from broker.web.bulletins import viewed
from lintas.errors import Unauthorized
from lintas.header import KEY, TOKEN
from lintas.line import Line, line_id
from lintas.strict import canonical
from tests.broker.conftest import PAYLOAD, UNKNOWN_ID, Desks, problem_of

ISSUER, READER, OTHER, OUTSIDER = "my-police", "sg-fiu", "th-cert", "vn-police"
HOUR = 3_600
PURPOSE = {"code": "investigation", "statement": "Fictional."}
CONTENT: dict[str, dict[str, Any]] = {
    "rfi": {"questions": ["Known?"], "purpose": PURPOSE, "case_ref": "SIM-1"},
    "consent-request": {"permission": "evidence", "purpose": PURPOSE, "case_ref": "SIM-1"},
    "answer": {"result": "negative"},
    "consent-answer": {"result": "granted", "requester": "sg-fiu"},
    "feedback": {"result": "useful"},
}


def say(desks: Desks, party: str, kind: str, to: Sequence[str], *refs: str, **changes: Any) -> Line:
    """Publish a bulletin of this kind, with content that fits it."""
    # Two that say the same in one second would be one line.
    content = PAYLOAD | {"references": [secrets.token_hex(8)]} | CONTENT.get(kind, {}) | changes.pop("content", {})
    members = {"kind": kind, "payload": canonical(content)} | ({"refs": sorted(refs)} if refs else {}) | changes
    return desks.publish(party, to, **members)


def thread_of(desks: Desks, party: str, line: Line, query: str = "") -> list[str]:
    """Return the ids that a party sees in a thread, in the order shown."""
    rows = desks.rows(f"/v1/bulletins/{line.id}/thread{query}", party)
    return [row.get("id") or line_id(row["line"].encode()) for row in rows]


@pytest.fixture
def talk(desks: Desks) -> dict[str, Line]:
    """A bulletin of my-police to sg-fiu and th-cert, and what followed; vn-police has none of it."""
    alert = say(desks, ISSUER, "alert", [READER, OTHER])
    rfi = say(desks, OTHER, "rfi", [ISSUER], f"comments:{alert.id}")
    found = {
        "alert": alert,
        "comment": say(desks, READER, "comment", [ISSUER, OTHER], f"comments:{alert.id}"),
        "rfi": rfi,
        "answer": say(desks, ISSUER, "answer", [OTHER], f"answers:{rfi.id}"),
        "endorsement": say(desks, OTHER, "endorsement", [ISSUER, READER], f"endorses:{alert.id}"),
    }
    say(desks, ISSUER, "alert", [READER, OTHER])
    return found


@pytest.mark.parametrize("asked", ["alert", "rfi", "answer", "endorsement"])
def test_thread_from_anywhere(desks: Desks, talk: dict[str, Line], asked: str) -> None:
    """Whichever bulletin of a thread is asked for, the issuer sees all of it in log order, and nothing beside."""
    order = ["alert", "rfi", "comment", "answer", "endorsement"]

    assert [talk[name].id for name in order] == thread_of(desks, ISSUER, talk[asked])


def test_thread_shows_what_one_may_read(desks: Desks, talk: dict[str, Line]) -> None:
    """What was said to others is not there, and no count or cursor tells of it."""
    found = thread_of(desks, READER, talk["alert"])
    page = desks.get(f"/v1/bulletins/{talk['alert'].id}/thread?limit=3", READER)

    assert [talk[name].id for name in ("alert", "comment", "endorsement")] == found
    assert 3 == len(page.text.splitlines())
    assert "Lintas-Thread" not in page.headers


def test_rows_are_the_feed_s(desks: Desks, talk: dict[str, Line]) -> None:
    """A row of a thread is the row of the feed, byte for byte."""
    feed = desks.get("/v1/bulletins", READER).text.splitlines()
    rows = desks.get(f"/v1/bulletins/{talk['alert'].id}/thread", READER).text.splitlines()

    assert ["alert", "endorsement"] == [
        name for name in ("alert", "endorsement") if talk[name].raw.decode() in str(rows)
    ]
    assert [row for row in rows if talk["comment"].raw.decode() not in row] == [row for row in feed if row in rows]


@pytest.mark.parametrize("asked", ["rfi", "answer"])
def test_unreadable_is_unknown(desks: Desks, talk: dict[str, Line], asked: str) -> None:
    """The thread of what one may not read answers exactly like one of nothing."""
    hidden = desks.get(f"/v1/bulletins/{talk[asked].id}/thread", READER)
    unknown = desks.get(f"/v1/bulletins/{UNKNOWN_ID}/thread", READER)
    crooked = desks.get("/v1/bulletins/nothing/thread", READER)

    assert hidden.json() == unknown.json() == crooked.json()
    assert (404, "not-found", None) == problem_of(hidden)


def test_outsider_sees_no_thread(desks: Desks, talk: dict[str, Line]) -> None:
    """One who has nothing of a thread sees nothing of it, whichever bulletin it asks for."""
    found = {desks.get(f"/v1/bulletins/{line.id}/thread", OUTSIDER).status_code for line in talk.values()}

    assert {404} == found


def test_hidden_link_does_not_join(desks: Desks) -> None:
    """Two bulletins that only a hidden third one joins are two threads to whoever may not read that one."""
    first, second = say(desks, ISSUER, "alert", [READER, OTHER]), say(desks, ISSUER, "alert", [READER, OTHER])
    joint = say(desks, OTHER, "comment", [ISSUER], f"comments:{first.id}", f"comments:{second.id}")

    found = [thread_of(desks, party, first) for party in (READER, OTHER)]

    assert [[first.id], [first.id, second.id, joint.id]] == found


def test_withdrawn_keeps_its_place(desks: Desks, talk: dict[str, Line]) -> None:
    """A recalled bulletin stands in its thread as a state, without its bytes."""
    recall = desks.recall(ISSUER, talk["alert"].id, [READER, OTHER])
    assert desks.post(recall).status_code == 201

    rows = desks.rows(f"/v1/bulletins/{talk['comment'].id}/thread", READER)

    assert {"seq": rows[0]["seq"], "id": talk["alert"].id, "state": "recalled", "by": recall.id} == rows[0]
    assert talk["alert"].raw.decode() not in str(rows)
    assert recall.raw.decode() == rows[-1]["line"]


def test_thread_pages(desks: Desks, talk: dict[str, Line]) -> None:
    """A thread comes in pages by `after`, the first with a link to the next; together they are the whole."""
    whole = thread_of(desks, ISSUER, talk["alert"])
    first = desks.get(f"/v1/bulletins/{talk['alert'].id}/thread?limit=2", ISSUER)
    rest = thread_of(desks, ISSUER, talk["alert"], f"?after={first.headers['Lintas-Cursor']}")

    assert (
        f"</v1/bulletins/{talk['alert'].id}/thread?limit=2&after={first.headers['Lintas-Cursor']}>"
        in first.headers["Link"]
    )
    assert whole[2:] == rest


def test_thread_is_bounded(desks: Desks, talk: dict[str, Line], monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that grew beyond all measure shows what is nearest, and says that it is cut."""
    monkeypatch.setattr(threads, "THREAD_MAX", 3)

    answer = desks.get(f"/v1/bulletins/{talk['answer'].id}/thread", ISSUER)

    assert ("cut", 3) == (answer.headers["Lintas-Thread"], len(answer.text.splitlines()))
    assert talk["rfi"].raw.decode() in answer.text


def test_thread_of_exactly_the_limit(desks: Desks, talk: dict[str, Line], monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread of the greatest size is whole."""
    monkeypatch.setattr(threads, "THREAD_MAX", 5)
    monkeypatch.setattr(threads, "LEVEL_MAX", 1)

    answer = desks.get(f"/v1/bulletins/{talk['alert'].id}/thread", ISSUER)

    assert 5 == len(answer.text.splitlines())
    assert "Lintas-Thread" not in answer.headers


def test_thread_is_recorded(desks: Desks, talk: dict[str, Line]) -> None:
    """The record of a thread names each bulletin whose bytes left, and when each was first sent."""
    thread_of(desks, READER, talk["alert"])
    thread_of(desks, READER, talk["alert"])

    found = desks.details(kind="bulletin.sent", party=READER, object=talk["alert"].id)
    ids = [talk[name].id for name in ("alert", "comment", "endorsement")]
    with desks.hub.store.read() as conn:
        sent = conn.execute(tables.delivery.select().order_by(tables.delivery.c.seq)).all()
    first = desks.events(kind="bulletin.sent", party=READER)[-1].seq
    assert [("thread", 3, ids)] * 2 == [(each["way"], each["count"], each["ids"]) for each in found]
    assert [(READER, "thread", first, None)] * 2 == [
        (row.agency, row.way, row.sent_seq, row.received_seq) for row in sent
    ]


def test_narrowed_grant_narrows_the_thread(desks: Desks, talk: dict[str, Line]) -> None:
    """What a grant no longer covers is gone from the thread; one's own words remain."""
    desks.order("grant", agency=READER, publish=["*"], read=["drugs"])

    assert [talk["comment"].id] == thread_of(desks, READER, talk["comment"])
    assert 404 == desks.get(f"/v1/bulletins/{talk['alert'].id}/thread", READER).status_code


@pytest.mark.parametrize("path", ["/v1/due", f"/v1/bulletins/{UNKNOWN_ID}/thread"])
def test_administrators_read_neither(desks: Desks, path: str) -> None:
    """Threads and due lists are the agencies'."""
    assert (403, "not-allowed", "scope") == problem_of(desks.get(path, "admin/registrar"))


@pytest.mark.parametrize("path", ["/v1/due", "/v1/admin/due", f"/v1/bulletins/{UNKNOWN_ID}/thread"])
@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "after=-1", "after=x", "of=my-police", "limit=1&limit=2"])
def test_hostile_parameters(desks: Desks, path: str, query: str) -> None:
    """A parameter beyond its limits, or one that does not exist, is refused."""
    party = "admin/registrar" if "admin" in path else READER

    assert (400, "bad-request") == problem_of(desks.get(f"{path}?{query}", party))[:2]


def due(desks: Desks, party: str, query: str = "") -> dict[str, Any]:
    """Return what is due, as a party sees it."""
    answer = desks.get(f"/v1/due{query}", party)
    assert answer.status_code == 200, answer.text
    members: dict[str, Any] = answer.json()
    return members


def give(desks: Desks, party: str, line: Line) -> None:
    """Let a party read a bulletin, so that its time runs."""
    desks.rows(f"/v1/bulletins/{line.id}/thread", party)


def acknowledge(desks: Desks, party: str, line: Line) -> None:
    """Note that a party acknowledged a bulletin, as its signed acknowledgement would."""
    with desks.hub.store.write() as conn:
        seq = {each.id: each.seq for each in store.standing(conn, store.Standing(("recall",), 0, -1, 99))}[line.id]
        conn.execute(tables.ack.insert().values(seq=seq, agency=party, state="acknowledged", ack_seq=seq))


def test_request_is_due_on_both_sides(desks: Desks) -> None:
    """A request stands on the lists of asker and asked; its time runs from the first sending."""
    rfi = say(desks, ISSUER, "rfi", [READER, OTHER], urgency="urgent")
    give(desks, READER, rfi)

    [asked] = due(desks, READER)["to_answer"]
    [waiting] = due(desks, ISSUER)["waiting_for_answer"]

    [other, reader] = sorted(waiting["agencies"], key=lambda each: str(each["sent"] is not None))
    assert (rfi.id, "rfi", ISSUER, "urgent", False) == tuple(
        asked[name] for name in ("id", "kind", "issuer", "urgency", "overdue")
    )
    assert {"agency": OTHER, "state": "open", "sent": None, "due": None, "overdue": False} == other
    assert (READER, asked["sent"], asked["due"]) == (reader["agency"], reader["sent"], reader["due"])
    assert asked["sent"] < asked["due"]


def test_answer_is_overdue_and_clears(desks: Desks) -> None:
    """When the time is over both sides see it; an answer clears it for the one who gave it."""
    rfi = say(desks, ISSUER, "rfi", [READER, OTHER], urgency="urgent")
    give(desks, READER, rfi)
    give(desks, OTHER, rfi)
    desks.clock.advance(8 * HOUR + 1)
    late = [due(desks, READER)["to_answer"][0]["overdue"], due(desks, ISSUER)["waiting_for_answer"][0]["agencies"]]

    say(desks, READER, "answer", [ISSUER], f"answers:{rfi.id}")

    [waiting] = due(desks, ISSUER)["waiting_for_answer"]
    assert [True, [True, True]] == [late[0], [each["overdue"] for each in late[1]]]
    assert [] == due(desks, READER)["to_answer"]
    assert [("answered", False), ("open", True)] == [(each["state"], each["overdue"]) for each in waiting["agencies"]]
    say(desks, OTHER, "answer", [ISSUER], f"answers:{rfi.id}")
    assert [] == due(desks, ISSUER)["waiting_for_answer"]


def test_stated_time(desks: Desks) -> None:
    """A request that states its time is due then."""
    rfi = say(desks, ISSUER, "rfi", [READER], content={"answer_due": "2031-01-01T00:00:00Z"})
    give(desks, READER, rfi)

    assert "2031-01-01T00:00:00.000000Z" == due(desks, READER)["to_answer"][0]["due"]


def test_consent_request_is_due(desks: Desks) -> None:
    """A request for consent stands on the originator's list until it is answered."""
    alert = say(desks, ISSUER, "alert", [READER, OTHER])
    request = say(desks, READER, "consent-request", [ISSUER], f"comments:{alert.id}")
    before = [each["id"] for each in due(desks, ISSUER)["to_answer"]]

    say(desks, ISSUER, "consent-answer", [READER], f"answers:{request.id}")

    assert [[request.id], []] == [before, due(desks, ISSUER)["to_answer"]]


def test_withdrawn_answer_leaves_it_open(desks: Desks) -> None:
    """A request whose only answer was recalled is open again."""
    rfi = say(desks, ISSUER, "rfi", [READER])
    answer = say(desks, READER, "answer", [ISSUER], f"answers:{rfi.id}")
    assert [] == due(desks, READER)["to_answer"]

    desks.post(desks.recall(READER, answer.id, [ISSUER]))

    assert [rfi.id] == [each["id"] for each in due(desks, READER)["to_answer"]]
    assert "open" == due(desks, ISSUER)["waiting_for_answer"][0]["agencies"][0]["state"]


@pytest.mark.parametrize("relation", ["recalls", "supersedes"])
def test_withdrawn_request_is_not_due(desks: Desks, relation: str) -> None:
    """Nobody owes an answer to what was withdrawn."""
    rfi = say(desks, ISSUER, "rfi", [READER])
    if relation == "recalls":
        desks.post(desks.recall(ISSUER, rfi.id, [READER]))
    else:
        say(desks, ISSUER, "alert", [READER], f"supersedes:{rfi.id}")

    assert ([], []) == (due(desks, READER)["to_answer"], due(desks, ISSUER)["waiting_for_answer"])


def test_expired_request_is_not_due(desks: Desks) -> None:
    """What is no longer valid needs no answer."""
    say(desks, ISSUER, "rfi", [READER])

    desks.clock.advance(8 * 86_400)

    assert ([], []) == (due(desks, READER)["to_answer"], due(desks, ISSUER)["waiting_for_answer"])


def test_recall_is_due_until_acknowledged(desks: Desks) -> None:
    """A recall stands on both lists until it is acknowledged, and is overdue once its time is over."""
    alert = say(desks, ISSUER, "alert", [READER])
    recall = desks.recall(ISSUER, alert.id, [READER], urgency="flash")
    desks.post(recall)
    give(desks, READER, recall)
    desks.clock.advance(HOUR + 1)

    [mine], [theirs] = due(desks, READER)["to_acknowledge"], due(desks, ISSUER)["waiting_for_acknowledgement"]
    acknowledge(desks, READER, recall)

    assert (recall.id, True, True) == (mine["id"], mine["overdue"], theirs["agencies"][0]["overdue"])
    after = due(desks, READER)["to_acknowledge"], due(desks, ISSUER)["waiting_for_acknowledgement"]
    assert ([], []) == after


def test_request_to_everyone(desks: Desks) -> None:
    """A request to every partner is on everyone's list, and whoever asked sees each of them."""
    say(desks, ISSUER, "rfi", ["*"], tlp="GREEN")

    [waiting] = due(desks, ISSUER)["waiting_for_answer"]

    assert sorted({READER, OTHER, OUTSIDER, "tl-customs"}) == [each["agency"] for each in waiting["agencies"]]
    assert 1 == len(due(desks, OUTSIDER)["to_answer"])


def test_request_to_everyone_tells_nobody_s_grants(desks: Desks) -> None:
    """Who may not read a request to every partner is not told to whoever made it."""
    desks.order("grant", agency=OTHER, publish=["*"], read=["drugs"])

    say(desks, ISSUER, "rfi", ["*"], tlp="GREEN")

    assert OTHER not in str(due(desks, ISSUER)["waiting_for_answer"])


def test_barred_agency_owes_nothing(desks: Desks) -> None:
    """One who may no longer read a request owes no answer, and whoever asked sees that it is withheld."""
    say(desks, ISSUER, "rfi", [READER])
    desks.order("grant", agency=READER, publish=["*"], read=["drugs"])

    [waiting] = due(desks, ISSUER)["waiting_for_answer"]

    assert [{"agency": READER, "state": "withheld"}] == waiting["agencies"]
    assert [] == due(desks, READER)["to_answer"]


def test_due_of_others(desks: Desks) -> None:
    """What others owe each other is on nobody else's list."""
    rfi = say(desks, ISSUER, "rfi", [READER])
    alert = say(desks, ISSUER, "alert", [READER])
    desks.post(desks.recall(ISSUER, alert.id, [READER]))

    found = desks.get("/v1/due", OUTSIDER)

    assert rfi.id not in found.text
    assert {"to_acknowledge": [], "to_answer": [], "waiting_for_answer": [], "waiting_for_acknowledgement": []} == {
        name: rows for name, rows in found.json().items() if isinstance(rows, list)
    }


def test_due_pages(desks: Desks) -> None:
    """The four lists share one cursor; page by page nothing is left out and nothing comes twice."""
    expected = {}
    for number in range(3):
        expected[f"to_answer {number}"] = say(desks, OTHER, "rfi", [READER]).id
        expected[f"waiting_for_answer {number}"] = say(desks, READER, "rfi", [OTHER]).id

    found, query = [], "?limit=2"
    while query:
        page = due(desks, READER, query)
        found += [each["id"] for name in ("to_answer", "waiting_for_answer") for each in page[name]]
        query = f"?limit=2&after={page['next']}" if page["next"] is not None else ""

    assert sorted(expected.values()) == sorted(found)


def test_due_is_recorded(desks: Desks) -> None:
    """Looking at what is due is an event of the one who looks."""
    due(desks, READER)

    assert {"view": "due"} == desks.details(kind="view.read", party=READER)[0]


def test_administrators_see_what_is_overdue(desks: Desks) -> None:
    """Administrators see who is late on what since when, and nothing that was said."""
    rfi = say(desks, ISSUER, "rfi", [READER, OTHER], urgency="flash")
    give(desks, READER, rfi)
    early = desks.get("/v1/admin/due", "admin/registrar").json()
    desks.clock.advance(4 * HOUR + 1)

    answer = desks.get("/v1/admin/due", "admin/registrar")

    [row] = answer.json()["overdue"]
    assert {"overdue": [], "next": None} == early
    assert (rfi.id, "rfi", ISSUER, READER) == tuple(row[name] for name in ("id", "kind", "issuer", "agency"))
    assert {"id", "seq", "kind", "issuer", "urgency", "agency", "sent", "due"} == set(row)
    assert {"view": "due", "asked": {}} == desks.details(kind="admin.viewed", party="admin/registrar")[0]
    assert (403, "not-allowed", "scope") == problem_of(desks.get("/v1/admin/due", READER))


def test_admin_pages(desks: Desks) -> None:
    """The administrators' list goes on with `next`, whether or not the page had anything overdue."""
    for _ in range(3):
        say(desks, ISSUER, "rfi", [READER])

    first = desks.get("/v1/admin/due?limit=2", "admin/registrar").json()
    last = desks.get(f"/v1/admin/due?limit=2&after={first['next']}", "admin/registrar").json()

    assert ([], None) == (first["overdue"], last["next"])
    assert first["next"] is not None


def test_revoked_key_sees_nothing(desks: Desks) -> None:
    """A token whose key was revoked opens neither list nor thread."""
    session = desks.session(READER)
    token = session.sign_line(TOKEN, b"", exp=session.now() + 60, scope="read").raw.decode()
    desks.post(session.sign_revocation("keyCompromise", session.now()), KEY)

    found = desks.get("/v1/due", Authorization=f"Bearer {token}")

    assert (401, "unauthorized") == problem_of(found)[:2]


def test_key_revoked_meanwhile(desks: Desks) -> None:
    """Between the look at the list and its record the key may end: then nothing leaves, and no view is recorded."""
    session = desks.session(READER)
    caller = Caller(READER, session.identity.key.kid, "read", session.now() + 60)
    desks.post(session.sign_revocation("keyCompromise", session.now()), KEY)
    before = len(desks.events(kind="view.read", party=READER))

    with pytest.raises(Unauthorized):
        asyncio.run(submit_as(desks.hub, caller, lambda batch: viewed(batch, caller, "due")))

    assert before == len(desks.events(kind="view.read", party=READER))


def test_what_follows_is_found_by_index(desks: Desks, talk: dict[str, Line]) -> None:
    """However long the log is, no table is walked for a thread or for what is due."""
    if desks.hub.store.is_shared:
        pytest.skip("this reads the plans of SQLite")
    asked: list[tuple[str, Any]] = []
    with desks.hub.store.read() as conn:
        event.listen(conn, "before_cursor_execute", lambda *found: asked.append((found[2], found[3])))
        window = Window(-1, 10)
        due_of(conn, desks.hub.directory, OTHER, window=window, now=0)
        read_thread(conn, desks.hub.directory, ISSUER, talk["rfi"].id, window=window, now=0)
        steps = {
            str(row[3])
            for statement, values in tuple(asked)
            for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
        }

    # The newest event of the log is read from its end.
    walked = {"line", "ref", "recipient", "delivery", "ack"}
    assert any("line USING INDEX ix_line_kind_exp" in step for step in steps)
    assert set() == {step for step in steps if step.startswith("SCAN") and step.split()[1] in walked}


def test_consent_changes_no_entitlement(desks: Desks) -> None:
    """A grant is a signed word, not a key: whoever was named in it reads no more than before."""
    alert = say(desks, ISSUER, "alert", [READER])
    wish = {"permission": "pass-on", "pass_to": [OTHER]}
    request = say(desks, READER, "consent-request", [ISSUER], f"comments:{alert.id}", content=wish)
    before = desks.get(f"/v1/bulletins/{alert.id}", OTHER).status_code

    refs = (f"answers:{request.id}", f"comments:{alert.id}")
    say(desks, ISSUER, "consent-answer", [READER], *refs, content=wish | {"requester": READER})

    after = [desks.get(f"/v1/bulletins/{alert.id}{part}", OTHER).status_code for part in ("", "/thread", "/receipt")]
    assert [404, [404, 404, 404]] == [before, after]
    assert [] == desks.rows("/v1/bulletins", OTHER)


@pytest.mark.parametrize(
    ("party", "kind", "to", "relation"),
    [
        (OUTSIDER, "answer", [ISSUER], "answers"),
        (OUTSIDER, "consent-request", [ISSUER], "comments"),
        (OUTSIDER, "feedback", [ISSUER], "comments"),
        (OUTSIDER, "endorsement", [ISSUER], "endorses"),
        (ISSUER, "answer", [READER], "answers"),
        (READER, "consent-answer", [ISSUER], "answers"),
    ],
)
def test_hostile_answers(desks: Desks, party: str, kind: str, to: list[str], relation: str) -> None:
    """To answer what one was not asked looks exactly like answering what does not exist."""
    rfi = say(desks, ISSUER, "rfi", [READER])
    content = canonical(PAYLOAD | CONTENT.get(kind, {}))

    found = [
        desks.post(desks.bulletin(party, to, kind=kind, refs=[f"{relation}:{target}"], payload=content))
        for target in (rfi.id, UNKNOWN_ID)
    ]

    assert (422, "ref-unavailable", "refs") == problem_of(found[0])
    assert found[0].json() == found[1].json()
