"""Counts of refused strangers, so that they cannot fill the log.

What cannot be tied to a key (malformed bytes, unknown keys, bad signatures, bad tokens) is counted per address, minute
and code, in memory, and logged as one ``auth.refused`` event an address and minute. A crash loses at most the minute
that was not yet logged. Counting happens in request handlers, taking in the writer's thread: one lock guards the table.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from lintas.clock import Clock
from lintas.event import US_PER_S

if TYPE_CHECKING:
    from broker.batch import Batch

SOURCES_MAX = 1_000
"""Addresses counted apart within a minute; all others together count as one more."""

MINUTE_US = 60 * US_PER_S
OTHERS = "others"
PARTY = "hub"
"""The party of events that concern no partner: only administrators see them."""


class Strangers:
    """The table of counts."""

    def __init__(self, clock: Clock) -> None:
        """Take the clock that tells which minute it is."""
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: dict[tuple[int, str], Counter[str]] = defaultdict(Counter)
        self.totals: Counter[str] = Counter()

    def count(self, source: str, code: str) -> None:
        """Count one refusal from this address."""
        minute = self._clock() // MINUTE_US
        with self._lock:
            self.totals[code] += 1
            full = len(self._counts) >= SOURCES_MAX and (minute, source) not in self._counts
            self._counts[(minute, OTHERS if full else source)][code] += 1

    def record(self, batch: Batch) -> None:
        """Log the counts of the minutes that are over."""
        self._log(batch, before=self._clock() // MINUTE_US)

    def record_all(self, batch: Batch) -> None:
        """Log every count so far, so that an administrator who looks now sees them."""
        self._log(batch, before=None)

    def _log(self, batch: Batch, *, before: int | None) -> None:
        with self._lock:
            due = [key for key in self._counts if before is None or key[0] < before]
            taken = [(key, self._counts.pop(key)) for key in due]
        for (minute, source), codes in taken:
            detail = {"source": source, "minute": minute, "codes": dict(sorted(codes.items()))}
            batch.append("auth.refused", PARTY, detail=detail)
