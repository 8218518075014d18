"""Bulletins as MISP events and back, compared with PyMISP."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymisp import MISPEvent

from lintas.draft import Draft, read_draft
from lintas.errors import BadRequest, LintasError
from lintas.imported import Choices, Import, read_members
from lintas.misp import event_uuid, hashes_csv, manifest, read_events, withdrawn_event, write_event
from lintas.misp.feed import Listed
from lintas.misp.mapping import CATEGORIES, TEMPLATES, WRITERS
from lintas.misp.reading import EVENTS_MAX, PARTS_MAX
from lintas.stix import Export, Origin
from tests.lintas.exports import EXAMPLES, LINE_ID, NOW_US, OTHER_ID, SAMPLES, drafts, export_of, sample_export
from tests.lintas.test_stix_import import JSON

Members = dict[str, Any]
REAL = Path(__file__).parents[2] / "../shared/data/real/misp"
CHOICES = Choices(topic="cyber.malware", release_to=("sg-cert",), tlp="AMBER")
LATER_US = NOW_US + 9_000_000
TYPES_OF_MISP = json.loads((resources.files("pymisp") / "data/describeTypes.json").read_text("utf-8"))["result"]
COMPUTED = {"attribute_count", "Galaxy", "ShadowAttribute", "RelatedEvent", "Org"}


def loaded(event: Members) -> MISPEvent:
    """Return an event as PyMISP reads it, held to its own templates."""
    found = MISPEvent(strict_validation=True)
    found.from_dict(**json.loads(json.dumps(event)))
    return found


def parts(event: Members) -> list[Members]:
    """Return every attribute of an event, those within objects too."""
    inner = event["Event"]
    return [*inner["Attribute"], *(one for each in inner["Object"] for one in each["Attribute"])]


def same(event: Members) -> None:
    """Check that PyMISP keeps every value, uuid, relation, comment and tag of an event."""
    kept = json.loads(loaded(event).to_json())
    back = [*kept.get("Attribute", []), *(one for each in kept.get("Object", []) for one in each["Attribute"])]
    names = ("uuid", "type", "category", "comment", "object_relation", "to_ids")

    assert [each["name"] for each in event["Event"]["Tag"]] == [each["name"] for each in kept["Tag"]]
    assert [[each.get(name) for name in names] for each in parts(event)] == [
        [each.get(name) for name in names] for each in back
    ]
    assert [float(each["value"]) if each["type"] == "float" else each["value"] for each in parts(event)] == [
        float(each["value"])
        if each["type"] == "float"
        else str(each["value"])[: len(str(each["value"]))]
        if each["type"] != "date-of-birth"
        else str(each["value"])[:10]
        for each in back
    ]


def of(kind: str) -> Draft:
    """Return an alert with the example of a type."""
    role = {"person_role": "suspect"} if kind == "person" else {}
    seen = {"first_seen": "2026-11-20T03:00:00Z", "last_seen": "2026-11-21T03:00:00Z"}
    return Draft(
        kind="alert",
        topic="cyber.scam",
        tlp="AMBER",
        urgency="urgent",
        release_to=("sg-police",),
        members={
            "title": "Fictional title",
            "summary": "Fictional summary.",
            "grading": {"source": "B", "information": "2"},
            "indicators": [{"type": kind, "value": EXAMPLES[kind], "role": "fictional", **seen, **role}],
        },
        valid_until=NOW_US // 1_000_000 + 86_400,
    )


@pytest.mark.parametrize("sample", SAMPLES, ids=[each["sample"] for each in SAMPLES])
def test_samples_load(sample: Members) -> None:
    """PyMISP drops nothing of a sample."""
    same(write_event(sample_export(sample)))


@pytest.mark.parametrize("kind", sorted(EXAMPLES))
def test_every_type_loads(kind: str) -> None:
    """PyMISP drops nothing of any type of indicator, and the value is somewhere in the event."""
    event = write_event(export_of(of(kind)))

    same(event)
    assert [] != [
        each
        for each in parts(event)
        if EXAMPLES[kind] in (each["value"], each["comment"].split("; ")[0][len(kind) + 1 :])
    ]


@given(drafts())
def test_every_bulletin_loads(draft: Draft) -> None:
    """PyMISP reads an event of any bulletin, standing or withdrawn."""
    export = export_of(draft)

    assert [event_uuid(export)] * 2 == [
        loaded(event).uuid for event in (write_event(export), withdrawn_event(export, LATER_US))
    ]


@pytest.mark.parametrize("template", TEMPLATES, ids=[each.name for each in TEMPLATES])
def test_templates_are_the_published_ones(template: Any) -> None:
    """Name, id, version and category of a template are those of misp-objects as PyMISP has them."""
    path = resources.files("pymisp") / f"data/misp-objects/objects/{template.name}/definition.json"
    published = json.loads(path.read_text("utf-8"))

    assert (published["uuid"], str(published["version"]), published["meta-category"]) == (
        template.uuid,
        template.version,
        template.meta_category,
    )


@pytest.mark.parametrize("kind", sorted(CATEGORIES))
def test_categories_fit_their_types(kind: str) -> None:
    """MISP knows every type of attribute that we write, in the category that we write."""
    assert kind in TYPES_OF_MISP["category_type_mappings"][CATEGORIES[kind]]


def test_every_type_of_indicator_has_a_place() -> None:
    """Every type of the vocabulary is mapped."""
    assert sorted(EXAMPLES) == sorted(WRITERS)


def test_tags_say_marking_and_grading() -> None:
    """Marking and grading are tags of the published taxonomies."""
    names = [each["name"] for each in write_event(export_of(of("phone")))["Event"]["Tag"]]

    assert [
        "tlp:amber",
        'lintas:kind="alert"',
        'lintas:urgency="urgent"',
        'lintas:topic="cyber.scam"',
        'admiralty-scale:source-reliability="b"',
        'admiralty-scale:information-credibility="2"',
    ] == names


@pytest.mark.parametrize(
    ("tlp", "distribution"), [("CLEAR", "3"), ("GREEN", "1"), ("AMBER", "0"), ("AMBER+STRICT", "0")]
)
def test_distribution_follows_the_marking(tlp: str, distribution: str) -> None:
    """MISP passes on by itself only what the marking lets pass."""
    draft = of("phone")
    marked = Draft(**{name: getattr(draft, name) for name in Draft.__slots__} | {"tlp": tlp})

    assert distribution == write_event(export_of(marked))["Event"]["distribution"]


@pytest.mark.parametrize(("role", "sought"), [("suspect", True), ("victim", False)])
def test_victims_are_not_sought(role: str, *, sought: bool) -> None:
    """An address goes to sensors unless it is that of somebody to be protected."""
    draft = of("ip")
    draft.members["indicators"][0]["person_role"] = role
    found = [each["to_ids"] for each in parts(write_event(export_of(draft))) if each["type"] == "ip-dst"]

    assert [sought] == found


@pytest.mark.parametrize("kind", sorted(EXAMPLES))
def test_withdrawn_value_is_gone(kind: str) -> None:
    """After a partial recall the parts of a value are deleted under the same uuids, and the value is nowhere."""
    before = write_event(export_of(of(kind)))
    gone = frozenset({(kind, EXAMPLES[kind])})
    after = write_event(export_of(of(kind), withdrawn=gone, changed_us=LATER_US))
    deleted = {each["uuid"] for each in parts(after) if each.get("deleted")}

    loaded(after)
    assert {each["uuid"] for each in parts(before) if each["comment"].startswith(f"{kind} ")} == deleted
    assert EXAMPLES[kind] not in json.dumps(after, ensure_ascii=False)
    assert int(before["Event"]["timestamp"]) < int(after["Event"]["timestamp"])


def test_recalled_bulletin_says_nothing() -> None:
    """A recalled bulletin leaves an event whose every part is deleted."""
    export = export_of(of("phone"), url="https://hub.example/x")
    event = withdrawn_event(export, LATER_US)
    found = [each.get("deleted") for each in parts(event)]

    assert {each["uuid"] for each in parts(write_event(export))} == {each["uuid"] for each in parts(event)}
    assert [True] * len(found) == found
    assert [] == [word for word in ("Fictional", EXAMPLES["phone"], LINE_ID) if word in json.dumps(event)]


def test_successor_is_the_same_event() -> None:
    """What supersedes has the uuid and the date of what it replaces."""
    export = export_of(of("phone"))
    newer = export_of(of("phone"), id=OTHER_ID, time_us=LATER_US, origins={OTHER_ID: Origin(LINE_ID, NOW_US + 5)})

    assert event_uuid(export) == event_uuid(newer)
    assert write_event(export)["Event"]["date"] == write_event(newer)["Event"]["date"]


def test_repeated_value_is_there_once() -> None:
    """A value that a bulletin names twice has one attribute, for uuids are of values."""
    draft = of("phone")
    draft.members["indicators"].append(draft.members["indicators"][0] | {"role": "again"})

    assert 1 == len([each for each in parts(write_event(export_of(draft))) if each["type"] == "phone-number"])


@given(drafts())
def test_index_is_what_pymisp_makes(draft: Draft) -> None:
    """Hashes, and what a manifest says, are those that PyMISP computes of the same event."""
    export = export_of(draft)
    event = write_event(export)
    oracle = loaded(event)
    lines = [line.split(",") for line in hashes_csv([event]).splitlines()]
    floats = {hashlib.md5(each["value"].encode()).hexdigest() for each in parts(event) if each["type"] == "float"}
    births = {
        hashlib.md5(each["value"].encode()).hexdigest() for each in parts(event) if each["type"] == "date-of-birth"
    }
    ours = {digest for digest, _ in lines}

    # PyMISP hashes numbers and dates as Python prints them; we hash what the event says.
    assert ours - floats - births <= set(oracle.attributes_hashes("md5"))
    assert {event["Event"]["uuid"]} == {uuid for _, uuid in lines}
    (row,) = manifest([listed_of(export)]).values()
    assert {each["name"] for each in row["Tag"]} <= {each["name"] for each in oracle.manifest[oracle.uuid]["Tag"]}
    assert set(oracle.manifest[oracle.uuid]) == set(row)
    for name in ("Orgc", "date", "timestamp", "analysis"):
        assert event["Event"][name] == row[name]


def test_manifest_says_nothing_of_the_content() -> None:
    """A manifest has what header and log say, and no word of title, summary, severity, grading or values."""
    members = dict(of("phone").members) | {"severity": "extreme", "pap": "PAP:RED", "topics": ["drugs"]}
    export = export_of(replace(of("phone"), members=members))
    text = json.dumps(manifest([listed_of(export)]))
    gone = json.dumps(manifest([replace(listed_of(export), is_withdrawn=True)]))

    assert [] == [word for word in ("Fictional", EXAMPLES["phone"], "PAP", "admiralty", "drugs") if word in text]
    assert '"threat_level_id": "4"' in text
    assert '"info": "Withdrawn"' in gone
    assert event_uuid(export) in gone


def test_withdrawn_with_what_it_replaced() -> None:
    """When a chain is withdrawn, what only its earlier bulletins said is deleted along."""
    had = frozenset({("domain", EXAMPLES["domain"])})
    found = parts(withdrawn_event(export_of(of("phone"), withdrawn=had), LATER_US))
    alone = parts(withdrawn_event(export_of(of("phone")), LATER_US))

    assert 1 == len(found) - len(alone)
    assert {True} == {each["deleted"] for each in found}


def listed_of(export: Export) -> Listed:
    """Return what a manifest is told of a bulletin."""
    header = export.header
    return Listed(
        origin=export.origin,
        issuer=header.iss,
        kind=str(header.kind),
        topic=str(header.topic),
        tlp=export.tlp,
        urgency=str(header.urgency),
        changed_us=export.changed_us or export.time_us,
    )


def test_hashes_leave_out_what_was_deleted() -> None:
    """A withdrawn value can no longer be looked up, and halves of a composite value can."""
    gone = write_event(export_of(of("ip"), withdrawn=frozenset({("ip", EXAMPLES["ip"])}), changed_us=LATER_US))
    both = {
        "Event": {"uuid": "x", "Attribute": [{"type": "domain|ip", "value": "a.example|203.0.113.7"}], "Object": []}
    }
    halves = [hashlib.md5(each).hexdigest() for each in (b"a.example", b"203.0.113.7")]

    assert hashlib.md5(EXAMPLES["ip"].encode()).hexdigest() not in hashes_csv([gone])
    assert [f"{each},x" for each in halves] == hashes_csv([both]).splitlines()


# ------------------------------------------------------------------------------------------------------------- import


def attribute(kind: str, value: Any, **more: Any) -> Members:
    """Return an attribute."""
    return {"type": kind, "value": value, "category": "Other", **more}


def event_with(*attributes: Members, objects: list[Members] | None = None, **more: Any) -> Members:
    """Return an event."""
    return {"Event": {"info": "Fictional event", "Attribute": list(attributes), "Object": objects or [], **more}}


def values(found: Import) -> list[tuple[str, str]]:
    """Return type and value of everything that was carried over."""
    return [(each["type"], each["value"]) for draft in found.drafts for each in draft["payload"].get("indicators", [])]


RETURNING = sorted({*EXAMPLES} - {"container", "travel-document", "person", "organization", "port"})


@pytest.mark.parametrize("kind", RETURNING)
def test_there_and_back(kind: str) -> None:
    """Values that MISP has a place for come back from our own event as they went."""
    found = read_events(write_event(export_of(of(kind))), CHOICES)

    assert [(kind, EXAMPLES[kind])] == values(found)


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        (attribute("hostname", "a.example"), [("domain", "a.example")]),
        (attribute("ip-src", "203.0.113.7"), [("ip", "203.0.113.7")]),
        (attribute("domain|ip", "a.example|203.0.113.7"), [("domain", "a.example"), ("ip", "203.0.113.7")]),
        (attribute("email-src", "a@b.example"), [("email", "a@b.example")]),
        (attribute("sha1", "a" * 40), [("file-hash", "a" * 40)]),
        (attribute("phone-number", "+855 20 335 6886"), [("phone", "+855203356886")]),
    ],
)
def test_attributes_are_read(given_: Members, expected: list[tuple[str, str]]) -> None:
    """A value of a type that we know becomes an indicator."""
    found = read_events(event_with(given_), CHOICES)

    assert (expected, ()) == (values(found), found.omitted)


@pytest.mark.parametrize(
    ("given_", "why"),
    [
        (attribute("filename", "a.exe"), "no type for filename"),
        (attribute("text", "a field", object_relation="state"), "no type for text"),
        (attribute("ip-dst", "203.0.113.0/24"), "no IP address"),
        (attribute("ip-dst", 7), "no value in text"),
        (attribute("domain", "a.example", deleted=True), "was deleted"),
        (attribute("filename|md5", "a.exe|" + "a" * 32), "no type for filename"),
        (attribute("domain|ip", "a.example"), "no type for domain|ip"),
        (attribute("domain", "a.example", Tag=[{"name": "fictional:tag"}]), "Tags have no place"),
        (attribute("domain", "a.example", comment="n" * 201), "was cut"),
        (attribute("link", "https://a.example/" + "x" * 200), "references of"),
    ],
)
def test_what_is_left_out_is_listed(given_: Members, why: str) -> None:
    """Everything that has no place in a bulletin is named with the reason."""
    found = read_events(event_with(given_), CHOICES)

    assert 1 == len(found.omitted)
    assert why in found.omitted[0].why


def test_words_become_summary_and_references() -> None:
    """Texts are the summary, links the references, times and comments stay with the value."""
    seen = {"first_seen": "2026-11-20T10:00:00+07:00", "last_seen": "2026-11-21T03:00:00.5Z", "comment": "Fictional"}
    event = event_with(
        attribute("text", "Fictional words"),
        attribute("link", "https://a.example/report"),
        attribute("domain", "b.example", **seen),
        objects=[{"name": "vehicle", "Attribute": [
            attribute("text", "MY", object_relation="state"),
            attribute("text", "FIC1234", object_relation="license-plate-number"),
        ]}],
        distribution="4",
    )  # fmt: skip
    found = read_events(event, CHOICES)
    payload = found.drafts[0]["payload"]

    assert ("Fictional event", "Fictional words", ["https://a.example/report"]) == (
        payload["title"],
        payload["summary"],
        payload["references"],
    )
    assert [("vehicle-plate", "MY:FIC1234"), ("domain", "b.example")] == values(found)
    assert ("2026-11-20T03:00:00.000000Z", "2026-11-21T03:00:00.500000Z", "Fictional") == tuple(
        payload["indicators"][1][name] for name in ("first_seen", "last_seen", "note")
    )
    assert ["It was for a sharing group: publish it only if that permits."] == [each.why for each in found.omitted]


@pytest.mark.parametrize("seen", ["never", "2026-13-20T10:00:00", 7, "0001-01-01T00:00:00+07:00"])
def test_odd_times_are_left_out(seen: Any) -> None:
    """A time that is none is no time of the indicator."""
    found = read_events(event_with(attribute("domain", "a.example", first_seen=seen)), CHOICES)

    assert "first_seen" not in found.drafts[0]["payload"]["indicators"][0]


def test_times_out_of_order_are_left_out() -> None:
    """Times in the wrong order would make a draft that nobody can publish."""
    times = {"first_seen": "2026-11-21T00:00:00Z", "last_seen": "2026-11-20T00:00:00Z"}
    found = read_events(event_with(attribute("domain", "a.example", **times)), CHOICES)

    assert {"type": "domain", "value": "a.example", "role": "Other"} == found.drafts[0]["payload"]["indicators"][0]


@pytest.mark.parametrize(
    ("tags", "tlp"),
    [(["tlp:white"], "CLEAR"), (["tlp:green", "TLP:AMBER"], "AMBER"), (["tlp:amber+strict"], "AMBER+STRICT")],
)
def test_tags_mark_the_draft(tags: list[str], tlp: str) -> None:
    """The narrowest tag of event and attributes is the draft's marking."""
    first, *rest = tags
    event = event_with(attribute("domain", "a.example", Tag=[{"name": each} for each in rest]), Tag=[{"name": first}])

    assert tlp == read_events(event, Choices(topic="cyber", release_to=("sg-cert",))).drafts[0]["tlp"]


def test_answers_have_several_events() -> None:
    """An answer of MISP gives a draft for each of its events."""
    found = read_events({"response": [event_with(), event_with()["Event"]]}, CHOICES)

    assert ["Fictional event"] * 2 == [each["payload"]["title"] for each in found.drafts]


def test_type_that_is_no_text_is_listed() -> None:
    """An attribute whose type is a list breaks nothing."""
    found = read_events(event_with({"type": [], "value": "x"}), CHOICES)

    assert ["We have no type for [] of an event."] == [each.why for each in found.omitted]


@pytest.mark.parametrize(
    "members",
    [
        {"Event": 1},
        {"Event": {"info": 1}},
        {"response": {}},
        {"response": [1]},
        {"response": [event_with()] * (EVENTS_MAX + 1)},
        {"Event": {"info": "x", "Attribute": {}}},
        {"Event": {"info": "x", "Attribute": [1]}},
        {"Event": {"info": "x", "Attribute": [{}] * (PARTS_MAX + 1)}},
    ],
)
def test_what_is_no_event_is_refused(members: Members) -> None:
    """A file that only looks like an event is refused, one with too many parts too."""
    with pytest.raises(BadRequest):
        read_events(members, CHOICES)


PARTS = st.dictionaries(
    st.sampled_from(
        ["type", "value", "object_relation", "comment", "first_seen", "Tag", "deleted", "name", "Attribute"]
    ),
    JSON | st.sampled_from(["domain", "domain|ip", "vehicle", "state", "text", "link", "a.example"]),
)


@given(st.lists(PARTS, max_size=4), st.lists(PARTS, max_size=2), JSON)
def test_no_event_breaks_the_importer(attributes: list[Members], objects: list[Members], info: Any) -> None:
    """Whatever stands where, drafts are sound or the refusal is ours."""
    try:
        found = read_events({"Event": {"info": info, "Attribute": attributes, "Object": objects}}, CHOICES)
    except LintasError:
        return

    for draft in found.drafts:
        read_draft(draft)


@pytest.mark.skipif(not REAL.is_dir(), reason="the published events are absent: ../shared/data/real/misp")
@pytest.mark.parametrize(
    ("name", "carried", "omitted"),
    [
        ("existing_event", 66, 71),
        ("existing_event_edited", 66, 72),
        ("japanese_test", 0, 2),
        ("sighting_1", 5, 2),
    ],
)
def test_real_events(name: str, carried: int, omitted: int) -> None:
    """Published events give this many indicators and this many lines of what was left out."""
    found = read_events(read_members((REAL / f"{name}.json").read_bytes()), CHOICES)

    assert (carried, omitted) == (len(values(found)), len(found.omitted))
