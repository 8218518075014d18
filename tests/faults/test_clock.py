"""A clock that runs backwards or jumps ahead: time rises along the log, honest partners are let in, nothing wedges."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lintas.clock import now_us
from lintas.session import Session
from lintas.state import State
from tests.broker.conftest import Desks, Template, sign_bulletin
from tests.conftest import ShiftedClock
from tests.faults.plays import ISSUER, READER, Stage
from tests.faults.test_table import check_whole, opened

HOUR_S = 3_600


class Partner:
    """An agency whose own clock is right."""

    def __init__(self, few: Template, party: str) -> None:
        identity = few.identities[party]
        self.session = Session(identity, State(":memory:", log_key=identity.hub.log_key), now_us)


@pytest.fixture
def stage(few: Template, tmp_path: Path) -> Iterator[Stage]:
    """A started hub whose clock a test moves."""
    with opened(few, few.copy(tmp_path / "hub"), ShiftedClock()) as (found, _):
        yield found
        check_whole(found.desks.hub)


def times(desks: Desks) -> list[int]:
    """Return the times of the log in its order."""
    return [row.time for row in reversed(desks.events())]


def publish(stage: Stage, partner: Partner) -> int:
    """Publish as a partner whose clock is right; return the status."""
    line = sign_bulletin(partner.session, [READER])
    return stage.world.send(stage.post(line)).status


def read(stage: Stage, partner: Partner) -> int:
    """Read the feed with a token of such a partner; return the status."""
    headers = {"Authorization": f"Bearer {partner.session.token()}"}
    return stage.world.send(type(stage.get("/", READER))("GET", "/v1/bulletins", headers=headers)).status


@pytest.mark.parametrize("hours", [-5, 5])
def test_clock_that_jumps_and_is_set_right(stage: Stage, few: Template, hours: int) -> None:
    """While the clock is hours off lines are still taken; set right, everything is as before, and time rose."""
    issuer, recipient = Partner(few, ISSUER), Partner(few, READER)
    statuses = [publish(stage, issuer)]
    stage.desks.clock.advance(hours * HOUR_S)
    statuses.append(publish(stage, issuer))
    wrong = read(stage, recipient)
    stage.desks.clock.advance(-hours * HOUR_S)
    statuses += [publish(stage, issuer), read(stage, recipient)]
    found = times(stage.desks)

    # A line is good for a day, and judged by the time that the log has reached; a token is good for minutes.
    assert [201, 201, 201, 200] == statuses
    assert 401 == wrong
    assert sorted(set(found)) == found


def test_backwards_over_a_restart(stage: Stage, few: Template) -> None:
    """A clock that was set back dates nothing before what the log has, whoever asks."""
    stage.published()
    newest = times(stage.desks)[-1]
    stage.desks.clock.advance(-5 * HOUR_S)
    stage.desks.hub.writer._forget()
    line = sign_bulletin(Partner(few, ISSUER).session, [READER])

    answer = stage.world.send(stage.post(line))

    [event] = stage.desks.events(kind="bulletin.accepted", object=line.id)
    assert (201, True) == (answer.status, newest < event.time < newest + 1_000_000)
