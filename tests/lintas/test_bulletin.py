"""The payload of a bulletin: closed sets, limits, what each kind demands."""

from __future__ import annotations

from typing import Any

import pytest

from lintas import bulletin, vocabulary
from lintas.bulletin import Bulletin, Event, Grading, Indicator, Purpose
from lintas.errors import MalformedPayload
from lintas.strict import canonical

LINE_ID = "A" * 43
PHONE = {"type": "phone", "value": "+6670426579", "role": "broker"}
PERSON = {"type": "person", "value": "FICTIONAL<<ARJUNA|1988-04-01|UTO", "role": "subject"}
LEAST = {"title": "Fictional title", "summary": "Fictional summary"}
EVENT = {"time": "2026-11-20T01:00:00Z", "place": "KHPNH"}
PURPOSE = {"code": "investigation", "statement": "Identify the organiser."}
DEMANDED: dict[str, dict[str, Any]] = {
    "locate": {"case_ref": "SIM-1"},
    "asset": {"indicators": [PHONE]},
    "lookout": {"indicators": [PHONE]},
    "sighting": {"indicators": [PHONE]},
    "incident": {"event": EVENT},
    "rfi": {"questions": ["Known?"], "purpose": PURPOSE, "case_ref": "SIM-1"},
    "consent-request": {"permission": "evidence", "purpose": PURPOSE, "case_ref": "SIM-1"},
    "answer": {"result": "partial"},
    "consent-answer": {"result": "granted", "requester": "sg-fiu"},
    "feedback": {"result": "hit"},
    "recall": {"reason": "false-positive"},
}
"""What each kind needs beside title and summary."""

EVERYTHING: dict[str, Any] = {
    **LEAST,
    "case_ref": "KH-SIM-2026-0417",
    "severity": "severe",
    "grading": {"source": "B", "information": "2"},
    "handling": ["H2", "H3"],
    "handling_note": "Screen victims first.\nThen act.",
    "caveats": ["non-punishment", "no-refoulement"],
    "pap": "PAP:AMBER",
    "event": {"time": "2026-11-20T01:00:00.5Z", "position": "4.80000,119.60000"},
    "languages": ["en", "zh-Hant-TW"],
    "indicators": [
        PHONE | {"first_seen": "2026-11-01T00:00:00Z", "last_seen": "2026-11-01T00:00:00.000Z", "note": "seen twice"},
        PERSON | {"person_role": "facilitator", "name": "The fictional one", "asset": "USDT"},
    ],
    "communities": ["mekong", "*"],
    "references": ["https://example.org/report"],
    "topics": ["cyber.scam"],
    "named_recipients": ["my-ct/duty-officer"],
    "valid_from": "2026-11-20T03:00:00Z",
    "stix": {"objects": [{"type": "location", "id": "location--1", "latitude": 4.8, "labels": ["a"]}]},
    "reissue_of": LINE_ID,
    "fictional": True,
}


def checked(kind: str = "alert", **members: Any) -> Bulletin:
    """Check the least payload of a kind with these members on top."""
    return bulletin.check({**LEAST, **DEMANDED.get(kind, {}), **members}, kind=kind)


def refused(kind: str = "alert", **members: Any) -> MalformedPayload:
    """Return the refusal of the least payload of a kind with these members on top."""
    with pytest.raises(MalformedPayload) as caught:
        checked(kind, **members)
    return caught.value


@pytest.mark.parametrize("kind", sorted(vocabulary.load().kinds))
def test_the_least_payload_of_each_kind_is_accepted(kind: str) -> None:
    """Title, summary and what the kind demands are enough."""
    actual = checked(kind)

    assert (kind, "Fictional title", "Fictional summary") == (actual.kind, actual.title, actual.summary)


@pytest.mark.parametrize(
    ("kind", "member"), [(kind, member) for kind, members in DEMANDED.items() for member in members]
)
def test_what_a_kind_demands_must_be_there(kind: str, member: str) -> None:
    """The refusal names the member that is missing."""
    members = {name: value for name, value in {**LEAST, **DEMANDED[kind]}.items() if name != member}

    with pytest.raises(MalformedPayload, match=f"needs the member `{member}`") as caught:
        bulletin.check(members, kind=kind)

    assert member == caught.value.member


@pytest.mark.parametrize("member", ["title", "summary"])
def test_every_bulletin_has_title_and_summary(member: str) -> None:
    """A bulletin without words cannot be shown in a feed."""
    members = {name: value for name, value in LEAST.items() if name != member}

    with pytest.raises(MalformedPayload) as caught:
        bulletin.check(members, kind="alert")

    assert member == caught.value.member


@pytest.mark.parametrize("kind", ["asset", "lookout", "sighting"])
def test_a_kind_about_indicators_names_at_least_one(kind: str) -> None:
    """An empty list is no indicator."""
    assert refused(kind, indicators=[]).member == "indicators"


@pytest.mark.parametrize("kind", ["rfi", "consent-request"])
def test_a_request_asks_something(kind: str) -> None:
    """An empty list is no question."""
    assert refused(kind, questions=[]).member == "questions"


@pytest.mark.parametrize(
    ("kind", "member"),
    [
        ("alert", "questions"),
        ("alert", "answer_due"),
        ("alert", "purpose"),
        ("alert", "result"),
        ("alert", "reason"),
        ("alert", "recaap_category"),
        ("recall", "result"),
        ("feedback", "reason"),
        ("answer", "permission"),
        ("answer", "counts"),
        ("rfi", "pass_to"),
    ],
)
def test_a_member_of_another_kind_is_refused(kind: str, member: str) -> None:
    """An alert asks no questions, so it has no place for them."""
    assert refused(kind, **{member: "x"}).member == member


@pytest.mark.parametrize(
    ("kind", "result"), [("answer", "granted"), ("consent-answer", "partial"), ("feedback", "positive")]
)
def test_the_result_is_one_of_its_kind(kind: str, result: str) -> None:
    """Answers, consents and feedback have their own words."""
    assert refused(kind, result=result).member == "result"


@pytest.mark.parametrize("kind", ["answer", "consent-answer"])
def test_a_refused_request_names_its_ground(kind: str) -> None:
    """A refusal without a ground leaves the asker guessing."""
    assert refused(kind, result="refused").member == "reason"


@pytest.mark.parametrize(
    ("kind", "members", "path"),
    [
        ("consent-request", {"permission": "sell"}, "permission"),
        ("consent-request", {"permission": "pass-on"}, "pass_to"),
        ("consent-request", {"permission": "pass-on", "pass_to": []}, "pass_to"),
        ("consent-request", {"permission": "pass-on", "pass_to": ["th-cert", "th-cert"]}, "pass_to[1]"),
        ("consent-request", {"permission": "pass-on", "pass_to": ["a" * 201]}, "pass_to[0]"),
        ("consent-request", {"permission": "pass-on", "pass_to": [f"body {n}" for n in range(17)]}, "pass_to"),
        ("consent-answer", {"requester": "sg-fiu\n"}, "requester"),
        ("feedback", {"result": "actioned"}, "counts"),
        ("feedback", {"result": "useful", "counts": {"arrests": 1}}, "counts"),
        ("feedback", {"result": "actioned", "counts": {}}, "counts"),
        ("feedback", {"result": "actioned", "counts": {"arrests": 0}}, "counts"),
        ("feedback", {"result": "actioned", "counts": {"arrests": -1}}, "counts.arrests"),
        ("feedback", {"result": "actioned", "counts": {"arrests": True}}, "counts.arrests"),
        ("feedback", {"result": "actioned", "counts": {"arrests": 1_000_001}}, "counts.arrests"),
        ("feedback", {"result": "actioned", "counts": {"medals": 1}}, "counts.medals"),
        ("feedback", {"result": "actioned", "counts": [1]}, "counts"),
        ("feedback", {"result": "duplicate"}, "references"),
        ("feedback", {"result": "duplicate", "references": []}, "references"),
    ],
)
def test_consent_and_feedback_say_enough(kind: str, members: dict[str, Any], path: str) -> None:
    """Who would get it, what was done, what was known already: each is named where it matters, and only there."""
    assert refused(kind, **members).member == path


@pytest.mark.parametrize(
    ("kind", "members"),
    [
        ("answer", {"result": "refused", "reason": "third-party"}),
        ("consent-answer", {"result": "refused", "reason": "security"}),
        ("consent-request", {"permission": "pass-on", "pass_to": ["th-cert", "Criminal Court (FICTIONAL)"]}),
        ("consent-request", {"questions": ["May it be evidence?"], "answer_due": "2026-11-24T04:00:00Z"}),
        ("consent-answer", {"permission": "pass-on", "pass_to": ["th-cert"]}),
        ("feedback", {"result": "actioned", "counts": {"arrests": 2, "freezes": 0}}),
        ("feedback", {"result": "duplicate", "references": ["our case SIM-9"]}),
        ("recall", {"reason": "over-shared"}),
        ("incident", {"recaap_category": "CAT 2"}),
        ("rfi", {"answer_due": "2026-11-24T04:00:00Z", "purpose": PURPOSE | {"legal_basis": "UNTOC"}}),
    ],
)
def test_what_only_some_kinds_have_is_accepted_there(kind: str, members: dict[str, Any]) -> None:
    """Grounds, reasons, categories and deadlines come out as they went in."""
    actual = checked(kind, **members)

    expected = {name: tuple(value) if isinstance(value, list) else value for name, value in members.items()}
    expected.pop("purpose", None)
    assert expected == {name: getattr(actual, name) for name in expected}


@pytest.mark.parametrize(("kind", "reason"), [("recall", "third-party"), ("answer", "false-positive")])
def test_the_reason_is_one_of_its_kind(kind: str, reason: str) -> None:
    """A recall is not excused with a ground of refusal, nor the reverse."""
    assert refused(kind, reason=reason).member == "reason"


def test_everything_a_bulletin_may_have_is_kept() -> None:
    """The parsed view holds each member, lists as tuples, objects as values."""
    actual = bulletin.parse(canonical(EVERYTHING), kind="alert")

    assert actual == Bulletin(
        kind="alert",
        title="Fictional title",
        summary="Fictional summary",
        case_ref="KH-SIM-2026-0417",
        severity="severe",
        grading=Grading("B", "2"),
        handling=("H2", "H3"),
        handling_note="Screen victims first.\nThen act.",
        caveats=("non-punishment", "no-refoulement"),
        pap="PAP:AMBER",
        event=Event("2026-11-20T01:00:00.5Z", position="4.80000,119.60000"),
        languages=("en", "zh-Hant-TW"),
        indicators=(
            Indicator(
                "phone",
                "+6670426579",
                "broker",
                first_seen="2026-11-01T00:00:00Z",
                last_seen="2026-11-01T00:00:00.000Z",
                note="seen twice",
            ),
            Indicator(
                "person",
                "FICTIONAL<<ARJUNA|1988-04-01|UTO",
                "subject",
                name="The fictional one",
                asset="USDT",
                person_role="facilitator",
            ),
        ),
        communities=("mekong", "*"),
        references=("https://example.org/report",),
        topics=("cyber.scam",),
        named_recipients=("my-ct/duty-officer",),
        valid_from="2026-11-20T03:00:00Z",
        stix={"objects": ({"type": "location", "id": "location--1", "latitude": 4.8, "labels": ["a"]},)},
        reissue_of=LINE_ID,
        fictional=True,
    )


def test_a_purpose_is_kept_as_a_value() -> None:
    """Code and statement stand apart."""
    assert checked("rfi").purpose == Purpose("investigation", "Identify the organiser.")


@pytest.mark.parametrize(
    ("thing", "path"),
    [
        ({"name": "a\u202eb"}, "stix.objects[0].name"),
        ({"labels": ["ok", "a\x1bb"]}, "stix.objects[0].labels[1]"),
        ({"a\u2066b": 1}, "stix.objects[0]"),
    ],
)
def test_stix_texts_hide_nothing(thing: dict[str, Any], path: str) -> None:
    """Names and texts within STIX objects are held to the same rule."""
    assert refused(stix={"objects": [{"type": "a", "id": "b"} | thing]}).member == path


def test_an_indicator_that_is_not_canonical_is_refused_with_its_spelling() -> None:
    """Matching compares values, so signed payloads hold one spelling."""
    actual = refused(indicators=[PHONE, PHONE | {"value": "+66 7042 6579"}])

    assert ("indicators[1].value", True) == (actual.member, "'+6670426579'" in actual.detail)


def test_an_indicator_that_is_wrong_is_refused_with_its_fault() -> None:
    """The reader of the type says what is wrong."""
    actual = refused(indicators=[{"type": "imei", "value": "490154203237517", "role": "handset"}])

    assert ("indicators[0].value", True) == (actual.member, "'8' follows" in actual.detail)


def test_a_person_has_a_role() -> None:
    """Nobody is named without saying whether as suspect, victim or witness."""
    assert refused(indicators=[PERSON]).member == "indicators[0].person_role"


def test_an_indicator_is_not_last_seen_before_it_was_first_seen() -> None:
    """Times are compared as moments, not as texts."""
    times = {"first_seen": "2026-11-01T00:00:00.2Z", "last_seen": "2026-11-01T00:00:00Z"}

    assert refused(indicators=[PHONE | times]).member == "indicators[0].last_seen"


@pytest.mark.parametrize("member", ["first_seen", "last_seen"])
def test_an_indicator_may_have_one_time_only(member: str) -> None:
    """Often only one end is known."""
    found = checked(indicators=[PHONE | {member: "2026-11-01T00:00:00Z"}])

    assert getattr(found.indicators[0], member) == "2026-11-01T00:00:00Z"


def test_an_event_has_a_place_or_a_position() -> None:
    """Both could contradict each other."""
    assert refused(event=EVENT | {"position": "4.80000,119.60000"}).member == "event.place"


def test_an_event_position_is_canonical() -> None:
    """The position of an event has the spelling of an indicator."""
    assert refused(event={"time": EVENT["time"], "position": "4.8,119.6"}).member == "event.position"


def test_an_unknown_kind_is_refused() -> None:
    """Nothing is known about what such a payload may hold."""
    with pytest.raises(MalformedPayload) as caught:
        bulletin.check(LEAST, kind="gossip")

    assert caught.value.member == "kind"


@pytest.mark.parametrize(
    "data",
    [b"[]", b"\xff", b"{", b'{"title":"a","title":"b"}', b'{"title":NaN}', b'{"title":' + b"[" * 20 + b"]" * 20 + b"}"],
)
def test_bytes_that_are_no_strict_object_are_refused(data: bytes) -> None:
    """Every parser must read the same from the same bytes."""
    with pytest.raises(MalformedPayload, match="not one strict JSON object"):
        bulletin.parse(data, kind="alert")


def test_a_payload_that_is_no_object_is_refused() -> None:
    """Members come in an object."""
    with pytest.raises(MalformedPayload, match="The payload is an object"):
        bulletin.check([LEAST], kind="alert")  # type: ignore[arg-type]


def test_encoding_is_canonical_and_reads_back() -> None:
    """Sorted members, no blanks, UTF-8: one payload, one spelling."""
    data = bulletin.encode({"title": "Tiêu đề", "summary": "b"}, kind="alert")

    assert data == '{"summary":"b","title":"Tiêu đề"}'.encode()
    assert bulletin.parse(data, kind="alert") == Bulletin("alert", "Tiêu đề", "b")


@pytest.mark.parametrize(
    "thing",
    [float("nan"), {1, 2}, "\ud800", 2**53, [[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]],
    ids=["nan", "set", "surrogate", "integer", "deep"],
)
def test_what_the_hub_would_refuse_is_not_encoded(thing: object) -> None:
    """What can be signed can be read."""
    with pytest.raises(MalformedPayload):
        bulletin.encode({**LEAST, "stix": {"objects": [{"type": "a", "id": "b", "c": thing}]}}, kind="alert")


def test_nesting_beyond_all_measure_is_refused_when_encoding() -> None:
    """A hostile draft does not bring the client down."""
    thing: list[Any] = []
    for _ in range(100_000):
        thing = [thing]

    with pytest.raises(MalformedPayload, match="cannot be written as JSON"):
        bulletin.encode({**LEAST, "stix": thing}, kind="alert")


def test_encoding_checks_the_members() -> None:
    """A client hears of a fault before the hub does."""
    with pytest.raises(MalformedPayload) as caught:
        bulletin.encode({"title": "a"}, kind="alert")

    assert caught.value.member == "summary"


def test_preparing_makes_values_canonical_and_changes_nothing_else() -> None:
    """People write as they like; what is signed has one spelling."""
    members = {
        **LEAST,
        "event": {"time": EVENT["time"], "position": "4.8, 119.6"},
        "indicators": [PHONE | {"value": "+66 7042 6579", "name": " As Written "}],
    }
    expected = {
        **LEAST,
        "event": {"time": EVENT["time"], "position": "4.80000,119.60000"},
        "indicators": [PHONE | {"name": " As Written "}],
    }

    actual = bulletin.prepare(members, kind="alert")

    assert expected == actual


def test_preparing_leaves_its_argument_alone() -> None:
    """The draft stays as it was written."""
    members = {**LEAST, "indicators": [PHONE | {"value": "+66 7042 6579"}]}

    bulletin.prepare(members, kind="alert")

    assert members["indicators"] == [PHONE | {"value": "+66 7042 6579"}]


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"indicators": [PHONE | {"value": "66 7042 6579"}]}, "indicators[0].value"),
        ({"indicators": [PHONE | {"type": "telepathy"}]}, "indicators[0].type"),
        ({"indicators": [PHONE | {"value": 1}]}, "indicators[0].value"),
        ({"indicators": [PHONE | {"type": 1}]}, "indicators[0].type"),
        ({"indicators": [1]}, "indicators[0]"),
        ({"indicators": 1}, "indicators"),
        ({"event": {"time": EVENT["time"], "position": "north"}}, "event.position"),
        ({"event": {"time": EVENT["time"], "position": 1}}, "event.position"),
        ({"event": 1}, "event"),
        ({"colour": 1}, "colour"),
    ],
)
def test_preparing_refuses_what_checking_refuses(members: dict[str, Any], path: str) -> None:
    """A fault is named before anything is signed."""
    with pytest.raises(MalformedPayload) as caught:
        bulletin.prepare({**LEAST, **members}, kind="alert")

    assert path == caught.value.member


@pytest.mark.parametrize(
    ("kind", "members", "expected"),
    [("recall", {"indicators": [PHONE]}, True), ("recall", {}, False), ("alert", {"indicators": [PHONE]}, False)],
)
def test_a_recall_with_indicators_is_partial(kind: str, members: dict[str, Any], expected: bool) -> None:  # noqa: FBT001
    """Only a recall that names indicators leaves the rest standing."""
    actual = bulletin.is_partial_recall(checked(kind, **members))

    assert expected == actual
