"""Bulletins as STIX 2.1, checked by the validator of OASIS and its library."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import stix2  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st
from stix2validator import ValidationOptions, validate_parsed_json  # type: ignore[import-untyped]

from clients.scripts.report_incidents import read_table
from lintas import vocabulary
from lintas.bulletin import encode
from lintas.draft import Draft
from lintas.errors import BadRequest
from lintas.keys import SigningKey
from lintas.line import Line, parse, sign
from lintas.stix import Export, Origin, bundle, clear_export, objects, revoked, version_of
from lintas.stix.fixed import BULLETIN_EXTENSION, TLP_MARKINGS
from lintas.stix.ids import agency_id, report_id
from lintas.stix.observables import WRITERS, pattern_of, shape_of, write_observable
from tests.lintas.exports import EXAMPLES, LINE_ID, NOW_US, OTHER_ID, SAMPLES, drafts, export_of, sample_export

Members = dict[str, Any]
LATER_US = NOW_US + 9_000_000
REAL = Path(__file__).parents[2] / "../shared/data/real/piracy/pirate_attacks.csv"
TABLE = Path(__file__).parents[1] / "data" / "incidents.csv"
VALUES = st.sampled_from(sorted(EXAMPLES.items()))


def faults(found: tuple[Members, ...]) -> list[str]:
    """Return the errors of the validator; loading in the library raises for what it does not take."""
    written = bundle(found)
    stix2.parse(written, allow_custom=True)
    result = validate_parsed_json(json.loads(json.dumps(written)), ValidationOptions(version="2.1", silent=True))
    return [str(each) for part in getattr(result, "object_results", [result]) for each in part.errors]


def one(found: tuple[Members, ...], kind: str) -> Members:
    """Return the only object of a type."""
    (each,) = (each for each in found if each["type"] == kind)
    return each


def alert(*indicators: Members, **more: Any) -> Draft:
    """Return an alert with these indicators; `more` goes into the payload."""
    payload = {"title": "Fictional title", "summary": "Fictional summary.", "indicators": list(indicators), **more}
    return Draft(
        kind="alert",
        topic="cyber.scam",
        tlp="AMBER",
        urgency="urgent",
        release_to=("sg-police",),
        members=payload,
        valid_until=NOW_US // 1_000_000 + 86_400,
    )


PHONE = {"type": "phone", "value": "+855203356886", "role": "dispatcher"}
ADDRESS = {"type": "ip", "value": "203.0.113.77", "role": "hosting"}
PLACE = {"type": "position", "value": "11.54300,104.92100", "role": "compound"}


@pytest.mark.parametrize("sample", SAMPLES, ids=[each["sample"] for each in SAMPLES])
def test_samples_are_valid(sample: Members) -> None:
    """Every sample is valid STIX, standing and revoked."""
    export = sample_export(sample)

    assert [] == faults(objects(export)) + faults(revoked(export, LATER_US))


@given(drafts())
def test_every_kind_is_valid(draft: Draft) -> None:
    """Any bulletin of any kind with any type of indicator is valid STIX."""
    export = export_of(draft)

    assert [] == faults(objects(export)) + faults(revoked(export, LATER_US))


@pytest.mark.parametrize("kind", sorted(EXAMPLES))
def test_every_type_is_valid(kind: str) -> None:
    """A bulletin with this type of indicator is valid STIX, also when the indicator was withdrawn."""
    value = EXAMPLES[kind]
    role = {"person_role": "suspect"} if kind == "person" else {}
    draft = alert({"type": kind, "value": value, "role": "fictional", **role})

    found = objects(export_of(draft, withdrawn=frozenset({(kind, value)}), changed_us=LATER_US))

    assert [] == faults(objects(export_of(draft))) + faults(found)
    assert value not in json.dumps(found)


def test_incidents_are_valid() -> None:
    """The incidents that the script makes of a table are valid STIX."""
    found = [each for incidents in read_table(TABLE).incidents.values() for each in incidents]

    assert [] == [fault for each in found for fault in faults(objects(export_of(each.draft)))]
    assert found


@pytest.mark.skipif(not REAL.is_file(), reason="the published table is absent: ../shared/data/real/piracy")
def test_real_incidents_are_valid() -> None:
    """Every hundredth of the published incidents is valid STIX."""
    found = [each for incidents in read_table(REAL).incidents.values() for each in incidents]

    assert [] == [fault for each in found[::100] for fault in faults(objects(export_of(each.draft)))]


@given(drafts())
def test_nothing_is_empty(draft: Draft) -> None:
    """No object has an empty list, an empty object, or null: STIX forbids them."""
    assert [] == [path for each in objects(export_of(draft)) for path in empties(each, each["id"])]


def empties(value: object, path: str) -> Iterator[str]:
    """Yield the paths of what is empty."""
    if value in ([], {}, None):
        yield path
    elif isinstance(value, dict):
        for name, each in value.items():
            yield from empties(each, f"{path}.{name}")
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from empties(each, f"{path}[{number}]")


@given(drafts())
def test_export_is_repeatable(draft: Draft) -> None:
    """The same bulletin gives the same bundle."""
    assert bundle(objects(export_of(draft))) == bundle(objects(export_of(draft)))


@pytest.mark.parametrize("kind", ["domain", "url", "email", "file-hash", "ip", "social-handle"])
def test_ids_of_observables_are_the_standards(kind: str) -> None:
    """An observable of the standard has the id that the OASIS library computes."""
    written = write_observable(shape_of(kind, EXAMPLES[kind]))
    bare = {name: value for name, value in written.items() if name != "id"}

    assert stix2.parse(bare)["id"] == written["id"]


def test_agencies_have_their_published_ids() -> None:
    """The identity of every agency is the one that the vocabulary lists."""
    raw = json.loads((Path(vocabulary.__file__).parent / "vocabulary.json").read_text())["agencies"]

    assert {each["id"]: each["stix_identity"] for each in raw} == {each["id"]: agency_id(each["id"]) for each in raw}


@pytest.mark.parametrize("tlp", ["CLEAR", "GREEN", "AMBER", "AMBER+STRICT"])
def test_everything_is_marked(tlp: str) -> None:
    """Every object about the bulletin carries the marking of TLP 2.0, which comes along."""
    draft = alert(PHONE, ADDRESS, PLACE)
    found = objects(export_of(Draft(**{name: getattr(draft, name) for name in Draft.__slots__} | {"tlp": tlp})))
    fixed = {"marking-definition", "extension-definition"}
    about = [each for each in found if each["type"] not in fixed and each.get("created", "2026-11") > "2026-02"]

    assert {TLP_MARKINGS[tlp]} == {each["id"] for each in found if each["type"] == "marking-definition"}
    assert [[TLP_MARKINGS[tlp]]] * len(about) == [each["object_marking_refs"] for each in about]
    assert len(about) == 5


def test_report_names_its_line() -> None:
    """The report is by the agency, and refers to the signed line with its SHA-256 and address."""
    report = one(objects(export_of(alert(PHONE), url="https://hub.example/v1/bulletins/x")), "report")

    assert agency_id("my-police") == report["created_by_ref"]
    assert {
        "source_name": "lintas",
        "description": "The signed line. SHA-256 of all its bytes: see the hash.",
        "external_id": LINE_ID,
        "url": "https://hub.example/v1/bulletins/x",
        "hashes": {"SHA-256": bytes(range(32)).hex()},
    } == report["external_references"][0]


def test_extension_carries_what_stix_lacks() -> None:
    """Grading, handling, caveats and recipients stand in the property-extension of the report."""
    draft = alert(
        PHONE, grading={"source": "B", "information": "6"}, handling=["H2"], caveats=["no-arrest"], case_ref="SIM-1"
    )
    report = one(objects(export_of(draft)), "report")
    said = report["extensions"][BULLETIN_EXTENSION]

    assert ["sg-police"] == said["release_to"]
    assert {"source": "B", "information": "6"} == said["payload"]["grading"]
    assert (["H2"], ["no-arrest"]) == (said["payload"]["handling"], said["payload"]["caveats"])
    assert "confidence" not in report


def test_description_tells_everything_in_words() -> None:
    """A tool that drops unknown types still shows every indicator, with links that lead nowhere."""
    url = {"type": "url", "value": "https://scam.example/p", "role": "phishing", "note": "seen twice"}
    text = one(objects(export_of(alert(PHONE, url, handling=["H2"]))), "report")["description"]

    assert "Telephone number +855203356886: dispatcher" in text
    assert "URL hxxps://scam[.]example/p: phishing (seen twice)" in text
    assert "Handling H2: Not to be disseminated without the provider's permission" in text


def test_sensors_get_patterns() -> None:
    """An address of an alert becomes an indicator with a pattern for as long as the bulletin stands."""
    found = one(objects(export_of(alert(ADDRESS))), "indicator")

    assert "[ipv4-addr:value = '203.0.113.77']" == found["pattern"]
    assert ("2026-11-23T21:00:00.000000Z", "2026-11-24T21:00:00.000000Z") == (
        found["valid_from"],
        found["valid_until"],
    )


def test_victims_are_not_hunted() -> None:
    """The address of a victim, witness or missing person is no pattern for sensors."""
    found = objects(export_of(alert(ADDRESS | {"person_role": "victim"})))

    assert [] == [each for each in found if each["type"] == "indicator"]


def test_questions_accuse_nobody() -> None:
    """An address in a request is an observable, not an indicator."""
    draft = alert(
        ADDRESS,
        questions=["Fictional?"],
        purpose={"code": "investigation", "statement": "Fictional."},
        case_ref="SIM-1",
    )
    request = Draft(**{name: getattr(draft, name) for name in Draft.__slots__} | {"kind": "rfi"})
    found = objects(export_of(request))

    assert {"ipv4-addr"} == {each["type"] for each in found} & {"ipv4-addr", "indicator"}


def test_withdrawn_indicators_are_gone() -> None:
    """After a partial recall the value is nowhere; its versioned objects are revoked, the report is a newer version."""
    export = export_of(alert(PHONE, ADDRESS, PLACE))
    before = objects(export)
    gone = frozenset({("ip", ADDRESS["value"]), ("position", PLACE["value"])})
    after = objects(export_of(alert(PHONE, ADDRESS, PLACE), withdrawn=gone, changed_us=LATER_US))

    assert ADDRESS["value"] not in json.dumps(after)
    assert PLACE["value"] not in json.dumps(after)
    assert {one(before, "indicator")["id"], one(before, "location")["id"]} == {
        each["id"] for each in after if each.get("revoked")
    }
    assert one(before, "report")["id"] == one(after, "report")["id"]
    assert str(version_of(one(before, "report"))) < str(version_of(one(after, "report")))


def test_recalled_bulletin_is_revoked_without_content() -> None:
    """A recalled bulletin leaves its ids, revoked, and not a word of what it said."""
    export = export_of(alert(PHONE, ADDRESS, PLACE))
    found = revoked(export, LATER_US)
    text = json.dumps(found)

    assert {each["id"] for each in objects(export) if each["type"] in {"report", "indicator", "location"}} == {
        each["id"] for each in found if each.get("revoked")
    }
    assert [] == [word for word in ("Fictional", PHONE["value"], ADDRESS["value"], PLACE["value"]) if word in text]


def test_recall_is_a_note() -> None:
    """A recall is a note on the report that it withdraws, and repeats none of the values."""
    sample = next(each for each in SAMPLES if each["draft"]["kind"] == "recall")
    origins = {OTHER_ID: Origin("first", 7)}
    found = objects(sample_export(sample, origins=origins))
    values = [each["value"] for each in sample["draft"]["payload"]["indicators"]]

    assert [report_id("first")] == one(found, "note")["object_refs"]
    assert values
    assert [] == [value for value in values if value in json.dumps(found)]


def test_successor_is_a_newer_version() -> None:
    """What supersedes keeps the ids and the creation time of what it replaces, with a newer version."""
    old = one(objects(export_of(alert(ADDRESS))), "report")
    origins = {OTHER_ID: Origin(LINE_ID, NOW_US + 5)}
    new = one(objects(export_of(alert(ADDRESS), id=OTHER_ID, time_us=LATER_US, origins=origins)), "report")

    assert (old["id"], old["created"]) == (new["id"], new["created"])
    assert old["modified"] < new["modified"]


def test_bundle_keeps_versions_apart() -> None:
    """A bundle has an object once for each version."""
    first, second = {"id": "report--1", "modified": "1"}, {"id": "report--1", "modified": "2"}

    assert [first, second] == bundle([first, second, dict(first)])["objects"]


@pytest.mark.parametrize(
    ("written", "version"),
    [({"modified": "2", "created": "1"}, "2"), ({"created": "1"}, "1"), ({"type": "url"}, None)],
)
def test_versions_follow_the_kind_of_object(written: Members, version: str | None) -> None:
    """Objects have the time they were modified or made; observables have no version."""
    assert version == version_of(written)


def test_patterns_quote_their_literals() -> None:
    """A quote or backslash in a value ends no literal."""
    assert r"[url:value = 'https://a.example/\'\\']" == pattern_of("url", "https://a.example/'\\")


def test_export_type_is_complete() -> None:
    """Every type of indicator of the vocabulary has a shape."""
    assert sorted(vocabulary.load().indicator_types) == sorted(WRITERS)


def test_end_before_start_is_left_out() -> None:
    """A bulletin that is valid from a day after its end is valid from when it was signed."""
    found = one(objects(export_of(alert(ADDRESS, valid_from="2027-03-01T00:00:00Z"))), "indicator")

    assert "2026-11-23T21:00:00.000000Z" == found["valid_from"]


def signed(**more: Any) -> Line:
    """Return a signed alert; `more` goes into the header."""
    members = {
        "typ": "vnd.lintas.bulletin",
        "iss": "my-police",
        "aud": "exercise.lintas.example-k3v9q2xa",
        "iat": NOW_US // 1_000_000,
        "exp": NOW_US // 1_000_000 + 86_400,
        "kind": "alert",
        "topic": "cyber.scam",
        "tlp": "AMBER",
        "release_to": ["sg-police"],
        "urgency": "urgent",
    }
    payload = encode(alert(PHONE).members, kind="alert")
    return parse(sign(members | more, payload, SigningKey.from_seed(bytes(32))))


def test_clear_line_is_exported() -> None:
    """A line with the time of the log is all that an export needs; the reference holds the hash of the line's bytes."""
    line = signed()
    export = clear_export(line, NOW_US)
    report = one(objects(export), "report")

    assert (line.id, NOW_US, "Fictional title") == (export.id, export.time_us, export.content.title)
    assert sha256(line.raw).hexdigest() == report["external_references"][0]["hashes"]["SHA-256"]


def test_sealed_line_is_not_exported() -> None:
    """Sealed content is refused, whatever stands in its place."""
    with pytest.raises(BadRequest, match="Sealed content"):
        clear_export(signed(enc="hpke"), NOW_US)


def test_exports_are_values() -> None:
    """An export is frozen."""
    with pytest.raises(AttributeError):
        export_of(alert(PHONE)).id = "x"  # type: ignore[misc]


def test_origin_is_itself() -> None:
    """A bulletin that replaces nothing begins its own chain."""
    export: Export = export_of(alert(PHONE))

    assert Origin(LINE_ID, NOW_US + 5) == export.origin
