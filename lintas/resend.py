"""Bulletins on their way back into a log that lost them.

A hub restored from an old backup, or a log begun anew in a new epoch, lacks lines that agencies hold with their
receipts. A receipt proves when the log took the line, so that it is not too old now; the same bytes keep their id, so
whoever had the bulletin knows it again, and a hub that has it answers with its place. Receipts that are kept stay: they
prove for ever what the old log held. Those of a former epoch stay in its memory, and give way to new ones here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lintas.errors import Refusal
from lintas.header import BULLETIN, LOGGED
from lintas.line import Line, parse
from lintas.receipt import check_receipt, origin_in, parse_receipt
from lintas.request import Operation, Request, expect
from lintas.session import Session
from lintas.state import SENT

CREATED = 201


@dataclass(frozen=True, slots=True)
class Held:
    """A bulletin of ours as it was signed, with the receipt that the log gave for it, if we have one."""

    line: Line
    receipt: bytes | None


@dataclass(frozen=True, slots=True)
class Resent:
    """Where a bulletin stands in the log now; `is_new` when the log had lost it."""

    id: str
    seq: int
    is_new: bool


def held(session: Session) -> list[Held]:
    """Return what the hub once accepted from our outbox, in the order it was signed in: what refers comes after."""
    found = [Held(parse(each.line), each.receipt) for each in session.state.outgoing(SENT)]
    return [each for each in found if each.line.header.typ == BULLETIN]


def resend(session: Session, bulletins: Iterable[Held]) -> Operation[list[Resent | Refusal]]:
    """Post bulletins again with their receipts; one outcome each, in order."""
    outcomes: list[Resent | Refusal] = []
    for each in bulletins:
        try:
            outcomes.append((yield from _again(session, each)))
        except Refusal as refusal:
            outcomes.append(refusal)
    return outcomes


def _again(session: Session, each: Held) -> Operation[Resent]:
    if each.receipt is None:
        asked = Request("POST", "/v1/bulletins", each.line.raw, f"application/{BULLETIN}")
    else:
        asked = Request("POST", "/v1/bulletins", each.line.raw + b"\n" + each.receipt, f"application/{LOGGED}")
    response = expect((yield asked), 200, CREATED)
    receipt = parse_receipt(response.body)
    logged = check_receipt(receipt, line_id=each.line.id, origin=session.origin, key=session.log_keys)
    kept = session.state.receipt_of(each.line.id)
    if kept is None or origin_in(kept) != session.origin:
        # That of a former epoch stays in the memory of its own, for which it is good.
        session.state.settle(each.line.id, seq=logged.seq, receipt=response.body)
    return Resent(each.line.id, logged.seq, is_new=response.status == CREATED)
