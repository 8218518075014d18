"""A witness process killed between persisting a checkpoint and posting its cosignature never signs another tree."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from broker import exercise
from lintas import note
from lintas.checkpoint import open_checkpoint
from lintas.note import ALGORITHM_COSIGNATURE, parse_signer_key
from lintas.state import State
from tests.conftest import ExerciseHub, ShiftedClock
from tests.databases import Databases
from tests.witnesses import publish, serve

PARTY = "th-cert"
PROGRAM = [sys.executable, "-c", "from clients.cli import main; main()", "witness"]


class Line:
    """A network path to a hub: requests pass, a posted cosignature is held for ever."""

    def __init__(self) -> None:
        self.target = ""
        self.is_holding = True
        self.held = threading.Event()
        self.posted: list[bytes] = []

    def handler(self) -> type[BaseHTTPRequestHandler]:
        """Return the handler of one connection."""
        line = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._pass("GET", b"")

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                line.posted.append(body)
                line.held.set()
                if line.is_holding:
                    self.rfile.read(1)
                    return
                self._pass("POST", body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

            def _pass(self, method: str, body: bytes) -> None:
                headers = {
                    name: self.headers[name] for name in ("Authorization", "Content-Type") if name in self.headers
                }
                answer = httpx.request(method, line.target + self.path, content=body, headers=headers, timeout=30)
                self.send_response(answer.status_code)
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

        return Handler


@contextmanager
def running(line: Line) -> Iterator[str]:
    """Serve the path; yield its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), line.handler())
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("is_forked", [False, True])
def test_killed_between_persist_and_post(
    exercise_data: Path, clock: ShiftedClock, tmp_path: Path, databases: Databases, *, is_forked: bool
) -> None:
    """What it persisted stands: after the kill it cosigns what extends that, and refuses a fork with exit code 3."""
    key_file = tmp_path / "w.key"
    fork_data = databases.copy(exercise_data, tmp_path / "fork")
    line = Line()
    with serve(exercise_data, clock) as hub, running(line) as url:
        environ = _environ(hub, url)
        line.target = hub.url
        subprocess.run([*PROGRAM, "--init", str(key_file)], env=environ, check=True, capture_output=True)
        key = parse_signer_key(key_file.read_text().strip(), ALGORITHM_COSIGNATURE)
        publish(hub)
        process = subprocess.Popen([*PROGRAM, "--key", str(key_file)], env=environ)
        assert line.held.wait(60)

        process.send_signal(signal.SIGKILL)
        process.wait(60)
        line.is_holding = False
        kept = _kept(hub, key_file)
        if not is_forked:
            hub.hub.witnesses.witnesses["killed"] = key.verifier  # type: ignore[index]
            again = _once(key_file, environ)
        else:
            with serve(fork_data, clock) as other:
                publish(other, "FICTIONAL: another history")
                publish(other, "FICTIONAL: and more")
                line.target = other.url
                again = _once(key_file, environ)

        texts = [note.split_note(body)[0] for body in line.posted]
        assert kept == texts[0] == _kept(hub, key_file)
        assert (3 if is_forked else 0, {kept}) == (again.returncode, set(texts)), again.stderr
        assert len(texts) == (1 if is_forked else 2)
        assert is_forked == (tmp_path / "w.key.evidence").exists()


def _environ(hub: ExerciseHub, url: str) -> dict[str, str]:
    return {
        **{name: os.environ[name] for name in os.environ if name.startswith(("COVERAGE", "PATH"))},
        "LINTAS_HUB": url,
        "LINTAS_IDENTITY": str(exercise.identity_path(hub.data, PARTY)),
        "LINTAS_PASSPHRASE_FILE": str(hub.data / "passphrase"),
    }


def _once(key_file: Path, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [*PROGRAM, "--key", str(key_file), "--once"]
    return subprocess.run(command, env=environ, check=False, capture_output=True, text=True, timeout=120)


def _kept(hub: ExerciseHub, key_file: Path) -> bytes:
    """Return the text of the checkpoint in the witness' memory, whole and by the log's own key."""
    verifier = hub.hub.signer.verifier
    state = State(key_file.with_name("w.key.state"), log_key=verifier.text())
    kept = state.get("checkpoint")
    state.close()
    assert kept is not None
    assert open_checkpoint(kept, origin=verifier.name, key=verifier).size > 0
    return note.split_note(kept)[0]
