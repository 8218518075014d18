"""Who reads by a read token, or by a self-signed one, where programs call that speak other protocols.

Read tokens are in the directory, so an order, a revocation, a suspension counts here from the log index on at which it
counts everywhere. Nothing is cached: a secret of 256 bits is checked by one SHA-256, and no cache has to be told of
every change. Pure; what a reader may have of a feed is narrowed here by its token's bounds.
Spec: docs/spec/read-tokens.md; RFC 7617 (Basic), RFC 6750 (Bearer).
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, replace

from broker import policy
from broker.auth import BEARER, Caller
from broker.store.lines import Reader, StoredLine
from lintas.directory import Directory
from lintas.errors import Refusal, Unauthorized
from lintas.read_token import CEILINGS, EVERY_AREA, PREFIX, Address, ReadToken, read_token
from lintas.vocabulary import tlp_rank

BASIC = "basic "
REFUSED = "The hub does not know this read token, or not from your address. `lintas read-token list` shows yours."
"""One answer to whoever has no token, another one's, or one from elsewhere."""

OVER = "The read token has expired. Make another one with `lintas read-token issue`."


@dataclass(frozen=True, slots=True)
class ReadCaller:
    """The agency behind a request, and within which bounds it reads.

    `ceiling` is a marking, `areas` are topics without sub-topics or ``*``. Either `token` is what it called with, or
    `signed` is the caller that its self-signed token named.
    """

    agency: str
    ceiling: str
    areas: tuple[str, ...]
    token: ReadToken | None = None
    signed: Caller | None = None

    @property
    def token_id(self) -> str | None:
        """The id of the read token; None for a self-signed one."""
        return None if self.token is None else self.token.id

    @property
    def reasons(self) -> tuple[tuple[str, str], ...]:
        """Why it reads, as the record of the reading keeps it; a read token cannot say."""
        return () if self.signed is None else self.signed.reasons

    def way(self, door: str) -> str:
        """Return by which way a bulletin goes that is given at a door: ``misp/<token id>``, or ``misp`` alone."""
        return door if self.token is None else f"{door}/{self.token.id}"

    def fault(self, directory: Directory, now: int) -> Refusal | None:
        """Return why nothing may leave for it any more, None while it may; asked again where a reading is recorded."""
        if self.token is not None:
            if directory.read_tokens.get(self.token.id) != self.token:
                return Unauthorized(REFUSED)
            return Unauthorized(OVER) if now >= self.token.until else None
        assert self.signed is not None
        try:
            directory.active_key(self.signed.kid, self.signed.party, now)
        except Refusal as refusal:
            return Unauthorized(str(refusal))
        return None

    @property
    def tlp_rank_max(self) -> int:
        """The rank of its ceiling."""
        return tlp_rank(self.ceiling)

    @property
    def topics(self) -> frozenset[str] | None:
        """The topics of its areas, None for all."""
        return policy.covered(self.areas)

    def covers(self, row: StoredLine) -> bool:
        """Tell whether a bulletin lies within its bounds; unlike grants they hold for withdrawals too."""
        topics = self.topics
        return (row.tlp_rank or 0) <= self.tlp_rank_max and (topics is None or row.topic in topics)

    def narrowed(self, reader: Reader) -> Reader:
        """Return what it may read of a feed. Withdrawals come past these bounds as past grants: ask `covers`."""
        mine, topics = self.topics, reader.topics
        if mine is not None:
            topics = mine if topics is None else mine & topics
        return replace(reader, topics=topics, tlp_rank_max=min(reader.tlp_rank_max, self.tlp_rank_max))


def text_of(authorization: str | None) -> str | None:
    """Return the read token of an Authorization header, as Bearer or as the password of any user; None without one."""
    if authorization is None:
        return None
    if authorization.lower().startswith(BEARER):
        text = authorization[len(BEARER) :].strip()
    elif authorization.lower().startswith(BASIC):
        text = _password(authorization[len(BASIC) :].strip())
    else:
        return None
    return text if text.startswith(PREFIX) else None


def is_known(text: str, directory: Directory) -> bool:
    """Tell whether the directory has this read token, from wherever it comes."""
    return _proven(text, directory) is not None


def find(text: str, directory: Directory, now: int, address: Address | None) -> ReadCaller:
    """Return who calls with this read token from this address; raise Unauthorized."""
    found = _proven(text, directory)
    if found is None or not found.may_come_from(address):
        raise Unauthorized(REFUSED)
    if now >= found.until:
        # Told to whoever holds the secret alone.
        raise Unauthorized(OVER)
    return ReadCaller(found.agency, found.ceiling, found.areas, token=found)


def of_signed(caller: Caller) -> ReadCaller:
    """Return an agency that called with a self-signed token: it reads as widely as any read token might."""
    return ReadCaller(caller.party, CEILINGS[-1], EVERY_AREA, signed=caller)


def _proven(text: str, directory: Directory) -> ReadToken | None:
    parts = read_token(text)
    found = None if parts is None else directory.read_tokens.get(parts[0])
    return found if parts is not None and found is not None and found.is_proven_by(parts[1]) else None


def _password(encoded: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode("ascii").partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""
