"""The audit log and the other views of administrators over HTTP."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from broker.web import admin, export
from lintas import note
from lintas.event import KINDS
from lintas.header import KEY, ORDER
from lintas.keys import SigningKey
from lintas.receipt import check_receipt, parse_receipt
from tests.broker.conftest import AUDITOR, REGISTRAR, UNKNOWN_ID, Desks, problem_of

ISSUER, READER = "my-police", "sg-fiu"
VIEWS = ("events", "partners", "keys", "grants", "orders", "stats")


def page(desks: Desks, query: str = "") -> dict[str, Any]:
    """Return a page of the audit log."""
    answer = desks.get(f"/v1/admin/events{query}", AUDITOR)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_newest_first(shared: Desks) -> None:
    """The audit log is shown newest first, and the read itself is the newest event."""
    events = page(shared, "?limit=20")["events"]

    assert [each["seq"] for each in events] == sorted((each["seq"] for each in events), reverse=True)
    assert ("admin.viewed", AUDITOR, "done") == tuple(events[0][name] for name in ("kind", "party", "outcome"))
    assert {"view": "events", "asked": {"limit": "20"}} == events[0]["detail"]


def test_default_page(shared: Desks) -> None:
    """A page has a hundred events unless asked otherwise."""
    assert admin.PAGE_DEFAULT == len(page(shared)["events"])


@pytest.mark.parametrize("view", VIEWS)
def test_every_read_is_an_event(shared: Desks, view: str) -> None:
    """Each view that an administrator reads is recorded before it is shown."""
    before = len(shared.events(kind="admin.viewed"))

    assert 200 == shared.get(f"/v1/admin/{view}", AUDITOR).status_code

    assert before + 1 == len(shared.events(kind="admin.viewed"))
    assert view == shared.details(kind="admin.viewed")[0]["view"]


@pytest.mark.parametrize("view", VIEWS)
def test_agencies_see_none_of_it(shared: Desks, view: str) -> None:
    """An agency's token opens no view of the administrators, and nothing is recorded as read."""
    before = len(shared.events(kind="admin.viewed"))

    answer = shared.get(f"/v1/admin/{view}", READER)

    assert (403, "not-allowed", "scope") == problem_of(answer)
    assert before == len(shared.events(kind="admin.viewed"))


@pytest.mark.parametrize("view", VIEWS)
def test_nothing_without_a_token(shared: Desks, view: str) -> None:
    """Without a token the administrators' views are closed."""
    assert (401, "unauthorized", None) == problem_of(shared.get(f"/v1/admin/{view}"))


@pytest.mark.parametrize("view", VIEWS)
def test_unknown_parameter(shared: Desks, view: str) -> None:
    """A filter that does not exist is refused instead of ignored."""
    assert (400, "bad-request", "kinds") == problem_of(shared.get(f"/v1/admin/{view}?kinds=x", AUDITOR))


@pytest.mark.parametrize(
    ("query", "name", "value"),
    [
        ("kind=key.approved", "kind", {"key.approved"}),
        ("outcome=accepted", "outcome", {"accepted"}),
        (f"party={ISSUER}", "party", {ISSUER}),
        ("party=*", "party", {"*"}),
        (f"party={REGISTRAR}", "party", {REGISTRAR}),
        ("kind=key.approved&outcome=accepted", "kind", {"key.approved"}),
    ],
)
def test_filter(shared: Desks, query: str, name: str, value: set[str]) -> None:
    """A filter keeps exactly what it names."""
    events = page(shared, f"?{query}&limit=1000")["events"]

    assert value == {each[name] for each in events}
    expected = [each for each in shared.events() if _value(each.kind, each.party, name) in value]
    assert len(expected) == len(events)


def _value(kind: str, party: str, name: str) -> str:
    return {"kind": kind, "party": party, "outcome": KINDS[kind]}[name]


def test_filters_together(shared: Desks) -> None:
    """Filters narrow one another: a kind of another outcome matches nothing."""
    assert [] == page(shared, "?kind=key.approved&outcome=refused")["events"]


def test_filter_by_object(shared: Desks) -> None:
    """All events of one line are found by its id."""
    line = shared.publish(ISSUER, [READER])
    shared.get(f"/v1/bulletins/{line.id}", READER)

    events = page(shared, f"?object={line.id}")["events"]

    assert ["bulletin.sent", "bulletin.accepted"] == [each["kind"] for each in events]


def test_filter_by_time(shared: Desks) -> None:
    """A range of time includes its start and not its end."""
    line = shared.publish(ISSUER, [READER])
    [event] = page(shared, f"?object={line.id}")["events"]
    at = event["time"]
    later = datetime.fromisoformat(at).astimezone(UTC).replace(tzinfo=None).isoformat() + "%2B00:00"

    from_it = page(shared, f"?since={at}&object={line.id}")["events"]
    until_it = page(shared, f"?until={at}&object={line.id}")["events"]
    same = page(shared, f"?since={later}&object={line.id}")["events"]

    assert ([event], [], [event]) == (from_it, until_it, same)


@pytest.mark.parametrize("name", ["since", "until"])
@pytest.mark.parametrize(
    "value", ["yesterday", "2026-11-24T00:00:00", "1795000000", "2026-13-01T00:00:00Z", "0001-01-01"]
)
def test_malformed_time(shared: Desks, name: str, value: str) -> None:
    """A time without its zone, or none at all, is refused by name."""
    assert (400, "bad-request", name) == problem_of(shared.get(f"/v1/admin/events?{name}={value}", AUDITOR))


@pytest.mark.parametrize("name", ["since", "until"])
def test_time_at_the_edge(shared: Desks, name: str) -> None:
    """The first and the last time that can be written are taken."""
    for value in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00%2B23:59"):
        assert shared.get(f"/v1/admin/events?{name}={value}", AUDITOR).status_code in (200, 400)


def test_filter_by_text(shared: Desks) -> None:
    """Text is looked for within index, party and object; its own special characters mean nothing."""
    line = shared.publish(ISSUER, [READER])
    [event] = shared.events(kind="bulletin.accepted", object=line.id)

    by_object = page(shared, f"?text={line.id[5:30]}")["events"]
    by_index = page(shared, f"?text={event.seq}")["events"]
    by_party = page(shared, "?text=y-polic&limit=1000")["events"]

    assert [event.seq] == [each["seq"] for each in by_object]
    assert event.seq in [each["seq"] for each in by_index]
    assert {each for each in {e.party for e in shared.events()} if "y-polic" in each} == {e["party"] for e in by_party}
    assert [] == page(shared, "?text=%25")["events"]
    assert [] == page(shared, "?text=my_police")["events"]
    assert [] == page(shared, f"?text={'9' * 30}")["events"]


@pytest.mark.parametrize(
    ("query", "member"),
    [
        ("kind=key.stolen", "kind"),
        ("outcome=lost", "outcome"),
        ("party=my_police", "party"),
        ("party=%25", "party"),
        ("object=short", "object"),
        ("text=", "text"),
        (f"text={'a' * 101}", "text"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("before=-1", "before"),
        ("before=x", "before"),
        ("format=xml", "format"),
    ],
)
def test_malformed_filter(shared: Desks, query: str, member: str) -> None:
    """A filter value outside its set is refused by name."""
    assert (400, "bad-request", member) == problem_of(shared.get(f"/v1/admin/events?{query}", AUDITOR))


def test_paging(shared: Desks) -> None:
    """Pages together are the whole log once, though every page adds an event to it."""
    found: list[int] = []
    before: int | None = None
    while True:
        answer = page(shared, "?limit=97" + (f"&before={before}" if before is not None else ""))
        found += [each["seq"] for each in answer["events"]]
        before = answer["next"]
        if before is None:
            break

    assert list(range(found[0], -1, -1)) == found


def test_page_that_ends_with_the_log(shared: Desks) -> None:
    """Before the first event there is nothing."""
    assert ([], None) == tuple(page(shared, "?before=0")[name] for name in ("events", "next"))


def test_proof(shared: Desks) -> None:
    """On request each event comes with a receipt that proves its body; without the request none does."""
    line = shared.publish(ISSUER, [READER])
    key = note.parse_vkey(shared.session(AUDITOR).identity.hub.log_key)

    [event] = page(shared, f"?object={line.id}&proof=1")["events"]

    logged = check_receipt(parse_receipt(event["receipt"].encode()), line_id=line.id, origin=key.name, key=key)
    assert (event["seq"], event["detail"]) == (logged.seq, logged.event["detail"])
    assert "receipt" not in page(shared, f"?object={line.id}")["events"][0]


def test_page_shows_its_checkpoint(shared: Desks) -> None:
    """A page is under a checkpoint that covers the read itself."""
    found = page(shared, "?limit=1")

    assert found["events"][0]["seq"] + 1 == int(found["checkpoint"].split("\n")[1])


def test_json_lines(shared: Desks) -> None:
    """The export in JSON Lines is every matching event, its own record the newest."""
    answer = shared.get("/v1/admin/events?format=jsonl", AUDITOR)

    rows = [json.loads(row) for row in answer.text.splitlines()]
    assert list(range(rows[0]["seq"], -1, -1)) == [row["seq"] for row in rows]
    assert ("admin.exported", {"view": "events", "asked": {"format": "jsonl"}}) == (rows[0]["kind"], rows[0]["detail"])
    assert "application/jsonl" == answer.headers["content-type"]
    assert f'attachment; filename="lintas-events-{rows[0]["seq"]}.jsonl"' == answer.headers["content-disposition"]


def test_export_in_several_reads(shared: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """An export larger than one read of the database is whole."""
    monkeypatch.setattr(export, "ROWS_AT_ONCE", 10)

    for form in ("jsonl", "csv"):
        rows = shared.get(f"/v1/admin/events?format={form}&party=*", AUDITOR).text.splitlines()
        assert len(shared.events(party="*")) == len(rows) - (form == "csv")


def test_export_of_nothing(shared: Desks) -> None:
    """An export without a match has its head and no rows."""
    table = shared.get(f"/v1/admin/events?format=csv&object={UNKNOWN_ID}", AUDITOR).text
    lines = shared.get(f"/v1/admin/events?format=jsonl&object={UNKNOWN_ID}", AUDITOR).text

    assert (",".join(export.CSV_COLUMNS) + "\r\n", "") == (table, lines)


def test_csv(shared: Desks) -> None:
    """The export as CSV has the same events in its columns."""
    answer = shared.get(f"/v1/admin/events?format=csv&party={ISSUER}", AUDITOR)

    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [event.seq for event in shared.events(party=ISSUER)] == [int(row["seq"]) for row in rows]
    assert shared.details(party=ISSUER) == [json.loads(row["detail"]) for row in rows]
    assert "text/csv; charset=utf-8" == answer.headers["content-type"]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_csv_is_safe_to_open(start: str) -> None:
    """A cell that a spreadsheet would run as a formula becomes text."""
    assert "'" + start + "cmd" == export._defused(start + "cmd")
    assert (f"x{start}", 5, None) == (export._defused(f"x{start}"), export._defused(5), export._defused(None))


def test_csv_ids_are_safe(shared: Desks) -> None:
    """An id that happens to start like a formula is exported as text."""
    lines = [shared.bulletin(ISSUER, ["la-police"]) for _ in range(400)]
    line = next(line for line in lines if line.id.startswith("-"))
    shared.post(line)

    table = shared.get(f"/v1/admin/events?format=csv&object={line.id}", AUDITOR).text

    assert [f"'{line.id}"] == [row["object"] for row in csv.DictReader(io.StringIO(table))]


def test_strangers_are_seen_at_once(shared: Desks) -> None:
    """Refusals counted so far are logged before an administrator reads, each address apart from what was tried."""
    shared.post(b"no line")

    [event, *_] = page(shared, "?kind=auth.refused&outcome=refused")["events"]

    assert ("hub", "127.0.0.1") == (event["party"], event["detail"]["source"])
    assert 1 <= event["detail"]["codes"]["malformed-line"]


def test_export_shows_strangers(shared: Desks) -> None:
    """An export too holds what was counted so far."""
    shared.post(b"no line")

    rows = shared.get("/v1/admin/events?format=jsonl&party=hub", AUDITOR).text.splitlines()

    assert 1 <= json.loads(rows[0])["detail"]["codes"]["malformed-line"]


def test_partners(desks: Desks) -> None:
    """Partners are shown with their grants and standing."""
    desks.order("grant", agency=ISSUER, publish=["cyber"], read=["*"])
    desks.order("ceiling", agency=ISSUER, tlp="AMBER")

    found = desks.get("/v1/admin/partners", AUDITOR).json()["partners"]

    [mine] = [each for each in found if each["id"] == ISSUER]
    assert (["cyber"], ["*"], "AMBER", "active") == tuple(
        mine[name] for name in ("publish", "read", "ceiling", "state")
    )
    grants = desks.get("/v1/admin/grants", AUDITOR).json()["grants"]
    assert {"publish": ["cyber"], "read": ["*"], "ceiling": "AMBER"} == grants[ISSUER]


def test_keys_pending_first(desks: Desks) -> None:
    """A key that waits for approval is listed first."""
    new = SigningKey.generate()
    desks.post(desks.session(ISSUER).sign_rotation(new, holder="desk", overlap_s=0), KEY)

    found = desks.get("/v1/admin/keys", AUDITOR).json()["keys"]

    assert (new.kid, "pending") == (found[0]["kid"], found[0]["state"])
    assert {"active"} == {each["state"] for each in found[1:]}


def test_orders_show_what_waits(desks: Desks) -> None:
    """Orders that wait are listed with who is concerned; those that needed nobody are not."""
    session = desks.session(REGISTRAR)
    waiting = session.sign_order("grant", {"agency": ISSUER, "publish": [], "read": []})
    desks.post(waiting, ORDER)
    desks.post(session.sign_order("invite", {"agency": "xx-police"}), ORDER)

    found = desks.get("/v1/admin/orders", AUDITOR).json()["orders"]

    assert [(waiting.id, ISSUER)] == [(each["id"], each["agency"]) for each in found]


def test_stats(shared: Desks) -> None:
    """The figures add up to the log."""
    found = shared.get("/v1/admin/stats", AUDITOR).json()

    assert found["size"] == sum(found["events"].values())
    assert (2, True, 0) == (found["admins"], found["two_person"], found["queue"])
