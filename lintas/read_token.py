"""A read token, for programs that know no other way of calling than a fixed secret.

An agency orders one for its TAXII client or its MISP; the client makes the secret, whose SHA-256 alone is in the order.
It reads, bounded by marking, areas, addresses, time; it never publishes and opens no other door of a hub. A token
that a directory has was not ended: by order, or because the key that ordered it was revoked. Its own end is `until`.
Spec: docs/spec/read-tokens.md.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import itertools
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from lintas import vocabulary
from lintas.errors import MalformedPayload
from lintas.header import ID_PATTERN, is_id
from lintas.strict import b64u, unb64u

TOKENS_MAX = 16
"""Read tokens of an agency at a time: one for each tool of each desk, so that one can be ended alone."""

ADDRESSES_MAX = 16
"""Networks that a token may be used from."""

LABEL_CHARACTERS_MAX = 64
CEILINGS = ("CLEAR", "GREEN", "AMBER")
"""Nothing narrower leaves by a fixed secret, whatever the agency may read."""

EVERY_AREA = ("*",)
PREFIX = "lts_"
ID_CHARACTERS = 12
_ID = re.compile(rf"[a-z2-7]{{{ID_CHARACTERS}}}")
_TEXT = re.compile(rf"{PREFIX}([a-z2-7]{{{ID_CHARACTERS}}})_({ID_PATTERN})")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class ReadToken:
    """A token as its order made it. `areas` are topics without sub-topics, or ``*``; `until` is in Unix seconds.

    `addresses` are the networks that it may be used from, none for everywhere; `by` is the key that ordered it, `seq`
    the index of its event.
    """

    id: str
    agency: str
    digest: str
    ceiling: str
    areas: tuple[str, ...]
    until: int
    addresses: tuple[str, ...]
    by: str
    seq: int

    @property
    def networks(self) -> tuple[Network, ...]:
        """The addresses as networks."""
        return tuple(map(ipaddress.ip_network, self.addresses))

    def is_proven_by(self, secret: str) -> bool:
        """Tell, in the same time for every answer, whether this is the secret."""
        return hmac.compare_digest(digest_of(secret), self.digest)

    def may_come_from(self, address: Address | None) -> bool:
        """Tell whether it may be used from this address; None is an address that nobody knows."""
        if not self.addresses:
            return True
        return address is not None and any(
            address.version == network.version and address in network for network in self.networks
        )


def write_token(token_id: str, secret: str) -> str:
    """Return a token as it is given to a program."""
    return f"{PREFIX}{token_id}_{secret}"


def read_token(text: str) -> tuple[str, str] | None:
    """Return id and secret of what `write_token` wrote, None for anything else."""
    found = _TEXT.fullmatch(text)
    return None if found is None else (found[1], found[2])


def canonical_addresses(given: Iterable[str]) -> list[str]:
    """Return addresses and networks as an order has them, sorted, each once; raise MalformedPayload."""
    try:
        return sorted({str(ipaddress.ip_network(each.strip())) for each in given})
    except ValueError as fault:
        raise MalformedPayload(
            f"{fault}: name addresses or networks such as 203.0.113.0/24.", member="addresses"
        ) from fault


def digest_of(secret: str) -> str:
    """Return what an order says of a secret: SHA-256 of its characters, base64url."""
    return b64u(hashlib.sha256(secret.encode()).digest())


def areas() -> frozenset[str]:
    """Return the topics that are no sub-topics."""
    return frozenset(topic for topic in vocabulary.load().topics if "." not in topic)


def is_token_id(value: object) -> bool:
    """Tell whether this is the id of a read token."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def is_digest(value: object) -> bool:
    """Tell whether this is a SHA-256 in base64url."""
    return is_id(value) and len(unb64u(str(value))) == hashlib.sha256().digest_size


def is_ceiling(value: object) -> bool:
    """Tell whether a token may have this ceiling."""
    return isinstance(value, str) and value in CEILINGS


def is_areas(value: object) -> bool:
    """Tell whether this is ``["*"]``, or areas of the vocabulary, sorted without repetition."""
    return value == list(EVERY_AREA) or (_is_sorted(value) and len(value) > 0 and areas().issuperset(value))


def is_addresses(value: object) -> bool:
    """Tell whether these are networks in their shortest spelling, sorted without repetition; none is good too."""
    return _is_sorted(value) and len(value) <= ADDRESSES_MAX and all(map(_is_network, value))


def is_label(value: object) -> bool:
    """Tell whether this is one line of text that says what a token is for."""
    return isinstance(value, str) and 1 <= len(value) <= LABEL_CHARACTERS_MAX and value.isprintable()


def issued(tokens: Mapping[str, ReadToken], detail: Mapping[str, Any], *, seq: int, at: int) -> dict[str, ReadToken]:
    """Return the tokens with a new one that was ordered at second `at`; those that are over by then are left out."""
    new = ReadToken(
        id=detail["token"],
        agency=detail["agency"],
        digest=detail["digest"],
        ceiling=detail["ceiling"],
        areas=tuple(detail["areas"]),
        until=detail["until"],
        addresses=tuple(detail["addresses"]),
        by=detail["by"],
        seq=seq,
    )
    return {each.id: each for each in (*tokens.values(), new) if each.until > at}


def without(tokens: Mapping[str, ReadToken], token_id: str) -> dict[str, ReadToken]:
    """Return the tokens but one."""
    return {each.id: each for each in tokens.values() if each.id != token_id}


def not_ordered_by(tokens: Mapping[str, ReadToken], kids: Collection[str]) -> dict[str, ReadToken]:
    """Return the tokens that none of these keys ordered."""
    return {each.id: each for each in tokens.values() if each.by not in kids}


def _is_sorted(value: object) -> TypeGuard[list[str]]:
    return (
        isinstance(value, list)
        and all(isinstance(each, str) for each in value)
        and all(a < b for a, b in itertools.pairwise(value))
    )


def _is_network(text: str) -> bool:
    try:
        return str(ipaddress.ip_network(text)) == text
    except ValueError:
        return False
