"""Tests that an implementation in another language agrees about cosigned checkpoints.

It is tests/independent/cosigned.mjs and needs Node alone; without it these tests are skipped.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lintas import note
from lintas.checkpoint import Checkpoint, format_checkpoint
from lintas.cosignature import cosign
from lintas.errors import BadCheckpoint, BadNote
from lintas.quorum import judge, parse_policy
from tests.witnesses import STRANGER, TWO_OF_THREE, WITNESSES

PROGRAM = Path(__file__).resolve().parents[1] / "independent/cosigned.mjs"
LOG = note.SignerKey.from_seed("hub.example/log/1", bytes(range(32)))
TEXT = format_checkpoint(Checkpoint(LOG.name, 42, bytes(range(32)))).encode()
POLICY = parse_policy(TWO_OF_THREE.encode())

if shutil.which("node") is None:
    pytest.skip("Node is absent", allow_module_level=True)


def cosigned(*signers: note.SignerKey) -> str:
    """Return the checkpoint signed by the log and cosigned by these, each at another time."""
    _, by_log = note.split_note(note.sign_note(TEXT, LOG))
    lines = [cosign(TEXT, key, time=1_795_467_600 + place) for place, key in enumerate(signers)]
    return note.format_note(TEXT, [*by_log, *lines]).decode()


def ask(*notes: str) -> list[dict[str, Any]]:
    """Let the other implementation open these notes."""
    keys = {"log": LOG.verifier.text(), "witnesses": [key.verifier.text() for key in WITNESSES]}
    asked = json.dumps([{"note": each, **keys} for each in notes])
    done = subprocess.run(["node", PROGRAM], input=asked.encode(), capture_output=True, check=True)
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers


def ours(text: str) -> dict[str, Any]:
    """Return what we read in the same note, in the form of the other."""
    try:
        found = judge(text.encode(), key=LOG.verifier, policy=POLICY)
    except (BadNote, BadCheckpoint):
        return {"fault": True}
    times = {each.witness.name: each.time for each in found.cosignatures}
    return {"origin": LOG.name, "size": 42, "root": note.b64(bytes(range(32))), "times": times}


def test_cosigned_checkpoints() -> None:
    """What we cosign the other opens, with the same size, root and times; strangers' lines count for neither."""
    notes = [cosigned(), cosigned(WITNESSES[0]), cosigned(*WITNESSES), cosigned(STRANGER, WITNESSES[2])]

    assert [ours(each) for each in notes] == ask(*notes)


def test_tampered() -> None:
    """A letter changed anywhere is judged alike: refused, or a line that nobody knows."""
    good = cosigned(WITNESSES[0], WITNESSES[1])
    tampered = [good[:place] + chr(ord(good[place]) ^ 1) + good[place + 1 :] for place in range(len(good))]

    found = [{"fault": True} if "fault" in each else each for each in ask(*tampered)]

    assert [ours(each) for each in tampered] == found
    assert sum("fault" in each for each in found) > len(TEXT) + 3 * 60


def test_without_the_log() -> None:
    """Cosignatures alone are no checkpoint, for either."""
    alone = note.format_note(TEXT, [cosign(TEXT, WITNESSES[0], time=1)]).decode()

    assert ["fault" in each for each in (*ask(alone), ours(alone))] == [True, True]
