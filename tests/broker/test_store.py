"""The database: what triggers refuse, what a feed holds, how rows are walked."""

from __future__ import annotations

import contextlib
import hmac
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, event, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from broker.hub import Hub
from broker.settings import Settings
from broker.store import delivery, engine, indicators, invites, lines, log, migrate
from broker.store.engine import Store
from broker.store.lines import Reader
from broker.store.tables import line, recipient
from lintas.filter import EVERYTHING as WHOLE
from lintas.filter import read_filter
from tests.databases import Databases, spoil


class Undone(Exception):
    """Ends a transaction that is to leave nothing."""


EVERYTHING = Reader("sg-fiu", None, 4)


@pytest.fixture
def store(tmp_path: Path, databases: Databases) -> Iterator[Store]:
    """An empty database of this version."""
    found = Store(databases.url(tmp_path / "store"))
    with found.write() as conn:
        migrate.upgrade(conn)
    yield found
    found.close()


def add_line(conn: Connection, seq: int, **changes: Any) -> None:
    """Insert a bulletin at this index."""
    row: dict[str, Any] = {
        "seq": seq,
        "id": f"id-{seq}",
        "typ": "vnd.lintas.bulletin",
        "raw": b"line-%d" % seq,
        "iss": "my-police",
        "kid": "k",
        "at": seq,
        "exp": 100,
        "kind": "alert",
        "topic": "cyber.scam",
        "urgency": "routine",
        "tlp_rank": 2,
        "withdraws": False,
        "is_personal": False,
    }
    agencies = changes.pop("to", ("sg-fiu",))
    lines.insert_lines(conn, [row | changes])
    for agency in agencies:
        recipient = {"agency": agency, "seq": seq, "state": "released", "released_seq": seq + 500}
        lines.insert_recipients(conn, [recipient])


def feed(conn: Connection, reader: Reader = EVERYTHING, after: int = -1, limit: int = 100, **wanted: Any) -> list[int]:
    """Return the indexes of a page of a feed."""
    ref_to = wanted.pop("ref_to", None)
    rows = lines.feed(conn, reader, read_filter(wanted), after=after, limit=limit, ref_to=ref_to)
    return [row.seq for row in rows]


@pytest.mark.parametrize("table", ["log", "checkpoint"])
@pytest.mark.parametrize("statement", ["UPDATE {table} SET {column} = {column}", "DELETE FROM {table}"])
def test_append_only(small: Settings, table: str, statement: str) -> None:
    """Leaves and checkpoints can be neither changed nor deleted."""
    column = {"log": "nodes", "checkpoint": "note"}[table]
    found = Store(small.database)

    with pytest.raises(DBAPIError, match=f"{table} is append-only"), found.write() as conn:
        conn.execute(text(statement.format(table=table, column=column)))
    found.close()


def test_index_of_the_log_is_unique(small: Settings) -> None:
    """A second leaf at one index is refused by the database: no fork within one."""
    found = Store(small.database)

    with pytest.raises(IntegrityError, match=r"constraint failed: log\.seq|\"pk_log\""), found.write() as conn:
        spoil(conn, "INSERT INTO log VALUES (0, zeroblob(32), zeroblob(32))")
    found.close()


def test_numbers_of_a_party_are_unique(small: Settings) -> None:
    """A second event of one number is refused by the database."""
    found = Store(small.database)

    with (
        pytest.raises(IntegrityError, match=r"event\.party, event\.party_seq|uq_event_party_party_seq"),
        found.write() as conn,
    ):
        spoil(conn, "INSERT INTO event VALUES (99, 1, 'view.read', '*', 1, NULL, x'00')")
    found.close()


def test_durable(store: Store) -> None:
    """A commit that returned survives a power cut: write-ahead log, every commit synced."""
    asked = ("SHOW wal_level", "SHOW synchronous_commit") if store.is_shared else ("journal_mode", "synchronous")
    with store.write() as conn:
        found = [conn.execute(text(each if store.is_shared else f"PRAGMA {each}")).scalar() for each in asked]

    assert (["replica", "on"] if store.is_shared else ["wal", 2]) == found


def test_lazy_commit(store: Store) -> None:
    """What is committed lazily is seen at once, a failure leaves nothing, and later commits are synced again."""
    with store.write_lazily() as conn:
        add_line(conn, 1)
    with contextlib.suppress(Undone), store.write_lazily() as conn:
        add_line(conn, 2)
        raise Undone

    with store.read() as conn:
        assert [1] == feed(conn)
    test_durable(store)


def test_lazy_commit_is_not_synced(store: Store) -> None:
    """A lazy commit on SQLite does not wait for the disk; on Postgres, which may lose it alone, it does."""
    with store.write_lazily() as conn:
        asked = "SHOW synchronous_commit" if store.is_shared else "PRAGMA synchronous"
        assert ("on" if store.is_shared else 1) == conn.execute(text(asked)).scalar()


@pytest.mark.parametrize("count", [0, 1, 7, 8, 41, 300])
def test_rows_in_bulk(store: Store, count: int) -> None:
    """However many rows are inserted at once, each is there with all its values."""
    rows = [
        {"agency": f"sg-a{number}", "seq": number, "state": "released", "released_seq": number % 3 or None}
        for number in range(count)
    ]
    with store.write() as conn:
        lines.insert_recipients(conn, rows)

        found = conn.execute(select(recipient).order_by(recipient.c.seq)).mappings().all()

    assert rows == [dict(row) for row in found]


@given(key=st.binary(max_size=80), value=st.text(st.characters(codec="utf-8"), max_size=20))
def test_digest_is_hmac(key: bytes, value: str) -> None:
    """What stands for an indicator is its HMAC-SHA-256, whatever the length of the key."""
    assert hmac.digest(key, f"phone\0{value}".encode(), "sha256") == indicators.digest(key, "phone", value)


def test_known_of_many(store: Store) -> None:
    """Any number of ids is looked up at once, more than a statement has room for parameters."""
    with store.write() as conn:
        add_line(conn, 1)
        stored = conn.execute(select(line.c.id)).scalar_one()

        assert {stored: 1} == lines.known(conn, [stored, *map(str, range(70_000))])


def test_rolled_back(store: Store) -> None:
    """A transaction that fails leaves nothing, and the connection is good for the next one."""
    with contextlib.suppress(Undone), store.write() as conn:
        add_line(conn, 1)
        raise Undone

    with store.write() as conn:
        assert [] == feed(conn)
        add_line(conn, 1)


def test_readers_see_one_state(store: Store) -> None:
    """A reader sees the state at which it began, whatever is written meanwhile."""
    with store.write() as conn:
        add_line(conn, 1)
    with store.read() as reading:
        before = feed(reading)
        with store.write() as conn:
            add_line(conn, 2)
        during = feed(reading)
    with store.read() as reading:
        after = feed(reading)

    assert ([1], [1], [1, 2]) == (before, during, after)


def test_feed_merges(store: Store) -> None:
    """A feed is what is addressed to the reader or to everyone, in log order, never the reader's own."""
    with store.write() as conn:
        add_line(conn, 1)
        add_line(conn, 2, to=("*",))
        add_line(conn, 3, to=("th-cert",))
        add_line(conn, 4)
        add_line(conn, 5, to=("*",), iss="sg-fiu")
        add_line(conn, 6, to=("th-cert", "sg-fiu"))

        assert [1, 2, 4, 6] == feed(conn)
        assert [2, 3, 5, 6] == feed(conn, Reader("th-cert", None, 4))


def test_feed_ends_with_its_page(store: Store) -> None:
    """A page reads two indexes as far as it goes, whatever the backlog: no half is read to its end to be sorted."""
    asked: list[Any] = []
    explain = "EXPLAIN" if store.is_shared else "EXPLAIN QUERY PLAN"
    with store.read() as conn:
        event.listen(conn, "before_cursor_execute", lambda *found: asked.append((found[2], found[3])))
        feed(conn, Reader("sg-fiu", frozenset({"cyber.scam"}), 4), urgency=["flash"])
        ((statement, values),) = asked
        steps = [str(row[-1]) for row in conn.exec_driver_sql(f"{explain} {statement}", values)]

    if store.is_shared:
        # The page and each of its halves.
        assert 3 == sum("Limit" in step for step in steps)
    else:
        assert "MERGE (UNION ALL)" in steps
        assert [] == [step for step in steps if "TEMP B-TREE" in step or "SCAN" in step]


def test_feed_leaves_out_what_was_withheld(store: Store) -> None:
    """One named as recipient but not released to is not given the bulletin."""
    with store.write() as conn:
        add_line(conn, 1, to=())
        lines.insert_recipients(conn, [{"agency": "sg-fiu", "seq": 1, "state": "not-entitled", "released_seq": None}])

        assert [] == feed(conn)
        assert None is lines.released_seq(conn, 1, "sg-fiu")
        assert {"sg-fiu": "not-entitled"} == lines.recipients(conn, 1)


def test_released(store: Store) -> None:
    """The release of a bulletin is found by name, and through everyone."""
    with store.write() as conn:
        add_line(conn, 1)
        add_line(conn, 2, to=("*",))

        found = [lines.released_seq(conn, seq, agency) for seq in (1, 2, 3) for agency in ("sg-fiu", "th-cert")]

    assert [501, None, 502, 502, None, None] == found


@pytest.mark.parametrize(
    ("reader", "expected"),
    [
        (Reader("sg-fiu", None, 4), [1, 2, 3, 4]),
        (Reader("sg-fiu", None, 1), [1, 4]),
        (Reader("sg-fiu", frozenset({"drugs"}), 4), [2, 4]),
        (Reader("sg-fiu", frozenset(), 4), [4]),
        (Reader("sg-fiu", frozenset({"cyber"}), 0), [4]),
        (Reader("sg-fiu", None, 4, only_withdrawals=True), [4]),
    ],
)
def test_feed_within_bounds(store: Store, reader: Reader, expected: list[int]) -> None:
    """Topic, marking and suspension bound a feed; a withdrawal is beyond all of them."""
    with store.write() as conn:
        add_line(conn, 1, topic="cyber", tlp_rank=1)
        add_line(conn, 2, topic="drugs", tlp_rank=2)
        add_line(conn, 3, topic="cyber", tlp_rank=4)
        add_line(conn, 4, kind="recall", topic="tip", tlp_rank=4, withdraws=True)

        assert expected == feed(conn, reader)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, [1, 2, 3]),
        ({"topic": ["drugs"]}, [2]),
        ({"topic": ["cyber"]}, [1, 3]),
        ({"topic": ["cyber", "drugs"], "kind": ["alert"]}, [1, 2]),
        ({"kind": ["rfi"]}, [3]),
        ({"from": ["th-cert"]}, [2]),
        ({"from": ["vn-police"]}, []),
        ({"country": ["th"]}, [2]),
        ({"urgency": ["flash"]}, [3]),
        ({"tlp": ["AMBER"]}, [1, 3]),
        ({"tlp": ["GREEN"]}, [2]),
        ({"indicator": ["phone", "iban"]}, [1]),
        ({"indicator": ["domain"]}, []),
        ({"ref_to": "id-1"}, [2, 3]),
        ({"ref_to": "id-1", "kind": ["alert"]}, [2]),
        ({"ref_to": "nothing"}, []),
    ],
)
def test_feed_filter(store: Store, wanted: dict[str, Any], expected: list[int]) -> None:
    """A filter keeps what it names; several narrow one another."""
    with store.write() as conn:
        add_line(conn, 1)
        add_line(conn, 2, topic="drugs", iss="th-cert", tlp_rank=1)
        add_line(conn, 3, kind="rfi", urgency="flash")
        indicators.insert_indicators(conn, indicators.rows(b"key", 1, [("phone", "+6591"), ("phone", "+6592")]))
        lines.insert_refs(
            conn,
            [
                {"seq": 2, "relation": "answers", "target": 1},
                {"seq": 3, "relation": "comments", "target": 1},
                {"seq": 3, "relation": "comments", "target": 2},
            ],
        )

        assert expected == feed(conn, **wanted)


@pytest.mark.parametrize("relation", lines.WITHDRAWING)
def test_no_filter_holds_back_a_withdrawal(store: Store, relation: str) -> None:
    """What recalls or replaces an earlier bulletin comes through every filter."""
    with store.write() as conn:
        add_line(conn, 1)
        add_line(conn, 2)
        lines.insert_refs(conn, [{"seq": 2, "relation": relation, "target": 1}])

        wanted: dict[str, Any] = {"from": ["vn-police"]}

        assert [2] == feed(conn, **wanted)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory, databases: Databases) -> Iterator[Store]:
    """A database of this version that stays empty."""
    found = Store(databases.url(tmp_path_factory.mktemp("scratch") / "store"))
    with found.write() as conn:
        migrate.upgrade(conn)
    yield found
    found.close()


@given(st.lists(st.sampled_from(["own", "all", "other", "mine", "secret"]), max_size=25), st.integers(1, 6))
def test_feed_pages(scratch: Store, kinds: list[str], limit: int) -> None:
    """Pages of any size, one after another, are the whole feed once."""
    addressed = {"own": ("sg-fiu",), "all": ("*",), "other": ("th-cert",), "mine": ("*",), "secret": ("sg-fiu",)}
    seen: list[int] = []
    with contextlib.suppress(Undone), scratch.write() as conn:
        for seq, kind in enumerate(kinds):
            issuer = "sg-fiu" if kind == "mine" else "my-police"
            add_line(conn, seq, to=addressed[kind], iss=issuer, tlp_rank=4 if kind == "secret" else 1)
        while page := feed(conn, Reader("sg-fiu", None, 2), after=seen[-1] if seen else -1, limit=limit):
            seen += page
        raise Undone

    assert [seq for seq, kind in enumerate(kinds) if kind in ("own", "all")] == seen


def test_published(store: Store) -> None:
    """An issuer's own bulletins are found in log order; its key lines are none."""
    with store.write() as conn:
        add_line(conn, 1)
        add_line(conn, 2, iss="th-cert")
        add_line(conn, 3, kind=None, to=())
        add_line(conn, 4, topic="drugs")

        found = [row.seq for row in lines.published(conn, "my-police", WHOLE, after=0, limit=10)]
        narrow = [
            row.seq for row in lines.published(conn, "my-police", read_filter({"topic": ["drugs"]}), after=0, limit=10)
        ]
        rest = [row.seq for row in lines.published(conn, "my-police", WHOLE, after=1, limit=1)]

    assert ([1, 4], [4], [4]) == (found, narrow, rest)


def test_references(store: Store) -> None:
    """What was said of bulletins is found oldest first, with the id of what said it."""
    with store.write() as conn:
        for seq in (1, 2, 3):
            add_line(conn, seq)
        lines.insert_refs(
            conn, [{"seq": 3, "relation": "recalls", "target": 1}, {"seq": 2, "relation": "answers", "target": 1}]
        )

        found = lines.references(conn, [1, 2])

    assert [lines.Reference(1, "answers", "id-2"), lines.Reference(1, "recalls", "id-3")] == found


def test_every_line(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """All lines are walked in order, some at a time."""
    monkeypatch.setattr(lines, "FETCH_MAX", 2)
    with store.write() as conn:
        for seq in (5, 1, 9, 2, 7):
            add_line(conn, seq)

        assert [1, 2, 5, 7, 9] == [row.seq for row in lines.every(conn)]


def test_lines_by_id(store: Store) -> None:
    """Lines are found by id, one with its columns, many with their bytes or indexes; unknown ids are left out."""
    with store.write() as conn:
        add_line(conn, 1)
        add_line(conn, 2)

        one = lines.by_id(conn, "id-2")
        assert one is not None
        assert (2, b"line-2") == (one.seq, one.raw)
        assert lines.by_id(conn, "id-3") is None
        assert {"id-1": b"line-1"} == lines.by_ids(conn, {"id-1", "id-3"})
        assert {"id-1": 1, "id-2": 2} == lines.known(conn, ["id-1", "id-2", "id-3"])


def test_tries_of_an_invitation(store: Store) -> None:
    """Failed tries are counted by invitation and address."""
    with store.write() as conn:
        invites.add(conn, "i", b"secret")
        for source in ("a", "a", "b"):
            invites.count_try(conn, "i", source)
        invites.count_try(conn, "j", "a")

        assert (2, 1, 0) == tuple(invites.tries(conn, "i", source) for source in "abc")
        assert (b"secret", None) == (invites.secret_of(conn, "i"), invites.secret_of(conn, "j"))


def test_empty_log(store: Store) -> None:
    """An empty log has no head, checkpoint or events."""
    with store.read() as conn:
        assert (0, 0) == log.head(conn)
        assert log.newest_checkpoint(conn) is None
        assert log.checkpoint_over(conn, 0) is None
        assert log.event_at(conn, 0) is None
        assert 0 == log.frontier(conn, 0).size
        assert {} == log.counts(conn)


def test_rows_are_walked_some_at_a_time(opened: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A walk over the log that needs several reads misses nothing and stops where it should."""
    monkeypatch.setattr(log, "FETCH_MAX", 7)
    with opened.store.read() as conn:
        assert list(range(3, 24)) == [row.seq for row in log.rows(conn, 3, 24)]
        assert 5 == len(log.entries(conn, 3, 8))


def test_first_checkpoint_over_an_entry(store: Store) -> None:
    """A receipt is made under the first checkpoint that covers its entry, so it is always the same."""
    with store.write() as conn:
        for size in (3, 5, 9):
            log.add_checkpoint(conn, size, b"note-%d" % size)

        found = [log.checkpoint_over(conn, seq) for seq in (0, 2, 3, 8, 9)]

        assert [(3, b"note-3"), (3, b"note-3"), (5, b"note-5"), (9, b"note-9"), None] == found
        assert (9, b"note-9") == log.newest_checkpoint(conn)
        assert (b"note-5", None) == (log.checkpoint_at(conn, 5), log.checkpoint_at(conn, 4))
        assert [3, 5, 9] == [size for size, _ in log.checkpoints(conn)]


def test_missing_node(opened: Hub) -> None:
    """A tree node that is not stored is an error, never a guess."""
    with opened.store.read() as conn, pytest.raises(KeyError):
        log.nodes(conn, [(0, 99_999)])


def test_events_of_parties(opened: Hub) -> None:
    """Events of parties come oldest first after an index, as many as asked, of the kinds asked."""
    with opened.store.read() as conn:
        every = log.events_of(conn, {"*"}, after=-1, limit=1_000)
        some = log.events_of(conn, {"*"}, after=every[2].seq, limit=3)
        approvals = log.events_of(conn, {"*"}, after=-1, limit=1_000, kinds={"key.approved"})

    assert every[3:6] == some
    assert [row for row in every if row.kind == "key.approved"] == approvals


def test_search_before(opened: Hub) -> None:
    """A search goes from an index backwards, or from the end."""
    with opened.store.read() as conn:
        size, _ = log.head(conn)
        newest = log.search(conn, log.EventFilter(), before=None, limit=2)
        older = log.search(conn, log.EventFilter(), before=size - 2, limit=2)

    assert ([size - 1, size - 2], [size - 3, size - 4]) == ([row.seq for row in newest], [row.seq for row in older])


def test_first_sending_counts(store: Store) -> None:
    """A bulletin sent twice by one way keeps the event of the first time; another way has its own."""
    with store.write() as conn:
        delivery.insert_sent(conn, "sg-fiu", "feed", [1, 2], sent_seq=10)
        delivery.insert_sent(conn, "sg-fiu", "feed", [1], sent_seq=20)
        delivery.insert_sent(conn, "sg-fiu", "fetch", [1], sent_seq=30)

        found = [(each.way, each.sent_seq, each.received_seq) for each in delivery.of_bulletin(conn, 1)]

    assert [("feed", 10, None), ("fetch", 30, None)] == found


def test_received_up_to_the_cursor(store: Store) -> None:
    """A cursor takes over what was sent by its ways up to it, once, and nothing else."""
    with store.write() as conn:
        delivery.insert_sent(conn, "sg-fiu", "feed", [1, 2, 3], sent_seq=10)
        delivery.insert_sent(conn, "sg-fiu", "fetch", [1], sent_seq=11)
        delivery.insert_sent(conn, "th-cert", "feed", [1], sent_seq=12)
        before = delivery.is_unreceived(conn, "sg-fiu", ["feed"], 2)

        first = delivery.mark_received(conn, "sg-fiu", ["feed"], 2, received_seq=20)
        again = delivery.mark_received(conn, "sg-fiu", ["feed"], 2, received_seq=21)

        after = delivery.is_unreceived(conn, "sg-fiu", ["feed"], 2), delivery.is_unreceived(conn, "sg-fiu", ["feed"], 3)
        received = {(each.agency, each.way): each.received_seq for each in delivery.of_bulletin(conn, 1)}

    assert (True, 2, 0, (False, True)) == (before, first, again, after)
    assert {("sg-fiu", "feed"): 20, ("sg-fiu", "fetch"): None, ("th-cert", "feed"): None} == received


def test_acknowledgements(store: Store) -> None:
    """What agencies said of a bulletin is told oldest first, of all or of one."""
    with store.write() as conn:
        delivery.insert_ack(conn, 1, "th-cert", "opened", ack_seq=12)
        delivery.insert_ack(conn, 1, "sg-fiu", "opened", ack_seq=11)
        delivery.insert_ack(conn, 1, "th-cert", "acknowledged", ack_seq=14)

        everyone = [(each.agency, each.state) for each in delivery.acks(conn, 1)]
        alone = [each.seq for each in delivery.acks(conn, 1, "th-cert")]

    assert [("sg-fiu", "opened"), ("th-cert", "opened"), ("th-cert", "acknowledged")] == everyone
    assert [12, 14] == alone


def test_connection_is_tried_once_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection to a server that was tried a moment ago is taken as it is; after that it is tried again."""
    asked: list[object] = []
    tried = WeakKeyDictionary[Any, float]()

    def ping(conn: object) -> bool:
        asked.append(conn)
        return True

    class Conn:
        """Something to remember by."""

    conn, other = Conn(), Conn()
    found = [engine._ping(ping, tried, each) for each in (conn, conn, other)]  # type: ignore[arg-type]
    monkeypatch.setattr(engine, "TRIED_S", 0.0)
    found.append(engine._ping(ping, tried, conn))  # type: ignore[arg-type]

    assert [True] * 4 == found
    assert [conn, other, conn] == asked
