"""Rolling the log up for figures, a little in each commit."""

from __future__ import annotations

from broker.batch import Batch
from broker.store import log, rollup

BEHIND_MIN = 1_000
"""Events that are left to be counted one by one: few enough for a view, enough to make rolling them up worth it."""

STEP = 5_000
"""Events rolled up in one commit: some 15 ms, so that nobody waits long after a hub that was busy."""


class Rollup:
    """How far this process knows the log to be rolled up. Used by the writer's thread alone."""

    def __init__(self, behind_min: int = BEHIND_MIN) -> None:
        """Begin without knowing."""
        self._behind_min = behind_min
        self._size = 0

    def record(self, batch: Batch) -> None:
        """Roll up what earlier commits added, if it is enough."""
        if batch.next_seq - self._size < self._behind_min:
            return
        # Another replica may have done it; and what this batch adds is not stored yet.
        self._size, (head, _) = rollup.size(batch.conn), log.head(batch.conn)
        if head - self._size >= self._behind_min:
            stop = min(head, self._size + STEP)
            rollup.roll_up(batch.conn, self._size, stop)
            self._size = stop
