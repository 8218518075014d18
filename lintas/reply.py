"""A reply to a verified bulletin, as the draft that says it: on the same topic, marked no wider.

Whoever replies writes only what is new. The draft is made from the signed header of what it is about, so that no reply
is marked wider, or goes further, by mistake. Spec: docs/spec/bulletin.md (draft).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from lintas import exchange
from lintas.bulletin import TITLE_CHARACTERS_MAX
from lintas.errors import MalformedPayload
from lintas.feed import Received
from lintas.header import EVERYONE, Header
from lintas.shape import DAY_S
from lintas.vocabulary import tlp_rank

VALID_S_MIN = 7 * DAY_S
"""A reply stands as long as what it is about, and a week at least, so that a late one is still read."""


def reply_draft(
    item: Received, kind: str, payload: Mapping[str, Any], *, to: Sequence[str], now: int, tlp: str | None = None
) -> dict[str, Any]:
    """Return the members of a draft of this kind about a bulletin, to these agencies.

    Raises MalformedPayload when `tlp` is wider than the marking of what it is about.
    """
    header = item.header
    marking = tlp or header.tlp or ""
    if tlp_rank(marking) < tlp_rank(header.tlp or ""):
        raise MalformedPayload(f"What is about TLP:{header.tlp} is marked as narrowly at least.", member="tlp")
    until = datetime.fromtimestamp(max(header.exp or 0, now + VALID_S_MIN), UTC)
    members = {
        "kind": kind,
        "topic": header.topic,
        "tlp": marking,
        "urgency": header.urgency,
        "release_to": list(to),
        "valid_until": f"{until:%Y-%m-%dT%H:%M:%SZ}",
        "refs": refs_of(item, kind),
        "payload": dict(payload),
    }
    # What was sealed is not answered in the clear.
    return members | ({"seal": True} if header.enc is not None else {})


def refs_of(item: Received, kind: str) -> list[str]:
    """Return the references that a reply of this kind has."""
    refs = [f"{exchange.REFERS.get(kind, 'comments')}:{item.id}"]
    if kind == exchange.CONSENT_ANSWER:
        # The bulletin itself too, so that all who hold it can be told.
        refs += [f"comments:{target}" for target in item.header.targets("comments")]
    return refs


def circle(header: Header, party: str) -> list[str]:
    """Return everyone a bulletin went to by its header, and its issuer, without this party."""
    if header.release_to == EVERYONE:
        return list(EVERYONE)
    return sorted({*header.release_to, header.iss} - {party})


def title_of(item: Received, words: str) -> str:
    """Return a title that says what a reply is about, within the limit."""
    subject = item.content.title if item.content is not None else item.id
    return f"{words}: {subject}"[:TITLE_CHARACTERS_MAX].rstrip()
