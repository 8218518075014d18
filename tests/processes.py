"""Hub processes of tests: started from a warm fork, killed at will."""

from __future__ import annotations

import multiprocessing
import socket
from multiprocessing.process import BaseProcess
from pathlib import Path

import httpx

from broker.cli import cli
from tests.conftest import wait_until


def serve(data: str, port: int) -> None:
    """Serve a hub in a process of its own."""
    cli(["serve", "--data", data, "--port", str(port)], standalone_mode=False)


def start(data: Path, port: int) -> BaseProcess:
    """Start a hub process and wait until it answers."""
    # Forked from a process that has imported everything but opened nothing: a start takes a moment instead of seconds.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["broker.cli", "tests.processes"])
    process = context.Process(target=serve, args=(str(data), port), daemon=True)
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
