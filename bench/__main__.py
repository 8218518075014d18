"""The command `python -m bench`: measure a hub on this machine, print tables, compare with an earlier run."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.abuse import abuse_figures, abuse_table, measure_abuse
from bench.cells import NARROW, WIDE, Plan, measure
from bench.compare import compare, read_run
from bench.growth import SIZES, growth_figures, growth_table, measure_growth
from bench.hubs import POSTGRES, SQLITE, Place
from bench.limit import measure_limit
from bench.markdown import markdown
from bench.peers import measure_peers, peer_figures, peer_table
from bench.report import limit_lines, machine, table, values
from bench.streams import measure_streams, stream_figures, stream_table
from bench.taxii import measure_taxii, taxii_figures, taxii_table
from broker import exercise
from broker.settings import read_settings

LINES_A_SECOND = 10_000
"""Lines signed for each second of a measurement: more than one hub process takes."""

LINES_MAX = 60_000
PULLED_LINES = 4_000
WARM_S = 0.5
LIMIT_S = 1.0
DEFAULT_GROWTH = 100_000

Found = tuple[str, dict[str, Any]]


def main(arguments: list[str] | None = None) -> None:
    """Make an exercised hub, measure what is asked for, print."""
    asked = _parser().parse_args(arguments)
    run = read_run(asked.measured) if asked.measured else _measure(asked)
    if asked.json is not None:
        asked.json.write_text(json.dumps(run, indent=2) + "\n")
    if asked.markdown:
        print(f"\n{markdown(run)}")
    if asked.compare is not None:
        print(f"\n{compare(read_run(asked.compare), run)}")


def _measure(asked: argparse.Namespace) -> dict[str, Any]:
    run: dict[str, Any] = {"date": datetime.now(UTC).date().isoformat(), "machine": machine()}
    print(f"{run['date']}, Python {run['machine']['python']}, seconds a measurement: {asked.seconds:g}")
    with tempfile.TemporaryDirectory(prefix="lintas-bench-") as folder:
        place = Place(template=Path(folder) / "template", scratch=Path(folder))
        _progress("making a hub with all simulated agencies")
        exercise.run(read_settings({}, data=str(place.template)), progress=lambda _text: None)
        try:
            for part in _parts(asked):
                text, found = part(place, asked)
                _progress("")
                # Each table when it is there: a run that is broken off has told what it knew.
                print(f"\n{text}", flush=True)
                run |= found
        finally:
            place.close()
    return run


def _parts(asked: argparse.Namespace) -> list[Callable[[Place, argparse.Namespace], Found]]:
    named = {
        _streams: asked.streams,
        _growth: asked.growth is not None,
        _abuse: asked.abuse,
        _peers: asked.peers,
        _taxii: asked.taxii,
    }
    if asked.all:
        return [_rounds, *named]
    return [part for part, is_asked in named.items() if is_asked] or [_rounds]


def _rounds(place: Place, asked: argparse.Namespace) -> Found:
    plan = Plan(
        cells=WIDE if asked.all or asked.wide else NARROW,
        rounds=asked.rounds,
        seconds=asked.seconds,
        warm_s=WARM_S,
        limit_s=LIMIT_S,
        lines=min(LINES_MAX, int((asked.seconds + WARM_S) * LINES_A_SECOND)),
        pulled_lines=PULLED_LINES,
    )
    rounds = measure(place, plan, progress=_progress)
    return table(rounds), values(rounds)


def _streams(place: Place, asked: argparse.Namespace) -> Found:
    found = measure_streams(place, asked.seconds, progress=_progress)
    return stream_table(found), {"streams": [stream_figures(*each) for each in found]}


def _growth(place: Place, asked: argparse.Namespace) -> Found:
    sizes = [size for size in SIZES if size <= (asked.growth or DEFAULT_GROWTH)]
    databases = [POSTGRES] if asked.postgres else [SQLITE]
    found = [
        each
        for database in databases
        for each in measure_growth(place, sizes, asked.seconds, progress=_progress, database=database)
    ]
    return growth_table(found), {"growth": growth_figures(found)}


def _abuse(place: Place, asked: argparse.Namespace) -> Found:
    found = measure_abuse(place, asked.seconds, progress=_progress)
    return abuse_table(found), {"abuse": abuse_figures(found)}


def _peers(place: Place, asked: argparse.Namespace) -> Found:
    before = measure_limit(LIMIT_S)
    found = measure_peers(place, asked.seconds, progress=_progress)
    after = measure_limit(LIMIT_S)
    limit = (before.libsodium_two + after.libsodium_two) / 2
    text = "\n".join((*limit_lines([before, after]), "", peer_table(found, limit)))
    return text, {"peers": peer_figures(found, limit), "peer_limits": [asdict(before), asdict(after)]}


def _taxii(place: Place, asked: argparse.Namespace) -> Found:
    database = POSTGRES if asked.postgres else SQLITE
    found = measure_taxii(place, asked.seconds, progress=_progress, peer=asked.taxii_peer, database=database)
    return taxii_table(found), {"taxii": taxii_figures(found)}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure a hub on this machine.")
    parser.add_argument("--seconds", type=float, default=2.0, help="seconds of one measurement (default: 2)")
    parser.add_argument("--rounds", type=int, default=1, help="times the table is measured (default: 1)")
    parser.add_argument("--wide", action="store_true", help="the table with Postgres, replicas, more connections")
    parser.add_argument("--streams", action="store_true", help="streams: memory, latency, delivery")
    parser.add_argument(
        "--growth", type=int, metavar="SIZE", help="growth up to SIZE stored bulletins: 10000 to 1000000"
    )
    parser.add_argument("--postgres", action="store_true", help="growth or objects on Postgres instead of SQLite")
    parser.add_argument("--abuse", action="store_true", help="a good partner beside an attacker")
    parser.add_argument("--peers", action="store_true", help="other brokers, where they are installed")
    parser.add_argument("--taxii", action="store_true", help="pages of objects over TAXII, up to 200000 objects")
    parser.add_argument(
        "--taxii-peer", type=Path, metavar="PYTHON", help="a Python with opentaxii, waitress: beside it"
    )
    parser.add_argument("--all", action="store_true", help="everything above, growth to 100000 (about ten minutes)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every figure to FILE")
    parser.add_argument("--compare", type=Path, metavar="OLD", help="set the run beside an earlier one's file")
    parser.add_argument("--measured", type=Path, metavar="FILE", help="measure nothing, read this run")
    parser.add_argument(
        "--markdown", action="store_true", help="also print the tables as they stand in the documentation"
    )
    return parser


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[2K{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
