"""What tests of witnesses share: three witnesses, a policy that asks for two of them, hubs that ask for them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from broker.hub import open_hub
from broker.settings import read_settings
from lintas import note
from lintas.client import Client
from lintas.cosignature import cosign
from lintas.draft import read_draft
from lintas.note import ALGORITHM_COSIGNATURE, SignerKey
from lintas.state import State
from tests.conftest import ExerciseHub, ShiftedClock, served

WITNESSES = [SignerKey.from_seed(f"witness.example/w{n}", bytes([n + 1]) * 32, ALGORITHM_COSIGNATURE) for n in range(3)]
STRANGER = SignerKey.from_seed("witness.example/stranger", bytes([9]) * 32, ALGORITHM_COSIGNATURE)
LINES = "".join(f"witness w{n} {key.verifier.text()}\n" for n, key in enumerate(WITNESSES))
TWO_OF_THREE = f"{LINES}group all-of-them 2 w0 w1 w2\nquorum all-of-them\n"


def cosigned(checkpoint: bytes, *keys: SignerKey, time: int, also: Sequence[note.Signature] = ()) -> bytes:
    """Return a checkpoint with the cosignatures of these keys added."""
    text, signatures = note.split_note(checkpoint)
    return note.format_note(text, [*signatures, *(cosign(text, key, time=time) for key in keys), *also])


@contextmanager
def serve(data: Path, clock: ShiftedClock) -> Iterator[ExerciseHub]:
    """Serve the hub of a data directory that asks two of the three witnesses."""
    policy = data / "witnesses.policy"
    policy.write_text(TWO_OF_THREE)
    settings = read_settings({}, data=str(data), witnesses=str(policy))
    hub = open_hub(settings, clock)
    hub.start()
    with served(hub) as url:
        passphrase = (data / "passphrase").read_bytes().strip()
        found = ExerciseHub(data, url, hub, clock, passphrase, settings)
        try:
            yield found
        finally:
            found.close()
    hub.stop()


def watcher(hub: ExerciseHub, memory: Path, party: str = "th-cert") -> Client:
    """Return a client with the memory of a witness."""
    identity = hub.identity(party)
    return Client(identity, State(memory, log_key=identity.hub.log_key), clock=hub.clock)


def publish(hub: ExerciseHub, title: str = "FICTIONAL") -> str:
    """Publish a bulletin and return its id."""
    draft = read_draft(
        {
            "kind": "alert",
            "topic": "cyber.scam",
            "tlp": "GREEN",
            "urgency": "routine",
            "release_to": ["sg-fiu"],
            "valid_for": "P1D",
            # Each another: the same bytes in the same second would be the same bulletin.
            "payload": {"title": title, "summary": "SIMULATED.", "case_ref": f"SIM-{secrets.token_hex(8)}"},
        }
    )
    return hub.client("my-police").publish(draft).id
