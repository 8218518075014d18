"""What one commit adds: rows, numbers, times, releases."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import select, text

from broker import batch as batches
from broker.batch import Batch, Head
from broker.hub import Hub
from broker.store import lines, log, tables
from lintas.directory import Directory
from lintas.event import entry_of
from lintas.merkle import Frontier, leaf_hash
from tests.broker.conftest import Desks, IdentityOf

ISSUER, READER, OTHER = "my-police", "sg-fiu", "th-cert"
LATE_US = 4_000_000_000_000_000


def begin(hub: Hub, conn: Any, now_us: int = LATE_US) -> Batch:
    """Begin a batch at the head of the hub's log."""
    return Batch(conn, Head.load(conn), Directory("hub"), now_us=now_us)


def rows_from(conn: Any, start: int) -> list[log.LogRow]:
    """Return the rows of the log from an index on."""
    size, _ = log.head(conn)
    return list(log.rows(conn, start, size))


def test_nothing(small_hub: Hub) -> None:
    """A batch to which nothing was added writes nothing."""
    with small_hub.store.write() as conn:
        assert begin(small_hub, conn).finish() is None


def test_leaves(small_hub: Hub) -> None:
    """Each event becomes a leaf with the tree nodes it completes; the new head is the old one extended."""
    with small_hub.store.write() as conn:
        batch = begin(small_hub, conn)
        old = Head.load(conn)
        first = batch.append("view.read", READER, detail={"view": "a"})
        second = batch.append("view.read", READER, detail={"view": "b"})
        head = batch.finish()

        found = rows_from(conn, old.size)

    assert head is not None
    frontier: Frontier = old.frontier
    for row in found:
        assert entry_of(row.body or b"") == row.entry
        frontier, nodes = frontier.append(leaf_hash(row.entry))
        assert nodes == row.nodes
    assert ([first, second], old.size + 2) == ([row.seq for row in found], head.size)
    assert frontier == head.frontier


def test_numbers_per_party(small_hub: Hub) -> None:
    """Each party's events are numbered from the last one stored, without a gap."""
    with small_hub.store.write() as conn:
        batch = begin(small_hub, conn)
        stars = batch.party_seq("*")
        for party in ("*", READER, "*", OTHER, READER):
            batch.append("view.read", party, detail={})
        batch.finish()

        found = [(row.party, row.party_seq) for row in rows_from(conn, Head.load(conn).size - 5)]

    assert [("*", stars + 1), (READER, 1), ("*", stars + 2), (OTHER, 1), (READER, 2)] == found


def test_numbers_go_on_over_commits(small_hub: Hub) -> None:
    """The next batch goes on where the last ended, whether its head was kept or read again."""
    with small_hub.store.write() as conn:
        batch = begin(small_hub, conn)
        batch.append("view.read", READER, detail={})
        kept = batch.finish()
        assert kept is not None

        assert 1 == Batch(conn, kept, Directory("hub"), now_us=LATE_US).party_seq(READER)
        assert 1 == begin(small_hub, conn).party_seq(READER)


def test_time_rises(small_hub: Hub) -> None:
    """Times rise strictly, also when the clock runs backwards."""
    with small_hub.store.write() as conn:
        before = Head.load(conn)
        batch = begin(small_hub, conn, now_us=5)
        for _ in range(3):
            batch.append("view.read", READER, detail={})
        head = batch.finish()

        times = [row.time for row in rows_from(conn, before.size)]

    assert [before.time + 1, before.time + 2, before.time + 3] == times
    assert head is not None
    assert times[-1] == head.time


def test_time_follows_the_clock(small_hub: Hub) -> None:
    """A clock that is ahead of the log is believed."""
    with small_hub.store.write() as conn:
        batch = begin(small_hub, conn)
        seq = batch.append("view.read", READER, detail={})
        now = batch.now
        batch.finish()

        event = log.event_at(conn, seq)

    assert event is not None
    assert (LATE_US, LATE_US // 1_000_000) == (event.time, now)


def test_bodies_are_salted(small_hub: Hub) -> None:
    """Two events that say the same have different salts, so nobody guesses one from its hash."""
    with small_hub.store.write() as conn:
        batch = begin(small_hub, conn)
        batch.append("view.read", READER, detail={})
        batch.append("view.read", READER, detail={})
        batch.finish()

        salts = {json.loads(row.body or b"")["salt"] for row in rows_from(conn, Head.load(conn).size - 2)}

    assert 2 == len(salts)


def accept(batch: Batch, line: Any, *agencies: str) -> int:
    """Keep a line as accepted and release it."""
    seq = batch.append("bulletin.accepted", line.header.iss, object_id=line.id, detail={})
    batch.keep(line, seq)
    for agency in agencies:
        batch.release(line, seq, agency)
    return seq


def test_line_columns(small_hub: Hub, inner: Desks) -> None:
    """A line is stored with the columns of its header and the second of its event."""
    line = inner.bulletin(ISSUER, [READER], tlp="GREEN")
    with small_hub.store.write() as conn:
        batch = begin(small_hub, conn)
        seq = accept(batch, line)
        batch.finish()

        stored = lines.by_id(conn, line.id)

    header = line.header
    assert (
        lines.StoredLine(
            seq,
            line.id,
            header.typ,
            line.raw,
            ISSUER,
            header.kid,
            LATE_US // 1_000_000,
            header.exp,
            "alert",
            "cyber.scam",
            "routine",
            1,
            withdraws=False,
            is_personal=False,
            is_said_of=False,
        )
        == stored
    )


def test_releases(small_hub: Hub, inner: Desks) -> None:
    """One event a recipient names all that the batch released to it, and each row points at its event."""
    first, second = inner.bulletin(ISSUER, [READER]), inner.bulletin(ISSUER, [READER, OTHER])
    with small_hub.store.write() as conn:
        batch = begin(small_hub, conn)
        seqs = [accept(batch, first, READER), accept(batch, second, READER, OTHER)]
        batch.withhold(seqs[0], OTHER, "suspended")
        batch.finish()

        events = {
            row.party: (row.seq, json.loads(row.body or b"")["detail"]["ids"]) for row in rows_from(conn, seqs[1] + 1)
        }
        stored = conn.execute(select(tables.recipient)).all()

    assert {READER: [first.id, second.id], OTHER: [second.id]} == {party: ids for party, (_, ids) in events.items()}
    assert {
        (READER, seqs[0], "released", events[READER][0]),
        (READER, seqs[1], "released", events[READER][0]),
        (OTHER, seqs[1], "released", events[OTHER][0]),
        (OTHER, seqs[0], "suspended", None),
    } == {tuple(row) for row in stored}


def test_many_releases(small_hub: Hub, inner: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """More releases than one event may name are split, each row pointing at the event that names it."""
    monkeypatch.setattr(batches, "RELEASED_MAX", 2)
    posted = [inner.bulletin(ISSUER, [READER]) for _ in range(3)]
    with small_hub.store.write() as conn:
        batch = begin(small_hub, conn)
        last = [accept(batch, line, READER) for line in posted][-1]
        batch.finish()

        named = {row.seq: json.loads(row.body or b"")["detail"]["ids"] for row in rows_from(conn, last + 1)}
        found = {line.id: lines.released_seq(conn, lines.known(conn, [line.id])[line.id], READER) for line in posted}

    assert {last + 1: [posted[0].id, posted[1].id], last + 2: [posted[2].id]} == named
    assert {posted[0].id: last + 1, posted[1].id: last + 1, posted[2].id: last + 2} == found


def test_find(small_hub: Hub, inner: Desks) -> None:
    """A bulletin is found with its audience within the batch that accepts it, and the same way after."""
    line = inner.bulletin(ISSUER, [READER, OTHER])
    with small_hub.store.write() as conn:
        batch = begin(small_hub, conn)
        seq = accept(batch, line, READER)
        batch.withhold(seq, OTHER, "not-entitled")
        within = batch.find(line.id)
        batch.finish()

        after = begin(small_hub, conn).find(line.id)

    assert within == after
    assert after is not None
    assert (seq, ISSUER, 2, frozenset({READER})) == (after.seq, after.iss, after.tlp_rank, after.audience)


def test_find_another_kind(small_hub: Hub) -> None:
    """A key line is no bulletin to refer to; an unknown id is none either."""
    with small_hub.store.write() as conn:
        line_id = conn.scalar(select(tables.line.c.id))
        assert line_id is not None

        batch = begin(small_hub, conn)

        assert (None, None) == (batch.find(line_id), batch.find("A" * 43))


@pytest.mark.parametrize(
    ("relation", "withdraws"),
    [("recalls", True), ("recalls-part", True), ("supersedes", True), ("answers", False), ("comments", False)],
)
def test_newest_withdrawal(small_hub: Hub, relation: str, withdraws: bool) -> None:  # noqa: FBT001 - a table
    """A batch knows the index of its newest withdrawal; other references are none."""
    with small_hub.store.write() as conn:
        batch = begin(small_hub, conn)
        before = batch.withdrawn
        seq = batch.append("bulletin.accepted", ISSUER, detail={})
        batch.refer(seq, relation, 1)
        within = batch.withdrawn
        head = batch.finish()

        stored = conn.execute(select(tables.ref)).all()

    expected = seq if withdraws else before
    assert head is not None
    assert (expected, expected) == (within, head.withdrawn)
    assert [(1, relation, seq)] == [tuple(row) for row in stored]


def test_line_twice(small_hub: Hub, inner: Desks, identity_of: IdentityOf) -> None:
    """The database refuses a second row for one id, whatever the code above it believes."""
    line = inner.bulletin(ISSUER, [READER])
    with small_hub.store.write() as conn:
        batch = begin(small_hub, conn)
        accept(batch, line)
        batch.finish()
        again = begin(small_hub, conn)
        accept(again, line)

        with pytest.raises(Exception, match=r"UNIQUE constraint failed: line\.id|uq_line_id"):
            again.finish()
        conn.execute(text("ROLLBACK"))
        conn.execute(text("BEGIN"))
