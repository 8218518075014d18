"""The closed sets a line may draw on: agencies, communities, topics, kinds, markings, codes.

Promises: everything is read once from ``vocabulary.json`` beside this module; it never changes while the program runs.
Agencies and communities here are the simulated ones of exercises; those of a hub are in its directory.
Spec: docs/spec/bulletin.md; FIRST TLP 2.0; NATO/Admiralty grading; ISO 3166.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

from lintas import shape

AGENCY_PATTERN = r"^[a-z]{2}-[a-z][a-z0-9]{1,23}$"
"""Country and desk, ASCII only: ``my-police``."""

COMMUNITY_PATTERN = r"^[A-Za-z0-9-]{1,64}$"

TLP = ("CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED")
"""FIRST TLP 2.0 markings without their prefix, from the widest to the narrowest."""

EVERY_TOPIC = "*"

_TLP_RANK: Mapping[str, int] = {tlp: rank for rank, tlp in enumerate(TLP)}


@dataclass(frozen=True, slots=True)
class Agency:
    """A simulated agency. `country` is ISO 3166 alpha-2, `type` its trade (police, cert, fiu, ...)."""

    id: str
    name: str
    country: str
    type: str


@dataclass(frozen=True, slots=True)
class Country:
    """A member state with the numbers its values begin with."""

    iso2: str
    icao3: str
    name: str
    calling_code: int
    mmsi_mids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IndicatorType:
    """A type of indicator; `ttl_days` is how long one is kept by default."""

    name: str
    title: str
    example: str
    canonical: str
    ttl_days: int
    is_personal: bool


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Every closed set. `titles` says in words what a value of a set means, by the name of its field here.

    `ack_within_s`, `answer_within_s`: by urgency, how long a recipient may take.
    """

    agencies: Mapping[str, Agency]
    communities: Mapping[str, tuple[str, ...]]
    countries: Mapping[str, Country]
    indicator_types: Mapping[str, IndicatorType]
    topics: frozenset[str]
    kinds: frozenset[str]
    urgencies: frozenset[str]
    severities: frozenset[str]
    sources: frozenset[str]
    credibilities: frozenset[str]
    handling_codes: frozenset[str]
    caveats: frozenset[str]
    paps: frozenset[str]
    purposes: frozenset[str]
    refusal_grounds: frozenset[str]
    answer_results: frozenset[str]
    consent_results: frozenset[str]
    consent_permissions: frozenset[str]
    recall_reasons: frozenset[str]
    feedback: frozenset[str]
    person_roles: frozenset[str]
    recaap_categories: frozenset[str]
    ack_within_s: Mapping[str, int]
    answer_within_s: Mapping[str, int]
    titles: Mapping[str, Mapping[str, str]]

    def title(self, field: str, name: str) -> str:
        """Return a value in words (`field` is the set's name here), or the value itself where there are none."""
        return self.titles.get(field, {}).get(name, name)


@cache
def load() -> Vocabulary:
    """Return the vocabulary, read once."""
    raw = json.loads(resources.files("lintas").joinpath("vocabulary.json").read_text("utf-8"))
    titles = {field: _titles(raw[name]) for field, name in _SETS.items()}
    titles["agencies"] = {each["id"]: each["name"] for each in raw["agencies"]}
    titles["communities"] = {each["id"]: each["title"] for each in raw["communities"]}
    return Vocabulary(
        agencies=_frozen({each["id"]: _agency(each) for each in raw["agencies"]}),
        communities=_frozen({each["id"]: tuple(each["members"]) for each in raw["communities"]}),
        countries=_frozen({each["iso2"]: _country(each) for each in raw["countries"]}),
        indicator_types=_frozen({each["name"]: _indicator_type(each) for each in raw["indicator_types"]}),
        ack_within_s=_within_s(raw["urgency"], "ack_within"),
        answer_within_s=_within_s(raw["urgency"], "answer_within"),
        titles=_frozen({field: _frozen(words) for field, words in titles.items()}),
        **{field: frozenset(titles[field]) for field in _SETS},
    )


def tlp_rank(tlp: str) -> int:
    """Return 0 for CLEAR up to 4 for RED; raise KeyError for anything else."""
    return _TLP_RANK[tlp]


def tlp_label(tlp: str) -> str:
    """Return a marking as it is shown: ``TLP:AMBER``."""
    return f"TLP:{tlp}"


def topic_covers(grant: str, topic: str) -> bool:
    """Tell whether a granted topic covers this one: itself, its sub-topics, and ``*`` everything."""
    return grant in (EVERY_TOPIC, topic) or topic.startswith(f"{grant}.")


_SETS: Mapping[str, str] = {
    "topics": "topics",
    "kinds": "bulletin_kinds",
    "urgencies": "urgency",
    "severities": "severity",
    "sources": "source_reliability",
    "credibilities": "information_credibility",
    "handling_codes": "handling_codes",
    "caveats": "caveats",
    "paps": "pap",
    "purposes": "access_purposes",
    "refusal_grounds": "refusal_grounds",
    "answer_results": "answer_results",
    "consent_results": "consent_results",
    "consent_permissions": "consent_permissions",
    "recall_reasons": "recall_reasons",
    "feedback": "feedback",
    "person_roles": "person_roles",
    "recaap_categories": "recaap_categories",
}
"""Each set of names, and the member of the JSON file that lists it."""


def _titles(rows: Iterable[Any]) -> dict[str, str]:
    # A row is a bare name, [name, title, ...] or {"name": ..., "title": ...}.
    words: dict[str, str] = {}
    for row in rows:
        if isinstance(row, dict):
            words[row["name"]] = row["title"] if "title" in row else row["name"]
        elif isinstance(row, list):
            words[row[0]] = row[1]
        else:
            words[row] = row
    return words


def _agency(row: Mapping[str, Any]) -> Agency:
    return Agency(id=row["id"], name=row["name"], country=row["country"], type=row["type"])


def _country(row: Mapping[str, Any]) -> Country:
    mids = tuple(row["mmsi_mids"])
    return Country(row["iso2"], row["icao3"], name=row["name"], calling_code=row["calling_code"], mmsi_mids=mids)


def _indicator_type(row: Mapping[str, Any]) -> IndicatorType:
    return IndicatorType(
        name=row["name"],
        title=row["title"],
        example=row["example"],
        canonical=row["canonical"],
        ttl_days=row["default_ttl_days"],
        is_personal=row["personal_data"],
    )


def _within_s(rows: Iterable[Any], name: str) -> Mapping[str, int]:
    return _frozen({row["name"]: shape.duration_s(row[name], name) for row in rows})


def _frozen(values: dict[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(values)
