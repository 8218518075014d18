"""Values that lead along a journey: ships, containers, vehicles, flights, ports, positions.

Spec: IMO A.1117(30) (ship numbers), ITU-R M.585 (MMSI), ISO 6346 (containers), ISO 3779 (VIN), IATA and ICAO flight
designators, UN/LOCODE, WGS 84.
"""

from __future__ import annotations

import re
import string
from datetime import date
from decimal import Decimal

from lintas.indicators.checksums import container_digit, imo_digit
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

IMO_DIGITS = 7
MMSI_DIGITS = 9
MID_MIN, MID_MAX = 201, 775
CONTAINER_CHARACTERS = 11
CONTAINER_OWNER_CHARACTERS = 4
PLATE_CHARACTERS = (2, 12)
VIN_CHARACTERS = 17
PORT_CHARACTERS = 5
HIGH_SEAS = "XZ"
"""UN/LOCODE's country for places in international waters."""

LATITUDE_MAX = 90
LONGITUDE_MAX = 180
POSITION_STEP = Decimal("0.00001")
"""Five decimals: about one metre."""

VIN_LETTERS = frozenset(string.ascii_uppercase + string.digits) - {*"IOQ"}
_CAPITALS = frozenset(string.ascii_uppercase)
_MMSI = re.compile(r"(?:00|0|111|8|98|99)?([2-7]\d\d)\d*")
_FLIGHT = re.compile(r"([A-Z]{3}|[A-Z][A-Z0-9]|[0-9][A-Z])0*([1-9]\d{0,3})([A-Z]?)@(\d{4})(\d\d)(\d\d)")
_DEGREES = re.compile(r"([+-]?)(\d{1,3}(?:\.\d{1,15})?)\s*°?\s*([NSEW]?)")
_BETWEEN = re.compile(r"\s*[,;]\s*|(?<=[\dNSEW°])\s+(?=[\d+-])")


def vessel_imo(value: str) -> str:
    """Seven digits, the last their check digit; the letters IMO are left out."""
    text = digits(packed(value).upper().removeprefix("IMO"), IMO_DIGITS, IMO_DIGITS, "IMO number")
    checked(text[-1], str(imo_digit(text[:-1])), "IMO number")
    return text


def vessel_mmsi(value: str) -> str:
    """Nine digits of a station that belongs to a country."""
    text = digits(packed(value), MMSI_DIGITS, MMSI_DIGITS, "MMSI")
    if mid(text) is None:
        raise malformed(
            f"{text[:3]} at the beginning of the MMSI is no country: those run from {MID_MIN} to {MID_MAX}."
        )
    return text


def mid(mmsi: str) -> str | None:
    """Return the country digits of an MMSI, behind the prefix that coast stations, groups and craft have."""
    found = _MMSI.fullmatch(mmsi)
    return found[1] if found and MID_MIN <= int(found[1]) <= MID_MAX else None


def vessel_name(value: str) -> str:
    """Name, with flag or call sign if known, in capitals."""
    return sized(squeezed(value), 1, NAME_CHARACTERS_MAX, "name")


def container(value: str) -> str:
    """Owner and category (four letters), serial number (six digits), check digit."""
    text = sized(packed(value).upper().replace("/", ""), CONTAINER_CHARACTERS, CONTAINER_CHARACTERS, "container number")
    owner, number = text[:CONTAINER_OWNER_CHARACTERS], text[CONTAINER_OWNER_CHARACTERS:]
    only(owner, _CAPITALS, "container number")
    if owner[-1] not in "UJZ":
        raise malformed(f"Character 4 of the container number is {owner[-1]!r}; it is U, J or Z.")
    digits(number, len(number), len(number), "serial number")
    checked(number[-1], str(container_digit(text[:-1])), "container number")
    return text


def vehicle_plate(value: str) -> str:
    """``CC:PLATE`` without blanks and dashes; letters of local scripts stay."""
    code, colon, plate = folded(packed(value), str.upper).partition(":")
    if not colon:
        raise malformed("A registration is written CC:PLATE, for example MY:FIC1234.")
    for place, character in enumerate(plate, 1):
        if not character.isalnum():
            raise malformed(f"Character {place} of the plate, {character!r}, is neither letter nor digit.")
    return f"{country(code)}:{sized(plate, *PLATE_CHARACTERS, 'plate')}"


def vehicle_vin(value: str) -> str:
    """Seventeen capitals and digits without I, O and Q."""
    return sized(only(packed(value).upper(), VIN_LETTERS, "VIN"), VIN_CHARACTERS, VIN_CHARACTERS, "VIN")


def flight(value: str) -> str:
    """Designator of the airline, number without leading zeros, ``@``, day of departure."""
    found = _FLIGHT.fullmatch(packed(value).upper())
    if found is None:
        raise malformed("A flight is written XX123@YYYY-MM-DD: airline (2 or 3 characters), 1 to 4 digits, day.")
    airline, number, suffix, *parts = found.groups()
    try:
        day = date(*map(int, parts))
    except ValueError as fault:
        raise malformed(f"The calendar has no day {'-'.join(parts)}.") from fault
    return f"{airline}{number}{suffix}@{day.isoformat()}"


def position(value: str) -> str:
    """``latitude,longitude`` in degrees with five decimals, WGS 84; N, S, E, W are taken in place of signs."""
    parts = _BETWEEN.split(plain(value).upper())
    if len(parts) != 2:  # noqa: PLR2004 - the parts named in the message
        raise malformed("A position is written LATITUDE,LONGITUDE in degrees, for example 5.01235,119.90000.")
    latitude = _degrees(parts[0], "latitude", LATITUDE_MAX, "NS")
    longitude = _degrees(parts[1], "longitude", LONGITUDE_MAX, "EW")
    # One meridian, one spelling.
    return f"{latitude},{longitude}".replace(f",-{LONGITUDE_MAX}.00000", f",{LONGITUDE_MAX}.00000")


def port(value: str) -> str:
    """UN/LOCODE: country and three characters."""
    text = sized(packed(value).upper(), PORT_CHARACTERS, PORT_CHARACTERS, "UN/LOCODE")
    if text[:2] != HIGH_SEAS:
        country(text[:2])
    only(text[2:], _CAPITALS | {*"23456789"}, "place within the UN/LOCODE")
    return text


def _degrees(text: str, what: str, degrees_max: int, sides: str) -> str:
    found = _DEGREES.fullmatch(text)
    if found is None or (found[3] and (found[3] not in sides or found[1])):
        raise malformed(f"The {what} {text[:20]!r} is not written in decimal degrees.")
    degrees = Decimal(found[2])
    if degrees > degrees_max:
        raise malformed(f"The {what} is at most {degrees_max} degrees, this one {found[2]}.")
    rounded = degrees.quantize(POSITION_STEP)
    is_negative = (found[1] == "-" or found[3] == sides[1]) and rounded
    return f"{'-' if is_negative else ''}{rounded:f}"
