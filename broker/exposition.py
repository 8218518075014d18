"""The text format of Prometheus, as much of it as a hub needs.

Format: text/plain; version=0.0.4. Every family has its help and type; names, labels and their values are ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from broker.tally import Histogram

MEDIA = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "lintas_"


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its samples by the values of its labels (a tuple); a histogram has histograms for samples."""

    name: str
    kind: str
    help: str
    samples: Mapping[Any, float | Histogram]
    labels: tuple[str, ...] = ()


def counter(name: str, text: str, value: float) -> Family:
    """Return a counter without labels."""
    return Family(name, "counter", text, {(): value})


def gauge(name: str, text: str, value: float) -> Family:
    """Return a gauge without labels."""
    return Family(name, "gauge", text, {(): value})


def write(families: Iterable[Family]) -> bytes:
    """Write families as Prometheus reads them."""
    return "".join(line + "\n" for family in families for line in _lines(family)).encode()


def _lines(family: Family) -> Iterable[str]:
    name = PREFIX + family.name
    yield f"# HELP {name} {family.help}"
    yield f"# TYPE {name} {family.kind}"
    for values, sample in sorted(family.samples.items()):
        labels = tuple(zip(family.labels, values, strict=True))
        if isinstance(sample, Histogram):
            yield from _buckets(name, labels, sample)
        else:
            yield f"{name}{_labels(labels)} {_number(sample)}"


def _buckets(name: str, labels: tuple[tuple[str, str], ...], sample: Histogram) -> Iterable[str]:
    # A copy: counting goes on meanwhile, and the sum of the buckets must be the count.
    counts, total = list(sample.counts), sample.total
    below = 0
    for bound, count in zip((*map(_number, sample.bounds), "+Inf"), counts, strict=True):
        below += count
        yield f"{name}_bucket{_labels((*labels, ('le', bound)))} {below}"
    yield f"{name}_sum{_labels(labels)} {_number(total)}"
    yield f"{name}_count{_labels(labels)} {below}"


def _labels(labels: tuple[tuple[str, str], ...]) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels) + "}" if labels else ""


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
