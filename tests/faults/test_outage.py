"""Postgres cut off, crashed, restarted in a storm; replicas on it killed: nothing acknowledged is lost."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.databases import Databases
from tests.postgres import Cluster, start_own
from tests.soak import Figures, Poster, Replicas, count, make_replicas, run_clients, settle, soak

SECONDS_A_KILL = 0.5


@pytest.fixture
def cluster(databases: Databases) -> Iterator[Cluster]:
    """A Postgres that this test alone uses, and may stop."""
    if not databases.is_postgres:
        pytest.skip("about Postgres; run with --postgres")
    with tempfile.TemporaryDirectory(prefix="lintas-outage-") as folder:
        found = start_own(Path(folder) / "cluster")
        yield found
        found.stop()


def cut(cluster: Cluster) -> int:
    """End every connection to the hub's database; return how many there were."""
    with psycopg.connect(cluster.url, autocommit=True) as conn:
        rows = conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'outage'")
        return len(rows.fetchall())


def storm(cluster: Cluster, folder: Path) -> tuple[Figures, Replicas, list[Poster]]:
    """Post and follow while connections are cut, Postgres crashes, Postgres is restarted."""
    replicas, identities, settings = make_replicas(folder, cluster.create("outage"), 1)
    replicas.start()
    [process] = replicas.processes
    try:
        posters, followers, *ends = run_clients(replicas, identities, pause_s=0.01)
        for _ in range(4):
            time.sleep(0.3)
            assert cut(cluster)
        for how in (signal.SIGQUIT, signal.SIGINT):
            time.sleep(0.5)
            cluster.stop(how)
            time.sleep(0.3)
            cluster.run()
        time.sleep(0.5)
        settle(posters, followers, *ends)
        assert process.is_alive()
    finally:
        replicas.stop()
    return count(settings, posters, followers, 0), replicas, posters


def test_postgres_goes_and_comes(cluster: Cluster, tmp_path: Path) -> None:
    """The hub comes back by itself: 503 with Retry-After meanwhile, then every acknowledged line is there once."""
    figures, _, posters = storm(cluster, tmp_path)

    assert figures.is_good, figures
    assert {(503, "1")} == {refusal for each in posters for refusal in each.refused}
    assert 2 * len(posters) < figures.acknowledged


def test_replicas_killed(databases: Databases, tmp_path: Path, kills: int) -> None:
    """Replicas killed in turn lose nothing that was acknowledged, and write no history twice."""
    if not databases.is_postgres:
        pytest.skip("SQLite has one process; run with --postgres")
    url = databases.url(tmp_path / "database")

    figures = soak(
        tmp_path / "hub",
        url,
        seconds=kills * SECONDS_A_KILL,
        kill_every_s=SECONDS_A_KILL,
        pause_s=0.01,
        say=lambda _text: None,
    )

    assert figures.is_good, figures
    assert 2 <= figures.kills
