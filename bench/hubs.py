"""Hub processes for one measurement: a fresh copy of a hub, served by the command that operators use.

On SQLite one process serves it, on Postgres one or several replicas. The Postgres is the tests' own way to one, with
durable commits.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from sqlalchemy import text

from broker.backup import transfer
from broker.hub import read_log_key
from broker.settings import read_settings
from broker.store.engine import Store
from tests.postgres import Cluster, start

START_S_MAX = 60.0
STOP_S_MAX = 30.0
HOST = "127.0.0.1"
SQLITE, POSTGRES = "sqlite", "postgres"
DURABLE = ("max_connections=200", "listen_addresses=", "shared_buffers=256MB")


@dataclass(slots=True)
class Place:
    """Where the hub that is copied stands, where signed lines and copies go, which Postgres serves."""

    template: Path
    scratch: Path
    cluster: Cluster | None = None
    _copied: set[Path] = field(default_factory=set)

    @property
    def lines(self) -> Path:
        """The lines that are posted."""
        return self.scratch / "lines"

    @property
    def pulled_lines(self) -> Path:
        """The lines that are posted before pages are pulled."""
        return self.scratch / "pulled-lines"

    def copy(self, template: Path, data: Path, database: str) -> None:
        """Copy a hub that is not open; on Postgres its rows go into a database of their own."""
        is_file = database == SQLITE
        shutil.copytree(template, data, ignore=None if is_file else shutil.ignore_patterns("hub.db*"))
        if is_file:
            return
        cluster, moved = self._cluster(), _name(template)
        if template not in self._copied:
            _move(template, cluster.create(moved))
            self._copied.add(template)
        cluster.drop(_name(data))
        (data / "settings.toml").write_text(f"database = {cluster.create(_name(data), template=moved)!r}\n")

    def clear(self, data: Path) -> None:
        """Remove a copy with its database."""
        if (data / "settings.toml").exists():
            self._cluster().drop(_name(data))
        shutil.rmtree(data, ignore_errors=True)

    def pids(self, database: str) -> tuple[int, ...]:
        """Return the processes of the database, as far as they are ours."""
        process = self._cluster().process if database == POSTGRES else None
        return () if process is None else (process.pid,)

    def close(self) -> None:
        """Stop what was started."""
        if self.cluster is not None:
            for template in self._copied:
                self.cluster.drop(_name(template))
            self.cluster.stop()

    def _cluster(self) -> Cluster:
        if self.cluster is None:
            self.cluster = start(self.scratch / "cluster", DURABLE)
        return self.cluster


@dataclass(frozen=True, slots=True)
class Served:
    """Hub processes that are ready; `pids` are theirs with the database's."""

    data: Path
    ports: tuple[int, ...]
    pids: tuple[int, ...]


@contextmanager
def serve_copy(
    place: Place, data: Path, *, database: str = SQLITE, workers: int = 1, rate_factor: int = 0
) -> Iterator[Served]:
    """Serve a copy of a hub; end the processes at the end, and leave its data for `count_stored`.

    Agencies may ask what they like, unless a `rate_factor` is given.
    """
    place.copy(place.template, data, database)
    with serve(place, data, database=database, workers=workers, rate_factor=rate_factor) as served:
        yield served


@contextmanager
def serve(
    place: Place, data: Path, *, database: str = SQLITE, workers: int = 1, rate_factor: int = 0
) -> Iterator[Served]:
    """Serve the hub at a data directory; further workers are replicas with a copy of it and the same database."""
    with ExitStack() as stack:
        found = [stack.enter_context(_serve(_replica(data, number), rate_factor)) for number in range(workers)]
        yield Served(data, tuple(port for port, _ in found), (*(pid for _, pid in found), *place.pids(database)))


def count_stored(data: Path) -> tuple[int, int]:
    """Return how many bulletins a stopped hub holds, how many sendings it recorded: what it told, from the outside."""
    with closing(Store(read_settings({}, data=str(data)).database)) as store, store.read() as conn:
        stored = conn.scalar(text("SELECT count(*) FROM line WHERE kind IS NOT NULL"))
        sent = conn.scalar(text("SELECT count(*) FROM event WHERE kind = 'bulletin.sent'"))
    return int(stored or 0), int(sent or 0)


def _replica(data: Path, number: int) -> Path:
    if number == 0:
        return data
    other = data.with_name(f"{data.name}-{number}")
    shutil.rmtree(other, ignore_errors=True)
    return Path(shutil.copytree(data, other))


@contextmanager
def _serve(data: Path, rate_factor: int) -> Iterator[tuple[int, int]]:
    port = free_port()
    command = [sys.executable, "-m", "broker", "serve", "--data", str(data), "--host", HOST, "--port", str(port)]
    with (data / "serve.log").open("wb") as log:
        environ = {**os.environ, "LINTAS_RATE_FACTOR": str(rate_factor)}
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environ)
    try:
        _wait_ready(process, port, data / "serve.log")
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(STOP_S_MAX)


def _move(template: Path, url: str) -> None:
    settings = read_settings({}, data=str(template))
    with closing(Store(settings.database)) as store:
        transfer(store, url, read_log_key(settings.log_key_file).verifier, lambda _table, _rows: None)


def _name(data: Path) -> str:
    return f"bench_{data.name}".replace("-", "_")


def _wait_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + START_S_MAX
    while time.monotonic() < end and process.poll() is None:
        try:
            with urlopen(f"http://{HOST}:{port}/readyz", timeout=1):
                return
        except (URLError, OSError):
            time.sleep(0.05)
    raise RuntimeError(f"The hub did not become ready: {log.read_text()[-1000:]}")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with closing(socket.socket()) as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
