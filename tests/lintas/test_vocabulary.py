"""The closed sets and what is derived from them."""

from __future__ import annotations

import json
import re
from importlib import resources

import pytest

from lintas import vocabulary
from lintas.indicators import normalise

PROTOCOL_KINDS = {"endorsement", "comment", "feedback", "consent-request", "consent-answer"}


def test_every_agency_id_follows_the_pattern() -> None:
    """Ids are what headers accept."""
    ids = list(vocabulary.load().agencies)

    assert ids == [each for each in ids if re.fullmatch(vocabulary.AGENCY_PATTERN, each)]


@pytest.mark.parametrize(
    "name", ["my-police\n", "MY-police", "mý-police", "my_police", "my-p", "my-" + "a" * 25, "admin/x"]
)
def test_other_spellings_are_no_agency(name: str) -> None:
    """The pattern takes ASCII letters of one case, within its length."""
    assert re.fullmatch(vocabulary.AGENCY_PATTERN, name) is None


def test_every_agency_is_simulated() -> None:
    """No name of the vocabulary can be taken for a real agency."""
    names = [agency.name for agency in vocabulary.load().agencies.values()]

    assert names == [name for name in names if name.endswith("(SIMULATED)")]


def test_there_are_thirty_six_agencies_of_eleven_countries() -> None:
    """The exercise covers the region."""
    known = vocabulary.load()

    assert (36, set(known.countries)) == (len(known.agencies), {each.country for each in known.agencies.values()})


def test_the_community_of_all_holds_every_agency() -> None:
    """asean-all means what it says."""
    known = vocabulary.load()

    assert set(known.agencies) == set(known.communities["asean-all"])


def test_communities_hold_known_agencies_only() -> None:
    """No community leads to a stranger."""
    known = vocabulary.load()
    members = {member for community in known.communities.values() for member in community}

    assert members <= set(known.agencies)


def test_the_kinds_of_the_protocol_are_there() -> None:
    """Kinds without an INTERPOL notice are bulletins as well."""
    assert PROTOCOL_KINDS <= vocabulary.load().kinds


def test_every_topic_but_a_root_is_covered_by_its_parent() -> None:
    """The names of topics carry their order."""
    raw = json.loads(resources.files("lintas").joinpath("vocabulary.json").read_text("utf-8"))
    children = [(each["parent"], each["name"]) for each in raw["topics"] if each["parent"]]

    assert children == [pair for pair in children if vocabulary.topic_covers(*pair)]


@pytest.mark.parametrize(
    ("grant", "topic", "expected"),
    [
        ("*", "cyber.scam", True),
        ("cyber", "cyber", True),
        ("cyber", "cyber.scam", True),
        ("cyber", "cybernetics", False),
        ("cyber.scam", "cyber", False),
        ("drugs", "cyber", False),
    ],
)
def test_a_topic_covers_itself_and_its_sub_topics(grant: str, topic: str, expected: bool) -> None:  # noqa: FBT001
    """Coverage goes by whole words."""
    actual = vocabulary.topic_covers(grant, topic)

    assert expected == actual


def test_tlp_ranks_from_clear_to_red() -> None:
    """The order is that of TLP 2.0."""
    actual = [vocabulary.tlp_rank(tlp) for tlp in ("CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED")]

    assert actual == [0, 1, 2, 3, 4]


def test_an_unknown_marking_has_no_rank() -> None:
    """TLP 1 is not mapped in silence."""
    with pytest.raises(KeyError):
        vocabulary.tlp_rank("WHITE")


def test_a_marking_is_shown_with_its_prefix() -> None:
    """Screens say TLP:AMBER."""
    assert vocabulary.tlp_label("AMBER") == "TLP:AMBER"


@pytest.mark.parametrize(
    ("field", "name", "expected"),
    [
        ("topics", "cyber.scam", "Online scams"),
        ("kinds", "rfi", "Request for information"),
        ("communities", "mekong", "Mekong"),
        ("agencies", "my-cert", "Malaysia National CERT (SIMULATED)"),
        ("urgencies", "urgent", "Urgent"),
        ("severities", "minor", "minor"),
        ("purposes", "audit", "audit"),
        ("topics", "no-such", "no-such"),
        ("no-such", "name", "name"),
    ],
)
def test_titles_say_names_in_words(field: str, name: str, expected: str) -> None:
    """What has no words is shown as it is."""
    actual = vocabulary.load().title(field, name)

    assert expected == actual


def test_the_vocabulary_cannot_be_changed() -> None:
    """What is shared by all of the program stays as it was read."""
    with pytest.raises(TypeError):
        vocabulary.load().agencies["xx-new"] = None  # type: ignore[index]


def test_the_vocabulary_is_read_once() -> None:
    """Loading again costs nothing."""
    assert vocabulary.load() is vocabulary.load()


def test_the_example_of_each_of_the_twenty_eight_types_is_readable() -> None:
    """A type of the vocabulary that nobody can read would be refused at the hub."""
    types = vocabulary.load().indicator_types

    read = [normalise(name, each.example) for name, each in types.items()]

    assert len(read) == 28
