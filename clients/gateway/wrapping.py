"""What a tool posted, made drafts of bulletins.

Promises: nothing goes further than its marking allows; nothing of another agency is published as ours; what cannot be
carried over is named. The same content gives the same key, however it is spelled or bundled.
Spec: docs/spec/gateway.md; docs/howto/import.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from lintas import misp, stix, vocabulary
from lintas.errors import BadRequest, LintasError
from lintas.imported import Choices, Import, checked, narrowed
from lintas.stix.fixed import BULLETIN_EXTENSION
from lintas.stix.ids import agency_id
from lintas.strict import Json, canonical

UUID_CHARACTERS = 36


def wrap(members: Json, choices: Choices, party: str) -> Import:
    """Return the drafts of a STIX bundle, an event of MISP or a draft; raise BadRequest or MalformedPayload."""
    if members.get("type") == "bundle":
        _refuse_foreign(_authors(members), party)
        return stix.read_bundle(members, _said(members, choices))
    if misp.is_event(members):
        _refuse_foreign(_organisations(members), party)
        return misp.read_events(members, choices)
    if "payload" in members:
        return Import((checked(_filled(members, choices)),), ())
    raise BadRequest(
        "This is neither a STIX bundle (`objects`), nor an event of MISP (`Event`), nor a draft (`payload`)."
    )


def is_marked(members: Json, choices: Choices, party: str) -> bool:
    """Tell whether everything in it says itself how far it may go."""
    try:
        wrap(members, replace(choices, tlp=None), party)
    except LintasError as fault:
        return fault.member != "tlp"
    return True


def key_of(members: Json) -> str:
    """Return what names this content: neither the order of objects nor the name of their bundle counts."""
    objects = members.get("objects")
    if isinstance(objects, list):
        return _digest(b"\n".join(sorted(canonical(each) for each in objects)))
    return _digest(canonical(members))


def key_of_bytes(data: bytes) -> str:
    """Return what names content that nobody can read."""
    return _digest(data)


def objects_of(members: Json) -> list[tuple[str, str]]:
    """Return id and version of each STIX object that was posted."""
    listed = members.get("objects") if members.get("type") == "bundle" else None
    found = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    named = [(each.get("id"), str(stix.version_of(each) or "")) for each in found]
    return [(each_id, version) for each_id, version in named if isinstance(each_id, str)]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _filled(members: Json, choices: Choices) -> Json:
    """Return a draft with what it does not say; its marking is the narrower of the two."""
    given: Json = {"kind": choices.kind, "urgency": choices.urgency, "topic": choices.topic}
    given |= {"release_to": list(choices.release_to)} if choices.release_to else {}
    given |= {} if "valid_until" in members else {"valid_for": choices.valid_for}
    filled = {name: value for name, value in given.items() if value is not None} | members
    for name, option in (("topic", "--topic"), ("release_to", "--to")):
        if name not in filled:
            raise BadRequest(f"The draft has no `{name}`, and the gateway was started without {option}.", member=name)
    tlp = members.get("tlp")
    bare = tlp.removeprefix("TLP:") if isinstance(tlp, str) else tlp
    # What is no marking at all is refused as any draft with it is.
    return filled if bare is not None and bare not in vocabulary.TLP else filled | {"tlp": narrowed(bare, choices.tlp)}


def _said(members: Json, choices: Choices) -> Choices:
    """Return the choices without recipients where a report of ours names its own."""
    ours = any(_extension(each) is not None for each in _objects(members))
    return replace(choices, release_to=()) if ours else choices


def _refuse_foreign(authors: Iterator[tuple[str, str]], party: str) -> None:
    """Refuse what another agency said: to pass it on is its decision, and under its name."""
    known = [each for each in vocabulary.load().agencies.items() if each[0] != party]
    others = {name: agency for agency, about in known for name in (agency, agency_id(agency), about.name)}
    for where, author in authors:
        if author in others:
            raise BadRequest(
                f"{where[:120]} is by {others[author]}: the gateway publishes nothing of another agency. Ask it with "
                "`lintas ask-consent`, or refer to its bulletin with `lintas comment`."
            )


def _authors(members: Json) -> Iterator[tuple[str, str]]:
    # A tool that gives identities ids of its own keeps their names.
    names = {str(each.get("id")): str(each.get("name")) for each in _objects(members) if each.get("type") == "identity"}
    for each in _objects(members):
        # An identity only says who somebody is.
        if each.get("type") != "identity":
            author = str(each.get("created_by_ref"))
            yield from ((str(each.get("id")), name) for name in (author, names.get(author, "")))
        said = _extension(each)
        if said is not None:
            yield str(each.get("id")), str(said.get("issuer"))


def _organisations(members: Json) -> Iterator[tuple[str, str]]:
    listed = members.get("response", [members])
    for each in listed if isinstance(listed, list) else ():
        event = each.get("Event", each) if isinstance(each, dict) else None
        creator = event.get("Orgc") if isinstance(event, dict) else None
        if isinstance(creator, dict) and isinstance(event, dict):
            yield f"event {event.get('uuid')}", f"identity--{str(creator.get('uuid'))[:UUID_CHARACTERS]}"


def _objects(members: Json) -> Iterator[Mapping[str, Any]]:
    listed = members.get("objects")
    yield from (each for each in (listed if isinstance(listed, list) else ()) if isinstance(each, dict))


def _extension(each: Mapping[str, Any]) -> Mapping[str, Any] | None:
    extensions = each.get("extensions")
    found = extensions.get(BULLETIN_EXTENSION) if isinstance(extensions, dict) else None
    return found if isinstance(found, dict) and "line" in found else None
