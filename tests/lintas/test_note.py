"""Tests of the signed note: what opens, and that nothing else does."""

from __future__ import annotations

from hashlib import sha256
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lintas import ed25519, note
from lintas.errors import BadNote

TEXT = b"first line\n\nlast line, caf\xc3\xa9\n"
OURS = note.SignerKey.from_seed("hub.example/log/1", bytes(31) + b"\x01")
NEXT = note.SignerKey.from_seed("hub.example/log/1", bytes(31) + b"\x02")
WITNESS = note.SignerKey.from_seed("witness.example/w1", bytes(31) + b"\x03")
GOOD = note.sign_note(TEXT, OURS)
FLIPS = (0x01, 0x20, 0x80)


def line_of(key: note.SignerKey, text: bytes = TEXT) -> note.Signature:
    """Return the signature line of a key under a text."""
    return note.Signature(key.name, key.verifier.key_id, ed25519.sign(key.seed, text))


def flipped(data: bytes) -> list[bytes]:
    """Return the data with each byte changed in three ways."""
    return [
        data[:place] + bytes([data[place] ^ flip]) + data[place + 1 :] for place in range(len(data)) for flip in FLIPS
    ]


def test_sign_and_open() -> None:
    """A signed note opens to its text, empty lines included, and says who signed."""
    opened = note.open_note(GOOD, [OURS.verifier])

    assert opened == note.OpenedNote(TEXT, (OURS.verifier,), (line_of(OURS),))


def test_note_as_written() -> None:
    """A note is the text, an empty line and a line with dash, name, and base64 of key id and signature."""
    key_id, signature = OURS.verifier.key_id, ed25519.sign(OURS.seed, TEXT)

    assert note.sign_note(TEXT.decode(), OURS) == (
        TEXT + b"\n\xe2\x80\x94 hub.example/log/1 " + note.b64(key_id + signature).encode() + b"\n"
    )


def test_open_finds_key_anywhere() -> None:
    """The known key is found by name and id, wherever its line stands."""
    signed = note.sign_note(TEXT, WITNESS, NEXT, OURS)

    assert note.open_note(signed, [OURS.verifier]).verified == (OURS.verifier,)


def test_open_keeps_unknown_signatures() -> None:
    """Lines of unknown keys are neither verified nor lost."""
    foreign = note.Signature("witness.example/w2", b"abcd", b"any bytes at all")
    signed = note.format_note(TEXT, [foreign, line_of(OURS)])

    assert note.open_note(signed, [OURS.verifier]).signatures == (foreign, line_of(OURS))


def test_add_cosignature() -> None:
    """A witness's line is added to an opened note without touching what was there."""
    opened = note.open_note(GOOD, [OURS.verifier])

    witnessed = note.format_note(opened.text, [*opened.signatures, line_of(WITNESS)])

    assert witnessed == GOOD + line_of(WITNESS).line().encode()
    assert note.open_note(witnessed, [WITNESS.verifier, OURS.verifier]).verified == (OURS.verifier, WITNESS.verifier)


@pytest.mark.parametrize("keys", [[], [WITNESS.verifier], [NEXT.verifier]])
def test_open_without_known_signature(keys: list[note.VerifierKey]) -> None:
    """A note that no known key signed is refused, even when a known key has the same name."""
    with pytest.raises(BadNote, match="None of the pinned keys"):
        note.open_note(GOOD, keys)


def test_open_with_same_id_but_other_name() -> None:
    """A key with the id of a line but another name did not sign it."""
    namesake = note.VerifierKey("other.example", OURS.verifier.key_id, 1, OURS.verifier.public)

    with pytest.raises(BadNote, match="None of the pinned keys"):
        note.open_note(GOOD, [namesake])


@pytest.mark.parametrize("place", [0, 1, 2])
def test_open_with_bad_signature_by_known_key(place: int) -> None:
    """One bad signature by a known key refuses the note, whoever else signed it and even if that key did too."""
    bad = note.Signature(OURS.name, OURS.verifier.key_id, ed25519.sign(OURS.seed, b"other text\n"))
    lines = [line_of(OURS), line_of(WITNESS)]
    lines.insert(place, bad)

    with pytest.raises(BadNote, match="does not belong"):
        note.open_note(note.format_note(TEXT, lines), [WITNESS.verifier, OURS.verifier])


def test_open_counts_a_key_once() -> None:
    """A signature that is repeated counts once."""
    signed = note.format_note(TEXT, [line_of(OURS), line_of(OURS)])

    assert note.open_note(signed, [OURS.verifier]).verified == (OURS.verifier,)


@pytest.mark.parametrize("place", range(len(GOOD)))
def test_open_with_flipped_byte(place: int) -> None:
    """No byte of a note can be changed."""
    for tampered in flipped(GOOD)[len(FLIPS) * place : len(FLIPS) * (place + 1)]:
        with pytest.raises(BadNote):
            note.open_note(tampered, [OURS.verifier])


@pytest.mark.parametrize("size", range(len(GOOD)))
def test_open_cut_short(size: int) -> None:
    """No beginning of a note is a note."""
    with pytest.raises(BadNote):
        note.open_note(GOOD[:size], [OURS.verifier])


@pytest.mark.parametrize(
    "line",
    [
        "",
        "\n",
        "text\n",
        "- name YWJjZGU=\n",
        "\u2014name YWJjZGU=\n",
        "\u2014  name YWJjZGU=\n",
        "\u2014 name  YWJjZGU=\n",
        "\u2014 name YWJjZGU= \n",
        "\u2014 name YWJjZGU=\r\n",
        "\u2014 name\tYWJjZGU=\n",
        "\u2014 YWJjZGU=\n",
        "\u2014  YWJjZGU=\n",
        "\u2014 na+me YWJjZGU=\n",
        "\u2014 na\u00a0me YWJjZGU=\n",
        "\u2014 na\u3000me YWJjZGU=\n",
        "\u2014 name\n",
        "\u2014 name \n",
        "\u2014 name YWJjZA==\n",
        "\u2014 name YWJjZGU\n",
        "\u2014 name YWJjZGV=\n",
        "\u2014 name YWJj ZGU=\n",
        "\u2014 name YWI=YWI=\n",
        "\u2014 name YWJjZG_=\n",
        "\u2014 name YWJjZGU=",
        " \u2014 name YWJjZGU=\n",
    ],
)
def test_open_with_malformed_line(line: str) -> None:
    """One malformed signature line refuses the note, though a known key signed it."""
    tampered = GOOD + line.encode() if line else GOOD[:-1]

    with pytest.raises(BadNote):
        note.open_note(tampered, [OURS.verifier])


def test_well_formed_line_opens() -> None:
    """The line that the malformed ones are made from is itself allowed."""
    assert note.open_note(GOOD + "\u2014 name YWJjZGU=\n".encode(), [OURS.verifier]).text == TEXT


def test_open_without_text() -> None:
    """Signature lines alone are no note, even where they are signatures of an empty line."""
    with pytest.raises(BadNote, match="an empty line, then"):
        note.open_note(line_of(OURS, b"\n").line().encode(), [OURS.verifier])


@pytest.mark.parametrize("control", [*range(10), *range(11, 32)])
def test_open_with_control_character(control: int) -> None:
    """No control character but the newline stands in a note, not even a signed one."""
    text = b"text" + bytes([control]) + b"\n"
    signed = text + b"\n" + line_of(OURS, text).line().encode()

    with pytest.raises(BadNote, match="control character"):
        note.open_note(signed, [OURS.verifier])
    with pytest.raises(ValueError, match="control character"):
        note.sign_note(text, OURS)


@pytest.mark.parametrize("data", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xe2\x80"])
def test_open_with_bad_utf8(data: bytes) -> None:
    """A note is UTF-8, even where it is signed."""
    text = data + b"\n"
    signed = text + b"\n" + line_of(OURS, text).line().encode()

    with pytest.raises(BadNote, match="UTF-8"):
        note.open_note(signed, [OURS.verifier])


def test_number_of_signatures() -> None:
    """A note has 64 signatures at most."""
    others = [note.Signature(f"w{number}", b"abcd", b"e") for number in range(note.SIGNATURES_MAX - 1)]
    fullest = note.format_note(TEXT, [*others, line_of(OURS)])

    assert len(note.open_note(fullest, [OURS.verifier]).signatures) == 64
    with pytest.raises(BadNote, match="at most 64 signatures"):
        note.open_note(fullest + others[0].line().encode(), [OURS.verifier])


def test_size_of_note() -> None:
    """A note has 262,144 bytes at most."""
    room = note.NOTE_BYTES_MAX - len(note.sign_note(b"\n", OURS))
    longest = note.sign_note(b"x" * room + b"\n", OURS)

    assert len(note.open_note(longest, [OURS.verifier]).text) == room + 1
    with pytest.raises(ValueError, match="at most 262144 bytes"):
        note.sign_note(b"x" * (room + 1) + b"\n", OURS)
    with pytest.raises(BadNote, match="at most 262144 bytes"):
        note.open_note(b"x" + longest, [OURS.verifier])


@pytest.mark.parametrize("text", ["", "no newline", "a\n\nb", f"a\n\n{line_of(OURS).line()[:-1]}"])
def test_sign_text_that_is_none(text: str) -> None:
    """Only a text that ends in a newline is signed; one that would be taken for signature lines is not."""
    with pytest.raises(ValueError, match=r"note|base64|signature"):
        note.sign_note(text, OURS)


def test_sign_with_no_key() -> None:
    """A note has a signature."""
    with pytest.raises(ValueError, match="signature lines"):
        note.sign_note(TEXT)


@given(
    text=st.text(st.characters(blacklist_categories=["Cc", "Cs"]), max_size=50),
    seed=st.binary(min_size=32, max_size=32),
)
def test_any_text_round_trip(text: str, seed: bytes) -> None:
    """Any text without control characters can be signed and opened."""
    key = note.SignerKey.from_seed("name", seed)

    assert note.open_note(note.sign_note(f"{text}\n", key), [key.verifier]).text == f"{text}\n".encode()


def test_key_id() -> None:
    """A key id is the beginning of a hash over name, newline, algorithm and key."""
    key = note.VerifierKey.of("name", bytes(32))

    assert key.text() == f"name+{key.key_id.hex()}+AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    assert key.key_id == sha256(b"name\n\x01" + bytes(32)).digest()[:4]


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\tb", "a\n", "a\u00a0b", "a\u2003b", "a\x00", "a\ud800"])
def test_name_that_cannot_stand_in_a_note(name: str) -> None:
    """A key has a name without spaces, plus signs and control characters."""
    with pytest.raises(ValueError, match="name of a key"):
        note.SignerKey.from_seed(name, bytes(32))


def test_vkey_round_trip() -> None:
    """A verifier key line gives back its key."""
    assert note.parse_vkey(note.vkey(OURS.name, OURS.verifier.public)) == OURS.verifier


def test_signer_key_round_trip() -> None:
    """A signer key line gives back its key."""
    assert note.parse_signer_key(OURS.text()) == OURS


def test_key_lines_with_plus_in_base64() -> None:
    """A plus sign inside the base64 does not end the key."""
    keys = (note.SignerKey.from_seed("name", number.to_bytes(32, "big")) for number in count())
    public = next(key.verifier for key in keys if key.verifier.text().count("+") > 2)
    secret = note.SignerKey.from_seed("name", bytes(2) + b"\xfb\xef\xbe" + bytes(27))

    assert note.parse_vkey(public.text()) == public
    assert secret.text().count("+") > 4
    assert note.parse_signer_key(secret.text()) == secret


@pytest.mark.parametrize("place", range(len(OURS.verifier.text())))
def test_vkey_with_flipped_character(place: int) -> None:
    """No character of a verifier key line can be changed."""
    for flip in FLIPS[:2]:
        text = OURS.verifier.text()
        tampered = text[:place] + chr(ord(text[place]) ^ flip) + text[place + 1 :]

        with pytest.raises(BadNote):
            note.parse_vkey(tampered)


@pytest.mark.parametrize("place", range(len(OURS.text())))
def test_signer_key_with_flipped_character(place: int) -> None:
    """No character of a signer key line can be changed."""
    for flip in FLIPS[:2]:
        text = OURS.text()
        tampered = text[:place] + chr(ord(text[place]) ^ flip) + text[place + 1 :]

        with pytest.raises(BadNote):
            note.parse_signer_key(tampered)


@pytest.mark.parametrize("text", ["", "+", "++", "name", "name+00000000", "\ud800+00000000+AQ==", OURS.text()])
def test_parse_vkey_that_is_none(text: str) -> None:
    """What is not a verifier key line is refused, a signer key line too."""
    with pytest.raises(BadNote):
        note.parse_vkey(text)


@pytest.mark.parametrize("text", ["", OURS.verifier.text(), OURS.text().removeprefix("PRIVATE+KEY+")])
def test_parse_signer_key_that_is_none(text: str) -> None:
    """A secret that does not say it is one is refused."""
    with pytest.raises(BadNote, match="not a signer key"):
        note.parse_signer_key(text)


@pytest.mark.parametrize("algorithm", [0, 2, 4, 255])
def test_parse_vkey_of_another_algorithm(algorithm: int) -> None:
    """A key of another algorithm than Ed25519 is refused."""
    text = note.VerifierKey("name", b"abcd", algorithm, OURS.verifier.public).text()

    with pytest.raises(BadNote, match="another algorithm"):
        note.parse_vkey(text)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_parse_vkey_of_wrong_length(size: int) -> None:
    """A key is 32 bytes long."""
    with pytest.raises(BadNote, match="A key is a name"):
        note.parse_vkey(note.VerifierKey("name", b"abcd", 1, bytes(size)).text())


def test_parse_vkey_of_unsound_key() -> None:
    """A key under which anything verifies is refused when it is pinned."""
    with pytest.raises(BadNote, match="unsound"):
        note.parse_vkey(note.vkey("name", ed25519.IDENTITY))


def test_parse_vkey_in_capitals() -> None:
    """A key id has one spelling, in small letters."""
    name, key_id, rest = OURS.verifier.text().split("+", 2)

    with pytest.raises(BadNote, match="eight hexadecimal digits"):
        note.parse_vkey(f"{name}+{key_id.upper()}+{rest}")


def test_secrets_are_not_shown() -> None:
    """Neither `repr` nor an error message shows a seed."""
    text = OURS.text()
    with pytest.raises(BadNote) as refused:
        note.parse_signer_key(text.replace("hub", "hug"))

    assert repr(OURS.seed) not in repr(OURS)
    assert text.rsplit("+", 1)[1] not in str(refused.value)


@given(data=st.binary(max_size=80))
def test_base64_round_trip(data: bytes) -> None:
    """Bytes survive base64."""
    assert note.unb64(note.b64(data)) == data


@pytest.mark.parametrize(
    "text", ["A", "AA", "AAA", "AA=", "AB==", "AAB=", "AA==AA==", "A A=", "AA==\n", "-_==", "====", "\u0660\u0660=="]
)
def test_unb64_refuses(text: str) -> None:
    """Base64 with another spelling than the canonical one is refused."""
    with pytest.raises(ValueError, match="canonical base64"):
        note.unb64(text)
