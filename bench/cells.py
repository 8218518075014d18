"""The measurements one by one: each with a hub of its own, in rounds between measurements of the limit."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

from bench import load
from bench.hubs import count_stored, serve_copy
from bench.limit import Limit, measure_limit
from bench.lines import make_token, write_lines

Progress = Callable[[str], None]

FILL_S_MAX = 120.0
"""Time for posting what is then pulled."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One measurement: posts of `batch` lines, or pages when `batch` is 0, over some connections."""

    name: str
    connections: int
    batch: int


CELLS = (
    Cell("post, 1 connection", 1, 1),
    Cell("post, 16 connections", 16, 1),
    Cell("batch of 100, 1 connection", 1, 100),
    Cell("batch of 100, 4 connections", 4, 100),
    Cell("page of 100, 1 connection", 1, 0),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """How long each measurement lasts, how often all are repeated, how many lines are signed for them."""

    rounds: int
    seconds: float
    warm_s: float
    limit_s: float
    lines: int
    pulled_lines: int


@dataclass(frozen=True, slots=True)
class Measured:
    """A cell of one round and what the machine could do around it."""

    cell: Cell
    outcome: load.Outcome


@dataclass(frozen=True, slots=True)
class Round:
    """All cells between two measurements of the limit."""

    before: Limit
    after: Limit
    measured: tuple[Measured, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the hub that is copied stands, where the signed lines and the copies go."""

    template: Path
    scratch: Path

    @property
    def lines(self) -> Path:
        """The lines that are posted."""
        return self.scratch / "lines"

    @property
    def pulled_lines(self) -> Path:
        """The lines that are posted before pages are pulled."""
        return self.scratch / "pulled-lines"


def measure(place: Place, plan: Plan, *, progress: Progress) -> list[Round]:
    """Sign the lines, then measure every cell in every round; raise ValueError when the hub kept other than it said."""
    progress(f"signing {plan.lines} lines")
    write_lines(place.template, place.lines, plan.lines)
    write_lines(place.template, place.pulled_lines, plan.pulled_lines)
    titles = [f"round {number} of {plan.rounds}" for number in range(1, plan.rounds + 1)]
    return [_measure_round(place, plan, title, progress) for title in titles]


def _measure_round(place: Place, plan: Plan, title: str, progress: Progress) -> Round:
    progress(f"{title}: the limit")
    before, measured = measure_limit(plan.limit_s), []
    for cell in CELLS:
        progress(f"{title}: {cell.name}")
        measured.append(Measured(cell, _measure_cell(place, plan, cell)))
    return Round(before, measure_limit(plan.limit_s), tuple(measured))


def _measure_cell(place: Place, plan: Plan, cell: Cell) -> load.Outcome:
    data = place.scratch / "hub"
    try:
        with serve_copy(place.template, data) as served:
            given = load.Job(
                port=served.port,
                hub_pid=served.pid,
                connections=cell.connections,
                warm_s=plan.warm_s,
                seconds=plan.seconds,
            )
            if cell.batch:
                outcome = _apart(replace(given, lines=place.lines, batch=cell.batch))
                expected = outcome.total, 0
            else:
                filled = _fill(given, place)
                outcome = _apart(replace(given, token=make_token(data)))
                expected = filled, outcome.total
        stored = count_stored(data)
    finally:
        shutil.rmtree(data, ignore_errors=True)
    if stored != expected:
        raise ValueError(f"{cell.name}: the hub told of {expected} (stored, sent), its database has {stored}.")
    return outcome


def _fill(job: load.Job, place: Place) -> int:
    return _apart(replace(job, lines=place.pulled_lines, batch=load.PAGE_LINES, warm_s=0, seconds=FILL_S_MAX)).total


def _apart(job: load.Job) -> load.Outcome:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(load.run, job).result()
