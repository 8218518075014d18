"""Drafts made of what tools post."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.gateway.wrapping import is_marked, key_of, objects_of, wrap
from lintas import vocabulary
from lintas.errors import BadRequest, LintasError
from lintas.imported import Choices
from lintas.stix.fixed import BULLETIN_EXTENSION, TLP_MARKINGS
from lintas.stix.ids import agency_id

PARTY = "sg-fiu"
CHOICES = Choices(topic="cyber.scam", release_to=("id-police",), tlp="AMBER")
DRAFT = {"payload": {"title": "Fictional", "summary": "Simulated."}}
WORDS = (
    "type",
    "id",
    "objects",
    "extensions",
    BULLETIN_EXTENSION,
    "line",
    "issuer",
    "payload",
    "created_by_ref",
    "name",
    "Event",
    "response",
    "Orgc",
    "uuid",
    "info",
    "Attribute",
    "Object",
    "Tag",
    "tlp",
    "modified",
    "object_marking_refs",
)
NAME = vocabulary.load().agencies["my-police"].name
MODIFIED = "2026-11-20T03:00:00.000Z"


def name(tlp: str | None = "GREEN", value: str = "lotus-loan.example", **other: Any) -> dict[str, Any]:
    """Write a domain name."""
    marking = {} if tlp is None else {"object_marking_refs": [TLP_MARKINGS[tlp]]}
    return {"type": "domain-name", "id": f"domain-name--{value}", "value": value, **marking, **other}


def bundle(*objects: dict[str, Any], **other: Any) -> dict[str, Any]:
    """Write a bundle."""
    return {"type": "bundle", "objects": list(objects), **other}


def event(creator: str | None = None) -> dict[str, Any]:
    """Write an event of MISP."""
    orgc = {} if creator is None else {"Orgc": {"uuid": creator.partition("--")[2], "name": "Somebody"}}
    attributes = [{"type": "domain", "value": "lotus-loan.example"}]
    return {"Event": {"info": "Fictional", "Tag": [{"name": "tlp:green"}], "Attribute": attributes, **orgc}}


def test_draft_is_filled() -> None:
    """What a draft does not say is what the gateway was started with."""
    (draft,) = wrap(DRAFT, replace(CHOICES, kind="alert", urgency="urgent", valid_for="P3D"), PARTY).drafts

    said = {name: draft[name] for name in ("kind", "urgency", "topic", "release_to", "tlp", "valid_for")}
    assert {
        "kind": "alert",
        "urgency": "urgent",
        "topic": "cyber.scam",
        "release_to": ["id-police"],
        "tlp": "AMBER",
        "valid_for": "P3D",
    } == said


def test_draft_says_it_itself() -> None:
    """What a draft says stands."""
    given = {"kind": "alert", "topic": "maritime", "release_to": ["th-police"], "valid_until": "2030-01-01T00:00:00Z"}
    (draft,) = wrap(DRAFT | given, CHOICES, PARTY).drafts

    assert given.items() <= draft.items()
    assert "valid_for" not in draft


@pytest.mark.parametrize(("said", "chosen", "tlp"), [("TLP:GREEN", "AMBER", "AMBER"), ("AMBER", None, "AMBER")])
def test_narrower_marking_of_a_draft(said: str, chosen: str | None, tlp: str) -> None:
    """Of a draft's marking and the gateway's the narrower counts."""
    (draft,) = wrap(DRAFT | {"tlp": said}, replace(CHOICES, tlp=chosen), PARTY).drafts

    assert tlp == draft["tlp"]


@pytest.mark.parametrize("members", [DRAFT | {"tlp": "AMBER+STRICT"}, bundle(name("AMBER+STRICT"))])
def test_wider_than_marked(members: dict[str, Any]) -> None:
    """What is marked narrower than the gateway may publish is refused."""
    with pytest.raises(BadRequest, match="cannot be passed on more widely"):
        wrap(members, CHOICES, PARTY)


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        (replace(CHOICES, topic=None), "--topic"),
        (replace(CHOICES, release_to=()), "--to"),
        (replace(CHOICES, tlp=None), "--tlp"),
    ],
)
def test_nobody_said(choices: Choices, words: str) -> None:
    """What neither draft nor gateway says is named with the option that says it."""
    with pytest.raises(LintasError, match=words):
        wrap(DRAFT, choices, PARTY)


def test_odd_marking_of_a_draft() -> None:
    """A word that is no marking is refused as in any draft."""
    with pytest.raises(LintasError, match="tlp"):
        wrap(DRAFT | {"tlp": "PURPLE"}, CHOICES, PARTY)


def test_bundle_and_event() -> None:
    """A bundle and an event become drafts with their values; what has no place is named."""
    malware = {"type": "malware", "id": "malware--1", "name": "FicRAT"}
    found = [wrap(bundle(name(), malware), CHOICES, PARTY), wrap(event(), CHOICES, PARTY)]

    assert [["lotus-loan.example"]] * 2 == [
        [each["value"] for each in one.drafts[0]["payload"]["indicators"]] for one in found
    ]
    assert [["malware--1"], []] == [[each.where for each in one.omitted] for one in found]


def test_neither() -> None:
    """Anything else is refused with what it could have been."""
    with pytest.raises(BadRequest, match="neither a STIX bundle"):
        wrap({"hello": 1}, CHOICES, PARTY)


@pytest.mark.parametrize(
    "members",
    [
        bundle(name(), {"type": "report", "id": "report--1", "created_by_ref": agency_id("my-police")}),
        bundle(name(created_by_ref="identity--x"), {"type": "identity", "id": "identity--x", "name": NAME}),
        event(agency_id("my-police")),
    ],
)
def test_of_another_agency(members: dict[str, Any]) -> None:
    """Nothing of another agency is published as ours."""
    with pytest.raises(BadRequest, match=r"my-police.*nothing of another agency"):
        wrap(members, CHOICES, PARTY)


@pytest.mark.parametrize("members", [bundle(name(created_by_ref=agency_id(PARTY))), event(agency_id(PARTY))])
def test_of_our_own(members: dict[str, Any]) -> None:
    """What is ours may go out."""
    assert 1 == len(wrap(members, CHOICES, PARTY).drafts)


def test_came_from_the_hub(exported: dict[str, Any]) -> None:
    """A bulletin that came through a gateway does not go out again as ours, whoever its tool says made it."""
    for each in exported["objects"]:
        each.pop("created_by_ref", None)

    with pytest.raises(BadRequest, match="my-police"):
        wrap(exported, CHOICES, PARTY)


def test_own_report_keeps_its_recipients(exported: dict[str, Any]) -> None:
    """A report of ours that names recipients goes to these, not to those of the gateway."""
    (draft,) = wrap(exported, replace(CHOICES, release_to=("vn-police",)), "my-police").drafts

    assert ["sg-fiu"] == draft["release_to"]


@pytest.mark.parametrize(
    ("members", "marked"),
    [
        (bundle(name("GREEN")), True),
        (bundle(name(None)), False),
        (bundle(name("GREEN"), {"type": "report", "id": "report--1", "name": "Unmarked", "object_refs": []}), False),
        (event(), True),
        ({"Event": {"info": "Fictional", "Attribute": []}}, False),
        (DRAFT | {"tlp": "GREEN"}, True),
        (DRAFT, False),
    ],
)
def test_marked_itself(members: dict[str, Any], *, marked: bool) -> None:
    """Only what is marked in every part says itself how far it may go."""
    assert marked == is_marked(members, CHOICES, PARTY)


def test_key_is_of_the_content() -> None:
    """Order, names of bundles and spelling of JSON do not count; content does."""
    one, two = name(), name(value="other.example")
    keys = {key_of(bundle(one, two, id="bundle--1")), key_of(bundle(two, one, id="bundle--2"))}

    assert 1 == len(keys)
    assert not keys & {key_of(bundle(one)), key_of(bundle(one, name("AMBER", "other.example")))}
    assert key_of(DRAFT) != key_of(DRAFT | {"tlp": "GREEN"})


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.text(max_size=9)
    | st.sampled_from([agency_id("my-police"), "tlp:green"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=12,
)
MEMBERS = st.dictionaries(st.sampled_from(WORDS), JSON, max_size=6) | st.lists(JSON, max_size=4).map(
    lambda each: {"type": "bundle", "objects": each}
)


@given(MEMBERS)
def test_any_json(members: dict[str, Any]) -> None:
    """Whatever is posted, it has a key, its objects are named, and it is wrapped or refused with a reason."""
    assert (64, True) == (len(key_of(members)), isinstance(objects_of(members), list))
    assert is_marked(members, CHOICES, PARTY) in (True, False)
    with suppress(LintasError):
        wrap(members, CHOICES, PARTY)


def test_objects_of_a_posting() -> None:
    """Each STIX object is named with its version; what is no bundle has none."""
    dated = {"type": "report", "id": "report--1", "modified": MODIFIED}

    assert [("report--1", MODIFIED), ("domain-name--x.example", "")] == objects_of(
        bundle(dated, name(value="x.example"), {"id": 5})
    )
    assert [] == objects_of(DRAFT)
