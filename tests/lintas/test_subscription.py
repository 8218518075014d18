"""What events prove of subscriptions: the filter, the cursor, what must be in a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from lintas.event import Event
from lintas.filter import EVERYTHING, Filter
from lintas.state import Released, State
from lintas.subscription import Proven, proven, remember

CREATED = {"name": "scams", "filter": {"topic": ["cyber"]}, "cursor": 4}


@pytest.fixture
def state() -> Iterator[State]:
    """An empty memory."""
    found = State(":memory:", log_key="k")
    yield found
    found.close()


def happen(state: State, kind: str, detail: Mapping[str, Any]) -> None:
    """Take over an event of our own."""
    remember(state, Event(kind, 1, "sg-fiu", 1, None, detail))


def released(topic: str = "cyber.scam", tlp: str = "AMBER") -> Released:
    """A release of this topic and marking."""
    return Released("A" * 43, 2, 1, 0, 9, topic, tlp)


def test_unknown(state: State) -> None:
    """The log knows the built-in subscription from the beginning, and no other."""
    assert Proven(EVERYTHING, -1) == proven(state, "feed")
    assert proven(state, "scams") is None


def test_life(state: State) -> None:
    """Creation, moves and changes of filter are followed; after the end there is none."""
    wanted = Filter(topics=frozenset({"cyber"}))
    happen(state, "subscription.created", CREATED)
    found = [proven(state, "scams")]
    for way, to in (("subscription/scams", 9), ("webhook/scams", 12), ("subscription/other", 99), ("feed", 50)):
        happen(state, "bulletin.received", {"way": way, "to": to, "count": 1})
    found.append(proven(state, "scams"))
    happen(state, "subscription.changed", CREATED | {"filter": {}, "cursor": 2})
    found.append(proven(state, "scams"))
    happen(state, "subscription.deleted", {"name": "scams", "cursor": 2})

    assert [Proven(wanted, 4), Proven(wanted, 12), Proven(EVERYTHING, 2)] == found
    assert Proven(EVERYTHING, 50) == proven(state, "feed")
    assert proven(state, "scams") is None


@pytest.mark.parametrize(
    "detail",
    [{"name": "scams"}, CREATED | {"filter": {"topic": ["no"]}}, CREATED | {"cursor": "4"}, CREATED | {"filter": 1}],
)
def test_odd_event(state: State, detail: Mapping[str, Any]) -> None:
    """An event that does not say what a subscription is proves none."""
    happen(state, "subscription.created", detail)

    assert proven(state, "scams") is None


def test_other_events(state: State) -> None:
    """Other events, and moves of what is unknown, say nothing of a subscription."""
    happen(state, "view.read", CREATED)
    happen(state, "bulletin.received", {"way": "subscription/scams", "to": 5, "count": 1})

    assert proven(state, "scams") is None


@pytest.mark.parametrize(
    ("wanted", "is_in"),
    [
        (Filter(), True),
        (Filter(topics=frozenset({"cyber"})), True),
        (Filter(topics=frozenset({"drugs"})), False),
        (Filter(tlps=frozenset({"AMBER"})), True),
        (Filter(tlps=frozenset({"GREEN"})), False),
        (Filter(topics=frozenset({"cyber"}), kinds=frozenset({"alert"})), False),
        (Filter(issuers=frozenset({"my-police"})), False),
    ],
)
def test_must_be_in(wanted: Filter, *, is_in: bool) -> None:
    """A release shows by topic and marking that it must be in; by what else a filter asks it shows nothing."""
    assert is_in == Proven(wanted, 1).wants(released())
