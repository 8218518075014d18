"""What follows a bulletin: kinds, references, deadlines."""

from __future__ import annotations

import pytest

from lintas import exchange, vocabulary
from lintas.exchange import Duty, acknowledgement_due, answer_due, is_answered_by, relations_fault

NOW = 1_795_000_000
HOUR, DAY = 3_600, 86_400


@pytest.mark.parametrize(
    ("urgency", "expected"), [("flash", HOUR), ("urgent", 2 * HOUR), ("priority", 8 * HOUR), ("routine", 2 * DAY)]
)
def test_acknowledgement_is_due(urgency: str, expected: int) -> None:
    """The time to acknowledge runs from the first sending, shorter the more urgent it is."""
    assert NOW + expected == acknowledgement_due(urgency, NOW)


@pytest.mark.parametrize(
    ("urgency", "expected"), [("flash", 4 * HOUR), ("urgent", 8 * HOUR), ("priority", 3 * DAY), ("routine", 7 * DAY)]
)
def test_answer_is_due(urgency: str, expected: int) -> None:
    """The time to answer runs from the first sending."""
    assert NOW + expected == answer_due(urgency, NOW)


def test_every_urgency_has_its_times() -> None:
    """No urgency is without a time to acknowledge and to answer."""
    known = vocabulary.load()

    assert known.urgencies == set(known.ack_within_s) == set(known.answer_within_s)


@pytest.mark.parametrize("stated", ["2026-11-18T12:00:00Z", "2030-01-01T00:00:00Z"])
def test_stated_time_stands(stated: str) -> None:
    """A time that the request states stands in place of the vocabulary's, earlier or later."""
    expected = {"2026-11-18T12:00:00Z": 1_795_003_200, "2030-01-01T00:00:00Z": 1_893_456_000}

    assert expected[stated] == answer_due("routine", NOW, stated)


def test_nothing_is_due_before_it_was_sent() -> None:
    """Nobody is late with what it was never given, whatever the request states."""
    found = (
        acknowledgement_due("flash", None),
        answer_due("flash", None),
        answer_due("flash", None, "2020-01-01T00:00:00Z"),
    )

    assert (None, None, None) == found


@pytest.mark.parametrize(
    ("duty", "expected"),
    [
        (Duty("sg-fiu", None, None), False),
        (Duty("sg-fiu", NOW - 2, NOW + 1), False),
        (Duty("sg-fiu", NOW - 2, NOW), True),
        (Duty("sg-fiu", NOW - 2, NOW - 1, is_met=True), False),
    ],
)
def test_overdue(duty: Duty, expected: bool) -> None:  # noqa: FBT001 - a table
    """A duty is overdue from its due second on, unless it was met or its time never ran."""
    assert expected == duty.is_overdue(NOW)


@pytest.mark.parametrize("kind", sorted(exchange.REFERS))
def test_kind_needs_its_relation(kind: str) -> None:
    """A kind that is about another bulletin names it by its relation."""
    wanted = exchange.REFERS[kind]

    assert relations_fault(kind, {wanted}) is None
    assert f"Kind {kind} needs `{wanted}:<id>` in `refs`." == relations_fault(kind, ())


@pytest.mark.parametrize("relation", exchange.RESERVED)
def test_reserved_relation(relation: str) -> None:
    """Recalling, answering and endorsing are told by the kind."""
    allowed = {kind for kind in vocabulary.load().kinds if relations_fault(kind, {"comments", relation}) is None}

    assert {kind for kind, wanted in exchange.REFERS.items() if wanted == relation} == allowed


def test_any_kind_comments_or_supersedes() -> None:
    """A sighting may refer to the lookout it is about, and anything may be replaced."""
    found = [kind for kind in ("alert", "sighting", "rfi") if relations_fault(kind, {"comments", "supersedes"}) is None]

    assert ["alert", "sighting", "rfi"] == found


def test_what_answers_what() -> None:
    """An answer answers a request for information, a consent-answer a request for consent; nothing else does."""
    kinds = vocabulary.load().kinds

    found = {(asked, kind) for asked in kinds for kind in kinds if is_answered_by(asked, kind)}

    assert {("rfi", "answer"), ("consent-request", "consent-answer")} == found
