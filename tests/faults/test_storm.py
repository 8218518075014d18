"""Publishers, subscribers, administrators at once through a real hub process: nobody misses, repeats or gets too much.

Subscribers join, are killed in the middle of a row, resume; a key is revoked, a grant narrowed, an agency suspended,
bulletins are recalled. In the end each subscriber's rows are compared with what the hub's own database says was
released to it.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from broker import exercise
from broker.settings import read_settings
from broker.store.engine import Store
from lintas.client import Client
from lintas.draft import read_draft
from lintas.errors import LintasError, Unauthorized
from lintas.keys import Identity, load_identity
from lintas.state import State
from tests.conftest import wait_until
from tests.processes import free_port, start, warm

SEED = 20261127
KILLS = 12
SETTLE_S = 30.0
PUBLISHERS = ("id-police", "my-police", "th-police")
STEADY = ("sg-fiu", "vn-police")
KILLED = ("my-cert", "sg-police")
NARROWED, SUSPENDED, REVOKED = "th-cert", "ph-cert", "tl-customs"
SUBSCRIBERS = (*STEADY, *KILLED, NARROWED, SUSPENDED, REVOKED)
TOPICS = ("cyber.scam", "drugs")


def subscribe(identity: Identity, state: str, out: Connection) -> None:
    """Follow in a process of its own; tell each row once it was taken over, then what ended it."""
    with Client(identity, State(state, log_key=identity.hub.log_key)) as client:
        try:
            for item in client.follow():
                out.send((item.seq, item.id, item.state))
        except LintasError as fault:
            out.send(fault)


@dataclass
class Subscriber:
    """A process that follows, started again after each kill with the memory it left; `rows` over all its lives."""

    identity: Identity
    state: str
    rows: list[tuple[int, str, str | None]] = field(default_factory=list)
    fault: LintasError | None = None
    lives: int = 0
    _process: BaseProcess | None = None
    _pipe: Connection | None = None

    def start(self) -> None:
        """Begin a life."""
        context = warm()
        self._pipe, theirs = context.Pipe(duplex=False)
        self._process = context.Process(target=subscribe, args=(self.identity, self.state, theirs), daemon=True)
        self._process.start()
        theirs.close()
        self.lives += 1

    def kill(self) -> None:
        """Kill it wherever it is."""
        assert self._process is not None
        self._process.kill()
        self._process.join()
        self.drain()

    def drain(self) -> None:
        """Take what it told so far."""
        assert self._pipe is not None
        try:
            while self._pipe.poll():
                told = self._pipe.recv()
                if isinstance(told, LintasError):
                    self.fault = told
                else:
                    self.rows.append(told)
        except EOFError:
            pass

    @property
    def ids(self) -> list[str]:
        """The ids of its rows; one that was told but not confirmed before a kill comes again and counts once."""
        return list(dict.fromkeys(line_id for _, line_id, _ in self.rows))


class Publisher(threading.Thread):
    """Publishes, and recalls some of it, until told to stop."""

    def __init__(self, client: Client, chance: random.Random, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.client, self.chance, self.stop = client, chance, stop
        self.published: list[tuple[str, dict[str, Any]]] = []
        self.fault: BaseException | None = None

    def run(self) -> None:
        """Publish until the end."""
        try:
            while not self.stop.is_set():
                self.publish()
        except BaseException as fault:  # noqa: BLE001 - the test fails with it
            self.fault = fault

    def publish(self) -> None:
        """Publish one bulletin, or recall one."""
        if self.published and self.chance.random() < 0.15:
            target, draft = self.published.pop(self.chance.randrange(len(self.published)))
            payload = {"title": "recall", "summary": "SIMULATED.", "reason": "false-positive"}
            recall = draft | {"kind": "recall", "refs": [f"recalls:{target}"], "payload": payload}
            self.client.publish(read_draft(recall))
            return
        to = ["*"] if self.chance.random() < 0.5 else self.chance.sample(SUBSCRIBERS, 3)
        number = self.chance.randrange(10**9)
        draft = {
            "kind": "alert",
            "topic": self.chance.choice(TOPICS),
            "tlp": "GREEN",
            "urgency": "routine",
            "release_to": to,
            "valid_for": "P30D",
            "payload": {"title": f"Storm {number}", "summary": "SIMULATED."},
        }
        self.published.append((self.client.publish(read_draft(draft)).id, draft))


@dataclass
class Region:
    """A hub process with the identities of its parties."""

    data: Path
    port: int

    def identity(self, party: str) -> Identity:
        """Return the identity of a party, pointed at this hub."""
        passphrase = (self.data / "passphrase").read_bytes().strip()
        url = f"http://127.0.0.1:{self.port}"
        return load_identity(exercise.identity_path(self.data, party), passphrase).with_url(url)

    def client(self, party: str) -> Client:
        """Return a client of a party with an up-to-date directory."""
        identity = self.identity(party)
        client = Client(identity, State(":memory:", log_key=identity.hub.log_key))
        client.sync()
        return client

    def order(self, act: str, **arguments: Any) -> int:
        """Give an order of two administrators; return its log index."""
        with self.client("admin/registrar") as first, self.client("admin/auditor") as second:
            return second.countersign(first.session.sign_order(act, arguments).raw).seq


def feed_of(data: Path, agency: str) -> dict[str, tuple[int, str, bool]]:
    """Return what was released to an agency, in log order: id to (seq, topic, whether it recalls)."""
    query = (
        "SELECT line.id, line.seq, line.topic, line.withdraws FROM recipient JOIN line USING (seq) WHERE "
        "recipient.agency IN (:agency, '*') AND recipient.state = 'released' AND line.iss != :agency ORDER BY line.seq"
    )
    return {row[0]: (row[1], row[2], bool(row[3])) for row in rows_of(data, query, agency)}


def sent_to(data: Path, agency: str) -> set[int]:
    """Return the log indexes of the bulletins that the hub recorded as sent to an agency."""
    return {row[0] for row in rows_of(data, "SELECT seq FROM delivery WHERE agency = :agency", agency)}


def rows_of(data: Path, query: str, agency: str) -> Sequence[Any]:
    """Ask the hub's own database about an agency."""
    store = Store(read_settings({}, data=str(data)).database)
    with store.read() as conn:
        found = conn.execute(text(query), {"agency": agency}).all()
    store.close()
    return found


@pytest.fixture
def storm(exercise_data: Path, tmp_path: Path) -> Storm:
    """A storm over a hub of all agencies."""
    return Storm(Region(exercise_data, free_port()), tmp_path)


class Storm:
    """The whole play."""

    def __init__(self, region: Region, folder: Path) -> None:
        self.region = region
        self.chance = random.Random(SEED)
        self.subscribers = {
            agency: Subscriber(region.identity(agency), str(folder / f"{agency}.state")) for agency in SUBSCRIBERS
        }
        self.changed: dict[str, int] = {}

    def run(self) -> None:
        """Publish, kill, change; then let everyone come to rest."""
        stop = threading.Event()
        publishers = [
            Publisher(self.region.client(party), random.Random(f"{SEED}{party}"), stop) for party in PUBLISHERS
        ]
        for subscriber in self.subscribers.values():
            subscriber.start()
        for publisher in publishers:
            publisher.start()
        changes = dict(zip((3, 5, 7), self.changes(), strict=True))
        for number in range(KILLS):
            time.sleep(self.chance.uniform(0.1, 0.5))
            killed = self.subscribers[KILLED[number % len(KILLED)]]
            killed.kill()
            killed.start()
            if number in changes:
                changes[number]()
        stop.set()
        for publisher in publishers:
            publisher.join()
            publisher.client.close()
            assert publisher.fault is None
        for agency in (*STEADY, *KILLED):
            wanted = len(feed_of(self.region.data, agency))
            wait_until(lambda agency=agency, wanted=wanted: self.holds(agency, wanted), SETTLE_S)  # type: ignore[misc]
        for agency, changed in self.changed.items():
            allowed = allowed_after(self.region.data, agency, changed)
            wait_until(lambda agency=agency, allowed=allowed: allowed <= self.seqs(agency), SETTLE_S)  # type: ignore[misc]
        for subscriber in self.subscribers.values():
            subscriber.kill()

    def seqs(self, agency: str) -> set[int]:
        """Return the log indexes a subscriber has."""
        self.subscribers[agency].drain()
        return {seq for seq, _, _ in self.subscribers[agency].rows}

    def holds(self, agency: str, count: int) -> bool:
        """Tell whether a subscriber has so many bulletins."""
        subscriber = self.subscribers[agency]
        subscriber.drain()
        assert subscriber.fault is None, subscriber.fault
        return len(subscriber.ids) >= count

    def changes(self) -> list[Any]:
        """Return what administrators and agencies do meanwhile, in order."""

        def narrow() -> None:
            self.changed[NARROWED] = self.region.order("grant", agency=NARROWED, publish=[], read=["drugs"])

        def suspend() -> None:
            self.changed[SUSPENDED] = self.region.order("suspend", agency=SUSPENDED, reason="test")

        def revoke() -> None:
            with self.region.client(REVOKED) as client:
                self.changed[REVOKED] = client.revoke("keyCompromise", client.session.now()).seq

        return [narrow, suspend, revoke]


def test_storm(storm: Storm) -> None:
    """After a storm each subscriber holds exactly what it may hold, in order, none missing, none twice."""
    region = storm.region
    process = start(region.data, region.port)
    try:
        storm.run()
        assert httpx.get(f"http://127.0.0.1:{region.port}/readyz", timeout=5).status_code == 200
    finally:
        process.terminate()
        process.join()

    for agency in (*STEADY, *KILLED):
        found = storm.subscribers[agency]
        assert list(feed_of(region.data, agency)) == found.ids, agency
        assert len(found.ids) > KILLS
    for agency in STEADY:
        assert len(storm.subscribers[agency].ids) == len(storm.subscribers[agency].rows)
    assert KILLS + len(KILLED) == sum(storm.subscribers[agency].lives for agency in KILLED)
    assert isinstance(storm.subscribers[REVOKED].fault, Unauthorized)
    for agency in (NARROWED, SUSPENDED, REVOKED):
        check_changed(region.data, agency, storm.subscribers[agency], storm.changed[agency])


def allowed_after(data: Path, agency: str, changed: int) -> set[int]:
    """Return the log indexes of what an agency may have of what came after its change."""
    if agency == REVOKED:
        return set()
    rows = feed_of(data, agency).values()
    return {
        seq
        for seq, topic, withdraws in rows
        if seq > changed and (withdraws or (agency == NARROWED and topic == "drugs"))
    }


def check_changed(data: Path, agency: str, subscriber: Subscriber, changed: int) -> None:
    """Hold what an agency got against the log: nothing after its change but what it may have, and all of that."""
    released = feed_of(data, agency)
    seqs = [seq for seq, _, _ in subscriber.rows]
    assert sorted(set(seqs)) == seqs, agency
    for seq, line_id, _ in subscriber.rows:
        at, topic, withdraws = released[line_id]
        may_have = withdraws or (agency == NARROWED and topic == "drugs")
        assert at == seq
        assert seq < changed or may_have, (agency, seq)
    assert allowed_after(data, agency, changed) <= set(seqs), agency
    assert sent_to(data, agency) >= {seq for seq, _, state in subscriber.rows if state is None}, agency
