"""Bundles of others as drafts, and ours there and back."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lintas.draft import Draft, read_draft
from lintas.errors import BadRequest, LintasError, MalformedPayload
from lintas.imported import (
    INPUT_BYTES_MAX,
    OMITTED_MAX,
    PART_INDICATORS_MAX,
    VALUES_MAX,
    Carrier,
    Choices,
    Import,
    Omission,
    read_members,
)
from lintas.stix import bundle, objects, read_bundle
from lintas.stix.fixed import BULLETIN_EXTENSION, TLP_1_MARKINGS, TLP_MARKINGS
from lintas.stix.observables import shape_of, write_observable
from lintas.stix.pattern import PATTERN_CHARACTERS_MAX, Unreadable, read_pattern
from lintas.stix.reading import OBJECTS_MAX, REPORTS_MAX
from tests.lintas.exports import EXAMPLES, drafts, export_of

Members = dict[str, Any]
REAL = Path(__file__).parents[2] / "../shared/data/real/stix"
CHOICES = Choices(topic="cyber.malware", release_to=("sg-cert",), tlp="AMBER")
UNMARKED = Choices(topic="cyber.malware", release_to=("sg-cert",))
AMBER = {"object_marking_refs": [TLP_MARKINGS["AMBER"]]}
IDENTITIES = frozenset({"person", "organization"})


def bundled(*found: Members, **more: Any) -> Members:
    """Return a bundle of these objects; each gets an id unless it has one."""
    listed = [{"id": f"{each['type']}--{number}", **each} for number, each in enumerate(found)]
    return {"type": "bundle", "id": "bundle--1", "objects": listed, **more}


def indicator(pattern: str, **more: Any) -> Members:
    """Return an indicator with a pattern."""
    return {"type": "indicator", "pattern": pattern, **more}


def values(found: Import) -> list[tuple[str, str]]:
    """Return type and value of everything that was carried over."""
    return [(each["type"], each["value"]) for draft in found.drafts for each in draft["payload"].get("indicators", [])]


def reasons(found: Import) -> list[str]:
    """Return why things were left out."""
    return [each.why for each in found.omitted]


@given(drafts().filter(lambda draft: draft.kind != "recall"))
def test_there_and_back(draft: Draft) -> None:
    """A bulletin that went out as STIX comes back with everything it said except foreign STIX objects."""
    export = export_of(draft)
    written = json.dumps(bundle(objects(export)), ensure_ascii=False).encode()

    found = read_bundle(read_members(written), Choices())
    (members,) = found.drafts
    back = export_of(read_draft(members))

    assert export.header == back.header
    assert export.content._replace(stix=None) == back.content
    assert () == found.omitted


@pytest.mark.parametrize("kind", sorted({*EXAMPLES} - IDENTITIES - {"port"}))
def test_every_observable_is_read_without_our_extension(kind: str) -> None:
    """What another tool kept of our export still gives the value of every type that is no identity or port."""
    shape = shape_of(kind, EXAMPLES[kind])
    alone = write_observable(shape) if not shape.is_versioned else {"type": shape.type, **shape.properties}
    bare = {name: value for name, value in alone.items() if name not in {"id", "extensions"}}

    assert [(kind, EXAMPLES[kind])] == values(read_bundle(bundled(bare), CHOICES))


@pytest.mark.parametrize("kind", [*sorted(IDENTITIES), "port"])
def test_our_extension_gives_names_back(kind: str) -> None:
    """Organisations and ports come back whole where the report is lost; a person is left to somebody who knows."""
    role = {"person_role": "suspect"} if kind == "person" else {}
    payload = {
        "title": "Fictional",
        "summary": "Fictional",
        "indicators": [{"type": kind, "value": EXAMPLES[kind], "role": "fictional", **role}],
    }
    wishes = {"kind": "alert", "topic": "cyber", "tlp": "AMBER", "urgency": "routine", "release_to": ["sg-cert"]}
    export = export_of(read_draft({**wishes, "valid_for": "P1D", "payload": payload}))
    found = read_bundle(bundled(*(each for each in objects(export) if each["type"] != "report")), CHOICES)
    expected = [] if kind == "person" else [(kind, EXAMPLES[kind])]

    assert expected == values(found)
    assert (kind == "person") == any("person_role" in each for each in reasons(found))


def test_recalls_are_made_by_hand() -> None:
    """The note that a recall leaves is no draft."""
    found = read_bundle(bundled({"type": "note", "content": "Fictional", "object_refs": ["report--1"]}), CHOICES)

    assert ((), 1) == (found.drafts, len(found.omitted))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("[domain-name:value = 'scam.example']", [("domain", "scam.example")]),
        ("[domain-name:value='scam.example']", [("domain", "scam.example")]),
        ("[domain-name:value = '203.0.113.7']", [("ip", "203.0.113.7")]),
        ("[ipv4-addr:value IN ('203.0.113.7', '203.0.113.8')]", [("ip", "203.0.113.7"), ("ip", "203.0.113.8")]),
        ("[url:value = 'https://a.example/x'] OR [ipv6-addr:value = '2001:db8::1']",
         [("url", "https://a.example/x"), ("ip", "2001:db8::1")]),
        ("[(email-addr:value = 'a@b.example' OR domain-name:value = 'b.example')]",
         [("email", "a@b.example"), ("domain", "b.example")]),
        ("[email-message:from_ref.value = 'a@b.example']", [("email", "a@b.example")]),
        ("[network-traffic:dst_ref.value = '203.0.113.7']", [("ip", "203.0.113.7")]),
        (f"[file:hashes.'SHA-256' = '{'a' * 64}']", [("file-hash", "a" * 64)]),
        (f"[file:hashes.MD5 = '{'a' * 32}' AND file:hashes.'SHA-1' = '{'b' * 40}']",
         [("file-hash", "a" * 32), ("file-hash", "b" * 40)]),
        ("[user-account:account_type = 'telegram' AND user-account:account_login = 'fictional']",
         [("social-handle", "telegram:fictional")]),
        (r"[url:value = 'https://a.example/\'']", [("url", "https://a.example/'")]),
    ],
)  # fmt: skip
def test_patterns_of_equal_values_are_read(pattern: str, expected: list[tuple[str, str]]) -> None:
    """A pattern that says only that values are equal becomes indicators."""
    assert expected == values(read_bundle(bundled(indicator(pattern)), CHOICES))


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("[domain-name:value != 'a.example']", "compares with !="),
        ("[domain-name:value LIKE 'a%']", "compares with LIKE"),
        ("[url:value MATCHES '^a']", "compares with MATCHES"),
        ("[NOT url:value = 'a']", "NOT is no property"),
        ("[url:value NOT = 'a']", "compares with NOT"),
        ("[url:value = 'a'] FOLLOWEDBY [url:value = 'b']", "goes on with FOLLOWEDBY"),
        ("[url:value = 'a'] AND [url:value = 'b']", "goes on with AND"),
        ("[url:value = 'a'] WITHIN 5 SECONDS", "goes on with WITHIN"),
        ("[url:value = 'a' AND url:value = 'b']", "AND joins"),
        ("[url:value = 'a' AND domain-name:value = 'b']", "AND joins"),
        ("[file:name = 'a' AND file:hashes.MD5 = 'b']", "no type for file:name"),
        ("[file:size = 7]", "is no text in quotes"),
        ("[email-message:from_ref.value = 'a@b.example' AND email-message:subject = 'x']", "no type for email-message"),
        ("[((url:value = 'a'))]", "parentheses within parentheses"),
        ("[(url:value = 'a' AND (url:value = 'b'))]", "parentheses within parentheses"),
        ("[url:value = 'a'", "the end stands where ]"),
        ("[url:value = ", "the end is no text"),
        ("[url = 'a']", "is no property"),
        ("url:value = 'a'", "stands where ["),
        ("[url:value = 'a]", "belongs to no word"),
        ("[url:value IN 'a']", "stands where ("),
        ("", "the end stands where ["),
        ("[a:b IN ({})]".format(", ".join(["'x'"] * 1001)), "more than 1000"),
        ("[{}]".format(" OR ".join(["a:b = 'x'"] * 1001)), "more than 1000"),
        ("[a:b IN ({0}) AND a:c IN ({0})]".format(", ".join(["'x'"] * 40)), "more than 1000"),
        ("[{}]".format(" AND ".join(f"a:b{n} = 'x'" for n in range(9))), "more than 8 properties"),
        ("x" * (PATTERN_CHARACTERS_MAX + 1), "characters"),
    ],
)  # fmt: skip
def test_other_patterns_are_listed(pattern: str, why: str) -> None:
    """A pattern that says more is left out whole, with the word that says more."""
    found = read_bundle(bundled(indicator(pattern)), CHOICES)

    assert ((), 1) == (found.drafts, len(found.omitted))
    assert why in reasons(found)[0]


@given(st.text(alphabet="[]()=',\\ ab:.-ANDOR!<>\n", max_size=60) | st.text(max_size=60))
def test_no_pattern_breaks_the_reader(text: str) -> None:
    """Whatever stands in a pattern is read or refused."""
    with contextlib.suppress(Unreadable):
        read_pattern(text)


@pytest.mark.parametrize(
    ("member", "why"),
    [
        ({"type": "relationship"}, "relationship has no place"),
        ({"type": "file", "name": "x"}, "has no value"),
        ({"type": "file", "hashes": {"SSDEEP": "ab"}}, "'ssdeep'"),
        ({"type": "location", "region": "x"}, "has no value"),
        ({"type": "file", "hashes": {"MD5": 7}}, "has no value"),
        ({"type": "identity", "name": "x", "identity_class": "individual"}, "identity has no place"),
        ({"type": "ipv4-addr", "value": "203.0.113.0/24"}, "no IP address"),
        ({"type": "bank-account", "account_number": "1234"}, "bank has 0 characters"),
        ({"type": "bank-account", "bic": "x"}, "has no value"),
        ({"type": "domain-name", "value": "a.example", "revoked": True}, "was revoked"),
        (indicator("x", pattern_type="yara"), "not of STIX"),
        ({"type": "indicator"}, "not of STIX"),
        ({"type": "domain-name", "value": "a.example", "object_marking_refs": ["marking-definition--x"]}, "is no TLP"),
        ({"type": "indicator", "pattern": "[domain-name:value = 'a.example']", "name": "n" * 201}, "was cut"),
    ],
)
def test_what_is_left_out_is_listed(member: Members, why: str) -> None:
    """Everything that has no place in a bulletin is named with the reason."""
    found = read_bundle(bundled(member), CHOICES)

    assert 1 == len(found.omitted)
    assert why in reasons(found)[0]


def test_newest_version_counts() -> None:
    """Of several versions of an object only the newest is read."""
    versions = [
        {"type": "indicator", "id": "indicator--1", "pattern": f"[domain-name:value = 'v{n}.example']", "modified": n}
        for n in ("3", "1", "2")
    ]

    assert [("domain", "v3.example")] == values(read_bundle(bundled(*versions), CHOICES))


def test_each_report_is_a_draft() -> None:
    """A report takes what it refers to; what no report refers to stands in a draft of its own."""
    report = {
        "type": "report",
        "name": "Fictional\x07 report",
        "description": "Fictional\r\ntext",
        "object_refs": ["domain-name--1"],
        "external_references": [{"source_name": "a", "url": "https://a.example"}],
    }
    found = read_bundle(
        bundled(report, {"type": "domain-name", "value": "a.example"}, {"type": "malware", "name": "FicRAT"},
                {"type": "domain-name", "value": "b.example"}),
        CHOICES,
    )  # fmt: skip
    first, second = (each["payload"] for each in found.drafts)

    assert ("Fictional report", "Fictional\ntext", ["a https://a.example"]) == (
        first["title"],
        first["summary"],
        first["references"],
    )
    assert ("FicRAT", ["a.example"], ["b.example"]) == (
        second["title"],
        [each["value"] for each in first["indicators"]],
        [each["value"] for each in second["indicators"]],
    )


@pytest.mark.parametrize(
    ("markings", "chosen", "tlp"),
    [
        ([TLP_MARKINGS["GREEN"]], None, "GREEN"),
        ([TLP_MARKINGS["GREEN"], TLP_MARKINGS["AMBER"]], None, "AMBER"),
        ([next(ref for ref, tlp in TLP_1_MARKINGS.items() if tlp == "AMBER")], None, "AMBER"),
        ([TLP_MARKINGS["GREEN"]], "AMBER", "AMBER"),
        ([], "CLEAR", "CLEAR"),
    ],
)
def test_narrowest_marking_counts(markings: list[str], chosen: str | None, tlp: str) -> None:
    """The narrowest of all markings becomes the draft's; a person may narrow it further."""
    found = [
        {"type": "domain-name", "value": f"a{n}.example", "object_marking_refs": [ref]}
        for n, ref in enumerate(markings)
    ]
    choices = Choices(topic="cyber", release_to=("sg-cert",), tlp=chosen)

    assert tlp == read_bundle(bundled({"type": "domain-name", "value": "b.example"}, *found), choices).drafts[0]["tlp"]


def test_marked_parts_mark_the_draft() -> None:
    """A marking of a part of an object counts for the whole."""
    marked = {
        "type": "domain-name",
        "value": "a.example",
        "granular_markings": [{"marking_ref": TLP_MARKINGS["AMBER+STRICT"], "selectors": ["value"]}],
    }

    assert "AMBER+STRICT" == read_bundle(bundled(marked), UNMARKED).drafts[0]["tlp"]


@pytest.mark.parametrize(
    ("choices", "member"),
    [
        (Choices(topic="cyber", release_to=("sg-cert",), tlp="GREEN"), "tlp"),
        (Choices(release_to=("sg-cert",)), "topic"),
        (Choices(topic="cyber"), "release_to"),
    ],
)
def test_what_nobody_said_is_asked_for(choices: Choices, member: str) -> None:
    """A topic and recipients are the person's to say, and no file is passed on more widely than it is marked."""
    with pytest.raises(BadRequest) as caught:
        read_bundle(bundled({"type": "domain-name", "value": "a.example"} | AMBER), choices)

    assert member == caught.value.member


def test_unmarked_file_needs_a_marking() -> None:
    """A file without a marking is drafted under the one that the person names, or not at all."""
    with pytest.raises(BadRequest, match="--tlp"):
        read_bundle(bundled({"type": "domain-name", "value": "a.example"}), Choices(topic="cyber", release_to=("a",)))


def test_markings_that_are_none_are_passed_over() -> None:
    """What stands where a marking should and names none marks nothing; a TLP object in the file is no content."""
    odd = {"type": "domain-name", "value": "a.example", "granular_markings": [{"lang": "en"}, 7]}
    tlp = {"type": "marking-definition", "id": TLP_MARKINGS["GREEN"]}
    found = read_bundle(bundled(odd | {"object_marking_refs": [TLP_MARKINGS["GREEN"]]}, tlp), UNMARKED)

    assert ("GREEN", ()) == (found.drafts[0]["tlp"], found.omitted)


def test_role_is_what_the_file_calls_it() -> None:
    """Types of an indicator or its labels become the role; without either it is an indicator."""
    patterns = [f"[domain-name:value = 'a{n}.example']" for n in range(3)]
    listed = [
        indicator(patterns[0], indicator_types=["benign", "unknown"]),
        indicator(patterns[1], labels=["old"]),
        indicator(patterns[2]),
    ]
    found = read_bundle(bundled(*listed), CHOICES).drafts[0]["payload"]["indicators"]

    assert ["benign, unknown", "old", "indicator"] == [each["role"] for each in found]


def test_our_extension_without_a_value_is_passed_over() -> None:
    """An object with our extension but no value in it is read as any other."""
    place = {"type": "location", "latitude": 1, "longitude": 2.5}
    extensions = {BULLETIN_EXTENSION: {"extension_type": "property-extension", "indicator": {"type": "port"}}}

    found = read_bundle(bundled(place | {"extensions": extensions}), CHOICES)

    assert [("position", "1.00000,2.50000")] == values(found)


def test_own_export_may_be_narrowed() -> None:
    """Our own bulletin comes back under a narrower marking and for other recipients, never under a wider one."""
    report = {
        "type": "report",
        "object_marking_refs": [TLP_MARKINGS["AMBER"]],
        "extensions": {
            BULLETIN_EXTENSION: {
                "kind": "alert",
                "topic": "cyber",
                "tlp": "GREEN",
                "urgency": "routine",
                "release_to": ["th-police"],
                "valid_until": "2027-01-01T00:00:00Z",
                "payload": {"title": "Fictional", "summary": "Fictional"},
            }
        },
    }
    chosen = Choices(release_to=("sg-cert",), tlp="AMBER+STRICT")

    (draft,) = read_bundle(bundled(report), chosen).drafts

    assert ("AMBER+STRICT", ["sg-cert"]) == (draft["tlp"], draft["release_to"])
    assert "AMBER" == read_bundle(bundled(report), Choices()).drafts[0]["tlp"]
    with pytest.raises(BadRequest, match="more widely"):
        read_bundle(bundled(report), Choices(tlp="GREEN"))


def test_many_indicators_make_several_drafts() -> None:
    """What does not fit one bulletin is split, and the title says so."""
    count = PART_INDICATORS_MAX + 1
    found = read_bundle(bundled(*({"type": "domain-name", "value": f"a{n}.example"} for n in range(count))), CHOICES)

    assert (2, count) == (len(found.drafts), len(values(found)))
    assert "Indicators from a STIX bundle (2 of 2)" == found.drafts[1]["payload"]["title"]


def test_long_indicators_make_several_drafts() -> None:
    """The size of a line counts as much as the number of indicators."""
    found = read_bundle(
        bundled(*({"type": "url", "value": f"https://a.example/{n}{'x' * 2000}"} for n in range(70))), CHOICES
    )

    assert (2, 70) == (len(found.drafts), len(values(found)))


def test_red_is_written_by_hand() -> None:
    """RED names persons that only its sender knows: no draft is made of it."""
    red = {"type": "domain-name", "value": "a.example", "object_marking_refs": [TLP_MARKINGS["RED"]]}

    with pytest.raises(MalformedPayload):
        read_bundle(bundled(red), UNMARKED)


@pytest.mark.parametrize(
    "members",
    [
        {"type": "bundle"},
        {"type": "report", "objects": []},
        {"type": "bundle", "objects": {}},
        {"type": "bundle", "objects": [1]},
        {"type": "bundle", "objects": [{"type": "x"}]},
        {"type": "bundle", "objects": [{"type": "x", "id": "x"}] * (OBJECTS_MAX + 1)},
        {"type": "bundle", "objects": [{"type": "report", "id": str(n)} for n in range(REPORTS_MAX + 1)]},
    ],
)
def test_what_is_no_bundle_is_refused(members: Members) -> None:
    """A file that only looks like a bundle is refused, one with too many objects too."""
    with pytest.raises(BadRequest):
        read_bundle(members, CHOICES)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"[]", "is not an object"),
        (b'{"a":1,"a":2}', "duplicate member"),
        (b"[" * 100_000, "nested deeper"),
        (b"\xff", "not one strict JSON"),
        (b'{"a":NaN}', "has NaN"),
        (b" " * (INPUT_BYTES_MAX + 1), "is the limit"),
    ],
)
def test_hostile_files_are_refused(data: bytes, words: str) -> None:
    """Size, depth, duplicates and odd numbers are refused before anything is read."""
    with pytest.raises(BadRequest, match=words):
        read_members(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-1, 1) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
TYPES = [
    "indicator",
    "report",
    "file",
    "user-account",
    "bank-account",
    "vessel",
    "location",
    "url",
    "malware",
    "identity",
]
NAMES = ["pattern", "value", "hashes", "object_refs", "extensions", "object_marking_refs", "granular_markings", "name"]
NAMES += ["latitude", "longitude", "external_references", "description", "labels", "iban", "bic", "account_number"]


@st.composite
def hostile_objects(draw: st.DrawFn) -> Members:
    """Return an object of a known type whose properties are anything."""
    found = draw(st.dictionaries(st.sampled_from(NAMES), JSON, max_size=5))
    if draw(st.booleans()):
        found["extensions"] = {
            BULLETIN_EXTENSION: draw(
                st.dictionaries(st.sampled_from(["payload", "kind", "tlp", "indicator", "release_to"]), JSON)
            )
        }
    return {**found, "type": draw(st.sampled_from(TYPES)), "id": draw(st.sampled_from(["a", "b", "c"]))}


@given(st.lists(hostile_objects(), max_size=6))
def test_no_bundle_breaks_the_importer(listed: list[Members]) -> None:
    """Whatever stands where, drafts are sound or the refusal is ours."""
    try:
        found = read_bundle({"type": "bundle", "id": "x", "objects": listed}, CHOICES)
    except LintasError:
        return

    for draft in found.drafts:
        read_draft(draft)


@pytest.mark.skipif(not REAL.is_dir(), reason="the published bundles are absent: ../shared/data/real/stix")
@pytest.mark.parametrize(
    ("name", "carried", "omitted"),
    [
        ("amnesty-cytrox", 336, 351),
        ("amnesty-novispy", 11, 26),
        ("amnesty-wintego_helios", 175, 177),
        ("mitre-ics-attack-9.0", 0, 804),
        ("mitre-ics-attack-10.1", 0, 829),
        ("oasis-apt1", 6, 69),
        ("oasis-defining-campaigns-threat-actors-intrusion-sets", 0, 26),
        ("oasis-poisonivy", 42, 132),
        ("oasis-sighting-of-an-indicator", 1, 3),
        ("oasis-using-granular-markings", 0, 4),
        ("oasis-using-marking-definitions", 1, 2),
    ],
)
def test_real_bundles(name: str, carried: int, omitted: int) -> None:
    """Published bundles give this many indicators and this many lines of what was left out."""
    found = read_bundle(read_members((REAL / f"{name}.json").read_bytes()), CHOICES)

    assert (carried, omitted) == (len(values(found)), len(found.omitted))


def test_list_of_omissions_ends() -> None:
    """A file of nothing but what has no place is given up at a limit."""
    carrier = Carrier([Omission("x", "x")] * OMITTED_MAX)

    with pytest.raises(BadRequest, match="no threat report"):
        carrier.leave("x", "x")


def test_number_of_values_ends() -> None:
    """A file with more values than a hundred bulletins hold is given up."""
    carrier = Carrier(taken=VALUES_MAX)

    with pytest.raises(BadRequest, match="Split it"):
        carrier.take("x", ("domain",), "a.example")
