"""A purge killed at any moment leaves every step whole: content and the record of it go together."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import threading
from pathlib import Path
from typing import Any

from sqlalchemy import text

from broker import exercise
from broker.fsck import check_everything
from broker.hub import Hub, open_hub, purge_all, read_log_key
from broker.intake import admit_bulletins, open_bulletin
from broker.settings import Settings, read_settings
from broker.store.engine import Store
from lintas.clock import now_us
from lintas.header import BULLETIN
from lintas.keys import Identity
from lintas.session import Session
from lintas.state import State
from lintas.strict import canonical
from tests.conftest import enrol_few
from tests.databases import Databases
from tests.processes import warm

KILLS = 5
SEED = 20261127
LINES = 240
LATER_US = 60 * 86_400 * 1_000_000
PARTIES = ("my-police", "sg-fiu", "vn-police")


def later() -> int:
    """Return the time two months from now."""
    return now_us() + LATER_US


def purge(data: str, kill_after_s: float | None) -> None:
    """Purge a hub in a process of its own, two months from now; it is killed so long after its first step."""
    hub = open_hub(read_settings({}, data=data), later)
    hub.start()
    timers: list[threading.Timer] = []

    def progress(_text: str) -> None:
        if kill_after_s is not None and not timers:
            timers.append(threading.Timer(kill_after_s, os.kill, (os.getpid(), signal.SIGKILL)))
            timers[0].start()

    purge_all(hub, progress)
    hub.stop()
    os._exit(0)


def enrol(settings: Settings) -> list[Identity]:
    """Make a hub with a few agencies."""
    created = exercise.create(settings, origin="kill.lintas.example", keep=lambda _identity: None)
    hub = open_hub(settings)
    hub.start()

    identities = asyncio.run(enrol_few(hub, created, PARTIES))
    publish(hub, next(each for each in identities if each.party == PARTIES[0]))
    hub.stop()
    return identities


def publish(hub: Hub, identity: Identity) -> None:
    """Publish many bulletins that end in a day."""
    session = Session(identity, State(":memory:", log_key=identity.hub.log_key))
    header: dict[str, Any] = {"kind": "alert", "topic": "cyber.scam", "tlp": "AMBER", "urgency": "routine"}
    opened = [
        open_bulletin(
            session.sign_line(
                BULLETIN,
                canonical({"title": f"Storm {number}", "summary": "SIMULATED."}),
                exp=session.now() + 86_400,
                release_to=["sg-fiu", "vn-police"],
                **header,
            ).raw,
            hub.directory,
        )
        for number in range(LINES)
    ]
    for start in range(0, LINES, 50):
        hub.writer.submit(lambda batch, part=opened[start : start + 50]: admit_bulletins(batch, part)).result(60)  # type: ignore[misc]


def test_purge_killed_again_and_again(tmp_path: Path, databases: Databases) -> None:
    """After each of many kills everything verifies, and a last run finishes the purge; nothing is told twice."""
    settings = databases.settings(tmp_path / "hub")
    enrol(settings)
    key, chance = read_log_key(settings.log_key_file).verifier, random.Random(SEED)
    context = warm()
    left: list[int] = []
    named: list[bytes] = []
    for kill in range(KILLS + 1):
        after_s = chance.uniform(0, 0.02) if kill < KILLS else None
        process = context.Process(target=purge, args=(str(settings.data), after_s), daemon=True)
        process.start()
        process.join(60)
        store = Store(settings.database)
        check_everything(store, key, lambda _done, _all: None)
        with store.read() as conn:
            left.append(conn.scalar(text("SELECT count(*) FROM line WHERE kind IS NOT NULL AND raw IS NOT NULL")) or 0)
            named = list(conn.scalars(text("SELECT body FROM event WHERE kind = 'bulletin.purged'")))
        store.close()

    ids = [line for body in named for line in _ids(body)]
    assert sorted(left, reverse=True) == left
    assert [0] == left[-1:]
    assert any(0 < count < LINES for count in left)
    assert {3} == {ids.count(line) for line in ids}
    assert len(PARTIES) * LINES == len(ids)


def _ids(body: bytes) -> list[str]:
    found: list[str] = json.loads(body)["detail"]["ids"]
    return found
