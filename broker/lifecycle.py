"""Natural expiry, written into the log as it happens.

Once a minute the writer logs which bulletins ended since the last sweep: ``bulletin.expired`` events of their issuers.
How far a sweep got stands in its events, so the next one goes on from there after a restart too. Nothing is left out:
what a batch accepts ends after the second it began at, and no sweep goes beyond that second.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from broker.store import endings, log

if TYPE_CHECKING:
    from broker.batch import Batch

SWEEP_S = 60
SWEEP_MAX = 5_000
"""Bulletins in one sweep, so that nobody waits for it; what is left comes with the next commit."""

IDS_MAX = 200
"""Bulletins named in one event."""

KIND = "bulletin.expired"


class Expiry:
    """When the next sweep is due. Used by the writer's thread alone."""

    def __init__(self) -> None:
        """Begin with a sweep that is due at once."""
        self._next_at = 0

    def record(self, batch: Batch) -> None:
        """Log what ended since the last sweep, if a minute is over."""
        if batch.began < self._next_at:
            return
        ended = endings.expired(batch.conn, swept_to(batch), until=batch.began, limit=SWEEP_MAX)
        _log(batch, ended)
        is_done = len(ended) < SWEEP_MAX
        self._next_at = batch.began + SWEEP_S if is_done else 0


def swept_to(batch: Batch) -> endings.Mark:
    """Return the end of the last sweep, as the log has it."""
    newest = log.newest_of_kind(batch.conn, KIND)
    if newest is None or newest.body is None:
        return endings.START
    detail = json.loads(newest.body)["detail"]
    return endings.Mark(detail["until"], detail["last"])


def _log(batch: Batch, ended: Sequence[endings.Ended]) -> None:
    if not ended:
        return
    last = ended[-1]
    by_issuer: dict[str, list[str]] = defaultdict(list)
    for each in ended:
        by_issuer[each.iss].append(each.id)
    for issuer, ids in sorted(by_issuer.items()):
        for start in range(0, len(ids), IDS_MAX):
            # Every event of a sweep says how far the whole sweep got: they are committed together or not at all.
            detail = {"ids": ids[start : start + IDS_MAX], "until": last.exp, "last": last.seq}
            batch.append(KIND, issuer, detail=detail)
