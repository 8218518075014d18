"""Strict text encodings: JSON or base64url with exactly one way to write each value.

A signed line is identified by the hash of its bytes, so every parser must read the same value from the same bytes.
Refused here: duplicate members, floats where integers are meant, NaN, byte order marks, lone surrogates, NUL, deep
nesting, long integers, base64 padding, foreign alphabets and unused bits that are set (RFC 7515, RFC 8259, RFC 4648).
"""

from __future__ import annotations

import base64
import json
import math
import re
from typing import Any, NoReturn

DEPTH_MAX = 16
"""Nesting of arrays and objects; our deepest schema needs six."""

INTEGER_DIGITS_MAX = 16
"""Digits of an integer: 2^53 has sixteen (RFC 7493)."""

INTEGER_MAX = 2**53 - 1

Json = dict[str, Any]

_B64URL = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_LAST = {2: _B64URL[::16], 3: _B64URL[::4]}
"""What the last character may be when the length leaves so many over: its unused bits, four or two, are zero."""

# An unclosed string runs to the end, or text of quotes and backslashes would cost the square of its size.
_DEEP_SCAN = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


def b64u(data: bytes) -> str:
    """Encode as base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def unb64u(text: str) -> bytes:
    """Decode canonical base64url without padding; raise ValueError for any other spelling."""
    data = text.encode()
    spare = len(data) % 4
    if spare == 1 or data.translate(None, _B64URL):
        raise ValueError("not base64url")
    if spare and data[-1] not in _LAST[spare]:
        raise ValueError("base64url with unused bits set")
    return base64.urlsafe_b64decode(data + b"=" * (-len(data) % 4))


def canonical(value: object) -> bytes:
    """Serialise as RFC 8785 does for the values we use: sorted members, no spaces, UTF-8, integers only."""
    return _ENCODER.encode(value).encode()


def parse_object(data: bytes, *, floats: bool = False) -> Json:
    """Parse one JSON object strictly; raise ValueError naming the fault. Cost is linear in the size."""
    if _depth(data) > DEPTH_MAX:
        raise ValueError(f"nested deeper than {DEPTH_MAX}")
    text = data.decode("utf-8")
    if text.startswith("\ufeff"):
        raise ValueError("starts with a byte order mark")
    value = (_DECODER_OF_FLOATS if floats else _DECODER).decode(text)
    if not isinstance(value, dict):
        raise ValueError("is not an object")  # noqa: TRY004 - every fault of the text is a ValueError
    if "\\u" in text:
        _no_odd_characters(value)
    return value


def _depth(data: bytes) -> int:
    if data.count(b"{") + data.count(b"[") <= DEPTH_MAX:
        return 0
    depth = deepest = 0
    for match in _DEEP_SCAN.finditer(data):
        first = match[0][:1]
        if first in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif first in b"]}":
            depth -= 1
    return deepest


def _no_duplicates(pairs: list[tuple[str, Any]]) -> Json:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("has a duplicate member")
    return members


def _integer(digits: str) -> int:
    if len(digits) < INTEGER_DIGITS_MAX and digits != "-0":
        return int(digits)
    if len(digits.lstrip("-")) > INTEGER_DIGITS_MAX or abs(int(digits)) > INTEGER_MAX or digits == "-0":
        raise ValueError("has an integer out of range")
    return int(digits)


def _float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("has a number out of range")
    return number


def _no_float(digits: str) -> NoReturn:
    raise ValueError(f"has a fraction or exponent ({digits[:20]})")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"has {name}")


def _no_odd_characters(value: object) -> None:
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise ValueError("has NUL or a lone surrogate")
    elif isinstance(value, dict):
        for key, item in value.items():
            _no_odd_characters(key)
            _no_odd_characters(item)
    elif isinstance(value, list):
        for item in value:
            _no_odd_characters(item)


# Made once: making one costs as much as reading a header with it.
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_DECODER, _DECODER_OF_FLOATS = (
    json.JSONDecoder(
        object_pairs_hook=_no_duplicates,
        parse_int=_integer,
        parse_float=parse_float,
        parse_constant=_no_constant,
    )
    for parse_float in (_no_float, _float)
)
