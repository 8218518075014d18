"""Events over time, as bars that lead to their time, seconds to days. Pure: figures in, a drawing out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from markupsafe import Markup

from broker.store.rollup import DAY, HOUR_US
from broker.web.console.words import number
from lintas.event import KINDS, US_PER_S

HOURS_SHOWN_MAX = 4 * DAY
BARS_MAX = 120
SPANS_S = (1, 5, 10, 30, 60, 120)
"""Seconds a bar has where hours say too little: the shortest that needs no more than BARS_MAX bars."""

FINE_EVENTS_MAX = 20_000
"""Events that are counted one by one for such bars."""

HEIGHT = 60
STEP = 10
"""Units of the drawing a bar takes; it is stretched to the width of the page."""

BAD = frozenset({"refused", "failed"})


@dataclass(frozen=True, slots=True)
class Bar:
    """A span of time: from `begin` up to `end` (Unix microseconds), its events, those among them that went wrong."""

    begin: int
    end: int
    count: int
    bad: int


def span_for(begin_us: int, end_us: int, events: int) -> int:
    """Return how much time (microseconds) is counted together where so many events span such a time."""
    for span_s in SPANS_S:
        if end_us - begin_us <= BARS_MAX * span_s * US_PER_S and events <= FINE_EVENTS_MAX:
            return span_s * US_PER_S
    return HOUR_US if end_us - begin_us <= HOURS_SHOWN_MAX * HOUR_US else DAY * HOUR_US


def bars(counts: Mapping[tuple[int, str], int], begin_us: int, end_us: int, span_us: int) -> list[Bar]:
    """Return every bar of a time; `counts` are by begin of the span and kind. A long time has several spans a bar."""
    first, last = begin_us // span_us, max(begin_us, end_us - 1) // span_us
    together = -(-(last - first + 1) // (BARS_MAX + 1))
    found, bad = Counter[int](), Counter[int]()
    for (start_us, kind), count in counts.items():
        place = (start_us // span_us - first) // together
        found[place] += count
        bad[place] += count if KINDS[kind] in BAD else 0
    wide = together * span_us
    begins = [first * span_us + place * wide for place in range(-(-(last - first + 1) // together))]
    return [Bar(begin, begin + wide, found[place], bad[place]) for place, begin in enumerate(begins)]


def drawing(shown: list[Bar], address: Callable[[int, int], str]) -> Markup:
    """Draw bars, each a link to its time. Those who hear the page have the fields of the filter instead."""
    top = max((bar.count for bar in shown), default=0) or 1
    parts = []
    for place, bar in enumerate(shown):
        x, high = place * STEP, _height(bar.count, top)
        low = min(high, _height(bar.bad, top))
        parts.append(
            Markup(
                '<a href="{address}" tabindex="-1"><title>{title}</title><rect class="hit" x="{x}" y="0" width="10" '
                'height="60"/><rect class="all" x="{inner}" y="{y}" width="8.6" height="{high}"/>'
                '<rect class="refusals" x="{inner}" y="{y_bad}" width="8.6" height="{low}"/></a>'
            ).format(
                address=address(bar.begin, bar.end),
                title=title(bar),
                x=x,
                inner=x + 0.7,
                y=HEIGHT - high,
                high=high,
                y_bad=HEIGHT - low,
                low=low,
            )
        )
    return Markup(
        '<svg class="chart" viewBox="0 0 {} {}" preserveAspectRatio="none" aria-hidden="true">{}</svg>'
    ).format(len(shown) * STEP, HEIGHT, Markup("").join(parts))


def title(bar: Bar) -> str:
    """Say what a bar shows."""
    words = f"{_time(bar.begin)}: {number(bar.count)} events"
    return words + (f", {number(bar.bad)} refused or failed" if bar.bad else "")


def _time(time_us: int) -> str:
    at = datetime.fromtimestamp(time_us // US_PER_S, UTC)
    return f"{at.day} {at:%b %Y %H:%M}" + (f":{at:%S}" if at.second else "")


def _height(count: int, top: int) -> float:
    # What is there is seen, however little it is beside the rest.
    return max(round(count / top * (HEIGHT - 2), 1), 1.2) if count else 0.0
