"""What a key line or an order asks for, read from its payload.

Promises: a request that exists is well formed; whether it may be done now is decided in ``lintas.directory``.
Spec: docs/spec/orders.md; RFC 5280 section 5.3.1 (revocation reasons).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from lintas import indicators, read_token, vocabulary
from lintas.errors import MalformedLine, MalformedPayload
from lintas.header import ADMIN_PATTERN, is_agency, is_case_ref, is_id, is_party
from lintas.jwk import public_of_jwk, thumbprint
from lintas.line import Line, is_nested, parse
from lintas.log_keys import is_log_key
from lintas.opening import kid_of, load_public
from lintas.strict import Json, parse_object, unb64u
from lintas.webhooks import read_url

TEXT_CHARACTERS_MAX = 200
COMMUNITY_MEMBERS_MAX = 256
OVERLAP_S_MAX = 30 * 86_400
"""Old and new key may both sign for at most 30 days after a rotation."""

LOG_OVERLAP_S_MIN = 86_400
"""Both keys of the log sign for a day at least: the checkpoint over the event that names the new one is by both."""

Checks = Mapping[str, Callable[[object], bool]]

INTEREST_S_MAX = 366 * 86_400
"""An interest stands for a year, as a read token does; then its agency asks itself whether it still needs it."""

INTEREST_INDICATORS_MAX = 100
WATCH_INDICATORS_MAX = 1_000
MODES = frozenset({"contact", "silent", "open"})
"""How an interest may be told to another agency that has the same: its agency alone, not at all, with its case."""

REASONS = frozenset({"unspecified", "keyCompromise", "affiliationChanged", "superseded", "cessationOfOperation"})
COMPROMISED = "keyCompromise"

__all__ = [
    "ADMIN_PATTERN",
    "COMPROMISED",
    "Enrol",
    "Opening",
    "Order",
    "Revoke",
    "Rotate",
    "check_indicators",
    "open_key_line",
    "open_order",
    "values_of",
]


@dataclass(frozen=True, slots=True)
class Opening:
    """An opening key to be sealed to until `not_after`, alone or with the signing key it comes with."""

    public: bytes
    kid: str
    not_after: int


@dataclass(frozen=True, slots=True)
class Enrol:
    """A new key asks to be admitted. `invite` and `code_hmac` are None only for the first admin of a hub."""

    public: bytes
    kid: str
    holder: str
    not_before: int
    not_after: int
    invite: str | None = None
    code_hmac: str | None = None
    opening: Opening | None = None


@dataclass(frozen=True, slots=True)
class Rotate:
    """The old key (outer line) hands over to the new one (nested line), both signing for `overlap_s` more seconds."""

    public: bytes
    kid: str
    holder: str
    not_before: int
    not_after: int
    overlap_s: int
    inner: Line
    opening: Opening | None = None


@dataclass(frozen=True, slots=True)
class Revoke:
    """A key ends itself. `since` (Unix seconds) is when it may no longer be trusted."""

    kid: str
    reason: str
    since: int


@dataclass(frozen=True, slots=True)
class Order:
    """An order: what it does, with which arguments, and the lines that ask for it, outermost first."""

    act: str
    args: Mapping[str, Any]
    lines: tuple[Line, ...]


def open_key_line(line: Line) -> Enrol | Rotate | Revoke | Opening:
    """Read what a key line asks for; raise MalformedPayload. Signatures are not checked here."""
    if is_nested(line):
        return _read_rotation(line)
    members = _object(line.payload)
    act = members.get("act")
    if act == "enrol":
        return _read_enrolment(members, line)
    if act == "revoke":
        _closed(members, _REVOKE)
        return Revoke(kid=members["kid"], reason=members["reason"], since=members["since"])
    if act == "opening":
        _closed(members, _OPENING)
        return _read_opening(members)
    raise MalformedPayload(
        "A key line enrols, rotates (nested in a line of the old key), revokes, or tells an opening key.", member="act"
    )


def open_order(line: Line) -> Order:
    """Read an order, signed by one person or nested in a second person's line; raise MalformedPayload."""
    lines = (line, nested(line)) if is_nested(line) else (line,)
    if is_nested(lines[-1]):
        raise MalformedPayload("An order holds at most one other order.")
    members = _object(lines[-1].payload)
    act = members.pop("act", None)
    if not isinstance(act, str) or act not in _ACTS:
        raise MalformedPayload(f"`act` is one of {', '.join(sorted(_ACTS))}.", member="act")
    _closed(members, _ACTS[act])
    if "until" in members and not 0 < members["until"] - lines[-1].header.iat <= INTEREST_S_MAX:
        # Measured from the signature, so that hub and client cannot judge it at different seconds.
        raise MalformedPayload("It ends within a year of its signing.", member="until")
    return Order(act=act, args=members, lines=lines)


def values_of(order: Order) -> tuple[tuple[str, str], ...]:
    """Return the (type, value) pairs of an interest or a watch list, in their order; none for another order."""
    return tuple((each["type"], each["value"]) for each in order.args.get("indicators", ()))


def check_indicators(order: Order) -> None:
    """Refuse values that are not canonical, or too common to mean one thing; raise MalformedPayload.

    Apart from `open_order`, because a thousand values take milliseconds: asked once, where an order comes in.
    """
    for number, (kind, value) in enumerate(values_of(order)):
        path = f"indicators[{number}].value"
        try:
            wanted = indicators.normalise(kind, value)
        except MalformedPayload as fault:
            raise MalformedPayload(fault.detail, member=path) from fault
        if value != wanted:
            raise MalformedPayload(f"The value is not canonical; write {wanted!r}.", member=path)
        if not indicators.identifies(kind, value):
            raise MalformedPayload("A name alone matches nobody: add birth date or nationality.", member=path)


def nested(line: Line) -> Line:
    """Read the line that is the payload of this one; it must be of the same kind."""
    try:
        return parse(line.payload, line.header.typ)
    except MalformedLine as fault:
        raise MalformedPayload(f"The payload is neither an object nor a line: {fault}") from fault


def _read_enrolment(members: Json, line: Line) -> Enrol:
    if line.header.iss.startswith("admin/") and "invite" not in members:
        _closed(members, _WINDOW)
    else:
        _closed(members, _WINDOW | {"invite": is_id, "code_hmac": _is_hmac}, optional=_carried(line))
    public = public_of_jwk(members["jwk"])
    kid = thumbprint(public)
    if kid != line.header.kid:
        raise MalformedPayload("`kid` is not the thumbprint of `jwk`.", member="jwk")
    return Enrol(
        public=public,
        kid=kid,
        holder=members["holder"],
        not_before=members["not_before"],
        not_after=members["not_after"],
        invite=members.get("invite"),
        code_hmac=members.get("code_hmac"),
        opening=_read_carried(members),
    )


def _read_rotation(line: Line) -> Rotate:
    inner = nested(line)
    if is_nested(inner):
        raise MalformedPayload("A rotation holds exactly one line of the new key.")
    members = _object(inner.payload)
    if members.get("act") != "rotate" or inner.header.iss != line.header.iss:
        raise MalformedPayload("A rotation holds a `rotate` line of the same agency.", member="act")
    _closed(members, _WINDOW | {"overlap_s": _is_overlap}, optional=_carried(line))
    public = public_of_jwk(members["jwk"])
    kid = thumbprint(public)
    if kid != inner.header.kid:
        raise MalformedPayload("`kid` is not the thumbprint of `jwk`.", member="jwk")
    return Rotate(
        public=public,
        kid=kid,
        holder=members["holder"],
        not_before=members["not_before"],
        not_after=members["not_after"],
        overlap_s=members["overlap_s"],
        inner=inner,
        opening=_read_carried(members),
    )


def _carried(line: Line) -> Mapping[str, Callable[[object], bool]]:
    # Administrators read no bulletins, so nothing is sealed to them.
    return {} if line.header.iss.startswith("admin/") else {"opening": _is_opening}


def _read_carried(members: Json) -> Opening | None:
    return _read_opening(members["opening"]) if "opening" in members else None


def _read_opening(members: Mapping[str, Any]) -> Opening:
    public = unb64u(members["public"])
    load_public(public)
    return Opening(public=public, kid=kid_of(public), not_after=members["not_after"])


def _object(payload: bytes) -> Json:
    try:
        return parse_object(payload)
    except ValueError as fault:
        raise MalformedPayload("The payload is not one strict JSON object.") from fault


def _closed(members: Json, checks: Checks, *, optional: Checks = MappingProxyType({})) -> None:
    for name in members:
        if name not in checks and name not in optional and name != "act":
            raise MalformedPayload("This act has no such member.", member=name[:64])
    for name, check in (*checks.items(), *optional.items()):
        if name not in members and name in checks:
            raise MalformedPayload("A required member is missing.", member=name)
        if name in members and not check(members[name]):
            raise MalformedPayload(f"`{name}` has no valid value.", member=name)


def _is_time(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= TEXT_CHARACTERS_MAX and value.isprintable()


def _is_overlap(value: object) -> bool:
    return type(value) is int and 0 <= value <= OVERLAP_S_MAX


def _is_log_overlap(value: object) -> bool:
    return type(value) is int and LOG_OVERLAP_S_MIN <= value <= OVERLAP_S_MAX


def _is_hmac(value: object) -> bool:
    # 32 bytes in base64url have the shape of an id.
    return is_id(value)


def _is_jwk(value: object) -> bool:
    return isinstance(value, dict)


def _is_public(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(unb64u(value))
    except ValueError:
        return False


def _is_opening(value: object) -> bool:
    is_object = isinstance(value, dict) and value.keys() == _OPENING.keys()
    return is_object and all(check(value[name]) for name, check in _OPENING.items())  # type: ignore[index]


def _is_reason(value: object) -> bool:
    return isinstance(value, str) and value in REASONS


def _is_tlp(value: object) -> bool:
    return isinstance(value, str) and value in vocabulary.TLP


def _is_topics(value: object) -> bool:
    topics = vocabulary.load().topics
    return _is_sorted(value) and (value == ["*"] or all(topic in topics for topic in value))  # type: ignore[attr-defined]


def _is_members(value: object) -> bool:
    return _is_sorted(value) and len(value) <= COMMUNITY_MEMBERS_MAX and all(map(is_agency, value))  # type: ignore[arg-type,call-overload]


def _is_sorted(value: object) -> bool:
    return (
        isinstance(value, list)
        and all(isinstance(item, str) for item in value)
        and all(a < b for a, b in itertools.pairwise(value))
    )


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= 64 and value.isascii() and value.replace("-", "a").isalnum()  # noqa: PLR2004


def _is_mode(value: object) -> bool:
    return isinstance(value, str) and value in MODES


def _is_indicators(count_min: int, count_max: int) -> Callable[[object], bool]:
    def check(value: object) -> bool:
        # Sorted without repetition, so that one list has one spelling.
        if (
            not isinstance(value, list)
            or not count_min <= len(value) <= count_max
            or not all(map(_is_indicator, value))
        ):
            return False
        pairs = [(each["type"], each["value"]) for each in value]
        return all(a < b for a, b in itertools.pairwise(pairs))

    return check


def _is_indicator(value: object) -> bool:
    if not isinstance(value, dict) or set(value) != {"type", "value"} or not isinstance(value["type"], str):
        return False
    text = value["value"]
    is_text = isinstance(text, str) and 1 <= len(text) <= indicators.VALUE_CHARACTERS_MAX
    return is_text and value["type"] in vocabulary.load().indicator_types


def _is_endpoint(value: object) -> bool:
    if value is not None:
        read_url(value if isinstance(value, str) else "")
    return True


_WINDOW: dict[str, Callable[[object], bool]] = {
    "jwk": _is_jwk,
    "holder": _is_text,
    "not_before": _is_time,
    "not_after": _is_time,
}
_OPENING: Mapping[str, Callable[[object], bool]] = {"public": _is_public, "not_after": _is_time}
_REVOKE: Mapping[str, Callable[[object], bool]] = {"kid": is_id, "reason": _is_reason, "since": _is_time}
_ACTS: Mapping[str, Mapping[str, Callable[[object], bool]]] = {
    "invite": {"agency": is_party},
    "approve": {"agency": is_party, "kid": is_id},
    "revoke": {"agency": is_party, **_REVOKE},
    "suspend": {"agency": is_party, "reason": _is_text},
    "resume": {"agency": is_party},
    "grant": {"agency": is_agency, "publish": _is_topics, "read": _is_topics},
    "ceiling": {"agency": is_agency, "tlp": _is_tlp},
    "community": {"name": _is_name, "members": _is_members},
    "purge": {"before": _is_time},
    "log-key": {"log_key": is_log_key, "overlap_s": _is_log_overlap},
    "interest": {
        "mode": _is_mode,
        "case_ref": is_case_ref,
        "until": _is_time,
        "indicators": _is_indicators(1, INTEREST_INDICATORS_MAX),
    },
    "interest-end": {"interest": is_id},
    "read-token": {
        "token": read_token.is_token_id,
        "digest": read_token.is_digest,
        "ceiling": read_token.is_ceiling,
        "areas": read_token.is_areas,
        "until": _is_time,
        "addresses": read_token.is_addresses,
        "label": read_token.is_label,
    },
    "read-token-end": {"token": read_token.is_token_id},
    "watch": {"name": _is_name, "indicators": _is_indicators(0, WATCH_INDICATORS_MAX)},
    "webhook": {"subscription": _is_name, "url": _is_endpoint},
}
"""Each act of an order with the members it must have, no others."""
