"""Following the log: entitled events in, each proven; the directory, the releases out.

One page at a time: checkpoint by the pinned key, consistent with the last one kept; every body under it by its
inclusion proof; numbers per party without a gap; no body gone but by a purge; key events replayed; the view closed by
the record of this very read.
Only then anything is remembered, in one transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lintas import checkpoint as checkpoint_format
from lintas import feed, merkle, purge, subscription, vocabulary, withdrawal
from lintas.checkpoint import parse_add_checkpoint
from lintas.directory import CONTROL_KINDS, EVERY_PARTNER, Directory, Grant
from lintas.epoch import check_epoch
from lintas.errors import BadCheckpoint, BadNote, BadProof, InconsistentLog, LintasError
from lintas.event import US_PER_S, Event, entry_of, parse_event
from lintas.evidence import Conflict, judge_conflict
from lintas.header import is_id
from lintas.line import Line, parse
from lintas.log_keys import LogKeys
from lintas.note import NOTE_BYTES_MAX
from lintas.replay import Replay
from lintas.session import Session
from lintas.state import ControlRow, Released, State
from lintas.strict import parse_object

EVENT_ROWS_MAX = 1_000

CONFLICT_BYTES_MAX = 2 * NOTE_BYTES_MAX
"""A proof and a note are smaller; more is no evidence and is not kept."""

CLOCKS_APART_S = 600
"""How far our clock may be before the hub's without any suspicion that the hub dates events back."""


@dataclass(frozen=True, slots=True)
class ProvenEvent:
    """An event under a checkpoint we accepted; `line` is the signed line behind a key event.

    After a purge `body` is None: only the index, the party with its number, and the entry are known of it.
    """

    seq: int
    body: bytes | None
    event: Event
    line: Line | None
    entry: bytes


@dataclass(slots=True)
class Synced:
    """What one catch-up learnt: how many events, the size of the log, what must alarm this party."""

    events: int = 0
    size: int = 0
    alarms: list[str] = field(default_factory=list)


def open_checkpoint(session: Session, note: bytes) -> checkpoint_format.Checkpoint:
    """Open a checkpoint of the pinned log; raise BadNote or BadCheckpoint, NewEpoch for one of a later epoch."""
    try:
        return checkpoint_format.open_checkpoint(note, origin=session.origin, key=session.log_keys)
    except (BadNote, BadCheckpoint):
        check_epoch(note, session.origin)
        raise


def known_checkpoint(session: Session) -> checkpoint_format.Checkpoint | None:
    """Return the last checkpoint that was accepted."""
    kept = session.state.get("checkpoint")
    return None if kept is None else open_checkpoint(session, kept)


def check_extends(session: Session, old: bytes, new: bytes, body: bytes) -> None:
    """Check an add-checkpoint body: it must prove that checkpoint `new` extends `old`.

    Raise InconsistentLog, and keep what was shown: it is the evidence.
    """
    first, second = open_checkpoint(session, old), open_checkpoint(session, new)
    try:
        _check_proof(session, first, second, body)
    except (ValueError, LintasError) as fault:
        keep_conflict(session, old, new, body)
        raise InconsistentLog(
            f"No proof that the log of size {second.size} extends that of {first.size}: {fault}"
        ) from fault


def keep_conflict(session: Session, known: bytes, shown: bytes, proof: bytes = b"") -> None:
    """Remember two checkpoints of the log that do not fit each other; raise BadNote or BadCheckpoint if one is none.

    The first such pair stays, whatever is shown later, unless only the later one proves something by itself.
    """
    found, keys = Conflict(known, shown, proof if len(proof) <= CONFLICT_BYTES_MAX else b""), session.log_keys.keys
    is_proven, kept = judge_conflict(found, *keys).is_proven, kept_conflict(session.state)
    if kept is None or (is_proven and not judge_conflict(kept, *keys).is_proven):
        with session.state.transaction():
            for name, value in (("known", found.known), ("shown", found.shown), ("proof", found.proof)):
                session.state.put(f"conflict.{name}", value)


def kept_conflict(state: State) -> Conflict | None:
    """Return the evidence that was kept, if any."""
    known, shown, proof = (state.get(f"conflict.{name}") for name in ("known", "shown", "proof"))
    return None if known is None or shown is None else Conflict(known, shown, proof or b"")


def _check_proof(
    session: Session, old: checkpoint_format.Checkpoint, new: checkpoint_format.Checkpoint, body: bytes
) -> None:
    size, proof, note = parse_add_checkpoint(body)
    shown = open_checkpoint(session, note)
    if size != old.size or (shown.size, shown.root) != (new.size, new.root):
        raise InconsistentLog("The consistency proof is for other sizes than asked.")
    merkle.check_consistency(old.size, old.root, new.size, new.root, proof)


@dataclass(frozen=True, slots=True)
class Place:
    """How far this party's memory had got when a page was asked for: index, number of each party, time of the last."""

    after: int
    numbers: Mapping[str, int]
    time: int = -1


@dataclass(frozen=True, slots=True)
class View:
    """A proven page: its events without gaps, the checkpoint over them, and whether the page reaches the present."""

    place: Place
    events: tuple[ProvenEvent, ...]
    note: bytes
    is_complete: bool


def place(session: Session) -> Place:
    """Return how far the memory has got."""
    state = session.state
    numbers = {party: state.get_int(f"party_seq:{party}", 0) for party in (session.party, EVERY_PARTNER)}
    return Place(state.get_int("events_after", -1), numbers, state.get_int("events_time", -1))


def note_of(body: bytes) -> bytes:
    """Return the checkpoint at the end of a page of events."""
    try:
        note: bytes = parse_object(body.splitlines()[-1])["checkpoint"].encode()
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as fault:
        raise BadProof("The page of events does not end with a checkpoint.") from fault
    return note


def read_view(session: Session, body: bytes, asked: Place, nonce: str = "") -> View:
    """Read and prove a page of ``/v1/log/events``; raise Evidence for anything that does not hold."""
    note = note_of(body)
    try:
        rows = [parse_object(line) for line in body.splitlines()[:-1]]
    except ValueError as fault:
        raise BadProof("A row of the page of events is no JSON object.") from fault
    tree = open_checkpoint(session, note)
    events = [_prove(row, tree) for row in rows]
    is_complete = _check_order(session, events, asked)
    if events[-1].event.detail.get("nonce", "") != nonce:
        # Else a view could be made in advance and shown again and again.
        raise InconsistentLog("The view was not made for this read.")
    # The record of this read stands apart on a full page; the pages that follow bring it in its place.
    return View(asked, tuple(events if is_complete else events[:-1]), note, is_complete)


def accept_view(session: Session, view: View, synced: Synced) -> bool:
    """Remember a proven page: directory, releases, own lines, checkpoint.

    False, and nothing is done, when another process on the same memory was faster: look again from where it got to.
    """
    state = session.state
    with state.transaction():
        if place(session) != view.place:
            return False
        known, size = known_checkpoint(session), open_checkpoint(session, view.note).size
        if known is not None and known.size > size:
            raise InconsistentLog(f"The view stands under an older checkpoint than that of size {known.size}.")
        replay, newest = session.replay, view.place.time
        for each in view.events:
            if each.body is None:
                _take_hole(session, each, max(0, newest // US_PER_S))
            else:
                replay = _take(session, each, each.body, replay)
            newest = max(newest, each.event.time)
            state.put(f"party_seq:{each.event.party}", each.event.party_seq)
        if view.is_complete:
            _close(session, size)
        if known is not None:
            _count_backdated(session, known.size, view.events)
        state.put("events_after", view.events[-1].seq)
        state.put("events_time", newest)
        _keep_checkpoint(session, view, replay.directory.log_keys)
    session.replay = replay
    synced.alarms = session.alarms()
    synced.events += len(view.events)
    synced.size = size
    return True


def _keep_checkpoint(session: Session, view: View, keys: LogKeys | None) -> None:
    """Keep the checkpoint with the log's keys, as replayed so far.

    One by a key that is announced only on later pages is not kept yet: until then nobody ordered that key.
    """
    if keys is None or session.pinned not in keys.keys:
        if view.is_complete and keys is not None:
            raise InconsistentLog("The log does not tell of the key that is pinned for it.")
        keys = LogKeys.of(session.pinned)
    try:
        checkpoint_format.open_checkpoint(view.note, origin=session.origin, key=keys)
    except BadNote as fault:
        if view.is_complete:
            raise InconsistentLog(f"The log is not signed with the keys that it tells of. {fault}") from fault
        return
    session.state.put("log_keys", keys.text().encode())
    session.state.put("checkpoint", view.note)
    session.state.put("checkpoint_at", session.now())


def _take(session: Session, each: ProvenEvent, body: bytes, replay: Replay) -> Replay:
    """Remember one event; return the replay of the directory after it."""
    state, event = session.state, each.event
    if event.kind in CONTROL_KINDS:
        before, replay = replay, replay.step(event, seq=each.seq, line=each.line)
        _look_back(session, before.directory, replay.directory, each.seq)
        state.add_control(ControlRow(each.seq, body, None if each.line is None else each.line.raw))
    elif event.kind == "bulletin.released":
        state.add_released(_released(each, replay.directory.grant(session.party)))
    elif event.kind == "bulletin.accepted" and event.object is not None:
        # Our own: never delivered to us. One to everyone that our outbox does not know could hide another's.
        state.mark_seen([event.object])
        to_all = EVERY_PARTNER in event.detail.get("released", ())
        if to_all and not state.is_outgoing(event.object):
            state.put("strange_own", state.get_int("strange_own", 0) + 1)
    elif event.kind == purge.KIND:
        withdrawal.take_purge(session, event)
    elif event.party == session.party:
        subscription.remember(state, event)
    if event.kind not in purge.PURGEABLE:
        state.add_kept(event.party, event.party_seq)
    return replay


def _look_back(session: Session, before: Directory, after: Directory, seq: int) -> None:
    """Have the feed read again from what this event lets us read: a wider grant, the end of a suspension."""
    party = session.party
    if (before.grant(party), before.is_suspended(party)) == (after.grant(party), after.is_suspended(party)):
        return
    unseen = session.state.unseen(seq)
    opened = [
        each
        for each in unseen
        if not withdrawal.may_read(before, party, each) and withdrawal.may_read(after, party, each)
    ]
    feed.look_back(session, [each.accepted_seq for each in opened], opened_by=seq)


def _take_hole(session: Session, each: ProvenEvent, since: int) -> None:
    # It was logged after the event before it; and after our last look, by our own clock, if it was not there then.
    if each.seq >= session.state.get_int("looked_size", 0):
        since = max(since, session.state.get_int("looked_at", 0))
    session.state.add_hole(each.event.party, each.event.party_seq, each.entry, since=since)


def _close(session: Session, size: int) -> None:
    """Note that everything up to this size was seen; raise InconsistentLog when a body is gone without a purge."""
    state = session.state
    if state.holes():
        raise InconsistentLog("An event is shown without its body, and no purge names it.")
    state.put("looked_size", size)
    state.put("looked_at", session.now())


def _prove(row: Any, tree: checkpoint_format.Checkpoint) -> ProvenEvent:
    try:
        seq, body = row["seq"], None if row["body"] is None else row["body"].encode()
        entry = purge.entry_of_text(row["entry"]) if body is None else entry_of(body)
        event = _emptied(row) if body is None else parse_event(body)
        proof = [checkpoint_format.parse_hash(each) for each in row["proof"]]
        line = parse(row["line"].encode()) if "line" in row else None
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise BadProof("An event is not shown with index, body and proof.") from fault
    if type(seq) is not int:
        raise BadProof("The index of an event is an integer.")
    merkle.check_inclusion(merkle.leaf_hash(entry), seq, tree.size, proof, tree.root)
    return ProvenEvent(seq=seq, body=body, event=event, line=line, entry=entry)


def _emptied(row: Any) -> Event:
    """Return what is said of an event without its body; only the purge that names it will show that it is true."""
    party, number = row["party"], row["party_seq"]
    if not isinstance(party, str) or type(number) is not int:
        raise ValueError("no event")
    return Event("", 0, party, number, None, {})


def _check_order(session: Session, events: Sequence[ProvenEvent], asked: Place) -> bool:
    """Demand rising indexes, numbers without a gap, the record of this read at the end; tell whether it adjoins."""
    after, numbers, time = asked.after, dict(asked.numbers), asked.time
    last = events[-1].event if events else None
    if last is None or (last.kind, last.party, last.detail.get("after")) != ("view.read", session.party, after):
        raise InconsistentLog("The view does not end with the record of this read.")
    for each in events[:-1]:
        party = each.event.party
        if each.seq <= after or each.event.party_seq != numbers.get(party, -1) + 1:
            raise InconsistentLog(f"Before event {each.seq} something of {party} is missing or out of place.")
        if each.body is not None and each.event.time <= time:
            raise InconsistentLog(f"Event {each.seq} is dated before the one it follows.")
        after, numbers[party], time = each.seq, each.event.party_seq, max(time, each.event.time)
    closing = events[-1]
    if closing.event.time <= time:
        raise InconsistentLog(f"Event {closing.seq} is dated before the one it follows.")
    is_complete = closing.event.party_seq == numbers[session.party] + 1
    if is_complete and closing.event.detail.get("star") != numbers[EVERY_PARTNER]:
        raise InconsistentLog("The view leaves out events that every partner may read.")
    if closing.seq <= after or (not is_complete and len(events) == 1):
        raise InconsistentLog("The view leaves out events of its reader.")
    return is_complete


def _count_backdated(session: Session, size: int, events: Sequence[ProvenEvent]) -> None:
    """Count events that the log of a size we saw did not have yet, and that are dated before we saw it."""
    seen_at = session.state.get_int("checkpoint_at", 0)
    limit = (seen_at - CLOCKS_APART_S) * US_PER_S
    found = sum(each.seq >= size and each.body is not None and each.event.time < limit for each in events)
    if found:
        session.state.put("backdated", session.state.get_int("backdated", 0) + found)


def _released(each: ProvenEvent, grant: Grant) -> list[Released]:
    detail, at = each.event.detail, each.event.time // US_PER_S
    names = ("ids", "seqs", "exps", "topics", "tlps")
    try:
        rows = list(zip(*(detail[name] for name in names), strict=True))
    except (KeyError, TypeError, ValueError) as fault:
        raise BadProof(f"Event {each.seq} does not say what it released.") from fault
    if not all(map(_is_release, rows)):
        raise BadProof(f"Event {each.seq} does not say what it released.")
    named = each.event.party != EVERY_PARTNER
    return [
        # What was released by name beyond our grants withdraws something we hold: no grant is asked for it later.
        Released(i, each.seq, seq, at, exp, topic, tlp, beyond=named and not grant.may_read(topic, tlp))
        for i, seq, exp, topic, tlp in rows
    ]


def _is_release(row: tuple[Any, ...]) -> bool:
    line_id, seq, exp, topic, tlp = row
    facts = is_id(line_id) and type(seq) is int and type(exp) is int
    return facts and topic in vocabulary.load().topics and tlp in vocabulary.TLP
