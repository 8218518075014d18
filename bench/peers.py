"""Other ways to carry the same bulletins, where they are installed on this machine.

Redis streams with every write on the disk before its answer, one consumer that verifies each line and stores it: the
least that a partner would build to get what a hub gives. What is absent is said to be absent.
"""

from __future__ import annotations

import shutil
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from nacl.signing import VerifyKey

from bench.cells import Progress
from bench.hubs import START_S_MAX, Place
from bench.lines import ISSUERS, open_identity, write_lines
from lintas.header import BULLETIN
from lintas.line import parse

STREAM = b"bulletins"
PRODUCERS = 16
"""Lines that are under way to Redis at once, as if from so many connections."""

READ_MAX = 500
RATE = 6_000


@dataclass(frozen=True, slots=True)
class Peer:
    """What a peer took in and what came out of it, a second; None where it is not installed."""

    name: str
    a_second: float | None
    note: str


def measure_peers(place: Place, seconds: float, *, progress: Progress) -> list[Peer]:
    """Measure every peer that is here."""
    return [
        _measure_redis(place, seconds, progress),
        Peer("RabbitMQ, quorum queue", None, "not measured: this program has no client for it"),
        Peer("TAXII server", None, "see --taxii: it carries objects, not lines"),
    ]


def _measure_redis(place: Place, seconds: float, progress: Progress) -> Peer:
    name, found = "Redis streams, verified and stored", shutil.which("redis-server")
    if found is None:
        return Peer(name, None, "absent: there is no redis-server on PATH")
    progress(f"peer: {name}")
    count = int(seconds * RATE)
    write_lines(place.template, place.lines, count)
    keys = {party: open_identity(place.template, party).key.public for party in ISSUERS}
    with (
        _redis(found, place.scratch / "redis") as path,
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
    ):
        consuming = pool.submit(consume, path, place.scratch / "redis.db", keys, count)
        began = time.monotonic()
        produce(path, place.lines)
        produced_s = time.monotonic() - began
        stored = consuming.result(timeout=START_S_MAX + 10 * seconds)
        taken_s = time.monotonic() - began
    if stored != count:
        raise ValueError(f"{name}: {stored} of {count} lines were stored.")
    return Peer(name, count / taken_s, f"{count / produced_s:,.0f} a second into Redis alone, unverified")


@contextmanager
def _redis(program: str, folder: Path) -> Iterator[Path]:
    folder.mkdir()
    path = folder / "socket"
    options = ["--port", "0", "--unixsocket", str(path), "--dir", str(folder), "--save", ""]
    command = [program, *options, "--appendonly", "yes", "--appendfsync", "always"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + START_S_MAX
        while not path.exists() and time.monotonic() < end:
            time.sleep(0.05)
        yield path
    finally:
        process.terminate()
        process.wait()


def produce(path: Path, lines: Path) -> None:
    """Put every line of a file into the stream, so many at once as there are producers."""
    rest = iter(lines.read_bytes().splitlines())
    with closing(Redis(path)) as redis:
        while some := list(islice(rest, PRODUCERS)):
            redis.send([(b"XADD", STREAM, b"*", b"line", line) for line in some])
            for _ in some:
                redis.answer()


def consume(path: Path, database: Path, keys: dict[str, bytes], count: int) -> int:
    """Take lines out of the stream, verify each, store what was taken at once in one durable commit."""
    checks = {party: VerifyKey(key) for party, key in keys.items()}
    after, stored = b"0", 0
    with closing(sqlite3.connect(database)) as db, closing(Redis(path)) as redis:
        db.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE line (id TEXT PRIMARY KEY, raw BLOB)"
        )
        while stored < count:
            redis.send([(b"XREAD", b"COUNT", b"%d" % READ_MAX, b"BLOCK", b"2000", b"STREAMS", STREAM, after)])
            answer = redis.answer()
            if answer is None:
                break
            entries = answer[0][1]
            with db:
                for _, (_, raw) in entries:
                    line = parse(raw, BULLETIN)
                    checks[line.header.iss].verify(line.signing_input, line.signature)
                    db.execute("INSERT INTO line VALUES (?, ?)", (line.id, raw))
            after, stored = entries[-1][0], stored + len(entries)
    return stored


class Redis:
    """One connection that speaks RESP 2, as far as this needs."""

    def __init__(self, path: Path) -> None:
        """Connect to a server's socket."""
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._file = self._socket.makefile("rb")

    def send(self, commands: Sequence[Sequence[bytes]]) -> None:
        """Send commands, each answered in turn."""
        parts = []
        for command in commands:
            parts.append(b"*%d\r\n" % len(command))
            parts += [b"$%d\r\n%b\r\n" % (len(word), word) for word in command]
        self._socket.sendall(b"".join(parts))

    def answer(self) -> Any:
        """Return the next answer: bytes, an integer, a list or None; raise ValueError for an error."""
        line = self._file.readline()[:-2]
        kind, rest = line[:1], line[1:]
        if kind == b"-" or not kind:
            raise ValueError(f"Redis: {rest.decode()}")
        if kind == b"+":
            return rest
        number = int(rest)
        if kind == b":" or number < 0:
            return number if kind == b":" else None
        if kind == b"$":
            return self._file.read(number + 2)[:-2]
        return [self.answer() for _ in range(number)]

    def close(self) -> None:
        """Leave."""
        self._file.close()
        self._socket.close()


def peer_figures(found: Sequence[Peer], limit: float) -> list[dict[str, Any]]:
    """Return what is told of each peer; `limit` are the checks a second of this run."""
    return [
        {
            "name": each.name,
            "a_second": each.a_second,
            "ratio": each.a_second and each.a_second / limit,
            "note": each.note,
        }
        for each in found
    ]


def peer_table(found: Sequence[Peer], limit: float) -> str:
    """Write the measurements for reading."""
    rows = [f"{'peers':<40}{'a second':>10}{'of limit':>10}"]
    for of in peer_figures(found, limit):
        shown = f"{'-':>10}{'-':>10}" if of["ratio"] is None else f"{of['a_second']:>10,.0f}{of['ratio']:>10.3f}"
        rows.append(f"{of['name']:<40}{shown}  {of['note']}")
    return "\n".join(rows)
