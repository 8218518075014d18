"""What a good partner feels of an attacker: its latency without one, then beside each kind.

The good partner is an open loop: a post is due every so often, and its latency runs from then. The attacker is a
closed loop from one other address, in a process of its own, as fast as it is answered. Both come through a trusted
proxy as far as the hub knows: the header tells their addresses apart.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import uvloop

from bench.cells import Place
from bench.hubs import serve_copy
from bench.lines import write_lines
from bench.load import BULLETIN_MEDIA, HOST, LINES_MEDIA, hub_cpu_s

A_SECOND = 50
"""Posts of the good partner."""

GOOD, BAD = "203.0.113.9", "198.51.100.7"
POOL = 8
BATCH = 1_000
ACCEPTED = 201


@dataclass(frozen=True, slots=True)
class Attack:
    """What an attacker does, over how many connections. `make` turns good lines into its requests."""

    name: str
    connections: int
    make: Callable[[list[bytes]], list[bytes]]


@dataclass(frozen=True, slots=True)
class Felt:
    """What was measured beside an attack: latencies of the good partner, answers to the attacker by status."""

    name: str
    latencies_s: tuple[float, ...]
    statuses: dict[int, int]
    seconds: float
    hub_cpu_s: float


def request(media: str, body: bytes, source: str) -> bytes:
    """Return a post that comes from this address."""
    head = f"POST /v1/bulletins HTTP/1.1\r\nHost: {HOST}\r\nX-Forwarded-For: {source}\r\nContent-Type: {media}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def spoilt(line: bytes) -> bytes:
    """Return a line whose signature belongs to something else."""
    return line[:-86] + (b"B" if line[-86:-85] == b"A" else b"A") + line[-85:]


def broken(line: bytes) -> bytes:
    """Return bytes that are no line: its header is broken."""
    head, rest = line.split(b".", 1)
    return head[:-8] + b"AAAAAAAA." + rest


def _singly(change: Callable[[bytes], bytes]) -> Callable[[list[bytes]], list[bytes]]:
    return lambda lines: [request(BULLETIN_MEDIA, change(line), BAD) for line in lines]


def _in_batches(lines: list[bytes]) -> list[bytes]:
    return [request(LINES_MEDIA, b"\n".join(map(spoilt, (lines * BATCH)[:BATCH])), BAD)]


def _copies(lines: list[bytes]) -> list[bytes]:
    return [request(BULLETIN_MEDIA, lines[0], BAD)]


ATTACKS = (
    Attack("nobody", 0, _singly(spoilt)),
    Attack("bad signatures", 64, _singly(spoilt)),
    Attack("broken lines", 64, _singly(broken)),
    Attack("batches of 1,000 bad signatures", 16, _in_batches),
    Attack("copies of one line", 64, _copies),
)


def measure_abuse(place: Place, seconds: float, *, progress: Callable[[str], None]) -> list[Felt]:
    """Measure the good partner beside each attack, every time at a fresh hub."""
    write_lines(place.template, place.lines, int(A_SECOND * seconds) + BATCH)
    return [_measure(place, attack, seconds, progress) for attack in ATTACKS]


def _measure(place: Place, attack: Attack, seconds: float, progress: Callable[[str], None]) -> Felt:
    progress(f"a good partner beside {attack.name}")
    data = place.scratch / "hub"
    try:
        with (
            serve_copy(place.template, data, LINTAS_RATE_FACTOR="1", LINTAS_TRUSTED_PROXY=HOST) as served,
            ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool,
        ):
            before = hub_cpu_s(served.pid)
            bad = pool.submit(attack_for, served.port, ATTACKS.index(attack), place.lines, seconds)
            good = pool.submit(publish_for, served.port, place.lines, seconds)
            latencies, statuses = good.result(), bad.result()
            return Felt(attack.name, latencies, statuses, seconds, hub_cpu_s(served.pid) - before)
    finally:
        shutil.rmtree(data, ignore_errors=True)


def publish_for(port: int, path: Path, seconds: float) -> tuple[float, ...]:
    """Post a line whenever one is due; return from when it was due to its receipt."""
    lines = path.read_bytes().splitlines()[BATCH:]
    return uvloop.run(_publish(port, [request(BULLETIN_MEDIA, line, GOOD) for line in lines], seconds))


def attack_for(port: int, number: int, path: Path, seconds: float) -> dict[int, int]:
    """Send an attack's requests over and over; return how many answers came by status, 0 for a connection cut."""
    attack = ATTACKS[number]
    return uvloop.run(_attack(port, attack.make(path.read_bytes().splitlines()[:BATCH]), attack.connections, seconds))


async def _publish(port: int, requests: list[bytes], seconds: float) -> tuple[float, ...]:
    idle: asyncio.Queue[Any] = asyncio.Queue()
    for _ in range(POOL):
        idle.put_nowait(await asyncio.open_connection(HOST, port))
    start, latencies = time.monotonic(), []

    async def post(number: int) -> None:
        due = start + number / A_SECOND
        await asyncio.sleep(due - time.monotonic())
        connection = await idle.get()
        status = await _exchange(connection[0], connection[1], requests[number])
        latencies.append(time.monotonic() - due)
        idle.put_nowait(connection)
        if status != ACCEPTED:
            raise ValueError(f"A good partner's line was answered with {status}.")

    await asyncio.gather(*(post(number) for number in range(int(A_SECOND * seconds))))
    return tuple(latencies)


async def _attack(port: int, requests: list[bytes], connections: int, seconds: float) -> dict[int, int]:
    statuses: Counter[int] = Counter()
    turns, end = cycle(requests), time.monotonic() + seconds

    async def send() -> None:
        while time.monotonic() < end:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection(HOST, port)
                while time.monotonic() < end:
                    statuses[await _exchange(reader, writer, next(turns))] += 1
                writer.close()
                return
            statuses[0] += 1

    await asyncio.gather(*(send() for _ in range(connections)))
    return dict(statuses)


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, raw: bytes) -> int:
    writer.write(raw)
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(int(length.partition(b":")[2]))
    return int(head[9:12])


def abuse_figures(felt: Felt) -> dict[str, Any]:
    """Return what is told of one attack."""
    ascending = sorted(felt.latencies_s)
    return {
        "attack": felt.name,
        "p50_ms": ascending[len(ascending) // 2] * 1000,
        "p99_ms": ascending[len(ascending) * 99 // 100] * 1000,
        "answers_a_second": sum(felt.statuses.values()) / felt.seconds,
        "statuses": dict(sorted(felt.statuses.items())),
        "hub_cpu": felt.hub_cpu_s / felt.seconds,
    }


def abuse_table(found: list[Felt]) -> str:
    """Write the measurements for reading."""
    lines = [f"{'beside':<34}{'p50 ms':>8}{'p99 ms':>8}{'hub':>6}{'attacks/s':>11}  answers by status"]
    for felt in found:
        of = abuse_figures(felt)
        told = ", ".join(f"{status or 'cut'}: {count}" for status, count in of["statuses"].items())
        lines.append(
            f"{of['attack']:<34}{of['p50_ms']:>8.1f}{of['p99_ms']:>8.1f}{of['hub_cpu']:>6.0%}"
            f"{of['answers_a_second']:>11.0f}  {told}"
        )
    lines += ["", f"p50, p99: of a good partner that posts {A_SECOND} lines a second, from when each is due."]
    return "\n".join(lines)
