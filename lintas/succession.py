"""Looking at a new epoch of the log before anybody goes over to it.

It is read as the log it claims to be, with the offered key and into a memory of its own; then it is held against the
memory of the epoch before. What contradicts that is refused. What does not is for a person to judge.
Spec: docs/spec/log.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lintas import sync, wire
from lintas.epoch import Carried, Standing, check_carried, goes_on, read_carried, read_former, stand
from lintas.errors import BadProof, InconsistentLog
from lintas.event import parse_event
from lintas.request import Operation, Request, expect
from lintas.session import Session
from lintas.state import State


def offered_key() -> Operation[str]:
    """Return the verifier key line that the hub shows: to be compared over another channel, it proves nothing."""
    response = expect((yield Request("GET", "/v1/log/key", any_epoch=True)), 200)
    return response.body.decode(errors="replace").strip()


def look(session: Session, offered: Session) -> Operation[Standing]:
    """Read the new epoch into the memory of `offered`, hold it against ours; raise Evidence when it contradicts that.

    Two trees of one size are kept as evidence.
    """
    yield from wire.catch_up(offered)
    opened, *_ = offered.state.control()
    former = read_former(parse_event(opened.body).detail)
    if former is None:
        raise BadProof("This log does not say that it goes on from a former one: it is another log.")
    kept = session.state.get("checkpoint")
    try:
        standing = stand(former, known=sync.known_checkpoint(session), keys=session.log_keys)
    except InconsistentLog:
        assert kept is not None
        sync.keep_conflict(session, kept, former.checkpoint)
        raise
    if standing.is_known:
        until = min(session.state.get_int("events_after", -1), standing.quoted.size - 1)
        theirs = [*_repeated(offered.state, former.carried)]
        check_carried(_mine(session.state), theirs, until=until)
    return standing


def _mine(state: State) -> Iterator[Carried]:
    """Yield the events of a memory that go on, each by its index in this log."""
    rows = state.control()
    earlier = read_former(parse_event(rows[0].body).detail) if rows else None
    for row in rows:
        event = parse_event(row.body)
        if goes_on(event):
            yield replace(read_carried(event, row.seq, 0 if earlier is None else earlier.carried), seq=row.seq)


def _repeated(state: State, carried: int) -> Iterator[Carried]:
    """Yield what the events of a new epoch repeat of the former, each by its index there."""
    for row in state.control():
        if 0 < row.seq <= carried:
            yield read_carried(parse_event(row.body), row.seq, carried)
