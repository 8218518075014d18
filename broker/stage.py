"""The stage of the demonstration: the agencies' desks, what was found there.

Nothing here decides whether a check holds; it opens clients for the scenes and keeps what they saw.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from broker import exercise as exercises
from lintas.client import Client
from lintas.errors import Refusal
from lintas.keys import Identity
from lintas.memory import open_state
from lintas.readers import Reader
from lintas.transport import TIMEOUT_S

ACCEPTED = "accepted"
FIRST_CHAPTER = "Bulletins"


@dataclass(frozen=True, slots=True)
class Check:
    """One expectation, and whether it held."""

    chapter: str
    text: str
    held: bool


@dataclass(slots=True)
class Tally:
    """What each agency did, and which checks held."""

    published: Counter[str] = field(default_factory=Counter)
    received: Counter[str] = field(default_factory=Counter)
    verified: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    expected: Counter[str] = field(default_factory=Counter)
    checks: list[Check] = field(default_factory=list)
    readers: Sequence[Reader] = ()
    chapter: str = FIRST_CHAPTER
    log: str = ""

    def check(self, text: str, *, held: bool) -> None:
        """Note one check."""
        self.checks.append(Check(self.chapter, text, held))

    @property
    def all_held(self) -> bool:
        """Tell whether every check held."""
        return all(each.held for each in self.checks)


class Agencies:
    """Clients of the simulated parties, opened when first used. `http` sends what none of them would."""

    def __init__(self, data: Path, identities: Iterable[Identity], url: str) -> None:
        """Take who they are and where the hub listens; what they remember is kept beside their identity files."""
        # One pool for all: what a certificate store costs to load is paid once, though the hub here speaks plain HTTP.
        pool = httpx.HTTPTransport()
        self.http = httpx.Client(base_url=url, transport=pool, timeout=TIMEOUT_S)
        self._pool = pool
        self._data = data
        self._identities = {each.party: each.with_url(url) for each in identities}
        self._clients: dict[str, Client] = {}

    def client(self, party: str) -> Client:
        """Return the client of this party with an up-to-date directory."""
        if party not in self._clients:
            identity = self._identities[party]
            path = exercises.identity_path(self._data, party)
            self._clients[party] = Client(identity, open_state(path, identity), transport=self._pool)
            self._clients[party].sync()
        return self._clients[party]

    def order(self, act: str, arguments: Mapping[str, Any]) -> None:
        """Give an order, signed by both administrators."""
        first = self.client(exercises.FIRST_ADMIN).session.sign_order(act, arguments)
        self.client(exercises.SECOND_ADMIN).countersign(first.raw)

    def close(self) -> None:
        """Close them all."""
        self.http.close()
        for client in self._clients.values():
            client.close()


def refusal(work: Callable[[], object]) -> str:
    """Do something; return the code of its refusal, or that it was accepted."""
    try:
        work()
    except Refusal as found:
        return found.code
    return ACCEPTED
