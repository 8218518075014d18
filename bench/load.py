"""The load on the hub: requests over HTTP/1.1 from a process of its own.

Closed loop: each connection sends its next request when the last is answered, which finds the most that a hub gives.
Open loop: requests fall due at a steady rate, whether or not the hub has kept up, wait for a free connection, and
their latency is counted from then. Every answer is checked; the first wrong one ends the run.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import cast

import uvloop

from bench.cpu import machine_cpu_s, trees_cpu_s
from bench.work import HOST, Work, header

ANSWER_S_MAX = 60.0
"""Time for the answers that are under way when the window ends."""


@dataclass(frozen=True, slots=True)
class Job:
    """How the work is sent; `a_second` requests a second in an open loop, 0 for a closed one.

    `pids` are the processes whose CPU is the hub's.
    """

    ports: tuple[int, ...]
    pids: tuple[int, ...]
    connections: int
    warm_s: float
    seconds: float
    make: Callable[[], Work]
    a_second: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was measured in the window after the warm-up; `total` counts the warm-up too. CPU in seconds."""

    total: int
    units: int
    seconds: float
    latencies_s: tuple[float, ...]
    hub_cpu_s: float
    load_cpu_s: float
    others_cpu_s: float
    ran_out: bool


@dataclass(slots=True)
class Meter:
    """What the connections have measured. `stopping` ends them after the answers they wait for.

    `done` holds when each request counts (answered; in an open loop due), its latency, its units.
    """

    work: Work
    pids: tuple[int, ...]
    is_open: bool = False
    done: list[tuple[float, float, int]] = field(default_factory=list)
    cpu: list[tuple[float, float, float, float]] = field(default_factory=list)
    due: deque[float] = field(default_factory=deque)
    free: list[Connection] = field(default_factory=list)
    stopping: bool = False
    ran_out: bool = False

    def read_cpu(self) -> None:
        """Note the time, then the CPU seconds of hub, this process, machine so far."""
        self.cpu.append((time.monotonic(), trees_cpu_s(self.pids), time.process_time(), machine_cpu_s()))

    def arrive(self, due: float) -> None:
        """Take a request that falls due: a free connection sends it, or it waits."""
        self.due.append(due)
        if self.free:
            self.free.pop().go_on()

    def stop(self) -> None:
        """End the window."""
        if not self.stopping:
            self.read_cpu()
            self.stopping = True
            for each in self.free:
                each.go_on()

    def outcome(self) -> Outcome:
        """Return what fell into the window; raise ValueError when nothing did."""
        if len(self.cpu) != len(("began", "ended")):
            raise ValueError("The lines ran out before the warm-up was over.")
        (began, *before), (ended, *after) = self.cpu
        hub, load, machine = (b - a for a, b in zip(before, after, strict=True))
        inside = [each for each in self.done if began < each[0] <= ended]
        if not any(units for _, _, units in inside):
            raise ValueError("Nothing was answered within the time: measure for longer.")
        return Outcome(
            total=sum(units for _, _, units in self.done),
            units=sum(units for _, _, units in inside),
            seconds=ended - began,
            latencies_s=tuple(latency for _, latency, units in inside if units),
            hub_cpu_s=hub,
            load_cpu_s=load,
            others_cpu_s=max(0.0, machine - hub - load),
            ran_out=self.ran_out,
        )


class Connection(asyncio.Protocol):
    """One keep-alive connection with one request under way at a time."""

    def __init__(self, meter: Meter, ended: asyncio.Future[None]) -> None:
        self._meter = meter
        self._ended = ended
        self._buffer = b""
        self._needed = 0
        self._began = 0.0
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        # uvloop's transports can write without being registered as WriteTransport.
        self._transport = cast("asyncio.WriteTransport", transport)
        self.go_on()

    def data_received(self, data: bytes) -> None:
        """Check an answer once it is complete, send the next request."""
        self._buffer += data
        if len(self._buffer) < self._needed:
            return
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        self._needed = len(head) + 4 + int(header(head, b"content-length"))
        if len(self._buffer) < self._needed:
            return
        now, self._buffer, self._needed = time.monotonic(), b"", 0
        try:
            units = self._meter.work.check(int(head[9:12]), head, body)
        except ValueError as fault:
            self._end(fault)
            return
        self._meter.done.append((self._began if self._meter.is_open else now, now - self._began, units))
        self.go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail unless this side had finished."""
        self._end(ConnectionError(f"The hub closed the connection: {exc}"))

    def go_on(self) -> None:
        """Send the next request that there is, or wait for it, or end."""
        meter = self._meter
        if meter.is_open and not meter.due:
            if meter.stopping:
                self._end(None)
            else:
                meter.free.append(self)
            return
        request = None if meter.stopping and not meter.is_open else meter.work.next()
        if request is None:
            meter.ran_out = meter.ran_out or not meter.stopping
            self._end(None)
            return
        self._began = meter.due.popleft() if meter.is_open else time.monotonic()
        assert self._transport is not None
        self._transport.write(request)

    def _end(self, fault: Exception | None) -> None:
        if self._ended.done():
            return
        assert self._transport is not None
        self._transport.close()
        if fault is None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(fault)
        # Whoever ends first ends the window: with fewer connections another load would be measured.
        self._meter.stop()


def run_apart(job: Job) -> Outcome:
    """Do the job in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(run, job).result()


def run(job: Job) -> Outcome:
    """Do the job; raise ValueError or ConnectionError at the first answer that is not what was expected."""
    return uvloop.run(_run(job, Meter(job.make(), job.pids, is_open=job.a_second > 0)))


async def _run(job: Job, meter: Meter) -> Outcome:
    loop = asyncio.get_running_loop()
    ends = [loop.create_future() for _ in range(job.connections)]
    loop.call_later(job.warm_s, meter.read_cpu)
    loop.call_later(job.warm_s + job.seconds, meter.stop)
    async with asyncio.timeout(job.warm_s + job.seconds + ANSWER_S_MAX):
        for number, end in enumerate(ends):
            port = job.ports[number % len(job.ports)]
            await loop.create_connection(lambda end=end: Connection(meter, end), HOST, port)  # type: ignore[misc]
        if meter.is_open:
            await _pace(meter, job.a_second)
        await asyncio.gather(*ends)
    return meter.outcome()


async def _pace(meter: Meter, a_second: float) -> None:
    due = time.monotonic()
    while not meter.stopping:
        meter.arrive(due)
        due += 1 / a_second
        await asyncio.sleep(max(0.0, due - time.monotonic()))
