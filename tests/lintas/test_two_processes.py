"""Two clients of one identity share its state file, as two processes do."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lintas.client import Client
from lintas.keys import Identity, SigningKey
from lintas.state import State
from tests.conftest import ExerciseHub


def two_clients(hub: ExerciseHub, path: Path) -> tuple[Client, Client]:
    """Return two clients of one agency with the same state file."""
    identity = hub.identity("sg-police")
    states = [State(path / "sg-police.shared", log_key=identity.hub.log_key) for _ in range(2)]
    return Client(identity, states[0], clock=hub.clock), Client(identity, states[1], clock=hub.clock)


def test_directory_moved_by_another_process(exercise_hub: ExerciseHub, tmp_path: Path) -> None:
    """A client whose memory another process moved on takes over what follows without an alarm."""
    first, second = two_clients(exercise_hub, tmp_path)
    first.sync()
    key = SigningKey.generate()
    invited = exercise_hub.client("admin/registrar").order("invite", {"agency": "kh-customs"})
    newcomer = Client(
        Identity("kh-customs", key, first.session.identity.hub),
        State(":memory:", log_key=first.session.identity.hub.log_key),
        clock=exercise_hub.clock,
    )
    newcomer.enrol(invite=invited.invite, code=invited.code or "", holder="desk")
    second.sync()
    exercise_hub.order("approve", agency="kh-customs", kid=key.kid)

    first.sync()

    assert "kh-customs" in first.directory.partners
    for client in (first, second, newcomer):
        client.close()


def test_two_processes_sync_at_once(exercise_hub: ExerciseHub, tmp_path: Path) -> None:
    """Two processes that catch up at the same time lose nothing and raise no alarm."""
    clients = two_clients(exercise_hub, tmp_path)

    with ThreadPoolExecutor(2) as pool:
        for _ in range(8):
            list(pool.map(lambda client: client.sync(), clients))

    assert clients[0].directory.partners.keys() == exercise_hub.hub.directory.partners.keys()
    assert clients[0].directory == clients[1].directory
    for client in clients:
        client.close()
