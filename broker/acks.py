"""The way of a reader's acknowledgement into the log.

Whoever could read a bulletin, or was sent it before, may say that it opened or acknowledged it; for all others it does
not exist. A state counts once: the first line that says it stands, a later one that says no more is answered with the
first. So an agency makes at most two events of each bulletin.
Spec: docs/spec/http.md (acknowledgements).
"""

from __future__ import annotations

from dataclasses import dataclass

from broker import policy
from broker.batch import Batch
from broker.intake import check_former, record_refusal
from broker.standing import is_within
from broker.store import delivery, lines
from lintas.ack import Ack, is_at_least, open_ack
from lintas.directory import Directory, check_fresh
from lintas.errors import MalformedPayload, NotAllowed, NotFound, Refusal
from lintas.header import ACK, BULLETIN
from lintas.line import Line, check, parse


@dataclass(frozen=True, slots=True)
class Word:
    """A posted acknowledgement whose signature is good. What is wrong with its payload is said after its standing."""

    line: Line
    ack: Ack | None = None
    fault: MalformedPayload | None = None


@dataclass(frozen=True, slots=True)
class Acked:
    """What stands: the line that said it first, its state, the index of its event."""

    id: str
    state: str
    seq: int
    is_new: bool = False


def open_posted(raw: bytes, directory: Directory, bulletin_id: str) -> Word:
    """Read and verify a posted acknowledgement of this bulletin; raise a Refusal that any stranger may cause."""
    line = parse(raw, ACK)
    check(line, directory.key(line.header.kid, line.header.iss).public)
    try:
        ack = open_ack(line)
    except MalformedPayload as fault:
        return Word(line, fault=fault)
    if ack.id != bulletin_id:
        return Word(line, fault=MalformedPayload("`id` is not the bulletin of this address.", member="id"))
    return Word(line, ack)


def admit_ack(batch: Batch, word: Word) -> Acked | Refusal:
    """Admit an acknowledgement, or record its refusal and return it."""
    line = word.line
    if line.id in batch.known:
        return _standing(batch, line)
    try:
        target = _target(batch, word)
    except Refusal as refusal:
        record_refusal(batch, "ack.refused", line, refusal)
        return refusal
    assert word.ack is not None
    return _first(batch, target, line.header.iss, word.ack.state) or _accept(batch, line, word.ack, target)


def _target(batch: Batch, word: Word) -> lines.StoredLine:
    header, directory = word.line.header, batch.directory
    check_former(batch, word.line)
    check_fresh(header, hub=directory.hub, now=batch.now)
    directory.active_key(header.kid, header.iss, batch.now)
    if header.iss not in directory.partners:
        raise NotAllowed("Only partner agencies acknowledge bulletins.", member="iss")
    if word.ack is None:
        assert word.fault is not None
        raise word.fault
    found = lines.by_id(batch.conn, word.ack.id)
    if found is None or found.typ != BULLETIN or not _is_reader(batch, found, header.iss):
        raise NotFound
    if found.iss == header.iss:
        raise NotAllowed("One's own bulletin is not acknowledged.", member="id")
    if word.ack.seq not in (None, found.seq):
        # What the reader signed would speak of another place in another log.
        raise MalformedPayload("`seq` is not the index of the bulletin.", member="seq")
    return found


def _is_reader(batch: Batch, found: lines.StoredLine, agency: str) -> bool:
    if found.iss == agency:
        return True
    if lines.released_seq(batch.conn, found.seq, agency) is None:
        return False
    bounds = policy.reading(batch.directory, agency)
    if is_within(bounds, found):
        return True
    # A grant that was narrowed later takes no copy back, so what was sent may still be acknowledged.
    return not bounds.only_withdrawals and delivery.was_sent(batch.conn, found.seq, agency)


def _standing(batch: Batch, line: Line) -> Acked:
    # The same bytes again: their own place, whatever changed since.
    return Acked(line.id, open_ack(line).state, batch.known[line.id])


def _first(batch: Batch, target: lines.StoredLine, agency: str, state: str) -> Acked | None:
    for known in delivery.acks(batch.conn, target.seq, agency):
        if is_at_least(known.state, state):
            return Acked(batch.id_at(known.seq), known.state, known.seq)
    return None


def _accept(batch: Batch, line: Line, ack: Ack, target: lines.StoredLine) -> Acked:
    detail = {"ack": line.id} | ({} if ack.seq is None else {"seq": ack.seq})
    seq = batch.append(f"bulletin.{ack.state}", line.header.iss, object_id=target.id, detail=detail)
    batch.keep(line, seq)
    delivery.insert_ack(batch.conn, target.seq, line.header.iss, ack.state, ack_seq=seq)
    return Acked(line.id, ack.state, seq, is_new=True)
