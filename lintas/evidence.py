"""Evidence against a log, judged offline by whoever holds its key.

Two checkpoints that do not fit each other prove that a log had two histories when both are of one size, or when the
proof shown with the newer one leads to another beginning. A witnessed checkpoint with a receipt proves a date made up:
the event claims a time at which the log, as cosigned, did not have it yet. Anything less is a reason to ask the hub.
Spec: docs/spec/log.md.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from lintas import merkle
from lintas.checkpoint import Checkpoint, open_checkpoint, parse_add_checkpoint
from lintas.cosignature import check_cosignatures
from lintas.errors import BadProof, BadReceipt, LintasError
from lintas.event import US_PER_S, entry_of, parse_event
from lintas.note import VerifierKey, split_note
from lintas.receipt import parse_receipt


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two checkpoints signed with one key that do not fit: notes, and the add-checkpoint body shown (maybe empty)."""

    known: bytes
    shown: bytes
    proof: bytes


@dataclass(frozen=True, slots=True)
class Verdict:
    """What evidence says; `is_proven` when nobody needs to be asked any more."""

    is_proven: bool
    text: str


def judge_conflict(conflict: Conflict, key: VerifierKey) -> Verdict:
    """Judge two checkpoints; raise BadNote or BadCheckpoint unless the log itself signed both."""
    first, second = (open_checkpoint(note, origin=key.name, key=key) for note in (conflict.known, conflict.shown))
    if first.size == second.size:
        if first.root == second.root:
            return Verdict(is_proven=False, text="Both checkpoints are the same.")
        return Verdict(is_proven=True, text=f"The log signed two roots for one size, {first.size}: it has forked.")
    old, new = sorted((first, second), key=lambda tree: tree.size)
    if _has_other_beginning(conflict.proof, old, new, key):
        text = f"The log of size {new.size} has another beginning than that of size {old.size}: it has forked."
        return Verdict(is_proven=True, text=text)
    text = f"No proof that the log of size {new.size} extends that of size {old.size}; the hub has to show one."
    return Verdict(is_proven=False, text=text)


def judge_dates(witnessed: bytes, receipt: bytes, key: VerifierKey, witnesses: Collection[VerifierKey]) -> Verdict:
    """Judge the time of an event by a checkpoint without it that witnesses cosigned, if they are believed.

    Raise BadNote, BadCheckpoint or BadReceipt when one of both does not hold by itself.
    """
    tree = open_checkpoint(witnessed, origin=key.name, key=key)
    found = parse_receipt(receipt)
    covering = open_checkpoint(found.checkpoint, origin=key.name, key=key)
    try:
        leaf = merkle.leaf_hash(entry_of(found.extra or b""))
        merkle.check_inclusion(leaf, found.index, covering.size, found.proof, covering.root)
        event = parse_event(found.extra or b"")
    except BadProof as fault:
        raise BadReceipt(f"The receipt does not hold. {fault}") from fault
    times = [each.time for each in check_cosignatures(*split_note(witnessed), witnesses)]
    if found.index < tree.size or not times or event.time // US_PER_S >= max(times):
        return Verdict(is_proven=False, text=f"The time of event {found.index} does not contradict the witnesses.")
    text = (
        f"Event {found.index} claims a time {max(times) - event.time // US_PER_S} s before the log was seen without it."
    )
    return Verdict(is_proven=True, text=text)


def _has_other_beginning(body: bytes, old: Checkpoint, new: Checkpoint, key: VerifierKey) -> bool:
    """Tell whether a proof shown by the log leads to the new root from an old one that is not the old root."""
    try:
        size, proof, note = parse_add_checkpoint(body)
        shown = open_checkpoint(note, origin=key.name, key=key)
        if (size, shown) != (old.size, new):
            return False
        older, newer = merkle.proven_roots(old.size, new.size, proof)
    except LintasError:
        return False
    return newer == new.root and older != old.root
