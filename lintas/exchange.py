"""What follows a bulletin: which kind refers to what, what its payload owes, when an answer is due.

Pure: the hub decides with it (``broker.policy``, ``broker.due``), a client asks it before it signs. What a header shows
is held here, so that sealed bulletins take the same path.
Spec: docs/spec/bulletin.md (requests, answers, consent, feedback); Directive (EU) 2023/977 article 5(1) for the times.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from lintas import shape, vocabulary
from lintas.errors import MalformedPayload

REFERS: Mapping[str, str] = {
    "recall": "recalls",
    "answer": "answers",
    "consent-answer": "answers",
    "endorsement": "endorses",
    "comment": "comments",
    "feedback": "comments",
    "consent-request": "comments",
}
"""Kinds that mean nothing without the bulletin they are about, and how they refer to it."""

ANSWERED_BY: Mapping[str, str] = {"rfi": "answer", "consent-request": "consent-answer"}
"""Kinds that oblige their recipients to answer, and the kind that does."""

RESERVED = ("recalls", "answers", "endorses")
"""Relations that only the kinds above use. Any kind may comment on a bulletin or supersede one."""

RECALL = "recall"
CONSENT_REQUEST = "consent-request"
CONSENT_ANSWER = "consent-answer"
PASS_ON = "pass-on"  # noqa: S105 - a permission, not a secret
REFUSED = "refused"
ACTIONED = "actioned"
DUPLICATE = "duplicate"

ACTIONS = ("arrests", "seizures", "rescues", "freezes", "blocks")
"""What feedback counts."""

ACTIONS_MAX = 1_000_000
"""No single bulletin leads to more; sums over many stay exact everywhere."""

PASS_TO_MAX = 16
"""Agencies or bodies in one request to pass a bulletin on: each is weighed by hand."""


@dataclass(frozen=True, slots=True)
class Duty:
    """What one agency owes on one bulletin. Times are Unix seconds; `sent_at` None: it was never sent to it.

    `due` is None as long as no time runs. `is_met`: it answered or acknowledged.
    """

    agency: str
    sent_at: int | None
    due: int | None
    is_met: bool = False

    def is_overdue(self, now: int) -> bool:
        """Tell whether its time is over and nothing came."""
        return not self.is_met and self.due is not None and self.due <= now


def relations_fault(kind: str, relations: Collection[str]) -> str | None:
    """Say in words what is wrong with the relations that a bulletin of this kind names in `refs`, or None."""
    wanted = REFERS.get(kind)
    if wanted is not None and wanted not in relations:
        return f"Kind {kind} needs `{wanted}:<id>` in `refs`."
    for relation in RESERVED:
        if relation in relations and relation != wanted:
            kinds = " or ".join(each for each, needed in REFERS.items() if needed == relation)
            return f"Only kind {kinds} has `{relation}:<id>` in `refs`."
    return None


def is_answered_by(asked: str, kind: str) -> bool:
    """Tell whether a bulletin of this kind answers one of kind `asked`."""
    return ANSWERED_BY.get(asked) == kind


def acknowledgement_due(urgency: str, sent_at: int | None) -> int | None:
    """Return until when what was first sent at this second is to be acknowledged; None before it was sent."""
    return None if sent_at is None else sent_at + vocabulary.load().ack_within_s[urgency]


def answer_due(urgency: str, sent_at: int | None, stated: str | None = None) -> int | None:
    """Return until when a request is to be answered by one to whom it was first sent at this second; None before.

    A time `stated` in the request (`answer_due`) stands in place of the vocabulary's, whether earlier or later.
    """
    if sent_at is None:
        # Nobody is late with what it was never given.
        return None
    if stated is not None:
        return int(shape.instant(stated).timestamp())
    return sent_at + vocabulary.load().answer_within_s[urgency]


def check_payload(kind: str, values: Mapping[str, Any]) -> None:
    """Hold the members of a payload against each other; raise MalformedPayload naming the one at fault."""
    result = values.get("result")
    if result == REFUSED and "reason" not in values:
        raise MalformedPayload("A refusal names its ground in `reason`.", member="reason")
    if values.get("permission") == PASS_ON and not values.get("pass_to"):
        raise MalformedPayload("To pass on names in `pass_to` whom it would go to.", member="pass_to")
    if kind != "feedback":
        return
    if (result == ACTIONED) != ("counts" in values):
        raise MalformedPayload(
            "`counts` stands in feedback that something was actioned, and only there.", member="counts"
        )
    if result == DUPLICATE and not values.get("references"):
        raise MalformedPayload("A duplicate names in `references` what was known already.", member="references")
