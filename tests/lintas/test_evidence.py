"""Tests of evidence: what two checkpoints prove by themselves, what they do not."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import pytest

from lintas import merkle, note
from lintas.checkpoint import Checkpoint, format_checkpoint
from lintas.cosignature import cosign
from lintas.errors import BadNote, BadReceipt
from lintas.event import US_PER_S, Event, encode, entry_of
from lintas.evidence import Conflict, judge_conflict, judge_dates
from lintas.receipt import Receipt, format_receipt
from tests.witnesses import STRANGER, WITNESSES

LOG = note.SignerKey.from_seed("hub.example/log/1", bytes(32))
KEY = LOG.verifier
SIZES = 20


class Tree:
    """A small log; from leaf `fork` on it differs from the tree of another `name`."""

    def __init__(self, *, fork: int = SIZES, name: bytes = b"") -> None:
        """Append the leaves, and keep the root of each size."""
        frontier = merkle.Frontier(0, ())
        self.rows: list[bytes] = []
        self.roots = [frontier.root()]
        for number in range(SIZES):
            entry = sha256(bytes([number]) + (name if number >= fork else b"")).digest()
            frontier, nodes = frontier.append(merkle.leaf_hash(entry))
            self.rows.append(nodes)
            self.roots.append(frontier.root())

    def get(self, wanted: Sequence[merkle.Address]) -> list[bytes]:
        """Fetch nodes."""
        places = [merkle.node_address(*address) for address in wanted]
        return [self.rows[seq][offset : offset + 32] for seq, offset in places]

    def note(self, size: int) -> bytes:
        """Return the signed checkpoint of a size."""
        return note.sign_note(format_checkpoint(Checkpoint(KEY.name, size, self.roots[size])), LOG)

    def shown(self, old: int, size: int) -> bytes:
        """Return what this log shows a witness who knows `old`."""
        proof = merkle.consistency_proof(old, size, self.get)
        head = "\n".join([f"old {old}", *map(note.b64, proof), "", ""]).encode()
        return head + self.note(size)


def test_two_roots_for_one_size() -> None:
    """Two signed roots for one size prove a fork by themselves."""
    one, other = Tree(), Tree(fork=5, name=b"x")

    verdict = judge_conflict(Conflict(one.note(9), other.note(9), b""), KEY)

    assert (True, True) == (verdict.is_proven, "two roots for one size, 9" in verdict.text)


@pytest.mark.parametrize("size", range(2, SIZES + 1))
@pytest.mark.parametrize("old", range(1, SIZES))
def test_other_beginning(old: int, size: int) -> None:
    """What a forked log shows proves its fork, unless the older tree is a perfect one, which no proof tells."""
    if old >= size:
        return
    one, other = Tree(), Tree(fork=old - 1, name=b"x")

    verdict = judge_conflict(Conflict(one.note(old), other.note(size), other.shown(old, size)), KEY)

    assert verdict.is_proven == (old & (old - 1) != 0)


def test_honest_log() -> None:
    """An honest log is never found to have forked, whatever is put into the folder."""
    tree = Tree()
    for old in range(1, SIZES):
        for size in range(old, SIZES + 1):
            proofs = (b"", tree.shown(old, size), tree.shown(1, size), b"old 3\n\n", b"\xff")
            for proof in proofs:
                assert not judge_conflict(Conflict(tree.note(old), tree.note(size), proof), KEY).is_proven
                assert not judge_conflict(Conflict(tree.note(size), tree.note(old), proof), KEY).is_proven


def test_made_up_proof() -> None:
    """A proof that somebody made up proves nothing: it has to lead to the root that the log signed."""
    tree = Tree()
    body = tree.shown(5, 9)
    first = note.b64(merkle.consistency_proof(5, 9, tree.get)[0]).encode()
    made_up = body.replace(first, note.b64(bytes(32)).encode())

    assert not judge_conflict(Conflict(tree.note(5), tree.note(9), made_up), KEY).is_proven


def test_proof_of_another_checkpoint() -> None:
    """A proof shown with another checkpoint than the one in the folder does not count."""
    one, other = Tree(), Tree(fork=3, name=b"x")

    verdict = judge_conflict(Conflict(one.note(5), other.note(10), other.shown(5, 9)), KEY)

    assert not verdict.is_proven


def test_rolled_back_is_not_proven() -> None:
    """That a log shows less than before is a reason to ask it: a smaller checkpoint may simply be older."""
    tree = Tree()

    verdict = judge_conflict(Conflict(tree.note(9), tree.note(5), b""), KEY)

    assert (False, True) == (verdict.is_proven, "has to show" in verdict.text)


def test_other_keys() -> None:
    """Checkpoints that the log did not sign are no evidence against it."""
    thief = note.SignerKey.from_seed(KEY.name, bytes([7]) * 32)
    forged = note.sign_note(format_checkpoint(Checkpoint(KEY.name, 9, bytes(32))), thief)

    with pytest.raises(BadNote):
        judge_conflict(Conflict(Tree().note(9), forged, b""), KEY)


def dated(time: int, *, index: int = 3, tamper: bytes = b"") -> bytes:
    """Return the receipt of an event of this time (Unix seconds) at this index."""
    body = encode(Event("view.read", time * US_PER_S, "my-police", 1, None, {}), bytes(16))
    frontier, rows = merkle.Frontier(0, ()), []
    for number in range(SIZES):
        entry = entry_of(body) if number == index else sha256(bytes([number])).digest()
        frontier, nodes = frontier.append(merkle.leaf_hash(entry))
        rows.append(nodes)
    tree = Tree()
    tree.rows = rows
    proof = merkle.inclusion_proof(index, SIZES, tree.get)
    signed = note.sign_note(format_checkpoint(Checkpoint(KEY.name, SIZES, frontier.root())), LOG)
    return format_receipt(Receipt(index, tuple(proof), signed, body + tamper))


def witnessed(size: int, *signers: note.SignerKey, time: int) -> bytes:
    """Return a checkpoint of this size, cosigned."""
    text, by_log = note.split_note(Tree().note(size))
    return note.format_note(text, [*by_log, *(cosign(text, key, time=time) for key in signers)])


@pytest.mark.parametrize(
    ("size", "seen_at", "is_proven"),
    [(3, 1_001, True), (2, 5_000, True), (3, 1_000, False), (3, 999, False), (4, 5_000, False)],
)
def test_dated_back(size: int, seen_at: int, *, is_proven: bool) -> None:
    """An event dated before a witness saw the log without it is proven to be dated back."""
    checkpoint = witnessed(size, WITNESSES[0], time=seen_at)

    verdict = judge_dates(checkpoint, dated(1_000), [WITNESSES[0].verifier], KEY)

    assert is_proven == verdict.is_proven


def test_dates_by_strangers() -> None:
    """Only the time of witnesses one believes counts, and without one there is nothing to judge by."""
    checkpoint = witnessed(3, STRANGER, time=5_000)

    assert not judge_dates(checkpoint, dated(1_000), [WITNESSES[0].verifier], KEY).is_proven


def test_date_of_no_event() -> None:
    """A receipt that does not hold is no evidence about a date."""
    checkpoint = witnessed(3, WITNESSES[0], time=5_000)

    with pytest.raises(BadReceipt):
        judge_dates(checkpoint, dated(1_000, tamper=b" "), [WITNESSES[0].verifier], KEY)
