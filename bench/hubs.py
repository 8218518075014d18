"""A hub process for one measurement: a fresh copy of an exercised hub, served by the command operators use."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

START_S_MAX = 30.0
HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Served:
    """A hub process that is ready."""

    data: Path
    port: int
    pid: int


@contextmanager
def serve_copy(template: Path, data: Path, **settings: str) -> Iterator[Served]:
    """Serve a copy of a hub's data directory; end the process at the end, and leave its data for `count_stored`.

    Agencies may ask what they like, unless `settings` say otherwise.
    """
    shutil.copytree(template, data)
    port = _free_port()
    command = [sys.executable, "-m", "broker", "serve", "--data", str(data), "--host", HOST, "--port", str(port)]
    environment = os.environ | {"LINTAS_RATE_FACTOR": "0"} | settings
    with (data / "serve.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        _wait_ready(process, port, data / "serve.log")
        yield Served(data, port, process.pid)
    finally:
        process.terminate()
        process.wait()


def count_stored(data: Path) -> tuple[int, int]:
    """Return how many bulletins a stopped hub holds, how many sendings it recorded: what it told, from the outside."""
    with closing(sqlite3.connect(f"file:{data / 'hub.db'}?mode=ro", uri=True)) as database:
        (stored,) = database.execute("SELECT count(*) FROM line WHERE kind IS NOT NULL").fetchone()
        (sent,) = database.execute("SELECT count(*) FROM event WHERE kind = 'bulletin.sent'").fetchone()
    return stored, sent


def _wait_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + START_S_MAX
    while time.monotonic() < end and process.poll() is None:
        try:
            with urlopen(f"http://{HOST}:{port}/readyz", timeout=1):
                return
        except (URLError, OSError):
            time.sleep(0.05)
    raise RuntimeError(f"The hub did not become ready: {log.read_text()[-1000:]}")


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
