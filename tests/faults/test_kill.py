"""A hub process killed at any moment during a storm of publishing keeps every word it gave."""

from __future__ import annotations

import json
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import httpx

from broker import exercise
from broker.fsck import check_everything
from broker.hub import read_log_key
from broker.settings import read_settings
from broker.store.engine import Store
from lintas import note
from lintas.draft import read_draft
from lintas.header import BULLETIN
from lintas.keys import load_identity
from lintas.receipt import check_receipt, parse_receipt
from lintas.session import Session
from lintas.state import State
from tests.conftest import wait_until
from tests.processes import free_port, start

SEED = 20261124
PUBLISHERS = ("id-police", "my-police", "sg-fiu", "th-police")
BATCH_LINES = 7
BATCH_AGAIN = 500
DRAFT = {
    "kind": "alert",
    "topic": "cyber.scam",
    "tlp": "GREEN",
    "urgency": "routine",
    "release_to": ["regional-cert", "vn-police"],
    "valid_for": "P30D",
}


@dataclass
class Storm:
    """What one agency signs, and what the hub acknowledged: index by id, receipts of single posts, lines of batches."""

    session: Session
    url: str
    waiting: list[bytes] = field(default_factory=list)
    acknowledged: dict[str, int] = field(default_factory=dict)
    receipts: dict[bytes, bytes] = field(default_factory=dict)
    lines: list[bytes] = field(default_factory=list)
    signed: int = 0

    def run(self, stop: Event) -> None:
        """Publish until told to stop: what waits from the last kill first, the same bytes again."""
        with httpx.Client(base_url=self.url, timeout=5) as http:
            while not stop.is_set():
                try:
                    self.publish(http)
                except httpx.TransportError:
                    return

    def publish(self, http: httpx.Client) -> None:
        """Post one line, or every third time a batch."""
        is_batch = self.signed % 3 == 0
        while len(self.waiting) < (BATCH_LINES if is_batch else 1):
            self.waiting.append(self.sign())
        if is_batch:
            self.publish_batch(http)
        else:
            self.publish_one(http)

    def publish_one(self, http: httpx.Client) -> None:
        """Post one line and keep its receipt."""
        raw = self.waiting[0]
        answer = http.post("/v1/bulletins", content=raw, headers={"Content-Type": f"application/{BULLETIN}"})
        if answer.status_code in (200, 201):
            line_id = answer.headers["ETag"].strip('"')
            self.acknowledged[line_id] = parse_receipt(answer.content).index
            self.receipts[raw] = answer.content
            self.waiting.pop(0)

    def publish_batch(self, http: httpx.Client) -> None:
        """Post everything that waits in one request."""
        answer = http.post(
            "/v1/bulletins", content=b"\n".join(self.waiting), headers={"Content-Type": "application/jsonl"}
        )
        if answer.status_code == 200:
            rows = [json.loads(row) for row in answer.content.splitlines()]
            assert all(row["status"] in (200, 201) for row in rows)
            self.lines.extend(self.waiting)
            self.acknowledged.update({row["id"]: row["seq"] for row in rows})
            self.waiting.clear()

    def sign(self) -> bytes:
        """Sign the next bulletin of this agency."""
        self.signed += 1
        payload = {"title": f"Storm {self.signed} of {self.session.party}", "summary": "SIMULATED."}
        draft = read_draft({**DRAFT, "payload": payload})
        return self.session.sign_bulletin(draft, release_to=["my-cert", "vn-police"]).raw


def storms(data: Path, port: int) -> list[Storm]:
    """Return one storm an agency."""
    passphrase = (data / "passphrase").read_bytes().strip()
    identities = [load_identity(exercise.identity_path(data, party), passphrase) for party in PUBLISHERS]
    return [
        Storm(Session(each, State(":memory:", log_key=each.hub.log_key)), f"http://127.0.0.1:{port}")
        for each in identities
    ]


def told(running: list[Storm]) -> int:
    """Return how many lines were acknowledged so far."""
    return sum(len(storm.acknowledged) for storm in running)


def test_kills(exercise_data: Path, kills: int) -> None:
    """After many kills every acknowledged bulletin and receipt is there and valid, and none is there twice."""
    chance, port = random.Random(SEED), free_port()
    running = storms(exercise_data, port)
    with ThreadPoolExecutor(len(running)) as pool:
        for _ in range(kills):
            process, stop = start(exercise_data, port), Event()
            futures = [pool.submit(storm.run, stop) for storm in running]
            # A moment that the work decides, not the clock: on a busy machine too there is something to lose.
            target = told(running) + chance.randrange(30)
            wait_until(lambda target=target: told(running) >= target)  # type: ignore[misc]
            stop.wait(chance.uniform(0, 0.03))
            process.kill()
            process.join()
            stop.set()
            for future in futures:
                future.result()
            assert process.exitcode == -9

    process = start(exercise_data, port)
    settings = read_settings({}, data=str(exercise_data))
    key = read_log_key(settings.log_key_file).verifier
    for storm in running:
        check_promises(storm, key)
    process.terminate()
    process.join()
    store = Store(settings.database)
    report = check_everything(store, key, lambda _done, _all: None)
    store.close()

    acknowledged = {line_id: seq for storm in running for line_id, seq in storm.acknowledged.items()}
    assert len(acknowledged) == len(set(acknowledged.values())) > kills
    assert report.lines >= len(acknowledged)
    assert any(storm.receipts for storm in running)
    assert any(storm.lines for storm in running)


def check_promises(storm: Storm, key: note.VerifierKey) -> None:
    """Post every acknowledged line again: each is known at the index it was given, its receipt the same and good."""
    with httpx.Client(base_url=storm.url, timeout=30) as http:
        for raw, receipt in storm.receipts.items():
            again = http.post("/v1/bulletins", content=raw, headers={"Content-Type": f"application/{BULLETIN}"})
            line_id = again.headers["ETag"].strip('"')
            logged = check_receipt(parse_receipt(receipt), line_id=line_id, origin=key.name, key=key)
            assert (200, receipt, storm.acknowledged[line_id]) == (again.status_code, again.content, logged.seq)
        for start in range(0, len(storm.lines), BATCH_AGAIN):
            lines = storm.lines[start : start + BATCH_AGAIN]
            again = http.post("/v1/bulletins", content=b"\n".join(lines), headers={"Content-Type": "application/jsonl"})
            for row in map(json.loads, again.content.splitlines()):
                assert (200, storm.acknowledged[row["id"]]) == (row["status"], row["seq"])
