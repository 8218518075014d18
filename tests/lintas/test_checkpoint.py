"""Tests of the checkpoint: its one spelling, and whose word it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lintas import note
from lintas.checkpoint import (
    Checkpoint,
    format_checkpoint,
    open_checkpoint,
    parse_checkpoint,
    parse_decimal,
    parse_hash,
)
from lintas.errors import BadCheckpoint, BadNote
from lintas.merkle import EMPTY_ROOT

ORIGIN = "hub.example/log/1"
KEY = note.SignerKey.from_seed(ORIGIN, bytes(32))
ROOT = bytes(range(32))
ROOT_TEXT = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
TREE = Checkpoint(ORIGIN, 42, ROOT)
TEXT = f"{ORIGIN}\n42\n{ROOT_TEXT}\n"
SIGNED = note.sign_note(TEXT, KEY)


def test_format() -> None:
    """A checkpoint is origin, size and root, each on a line."""
    assert format_checkpoint(TREE) == TEXT


def test_format_with_extension() -> None:
    """Extension lines follow the root and are kept."""
    extended = Checkpoint(ORIGIN, 42, ROOT, ("one more", "and another"))

    assert format_checkpoint(extended) == TEXT + "one more\nand another\n"
    assert parse_checkpoint(format_checkpoint(extended)) == extended


@given(
    origin=st.text(st.characters(blacklist_characters="\n", blacklist_categories=["Cs"]), min_size=1),
    size=st.integers(1, 10**16 - 1),
    root=st.binary(min_size=32, max_size=32),
)
def test_round_trip(origin: str, size: int, root: bytes) -> None:
    """Every checkpoint that is written can be read."""
    tree = Checkpoint(origin, size, root)

    assert parse_checkpoint(format_checkpoint(tree)) == tree


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "\n\n\n",
        f"{ORIGIN}\n",
        f"{ORIGIN}\n42\n",
        f"{ORIGIN}\n42\n{ROOT_TEXT}",
        f"\n42\n{ROOT_TEXT}\n",
        f"{ORIGIN}\n\n{ROOT_TEXT}\n",
        f"{ORIGIN}\n42\n\n",
        f"{ORIGIN}\n42\n{ROOT_TEXT}\n\n",
        f"{ORIGIN}\n42\n{ROOT_TEXT}\n\nextension\n",
        f"{ORIGIN}\r\n42\r\n{ROOT_TEXT}\r\n",
        f"{ORIGIN}\n42 \n{ROOT_TEXT}\n",
        f"{ORIGIN}\n042\n{ROOT_TEXT}\n",
        f"{ORIGIN}\n42\n{ROOT_TEXT} \n",
        f"{ORIGIN}\n42\n{ROOT_TEXT[:-1]}\n",
        f"{ORIGIN}\n42\n{ROOT.hex()}\n",
    ],
)
def test_malformed_checkpoint(text: str) -> None:
    """A checkpoint that is not spelt in the one right way is refused."""
    with pytest.raises(BadCheckpoint):
        parse_checkpoint(text)


def test_empty_tree() -> None:
    """A tree of size zero has the empty root."""
    tree = Checkpoint(ORIGIN, 0, EMPTY_ROOT)

    assert parse_checkpoint(format_checkpoint(tree)) == tree
    with pytest.raises(BadCheckpoint, match="empty tree"):
        parse_checkpoint(format_checkpoint(Checkpoint(ORIGIN, 0, ROOT)))


def test_open() -> None:
    """A checkpoint that the pinned key signed for the pinned origin opens."""
    assert open_checkpoint(SIGNED, origin=ORIGIN, key=KEY.verifier) == TREE


def test_open_witnessed() -> None:
    """The signatures of witnesses do not matter, whether before the log's own or after it."""
    witness = note.SignerKey.from_seed("witness.example", b"w" * 32)

    for keys in ((KEY, witness), (witness, KEY)):
        assert open_checkpoint(note.sign_note(TEXT, *keys), origin=ORIGIN, key=KEY.verifier) == TREE


def test_open_of_another_log() -> None:
    """A checkpoint for another origin is refused though the pinned key signed it."""
    foreign = note.sign_note(format_checkpoint(Checkpoint("hub.example/log/2", 42, ROOT)), KEY)

    with pytest.raises(BadCheckpoint, match=r"hub\.example/log/2"):
        open_checkpoint(foreign, origin=ORIGIN, key=KEY.verifier)


def test_open_by_another_key() -> None:
    """A checkpoint by another key of the same name is refused."""
    stranger = note.SignerKey.from_seed(ORIGIN, b"s" * 32)

    with pytest.raises(BadNote, match="None of the pinned keys"):
        open_checkpoint(note.sign_note(TEXT, stranger), origin=ORIGIN, key=KEY.verifier)


def test_open_signed_nonsense() -> None:
    """What is no checkpoint is refused though the pinned key signed it."""
    with pytest.raises(BadCheckpoint, match="lines of their own"):
        open_checkpoint(note.sign_note("a text\n", KEY), origin=ORIGIN, key=KEY.verifier)


@pytest.mark.parametrize("place", range(len(SIGNED)))
def test_open_with_flipped_byte(place: int) -> None:
    """No byte of a checkpoint can be changed."""
    for flip in (0x01, 0x20, 0x80):
        tampered = SIGNED[:place] + bytes([SIGNED[place] ^ flip]) + SIGNED[place + 1 :]

        with pytest.raises((BadNote, BadCheckpoint)):
            open_checkpoint(tampered, origin=ORIGIN, key=KEY.verifier)


@pytest.mark.parametrize(("text", "expected"), [("0", 0), ("7", 7), ("10", 10), (16 * "9", 10**16 - 1)])
def test_parse_decimal(text: str, expected: int) -> None:
    """A number of at most sixteen digits is read."""
    assert parse_decimal(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "00", "01", "-1", "+1", " 1", "1 ", "1\n", "1_0", "1.0", "1e3", "0x1", "\u0661", "\u00b2", "1" + 16 * "0"],
)
def test_parse_decimal_refuses(text: str) -> None:
    """A number with a sign, a leading zero, foreign digits or too many of them is refused."""
    with pytest.raises(ValueError, match="plain decimal"):
        parse_decimal(text)


@pytest.mark.parametrize(
    "text", ["", "A", note.b64(bytes(31)), note.b64(bytes(33)), ROOT_TEXT + "\n", ROOT_TEXT[:-2] + "9="]
)
def test_parse_hash_refuses(text: str) -> None:
    """A hash is 32 bytes in canonical base64."""
    with pytest.raises(ValueError, match="32 bytes"):
        parse_hash(text)
