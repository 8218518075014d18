"""The gateway as a process: its parts wired together, its threads, its end.

Each thread has a client of its own on the agency's one memory. A hub that is away is waited for; what does not verify
ends the process (`Evidence`), for nobody may go on as if it did.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from clients.gateway import scripting
from clients.gateway.bulletins import Bulletins
from clients.gateway.database import Database
from clients.gateway.events import Events
from clients.gateway.feed import PATH as FEED_PATH
from clients.gateway.feed import Feed
from clients.gateway.follower import Follower
from clients.gateway.guard import Guard, check_loopback, names_of, read_tokens
from clients.gateway.intake import Intake
from clients.gateway.objects import Objects
from clients.gateway.place import Place, beside, take
from clients.gateway.rules import Rules
from clients.gateway.sender import Report, Sender
from clients.gateway.server import Asked, Server
from clients.gateway.spool import Spool
from clients.gateway.taxii import Taxii
from lintas import taxii
from lintas.client import Client
from lintas.errors import Evidence, HubUnreachable, LintasError, NotFound, Refusal
from lintas.taxii import DISCOVERY_PATH, Answer

SEND = "send"
LEAVE_S = 2.0
"""How long threads are waited for at the end: one that waits for the hub may be cut off, as by a kill."""

WAKE_S = 1.0
PAUSE_S_MAX = 60.0
SWEEP_US = 60_000_000
"""How long what was deleted may still be read from the disk."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long the hub may wait for something new; how often spool, approvals, ends are looked at."""

    wait_s: int = 30
    tick_s: float = 1.0


class Gateway:
    """One gateway. `clients` are two of the agency, one to follow and one to send; `report` is told what happens.

    `tend` is called now and then by the thread that sends: it looks after the agency's keys.
    """

    def __init__(
        self,
        place: Place,
        rules: Rules,
        clients: tuple[Client, Client],
        *,
        report: Report,
        tend: Callable[[], None] = lambda: None,
        pace: Pace = Pace(),
    ) -> None:
        """Take the place and read what is there; raise BadSettings when another gateway has it."""
        host = check_loopback(place.host)
        self._lock = take(beside(place.identity, ".lock"))
        tokens = read_tokens(beside(place.identity, ".tokens"))
        self._report = report
        self._pace = pace
        self._swept_us = 0
        self._rules = rules
        self._stopping, self._posted = threading.Event(), threading.Event()
        self._ended = threading.Event()
        self._fault: BaseException | None = None
        self._troubles: dict[str, str] = {}
        self._threads: list[threading.Thread] = []
        self._clients, self._tend = clients, tend
        following, sending = clients
        session = following.session
        self._clock, self._party = session.clock, following.party
        self._database = Database(beside(place.identity, ""))
        self._objects = Objects(self._database)
        self._bulletins = Bulletins(self._database, self._objects, rules, session.identity.hub.url)
        self._bulletins.apply_rules(session.open_sealed, self._clock())
        self._intake = Intake(self._database, rules, self._party, clock=self._clock, report=self._tell_posted)
        self._sender = Sender(sending, self._database, report)
        self._follower = Follower(following, self._database, self._bulletins, report)
        self._spool = None if place.spool is None else Spool(place.spool, self._intake)
        self._server = Server(host, place.port, self._answer, _refused, report)
        self.port: int = self._server.server_address[1]
        self._server.guard = Guard(tokens, names_of(host, self.port))
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}"
        hub = session.identity.hub.name
        self._taxii = Taxii(self._objects, self._intake, party=self._party, hub=hub, url=self.url)
        self._feed = Feed(Events(self._database))
        self._scripting = scripting.Scripting(self._bulletins, self._intake, self._sender, self.status)

    def start(self) -> None:
        """Begin."""
        if self._spool is not None:
            self._spool.prepare()
        for name, body in (("follow", self._follow), (SEND, self._send), ("look", self._look)):
            self._begin(name, partial(self._go_on, name, body))
        self._begin("serve", self._server.serve_forever)

    def wait(self) -> None:
        """Wait until it ends; raise what ended it."""
        # A signal that comes just before an endless wait would not end it: Python looks at signals between steps alone.
        while not self._ended.wait(WAKE_S):
            pass
        if self._fault is not None:
            raise self._fault

    def stop(self) -> None:
        """End: nothing is lost by it, as nothing would be by a kill."""
        self._stopping.set()
        self._posted.set()
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
        for thread in self._threads:
            thread.join(LEAVE_S)
        for client in self._clients:
            client.close()
        os.close(self._lock)

    def status(self) -> Mapping[str, Any]:
        """Return how the gateway is."""
        return {
            "party": self._party,
            "trouble": dict(self._troubles),
            "alarms": list(self._follower.alarms),
            "bulletins": self._bulletins.counts(),
            "objects": self._objects.count(),
            "drafts": self._intake.postings.counts(),
            "publishes": self._rules.publishes,
        }

    def _begin(self, name: str, body: Callable[[], None]) -> None:
        thread = threading.Thread(target=body, name=f"gateway-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _go_on(self, name: str, body: Callable[[], float]) -> None:
        """Do something again and again; what may pass is waited for, longer each time, the rest ends the gateway."""
        failures = 0
        while not self._stopping.is_set():
            try:
                pause_s = body()
                failures = 0
                self._troubles.pop(name, None)
            except Evidence as fault:
                self._end(fault)
                return
            except (HubUnreachable, Refusal) as fault:
                pause_s = min(PAUSE_S_MAX, 2.0**failures)
                failures += 1
                self._tell_trouble(name, fault)
            except BaseException as fault:  # noqa: BLE001 - a thread that dies unheard would leave a gateway that does half
                if not self._stopping.is_set():
                    self._end(fault)
                return
            (self._posted if name == SEND else self._stopping).wait(pause_s)

    def _end(self, fault: BaseException) -> None:
        self._fault = fault
        self._stopping.set()
        self._ended.set()

    def _tell_trouble(self, name: str, fault: LintasError) -> None:
        if self._troubles.get(name) != fault.code:
            self._report(f"{name}: {fault.code}; trying again")
        self._troubles[name] = fault.code

    def _follow(self) -> float:
        return 0.0 if self._follower.step(self._pace.wait_s) else self._pace.tick_s

    def _tell_posted(self, text: str) -> None:
        self._report(text)
        self._posted.set()

    def _send(self) -> float:
        self._posted.clear()
        self._tend()
        self._sender.step()
        return self._pace.tick_s

    def _look(self) -> float:
        now_us = self._clock()
        self._bulletins.end_expired(now_us)
        if now_us >= self._swept_us + SWEEP_US:
            self._database.sweep()
            self._swept_us = now_us
        if self._spool is not None:
            self._spool.step(now_us)
        return self._pace.tick_s

    def _answer(self, asked: Asked) -> Answer:
        if _is_taxii(asked.path):
            return self._taxii.answer(asked)
        if asked.path.startswith(FEED_PATH):
            return self._feed.answer(asked)
        if asked.path.startswith("/v1/"):
            return self._scripting.answer(asked)
        raise NotFound


def _refused(path: str, fault: LintasError) -> Answer:
    return taxii.refused(fault) if _is_taxii(path) else scripting.refused(fault)


def _is_taxii(path: str) -> bool:
    return f"{path}/".startswith(DISCOVERY_PATH)
