"""The command `python -m bench`: measure publishing with pulling on this machine, print a table."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.abuse import abuse_figures, abuse_table, measure_abuse
from bench.cells import Place, Plan, measure
from bench.report import software, table, values
from bench.streams import measure_streams, stream_figures, stream_table
from broker import exercise
from broker.settings import read_settings

LINES_A_SECOND = 6_000
"""Lines signed for each second of a measurement: more than one hub process takes."""

LINES_MAX = 60_000
PULLED_LINES = 2_000
WARM_S = 0.5
LIMIT_S = 1.0


def main(arguments: list[str] | None = None) -> None:
    """Make an exercised hub, measure, print."""
    asked = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="lintas-bench-") as folder:
        place = Place(template=Path(folder) / "template", scratch=Path(folder))
        _progress("making a hub with all simulated agencies")
        exercise.run(read_settings({}, data=str(place.template)), progress=lambda _text: None)
        way = _streams if asked.streams else _abuse if asked.abuse else _rounds
        text, found = way(place, asked)
    began = datetime.now(UTC).date().isoformat()
    _progress("")
    print(f"{began}, Python {software()['python']}, seconds a measurement: {asked.seconds:g}\n")
    print(text)
    if asked.json is not None:
        asked.json.write_text(json.dumps({"date": began, **found}, indent=2) + "\n")


def _rounds(place: Place, asked: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    plan = Plan(
        rounds=asked.rounds,
        seconds=asked.seconds,
        warm_s=WARM_S,
        limit_s=LIMIT_S,
        lines=min(LINES_MAX, int((asked.seconds + WARM_S) * LINES_A_SECOND)),
        pulled_lines=PULLED_LINES,
    )
    rounds = measure(place, plan, progress=_progress)
    return table(rounds), values(rounds)


def _streams(place: Place, asked: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    found = measure_streams(place, asked.seconds, progress=_progress)
    return stream_table(found), {"software": software(), "streams": [stream_figures(*each) for each in found]}


def _abuse(place: Place, asked: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    found = measure_abuse(place, asked.seconds, progress=_progress)
    return abuse_table(found), {"software": software(), "abuse": [abuse_figures(each) for each in found]}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure publishing and pulling.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every figure to FILE")
    parser.add_argument("--seconds", type=float, default=3.0, help="seconds of one measurement (default: 3)")
    parser.add_argument("--rounds", type=int, default=3, help="times everything is measured (default: 3)")
    parser.add_argument("--streams", action="store_true", help="measure streams instead: memory, latency, delivery")
    parser.add_argument("--abuse", action="store_true", help="measure a good partner beside attackers instead")
    return parser


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[2K{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
