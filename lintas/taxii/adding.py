"""Objects that somebody posts to a collection that can be written.

Read strictly: an object whose bytes could be read in two ways is none. Whether one can be used is said in the status of
the post, object by object; an envelope that is none is refused as a whole.
Spec: TAXII 2.1 section 5.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lintas.errors import BadRequest
from lintas.strict import Json, parse_object

OBJECTS_MAX = 50_000
"""Objects of one post: as many as a bundle may have. MISP sends all events of a push in one."""


@dataclass(frozen=True, slots=True)
class Posted:
    """A posted object. `version` is its `modified`, else its `created`, None if it has neither."""

    id: str
    version: str | None
    members: Json


def read_envelope(body: bytes) -> tuple[Posted, ...]:
    """Return the objects of an envelope; raise BadRequest when it is none, is empty or names one version twice."""
    try:
        members = parse_object(body, floats=True)
    except ValueError as fault:
        raise BadRequest("The body is not one strict JSON object.") from fault
    listed = members.get("objects")
    if not isinstance(listed, list) or not listed:
        raise BadRequest("An envelope has a list of `objects`, one at least.", member="objects")
    if len(listed) > OBJECTS_MAX:
        raise BadRequest(f"One post has at most {OBJECTS_MAX} objects.", member="objects")
    found = tuple(_posted(each, number) for number, each in enumerate(listed))
    if len({(each.id, each.version) for each in found}) != len(found):
        raise BadRequest("One version of an object stands twice in the envelope.", member="objects")
    return found


def _posted(value: Any, number: int) -> Posted:
    if not isinstance(value, dict) or not all(isinstance(value.get(name), str) for name in ("id", "type")):
        raise BadRequest("An object has an `id` and a `type`.", member=f"objects[{number}]")
    if value["id"].partition("--")[0] != value["type"]:
        raise BadRequest("The `id` of an object begins with its `type`.", member=f"objects[{number}].id")
    version = value.get("modified") or value.get("created")
    if not isinstance(version, str | None):
        raise BadRequest("A version is a time.", member=f"objects[{number}].modified")
    return Posted(value["id"], version, value)
