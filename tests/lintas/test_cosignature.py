"""Tests of the cosignature: its exact bytes, whose it is, what it is not."""

from __future__ import annotations

from base64 import b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey as SodiumKey
from nacl.signing import VerifyKey as SodiumVerifier

from lintas import note
from lintas.checkpoint import Checkpoint, format_checkpoint, open_checkpoint
from lintas.cosignature import TIME_MAX, check_cosignatures, cosign, signed_text
from lintas.errors import BadNote
from lintas.note import ALGORITHM_COSIGNATURE, SignerKey, VerifierKey, parse_signer_key, parse_vkey, split_note

ORIGIN = "hub.example/log/1"
LOG = SignerKey.from_seed(ORIGIN, bytes(32))
WITNESS = SignerKey.from_seed("witness.example/w1", bytes([1]) * 32, ALGORITHM_COSIGNATURE)
OTHER = SignerKey.from_seed("witness.example/w2", bytes([2]) * 32, ALGORITHM_COSIGNATURE)
TEXT = format_checkpoint(Checkpoint(ORIGIN, 42, bytes(range(32)))).encode()
TIME = 1_795_467_600

SPEC_TEXT = b"example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
SPEC_LINE = (
    "\u2014 witness.example.com/w1 "
    "jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
)
PUBLIC_NOTE = (
    "coachandhorses2026h1.staging.certificate.transparency.goog\n"
    "185550722\n"
    "YXAM0VmnrfvLaBCOOYSJhCaE5F10oGBOo+hkbDa1kng=\n"
    "\n"
    "\u2014 witness.navigli.sunlight.geomys.org "
    "o+AP4gAAAABqb7DzNrGFRJnQ9vrJ8xpnwZytnr/ZYczDIsvwvouiSjwOjn7a72ccxBk+lKnZ7dKqkYKER1s/KxLTaVwQD7lJZTC/CQ==\n"
)
PUBLIC_VKEY = "witness.navigli.sunlight.geomys.org+a3e00fe2+BNy/co4C1Hn1p+INwJrfUlgz7W55dSZReusH/GhUhJ/G"
"""What a public witness signed for a public log: neither has anything to do with us."""


def test_cosignature_of_a_public_witness() -> None:
    """A cosignature made elsewhere, by other software over another log, verifies."""
    (found,) = check_cosignatures(*split_note(PUBLIC_NOTE.encode()), [parse_vkey(PUBLIC_VKEY, ALGORITHM_COSIGNATURE)])

    assert (1_785_704_691, PUBLIC_VKEY) == (found.time, found.witness.text())


def test_altered_cosignature_of_a_public_witness() -> None:
    """The same over a log one entry larger does not."""
    altered = PUBLIC_NOTE.replace("185550722", "185550723").encode()

    with pytest.raises(BadNote, match="navigli"):
        check_cosignatures(*split_note(altered), [parse_vkey(PUBLIC_VKEY, ALGORITHM_COSIGNATURE)])


def test_example_of_the_specification() -> None:
    """The example of the specification is framed as we frame: key id, time, signature; it publishes no key."""
    _, (line,) = split_note(SPEC_TEXT + b"\n" + SPEC_LINE.encode())

    assert (72, 1_679_315_147) == (len(line.signature), int.from_bytes(line.signature[:8], "big"))
    assert b"cosignature/v1\ntime 1679315147\n" + SPEC_TEXT == signed_text(SPEC_TEXT, 1_679_315_147)


def test_bytes() -> None:
    """The signature is that of another implementation over header, time and text; the line carries time and key id."""
    made = cosign(TEXT, WITNESS, time=TIME)

    message = b"cosignature/v1\ntime 1795467600\n" + TEXT
    signature = SodiumKey(WITNESS.seed).sign(message).signature
    data = b64decode(made.line().rsplit(" ", 1)[1])
    assert WITNESS.verifier.key_id + TIME.to_bytes(8, "big") + signature == data
    assert message == SodiumVerifier(WITNESS.verifier.public).verify(message, data[12:])


def test_key_lines() -> None:
    """The key of a witness has the algorithm 4 in its id and its lines, and is read back only as such a key."""
    as_log_key = VerifierKey.of(WITNESS.name, WITNESS.verifier.public)

    assert WITNESS.verifier == parse_vkey(WITNESS.verifier.text(), ALGORITHM_COSIGNATURE)
    assert WITNESS == parse_signer_key(WITNESS.text(), ALGORITHM_COSIGNATURE)
    assert as_log_key.key_id != WITNESS.verifier.key_id
    for text, algorithm in ((WITNESS.verifier.text(), note.ALGORITHM_ED25519), (as_log_key.text(), 4)):
        with pytest.raises(BadNote, match="algorithm"):
            parse_vkey(text, algorithm)


@given(st.integers(1, TIME_MAX), st.integers(1, 10**15))
def test_round_trip(time: int, size: int) -> None:
    """Every cosignature that is made verifies, and tells its time."""
    text = format_checkpoint(Checkpoint(ORIGIN, size, bytes(32))).encode()

    (found,) = check_cosignatures(text, [cosign(text, WITNESS, time=time)], [OTHER.verifier, WITNESS.verifier])

    assert (WITNESS.verifier, time) == (found.witness, found.time)


@pytest.mark.parametrize("time", [0, -1, TIME_MAX + 1])
def test_no_time(time: int) -> None:
    """Nothing is cosigned without a time that the format can carry."""
    with pytest.raises(ValueError, match="time"):
        cosign(TEXT, WITNESS, time=time)


def test_not_with_the_key_of_a_log() -> None:
    """A key that signs notes makes no cosignature."""
    with pytest.raises(ValueError, match="own algorithm"):
        cosign(TEXT, LOG, time=TIME)


def test_time_is_signed() -> None:
    """A cosignature moved to another time does not verify."""
    made = cosign(TEXT, WITNESS, time=TIME)
    moved = note.Signature(made.name, made.key_id, (TIME - 1).to_bytes(8, "big") + made.signature[8:])

    with pytest.raises(BadNote, match="w1"):
        check_cosignatures(TEXT, [moved], [WITNESS.verifier])


def test_extension_is_signed() -> None:
    """A cosignature covers the lines after the root."""
    made = cosign(TEXT + b"more\n", WITNESS, time=TIME)

    with pytest.raises(BadNote, match="w1"):
        check_cosignatures(TEXT, [made], [WITNESS.verifier])


@pytest.mark.parametrize("length", [1, 8, 63, 64, 71, 73])
def test_other_length(length: int) -> None:
    """A known witness' line of any other length is refused."""
    line = note.Signature(WITNESS.name, WITNESS.verifier.key_id, b"\x01" * length)

    with pytest.raises(BadNote, match="w1"):
        check_cosignatures(TEXT, [line], [WITNESS.verifier])


def test_zero_time_is_refused() -> None:
    """A cosignature of time zero states nothing about what was largest, and is refused however well it is signed."""
    signature = bytes(8) + SodiumKey(WITNESS.seed).sign(signed_text(TEXT, 0)).signature

    with pytest.raises(BadNote, match="w1"):
        check_cosignatures(TEXT, [note.Signature(WITNESS.name, WITNESS.verifier.key_id, signature)], [WITNESS.verifier])


def test_strangers_are_ignored() -> None:
    """Lines of unknown keys count for nothing and spoil nothing, those that borrow a known name too."""
    namesake = SignerKey.from_seed(WITNESS.name, bytes([9]) * 32, ALGORITHM_COSIGNATURE)
    lines = [cosign(TEXT, OTHER, time=TIME), cosign(TEXT, namesake, time=TIME)]

    assert () == check_cosignatures(TEXT, lines, [WITNESS.verifier])


def test_note_is_no_cosignature() -> None:
    """A log's signature over a note whose text looks like a cosigned one is no cosignature, nor the other way round."""
    text = signed_text(TEXT, TIME)
    as_witness = note.sign_note(text, SignerKey.from_seed(WITNESS.name, WITNESS.seed))
    _, (line,) = split_note(as_witness)

    assert () == check_cosignatures(TEXT, [line], [WITNESS.verifier])
    with pytest.raises(BadNote):
        note.open_note(note.format_note(TEXT, [cosign(TEXT, WITNESS, time=TIME)]), [WITNESS.verifier])


def test_checkpoint_with_cosignatures_opens() -> None:
    """A client that knows no witness reads a cosigned checkpoint as before."""
    _, (by_log,) = split_note(note.sign_note(TEXT, LOG))
    cosigned = note.format_note(TEXT, [cosign(TEXT, WITNESS, time=TIME), by_log, cosign(TEXT, OTHER, time=TIME)])

    assert 42 == open_checkpoint(cosigned, origin=ORIGIN, key=LOG.verifier).size
