"""What an indicator's value must look like, type by type.

Promises: one thing has one spelling, so that matching is comparison: `normalise` takes what people write, returns the
canonical form, and leaves a canonical form as it is. A refusal says which character or digit is wrong.
A canonical value may still lead nowhere: nothing is looked up.
Spec: docs/spec/indicators.md; the standards are named where each type is read.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping

from lintas.errors import MalformedPayload
from lintas.indicators import money, network, people, transport
from lintas.indicators.checksums import vin_character
from lintas.indicators.countries import MIDS
from lintas.indicators.spelling import VALUE_CHARACTERS_MAX, malformed

__all__ = ["VALUE_CHARACTERS_MAX", "identifies", "normalise", "warnings"]


def normalise(type: str, value: str) -> str:  # noqa: A002 - the word of STIX, MISP and our payload
    """Return the canonical form of a value; raise MalformedPayload with `member` ``type`` or ``value``."""
    read = _READERS.get(type)
    if read is None:
        detail = f"{type[:40]!r} is no type of indicator; types are {', '.join(_READERS)}."
        raise MalformedPayload(detail, member="type")
    # Percent-encoding makes some values longer, and what comes out must be readable again.
    return _short(read(_short(value)))


def identifies(type: str, canonical: str) -> bool:  # noqa: A002 - as above
    """Tell whether two equal values mean the same thing. The name of a person alone does not."""
    return type != "person" or not canonical.endswith(_NAME_ALONE)


def warnings(type: str, canonical: str) -> tuple[str, ...]:  # noqa: A002 - as above
    """Return what is odd about a canonical value though it is accepted: show it to whoever writes the bulletin."""
    warn = _WARNERS.get(type)
    found = warn(canonical) if warn else None
    return (found,) if found else ()


def _short(value: str) -> str:
    if len(value) > VALUE_CHARACTERS_MAX:
        raise malformed(f"The value has {len(value)} characters; {VALUE_CHARACTERS_MAX} is the limit.")
    return value


_READERS: Mapping[str, Callable[[str], str]] = {
    "phone": people.phone,
    "imei": people.imei,
    "imsi": people.imsi,
    "bank-account": money.bank_account,
    "iban": money.iban,
    "payment-card": money.payment_card,
    "wallet-btc": money.wallet_btc,
    "wallet-evm": money.wallet_evm,
    "wallet-tron": money.wallet_tron,
    "crypto-tx": money.crypto_tx,
    "vessel-imo": transport.vessel_imo,
    "vessel-mmsi": transport.vessel_mmsi,
    "vessel-name": transport.vessel_name,
    "container": transport.container,
    "vehicle-plate": transport.vehicle_plate,
    "vehicle-vin": transport.vehicle_vin,
    "flight": transport.flight,
    "travel-document": people.travel_document,
    "person": people.person,
    "organization": people.organization,
    "social-handle": people.social_handle,
    "email": network.email,
    "domain": network.domain,
    "url": network.url,
    "ip": network.ip,
    "file-hash": network.file_hash,
    "position": transport.position,
    "port": transport.port,
}

_NAME_ALONE = "||"
_MCC_FIRST_DIGITS = frozenset("234567")
_MCC_SHARED = "901"
_NO_IBAN = frozenset({"BN", "ID", "KH", "LA", "MM", "MY", "PH", "SG", "TH", "VN"})


def _imsi(imsi: str) -> str | None:
    if imsi[0] in _MCC_FIRST_DIGITS or imsi.startswith(_MCC_SHARED):
        return None
    return f"{imsi[:3]} is no mobile country code (ITU-T E.212)."


def _bank_account(account: str) -> str | None:
    code, bank, _ = account.split(":")
    found = money.BIC.fullmatch(bank)
    if found is None or found[1] == code:
        return None
    return f"The bank's BIC belongs to {found[1]}, the account is said to be in {code}."


def _iban(iban: str) -> str | None:
    return f"Banks in {iban[:2]} issue no IBANs: compare it with the source." if iban[:2] in _NO_IBAN else None


def _mmsi(mmsi: str) -> str | None:
    country = transport.mid(mmsi)
    return None if country in MIDS else f"The country digits {country} are not allocated (ITU)."


def _vin(vin: str) -> str | None:
    wanted = vin_character(vin)
    if vin[8] == wanted:
        return None
    return f"Character 9 is {vin[8]!r}, not the check digit {wanted!r}: wrong if the vehicle is from North America."


def _person(person: str) -> str | None:
    return "A name alone never matches: add birth date or nationality." if person.endswith(_NAME_ALONE) else None


def _ip(ip: str) -> str | None:
    return None if ipaddress.ip_address(ip).is_global else "The address is private or reserved: nobody can act on it."


def _hash(digest: str) -> str | None:
    is_md5 = len(digest) == network.HASH_DIGITS["md5"]
    return "MD5 can be forged: add a SHA-256 of the same file." if is_md5 else None


_WARNERS: Mapping[str, Callable[[str], str | None]] = {
    "imsi": _imsi,
    "bank-account": _bank_account,
    "iban": _iban,
    "vessel-mmsi": _mmsi,
    "vehicle-vin": _vin,
    "person": _person,
    "ip": _ip,
    "file-hash": _hash,
}
