"""Tests of the strict text encodings: one spelling for each value, every other one refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lintas.strict import DEPTH_MAX, INTEGER_MAX, b64u, canonical, parse_object, unb64u

LETTERS = st.characters(codec="utf-8", exclude_characters="\0")
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-INTEGER_MAX, INTEGER_MAX) | st.text(LETTERS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(LETTERS), inner, max_size=4),
    max_leaves=12,
)


def nested(depth: int) -> bytes:
    """Return an object whose deepest value lies this deep."""
    return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


@given(st.binary(max_size=80))
def test_base64url_round_trip(data: bytes) -> None:
    """What was encoded decodes to the same bytes."""
    assert data == unb64u(b64u(data))


@given(st.text("AZaz09-_", max_size=12))
def test_base64url_has_one_spelling(text: str) -> None:
    """A text that decodes is the one that its bytes encode to."""
    try:
        data = unb64u(text)
    except ValueError:
        return

    assert text == b64u(data)


@pytest.mark.parametrize(
    "text",
    ["QQ==", "QQ=", "Q+/_", "Q Q", "QQ\n", "\nQQ", "Q", "QUFBQ", "QR", "QUF", "QÃ", "QQ.", "\uff31\uff31"],
    ids=["padding", "half padding", "alphabet", "space", "newline", "newline first", "one", "five", "bits", "bits of 3",
         "latin", "dot", "full width"],
)  # fmt: skip
def test_base64url_refuses(text: str) -> None:
    """Padding, a foreign alphabet, white space, unused bits and impossible lengths are refused."""
    with pytest.raises(ValueError, match="base64url"):
        unb64u(text)


@given(st.dictionaries(st.text(LETTERS), JSON_VALUES, max_size=5))
def test_canonical_round_trip(value: dict[str, Any]) -> None:
    """What `canonical` writes, `parse_object` reads as the same value, within the depth allowed."""
    assert value == parse_object(canonical(value))


def test_canonical_is_sorted_utf8_without_spaces() -> None:
    """Members are sorted, nothing is escaped that need not be, no space is added."""
    assert '{"a":[1,"é"],"b":{}}'.encode() == canonical({"b": {}, "a": [1, "é"]})


def test_canonical_refuses_nan() -> None:
    """What JSON cannot say is not written."""
    with pytest.raises(ValueError, match="JSON"):
        canonical({"a": float("nan")})


REFUSED = {
    "duplicate": (b'{"a":1,"a":1}', "duplicate"),
    "duplicate escaped": (b'{"a":1,"\\u0061":1}', "duplicate"),
    "duplicate within": (b'{"b":{"a":1,"a":2}}', "duplicate"),
    "byte order mark": (b'\xef\xbb\xbf{"a":1}', "byte order mark"),
    "utf-16": ('{"a":1}'.encode("utf-16"), "utf-8"),
    "utf-16 without mark": ('{"a":1}'.encode("utf-16-le"), "."),
    "bad utf-8": (b'{"a":"\xff"}', "utf-8"),
    "overlong utf-8": (b'{"a":"\xc0\xaf"}', "utf-8"),
    "encoded surrogate": (b'{"a":"\xed\xa0\x80"}', "utf-8"),
    "lone surrogate": (b'{"a":"\\ud800"}', "surrogate"),
    "lone low surrogate": (b'{"a":["\\udfff"]}', "surrogate"),
    "surrogate in a name": (b'{"a":{"\\ud800":1}}', "surrogate"),
    "nul": (b'{"a":"\\u0000"}', "NUL"),
    "raw nul": (b'{"a":"\0"}', "."),
    "nan": (b'{"a":NaN}', "has NaN"),
    "infinity": (b'{"a":-Infinity}', "has -Infinity"),
    "fraction": (b'{"a":1.0}', "fraction"),
    "exponent": (b'{"a":1e2}', "fraction"),
    "5,000 digits": (b'{"a":' + b"9" * 5_000 + b"}", "integer out of range"),
    "seventeen digits": (b'{"a":00000000000000001}', "."),
    "one past the largest": (b'{"a":9007199254740992}', "integer"),
    "one past the least": (b'{"a":-9007199254740992}', "integer"),
    "minus zero": (b'{"a":-0}', "integer"),
    "trailing data": (b'{"a":1}{}', "Extra data"),
    "array": (b"[1]", "not an object"),
    "string": (b'"a"', "not an object"),
    "empty": (b"", "."),
    "one too deep": (nested(DEPTH_MAX + 1), "nested"),
    "objects too deep": (b'{"a":' * (DEPTH_MAX + 1) + b"1" + b"}" * (DEPTH_MAX + 1), "nested"),
    "1,200 deep": (nested(1_200), "nested"),
    "100,000 deep, unclosed": (b"[" * 100_000, "nested"),
    "deep after a quote in a string": (b'{"b":"\\"","a":' + b"[" * DEPTH_MAX + b"]" * DEPTH_MAX + b"}", "nested"),
}


@pytest.mark.parametrize(("data", "reason"), REFUSED.values(), ids=REFUSED)
def test_parse_object_refuses(data: bytes, reason: str) -> None:
    """Every text that another parser might read otherwise is refused with its fault."""
    with pytest.raises(ValueError, match=reason):
        parse_object(data)


ACCEPTED = {
    "empty": b"{}",
    "spaces": b' {"a" : [ 1 , null ] }\n',
    "surrogate pair": b'{"a":"\\ud83d\\udea8"}',
    "escaped letter": b'{"\\u0061":"\\u00e9"}',
    "largest": b'{"a":9007199254740991,"b":-9007199254740991,"c":0}',
    "depth": nested(DEPTH_MAX),
    "depth beside others": b'{"b":[[],{}],' + nested(DEPTH_MAX)[1:],
    "wide": b'{"a":[' + b",".join([b"{}"] * 40) + b"]}",
    "brackets in a string": b'{"a":"' + b"[{" * 40 + b'","b":"\\\\"}',
}


@pytest.mark.parametrize("data", ACCEPTED.values(), ids=ACCEPTED)
def test_parse_object_reads(data: bytes) -> None:
    """A strict text means what any JSON parser says."""
    assert json.loads(data) == parse_object(data)


def test_parse_object_reads_floats_on_demand() -> None:
    """Where fractions are meant they are read, and only finite ones."""
    assert {"a": 1.5} == parse_object(b'{"a":1.5}', floats=True)
    with pytest.raises(ValueError, match="out of range"):
        parse_object(b'{"a":1e999}', floats=True)


def test_parse_object_is_linear() -> None:
    """Quotes and backslashes that never close a string end in a refusal, not in hours of scanning."""
    data = b'{"a":' + b"[" * (DEPTH_MAX + 1) + b'"' + b'\\"' * 500_000

    with pytest.raises(ValueError, match="nested"):
        parse_object(data)
