"""The topology of docker-compose.yml on one machine: database, migration, replicas, proxy, agencies as processes.

``python -m tests.topology`` (`make topology`) plays it through and shows what happens; a test plays the same. The proxy
runs with the very file that the containers use, over TLS; each agency is the command `lintas follow`. Everything is
bounded in time, stopped by its own process id.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO

import click
import httpx

from broker import exercise
from broker.hub import open_hub
from broker.server import ANSWER_S
from broker.settings import read_settings
from deploy.make_secrets import make_certificate
from lintas.client import Client
from lintas.draft import Draft, read_draft
from lintas.keys import save_identity
from tests import postgres
from tests.conftest import enrol_few, wait_until
from tests.processes import free_port

ROOT = Path(__file__).resolve().parents[1]
CONFIGURATION = ROOT / "deploy" / "haproxy.cfg"
AGENCIES = ("my-police", "sg-fiu", "th-police")
REPLICAS = ("hub-1", "hub-2")
ORIGIN = "topology.lintas.example"
START_S_MAX = 30.0
HEARD_S_MAX = 30.0
STOP_S_MAX = ANSWER_S + 5
IN_FLIGHT = 20
"""Bulletins that are on their way while a replica is killed."""

Tell = Callable[[str], None]


def find_proxy() -> str | None:
    """Return where HAProxy is; Debian keeps it where only root looks."""
    return shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")


@dataclass
class Topology:
    """Everything that runs. Processes are known by the names that the compose file gives its services."""

    folder: Path
    database: str
    proxy: str
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ports = {name: free_port() for name in (*REPLICAS, "proxy", "health")}
        self.passphrase = b""
        self.ca = self.folder / "ca.pem"

    @property
    def url(self) -> str:
        """Where partners reach the hub."""
        return f"https://127.0.0.1:{self.ports['proxy']}"

    def enrol(self) -> None:
        """Make the hub, with two administrators and the agencies; give the second replica the keys."""
        first, second = (self.folder / name for name in REPLICAS)
        for data in (first, second):
            data.mkdir(parents=True)
            (data / "settings.toml").write_text(f"database = {self.database!r}\n")
        settings = read_settings({}, data=str(first))
        self.passphrase = exercise.make_passphrase(first / "passphrase")
        created = exercise.create(settings, origin=ORIGIN, keep=lambda _identity: None)
        hub = open_hub(settings)
        hub.start()
        try:
            identities = asyncio.run(enrol_few(hub, created, AGENCIES))
        finally:
            hub.stop()
        for identity in identities:
            save_identity(exercise.identity_path(self.folder, identity.party), identity, self.passphrase)
        for name in ("log.key", "hub.secret"):
            shutil.copy2(first / name, second / name)

    def migrate(self) -> None:
        """Run the migration job twice at once, as an impatient operator would."""
        jobs = [self._run(f"migrate-{name}", "broker", "migrate", "--data", self.folder / name) for name in REPLICAS]
        ended = [job.wait(START_S_MAX) for job in jobs]
        assert [0, 0] == ended, self.said("migrate-hub-1") + self.said("migrate-hub-2")

    def start_replicas(self, *names: str) -> None:
        """Serve these replicas until they are ready."""
        for name in names:
            place = ("--data", str(self.folder / name), "--port", str(self.ports[name]))
            self._start(name, [sys.executable, "-m", "broker", "serve", *place], {"LINTAS_TRUSTED_PROXY": "127.0.0.1"})
        for name in names:
            self._until(name, partial(self._answers, self.ports[name]))

    def start_proxy(self) -> None:
        """Put the proxy in front of the replicas, with a certificate of its own."""
        authority, own = make_certificate(("127.0.0.1",))
        certificate = self.folder / "proxy.pem"
        self.ca.write_bytes(authority)
        certificate.write_bytes(own)
        places = {
            "LINTAS_PROXY_LISTEN": f"127.0.0.1:{self.ports['proxy']}",
            "LINTAS_PROXY_CERTIFICATE": str(certificate),
            "LINTAS_PROXY_HEALTH": f"127.0.0.1:{self.ports['health']}",
            "LINTAS_HUB_1": f"127.0.0.1:{self.ports['hub-1']}",
            "LINTAS_HUB_2": f"127.0.0.1:{self.ports['hub-2']}",
        }
        self._start("proxy", [self.proxy, "-db", "-f", str(CONFIGURATION)], places)
        self._until("proxy", partial(self._answers, self.ports["health"]))

    def start_agency(self, agency: str) -> None:
        """Let an agency follow its feed through the proxy."""
        environment = {
            "LINTAS_HUB": self.url,
            "LINTAS_CA": str(self.ca),
            "LINTAS_IDENTITY": str(self._identity(agency)),
            "LINTAS_PASSPHRASE_FILE": str(self.folder / "hub-1" / "passphrase"),
        }
        self._start(agency, [str(Path(sys.executable).with_name("lintas")), "follow", "--json"], environment)

    @contextmanager
    def client(self, agency: str) -> Iterator[Client]:
        """Act as an agency through the proxy, beside its follower."""
        with Client.open(self._identity(agency), self.passphrase, hub=self.url, ca=self.ca) as client:
            client.sync()
            yield client

    def received(self, agency: str) -> list[str]:
        """Return the ids of what an agency's follower has shown, in its order."""
        return [
            json.loads(line)["id"] for line in self.said(agency, "out").splitlines(keepends=True) if line[-1] == "\n"
        ]

    def wait_received(self, agency: str, ids: set[str]) -> None:
        """Wait until an agency's follower has shown exactly these, each once."""
        self._until(agency, lambda: len(self.received(agency)) >= len(ids), HEARD_S_MAX)
        assert sorted(ids) == sorted(self.received(agency))

    def said(self, name: str, stream: str = "err") -> str:
        """Return what a process wrote."""
        return (self.folder / f"{name}.{stream}").read_text(errors="replace")

    def kill(self, name: str) -> None:
        """Kill a process as a power cut would."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def stop(self, name: str) -> int:
        """End a process as an operator would; return its exit code."""
        process = self.processes[name]
        process.terminate()
        code = process.wait(STOP_S_MAX)
        del self.processes[name]
        return code

    def stop_all(self) -> None:
        """End whatever still runs, agencies first."""
        for name in reversed(list(self.processes)):
            try:
                self.stop(name)
            except subprocess.TimeoutExpired:
                self.kill(name)

    def check_log(self) -> str:
        """Derive everything in the database again; return what fsck says."""
        job = self._run("fsck", "broker", "fsck", "--data", self.folder / "hub-2")
        assert 0 == job.wait(START_S_MAX), self.said("fsck")
        return self.said("fsck", "out")

    def _identity(self, agency: str) -> Path:
        return exercise.identity_path(self.folder, agency)

    def _run(self, name: str, module: str, *arguments: str | Path) -> subprocess.Popen[bytes]:
        return self._start(name, [sys.executable, "-m", module, *map(str, arguments)], {})

    def _start(self, name: str, command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
        with self._file(name, "out") as out, self._file(name, "err") as err:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=ROOT, env={**os.environ, **environment}
            )
        self.processes[name] = process
        return process

    def _file(self, name: str, stream: str) -> IO[bytes]:
        return (self.folder / f"{name}.{stream}").open("ab")

    @staticmethod
    def _answers(port: int) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def _until(self, name: str, condition: Callable[[], bool], seconds: float = START_S_MAX) -> None:
        process = self.processes[name]

        def is_so() -> bool:
            assert process.poll() is None, f"{name} ended: {self.said(name)[-2000:]}"
            return condition()

        wait_until(is_so, seconds)


def draft(title: str) -> Draft:
    """Write a fictional alert to every agency here."""
    return read_draft(
        {
            "kind": "alert",
            "topic": "cyber.scam",
            "tlp": "AMBER",
            "urgency": "routine",
            "release_to": list(AGENCIES),
            "valid_for": "P7D",
            "payload": {"title": title, "summary": "FICTIONAL."},
        }
    )


@contextmanager
def running(folder: Path, database: str, proxy: str, tell: Tell) -> Iterator[Topology]:
    """Start everything in the order of the compose file; stop everything at the end."""
    topology = Topology(folder, database, proxy)
    with ExitStack() as stack:
        stack.callback(topology.stop_all)
        topology.enrol()
        topology.migrate()
        tell("two administrators and three agencies are enrolled; migrated, by two jobs at once")
        topology.start_replicas(*REPLICAS)
        topology.start_proxy()
        tell(f"two replicas on one database behind {topology.url}")
        for agency in AGENCIES:
            topology.start_agency(agency)
        yield topology


def play(topology: Topology, tell: Tell) -> None:
    """Publish through both replicas, kill one in the middle of posts, bring it back, stop the other, publish on."""
    issued: dict[str, str] = {}

    def publish(agency: str, *titles: str) -> None:
        with topology.client(agency) as client:
            for title in titles:
                issued[client.publish(draft(title)).id] = agency

    def show(text: str) -> None:
        for agency in AGENCIES:
            topology.wait_received(agency, {each for each, issuer in issued.items() if issuer != agency})
        tell(f"{text}: {', '.join(f'{agency} has {len(topology.received(agency))}' for agency in AGENCIES)}")

    publish("my-police", "both replicas serve")
    show("both replicas serve")
    busy = threading.Thread(target=publish, args=("sg-fiu", *(f"in flight {each}" for each in range(IN_FLIGHT))))
    busy.start()
    wait_until(lambda: len(issued) > IN_FLIGHT // 3)
    topology.kill("hub-1")
    busy.join(HEARD_S_MAX)
    assert 1 + IN_FLIGHT == len(issued)
    show(f"one was killed in the middle of {IN_FLIGHT} posts")
    topology.start_replicas("hub-1")
    assert 0 == topology.stop("hub-2")
    publish("th-police", "the one that came back serves")
    show("it came back, the other was stopped")
    with topology.client("my-police") as client:
        readers = client.readers(next(iter(issued)))
    tell(f"as my-police sees its bulletin: {', '.join(f'{each.agency} {each.progress}' for each in readers)}")
    assert {"sg-fiu", "th-police"} == {each.agency for each in readers if each.progress in ("sent", "received")}


def stop_in_order(topology: Topology, tell: Tell) -> None:
    """Stop everything as an operator would; check what it leaves."""
    for agency in AGENCIES:
        topology.stop(agency)
    assert 0 == topology.stop("hub-1")
    topology.stop("proxy")
    tell(f"stopped in order; {topology.check_log().splitlines()[0]}")


def main() -> None:
    """Play it on a database made for it; exit 1 when something did not hold."""
    proxy = find_proxy()
    if proxy is None:
        raise SystemExit("There is no haproxy on this machine. On Debian: apt install haproxy")
    folder = Path(tempfile.mkdtemp(prefix="lintas-topology-"))
    began = time.monotonic()

    def tell(text: str) -> None:
        click.echo(f"{time.monotonic() - began:5.1f} s  {text}")

    # Removed when all held; otherwise it has what every process wrote.
    tell(f"everything is in {folder}")
    cluster = postgres.start(folder / "postgres")
    name = f"topology_{os.getpid()}"
    try:
        with running(folder / "run", cluster.create(name), proxy, tell) as topology:
            play(topology, tell)
            stop_in_order(topology, tell)
    finally:
        cluster.drop(name)
        cluster.stop()
    shutil.rmtree(folder)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    main()
