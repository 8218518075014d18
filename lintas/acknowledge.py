"""Operations by which a reader says that it opened or acknowledged a bulletin.

The signed line is kept in the outbox before it is sent, under a tag of bulletin and state: it is said once, in the same
bytes until the hub answers.
"""

from __future__ import annotations

from dataclasses import dataclass

from lintas import wire
from lintas.ack import STATES, Ack, is_at_least, open_ack
from lintas.errors import BadReceipt, Evidence, Refusal
from lintas.header import ACK
from lintas.line import Line, parse
from lintas.receipt import Logged
from lintas.request import Operation, Request, expect
from lintas.session import Session
from lintas.state import REFUSED, SENT
from lintas.wire import Published


@dataclass(frozen=True, slots=True)
class Told:
    """What the log has of our word on bulletin `id`: the state it stands at, the index and receipt of its event."""

    id: str
    state: str
    seq: int
    receipt: bytes


def tell(session: Session, bulletin_id: str, state: str) -> Operation[Told]:
    """Say that a bulletin was opened or acknowledged; said before, the same line goes out, or nothing."""
    tag = f"ack:{state}:{bulletin_id}"
    known = session.state.by_tag(tag)
    if known is not None and known.state == SENT and known.seq is not None and known.receipt is not None:
        return Told(bulletin_id, state, known.seq, known.receipt)
    line = None if known is None else parse(known.line, ACK)
    if line is None or known is None:
        line = _sign(session, bulletin_id, state)
        session.state.enqueue(line.id, line.raw, tag)
    elif known.state == REFUSED or session.is_stale(line):
        line = _sign(session, bulletin_id, state)
        with session.state.transaction():
            session.state.replace(known.id, line.id, line.raw)
    return (yield from send(session, line))


def send(session: Session, line: Line) -> Operation[Told]:
    """Send an acknowledgement of the outbox and settle it."""
    ack = open_ack(line)
    response = yield Request("POST", f"/v1/bulletins/{ack.id}/ack", line.raw, f"application/{ACK}")
    try:
        expect(response, 200, 201)
    except Refusal as refusal:
        wire.settle_refusal(session, line.id, refusal)
        raise
    receipt = str(wire.object_of(response.body).get("receipt", "")).encode()
    logged = yield from _check(session, ack, receipt)
    session.state.settle(line.id, seq=logged.seq, receipt=receipt)
    return Told(ack.id, str(logged.event["kind"]).removeprefix("bulletin."), logged.seq, receipt)


def flush(session: Session) -> Operation[list[Published | Told | Refusal]]:
    """Send everything that waits in the outbox, bulletins first; one outcome a line."""
    outcomes: list[Published | Told | Refusal] = [*(yield from wire.flush(session))]
    for each in session.state.outgoing():
        line = parse(each.line)
        if line.header.typ != ACK:
            continue
        ack = open_ack(line)
        try:
            outcomes.append((yield from tell(session, ack.id, ack.state)))
        except Refusal as refusal:
            outcomes.append(refusal)
    return outcomes


def _sign(session: Session, bulletin_id: str, state: str) -> Line:
    released = session.state.released([bulletin_id]).get(bulletin_id)
    return session.sign_ack(Ack(bulletin_id, state, None if released is None else released.accepted_seq))


def _check(session: Session, ack: Ack, receipt: bytes) -> Operation[Logged]:
    # The receipt may be of an earlier line of ours that said as much: what counts is that the log has our word.
    try:
        logged = yield from wire.prove(session, receipt, ack.id)
        noun, _, state = str(logged.event["kind"]).partition(".")
        is_ours = (noun, logged.event.get("party")) == ("bulletin", session.party)
        if not is_ours or state not in STATES or not is_at_least(state, ack.state):
            raise BadReceipt(f"It is of a {logged.event['kind']} event of {logged.event.get('party')}.")
    except Evidence as fault:
        raise BadReceipt(f"The hub took our word on {ack.id}, but its receipt does not prove it: {fault}") from fault
    return logged
