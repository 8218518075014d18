"""What a bulletin's members may hold: closed sets, forms, limits, visible text."""

from __future__ import annotations

import re
from typing import Any

import pytest

from lintas import bulletin, vocabulary
from lintas.bulletin import Bulletin
from lintas.errors import MalformedPayload

PHONE = {"type": "phone", "value": "+6670426579", "role": "broker"}
PERSON = {"type": "person", "value": "FICTIONAL<<ARJUNA|1988-04-01|UTO", "role": "subject"}
EVENT = {"time": "2026-11-20T01:00:00Z"}
PURPOSE = {"code": "investigation", "statement": "Identify the organiser."}
LEAST: dict[str, dict[str, Any]] = {
    "alert": {"title": "Fictional title", "summary": "Fictional summary"},
    "rfi": {
        "title": "Fictional title",
        "summary": "b",
        "questions": ["Known?"],
        "purpose": PURPOSE,
        "case_ref": "SIM-1",
    },
    "incident": {"title": "Fictional title", "summary": "b", "event": EVENT},
}


def checked(kind: str = "alert", **members: Any) -> Bulletin:
    """Check the least payload of a kind with these members on top."""
    return bulletin.check({**LEAST.get(kind, LEAST["alert"]), **members}, kind=kind)


def refused(kind: str = "alert", **members: Any) -> MalformedPayload:
    """Return the refusal of the least payload of a kind with these members on top."""
    with pytest.raises(MalformedPayload) as caught:
        checked(kind, **members)
    return caught.value


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"colour": "red"}, "colour"),
        ({"c" * 80: 1}, "c" * 64),
        ({"grading": {"source": "A", "information": "1", "colour": 1}}, "grading.colour"),
        ({"event": EVENT | {"colour": 1}}, "event.colour"),
        ({"indicators": [PHONE, PHONE | {"colour": 1}]}, "indicators[1].colour"),
        ({"stix": {"objects": [], "colour": 1}}, "stix.colour"),
    ],
)
def test_an_unknown_member_is_refused_with_its_name(members: dict[str, Any], path: str) -> None:
    """The set of members is closed at every level, and names are shown up to a limit."""
    actual = refused(**members)

    assert (path, True) == (actual.member, "has no member" in actual.detail)


def test_an_unknown_member_of_a_purpose_is_refused() -> None:
    """The purpose is closed as well."""
    assert refused("rfi", purpose=PURPOSE | {"colour": 1}).member == "purpose.colour"


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"grading": {"source": "A"}}, "grading.information"),
        ({"grading": {"information": "1"}}, "grading.source"),
        ({"event": {"place": "KHPNH"}}, "event.time"),
        ({"indicators": [{"type": "phone", "value": "+6670426579"}]}, "indicators[0].role"),
        ({"indicators": [{"type": "phone", "role": "broker"}]}, "indicators[0].value"),
        ({"indicators": [{"value": "+6670426579", "role": "broker"}]}, "indicators[0].type"),
        ({"stix": {}}, "stix.objects"),
        ({"stix": {"objects": [{"type": "location"}]}}, "stix.objects[0].id"),
        ({"stix": {"objects": [{"id": "location--1"}]}}, "stix.objects[0].type"),
        ({"handling": ["H3"]}, "handling_note"),
    ],
)
def test_a_missing_member_is_named(members: dict[str, Any], path: str) -> None:
    """The path leads to what is missing."""
    assert refused(**members).member == path


@pytest.mark.parametrize("member", ["code", "statement"])
def test_a_purpose_has_code_and_statement(member: str) -> None:
    """A bare code would say nothing about this case."""
    purpose = {name: value for name, value in PURPOSE.items() if name != member}

    assert refused("rfi", purpose=purpose).member == f"purpose.{member}"


@pytest.mark.parametrize(
    ("kind", "members", "path"),
    [
        ("alert", {"severity": "dire"}, "severity"),
        ("alert", {"grading": {"source": "G", "information": "1"}}, "grading.source"),
        ("alert", {"grading": {"source": "A", "information": "7"}}, "grading.information"),
        ("alert", {"handling": ["H0", "H4"]}, "handling[1]"),
        ("alert", {"caveats": ["no-smoking"]}, "caveats[0]"),
        ("alert", {"pap": "PAP:WHITE"}, "pap"),
        ("alert", {"topics": ["cyber", "magic"]}, "topics[1]"),
        ("alert", {"indicators": [PHONE | {"type": "telepathy"}]}, "indicators[0].type"),
        ("alert", {"indicators": [PERSON | {"person_role": "villain"}]}, "indicators[0].person_role"),
        ("rfi", {"purpose": PURPOSE | {"code": "curiosity"}}, "purpose.code"),
        ("answer", {"result": "maybe"}, "result"),
        ("recall", {"reason": "regret"}, "reason"),
        ("incident", {"recaap_category": "CAT 5"}, "recaap_category"),
    ],
)
def test_a_value_outside_its_closed_set_is_refused(kind: str, members: dict[str, Any], path: str) -> None:
    """The refusal names the place and lists what is allowed."""
    actual = refused(kind, **members)

    assert (path, True) == (actual.member, "is one of" in actual.detail)


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"handling": ["H0", "H0"]}, "handling[1]"),
        ({"caveats": ["minor", "minor"]}, "caveats[1]"),
        ({"languages": ["en", "en"]}, "languages[1]"),
        ({"communities": ["mekong", "mekong"]}, "communities[1]"),
        ({"topics": ["cyber", "cyber"]}, "topics[1]"),
        ({"named_recipients": ["my-ct/desk", "my-ct/desk"]}, "named_recipients[1]"),
    ],
)
def test_a_set_names_nothing_twice(members: dict[str, Any], path: str) -> None:
    """The second mention is the fault."""
    assert refused(**members).member == path


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"title": 1}, "title"),
        ({"title": " "}, "title"),
        ({"summary": None}, "summary"),
        ({"case_ref": ""}, "case_ref"),
        ({"grading": "A1"}, "grading"),
        ({"handling": "H0"}, "handling"),
        ({"event": []}, "event"),
        ({"event": EVENT | {"time": 1}}, "event.time"),
        ({"languages": ["English"]}, "languages[0]"),
        ({"languages": ["en\n"]}, "languages[0]"),
        ({"indicators": {}}, "indicators"),
        ({"indicators": [1]}, "indicators[0]"),
        ({"communities": ["me kong"]}, "communities[0]"),
        ({"named_recipients": ["my-ct"]}, "named_recipients[0]"),
        ({"named_recipients": ["my-ct/Duty Officer"]}, "named_recipients[0]"),
        ({"valid_from": "2026-11-20T03:00:00+00:00"}, "valid_from"),
        ({"valid_from": "2026-11-20 03:00:00Z"}, "valid_from"),
        ({"valid_from": "2026-11-20T03:00Z"}, "valid_from"),
        ({"valid_from": "2026-11-20T03:00:00.1234567Z"}, "valid_from"),
        ({"valid_from": "2026-02-29T03:00:00Z"}, "valid_from"),
        ({"valid_from": "2026-11-20T03:00:60Z"}, "valid_from"),
        ({"valid_from": "٢٠٢٦-11-20T03:00:00Z"}, "valid_from"),
        ({"stix": []}, "stix"),
        ({"stix": {"objects": ["x"]}}, "stix.objects[0]"),
        ({"reissue_of": "A" * 42}, "reissue_of"),
        ({"reissue_of": 1}, "reissue_of"),
        ({"fictional": 1}, "fictional"),
        ({"severity": 1.5}, "severity"),
        ({"severity": ["severe"]}, "severity"),
    ],
)
def test_a_value_of_another_form_is_refused(members: dict[str, Any], path: str) -> None:
    """Each member has one form."""
    actual = refused(**members)

    assert (path, True) == (actual.member, f"`{path}`" in actual.detail)


def listed(count: int, form: str = "{}") -> list[str]:
    """Return this many different texts."""
    return [form.format(number) for number in range(count)]


LIMITS: list[tuple[str, str, Any, Any]] = [
    ("alert", "title", "a" * 120, "a" * 121),
    ("alert", "summary", "a" * 16_000, "a" * 16_001),
    ("alert", "case_ref", "a" * 64, "a" * 65),
    ("alert", "handling_note", "a" * 2_000, "a" * 2_001),
    ("alert", "indicators", [PHONE] * 1_000, [PHONE] * 1_001),
    ("alert", "references", listed(50), listed(51)),
    ("alert", "references", ["a" * 200], ["a" * 201]),
    ("alert", "communities", listed(32), listed(33)),
    ("alert", "communities", ["a" * 64], ["a" * 65]),
    ("alert", "topics", sorted(vocabulary.load().topics)[:8], sorted(vocabulary.load().topics)[:9]),
    ("alert", "languages", listed(16, "en-{:02}"), listed(17, "en-{:02}")),
    ("alert", "named_recipients", listed(256, "my-ct/{}"), listed(257, "my-ct/{}")),
    ("alert", "named_recipients", ["my-ct/" + "a" * 64], ["my-ct/" + "a" * 65]),
    ("alert", "stix", {"objects": [{"type": "a", "id": "b"}] * 1_000}, {"objects": [{"type": "a", "id": "b"}] * 1_001}),
    ("alert", "event", EVENT | {"place": "a" * 200}, EVENT | {"place": "a" * 201}),
    ("alert", "indicators", [PHONE | {"role": "a" * 200}], [PHONE | {"role": "a" * 201}]),
    ("alert", "indicators", [PHONE | {"name": "a" * 200}], [PHONE | {"name": "a" * 201}]),
    ("alert", "indicators", [PHONE | {"asset": "a" * 200}], [PHONE | {"asset": "a" * 201}]),
    ("alert", "indicators", [PHONE | {"note": "a" * 200}], [PHONE | {"note": "a" * 201}]),
    ("rfi", "questions", listed(20), listed(21)),
    ("rfi", "questions", ["a" * 2_000], ["a" * 2_001]),
    ("rfi", "purpose", PURPOSE | {"statement": "a" * 2_000}, PURPOSE | {"statement": "a" * 2_001}),
    ("rfi", "purpose", PURPOSE | {"legal_basis": "a" * 200}, PURPOSE | {"legal_basis": "a" * 201}),
]


@pytest.mark.parametrize(("kind", "member", "most", "too_much"), LIMITS, ids=[f"{n}" for n, _ in enumerate(LIMITS)])
def test_each_limit_holds_and_one_past_it_is_refused(kind: str, member: str, most: Any, too_much: Any) -> None:
    """The most is accepted, one more is refused at that member."""
    checked(kind, **{member: most})

    assert re.match(re.escape(member), refused(kind, **{member: too_much}).member or "")


@pytest.mark.parametrize(
    "hidden", ["\x00", "\x1b", "\r", "\x7f", "\x85", "\u2028", "\u202a", "\u202e", "\u2066", "\u2069"]
)
@pytest.mark.parametrize("member", ["title", "summary", "handling_note"])
def test_hidden_controls_are_refused_in_every_text(member: str, hidden: str) -> None:
    """What is shown is what was signed: no controls, no change of direction."""
    actual = refused(**{member: f"a{hidden}b"})

    assert (member, True) == (actual.member, f"U+{ord(hidden):04X}" in actual.detail)


@pytest.mark.parametrize("member", ["summary", "handling_note"])
def test_long_texts_have_lines_and_tabs(member: str) -> None:
    """Line feeds and tabs belong to longer texts."""
    assert getattr(checked(**{member: "a\n\tb"}), member) == "a\n\tb"


@pytest.mark.parametrize("blank", ["\n", "\t"])
@pytest.mark.parametrize("member", ["title", "case_ref"])
def test_short_texts_are_one_line(member: str, blank: str) -> None:
    """A title fits a row of a feed."""
    assert refused(**{member: f"a{blank}b"}).member == member


@pytest.mark.parametrize("word_break", ["\u200b", "\u200c", "\u200d"])
def test_scripts_of_the_region_keep_their_word_breaks(word_break: str) -> None:
    """Khmer, Thai, Lao and Burmese need joiners and invisible spaces."""
    assert checked(title=f"កម្ពុជា{word_break}ថៃ").title == f"កម្ពុជា{word_break}ថៃ"


@pytest.mark.parametrize("day", ["2017-06-07", "2000-02-29"])
def test_event_of_a_day(day: str) -> None:
    """An event may name a day where no more is known."""
    found = bulletin.check({"title": "t", "summary": "s", "event": {"time": day}}, kind="incident")

    assert found.event is not None
    assert day == found.event.time


@pytest.mark.parametrize("day", ["2017-02-29", "2017-6-7", "2017-06-07 ", "20170607"])
def test_event_of_no_day(day: str) -> None:
    """A day that does not exist or is written otherwise is refused."""
    with pytest.raises(MalformedPayload) as caught:
        bulletin.check({"title": "t", "summary": "s", "event": {"time": day}}, kind="incident")

    assert "event.time" == caught.value.member
