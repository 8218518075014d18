"""Fixtures shared by all tests: a real hub, served over real HTTP, with every simulated agency enrolled."""

from __future__ import annotations

import fcntl
import os
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, settings

from broker import exercise, outbound
from broker.app import build_app
from broker.connections import Connections
from broker.hub import Hub, open_hub
from broker.server import Server
from broker.settings import Settings, read_settings
from lintas import keys
from lintas.client import Client
from lintas.clock import now_us
from lintas.event import US_PER_S
from lintas.keys import Identity, load_identity
from lintas.state import State
from tests import postgres
from tests.databases import Databases
from tests.postgres import Cluster

DOZEN = (
    "id-police",
    "la-police",
    "mm-police",
    "my-cert",
    "my-police",
    "ph-cert",
    "sg-fiu",
    "sg-police",
    "th-cert",
    "th-police",
    "tl-customs",
    "vn-police",
)
"""The agencies of the exercised hub that most tests copy: what a client replays grows with every one."""

EXAMPLES = 60
"""Inputs of each kind that a property is tried with."""

_CLUSTER = pytest.StashKey[Cluster]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run choose the database, how much is tried, and how long faults go on."""
    parser.addoption("--fuzz", type=int, default=1, metavar="N", help="Try N times as many inputs of each kind.")
    parser.addoption("--kills", type=int, default=12, help="How often tests of faults kill each hub they may kill.")
    parser.addoption("--postgres", action="store_true", help="Give every hub of the tests a real Postgres database.")


def pytest_configure(config: pytest.Config) -> None:
    """Start one Postgres for the run, before any worker."""
    factor = config.getoption("--fuzz")
    settings.register_profile("run", settings.get_profile("lintas"), max_examples=EXAMPLES * factor)
    settings.load_profile("run")
    if config.getoption("--postgres") and not hasattr(config, "workerinput"):
        cluster = config.stash[_CLUSTER] = postgres.start(Path(tempfile.mkdtemp(prefix="lintas-postgres-")) / "cluster")
        os.environ[postgres.URL_NAME] = cluster.url


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On Postgres leave out what has no database."""
    if config.getoption("--postgres"):
        with_database = [each for each in items if _has_database(each)]
        config.hook.pytest_deselected(items=[each for each in items if not _has_database(each)])
        items[:] = with_database


def _has_database(item: pytest.Item) -> bool:
    return "databases" in getattr(item, "fixturenames", ())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Remove the databases of a test when its hubs are closed."""
    given = getattr(item, "funcargs", {})
    yield
    if "databases" in given and "tmp_path" in given:
        given["databases"].forget(given["tmp_path"])


def pytest_unconfigure(config: pytest.Config) -> None:
    """End it."""
    if _CLUSTER in config.stash:
        config.stash[_CLUSTER].stop()


# What a passphrase costs on purpose is paid once for each file, however many commands of a test unlock it. And a
# hundred authorities are read once for all connections that tests make past the clients, and for all that hubs make.
keys._derive = cache(keys._derive)
outbound._trusted = cache(outbound._trusted)
vars(httpx._transports.default)["create_ssl_context"] = cache(httpx.create_ssl_context)

settings.register_profile("lintas", deadline=None, max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("lintas")


async def enrol_few(hub: Hub, created: exercise.Created, agencies: Sequence[str]) -> list[Identity]:
    """Enrol a second administrator and these agencies at a started hub, with everything granted to them."""
    parties = exercise.Desks(hub, created, now_us)
    await parties.admit(exercise.SECOND_ADMIN)
    for agency in agencies:
        await parties.admit(agency)
        await parties.order("grant", {"agency": agency, "publish": ["*"], "read": ["*"]})
        await parties.order("ceiling", {"agency": agency, "tlp": "RED"})
    await parties.close()
    return parties.identities


class ShiftedClock:
    """The real time plus an offset that a test moves."""

    def __init__(self) -> None:
        self.offset_s = 0

    def __call__(self) -> int:
        """Return the shifted time in Unix microseconds."""
        return now_us() + self.offset_s * US_PER_S

    def advance(self, seconds: int) -> None:
        """Move the time; a negative number moves it back."""
        self.offset_s += seconds


@dataclass
class ExerciseHub:
    """A served copy of the exercised hub. `client` acts as any party; `hub` gives the parts behind the HTTP surface."""

    data: Path
    url: str
    hub: Hub
    clock: ShiftedClock
    passphrase: bytes
    settings: Settings
    _clients: dict[str, Client] = field(default_factory=dict)

    def identity(self, party: str) -> Identity:
        """Return the identity of a party, pointed at this hub."""
        return load_identity(exercise.identity_path(self.data, party), self.passphrase).with_url(self.url)

    def client(self, party: str) -> Client:
        """Return the client of a party, its directory up to date; the same one each time."""
        if party not in self._clients:
            identity = self.identity(party)
            state = State(self.data / f"{party.replace('/', '-')}.state", log_key=identity.hub.log_key)
            self._clients[party] = Client(identity, state, clock=self.clock)
            self._clients[party].sync()
        return self._clients[party]

    def order(self, act: str, **arguments: object) -> None:
        """Give an order signed by both administrators."""
        first = self.client("admin/registrar").session.sign_order(act, arguments)
        self.client("admin/auditor").countersign(first.raw)

    def get(self, path: str, party: str | None = None, **headers: str) -> httpx.Response:
        """Read a path, with a token of this party if one is named."""
        if party is not None:
            headers["Authorization"] = f"Bearer {self.client(party).token()}"
        return httpx.get(self.url + path, headers=headers, timeout=30)

    def post(self, path: str, body: bytes, media: str) -> httpx.Response:
        """Post bytes as they are."""
        return httpx.post(self.url + path, content=body, headers={"Content-Type": media}, timeout=60)

    def close(self) -> None:
        """Close the clients."""
        for client in self._clients.values():
            client.close()


@pytest.fixture(scope="session")
def databases(request: pytest.FixtureRequest) -> Databases:
    """The databases of this run."""
    return Databases(Cluster(os.environ[postgres.URL_NAME]) if request.config.getoption("--postgres") else None)


@pytest.fixture(scope="session")
def kills(request: pytest.FixtureRequest) -> int:
    """How often a hub is killed."""
    count: int = request.config.getoption("--kills")
    return count


Templates = Callable[[str, Collection[str] | None], Path]


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory, worker_id: str, databases: Databases) -> Templates:
    """Makes an exercised hub of a name with these agencies, or all, once a run and shared by all workers."""
    root = tmp_path_factory.getbasetemp() if worker_id == "master" else tmp_path_factory.getbasetemp().parent

    def made(name: str, agencies: Collection[str] | None) -> Path:
        data = root / name
        with (root / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (data / "passphrase.done").exists():
                exercise.run(databases.settings(data), progress=lambda _text: None, agencies=agencies)
                (data / "passphrase.done").touch()
        return data

    return made


@pytest.fixture(scope="session")
def exercise_template(templates: Templates) -> Path:
    """The data directory of an exercised hub with a dozen agencies; copy it, never serve it."""
    return templates("exercise-template", DOZEN)


@pytest.fixture(scope="session")
def region_template(templates: Templates) -> Path:
    """The data directory of an exercised hub with every agency, for what needs them all; three times as slow."""
    return templates("region-template", None)


@pytest.fixture
def clock() -> ShiftedClock:
    """The clock of the hub and its clients in this test."""
    return ShiftedClock()


@pytest.fixture
def exercise_data(exercise_template: Path, tmp_path: Path, databases: Databases) -> Path:
    """A private copy of the exercised hub's data directory."""
    return databases.copy(exercise_template, tmp_path / "hub")


@pytest.fixture
def exercise_hub(exercise_data: Path, clock: ShiftedClock) -> Iterator[ExerciseHub]:
    """A private copy of the exercised hub, served over HTTP on a loopback port."""
    hub_settings = read_settings({}, data=str(exercise_data))
    hub = open_hub(hub_settings, clock)
    hub.start()
    with served(hub) as url:
        passphrase = (exercise_data / "passphrase").read_bytes().strip()
        found = ExerciseHub(exercise_data, url, hub, clock, passphrase, hub_settings)
        try:
            yield found
        finally:
            found.close()
    hub.stop()


class served:  # noqa: N801 - used as a function
    """Serve a started hub over HTTP, or HTTPS, from a thread of this process; `options` are the server's."""

    def __init__(self, hub: Hub, connections: Connections | None = None, **options: Any) -> None:
        self.app = build_app(hub)
        self._server = Server(hub, self.app, connections, host="127.0.0.1", port=0, log_level="error", **options)
        self._scheme = "https" if "ssl_certfile" in options else "http"
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def __enter__(self) -> str:
        """Start; return the URL."""
        self._thread.start()
        wait_until(lambda: self._server.started)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        return f"{self._scheme}://127.0.0.1:{port}"

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._server.should_exit = True
        self._thread.join()


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for a condition; fail when it does not come about."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("the condition did not come about in time")
        time.sleep(0.01)
