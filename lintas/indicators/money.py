"""Values that lead to money: accounts, cards, wallets, transactions.

Spec: ISO 13616 (IBAN), ISO 9362 (BIC), ISO/IEC 7812 (cards), BIP-173, BIP-350, BIP-341 (Bitcoin), EIP-55 (Ethereum),
TRON's base58check with version 0x41.
"""

from __future__ import annotations

import re
import string

from lintas.indicators.checksums import BASE58, BECH32, eip55, luhn_digit, mod97, unbase58check, unsegwit
from lintas.indicators.spelling import checked, country, digits, malformed, only, packed, plain, sized, squeezed

ACCOUNT_CHARACTERS = (4, 34)
"""ISO 13616 leaves 30 characters for an account within an IBAN; some banks outside it use up to 34."""

BANK_CHARACTERS = (2, 70)
CARD_DIGITS = (12, 19)
IBAN_CHARACTERS = (15, 34)
IBAN_CHARACTERS_TL = 23
"""The only IBAN country among the eleven, so its length is checked; elsewhere the check digits must do."""

BASE58_CHARACTERS = (26, 35)
HASH_DIGITS = 64
EVM_DIGITS = 40
HASH160_BYTES = 20
BTC_VERSIONS = frozenset({0x00, 0x05})
TRON_VERSION = 0x41
SEGWIT_V0_BYTES = frozenset({20, 32})
SEGWIT_BYTES = (2, 40)
SEGWIT_VERSION_MAX = 16

CAPITALS_AND_DIGITS = frozenset(string.ascii_uppercase + string.digits)
HEX = frozenset(string.hexdigits)
BIC = re.compile(r"[A-Z]{4}([A-Z]{2})[A-Z0-9]{2}(?:[A-Z0-9]{3})?")
_HEAD_OFFICE = "XXX"
_HEAD_OFFICE_BIC_CHARACTERS = 11


def bank_account(value: str) -> str:
    """``CC:BANK:NUMBER`` with a BIC or the bank's name; a BIC loses the ``XXX`` that means head office."""
    parts = plain(value).split(":")
    if len(parts) != 3:  # noqa: PLR2004 - the parts named in the message
        raise malformed("A bank account is written CC:BANK:NUMBER, for example MY:FICBMYKL:514012345678.")
    bank = sized(squeezed(parts[1]), *BANK_CHARACTERS, "bank")
    if len(bank) == _HEAD_OFFICE_BIC_CHARACTERS and BIC.fullmatch(bank):
        bank = bank.removesuffix(_HEAD_OFFICE)
    number = only(packed(parts[2]).upper(), CAPITALS_AND_DIGITS, "account number")
    return f"{country(packed(parts[0]).upper())}:{bank}:{sized(number, *ACCOUNT_CHARACTERS, 'account number')}"


def iban(value: str) -> str:
    """Compact capitals, with check digits that fit."""
    text = sized(only(packed(value).upper(), CAPITALS_AND_DIGITS, "IBAN"), *IBAN_CHARACTERS, "IBAN")
    if country(text[:2]) == "TL":
        sized(text, IBAN_CHARACTERS_TL, IBAN_CHARACTERS_TL, "IBAN of Timor-Leste")
    digits(text[2:4], 2, 2, "check number")
    checked(text[2:4], f"{98 - mod97(text[4:] + text[:2] + '00'):02d}", "IBAN")
    return text


def payment_card(value: str) -> str:
    """Digits that end with their Luhn digit."""
    text = digits(packed(value), *CARD_DIGITS, "card number")
    checked(text[-1], str(luhn_digit(text[:-1])), "card number")
    return text


def wallet_btc(value: str) -> str:
    """A main-net address: base58check as it is written, bech32 and bech32m in small letters."""
    text = plain(value)
    if text[:3].lower() == "bc1":
        return _segwit(text)
    return _base58(text, BTC_VERSIONS, "Bitcoin address")


def wallet_tron(value: str) -> str:
    """A base58check address as it is written; its case carries meaning."""
    return _base58(plain(value), frozenset({TRON_VERSION}), "TRON address")


def wallet_evm(value: str) -> str:
    """``0x`` and 40 small hex digits; in mixed case the capitals must be those of EIP-55."""
    text = plain(value)
    digits40 = text[2:] if text[:2].lower() == "0x" else text
    sized(only(digits40, HEX, "address"), EVM_DIGITS, EVM_DIGITS, "address after 0x")
    lower = digits40.lower()
    if digits40 not in (lower, lower.upper()):
        for place, (found, wanted) in enumerate(zip(digits40, eip55(lower), strict=True), 1):
            if found != wanted:
                raise malformed(f"Character {place} after 0x is {found!r}; its EIP-55 checksum demands {wanted!r}.")
    return f"0x{lower}"


def crypto_tx(value: str) -> str:
    """A transaction hash: 64 small hex digits."""
    text = plain(value).lower().removeprefix("0x")
    return sized(only(text, HEX, "transaction hash"), HASH_DIGITS, HASH_DIGITS, "transaction hash")


def _base58(text: str, versions: frozenset[int], what: str) -> str:
    sized(only(text, BASE58, what), *BASE58_CHARACTERS, what)
    body = unbase58check(text)
    if body is None:
        raise malformed(
            f"The checksum of the {what} does not fit: at least one character is wrong or in the wrong case."
        )
    if len(body) != 1 + HASH160_BYTES or body[0] not in versions:
        raise malformed(f"Version byte {body[0]} with {len(body) - 1} bytes makes no {what}.")
    return text


def _segwit(text: str) -> str:
    if text not in (text.lower(), text.upper()):
        raise malformed("A bech32 address is all small letters or all capitals, not both.")
    text = text.lower()
    found = unsegwit("bc", only(text[3:], BECH32, "address after bc1"))
    if found is None:
        raise malformed("The checksum of the Bitcoin address does not fit: at least one character is wrong.")
    version, program = found
    fits = SEGWIT_BYTES[0] <= len(program) <= SEGWIT_BYTES[1] and (version or len(program) in SEGWIT_V0_BYTES)
    if version > SEGWIT_VERSION_MAX or not fits:
        raise malformed(f"Witness version {version} with {len(program)} bytes makes no Bitcoin address.")
    return text
