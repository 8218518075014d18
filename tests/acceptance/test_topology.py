"""The whole topology of docker-compose.yml as processes: nothing is lost when a replica dies."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import postgres
from tests.databases import Databases
from tests.postgres import Cluster
from tests.topology import REPLICAS, find_proxy, play, running, stop_in_order


@pytest.fixture
def database(databases: Databases) -> Iterator[str]:
    """An empty database: on the Postgres of this run, or on one for this test alone."""
    name = f"topology_{os.getpid()}"
    with tempfile.TemporaryDirectory(prefix="lintas-topology-") as folder:
        is_there = databases.is_postgres
        cluster = Cluster(os.environ[postgres.URL_NAME]) if is_there else postgres.start(Path(folder) / "cluster")
        yield cluster.create(name)
        cluster.drop(name)
        cluster.stop()


def test_topology(database: str, tmp_path: Path) -> None:
    """Two replicas behind a proxy serve three agencies while one after the other is killed, restarted, stopped."""
    proxy = find_proxy()
    if proxy is None:
        pytest.skip("no haproxy here, so the topology was not tried: apt install haproxy (`make check` does as root)")
    told: list[str] = []

    with running(tmp_path / "run", database, proxy, told.append) as topology:
        play(topology, told.append)
        stop_in_order(topology, told.append)

    assert {} == topology.processes
    assert "all consistent" in told[-1]
    assert {*REPLICAS} <= set(re.findall(r"POST 201 .* (hub-\d) ", topology.said("proxy", "out")))
