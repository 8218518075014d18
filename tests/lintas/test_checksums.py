"""Check digits and checksums, against independent implementations."""

from __future__ import annotations

import hashlib

import pytest
from Crypto.Hash import keccak
from hypothesis import given, settings
from hypothesis import strategies as st
from stdnum import bitcoin, imo, iso6346, luhn
from stdnum.iso7064 import mod_97_10

from lintas.indicators import checksums

DIGITS = "0123456789"
CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@settings(max_examples=60)
@given(st.binary(max_size=400))
def test_keccak_agrees_with_pycryptodome(data: bytes) -> None:
    """The digest is Ethereum's, for every length of the last block."""
    expected = keccak.new(digest_bits=256, data=data).digest()

    actual = checksums.keccak256(data)

    assert expected == actual


def test_keccak_is_right_around_the_block_size() -> None:
    """135, 136 and 137 bytes are padded differently."""
    sizes = (0, 1, 134, 135, 136, 137, 271, 272, 273)
    expected = [keccak.new(digest_bits=256, data=bytes(size)).digest() for size in sizes]

    actual = [checksums.keccak256(bytes(size)) for size in sizes]

    assert expected == actual


def test_eip55_gives_the_capitals_of_the_standard() -> None:
    """The first example of EIP-55."""
    assert checksums.eip55("5aaeb6053f3e94c9b9a09f33669435e7ef1beaed") == "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"


@given(st.text(DIGITS, min_size=1, max_size=20))
def test_luhn_agrees_with_stdnum(body: str) -> None:
    """The digit completes the number."""
    expected = luhn.calc_check_digit(body)

    actual = str(checksums.luhn_digit(body))

    assert expected == actual


@given(st.text(DIGITS + CAPITALS, min_size=1, max_size=34))
def test_mod97_agrees_with_stdnum(text: str) -> None:
    """Letters count as two digits."""
    expected = mod_97_10.checksum(text)

    actual = checksums.mod97(text)

    assert expected == actual


@given(st.text(DIGITS, min_size=6, max_size=6))
def test_imo_agrees_with_stdnum(body: str) -> None:
    """The digit completes the number of a ship."""
    expected = imo.calc_check_digit(body)

    actual = str(checksums.imo_digit(body))

    assert expected == actual


@given(st.text(CAPITALS, min_size=3, max_size=3), st.sampled_from("UJZ"), st.text(DIGITS, min_size=6, max_size=6))
def test_container_agrees_with_stdnum(owner: str, category: str, serial: str) -> None:
    """The digit completes the number of a container, whatever its letters."""
    expected = iso6346.calc_check_digit(owner + category + serial)

    actual = str(checksums.container_digit(owner + category + serial))

    assert expected == actual


def test_icao_digit_is_that_of_the_specimens() -> None:
    """The document number and the birth date of the ICAO 9303 specimen."""
    assert [checksums.icao_digit(each) for each in ("L898902C3", "740812", "ZE184226B<<<<<")] == [6, 2, 1]


def test_vin_character_is_that_of_the_regulation() -> None:
    """49 CFR 565 works out X and digits; the wheel of ones gives 1."""
    assert [checksums.vin_character(vin) for vin in ("1M8GDM9AXKP042788", "11111111111111111")] == ["X", "1"]


@given(st.sampled_from([b"\x00", b"\x05", b"\x41"]), st.binary(min_size=20, max_size=20))
def test_base58check_decodes_what_stdnum_decodes(version: bytes, body: bytes) -> None:
    """Leading zero bytes come back as well."""
    text = base58check(version + body)

    assert (version + body, bitcoin.b58decode(text)[:-4]) == (checksums.unbase58check(text), version + body)


@given(st.binary(min_size=20, max_size=20), st.integers(0, 30), st.sampled_from(checksums.BASE58))
def test_base58check_notices_one_wrong_character(body: bytes, place: int, character: str) -> None:
    """An address with one character changed has no reading."""
    text = base58check(b"\0" + body)
    place %= len(text)
    wrong = text[:place] + character + text[place + 1 :]

    assert (wrong == text) == (checksums.unbase58check(wrong) is not None)


def test_base58check_without_a_body_is_nothing() -> None:
    """Four bytes of checksum alone are no address."""
    assert checksums.unbase58check("3QJmnh") is None


@given(st.integers(0, 31), st.binary(min_size=2, max_size=40))
def test_segwit_decodes_what_was_encoded(version: int, program: bytes) -> None:
    """bech32 for version 0, bech32m for the others."""
    actual = checksums.unsegwit("bc", segwit(version, program))

    assert (version, program) == actual


@pytest.mark.parametrize(
    ("data", "version", "program"),
    [
        ("qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", 0, "751e76e8199196d454941c45d1b3a323f1433bd6"),
        (
            "p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
            1,
            "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
        ),
    ],
    ids=["bech32", "bech32m"],
)
def test_segwit_decodes_the_vectors_of_the_standards(data: str, version: int, program: str) -> None:
    """One address of BIP-173, one of BIP-350."""
    assert (version, bytes.fromhex(program)) == checksums.unsegwit("bc", data)


@given(st.integers(0, 1), st.binary(min_size=20, max_size=20))
def test_segwit_refuses_the_checksum_of_the_other_version(version: int, program: bytes) -> None:
    """BIP-350: version 0 keeps the old constant, the others must not use it."""
    assert (
        checksums.unsegwit("bc", segwit(version, program, constant=checksums.BECH32M_CONSTANT if not version else 1))
        is None
    )


def test_segwit_refuses_padding_that_is_not_zero_or_too_long() -> None:
    """One program, one spelling."""
    values = fives(bytes(20))
    spoilt = [checksums.unsegwit("bc", joined(0, each, 1)) for each in ([*values, 0], [*fives(bytes(21))[:-1], 1])]

    assert spoilt == [None, None]


@pytest.mark.parametrize("data", ["", "qqqqqq", "gmk9yu"])
def test_segwit_needs_more_than_a_checksum(data: str) -> None:
    """Six characters leave no room for a version, even where they are the checksum of nothing."""
    assert checksums.unsegwit("bc", data) is None


def base58check(body: bytes) -> str:
    """Encode with the alphabet of Bitcoin."""
    data = body + hashlib.sha256(hashlib.sha256(body).digest()).digest()[:4]
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = checksums.BASE58[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def segwit(version: int, program: bytes, *, constant: int | None = None) -> str:
    """Encode a witness program as BIP-173 and BIP-350 say."""
    if constant is None:
        constant = checksums.BECH32M_CONSTANT if version else 1
    return joined(version, fives(program), constant)


def fives(program: bytes) -> list[int]:
    """Split bytes into groups of five bits, the last filled with zeros."""
    bits = "".join(f"{byte:08b}" for byte in program)
    bits += "0" * (-len(bits) % 5)
    return [int(bits[start : start + 5], 2) for start in range(0, len(bits), 5)]


def joined(version: int, values: list[int], constant: int) -> str:
    """Append the checksum to version and program."""
    words = [version, *values]
    check = checksums._polymod([3, 3, 0, 2, 3, *words, 0, 0, 0, 0, 0, 0]) ^ constant
    return "".join(checksums.BECH32[each] for each in [*words, *(check >> 5 * (5 - n) & 31 for n in range(6))])
