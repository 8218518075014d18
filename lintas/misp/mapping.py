"""Values of indicators as MISP attributes or objects.

A type that MISP has an attribute for becomes one; what needs more than one value becomes an object of a published
template, the others become text. Template ids and versions are those of misp-objects.
Spec: docs/spec/misp.md; MISP core format (draft-dulaunoy-misp-core-format), misp-objects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lintas.indicators.money import BIC
from lintas.indicators.network import HASH_DIGITS

Pair = tuple[str, str, str]
"""Relation within an object (or '' for a bare attribute), type of the attribute, value."""

FULL_DATE_CHARACTERS = len("2026-11-27")


@dataclass(frozen=True, slots=True)
class Template:
    """A published template of a MISP object."""

    name: str
    uuid: str
    version: str
    meta_category: str
    description: str


@dataclass(frozen=True, slots=True)
class Shape:
    """What a value becomes: bare attributes, or one object when `template` is given. `is_searched`: sensors know it."""

    pairs: tuple[Pair, ...]
    template: Template | None = None
    is_searched: bool = False


def _template(name: str, uuid: str, version: int, meta_category: str, description: str) -> Template:
    return Template(name, uuid, str(version), meta_category, description)


PHONE = _template("phone", "d7e4fbdd-b551-4862-bddb-a0b470a38509", 6, "misc", "A handset or subscriber")
BANK = _template("bank-account", "b4712203-95a8-4883-80e9-b566f5df11c9", 3, "financial", "An account at a bank")
COIN = _template("coin-address", "d0e6997e-78da-4815-a6a1-cfc1c1cb8a46", 7, "financial", "An address of a wallet")
TRANSACTION = _template(
    "cryptocurrency-transaction", "a4aab70f-e43a-48cb-bf82-505de8228dd6", 3, "financial", "A transaction on a chain"
)
AIS = _template("ais-observation", "7aef2fc4-6d89-4293-94f2-f2010b7e3ad0", 2, "marine", "A ship by its number")
VESSEL = _template("ftm-Vessel", "2ee3df38-7756-4179-abea-ba8d2fbb7c6c", 1, "followthemoney", "A ship by its name")
VEHICLE = _template("vehicle", "683c076c-f695-4ff2-8efa-e98a418049f4", 5, "misc", "A vehicle")
PERSON = _template("person", "a15b0477-e9d1-4b9c-9546-abe78a4f4248", 21, "misc", "A person")
LEGAL = _template("legal-entity", "14f5688f-d89c-469f-9878-c48bf6c41c65", 2, "misc", "An organisation")
ACCOUNT = _template("user-account", "49606b06-22f0-4ac8-8eee-2f12ad46f3d3", 6, "misc", "An account on a platform")
PLACE = _template("geolocation", "cd6f2238-ba55-4888-82c4-104e6e1acf21", 8, "misc", "A place")
TEMPLATES = (PHONE, BANK, COIN, TRANSACTION, AIS, VESSEL, VEHICLE, PERSON, LEGAL, ACCOUNT, PLACE)

CATEGORIES: Mapping[str, str] = {
    "phone-number": "Person",
    "iban": "Financial fraud",
    "bic": "Financial fraud",
    "bank-account-nr": "Financial fraud",
    "cc-number": "Financial fraud",
    "btc": "Financial fraud",
    "travel-details": "Person",
    "passport-number": "Person",
    "passport-country": "Person",
    "first-name": "Person",
    "last-name": "Person",
    "full-name": "Person",
    "date-of-birth": "Person",
    "nationality": "Person",
    "email": "Social network",
    "domain": "Network activity",
    "url": "Network activity",
    "ip-dst": "Network activity",
    "md5": "Payload delivery",
    "sha1": "Payload delivery",
    "sha256": "Payload delivery",
    "sha512": "Payload delivery",
    "link": "External analysis",
    "comment": "Other",
    "float": "Other",
    "text": "Other",
}
"""The category of every type of attribute that we write."""

_HASH_OF_LENGTH = {digits: name for name, digits in HASH_DIGITS.items()}


def shape_of(type: str, value: str) -> Shape:  # noqa: A002 - the word of our payload
    """Return what stands for a canonical value."""
    return WRITERS[type](value)


def _attribute(type: str, *, is_searched: bool = False) -> Callable[[str], Shape]:  # noqa: A002 - the word of MISP
    return lambda value: Shape((("", type, value),), is_searched=is_searched)


def _object(template: Template, relation: str, type: str = "text", **more: str) -> Callable[[str], Shape]:  # noqa: A002 - as above
    further = tuple((name, "text", text) for name, text in more.items())
    return lambda value: Shape(((relation, type, value), *further), template)


def _bank(value: str) -> Shape:
    _, bank, number = value.split(":")
    where = ("swift", "bic", bank) if BIC.fullmatch(bank) else ("institution-name", "text", bank)
    return Shape((("account", "bank-account-nr", number), where, ("text", "text", value)), BANK)


def _plate(value: str) -> Shape:
    country, _, plate = value.partition(":")
    return Shape((("license-plate-number", "text", plate), ("state", "text", country)), VEHICLE)


def _document(value: str) -> Shape:
    issuer, _, number = value.partition(":")
    return Shape((("", "passport-number", number), ("", "passport-country", issuer)))


def _person(value: str) -> Shape:
    name, birth, nationality = value.split("|")
    surname, _, given = (part.replace("<", " ") for part in name.partition("<<"))
    pairs: list[Pair] = [("full-name", "full-name", f"{given} {surname}".strip()), ("text", "text", value)]
    pairs += [("last-name", "last-name", surname)]
    pairs += [("first-name", "first-name", given)] if given else []
    # MISP knows whole days only; a year or a month stays in the text.
    pairs += [("date-of-birth", "date-of-birth", birth)] if len(birth) == FULL_DATE_CHARACTERS else []
    pairs += [("nationality", "nationality", nationality)] if nationality else []
    return Shape(tuple(pairs), PERSON)


def _organization(value: str) -> Shape:
    name, number, _ = value.split("|")
    pairs = [("name", "text", name), *([("registration-number", "text", number)] if number else [])]
    return Shape((*pairs, ("text", "text", value)), LEGAL)


def _handle(value: str) -> Shape:
    platform, _, account = value.partition(":")
    return Shape((("username", "text", account), ("account-type", "text", platform)), ACCOUNT)


def _file(value: str) -> Shape:
    return Shape((("", _HASH_OF_LENGTH[len(value)], value),), is_searched=True)


def _position(value: str) -> Shape:
    latitude, _, longitude = value.partition(",")
    pairs = (("latitude", "float", latitude), ("longitude", "float", longitude), ("text", "text", value))
    return Shape(pairs, PLACE)


def _port(value: str) -> Shape:
    return Shape((("countrycode", "text", value[:2]), ("text", "text", value)), PLACE)


WRITERS: Mapping[str, Callable[[str], Shape]] = {
    "phone": _attribute("phone-number"),
    "imei": _object(PHONE, "imei"),
    "imsi": _object(PHONE, "imsi"),
    "bank-account": _bank,
    "iban": _attribute("iban"),
    "payment-card": _attribute("cc-number"),
    "wallet-btc": _attribute("btc"),
    "wallet-evm": _object(COIN, "address-crypto", text="EVM"),
    "wallet-tron": _object(COIN, "address-crypto", symbol="TRX"),
    "crypto-tx": _object(TRANSACTION, "transaction-number"),
    "vessel-imo": _object(AIS, "IMO-number"),
    "vessel-mmsi": _object(AIS, "MMSI"),
    "vessel-name": _object(VESSEL, "name"),
    "container": _attribute("text"),
    "vehicle-plate": _plate,
    "vehicle-vin": _object(VEHICLE, "vin"),
    "flight": _attribute("travel-details"),
    "travel-document": _document,
    "person": _person,
    "organization": _organization,
    "social-handle": _handle,
    "email": _attribute("email", is_searched=True),
    "domain": _attribute("domain", is_searched=True),
    "url": _attribute("url", is_searched=True),
    "ip": _attribute("ip-dst", is_searched=True),
    "file-hash": _file,
    "position": _position,
    "port": _port,
}
"""What each type of indicator becomes."""
