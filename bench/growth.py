"""How a hub slows down as it grows: the same requests at ten thousand, a hundred thousand, a million bulletins.

What is stored was signed, admitted, logged as everything is; only the checks of signature and text are left out, for
the lines come from here. The hub grows in place, is stopped, served, measured, and grows on.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import text

from bench.cells import Progress
from bench.hubs import SQLITE, Place, serve
from bench.lines import ISSUERS, make_token, open_identity, typical_header, typical_payload, write_lines
from bench.load import Job, Outcome, run_apart
from bench.report import percentile
from bench.work import Posts, Pulls, Reads, Work
from broker.hub import open_hub
from broker.intake import Submission, admit_bulletins
from broker.settings import read_settings
from broker.store import log
from broker.store.engine import Store
from lintas import bulletin
from lintas.clock import now_us
from lintas.event import US_PER_S
from lintas.header import BULLETIN
from lintas.line import parse, sign
from lintas.strict import canonical

SIZES = (10_000, 100_000, 1_000_000)
COMMIT = 500
"""Lines in one commit while the hub grows."""

PAYLOADS = 1_000
"""Different contents; each line differs by its header."""

BATCH = 64
SAMPLES = 2_000
WARM_S = 0.5
MS = 1_000


@dataclass(frozen=True, slots=True)
class Grown:
    """What one kind of request took at one size."""

    database: str
    size: int
    work: str
    outcome: Outcome

    @property
    def p50_ms(self) -> float:
        """Half of the requests took no longer."""
        return percentile(sorted(self.outcome.latencies_s), 50) * MS


def measure_growth(
    place: Place, sizes: Sequence[int], seconds: float, *, progress: Progress, database: str = SQLITE
) -> list[Grown]:
    """Grow a hub to each of these sizes and measure it there."""
    data, found, stored = place.scratch / "grown", list[Grown](), 0
    place.copy(place.template, data, database)
    try:
        for size in sizes:
            grow(data, stored, size, lambda done, size=size: progress(f"{database}: {done:,} of {size:,}"))  # type: ignore[misc]
            stored = size
            progress(f"{database}: measuring at {size:,}")
            # New at each size, and none that the hub grew by.
            write_lines(place.template, place.lines, int((seconds + WARM_S) * 3_000), first=SIZES[-1] + size)
            found += _measure(place, data, database, size, seconds)
    finally:
        place.clear(data)
    return found


def grow(data: Path, stored: int, size: int, progress: Callable[[int], None], payloads: int = PAYLOADS) -> None:
    """Add bulletins to a hub that is not served, up to this many, of so many different contents."""
    hub = open_hub(read_settings({}, data=str(data)))
    hub.start()
    try:
        lines = _submissions(data, stored, size, payloads)
        while some := list(islice(lines, COMMIT)):
            done = hub.writer.submit(lambda batch, some=some: admit_bulletins(batch, some)).result()  # type: ignore[misc]
            refused = [each for each in done.value if isinstance(each, Exception)]
            assert not refused, refused[0]
            stored += len(some)
            progress(stored)
    finally:
        hub.stop()


def _submissions(data: Path, start: int, stop: int, payloads: int) -> Iterator[Submission]:
    identities = [open_identity(data, party) for party in ISSUERS]
    now = now_us() // US_PER_S
    for number in range(start, stop):
        identity = identities[number % len(identities)]
        header = typical_header(identity, now, to_all=number % 2 == 0)
        # The end makes each line another one: the lives of a thousand lines with one payload differ by a second.
        header["exp"] -= number // payloads
        payload, content = _content(number % payloads)
        yield Submission(parse(sign(header, payload, identity.key), BULLETIN), content)


@lru_cache(maxsize=PAYLOADS)
def _content(number: int) -> tuple[bytes, bulletin.Bulletin]:
    payload = canonical(typical_payload(number))
    return payload, bulletin.parse(payload, kind="advisory")


def _measure(place: Place, data: Path, database: str, size: int, seconds: float) -> list[Grown]:
    seqs, ids, end = _sample(data)
    token = make_token(data)
    works: dict[str, Callable[[], Work]] = {
        f"commit of {BATCH}": partial(Posts, place.lines, BATCH),
        "page of 100": partial(Pulls, token, end),
        "receipt": partial(Reads, token, [f"/v1/bulletins/{each}/receipt" for each in ids]),
        "proof": partial(Reads, token, [f"/v1/log/proof/{seq}" for seq in seqs]),
    }
    with serve(place, data, database=database) as served:
        return [
            Grown(database, size, name, run_apart(Job(served.ports, served.pids, 1, WARM_S, seconds, make)))
            for name, make in works.items()
        ]


def _sample(data: Path) -> tuple[list[int], list[str], int]:
    """Return random log indexes, ids of random bulletins, the size of the log."""
    with closing(Store(read_settings({}, data=str(data)).database)) as store, store.read() as conn:
        end, _ = log.head(conn)
        seqs = random.sample(range(end), min(SAMPLES, end))
        statement = text("SELECT id FROM line WHERE seq >= :seq AND kind IS NOT NULL ORDER BY seq LIMIT 1")
        ids = [conn.scalar(statement, {"seq": seq}) for seq in seqs]
    return seqs, [each for each in ids if each is not None], end


def growth_figures(found: Sequence[Grown]) -> list[dict[str, Any]]:
    """Return what is told of each size, with the ratio to the smallest."""
    first = {(each.database, each.work): each.p50_ms for each in reversed(found)}
    return [
        {
            "name": f"{each.database} at {each.size:,}: {each.work}",
            "p50_ms": each.p50_ms,
            "p99_ms": percentile(sorted(each.outcome.latencies_s), 99) * MS,
            "to_smallest": each.p50_ms / first[each.database, each.work],
            "hub_ms": each.outcome.hub_cpu_s / len(each.outcome.latencies_s) * MS,
        }
        for each in found
    ]


def growth_table(found: Sequence[Grown]) -> str:
    """Write the measurements for reading."""
    rows = [f"{'growth':<44}{'p50 ms':>9}{'p99 ms':>9}{'to smallest':>13}{'hub CPU ms':>12}"]
    rows += [
        f"{of['name']:<44}{of['p50_ms']:>9.2f}{of['p99_ms']:>9.2f}{of['to_smallest']:>13.2f}{of['hub_ms']:>12.2f}"
        for of in growth_figures(found)
    ]
    return "\n".join((*rows, "", "One connection, closed loop; p50 and CPU of a whole request over HTTP."))
