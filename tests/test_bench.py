"""The benchmark runs and counts rightly; how fast anything is, no test says."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import abuse, load
from bench.cells import CELLS, Cell, Measured, Place, Plan, Round, measure
from bench.hubs import Served, count_stored, serve_copy
from bench.limit import Limit, count_checks
from bench.lines import make_token, write_lines
from bench.report import figures, table, values
from bench.streams import StreamCell, measure_streams, stream_figures, stream_table
from lintas.header import BULLETIN
from lintas.line import parse

OUTCOME = load.Outcome(
    total=30,
    units=20,
    seconds=2.0,
    latencies_s=tuple(number / 1000 for number in range(100)),
    hub_cpu_s=1.0,
    load_cpu_s=0.5,
    others_cpu_s=3.0,
    ran_out=False,
)
LIMIT = Limit(libsodium_two=1000.0, cryptography_one=400.0, check_cpu_s=0.01)


@pytest.fixture
def place(exercise_template: Path, tmp_path: Path) -> Place:
    """An exercised hub to copy and room for the copies."""
    return Place(exercise_template, tmp_path)


@pytest.fixture
def served(place: Place) -> Iterator[Served]:
    """A hub process over a copy, with 200 signed lines at hand."""
    write_lines(place.template, place.lines, 200)
    with serve_copy(place.template, place.scratch / "hub") as found:
        yield found


def job(served: Served, **given: object) -> load.Job:
    """A job without warm-up that ends when its lines do."""
    members = {"connections": 1, "warm_s": 0.0, "seconds": 30.0, **given}
    return load.Job(port=served.port, hub_pid=served.pid, **members)  # type: ignore[arg-type]


def rounds_of(*outcomes: load.Outcome) -> list[Round]:
    """One round for each outcome, all of the first cell."""
    return [Round(LIMIT, LIMIT, (Measured(CELLS[0], outcome),)) for outcome in outcomes]


def test_a_whole_run(place: Place) -> None:
    """A run measures every cell once a round, and each has its row in the table."""
    plan = Plan(rounds=1, seconds=3.0, warm_s=0.0, limit_s=0.05, lines=500, pulled_lines=200)

    (found,) = measure(place, plan, progress=lambda _text: None)

    assert list(CELLS) == [each.cell for each in found.measured]
    assert [cell.name for cell in CELLS] == [line[:29].strip() for line in table([found]).splitlines()[7:12]]
    assert len(CELLS) == len(values([found])["rounds"][0]["cells"])


def test_lines_are_typical(place: Place) -> None:
    """Lines are well-formed bulletins, unique, of 1.4 to 1.5 KB on average."""
    write_lines(place.template, place.lines, 40)
    raws = place.lines.read_bytes().splitlines()
    mean_bytes = sum(map(len, raws)) // len(raws)

    assert 40 == len({parse(raw, BULLETIN).id for raw in raws})
    assert 1_400 <= mean_bytes <= 1_500


@pytest.mark.parametrize(("connections", "batch"), [(3, 1), (2, 50)])
def test_posts_are_counted(served: Served, place: Place, connections: int, batch: int) -> None:
    """What the load counts as accepted is what the hub stores, over several connections too."""
    outcome = load.run(job(served, lines=place.lines, connections=connections, batch=batch))

    assert 200 == outcome.total
    assert outcome.ran_out
    assert (200, 0) == count_stored(served.data)


def test_a_line_posted_before_is_an_error(served: Served, place: Place) -> None:
    """An answer that accepts nothing new ends the run."""
    load.run(job(served, lines=place.lines))

    with pytest.raises(ValueError, match="Expected 201, found 200"):
        load.run(job(served, lines=place.lines))


def test_a_line_of_a_batch_posted_before_is_an_error(served: Served, place: Place) -> None:
    """A batch in which one line is not new ends the run."""
    load.run(job(served, lines=place.lines))

    with pytest.raises(ValueError, match="Expected 201, found 200"):
        load.run(job(served, lines=place.lines, batch=100))


def test_pages_are_full(served: Served, place: Place) -> None:
    """The reader gets every line; pages are counted, and the empty one at the end is not."""
    load.run(job(served, lines=place.lines, batch=100))

    outcome = load.run(job(served, token=make_token(served.data), seconds=3.0))

    assert (200, outcome.total) == count_stored(served.data)


def test_a_wrong_token_is_an_error(served: Served) -> None:
    """A refused page ends the run."""
    with pytest.raises(ValueError, match="Expected 200, found 401"):
        load.run(job(served, token="none"))


def test_a_hub_that_does_not_start_is_an_error(place: Place) -> None:
    """The reason why a hub does not start is told."""
    (place.scratch / "empty").mkdir()

    with pytest.raises(RuntimeError, match="No hub at"), serve_copy(place.scratch / "empty", place.scratch / "hub"):
        pass


def test_the_window_leaves_out_the_warm_up() -> None:
    """Answers before the window count in the total alone."""
    meter = load.Meter(load.Pulls(""), os.getpid())
    meter.done.append((time.monotonic(), 0.001, 5))
    meter.read_cpu()
    meter.done.append((time.monotonic(), 0.002, 7))
    meter.stop()

    outcome = meter.outcome()

    assert (12, 7, (0.002,)) == (outcome.total, outcome.units, outcome.latencies_s)


def test_an_empty_window_is_an_error() -> None:
    """Where nothing was answered there is nothing to tell."""
    meter = load.Meter(load.Pulls(""), os.getpid())
    meter.done.append((time.monotonic(), 0.001, 5))
    meter.read_cpu()
    meter.stop()

    with pytest.raises(ValueError, match="Nothing was answered"):
        meter.outcome()


def test_lines_that_end_in_the_warm_up_are_an_error() -> None:
    """A window that never began is no measurement."""
    meter = load.Meter(load.Pulls(""), os.getpid())
    meter.stop()

    with pytest.raises(ValueError, match="ran out before"):
        meter.outcome()


@pytest.mark.parametrize("library", ["libsodium", "cryptography"])
def test_checks_are_counted(library: str) -> None:
    """Both libraries verify the measured signature; a rate is of at least one look at the clock."""
    rate = count_checks(library, begin_at=0.0, seconds=0.01)

    assert rate.a_second > 0
    assert rate.cpu_s > 0


def test_figures_are_relative_to_the_limit() -> None:
    """Rates, ratios, CPU in checks, percentiles follow from the outcome and the limit of its round."""
    found = figures(rounds_of(OUTCOME), CELLS[0])

    assert (10.0, 0.01, 5.0) == (found.a_second, found.ratio, found.checks_a_unit)
    assert (50.0, 99.0) == (found.p50_ms, found.p99_ms)
    assert (0.5, 0.25, 1.5) == (found.hub_cpu, found.load_cpu, found.others_cpu)


def test_other_cells_are_left_out() -> None:
    """Figures of a cell are made from its own outcomes."""
    rounds = rounds_of(OUTCOME)
    rounds = [Round(LIMIT, LIMIT, (*rounds[0].measured, Measured(Cell("other", 9, 1), OUTCOME)))]

    assert 20 == figures(rounds, CELLS[0]).units


def test_streams_are_counted(place: Place) -> None:
    """Every stream is opened, every event arrives at every active one, and the table has a row for it."""
    cell = StreamCell("few", idle=5, active=7, a_second=20)

    [(found, outcome)] = measure_streams(place, 1.0, progress=lambda _text: None, cells=[cell])

    assert (20, 140, 0) == (outcome.published, outcome.delivered, outcome.wrong)
    assert 140 == len(outcome.latencies_s)
    assert min(outcome.latencies_s) > 0
    assert "few" == stream_table([(found, outcome)]).splitlines()[1].split()[0]
    assert 140 == stream_figures(found, outcome)["delivered"]


def test_a_stream_that_misses_something_is_an_error(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run in which a subscriber does not hold every bulletin fails."""
    monkeypatch.setattr("bench.streams.ISSUERS", ())
    cell = StreamCell("issuers too", idle=0, active=36, a_second=10)

    with pytest.raises(ValueError, match="4 streams hold other"):
        measure_streams(place, 0.5, progress=lambda _text: None, cells=[cell])


def test_attack(place: Place) -> None:
    """A good partner is served beside an attacker whose lines are all refused, the later ones unseen."""
    write_lines(place.template, place.lines, abuse.BATCH + 25)

    felt = abuse._measure(place, abuse.ATTACKS[1], 0.5, lambda _text: None)

    assert 25 == len(felt.latencies_s)
    assert set(felt.statuses) <= {403, 429}
    assert "bad signatures" in abuse.abuse_table([felt])


def test_table_of_attacks() -> None:
    """Latencies are told in milliseconds, answers by their status."""
    felt = abuse.Felt("nobody", tuple(number / 1000 for number in range(100)), {403: 3, 0: 1}, 2.0, 1.0)

    found = abuse.abuse_figures(felt)

    assert (50.0, 99.0, 2.0, 0.5) == (found["p50_ms"], found["p99_ms"], found["answers_a_second"], found["hub_cpu"])
    assert "cut: 1, 403: 3" in abuse.abuse_table([felt])
