"""Setting up a hub with simulated agencies, for demonstrations, tests, training.

Nothing is written past the hub: two administrators invite, approve and grant with signed lines over the hub's own HTTP
surface, so that what comes out is what a real enrolment gives.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from broker.app import build_app
from broker.hub import Hub as RunningHub
from broker.hub import make_log_key, make_name, open_hub, open_log
from broker.settings import Settings
from lintas import vocabulary
from lintas.async_client import AsyncClient
from lintas.clock import Clock, now_us
from lintas.header import KEY
from lintas.keys import Hub, Identity, SigningKey, fresh_opening, save_identity, write_private
from lintas.session import Session
from lintas.state import State
from lintas.strict import canonical

FIRST_ADMIN = "admin/registrar"
SECOND_ADMIN = "admin/auditor"
HOLDER = "duty desk (SIMULATED)"
ORIGIN = "exercise.lintas.example"
IN_MEMORY = ":memory:"

Progress = Callable[[str], None]
Keep = Callable[[Identity], None]


@dataclass(frozen=True, slots=True)
class Created:
    """What `init` made: the hub's identity card and the first administrator."""

    hub: Hub
    admin: Identity


def create(settings: Settings, *, origin: str, keep: Keep, admin: str = FIRST_ADMIN, clock: Clock = now_us) -> Created:
    """Make log key, first administrator, database; raise BadSettings when a hub is there already.

    `keep` saves the administrator's identity before the log opens with its key: a hub whose only key is lost is of no
    use. Killed halfway, it leaves no hub, so the next call begins again.
    """
    name = make_name(origin)
    key = make_log_key(settings, name)
    hub = Hub(url=f"http://{settings.host}:{settings.port}", name=name, log_key=key.verifier.text())
    identity = Identity(party=admin, key=SigningKey.generate(), hub=hub)
    keep(identity)
    session = Session(identity, State(IN_MEMORY, log_key=hub.log_key), clock)
    payload = canonical({"act": "enrol", **session.key_window(identity.key, HOLDER)})
    open_log(settings, name, key, session.sign_line(KEY, payload).raw, clock)
    session.state.close()
    return Created(hub, identity)


def run(
    settings: Settings, *, progress: Progress, clock: Clock = now_us, agencies: Collection[str] | None = None
) -> list[Identity]:
    """Make a hub at the data directory with two administrators and simulated agencies enrolled: all, or these.

    Writes ``admins/<name>.json``, ``agencies/<id>.json`` and the one ``passphrase`` file that opens them all; returns
    the identities.
    """
    passphrase = make_passphrase(settings.data / "passphrase")

    def keep(identity: Identity) -> None:
        save_identity(identity_path(settings.data, identity.party), identity, passphrase)

    created = create(settings, origin=ORIGIN, keep=keep, clock=clock)
    hub = open_hub(settings, clock)
    hub.start()
    try:
        identities = asyncio.run(_enrol(Desks(hub, created, clock), agencies, progress))
    finally:
        hub.stop()
    for identity in identities[1:]:
        progress(f"writing {identity.party}")
        keep(identity)
    return identities


def make_passphrase(path: Path) -> bytes:
    """Write a random passphrase to a file with mode 0600 and return it; one that is there already is kept.

    Identities may be locked with it: nothing opens them again once it is lost.
    """
    if path.exists():
        return path.read_bytes().strip()
    path.parent.mkdir(parents=True, exist_ok=True)
    passphrase = secrets.token_urlsafe(24).encode()
    write_private(path, passphrase + b"\n")
    return passphrase


def identity_path(data: Path, party: str) -> Path:
    """Return where the identity of a party is written, with its folder made."""
    folder, name = ("admins", party.split("/", 1)[1]) if party.startswith("admin/") else ("agencies", party)
    path = data / folder / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


async def _enrol(desks: Desks, agencies: Collection[str] | None, progress: Progress) -> list[Identity]:
    known = vocabulary.load()
    wanted = sorted(known.agencies if agencies is None else agencies)
    try:
        await desks.admit(SECOND_ADMIN)
        for number, agency in enumerate(wanted, 1):
            progress(f"enrolling {agency} ({number} of {len(wanted)})")
            await desks.admit(agency)
            await desks.order("grant", {"agency": agency, "publish": ["*"], "read": ["*"]})
            await desks.order("ceiling", {"agency": agency, "tlp": "RED"})
        for name, members in sorted(known.communities.items()):
            await desks.order("community", {"name": name, "members": sorted(set(members).intersection(wanted))})
    finally:
        await desks.close()
    return desks.identities


class Desks:
    """The administrators' and agencies' desks of an exercise, talking to a hub in the same process."""

    def __init__(self, hub: RunningHub, created: Created, clock: Clock) -> None:
        """Begin with the first administrator."""
        self._transport = httpx.ASGITransport(build_app(hub))
        self._hub = created.hub
        self._clock = clock
        self._admins = [self._client(created.admin)]
        self.identities = [created.admin]

    async def close(self) -> None:
        """Close the administrators' clients."""
        for admin in self._admins:
            await admin.aclose()

    async def admit(self, party: str) -> None:
        """Invite a party, enrol its key, approve it."""
        openings = () if party.startswith("admin/") else (fresh_opening(),)
        identity = Identity(party=party, key=SigningKey.generate(), hub=self._hub, openings=openings)
        invited = await self.order("invite", {"agency": party})
        client = self._client(identity)
        await client.enrol(invite=invited.invite, code=invited.code or "", holder=HOLDER)
        await self.order("approve", {"agency": party, "kid": identity.key.kid})
        self.identities.append(identity)
        if party.startswith("admin/"):
            self._admins.append(client)
        else:
            await client.aclose()

    async def order(self, act: str, arguments: Mapping[str, Any]) -> Any:
        """Give an order, with the second administrator where two are needed."""
        first = self._admins[0]
        line = first.session.sign_order(act, arguments)
        if len(self._admins) > 1 and act in ("approve", "grant", "ceiling"):
            return await self._admins[1].countersign(line.raw)
        return await first.order(act, arguments)

    def _client(self, identity: Identity) -> AsyncClient:
        state = State(IN_MEMORY, log_key=identity.hub.log_key)
        return AsyncClient(identity, state, clock=self._clock, transport=self._transport)
