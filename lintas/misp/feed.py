"""The index files of a MISP feed, made of events.

Only over the events that a caller may read: a hash of a telephone number hides nothing.
Spec: docs/spec/misp.md; MISP feed format (manifest.json, hashes.csv).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

Event = dict[str, Any]

MANIFEST_MEMBERS = ("Orgc", "Tag", "info", "date", "analysis", "threat_level_id", "timestamp")


def manifest(events: Iterable[Event]) -> dict[str, Any]:
    """Return the manifest: what a MISP shows of each event before it fetches it, by uuid."""
    return {
        each["Event"]["uuid"]: {name: each["Event"][name] for name in MANIFEST_MEMBERS if name in each["Event"]}
        for each in events
    }


def hashes_csv(events: Iterable[Event]) -> str:
    """Return a line ``md5,uuid`` for every value, by which a MISP finds out what a feed knows."""
    return "".join(f"{digest},{each['Event']['uuid']}\n" for each in events for digest in _digests(each["Event"]))


def _digests(event: dict[str, Any]) -> Iterator[str]:
    listed = [*event["Attribute"], *(one for each in event["Object"] for one in each["Attribute"])]
    values = dict.fromkeys(part for each in listed if not each.get("deleted") for part in _values(each))
    # MD5 is what the format asks for; nothing rests on its strength.
    yield from (hashlib.md5(each.encode(), usedforsecurity=False).hexdigest() for each in values)


def _values(attribute: dict[str, Any]) -> list[str]:
    """Return the parts of a composite value, for a MISP looks for each."""
    value = str(attribute["value"])
    return value.split("|") if "|" in attribute["type"] else [value]
