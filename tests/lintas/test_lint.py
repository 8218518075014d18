"""Tests of the data-protection checks: each rule with what it finds, what it leaves alone, what it costs."""

from __future__ import annotations

import json
import time
from importlib import resources
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lintas import bulletin, vocabulary
from lintas.bulletin import SUMMARY_CHARACTERS_MAX, Bulletin
from lintas.draft import read_draft
from lintas.errors import DataProtection
from lintas.indicators.checksums import luhn_digit
from lintas.lint import RULES, Finding, codes, lint, lint_quoted, refuse
from lintas.stix.fixed import MARKINGS

SAMPLES = json.loads(resources.files("lintas").joinpath("samples.json").read_text("utf-8"))["bulletins"]
CARD = "4111111111111111"
IBAN = "TL269990000000000471100"
PERSON = {"type": "person", "value": "FICTIONAL<<ARJUNA|1988-04-01|UTO", "role": "x"}
DOCUMENT = {"type": "travel-document", "value": "UTO:X90217734", "role": "x"}
PHONE = {"type": "phone", "value": "+6542995883", "role": "x"}
DOMAIN = {"type": "domain", "value": "lotustrade.example", "role": "x"}
HASH = {"type": "file-hash", "value": "f" * 64, "role": "x"}
RED_MARK = next(mark for mark, tlp in MARKINGS.items() if tlp == "RED")
CLOCK_S = 0.002
"""What the clock and others on the machine may add."""
MINIMUM: dict[str, dict[str, Any]] = {
    "recall": {"reason": "legal"},
    "rfi": {"questions": ["Known?"], "purpose": {"code": "investigation", "statement": "x"}},
    "locate": {"case_ref": "SIM-1"},
    "answer": {"result": "negative"},
}


def content(kind: str = "alert", **members: Any) -> Bulletin:
    """Write a checked payload of this kind."""
    return bulletin.check({"title": "Fictional", "summary": "x", **MINIMUM.get(kind, {}), **members}, kind=kind)


def found(content: Bulletin, *, tlp: str = "AMBER", topic: str = "cyber.scam") -> list[tuple[str, str, str]]:
    """Return code, level and member of everything that is found."""
    return [(each.code, each.level, each.member) for each in lint(content, topic=topic, tlp=tlp)]


def in_text(text: str, tlp: str = "AMBER") -> list[tuple[str, str]]:
    """Return code and level of what is found in a summary."""
    return [(code, level) for code, level, _ in found(content(summary=text), tlp=tlp)]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample["sample"])
def test_samples(sample: dict[str, Any]) -> None:
    """The sample bulletins have nothing to find."""
    members = json.loads(json.dumps(sample["draft"]).replace("sample:rfi-smuggling", "A" * 43).replace(
        "sample:investment-kit", "A" * 43))  # fmt: skip
    draft = read_draft(members)

    assert [] == found(bulletin.check(draft.members, kind=draft.kind), tlp=draft.tlp, topic=draft.topic)


@pytest.mark.parametrize(
    "text",
    [
        CARD,
        "paid with 4111 1111 1111 1111, twice",
        "4111-1111-1111-1111",
        "4111.1111.1111.1111",
        "ref 77 4111 1111 1111 1111 05",
        "378282246310005",
        "3782 822463 10005",
        "5555 5555 5555 4444",
        "6011111111111117",
        "3530111333300000",
        "2223003122003222",
        "30569309025904",
        "4222222222222",
        "៤១១១ ១១១១ ១១១១ ១១១១",
        "4111\u00a01111\u00a01111\u00a01111",
        "4111\u200b1111\u200b1111\u200b1111",
    ],
)
def test_card(text: str) -> None:
    """A payment card is found as people write it: groups, dashes, other digits, spaces that do not show."""
    assert [("card-in-text", "refuse")] == in_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111112",
        "1111222233334444",
        "9111111111111111",
        "+855 20 335 6886",
        "2026-11-20 03:00:00",
        "490154203237518",
        "41111111111111110",
        "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
        "514012345678",
        "1795467600000123",
    ],
)
def test_no_card(text: str) -> None:
    """Telephone numbers, times, handsets, accounts and numbers with a wrong check digit are no cards."""
    assert [] == in_text(text)


@given(st.integers(0, 10**14 - 1), st.sampled_from(["", " ", "-"]))
def test_every_card(body: int, gap: str) -> None:
    """Whatever its digits, a card with the right check digit is found and one with a wrong one is not."""
    digits = f"4{body:014}"
    right = digits + str(luhn_digit(digits))
    wrong = digits + str((luhn_digit(digits) + 1) % 10)

    shown = [gap.join(number[n : n + 4] for n in range(0, 16, 4)) for number in (right, wrong)]

    assert [[("card-in-text", "refuse")], []] == [in_text(f"Card {each}.") for each in shown]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<", "document-in-text"),
        ("L898902C36UTO7408122F1204159ZE184226B<<<<<10", "document-in-text"),
        ("uses UTO:X90217734 since May", "document-in-text"),
        ("or UTO:X90217734:4", "document-in-text"),
        ("Passport No. X90217734", "document-in-text"),
        ("hộ chiếu số C1234567", "document-in-text"),
        ("paspor A1234567 dipakai", "document-in-text"),
        (IBAN, "account-in-text"),
        ("to TL26 9990 0000 0000 0471 100 THEN CASH", "account-in-text"),
        ("GB82 WEST 1234 5698 7654 32", "account-in-text"),
    ],
)
def test_document_or_account(text: str, code: str) -> None:
    """Machine-readable zones, numbered passports and IBANs in text are warned of."""
    assert [(code, "warn")] == in_text(text)


@pytest.mark.parametrize(
    "text",
    ["a passport was found", "passport control at gate 12", "a << b", "TL27 9990 0000 0000 0471 100",
     "XX261234567890123",     "travel documents of 2026", "ATL269990000000000471100", "11:30:05 UTC", "AB12 and CD34",
     "REF:20261120", "IMO:9074729"],
)  # fmt: skip
def test_no_document(text: str) -> None:
    """Words and numbers that only look like it are left alone."""
    assert [] == in_text(text)


def test_everywhere() -> None:
    """Every member that people write freely is read; the finding names it."""
    members = {
        "title": CARD,
        "handling_note": CARD,
        "case_ref": CARD,
        "event": {"time": "2026-11-20", "place": CARD},
        "references": ["x", CARD],
        "questions": ["x", CARD],
        "purpose": {"code": "investigation", "statement": CARD, "legal_basis": CARD},
        "indicators": [DOMAIN, DOMAIN | {"role": CARD, "name": CARD, "asset": CARD, "note": CARD}],
        "summary": CARD,
    }
    paths = [
        *("title", "summary", "case_ref", "handling_note", "event.place", "purpose.statement", "purpose.legal_basis"),
        *("questions[1]", "references[1]"),
        *(f"indicators[1].{name}" for name in ("role", "name", "asset", "note")),
    ]

    assert [("card-in-text", "refuse", path) for path in paths] == found(content("rfi", **members))


def test_indicators_are_no_text() -> None:
    """The same values in indicators are where they belong."""
    listed = [
        {"type": "payment-card", "value": CARD, "role": "x"},
        {"type": "iban", "value": IBAN, "role": "x"},
        DOCUMENT,
    ]

    assert [] == found(content(indicators=listed))


@pytest.mark.parametrize(
    ("tlp", "text", "level"),
    [
        ("GREEN", "TLP:AMBER", "refuse"),
        ("CLEAR", "tlp amber+strict: not for others", "refuse"),
        ("GREEN", "[TLP-RED]", "refuse"),
        ("AMBER", "TLP:RED", "warn"),
        ("AMBER", "TLP:AMBER+STRICT", "warn"),
        ("AMBER", "TLP:AMBER", None),
        ("AMBER+STRICT", "TLP:AMBER", None),
        ("GREEN", "an amber light; TLP:GREEN", None),
        ("GREEN", "TLP:AMBERGRIS", None),
    ],
)
def test_marking_quoted(tlp: str, text: str, level: str | None) -> None:
    """A narrower marking in the text of a wide bulletin refuses, in that of another warns."""
    assert ([] if level is None else [("narrower-quoted", level)]) == in_text(f"x {text}.", tlp)


@pytest.mark.parametrize(
    ("tlp", "quoted", "level"),
    [
        ("GREEN", {"AMBER"}, "refuse"),
        ("CLEAR", {"CLEAR", "RED"}, "refuse"),
        ("AMBER", {"AMBER+STRICT"}, "warn"),
        ("AMBER", {"AMBER", "GREEN"}, None),
        ("CLEAR", set(), None),
    ],
)
def test_reference_quoted(tlp: str, quoted: set[str], level: str | None) -> None:
    """What a bulletin answers, endorses or comments on counts as quoted."""
    wanted = () if level is None else (Finding("narrower-quoted", level, "refs"),)

    assert wanted == lint_quoted("comment", tlp, quoted)


@pytest.mark.parametrize(
    ("kind", "role", "tlp", "level"),
    [
        ("alert", "victim", "GREEN", "refuse"),
        ("alert", "victim", "AMBER", "warn"),
        ("alert", "witness", "CLEAR", "refuse"),
        ("lookout", "witness", "AMBER+STRICT", "warn"),
        ("missing", "victim", "GREEN", "refuse"),
        ("missing", "missing", "AMBER", None),
        ("missing", "missing", "GREEN", "warn"),
        ("lookout", "missing", "AMBER", None),
        ("sighting", "missing", "AMBER+STRICT", None),
        ("locate", "missing", "AMBER", "warn"),
        ("advisory", "missing", "GREEN", "refuse"),
        ("alert", "suspect", "GREEN", None),
        ("alert", "unknown", "GREEN", None),
    ],
)
def test_protected_person(kind: str, role: str, tlp: str, level: str | None) -> None:
    """Victims, witnesses and missing persons are named to need-to-know readers, or where the search needs it."""
    wanted = [] if level is None else [("protected-person", level, "indicators[1]")]

    assert wanted == found(content(kind, indicators=[DOMAIN, PERSON | {"person_role": role}]), tlp=tlp)


def test_protected_by_any_type() -> None:
    """A victim's telephone is the victim."""
    listed = [PHONE | {"person_role": "victim"}]

    assert [("protected-person", "refuse", "indicators[0]")] == found(content(indicators=listed), tlp="GREEN")


@pytest.mark.parametrize(
    ("indicator", "tlp", "level"),
    [
        (PERSON | {"person_role": "unknown"}, "GREEN", "refuse"),
        (PERSON | {"person_role": "unknown"}, "AMBER", "warn"),
        (DOCUMENT, "GREEN", "refuse"),
        (DOCUMENT, "AMBER+STRICT", "warn"),
        (PERSON | {"person_role": "suspect"}, "GREEN", "warn"),
        (PERSON | {"person_role": "suspect"}, "AMBER", None),
        (PHONE, "GREEN", None),
        (DOMAIN, "CLEAR", None),
    ],
)
def test_minor(indicator: dict[str, str], tlp: str, level: str | None) -> None:
    """Where a case concerns a child, whoever may be the child is not named widely."""
    wanted = [] if level is None else [("minor-named", level, "indicators[0]")]

    assert wanted == found(content(caveats=["minor"], indicators=[indicator]), tlp=tlp)


def test_no_caveat_no_minor() -> None:
    """Without the caveat nobody is taken for a child."""
    assert [] == found(content(indicators=[DOCUMENT]), tlp="GREEN")


@pytest.mark.parametrize(
    ("indicator", "level"),
    [
        (DOCUMENT | {"name": "A. Fictional"}, "refuse"),
        (PHONE | {"name": "A. Fictional"}, "warn"),
        (PHONE | {"name": "A. Fictional", "person_role": "associate"}, None),
        (DOMAIN | {"name": "Golden Lotus"}, None),
        (PHONE, None),
    ],
)
def test_name_without_role(indicator: dict[str, str], level: str | None) -> None:
    """A name beside personal data says what part the person has."""
    wanted = [] if level is None else [("person-without-role", level, "indicators[0].person_role")]

    assert wanted == found(content(indicators=[indicator]))


def test_stix() -> None:
    """STIX objects may name no individual past the schema, and carry no narrower marking."""
    objects = [
        {"type": "identity", "id": "identity--1", "identity_class": "individual"},
        {"type": "identity", "id": "identity--2", "identity_class": "organization", "object_marking_refs": [RED_MARK]},
        {"type": "malware", "id": "malware--3", "object_marking_refs": "not a list"},
    ]

    wide, narrow = (found(content(stix={"objects": objects}), tlp=tlp) for tlp in ("GREEN", "RED"))

    person = ("person-without-role", "refuse", "stix.objects[0]")
    assert [person, ("narrower-quoted", "refuse", "stix.objects[1]")] == wide
    assert [person] == narrow


def test_red_to_a_community() -> None:
    """RED names no community."""
    assert [("red-to-community", "refuse", "communities")] == found(content(communities=["mekong"]), tlp="RED")
    assert [] == found(content(communities=["mekong"]), tlp="AMBER+STRICT")


@pytest.mark.parametrize(("topic", "topics"), [("cyber.csam", []), ("cyber", ["cyber.csam"])])
def test_csam(topic: str, topics: list[str]) -> None:
    """Of child abuse material only hashes are shared: no other indicator, no link."""
    given = content(indicators=[HASH, DOMAIN], topics=topics, summary="seen at hxxps://bad.example/x")

    wanted = [("csam-not-hash", "refuse", "indicators[1]"), ("csam-not-hash", "refuse", "summary")]
    assert wanted == found(given, topic=topic)
    assert [] == found(content(indicators=[HASH], topics=topics), topic=topic)


def test_recall_is_only_warned() -> None:
    """Nothing stops a recall: what refuses elsewhere only warns there."""
    listed = [PERSON | {"person_role": "victim"}]

    levels = {level for _, level, _ in found(content("recall", summary=CARD, indicators=listed), tlp="CLEAR")}

    assert {"warn"} == levels
    assert ("warn",) == tuple(each.level for each in lint_quoted("recall", "CLEAR", {"RED"}))


def test_refuse() -> None:
    """The first finding that refuses is raised with its member, its rule and its reason; warnings raise nothing."""
    findings = lint(content(summary=CARD, title=f"TLP:RED {IBAN}"), topic="cyber", tlp="GREEN")
    with pytest.raises(DataProtection) as caught:
        refuse(findings)

    assert ("title", {"rule": "narrower-quoted"}) == (caught.value.member, caught.value.extra)
    assert RULES["narrower-quoted"] == caught.value.detail
    assert ("account-in-text", "card-in-text", "narrower-quoted") == codes(findings)
    refuse([each for each in findings if each.level == "warn"])


def test_words_exist() -> None:
    """The words that the rules rest on are in the vocabulary."""
    known = vocabulary.load()

    assert {"victim", "witness", "missing", "unknown"} <= known.person_roles
    assert {"missing", "lookout", "sighting", "recall"} <= known.kinds
    assert "minor" in known.caveats
    assert "cyber.csam" in known.topics
    assert {"person", "travel-document", "file-hash", "payment-card", "iban"} <= set(known.indicator_types)


HOSTILE = ("UTO:", "UTO:A",
           "4444 ", "4012 ", "1 ", "4", "411", "TL26 ", "TL26", "passport ", "passport 1", "passport 12", "<", "A<",
           "A<<", "AB12 ", "TLP:", "TLP: ", "4111111111111112 ", "\u17e4", "\u17e4 ", "\u200b", "http", "www",
           "h\u1ed9 chi\u1ebfu ", ":ABCDEF", "tlp amber+", "0-")  # fmt: skip


def cost_of(part: str, size: int) -> float:
    """Return the seconds of computing that a text of this size takes, the best of some."""
    given = content(summary="x" + (part * size)[: size - 1])
    costs = []
    for _ in range(3):
        begun = time.thread_time()
        lint(given, topic="cyber.csam", tlp="GREEN")
        costs.append(time.thread_time() - begun)
    return min(costs)


@pytest.mark.parametrize("part", HOSTILE)
def test_cost(part: str) -> None:
    """A text made to be slow to read costs four times as much when it is four times as long, not sixteen."""
    quarter = cost_of(part, SUMMARY_CHARACTERS_MAX // 4)

    assert cost_of(part, SUMMARY_CHARACTERS_MAX) < 8 * quarter + CLOCK_S
