"""The hub never holds what is sealed: its files, its output and the memory of its process are searched.

A marker is published clear and another one sealed, through a hub in a process of its own. The clear one must be found
everywhere, or the search would prove nothing; of the sealed one nothing may be, in any spelling, nor the key to it.
"""

from __future__ import annotations

import base64
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from broker import exercise
from lintas.client import Client
from lintas.draft import read_draft
from lintas.keys import load_identity
from lintas.opening import OpeningKey
from lintas.sealed import _INFO, _SUITE, read_sealed
from lintas.state import State
from lintas.strict import unb64u
from tests.conftest import wait_until
from tests.databases import Databases
from tests.processes import free_port

ISSUER, READER, ADMIN = "my-police", "sg-fiu", "admin/auditor"
PIECE_BYTES = 1 << 20


@dataclass
class Place:
    """A hub process, its folder, and what it printed."""

    process: subprocess.Popen[bytes]
    data: Path
    output: Path
    scratch: Path
    url: str

    def client(self, party: str) -> Client:
        """Return the client of a party, its memory outside of the hub's folder."""
        passphrase = (self.data / "passphrase").read_bytes().strip()
        identity = load_identity(exercise.identity_path(self.data, party), passphrase).with_url(self.url)
        state = State(self.scratch / f"{party.replace('/', '-')}.state", log_key=identity.hub.log_key)
        client = Client(identity, state)
        client.sync()
        return client


@pytest.fixture
def place(exercise_data: Path, tmp_path: Path) -> Iterator[Place]:
    """Serve the exercised hub as its operator does, everything that it can log switched on."""
    port, output = free_port(), tmp_path / "output"
    command = [sys.executable, "-m", "broker", "serve", "--data", str(exercise_data), "--port", str(port)]
    environment = {**os.environ, "LINTAS_LOG_LEVEL": "debug"}
    scratch = tmp_path / "clients"
    scratch.mkdir()
    with output.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment)
    url = f"http://127.0.0.1:{port}"

    def is_ready() -> bool:
        assert process.poll() is None, output.read_text()
        try:
            return httpx.get(f"{url}/readyz", timeout=1).status_code == 200
        except httpx.TransportError:
            return False

    wait_until(is_ready)
    yield Place(process, exercise_data, output, scratch, url)
    process.terminate()
    # Closed in order, not ended by the signal: what it had queued is in the database.
    assert 0 == process.wait(60)


def spellings(secret: bytes) -> list[bytes]:
    """Return how bytes may lie about: plain, in hexadecimal, in base64 at each of three offsets, as wide text."""
    found = [secret, secret.hex().encode()]
    for skip in range(3):
        # Within base64 of something longer, the first and last characters depend on what stands beside.
        text = base64.b64encode(bytes(skip) + secret)
        begin, end = -(-skip * 8 // 6), (skip + len(secret)) * 8 // 6
        found += [text[begin:end], text[begin:end].translate(bytes.maketrans(b"+/", b"-_"))]
    if secret.isascii():
        found += [secret.decode().encode(wide) for wide in ("utf-16-le", "utf-32-le")]
    return found


def pieces(file: Path) -> Iterator[bytes]:
    """Read a file in pieces."""
    with file.open("rb") as opened:
        while piece := opened.read(PIECE_BYTES):
            yield piece


def memory(pid: int) -> Iterator[bytes]:
    """Read every writable mapping of a process."""
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as opened:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights, *_ = line.split()
            begin, end = (int(each, 16) for each in span.split("-"))
            if "w" not in rights:
                continue
            for start in range(begin, end, PIECE_BYTES):
                opened.seek(start)
                try:
                    yield opened.read(min(PIECE_BYTES, end - start))
                except OSError:
                    # Reserved but backed by nothing.
                    break


def found_in(stream: Iterator[bytes], wanted: list[bytes]) -> bool:
    """Tell whether any of these stands in a stream, across pieces too."""
    overlap, tail = max(map(len, wanted)), b""
    for piece in stream:
        text = tail + piece
        if any(each in text for each in wanted):
            return True
        tail = text[-overlap:]
    return False


def content_key_of(raw: bytes, key: OpeningKey) -> bytes:
    """Return the content key of a sealed line, as its recipient unwraps it."""
    head, payload, _ = raw.split(b".")
    wrap = read_sealed(unb64u(payload.decode())).to[key.kid]
    return _SUITE.decrypt(wrap, key.private(), _INFO + head)


def publish(place: Place, marker: str, tlp: str) -> bytes:
    """Publish a bulletin with a marker in its title, text and an indicator; return the line."""
    payload = {
        "title": f"FICTIONAL {marker}",
        "summary": f"SIMULATED. {marker} was seen.",
        "indicators": [{"type": "domain", "value": f"{marker.lower()}.example", "role": "phishing"}],
        "named_recipients": [f"{READER}/duty-officer"],
        "marking_reason": f"SIMULATED: {marker}.",
    }
    members = {"kind": "alert", "topic": "cyber.scam", "tlp": tlp, "urgency": "routine", "release_to": [READER]}
    client = place.client(ISSUER)
    line = client.sign(read_draft(members | {"valid_for": "P30D", "payload": payload}))
    client.publish_line(line)
    client.close()
    return line.raw


def read_all(place: Place) -> list[str]:
    """Let everybody read what they may, and try what must be refused; return the titles the reader saw."""
    reader, issuer, admin = (place.client(party) for party in (READER, ISSUER, ADMIN))
    received = list(reader.follow(once=True))
    for each in received:
        issuer.fetch(each.id)
        reader.receipt(each.id)
    admin.admin_events(limit=100)
    httpx.post(f"{place.url}/v1/bulletins", content=received[-1].line.raw[:-4] if received[-1].line else b"")
    for client in (reader, issuer, admin):
        client.close()
    return [each.content.title for each in received if each.content is not None]


def test_hub_never_holds_what_is_sealed(place: Place, databases: Databases) -> None:
    """Neither database, log, output nor memory of the hub ever has a sealed marker, or the keys that open it."""
    if databases.is_postgres:
        pytest.skip("on Postgres the rows are in none of the hub's files")
    clear, closed = (secrets.token_hex(12).upper() for _ in range(2))
    publish(place, clear, "AMBER")
    raw = publish(place, closed, "RED")
    titles = read_all(place)
    key = load_identity(
        exercise.identity_path(place.data, READER), (place.data / "passphrase").read_bytes().strip()
    ).openings[-1]
    wanted = {
        "clear marker": spellings(clear.encode()),
        "ciphertext": [raw.split(b".")[1][-600:-500]],
        "sealed marker": spellings(closed.encode()) + spellings(closed.lower().encode()),
        "content key": spellings(content_key_of(raw, key)),
        "opening seed": spellings(key.seed),
    }
    files = [path for path in place.data.rglob("*") if path.is_file()]
    try:
        in_memory = {name: found_in(memory(place.process.pid), spelt) for name, spelt in wanted.items()}
    except PermissionError as fault:
        pytest.skip(f"this kernel lets nobody read the memory of another process: {fault}")
    in_files = {name: any(found_in(pieces(file), spelt) for file in files) for name, spelt in wanted.items()}
    in_output = {name: found_in(pieces(place.output), spelt) for name, spelt in wanted.items()}

    held = {
        "clear marker": True,
        "ciphertext": True,
        "sealed marker": False,
        "content key": False,
        "opening seed": False,
    }
    assert [f"FICTIONAL {clear}", f"FICTIONAL {closed}"] == titles
    assert (held, held) == (in_memory, in_files)
    assert not any(in_output.values())
    assert place.output.stat().st_size > 0


@pytest.mark.parametrize("before", [b"", b"a", b"ab", b"abc"])
def test_search_finds_base64(before: bytes) -> None:
    """A secret within base64 is found whatever stands before and behind it."""
    secret = secrets.token_bytes(32)
    stream = iter([base64.urlsafe_b64encode(before + secret + b"behind")])

    assert found_in(stream, spellings(secret))


def test_search_finds_across_pieces() -> None:
    """What is cut by the end of a piece is found."""
    assert found_in(iter([b"xxmar", b"kerxx"]), [b"marker"])
