"""How long the console's pages take at a million events.

``python -m bench.console``: makes a hub with the simulated agencies, writes events of a month straight into its log,
the way the writer does, then asks for pages as a browser does and prints the time that the hub itself took.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import insert

from broker import exercise
from broker.app import build_app
from broker.batch import Batch, Head
from broker.hub import Hub, open_hub
from broker.rollup import STEP
from broker.settings import Settings, read_settings
from broker.store import rollup, tables
from lintas.clock import now_us
from lintas.directory import Directory
from lintas.event import US_PER_S
from lintas.header import BULLETIN
from lintas.keys import load_identity
from lintas.session import Session
from lintas.state import State
from lintas.strict import b64u

EVENTS = 1_000_000
DAYS = 30
DAY_US = 86_400 * US_PER_S
AT_ONCE, A_BATCH = 10_000, 200
KINDS = {
    "bulletin.sent": 46,
    "bulletin.received": 22,
    "bulletin.accepted": 12,
    "bulletin.opened": 6,
    "view.read": 5,
    "bulletin.acknowledged": 3,
    "bulletin.refused": 3,
    "subscription.changed": 2,
    "webhook.failed": 1,
}
WITH_OBJECT = frozenset({"bulletin.accepted", "bulletin.opened", "bulletin.acknowledged", "bulletin.refused"})
PARTIES = (
    "my-police",
    "th-police",
    "id-police",
    "sg-fiu",
    "vn-police",
    "ph-cert",
    "la-police",
    "mm-police",
    "tl-customs",
)
WEIGHTS = (40, 36, 33, 30, 26, 22, 9, 4, 1)
TOPICS = ("cyber.scam", "cyber.ransomware", "drugs", "trafficking.persons", "maritime.piracy", "wildlife", "firearms")
FIRST = "the overview, first after a start"
PAGES: dict[str, str] = {
    "the newest": "",
    "one actor": "party=my-police",
    "one kind": "kind=bulletin.refused",
    "actor and kind, few": "party=tl-customs&kind=webhook.failed",
    "outcome": "outcome=refused&outcome=failed",
    "topic and marking": "topic=wildlife&tlp=AMBER",
    "a day": "since=2026-11-10T00:00&until=2026-11-11T00:00",
    "seven minutes": "since=2026-11-10T10:03&until=2026-11-10T10:10",
    "far down": "before=9000",
    "nothing fits": "kind=key.revoked&party=tl-customs",
    "an entry": "entry=5000",
    "a rare kind": "kind=key.enrolled",
    "entry number": "q=4321",
    "id": "q=AAAAAAAA",
}


@dataclass(frozen=True, slots=True)
class Took:
    """What one answer took: time, and work of the hub's process, which depends less on what else the machine does."""

    seconds: float
    work_s: float


def main(arguments: list[str] | None = None) -> None:
    """Make the hub, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.console", description="Measure the console's pages.")
    parser.add_argument("--events", type=int, default=EVENTS, help="events in the log")
    parser.add_argument("--rounds", type=int, default=7, help="times that each page is asked for")
    parser.add_argument("--keep", type=Path, help="make the hub here and keep it, or use the one that is there")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="lintas-bench-") as folder:
        data = asked.keep or Path(folder) / "hub"
        settings = read_settings({"LINTAS_RATE_FACTOR": "0"}, data=str(data))
        if not (data / "passphrase").exists():
            begin = now_us() - DAYS * DAY_US
            exercise.run(settings, progress=lambda _text: None, clock=lambda: begin)
            fill(settings, asked.events, lambda text: print(text, file=sys.stderr))
        print(table(asyncio.run(measure(settings, asked.rounds))))


def fill(settings: Settings, count: int, progress: Callable[[str], None]) -> None:
    """Write so many events of the last month into the log of a hub that nobody serves, then roll it up."""
    hub, chance = open_hub(settings), random.Random(1)
    with hub.store.read() as conn:
        head = Head.load(conn)
    begin, step_us = head.time, (now_us() - head.time) // count
    for start in range(0, count, AT_ONCE):
        with hub.store.write() as conn:
            rows: list[dict[str, Any]] = []
            for done in range(start, min(start + AT_ONCE, count), A_BATCH):
                batch = Batch(conn, head, Directory(""), now_us=begin + done * step_us)
                rows += [row for _ in range(A_BATCH) if (row := _add(batch, chance)) is not None]
                head = batch.finish() or head
            conn.execute(insert(tables.line), rows)
            while (rolled := rollup.size(conn)) < head.size:
                rollup.roll_up(conn, rolled, min(head.size, rolled + STEP))
        progress(f"{start + AT_ONCE:,} events")
    hub.signer.start()
    hub.signer.sign_new()
    hub.close()


def _add(batch: Batch, chance: random.Random) -> dict[str, Any] | None:
    """Add an event; return the row of its line if it accepts a bulletin."""
    party = chance.choices(PARTIES, WEIGHTS)[0]
    kind = chance.choices(list(KINDS), list(KINDS.values()))[0]
    line_id = b64u(chance.randbytes(32)) if kind in WITH_OBJECT else None
    seq = batch.append(kind, party, object_id=line_id, detail={"way": "feed", "from": 1, "to": 2, "count": 1})
    if kind != "bulletin.accepted":
        return None
    return {
        "seq": seq,
        "id": line_id,
        "typ": BULLETIN,
        "raw": b"x" * 900,
        "iss": party,
        "kid": "k",
        "at": batch.now,
        "exp": batch.now + 86_400,
        "kind": "alert",
        "topic": chance.choice(TOPICS),
        "urgency": "routine",
        "tlp_rank": chance.randrange(5),
        "withdraws": False,
        "is_personal": False,
    }


async def measure(settings: Settings, rounds: int) -> dict[str, list[Took]]:
    """Ask for each page so often; return what each answer took."""
    found: dict[str, list[Took]] = {FIRST: []}
    for _ in range(rounds):
        async with _asking(settings) as http:
            found[FIRST].append(await _timed(http, "/console/"))
            found["the overview"] = [await _timed(http, "/console/") for _ in range(rounds)]
    async with _asking(settings) as http:
        for name, query in PAGES.items():
            found[name] = [await _timed(http, f"/console/audit?{query}") for _ in range(rounds)]
    return found


@asynccontextmanager
async def _asking(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """Start the hub; yield a browser that is signed in."""
    hub = open_hub(settings)
    hub.start()
    try:
        transport = httpx.ASGITransport(build_app(hub))
        headers = {"Sec-Fetch-Site": "same-origin", "User-Agent": "bench"}
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as http:
            await _sign_in(http, hub, settings)
            yield http
    finally:
        hub.stop()


async def _sign_in(http: httpx.AsyncClient, hub: Hub, settings: Settings) -> None:
    passphrase = (settings.data / "passphrase").read_bytes().strip()
    identity = load_identity(exercise.identity_path(settings.data, exercise.FIRST_ADMIN), passphrase)
    session = Session(identity, State(":memory:", log_key=identity.hub.log_key), hub.clock)
    answer = await http.post("/v1/console/links", json={}, headers={"Authorization": f"Bearer {session.token()}"})
    entered = await http.post(answer.json()["path"], headers={"Content-Type": "application/x-www-form-urlencoded"})
    http.headers["Cookie"] = entered.headers["set-cookie"].split(";", 1)[0]
    session.state.close()


async def _timed(http: httpx.AsyncClient, path: str) -> Took:
    began, used = time.perf_counter(), time.process_time()
    answer = await http.get(path)
    took = Took(time.perf_counter() - began, time.process_time() - used)
    answer.raise_for_status()
    return took


def table(found: dict[str, list[Took]]) -> str:
    """Return the figures as a Markdown table, in milliseconds."""
    lines = ["| page | median | slowest | work of the processor |", "| --- | ---: | ---: | ---: |"]
    for name, took in found.items():
        seconds, work = [each.seconds for each in took], [each.work_s for each in took]
        figures = (statistics.median(seconds), max(seconds), statistics.median(work))
        lines.append(f"| {name} | " + " | ".join(f"{each * 1_000:.0f} ms" for each in figures) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
