"""What this process counted since it began.

Figures only, for ``metrics``. Every name that is counted under is a word of ours: a kind of event, a problem code, the
template of a route. Nothing that came from outside becomes a name, so the tables cannot grow.
What concerns commits is written by the writer's thread, what concerns requests by that of the event loop; readers take
copies.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from broker.batch import Batch
    from broker.wakeup import News
    from broker.writer import Took

BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper ends of the buckets of times: from a read out of memory to the longest body."""

BOUNDS_JOBS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)

REFUSED = frozenset({"bulletin.refused", "key.refused", "order.refused"})
SENT = "bulletin.sent"


class Histogram:
    """How often a value fell into each bucket, the last of which has no upper end."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...] = BOUNDS_S) -> None:
        """Begin with empty buckets."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value; a bucket has its upper end."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


@dataclass(slots=True)
class Tally:
    """The figures. `requests` by route and class of status, `events` by kind, `refused` by kind and problem code."""

    events: Counter[str] = field(default_factory=Counter)
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    delivered: int = 0
    commits: int = 0
    waits: Histogram = field(default_factory=Histogram)
    commit_times: Histogram = field(default_factory=Histogram)
    jobs: Histogram = field(default_factory=lambda: Histogram(BOUNDS_JOBS))
    requests: Counter[tuple[str, str]] = field(default_factory=Counter)
    times: dict[str, Histogram] = field(default_factory=dict)
    _batch: Batch | None = None

    def see(self, batch: Batch) -> None:
        """Keep a batch in view until it is committed; the last of what the writer does in each."""
        self._batch = batch

    def committed(self, _news: News) -> None:
        """Count the events of the batch that was just committed."""
        batch, self._batch = self._batch, None
        if batch is None:
            return
        self.commits += 1
        for event in batch.events:
            self.events[event.kind] += 1
            if event.kind in REFUSED:
                self.refused[event.kind, str(event.detail["code"])] += 1
            elif event.kind == SENT:
                self.delivered += int(event.detail["count"])

    def took(self, took: Took) -> None:
        """Count what a batch took."""
        self.waits.observe(took.wait_s)
        self.commit_times.observe(took.commit_s)
        self.jobs.observe(took.jobs)

    def requested(self, route: str, status: int, seconds: float | None) -> None:
        """Count a request; `seconds` None for one that waited because it was asked to."""
        self.requests[route, f"{status // 100}xx"] += 1
        if seconds is not None:
            times = self.times.get(route) or self.times.setdefault(route, Histogram())
            times.observe(seconds)
