"""Tests of what a client remembers between runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from lintas.errors import Unpinned
from lintas.state import REFUSED, REPLACED, SENT, WAITING, ControlRow, Outgoing, Released, State


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    """A new state file."""
    state = State(tmp_path / "my-police.state", log_key="key")
    yield state
    state.close()


def test_state_outlives_its_process(tmp_path: Path) -> None:
    """What was put is there when the file is opened again."""
    path = tmp_path / "a.state"
    first = State(path, log_key="key")
    first.put("cursor", 7)
    first.put("note", b"bytes")
    first.close()
    second = State(path, log_key="key")
    found = (second.get_int("cursor", 0), second.get("note"), second.get("log_key"))
    second.close()

    assert (7, b"bytes", b"key") == found


def test_state_belongs_to_one_log(tmp_path: Path) -> None:
    """A state is not opened for a log with another key."""
    State(tmp_path / "a.state", log_key="key").close()

    with pytest.raises(Unpinned):
        State(tmp_path / "a.state", log_key="other")


def test_absent_values(state: State) -> None:
    """What was never put is None, or the default given."""
    assert (None, -1) == (state.get("nothing"), state.get_int("nothing", -1))


def test_value_is_replaced(state: State) -> None:
    """A value put again replaces the one before; a negative number is kept as one."""
    state.put("cursor", 1)
    state.put("cursor", -2)

    assert -2 == state.get_int("cursor", 0)


def test_transaction_is_whole(state: State) -> None:
    """What a transaction did is undone when it fails, kept when it ends."""
    with state.transaction():
        state.put("kept", 1)
    with pytest.raises(KeyError), state.transaction():  # noqa: PT012 - the write is what the fault undoes
        state.put("lost", 1)
        raise KeyError

    assert (b"1", None) == (state.get("kept"), state.get("lost"))


def test_every_change_is_synced(state: State) -> None:
    """A change is on disk before it is said to be made."""
    modes = [state._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "journal_mode")]

    assert [2, "wal"] == modes


def test_control_events_in_log_order(state: State) -> None:
    """The events of the directory come back in the order of the log, with their lines."""
    rows = [ControlRow(5, b"five", b"line"), ControlRow(0, b"zero", None)]
    for row in rows:
        state.add_control(row)

    assert rows[::-1] == state.control()


def test_control_event_once(state: State) -> None:
    """An event of the directory is remembered once."""
    state.add_control(ControlRow(5, b"five", None))

    with pytest.raises(sqlite3.IntegrityError):
        state.add_control(ControlRow(5, b"other", None))


def test_released_until_seen(state: State) -> None:
    """What was released is unseen until it is delivered."""
    rows = [Released("a", 3, 2, 9, 99, "cyber", "GREEN"), Released("b", 5, 4, 9, 99, "drugs", "AMBER", beyond=True)]
    state.add_released(rows)
    before = (state.unseen(2), state.unseen(3), state.unseen(9))
    state.mark_seen(["a"])

    assert ([], rows[:1], rows) == before
    assert rows[1:] == state.unseen(9)


def test_seen_before_its_release(state: State) -> None:
    """What was delivered before its event was read counts as seen, and as released only from then on."""
    state.mark_seen(["a"])
    before = state.released(["a"])
    released = Released("a", 3, 2, 9, 99, "cyber", "GREEN")
    state.add_released([released])

    assert ({}, {"a": released}, []) == (before, state.released(["a", "b"]), state.unseen(9))


def test_outbox_in_order(state: State) -> None:
    """Lines wait in the order they were put in."""
    for line_id in ("c", "a", "b"):
        state.enqueue(line_id, line_id.encode())

    assert ["c", "a", "b"] == [each.id for each in state.outgoing()]


def test_outbox_settles(state: State) -> None:
    """An accepted line has its place and receipt; a later answer without one keeps it."""
    state.enqueue("a", b"line", "tag")
    state.settle("a", seq=7, receipt=b"proof")
    state.settle("a", seq=7, receipt=None)

    assert [Outgoing("a", b"line", SENT, 7, b"proof", None, "tag")] == state.outgoing(SENT)
    assert [] == state.outgoing(WAITING)


def test_outbox_refuses(state: State) -> None:
    """A refused line waits no more, and is kept with the problem."""
    state.enqueue("a", b"line")
    state.refuse("a", "tlp-above-ceiling")

    assert ([], [Outgoing("a", b"line", REFUSED, None, None, "tlp-above-ceiling", None)]) == (
        state.outgoing(),
        state.outgoing(REFUSED),
    )


def test_tag_is_used_once(state: State) -> None:
    """Two lines cannot have one tag; lines without a tag do not clash."""
    state.enqueue("a", b"a", "tag")
    state.enqueue("b", b"b")
    state.enqueue("c", b"c")

    with pytest.raises(sqlite3.IntegrityError):
        state.enqueue("d", b"d", "tag")
    assert ("a", None) == (found.id if (found := state.by_tag("tag")) else "", state.by_tag("other"))


def test_line_is_enqueued_once(state: State) -> None:
    """The same line put in twice waits once."""
    state.enqueue("a", b"a")
    state.enqueue("a", b"a")

    assert ["a"] == [each.id for each in state.outgoing()]


def test_successor_takes_the_tag(state: State) -> None:
    """A line signed anew stands last and has the tag; the earlier one is kept."""
    state.enqueue("old", b"old", "tag")
    state.enqueue("other", b"other")
    state.replace("old", "new", b"new")

    assert ["other", "new"] == [each.id for each in state.outgoing()]
    assert [("old", b"old", None)] == [(each.id, each.line, each.tag) for each in state.outgoing(REPLACED)]
    assert "new" == (found.id if (found := state.by_tag("tag")) else "")


def test_successor_of_an_unknown_line(state: State) -> None:
    """A line that was not in the outbox has a successor without a tag."""
    state.replace("never", "new", b"new")

    assert [("new", None)] == [(each.id, each.tag) for each in state.outgoing()]
