"""Values that lead to people: their names, papers, telephones, accounts on platforms; organisations likewise.

Spec: ITU-T E.164 (numbers), 3GPP TS 23.003 (IMEI, IMSI), ICAO 9303 part 3 (documents, names, transliteration),
ISO 17442 (LEI).
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Mapping
from datetime import date

from lintas.indicators.checksums import icao_digit, luhn_digit, mod97
from lintas.indicators.countries import ALPHA3, ICAO_ISSUERS
from lintas.indicators.spelling import (
    NAME_CHARACTERS_MAX,
    checked,
    country,
    digits,
    folded,
    malformed,
    only,
    packed,
    plain,
    sized,
    squeezed,
)

PHONE_DIGITS = (7, 15)
"""E.164 allows fifteen; fewer than seven with the country code is an emergency or service number, not a subscriber."""

IMEI_DIGITS = 15
IMSI_DIGITS = (14, 15)
DOCUMENT_CHARACTERS = (3, 20)
"""Nine fit the machine-readable zone; longer numbers continue in its optional data."""

REGISTRATION_CHARACTERS_MAX = 40
HANDLE_CHARACTERS_MAX = 128
YEAR_MIN = 1850

PLATFORMS = frozenset(
    {"bluesky", "discord", "facebook", "github", "imo", "instagram", "kakaotalk", "line", "linkedin", "mastodon"}
    | {"messenger", "qq", "reddit", "session", "signal", "skype", "snapchat", "telegram", "threads", "tiktok", "twitch"}
    | {"viber", "vk", "wechat", "weibo", "whatsapp", "x", "youtube", "zalo", "zangi"}
)
PLATFORM_ALIASES: Mapping[str, str] = {
    "fb": "facebook",
    "ig": "instagram",
    "tg": "telegram",
    "twitter": "x",
    "wa": "whatsapp",
}

_LETTERS_AND_DIGITS = frozenset(string.ascii_uppercase + string.digits)
_TRUNK_ZERO = re.compile(r"\(0\)")
_PHONE_MARKS = str.maketrans("", "", "().-/ \t\u00a0")
_BIRTH = re.compile(r"(\d{4})(?:-(\d\d))?(?:-(\d\d))?")
_LEI = re.compile(r"[A-Z0-9]{18}[0-9]{2}")
_BLANKS_AND_HYPHENS = re.compile(r"[\s-]+")
_FILLERS = re.compile(r"<{3,}")
_TRANSLITERATIONS = str.maketrans(
    {"Ä": "AE", "Æ": "AE", "Å": "AA", "Ð": "D", "Đ": "D", "Ħ": "H", "Ĳ": "IJ", "Ł": "L", "Ŋ": "N", "Ö": "OE"}
    | {"Œ": "OE", "Ø": "OE", "Þ": "TH", "Ŧ": "T", "Ü": "UE", "ẞ": "SS", "Ə": "E"}
    | dict.fromkeys("'`.\u2018\u2019\u02bc", "")
)
"""ICAO 9303 part 3 section 6: letters that are not simply written without their mark, then punctuation."""


def phone(value: str) -> str:
    """E.164: ``+`` and digits, beginning with a country code. ``(0)``, the trunk zero, is dropped."""
    text = _TRUNK_ZERO.sub("", plain(value)).translate(_PHONE_MARKS)
    if not text.startswith("+"):
        raise malformed("A telephone number begins with + and the country code, for example +60.")
    number = digits(text[1:], *PHONE_DIGITS, "telephone number after +")
    if number[0] == "0":
        raise malformed("No country code begins with 0: digit 1 after + is wrong.")
    return f"+{number}"


def imei(value: str) -> str:
    """Fifteen digits, the last their Luhn digit."""
    text = digits(packed(value), IMEI_DIGITS, IMEI_DIGITS, "IMEI")
    checked(text[-1], str(luhn_digit(text[:-1])), "IMEI")
    return text


def imsi(value: str) -> str:
    """Country code of three digits, network and subscriber."""
    return digits(packed(value), *IMSI_DIGITS, "IMSI")


def travel_document(value: str) -> str:
    """``ISSUER:NUMBER``; a check digit given as third part is verified, then left out. Germany's ``D`` is DEU."""
    parts = packed(value).upper().split(":")
    if len(parts) not in (2, 3):
        raise malformed(
            "A travel document is written ISSUER:NUMBER or ISSUER:NUMBER:CHECK, for example UTO:L898902C3:6."
        )
    issuer = _issuer(parts[0])
    number = only(parts[1].rstrip("<"), _LETTERS_AND_DIGITS, "document number")
    sized(number, *DOCUMENT_CHARACTERS, "document number")
    if len(parts) == 3:  # noqa: PLR2004 - issuer, number, check digit
        checked(parts[2], str(icao_digit(number)), "document number")
    return f"{issuer}:{number}"


def person(value: str) -> str:
    """``SURNAME<<GIVEN<NAMES|YYYY-MM-DD|NAT`` in ICAO 9303 letters; birth and nationality may be empty.

    ``Surname, Given Names`` is taken as well. A birth date may end after year or month.
    """
    name, birth, nationality = _three(plain(value), "A person is written NAME|YYYY-MM-DD|NATIONALITY.")
    return f"{_machine_name(name)}|{_birth(birth)}|{_issuer(nationality.upper()) if nationality else ''}"


def organization(value: str) -> str:
    """``NAME|REGISTRATION|CC`` in capitals; registration and country may be empty, an LEI must be sound."""
    name, number, code = _three(squeezed(value), "An organisation is written NAME|REGISTRATION|CC.")
    sized(name, 1, NAME_CHARACTERS_MAX, "name")
    sized(number, 0, REGISTRATION_CHARACTERS_MAX, "registration number")
    if _LEI.fullmatch(number):
        checked(number[-2:], f"{98 - mod97(number[:-2] + '00'):02d}", "LEI")
    return f"{name}|{number}|{country(code) if code else ''}"


def social_handle(value: str) -> str:
    """``platform:account`` in small letters without ``@``; an account that is a telephone number is written as one."""
    platform, colon, account = plain(value).partition(":")
    platform = platform.strip().lower()
    platform = PLATFORM_ALIASES.get(platform, platform)
    if not colon or platform not in PLATFORMS:
        raise malformed(f"A social account is written PLATFORM:ACCOUNT; platforms are {', '.join(sorted(PLATFORMS))}.")
    account = account.strip().lstrip("@")
    if account.startswith("+"):
        return f"{platform}:{phone(account)}"
    account = folded(account, str.casefold).lstrip("@")
    if any(character.isspace() for character in account):
        raise malformed("The account holds a blank: give its handle, not the name shown.")
    return f"{platform}:{sized(account, 1, HANDLE_CHARACTERS_MAX, 'account')}"


def _three(text: str, form: str) -> list[str]:
    parts = [part.strip() for part in text.split("|")]
    parts += [""] * (3 - len(parts))
    if len(parts) != 3:  # noqa: PLR2004 - both forms have three parts
        raise malformed(form)
    return parts


def _issuer(code: str) -> str:
    code = code.rstrip("<")
    code = ALPHA3.get(code, "DEU" if code == "D" else code)
    if code not in ICAO_ISSUERS:
        raise malformed(f"{code[:8]!r} is no issuer of three letters in ISO 3166 or ICAO 9303.")
    return code


def _machine_name(name: str) -> str:
    surname, _, given = name.partition(",")
    text = f"{surname.strip()}<<{given.strip()}"
    marked = unicodedata.normalize("NFC", text.upper()).translate(_TRANSLITERATIONS)
    bare = "".join(each for each in unicodedata.normalize("NFD", marked) if not unicodedata.combining(each))
    bare = _FILLERS.sub("<<", _BLANKS_AND_HYPHENS.sub("<", bare)).strip("<")
    for place, character in enumerate(bare, 1):
        if character != "<" and character not in string.ascii_uppercase:
            raise malformed(
                f"Character {place} of the name, {character!r}, is no Latin letter: spell it as in the passport."
            )
    return sized(bare, 1, NAME_CHARACTERS_MAX, "name")


def _birth(text: str) -> str:
    if not text:
        return ""
    found = _BIRTH.fullmatch(text)
    if found is None:
        raise malformed("A date of birth is written YYYY-MM-DD, YYYY-MM or YYYY.")
    year, month, day = (int(part or 1) for part in found.groups())
    try:
        date(max(year, YEAR_MIN), month, day)
    except ValueError as fault:
        raise malformed(f"The calendar has no day {text}.") from fault
    if year < YEAR_MIN:
        raise malformed(f"Nobody alive was born in {year}.")
    return text
