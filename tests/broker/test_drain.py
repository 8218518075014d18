"""Hubs that are stopped and started again while clients publish and follow: nothing acknowledged is lost.

Real processes, real connections. Two replicas on one Postgres stand behind a proxy that asks `/readyz`, as operators
are told to; a hub on SQLite is alone, and its clients wait for it.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

import httpx
import pytest

from broker.hub import read_log_key
from broker.settings import read_settings
from broker.store import lines
from broker.store.engine import Store
from lintas.client import Client
from lintas.draft import Draft, read_draft
from lintas.errors import HubUnreachable, Refusal
from lintas.header import BULLETIN
from lintas.keys import Identity
from lintas.receipt import check_receipt, parse_receipt
from lintas.session import Session
from lintas.state import State
from lintas.wire import Published
from tests.broker.conftest import Template
from tests.conftest import wait_until
from tests.databases import Databases
from tests.processes import free_port, start

PUBLISHERS = ("my-police", "th-cert", "vn-police")
READER = "sg-fiu"


def run(data: Path, port: int, *, drain_s: int = 0) -> BaseProcess:
    """Start a hub process and wait until it serves."""
    settings = data / "settings.toml"
    kept = settings.read_text() if settings.exists() else ""
    if "drain_s" not in kept:
        settings.write_text(f"{kept}drain_s = {drain_s}\n")
    return start(data, port)


def end(process: BaseProcess, seconds: float = 40) -> int | None:
    """Wait for the end of a process; return its exit code."""
    process.join(seconds)
    return process.exitcode


def tell(process: BaseProcess, sig: int) -> None:
    """Send a signal."""
    assert process.pid is not None
    os.kill(process.pid, sig)


def ready(port: int) -> int:
    """Return what `/readyz` answers, 0 for nothing."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code
    except httpx.TransportError:
        return 0


@dataclass
class Publisher:
    """An agency that publishes through the client library until told to stop, and sends again what its outbox holds."""

    client: Client
    acknowledged: list[str] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    away: int = 0

    def run(self, stop: threading.Event) -> None:
        """Publish one bulletin after another."""
        number = 0
        while not stop.is_set():
            number += 1
            payload = {"title": f"FICTIONAL {number} of {self.client.party}", "summary": "SIMULATED."}
            self._send(lambda payload=payload: [self.client.publish(draft(payload))], stop)  # type: ignore[misc]

    def _send(self, send: Callable[[], Sequence[object]], stop: threading.Event) -> None:
        while True:
            try:
                for sent in send():
                    if isinstance(sent, Published):
                        self.acknowledged.append(sent.id)
                    elif isinstance(sent, Refusal):
                        self.refused.append(sent)
            except HubUnreachable:
                # Signed lines stay in the outbox: nothing is signed twice, nothing is given up.
                self.away += 1
                send = self.client.flush
            else:
                return


def draft(payload: dict[str, str]) -> Draft:
    """Return a draft for the reader."""
    members = {"kind": "alert", "topic": "cyber.scam", "tlp": "AMBER", "urgency": "routine", "release_to": [READER]}
    return read_draft(members | {"valid_for": "P7D", "payload": payload})


@contextmanager
def publishing(template: Template, url: str, scratch: Path) -> Iterator[list[Publisher]]:
    """Let every publisher publish at this address; at the end wait until each has ended what it began."""
    scratch.mkdir()
    found = [Publisher(client_of(template.identities[party], url, scratch)) for party in PUBLISHERS]
    stop = threading.Event()
    threads = [threading.Thread(target=each.run, args=(stop,), daemon=True) for each in found]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
        for each in found:
            each.client.close()
    assert not any(thread.is_alive() for thread in threads)


def client_of(identity: Identity, url: str, scratch: Path) -> Client:
    """Return a client of this party, synchronised."""
    state = State(scratch / f"{identity.party}.state", log_key=identity.hub.log_key)
    client = Client(identity.with_url(url), state)
    client.sync()
    return client


def stored(data: Path, ids: Sequence[str]) -> set[str]:
    """Return which of these lines the hub's database holds."""
    store = Store(read_settings({}, data=str(data)).database)
    with store.read() as conn:
        found = set(lines.by_ids(conn, set(ids)))
    store.close()
    return found


def check_kept(data: Path, publishers: Sequence[Publisher]) -> None:
    """Every acknowledged line is stored, none was refused, none is left in an outbox."""
    ids = [line_id for each in publishers for line_id in each.acknowledged]
    assert len(ids) > len(publishers)
    assert len(ids) == len(set(ids))
    assert set(ids) == stored(data, ids)
    assert [] == [refusal for each in publishers for refusal in each.refused]


def test_leaving_in_order(few: Template, tmp_path: Path) -> None:
    """A hub told to stop says so at once, answers what is under way, ends streams when its time is over, and exits."""
    data, port = few.copy(tmp_path / "hub"), free_port()
    process = run(data, port, drain_s=1)
    session = Session(few.identities["my-police"], State(":memory:", log_key=few.identities["my-police"].hub.log_key))
    reader = client_of(few.identities[READER], f"http://127.0.0.1:{port}", tmp_path)
    raw = session.sign_bulletin(draft({"title": "FICTIONAL", "summary": "SIMULATED."}), release_to=[READER]).raw
    headers = {"Authorization": f"Bearer {reader.token()}", "Accept": "text/event-stream"}
    half = socket.create_connection(("127.0.0.1", port))
    head = f"POST /v1/bulletins HTTP/1.1\r\nHost: x\r\nContent-Type: application/{BULLETIN}\r\n"
    half.sendall(head.encode() + b"Content-Length: %d\r\n\r\n" % len(raw) + raw[:50])
    with (
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as http,
        http.stream("GET", "/v1/bulletins", headers=headers) as stream,
    ):
        chunks = stream.iter_text()
        next(chunks)
        tell(process, signal.SIGTERM)
        wait_until(lambda: ready(port) == 503, 1)
        during = http.get("/healthz")
        time.sleep(1.2)
        half.sendall(raw[50:])
        answer = b"".join(iter(lambda: half.recv(65_536), b""))
        rest = "".join(chunks)
    code = end(process)
    half.close()
    reader.close()

    assert (200, "close") == (during.status_code, during.headers["connection"])
    assert answer.startswith(b"HTTP/1.1 201")
    assert "event: end\ndata: stopping" in rest
    assert (0, 0) == (code, ready(port))
    assert not (data / "hub.db-wal").exists()
    receipt = parse_receipt(answer.partition(b"\r\n\r\n")[2])
    key = read_log_key(data / "log.key").verifier
    assert check_receipt(receipt, line_id=answer.split(b'etag: "')[1][:43].decode(), origin=key.name, key=key).seq > 0


def test_second_signal(few: Template, tmp_path: Path) -> None:
    """A second signal ends the hub at once, whatever is under way."""
    data, port = few.copy(tmp_path / "hub"), free_port()
    process = run(data, port, drain_s=300)
    tell(process, signal.SIGTERM)
    wait_until(lambda: ready(port) == 503, 5)
    tell(process, signal.SIGTERM)

    assert -signal.SIGTERM == end(process, 5)


def test_interrupt_does_not_wait(few: Template, tmp_path: Path) -> None:
    """An interrupt at a terminal leaves out the time in which proxies look, and exits with 130."""
    data, port = few.copy(tmp_path / "hub"), free_port()
    command = [sys.executable, "-m", "broker", "serve", "--data", str(data), "--port", str(port)]
    # As at a terminal: a shell's jobs in the background are started with interrupts ignored.
    command = ["env", "--default-signal=INT", *command]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env={**os.environ, "LINTAS_DRAIN_S": "300"})
    wait_until(lambda: ready(port) == 200, 60)
    process.send_signal(signal.SIGINT)

    assert 130 == process.wait(20)


def test_restart_of_one_hub(few: Template, tmp_path: Path) -> None:
    """A hub that is alone is restarted while agencies publish: each gets every line through, and none is lost."""
    data, port = few.copy(tmp_path / "hub"), free_port()
    process = run(data, port)
    with publishing(few, f"http://127.0.0.1:{port}", tmp_path / "clients") as publishers:
        wait_until(lambda: all(len(each.acknowledged) >= 3 for each in publishers))
        process.terminate()
        assert end(process) == 0
        before = [len(each.acknowledged) for each in publishers]
        process = run(data, port)
        wait_until(
            lambda: all(len(each.acknowledged) > had + 2 for each, had in zip(publishers, before, strict=True)), 40
        )
    process.terminate()
    end(process)

    check_kept(data, publishers)


class Proxy:
    """Hands each connection to a hub whose `/readyz` said yes a moment ago, like the proxy of a real pair."""

    CHECK_S = 0.1

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = ports
        self.ready: list[int] = []
        self.refused = 0
        self._stop = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._turn = 0
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        for work in (self._look, self._accept):
            threading.Thread(target=work, daemon=True).start()

    def _look(self) -> None:
        while not self._stop.is_set():
            self.ready = [port for port in self._ports if ready(port) == 200]
            self._stop.wait(self.CHECK_S)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._hand_on, args=(client,), daemon=True).start()

    def _hand_on(self, client: socket.socket) -> None:
        try:
            self._turn += 1
            hub = socket.create_connection(("127.0.0.1", self.ready[self._turn % len(self.ready)]))
        except (OSError, IndexError, ZeroDivisionError):
            self.refused += 1
            client.close()
            return
        back = threading.Thread(target=_pump, args=(hub, client), daemon=True)
        back.start()
        _pump(client, hub)
        back.join()
        client.close()
        hub.close()

    def close(self) -> None:
        """Stop."""
        self._stop.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def test_rolling_upgrade(few: Template, databases: Databases, tmp_path: Path) -> None:
    """Two replicas are replaced one after the other behind a proxy: no client ever finds the hub away."""
    if not databases.is_postgres:
        pytest.skip("replicas share a Postgres: run with --postgres")
    first = few.copy(tmp_path / "first")
    second = tmp_path / "second"
    shutil.copytree(first, second)
    ports = {first: free_port(), second: free_port()}
    running = {data: run(data, port, drain_s=1) for data, port in ports.items()}
    proxy = Proxy(list(ports.values()))
    wait_until(lambda: len(proxy.ready) == 2)
    with publishing(few, proxy.url, tmp_path / "clients") as publishers:
        for data, port in ports.items():
            before = [len(each.acknowledged) for each in publishers]
            running[data].terminate()
            assert end(running[data]) == 0
            running[data] = run(data, port, drain_s=1)
            wait_until(lambda: len(proxy.ready) == 2)
            wait_until(
                lambda before=before: all(  # type: ignore[misc]
                    len(each.acknowledged) > had for each, had in zip(publishers, before, strict=True)
                )
            )
    for process in running.values():
        process.terminate()
    for process in running.values():
        end(process)
    proxy.close()

    assert [0] * len(publishers) == [each.away for each in publishers]
    check_kept(first, publishers)
