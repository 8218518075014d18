"""Deconfliction over HTTP: who is told of whom, in which mode, and that a miss looks like a hit until then."""

from __future__ import annotations

import itertools
import json
from contextlib import closing
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, func, select

from broker import matching
from broker.hub import open_hub
from broker.store import interests as rows
from broker.store import tables
from broker.store.interests import Pair
from broker.store.log import EventRow
from lintas.header import ORDER
from lintas.line import Line
from lintas.orders import INTEREST_S_MAX
from tests.broker.conftest import REGISTRAR, UNKNOWN_ID, Desks, problem_of

HOLDER, SEEKER, THIRD = "my-police", "sg-fiu", "vn-police"
PHONE, OTHER_PHONE = "+6542995883", "+6542995884"
MODES = ("contact", "open", "silent")
OFFICERS = itertools.count()
RANDOM = {"salt", "object", "time", "party_seq"}


def order(desks: Desks, party: str, *values: str, mode: str = "contact", **changes: Any) -> Line:
    """Sign an interest in these telephone numbers; each order another, by its officer."""
    session = desks.session(party)
    members = {
        "act": "interest",
        "mode": mode,
        "case_ref": f"SIM-{party}",
        "until": session.now() + 30 * 86_400,
        "indicators": [{"type": "phone", "value": value} for value in sorted(values)],
    }
    payload = json.dumps(members | changes, sort_keys=True, separators=(",", ":")).encode()
    return session.sign_line(ORDER, payload, sub=f"officer-{next(OFFICERS)}")


def register(desks: Desks, party: str, *values: str, mode: str = "contact", **changes: Any) -> str:
    """Register an interest that must be taken; return its id."""
    line = order(desks, party, *values, mode=mode, **changes)
    answer = desks.post(line, ORDER)
    assert answer.status_code == 202, answer.text
    return line.id


def end(desks: Desks, party: str, interest_id: str) -> httpx.Response:
    """End an interest."""
    return desks.post(desks.session(party).sign_order("interest-end", {"interest": interest_id}), ORDER)


def minute(desks: Desks) -> None:
    """Let the next minute begin."""
    desks.clock.advance(matching.TICK_S)


def interests(desks: Desks, party: str) -> list[dict[str, Any]]:
    """Read a party's interests."""
    answer = desks.get("/v1/interests", party)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["interests"]
    return found


def told(desks: Desks, party: str) -> list[tuple[int, str, str | None]]:
    """Return place, agency and case of everything a party is told, over all its interests."""
    return [
        (row["place"], row["agency"], row.get("case_ref")) for each in interests(desks, party) for row in each["told"]
    ]


def own_events(desks: Desks, party: str) -> list[EventRow]:
    """Return every event of a party, oldest first."""
    return desks.events(party=party)[::-1]


def form(row: EventRow) -> tuple[str, int, dict[str, Any]]:
    """Return what an event shows: its kind, the length of its body, its members without ids, times and salt."""
    members = json.loads(row.body or b"")
    digits = len(str(members["party_seq"]))
    return row.kind, len(row.body or b"") - digits, {name: members[name] for name in set(members) - RANDOM}


@pytest.mark.parametrize("later", MODES)
@pytest.mark.parametrize("earlier", MODES)
def test_modes(desks: Desks, earlier: str, later: str) -> None:
    """Each side is told of the other as the other's mode allows: agency, agency with case, or nothing."""
    register(desks, HOLDER, PHONE, mode=earlier)
    minute(desks)
    register(desks, SEEKER, OTHER_PHONE, PHONE, mode=later)
    minute(desks)

    seen: dict[str, list[str | None]] = {"contact": [None], "open": ["SIM"], "silent": []}
    of_holder = [(0, HOLDER, case and f"SIM-{HOLDER}") for case in seen[earlier]]
    of_seeker = [(0, SEEKER, case and f"SIM-{SEEKER}") for case in seen[later]]

    assert of_holder == told(desks, SEEKER)
    assert of_seeker == told(desks, HOLDER)
    assert [] == told(desks, THIRD)


def test_same_minute(desks: Desks) -> None:
    """Two interests of one minute are told of each other at the next."""
    register(desks, HOLDER, PHONE)
    register(desks, SEEKER, PHONE)

    assert [] == told(desks, HOLDER) + told(desks, SEEKER)
    minute(desks)
    assert [(0, SEEKER, None)] == told(desks, HOLDER)
    assert [(0, HOLDER, None)] == told(desks, SEEKER)


def test_place(desks: Desks) -> None:
    """A match is told at the place of the indicator in the reader's own order, and nowhere else."""
    register(desks, HOLDER, OTHER_PHONE)
    register(desks, SEEKER, PHONE, OTHER_PHONE)
    minute(desks)

    assert [(1, HOLDER, None)] == told(desks, SEEKER)
    assert [(0, SEEKER, None)] == told(desks, HOLDER)


def test_type_counts(desks: Desks) -> None:
    """The same text as another type of indicator is another value."""
    register(desks, HOLDER, "+6542995883")
    register(desks, SEEKER, indicators=[{"type": "social-handle", "value": "telegram:+6542995883"}])
    minute(desks)

    assert [] == told(desks, SEEKER)


def test_own_interests_do_not_match(desks: Desks) -> None:
    """Two interests of one agency tell it nothing."""
    register(desks, HOLDER, PHONE)
    register(desks, HOLDER, PHONE, mode="open")
    minute(desks)

    assert [] == told(desks, HOLDER)


def test_told_once(desks: Desks) -> None:
    """Several interests of one agency that say the same are told once; open ones each with their case."""
    register(desks, HOLDER, PHONE)
    register(desks, HOLDER, PHONE)
    register(desks, HOLDER, PHONE, mode="open", case_ref="SIM-A")
    register(desks, HOLDER, PHONE, mode="open", case_ref="SIM-B")
    minute(desks)
    register(desks, SEEKER, PHONE)
    minute(desks)

    assert [(0, HOLDER, None), (0, HOLDER, "SIM-A"), (0, HOLDER, "SIM-B")] == told(desks, SEEKER)


def test_answer_is_the_same(desks: Desks) -> None:
    """The answer to a registration has one status, one form and one size, whether or not somebody has the value."""
    register(desks, HOLDER, PHONE)
    minute(desks)
    desks.get("/v1/partners", SEEKER)

    hit = desks.post(order(desks, SEEKER, PHONE), ORDER)
    miss = desks.post(order(desks, SEEKER, OTHER_PHONE), ORDER)

    shapes = [
        (answer.status_code, sorted(answer.headers), {name: type(value) for name, value in answer.json().items()})
        for answer in (hit, miss)
    ]
    bodies = [answer.json() | {"id": "", "receipt": "", "seq": 0} for answer in (hit, miss)]
    receipts = [answer.json()["receipt"].split("\n")[1] for answer in (hit, miss)]
    assert shapes[0] == shapes[1]
    assert bodies[0] == bodies[1]
    assert len(receipts[0]) == len(receipts[1])
    assert 202 == hit.status_code


def test_events_are_the_same(desks: Desks) -> None:
    """Hit and miss write the same kinds of events, of the same size and detail, at the seeker."""
    register(desks, HOLDER, PHONE)
    minute(desks)
    interests(desks, HOLDER)
    for party, number in ((SEEKER, PHONE), (THIRD, OTHER_PHONE)):
        register(desks, party, number, case_ref="SIM-1", until=desks.session(party).now() + 1_000_000)
        minute(desks)
        interests(desks, party)

    hit, miss = ([form(row) for row in own_events(desks, party)[-4:]] for party in (SEEKER, THIRD))

    assert ["interest.registered", "order.accepted", "view.read", "interest.checked"] == [kind for kind, _, _ in hit]
    until = [each[2]["detail"].pop("until") for each in (hit[0], miss[0])]
    blank = {"party": "", "v": 1}
    assert [(kind, facts | blank) for kind, _, facts in hit] == [(kind, facts | blank) for kind, _, facts in miss]
    sizes = [[size - len(facts["party"]) for _, size, facts in each] for each in (hit, miss)]
    assert sizes[0] == sizes[1]
    assert all(isinstance(each, int) for each in until)


def test_silent_leaves_nothing(desks: Desks) -> None:
    """A silent interest that hits leaves no event, no telling and no longer answer at the holder."""
    register(desks, HOLDER, PHONE, mode="open")
    minute(desks)
    interests(desks, HOLDER)
    before = (desks.get("/v1/interests", HOLDER).content, [row.kind for row in own_events(desks, HOLDER)])
    register(desks, SEEKER, PHONE, mode="silent")
    minute(desks)
    assert [(0, HOLDER, f"SIM-{HOLDER}")] == told(desks, SEEKER)

    after = (desks.get("/v1/interests", HOLDER).content, [row.kind for row in own_events(desks, HOLDER)])

    assert (before[0], [*before[1], "view.read"]) == after


def test_no_event_depends_on_a_match(desks: Desks) -> None:
    """The log grows by the same events at a minute that tells of a match and at one that does not."""
    register(desks, HOLDER, PHONE)
    minute(desks)
    interests(desks, HOLDER)
    grown = []
    for number in (PHONE, OTHER_PHONE):
        size = len(desks.events())
        register(desks, SEEKER, number)
        minute(desks)
        desks.get("/v1/partners", THIRD)
        grown.append([(row.kind, row.party) for row in desks.events()[: len(desks.events()) - size]])

    assert grown[0] == grown[1]


def test_results_wait_for_the_minute(desks: Desks) -> None:
    """Before the next minute of the hub's clock an interest is not checked; then it is, once."""
    desks.clock.advance(matching.TICK_S - desks.session(HOLDER).now() % matching.TICK_S)
    interest_id = register(desks, HOLDER, PHONE)

    early = interests(desks, HOLDER)[0]["checked"]
    minute(desks)
    late = [interests(desks, HOLDER)[0]["checked"] for _ in range(2)]

    events = desks.events(kind="interest.checked")
    assert (None, [events[0].seq] * 2) == (early, late)
    assert [(HOLDER, interest_id)] == [(row.party, row.object) for row in events]


def test_checked_after_a_restart(desks: Desks) -> None:
    """What was registered before a hub stopped is checked when it runs again, without any request."""
    register(desks, HOLDER, PHONE)
    register(desks, SEEKER, PHONE)
    hub = desks.hub
    hub.stop()
    minute(desks)
    again = open_hub(hub.settings, desks.clock)
    again.start()

    again.writer.submit(lambda batch: batch.now).result()

    with again.store.read() as conn:
        found = matching.results(conn, again.directory, SEEKER, again.now())
        assert 0 == conn.scalar(
            select(func.count()).select_from(tables.interest).where(tables.interest.c.checked_seq.is_(None))
        )
    again.stop()
    assert [HOLDER] == [each.agency for each in found[0].told]


def test_suspended_is_told_nothing(desks: Desks) -> None:
    """A suspended agency reads no results, and of it nobody is told, until the suspension ends."""
    register(desks, HOLDER, PHONE)
    register(desks, SEEKER, PHONE)
    desks.order("suspend", agency=HOLDER, reason="desk closed")
    minute(desks)

    assert [] == told(desks, SEEKER)
    assert (403, "partner-suspended", None) == problem_of(desks.get("/v1/interests", HOLDER))
    desks.order("resume", agency=HOLDER)
    assert [(0, HOLDER, None)] == told(desks, SEEKER)
    assert [(0, SEEKER, None)] == told(desks, HOLDER)


def test_suspended_registers_nothing(desks: Desks) -> None:
    """A suspended agency registers no interest and sets no watch list."""
    desks.order("suspend", agency=HOLDER, reason="desk closed")

    answers = [
        desks.post(order(desks, HOLDER, PHONE), ORDER),
        desks.post(desks.session(HOLDER).sign_order("watch", {"name": "list", "indicators": []}), ORDER),
    ]

    assert [(403, "partner-suspended", "iss")] * 2 == [problem_of(answer) for answer in answers]


def test_ended_matches_no_more(desks: Desks) -> None:
    """An interest that ended is gone from its agency's view and is found by nobody."""
    interest_id = register(desks, HOLDER, PHONE)
    assert 201 == end(desks, HOLDER, interest_id).status_code
    register(desks, SEEKER, PHONE)
    minute(desks)

    assert [] == told(desks, SEEKER)
    assert [] == interests(desks, HOLDER)
    assert (404, "not-found", None) == problem_of(desks.get(f"/v1/interests/{interest_id}", HOLDER))


def test_ending_takes_nothing_back(desks: Desks) -> None:
    """Whoever looked and ended at once stays told to the other side: nobody asks without a trace in `contact`."""
    register(desks, HOLDER, PHONE)
    minute(desks)
    interest_id = register(desks, SEEKER, PHONE)
    minute(desks)
    assert [(0, HOLDER, None)] == told(desks, SEEKER)
    end(desks, SEEKER, interest_id)

    assert [(0, SEEKER, None)] == told(desks, HOLDER)


def test_ended_values_are_forgotten(desks: Desks) -> None:
    """Of an interest that ended no indexed value is kept, and nothing that it was told."""
    register(desks, HOLDER, PHONE)
    interest_id = register(desks, SEEKER, PHONE)
    minute(desks)
    assert 1 == len(told(desks, SEEKER))
    end(desks, SEEKER, interest_id)

    with desks.hub.store.read() as conn:
        agencies = [
            row.agency
            for table in (tables.interest_value, tables.match)
            for row in conn.execute(
                select(tables.interest.c.agency).join_from(table, tables.interest, table.c.seq == tables.interest.c.seq)
            )
        ]
    assert [HOLDER, HOLDER] == agencies


def test_expired_matches_no_more(desks: Desks) -> None:
    """An interest whose time ran out is found by nobody and gone from its view."""
    register(desks, HOLDER, PHONE, until=desks.session(HOLDER).now() + 30)
    minute(desks)
    register(desks, SEEKER, PHONE)
    minute(desks)

    assert [] == told(desks, SEEKER)
    assert [] == interests(desks, HOLDER)


@pytest.mark.parametrize("whose", ["another's", "ended", "unknown"])
def test_ending_what_is_not_ones_own(desks: Desks, whose: str) -> None:
    """Ending another's interest, one that ended, or none gives one identical refusal, which is logged."""
    ids = {"another's": register(desks, HOLDER, PHONE), "ended": register(desks, SEEKER, PHONE), "unknown": UNKNOWN_ID}
    end(desks, SEEKER, ids["ended"])
    desks.clock.advance(1)

    answer = end(desks, SEEKER, ids[whose])

    assert (409, "order-conflict", "interest") == problem_of(answer)
    assert "No interest of yours with this id stands." == answer.json()["detail"]
    assert [{"code": "order-conflict", "member": "interest"}] == desks.details(kind="order.refused")
    assert 1 == len(interests(desks, HOLDER))


@pytest.mark.parametrize("party", [SEEKER, HOLDER])
def test_another_agencys_interest(desks: Desks, party: str) -> None:
    """Another's interest and an unknown one give the same 404, byte for byte."""
    interest_id = register(desks, THIRD, PHONE)

    answers = [desks.get(f"/v1/interests/{each}", party) for each in (interest_id, UNKNOWN_ID, "no-id")]

    assert [] == desks.events(kind="view.read")
    assert 1 == len({(answer.status_code, answer.content) for answer in answers})
    assert 404 == answers[0].status_code


def test_one_interest(desks: Desks) -> None:
    """One interest by its id reads as it does in the list, and the read is recorded with the id."""
    interest_id = register(desks, HOLDER, PHONE)
    minute(desks)

    answer = desks.get(f"/v1/interests/{interest_id}", HOLDER)

    assert interests(desks, HOLDER)[0] == answer.json() | {"checked": interests(desks, HOLDER)[0]["checked"]}
    views = [row for row in desks.events(kind="view.read") if row.object == interest_id]
    assert [{"view": "interest"}] == [json.loads(row.body or b"")["detail"] for row in views]


def test_replay(desks: Desks) -> None:
    """The same order again answers 200 with the same receipt and registers nothing more."""
    line = order(desks, HOLDER, PHONE)
    first = desks.post(line, ORDER)

    again = desks.post(line, ORDER)

    assert (200, first.json()["receipt"]) == (again.status_code, again.json()["receipt"])
    assert 1 == len(interests(desks, HOLDER))


def test_replay_of_an_ended_interest(desks: Desks) -> None:
    """An order whose interest ended brings it back to life by no repetition."""
    line = order(desks, HOLDER, PHONE)
    desks.post(line, ORDER)
    end(desks, HOLDER, line.id)

    desks.post(line, ORDER)

    assert [] == interests(desks, HOLDER)


@pytest.mark.parametrize(
    ("changes", "member"),
    [
        ({"until": 0}, "until"),
        ({"until": 2**40}, "until"),
        ({"mode": "loud"}, "mode"),
        ({"case_ref": "a\u202eb"}, "case_ref"),
        ({"indicators": []}, "indicators"),
        ({"indicators": [{"type": "phone", "value": "+65 4299 5883"}]}, "indicators[0].value"),
        ({"indicators": [{"type": "person", "value": "FICTIONAL<<ARJUNA||"}]}, "indicators[0].value"),
        ({"indicators": [{"type": "phone", "value": OTHER_PHONE}, {"type": "phone", "value": PHONE}]}, "indicators"),
        ({"indicators": [{"type": "phone", "value": PHONE}] * 2}, "indicators"),
        ({"indicators": [{"type": "gossip", "value": "x"}]}, "indicators"),
        ({"indicators": [{"type": "phone", "value": f"+65{n:08}"} for n in range(101)]}, "indicators"),
        ({"extra": 1}, "extra"),
    ],
)
def test_malformed(desks: Desks, changes: dict[str, Any], member: str) -> None:
    """An interest has one form: canonical values, sorted, each once, at most 100, for a year at most."""
    answer = desks.post(order(desks, HOLDER, PHONE, **changes), ORDER)

    assert (400, "malformed-payload", member) == problem_of(answer)
    assert [] == desks.events(kind="interest.registered")


def test_longest(desks: Desks) -> None:
    """An interest may stand for a year to the second."""
    register(desks, HOLDER, PHONE, until=desks.session(HOLDER).now() + INTEREST_S_MAX)

    assert 1 == len(interests(desks, HOLDER))


def test_administrators_are_no_party(desks: Desks) -> None:
    """An administrator registers no interest and reads none."""
    line = order(desks, HOLDER, PHONE)
    by_admin = desks.session(REGISTRAR).sign_line(ORDER, line.payload)

    assert (403, "not-allowed", "iss") == problem_of(desks.post(by_admin, ORDER))
    for path in ("/v1/interests", f"/v1/interests/{line.id}", "/v1/watches", "/v1/watches/x/bulletins"):
        assert (403, "not-allowed", "scope") == problem_of(desks.get(path, REGISTRAR))


def test_log_has_no_values(desks: Desks) -> None:
    """The events of an interest tell mode, count and end: no value, no case, and no plain hash of one is stored."""
    register(desks, HOLDER, PHONE, mode="open", case_ref="SIM-SECRET")
    minute(desks)
    interests(desks, HOLDER)

    bodies = b"".join(row.body or b"" for row in desks.events())
    assert ["count", "mode", "until"] == sorted(desks.details(kind="interest.registered")[0])
    assert PHONE.encode() not in bodies
    assert b"SIM-SECRET" not in bodies
    with desks.hub.store.read() as conn:
        digests = conn.scalars(select(tables.interest_value.c.digest)).all()
    assert matching.digests(desks.hub.secret.index_key, [("phone", PHONE)]) == [("phone", digests[0])]
    assert matching.digests(b"", [("phone", PHONE)]) != [("phone", digests[0])]


def test_daily_quota(desks: Desks) -> None:
    """After 500 indicators in a day the next is refused with the time to wait, logged, and taken after it."""
    batches = matching.DAILY_INDICATORS_MAX // 100
    for number in range(batches):
        register(desks, HOLDER, *(f"+65{number:04}{n:04}" for n in range(100)))
        desks.clock.advance(60)

    refused = desks.post(order(desks, HOLDER, PHONE), ORDER)

    wait_s = int(refused.headers["Retry-After"])
    assert (429, "quota-exceeded", "indicators") == problem_of(refused)
    assert matching.DAY_S - (batches + 1) * 60 < wait_s <= matching.DAY_S
    assert [{"code": "quota-exceeded", "member": "indicators"}] == desks.details(kind="order.refused")
    assert [] == told(desks, SEEKER)
    desks.clock.advance(wait_s - 2)
    assert 429 == desks.post(order(desks, HOLDER, PHONE), ORDER).status_code
    desks.clock.advance(4)
    assert 202 == desks.post(order(desks, HOLDER, PHONE), ORDER).status_code


def test_ending_frees_no_daily_quota(desks: Desks) -> None:
    """Ended interests count against the day: nobody asks for more by ending what was asked."""
    for number in range(matching.DAILY_INDICATORS_MAX // 100):
        end(desks, HOLDER, register(desks, HOLDER, *(f"+65{number:04}{n:04}" for n in range(100))))

    assert 429 == desks.post(order(desks, HOLDER, PHONE), ORDER).status_code
    assert 202 == desks.post(order(desks, SEEKER, PHONE), ORDER).status_code


def test_standing_quota(desks: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """When as many interests stand as may, the next is refused until one ends."""
    monkeypatch.setattr(matching, "STANDING_MAX", 3)
    ids = [register(desks, HOLDER, PHONE) for _ in range(3)]

    refused = desks.post(order(desks, HOLDER, PHONE), ORDER)

    assert (429, "quota-exceeded", "act") == problem_of(refused)
    assert 0 < int(refused.headers["Retry-After"]) <= 30 * 86_400
    end(desks, HOLDER, ids[0])
    assert 202 == desks.post(order(desks, HOLDER, PHONE), ORDER).status_code


@pytest.mark.parametrize(
    ("recent", "count", "wait"),
    [
        ([], 500, 0),
        ([(1_000, 400)], 100, 0),
        ([(1_000, 401)], 100, 1_000 + matching.DAY_S - 2_000),
        ([(1_000, 100), (1_500, 400)], 1, 1_000 + matching.DAY_S - 2_000),
        ([(1_000, 100), (1_500, 400)], 101, 1_500 + matching.DAY_S - 2_000),
    ],
)
def test_wait(recent: list[tuple[int, int]], count: int, wait: int) -> None:
    """The wait ends when enough of what was registered is a day old."""
    assert wait == matching.wait_s(recent, count, 2_000)


@given(st.sampled_from(MODES), st.sampled_from(MODES))
def test_table_is_symmetric(earlier: str, later: str) -> None:
    """Who is told does not depend on who came first: exchanging the two exchanges the tellings."""
    one = matching.tellings(Pair(1, 10, earlier, 2, 20, later))
    two = matching.tellings(Pair(2, 20, later, 1, 10, earlier))

    assert sorted(one, key=lambda row: row["seq"]) == sorted(two, key=lambda row: row["seq"])
    assert {row["other"] for row in one} == {seq for seq, mode in ((1, earlier), (2, later)) if mode != "silent"}


@given(
    st.lists(
        st.tuples(
            st.sampled_from([HOLDER, SEEKER, THIRD]),
            st.sampled_from(MODES),
            st.sets(st.integers(0, 3), min_size=1),
            st.booleans(),
        ),
        max_size=8,
    )
)
def test_matches_follow_the_table(registered: list[tuple[str, str, set[int], bool]]) -> None:
    """Over any order of registrations and minutes, each side is told exactly what the modes of both allow."""
    with closing(Paper()) as found:
        for agency, mode, values, with_minute in registered:
            found.register(agency, mode, values)
            if with_minute:
                found.tick()
        found.tick()

        assert found.expected() == found.told()


class Paper:
    """The rows of matching in a database of their own, without a log."""

    def __init__(self) -> None:
        """Begin empty."""
        self._engine = create_engine("sqlite://")
        self._conn = self._engine.connect()
        tables.metadata.create_all(self._conn)
        self._all: list[tuple[int, str, str, list[int]]] = []
        self._unchecked: list[int] = []

    def register(self, agency: str, mode: str, values: set[int]) -> None:
        """Register an interest in these values."""
        seq, places = len(self._all), sorted(values)
        found = rows.StoredInterest(seq, str(seq), agency, mode, "SIM", at=0, until=100, count=1, checked_seq=None)
        rows.add(self._conn, found, [("phone", bytes([value])) for value in places])
        self._all.append((seq, agency, mode, places))
        self._unchecked.append(seq)

    def tick(self) -> None:
        """Tell what a minute tells."""
        pairs = rows.pairs(self._conn, self._unchecked, now=1)
        told = [row for pair in pairs for row in matching.tellings(pair)]
        if told:
            rows.tell(self._conn, told)
        self._unchecked = []

    def told(self) -> set[tuple[int, int, int]]:
        """Return everything told: interest, place, the other interest."""
        found = self._conn.execute(select(tables.match.c.seq, tables.match.c.place, tables.match.c.other))
        return {(seq, place, other) for seq, place, other in found}

    def close(self) -> None:
        """Close the database."""
        self._conn.close()
        self._engine.dispose()

    def expected(self) -> set[tuple[int, int, int]]:
        """Return what the table of modes says, by looking at every pair."""
        return {
            (seq, place, other)
            for seq, agency, _, places in self._all
            for place, value in enumerate(places)
            for other, whose, mode, values in self._all
            if whose != agency and value in values and mode != "silent"
        }
