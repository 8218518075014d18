"""The measurements of streams: silent ones beside active ones, while bulletins come at a steady rate."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from typing import Any

from bench import subscribers
from bench.cells import Progress
from bench.hubs import Place, serve_copy
from bench.lines import ISSUERS, make_token, write_lines
from bench.report import percentile
from bench.subscribers import StreamJob, StreamOutcome
from lintas import vocabulary

KIB = 1024


@dataclass(frozen=True, slots=True)
class StreamCell:
    """One measurement: so many silent and active streams, so many bulletins a second."""

    name: str
    idle: int
    active: int
    a_second: float


STREAM_CELLS = (
    StreamCell("100 active", 0, 100, 100),
    StreamCell("1,000 idle, 100 active", 1_000, 100, 100),
    StreamCell("1,000 active", 0, 1_000, 100),
)


def measure_streams(
    place: Place, seconds: float, *, progress: Progress, cells: Sequence[StreamCell] = STREAM_CELLS
) -> list[tuple[StreamCell, StreamOutcome]]:
    """Measure each cell with a hub of its own; raise ValueError when a stream did not hold exactly what it must."""
    progress("signing lines")
    write_lines(place.template, place.lines, int(max(cell.a_second for cell in cells) * seconds), to_all=True)
    return [(cell, _measure_cell(place, cell, seconds, progress)) for cell in cells]


def _measure_cell(place: Place, cell: StreamCell, seconds: float, progress: Progress) -> StreamOutcome:
    progress(f"streams: {cell.name}")
    data = place.scratch / "hub"
    # Issuers are not told what they sent, so they do not subscribe.
    readers = sorted(set(vocabulary.load().agencies) - set(ISSUERS))
    tokens = tuple(make_token(place.template, reader) for reader in readers)
    try:
        with serve_copy(place, data) as served:
            job = StreamJob(
                port=served.ports[0],
                pids=served.pids,
                tokens=tokens,
                lines=place.lines,
                idle=cell.idle,
                active=cell.active,
                a_second=cell.a_second,
                seconds=seconds,
            )
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                outcome = pool.submit(subscribers.run, job).result()
    finally:
        place.clear(data)
    if outcome.wrong or outcome.published != int(cell.a_second * seconds):
        raise ValueError(f"{cell.name}: {outcome.wrong} streams hold other than they must.")
    return outcome


def stream_figures(cell: StreamCell, outcome: StreamOutcome) -> dict[str, Any]:
    """Return what is told of one cell."""
    latencies, posts = sorted(outcome.latencies_s), sorted(outcome.posts_s)
    return {
        **asdict(cell),
        "published": outcome.published,
        "delivered": outcome.delivered,
        "idle_kib": outcome.idle_bytes / KIB,
        "p50_ms": percentile(latencies, 50) * 1000,
        "p99_ms": percentile(latencies, 99) * 1000,
        "post_p99_ms": percentile(posts, 99) * 1000,
        "hub_cpu": outcome.hub_cpu_s / outcome.seconds,
        "load_cpu": outcome.load_cpu_s / outcome.seconds,
    }


def stream_table(found: Sequence[tuple[StreamCell, StreamOutcome]]) -> str:
    """Write the measurements for reading."""
    lines = [
        (
            f"{'streams':<26}{'delivered':>10}{'KiB idle':>10}{'p50 ms':>8}{'p99 ms':>8}{'post p99':>10}"
            f"{'hub':>6}{'load':>6}"
        )
    ]
    for cell, outcome in found:
        of = stream_figures(cell, outcome)
        lines.append(
            f"{cell.name:<26}{of['delivered']:>10,}{of['idle_kib']:>10.1f}{of['p50_ms']:>8.1f}{of['p99_ms']:>8.1f}"
            f"{of['post_p99_ms']:>10.1f}{of['hub_cpu']:>6.0%}{of['load_cpu']:>6.0%}"
        )
    lines += [
        "",
        "p50, p99: from when a bulletin is due to its event at a subscriber. post p99: of publishing beside them.",
        "Every active stream held every bulletin, once, in order. KiB idle: resident memory for one silent stream.",
    ]
    return "\n".join(lines)
