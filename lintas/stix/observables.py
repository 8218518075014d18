"""Values of indicators as STIX objects, both ways.

Every type of indicator has one row in `WRITERS`; `read_object` takes what we write and what others do. What is read is
raw text: whoever reads makes it canonical (``lintas.imported``).
Spec: docs/spec/stix.md, docs/spec/indicators.md; STIX 2.1 sections 4.5, 4.6, 6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lintas.indicators.money import BIC
from lintas.indicators.network import HASH_DIGITS
from lintas.stix.fixed import BULLETIN_EXTENSION, FOREIGN_SCO, NEW_SCO, Object
from lintas.stix.ids import observable_id

HASH_NAMES: Mapping[str, str] = {"md5": "MD5", "sha1": "SHA-1", "sha256": "SHA-256", "sha512": "SHA-512"}
_HASH_OF_LENGTH = {digits: HASH_NAMES[name] for name, digits in HASH_DIGITS.items()}
HIGH_SEAS = "XZ"


@dataclass(frozen=True, slots=True)
class Shape:
    """What a value becomes: an object of `type` with these properties, of which some make its id.

    `is_versioned` objects (identities, locations) are about one bulletin; observables are everybody's.
    """

    type: str
    properties: Mapping[str, Any]
    contributing: tuple[str, ...] = ()
    is_versioned: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """What one object says: values as `(types it may be, raw text)`, and the names of the properties used for it."""

    values: tuple[tuple[tuple[str, ...], str], ...] = ()
    used: frozenset[str] = field(default_factory=frozenset)


def shape_of(type: str, value: str) -> Shape:  # noqa: A002 - the word of our payload
    """Return the object that stands for a canonical value."""
    return WRITERS[type](value)


def write_observable(shape: Shape) -> Object:
    """Return the observable of a shape, without a marking."""
    contributing = {name: shape.properties[name] for name in shape.contributing}
    written: Object = {
        "type": shape.type,
        "spec_version": "2.1",
        "id": observable_id(shape.type, contributing),
        **shape.properties,
    }
    extension = NEW_SCO.get(shape.type) or FOREIGN_SCO.get(shape.type)
    if extension is not None:
        written["extensions"] = {extension: {"extension_type": "new-sco"}}
    return written


def pattern_of(type: str, value: str) -> str | None:  # noqa: A002 - as above
    """Return the pattern that finds a value in traffic or on disks, or None where machines do not look."""
    shape = shape_of(type, value)
    if shape.type == "file":
        (name, digest), *_ = shape.properties["hashes"].items()
        return f"[file:hashes.'{name}' = {quoted(digest)}]"
    return f"[{shape.type}:value = {quoted(value)}]" if shape.type in SEARCHED else None


def quoted(text: str) -> str:
    r"""Return a string literal of the pattern language: ``\`` and ``'`` are escaped."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def read_object(members: Mapping[str, Any]) -> Reading | None:
    """Return what an object says, or None when objects of its type stand for no indicator."""
    ours = _our_indicator(members)
    if ours is not None:
        return ours
    read = READERS.get(str(members.get("type")))
    return None if read is None else read(members)


def _alone(type: str, *names: str) -> Callable[[str], Shape]:  # noqa: A002 - the word of STIX
    """Write a value under each of these names; the first makes the id."""
    return lambda value: Shape(type, dict.fromkeys(names, value), names[:1])


def _bank_account(value: str) -> Shape:
    country, bank, number = value.split(":")
    name = "bic" if BIC.fullmatch(bank) else "bank_name"
    properties = {"value": value, "country": country, name: bank, "account_number": number}
    return Shape("bank-account", properties, (name, "country", "account_number"))


def _wallet(network: str) -> Callable[[str], Shape]:
    def write(value: str) -> Shape:
        return Shape("cryptocurrency-wallet", {"value": value, "address": value, "network": network}, ("value",))

    return write


def _plate(value: str) -> Shape:
    country, _, plate = value.partition(":")
    return Shape("vehicle", {"country": country, "plate": plate}, ("country", "plate"))


def _flight(value: str) -> Shape:
    designator, _, day = value.partition("@")
    return Shape(
        "flight", {"designator": designator, "departure_date": day, "value": value}, ("designator", "departure_date")
    )


def _document(value: str) -> Shape:
    issuer, _, number = value.partition(":")
    return Shape("travel-document", {"issuer": issuer, "number": number, "value": value}, ("issuer", "number"))


def _handle(value: str) -> Shape:
    platform, _, account = value.partition(":")
    return Shape(
        "user-account", {"account_type": platform, "account_login": account}, ("account_type", "account_login")
    )


def _address(value: str) -> Shape:
    return Shape("ipv6-addr" if ":" in value else "ipv4-addr", {"value": value}, ("value",))


def _file(value: str) -> Shape:
    return Shape("file", {"hashes": {_HASH_OF_LENGTH[len(value)]: value}}, ("hashes",))


def _person(value: str) -> Shape:
    surname, _, given = value.partition("|")[0].partition("<<")
    name = ", ".join(part.replace("<", " ") for part in (surname, given) if part)
    return Shape("identity", {"name": name, "identity_class": "individual"}, is_versioned=True)


def _organization(value: str) -> Shape:
    name = value.partition("|")[0]
    return Shape("identity", {"name": name, "identity_class": "organization"}, is_versioned=True)


def _position(value: str) -> Shape:
    latitude, longitude = (float(part) for part in value.split(","))
    return Shape(
        "location", {"name": value, "latitude": latitude, "longitude": longitude, "precision": 1.0}, is_versioned=True
    )


def _port(value: str) -> Shape:
    # A place in international waters has no country, and every location needs one of country, region and position.
    where = {"region": "high-seas"} if value.startswith(HIGH_SEAS) else {"country": value[:2]}
    return Shape("location", {"name": value, **where}, is_versioned=True)


WRITERS: Mapping[str, Callable[[str], Shape]] = {
    "phone": _alone("phone-number", "value", "number"),
    "imei": _alone("imei", "value", "number"),
    "imsi": _alone("imsi", "value", "number"),
    "bank-account": _bank_account,
    "iban": _alone("bank-account", "iban", "value"),
    "payment-card": _alone("payment-card", "value", "card_number"),
    "wallet-btc": _wallet("bitcoin"),
    "wallet-evm": _wallet("evm"),
    "wallet-tron": _wallet("tron"),
    "crypto-tx": _alone("cryptocurrency-transaction", "value", "hash"),
    "vessel-imo": _alone("vessel", "imo_number"),
    "vessel-mmsi": _alone("vessel", "mmsi"),
    "vessel-name": _alone("vessel", "name"),
    "container": _alone("cargo-container", "value", "number"),
    "vehicle-plate": _plate,
    "vehicle-vin": _alone("vehicle", "vin"),
    "flight": _flight,
    "travel-document": _document,
    "person": _person,
    "organization": _organization,
    "social-handle": _handle,
    "email": _alone("email-addr", "value"),
    "domain": _alone("domain-name", "value"),
    "url": _alone("url", "value"),
    "ip": _address,
    "file-hash": _file,
    "position": _position,
    "port": _port,
}
"""What each type of indicator becomes."""

SEARCHED = frozenset({"domain-name", "url", "ipv4-addr", "ipv6-addr", "email-addr"})
"""Objects by whose `value` sensors search; files they find by hash."""

WALLETS = {"bitcoin": ("wallet-btc",), "evm": ("wallet-evm",), "tron": ("wallet-tron",)}


def _text(members: Mapping[str, Any], name: str) -> str | None:
    value = members.get(name)
    return value if isinstance(value, str) and value.strip() else None


def _our_indicator(members: Mapping[str, Any]) -> Reading | None:
    extensions = members.get("extensions")
    ours = extensions.get(BULLETIN_EXTENSION) if isinstance(extensions, Mapping) else None
    said = ours.get("indicator") if isinstance(ours, Mapping) else None
    if not isinstance(said, Mapping) or members.get("type") == "indicator":
        return None
    kind, value = _text(said, "type"), _text(said, "value")
    return Reading((((kind,), value),), frozenset(members)) if kind and value else None


def _read_alone(types: tuple[str, ...], *names: str) -> Callable[[Mapping[str, Any]], Reading]:
    def read(members: Mapping[str, Any]) -> Reading:
        found = dict.fromkeys(text for name in names if (text := _text(members, name)) is not None)
        return Reading(tuple((types, text) for text in found), frozenset(names))

    return read


def _read_account(members: Mapping[str, Any]) -> Reading:
    iban = _text(members, "iban")
    if iban is not None:
        return Reading(((("iban",), iban),), frozenset({"iban", "value"}))
    parts = [_text(members, "country"), _text(members, "bic") or _text(members, "bank_name")]
    number = _text(members, "account_number")
    used = frozenset({"country", "bic", "bank_name", "account_number", "value"})
    if number is None:
        return Reading((), used)
    return Reading(((("bank-account",), ":".join([*(part or "" for part in parts), number])),), used)


def _read_wallet(members: Mapping[str, Any]) -> Reading:
    types = WALLETS.get(str(members.get("network")), ("wallet-btc", "wallet-evm", "wallet-tron"))
    found = _read_alone(types, "value", "address")(members)
    return Reading(found.values, found.used | {"network"})


def _read_parts(rules: Mapping[str, tuple[str, ...]], sign: str = ":") -> Callable[[Mapping[str, Any]], Reading]:
    """Read values that are made of several properties: for each type, the names whose texts are joined."""

    def read(members: Mapping[str, Any]) -> Reading:
        values = []
        for kind, names in rules.items():
            texts = [_text(members, name) for name in names]
            if any(texts):
                values.append(((kind,), sign.join(text or "" for text in texts)))
        return Reading(tuple(values), frozenset(name for names in rules.values() for name in names) | {"value"})

    return read


def _read_file(members: Mapping[str, Any]) -> Reading:
    hashes = members.get("hashes")
    found = tuple(_digests(hashes)) if isinstance(hashes, Mapping) else ()
    return Reading(found, frozenset({"hashes"}) if found else frozenset())


def _digests(hashes: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    for name, digest in hashes.items():
        plain = str(name).lower().replace("-", "")
        if isinstance(digest, str):
            # A prefix that is no algorithm of ours makes the refusal name it.
            yield ("file-hash",), f"{plain}:{digest}"


def _read_location(members: Mapping[str, Any]) -> Reading:
    latitude, longitude = members.get("latitude"), members.get("longitude")
    if not all(isinstance(each, int | float) and not isinstance(each, bool) for each in (latitude, longitude)):
        return Reading()
    return Reading(((("position",), f"{latitude:.7f},{longitude:.7f}"),), frozenset({"latitude", "longitude"}))


READERS: Mapping[str, Callable[[Mapping[str, Any]], Reading]] = {
    "phone-number": _read_alone(("phone",), "value", "number"),
    "imei": _read_alone(("imei",), "value", "number"),
    "imsi": _read_alone(("imsi",), "value", "number"),
    "bank-account": _read_account,
    "payment-card": _read_alone(("payment-card",), "value", "card_number"),
    "cryptocurrency-wallet": _read_wallet,
    "cryptocurrency-transaction": _read_alone(("crypto-tx",), "value", "hash"),
    "vessel": _read_parts({"vessel-imo": ("imo_number",), "vessel-mmsi": ("mmsi",), "vessel-name": ("name",)}),
    "cargo-container": _read_alone(("container",), "value", "number"),
    "vehicle": _read_parts({"vehicle-vin": ("vin",), "vehicle-plate": ("country", "plate")}),
    "flight": _read_parts({"flight": ("designator", "departure_date")}, "@"),
    "travel-document": _read_parts({"travel-document": ("issuer", "number")}),
    "user-account": _read_parts({"social-handle": ("account_type", "account_login")}),
    "email-addr": _read_alone(("email",), "value"),
    # Files of others have addresses under domain-name.
    "domain-name": _read_alone(("domain", "ip"), "value"),
    "url": _read_alone(("url",), "value"),
    "ipv4-addr": _read_alone(("ip",), "value"),
    "ipv6-addr": _read_alone(("ip",), "value"),
    "file": _read_file,
    "location": _read_location,
}
"""How each type of object is read. Identities are no indicators unless we wrote that they are."""
