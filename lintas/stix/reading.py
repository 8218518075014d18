"""A STIX bundle of others as drafts of bulletins.

Each report gives a draft with what it refers to; what no report refers to gives one more. A report that we exported
gives back the bulletin it was made of. Only values that equal something become indicators (``lintas.stix.pattern``).
Spec: docs/howto/import.md, docs/spec/stix.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from lintas.errors import BadRequest
from lintas.imported import Carrier, Choices, Import, checked, draft_all, narrowed, narrowest, references
from lintas.stix.fixed import BULLETIN_EXTENSION, LINTAS_ID, MARKINGS
from lintas.stix.observables import Reading, read_object
from lintas.stix.pattern import Described, Unreadable, read_pattern
from lintas.strict import Json
from lintas.vocabulary import TLP

OBJECTS_MAX = 50_000
"""Objects of a bundle: the largest knowledge base we know has half of them."""

REPORTS_MAX = 1_000
"""Reports of a bundle: each makes a draft that somebody shall read."""

NAMED = ("campaign", "malware", "intrusion-set", "threat-actor", "tool", "attack-pattern", "grouping", "incident")
"""Types that give a bundle without a report its name, the best first."""

ALIASES: Mapping[str, str] = {
    "email-message:from_ref.value": "email-addr",
    "email-message:sender_ref.value": "email-addr",
    "network-traffic:dst_ref.value": "domain-name",
    "network-traffic:src_ref.value": "domain-name",
}
"""Properties of others that are the value of an object."""

SILENT = frozenset({"extension-definition", "language-content"})
"""Objects that say nothing about the world."""


def read_bundle(members: Json, choices: Choices) -> Import:
    """Return drafts of a STIX 2.0 or 2.1 bundle; raise BadRequest for what is none or what nobody said."""
    carrier = Carrier()
    live = tuple(_live(_objects(members), carrier))
    reports = [each for each in live if each["type"] == "report"]
    if len(reports) > REPORTS_MAX:
        raise BadRequest(f"The bundle has {len(reports)} reports; {REPORTS_MAX} is the limit. Split it.")
    drafts: list[Json] = []
    for report, listed in _groups(live, reports):
        if report is not None and _extension(report) is not None:
            drafts.append(_draft_of_ours(report, choices, carrier))
        elif report is not None or listed:
            drafts += _draft_of(report, listed, choices, carrier)
    return Import(tuple(drafts), tuple(carrier.omitted))


def _groups(live: Sequence[Json], reports: Sequence[Json]) -> Iterator[tuple[Json | None, list[Json]]]:
    """Yield each report with the objects that it is the first to refer to, then those of no report."""
    first: dict[str, int] = {}
    for number, report in enumerate(reports):
        for ref in _refs(report):
            first.setdefault(ref, number)
    is_ours = any(_extension(each) is not None for each in reports)
    groups: list[list[Json]] = [[] for _ in range(len(reports) + 1)]
    for each in live:
        # Who published our definitions comes along with every export of ours.
        if each["type"] != "report" and not (is_ours and each["id"] == LINTAS_ID):
            groups[first.get(each["id"], len(reports))].append(each)
    yield from zip([*reports, None], groups, strict=True)


def _objects(members: Json) -> list[Json]:
    listed = members.get("objects")
    if members.get("type") != "bundle" or not isinstance(listed, list):
        raise BadRequest("This is no STIX bundle: it has no list of `objects`.", member="objects")
    if len(listed) > OBJECTS_MAX:
        raise BadRequest(f"The bundle has {len(listed)} objects; {OBJECTS_MAX} is the limit. Split it.")
    for number, each in enumerate(listed):
        sound = isinstance(each, dict) and all(isinstance(each.get(name), str) for name in ("type", "id"))
        if not sound:
            raise BadRequest("A STIX object has a `type` and an `id`.", member=f"objects[{number}]")
    return listed


def _live(bundle: Sequence[Json], carrier: Carrier) -> Iterator[Json]:
    """Yield the newest version of each object that stands."""
    newest: dict[str, Json] = {}
    for each in bundle:
        known = newest.get(each["id"])
        if known is None or str(each.get("modified", "")) >= str(known.get("modified", "")):
            newest[each["id"]] = each
    for each in newest.values():
        if each.get("revoked") is True:
            carrier.leave(each["id"], "It was revoked.")
        elif each["type"] not in SILENT:
            yield each


def _extension(report: Json) -> Json | None:
    extensions = report.get("extensions")
    ours = extensions.get(BULLETIN_EXTENSION) if isinstance(extensions, dict) else None
    return ours if isinstance(ours, dict) and isinstance(ours.get("payload"), dict) else None


def _refs(report: Json) -> frozenset[str]:
    named = [report.get("object_refs"), report.get("object_marking_refs"), [report.get("created_by_ref")]]
    return frozenset(ref for refs in named if isinstance(refs, list) for ref in refs if isinstance(ref, str))


def _draft_of_ours(report: Json, choices: Choices, carrier: Carrier) -> Json:
    said = _extension(report)
    assert said is not None
    names = ("kind", "topic", "urgency", "release_to", "refs", "valid_until")
    members = {name: said[name] for name in names if name in said}
    told = [said["tlp"]] if said.get("tlp") in TLP else []
    members["tlp"] = narrowed(narrowest([*told, *_tlp([report], carrier)]), choices.tlp)
    if choices.release_to:
        members["release_to"] = list(choices.release_to)
    return checked(members | {"payload": said["payload"]})


def _draft_of(report: Json | None, listed: Sequence[Json], choices: Choices, carrier: Carrier) -> Iterator[Json]:
    tlp = narrowest(_tlp([*listed, *([report] if report else [])], carrier))
    for each in listed:
        _carry(each, carrier)
    if report is None and not carrier.found:
        return
    source = report or _named(listed)
    told = references(_external(report), carrier) if report else []
    summary = source.get("description") if report else None
    yield from draft_all(
        carrier,
        choices,
        title=str(source.get("name") or "Indicators from a STIX bundle"),
        summary=summary if isinstance(summary, str) and summary.strip() else _summary(source, len(listed)),
        tlp=tlp,
        **({"references": told} if told else {}),
    )


def _named(listed: Sequence[Json]) -> Json:
    by_type = {each["type"]: each for each in reversed(listed) if isinstance(each.get("name"), str)}
    return next((by_type[name] for name in NAMED if name in by_type), {})


def _summary(source: Json, count: int) -> str:
    about = f" about {source['type']} {source['name']}" if "name" in source and "type" in source else ""
    return f"Imported from {count} STIX objects{about}."


def _external(report: Json) -> Iterator[str]:
    listed = report.get("external_references")
    for each in listed if isinstance(listed, list) else ():
        if isinstance(each, dict):
            told = [each.get(name) for name in ("source_name", "external_id", "url", "description")]
            yield " ".join(text for text in told if isinstance(text, str))


def _tlp(listed: Iterable[Json], carrier: Carrier) -> Iterator[str]:
    for ref in dict.fromkeys(ref for each in listed for ref in _markings(each)):
        if ref in MARKINGS:
            yield MARKINGS[ref]
        else:
            carrier.leave(ref, "This marking is no TLP: read it, and mark the draft accordingly.")


def _markings(each: Json) -> Iterator[str]:
    refs, granular = each.get("object_marking_refs"), each.get("granular_markings")
    yield from (str(ref) for ref in (refs if isinstance(refs, list) else ()))
    for one in granular if isinstance(granular, list) else ():
        # What marks a part of an object marks the draft: parts are not told apart here.
        if isinstance(one, dict) and "marking_ref" in one:
            yield str(one["marking_ref"])


def _carry(each: Json, carrier: Carrier) -> None:
    if each["type"] == "indicator":
        _carry_indicator(each, carrier)
        return
    if each["type"] == "marking-definition":
        # A TLP was carried over by whoever refers to it; any other is named there.
        return
    found = read_object(each)
    if found is None:
        carrier.leave(each["id"], f"{each['type'][:60]} has no place in a bulletin; put it into the summary.")
    elif not found.values:
        carrier.leave(each["id"], f"This {each['type'][:60]} has no value of a kind we know.")
    else:
        _take(each["id"], found, carrier, role="observable")


def _carry_indicator(each: Json, carrier: Carrier) -> None:
    pattern = each.get("pattern")
    if not isinstance(pattern, str) or each.get("pattern_type", "stix") != "stix":
        carrier.leave(each["id"], "Its pattern is not of STIX.")
        return
    try:
        described = read_pattern(pattern)
        readings = [_reading(one) for one in described]
    except Unreadable as fault:
        carrier.leave(each["id"], f"Its pattern is no list of values: {fault}.")
        return
    for found in readings:
        _take(each["id"], found, carrier, role=_role(each), note=_text(each, "name"))


def _reading(one: Described) -> Reading:
    members: dict[str, Any] = {"type": one.type}
    for path, literal in one.values.items():
        alias = ALIASES.get(f"{one.type}:{path}")
        if alias is not None and len(one.values) == 1:
            members = {"type": alias, "value": literal}
        elif path.startswith("hashes."):
            members.setdefault("hashes", {})[path.removeprefix("hashes.").strip("'")] = literal
        else:
            members[path] = literal
    found = read_object(members)
    left = [name for name in members if name != "type" and (found is None or name not in found.used)]
    if found is None or left or not found.values:
        raise Unreadable(f"we have no type for {one.type}:{left[0] if left else 'this'}"[:120])
    return found


def _take(where: str, found: Reading, carrier: Carrier, **said: str | None) -> None:
    for types, raw in found.values:
        carrier.take(where, types, raw, **said)


def _role(each: Json) -> str | None:
    for name in ("indicator_types", "labels"):
        words = each.get(name)
        if isinstance(words, list) and words:
            return ", ".join(str(word) for word in words)
    return None


def _text(each: Json, name: str) -> str | None:
    value = each.get(name)
    return value if isinstance(value, str) else None
