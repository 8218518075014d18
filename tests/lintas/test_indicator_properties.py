"""Indicators against chance, warnings and reference implementations."""

from __future__ import annotations

import socket
import string

import phonenumbers
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from stdnum import bitcoin, iban, imo, iso6346, lei, luhn

from lintas import vocabulary
from lintas.errors import MalformedPayload
from lintas.indicators import normalise, warnings
from lintas.indicators.countries import ALPHA3, MIDS
from lintas.indicators.people import PLATFORM_ALIASES, PLATFORMS

P2PKH = "1BnvfxWxbXBvSdRmRrsYQK4FhzGuCLHFZy"
SEGWIT = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
EXAMPLES = [(name, each.example) for name, each in vocabulary.load().indicator_types.items()]
WARNED = [
    ("imsi", "001010123456789", "001 is no mobile country code"),
    ("bank-account", "TH:FICBMYKL:1234", "belongs to MY"),
    ("iban", "TH380080012345678910157", "issue no IBANs"),
    ("vessel-mmsi", "599000021", "599 are not allocated"),
    ("vehicle-vin", "1M8GDM9A1KP042788", "Character 9 is '1', not the check digit 'X'"),
    ("person", "FICTIONAL||", "A name alone"),
    ("ip", "192.168.0.1", "private or reserved"),
    ("ip", "2001:db8::1", "private or reserved"),
    ("file-hash", "a" * 32, "MD5"),
]
UNSUSPICIOUS = [
    ("imsi", "502130123456789"),
    ("imsi", "901700000000000"),
    ("bank-account", "MY:FICBMYKL:1234"),
    ("bank-account", "MY:FICTIONAL BANK:1234"),
    ("iban", "TL380080012345678910157"),
    ("iban", "GB82WEST12345698765432"),
    ("vessel-mmsi", "533000021"),
    ("vessel-mmsi", "985330001"),
    ("vehicle-vin", "1M8GDM9AXKP042788"),
    ("person", "FICTIONAL|1988|"),
    ("ip", "8.8.8.8"),
    ("file-hash", "a" * 40),
    ("phone", "+6070123456"),
]
BEGINNINGS = {
    "bank-account": ("MY:", ":12345"),
    "domain": ("", ".example"),
    "email": ("a@", ".example"),
    "organization": ("", "||TH"),
    "person": ("A", "|1988|"),
    "phone": ("+60", "123456"),
    "social-handle": ("telegram:", ""),
    "url": ("https://scam.example/", ""),
    "vehicle-plate": ("MY:", ""),
    "vessel-name": ("", ""),
}


@pytest.mark.parametrize(("kind", "value", "words"), WARNED)
def test_odd_values_carry_a_warning(kind: str, value: str, words: str) -> None:
    """What cannot be refused is at least said."""
    actual = warnings(kind, value)

    assert (1, True) == (len(actual), words in actual[0])


@pytest.mark.parametrize(("kind", "value"), UNSUSPICIOUS)
def test_ordinary_values_carry_no_warning(kind: str, value: str) -> None:
    """A warning that always comes is not read."""
    assert warnings(kind, value) == ()


def test_the_tables_of_numbers_hold_the_region() -> None:
    """Country codes and ship digits of the eleven are among those known."""
    countries = vocabulary.load().countries.values()

    assert {each.iso2: each.icao3 for each in countries}.items() <= ALPHA3.items()
    assert {mid for each in countries for mid in each.mmsi_mids} <= MIDS


def test_country_codes_hold_every_region_that_telephones_know() -> None:
    """Only Ascension and Tristan da Cunha have numbers without an ISO 3166 code of their own."""
    assert set(phonenumbers.SUPPORTED_REGIONS) - set(ALPHA3) == {"AC", "TA"}


def test_aliases_lead_to_platforms() -> None:
    """An alias is never canonical."""
    assert set(PLATFORM_ALIASES.values()) <= PLATFORMS
    assert PLATFORMS.isdisjoint(PLATFORM_ALIASES)


@pytest.mark.parametrize("kind", ["vessel-name", "social-handle"])
def test_changing_the_case_of_any_letter_is_stable(kind: str) -> None:
    """Letters of all scripts come to rest, also those whose capital is another sequence."""
    canonical = {found for number in range(0x80, 0x20000) if (found := spelling(kind, chr(number))) is not None}

    assert canonical == {spelling(kind, each) for each in canonical}


@settings(max_examples=400)
@given(st.sampled_from(sorted(BEGINNINGS)), st.text(max_size=30))
@example("organization", "\u037a")
@example("social-handle", "@+60123")
@example("vessel-name", "\u1e9e\u0345")
def test_whatever_is_accepted_is_stable(kind: str, text: str) -> None:
    """For any text, the value is refused as a value or its canonical form is a fixed point."""
    before, after = BEGINNINGS[kind]
    try:
        canonical = normalise(kind, f"{before}{text}{after}")
    except MalformedPayload:
        return

    assert canonical == normalise(kind, canonical)


@settings(max_examples=300)
@given(st.sampled_from([*EXAMPLES, ("wallet-btc", SEGWIT)]), st.data())
def test_a_value_with_one_character_changed_is_refused_or_stable(case: tuple[str, str], data: st.DataObject) -> None:
    """No spelling near a good one makes the reader fail otherwise than by refusing."""
    kind, value = case
    place = data.draw(st.integers(0, len(value)))
    text = value[:place] + data.draw(st.text(max_size=2)) + value[place + data.draw(st.integers(0, 1)) :]
    try:
        canonical = normalise(kind, text)
    except MalformedPayload:
        return

    assert canonical == normalise(kind, canonical)


@given(st.sampled_from(sorted(phonenumbers.SUPPORTED_REGIONS)), st.data())
def test_phone_agrees_with_phonenumbers(region: str, data: st.DataObject) -> None:
    """A number in international spelling comes out as the reference library writes it."""
    number = phonenumbers.example_number(region)
    written = data.draw(
        st.sampled_from([phonenumbers.PhoneNumberFormat.INTERNATIONAL, phonenumbers.PhoneNumberFormat.E164])
    )
    if number is None or len(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)) < 8:
        return

    actual = normalise("phone", phonenumbers.format_number(number, written))

    assert phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164) == actual


@given(st.sampled_from(["imei", "payment-card", "vessel-imo", "container"]), st.text(string.digits, max_size=20))
def test_check_digits_agree_with_stdnum(kind: str, digits: str) -> None:
    """What is accepted is valid for the reference, and the reverse within our lengths."""
    value = f"ZZZU{digits[:7]}" if kind == "container" else digits
    valid = {
        "imei": lambda: len(digits) == 15 and luhn.is_valid(digits),
        "payment-card": lambda: 12 <= len(digits) <= 19 and luhn.is_valid(digits),
        "vessel-imo": lambda: len(digits) == 7 and imo.is_valid(digits),
        "container": lambda: iso6346.is_valid(value),
    }

    assert valid[kind]() == accepts(kind, value)


@pytest.mark.parametrize("value", ["GB82WEST12345698765432", "TL380080012345678910157", "TL269990000000000471100"])
def test_iban_agrees_with_stdnum(value: str) -> None:
    """Real structures pass both, and neither takes two digits exchanged."""
    wrong = value[:-2] + value[-1] + value[-2] if value[-1] != value[-2] else value[:-1] + "1"

    assert (iban.is_valid(value), iban.is_valid(wrong)) == (accepts("iban", value), accepts("iban", wrong))


@pytest.mark.parametrize("value", ["5493006MHB84DD0ZWV18", "5493006MHB84DD0ZWV19"])
def test_lei_agrees_with_stdnum(value: str) -> None:
    """An LEI given as registration number is checked."""
    assert lei.is_valid(value) == accepts("organization", f"FICTIONAL|{value}|")


@pytest.mark.parametrize("value", [P2PKH, SEGWIT, P2PKH[:-1] + "z", SEGWIT[:-1] + "q"])
def test_bitcoin_agrees_with_stdnum_before_taproot(value: str) -> None:
    """The reference knows base58check and bech32; it refuses taproot, which we take."""
    assert bitcoin.is_valid(value) == accepts("wallet-btc", value)


@given(st.ip_addresses().map(str) | st.text("0123456789abcdef:.", max_size=40))
def test_ip_agrees_with_the_operating_system(text: str) -> None:
    """What is accepted is an address for inet_pton, and the reverse."""
    assert (is_address(socket.AF_INET, text) or is_address(socket.AF_INET6, text)) == accepts("ip", text)


def spelling(kind: str, text: str) -> str | None:
    """Return the canonical name or handle, or None when the text is refused."""
    try:
        return normalise(kind, f"x:{text}" if kind == "social-handle" else text).removeprefix("x:")
    except MalformedPayload:
        return None


def accepts(kind: str, value: str) -> bool:
    """Tell whether a value is taken."""
    try:
        normalise(kind, value)
    except MalformedPayload:
        return False
    return True


def is_address(family: socket.AddressFamily, text: str) -> bool:
    """Ask the operating system."""
    try:
        socket.inet_pton(family, text)
    except OSError:
        return False
    return True
