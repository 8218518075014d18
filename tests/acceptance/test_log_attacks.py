"""A hub that forks, rolls back, dates back: each attack played with its real key, and who catches it with what.

Each attack ends with files that somebody else, who knows nothing but the log's key, judges offline.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from click.testing import CliRunner

from broker.backup import transfer
from broker.settings import read_settings
from clients.cli import cli
from clients.witness import CONFLICT, RECEIPT, WITNESSED
from lintas.checkpoint import open_checkpoint
from lintas.client import Client
from lintas.errors import InconsistentLog
from lintas.event import US_PER_S
from lintas.receipt import parse_receipt
from lintas.state import State
from tests.conftest import ExerciseHub, ShiftedClock
from tests.databases import Databases
from tests.witnesses import TWO_OF_THREE, WITNESSES, cosigned, publish, serve, watcher

READER = "sg-fiu"

Fork = Callable[[], ExerciseHub]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What is to be closed at the end."""
    with ExitStack() as found:
        yield found


@pytest.fixture
def hub(exercise_data: Path, clock: ShiftedClock, stack: ExitStack) -> ExerciseHub:
    """The hub as it is shown to some."""
    return stack.enter_context(serve(exercise_data, clock))


@pytest.fixture
def fork(hub: ExerciseHub, clock: ShiftedClock, stack: ExitStack, tmp_path: Path, databases: Databases) -> Fork:
    """Make a second hub with the same key from the state of now: the hub as it is shown to others."""

    def make() -> ExerciseHub:
        copy, left_out = databases.new(tmp_path / "other-hub"), ("hub.db*", "hub.lock", "*.state*", "settings.toml")
        shutil.copytree(hub.data, copy, ignore=shutil.ignore_patterns(*left_out), dirs_exist_ok=True)
        database = read_settings({}, data=str(copy)).database
        transfer(hub.hub.store, database, hub.hub.signer.verifier, lambda _done, _all: None)
        return stack.enter_context(serve(copy, clock))

    return make


def moved(client: Client, to: ExerciseHub, memory: Path) -> Client:
    """Return the same client, with its memory, talking to the other hub without knowing."""
    identity = client.session.identity.with_url(to.url)
    return Client(identity, State(memory, log_key=identity.hub.log_key), clock=to.clock)


def judged(folder: Path, hub: ExerciseHub, *more: str) -> tuple[int, str]:
    """Judge a folder as a third party who has the log's key alone."""
    key = hub.hub.signer.verifier.text()
    result = CliRunner().invoke(cli, ["evidence", str(folder), "--log-key", key, *more], standalone_mode=False)
    return result.exit_code, result.output


def exported(client: Client, folder: Path) -> Path:
    """Write what a client kept into files; return their folder."""
    for name, file in CONFLICT.items():
        kept = client.session.state.get(f"conflict.{name}")
        assert kept is not None
        folder.mkdir(exist_ok=True)
        (folder / file).write_bytes(kept)
    return folder


def test_fork_seen_by_a_witness(hub: ExerciseHub, fork: Fork, tmp_path: Path) -> None:
    """A witness that is shown first one history, then the other, refuses the second and can prove both were signed."""
    other = fork()
    with watcher(hub, tmp_path / "w.state") as client:
        publish(hub, "FICTIONAL: for some")
        client.attend(WITNESSES[0])
    publish(other, "FICTIONAL: for others")
    publish(other, "FICTIONAL: and more")

    with moved(client, other, tmp_path / "w.state") as deceived:
        with pytest.raises(InconsistentLog):
            deceived.attend(WITNESSES[0])
        folder = exported(deceived, tmp_path / "evidence")

    code, text = judged(folder, hub)
    assert (0, True) == (code, "forked" in text), text
    assert 409 == other.get("/v1/log/checkpoint?witnessed=1").status_code


def test_fork_gets_no_quorum(hub: ExerciseHub, fork: Fork, tmp_path: Path) -> None:
    """Of two histories only one becomes witnessed, though the hub shows each to some of the witnesses."""
    other = fork()
    publish(hub, "FICTIONAL: for some")
    publish(other, "FICTIONAL: for others")
    seen_first = {0: hub, 1: hub, 2: other}
    for number, shown in seen_first.items():
        with watcher(shown, tmp_path / f"{number}.state") as client:
            client.attend(WITNESSES[number])

    for number, shown in seen_first.items():
        elsewhere = other if shown is hub else hub
        with watcher(elsewhere, tmp_path / f"{number}.state") as deceived, pytest.raises(InconsistentLog):
            deceived.attend(WITNESSES[number])

    statuses = [each.get("/v1/log/checkpoint?witnessed=1").status_code for each in (hub, other)]
    assert [200, 409] == statuses


def test_fork_seen_by_a_client(hub: ExerciseHub, fork: Fork, tmp_path: Path) -> None:
    """A partner's client that is moved to another history refuses it at its next look, and has the evidence."""
    other = fork()
    publish(hub, "FICTIONAL: for some")
    client = hub.client(READER)
    client.sync()
    publish(other, "FICTIONAL: for others")
    publish(other, "FICTIONAL: and more")

    with moved(client, other, hub.data / f"{READER}.state") as deceived:
        with pytest.raises(InconsistentLog):
            deceived.sync()
        folder = exported(deceived, tmp_path / "evidence")

    code, text = judged(folder, hub)
    assert (0, True) == (code, "forked" in text), text


def test_two_partners_compare(hub: ExerciseHub, fork: Fork, tmp_path: Path) -> None:
    """Two partners who were shown two histories of one size prove it by putting their checkpoints side by side."""
    other = fork()
    publish(hub, "FICTIONAL: for some")
    publish(other, "FICTIONAL: for others")
    (tmp_path / CONFLICT["known"]).write_bytes(hub.get("/v1/log/checkpoint").content)
    (tmp_path / CONFLICT["shown"]).write_bytes(other.get("/v1/log/checkpoint").content)
    (tmp_path / CONFLICT["proof"]).write_bytes(b"")

    code, text = judged(tmp_path, hub)

    assert (0, True) == (code, "two roots for one size" in text), text


def test_roll_back(hub: ExerciseHub, fork: Fork, tmp_path: Path) -> None:
    """A hub restored to an older state is refused by witness and client; once it goes on, its fork is proven."""
    restored = fork()
    with watcher(hub, tmp_path / "w.state") as client:
        publish(hub)
        publish(hub)
        client.attend(WITNESSES[0])
        reader = hub.client(READER)
        reader.sync()

    with moved(client, restored, tmp_path / "w.state") as deceived:
        with pytest.raises(InconsistentLog, match="denies"):
            deceived.attend(WITNESSES[0])
        folder = exported(deceived, tmp_path / "evidence")
    with moved(reader, restored, hub.data / f"{READER}.state") as deceived, pytest.raises(InconsistentLog):
        deceived.sync()

    code, text = judged(folder, hub)
    assert (1, True) == (code, "has to show" in text), text
    for _ in range(4):
        publish(restored, "FICTIONAL: another history")
    with moved(client, restored, tmp_path / "w.state") as deceived:
        with pytest.raises(InconsistentLog, match="No proof"):
            deceived.attend(WITNESSES[0])
        folder = exported(deceived, tmp_path / "evidence")
    code, text = judged(folder, hub)
    assert (0, True) == (code, "forked" in text), text


def test_dated_back_out_of_order(hub: ExerciseHub, clock: ShiftedClock) -> None:
    """An event dated before the one it follows is refused by every client that sees both."""
    clock.advance(7200)
    reader = hub.client(READER)
    writer = hub.hub.writer
    assert writer._head is not None

    writer._head.time -= 3600 * US_PER_S
    clock.advance(-3600)

    with pytest.raises(InconsistentLog, match="dated before"):
        reader.sync()


def test_dated_back_against_ones_own_clock(hub: ExerciseHub) -> None:
    """Events that the log did not have yet when a client saw it, dated long before that, raise a lasting alarm."""
    reader = hub.client(READER)
    state = reader.session.state
    assert state.get_int("checkpoint_at", 0) > 0

    quiet = reader.sync().alarms
    state.put("checkpoint_at", reader.session.now() + 3600)
    first, second = reader.sync().alarms, reader.sync().alarms

    assert [] == quiet
    assert ["1 events are dated before a time at which the log did not have them yet."] == first == second


def test_dated_back_against_witnesses(
    exercise_data: Path, clock: ShiftedClock, stack: ExitStack, tmp_path: Path
) -> None:
    """An event dated before a witness saw the log without it is proven to be, by two files and the policy."""
    hub = stack.enter_context(serve(exercise_data, clock))
    key = hub.hub.signer.verifier
    clock.advance(7200)
    seen_at = clock() // US_PER_S
    checkpoint = hub.get("/v1/log/checkpoint").content
    clock.advance(-3600)
    line_id = publish(hub, "FICTIONAL: back-dated")
    receipt = hub.get(f"/v1/bulletins/{line_id}/receipt", "my-police").content
    (tmp_path / WITNESSED).write_bytes(cosigned(checkpoint, WITNESSES[0], time=seen_at))
    (tmp_path / RECEIPT).write_bytes(receipt)
    (tmp_path / "policy").write_text(TWO_OF_THREE)

    code, text = judged(tmp_path, hub, "--policy", str(tmp_path / "policy"))

    assert (0, True) == (code, "before the log was seen without it" in text), text
    assert parse_receipt(receipt).index >= open_checkpoint(checkpoint, origin=key.name, key=key).size
