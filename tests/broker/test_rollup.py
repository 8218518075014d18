"""Counts by hour, day, month: the same as counting the events one by one, at every step of rolling them up."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import insert, text
from sqlalchemy.event import listen

from broker import rollup as stepping
from broker.batch import Batch, Head
from broker.hub import Hub
from broker.store import audit, log, rollup, tables
from broker.store.engine import Connection
from broker.store.rollup import DAY, HOUR_US, Cell, Wanted
from lintas.directory import Directory
from lintas.event import US_PER_S

GAPS_S = (1, 7, 50 * 60, 3_600, 5 * 3_600, 26 * 3_600)
PARTIES, KINDS = ("my-police", "sg-fiu", "*"), ("view.read", "bulletin.refused", "bulletin.accepted")
COUNT, A_COMMIT = 120, 40


@pytest.fixture
def filled(small_hub: Hub) -> Iterator[Connection]:
    """A log whose events lie seconds to days apart, some with topic and marking; nothing is rolled up."""
    with small_hub.store.write() as conn:
        time = log.head(conn)[1]
        for number in range(COUNT):
            time += GAPS_S[number * number % len(GAPS_S)] * US_PER_S
            batch = Batch(conn, Head.load(conn), Directory(""), now_us=time)
            kind = KINDS[number % 3]
            seq = batch.append(kind, PARTIES[number % 7 % 3], detail={})
            batch.finish()
            if kind == "bulletin.accepted":
                conn.execute(insert(tables.line), _line(seq, number))
        yield conn
        conn.rollback()
        conn.begin()


def _line(seq: int, number: int) -> dict[str, Any]:
    members = dict.fromkeys(column.name for column in tables.line.c)
    facts = {"seq": seq, "id": f"id-{seq}", "typ": "t", "iss": "i", "kid": "k", "at": 1, "withdraws": False}
    return members | facts | {"is_personal": False, "topic": ("drugs", "wildlife")[number % 2], "tlp_rank": number % 5}


def counted(conn: Connection, low: int, high: int) -> dict[Cell, int]:
    """Count one by one."""
    found = Counter[Cell]()
    rows = log.search(conn, log.EventFilter(), before=high, limit=1_000)
    headers = audit.headers(conn, [row.seq for row in rows])
    for row in rows:
        if row.seq >= low:
            found[Cell(row.party, row.kind, *headers.get(row.seq, (rollup.NO_TOPIC, rollup.NO_TLP)))] += 1
    return dict(found)


@pytest.mark.parametrize("upto", [0, 1, 50, COUNT])
def test_cells_are_what_is_there(filled: Connection, upto: int) -> None:
    """Any range, rolled up as far as it may be, has the counts that its events have."""
    size, _ = log.head(filled)
    for start in range(0, upto, 25):
        rollup.roll_up(filled, start, min(upto, start + 25))
    bounds = [(low, high) for low in range(0, size, 13) for high in range(low, size + 1, 17)] + [(0, size)]

    expected = {bound: counted(filled, *bound) for bound in bounds}

    assert expected == {bound: rollup.cells(filled, None, bound, upto) for bound in bounds}


@pytest.mark.parametrize("span_us", [30 * US_PER_S, HOUR_US, DAY * HOUR_US])
@pytest.mark.parametrize("topics", [None, frozenset({"drugs"})])
def test_bars_are_what_is_there(filled: Connection, span_us: int, topics: frozenset[str] | None) -> None:
    """The bars of a filter hold its events by half a minute, hour or day, whatever is rolled up."""
    size, _ = log.head(filled)
    rollup.roll_up(filled, 0, 80)
    kinds = frozenset({"view.read", "bulletin.refused", "bulletin.accepted"})
    wanted = Wanted(9, size - 3, parties=frozenset({"my-police"}), kinds=kinds, topics=topics)

    rows = log.search(filled, log.EventFilter(party="my-police"), before=wanted.high, limit=1_000)
    headers = audit.headers(filled, [row.seq for row in rows])
    expected = Counter(
        (row.time // span_us * span_us, row.kind)
        for row in rows
        if row.seq >= wanted.low
        and row.kind in kinds
        and (topics is None or headers.get(row.seq, ("", 0))[0] in topics)
    )

    assert expected
    assert dict(expected) == rollup.bars(filled, wanted, span_us, 80)


@pytest.mark.parametrize("newest", [True, False])
@pytest.mark.parametrize(
    "facets",
    [
        {},
        {"parties": frozenset({"sg-fiu"})},
        {"kinds": frozenset({"bulletin.refused"}), "parties": frozenset({"*", "sg-fiu"})},
        {"topics": frozenset({"wildlife"}), "tlps": frozenset({1, 3})},
        {"parties": frozenset()},
    ],
)
def test_page_has_what_fits_in_order(filled: Connection, facets: dict[str, Any], *, newest: bool) -> None:
    """A page holds the first events that fit, from either end, however they are found."""
    size, _ = log.head(filled)
    rollup.roll_up(filled, 0, 90)
    wanted = Wanted(5, size - 2, **facets)

    every = audit.part(filled, wanted, before=size, limit=1_000)
    ordered = [row.seq for row in (every if newest else every[::-1])]

    assert ordered[:7] == [row.seq for row in audit.page(filled, wanted, limit=7, newest=newest)]
    assert ordered == [row.seq for row in audit.page(filled, wanted, limit=1_000, newest=newest)]


def test_follows_the_head_in_steps(small_hub: Hub) -> None:
    """The log is rolled up once enough is behind, never what the present commit adds, and all of it in the end."""
    roller, sizes = stepping.Rollup(behind_min=A_COMMIT), []
    for _ in range(3):
        with small_hub.store.write() as conn:
            batch = Batch(conn, Head.load(conn), Directory(""), now_us=small_hub.clock())
            for _ in range(A_COMMIT):
                batch.append("view.read", "my-police", detail={})
            roller.record(batch)
            batch.finish()
            sizes.append(rollup.size(conn))
    with small_hub.store.read() as conn:
        size, _ = log.head(conn)
        total = sum(rollup.cells(conn, None, (0, size), rollup.size(conn)).values())

    assert ([0, size - 2 * A_COMMIT, size - A_COMMIT], size) == (sizes, total)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE rollup SET count = count + 1 WHERE width = 1 AND kind = 'view.read' AND party = '*'",
        "UPDATE rollup SET tlp_rank = 5 WHERE width = 24 AND tlp_rank = 2",
        "DELETE FROM rollup WHERE width = 672 AND topic = 'drugs'",
        "UPDATE rolled SET size = size - 1",
        "UPDATE rolled SET size = 1000000",
    ],
)
def test_what_does_not_fit_is_found_and_counted_anew(filled: Connection, statement: str) -> None:
    """Counts of any width that are not those of the log are found; counted anew they are what they were."""
    size, _ = log.head(filled)
    rollup.roll_up(filled, 0, 90)
    before = rollup.fits(filled)
    filled.execute(text(statement))
    spoilt = rollup.fits(filled)
    rollup.recount(filled, size)

    assert [True, False, True] == [before, spoilt, rollup.fits(filled)]
    assert size == rollup.size(filled)
    assert counted(filled, 0, size) == rollup.cells(filled, None, (0, size), size)


def test_nothing_fits_nothing(filled: Connection) -> None:
    """A log that is not rolled up yet has counts that fit."""
    assert rollup.fits(filled)


def test_beginning_of_an_id_is_looked_up(filled: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events about lines whose ids begin so are found by the index; without it they are the same."""
    seqs = [log.head(filled)[0] + number for number in range(6)]
    for seq, object_id in zip(seqs, ("ab-1", "ab_1", "aB-1", "abz", "ab", "ac"), strict=True):
        batch = Batch(filled, Head.load(filled), Directory(""), now_us=log.head(filled)[1] + seq)
        batch.append("bulletin.opened", "my-police", object_id=object_id, detail={})
        batch.finish()
    asked: list[tuple[str, Any]] = []
    listen(filled, "before_cursor_execute", lambda *each: asked.append(each[2:4]))
    found = [row.seq for row in audit.about(filled, "ab", Wanted())]
    statement, values = asked[-1]
    is_postgres = filled.dialect.name == "postgresql"
    if is_postgres:
        filled.execute(text("SET LOCAL enable_seqscan = off"))
    plan = str(filled.exec_driver_sql(f"EXPLAIN {'' if is_postgres else 'QUERY PLAN'} {statement}", values).all())

    assert [seqs[place] for place in (4, 3, 1, 0)] == found
    assert re.search(r"SEARCH event USING INDEX ix_event_object_seq \(object>|Index Cond: \(\(object >= ", plan), plan
    if is_postgres:
        monkeypatch.setattr(audit, "sorts_by_bytes", lambda _conn: False)
        assert found == [row.seq for row in audit.about(filled, "ab", Wanted())]
