"""The figures of a run as a table for reading or as values for JSON.

Ratios are within a round, to the mean of the limit before it with the limit after it; what is shown is the median of
the rounds. Latencies of all rounds are taken together.
"""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from cryptography.hazmat.backends.openssl import backend

from bench.cells import PAGE, Cell, Round
from bench.limit import Limit
from bench.load import Outcome

PACKAGES = ("cryptography", "pynacl", "fastapi", "starlette", "uvicorn", "uvloop", "httptools", "sqlalchemy", "psycopg")
PERCENT = 100
NAME_WIDTH = 38
COLUMNS = (
    ("", NAME_WIDTH),
    ("a second", 9),
    ("of limit", 9),
    ("p50 ms", 9),
    ("p99 ms", 9),
    ("checks", 8),
    ("hub", 7),
    ("load", 6),
    ("others", 7),
)


@dataclass(frozen=True, slots=True)
class Figures:
    """What is told of one cell. A unit is an accepted bulletin, a page or a proof; CPU shares are of one core."""

    name: str
    a_second: float
    ratio: float
    p50_ms: float
    p99_ms: float
    checks_a_unit: float
    hub_cpu: float
    load_cpu: float
    others_cpu: float
    units: int
    ran_out: bool


def figures(rounds: Sequence[Round], cell: Cell) -> Figures:
    """Sum up one cell over all rounds."""
    pairs = [(each, found.outcome) for each in rounds for found in each.measured if found.cell == cell]
    outcomes = [outcome for _, outcome in pairs]
    latencies = sorted(latency for outcome in outcomes for latency in outcome.latencies_s)
    return Figures(
        name=cell.name,
        a_second=_median(_rate(outcome) for outcome in outcomes),
        ratio=_median(_rate(outcome) / _limit(each, cell) for each, outcome in pairs),
        p50_ms=percentile(latencies, 50) * 1000,
        p99_ms=percentile(latencies, 99) * 1000,
        checks_a_unit=_median(outcome.hub_cpu_s / outcome.units / _check_cpu_s(each) for each, outcome in pairs),
        hub_cpu=_median(outcome.hub_cpu_s / outcome.seconds for outcome in outcomes),
        load_cpu=_median(outcome.load_cpu_s / outcome.seconds for outcome in outcomes),
        others_cpu=_median(outcome.others_cpu_s / outcome.seconds for outcome in outcomes),
        units=sum(outcome.units for outcome in outcomes),
        ran_out=any(outcome.ran_out for outcome in outcomes),
    )


def summary(rounds: Sequence[Round]) -> list[Figures]:
    """Return the figures of every cell, in the order they were measured."""
    return [figures(rounds, found.cell) for found in rounds[0].measured]


def table(rounds: Sequence[Round]) -> str:
    """Write the run for reading."""
    lines = [
        *limit_lines([limit for each in rounds for limit in (each.before, each.after)]),
        "",
        f"{'':<{NAME_WIDTH}}{'':>9}{'':>9}{'':>9}{'':>9}{'CPU in':>8}{'CPU':>7}{'CPU':>6}{'CPU':>7}",
        "".join(f"{word:>{width}}" for word, width in COLUMNS),
    ]
    for of in summary(rounds):
        note = "  (the lines ran out)" if of.ran_out else ""
        lines.append(
            f"{of.name:<{NAME_WIDTH}}{of.a_second:>9,.0f}{of.ratio:>9.3f}{of.p50_ms:>9.2f}{of.p99_ms:>9.2f}"
            f"{of.checks_a_unit:>8.1f}{of.hub_cpu:>7.0%}{of.load_cpu:>6.0%}{of.others_cpu:>7.0%}{note}"
        )
    lines += [
        "",
        "of limit: bulletins, proofs to libsodium on 2 processes, pages to the loop that parses and writes again.",
        "p50, p99: of a request; with a load in %, from when it was due, at that share of the closed loop's rate.",
        "CPU in checks: the hub's and its database's CPU for a bulletin (page, proof), in libsodium checks.",
        "CPU: share of one core. Everything the hub said it had accepted was found in its database.",
    ]
    return "\n".join(lines)


def limit_lines(limits: Sequence[Limit]) -> list[str]:
    """Write what the machine can do."""
    return [
        "limit: Ed25519 checks a second on this machine, median (lowest to highest)",
        f"  libsodium, 2 processes    {_spread([limit.libsodium_two for limit in limits])}",
        f"  cryptography, 1 process   {_spread([limit.cryptography_one for limit in limits])}",
        f"  one libsodium check       {_median(limit.check_cpu_s for limit in limits) * 1e6:.0f} us of CPU",
        f"  pages parsed and written  {_spread([limit.pages_one for limit in limits])}",
    ]


def values(rounds: Sequence[Round]) -> dict[str, Any]:
    """Return the run for JSON: every round, the summary."""
    return {
        "summary": [asdict(each) for each in summary(rounds)],
        "rounds": [
            {
                "limit_before": asdict(each.before),
                "limit_after": asdict(each.after),
                "cells": [{"name": found.cell.name, **_outcome(found.outcome)} for found in each.measured],
            }
            for each in rounds
        ],
    }


def machine() -> dict[str, Any]:
    """Return what the figures depend on: the machine, the versions."""
    found = {name: version(name) for name in PACKAGES}
    return {
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "openssl": backend.openssl_version_text(),
        "linux": platform.release(),
        **found,
    }


def percentile(ascending: Sequence[float], percent: int) -> float:
    """Return the value that so many percent of the others do not reach."""
    return ascending[min(len(ascending) - 1, len(ascending) * percent // PERCENT)]


def _rate(outcome: Outcome) -> float:
    return outcome.units / outcome.seconds


def _limit(each: Round, cell: Cell) -> float:
    if cell.work == PAGE:
        return (each.before.pages_one + each.after.pages_one) / 2
    return (each.before.libsodium_two + each.after.libsodium_two) / 2


def _check_cpu_s(each: Round) -> float:
    return (each.before.check_cpu_s + each.after.check_cpu_s) / 2


def _median(numbers: Iterable[float]) -> float:
    return statistics.median(numbers)


def _spread(numbers: Sequence[float]) -> str:
    return f"{_median(numbers):>8,.0f}   ({min(numbers):,.0f} to {max(numbers):,.0f})"


def _outcome(outcome: Outcome) -> dict[str, Any]:
    members = asdict(outcome)
    latencies = sorted(members.pop("latencies_s"))
    return {**members, "p50_ms": percentile(latencies, 50) * 1000, "p99_ms": percentile(latencies, 99) * 1000}
