"""Tests of the signed line: what is read, what is signed, what it is called."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from lintas.errors import BadSignature, MalformedLine, TooLarge, WrongType
from lintas.header import ACK, BULLETIN, KEY, LINE_BYTES_MAX, ORDER, TOKEN
from lintas.line import check, is_nested, line_id, parse, sign
from lintas.strict import b64u

if TYPE_CHECKING:
    from tests.lintas.conftest import Ledger

EXTRA: dict[str, dict[str, Any]] = {
    BULLETIN: {"exp": 2, "kind": "alert", "topic": "cyber", "tlp": "GREEN", "release_to": ["*"], "urgency": "routine"},
    KEY: {},
    ORDER: {},
    ACK: {},
    TOKEN: {"exp": 2, "scope": "read"},
}


@pytest.mark.parametrize("typ", EXTRA)
def test_line_round_trip(empty_ledger: Ledger, typ: str) -> None:
    """What was signed parses to the same header and payload, and its signature holds."""
    line = empty_ledger.line(typ, "my-police", b"{}", **EXTRA[typ])

    found = parse(line.raw, typ)

    check(found, empty_ledger.key("my-police").public)
    assert (line, b"{}", "my-police", "Ed25519") == (found, found.payload, found.header.iss, found.header.alg)


def test_id_is_the_hash_of_the_bytes(empty_ledger: Ledger) -> None:
    """The id of a line is the hash of all its bytes."""
    line = empty_ledger.line(ORDER, "admin/one", {})

    assert b64u(hashlib.sha256(line.raw).digest()) == line.id == line_id(line.raw)


def test_signing_input_is_what_was_signed(empty_ledger: Ledger) -> None:
    """Header and payload parts with the dot between were signed."""
    line = empty_ledger.line(ORDER, "admin/one", {})

    assert line.raw.rpartition(b".")[0] == line.signing_input


def test_two_keys_are_not_confused(empty_ledger: Ledger) -> None:
    """A line does not verify under another key."""
    line = empty_ledger.line(ORDER, "admin/one", {})

    with pytest.raises(BadSignature):
        check(line, empty_ledger.key("admin/two").public)


def test_type_is_demanded(empty_ledger: Ledger) -> None:
    """A line of another kind than asked for is refused."""
    line = empty_ledger.line(ORDER, "admin/one", {})

    with pytest.raises(WrongType):
        parse(line.raw, KEY)


@pytest.mark.parametrize("typ", EXTRA)
def test_size_is_bounded_before_parsing(typ: str) -> None:
    """Bytes beyond the limit of a kind are refused before they are looked at."""
    with pytest.raises(TooLarge):
        parse(b"\xff" * (LINE_BYTES_MAX[typ] + 1), typ)


def test_size_is_bounded_without_a_type() -> None:
    """Bytes beyond every limit are refused before they are looked at."""
    with pytest.raises(TooLarge):
        parse(b"\xff" * (max(LINE_BYTES_MAX.values()) + 1))


def test_size_is_bounded_by_the_type_found(empty_ledger: Ledger) -> None:
    """Where any kind is taken, each still has its own limit."""
    members = {"typ": ACK, "iss": "my-police", "aud": "lintas.example-k3v9q2xa", "iat": 1}
    raw = sign(members, bytes(LINE_BYTES_MAX[ACK]), empty_ledger.key("my-police"))

    with pytest.raises(TooLarge):
        parse(raw)


@pytest.mark.parametrize(("more", "is_taken"), [(0, True), (1, False)])
def test_size_is_exact(empty_ledger: Ledger, more: int, *, is_taken: bool) -> None:
    """A line of exactly the limit is read, one of a byte more is not."""
    members = {"typ": ACK, "iss": "my-police", "aud": "lintas.example-k3v9q2xa", "iat": 1}
    room = LINE_BYTES_MAX[ACK] - len(sign(members, b"", empty_ledger.key("my-police")))
    payload = bytes(room * 3 // 4 + more)
    raw = sign(members, payload, empty_ledger.key("my-police"))

    assert (is_taken, LINE_BYTES_MAX[ACK] >= len(raw)) == (_is_read(raw), is_taken)


def _is_read(raw: bytes) -> bool:
    try:
        parse(raw, ACK)
    except TooLarge:
        return False
    return True


def test_nothing_is_signed_that_no_hub_takes(empty_ledger: Ledger) -> None:
    """A header that breaks the rules is refused before its signature is made."""
    with pytest.raises(MalformedLine):
        sign({"typ": ORDER, "iss": "nobody"}, b"{}", empty_ledger.key("admin/one"))


def test_nested_line_is_told_from_an_object(empty_ledger: Ledger) -> None:
    """A payload that is a line is told from one that is an object."""
    inner = empty_ledger.line(ORDER, "admin/one", {})
    outer = empty_ledger.line(ORDER, "admin/two", inner.raw)

    assert (False, True) == (is_nested(inner), is_nested(outer))
