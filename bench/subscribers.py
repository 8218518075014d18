"""The load of streams: many subscribers with one publisher, in a process of its own.

Open loop: a bulletin is posted when it is due, whether or not the hub has kept up, and latency is counted from then to
the arrival of its event at each active subscriber. Every event is read and counted; nothing is sampled.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import uvloop

from bench.cpu import trees_cpu_s
from bench.work import BULLETIN_MEDIA, HOST

OPEN_S_MAX = 60.0
ARRIVE_S_MAX = 15.0
"""Time for the last events after the last bulletin was due."""

POSTS = 16
"""Connections that publish: enough that a post that is due finds a free one."""

SETTLE_S = 1.0
"""Time for the hub to come to rest before its memory is read; some streams were opened then, so that it is warm."""

OPENED_AT_ONCE = 50
IDLE_QUERY = "?topic=drugs.precursors"
"""What nobody publishes here: these streams stay silent."""

_ID = re.compile(rb"^id: ([0-9]+)$", re.MULTILINE)
_INDEX = re.compile(rb"^index ([0-9]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class StreamJob:
    """How many streams are opened, what is published beside them."""

    port: int
    pids: tuple[int, ...]
    tokens: tuple[str, ...]
    lines: Path
    idle: int
    active: int
    a_second: float
    seconds: float


@dataclass(frozen=True, slots=True)
class StreamOutcome:
    """What was measured. `wrong` counts streams that missed something, or had it twice, or out of order."""

    idle: int
    active: int
    published: int
    delivered: int
    wrong: int
    idle_bytes: float
    latencies_s: tuple[float, ...]
    posts_s: tuple[float, ...]
    seconds: float
    hub_cpu_s: float
    load_cpu_s: float


class Subscriber(asyncio.Protocol):
    """One stream. `arrived` holds log index and time of each event."""

    def __init__(self, token: str, query: str) -> None:
        self._head = (
            f"GET /v1/bulletins{query} HTTP/1.1\r\nHost: {HOST}\r\nAccept: text/event-stream\r\n"
            f"Authorization: Bearer {token}\r\n\r\n"
        ).encode()
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.arrived: list[tuple[int, float]] = []
        self._rest = b""
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the stream."""
        self._transport = transport
        cast("asyncio.WriteTransport", transport).write(self._head)

    def data_received(self, data: bytes) -> None:
        """Note which events came, and when."""
        now = time.monotonic()
        if not self.opened.done():
            if not data.startswith(b"HTTP/1.1 200"):
                self.opened.set_exception(ConnectionError(data[:200].decode(errors="replace")))
                return
            self.opened.set_result(None)
        whole, found, self._rest = (self._rest + data).rpartition(b"\n\n")
        if found:
            self.arrived += [(int(seq), now) for seq in _ID.findall(whole)]

    def close(self) -> None:
        """Leave."""
        if self._transport is not None:
            self._transport.close()


class Poster(asyncio.Protocol):
    """One publishing connection."""

    def __init__(self, free: asyncio.Queue[Poster]) -> None:
        self._free = free
        self._buffer = b""
        self._answered: asyncio.Future[int] | None = None
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for work."""
        self._transport = cast("asyncio.WriteTransport", transport)
        self._free.put_nowait(self)

    def post(self, line: bytes) -> asyncio.Future[int]:
        """Post a line; the future has its log index."""
        assert self._transport is not None
        self._answered = asyncio.get_running_loop().create_future()
        head = f"POST /v1/bulletins HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: {BULLETIN_MEDIA}\r\n"
        self._transport.write(f"{head}Content-Length: {len(line)}\r\n\r\n".encode() + line)
        return self._answered

    def data_received(self, data: bytes) -> None:
        """Take the receipt."""
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: ([0-9]+)", head, re.IGNORECASE)
        if not found or length is None or len(body) < int(length[1]):
            return
        self._buffer = b""
        index = _INDEX.search(body)
        assert self._answered is not None
        if not head.startswith(b"HTTP/1.1 201") or index is None:
            self._answered.set_exception(ConnectionError(head[:100].decode(errors="replace")))
            return
        self._answered.set_result(int(index[1]))
        self._free.put_nowait(self)

    def close(self) -> None:
        """Leave."""
        if self._transport is not None:
            self._transport.close()


@dataclass(slots=True)
class Published:
    """When each bulletin was due and how long its post took, by log index."""

    due: dict[int, float] = field(default_factory=dict)
    posts_s: list[float] = field(default_factory=list)


def run(job: StreamJob) -> StreamOutcome:
    """Do the job; raise ConnectionError when a stream or a post is refused."""
    return uvloop.run(_run(job))


async def _run(job: StreamJob) -> StreamOutcome:
    first = await _open(job, OPENED_AT_ONCE, IDLE_QUERY)
    await asyncio.sleep(SETTLE_S)
    before = _resident_bytes(job.pids[0])
    idle = await _open(job, job.idle, IDLE_QUERY)
    await asyncio.sleep(SETTLE_S)
    idle_bytes = (_resident_bytes(job.pids[0]) - before) / job.idle if job.idle else 0.0
    active = await _open(job, job.active, "")
    hub, load, began = trees_cpu_s(job.pids), time.process_time(), time.monotonic()
    published = await _publish(job)
    await _arrive(active, len(published.due))
    seconds = time.monotonic() - began
    hub, load = trees_cpu_s(job.pids) - hub, time.process_time() - load
    for subscriber in (*first, *idle, *active):
        subscriber.close()
    expected = sorted(published.due)
    return StreamOutcome(
        idle=job.idle,
        active=job.active,
        published=len(expected),
        delivered=sum(len(each.arrived) for each in active),
        wrong=sum([seq for seq, _ in each.arrived] != expected for each in active)
        + sum(bool(each.arrived) for each in idle),
        idle_bytes=idle_bytes,
        latencies_s=tuple(at - published.due[seq] for each in active for seq, at in each.arrived),
        posts_s=tuple(published.posts_s),
        seconds=seconds,
        hub_cpu_s=hub,
        load_cpu_s=load,
    )


async def _open(job: StreamJob, count: int, query: str) -> list[Subscriber]:
    loop = asyncio.get_running_loop()
    opened: list[Subscriber] = []
    async with asyncio.timeout(OPEN_S_MAX):
        for start in range(0, count, OPENED_AT_ONCE):
            some = [
                Subscriber(job.tokens[number % len(job.tokens)], query)
                for number in range(start, min(count, start + OPENED_AT_ONCE))
            ]
            for each in some:
                await loop.create_connection(lambda each=each: each, HOST, job.port)  # type: ignore[misc]
            await asyncio.gather(*(each.opened for each in some))
            opened += some
    return opened


async def _publish(job: StreamJob) -> Published:
    loop, free, published = asyncio.get_running_loop(), asyncio.Queue[Poster](), Published()
    posters = [Poster(free) for _ in range(POSTS)]
    for each in posters:
        await loop.create_connection(lambda each=each: each, HOST, job.port)  # type: ignore[misc]
    lines = deque(job.lines.read_bytes().splitlines()[: int(job.a_second * job.seconds)])
    began, posts = time.monotonic(), []

    async def post(line: bytes, due: float) -> None:
        sent = time.monotonic()
        published.due[await (await free.get()).post(line)] = due
        published.posts_s.append(time.monotonic() - sent)

    for number in range(len(lines)):
        due = began + number / job.a_second
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        posts.append(asyncio.ensure_future(post(lines.popleft(), due)))
    await asyncio.gather(*posts)
    for each in posters:
        each.close()
    return published


async def _arrive(active: Sequence[Subscriber], count: int) -> None:
    end = time.monotonic() + ARRIVE_S_MAX
    while time.monotonic() < end and any(len(each.arrived) < count for each in active):  # noqa: ASYNC110
        await asyncio.sleep(0.05)


def _resident_bytes(pid: int) -> int:
    found = re.search(r"VmRSS:\s+([0-9]+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024
