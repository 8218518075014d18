"""Figures of the overview from counts: tiles with their lines, topics with their bars.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from broker.activity import DAY_S, Day, Recent
from broker.web.console.charts import Series, change
from lintas import vocabulary

TOPICS_SHOWN = 10
HALF = 15
"""Days that a change is told over: the later half of the month against the earlier one."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure of the last 24 hours and, if known, of the 24 before; its month as a line; where it leads to."""

    title: str
    value: int
    before: int | None
    url: str
    series: Series | None = None
    tone: str = "accent"
    span: str = "24 h"

    @property
    def moved(self) -> str:
        """How it moved, in words."""
        if self.before is None:
            return ""
        if self.value == self.before:
            return "as the day before"
        more = self.value > self.before
        return f"{abs(self.value - self.before):,} {'more' if more else 'fewer'} than the day before".replace(
            ",", "\u202f"
        )


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic with its sub-topics: a figure for each day."""

    name: str
    title: str
    values: Sequence[int]

    @property
    def total(self) -> int:
        """All its bulletins."""
        return sum(self.values)

    @property
    def moved(self) -> str:
        """The later half of the days against the earlier one."""
        return change(sum(self.values[-HALF:]), sum(self.values[-2 * HALF : -HALF]))


def day_labels(days: Sequence[int]) -> list[str]:
    """Write days since 1970 as ``27 Nov``."""
    moments = (datetime.fromtimestamp(day * DAY_S, UTC) for day in days)
    return [f"{moment.day} {moment:%b}" for moment in moments]


def tiles_of_hub(days: Sequence[Day], recent: Recent, labels: Sequence[str]) -> list[Tile]:
    """Return the four figures of the whole hub."""
    audit = "/console/audit"
    return [
        Tile(
            "Bulletins published",
            *recent.published,
            f"{audit}?kind=bulletin.accepted",
            Series("Bulletins published", labels, [sum(day.published.values()) for day in days]),
        ),
        Tile(
            "Deliveries",
            *recent.sent,
            f"{audit}?kind=bulletin.sent",
            Series("Deliveries", labels, [day.sent for day in days]),
        ),
        Tile(
            "Refused",
            *recent.refused,
            f"{audit}?outcome=refused",
            Series("Refused", labels, [day.refused for day in days]),
            "bad",
        ),
        Tile(
            "Failed",
            *recent.failed,
            f"{audit}?outcome=failed",
            Series("Failed", labels, [day.failed for day in days]),
            "warn",
        ),
    ]


def tiles_of_agency(
    agency: str, *, own: Sequence[int], others: Sequence[int], recent: Recent, labels: Sequence[str], owed: int
) -> list[Tile]:
    """Return the four figures of one agency; `own` and `others` are bulletins by day, `owed` what is due from it."""
    audit = "/console/audit"
    return [
        Tile(
            "Issued by us",
            *recent.published,
            f"/console/bulletins?from={agency}",
            Series("Bulletins issued by us", labels, own),
        ),
        Tile(
            "Released to us",
            others[-1],
            others[-2],
            "/console/bulletins",
            Series("Bulletins released to us", labels, others),
            span="today",
        ),
        Tile("Refused of ours", *recent.refused, f"{audit}?outcome=refused", tone="bad"),
        Tile("Due from us", owed, None, "/console/bulletins#due", tone="warn", span="now"),
    ]


def topics(counts: Mapping[tuple[str, int], int], labels: Sequence[str]) -> list[Topic]:
    """Return the busiest topics of the first level; `counts` is by topic and place of the day."""
    known = vocabulary.load()
    found: dict[str, list[int]] = {}
    for (topic, place), number in counts.items():
        found.setdefault(topic.partition(".")[0], [0] * len(labels))[place] += number
    ranked = sorted(found.items(), key=lambda each: (-sum(each[1]), each[0]))
    return [Topic(name, known.title("topics", name), values) for name, values in ranked[:TOPICS_SHOWN]]


def countries(by_issuer: Mapping[str, int]) -> dict[str, int]:
    """Return a figure for each member state, from those of its agencies."""
    found = dict.fromkeys(sorted(vocabulary.load().countries), 0)
    for issuer, number in by_issuer.items():
        country = issuer[:2].upper()
        if country in found:
            found[country] += number
    return found
