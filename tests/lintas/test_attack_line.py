"""Attacks on the opener of lines: each is a line whose every other part is sound, signature included.

The opener is what a hub runs before it knows anything of the sender: `parse`, the key record, `check`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lintas import ed25519
from lintas.directory import Directory
from lintas.errors import BadSignature, LintasError, MalformedLine, TooLarge, UnknownKey, WeakKey, WrongType
from lintas.header import ACK, BULLETIN, HEADER_BYTES_MAX, KEY, LINE_BYTES_MAX, ORDER, TOKEN
from lintas.jwk import public_of_jwk
from lintas.keys import SigningKey
from lintas.line import Line, check, parse
from lintas.strict import b64u, unb64u

if TYPE_CHECKING:
    from tests.lintas.conftest import Ledger

NOW = 1_795_467_600
HUB = "exercise.lintas.example-k3v9q2xa"
L = 2**252 + 27742317777372353535851937790883648493
IDENTITY = b"\x01" + bytes(31)


def open_line(raw: bytes, directory: Directory, typ: str = BULLETIN) -> Line:
    """Open a line as a hub does before it looks at clocks and grants."""
    line = parse(raw, typ)
    check(line, directory.key(line.header.kid, line.header.iss).public)
    return line


def members(key: SigningKey, **other: Any) -> dict[str, Any]:
    """Return the header of a sound bulletin of my-police, with some members other."""
    return {
        "alg": "Ed25519",
        "typ": BULLETIN,
        "kid": key.kid,
        "iss": "my-police",
        "aud": HUB,
        "iat": NOW,
        "exp": NOW + 86_400,
        "kind": "alert",
        "topic": "cyber.scam",
        "tlp": "AMBER",
        "release_to": ["sg-fiu"],
        "urgency": "urgent",
        **other,
    }


def forge(header: bytes | dict[str, Any], key: SigningKey, payload: bytes = b"{}") -> bytes:
    """Sign any header bytes whatever with a key on record."""
    data = header if isinstance(header, bytes) else json.dumps(header).encode()
    signing_input = f"{b64u(data)}.{b64u(payload)}".encode()
    return signing_input + b"." + b64u(key.sign(signing_input)).encode()


def test_sound_line_opens(ledger: Ledger) -> None:
    """What the attacks below start from is itself accepted, under both names of the algorithm."""
    key = ledger.key("my-police")

    found = [open_line(forge(members(key, alg=alg), key), ledger.directory).header.alg for alg in ("Ed25519", "EdDSA")]

    assert ["Ed25519", "EdDSA"] == found


ALGORITHMS: list[Any] = [
    "none",
    "nOnE",
    "HS256",
    "ES256",
    "RS256",
    "Ed448",
    "ed25519",
    "",
    ["Ed25519"],
    None,
    0,
    {},
    True,
]


@pytest.mark.parametrize("alg", ALGORITHMS, ids=repr)
def test_other_algorithm(ledger: Ledger, alg: Any) -> None:
    """No algorithm but the one of the key on record is spoken of."""
    key = ledger.key("my-police")

    with pytest.raises(MalformedLine) as caught:
        open_line(forge(members(key, alg=alg), key), ledger.directory)

    assert "alg" == caught.value.member


@pytest.mark.parametrize("name", ["alg", "typ", "kid", "iss", "aud", "iat", "exp", "release_to", "tlp"])
def test_member_is_missing(ledger: Ledger, name: str) -> None:
    """A header without a required member is refused by its name."""
    key = ledger.key("my-police")
    header = {other: value for other, value in members(key).items() if other != name}

    with pytest.raises(MalformedLine) as caught:
        open_line(forge(header, key), ledger.directory)

    assert name == caught.value.member


FOREIGN: dict[str, Any] = {
    "jwk": {"kty": "OKP", "crv": "Ed25519", "x": "A" * 43},
    "jku": "https://attacker.example/keys",
    "x5u": "https://attacker.example/cert",
    "x5c": ["MIIB"],
    "crit unknown": ["exp"],
    "crit empty": [],
    "crit alg": ["alg"],
    "b64": False,
    "zip": "DEF",
    "cty": "JWT",
    "nbf": NOW,
    "sub": "desk",
    "scope": "read",
    "x": 1,
    "": 1,
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_member(ledger: Ledger, name: str) -> None:
    """Whatever is not in the closed set refuses the line; nothing is ever looked up because of it."""
    key = ledger.key("my-police")
    member = name.split(" ", maxsplit=1)[0]

    with pytest.raises(MalformedLine) as caught:
        open_line(forge(members(key) | {member: FOREIGN[name]}, key), ledger.directory)

    assert member == caught.value.member


@pytest.mark.parametrize(
    "kid", ["../../etc/passwd", "' OR 1=1 --", 7, "A" * 44, "A" * 42, "", None, ["A" * 43]], ids=repr
)
def test_shapeless_kid(ledger: Ledger, kid: Any) -> None:
    """A key id that has not the shape of one is looked up nowhere."""
    key = ledger.key("my-police")

    with pytest.raises(MalformedLine) as caught:
        open_line(forge(members(key, kid=kid), key), ledger.directory)

    assert "kid" == caught.value.member


def test_kid_of_another_agency(ledger: Ledger) -> None:
    """A valid key signs for its own agency alone."""
    key = ledger.key("sg-fiu")

    with pytest.raises(UnknownKey):
        open_line(forge(members(key, release_to=["id-police"]), key), ledger.directory)


def test_kid_of_nobody(ledger: Ledger) -> None:
    """A sound line by a key that was never enrolled is refused."""
    key = ledger.key("stranger")

    with pytest.raises(UnknownKey):
        open_line(forge(members(key), key), ledger.directory)


def test_kid_of_the_agency_signed_by_another_key(ledger: Ledger) -> None:
    """Naming the agency's key is not signing with it."""
    with pytest.raises(BadSignature):
        open_line(forge(members(ledger.key("my-police")), ledger.key("sg-fiu")), ledger.directory)


def texts(good: bytes) -> dict[str, bytes]:
    """Return spellings of a good header that a lax parser might take."""
    return {
        "duplicate": good[:-1] + b', "alg": "none"}',
        "duplicate first": b'{"alg": "none", ' + good[1:],
        "duplicate escaped": good[:-1] + b', "al\\u0067": "Ed25519"}',
        "byte order mark": b"\xef\xbb\xbf" + good,
        "utf-16": good.decode().encode("utf-16"),
        "bad utf-8": good.replace(b"alert", b"al\xffrt"),
        "lone surrogate": good.replace(b"alert", b"\\ud800"),
        "nan": good.replace(b"1795467600", b"NaN"),
        "float": good.replace(b"1795467600", b"1795467600.0"),
        "exponent": good.replace(b"1795467600", b"1795467600e0"),
        "negative": good.replace(b"1795467600", b"-1"),
        "minus zero": good.replace(b"1795467600", b"-0"),
        "3,000 digits": good.replace(b"1795467600", b"9" * 3_000),
        "boolean": good.replace(b"1795467600", b"true"),
        "trailing data": good + b"{}",
        "trailing comma": good[:-1] + b",}",
        "array": b"[" + good + b"]",
        "string": json.dumps(good.decode()).encode(),
        "null": b"null",
        "empty": b"",
        "comment": b"/**/" + good,
        "1,200 deep": b"[" * 1_200 + b"]" * 1_200,
        "1,200 deep in a member": good[:-1] + b', "x": ' + b"[" * 1_200 + b"]" * 1_200 + b"}",
        "nul": good.replace(b"alert", b"alert\\u0000"),
        "nul raw": good.replace(b"alert", b"alert\0"),
        "too long": good + b" " * (HEADER_BYTES_MAX - len(good) + 1),
    }


@pytest.mark.parametrize("name", texts(b"{}"))
def test_header_that_parsers_read_differently(ledger: Ledger, name: str) -> None:
    """A header that two parsers could read as two things is refused."""
    key = ledger.key("my-police")
    header = texts(json.dumps(members(key)).encode())[name]

    with pytest.raises(MalformedLine):
        open_line(forge(header, key), ledger.directory)


UNICODE = {
    "homoglyph": ("iss", "m\u0443-police"),
    "full width": ("iss", "\uff4dy-police"),
    "composed": ("iss", "my-polic\u00e9"),
    "decomposed": ("iss", "my-police\u0301"),
    "bidi": ("iss", "my-\u202epolice"),
    "zero width": ("iss", "my-\u200bpolice"),
    "upper case": ("iss", "MY-POLICE"),
    "trailing dot": ("iss", "my-police."),
    "trailing newline": ("iss", "my-police\n"),
    "topic homoglyph": ("topic", "\u0441yber.scam"),
    "topic composed": ("topic", "cyber.sc\u00e3m"),
    "topic upper case": ("topic", "Cyber.Scam"),
    "topic trailing dot": ("topic", "cyber.scam."),
    "recipient homoglyph": ("release_to", ["sg-f\u0456u"]),
    "hub upper case": ("aud", HUB.upper()),
    "hub trailing dot": ("aud", f"{HUB}."),
}


@pytest.mark.parametrize(("member", "value"), UNICODE.values(), ids=UNICODE)
@pytest.mark.parametrize("is_escaped", [True, False], ids=["escaped", "raw"])
def test_look_alike(ledger: Ledger, member: str, value: Any, *, is_escaped: bool) -> None:
    """A name that only looks like another is refused, however it is encoded."""
    key = ledger.key("my-police")
    header = json.dumps(members(key, **{member: value}), ensure_ascii=is_escaped).encode()

    with pytest.raises(MalformedLine) as caught:
        open_line(forge(header, key), ledger.directory)

    assert member == caught.value.member


def spellings(good: bytes) -> dict[str, bytes]:
    """Return other spellings of a good line's base64 and of its shape."""
    head, payload, signature = good.split(b".")
    last = b"AEIMQUYcgkosw048".index(signature[-1:]) if signature[-1:] in b"AEIMQUYcgkosw048" else 0
    bits = b"BFJNRVZdhlptx159"[last : last + 1]
    return {
        "header padded": head + b"=." + payload + b"." + signature,
        "payload padded": head + b"." + payload + b"=." + signature,
        "signature padded": good + b"==",
        "standard alphabet": head + b"+/." + payload + b"." + signature,
        "inner space": head[:4] + b" " + head[4:] + b"." + payload + b"." + signature,
        "newline at the end": good + b"\n",
        "newline before": b"\n" + good,
        "newline in the signature": head + b"." + payload + b"." + signature[:-1] + b"\n",
        "signature bits": head + b"." + payload + b"." + signature[:-1] + bits,
        "payload bits": head + b".e31." + signature,
        "length of one": head + b".e30AA." + signature,
        "four parts": good + b".e30",
        "five parts": good + b".e30.e30",
        "two parts": head + b"." + payload,
        "one part": head,
        "empty": b"",
        "dots": b"..",
        "detached": head + b".." + signature,
        "empty header": b"." + payload + b"." + signature,
        "flattened": json.dumps({"protected": "e30", "payload": "e30", "signature": signature.decode()}).encode(),
        "latin": good + b"\xe9",
        "nul": good + b"\0",
        "short signature": good[:-1],
        "long signature": good + b"A",
        "not ascii digits": head + "\u0661".encode() + b"." + payload + b"." + signature,
    }


@pytest.mark.parametrize("name", [name for name in spellings(b"a.b.AA") if name != "detached"])
def test_other_spelling(ledger: Ledger, name: str) -> None:
    """A line has one spelling: any other is refused, or its id could be chosen."""
    key = ledger.key("my-police")
    raw = spellings(forge(members(key), key))[name]

    with pytest.raises(MalformedLine):
        open_line(raw, ledger.directory)


def test_detached_payload(ledger: Ledger) -> None:
    """A payload cut out is a payload changed."""
    key = ledger.key("my-police")

    with pytest.raises(BadSignature):
        open_line(spellings(forge(members(key), key))["detached"], ledger.directory)


def signatures(good: bytes) -> dict[str, bytes]:
    """Return signatures that a lax verifier takes for this good one."""
    r, s = good[:32], int.from_bytes(good[32:], "little")
    return {
        "s plus the order": r + (s + L).to_bytes(32, "little"),
        "s negated": r + (L - s).to_bytes(32, "little"),
        "zero": bytes(64),
        "neutral r": IDENTITY + bytes(32),
        "neutral r, good s": IDENTITY + good[32:],
        "r of order two": b"\xec" + b"\xff" * 30 + b"\x7f" + good[32:],
        "bit of r": bytes([r[0] ^ 1]) + good[1:],
        "bit of s": good[:-1] + bytes([good[-1] ^ 1]),
        "top bit of s": good[:-1] + bytes([good[-1] | 0x80]),
    }


@pytest.mark.parametrize("name", signatures(bytes(64)))
def test_other_signature(ledger: Ledger, name: str) -> None:
    """For one key and text there is one signature."""
    key = ledger.key("my-police")
    head, _, signature = forge(members(key), key).rpartition(b".")
    raw = head + b"." + b64u(signatures(unb64u(signature.decode()))[name]).encode()

    with pytest.raises(BadSignature):
        open_line(raw, ledger.directory)


@pytest.mark.parametrize(
    "x",
    [bytes(32), IDENTITY, b"\xec" + b"\xff" * 30 + b"\x7f", b"\xee" + b"\xff" * 30 + b"\x7f", b"\x02" + bytes(31)],
    ids=["order four", "neutral", "order two", "not canonical", "not on the curve"],
)
def test_crooked_key_is_never_on_record(x: bytes) -> None:
    """A key under which signatures could be made without its seed is not admitted."""
    with pytest.raises(WeakKey):
        public_of_jwk({"kty": "OKP", "crv": "Ed25519", "x": b64u(x)})


def test_neutral_signature_fits_a_crooked_key_elsewhere() -> None:
    """The rule on R stands by itself: with the neutral key it alone refuses what the equation accepts."""
    assert not ed25519.verify(IDENTITY, IDENTITY + bytes(32), b"anything")


@pytest.mark.parametrize("place", range(3), ids=["header", "payload", "signature"])
def test_swapped_part(ledger: Ledger, place: int) -> None:
    """A part of another sound line does not fit."""
    key = ledger.key("my-police")
    parts = forge(members(key), key).split(b".")
    parts[place] = forge(members(key, tlp="GREEN"), key, b'{"a":1}').split(b".")[place]

    with pytest.raises(BadSignature):
        open_line(b".".join(parts), ledger.directory)


@pytest.mark.parametrize(
    "edit",
    [{"tlp": "GREEN"}, {"topic": "drugs"}, {"release_to": ["id-police"]}, {"exp": NOW + 999_999}, {"urgency": "flash"},
     {"refs": ["recalls:" + "A" * 43]}],
    ids=["tlp", "topic", "release_to", "exp", "urgency", "refs"],
)  # fmt: skip
def test_edited_header(ledger: Ledger, edit: dict[str, Any]) -> None:
    """Marking, topic, recipients: nothing of the header can be edited on the way."""
    key = ledger.key("my-police")
    _, payload, signature = forge(members(key), key).split(b".")
    head = b64u(json.dumps(members(key) | edit).encode()).encode()

    with pytest.raises(BadSignature):
        open_line(b".".join((head, payload, signature)), ledger.directory)


TYPES = (BULLETIN, KEY, ORDER, ACK, TOKEN)


@pytest.mark.parametrize(("made", "taken"), [(made, taken) for made in TYPES for taken in TYPES if made != taken])
def test_line_of_another_kind(ledger: Ledger, made: str, taken: str) -> None:
    """No kind of line passes for another, though the same key signed it."""
    key = ledger.key("my-police")
    own = {"alg", "typ", "kid", "iss", "aud", "iat"}
    header = {name: value for name, value in members(key, typ=made).items() if made == BULLETIN or name in own}
    if made == TOKEN:
        header |= {"exp": NOW, "scope": "read"}

    with pytest.raises(WrongType):
        open_line(forge(header, key), ledger.directory, taken)


@pytest.mark.parametrize("typ", ["bulletin", "application/vnd.lintas.bulletin", "VND.LINTAS.BULLETIN", "JWT", 1, None])
def test_unknown_kind(ledger: Ledger, typ: Any) -> None:
    """A kind of line that is none is malformed, not guessed at."""
    key = ledger.key("my-police")

    with pytest.raises(MalformedLine) as caught:
        open_line(forge(members(key, typ=typ), key), ledger.directory)

    assert "typ" == caught.value.member


def test_oversize(ledger: Ledger) -> None:
    """A line beyond its limit is refused before anything of it is read."""
    key = ledger.key("my-police")

    with pytest.raises(TooLarge):
        open_line(forge(members(key), key, bytes(LINE_BYTES_MAX[BULLETIN])), ledger.directory)


KEY_OF_NOBODY = SigningKey.from_seed(bytes(32))
GOOD = forge(members(KEY_OF_NOBODY), KEY_OF_NOBODY)


@given(st.integers(0, len(GOOD) - 1), st.binary(min_size=0, max_size=6), st.integers(0, 6))
def test_mutation_never_surprises(place: int, inserted: bytes, cut: int) -> None:
    """Any change to a line's bytes ends in an error of ours or leaves a line that is no longer the same."""
    raw = GOOD[:place] + inserted + GOOD[place + cut :]

    try:
        line = parse(raw)
        check(line, KEY_OF_NOBODY.public)
    except LintasError:
        return

    assert raw == GOOD


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_any_bytes_never_surprise(header: bytes, payload: bytes) -> None:
    """Any bytes as header, well signed, end in an error of ours."""
    with pytest.raises(LintasError):
        parse(forge(header, KEY_OF_NOBODY, payload))


@given(st.dictionaries(st.sampled_from(sorted(members(KEY_OF_NOBODY))), st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
), min_size=1))  # fmt: skip
def test_any_value_never_surprises(odd: dict[str, Any]) -> None:
    """Any JSON value in any member either is a sound one or ends in an error of ours."""
    raw = forge(members(KEY_OF_NOBODY) | odd, KEY_OF_NOBODY)

    try:
        line = parse(raw)
    except MalformedLine:
        return

    check(line, KEY_OF_NOBODY.public)
