"""What a client believes of withdrawals and purges, against a real hub and a middle that lies for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from broker import retention
from broker.batch import Batch
from broker.intake import PART
from broker.store import lines
from broker.store.endings import Ended
from lintas import purge, sync, withdrawal
from lintas.draft import Draft
from lintas.errors import InconsistentLog, NoLongerValid, Purged, Recalled, Superseded, Unverified, Withheld
from lintas.event import Event
from lintas.feed import Received
from lintas.session import Session
from lintas.state import State, Withdrawal
from lintas.wire import Published
from tests.conftest import ExerciseHub

if TYPE_CHECKING:
    from lintas.client import Client
    from tests.lintas.conftest import Hostile

ISSUER, READER, OTHER = "my-police", "sg-fiu", "id-police"
DAY_S = 86_400
WAIT_S = 30
Draw = Callable[..., Draft]
INDICATOR = {"type": "domain", "value": "lotus-loan.example", "role": "phishing"}


def publish(hub: ExerciseHub, draft: Draw, title: str, issuer: str = ISSUER, **other: Any) -> Published:
    """Publish an alert to sg-fiu."""
    return hub.client(issuer).publish(draft(title, **other))


def recall(hub: ExerciseHub, draft: Draw, target: str, **other: Any) -> Published:
    """Recall a bulletin, or the indicators named."""
    payload: dict[str, Any] = {"title": "recall", "summary": "Wrong.", "reason": "false-positive"}
    if "indicators" in other:
        payload["indicators"] = other.pop("indicators")
    return publish(hub, draft, "", kind="recall", refs=[f"recalls:{target}"], payload=payload, **other)


def supersede(hub: ExerciseHub, draft: Draw, target: str, **other: Any) -> Published:
    """Replace a bulletin."""
    return publish(hub, draft, "newer", refs=[f"supersedes:{target}"], **other)


def follow(client: Any) -> list[Received]:
    """Take over what is new."""
    return list(client.follow(once=True))


def states(client: Any) -> dict[str, tuple[str | None, tuple[str, ...]]]:
    """Return state and marks of everything new."""
    return {each.id: (each.state, each.marks) for each in follow(client)}


def let_purge(hub: ExerciseHub, days: int = 65) -> None:
    """Let days go by, then let the hub purge."""
    hub.clock.advance(days * DAY_S)
    for _ in range(6):
        hub.clock.advance(2)
        hub.hub.writer.submit(lambda batch: batch.next_seq).result(WAIT_S)


def purge_now(hub: ExerciseHub, line_id: str, by: str | None = None) -> None:
    """Purge a bulletin as a hub would that has no right to."""

    def job(batch: Batch) -> None:
        row = lines.by_id(batch.conn, line_id)
        assert row is not None
        retention._purge(batch, [Ended(row.seq, row.id, row.iss, row.exp or 0, by)])

    hub.hub.writer.submit(job).result(WAIT_S)


def fresh(hub: ExerciseHub, party: str = READER) -> Client:
    """Return a client of the party that remembers nothing."""
    client = hub.client(party)
    identity = client.session.identity
    return type(client)(identity, State(":memory:", log_key=identity.hub.log_key), clock=hub.clock)


def rows_of(answer: httpx.Response) -> list[dict[str, Any]]:
    """Return the rows of a page."""
    return [json.loads(row) for row in answer.text.splitlines()]


def page(answer: httpx.Response, rows: list[dict[str, Any]]) -> httpx.Response:
    """Return an answer with other rows."""
    headers = {name: value for name, value in answer.headers.items() if name != "content-length"}
    return httpx.Response(200, headers=headers, text="".join(json.dumps(row) + "\n" for row in rows))


def lying(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[..., httpx.Response | None]:
    """Change every row of the feed."""

    def tamper(request: httpx.Request, answer: httpx.Response) -> httpx.Response | None:
        if request.url.path != "/v1/bulletins":
            return None
        return page(answer, [change(row) for row in rows_of(answer)])

    return tamper


# --- withdrawals ---


def test_recall_is_proven_by_its_page(hostile: Hostile, draft: Draw) -> None:
    """A recalled row is believed when the recall on the same page says so; nothing else is asked."""
    made = publish(hostile.hub, draft, "first")
    recall(hostile.hub, draft, made.id)

    found = states(hostile.client)

    assert ("recalled", ()) == found[made.id]
    assert not [asked for asked, _ in hostile.middle.requests if asked.startswith("GET /v1/bulletins/")]


def test_recall_is_fetched_when_it_comes_later(hostile: Hostile, draft: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recalled row on an earlier page than its recall is believed once the recall was fetched."""
    monkeypatch.setattr("lintas.pages.PAGE_LIMIT", 1)
    made = publish(hostile.hub, draft, "first")
    by = recall(hostile.hub, draft, made.id)

    found = states(hostile.client)

    assert ("recalled", ()) == found[made.id]
    assert [f"GET /v1/bulletins/{by.id}"] == [
        asked for asked, _ in hostile.middle.requests if asked.startswith("GET /v1/bulletins/")
    ]


@pytest.mark.parametrize("state", ["recalled", "superseded"])
def test_withdrawn_by_another_line(hostile: Hostile, draft: Draw, state: str) -> None:
    """A living bulletin that the hub calls withdrawn by some other line of the same issuer is an alarm."""
    made, other = publish(hostile.hub, draft, "first"), publish(hostile.hub, draft, "second")

    def change(row: dict[str, Any]) -> dict[str, Any]:
        is_it = row["seq"] == made.seq
        return {"seq": row["seq"], "id": made.id, "state": state, "by": other.id} if is_it else row

    hostile.middle.tamper = lying(change)

    with pytest.raises(Unverified, match=f"does not say that {made.id} was {state}"):
        follow(hostile.client)


def test_withdrawn_by_another_agency(exercise_hub: ExerciseHub) -> None:
    """What another agency says of a bulletin withdraws nothing, once its issuer is known."""
    state = exercise_hub.client(READER).session.state
    mine, theirs = "A" * 43, "B" * 43
    state.add_signed(mine, ISSUER, [])
    state.add_signed(theirs, OTHER, [Withdrawal(mine, theirs, "recalls", OTHER)])

    assert not withdrawal.is_proven(exercise_hub.client(READER).session, mine, theirs, "recalls")


def test_known_recall_that_the_hub_hides(hostile: Hostile, draft: Draw) -> None:
    """A bulletin whose recall we hold is not shown as standing, whatever the hub says."""
    made = publish(hostile.hub, draft, "first")
    line = hostile.client.fetch(made.id).line
    by = recall(hostile.hub, draft, made.id)

    def change(row: dict[str, Any]) -> dict[str, Any]:
        return {"seq": row["seq"], "line": line.raw.decode()} if row["seq"] == made.seq else row

    hostile.middle.tamper = lying(change)
    found = {each.id: each for each in follow(hostile.client)}

    assert ("recalled", by.id, None) == (found[made.id].state, found[made.id].by, found[made.id].line)


def test_fetch_of_what_we_know_is_recalled(hostile: Hostile, draft: Draw) -> None:
    """A single bulletin whose recall we hold is not given either."""
    made = publish(hostile.hub, draft, "first")
    line = hostile.client.fetch(made.id).line
    recall(hostile.hub, draft, made.id)
    follow(hostile.client)

    def tamper(request: httpx.Request, _answer: httpx.Response) -> httpx.Response | None:
        if request.url.path != f"/v1/bulletins/{made.id}":
            return None
        return httpx.Response(200, headers={"Lintas-Seq": str(made.seq)}, content=line.raw)

    hostile.middle.tamper = tamper

    with pytest.raises(Recalled):
        hostile.client.fetch(made.id)


def test_part_recalled(hostile: Hostile, draft: Draw) -> None:
    """The mark of a partial recall is proven by the recall, and added when the hub leaves it out."""
    payload = {"title": "first", "summary": "Fictional.", "indicators": [INDICATOR]}
    made = publish(hostile.hub, draft, "", payload=payload)
    by = recall(hostile.hub, draft, made.id, indicators=[INDICATOR])
    fetched = hostile.client.fetch(made.id)
    hostile.middle.tamper = lying(lambda row: {name: row[name] for name in ("seq", "line")})

    found = {each.id: each for each in follow(hostile.client)}

    assert (("recalled-in-part",), (by.id,)) == (fetched.marks, fetched.recalled_by)
    assert (("recalled-in-part",), (by.id,)) == (found[made.id].marks, found[made.id].recalled_by)


def test_superseded_when_asked(hostile: Hostile, draft: Draw) -> None:
    """A replaced bulletin is given to who asks for it, with its mark and successor; else the error names it."""
    made = publish(hostile.hub, draft, "first")
    by = supersede(hostile.hub, draft, made.id)

    found = hostile.client.fetch(made.id, superseded=True)

    assert (("superseded",), by.id, "first") == (found.marks, found.by, found.content.title)
    with pytest.raises(Superseded):
        hostile.client.fetch(made.id)


def test_issuer_asks_for_its_superseded(hostile: Hostile, draft: Draw) -> None:
    """The issuer gets what it replaced, too."""
    made = publish(hostile.hub, draft, "first")
    supersede(hostile.hub, draft, made.id)

    assert ("superseded",) == hostile.hub.client(ISSUER).fetch(made.id, superseded=True).marks


def test_recalled_is_not_given_when_asked_for_the_superseded(hostile: Hostile, draft: Draw) -> None:
    """Recalled, expired or purged content is given to nobody, however it is asked for."""
    made, old = publish(hostile.hub, draft, "first"), publish(hostile.hub, draft, "old", valid_for="P1D")
    supersede(hostile.hub, draft, made.id)
    recall(hostile.hub, draft, made.id)
    supersede(hostile.hub, draft, old.id)
    with pytest.raises(Recalled):
        hostile.client.fetch(made.id, superseded=True)
    hostile.hub.clock.advance(2 * DAY_S)
    with pytest.raises(NoLongerValid):
        hostile.client.fetch(old.id, superseded=True)
    let_purge(hostile.hub)

    with pytest.raises(Purged):
        hostile.client.fetch(old.id, superseded=True)


@pytest.mark.parametrize("end", ["recalled", "expired"])
def test_successor_that_is_gone(hostile: Hostile, draft: Draw, end: str) -> None:
    """A bulletin whose successor is gone itself, with good reason, is marked: nothing can prove it any more."""
    made = publish(hostile.hub, draft, "first")
    by = supersede(hostile.hub, draft, made.id, valid_for="P1D")
    if end == "recalled":
        recall(hostile.hub, draft, by.id)
    else:
        hostile.hub.clock.advance(2 * DAY_S)

    found = states(hostile.client)

    assert ("superseded", ("unproven",)) == found[made.id]
    assert end == found[by.id][0]


def test_chain_of_successors(hostile: Hostile, draft: Draw) -> None:
    """A bulletin whose successor was replaced in turn is proven: the successor is still given to who asks."""
    made = publish(hostile.hub, draft, "first")
    second = supersede(hostile.hub, draft, made.id)
    supersede(hostile.hub, draft, second.id)

    found = states(hostile.client)

    assert [("superseded", ()), ("superseded", ())] == [found[made.id], found[second.id]]


def test_successor_that_the_hub_denies(hostile: Hostile, draft: Draw) -> None:
    """A successor that the hub denies without reason proves nothing, and the row is an alarm."""
    made = publish(hostile.hub, draft, "first")
    by = supersede(hostile.hub, draft, made.id)
    supersede(hostile.hub, draft, by.id)

    def tamper(request: httpx.Request, _answer: httpx.Response) -> httpx.Response | None:
        if request.url.path != f"/v1/bulletins/{by.id}":
            return None
        return httpx.Response(410, json={"type": "tag:lintas.example,2026:no-longer-valid"})

    hostile.middle.tamper = tamper

    with pytest.raises(Unverified, match="said to be over"):
        follow(hostile.client)


def test_recall_outlives_its_own_end(hostile: Hostile, draft: Draw) -> None:
    """A recall that was signed for a day is given for as long as what it recalled would have stood."""
    made = publish(hostile.hub, draft, "first", valid_for="P90D")
    by = recall(hostile.hub, draft, made.id, valid_for="P1D")
    hostile.hub.clock.advance(45 * DAY_S)

    found = states(hostile.client)

    assert [("recalled", ()), (None, ())] == [found[made.id], found[by.id]]
    assert by.id == hostile.client.fetch(by.id).id


@pytest.mark.parametrize("act", ["grant", "suspend"])
def test_recall_reaches_its_holder(hostile: Hostile, draft: Draw, act: str) -> None:
    """A recall reaches who holds the original, whatever became of its grants or standing since."""
    made = publish(hostile.hub, draft, "first", valid_for="P90D")
    follow(hostile.client)
    by = recall(hostile.hub, draft, made.id, topic="cyber.scam")
    if act == "grant":
        hostile.hub.order("grant", agency=READER, publish=[], read=[])
    else:
        hostile.hub.order("suspend", agency=READER, reason="test")

    found = follow(hostile.client)

    assert [(by.id, None)] == [(each.id, each.state) for each in found]
    assert by.id == hostile.client.fetch(by.id).id


def test_successor_reaches_its_holder(hostile: Hostile, draft: Draw) -> None:
    """A successor that says no more reaches who holds the original, whatever became of its grants since."""
    made = publish(hostile.hub, draft, "first")
    follow(hostile.client)
    hostile.hub.order("grant", agency=READER, publish=[], read=[])
    by = supersede(hostile.hub, draft, made.id)

    assert [(by.id, None)] == [(each.id, each.state) for each in follow(hostile.client)]


# --- purges ---


def test_purged_after_it_was_seen(hostile: Hostile, draft: Draw) -> None:
    """Who follows on goes on after a purge of what it had."""
    made = publish(hostile.hub, draft, "first")
    follow(hostile.client)
    let_purge(hostile.hub)

    synced = hostile.client.sync()

    assert synced.alarms == []
    assert {made.id} == hostile.state.purged([made.id])


def test_purged_before_it_was_seen(hostile: Hostile, draft: Draw) -> None:
    """Who was away meanwhile finds the place of what was purged, and nothing counts as withheld."""
    made = publish(hostile.hub, draft, "first")
    let_purge(hostile.hub)

    assert {made.id: ("purged", ())} == states(hostile.client)


def test_fresh_client_after_a_purge(exercise_hub: ExerciseHub, draft: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that begins anew takes over a log with holes, page by page, with those to everyone."""
    first = publish(exercise_hub, draft, "first")
    second = publish(exercise_hub, draft, "second", tlp="GREEN", release_to=["asean-all"])
    let_purge(exercise_hub)
    monkeypatch.setattr("lintas.sync.EVENT_ROWS_MAX", 9)
    client = fresh(exercise_hub)

    found = states(client)
    client.close()

    assert {first.id: ("purged", ()), second.id: ("purged", ())} == found


def test_issuer_after_a_purge(exercise_hub: ExerciseHub, draft: Draw) -> None:
    """The issuer, with its memory or without, takes over the purge of its own."""
    publish(exercise_hub, draft, "first", tlp="GREEN", release_to=["asean-all"])
    let_purge(exercise_hub)
    client = fresh(exercise_hub, ISSUER)

    alarms = [exercise_hub.client(ISSUER).sync().alarms, client.sync().alarms]
    client.close()

    assert [[], []] == alarms


def test_administrator_after_a_purge(exercise_hub: ExerciseHub, draft: Draw) -> None:
    """An administrator, who reads no bulletins, takes over the purge of what everyone had."""
    made = publish(exercise_hub, draft, "first", tlp="GREEN", release_to=["asean-all"], valid_for="P365D")
    recall(exercise_hub, draft, made.id, tlp="GREEN", release_to=["asean-all"])
    let_purge(exercise_hub)

    assert [] == exercise_hub.client("admin/auditor").sync().alarms


@pytest.mark.parametrize("is_fresh", [False, True])
def test_recalled_and_purged_early(hostile: Hostile, draft: Draw, *, is_fresh: bool) -> None:
    """What was purged before its end is believed with the recall that ended it, which the hub still gives."""
    made = publish(hostile.hub, draft, "first", valid_for="P365D")
    by = recall(hostile.hub, draft, made.id, valid_for="P1D")
    let_purge(hostile.hub)
    client = fresh(hostile.hub)

    found = states(client if is_fresh else hostile.client)
    client.close()

    assert {made.id: ("recalled", ()), by.id: (None, ())} == found


@pytest.mark.parametrize("party", [READER, ISSUER])
def test_living_bulletin_purged(hostile: Hostile, draft: Draw, party: str) -> None:
    """A hub that purges what stands is caught by who knows when it ends: the reader, and the issuer itself."""
    made = publish(hostile.hub, draft, "first")
    for known in (READER, ISSUER):
        hostile.hub.client(known).sync()
    hostile.hub.clock.advance(2 * DAY_S)
    purge_now(hostile.hub, made.id)

    with pytest.raises(InconsistentLog, match="was purged while it stands"):
        hostile.hub.client(party).sync()


def test_living_bulletin_purged_as_recalled(hostile: Hostile, draft: Draw) -> None:
    """Naming some other line as its recall helps the hub nothing."""
    made, other = publish(hostile.hub, draft, "first"), publish(hostile.hub, draft, "second")
    hostile.client.sync()
    hostile.hub.clock.advance(2 * DAY_S)
    purge_now(hostile.hub, made.id, by=other.id)

    for _ in range(2):
        with pytest.raises(InconsistentLog, match="does not recall it"):
            hostile.client.sync()


def test_release_hidden_by_a_purge(hostile: Hostile, draft: Draw) -> None:
    """A hub cannot hide a release by purging it at once: nothing loses its body within a day."""
    hostile.client.sync()
    made = publish(hostile.hub, draft, "first")
    purge_now(hostile.hub, made.id)
    before = sync.place(hostile.client.session)

    with pytest.raises(InconsistentLog, match="lost its body within a day"):
        hostile.client.sync()

    assert before == sync.place(hostile.client.session)


def test_release_hidden_by_a_slow_purge(hostile: Hostile, draft: Draw) -> None:
    """Nor by dating the purge later: our own clock says when we looked last, and what time it is."""
    hostile.client.sync()
    made = publish(hostile.hub, draft, "first")
    session = hostile.client.session
    now = session.now()
    session.clock = lambda: now * 1_000_000
    hostile.hub.clock.advance(3 * DAY_S)
    purge_now(hostile.hub, made.id)
    hostile.hub.clock.advance(-3 * DAY_S)

    with pytest.raises(InconsistentLog, match="dated in the future"):
        hostile.client.sync()


def emptied(hostile: Hostile, kind: str) -> None:
    """Take the body of the newest event of this kind away, without a purge."""
    with hostile.hub.hub.store.write() as conn:
        conn.exec_driver_sql(
            f"UPDATE event SET body = NULL WHERE seq = (SELECT max(seq) FROM event WHERE kind = '{kind}')"
        )


def test_hole_without_a_purge(hostile: Hostile, draft: Draw) -> None:
    """A body that is gone though no purge names it is an alarm, now and at every later look."""
    publish(hostile.hub, draft, "first")
    emptied(hostile, "bulletin.released")

    for _ in range(2):
        with pytest.raises(InconsistentLog, match="no purge names it"):
            hostile.client.sync()


def test_purge_that_names_another_entry(hostile: Hostile, draft: Draw) -> None:
    """A purge that names a number with another entry does not explain the hole."""
    made = publish(hostile.hub, draft, "first")
    hostile.hub.clock.advance(2 * DAY_S)
    emptied(hostile, "bulletin.released")

    def job(batch: Batch) -> None:
        number = batch.party_seq(READER)
        (detail,) = purge.details([made.id], [None], [(number, bytes(32))])
        batch.append(purge.KIND, READER, detail=detail)

    hostile.hub.hub.writer.submit(job).result(WAIT_S)

    with pytest.raises(InconsistentLog, match="another event"):
        hostile.client.sync()


def test_purge_of_a_key_event(hostile: Hostile) -> None:
    """A purge that names an event of keys, grants or purges is an alarm."""

    def job(batch: Batch) -> None:
        (detail,) = purge.details([], [], [(1, bytes(32))])
        batch.append(purge.KIND, "*", detail=detail)

    hostile.hub.hub.writer.submit(job).result(WAIT_S)

    with pytest.raises(InconsistentLog, match="never purged"):
        hostile.client.sync()


def test_hole_of_a_control_event(exercise_hub: ExerciseHub) -> None:
    """A fresh reader is not told a directory with a hole in it."""
    client = fresh(exercise_hub)
    with exercise_hub.hub.store.write() as conn:
        conn.exec_driver_sql("UPDATE event SET body = NULL WHERE seq = 5")

    with pytest.raises(InconsistentLog):
        client.sync()
    client.close()


ODD = {
    "nothing": {},
    "ids a text": {"ids": "x", "by": [None], "emptied": []},
    "id malformed": {"ids": ["x"], "by": [None], "emptied": []},
    "by missing": {"ids": ["A" * 43], "by": [], "emptied": []},
    "by malformed": {"ids": ["A" * 43], "by": ["x"], "emptied": []},
    "number a text": {"ids": [], "by": [], "emptied": [["1", "A" * 43 + "="]]},
    "number true": {"ids": [], "by": [], "emptied": [[True, "A" * 43 + "="]]},
    "entry short": {"ids": [], "by": [], "emptied": [[1, "AAAA"]]},
    "entry a number": {"ids": [], "by": [], "emptied": [[1, 7]]},
    "pair of three": {"ids": [], "by": [], "emptied": [[1, "A" * 43 + "=", 1]]},
    "emptied a number": {"ids": [], "by": [], "emptied": 7},
}


@pytest.mark.parametrize("detail", ODD.values(), ids=ODD)
def test_purge_that_says_nothing(detail: dict[str, Any]) -> None:
    """A purge event that does not say what it purged is refused as evidence."""
    with pytest.raises(Exception, match="does not say what was purged"):
        purge.read(Event(purge.KIND, 1, READER, 1, None, detail))


def test_purged_without_its_row(hostile: Hostile, draft: Draw) -> None:
    """A bulletin whose purge the log shows does not count as withheld when its row is missing."""
    publish(hostile.hub, draft, "first")
    let_purge(hostile.hub)
    hostile.middle.tamper = lambda request, answer: page(answer, []) if request.url.path == "/v1/bulletins" else None
    hostile.client.sync()

    assert [] == follow(hostile.client)


def test_withheld_is_still_told(hostile: Hostile, draft: Draw) -> None:
    """A living bulletin that is not delivered is withheld as ever."""
    publish(hostile.hub, draft, "first")
    hostile.middle.tamper = lambda request, answer: page(answer, []) if request.url.path == "/v1/bulletins" else None
    hostile.client.sync()

    with pytest.raises(Withheld):
        follow(hostile.client)


def test_relations_are_those_of_the_hub() -> None:
    """Client and hub mean the same by a recall of a part."""
    assert PART == withdrawal.PART


def test_memory_keeps_holes(exercise_hub: ExerciseHub) -> None:
    """Holes not yet named by a purge outlive the session that met them."""
    session: Session = exercise_hub.client(READER).session
    session.state.add_hole(READER, 10**6, bytes(32), since=5)

    again = Session(session.identity, session.state, session.clock)

    assert (1, (bytes(32), 5), 0) == (again.state.holes(), again.state.take_hole(READER, 10**6), again.state.holes())
