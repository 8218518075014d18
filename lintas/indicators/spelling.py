"""How the text of a value is cleaned before it is read, with words for what is wrong with it.

Promises: people may write full-width or local digits, any dash, stray spaces, any case; one spelling comes out.
Control characters and direction overrides are refused, never dropped: two values that look alike stay apart.
Spec: Unicode Standard Annex 15 (NFKC).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection

from lintas.errors import MalformedPayload
from lintas.indicators.countries import ALPHA3

VALUE_CHARACTERS_MAX = 2048
"""Characters of a value: the longest URL that browsers and proxies agree on."""

NAME_CHARACTERS_MAX = 200
"""Characters of a name of a person, ship or organisation."""

_BLANKS_AND_DASHES = re.compile(r"[\s-]+")
_DASHES = dict.fromkeys([*range(0x2010, 0x2016), 0x2212, 0xFE58, 0xFE63, 0xFF0D], "-")
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]")


def malformed(detail: str) -> MalformedPayload:
    """Return the refusal of a value; the caller raises it."""
    return MalformedPayload(detail, member="value")


def plain(value: str) -> str:
    """Trim a value and write digits, dashes and compatibility characters the ASCII way."""
    text = value.strip()
    if text.isascii() and text.isprintable():
        return text
    hidden = _UNSEEN.search(text)
    if hidden:
        raise malformed(f"Character {hidden.start() + 1} is invisible or a control (U+{ord(hidden[0]):04X}).")
    return "".join(map(_ascii_digit, unicodedata.normalize("NFKC", text).translate(_DASHES))).strip()


def packed(value: str) -> str:
    """Return the plain value without blanks and dashes."""
    return _BLANKS_AND_DASHES.sub("", plain(value))


def squeezed(value: str) -> str:
    """Return the plain value in capitals, each run of blanks made one."""
    return " ".join(folded(plain(value), str.upper).split())


def folded(text: str, fold: Callable[[str], str]) -> str:
    """Change the case twice: some letters become sequences that compose, then have a case again."""
    once = unicodedata.normalize("NFKC", fold(text))
    return unicodedata.normalize("NFKC", fold(once))


def only(text: str, allowed: Collection[str], what: str) -> str:
    """Return `text` if every character is allowed; the refusal names the first that is not."""
    for place, character in enumerate(text, 1):
        if character not in allowed:
            raise malformed(f"Character {place} of the {what}, {character!r}, does not belong there.")
    return text


def sized(text: str, count_min: int, count_max: int, what: str) -> str:
    """Return `text` if its length is right."""
    if count_min <= len(text) <= count_max:
        return text
    wanted = f"{count_min}" if count_min == count_max else f"{count_min} to {count_max}"
    raise malformed(f"The {what} has {len(text)} characters; {wanted} are needed.")


def digits(text: str, count_min: int, count_max: int, what: str) -> str:
    """Return `text` if it is made of this many ASCII digits."""
    return sized(only(text, "0123456789", what), count_min, count_max, what)


def checked(found: str, wanted: str, what: str) -> None:
    """Refuse a check digit that does not follow from what stands before it, naming both."""
    if found != wanted:
        raise malformed(f"The check digit of the {what} is {found!r}, but {wanted!r} follows from the rest: retype it.")


def country(code: str) -> str:
    """Return the ISO 3166 alpha-2 code if there is one like this."""
    if code not in ALPHA3:
        raise malformed(f"{code[:8]!r} is no ISO 3166 country code of two letters.")
    return code


def _ascii_digit(character: str) -> str:
    return str(unicodedata.decimal(character, character))
