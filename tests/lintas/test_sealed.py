"""Sealed payloads: what opens, and every way in which a dishonest sender, hub or middle makes one that must not."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lintas.bulletin import Bulletin, parse
from lintas.errors import MalformedPayload, SealedToOldKey, TooLarge
from lintas.header import BULLETIN
from lintas.keys import SigningKey
from lintas.line import make_head, sign_under
from lintas.line import parse as parse_line
from lintas.opening import OpeningKey
from lintas.sealed import (
    ENCAPSULATED_BYTES,
    PADDED_BYTES_MIN,
    WRAP_BYTES,
    Sealed,
    check_inside,
    commit,
    pad,
    read_sealed,
    seal,
    unseal,
)
from lintas.strict import b64u, canonical, unb64u

FIRST, SECOND, STRANGER = (OpeningKey.from_seed(bytes([number]) * 32) for number in range(1, 4))
HEAD, OTHER_HEAD = "eyJ0bHAiOiJSRUQifQ", "eyJ0bHAiOiJDTEVBUiJ9"
CONTENT = b'{"summary":"FICTIONAL.","title":"Sealed"}'
CONTENT_KEY = bytes(range(32))


def sealed_to(
    *keys: OpeningKey, head: str = HEAD, content: bytes = CONTENT, content_key: bytes = CONTENT_KEY
) -> Sealed:
    """Return content sealed to these keys."""
    return read_sealed(seal(content, head=head, to={key.kid: key.public for key in keys}, content_key=content_key))


def members_of(sealed: Sealed) -> dict[str, Any]:
    """Return a sealed payload as its JSON members."""
    wraps = {kid: b64u(wrap) for kid, wrap in sealed.to.items()}
    return {"to": wraps, "kc": b64u(sealed.commitment), "ct": b64u(sealed.ciphertext)}


WHOLE = sealed_to(FIRST, SECOND)


@pytest.mark.parametrize("key", [FIRST, SECOND])
def test_each_recipient_opens(key: OpeningKey) -> None:
    """Whoever it is sealed to opens the same content, whatever other keys it holds."""
    assert CONTENT == unseal(WHOLE, head=HEAD, keys=[STRANGER, key]).rstrip(b" ")


def test_nobody_else_opens() -> None:
    """Without a key that it is sealed to, nothing opens and nothing is claimed about its sender."""
    with pytest.raises(SealedToOldKey):
        unseal(WHOLE, head=HEAD, keys=[STRANGER])


def test_same_content_twice() -> None:
    """Two sealings of one content share nothing that an onlooker could compare, but their length."""
    first, second = (
        seal(CONTENT, head=HEAD, to={FIRST.kid: FIRST.public}, content_key=secrets.token_bytes(32)) for _ in "12"
    )
    one, other = json.loads(first), json.loads(second)

    assert len(first) == len(second)
    assert {"to": False, "kc": False, "ct": False} == {name: one[name] == other[name] for name in one}


def swapped() -> Sealed:
    """Exchange the wraps of two recipients."""
    return replace(WHOLE, to={FIRST.kid: WHOLE.to[SECOND.kid], SECOND.kid: WHOLE.to[FIRST.kid]})


def other_content_key() -> Sealed:
    """Give the first recipient another content key than the second, and other content with it."""
    other = sealed_to(FIRST, content=b'{"title":"Other"}', content_key=bytes(32))
    return replace(WHOLE, to={**WHOLE.to, FIRST.kid: other.to[FIRST.kid]}, ciphertext=other.ciphertext)


def short_content_key() -> Sealed:
    """Wrap a content key of sixteen bytes, with a commitment that fits it."""
    key = bytes(16)
    short = json.loads(seal(CONTENT, head=HEAD, to={FIRST.kid: FIRST.public}, content_key=key))
    return Sealed({FIRST.kid: unb64u(short["to"][FIRST.kid])}, commit(key), unb64u(short["ct"]))


def small_order() -> Sealed:
    """Send the neutral element as X25519 half of the encapsulation."""
    wrap = WHOLE.to[FIRST.kid]
    point = bytes(32)
    return replace(WHOLE, to={FIRST.kid: wrap[: ENCAPSULATED_BYTES - 32] + point + wrap[ENCAPSULATED_BYTES:]})


def flipped(place: int) -> Callable[[], Sealed]:
    """Flip a bit of a wrap."""

    def change() -> Sealed:
        wrap = bytearray(WHOLE.to[FIRST.kid])
        wrap[place] ^= 1
        return replace(WHOLE, to={FIRST.kid: bytes(wrap)})

    return change


def last_flipped() -> Sealed:
    """Flip the last bit of the ciphertext."""
    return replace(WHOLE, ciphertext=WHOLE.ciphertext[:-1] + bytes([WHOLE.ciphertext[-1] ^ 1]))


def truncated() -> Sealed:
    """Cut the content to half of its padded length, the tag kept."""
    long = sealed_to(FIRST, content=CONTENT.ljust(2 * PADDED_BYTES_MIN))
    return replace(long, ciphertext=long.ciphertext[:PADDED_BYTES_MIN] + long.ciphertext[-16:])


ATTACKS: dict[str, tuple[Callable[[], Sealed], str]] = {
    "swapped wraps": (swapped, "to"),
    "other content key": (other_content_key, "kc"),
    "short content key": (short_content_key, "kc"),
    "commitment to another": (lambda: replace(WHOLE, commitment=commit(bytes(32))), "kc"),
    "point of small order": (small_order, "to"),
    "lattice half changed": (flipped(0), "to"),
    "X25519 half changed": (flipped(ENCAPSULATED_BYTES - 32), "to"),
    "wrapped key changed": (flipped(ENCAPSULATED_BYTES), "to"),
    "tag of the wrap changed": (flipped(WRAP_BYTES - 1), "to"),
    "ciphertext changed": (last_flipped, "ct"),
    "ciphertext truncated": (truncated, "ct"),
    "ciphertext of another header": (
        lambda: replace(WHOLE, ciphertext=sealed_to(FIRST, head=OTHER_HEAD).ciphertext),
        "ct",
    ),
}


@pytest.mark.parametrize(("attack", "member"), ATTACKS.values(), ids=ATTACKS)
def test_attack(attack: Callable[[], Sealed], member: str) -> None:
    """What was not sealed to us as it says is refused with the member that does not fit."""
    with pytest.raises(MalformedPayload) as caught:
        unseal(attack(), head=HEAD, keys=[FIRST])

    assert member == caught.value.member


def test_bound_to_its_header() -> None:
    """Stripped of its signature and signed under another header, sealed content does not open."""
    with pytest.raises(MalformedPayload) as caught:
        unseal(WHOLE, head=OTHER_HEAD, keys=[FIRST])

    assert "to" == caught.value.member


WRAP = b64u(bytes(WRAP_BYTES))
SHAPES: dict[str, tuple[dict[str, Any], str]] = {
    "no recipients": ({"to": {}}, "to"),
    "recipients in a list": ({"to": [FIRST.kid]}, "to"),
    "no kid": ({"to": {"my-police": WRAP}}, "to"),
    "too many recipients": ({"to": {b64u(number.to_bytes(32, "big")): WRAP for number in range(258)}}, "to"),
    "short wrap": ({"to": {FIRST.kid: b64u(bytes(WRAP_BYTES - 1))}}, "to"),
    "long wrap": ({"to": {FIRST.kid: b64u(bytes(WRAP_BYTES + 1))}}, "to"),
    "wrap is no text": ({"to": {FIRST.kid: 7}}, "to"),
    "padded base64": ({"to": {FIRST.kid: WRAP + "="}}, "to"),
    "short commitment": ({"kc": b64u(bytes(31))}, "kc"),
    "commitment with unused bits": ({"kc": "A" * 42 + "B"}, "kc"),
    "content without padding": ({"ct": b64u(bytes(1025 + 16))}, "ct"),
    "content too short": ({"ct": b64u(bytes(512 + 16))}, "ct"),
    "no content": ({"ct": ""}, "ct"),
    "tag alone": ({"ct": b64u(bytes(16))}, "ct"),
    "shorter than a tag": ({"ct": b64u(bytes(8))}, "ct"),
    "another member": ({"aad": "x"}, "aad"),
}


@pytest.mark.parametrize(("changes", "member"), SHAPES.values(), ids=SHAPES)
def test_shape(changes: dict[str, Any], member: str) -> None:
    """A payload of another shape is refused by anyone, key or no key."""
    with pytest.raises(MalformedPayload) as caught:
        read_sealed(canonical(members_of(WHOLE) | changes))

    assert member == caught.value.member


@pytest.mark.parametrize("member", ["to", "kc", "ct"])
def test_each_member_is_needed(member: str) -> None:
    """A missing member is named."""
    members = members_of(WHOLE)
    del members[member]

    with pytest.raises(MalformedPayload) as caught:
        read_sealed(canonical(members))

    assert member == caught.value.member


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b'{"to":{},"to":{}}'])
def test_no_object(data: bytes) -> None:
    """What is no strict JSON object is no sealed payload."""
    with pytest.raises(MalformedPayload):
        read_sealed(data)


@given(st.binary(max_size=5_000))
def test_padding(content: bytes) -> None:
    """Padded content is a power of two, a kibibyte at least and never twice what is needed, with spaces behind."""
    padded = pad(content)

    assert content + b" " * (len(padded) - len(content)) == padded
    assert 1 == len(padded).bit_count()
    assert len(padded) == PADDED_BYTES_MIN or len(padded) < 2 * len(content)


def test_padding_is_json() -> None:
    """Padded content is read as it is: spaces behind the object mean nothing."""
    assert "Sealed" == parse(pad(CONTENT), kind="alert").title


@given(content=st.binary(min_size=1, max_size=3_000), content_key=st.binary(min_size=32, max_size=32))
def test_round_trip(content: bytes, content_key: bytes) -> None:
    """Whatever was sealed is what opens."""
    assert pad(content) == unseal(sealed_to(SECOND, content=content, content_key=content_key), head=HEAD, keys=[SECOND])


def content(**members: Any) -> Bulletin:
    """Return content of an alert, or of the kind given."""
    kind = members.pop("kind", "alert")
    return parse(canonical({"title": "Fictional", "summary": "FICTIONAL."} | members), kind=kind)


NAMED = {"named_recipients": ["sg-fiu/duty-officer"], "marking_reason": "FICTIONAL. The source is in danger."}
INSIDE: dict[str, tuple[Bulletin, str, str | None]] = {
    "anything else": (content(), "AMBER", None),
    "whole recall": (content(kind="recall", reason="false-positive"), "AMBER", None),
    "partial recall": (
        content(
            kind="recall", reason="false-positive", indicators=[{"type": "ip", "value": "203.0.113.7", "role": "x"}]
        ),
        "AMBER",
        "indicators",
    ),
    "post of a stranger": (content(named_recipients=["my-ct/duty-officer"]), "AMBER", "named_recipients"),
    "RED": (content(**NAMED), "RED", None),
    "RED for nobody": (content(marking_reason="FICTIONAL."), "RED", "named_recipients"),
    "RED for no reason": (content(named_recipients=NAMED["named_recipients"]), "RED", "marking_reason"),
    "RED for a stranger": (
        content(**NAMED | {"named_recipients": ["my-ct/duty-officer", "sg-fiu/duty-officer"]}),
        "RED",
        "named_recipients",
    ),
}


@pytest.mark.parametrize(("inside", "tlp", "member"), INSIDE.values(), ids=INSIDE)
def test_inside(inside: Bulletin, tlp: str, member: str | None) -> None:
    """What the hub cannot see is checked by whoever opens it."""
    try:
        check_inside(inside, tlp=tlp, release_to=("id-police", "sg-fiu"))
        found = None
    except MalformedPayload as fault:
        found = fault.member

    assert member == found


def test_many_recipients_are_too_large() -> None:
    """Sealed to more than a line can hold, it is refused before it is sent."""
    signer = SigningKey.from_seed(bytes(32))
    members = {
        "typ": BULLETIN,
        "iss": "my-police",
        "aud": "lintas.example-k3v9q2xa",
        "iat": 1,
        "exp": 2,
        "kind": "alert",
        "topic": "cyber",
        "tlp": "AMBER",
        "release_to": ["sg-fiu"],
        "urgency": "routine",
        "enc": "hpke",
    }
    wraps = {b64u(number.to_bytes(32, "big")): WRAP for number in range(125)}
    payload = canonical(members_of(WHOLE) | {"to": wraps})

    with pytest.raises(TooLarge):
        parse_line(sign_under(make_head(members, signer), payload, signer))
