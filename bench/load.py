"""The load on the hub: requests over HTTP/1.1 from a process of its own.

Closed loop: each connection sends its next request when the last is answered, so latencies are those of a hub that is
never asked for more than it gives. Every answer is checked; the first wrong one ends the run.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Protocol, cast

import uvloop

HOST = "127.0.0.1"
BULLETIN_MEDIA = "application/vnd.lintas.bulletin"
LINES_MEDIA = "application/jsonl"
PAGE_LINES = 100
BEGINNING = "0"
"""Index 0 of the log is never a bulletin."""

ANSWER_S_MAX = 30.0
"""Time for the answers that are under way when the window ends."""

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Job:
    """What one process sends: `batch` lines a request, or with a `token` pages of a feed."""

    port: int
    hub_pid: int
    connections: int
    warm_s: float
    seconds: float
    lines: Path | None = None
    batch: int = 1
    token: str = ""


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


class Work(Protocol):
    """What is asked of the hub."""

    def next(self) -> bytes | None:
        """Return the next request, None when there is none left."""

    def check(self, status: int, head: bytes, body: bytes) -> int:
        """Return how many units an answer stands for; raise ValueError when it is not what was expected."""


class Posts:
    """Posts of one line each, or of many."""

    def __init__(self, path: Path, batch: int) -> None:
        """Build every request before the first is sent."""
        lines = path.read_bytes().splitlines()
        self._batch = batch
        self._requests = deque(_posts(lines, batch))

    def next(self) -> bytes | None:
        """Return the next request."""
        return self._requests.popleft() if self._requests else None

    def check(self, status: int, head: bytes, body: bytes) -> int:
        """Expect that every line is accepted, and new."""
        del head
        if self._batch == 1:
            statuses = [status]
        else:
            _expect(status, 200, body)
            statuses = [json.loads(row)["status"] for row in body.splitlines()]
        for found in statuses:
            _expect(found, 201, body)
        return _expect(len(statuses), self._batch, body)


class Pulls:
    """Pages of a feed, one after the other, from the beginning again after the last full one."""

    def __init__(self, token: str) -> None:
        """Begin at the beginning of the feed."""
        self._token = token
        self._after = BEGINNING

    def next(self) -> bytes | None:
        """Return the request for the next page."""
        path = f"/v1/bulletins?after={self._after}&limit={PAGE_LINES}"
        return f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {self._token}\r\n\r\n".encode()

    def check(self, status: int, head: bytes, body: bytes) -> int:
        """Expect a full page, or an empty one at the end of the feed, which counts as nothing."""
        _expect(status, 200, body)
        if not body:
            self._after = BEGINNING
            return 0
        _expect(body.count(b'"line":'), PAGE_LINES, body)
        self._after = _header(head, b"lintas-cursor").decode()
        return 1


@dataclass(slots=True)
class Meter:
    """What the connections have measured. `stopping` ends them after the answer they wait for."""

    work: Work
    hub_pid: int
    done: list[tuple[float, float, int]] = field(default_factory=list)
    cpu: list[tuple[float, float, float, float]] = field(default_factory=list)
    stopping: bool = False
    ran_out: bool = False

    def read_cpu(self) -> None:
        """Note the time, then the CPU seconds of hub, this process, machine so far."""
        self.cpu.append((time.monotonic(), hub_cpu_s(self.hub_pid), time.process_time(), _machine_cpu_s()))

    def stop(self) -> None:
        """End the window."""
        if not self.stopping:
            self.read_cpu()
            self.stopping = True

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
        self._sent_at = 0.0
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        # uvloop's transports can write without being registered as WriteTransport.
        self._transport = cast("asyncio.WriteTransport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        """Check an answer once it is complete, send the next request."""
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found or len(body) < int(_header(head, b"content-length")):
            return
        now, self._buffer = time.monotonic(), b""
        try:
            units = self._meter.work.check(int(head[9:12]), head, body)
        except ValueError as fault:
            self._end(fault)
            return
        self._meter.done.append((now, now - self._sent_at, units))
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail unless this side had finished."""
        self._end(ConnectionError(f"The hub closed the connection: {exc}"))

    def _send(self) -> None:
        request = None if self._meter.stopping else self._meter.work.next()
        if request is None:
            if not self._meter.stopping:
                self._meter.ran_out = True
            self._end(None)
            return
        assert self._transport is not None
        self._sent_at = time.monotonic()
        self._transport.write(request)

    def _end(self, fault: Exception | None) -> None:
        if self._ended.done():
            return
        assert self._transport is not None
        self._transport.close()
        # Whoever ends first ends the window: with fewer connections another load would be measured.
        self._meter.stop()
        if fault is None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(fault)


def run(job: Job) -> Outcome:
    """Do the job; raise ValueError or ConnectionError at the first answer that is not what was expected."""
    work: Work = Posts(job.lines, job.batch) if job.lines is not None else Pulls(job.token)
    return uvloop.run(_run(job, Meter(work, job.hub_pid)))


async def _run(job: Job, meter: Meter) -> Outcome:
    loop = asyncio.get_running_loop()
    ends = [loop.create_future() for _ in range(job.connections)]
    loop.call_later(job.warm_s, meter.read_cpu)
    loop.call_later(job.warm_s + job.seconds, meter.stop)
    async with asyncio.timeout(job.warm_s + job.seconds + ANSWER_S_MAX):
        for end in ends:
            await loop.create_connection(lambda end=end: Connection(meter, end), HOST, job.port)  # type: ignore[misc]
        await asyncio.gather(*ends)
    return meter.outcome()


def hub_cpu_s(pid: int) -> float:
    """Return the CPU seconds, user plus system, that a process has used (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND


def _machine_cpu_s() -> float:
    user, nice, system = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:4]
    return (int(user) + int(nice) + int(system)) / TICKS_A_SECOND


def _posts(lines: list[bytes], batch: int) -> Iterator[bytes]:
    if batch == 1:
        yield from (_post(BULLETIN_MEDIA, line) for line in lines)
        return
    rest = iter(lines)
    while len(chunk := list(islice(rest, batch))) == batch:
        yield _post(LINES_MEDIA, b"\n".join(chunk) + b"\n")


def _post(media: str, body: bytes) -> bytes:
    head = (
        f"POST /v1/bulletins HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: {media}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _header(head: bytes, name: bytes) -> bytes:
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.lower() == name:
            return value.strip()
    raise ValueError(f"The answer has no {name.decode()}.")


def _expect(found: int, expected: int, body: bytes) -> int:
    if found != expected:
        raise ValueError(f"Expected {expected}, found {found}: {body[:300].decode(errors='replace')}")
    return found
