"""What a good partner feels of an attacker: its latency alone, then beside each kind of attack.

The partner posts at a steady rate, open loop, from one address; the attacker comes from another, with all it has: from
a process of its own, closed loop. Whatever the hub answers to it is counted, nothing of it is expected.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from typing import Any

import uvloop

from bench.cells import Progress
from bench.hubs import Place, serve_copy
from bench.lines import write_lines
from bench.load import Job, Outcome, run_apart
from bench.report import percentile
from bench.work import BULLETIN_MEDIA, HOST, LINES_MEDIA, Posts, get, post

ATTACKER = "127.0.0.66"
"""Another address of this machine: limits by address shall tell the two apart."""

GOOD_A_SECOND = 50.0
GOOD_CONNECTIONS = 8
WARM_S = 1.0
MS = 1_000
SLOW_BYTE_S = 0.5
BAD_LINES = 2_000
BATCH = 1_000


@dataclass(frozen=True, slots=True)
class Attack:
    """One kind of attack: over how many connections, and what each of them does until the end."""

    name: str
    connections: int
    run: Callable[[int, Sequence[bytes], Counter[str]], Any]


@dataclass(frozen=True, slots=True)
class Suffered:
    """What the partner had beside an attack, and how the hub answered the attacker."""

    name: str
    outcome: Outcome
    answers: Counter[str]


def measure_abuse(
    place: Place, seconds: float, *, progress: Progress, attacks: Sequence[Attack] | None = None
) -> list[Suffered]:
    """Measure the partner alone, then beside each attack, each time at a fresh hub."""
    chosen = ATTACKS if attacks is None else attacks
    count = int((seconds + 2 * WARM_S) * GOOD_A_SECOND) + BAD_LINES
    progress("signing lines")
    write_lines(place.template, place.lines, count)
    raws = place.lines.read_bytes().splitlines()
    place.lines.write_bytes(b"\n".join(raws[BAD_LINES:]) + b"\n")
    bad = tuple(spoil(raw) for raw in raws[:BAD_LINES])
    return [_measure(place, attack, bad, seconds, progress) for attack in (None, *chosen)]


def _measure(place: Place, attack: Attack | None, bad: Sequence[bytes], seconds: float, progress: Progress) -> Suffered:
    name = "alone" if attack is None else attack.name
    progress(f"a good partner: {name}")
    data = place.scratch / "hub"
    try:
        with (
            serve_copy(place, data, rate_factor=1) as served,
            ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
        ):
            attacking: Future[Counter[str]] | None = None
            if attack is not None:
                attacking = pool.submit(attack_hub, ATTACKS.index(attack), served.ports[0], bad, seconds + 2 * WARM_S)
            outcome = run_apart(
                Job(
                    ports=served.ports,
                    pids=served.pids,
                    connections=GOOD_CONNECTIONS,
                    warm_s=WARM_S,
                    seconds=seconds,
                    make=partial(Posts, place.lines),
                    a_second=GOOD_A_SECOND,
                )
            )
            return Suffered(name, outcome, Counter() if attacking is None else attacking.result())
    finally:
        place.clear(data)


def attack_hub(number: int, port: int, bad: Sequence[bytes], seconds: float) -> Counter[str]:
    """Attack for a time; return how often what was answered."""
    return uvloop.run(_attack(ATTACKS[number], port, bad, seconds))


async def _attack(attack: Attack, port: int, bad: Sequence[bytes], seconds: float) -> Counter[str]:
    answers: Counter[str] = Counter()
    tasks = {asyncio.ensure_future(attack.run(port, bad, answers)) for _ in range(attack.connections)}
    await asyncio.sleep(seconds)
    while tasks:
        # More than once: `wait_for` may swallow a cancellation that comes with its answer.
        for task in tasks:
            task.cancel()
        _, tasks = await asyncio.wait(tasks, timeout=1.0)
    return answers


async def _bad_signatures(port: int, bad: Sequence[bytes], answers: Counter[str]) -> None:
    await _flood(port, lambda: post(BULLETIN_MEDIA, random.choice(bad)), answers)


async def _bad_batches(port: int, bad: Sequence[bytes], answers: Counter[str]) -> None:
    body = b"\n".join(bad[i % len(bad)] for i in range(BATCH))
    await _flood(port, lambda: post(LINES_MEDIA, body), answers)


async def _too_many(port: int, bad: Sequence[bytes], answers: Counter[str]) -> None:
    await _flood(port, lambda: get("/v1/bulletins?after=0", random.choice(bad).decode()), answers)


async def _slow_bodies(port: int, bad: Sequence[bytes], answers: Counter[str]) -> None:
    while True:
        with suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection(HOST, port, local_addr=(ATTACKER, 0))
            writer.write(post(BULLETIN_MEDIA, random.choice(bad))[:-500])
            try:
                # A byte now and then, until the hub has had enough.
                while not reader.at_eof():
                    with suppress(TimeoutError):
                        answers[_status(await asyncio.wait_for(reader.readuntil(b"\r\n"), SLOW_BYTE_S))] += 1
                        break
                    writer.write(b"A")
            finally:
                writer.close()
        await asyncio.sleep(0)


async def _flood(port: int, make: Callable[[], bytes], answers: Counter[str]) -> None:
    while True:
        with suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection(HOST, port, local_addr=(ATTACKER, 0))
            try:
                while True:
                    writer.write(make())
                    head = await reader.readuntil(b"\r\n\r\n")
                    await reader.readexactly(_length(head))
                    answers[_status(head)] += 1
            finally:
                writer.close()
        answers["cut"] += 1
        await asyncio.sleep(0.001)


def _length(head: bytes) -> int:
    return next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)


def _status(head: bytes) -> str:
    return head[9:12].decode()


def spoil(raw: bytes) -> bytes:
    """Return a line that is well formed and signed by nobody: it costs the hub a whole check."""
    swapped = b"A" if raw[-50:-49] != b"A" else b"B"
    return raw[:-50] + swapped + raw[-49:]


ATTACKS = (
    Attack("bad signatures", 32, _bad_signatures),
    Attack("batches of bad signatures", 16, _bad_batches),
    Attack("slow bodies", 300, _slow_bodies),
    Attack("too many requests", 64, _too_many),
)


def abuse_figures(found: Sequence[Suffered]) -> list[dict[str, Any]]:
    """Return what is told of each attack, with the ratio to no attack."""
    alone = percentile(sorted(found[0].outcome.latencies_s), 99)
    figures = []
    for each in found:
        latencies = sorted(each.outcome.latencies_s)
        figures.append(
            {
                "name": f"good partner: {each.name}",
                "p50_ms": percentile(latencies, 50) * MS,
                "p99_ms": percentile(latencies, 99) * MS,
                "p99_to_alone": percentile(latencies, 99) / alone,
                "posted": each.outcome.units,
                "hub_cpu": each.outcome.hub_cpu_s / each.outcome.seconds,
                "answers": dict(each.answers),
            }
        )
    return figures


def abuse_table(found: Sequence[Suffered]) -> str:
    """Write the measurements for reading."""
    rows = [
        f"{'a good partner beside an attacker':<36}{'posted':>8}{'p50 ms':>9}{'p99 ms':>9}{'to alone':>10}{'hub':>6}"
    ]
    for of in abuse_figures(found):
        answers = ", ".join(f"{count:,} x {status}" for status, count in sorted(of["answers"].items()))
        rows.append(
            f"{of['name']:<36}{of['posted']:>8,}{of['p50_ms']:>9.1f}{of['p99_ms']:>9.1f}{of['p99_to_alone']:>10.2f}"
            f"{of['hub_cpu']:>6.0%}  {answers}"
        )
    note = f"{GOOD_A_SECOND:.0f} posts a second, open loop, from when each was due. On the right what the attacker got."
    return "\n".join((*rows, "", note))
