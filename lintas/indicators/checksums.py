"""Checksums of identifiers or wallet addresses.

Promises: pure arithmetic on clean text; a caller that passes other characters has a bug. Functions named ``is_*`` tell,
functions that compute return the right digit so that an error can name it.
Spec: ISO/IEC 7812 (Luhn), ISO/IEC 7064 (mod 97-10), ISO 6346, ICAO 9303 part 3 section 4.9, IMO A.1117(30), ISO 3779;
Keccak-256 as in Ethereum (not SHA3-256: other padding), EIP-55, Bitcoin base58check, BIP-173, BIP-350.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
BECH32M_CONSTANT = 0x2BC830A3
CHECKSUM_BYTES = 4
"""A base58check string ends with four bytes of a double SHA-256."""

BECH32_CHECKSUM_CHARACTERS = 6

_ALPHANUMERIC = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_BECH32_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CONTAINER_LETTER = {letter: 10 + n + (n + 9) // 10 for n, letter in enumerate(_ALPHANUMERIC[10:])}
_VIN_VALUE = dict(zip("ABCDEFGHJKLMNPRSTUVWXYZ0123456789", "12345678123457923456789" + "0123456789", strict=True))
_VIN_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)


def luhn_digit(body: str) -> int:
    """Return the Luhn digit that completes these digits."""
    doubled = (int(digit) * (2 - n % 2) for n, digit in enumerate(reversed(body)))
    return -sum(each - 9 * (each > 9) for each in doubled) % 10  # noqa: PLR2004 - casting out nines


def mod97(text: str) -> int:
    """Return digits and letters (A = 10 ... Z = 35) as one number modulo 97."""
    return int("".join(str(_ALPHANUMERIC.index(character)) for character in text)) % 97


def icao_digit(text: str) -> int:
    """Return the 7-3-1 check digit of a machine-readable field; ``<`` counts as 0."""
    values = (_ALPHANUMERIC.index(each) if each != "<" else 0 for each in text)
    return sum(value * (7, 3, 1)[n % 3] for n, value in enumerate(values)) % 10


def imo_digit(body: str) -> int:
    """Return the last digit of an IMO number from its first six."""
    return sum(int(digit) * (7 - n) for n, digit in enumerate(body)) % 10


def container_digit(body: str) -> int:
    """Return the check digit of the four letters and six digits of a container number."""
    values = (_CONTAINER_LETTER[each] if each.isalpha() else int(each) for each in body)
    return sum(value << n for n, value in enumerate(values)) % 11 % 10


def vin_character(vin: str) -> str:
    """Return what stands at the ninth place of a VIN where the check digit is used (North America)."""
    total = sum(int(_VIN_VALUE[each]) * weight for each, weight in zip(vin, _VIN_WEIGHTS, strict=True))
    return "0123456789X"[total % 11]


def unbase58check(text: str) -> bytes | None:
    """Decode base58check (version byte and body), or None when the checksum does not fit."""
    number = 0
    for character in text:
        number = number * 58 + BASE58.index(character)
    zeros = len(text) - len(text.lstrip("1"))
    data = bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
    body, check = data[:-CHECKSUM_BYTES], data[-CHECKSUM_BYTES:]
    digest = hashlib.sha256(hashlib.sha256(body).digest()).digest()
    return body if body and digest[:CHECKSUM_BYTES] == check else None


def unsegwit(hrp: str, data: str) -> tuple[int, bytes] | None:
    """Decode the part of a lower-case segwit address after ``1`` to witness version and program.

    None when the checksum of that version (bech32 for 0, bech32m from 1 on) does not fit or the padding is wrong.
    """
    values = [BECH32.index(character) for character in data]
    if not values:
        return None
    expanded = [ord(each) >> 5 for each in hrp] + [0] + [ord(each) & 31 for each in hrp]
    if _polymod(expanded + values) != (BECH32M_CONSTANT if values[0] else 1):
        return None
    program = _bytes_of_fives(values[1:-BECH32_CHECKSUM_CHARACTERS])
    return None if program is None else (values[0], program)


def eip55(address: str) -> str:
    """Return 40 lower-case hex digits with the capitals that EIP-55 gives them."""
    digest = keccak256(address.encode()).hex()
    return "".join(each.upper() if int(nibble, 16) > 7 else each for each, nibble in zip(address, digest, strict=False))  # noqa: PLR2004 - the upper half of a nibble


def keccak256(data: bytes) -> bytes:
    """Return the Keccak-256 digest. About 0.5 ms a block of 136 bytes: meant for addresses, not for files."""
    rate = 136
    # Keccak's own padding starts with 0x01, where SHA3-256 has 0x06.
    padded = bytearray(data) + b"\x01" + bytes(-(len(data) + 1) % rate)
    padded[-1] |= 0x80
    state = [0] * 25
    for start in range(0, len(padded), rate):
        for lane in range(rate // 8):
            state[lane] ^= int.from_bytes(padded[start + 8 * lane : start + 8 * lane + 8], "little")
        _permute(state)
    return b"".join(lane.to_bytes(8, "little") for lane in state[:4])


_LANE = (1 << 64) - 1
_ROUNDS = 24


def _round_constants() -> tuple[int, ...]:
    # FIPS 202 section 3.2.5: a linear feedback register of eight bits gives bit 2^j - 1 of each constant.
    register, constants = 1, []
    for _ in range(_ROUNDS):
        constant = 0
        for j in range(7):
            constant |= (register & 1) << ((1 << j) - 1)
            register = (register << 1) ^ (0x171 if register & 0x80 else 0)
        constants.append(constant)
    return tuple(constants)


def _steps() -> tuple[tuple[int, int], ...]:
    # FIPS 202 sections 3.2.2, 3.2.3: where rho and pi take each lane, and by how much it is turned.
    x, y, steps = 1, 0, []
    for t in range(24):
        source = (x, y)
        x, y = y, (2 * x + 3 * y) % 5
        steps.append((source[0] + 5 * source[1], x + 5 * y, (t + 1) * (t + 2) // 2 % 64))
    return tuple((target, turn) for _, target, turn in steps)


_ROUND_CONSTANTS = _round_constants()
_RHO_PI = _steps()


def _turn(lane: int, count: int) -> int:
    return (lane << count | lane >> (64 - count)) & _LANE


def _permute(state: list[int]) -> None:
    for constant in _ROUND_CONSTANTS:
        parity = [state[x] ^ state[x + 5] ^ state[x + 10] ^ state[x + 15] ^ state[x + 20] for x in range(5)]
        for x in range(5):
            mix = parity[(x + 4) % 5] ^ _turn(parity[(x + 1) % 5], 1)
            for y in range(0, 25, 5):
                state[x + y] ^= mix
        moved = state[1]
        for target, turn in _RHO_PI:
            state[target], moved = _turn(moved, turn), state[target]
        for y in range(0, 25, 5):
            row = state[y : y + 5]
            for x in range(5):
                state[x + y] = row[x] ^ (~row[(x + 1) % 5] & row[(x + 2) % 5] & _LANE)
        state[0] ^= constant


def _polymod(values: Sequence[int]) -> int:
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_BECH32_GENERATOR):
            check ^= generator if top >> bit & 1 else 0
    return check


def _bytes_of_fives(values: Sequence[int]) -> bytes | None:
    number = 0
    for value in values:
        number = number << 5 | value
    spare = len(values) * 5 % 8
    if spare >= 5 or number & ((1 << spare) - 1):  # noqa: PLR2004 - a whole character of padding is one too many
        return None
    return (number >> spare).to_bytes(len(values) * 5 // 8, "big")
