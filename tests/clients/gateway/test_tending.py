"""The agency's keys while a gateway runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest

from clients.gateway.tending import RENEW_EVERY_S, Tending
from clients.settings import Settings
from lintas.client import Client
from lintas.errors import BadSettings
from lintas.keys import fresh_opening, load_identity, save_identity
from lintas.note import SignerKey
from tests.gateways import PARTY, Beside

DAY_S = 86_400


@pytest.fixture
def clients(beside_hub: Beside) -> Iterator[tuple[Client, Client]]:
    """The two clients of a gateway."""
    found = (beside_hub.open(), beside_hub.open())
    yield found
    for client in found:
        client.close()


@pytest.fixture
def tending(beside_hub: Beside, clients: tuple[Client, Client]) -> Tending:
    """What looks after their keys."""
    settings = Settings(beside_hub.hub.url, beside_hub.identity, beside_hub.hub.passphrase)
    return Tending(settings, clients, beside_hub.told.append)


def openings(clients: tuple[Client, Client]) -> list[int]:
    """Return how many opening keys each client has."""
    return [len(client.session.identity.openings) for client in clients]


def save(found: Beside, passphrase: bytes) -> None:
    """Write the identity file with one more opening key, as an officer's command does."""
    identity = load_identity(found.identity, found.hub.passphrase)
    save_identity(found.identity, replace(identity, openings=(*identity.openings, fresh_opening())), passphrase)
    os.utime(found.identity, (1, 1))


def test_exchanged_keys(beside_hub: Beside, clients: tuple[Client, Client], tending: Tending) -> None:
    """What an officer's command wrote into the identity file is taken over by every client, at the hub's address."""
    tending()
    save(beside_hub, beside_hub.hub.passphrase)
    tending()

    assert [2, 2] == openings(clients)
    assert {beside_hub.hub.url} == {client.session.identity.hub.url for client in clients}
    assert [f"acting with the key {clients[0].session.identity.key.kid}"] == beside_hub.told


def test_another_passphrase(beside_hub: Beside, clients: tuple[Client, Client], tending: Tending) -> None:
    """Where the file does not open any more the keys at hand go on, and it is said once."""
    save(beside_hub, b"another")
    tending()
    tending()

    assert ([1, 1], 1) == (openings(clients), len(beside_hub.told))
    assert "does not open: identity-locked" in beside_hub.told[0]


def test_new_epoch(beside_hub: Beside, clients: tuple[Client, Client], tending: Tending) -> None:
    """When an officer went over to a new epoch of the log, the gateway ends: another memory belongs to it."""
    identity = load_identity(beside_hub.identity, beside_hub.hub.passphrase)
    key = SignerKey.from_seed(f"{identity.hub.name}/log/2", bytes(32)).verifier.text()
    save_identity(beside_hub.identity, identity.with_log_key(key), beside_hub.hub.passphrase)
    os.utime(beside_hub.identity, (1, 1))

    with pytest.raises(BadSettings, match="another epoch"):
        tending()


def test_renewal(beside_hub: Beside, clients: tuple[Client, Client], tending: Tending) -> None:
    """An opening key that soon ends is renewed, for every client, and others seal to the new one."""
    before = clients[0].session.identity.openings
    tending()
    beside_hub.hub.clock.advance(80 * DAY_S)
    tending()

    (known,) = {client.session.identity.openings[-1].kid for client in clients}
    current = clients[0].directory.opening_key(PARTY, clients[0].session.now())
    assert current is not None
    assert (known, True) == (current.kid, known not in {each.kid for each in before})
    assert RENEW_EVERY_S < DAY_S
