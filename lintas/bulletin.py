"""The payload of a bulletin: which members it may have, what each holds, what its kind demands.

Promises: a `Bulletin` that exists is well formed, its indicators are canonical, its free text shows what was signed.
Not here: who may read it (``lintas.header``, ``broker.policy``) and how a draft becomes one (``lintas.draft``).

Every bulletin has `title` and `summary`. By kind:

========================  ==========================================================================
locate                    needs `case_ref` (the national warrant)
asset, lookout, sighting  need `indicators`: what to trace, to look out for, what was seen
incident                  needs `event`; may have `recaap_category`
rfi                       needs `questions`, `purpose`, `case_ref`; may have `answer_due`
consent-request           needs `permission`, `purpose`, `case_ref`; `pass_to` names whom it would go to
answer, consent-answer    need `result`; a refusal also needs `reason`, one of the refusal grounds
consent-answer            also needs `requester`, who asked
feedback                  needs `result`, what the bulletin was worth; `counts` says what was done on it
recall                    needs `reason`; with `indicators` it withdraws only these
========================  ==========================================================================

Spec: docs/spec/bulletin.md; RFC 3339; FIRST TLP 2.0 and PAP; Admiralty grading; ICAO 9303, UN/LOCODE for values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from lintas import exchange, indicators, shape, vocabulary
from lintas.errors import MalformedPayload
from lintas.header import ID_PATTERN, RECIPIENTS_MAX
from lintas.shape import Reader, list_of, matching, members_of, one_of, refusal, set_of, text
from lintas.strict import canonical, parse_object

TITLE_CHARACTERS_MAX = 120
"""A title fits a line of a feed and the subject of a mail."""

SUMMARY_CHARACTERS_MAX = 16_000
NOTE_CHARACTERS_MAX = 2_000
PHRASE_CHARACTERS_MAX = 200
"""A place, a role, a name, a reference: one line."""

CASE_REF_CHARACTERS_MAX = 64
INDICATORS_MAX = 1_000
"""A thousand indicators of ordinary length fill most of a line of 256 KiB."""

QUESTIONS_MAX = 20
REFERENCES_MAX = 50
TOPICS_MAX = 8
COMMUNITIES_MAX = 32
LANGUAGES_MAX = 16
STIX_OBJECTS_MAX = 1_000

LANGUAGE_PATTERN = r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3}"
POST_PATTERN = rf"{vocabulary.AGENCY_PATTERN.strip('^$')}/[a-z0-9][a-z0-9._-]{{0,63}}"


class Indicator(NamedTuple):
    """One observable: `value` in its canonical form, `role` what it is in this case, times as RFC 3339 texts."""

    type: str
    value: str
    role: str
    first_seen: str | None = None
    last_seen: str | None = None
    name: str | None = None
    asset: str | None = None
    note: str | None = None
    person_role: str | None = None


@dataclass(frozen=True, slots=True)
class Grading:
    """Admiralty grading: reliability of the source A-F, credibility of the information 1-6."""

    source: str
    information: str


@dataclass(frozen=True, slots=True)
class Event:
    """When it happened (a time, or a day where no more is known) and where: a place in words or a position."""

    time: str
    place: str | None = None
    position: str | None = None


@dataclass(frozen=True, slots=True)
class Purpose:
    """Why a request is made."""

    code: str
    statement: str
    legal_basis: str | None = None


class Bulletin(NamedTuple):
    """A checked payload of this kind. Members that were not given are None or empty."""

    kind: str
    title: str
    summary: str
    case_ref: str | None = None
    severity: str | None = None
    grading: Grading | None = None
    handling: tuple[str, ...] = ()
    handling_note: str | None = None
    caveats: tuple[str, ...] = ()
    pap: str | None = None
    event: Event | None = None
    languages: tuple[str, ...] = ()
    indicators: tuple[Indicator, ...] = ()
    communities: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()
    answer_due: str | None = None
    purpose: Purpose | None = None
    result: str | None = None
    reason: str | None = None
    permission: str | None = None
    pass_to: tuple[str, ...] = ()
    requester: str | None = None
    counts: Mapping[str, int] | None = None
    recaap_category: str | None = None
    named_recipients: tuple[str, ...] = ()
    valid_from: str | None = None
    stix: Mapping[str, Any] | None = None
    marking_reason: str | None = None
    reissue_of: str | None = None
    fictional: bool = False


def parse(data: bytes, *, kind: str) -> Bulletin:
    """Read the payload bytes of a line of this kind; raise MalformedPayload naming the member at fault."""
    try:
        members = parse_object(data, floats=True)
    except ValueError as fault:
        raise MalformedPayload(f"The payload is not one strict JSON object: {str(fault)[:200]}.") from fault
    return check(members, kind=kind)


def check(members: Mapping[str, Any], *, kind: str) -> Bulletin:
    """Check members as `parse` does. Fractions occur only within `stix`, since no other member takes one."""
    if kind not in vocabulary.load().kinds:
        raise MalformedPayload(f"{kind[:40]!r} is no kind of bulletin.", member="kind")
    values = _payload_reader(kind)(members, "")
    _check_handling(values)
    exchange.check_payload(kind, values)
    if kind in _NEEDS_INDICATORS and not values["indicators"]:
        raise MalformedPayload(f"A bulletin of kind {kind} names at least one indicator.", member="indicators")
    return Bulletin(kind=kind, **values)


def encode(members: Mapping[str, Any], *, kind: str) -> bytes:
    """Return the payload bytes to sign; raise MalformedPayload for whatever the hub would refuse."""
    try:
        data = canonical(members)
    except (ValueError, TypeError, RecursionError) as fault:
        raise MalformedPayload(f"The payload cannot be written as JSON: {str(fault)[:200]}.") from fault
    # Reading it back is the only check that cannot differ from the hub's.
    parse(data, kind=kind)
    return data


def prepare(members: Mapping[str, Any], *, kind: str) -> dict[str, Any]:
    """Return members ready to sign: indicator values and the event's position made canonical, nothing else changed."""
    prepared = dict(members)
    listed = members.get("indicators")
    if isinstance(listed, list | tuple):
        prepared["indicators"] = [_prepared(each, f"indicators[{number}]") for number, each in enumerate(listed)]
    event = members.get("event")
    if isinstance(event, Mapping) and isinstance(event.get("position"), str):
        prepared["event"] = {**event, "position": _normalised("position", event["position"], "event.position")}
    check(prepared, kind=kind)
    return prepared


def is_partial_recall(bulletin: Bulletin) -> bool:
    """Tell whether this is a recall that withdraws only the indicators it names."""
    return bulletin.kind == "recall" and bool(bulletin.indicators)


def has_person_data(bulletin: Bulletin) -> bool:
    """Tell whether any of its indicators is of a type that the vocabulary calls personal."""
    types = vocabulary.load().indicator_types
    return any(types[each.type].is_personal for each in bulletin.indicators)


def _prepared(indicator: object, path: str) -> object:
    if not isinstance(indicator, Mapping):
        return indicator
    kind, value = indicator.get("type"), indicator.get("value")
    if not isinstance(kind, str) or not isinstance(value, str):
        return dict(indicator)
    return {**indicator, "value": _normalised(kind, value, f"{path}.value")}


def _normalised(kind: str, value: str, path: str) -> str:
    try:
        return indicators.normalise(kind, value)
    except MalformedPayload as fault:
        if fault.member == "type":
            path = path.removesuffix("value") + "type"
        raise refusal(fault.detail, path) from fault


def _check_canonical(kind: str, value: str, path: str) -> None:
    wanted = _normalised(kind, value, path)
    if value != wanted:
        raise refusal(f"`{path}` is not canonical; write {wanted!r}.", path)


def _check_handling(values: Mapping[str, Any]) -> None:
    if "H3" in values.get("handling", ()) and "handling_note" not in values:
        raise MalformedPayload(
            "Handling code H3 needs a `handling_note` that says what it means.", member="handling_note"
        )


def _indicator(value: object, path: str) -> Indicator:
    found = Indicator(**_indicator_reader()(value, path))
    _check_canonical(found.type, found.value, f"{path}.value")
    if found.type == "person" and found.person_role is None:
        raise refusal("A person is named only with a `person_role`.", f"{path}.person_role")
    first, last = found.first_seen, found.last_seen
    if first is not None and last is not None and shape.instant(first) > shape.instant(last):
        raise refusal("`last_seen` lies before `first_seen`.", f"{path}.last_seen")
    return found


def _grading(value: object, path: str) -> Grading:
    return Grading(**_grading_reader()(value, path))


@cache
def _grading_reader() -> Reader:
    readers = {"source": one_of(vocabulary.load().sources), "information": one_of(vocabulary.load().credibilities)}
    return members_of(readers, required=readers, what="The grading")


def _event(value: object, path: str) -> Event:
    found = Event(**_event_reader()(value, path))
    if found.position is not None:
        _check_canonical("position", found.position, f"{path}.position")
        if found.place is not None:
            raise refusal("An event has a place or a position, not both.", f"{path}.place")
    return found


@cache
def _event_reader() -> Reader:
    phrase = text(PHRASE_CHARACTERS_MAX)
    readers = {"time": shape.day_or_time, "place": phrase, "position": phrase}
    return members_of(readers, required=("time",), what="The event")


def _purpose(value: object, path: str) -> Purpose:
    readers = {
        "code": one_of(vocabulary.load().purposes),
        "statement": text(NOTE_CHARACTERS_MAX, lines=True),
        "legal_basis": text(PHRASE_CHARACTERS_MAX),
    }
    return Purpose(**members_of(readers, required=("code", "statement"), what="The purpose")(value, path))


def _stix(value: object, path: str) -> Mapping[str, Any]:
    readers = {"objects": list_of(_stix_object, STIX_OBJECTS_MAX)}
    members: Mapping[str, Any] = members_of(readers, required=readers, what="`stix`")(value, path)
    return members


def _stix_object(value: object, path: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise refusal(f"`{path}` is a STIX object.", path)
    for name in ("type", "id"):
        if not isinstance(value.get(name), str):
            raise refusal(f"A STIX object has a `{name}`.", f"{path}.{name}")
    _refuse_hidden_within(value, path)
    return value


def _refuse_hidden_within(value: object, path: str) -> None:
    if isinstance(value, str):
        shape.refuse_hidden(value, path)
    elif isinstance(value, Mapping):
        for name, each in value.items():
            shape.refuse_hidden(name, path)
            _refuse_hidden_within(each, f"{path}.{name}")
    elif isinstance(value, list | tuple):
        for number, each in enumerate(value):
            _refuse_hidden_within(each, f"{path}[{number}]")


@cache
def _indicator_reader() -> Reader:
    phrase, known = text(PHRASE_CHARACTERS_MAX), vocabulary.load()
    readers = {
        "type": one_of(known.indicator_types),
        "value": text(indicators.VALUE_CHARACTERS_MAX),
        "role": phrase,
        "first_seen": shape.time,
        "last_seen": shape.time,
        "name": phrase,
        "asset": phrase,
        "note": phrase,
        "person_role": one_of(known.person_roles),
    }
    return members_of(readers, required=("type", "value", "role"), what="An indicator")


@cache
def _payload_reader(kind: str) -> Reader:
    mandatory = _MANDATORY.get(kind, ())
    optional = _OPTIONAL.get(kind, ())
    readers = _common_readers() | {name: _reader_of(kind, name) for name in (*mandatory, *optional)}
    return members_of(readers, required=("title", "summary", *mandatory), what=f"A bulletin of kind {kind}")


def _common_readers() -> dict[str, Reader]:
    known, phrase = vocabulary.load(), text(PHRASE_CHARACTERS_MAX)
    return {
        "title": text(TITLE_CHARACTERS_MAX),
        "summary": text(SUMMARY_CHARACTERS_MAX, lines=True),
        "case_ref": text(CASE_REF_CHARACTERS_MAX),
        "severity": one_of(known.severities),
        "grading": _grading,
        "handling": set_of(one_of(known.handling_codes), len(known.handling_codes)),
        "handling_note": text(NOTE_CHARACTERS_MAX, lines=True),
        "caveats": set_of(one_of(known.caveats), len(known.caveats)),
        "pap": one_of(known.paps),
        "event": _event,
        "languages": set_of(matching(LANGUAGE_PATTERN, "a language tag such as km"), LANGUAGES_MAX),
        "indicators": list_of(_indicator, INDICATORS_MAX),
        "communities": set_of(
            matching(rf"\*|{vocabulary.COMMUNITY_PATTERN.strip('^$')}", "the name of a community"), COMMUNITIES_MAX
        ),
        "references": list_of(phrase, REFERENCES_MAX),
        "topics": set_of(one_of(known.topics), TOPICS_MAX),
        "named_recipients": set_of(matching(POST_PATTERN, "an agency and a post: my-ct/duty-officer"), RECIPIENTS_MAX),
        "valid_from": shape.time,
        "stix": _stix,
        "marking_reason": text(NOTE_CHARACTERS_MAX, lines=True),
        "reissue_of": matching(ID_PATTERN, "the id of a line"),
        "fictional": shape.flag,
    }


def _reader_of(kind: str, name: str) -> Reader:
    """Return the reader of a member that means something in certain kinds only, or more there than elsewhere."""
    known = vocabulary.load()
    results = {"answer": known.answer_results, "consent-answer": known.consent_results, "feedback": known.feedback}
    readers: Mapping[str, Reader] = {
        "questions": _questions,
        "answer_due": shape.time,
        "purpose": _purpose,
        "result": one_of(results.get(kind, frozenset())),
        "reason": one_of(known.recall_reasons if kind == "recall" else known.refusal_grounds),
        "permission": one_of(known.consent_permissions),
        "pass_to": set_of(text(PHRASE_CHARACTERS_MAX), exchange.PASS_TO_MAX),
        "requester": matching(vocabulary.AGENCY_PATTERN, "an agency"),
        "counts": shape.counts_of(exchange.ACTIONS, exchange.ACTIONS_MAX),
        "recaap_category": one_of(known.recaap_categories),
    }
    return readers[name] if name in readers else _common_readers()[name]


def _questions(value: object, path: str) -> tuple[str, ...]:
    questions: tuple[str, ...] = list_of(text(NOTE_CHARACTERS_MAX, lines=True), QUESTIONS_MAX)(value, path)
    if not questions:
        raise refusal("A request asks at least one question.", path)
    return questions


_NEEDS_INDICATORS = frozenset({"asset", "lookout", "sighting"})
_MANDATORY: Mapping[str, tuple[str, ...]] = {
    "locate": ("case_ref",),
    "asset": ("indicators",),
    "lookout": ("indicators",),
    "sighting": ("indicators",),
    "incident": ("event",),
    "rfi": ("questions", "purpose", "case_ref"),
    "consent-request": ("permission", "purpose", "case_ref"),
    "answer": ("result",),
    "consent-answer": ("result", "requester"),
    "feedback": ("result",),
    "recall": ("reason",),
}
_OPTIONAL: Mapping[str, tuple[str, ...]] = {
    "incident": ("recaap_category",),
    "rfi": ("answer_due",),
    "consent-request": ("questions", "pass_to", "answer_due"),
    "answer": ("reason",),
    "consent-answer": ("reason", "permission", "pass_to"),
    "feedback": ("counts",),
}
