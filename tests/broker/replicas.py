"""Two replicas of one hub for tests: served over HTTP, on one Postgres."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest

from broker.fsck import check_everything
from broker.hub import Hub, open_hub
from broker.settings import read_settings
from broker.store import listening
from lintas.line import Line
from tests.broker.conftest import Desks, Template
from tests.conftest import ShiftedClock, served, wait_until


@dataclass
class Replicas:
    """Desks at each of two replicas."""

    first: Desks
    second: Desks

    @property
    def hubs(self) -> tuple[Hub, Hub]:
        """The hubs behind them."""
        return self.first.hub, self.second.hub

    def receipts(self, line: Line) -> set[bytes]:
        """Post a line that was accepted to both; return the receipts they give."""
        answers = [desks.post(line) for desks in (self.first, self.second)]
        assert [200, 200] == [answer.status_code for answer in answers]
        return {answer.content for answer in answers}

    def check_log(self) -> int:
        """Re-derive everything in the shared database; return the size of the log."""
        hub = self.first.hub
        return check_everything(hub.store, hub.signer.verifier, lambda _done, _all: None).size


@contextmanager
def served_pair(few: Template, folder: Path, clock: ShiftedClock, allow: str = "") -> Iterator[Replicas]:
    """Serve two replicas with data directories of their own: the same keys, the same database."""
    if not few.databases.is_postgres:
        pytest.skip("SQLite has one process; run with --postgres")
    one = few.copy(folder / "one")
    shutil.copytree(one, folder / "two")
    environ = {"LINTAS_WEBHOOK_ALLOW": allow}
    hubs = [open_hub(read_settings(environ, data=str(folder / name)), clock) for name in ("one", "two")]
    for hub in hubs:
        hub.start()
    with served(hubs[0]) as first_url, served(hubs[1]) as second_url:
        identity_of = few.identities.__getitem__
        found = Replicas(Desks(hubs[0], identity_of, clock, first_url), Desks(hubs[1], identity_of, clock, second_url))
        wait_until(lambda: all(hub.replica.is_hearing for hub in hubs))
        yield found
        found.first.close()
        found.second.close()
    for hub in hubs:
        hub.stop()


def mute(hub: Hub, patch: pytest.MonkeyPatch) -> None:
    """Lose on the way what this replica is told, without its noticing."""
    heard = hub.replica._listening
    assert heard is not None
    patch.setattr(heard, "_calls", replace(heard._calls, on_text=lambda _text: None))


def cut(hub: Hub) -> None:
    """End the connection on which this replica listens, from the side of the database."""
    heard = hub.replica._listening
    assert heard is not None
    with listening.connect(hub.store.url) as conn:
        found = conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s", (heard.name,)
        ).fetchall()
    assert [(True,)] == found


def deafen(hub: Hub, patch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Cut a replica off from what it is told, for as long as the function that is returned is not called."""
    connect = listening.connect
    is_off = [True]

    def refusing(url: object, name: str = "") -> object:
        heard = hub.replica._listening
        if is_off[0] and heard is not None and name == heard.name:
            raise psycopg.OperationalError("cut off")
        return connect(url, name)  # type: ignore[arg-type]

    patch.setattr(listening, "connect", refusing)
    cut(hub)
    # Sooner than a connection of which nothing is known would be given up.
    wait_until(lambda: not hub.replica.is_hearing, listening.BELIEVED_S / 2)

    def hear_again() -> None:
        is_off[0] = False

    return hear_again
