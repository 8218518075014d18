"""The tables of docs/benchmarks.md, written from a run."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

THOUSAND = 1_000

TABLES: Mapping[str, Sequence[tuple[str, str]]] = {
    "summary": (
        ("", "name"),
        ("a second", "a_second"),
        ("of limit", "ratio"),
        ("p50 ms", "p50_ms"),
        ("p99 ms", "p99_ms"),
        ("CPU in checks", "checks_a_unit"),
        ("others CPU", "others_cpu"),
    ),
    "streams": (
        ("", "name"),
        ("delivered", "delivered"),
        ("KiB a silent stream", "idle_kib"),
        ("p50 ms", "p50_ms"),
        ("p99 ms", "p99_ms"),
        ("p99 ms of a post", "post_p99_ms"),
        ("hub CPU", "hub_cpu"),
    ),
    "growth": (
        ("", "name"),
        ("p50 ms", "p50_ms"),
        ("p99 ms", "p99_ms"),
        ("to the smallest", "to_smallest"),
        ("hub CPU ms", "hub_ms"),
    ),
    "abuse": (
        ("", "name"),
        ("posted", "posted"),
        ("p50 ms", "p50_ms"),
        ("p99 ms", "p99_ms"),
        ("p99 to alone", "p99_to_alone"),
    ),
    "taxii": (
        ("", "name"),
        ("a second", "a_second"),
        ("p50 ms", "p50_ms"),
        ("to the smallest", "to_smallest"),
        ("to the peer", "to_peer"),
        ("CPU ms", "server_ms"),
    ),
    "peers": (("", "name"), ("a second", "a_second"), ("of limit", "ratio"), ("", "note")),
}
LIMITS = (
    ("libsodium, 2 processes", "libsodium_two"),
    ("`cryptography`, 1 process", "cryptography_one"),
    ("pages parsed and written again, 1 process", "pages_one"),
)


def markdown(run: Mapping[str, Any]) -> str:
    """Return every table that a run has figures for."""
    tables = [_table(columns, run[part]) for part, columns in TABLES.items() if run.get(part)]
    return "\n\n".join([*_limits(run), *tables])


def _limits(run: Mapping[str, Any]) -> list[str]:
    found = [each[name] for each in run.get("rounds", ()) for name in ("limit_before", "limit_after")]
    if not found:
        return []
    rows = [{"name": text, "a_second": statistics.median(each[key] for each in found)} for text, key in LIMITS]
    return [_table((("limit", "name"), ("a second", "a_second")), rows)]


def _table(columns: Sequence[tuple[str, str]], rows: Sequence[Mapping[str, Any]]) -> str:
    heads, keys = zip(*columns, strict=True)
    lines = [_row(heads), _row(["---"] * len(columns))]
    return "\n".join((*lines, *(_row([_cell(row.get(key)) for key in keys]) for row in rows)))


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= THOUSAND else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
