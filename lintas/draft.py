"""A bulletin before it is signed, as people write it.

A draft is one JSON object: what the header shall say, with `payload` for the rest (``lintas.bulletin``)::

    {
        "kind": "alert",
        "topic": "cyber.scam",
        "tlp": "AMBER",
        "urgency": "urgent",
        "release_to": ["mekong", "sg-police"],
        "exclude": ["mm-police"],
        "valid_for": "P30D",
        "refs": ["supersedes:<id>"],
        "seal": true,
        "payload": {"title": "...", "summary": "..."},
    }

`release_to` and `exclude` name agencies or communities; `exclude`, `refs` and `seal` may be missing, and RED is always
sealed. How long it stands is said by exactly one of `valid_until` (RFC 3339, UTC) and `valid_for` (``P30D``, ``P2W``,
``PT6H``, ``P1DT12H``).
Promises: a `Draft` that exists has a payload the hub accepts, its indicators made canonical.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lintas import bulletin, exchange, shape, vocabulary
from lintas.errors import MalformedPayload
from lintas.handling import EVERYONE_NAMES
from lintas.header import ID_PATTERN, RECIPIENTS_MAX, REFS_MAX, RELATIONS, VALIDITY_S_MAX
from lintas.sealed import check_inside
from lintas.shape import Reader, matching, members_of, one_of, refusal, set_of

TLP_PREFIX = "TLP:"
NAME_PATTERN = rf"\*|{vocabulary.COMMUNITY_PATTERN.strip('^$')}"


@dataclass(frozen=True, slots=True)
class Draft:
    """A checked draft. One of `valid_until` (Unix seconds) and `valid_for_s` is None. `members` is the payload."""

    kind: str
    topic: str
    tlp: str
    urgency: str
    release_to: tuple[str, ...]
    members: Mapping[str, Any]
    exclude: tuple[str, ...] = ()
    refs: tuple[str, ...] = ()
    valid_until: int | None = None
    valid_for_s: int | None = None
    seal: bool = False

    def exp(self, now: int) -> int:
        """Return when the validity ends if the bulletin is signed at `now`, both in Unix seconds."""
        return self.valid_until if self.valid_until is not None else now + (self.valid_for_s or 0)

    def payload(self) -> bytes:
        """Return the payload bytes to sign."""
        return bulletin.encode(self.members, kind=self.kind)


def read_draft(members: Mapping[str, Any]) -> Draft:
    """Check a draft and make its indicators canonical; raise MalformedPayload naming the member at fault."""
    values = members_of(_readers(), required=_REQUIRED, what="A draft")(members, "")
    values["members"] = _prepared(values.pop("payload"), values["kind"])
    if ("valid_until" in values) == ("valid_for" in values):
        raise MalformedPayload("A draft has one of `valid_until` and `valid_for`.", member="valid_until")
    if "valid_for" in values:
        values["valid_for_s"] = values.pop("valid_for")
    values["seal"] = _is_sealed(values)
    draft = Draft(**values)
    _check_refs(draft)
    if draft.seal:
        _check_sealed(draft)
    return draft


def _readers() -> Mapping[str, Reader]:
    known = vocabulary.load()
    name = matching(NAME_PATTERN, "the name of an agency or community")
    ref = matching(rf"(?:{'|'.join(RELATIONS)}):{ID_PATTERN}", f"<relation>:<id>; relations are {', '.join(RELATIONS)}")
    return {
        "kind": one_of(known.kinds),
        "topic": one_of(known.topics),
        "tlp": _tlp,
        "urgency": one_of(known.urgencies),
        "release_to": set_of(name, RECIPIENTS_MAX),
        "exclude": set_of(name, RECIPIENTS_MAX),
        "refs": set_of(ref, REFS_MAX),
        "valid_until": _valid_until,
        "valid_for": _valid_for,
        "payload": _payload,
        "seal": shape.flag,
    }


_REQUIRED = frozenset({"kind", "topic", "tlp", "urgency", "release_to", "payload"})


def _tlp(value: object, path: str) -> str:
    # Screens show the prefix, so people write it.
    bare = value.removeprefix(TLP_PREFIX) if isinstance(value, str) else value
    tlp: str = one_of(vocabulary.TLP)(bare, path)
    return tlp


def _valid_until(value: object, path: str) -> int:
    return int(shape.instant(shape.time(value, path)).timestamp())


def _valid_for(value: object, path: str) -> int:
    seconds = shape.duration_s(value, path)
    if seconds > VALIDITY_S_MAX:
        raise refusal(f"`{path}` is at most {VALIDITY_S_MAX // shape.DAY_S} days.", path)
    return seconds


def _payload(value: object, path: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise refusal(f"`{path}` is an object.", path)
    return value


def _prepared(payload: Mapping[str, Any], kind: str) -> dict[str, Any]:
    try:
        return bulletin.prepare(payload, kind=kind)
    except MalformedPayload as fault:
        raise refusal(fault.detail, f"payload.{fault.member}") from fault


def _check_refs(draft: Draft) -> None:
    relations = {ref.split(":", 1)[0] for ref in draft.refs}
    fault = exchange.relations_fault(draft.kind, relations)
    if fault is not None:
        raise MalformedPayload(fault, member="refs")


def _is_sealed(values: Mapping[str, Any]) -> bool:
    sealed: bool = values.get("seal", values["tlp"] == "RED")
    if values["tlp"] == "RED" and not sealed:
        raise MalformedPayload("TLP:RED is always sealed.", member="seal")
    return sealed


def _check_sealed(draft: Draft) -> None:
    if not EVERYONE_NAMES.isdisjoint(draft.release_to):
        raise MalformedPayload("Sealed content goes to agencies that are named, not to everyone.", member="release_to")
    content = bulletin.check(draft.members, kind=draft.kind)
    # Communities are resolved when it is signed; RED has none, so here its posts can be held against the list.
    names = draft.release_to if draft.tlp == "RED" else [post.split("/", 1)[0] for post in content.named_recipients]
    try:
        check_inside(content, tlp=draft.tlp, release_to=names)
    except MalformedPayload as fault:
        raise refusal(fault.detail, f"payload.{fault.member}") from fault
