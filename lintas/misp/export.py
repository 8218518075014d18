"""A bulletin as a MISP event.

Promises: the same bulletin with the same facts gives the same event, uuids included; what was withdrawn is marked as
deleted and its value left out. A recall has no event: it changes the event of what it recalls.
Spec: docs/spec/misp.md; MISP core format; taxonomies tlp, PAP, admiralty-scale.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any
from uuid import uuid5

from lintas.bulletin import Indicator
from lintas.event import US_PER_S
from lintas.misp.mapping import CATEGORIES, Pair, Shape, shape_of
from lintas.shape import instant
from lintas.stix.export import PROTECTED_ROLES, SUSPECTING_KINDS, WITHDRAWN, Export, redacted
from lintas.stix.ids import NAMESPACE, agency_id, stamp
from lintas.stix.words import describe

Object = dict[str, Any]

DISTRIBUTION: Mapping[str, str] = {"CLEAR": "3", "GREEN": "1"}
"""MISP's own word for how far: all communities, this community. Everything narrower stays in the organisation."""

OWN_ORGANISATION = "0"
INHERIT = "5"
THREAT_LEVEL: Mapping[str, str] = {"extreme": "1", "severe": "1", "moderate": "2", "minor": "3"}
UNDEFINED_LEVEL = "4"
COLOURS: Mapping[str, str] = {
    "CLEAR": "#ffffff",
    "GREEN": "#33ff00",
    "AMBER": "#ffc000",
    "AMBER+STRICT": "#ffc000",
    "RED": "#ff2b2b",
}
OTHER_COLOUR = "#5b6b7b"


def write_event(export: Export) -> Object:
    """Return the event of a bulletin that stands."""
    export = redacted(export)
    seconds = str((export.changed_us or export.time_us) // US_PER_S)
    written = [_write(export, each, seconds) for each in _each_once(export.indicators)]
    gone = [_tombstone(export, kind, value, seconds) for kind, value in sorted(export.withdrawn)]
    parts = [*_texts(export, seconds), *(part for parts in (*written, *gone) for part in parts)]
    return _event(export, seconds, export.content.title, parts)


def withdrawn_event(export: Export, at_us: int) -> Object:
    """Return the event of a bulletin that was recalled or ended: its parts deleted, its words gone."""
    seconds = str(at_us // US_PER_S)
    values = dict.fromkeys(
        [*((each.type, each.value) for each in export.content.indicators), *sorted(export.withdrawn)]
    )
    gone = [part for kind, value in values for part in _tombstone(export, kind, value, seconds)]
    texts = [_deleted(each) for each in _texts(export, seconds)]
    return _event(export, seconds, WITHDRAWN, [*texts, *gone])


def event_uuid(export: Export) -> str:
    """Return the uuid of the event of a bulletin and of whatever it replaces."""
    return uuid_of(export.origin.id)


def uuid_of(first: str) -> str:
    """Return the uuid of the event of the chain of supersessions that begins with this bulletin."""
    return _uuid("event", first)


def _event(export: Export, seconds: str, info: str, parts: Iterable[Object]) -> Object:
    listed = list(parts)
    is_object = [("Attribute" in each) for each in listed]
    event: Object = {
        "uuid": event_uuid(export),
        "info": info,
        "date": stamp(export.origin.time_us)[:10],
        "timestamp": seconds,
        "publish_timestamp": seconds,
        "published": True,
        "analysis": "2",
        "threat_level_id": THREAT_LEVEL.get(export.content.severity or "", UNDEFINED_LEVEL),
        "distribution": DISTRIBUTION.get(export.tlp, OWN_ORGANISATION),
        "Orgc": organisation(export.header.iss),
        "Tag": list(_tags(export)),
        "Attribute": [each for each, nested in zip(listed, is_object, strict=True) if not nested],
        "Object": [each for each, nested in zip(listed, is_object, strict=True) if nested],
    }
    return {"Event": event}


def organisation(agency: str) -> Object:
    """Return an agency as MISP names it."""
    return {"name": agency, "uuid": agency_id(agency).partition("--")[2]}


def header_tags(*, tlp: str, kind: str, urgency: str, topics: Iterable[str]) -> Iterator[Object]:
    """Yield the tags of what a header says."""
    yield {"name": f"tlp:{tlp.lower()}", "colour": COLOURS[tlp]}
    names = [f'lintas:kind="{kind}"', f'lintas:urgency="{urgency}"']
    names += [f'lintas:topic="{each}"' for each in dict.fromkeys(topics)]
    yield from ({"name": each, "colour": OTHER_COLOUR} for each in names)


def _tags(export: Export) -> Iterator[Object]:
    header, content = export.header, export.content
    topics = [str(header.topic), *content.topics]
    yield from header_tags(tlp=export.tlp, kind=str(header.kind), urgency=str(header.urgency), topics=topics)
    names = []
    if content.pap:
        names.append(content.pap)
    if content.grading:
        names.append(f'admiralty-scale:source-reliability="{content.grading.source.lower()}"')
        names.append(f'admiralty-scale:information-credibility="{content.grading.information}"')
    names += [f'lintas:handling="{each}"' for each in content.handling]
    names += [f'lintas:caveat="{each}"' for each in content.caveats]
    yield from ({"name": each, "colour": OTHER_COLOUR} for each in names)


def _texts(export: Export, seconds: str) -> Iterator[Object]:
    described = describe(export.content, export.header, ())
    yield _attribute(export, ("", "comment", described), "description", seconds)
    yield _attribute(export, ("", "text", export.id), "line", seconds) | {"comment": "Id of the signed line"}
    if export.url:
        yield _attribute(export, ("", "link", export.url), "url", seconds) | {"comment": "The signed line"}
    for number, each in enumerate(export.content.references):
        yield _attribute(export, ("", "text", each), f"reference {number}", seconds) | {"comment": "Reference"}


def _each_once(listed: Iterable[Indicator]) -> Iterator[Indicator]:
    yield from {(each.type, each.value): each for each in reversed(tuple(listed))}.values()


def _write(export: Export, each: Indicator, seconds: str) -> list[Object]:
    found = shape_of(each.type, each.value)
    is_sought = export.header.kind in SUSPECTING_KINDS and each.person_role not in PROTECTED_ROLES
    key = f"{each.type} {each.value}"
    said: Object = {"comment": _comment(each), **_seen(each)}
    attributes = [
        _attribute(export, pair, key, seconds) | {"to_ids": found.is_searched and is_sought, **said}
        for pair in found.pairs
    ]
    return (
        attributes
        if found.template is None
        else [_object(export, found, key, seconds) | {**said, "Attribute": attributes}]
    )


def _object(export: Export, found: Shape, key: str, seconds: str) -> Object:
    template = found.template
    assert template is not None
    return {
        "uuid": _uuid("object", export.origin.id, key),
        "name": template.name,
        "meta-category": template.meta_category,
        "description": template.description,
        "template_uuid": template.uuid,
        "template_version": template.version,
        "timestamp": seconds,
        "distribution": INHERIT,
    }


def _attribute(export: Export, pair: Pair, key: str, seconds: str) -> Object:
    relation, kind, value = pair
    return {
        "uuid": _uuid("attribute", export.origin.id, key, relation or kind),
        **({"object_relation": relation} if relation else {}),
        "type": kind,
        "category": CATEGORIES[kind],
        "value": value,
        "to_ids": False,
        "comment": "",
        "distribution": INHERIT,
        "timestamp": seconds,
    }


def _tombstone(export: Export, kind: str, value: str, seconds: str) -> list[Object]:
    """Return the parts of a value as deleted ones: MISP deletes by uuid, and nobody needs to read it again."""
    found = shape_of(kind, value)
    key = f"{kind} {value}"
    attributes = [_deleted(_attribute(export, pair, key, seconds)) for pair in found.pairs]
    if found.template is None:
        return attributes
    return [_object(export, found, key, seconds) | {"deleted": True, "Attribute": attributes}]


def _deleted(attribute: Object) -> Object:
    return attribute | {"type": "text", "category": "Other", "value": WITHDRAWN.lower(), "deleted": True}


def _comment(each: Indicator) -> str:
    said = (each.role, each.person_role, each.name, each.asset, each.note)
    return "; ".join([f"{each.type} {each.value}", *(part for part in said if part)])


def _seen(each: Indicator) -> Object:
    given = {"first_seen": each.first_seen, "last_seen": each.last_seen}
    return {name: _moment(text) for name, text in given.items() if text}


def _moment(text: str) -> str:
    found: datetime = instant(text)
    return found.isoformat(timespec="microseconds")


def _uuid(*parts: str) -> str:
    return str(uuid5(NAMESPACE, ":".join(("misp", *parts))))
