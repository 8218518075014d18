"""Who has a bulletin of ours, as far as that can be proven.

Whom it was released to is held against the receipt of its acceptance; that it was opened or acknowledged, against the
reader's own signature. When it was sent and received is the hub's word.
Spec: docs/spec/http.md (readers).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lintas import feed, wire
from lintas.ack import STATES, Ack, open_ack
from lintas.errors import LintasError, Unverified
from lintas.header import ACK, EVERYONE
from lintas.line import Line, check, parse
from lintas.receipt import Logged
from lintas.request import Operation, read
from lintas.session import Session

STEPS = ("released", "sent", "received", "opened", "acknowledged")
"""The way of a bulletin to a reader, in order."""

RELEASED = "released"
EVERY_PARTNER = EVERYONE[0]


@dataclass(frozen=True, slots=True)
class Step:
    """One step: the index of its event, its time (RFC 3339); `line` is the reader's own for a step that it signed."""

    seq: int
    time: str
    line: Line | None = None


@dataclass(frozen=True, slots=True)
class Reader:
    """How far a recipient got. `state`: released, or why not (not-entitled, suspended). `ways` it was sent by."""

    agency: str
    state: str
    ways: tuple[str, ...] = ()
    steps: Mapping[str, Step] = field(default_factory=dict)

    @property
    def progress(self) -> str:
        """The furthest step, or why there is none."""
        return next((step for step in reversed(STEPS) if step in self.steps), self.state)


def readers(session: Session, line_id: str) -> Operation[tuple[Reader, ...]]:
    """Return the verified readers of a bulletin of ours; raise Unverified for a word that nobody signed."""
    response = yield from read(session, f"/v1/bulletins/{line_id}/readers")
    accepted = yield from _acceptance(session, line_id)
    yield from wire.catch_up(session)
    members = wire.object_of(response.body)
    rows = members.get("readers")
    if (members.get("id"), members.get("seq")) != (line_id, accepted.seq) or not isinstance(rows, list):
        raise Unverified("The hub shows the readers of another bulletin.")
    found = tuple(_reader(session, row, Ack(line_id, "", accepted.seq)) for row in rows)
    _check_recipients(session, found, accepted)
    return found


def _acceptance(session: Session, line_id: str) -> Operation[Logged]:
    kept = session.state.receipt_of(line_id)
    receipt = kept if kept is not None else (yield from wire.receipt(session, line_id))
    logged = yield from wire.prove(session, receipt, line_id)
    if (logged.event["kind"], logged.event.get("party")) != ("bulletin.accepted", session.party):
        raise Unverified("The receipt is not of our own bulletin.")
    detail = logged.event.get("detail")
    facts = (detail.get("released"), detail.get("withheld")) if isinstance(detail, dict) else ()
    if [list, dict] != [type(each) for each in facts]:
        raise Unverified("The record of its acceptance does not say to whom it was released.")
    return logged


def _check_recipients(session: Session, found: tuple[Reader, ...], accepted: Logged) -> None:
    detail = accepted.event["detail"]
    shown = {each.agency: each.state for each in found}
    if len(shown) != len(found):
        raise Unverified("A reader is shown twice.")
    if EVERY_PARTNER in detail["released"]:
        strangers = shown.keys() - session.directory.partners.keys()
        if strangers or session.party in shown or {*shown.values()} - {RELEASED}:
            raise Unverified("The readers of a bulletin to everyone are partners to whom it was released.")
        return
    if shown != dict.fromkeys(map(str, detail["released"]), RELEASED) | detail["withheld"]:
        raise Unverified("The readers are not those that the log released it to or withheld it from.")


def _reader(session: Session, row: Any, about: Ack) -> Reader:
    try:
        agency, state = str(row["agency"]), str(row["state"])
        steps = {
            step: _step(session, row[step], agency, Ack(about.id, step, about.seq)) for step in STEPS if step in row
        }
    except (KeyError, TypeError) as fault:
        raise Unverified("A reader is not shown with agency, state and steps.") from fault
    if state != RELEASED and steps:
        raise Unverified(f"It was withheld from {agency}, who cannot have got it.")
    ways = row["sent"].get("ways") if "sent" in row else ()
    return Reader(agency, state, feed.texts(ways), steps)


def _step(session: Session, row: Any, agency: str, about: Ack) -> Step:
    seq, time = row["seq"], row["time"]
    if type(seq) is not int or not isinstance(time, str):
        raise Unverified("A step has an index and a time.")
    return Step(seq, time, _signed(session, str(row["line"]), agency, seq, about) if about.state in STATES else None)


def _signed(session: Session, text: str, agency: str, seq: int, about: Ack) -> Line:
    try:
        line = parse(text.encode(), ACK)
        record = session.directory.key(line.header.kid, agency)
        check(line, record.public)
        ack = open_ack(line)
    except LintasError as fault:
        raise Unverified(f"What {agency} is said to have {about.state} does not verify: {fault}") from fault
    is_about = (ack.id, ack.state) == (about.id, about.state) and ack.seq in (None, about.seq)
    is_whose = (line.header.iss, line.header.aud) == (agency, session.directory.hub)
    if not is_about or not is_whose or not record.was_active(seq, line.header.iat):
        raise Unverified(f"{agency} did not sign that it {about.state} this bulletin.")
    return line
