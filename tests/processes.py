"""Processes of tests: started from a warm fork, killed at will."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Engine, event

from broker import epoch
from broker.cli import cli
from broker.settings import read_settings
from tests.conftest import wait_until

PRELOADED = [
    "broker.cli",
    "clients.cli",
    "tests.processes",
    "tests.faults.test_kill_gateway",
    "tests.faults.test_kill_purge",
    "tests.faults.test_storm",
    "tests.faults.test_table",
]
"""Whatever has a function that a process begins with."""


def warm() -> ForkServerContext:
    """Return what forks processes off one that has imported everything but opened nothing.

    A start takes a moment instead of seconds. They leave no record of the lines they ran: nearly all end by SIGKILL,
    and keeping it made them twice as slow. Programs that tests start by their name do.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    recording = os.environ.pop("COVERAGE_PROCESS_CONFIG", None)
    forkserver.ensure_running()
    if recording is not None:
        os.environ["COVERAGE_PROCESS_CONFIG"] = recording
    return context


def serve(data: str, port: int) -> None:
    """Serve a hub in a process of its own."""
    cli(["serve", "--data", data, "--port", str(port)], standalone_mode=False)


def start(data: Path, port: int) -> BaseProcess:
    """Start a hub process and wait until it answers."""
    process = warm().Process(target=serve, args=(str(data), port), daemon=True)
    process.start()

    def is_ready() -> bool:
        assert process.is_alive(), "the hub did not start"
        try:
            return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=1).status_code == 200
        except httpx.TransportError:
            return False

    wait_until(is_ready)
    return process


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def die(former: str, data: str, write: str) -> None:
    """Begin a new epoch in this process, and be killed just before this is written for the first time."""
    wrote: set[str] = set()

    def before(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.lstrip().startswith(write):
            os.kill(os.getpid(), signal.SIGKILL)
        wrote.update(statement.split()[:1])

    def commit(_conn: Any) -> None:
        if write == "COMMIT" and "INSERT" in wrote:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "before_cursor_execute", before)
    event.listen(Engine, "commit", commit)
    epoch.begin(read_settings({}, data=data), former)
