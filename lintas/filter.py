"""The part of a feed that somebody asks for.

A filter names what is wanted; what it does not name is not restricted. It never holds back a recall or a superseding
bulletin: whoever received something must learn that it was withdrawn. The hub evaluates filters over the signed header,
and over indicators of clear bulletins; nothing in a sealed bulletin can be filtered by.

=============  =====================================================================
`topic`        topics; each covers its sub-topics
`kind`         kinds of bulletin
`from`         issuers
`country`      countries of issuers, ISO 3166 alpha-2 in lower case as in agency ids
`urgency`      urgencies
`tlp`          markings without their prefix
`indicator`    types of indicator of which the bulletin has at least one
`watch`        watch lists of the reader, of which the bulletin has at least one value
=============  =====================================================================

Spec: docs/spec/http.md (subscriptions).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from lintas import vocabulary
from lintas.header import is_agency
from lintas.shape import Reader, matching, members_of, one_of, refusal, set_of

VALUES_MAX = 64
"""Values of one member: more than half of any list of the vocabulary asks for everything instead."""

COUNTRY_PATTERN = r"[a-z]{2}"
WATCH_PATTERN = r"[A-Za-z0-9-]{1,64}"
_FIELDS = {
    "from": "issuers",
    "country": "countries",
    "urgency": "urgencies",
    "indicator": "indicators",
    "watch": "watches",
}


@dataclass(frozen=True, slots=True)
class Filter:
    """What is wanted; an empty set means any. `topics` are as named, not yet with their sub-topics."""

    topics: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    issuers: frozenset[str] = frozenset()
    countries: frozenset[str] = frozenset()
    urgencies: frozenset[str] = frozenset()
    tlps: frozenset[str] = frozenset()
    indicators: frozenset[str] = frozenset()
    watches: frozenset[str] = frozenset()

    def members(self) -> dict[str, list[str]]:
        """Return the members that `read_filter` reads, sorted, without the empty ones."""
        pairs = {name: sorted(getattr(self, field_of(name))) for name in MEMBERS}
        return {name: values for name, values in pairs.items() if values}

    def covered_topics(self) -> frozenset[str]:
        """Return the wanted topics with all their sub-topics."""
        known = vocabulary.load().topics
        return frozenset(each for each in known if any(vocabulary.topic_covers(topic, each) for topic in self.topics))


EVERYTHING = Filter()
MEMBERS = ("topic", "kind", "from", "country", "urgency", "tlp", "indicator", "watch")


def read_filter(members: Mapping[str, Any]) -> Filter:
    """Read a filter from lists of values; raise MalformedPayload naming the member at fault."""
    values = members_of(_readers(), required=(), what="A filter")(members, "")
    return Filter(**{field_of(name): frozenset(each) for name, each in values.items()})


def field_of(member: str) -> str:
    """Return the field of a `Filter` that holds this member."""
    return _FIELDS.get(member, f"{member}s")


@cache
def _readers() -> Mapping[str, Reader]:
    known = vocabulary.load()
    readers: dict[str, Reader] = {
        "topic": one_of(known.topics),
        "kind": one_of(known.kinds),
        "from": _issuer,
        "country": matching(COUNTRY_PATTERN, "a country such as my"),
        "urgency": one_of(known.urgencies),
        "tlp": one_of(vocabulary.TLP),
        "indicator": one_of(known.indicator_types),
        "watch": matching(WATCH_PATTERN, "the name of a watch list: letters, digits, hyphens"),
    }
    return {name: set_of(reader, VALUES_MAX) for name, reader in readers.items()}


def _issuer(value: object, path: str) -> str:
    if not isinstance(value, str) or not is_agency(value):
        raise refusal(f"`{path}` is an agency id.", path)
    return value
