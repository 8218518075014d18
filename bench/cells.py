"""The measurements one by one: each with a hub of its own, in rounds between measurements of the limit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.hubs import POSTGRES, SQLITE, Place, Served, count_stored, serve_copy
from bench.limit import Limit, measure_limit
from bench.lines import make_token, write_lines
from bench.load import Job, Outcome, run_apart
from bench.work import PAGE_LINES, Posts, Pulls, Reads

Progress = Callable[[str], None]

FILL_S_MAX = 120.0
"""Time for posting what is then pulled."""

POST, PAGE, PROOF = "post", "page", "proof"


@dataclass(frozen=True, slots=True)
class Cell:
    """One measurement: what is asked for, over how many connections, of which hub.

    `batch` lines are posted with a request. `paced` makes it an open loop, at this share of what the cell that is the
    same but for this reached in a closed one.
    """

    work: str
    connections: int
    batch: int = 1
    database: str = SQLITE
    workers: int = 1
    paced: float = 0.0

    @property
    def name(self) -> str:
        """Tell it in a few words."""
        of = {PAGE: f" of {PAGE_LINES}", POST: f"s of {self.batch}" if self.batch > 1 else ""}.get(self.work, "")
        where = self.database + (f" x{self.workers}" if self.workers > 1 else "")
        paced = f", {self.paced:.0%} load" if self.paced else ""
        return f"{where}: {self.work}{of}, {self.connections} conn{paced}"

    @property
    def unpaced(self) -> Cell:
        """The same in a closed loop."""
        return Cell(self.work, self.connections, self.batch, self.database, self.workers)


def cells_of(database: str, workers: int = 1, *, is_wide: bool = False) -> tuple[Cell, ...]:
    """Return the measurements of one kind of hub; the wide choice has every number of connections."""
    singles = [1, 16, 64, 256] if is_wide else [1, 64]
    batches = [1, 16, 64] if is_wide else [1, 4]
    pages = [1, 64]
    return (
        *(Cell(POST, each, 1, database, workers) for each in singles),
        Cell(POST, 64, 1, database, workers, paced=0.5),
        *(Cell(POST, each, 100, database, workers) for each in batches),
        *(Cell(PAGE, each, 1, database, workers) for each in pages),
        Cell(PAGE, 64, 1, database, workers, paced=0.5),
        Cell(PROOF, 16, 1, database, workers),
    )


NARROW = cells_of(SQLITE)
WIDE = (
    *cells_of(SQLITE, is_wide=True),
    *cells_of(POSTGRES, is_wide=True),
    *cells_of(POSTGRES, 2, is_wide=True),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured, how long, how often all is repeated, how many lines are signed for it."""

    cells: Sequence[Cell]
    rounds: int
    seconds: float
    warm_s: float
    limit_s: float
    lines: int
    pulled_lines: int


@dataclass(frozen=True, slots=True)
class Measured:
    """A cell of one round and what came of it."""

    cell: Cell
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Round:
    """All cells between two measurements of the limit."""

    before: Limit
    after: Limit
    measured: tuple[Measured, ...]


def measure(place: Place, plan: Plan, *, progress: Progress) -> list[Round]:
    """Sign the lines, then measure every cell in every round; raise ValueError when the hub kept other than it said."""
    progress(f"signing {plan.lines} lines")
    write_lines(place.template, place.lines, plan.lines)
    write_lines(place.template, place.pulled_lines, plan.pulled_lines)
    titles = [f"round {number} of {plan.rounds}" for number in range(1, plan.rounds + 1)]
    return [_measure_round(place, plan, title, progress) for title in titles]


def _measure_round(place: Place, plan: Plan, title: str, progress: Progress) -> Round:
    progress(f"{title}: the limit")
    before = measure_limit(plan.limit_s)
    measured: list[Measured] = []
    for cell in plan.cells:
        progress(f"{title}: {cell.name}")
        rates = {each.cell: each.outcome.units / each.outcome.seconds for each in measured}
        pace = cell.paced * rates.get(cell.unpaced, 0.0)
        measured.append(Measured(cell, _measure_cell(place, plan, cell, pace)))
    return Round(before, measure_limit(plan.limit_s), tuple(measured))


def _measure_cell(place: Place, plan: Plan, cell: Cell, pace: float) -> Outcome:
    data = place.scratch / "hub"
    try:
        with serve_copy(place, data, database=cell.database, workers=cell.workers) as served:
            filled = 0 if cell.work == POST else _fill(served, place.pulled_lines)
            job = Job(
                ports=served.ports,
                pids=served.pids,
                connections=cell.connections,
                warm_s=plan.warm_s,
                seconds=plan.seconds,
                make=_work(place, cell, data, filled),
                a_second=pace,
            )
            outcome = run_apart(job)
        stored = count_stored(data)
    finally:
        place.clear(data)
    told = outcome.total if cell.work == POST else filled, outcome.total if cell.work == PAGE else 0
    if stored != told:
        raise ValueError(f"{cell.name}: the hub told of {told} (stored, sent), its database has {stored}.")
    return outcome


def _work(place: Place, cell: Cell, data: Path, filled: int) -> Callable[[], Posts | Pulls | Reads]:
    if cell.work == POST:
        return partial(Posts, place.lines, cell.batch)
    token = make_token(data)
    if cell.work == PAGE:
        return partial(Pulls, token)
    return partial(Reads, token, [f"/v1/log/proof/{seq}" for seq in range(filled)])


def _fill(served: Served, lines: Path) -> int:
    """Post all lines of a file in batches; return how many were accepted."""
    make = partial(Posts, lines, PAGE_LINES)
    return run_apart(Job(served.ports, served.pids, 1, warm_s=0.0, seconds=FILL_S_MAX, make=make)).total
