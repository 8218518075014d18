"""Evidence against a log, judged offline by whoever holds its keys.

Two checkpoints that do not fit each other prove that a log had two histories when both are of one size, or when the
proof shown with the newer one leads to another beginning. A witnessed checkpoint with a receipt proves a date made up:
the event claims a time at which the log, as cosigned, did not have it yet. Anything less is a reason to ask the hub; so
are two checkpoints that no key signed both of, for a key that the log gave up may be in other hands.
Spec: docs/spec/log.md.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from lintas import merkle
from lintas.checkpoint import Checkpoint, open_by_any, parse_add_checkpoint
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


def judge_conflict(conflict: Conflict, *keys: VerifierKey) -> Verdict:
    """Judge two checkpoints by the keys of a log; raise BadNote or BadCheckpoint unless it signed both."""
    (first, one), (second, other) = (open_by_any(note, keys) for note in (conflict.known, conflict.shown))
    has_one_signer = not one.isdisjoint(other)
    if first.size == second.size:
        if first.root == second.root:
            return Verdict(is_proven=False, text="Both checkpoints are the same.")
        return _forked(f"The log signed two roots for one size, {first.size}", has_one_signer=has_one_signer)
    old, new = sorted((first, second), key=lambda tree: tree.size)
    if _has_other_beginning(conflict.proof, old, new, keys):
        text = f"The log of size {new.size} has another beginning than that of size {old.size}"
        return _forked(text, has_one_signer=has_one_signer)
    text = f"No proof that the log of size {new.size} extends that of size {old.size}; the hub has to show one."
    return Verdict(is_proven=False, text=text)


def judge_dates(witnessed: bytes, receipt: bytes, witnesses: Collection[VerifierKey], *keys: VerifierKey) -> Verdict:
    """Judge the time of an event by a checkpoint without it that witnesses cosigned, if they are believed.

    Raise BadNote, BadCheckpoint or BadReceipt when one of both does not hold by itself.
    """
    tree, _ = open_by_any(witnessed, keys)
    found = parse_receipt(receipt)
    covering, _ = open_by_any(found.checkpoint, keys)
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


def _forked(text: str, *, has_one_signer: bool) -> Verdict:
    if has_one_signer:
        return Verdict(is_proven=True, text=f"{text}: it has forked.")
    return Verdict(is_proven=False, text=f"{text}, but with two keys; whoever has a former one can have signed.")


def _has_other_beginning(body: bytes, old: Checkpoint, new: Checkpoint, keys: Collection[VerifierKey]) -> bool:
    """Tell whether a proof shown by the log leads to the new root from an old one that is not the old root."""
    try:
        size, proof, note = parse_add_checkpoint(body)
        shown, _ = open_by_any(note, keys)
        if (size, shown) != (old.size, new):
            return False
        older, newer = merkle.proven_roots(old.size, new.size, proof)
    except LintasError:
        return False
    return newer == new.root and older != old.root
