"""Pages of objects over TAXII: how many a second, at 2,000 to 200,000 objects, beside a server that others run.

The peer is OpenTAXII over SQLite, with the same objects, where a Python that has it is named. It signs nobody in and
records nothing; the hub does both.
"""

from __future__ import annotations

import base64
import json
import random
import subprocess
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import text

from bench import taxii_peer
from bench.cells import Progress
from bench.growth import grow
from bench.hubs import SQLITE, Place, free_port, serve
from bench.lines import make_token
from bench.load import Job, Outcome, run_apart
from bench.report import percentile
from bench.work import HOST, PAGE_LINES, expect
from broker.additions import next_slice
from broker.filling import add
from broker.hub import open_hub
from broker.settings import read_settings
from broker.store.engine import Store
from lintas.stix.ids import stamp
from lintas.taxii import MEDIA
from lintas.taxii.filters import write_position

SIZES = (2_000, 20_000, 200_000)
"""Objects."""

OBJECTS_A_BULLETIN = 5
PLACES = 500
"""Places of the collection where pages begin."""

CONNECTIONS = (1, 8)
PEER_S = 40.0
"""The peer takes seconds for a page, and not less of them over more connections."""
WARM_S = 0.5
MS = 1_000
HUB = "hub"

Row = tuple[int, str, str | None, bytes]
"""When an object was added, its id, version, bytes."""


@dataclass(frozen=True, slots=True)
class Paged:
    """Pages of one server at one size, over so many connections."""

    server: str
    objects: int
    connections: int
    outcome: Outcome

    @property
    def a_second(self) -> float:
        """Pages a second."""
        return self.outcome.units / self.outcome.seconds

    @property
    def p50_ms(self) -> float:
        """Half of the pages took no longer."""
        return percentile(sorted(self.outcome.latencies_s), 50) * MS


class Pages:
    """Pages of a hundred objects, each from another place; each must be full."""

    def __init__(self, paths: list[str], token: str = "") -> None:
        """Ask for these paths, again and again."""
        self._paths = deque(paths)
        self._head = f"Accept: {MEDIA}\r\n" + (f"Authorization: Bearer {token}\r\n" if token else "")

    def next(self) -> bytes | None:
        """Return the next request."""
        self._paths.rotate(-1)
        return f"GET {self._paths[0]} HTTP/1.1\r\nHost: {HOST}\r\n{self._head}\r\n".encode()

    def check(self, status: int, head: bytes, body: bytes) -> int:
        """Expect a full page with more to come."""
        del head
        expect(status, 200, body)
        expect(body.count(b'"spec_version"'), PAGE_LINES, body)
        return 1


def measure_taxii(
    place: Place, seconds: float, *, progress: Progress, peer: Path | None = None, database: str = SQLITE
) -> list[Paged]:
    """Grow a hub to each size and measure it there, then the peer with the same objects."""
    data, found, stored = place.scratch / "objects", list[Paged](), 0
    place.copy(place.template, data, database)
    try:
        for size in SIZES:
            bulletins = size // OBJECTS_A_BULLETIN
            grow(data, stored, bulletins, lambda done, size=size: progress(f"{size:,}: {done:,}"), payloads=10**9)  # type: ignore[misc]
            stored = bulletins
            progress(f"{size:,}: filling the collections")
            fill(data)
            rows = _rows(data)
            progress(f"{size:,}: hub")
            make = partial(Pages, [_hub_path(row[0]) for row in _places(rows)], make_token(data))
            with serve(place, data, database=database) as served:
                found += _measure(len(rows), Job(served.ports, served.pids, 1, WARM_S, seconds, make))
            if peer is not None:
                progress(f"{size:,}: peer")
                found.append(_measure_peer(place.scratch / f"peer-{size}", peer, rows))
    finally:
        place.clear(data)
    return found


def fill(data: Path) -> None:
    """Fill the collections of a hub that is not served."""
    hub = open_hub(read_settings({}, data=str(data)))
    hub.start()
    try:
        while True:
            with hub.store.read() as conn:
                found = next_slice(conn, hub.directory.partners, now=hub.now())
            if not found.steps and found.size >= hub.writer.size:
                return
            hub.writer.submit(lambda batch, found=found: add(batch, found)).result()  # type: ignore[misc]
    finally:
        hub.stop()


def _measure(size: int, job: Job) -> list[Paged]:
    jobs = (replace(job, connections=connections) for connections in CONNECTIONS)
    return [Paged(HUB, size, each.connections, run_apart(each)) for each in jobs]


def _rows(data: Path) -> list[Row]:
    statement = text("SELECT added, id, version, body FROM taxii_object ORDER BY added")
    with closing(Store(read_settings({}, data=str(data)).database)) as store, store.read() as conn:
        return [(row.added, row.id, row.version, bytes(row.body)) for row in conn.execute(statement)]


def _places(rows: Sequence[Row]) -> list[Row]:
    return random.choices(rows[: -2 * PAGE_LINES], k=PLACES)


def _hub_path(added: int) -> str:
    return f"/taxii2/api/collections/all/objects/?limit={PAGE_LINES}&next={write_position(added)}"


def _measure_peer(folder: Path, peer: Path, rows: Sequence[Row]) -> Paged:
    folder.mkdir()
    with (folder / "rows").open("w") as file:
        file.writelines(f"{json.dumps([*row[:3], json.loads(row[3])])}\n" for row in rows)
    make = partial(Pages, [_peer_path(*row[:2]) for row in _places(rows)])
    with _served_peer(peer, folder) as (port, pid):
        return Paged("OpenTAXII", len(rows), 1, run_apart(Job((port,), (pid,), 1, 0.0, PEER_S, make)))


def _peer_path(added: int, name: str) -> str:
    added_at = stamp(added).replace("Z", "+00:00")
    following = base64.b64encode(f"{added_at}|{name}".encode()).decode().replace("+", "%2B").replace("=", "%3D")
    base = f"/taxii2/{taxii_peer.ROOT}/collections/{taxii_peer.COLLECTION}/objects/"
    return f"{base}?limit={PAGE_LINES}&next={following}"


@contextmanager
def _served_peer(python: Path, folder: Path) -> Iterator[tuple[int, int]]:
    port = free_port()
    command = [str(python), "-W", "ignore", taxii_peer.__file__, str(folder / "rows"), str(folder), str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=(folder / "log").open("wb"))
    assert process.stdout is not None
    try:
        if b"ready\n" not in iter(process.stdout.readline, b""):
            raise RuntimeError(f"The peer did not become ready: {(folder / 'log').read_text()[-2_000:]}")
        # It says so before it listens.
        time.sleep(1.0)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


def taxii_figures(found: Sequence[Paged]) -> list[dict[str, Any]]:
    """Return what is told of each size: the ratio to the smallest, of the hub also to the peer at this size."""
    smallest = {(each.server, each.connections): each.p50_ms for each in reversed(found)}
    peers = {each.objects: each.a_second for each in found if each.server != HUB}
    return [
        {
            "name": f"{each.server}, {each.objects:,} objects, {each.connections} connections",
            "a_second": each.a_second,
            "p50_ms": each.p50_ms,
            "to_smallest": each.p50_ms / smallest[each.server, each.connections],
            "to_peer": None if each.server != HUB or each.objects not in peers else each.a_second / peers[each.objects],
            "server_ms": each.outcome.hub_cpu_s / len(each.outcome.latencies_s) * MS,
        }
        for each in found
    ]


def taxii_table(found: Sequence[Paged]) -> str:
    """Write the measurements for reading."""
    rows = [f"{'TAXII, pages of 100':<44}{'a second':>10}{'p50 ms':>9}{'to smallest':>13}{'to peer':>9}{'CPU ms':>9}"]
    for of in taxii_figures(found):
        to_peer = f"{'-':>9}" if of["to_peer"] is None else f"{of['to_peer']:>9.1f}"
        rows.append(
            f"{of['name']:<44}{of['a_second']:>10.1f}{of['p50_ms']:>9.2f}{of['to_smallest']:>13.2f}{to_peer}"
            f"{of['server_ms']:>9.2f}"
        )
    return "\n".join(
        (*rows, "", "Closed loop, each page from another place; each of the hub is recorded before it leaves.")
    )
