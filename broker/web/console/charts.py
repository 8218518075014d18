"""Charts of the console: SVG from figures.

Pure. Every text is escaped as it goes in, nothing carries a style of its own (the policy refuses it; classes are in
console.css), and each chart has a name that says its figures in words. What colour shows stands in words or a table
beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from broker.web.console.words import number


@dataclass(frozen=True, slots=True)
class Series:
    """Figures in order, each with a label; `name` says of what, for those who do not see the chart."""

    name: str
    labels: Sequence[str]
    values: Sequence[int]

    def __post_init__(self) -> None:
        """Hold labels to figures."""
        assert len(self.labels) == len(self.values)

    @property
    def top(self) -> int:
        """The largest figure, at least 1: a scale needs an extent."""
        return max(1, *self.values) if self.values else 1

    @property
    def words(self) -> str:
        """The chart in one sentence."""
        if not self.values:
            return f"{self.name}: no figures."
        low, high = min(self.values), max(self.values)
        at = self.labels[self.values.index(high)]
        return (
            f"{self.name}: {number(sum(self.values))} in all from {self.labels[0]} to {self.labels[-1]}, "
            f"lowest {number(low)}, highest {number(high)} ({at}), last {number(self.values[-1])}."
        )


def change(now: int, before: int) -> str:
    """Say how a figure moved: ``+8 %``, or `new` where there was nothing to compare with."""
    if before == now:
        return "±0" + "\u00a0%"
    if before == 0:
        return "new"
    return f"{round((now - before) * 100 / before):+d}\u00a0%".replace("-", "\u2212")


def sparkline(series: Series, *, tone: str = "accent") -> Markup:
    """Draw a line over its area, 112 by 32; `tone` is a class of the style sheet."""
    width, height, edge = 112, 32, 2
    step = width / max(1, len(series.values) - 1)
    points = [
        (round(at * step, 1), round(height - edge - (height - 2 * edge) * value / series.top, 1))
        for at, value in enumerate(series.values)
    ] or [(0, height - edge)]
    line = " ".join(f"{x:g},{y:g}" for x, y in points)
    return Markup(
        '<svg class="chart spark tone-{}" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<polygon class="area" points="0,{} {} {:g},{}"/><polyline class="line" points="{}"/></svg>'
    ).format(tone, width, height, series.words, height, line, points[-1][0], height, line)


def bars(series: Series) -> Markup:
    """Draw one bar a figure, 300 by 24, on a scale of its own."""
    width, height = 300, 24
    step = width / max(1, len(series.values))
    drawn = Markup("").join(
        Markup('<rect class="column" x="{:g}" y="{:g}" width="{:g}" height="{:g}"><title>{}: {}</title></rect>').format(
            round(at * step, 2), height - high, round(step - 1, 2), high, label, number(value)
        )
        for at, (label, value, high) in enumerate(
            zip(series.labels, series.values, _heights(series, height), strict=True)
        )
    )
    return Markup(
        '<svg class="chart bars" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
    ).format(width, height, series.words, drawn)


def bar(value: int, top: int) -> Markup:
    """Draw one horizontal bar as a share of `top`; the number stands beside it, so it says nothing of its own."""
    width = round(100 * value / max(1, top), 1) if value else 0
    return Markup(
        '<svg class="chart share" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="track" width="100" height="8"/><rect class="column" width="{:g}" height="8"/></svg>'
    ).format(max(width, 1) if value else 0)


def table(series: Series, *, of: str) -> Markup:
    """Return the same figures as a table that opens on demand; `of` heads the labels."""
    rows = Markup("").join(
        Markup('<tr><th scope="row">{}</th><td class="num">{}</td></tr>').format(label, number(value))
        for label, value in zip(series.labels, series.values, strict=True)
    )
    return Markup(
        '<details class="figures"><summary>{} as a table</summary><table><thead><tr><th scope="col">{}</th>'
        '<th scope="col" class="num">Number</th></tr></thead><tbody>{}</tbody></table></details>'
    ).format(series.name, of, rows)


def _heights(series: Series, height: int) -> list[float]:
    # What is there at all is seen: one among thousands is no empty day.
    return [max(1.5, round(height * value / series.top, 1)) if value else 0 for value in series.values]
