"""A bulletin as STIX 2.1 objects.

Promises: the same bulletin with the same facts gives the same objects; nothing that was withdrawn is in them; no array
is empty. What STIX has no property for stands in one property-extension and, readable, in the description.
Not here: who may read it. Sealed content has no `Bulletin`; whoever opened it may export it for its own tools.
Spec: docs/spec/stix.md; STIX 2.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from typing import Any

from lintas import shape
from lintas.bulletin import Bulletin, Indicator, parse
from lintas.errors import BadRequest, MalformedPayload
from lintas.event import US_PER_S
from lintas.header import Header
from lintas.indicators import normalise
from lintas.line import Line
from lintas.stix import fixed
from lintas.stix.fixed import BULLETIN_EXTENSION, NEW_SCO, Object
from lintas.stix.ids import agency_id, report_id, stable_id, stamp
from lintas.stix.observables import Shape, pattern_of, shape_of, write_observable
from lintas.stix.words import describe, describe_recall, without
from lintas.strict import unb64u

RECALL = "recall"
CONFIDENCE: Mapping[str, int] = {"1": 90, "2": 70, "3": 50, "4": 30, "5": 10}
"""STIX 2.1 appendix A for the credibility of information. 6 means that nobody can judge: no number says that."""

SUSPECTING_KINDS = frozenset({"alert", "advisory", "lookout", "asset", "incident", "sighting"})
"""Kinds whose addresses and files a sensor should look for; a question about an address accuses nobody."""

PROTECTED_ROLES = frozenset({"victim", "witness", "missing"})
WITHDRAWN = "Withdrawn"
WITHDRAWN_PATTERN = "[x-lintas-withdrawn:value = 'withdrawn']"
"""An indicator must have a pattern, also one that was revoked: what was withdrawn is not spread once more."""

Value = tuple[str, str]
"""Type and canonical value of an indicator."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The bulletin that a chain of supersessions began with, and when it was accepted (Unix microseconds)."""

    id: str
    time_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A clear bulletin and what the log says of it; times are Unix microseconds.

    `time_us`: when it was accepted. `changed_us`: when the last partial recall was. `origins`: the first bulletin of a
    chain, for this line or those it recalls, where that is another. `withdrawn`: indicators not to be exported
    any more, of this bulletin or of those it replaces. `url`: where the line is to be had.
    """

    id: str
    header: Header
    content: Bulletin
    time_us: int
    changed_us: int | None = None
    origins: Mapping[str, Origin] = field(default_factory=dict)
    withdrawn: frozenset[Value] = frozenset()
    url: str | None = None

    @property
    def origin(self) -> Origin:
        """The bulletin whose objects this one gives a newer version of."""
        return self.origins.get(self.id, Origin(self.id, self.time_us))

    @property
    def tlp(self) -> str:
        """The marking."""
        assert self.header.tlp is not None
        return self.header.tlp

    @property
    def indicators(self) -> tuple[Indicator, ...]:
        """The indicators that still stand."""
        return tuple(each for each in self.content.indicators if (each.type, each.value) not in self.withdrawn)


def clear_export(line: Line, time_us: int) -> Export:
    """Return the export of a clear line that was accepted at this time; raise BadRequest for a sealed one.

    What else the log says of it is put on top with `dataclasses.replace`.
    """
    if line.header.enc is not None:
        raise BadRequest("Sealed content leaves no hub in the clear. A recipient opens it and exports it at home.")
    content = parse(line.payload, kind=str(line.header.kind))
    return Export(id=line.id, header=line.header, content=content, time_us=time_us)


def objects(export: Export) -> tuple[Object, ...]:
    """Return every object of a bulletin, those it depends on first; a recall gives a note on what it recalls."""
    export = redacted(export)
    if export.header.kind == RECALL:
        return (*_foundations(export, ()), _note(export))
    at = stamp(export.changed_us or export.time_us)
    shapes = {(each.type, each.value): shape_of(each.type, each.value) for each in export.indicators}
    about = [*_values(export, shapes, at), *_patterns(export, at), *_event(export, at)]
    report = _report(export, dict.fromkeys(each["id"] for each in about), at)
    gone = _revoked_values(export, sorted(export.withdrawn), at)
    found = (*_foundations(export, [shape.type for shape in shapes.values()]), *about, *gone, report)
    return tuple({each["id"]: each for each in found}.values())


def revoked(export: Export, at_us: int) -> tuple[Object, ...]:
    """Return what stands for a bulletin that was recalled or ended at this time: its versioned objects, revoked."""
    at = stamp(at_us)
    values = [(each.type, each.value) for each in export.content.indicators]
    report = {
        **_versioned("report", report_id(export.origin.id), export, at),
        "revoked": True,
        "name": WITHDRAWN,
        "published": stamp(export.time_us),
        "object_refs": [agency_id(export.header.iss)],
    }
    return (*_foundations(export, (), extended=False), *_revoked_values(export, dict.fromkeys(values), at), report)


def bundle(found: Iterable[Object]) -> Object:
    """Return objects as a bundle; of several with one id and version the last stays."""
    # Two versions of one object may travel together, two spellings of one version may not.
    once = {(each["id"], version_of(each)): each for each in found}
    names = (f"{name}@{version}" for name, version in once)
    return {"type": "bundle", "id": stable_id("bundle", *names), "objects": list(once.values())}


def version_of(written: Object) -> str | None:
    """Return the version of an object as TAXII means it: `modified`, else `created`, else None."""
    version: str | None = written.get("modified") or written.get("created")
    return version


def redacted(export: Export) -> Export:
    """Return an export whose title and summary do not repeat what was withdrawn, by others or by this recall."""
    content = export.content
    recalled = content.indicators if export.header.kind == RECALL else ()
    values = sorted({value for _, value in export.withdrawn} | {each.value for each in recalled})
    title, summary = (without(text, values) for text in (content.title, content.summary))
    return replace(export, content=content._replace(title=title, summary=summary))


def _foundations(export: Export, types: Iterable[str], *, extended: bool = True) -> Iterator[Object]:
    yield fixed.tlp_marking(export.tlp)
    yield fixed.agency_identity(export.header.iss)
    if extended:
        yield fixed.lintas_identity()
        yield fixed.bulletin_definition()
        yield from (fixed.sco_definition(each) for each in dict.fromkeys(types) if each in NEW_SCO)


def _values(export: Export, shapes: Mapping[Value, Shape], at: str) -> Iterator[Object]:
    for (kind, value), found in shapes.items():
        if found.is_versioned:
            yield {**_versioned(found.type, _value_id(export, found.type, kind, value), export, at)} | {
                **found.properties,
                "extensions": _says(kind, value),
            }
        else:
            yield {**write_observable(found), "object_marking_refs": [fixed.TLP_MARKINGS[export.tlp]]}


def _patterns(export: Export, at: str) -> Iterator[Object]:
    if export.header.kind not in SUSPECTING_KINDS:
        return
    for each in export.indicators:
        pattern = pattern_of(each.type, each.value)
        if pattern is not None and each.person_role not in PROTECTED_ROLES:
            yield {
                **_versioned("indicator", _value_id(export, "indicator", each.type, each.value), export, at),
                "name": f"{each.role}: {each.value}",
                "indicator_types": ["malicious-activity"],
                "pattern": pattern,
                "pattern_type": "stix",
                **_validity(export),
                "extensions": _says(each.type, each.value),
            }


def _validity(export: Export) -> Object:
    start_us = export.header.iat * US_PER_S
    end_us = (export.header.exp or 0) * US_PER_S
    if export.content.valid_from is not None:
        given_us = round(shape.instant(export.content.valid_from).timestamp() * US_PER_S)
        start_us = given_us if given_us < end_us else start_us
    return {"valid_from": stamp(start_us)} | ({"valid_until": stamp(end_us)} if start_us < end_us else {})


def _event(export: Export, at: str) -> Iterator[Object]:
    event = export.content.event
    if event is None:
        return
    found = _place(event.position, event.place)
    if found is not None:
        id = stable_id("location", export.origin.id, "event")  # noqa: A001 - the word of STIX
        yield {**_versioned("location", id, export, at), **found.properties}


def _place(position: str | None, place: str | None) -> Shape | None:
    if position is not None:
        return shape_of("position", position)
    try:
        # A place in words is no location of STIX; a UN/LOCODE names its country.
        return shape_of("port", normalise("port", place or ""))
    except MalformedPayload:
        return None


def _report(export: Export, refs: Iterable[str], at: str) -> Object:
    content = export.content
    information = content.grading.information if content.grading else None
    return {
        **_versioned("report", report_id(export.origin.id), export, at),
        "name": content.title,
        "description": describe(content, export.header, export.indicators),
        "report_types": ["threat-report"],
        "published": stamp(export.time_us),
        "object_refs": list(refs) or [agency_id(export.header.iss)],
        "labels": _labels(export),
        **({"confidence": CONFIDENCE[information]} if information is not None and information in CONFIDENCE else {}),
        **({"lang": content.languages[0]} if len(content.languages) == 1 else {}),
        "external_references": _references(export),
        "extensions": {BULLETIN_EXTENSION: _extension(export) | {"payload": payload_of(content, export.indicators)}},
    }


def _note(export: Export) -> Object:
    targets = export.header.targets("recalls")
    return {
        **_versioned("note", stable_id("note", export.id), export, stamp(export.time_us)),
        "created": stamp(export.time_us),
        "abstract": export.content.title,
        "content": describe_recall(export.content),
        "object_refs": [report_id(export.origins.get(each, Origin(each, 0)).id) for each in targets],
        "external_references": _references(export),
        # Not the payload: the values that a partial recall names are what nobody shall spread.
        "extensions": {BULLETIN_EXTENSION: _extension(export)},
    }


def _labels(export: Export) -> list[str]:
    header, content = export.header, export.content
    found = [f"kind:{header.kind}", f"urgency:{header.urgency}"]
    found += [f"topic:{each}" for each in dict.fromkeys([str(header.topic), *content.topics])]
    return [*found, *(["simulated"] if content.fictional else [])]


def _references(export: Export) -> list[Object]:
    line: Object = {
        "source_name": "lintas",
        "description": "The signed line. SHA-256 of all its bytes: see the hash.",
        "external_id": export.id,
        **({"url": export.url} if export.url else {}),
        "hashes": {"SHA-256": unb64u(export.id).hex()},
    }
    content = export.content
    case = [{"source_name": export.header.iss, "external_id": content.case_ref}] if content.case_ref else []
    return [line, *case, *({"source_name": "reference", "description": each} for each in content.references)]


def _extension(export: Export) -> Object:
    header = export.header
    said: Object = {
        "extension_type": "property-extension",
        "line": export.id,
        "issuer": header.iss,
        "kind": header.kind,
        "topic": header.topic,
        "tlp": header.tlp,
        "urgency": header.urgency,
        "release_to": list(header.release_to),
        "valid_until": f"{stamp((header.exp or 0) * US_PER_S)[:19]}Z",
    }
    return said | ({"refs": list(header.refs)} if header.refs else {})


def payload_of(content: Bulletin, indicators: Iterable[Indicator]) -> Object:
    """Return the members of a payload with these indicators; `stix` is left out, for nobody here has read it."""
    members = {**content._asdict(), "indicators": [each._asdict() for each in indicators]}
    kept = {name: value for name, value in members.items() if name not in {"kind", "stix"}}
    pruned: Object = _pruned(kept)
    return pruned


def _pruned(value: Any) -> Any:
    """Leave out what was not given, for STIX has neither null nor an empty list."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {name: _pruned(each) for name, each in value.items() if not _is_absent(each)}
    return [_pruned(each) for each in value] if isinstance(value, list | tuple) else value


def _is_absent(value: object) -> bool:
    # A count of 0 is something that was said; by equality it would be False.
    return value is None or value is False or value in ((), [], {})


def _revoked_values(export: Export, values: Iterable[Value], at: str) -> Iterator[Object]:
    for kind, value in values:
        found = shape_of(kind, value)
        if found.is_versioned:
            id = _value_id(export, found.type, kind, value)  # noqa: A001 - the word of STIX
            yield {**_versioned(found.type, id, export, at), "revoked": True, **_nameless(found)}
        elif pattern_of(kind, value) is not None:
            yield {
                **_versioned("indicator", _value_id(export, "indicator", kind, value), export, at),
                "revoked": True,
                "name": WITHDRAWN,
                "indicator_types": ["unknown"],
                "pattern": WITHDRAWN_PATTERN,
                "pattern_type": "stix",
                "valid_from": stamp(export.header.iat * US_PER_S),
            }


def _nameless(found: Shape) -> Object:
    if found.type == "location":
        return {"name": WITHDRAWN, "region": "withdrawn"}
    return {"name": WITHDRAWN, "identity_class": found.properties["identity_class"]}


def _versioned(type: str, id: str, export: Export, at: str) -> Object:  # noqa: A002 - the words of STIX
    return {
        "type": type,
        "spec_version": "2.1",
        "id": id,
        "created_by_ref": agency_id(export.header.iss),
        "created": stamp(export.origin.time_us),
        "modified": at,
        "object_marking_refs": [fixed.TLP_MARKINGS[export.tlp]],
    }


def _value_id(export: Export, type: str, kind: str, value: str) -> str:  # noqa: A002 - as above
    return stable_id(type, export.origin.id, kind, value)


def _says(kind: str, value: str) -> Object:
    return {BULLETIN_EXTENSION: {"extension_type": "property-extension", "indicator": {"type": kind, "value": value}}}
