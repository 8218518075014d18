"""Who is calling: self-signed read tokens.

A caller signs its own token (``vnd.lintas.token``, at most 300 seconds); the hub remembers the SHA-256 of tokens it has
verified, so that a repeated one costs a look-up. Whether the key may still sign is asked of the directory every time: a
revocation ends cached tokens at once.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

from lintas.directory import SKEW_S, Directory
from lintas.errors import LintasError, NotAllowed, Refusal, Unauthorized
from lintas.header import TOKEN, Header
from lintas.line import check, parse
from lintas.read_token import PREFIX

TOKEN_LIFE_S_MAX = 300
CACHE_MAX = 4_096
"""Tokens remembered: more than all partners use at once."""

BEARER = "bearer "


@dataclass(frozen=True, slots=True)
class Caller:
    """The party behind a request, the key it used, and why it asks, as far as its token says.

    `purpose`, `case_ref` and `sub` (the acting officer, by post) are what the agency itself signed.
    """

    party: str
    kid: str
    scope: str
    exp: int
    purpose: str | None = None
    case_ref: str | None = None
    sub: str | None = None

    @property
    def is_admin(self) -> bool:
        """Tell whether this caller may read what administrators read."""
        return self.scope == "admin"

    @property
    def may_subscribe(self) -> bool:
        """Tell whether this caller may change what it reads: subscriptions, their cursors."""
        return self.scope == "subscribe"

    @property
    def has_purpose(self) -> bool:
        """Tell whether it says why it reads, and for which case."""
        return self.purpose is not None and self.case_ref is not None

    @property
    def reasons(self) -> tuple[tuple[str, str], ...]:
        """Why it reads, as the record of the reading keeps it: names with values."""
        given = {"purpose": self.purpose, "case_ref": self.case_ref, "sub": self.sub}
        return tuple((name, value) for name, value in given.items() if value is not None)


class Tokens:
    """Verified tokens, newest last. Used by the event loop's thread alone."""

    def __init__(self) -> None:
        """Begin with nothing remembered."""
        self._cache: OrderedDict[bytes, Caller] = OrderedDict()

    def knows(self, authorization: str | None) -> bool:
        """Tell whether this token was verified before, so that looking at it costs nothing."""
        return authorization is not None and _digest(_raw(authorization)) in self._cache

    def caller(self, authorization: str | None, directory: Directory, now: int) -> Caller:
        """Return who calls, or raise Unauthorized saying what is wrong with the token."""
        if authorization is None or not authorization.lower().startswith(BEARER):
            raise Unauthorized
        raw = _raw(authorization)
        digest = _digest(raw)
        caller = self._cache.get(digest)
        if caller is None:
            caller = self._remember(digest, _open(raw, directory, now))
        if now >= caller.exp:
            raise Unauthorized("The token has expired.")
        try:
            directory.active_key(caller.kid, caller.party, now)
        except Refusal as refusal:
            raise Unauthorized(str(refusal)) from refusal
        return caller

    def _remember(self, digest: bytes, caller: Caller) -> Caller:
        self._cache[digest] = caller
        if len(self._cache) > CACHE_MAX:
            self._cache.popitem(last=False)
        return caller


def _raw(authorization: str) -> bytes:
    return authorization[len(BEARER) :].strip().encode("latin-1", "replace")


def _digest(raw: bytes) -> bytes:
    return hashlib.sha256(raw).digest()


def _open(raw: bytes, directory: Directory, now: int) -> Caller:
    if raw.startswith(PREFIX.encode()):
        raise Unauthorized("A read token reads /taxii2/ and /misp/ alone. `lintas token` prints one for here.")
    try:
        line = parse(raw, TOKEN)
        check(line, directory.key(line.header.kid, line.header.iss).public)
    except LintasError as refusal:
        raise Unauthorized(str(refusal)) from refusal
    return _accept(line.header, line.payload, directory, now)


def _accept(header: Header, payload: bytes, directory: Directory, now: int) -> Caller:
    assert header.exp is not None
    assert header.scope is not None
    if header.aud != directory.hub:
        raise Unauthorized("The token is for another hub.")
    if payload:
        raise Unauthorized("The payload of a token is empty.")
    if header.iat > now + SKEW_S:
        raise Unauthorized("The token is dated in the future.")
    if not 0 < header.exp - header.iat <= TOKEN_LIFE_S_MAX:
        raise Unauthorized(f"A token lives at most {TOKEN_LIFE_S_MAX} seconds.")
    if (header.scope == "admin") != header.iss.startswith("admin/"):
        raise NotAllowed("Administrators read with scope `admin`, agencies with scope `read`.", member="scope")
    return Caller(
        party=header.iss,
        kid=header.kid,
        scope=header.scope,
        exp=header.exp,
        purpose=header.purpose,
        case_ref=header.case_ref,
        sub=header.sub,
    )
