"""Two runs beside each other: how each figure changed, as a ratio of ratios."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAME_WIDTH = 44


def read_run(path: Path) -> dict[str, Any]:
    """Return a run that was written by `--json`."""
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Write what both runs measured, new beside old; above 1 the new one does more, or needs more.

    Rates are compared as their ratio to the limit of their own run, CPU in checks of their own run; latencies as they
    are, for they mean something on one machine alone.
    """
    rows = [
        f"{'':<{NAME_WIDTH}}{'of limit':>20}{'':>8}{'CPU in checks':>20}{'':>8}{'p99 ms':>20}{'':>8}",
        f"{'':<{NAME_WIDTH}}" + f"{'old':>10}{'new':>10}{'ratio':>8}" * 3,
    ]
    before, after = _cells(old), _cells(new)
    for name in [name for name in before if name in after]:
        pairs = [(before[name].get(key), after[name].get(key)) for key in ("ratio", "checks_a_unit", "p99_ms")]
        rows.append(f"{name:<{NAME_WIDTH}}" + "".join(_change(*pair) for pair in pairs))
    left = [name for name in (*before, *after) if (name in before) != (name in after)]
    rows += [f"{name}: only in {'the old' if name in before else 'the new'} run" for name in left]
    return "\n".join(rows)


def _cells(run: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    parts = ("summary", "streams", "growth", "abuse", "peers")
    return {each["name"]: each for part in parts for each in run.get(part, ())}


def _change(old: float | None, new: float | None) -> str:
    if old is None or new is None:
        return f"{'':>28}"
    ratio = f"{new / old:.2f}" if old else ""
    return f"{old:>10.3f}{new:>10.3f}{ratio:>8}"
