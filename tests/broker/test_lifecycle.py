"""Natural expiry in the log: everything that ended, once, in bounded events, however often the hub stops."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from broker import lifecycle
from broker.batch import Batch
from broker.hub import Hub
from broker.intake import admit_bulletin, open_bulletin
from broker.lifecycle import Expiry
from lintas.line import Line
from tests.broker.conftest import Desks

ISSUER, OTHER, READER = "my-police", "th-cert", "sg-fiu"
WAIT_S = 20
KIND = "bulletin.expired"


def publish(desks: Desks, issuer: str = ISSUER, *, life_s: int = 100) -> Line:
    """Publish a bulletin that ends so many seconds from now."""
    line = desks.bulletin(issuer, [READER], exp=desks.session(issuer).now() + life_s)
    submission = open_bulletin(line.raw, desks.hub.directory)
    desks.hub.writer.submit(lambda batch: admit_bulletin(batch, submission), (line.id,)).result(WAIT_S)
    return line


def commit(hub: Hub) -> None:
    """Make the writer commit once."""
    hub.writer.submit(lambda batch: batch.next_seq).result(WAIT_S)


def told(desks: Desks) -> list[tuple[str, list[str]]]:
    """Return who was told what, oldest first."""
    return [
        (event.party, json.loads(event.body or b"")["detail"]["ids"]) for event in reversed(desks.events(kind=KIND))
    ]


def test_expiry_is_logged(inner: Desks) -> None:
    """What ended is logged for its issuer, one event an issuer and sweep, in the order of the ends."""
    late, early = publish(inner, life_s=90), publish(inner, life_s=80)
    other, standing = publish(inner, OTHER, life_s=85), publish(inner, life_s=10_000)

    inner.clock.advance(100)
    commit(inner.hub)

    assert [(ISSUER, [early.id, late.id]), (OTHER, [other.id])] == told(inner)
    assert standing.id not in str(told(inner))


def test_nothing_ended(inner: Desks) -> None:
    """A sweep that finds nothing leaves no event."""
    publish(inner)
    inner.clock.advance(90)
    commit(inner.hub)

    assert [] == told(inner)


def test_last_second_counts(inner: Desks) -> None:
    """A bulletin ends at its second, not one later."""
    inner.hub.writer._due = ()
    line = publish(inner, life_s=100)
    expiry = Expiry()

    def sweep(at: int) -> list[str]:
        found: list[str] = []

        def job(batch: Batch) -> None:
            batch._time = at * 1_000_000
            expiry.record(batch)
            found.extend(i for event, _ in batch._events for i in event.detail["ids"])

        inner.hub.writer.submit(job).result(WAIT_S)
        return found

    assert line.header.exp is not None
    assert [] == sweep(line.header.exp - 1)
    assert [line.id] == sweep(line.header.exp + 60)


def test_once_a_minute(inner: Desks) -> None:
    """Between two sweeps lies a minute of the hub's clock."""
    first, second = publish(inner, life_s=10), publish(inner, life_s=30)
    inner.clock.advance(70)
    commit(inner.hub)
    third = publish(inner, life_s=5)
    inner.clock.advance(30)
    commit(inner.hub)
    before = told(inner)
    inner.clock.advance(31)
    commit(inner.hub)

    assert [(ISSUER, [first.id, second.id])] == before
    assert [*before, (ISSUER, [third.id])] == told(inner)


def test_restart(inner: Desks) -> None:
    """A hub that starts again goes on where the log says that it stopped: nothing twice, nothing left out."""
    inner.hub.writer._due = ()
    lines = [publish(inner, life_s=life_s) for life_s in (10, 10, 20)]
    for _ in range(3):
        inner.clock.advance(5)
        _sweep_anew(inner)
    inner.clock.advance(1_000)
    for _ in range(3):
        _sweep_anew(inner)

    assert sorted(line.id for line in lines) == sorted(i for _, ids in told(inner) for i in ids)


def _sweep_anew(desks: Desks) -> None:
    expiry = Expiry()
    desks.hub.writer.submit(expiry.record).result(WAIT_S)


def test_clock_that_steps_back(inner: Desks) -> None:
    """A clock that is set back makes no sweep say anything again."""
    line = publish(inner, life_s=100)
    inner.clock.advance(200)
    commit(inner.hub)
    inner.hub.writer._due = ()
    inner.clock.advance(-150)
    _sweep_anew(inner)
    inner.clock.advance(1_000)
    _sweep_anew(inner)

    assert [(ISSUER, [line.id])] == told(inner)


@pytest.mark.parametrize("sweep_max", [1, 2, 3, 4])
def test_more_than_a_sweep(inner: Desks, monkeypatch: pytest.MonkeyPatch, sweep_max: int) -> None:
    """What one sweep cannot hold comes with the next commits, also when many end in one second."""
    monkeypatch.setattr(lifecycle, "SWEEP_MAX", sweep_max)
    monkeypatch.setattr(lifecycle, "IDS_MAX", 2)
    exp = inner.session(ISSUER).now() + 100
    ids = []
    for issuer, _ in itertools.product((ISSUER, OTHER), range(4)):
        line = inner.bulletin(issuer, [READER], exp=exp)
        submission = open_bulletin(line.raw, inner.hub.directory)
        inner.hub.writer.submit(lambda batch, each=submission: admit_bulletin(batch, each)).result(WAIT_S)  # type: ignore[misc]
        ids.append(line.id)
    inner.clock.advance(101)
    for _ in range(9):
        commit(inner.hub)

    named: list[Any] = told(inner)
    assert sorted(ids) == sorted(i for _, each in named for i in each)
    assert 2 >= max(len(each) for _, each in named)


def test_issuer_learns_it(desks: Desks) -> None:
    """The issuer finds it among its own events, a reader as a state in its feed."""
    line = desks.publish(ISSUER, [READER], exp=desks.session(ISSUER).now() + 100)
    desks.clock.advance(101)
    commit(desks.hub)

    events = desks.rows(f"/v1/log/events?kind={KIND}", ISSUER)
    rows = desks.rows("/v1/bulletins", READER)

    assert line.id in events[0]["body"]
    assert (line.id, "expired") == (rows[-1]["id"], rows[-1]["state"])
