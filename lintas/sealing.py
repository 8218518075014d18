"""What an agency does about sealed bulletins besides sending or reading them: renewing keys, sealing again.

Spec: docs/spec/sealed.md (renewal, sealing again).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lintas import wire
from lintas.errors import NoOpeningKey, NotAllowed, OrderConflict, UnknownRecipient
from lintas.feed import Received
from lintas.header import Header
from lintas.opening import RENEW_S, OpeningKey
from lintas.request import Operation
from lintas.sealed import read_sealed
from lintas.session import Session
from lintas.wire import Answer, Published


def is_renewal_due(session: Session) -> bool:
    """Tell whether this agency needs a new opening key now: none is current, or the current one soon ends."""
    if session.party not in session.directory.partners:
        return False
    current = session.directory.opening_key(session.party, session.now())
    return current is None or current.not_after - session.now() < RENEW_S


def untold(session: Session) -> OpeningKey | None:
    """Return an opening key of this identity that the log does not know: made before, but never told."""
    told = {key.kid for key in session.directory.openings.get(session.party, ())}
    return next((key for key in session.identity.openings if key.kid not in told), None)


def renew_opening(session: Session, key: OpeningKey) -> Operation[Answer]:
    """Tell a new opening key. Keep its seed first: from the answer on, others seal to it."""
    answer = yield from wire.post_key(session, session.sign_opening(key))
    yield from wire.catch_up(session)
    return answer


def needed(session: Session) -> tuple[OpeningKey, ...]:
    """Return the opening keys of this identity that something may still be sealed to; the rest may be forgotten.

    One is needed until it can no more be sealed to, and until the end of the last bulletin that was. As long as a
    bulletin that still stands was not taken over, nobody knows which key it needs, so all are.
    """
    now, state = session.now(), session.state
    ends = {key.kid: key.not_after for key in session.directory.openings.get(session.party, ())}
    unread = state.unseen(state.get_int("events_after", -1))
    if any(each.exp > now for each in unread):
        return session.identity.openings
    return tuple(
        key
        for key in session.identity.openings
        if key.kid not in ends or now < ends[key.kid] or now < state.get_int(f"sealed_until:{key.kid}", 0)
    )


def reseal(session: Session, line_id: str, *, to: Sequence[str] = ()) -> Operation[Published]:
    """Publish one of our own sealed bulletins again, sealed to the keys that are current now; it supersedes the old.

    `to` are those who said that they cannot open it: each must have told a new key since. Raises OrderConflict when
    nobody would gain by it.
    """
    found = yield from wire.fetch(session, line_id)
    header = found.header
    if header.iss != session.party or header.enc is None:
        raise NotAllowed("Only its originator seals a bulletin again, and only one that is sealed.")
    if header.kind == "recall":
        raise NotAllowed("A recall holds as it is, opened or not, so it is not sealed again.")
    if found.unopened is not None:
        raise found.unopened
    _check_gain(session, found, to or header.release_to, each=bool(to))
    assert found.payload is not None
    line = session.sign_content(found.payload.rstrip(b" "), **_members(header, line_id))
    return (yield from wire.publish(session, line))


def _members(header: Header, line_id: str) -> dict[str, Any]:
    # Same topic, marking and recipients, so that nobody's grants are asked again. What the old one superseded is gone.
    refs = [ref for ref in header.refs if not ref.startswith("supersedes:")]
    return {
        "exp": header.exp,
        "kind": header.kind,
        "topic": header.topic,
        "tlp": header.tlp,
        "release_to": list(header.release_to),
        "urgency": header.urgency,
        "refs": sorted({*refs, f"supersedes:{line_id}"}),
        "enc": header.enc,
    }


def _check_gain(session: Session, found: Received, agencies: Sequence[str], *, each: bool) -> None:
    assert found.line is not None
    old, lacking = read_sealed(found.line.payload).to, []
    for agency in agencies:
        if agency not in found.header.release_to:
            raise UnknownRecipient(f"It was not addressed to {agency}.", member="release_to")
        record = session.directory.opening_key(agency, session.now())
        if record is None:
            raise NoOpeningKey(f"{agency} has no current opening key.", member="release_to")
        if record.kid in old:
            lacking.append(agency)
    if len(lacking) == len(agencies) or (each and lacking):
        raise OrderConflict(f"It is sealed to the current opening key of {', '.join(lacking[:5])} already.")
