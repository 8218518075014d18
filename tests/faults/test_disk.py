"""A full disk: nothing acknowledged is lost, readers who leave no record go on, and room is all that it takes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from broker.fsck import check_everything
from broker.retention import step
from broker.store import lines as lines_of
from lintas.client import Client
from lintas.draft import read_draft
from lintas.errors import StorageFull, StorageUnreachable
from lintas.line import Line
from lintas.state import SENT, WAITING, State
from tests.broker.conftest import Desks, Template
from tests.conftest import ShiftedClock, served, wait_until
from tests.faults.injection import LOST, Injector
from tests.faults.plays import READER, Stage
from tests.faults.test_table import opened

FILL = 40
"""More bulletins than fit into what room SQLite still has in its pages."""


@pytest.fixture
def stage(few: Template, tmp_path: Path) -> Iterator[tuple[Stage, Injector]]:
    """A started hub that can be filled up."""
    with opened(few, few.copy(tmp_path / "hub"), ShiftedClock()) as found:
        yield found


def fill_database(stage: Stage, injector: Injector) -> Callable[[], None]:
    """Leave the database no room; return what gives it room again."""
    hub = stage.desks.hub
    if hub.store.is_shared:
        injector.is_full = True
        return lambda: setattr(injector, "is_full", False)

    def limit(pages: str) -> None:
        with hub.store._write.connect() as conn:
            conn.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    limit("1")
    return lambda: limit("1000000")


def fill_outside(stage: Stage, _injector: Injector) -> Callable[[], None]:
    """Leave the disk of the kept checkpoint no room: what is written there ends in /dev/full."""
    kept, outside = stage.desks.hub.settings.checkpoint, stage.desks.hub.signer._outside
    aside = kept.with_name(f".{kept.name}.{outside._mark}")
    # One of the same length would be written over, which needs no room.
    outside._size_bytes = 0
    aside.symlink_to("/dev/full")
    return aside.unlink


@pytest.mark.parametrize("fill", [fill_database, fill_outside])
def test_full_disk(
    stage: tuple[Stage, Injector], fill: Callable[..., Callable[[], None]], caplog: pytest.LogCaptureFixture
) -> None:
    """A hub without room says so and acknowledges nothing; with room it goes on, and has each line once."""
    found, injector = stage
    hub, before = found.desks.hub, found.published()
    make_room = fill(found, injector)
    lines: list[Line] = []
    statuses: list[int] = []
    with caplog.at_level(logging.ERROR):
        while 507 not in statuses and len(lines) < FILL:
            lines.append(found.bulletin())
            statuses.append(found.world.send(found.post(lines[-1])).status)
    full = found.world.send(found.post(lines[-1]))
    shown = [found.world.send(each).status for each in (found.get("/v1/log/checkpoint", READER), found.post(before))]
    make_room()
    again = [found.world.send(found.post(each)) for each in lines]

    assert statuses[-1] == full.status == 507
    assert (b"storage-full" in full.body, full.retry_after) == (True, "30")
    assert [200, 200] == shown if fill is fill_database else shown[0] == 200
    assert {True} == {answer.status in (200, 201) for answer in again}
    assert all(200 == again[number].status for number, status in enumerate(statuses) if status == 201)
    check_everything(hub.store, hub.signer.verifier, lambda _done, _all: None)
    assert all(len(found.desks.events(kind="bulletin.accepted", object=each.id)) == 1 for each in (before, *lines))
    assert "storage-full" in caplog.text
    assert "eyJ" not in caplog.text, "a line stands in the log"


def test_outside_that_cannot_be_written(stage: tuple[Stage, Injector]) -> None:
    """A kept checkpoint that cannot be written publishes nothing: neither answer nor checkpoint."""
    found, _ = stage
    hub = found.desks.hub
    newest = found.world.send(found.get("/v1/log/checkpoint", READER)).body
    hub.settings.checkpoint.unlink()
    hub.settings.checkpoint.mkdir()

    answer = found.world.send(found.post(found.bulletin()))

    assert (503, "30") == (answer.status, answer.retry_after)
    assert newest == found.world.send(found.get("/v1/log/checkpoint", READER)).body
    hub.settings.checkpoint.rmdir()


def test_client_keeps_the_line(stage: tuple[Stage, Injector], few: Template) -> None:
    """A client whose hub has no room keeps the line in its outbox and sends the same bytes later."""
    found, injector = stage
    desks: Desks = found.desks
    with served(desks.hub) as url:
        identity = few.identities["my-police"].with_url(url)
        with Client(identity, State(":memory:", log_key=identity.hub.log_key)) as client:
            client.sync()
            make_room = fill_outside(found, injector)
            payload = {"title": "Full", "summary": "SIMULATED."}
            draft = {"kind": "alert", "topic": "drugs", "tlp": "GREEN", "urgency": "routine", "valid_for": "P1D"}
            with pytest.raises(StorageFull):
                client.publish(read_draft({**draft, "release_to": [READER], "payload": payload}))
            waiting = client.session.state.outgoing(WAITING)
            make_room()
            client.flush()
            sent = client.session.state.outgoing(SENT)

    assert [each.id for each in waiting] == [each.id for each in sent]
    assert 1 == len(sent)


def test_idle_hub_publishes_what_a_full_disk_left(
    stage: tuple[Stage, Injector], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was committed and could not be published is, without anybody's request, once there is room."""
    found, injector = stage
    monkeypatch.setattr("broker.writer.IDLE_S", 0.05)
    make_room = fill_outside(found, injector)
    line = found.bulletin()
    assert 507 == found.world.send(found.post(line)).status
    [event] = found.desks.events(kind="bulletin.accepted", object=line.id)
    make_room()

    wait_until(lambda: int(found.desks.hub.settings.checkpoint.read_bytes().split(b"\n")[1]) > event.seq)


def test_purge_step_that_was_lost(stage: tuple[Stage, Injector]) -> None:
    """A run takes again what a step purged in a commit that was lost, and counts it once."""
    found, injector = stage
    hub, line = found.desks.hub, found.published(life_s=3_600)
    found.desks.clock.advance(3 * 86_400)
    run = hub.writer.submit(hub.retention.begin).result(20).value
    injector.arm("COMMIT batch", LOST)
    with pytest.raises(StorageUnreachable):
        hub.writer.submit(lambda batch: step(batch, run)).result(20)
    while not run.is_over:
        hub.writer.submit(lambda batch: step(batch, run)).result(20)

    with hub.store.read() as conn:
        stored = lines_of.by_id(conn, line.id)
    assert stored is not None
    assert (None, 1) == (stored.raw, run.purged)


@pytest.mark.parametrize("refusal", [StorageFull, StorageUnreachable])
def test_not_answered_with_success(stage: tuple[Stage, Injector], refusal: type[StorageFull]) -> None:
    """Everyone who waited for a batch is told of its failure at once; nobody is tried alone."""
    found, _ = stage
    tries = []

    def job(_batch: object) -> int:
        tries.append(1)
        raise refusal(retry_after=1)

    futures = [found.desks.hub.writer.submit(job) for _ in range(3)]

    for future in futures:
        with pytest.raises(refusal):
            future.result(20)
    assert len(tries) <= 3
