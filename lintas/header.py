"""The protected header of a signed line, a closed set of members for each kind of line.

Promises: a `Header` that exists is well formed, so nothing inside checks it again. Who may read a bulletin is decided
from this header alone. Not here: whether the key, the time or the grants allow it (``broker.policy``).
Spec: docs/spec/line.md; RFC 7515 (JWS), RFC 8037 and RFC 9864 (Ed25519), RFC 8725 section 3.11 (explicit typing).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from lintas import vocabulary
from lintas.errors import MalformedLine
from lintas.strict import Json, parse_object

HEADER_BYTES_MAX = 4096
"""Room for every agency of the region as a recipient, and small enough to parse before knowing the sender."""

BULLETIN = "vnd.lintas.bulletin"
LOGGED = "vnd.lintas.logged-bulletin"
"""A bulletin with the receipt of a log that had it: line, line feed, receipt. A way of posting, never a `typ`."""

KEY = "vnd.lintas.key"
ORDER = "vnd.lintas.order"
ACK = "vnd.lintas.ack"
TOKEN = "vnd.lintas.token"  # noqa: S105 - a media type, not a secret

LINE_BYTES_MAX: Mapping[str, int] = {BULLETIN: 262_144, KEY: 16_384, ORDER: 262_144, ACK: 4_096, TOKEN: 2_048}
"""Bytes of a whole line by `typ`. A bulletin holds text and indicators, not files; an order a watch list at
most; the rest a few members."""

VALIDITY_S_MAX = 5 * 366 * 86_400
"""Nothing stands longer than five years, the longest that personal data may be kept."""

RECIPIENTS_MAX = 256
REFS_MAX = 16
EVERYONE = ("*",)
SCOPES = frozenset({"read", "subscribe", "admin"})
ALGORITHMS = frozenset({"Ed25519", "EdDSA"})
WIDE_TLP = frozenset({"CLEAR", "GREEN"})

ID_PATTERN = r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]"
"""base64url of 32 bytes with its two unused bits zero: a key id (RFC 7638) or a line id."""

ADMIN_PATTERN = r"admin/[a-z][a-z0-9-]{0,31}"
HUB_PATTERN = r"[a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9])?-[a-z0-9]{8}"
RELATIONS = ("supersedes", "recalls", "answers", "endorses", "comments")

_ID = re.compile(ID_PATTERN)
_AGENCY = re.compile(vocabulary.AGENCY_PATTERN)
_PARTY = re.compile(rf"{vocabulary.AGENCY_PATTERN.strip('^$')}|{ADMIN_PATTERN}")
_HUB = re.compile(HUB_PATTERN)
_REF = re.compile(rf"(?:{'|'.join(RELATIONS)}):{ID_PATTERN}")
_SUB = re.compile(r"[a-z0-9][a-z0-9._/-]{0,63}")
_CASE_REF = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._/()-]{0,63}")

_ALWAYS = frozenset({"alg", "typ", "kid", "iss", "aud", "iat"})
_MEMBERS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    BULLETIN: (
        _ALWAYS | {"exp", "kind", "topic", "tlp", "release_to", "urgency"},
        frozenset({"refs", "enc"}),
    ),
    KEY: (_ALWAYS, frozenset()),
    ORDER: (_ALWAYS, frozenset({"sub"})),
    ACK: (_ALWAYS, frozenset({"sub"})),
    TOKEN: (_ALWAYS | {"exp", "scope"}, frozenset({"purpose", "case_ref", "sub"})),
}
"""For each `typ`: the members it must have, those it may have."""


class Header(NamedTuple):
    """The parsed header. Times are Unix seconds; members a kind of line lacks are None or empty."""

    typ: str
    kid: str
    iss: str
    aud: str
    iat: int
    alg: str = "Ed25519"
    exp: int | None = None
    kind: str | None = None
    topic: str | None = None
    tlp: str | None = None
    release_to: tuple[str, ...] = ()
    urgency: str | None = None
    refs: tuple[str, ...] = ()
    enc: str | None = None
    scope: str | None = None
    purpose: str | None = None
    case_ref: str | None = None
    sub: str | None = None

    def targets(self, *relations: str) -> tuple[str, ...]:
        """Return the ids that `refs` names with one of these relations."""
        pairs = (ref.split(":", 1) for ref in self.refs)
        return tuple(target for relation, target in pairs if relation in relations)


def is_id(text: object) -> bool:
    """Tell whether this is the id of a line or a key."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


def is_party(text: object) -> bool:
    """Tell whether this is an agency id or ``admin/<name>``."""
    return isinstance(text, str) and _PARTY.fullmatch(text) is not None


def is_agency(text: object) -> bool:
    """Tell whether this is an agency id."""
    return isinstance(text, str) and _AGENCY.fullmatch(text) is not None


def is_case_ref(text: object) -> bool:
    """Tell whether this is a case reference: letters, digits, blanks and ``._/()-``, at most 64."""
    return isinstance(text, str) and _CASE_REF.fullmatch(text) is not None


def is_hub(text: object) -> bool:
    """Tell whether this is a hub name: an origin and eight random characters."""
    return isinstance(text, str) and _HUB.fullmatch(text) is not None


def _is_time(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_text(pattern: re.Pattern[str]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_one_of(values: frozenset[str]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, str) and value in values


def _is_sorted_list(value: object, *, count_max: int, check: Callable[[object], bool]) -> bool:
    # Sorted without repetition, so that one meaning has one spelling.
    if not isinstance(value, list) or not 1 <= len(value) <= count_max or not all(map(check, value)):
        return False
    return all(a < b for a, b in itertools.pairwise(value))


def _is_release(value: object) -> bool:
    return value == ["*"] or _is_sorted_list(value, count_max=RECIPIENTS_MAX, check=is_agency)


def _is_refs(value: object) -> bool:
    return _is_sorted_list(value, count_max=REFS_MAX, check=_is_text(_REF))


_CHECKS: Mapping[str, Callable[[object], bool]] = {
    "alg": _is_one_of(ALGORITHMS),
    "typ": _is_one_of(frozenset(_MEMBERS)),
    "kid": is_id,
    "iss": is_party,
    "aud": is_hub,
    "iat": _is_time,
    "exp": _is_time,
    "kind": _is_one_of(vocabulary.load().kinds),
    "topic": _is_one_of(vocabulary.load().topics),
    "tlp": _is_one_of(frozenset(vocabulary.TLP)),
    "release_to": _is_release,
    "urgency": _is_one_of(vocabulary.load().urgencies),
    "refs": _is_refs,
    "enc": _is_one_of(frozenset({"hpke"})),
    "scope": _is_one_of(SCOPES),
    "purpose": _is_one_of(vocabulary.load().purposes),
    "case_ref": is_case_ref,
    "sub": _is_text(_SUB),
}


def parse_header(data: bytes) -> Header:
    """Read the decoded header bytes; raise MalformedLine naming the member at fault."""
    if len(data) > HEADER_BYTES_MAX:
        raise MalformedLine(f"The header is larger than {HEADER_BYTES_MAX} bytes.")
    try:
        members = parse_object(data)
    except ValueError as fault:
        raise MalformedLine(f"The header {_brief(fault)}.") from fault
    return check_header(members)


def check_header(members: Json) -> Header:
    """Check the members of a header against the closed set of its `typ`; raise MalformedLine."""
    typ = members.get("typ")
    if not isinstance(typ, str) or typ not in _MEMBERS:
        raise MalformedLine("`typ` names no kind of line.", member="typ")
    required, optional = _MEMBERS[typ]
    for name, value in members.items():
        if name not in required and name not in optional:
            raise MalformedLine("The header has a member that this kind of line may not have.", member=name[:64])
        if not _CHECKS[name](value):
            raise MalformedLine(f"`{name}` has no valid value.", member=name)
    missing = required.difference(members)
    if missing:
        raise MalformedLine("A required member is missing.", member=min(missing))
    _check_release(members)
    if "exp" in members and members["exp"] - members["iat"] > VALIDITY_S_MAX:
        raise MalformedLine(f"`exp` lies more than {VALIDITY_S_MAX} seconds after `iat`.", member="exp")
    return _build(members)


def _check_release(members: Json) -> None:
    release = members.get("release_to")
    if release is None:
        return
    if release == ["*"] and members["tlp"] not in WIDE_TLP:
        raise MalformedLine("Only CLEAR and GREEN may go to every partner.", member="release_to")
    if release == ["*"] and "enc" in members:
        # Nobody can seal to partners that join later.
        raise MalformedLine("Sealed content goes to recipients named one by one.", member="release_to")
    if members["iss"] in release:
        raise MalformedLine("The issuer is never listed as a recipient; it may always read.", member="release_to")


def _build(members: Json) -> Header:
    lists: Json = {name: tuple(members[name]) for name in ("release_to", "refs") if name in members}
    return Header(**{**members, **lists})


def _brief(fault: ValueError) -> str:
    if isinstance(fault, UnicodeDecodeError):
        return "is not UTF-8"
    text = str(fault)
    return text if text.startswith(("has ", "is ", "nested", "starts")) else "is not JSON"
