"""Tests of the event, one leaf of the log."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from lintas.directory import CONTROL_KINDS
from lintas.errors import BadProof
from lintas.event import KINDS, OUTCOMES, SALT_BYTES, Event, encode, entry_of, parse_event
from lintas.strict import canonical

EVENT = Event(
    "bulletin.accepted", 1_795_467_600_000_001, "my-police", 3, "A" * 43, {"topic": "cyber", "released": ["sg-fiu"]}
)
SALT = bytes(range(SALT_BYTES))
MEMBERS = json.loads(encode(EVENT, SALT))


def test_event_round_trip() -> None:
    """An event comes back from its bytes."""
    assert parse_event(encode(EVENT, SALT)) == EVENT


def test_event_without_object() -> None:
    """An event may be about nothing in particular."""
    event = Event("view.read", 1, "my-police", 1, None, {})

    assert event == parse_event(encode(event, SALT))


def test_bytes_are_canonical() -> None:
    """The body has one spelling: sorted members, no spaces, the version, the salt."""
    assert (
        b'{"detail":{},"kind":"view.read","object":null,"party":"my-police","party_seq":1,'
        b'"salt":"AAECAwQFBgcICQoLDA0ODw","time":2,"v":1}'
    ) == encode(Event("view.read", 2, "my-police", 1, None, {}), SALT)


def test_entry_is_the_hash_of_the_body() -> None:
    """The log's entry is the hash of the body."""
    body = encode(EVENT, SALT)

    assert hashlib.sha256(body).digest() == entry_of(body)


def test_salt_hides_the_event() -> None:
    """The same event with another salt has another entry."""
    assert entry_of(encode(EVENT, SALT)) != entry_of(encode(EVENT, bytes(SALT_BYTES)))


BAD: dict[str, dict[str, Any]] = {
    "version": {"v": 2},
    "kind": {"kind": 7},
    "party": {"party": None},
    "salt": {"salt": 7},
    "time": {"time": "1"},
    "time of truth": {"time": True},
    "party_seq": {"party_seq": None},
    "party_seq of truth": {"party_seq": True},
    "object": {"object": 7},
    "detail": {"detail": []},
    "more": {"more": 1},
}


@pytest.mark.parametrize("odd", BAD.values(), ids=BAD)
def test_event_is_strict(odd: dict[str, Any]) -> None:
    """A member of another type, or one more, is refused."""
    with pytest.raises(BadProof):
        parse_event(canonical(MEMBERS | odd))


@pytest.mark.parametrize("name", MEMBERS)
def test_member_is_missing(name: str) -> None:
    """A member less is refused."""
    with pytest.raises(BadProof):
        parse_event(canonical({other: value for other, value in MEMBERS.items() if other != name}))


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"v":1,"v":1}', b"\xff"], ids=repr)
def test_no_event(body: bytes) -> None:
    """Bytes that are no strict object are refused."""
    with pytest.raises(BadProof):
        parse_event(body)


def test_kinds_have_outcomes() -> None:
    """Every kind has one of four outcomes; those of the directory are among the kinds."""
    assert {"accepted", "refused", "failed", "done"} == OUTCOMES
    assert set() == CONTROL_KINDS - set(KINDS)
