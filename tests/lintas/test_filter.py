"""Filters: what they hold, what is refused, that they are written as they are read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lintas import vocabulary
from lintas.errors import MalformedPayload
from lintas.filter import EVERYTHING, MEMBERS, VALUES_MAX, Filter, read_filter

KNOWN = vocabulary.load()
VALUES: dict[str, list[str]] = {
    "topic": sorted(KNOWN.topics),
    "kind": sorted(KNOWN.kinds),
    "from": sorted(KNOWN.agencies),
    "country": ["id", "my", "sg", "th"],
    "urgency": sorted(KNOWN.urgencies),
    "tlp": list(vocabulary.TLP),
    "indicator": sorted(KNOWN.indicator_types),
    "watch": ["case-26-7", "Numbers", "x" * 64],
}


@given(st.fixed_dictionaries({}, optional={name: st.sets(st.sampled_from(VALUES[name])) for name in MEMBERS}))
def test_round_trip(members: dict[str, set[str]]) -> None:
    """A filter is written as it is read, without what restricts nothing."""
    asked = {name: sorted(values) for name, values in members.items() if values}

    assert asked == read_filter({name: sorted(values) for name, values in members.items()}).members()


def test_nothing_asked() -> None:
    """A filter without members restricts nothing."""
    assert Filter() == EVERYTHING == read_filter({}) == read_filter({"topic": []})


def test_topics_cover_their_sub_topics() -> None:
    """A topic stands for itself with all that is below it."""
    covered = read_filter({"topic": ["cyber"]}).covered_topics()

    assert {topic for topic in KNOWN.topics if topic == "cyber" or topic.startswith("cyber.")} == covered


@pytest.mark.parametrize(
    ("members", "member"),
    [
        ({"title": ["x"]}, "title"),
        ({"topic": ["weather"]}, "topic[0]"),
        ({"topic": "cyber"}, "topic"),
        ({"kind": ["alert", "alert"]}, "kind[1]"),
        ({"from": ["admin/registrar"]}, "from[0]"),
        ({"country": ["MY"]}, "country[0]"),
        ({"country": ["my\n"]}, "country[0]"),
        ({"tlp": ["TLP:RED"]}, "tlp[0]"),
        ({"urgency": [1]}, "urgency[0]"),
        ({"indicator": ["phones"]}, "indicator[0]"),
        ({"watch": ["a/b"]}, "watch[0]"),
        ({"watch": ["x" * 65]}, "watch[0]"),
        ({"from": [f"my-a{number}" for number in range(VALUES_MAX + 1)]}, "from"),
    ],
)
def test_refused(members: dict[str, Any], member: str) -> None:
    """What is no filter is refused by the name of the member at fault."""
    with pytest.raises(MalformedPayload) as caught:
        read_filter(members)

    assert member == caught.value.member
