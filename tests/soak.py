"""A soak: hubs that are killed again and again while clients post and follow; in the end everything is counted.

    python -m tests.soak --minutes 30

Two replicas on a Postgres of its own, nothing in front of them: a client that gets no answer goes to the other one,
with the same bytes. Posters check each receipt, followers verify every row as any client does. Exit code 0: nothing
that was acknowledged is lost or there twice, every follower has what was released to it, the log verifies.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import httpx

from broker import exercise
from broker.fsck import Report, check_everything
from broker.hub import open_hub, read_log_key
from broker.settings import Settings, read_settings
from broker.store import lines, log
from broker.store.engine import Store
from lintas.client import Client
from lintas.draft import read_draft
from lintas.errors import HubUnreachable, Refusal
from lintas.header import BULLETIN
from lintas.keys import Identity
from lintas.line import line_id
from lintas.receipt import check_receipt, parse_receipt
from lintas.session import Session
from lintas.state import State
from tests import postgres
from tests.conftest import enrol_few
from tests.processes import free_port, start

POSTERS = ("my-police", "sg-fiu", "th-cert", "tl-customs")
FOLLOWERS = ("vn-police", "id-police")
BATCH_LINES = 5
SETTLE_S = 120.0
PARTS = 1_000
"""Ids looked up at once."""

PASSING = frozenset({500, 503, 507})
DRAFT = {
    "kind": "alert",
    "topic": "cyber.scam",
    "tlp": "GREEN",
    "urgency": "routine",
    "release_to": list(FOLLOWERS),
    "valid_for": "P30D",
}


@dataclass
class Poster(threading.Thread):
    """Posts lines until told to stop, the same bytes to one address after the other until they are acknowledged."""

    identity: Identity
    urls: Sequence[str]
    stop: threading.Event
    pause_s: float = 0.0
    acknowledged: dict[str, int] = field(default_factory=dict)
    raws: list[bytes] = field(default_factory=list)
    taken_s: list[float] = field(default_factory=list)
    refused: list[tuple[int, str | None]] = field(default_factory=list)
    signed: int = 0
    fault: BaseException | None = None

    def __post_init__(self) -> None:
        super().__init__(daemon=True)
        self._session = Session(self.identity, State(":memory:", log_key=self.identity.hub.log_key))
        self._at = random.randrange(len(self.urls))

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        """Post until the end; what is under way then is still brought home."""
        try:
            with httpx.Client(timeout=10) as http:
                while not self.stop.wait(self.pause_s):
                    self._post(http, [self._sign() for _ in range(BATCH_LINES if self.signed % 3 == 0 else 1)])
        except BaseException as fault:  # noqa: BLE001 - whoever counts fails with it
            self.fault = fault
        finally:
            self._session.state.close()

    def _sign(self) -> bytes:
        self.signed += 1
        payload = {"title": f"Soak {self.signed} of {self.identity.party}", "summary": "SIMULATED."}
        draft = read_draft({**DRAFT, "payload": payload})
        return self._session.sign_bulletin(draft, release_to=sorted(FOLLOWERS)).raw

    def _post(self, http: httpx.Client, raws: list[bytes]) -> None:
        began = time.monotonic()
        media = f"application/{BULLETIN}" if len(raws) == 1 else "application/jsonl"
        while True:
            try:
                url = f"{self.urls[self._at]}/v1/bulletins"
                answer = http.post(url, content=b"\n".join(raws), headers={"Content-Type": media})
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.status_code in (200, 201):
                break
            if answer is not None:
                self.refused.append((answer.status_code, answer.headers.get("retry-after")))
                assert answer.status_code in PASSING, answer.text
            self._at = (self._at + 1) % len(self.urls)
            time.sleep(0.05)
        self.taken_s.append(time.monotonic() - began)
        self._keep(raws, answer.content)

    def _keep(self, raws: list[bytes], answer: bytes) -> None:
        if len(raws) == 1:
            session, posted = self._session, line_id(raws[0])
            logged = check_receipt(parse_receipt(answer), line_id=posted, origin=session.origin, key=session.log_keys)
            self.acknowledged[posted] = logged.seq
        else:
            rows = [json.loads(row) for row in answer.splitlines()]
            assert [row.get("status") for row in rows if row.get("status") not in (200, 201)] == []
            self.acknowledged |= {row["id"]: row["seq"] for row in rows}
        self.raws += raws


class Follower(threading.Thread):
    """Takes over verified pages until told to stop, from whichever address answers; `ids` in the order they came."""

    def __init__(self, identity: Identity, urls: Sequence[str], stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.identity, self.urls, self.stop = identity, urls, stop
        self.ids: list[str] = []
        self.troubles: Counter[str] = Counter()
        self.fault: BaseException | None = None

    def run(self) -> None:
        """Follow until the end."""
        state = State(":memory:", log_key=self.identity.hub.log_key)
        clients = [Client(self.identity.with_url(url), state) for url in self.urls]
        try:
            at = 0
            while not self.stop.is_set():
                try:
                    if not self._take(clients[at]):
                        self.stop.wait(0.3)
                except (HubUnreachable, Refusal) as trouble:
                    self.troubles[trouble.code] += 1
                    at = (at + 1) % len(clients)
        except BaseException as fault:  # noqa: BLE001 - whoever counts fails with it
            self.fault = fault
        finally:
            for client in clients:
                client.close()

    def _take(self, client: Client) -> bool:
        page = client.pull()
        client.confirm(page)
        self.ids += [item.id for item in page.items]
        return bool(page.items)


@dataclass
class Replicas:
    """Hub processes on one database, each with a data directory and a port of its own."""

    folders: list[Path]
    ports: list[int]
    processes: list[BaseProcess] = field(default_factory=list)
    kills: int = 0

    @property
    def urls(self) -> list[str]:
        """Where they listen."""
        return [f"http://127.0.0.1:{port}" for port in self.ports]

    def start(self) -> None:
        """Start all of them."""
        self.processes = [start(data, port) for data, port in zip(self.folders, self.ports, strict=True)]

    def kill(self, number: int) -> None:
        """Kill one wherever it is, and start it again."""
        self.processes[number].kill()
        self.processes[number].join()
        self.kills += 1
        self.processes[number] = start(self.folders[number], self.ports[number])

    def stop(self) -> None:
        """End them as an operator does."""
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.join()


@dataclass(frozen=True)
class Figures:
    """What came of it."""

    acknowledged: int
    lost: int
    duplicated: int
    followed: dict[str, int]
    troubles: dict[str, int]
    missing: int
    doubled: int
    kills: int
    p50_ms: float
    p99_ms: float
    worst_ms: float
    refused: int
    log_size: int
    root: str

    @property
    def is_good(self) -> bool:
        """Tell whether every promise was kept."""
        return self.acknowledged > 0 and not (self.lost or self.duplicated or self.missing or self.doubled)


def make_replicas(folder: Path, url: str, count: int = 2) -> tuple[Replicas, dict[str, Identity], Settings]:
    """Make a hub in an empty database, with a data directory for each replica."""
    first = folder / "replica-0"
    first.mkdir(parents=True)
    (first / "settings.toml").write_text(f'database = "{url}"\nlog_level = "error"\n')
    settings = read_settings({}, data=str(first))
    created = exercise.create(settings, origin="soak.lintas.example", keep=lambda _identity: None)
    hub = open_hub(settings)
    hub.start()
    identities = asyncio.run(enrol_few(hub, created, (*POSTERS, *FOLLOWERS)))
    hub.stop()
    folders = [first, *(folder / f"replica-{number}" for number in range(1, count))]
    for other in folders[1:]:
        shutil.copytree(first, other)
    return Replicas(folders, [free_port() for _ in folders]), {each.party: each for each in identities}, settings


def run_clients(
    replicas: Replicas, identities: dict[str, Identity], *, pause_s: float
) -> tuple[list[Poster], list[Follower], threading.Event, threading.Event]:
    """Start posters and followers; each kind has an event that ends it."""
    posting, following = threading.Event(), threading.Event()
    posters = [Poster(identities[party], replicas.urls, posting, pause_s) for party in POSTERS]
    followers = [Follower(identities[party], replicas.urls, following) for party in FOLLOWERS]
    for each in (*posters, *followers):
        each.start()
    return posters, followers, posting, following


def settle(
    posters: Sequence[Poster], followers: Sequence[Follower], posting: threading.Event, following: threading.Event
) -> None:
    """Let everyone come to rest: what is posted is acknowledged, what is released is taken over."""
    posting.set()
    for poster in posters:
        poster.join(SETTLE_S)
        assert not poster.is_alive(), "a poster waits for an answer"
        if poster.fault is not None:
            raise poster.fault
    wanted = {each for poster in posters for each in poster.acknowledged}
    end = time.monotonic() + SETTLE_S
    while time.monotonic() < end and any(len(set(follower.ids)) < len(wanted) for follower in followers):
        time.sleep(0.1)
    following.set()
    for follower in followers:
        follower.join(SETTLE_S)
        if follower.fault is not None:
            raise follower.fault


def count(settings: Settings, posters: Sequence[Poster], followers: Sequence[Follower], kills: int) -> Figures:
    """Hold what was told against what is there, once nobody serves any more."""
    acknowledged = {each: seq for poster in posters for each, seq in poster.acknowledged.items()}
    store = Store(settings.database)
    report: Report = check_everything(store, read_log_key(settings.log_key_file).verifier, lambda _done, _all: None)
    known: dict[str, int] = {}
    with store.read() as conn:
        asked = list(acknowledged)
        for begin in range(0, len(asked), PARTS):
            known |= lines.known(conn, asked[begin : begin + PARTS])
        accepted = [row.object for row in log.events_of_kinds(conn, {"bulletin.accepted"}, after=-1)]
    store.close()
    taken = sorted(1_000 * each for poster in posters for each in poster.taken_s)
    return Figures(
        acknowledged=len(acknowledged),
        lost=sum(known.get(each) != seq for each, seq in acknowledged.items()),
        duplicated=len(accepted) - len(set(accepted)) + len(acknowledged) - len(set(acknowledged.values())),
        followed={each.identity.party: len(each.ids) for each in followers},
        troubles=dict(sum((each.troubles for each in followers), Counter[str]())),
        missing=sum(len(acknowledged.keys() - set(each.ids)) for each in followers),
        doubled=sum(len(each.ids) - len(set(each.ids)) for each in followers),
        kills=kills,
        p50_ms=round(statistics.median(taken), 1),
        p99_ms=round(taken[int(len(taken) * 0.99)], 1),
        worst_ms=round(taken[-1], 1),
        refused=sum(len(each.refused) for each in posters),
        log_size=report.size,
        root=report.root.hex(),
    )


def soak(folder: Path, url: str, *, seconds: float, kill_every_s: float, pause_s: float, say: Any) -> Figures:
    """Run a soak on an empty database; `say` is told now and then how it goes."""
    replicas, identities, settings = make_replicas(folder, url)
    replicas.start()
    try:
        posters, followers, posting, following = run_clients(replicas, identities, pause_s=pause_s)
        end = time.monotonic() + seconds
        clients: list[Poster | Follower] = [*posters, *followers]
        while time.monotonic() < end and not any(each.fault for each in clients):
            time.sleep(kill_every_s * random.uniform(0.5, 1.5))
            replicas.kill(random.randrange(len(replicas.folders)))
            say(f"{replicas.kills} kills, {sum(len(each.acknowledged) for each in posters)} acknowledged")
        settle(posters, followers, posting, following)
    finally:
        replicas.stop()
    return count(settings, posters, followers, replicas.kills)


def main() -> None:
    """Run it and tell."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="Kill replicas while clients post.")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--kill-every", type=float, default=4.0, metavar="SECONDS")
    parser.add_argument("--pause", type=float, default=0.1, metavar="SECONDS", help="between two posts of a poster")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lintas-soak-") as name:
        cluster = postgres.start_own(Path(name) / "cluster")
        try:
            url = cluster.create("soak")
            figures = soak(
                Path(name) / "hub",
                url,
                seconds=60 * options.minutes,
                kill_every_s=options.kill_every,
                pause_s=options.pause,
                say=lambda text: print(text, file=sys.stderr, flush=True),  # noqa: T201
            )
        finally:
            cluster.stop()
    for member, value in vars(figures).items():
        print(f"{member:<13} {value}")  # noqa: T201
    sys.exit(0 if figures.is_good else 1)


if __name__ == "__main__":
    main()
