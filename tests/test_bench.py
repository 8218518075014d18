"""The benchmark runs and counts rightly; how fast anything is, no test says."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from bench import abuse, growth, load, peers
from bench.__main__ import main
from bench.cells import NARROW, PAGE, POST, Cell, Measured, Plan, Round, cells_of, measure
from bench.compare import compare
from bench.hubs import POSTGRES, Place, Served, count_stored, serve_copy
from bench.limit import LINE, Limit, count_checks, write_again
from bench.lines import make_token, write_lines
from bench.report import figures, table, values
from bench.streams import StreamCell, measure_streams, stream_figures, stream_table
from bench.work import Posts, Pulls, Reads
from broker.fsck import check_everything
from broker.hub import read_log_key
from broker.settings import read_settings
from broker.store.engine import Store
from lintas.header import BULLETIN
from lintas.line import parse
from tests.databases import Databases

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
LIMIT = Limit(libsodium_two=1000.0, cryptography_one=400.0, check_cpu_s=0.01, pages_one=20.0)


@pytest.fixture(scope="session")
def exercise_template(region_template: Path) -> Path:
    """What is measured goes to the whole region."""
    return region_template


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An exercised hub to copy and room for the copies."""
    # Asked for only here: measurements choose their databases themselves, so they are not run again on Postgres.
    return Place(request.getfixturevalue("exercise_template"), tmp_path)


@pytest.fixture
def served(place: Place) -> Iterator[Served]:
    """A hub process over a copy, with 200 signed lines at hand."""
    write_lines(place.template, place.lines, 200)
    with serve_copy(place, place.scratch / "hub") as found:
        yield found


def job(served: Served, make: partial[Posts] | partial[Pulls] | partial[Reads], **given: object) -> load.Job:
    """A job without warm-up that ends when its lines do."""
    members = {"connections": 1, "warm_s": 0.0, "seconds": 30.0, "make": make, **given}
    return load.Job(ports=served.ports, pids=served.pids, **members)  # type: ignore[arg-type]


def whole(data: Path) -> int:
    """Re-derive everything a hub stored; return the size of its log."""
    settings = read_settings({}, data=str(data))
    store, key = Store(settings.database), read_log_key(settings.log_key_file)
    size = check_everything(store, key.verifier, lambda _done, _all: None).size
    store.close()
    return size


def meter_of(work: Posts | Pulls) -> load.Meter:
    """A meter of nobody's CPU."""
    return load.Meter(work, ())


def rounds_of(*outcomes: load.Outcome, cell: Cell = NARROW[0]) -> list[Round]:
    """One round for each outcome, all of one cell."""
    return [Round(LIMIT, LIMIT, (Measured(cell, outcome),)) for outcome in outcomes]


def test_a_whole_run(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run measures every cell once a round, and each has its row in the table; a paced one is slower."""
    monkeypatch.setattr("bench.cells.run_apart", load.run)
    cells = (Cell(POST, 2), Cell(POST, 2, paced=0.3), Cell(PAGE, 2))
    plan = Plan(cells=cells, rounds=1, seconds=0.5, warm_s=0.0, limit_s=0.05, lines=2_000, pulled_lines=200)

    (found,) = measure(place, plan, progress=lambda _text: None)

    outcomes = [each.outcome for each in found.measured]
    assert list(cells) == [each.cell for each in found.measured]
    assert [cell.name for cell in cells] == [line[:38].strip() for line in table([found]).splitlines()[8:11]]
    assert len(cells) == len(values([found])["rounds"][0]["cells"])
    assert outcomes[1].units < outcomes[0].units


def test_names_of_cells_differ() -> None:
    """Each cell of each kind of hub has a name of its own, by which runs are compared."""
    cells = (*cells_of("sqlite", is_wide=True), *cells_of(POSTGRES, is_wide=True), *cells_of(POSTGRES, 2, is_wide=True))

    assert len(cells) == len({cell.name for cell in cells})


def test_two_replicas_on_postgres(exercise_template: Path, tmp_path: Path, databases: Databases) -> None:
    """Two replicas over one database take from all connections what one would."""
    if not databases.is_postgres:
        pytest.skip("run with --postgres")
    place = Place(exercise_template, tmp_path)
    write_lines(place.template, place.lines, 100)
    data = place.scratch / "hub"
    with serve_copy(place, data, database=POSTGRES, workers=2) as found:
        outcome = load.run(job(found, partial(Posts, place.lines), connections=4))
    stored = count_stored(data)
    place.clear(data)
    place.close()

    assert (2, 100, (100, 0)) == (len(found.ports), outcome.total, stored)


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
    outcome = load.run(job(served, partial(Posts, place.lines, batch), connections=connections))

    assert 200 == outcome.total
    assert outcome.ran_out
    assert (200, 0) == count_stored(served.data)


def test_a_line_posted_before_is_an_error(served: Served, place: Place) -> None:
    """An answer that accepts nothing new ends the run."""
    load.run(job(served, partial(Posts, place.lines)))

    with pytest.raises(ValueError, match="Expected 201, found 200"):
        load.run(job(served, partial(Posts, place.lines)))


def test_a_line_of_a_batch_posted_before_is_an_error(served: Served, place: Place) -> None:
    """A batch in which one line is not new ends the run."""
    load.run(job(served, partial(Posts, place.lines)))

    with pytest.raises(ValueError, match="Expected 201, found 200"):
        load.run(job(served, partial(Posts, place.lines, 100)))


def test_pages_are_full(served: Served, place: Place) -> None:
    """The reader gets every line; pages are counted, and the empty one at the end is not."""
    load.run(job(served, partial(Posts, place.lines, 100)))

    outcome = load.run(job(served, partial(Pulls, make_token(served.data)), seconds=1.0))

    assert (200, outcome.total) == count_stored(served.data)


def test_small_answers_are_read(served: Served) -> None:
    """Proofs are asked for in turn, each of which must be there; without a token the first is an error."""
    reads = partial(Reads, make_token(served.data), ["/v1/log/proof/1", "/v1/log/proof/2"])

    assert load.run(job(served, reads, seconds=0.2)).total > 1
    with pytest.raises(ValueError, match="Expected 200, found 401"):
        load.run(job(served, partial(Pulls, "none")))


def test_a_hub_that_does_not_start_is_an_error(place: Place) -> None:
    """The reason why a hub does not start is told."""
    (place.scratch / "empty").mkdir()

    with (
        pytest.raises(RuntimeError, match="No hub at"),
        serve_copy(Place(place.scratch / "empty", place.scratch), place.scratch / "hub"),
    ):
        pass


def test_the_window_leaves_out_the_warm_up() -> None:
    """Answers before the window count in the total alone."""
    meter = meter_of(Pulls(""))
    meter.done.append((time.monotonic(), 0.001, 5))
    meter.read_cpu()
    meter.done.append((time.monotonic(), 0.002, 7))
    meter.stop()

    outcome = meter.outcome()

    assert (12, 7, (0.002,)) == (outcome.total, outcome.units, outcome.latencies_s)


def test_an_empty_window_is_an_error() -> None:
    """Where nothing was answered there is nothing to tell."""
    meter = meter_of(Pulls(""))
    meter.done.append((time.monotonic(), 0.001, 5))
    meter.read_cpu()
    meter.stop()

    with pytest.raises(ValueError, match="Nothing was answered"):
        meter.outcome()


def test_lines_that_end_in_the_warm_up_are_an_error() -> None:
    """A window that never began is no measurement."""
    meter = meter_of(Pulls(""))
    meter.stop()

    with pytest.raises(ValueError, match="ran out before"):
        meter.outcome()


@pytest.mark.parametrize("library", ["libsodium", "cryptography", "lines"])
def test_checks_are_counted(library: str) -> None:
    """Both libraries verify the measured signature, the loop writes a line again, at least as often as one look."""
    rate = count_checks(library, begin_at=0.0, seconds=0.01)

    assert rate.a_second > 0
    assert rate.cpu_s > 0


def test_figures_are_relative_to_the_limit() -> None:
    """Rates, ratios, CPU in checks, percentiles follow from the outcome and the limit of its round."""
    found = figures(rounds_of(OUTCOME), NARROW[0])

    assert (10.0, 0.01, 5.0) == (found.a_second, found.ratio, found.checks_a_unit)
    assert (50.0, 99.0) == (found.p50_ms, found.p99_ms)
    assert (0.5, 0.25, 1.5) == (found.hub_cpu, found.load_cpu, found.others_cpu)


def test_other_cells_are_left_out() -> None:
    """Figures of a cell are made from its own outcomes."""
    rounds = rounds_of(OUTCOME)
    rounds = [Round(LIMIT, LIMIT, (*rounds[0].measured, Measured(Cell(POST, 9), OUTCOME)))]

    assert 20 == figures(rounds, NARROW[0]).units


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


def test_an_open_loop_counts_from_the_due_time(served: Served, place: Place) -> None:
    """Requests fall due at the asked rate, never faster; what finds no free connection waits, and its wait counts."""
    outcome = load.run(job(served, partial(Posts, place.lines), seconds=0.3, a_second=600.0))

    assert outcome.total <= 182
    assert max(outcome.latencies_s) > 3 * min(outcome.latencies_s)


def test_pages_are_held_against_the_loop() -> None:
    """The ratio of pages is to pages that are parsed and written again, not to checks."""
    cell = Cell(PAGE, 1)

    assert 0.5 == figures(rounds_of(OUTCOME, cell=cell), cell).ratio


def test_the_loop_writes_what_a_line_holds() -> None:
    """What is written again is the header with the payload."""
    assert {"typ", "content"} <= json.loads(write_again(LINE)).keys()


def test_a_grown_hub_is_whole(place: Place) -> None:
    """A hub that grew without being served checks like any other, and every request of the growth is answered."""
    data = place.scratch / "grown"
    place.copy(place.template, data, "sqlite")
    growth.grow(data, 0, 300, lambda _done: None)
    growth.grow(data, 300, 400, lambda _done: None)

    assert (400, 0) == count_stored(data)
    assert whole(data) > 800


def test_growth_is_told_as_a_ratio() -> None:
    """Each size is set beside the smallest of its database."""
    found = [growth.Grown("sqlite", size, "proof", OUTCOME) for size in (10, 20)]

    assert [1.0, 1.0] == [of["to_smallest"] for of in growth.growth_figures(found)]
    assert "sqlite at 20: proof" in growth.growth_table(found)


def test_growth_is_measured(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """All four kinds of request are answered at a size."""
    monkeypatch.setattr(growth, "run_apart", load.run)
    found = growth.measure_growth(place, [200], 0.3, progress=lambda _text: None)

    assert ["commit of 64", "page of 100", "receipt", "proof"] == [each.work for each in found]
    assert all(each.p50_ms > 0 for each in found)


def test_abuse_is_measured(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The partner is answered alone and beside an attacker, who is refused."""
    monkeypatch.setattr(abuse, "WARM_S", 0.1)
    monkeypatch.setattr(abuse, "run_apart", load.run)
    found = abuse.measure_abuse(place, 0.4, progress=lambda _text: None, attacks=abuse.ATTACKS[:1])

    assert ["alone", "bad signatures"] == [each.name for each in found]
    assert all(each.outcome.units for each in found)
    assert "201" not in found[1].answers
    assert 1.0 == abuse.abuse_figures(found)[0]["p99_to_alone"]
    assert "good partner: alone" in abuse.abuse_table([abuse.Suffered("alone", OUTCOME, Counter({"403": 2}))])


def test_absent_peers_are_named(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that is not installed is said to be absent."""
    monkeypatch.setattr("shutil.which", lambda _name: None)
    found = peers.measure_peers(place, 1.0, progress=lambda _text: None)

    assert found[0].a_second is None
    assert "absent" in peers.peer_table(found, 1000.0)


def test_runs_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two files are set beside each other by the names of their cells: ratios of ratios."""
    for name, ratio in (("old", 0.1), ("new", 0.2)):
        cell = {"name": "posts", "ratio": ratio, "checks_a_unit": 4.0, "p99_ms": 10.0}
        (tmp_path / name).write_text(json.dumps({"summary": [cell], "growth": [{"name": f"only {name}"}]}))

    main(["--compare", str(tmp_path / "old"), "--measured", str(tmp_path / "new")])

    told = capsys.readouterr().out
    assert ["posts", "0.100", "0.200", "2.00"] == told.splitlines()[3].split()[:4]
    assert "only old: only in the old run" in told


def test_a_figure_that_one_run_lacks_is_left_empty() -> None:
    """What only one of two runs measured of a cell is not compared."""
    assert "0.5" not in compare({"abuse": [{"name": "a", "p99_ms": 0.5}]}, {"abuse": [{"name": "a"}]})


def test_attacks_reach_the_hub(served: Served, place: Place) -> None:
    """Each attacker keeps the hub busy without being let in."""
    bad = [abuse.spoil(raw) for raw in place.lines.read_bytes().splitlines()[:5]]

    answers = [abuse.attack_hub(number, served.ports[0], bad, 0.3) for number in range(len(abuse.ATTACKS))]

    assert all("201" not in each for each in answers)
    assert (0, 0) == count_stored(served.data)
    assert {"bad signatures", "too many requests"} <= {
        attack.name for attack, each in zip(abuse.ATTACKS, answers, strict=True) if each
    }


def test_tables_of_the_documentation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A kept run is written as the tables that stand in the documentation, with the limits it was measured against."""
    rounds = rounds_of(OUTCOME)
    peer = {"name": "peer", "a_second": None, "ratio": None, "note": "absent"}
    (tmp_path / "run").write_text(json.dumps({**values(rounds), "peers": [peer]}))

    main(["--measured", str(tmp_path / "run"), "--markdown"])

    told = capsys.readouterr().out.splitlines()
    assert "| libsodium, 2 processes | 1,000 |" in told
    assert f"| {NARROW[0].name} | 10 | 0.01 | 50 | 99 | 5 | 1.5 |" in told
    assert "| peer | - | - | absent |" in told
