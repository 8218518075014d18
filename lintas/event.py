"""The event, one leaf of the hub's log in canonical bytes.

An event holds digests and routing facts only: never titles, indicator values or names. Its salt hides what little could
be guessed from whoever sees only its hash. The bytes are kept and served verbatim; ``entry = SHA-256(body)``.
Spec: docs/spec/log.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lintas.errors import BadProof
from lintas.strict import b64u, canonical, parse_object

US_PER_S = 1_000_000
"""Events carry microseconds, lines carry seconds."""

VERSION = 1
SALT_BYTES = 16

KINDS: Mapping[str, str] = {
    "log.opened": "done",
    "log.key": "accepted",
    "bulletin.accepted": "accepted",
    "bulletin.released": "done",
    "bulletin.refused": "refused",
    "bulletin.sent": "done",
    "bulletin.received": "done",
    "bulletin.opened": "done",
    "bulletin.acknowledged": "done",
    "bulletin.recalled": "done",
    "bulletin.expired": "done",
    "bulletin.purged": "done",
    "key.enrolled": "accepted",
    "key.approved": "accepted",
    "key.rotated": "accepted",
    "key.revoked": "accepted",
    "key.opening": "accepted",
    "key.refused": "refused",
    "ack.refused": "refused",
    "partner.invited": "accepted",
    "partner.suspended": "accepted",
    "partner.resumed": "accepted",
    "grant.changed": "accepted",
    "community.changed": "accepted",
    "subscription.created": "done",
    "subscription.changed": "done",
    "subscription.deleted": "done",
    "webhook.changed": "accepted",
    "webhook.failed": "failed",
    "token.issued": "accepted",
    "token.ended": "accepted",
    "watch.changed": "accepted",
    "interest.registered": "accepted",
    "interest.ended": "accepted",
    "interest.checked": "done",
    "view.read": "done",
    "admin.viewed": "done",
    "admin.exported": "done",
    "order.accepted": "accepted",
    "order.refused": "refused",
    "purge.ordered": "accepted",
    "auth.refused": "refused",
    "session.offered": "accepted",
    "session.begun": "accepted",
    "session.ended": "done",
    "session.refused": "refused",
}
"""Every kind of event and its outcome: accepted, refused, failed, or done."""

OUTCOMES = frozenset(KINDS.values())

_MEMBERS = {"v", "kind", "time", "party", "party_seq", "object", "detail", "salt"}


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `time` is Unix microseconds, strictly rising along the log; `party_seq` counts 1, 2, ... per party."""

    kind: str
    time: int
    party: str
    party_seq: int
    object: str | None
    detail: Mapping[str, Any]


def encode(event: Event, salt: bytes) -> bytes:
    """Return the canonical body of an event."""
    return canonical(
        {
            "v": VERSION,
            "kind": event.kind,
            "time": event.time,
            "party": event.party,
            "party_seq": event.party_seq,
            "object": event.object,
            "detail": event.detail,
            "salt": b64u(salt),
        }
    )


def entry_of(body: bytes) -> bytes:
    """Return the 32-byte log entry of an event body."""
    return hashlib.sha256(body).digest()


def parse_event(body: bytes) -> Event:
    """Read an event body that a proof vouches for; raise BadProof when it is not one."""
    try:
        members = parse_object(body)
    except ValueError as fault:
        raise BadProof("The event body is not one strict JSON object.") from fault
    if set(members) != _MEMBERS or members["v"] != VERSION:
        raise BadProof("The event body has other members than an event has.")
    texts = (members["kind"], members["party"], members["salt"])
    numbers = (members["time"], members["party_seq"])
    sound = all(isinstance(text, str) for text in texts) and all(type(number) is int for number in numbers)
    if not sound or not isinstance(members["detail"], dict) or not isinstance(members["object"], str | None):
        raise BadProof("The event body has a member of the wrong type.")
    return Event(
        kind=members["kind"],
        time=members["time"],
        party=members["party"],
        party_seq=members["party_seq"],
        object=members["object"],
        detail=members["detail"],
    )
