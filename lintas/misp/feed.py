"""The index files of a MISP feed.

The manifest says of an event what header and log say of its bulletin, nothing of its content: no title, no grading. A
MISP learns from it what is new and fetches that; what it then was given is on record. The hashes are content, and only
over what a caller may read: a hash of a telephone number hides nothing.
Spec: docs/spec/misp.md; MISP feed format (manifest.json, hashes.csv).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from lintas.event import US_PER_S
from lintas.misp.export import UNDEFINED_LEVEL, header_tags, organisation, uuid_of
from lintas.stix.export import WITHDRAWN, Origin
from lintas.stix.ids import stamp

Event = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """An event as a manifest lists it. `origin` is the first bulletin of its chain; `changed_us` when it last changed.

    `is_withdrawn`: its newest bulletin was recalled, has ended, or gave way to one that the reader may not have.
    """

    origin: Origin
    issuer: str
    kind: str
    topic: str
    tlp: str
    urgency: str
    changed_us: int
    is_withdrawn: bool = False

    @property
    def uuid(self) -> str:
        """The uuid of the event."""
        return uuid_of(self.origin.id)


def manifest(listed: Iterable[Listed]) -> dict[str, Event]:
    """Return the manifest: what a MISP needs of each event to know whether to fetch it, by uuid."""
    return {each.uuid: _members(each) for each in listed}


def hashes_csv(events: Iterable[Event]) -> str:
    """Return a line ``md5,uuid`` for every value, by which a MISP finds out what a feed knows."""
    return "".join(f"{digest},{each['Event']['uuid']}\n" for each in events for digest in _digests(each["Event"]))


def _members(each: Listed) -> Event:
    return {
        "Orgc": organisation(each.issuer),
        "Tag": list(header_tags(tlp=each.tlp, kind=each.kind, urgency=each.urgency, topics=[each.topic])),
        "info": WITHDRAWN if each.is_withdrawn else f"{each.kind} of {each.issuer}, {each.topic}",
        "date": stamp(each.origin.time_us)[:10],
        "analysis": "2",
        "threat_level_id": UNDEFINED_LEVEL,
        "timestamp": str(each.changed_us // US_PER_S),
    }


def _digests(event: dict[str, Any]) -> Iterator[str]:
    listed = [*event["Attribute"], *(one for each in event["Object"] for one in each["Attribute"])]
    values = dict.fromkeys(part for each in listed if not each.get("deleted") for part in _values(each))
    # MD5 is what the format asks for; nothing rests on its strength.
    yield from (hashlib.md5(each.encode(), usedforsecurity=False).hexdigest() for each in values)


def _values(attribute: dict[str, Any]) -> list[str]:
    """Return the parts of a composite value, for a MISP looks for each."""
    value = str(attribute["value"])
    return value.split("|") if "|" in attribute["type"] else [value]
