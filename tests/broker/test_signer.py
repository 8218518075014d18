"""Signing only what was read back: every flipped bit halts the log before a signature exists."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from broker.batch import Batch, Head
from broker.hub import Hub, read_log_key
from broker.outside import Outside
from broker.signer import LogSigner, derive, extend
from broker.store import log
from lintas import checkpoint, merkle, note
from lintas.errors import LintasError, LogHalted
from lintas.receipt import parse_receipt
from tests.databases import spoil


def commit(hub: Hub, count: int = 3) -> int:
    """Commit events without signing them; return the index of the first."""
    with hub.store.write() as conn:
        head = Head.load(conn)
        batch = Batch(conn, head, hub.directory, now_us=head.time + 10)
        for number in range(count):
            batch.append("view.read", "sg-fiu", detail={"view": str(number)})
        batch.finish()
    return head.size


def checkpoints(hub: Hub) -> list[int]:
    """Return the sizes that were signed."""
    with hub.store.read() as conn:
        return [size for size, _ in log.checkpoints(conn)]


def corrupt(hub: Hub, statement: str, **values: Any) -> None:
    """Change rows as a broken disk would, past the triggers."""
    with hub.store.write() as conn:
        spoil(conn, statement, **values)


def test_signs_new_rows(small_hub: Hub) -> None:
    """What was committed is signed once, and the checkpoint is stored."""
    small_hub.signer.start()
    first = commit(small_hub)

    signed = small_hub.signer.sign_new()

    assert signed is not None
    key = small_hub.signer.verifier
    tree = checkpoint.open_checkpoint(signed.note, origin=small_hub.signer.origin, key=key)
    assert (first + 3, first + 3) == (tree.size, signed.size)
    assert tree.size == checkpoints(small_hub)[-1]
    assert small_hub.signer.sign_new() is None


def test_receipts_without_the_database(small_hub: Hub) -> None:
    """A batch makes the receipts of all its rows from what the signer read, and they hold."""
    small_hub.signer.start()
    first = commit(small_hub, 7)
    signed = small_hub.signer.sign_new()
    assert signed is not None
    tree = checkpoint.open_checkpoint(signed.note, origin=small_hub.signer.origin, key=small_hub.signer.verifier)

    for seq in range(first, first + 7):
        receipt = parse_receipt(signed.receipt(seq))
        with small_hub.store.read() as conn:
            [row] = log.rows(conn, seq, seq + 1)
        merkle.check_inclusion(merkle.leaf_hash(row.entry), seq, tree.size, receipt.proof, tree.root)
        assert row.body == receipt.extra


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        (
            "UPDATE event SET body = CAST(body || ' ' AS BLOB) WHERE seq = :seq",
            "Row {seq}: the event body is not the one",
        ),
        ("UPDATE event SET time = time + 1 WHERE seq = :seq", "Row {seq}: the columns differ"),
        ("UPDATE event SET kind = 'admin.viewed' WHERE seq = :seq", "Row {seq}: the columns differ"),
        ("UPDATE event SET party = 'my-police' WHERE seq = :seq", "Row {seq}: the columns differ"),
        ("UPDATE event SET party_seq = 99 WHERE seq = :seq", "Row {seq}: the columns differ"),
        ("UPDATE event SET object = 'x' WHERE seq = :seq", "Row {seq}: the columns differ"),
        ("UPDATE log SET entry = zeroblob(32) WHERE seq = :seq", "Row {seq}: the event body is not the one"),
        ("UPDATE log SET nodes = zeroblob(length(nodes)) WHERE seq = :seq", "Row {seq}: the stored tree nodes"),
        ("UPDATE log SET nodes = substr(nodes, 1, 31) WHERE seq = :seq", "Row {seq}: the stored tree nodes"),
        ("DELETE FROM event WHERE seq = :seq", "Row {seq} is missing"),
        ("DELETE FROM log WHERE seq = :seq", "Row {seq} is missing"),
    ],
)
def test_fault_halts_before_the_signature(small_hub: Hub, statement: str, fault: str) -> None:
    """Whatever differs in a row that was just committed is named, and nothing is signed."""
    small_hub.signer.start()
    first = commit(small_hub)
    before = checkpoints(small_hub)
    corrupt(small_hub, statement, seq=first + 1)

    with pytest.raises(LogHalted, match=fault.format(seq=first + 1)):
        small_hub.signer.sign_new()

    assert before == checkpoints(small_hub)


def test_missing_last_row(small_hub: Hub) -> None:
    """A leaf missing at the very end is noticed by the number of events."""
    small_hub.signer.start()
    first = commit(small_hub)
    corrupt(small_hub, "DELETE FROM log WHERE seq = :seq", seq=first + 2)

    with pytest.raises(LogHalted, match=f"Row {first + 2} is missing"):
        small_hub.signer.sign_new()


def test_body_that_is_no_event(small_hub: Hub) -> None:
    """A body that hashes right but is no event halts the log too."""
    small_hub.signer.start()
    with small_hub.store.write() as conn:
        head = Head.load(conn)
        batch = Batch(conn, head, small_hub.directory, now_us=head.time + 1)
        batch.append("view.read", "sg-fiu", detail={})
        batch._events[0] = (batch._events[0][0], b"{}")
        batch.finish()

    with pytest.raises(LogHalted, match=f"Row {head.size}: The event body has other members"):
        small_hub.signer.sign_new()


def test_every_single_bit(small_hub: Hub) -> None:
    """Any one bit flipped in body, entry or nodes of a new row halts the log."""
    small_hub.signer.start()
    first = commit(small_hub, 2)
    with small_hub.store.read() as conn:
        [row] = log.rows(conn, first + 1, first + 2)
    frontier = merkle.Frontier(first, ())
    with small_hub.store.read() as conn:
        frontier = derive(conn, log.frontier(conn, first), first, first + 1)
    faults = 0
    for column in ("body", "entry", "nodes"):
        data = getattr(row, column)
        for bit in range(0, len(data) * 8, 5):
            flipped = bytearray(data)
            flipped[bit // 8] ^= 1 << bit % 8
            with pytest.raises(LogHalted):
                extend(frontier, row._replace(**cast("Any", {column: bytes(flipped)})))
            faults += 1

    assert faults > 300
    assert extend(frontier, row).size == first + 2


def test_purged_body_is_passed_over(small_hub: Hub) -> None:
    """A purged body leaves the tree as it is."""
    small_hub.signer.start()
    first = commit(small_hub)
    corrupt(small_hub, "UPDATE event SET body = NULL WHERE seq = :seq", seq=first)

    signed = small_hub.signer.sign_new()

    assert signed is not None
    assert b"" == signed.bodies[first]


def test_crash_between_commit_and_signature(small_hub: Hub) -> None:
    """What a crash left unsigned is signed at the next start."""
    small_hub.signer.start()
    first = commit(small_hub)
    assert checkpoints(small_hub)[-1] == first

    small_hub.start()

    assert first + 3 == checkpoints(small_hub)[-1]


def test_start_on_a_good_log(opened: Hub) -> None:
    """A start re-derives the tail and can go on from any number of rows."""
    seen: list[int] = []

    opened.signer.start(seen.append, rows_max=10)

    size = checkpoints(opened)[-1]
    assert list(range(size - 10, size)) == seen
    assert opened.signer.sign_new() is None


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE event SET body = CAST(body || ' ' AS BLOB) WHERE seq = 2",
        "UPDATE log SET entry = zeroblob(32) WHERE seq = 2",
        "DELETE FROM event WHERE seq = 2",
        "DELETE FROM log WHERE seq = 1",
    ],
)
def test_start_on_a_broken_log(small_hub: Hub, statement: str) -> None:
    """A start on a log that does not derive is refused."""
    corrupt(small_hub, statement)

    with pytest.raises(LogHalted, match=r"Row [12]"):
        small_hub.start()


def test_rows_lost_behind_a_checkpoint(small_hub: Hub) -> None:
    """A log that is shorter than its newest checkpoint is not served."""
    small_hub.signer.start()
    first = commit(small_hub)
    small_hub.signer.sign_new()
    corrupt(small_hub, "DELETE FROM log WHERE seq >= :seq", seq=first)
    corrupt(small_hub, "DELETE FROM event WHERE seq >= :seq", seq=first)

    with pytest.raises(LogHalted):
        small_hub.start()


def test_checkpoint_of_another_tree(small_hub: Hub) -> None:
    """A checkpoint whose root is not that of the rows stops the start."""
    key = read_log_key(small_hub.settings.log_key_file)
    size = checkpoints(small_hub)[-1]
    body = checkpoint.format_checkpoint(checkpoint.Checkpoint(key.name, size, bytes(32)))
    corrupt(
        small_hub, "UPDATE checkpoint SET note = :note WHERE size = :size", note=note.sign_note(body, key), size=size
    )

    with pytest.raises(LogHalted, match=f"The checkpoint of size {size} does not fit the rows"):
        small_hub.start()


def test_checkpoint_of_another_key(small_hub: Hub, tmp_path: Path) -> None:
    """A log key that is not the one that signed the newest checkpoint stops the start."""
    other = note.SignerKey.from_seed(small_hub.signer.origin, b"\x01" * 32)

    with pytest.raises(LintasError):
        LogSigner(small_hub.store, other, Outside(tmp_path / "none")).start()


def test_start_of_an_empty_log(small_hub: Hub, tmp_path: Path) -> None:
    """Without rows and checkpoints there is nothing to check."""
    corrupt(small_hub, "DELETE FROM checkpoint")
    corrupt(small_hub, "DELETE FROM log")
    corrupt(small_hub, "DELETE FROM event")
    signer = LogSigner(small_hub.store, small_hub.signer._key, Outside(tmp_path / "none"))

    signer.start()

    assert signer.sign_new() is None
