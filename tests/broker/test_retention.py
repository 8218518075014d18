"""Purging what ended long ago: what goes, what stays, who is told, and that a batch is whole or not there."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from sqlalchemy import insert, text

from broker import retention
from broker.batch import Batch
from broker.fsck import check_everything
from broker.hub import Hub
from broker.intake import admit_bulletin, open_bulletin
from broker.retention import Retention, Run, step
from broker.store import endings, lines, log, tables
from lintas import purge
from lintas.header import BULLETIN
from lintas.line import Line
from lintas.receipt import check_receipt, parse_receipt
from lintas.strict import canonical
from tests.broker.conftest import PAYLOAD, Desks, problem_of

ISSUER, OTHER, READER, THIRD = "my-police", "th-cert", "sg-fiu", "vn-police"
WAIT_S = 20
DAY_S = 86_400
KIND = "bulletin.purged"
INDICATOR = {"type": "domain", "value": "lotus-loan.example", "role": "phishing"}


def publish(desks: Desks, issuer: str = ISSUER, to: tuple[str, ...] = (READER,), **changes: Any) -> Line:
    """Publish a bulletin that ends in a week, without HTTP."""
    line = desks.bulletin(issuer, to, **changes)
    return _post(desks, line)


def recall(desks: Desks, target: Line, **changes: Any) -> Line:
    """Recall a bulletin from all who have it."""
    return _post(desks, desks.recall(target.header.iss, target.id, target.header.release_to, **changes))


def _post(desks: Desks, line: Line) -> Line:
    submission = open_bulletin(line.raw, desks.hub.directory)
    desks.hub.writer.submit(lambda batch: admit_bulletin(batch, submission), (line.id,)).result(WAIT_S)
    return line


def commit(hub: Hub) -> None:
    """Make the writer commit once."""
    hub.writer.submit(lambda batch: batch.next_seq).result(WAIT_S)


def run(desks: Desks, *, days: int = 40, steps: int = 12) -> None:
    """Let days go by, then enough commits for a whole run."""
    desks.clock.advance(days * DAY_S)
    for _ in range(steps):
        desks.clock.advance(2)
        commit(desks.hub)


def raw_of(desks: Desks, line: Line) -> bytes | None:
    """Return what is stored of a line."""
    with desks.hub.store.read() as conn:
        found = lines.by_id(conn, line.id)
    assert found is not None
    return found.raw


def told(desks: Desks) -> dict[str, list[str]]:
    """Return which ids each party was told of."""
    found: dict[str, list[str]] = {}
    for event in reversed(desks.events(kind=KIND)):
        found.setdefault(event.party, []).extend(json.loads(event.body or b"")["detail"]["ids"])
    return found


def bodies(desks: Desks, *kinds: str) -> list[bool]:
    """Tell of each event of these kinds, oldest first, whether its body is there."""
    with desks.hub.store.read() as conn:
        return [row.body is not None for row in log.events_of_kinds(conn, set(kinds), after=-1)]


def check(desks: Desks) -> None:
    """Check the whole database."""
    check_everything(desks.hub.store, desks.hub.signer.verifier, lambda _done, _all: None)


# --- what goes, what stays ---


def test_purged(inner: Desks) -> None:
    """Long after its end the bytes, the index rows and the bodies of its events are gone; numbers and tree hold."""
    line = publish(inner, payload=canonical(PAYLOAD | {"indicators": [INDICATOR]}))
    size = inner.events()[0].seq + 1
    with inner.hub.store.read() as conn:
        root = log.frontier(conn, size).root()

    run(inner)

    assert raw_of(inner, line) is None
    assert [False, False] == bodies(inner, "bulletin.accepted", "bulletin.released")
    with inner.hub.store.read() as conn:
        assert 0 == conn.scalar(text("SELECT count(*) FROM indicator"))
        assert root == log.frontier(conn, size).root()
    check(inner)


def test_told(inner: Desks) -> None:
    """Issuer and recipients are told, each of its own emptied events by number and entry; others learn nothing."""
    line = publish(inner, to=(READER, THIRD))
    before = {event.party: event for event in inner.events() if event.kind in purge.PURGEABLE}

    run(inner)

    found = {event.party: json.loads(event.body or b"")["detail"] for event in inner.events(kind=KIND)}
    assert {ISSUER, READER, THIRD} == set(found)
    for party, detail in found.items():
        with inner.hub.store.read() as conn:
            (entry,) = log.entries(conn, before[party].seq, before[party].seq + 1)
        emptied = [[before[party].party_seq, base64.b64encode(entry).decode()]]
        assert {"ids": [line.id], "by": [None], "emptied": emptied} == detail


def test_told_of_what_everyone_had(inner: Desks) -> None:
    """Of a bulletin to everyone, every partner is told once."""
    line = publish(inner, to=("*",), tlp="GREEN")

    run(inner)

    assert {ISSUER: [line.id], "*": [line.id]} == told(inner)


def test_not_told_to_those_it_was_withheld_from(desks: Desks) -> None:
    """Who was named but not entitled never had it, and is not told."""
    desks.order("grant", agency=THIRD, publish=["*"], read=["drugs"])
    line = publish(desks, to=(READER, THIRD))

    run(desks)

    assert {ISSUER: [line.id], READER: [line.id]} == told(desks)


@pytest.mark.parametrize(("days", "is_there"), [(36, True), (38, False)])
def test_grace(inner: Desks, days: int, *, is_there: bool) -> None:
    """Content stays for the days set, counted from the end of its validity."""
    line = publish(inner)

    run(inner, days=days)

    assert is_there == (raw_of(inner, line) is not None)


def test_recalled_goes_earlier(inner: Desks) -> None:
    """What was recalled as a whole goes those days after the recall, though its own end is far; the recall stays."""
    line = publish(inner, exp=inner.session(ISSUER).now() + 1_000 * DAY_S)
    by = recall(inner, line, exp=inner.session(ISSUER).now() + DAY_S)

    run(inner)

    assert (None, by.raw) == (raw_of(inner, line), raw_of(inner, by))
    assert [[by.id], [by.id]] == [detail["by"] for detail in inner.details(kind=KIND)]
    assert [False] == bodies(inner, "bulletin.recalled")
    check(inner)


def test_recall_goes_with_what_it_recalled(inner: Desks) -> None:
    """A recall is purged once what it recalled would be over for those days."""
    line = publish(inner, exp=inner.session(ISSUER).now() + 100 * DAY_S)
    by = recall(inner, line)
    run(inner, days=129)
    before = raw_of(inner, by)

    run(inner, days=2)

    assert (by.raw, None) == (before, raw_of(inner, by))


@pytest.mark.parametrize("relation", ["recalls-part", "supersedes"])
def test_other_withdrawals(inner: Desks, relation: str) -> None:
    """A superseded or partly recalled bulletin stays until its own end, and what says so of it stays as long."""
    exp = inner.session(ISSUER).now() + 100 * DAY_S
    line = publish(inner, exp=exp, payload=canonical(PAYLOAD | {"indicators": [INDICATOR]}))
    if relation == "supersedes":
        by = publish(inner, refs=[f"supersedes:{line.id}"])
    else:
        by = recall(inner, line, indicators=[INDICATOR])

    run(inner, days=90)
    before = raw_of(inner, line), raw_of(inner, by)
    run(inner, days=42)

    assert ((line.raw, by.raw), (None, None)) == (before, (raw_of(inner, line), raw_of(inner, by)))
    check(inner)


def test_release_of_several(inner: Desks) -> None:
    """A release that names several keeps its body until the last of them goes."""
    now = inner.session(ISSUER).now()
    pair = [inner.bulletin(ISSUER, [READER], exp=now + days * DAY_S) for days in (7, 50)]
    submissions = [open_bulletin(line.raw, inner.hub.directory) for line in pair]
    inner.hub.writer.submit(lambda batch: [admit_bulletin(batch, each) for each in submissions]).result(WAIT_S)

    run(inner, days=38)
    first = bodies(inner, "bulletin.released")
    run(inner, days=50)

    assert ([True], [False]) == (first, bodies(inner, "bulletin.released"))
    assert sorted(line.id for line in pair) == sorted(told(inner)[READER])
    check(inner)


def acknowledge(desks: Desks, line: Line) -> int:
    """Store an acknowledgement as the hub would, and return the index of its event."""
    ack = desks.session(READER).sign_line("vnd.lintas.ack", canonical({"id": line.id, "state": "opened"}))

    def job(batch: Batch) -> int:
        seq = batch.append("bulletin.opened", READER, object_id=line.id, detail={"ack": ack.id})
        batch.keep(ack, seq)
        target = batch.find(line.id)
        assert target is not None
        row = {"seq": target.seq, "agency": READER, "state": "opened", "ack_seq": seq}
        batch.conn.execute(insert(tables.ack), row)
        return seq

    return desks.hub.writer.submit(job).result(WAIT_S).value


def test_acknowledgements_go_too(inner: Desks) -> None:
    """The reader's own line about a bulletin goes with it, and the reader is told."""
    line = publish(inner, to=("*",), tlp="GREEN")
    seq = acknowledge(inner, line)

    run(inner)

    with inner.hub.store.read() as conn:
        assert None is conn.scalar(text(f"SELECT raw FROM line WHERE seq = {seq}"))
    assert [False] == bodies(inner, "bulletin.opened")
    assert [line.id] == told(inner)[READER]
    check(inner)


def test_young_events_keep_their_bodies(inner: Desks) -> None:
    """A bulletin waits while an event about it is younger than a day: readers who look daily rely on it."""
    line = publish(inner)
    inner.clock.advance(40 * DAY_S - 3_600)
    inner.hub.retention._next_run = 2**60
    acknowledge(inner, line)
    inner.hub.retention._next_run = 0

    run(inner, days=0)
    before = raw_of(inner, line)
    run(inner, days=2)

    assert (line.raw, None) == (before, raw_of(inner, line))


def test_keys_and_orders_stay(inner: Desks) -> None:
    """No event of keys, partners, grants or purges loses its body, whatever its age."""
    publish(inner)
    run(inner)
    run(inner)

    with inner.hub.store.read() as conn:
        kinds = {row.kind for row in log.search(conn, log.EventFilter(), before=None, limit=1_000) if row.body is None}

    assert kinds <= purge.PURGEABLE


def test_content_leaves_the_file(inner: Desks) -> None:
    """After the hub stopped, no byte of the content is left in the database file."""
    if inner.hub.store.is_shared:
        pytest.skip("Postgres keeps old rows until VACUUM; docs/operate.md says so")
    marker = b"lotus-marker-7f3a"
    line = publish(inner, payload=canonical(PAYLOAD | {"summary": "x" * 9_000 + marker.decode()}))
    stored = line.raw[-6_000:]
    run(inner)
    file = inner.hub.settings.data / "hub.db"
    inner.hub.writer.stop()
    inner.hub.store.close()

    assert stored not in file.read_bytes()
    assert not file.with_name("hub.db-wal").exists()


# --- pace ---


def test_many_in_steps(inner: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit purges a few; a run goes on until everything is done, over the borders of every look-up."""
    monkeypatch.setattr(retention, "LINES_MAX", 2)
    monkeypatch.setattr(retention, "LOOK_MAX", 3)
    now = inner.session(ISSUER).now()
    expired = [publish(inner) for _ in range(7)]
    lasting = [publish(inner, exp=now + 500 * DAY_S) for _ in range(7)]
    for line in lasting:
        recall(inner, line)

    run(inner, steps=30)

    assert {None} == {raw_of(inner, line) for line in expired + lasting}
    assert 2 == max(len(detail["ids"]) for detail in inner.details(kind=KIND))
    check(inner)


def test_steps_are_paced(inner: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a second only one commit purges, however many there are."""
    monkeypatch.setattr(retention, "LINES_MAX", 1)
    monkeypatch.setattr(retention, "STEP_S", 1_000)
    for _ in range(3):
        publish(inner)
    inner.clock.advance(40 * DAY_S)
    for _ in range(2):
        commit(inner.hub)
    inner.clock.advance(1_001)
    for _ in range(5):
        commit(inner.hub)

    assert 1 == len(told(inner)[ISSUER])


def test_once_a_day(inner: Desks) -> None:
    """A run that found nothing is followed by the next one a day later."""
    commit(inner.hub)
    line = publish(inner, exp=inner.session(ISSUER).now() + 3_600)
    inner.hub.retention.after_days = 0
    run(inner, days=0)
    inner.clock.advance(12 * 3_600)
    commit(inner.hub)
    before = raw_of(inner, line)

    run(inner, days=2)

    assert (line.raw, None) == (before, raw_of(inner, line))


def test_much_is_told_in_parts(inner: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """A purge that empties more events than one record may name is told in several."""
    monkeypatch.setattr(purge, "EMPTIED_MAX", 2)
    monkeypatch.setattr(endings, "EMPTY_MAX", 2)
    exp = inner.session(ISSUER).now() + 7 * DAY_S
    line = publish(inner, exp=exp, payload=canonical(PAYLOAD | {"indicators": [INDICATOR]}))
    for _ in range(4):
        recall(inner, line, indicators=[INDICATOR])

    run(inner, days=60)

    own = [json.loads(e.body or b"")["detail"] for e in inner.events(kind=KIND, party=ISSUER)]
    assert 2 == max(len(detail["emptied"]) for detail in own)
    assert 1 == sum(line.id in detail["ids"] for detail in own)
    check(inner)


def test_rolled_back(inner: Desks) -> None:
    """A batch that fails purges nothing: content and record go together or not at all."""
    line = publish(inner)
    inner.clock.advance(40 * DAY_S)
    inner.hub.writer._due = ()

    def failing(batch: Batch) -> None:
        step(batch, Run(until=batch.began - 30 * DAY_S))
        raise RuntimeError("killed here")

    future = inner.hub.writer.submit(failing)
    assert future.exception(WAIT_S) is not None

    assert (line.raw, {}) == (raw_of(inner, line), told(inner))
    check(inner)


# --- the order ---


def test_order(desks: Desks) -> None:
    """Two administrators order the purge of all that ended before a second; it is done within a minute."""
    desks.hub.retention.after_days = 3_000
    line, standing = publish(desks, exp=desks.session(ISSUER).now() + 3_600), publish(desks)
    run(desks, days=3, steps=1)

    answer = desks.order("purge", before=desks.session(ISSUER).now() - DAY_S - 10)
    run(desks, days=0, steps=1)
    desks.clock.advance(61)
    run(desks, days=0)

    assert 201 == answer.status_code
    assert (None, standing.raw) == (raw_of(desks, line), raw_of(desks, standing))


def test_order_outlives_a_restart(desks: Desks) -> None:
    """What was ordered is read from the log, so a hub that starts again carries it out."""
    desks.hub.retention.after_days = 3_000
    line = publish(desks, exp=desks.session(ISSUER).now() + 3_600)
    desks.clock.advance(3 * DAY_S)
    desks.order("purge", before=desks.session(ISSUER).now() - DAY_S - 10)
    desks.hub.writer._due = (Retention(3_000).record,)

    run(desks, days=0)

    assert None is raw_of(desks, line)


def test_order_of_what_has_not_ended(desks: Desks) -> None:
    """An order reaches nothing that ended within the last day or has not ended."""
    answer = desks.order("purge", before=desks.session(ISSUER).now() - DAY_S + 60)

    assert (409, "order-conflict", "before") == problem_of(answer)


def test_order_takes_two(desks: Desks) -> None:
    """One administrator alone destroys nothing."""
    line = desks.session("admin/registrar").sign_order("purge", {"before": 1})

    answer = desks.post(line, "vnd.lintas.order")

    assert (202, True) == (answer.status_code, answer.json()["needs_second"])
    assert [] == desks.events(kind="purge.ordered")


# --- afterwards ---


def test_posted_again(desks: Desks) -> None:
    """The same bytes posted after the purge are known, not accepted anew: 410 with their place, or 200 in a batch."""
    line = desks.publish(ISSUER, [READER])
    seq = int(desks.get(f"/v1/bulletins/{line.id}", READER).headers["Lintas-Seq"])
    run(desks)

    single = desks.post(line)
    rows = desks.http.post(
        desks.url + "/v1/bulletins", content=line.raw + b"\n" + line.raw, headers={"Content-Type": "application/jsonl"}
    )

    assert (410, "purged", None) == problem_of(single)
    assert seq == single.json()["seq"]
    assert [{"id": line.id, "seq": seq, "status": 200}] * 2 == [json.loads(row) for row in rows.text.splitlines()]
    assert None is raw_of(desks, line)


@pytest.mark.parametrize("party", [ISSUER, READER])
def test_asked_for_again(desks: Desks, party: str) -> None:
    """Fetch and receipt of what was purged answer 410 to those who had it, and not-found to others."""
    line = desks.publish(ISSUER, [READER])
    run(desks)

    answers = [desks.get(f"/v1/bulletins/{line.id}{path}", party) for path in ("", "/receipt")]
    others = [desks.get(f"/v1/bulletins/{line.id}{path}", THIRD) for path in ("", "/receipt")]

    assert [(410, "purged", None)] * 2 == [problem_of(answer) for answer in answers]
    assert [(404, "not-found", None)] * 2 == [problem_of(answer) for answer in others]


def test_place_in_the_feed(desks: Desks) -> None:
    """In the feed its place says that it was purged; a recalled one says so until its own end."""
    now = desks.session(ISSUER).now()
    line, gone = desks.publish(ISSUER, [READER]), desks.publish(ISSUER, [READER], exp=now + 100 * DAY_S)
    by = recall(desks, gone)
    run(desks)
    first = {row.get("id"): row for row in desks.rows("/v1/bulletins", READER)}
    run(desks, days=70)
    later = {row.get("id"): row for row in desks.rows("/v1/bulletins", READER)}

    assert ("purged", None) == (first[line.id]["state"], first[line.id].get("by"))
    assert ("recalled", by.id) == (first[gone.id]["state"], first[gone.id]["by"])
    assert ("purged", None) == (later[gone.id]["state"], later[gone.id].get("by"))


def test_receipts_stay_valid(desks: Desks) -> None:
    """A receipt made before the purge proves its line offline as ever."""
    line = desks.bulletin(ISSUER, [READER])
    receipt = desks.post(line).content
    run(desks)

    key = desks.hub.signer.verifier
    logged = check_receipt(parse_receipt(receipt), line_id=line.id, origin=key.name, key=key)

    assert "bulletin.accepted" == logged.event["kind"]


def test_shown_without_body(desks: Desks) -> None:
    """An emptied event keeps its place in the view of its party: numbers, entry and proof without the body."""
    desks.publish(ISSUER, [READER])
    run(desks)

    rows = desks.rows("/v1/log/events?limit=1000", READER)
    (hole,) = [row for row in rows if row.get("body", "") is None]
    named = [json.loads(row["body"])["detail"]["emptied"] for row in rows if KIND in (row.get("body") or "")]

    assert {"seq", "party", "party_seq", "entry", "body", "proof"} == set(hole)
    assert [[[hole["party_seq"], hole["entry"]]]] == named


def test_audit_shows_it_without_detail(desks: Desks) -> None:
    """Administrators see an emptied event with its columns; it has no detail and no receipt any more."""
    line = desks.publish(ISSUER, [READER])
    run(desks)

    found = desks.get(f"/v1/admin/events?proof=1&object={line.id}&kind=bulletin.accepted", "admin/auditor").json()

    assert [(line.id, None, None)] == [(e["object"], e["detail"], e["receipt"]) for e in found["events"]]


def test_purged_can_be_recalled(desks: Desks) -> None:
    """Holders may have copies of what was purged: its issuer still recalls it."""
    line = desks.publish(ISSUER, [READER])
    run(desks)

    answer = desks.post(desks.recall(ISSUER, line.id, [READER]), BULLETIN)

    assert 201 == answer.status_code
