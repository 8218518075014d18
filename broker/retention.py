"""The purge of what ended long ago, after which the tree holds as before.

A bulletin ends with its validity, or with the recall of the whole. So long after that (LINTAS_PURGE_AFTER_DAYS, or when
two administrators ordered it) its bytes, its index rows and the bodies of the events about it are emptied, a few
bulletins a commit, in one transaction with the ``bulletin.purged`` events that name all of it. Kept longer is what
proves something of a bulletin that has not ended: the line that withdrew it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from broker.store import endings, log
from lintas import purge
from lintas.event import US_PER_S

if TYPE_CHECKING:
    from broker.batch import Batch

DAY_S = 86_400
STEP_S = 1
"""Between two commits that purge while others publish: readers of the log need a moment without one."""

LINES_MAX = 20
"""Bulletins purged in one commit: with 256 recipients each some 5,000 rows, a tenth of a second."""

LOOK_MAX = 500
"""Bulletins or recalls looked up at once; a recall names at most 16."""

LOOK_S = 60
"""Between two looks whether a run is due."""

ORDERED = "purge.ordered"


@dataclass(slots=True)
class Run:
    """One walk over all that ended by second `until`: first by their ends, then by their recalls.

    `expired`, `recalls`: how far each part got, None at its end. `waiting`: found, not yet purged. `taken`: what the
    last step purged, unless its commit was lost.
    """

    until: int
    expired: endings.Mark | None = endings.START
    recalls: int | None = -1
    waiting: list[endings.Ended] = field(default_factory=list)
    taken: list[endings.Ended] = field(default_factory=list)
    purged: int = 0

    @property
    def is_over(self) -> bool:
        """Tell whether the walk is at its end."""
        return self.expired is None and self.recalls is None and not self.waiting and not self.taken


@dataclass(slots=True)
class Retention:
    """Runs once a day, and within a minute of an order. Used by the writer's thread alone."""

    after_days: int
    run: Run | None = None
    _next_run: int = 0
    _next_step: int = 0
    _next_look: int = 0
    _ordered: int = -1

    def record(self, batch: Batch) -> None:
        """Purge the next few bulletins, if it is time."""
        if self.run is None and self._is_due(batch):
            self.run = self.begin(batch)
        if self.run is not None and batch.began >= self._next_step:
            self._next_step = batch.began + STEP_S
            step(batch, self.run)
            if self.run.is_over:
                self.run = None

    def begin(self, batch: Batch) -> Run:
        """Return a new walk over everything that ended long enough ago."""
        self._next_run = batch.began + DAY_S
        return Run(until=max(batch.began - self.after_days * DAY_S, ordered_until(batch)))

    def _is_due(self, batch: Batch) -> bool:
        if batch.began < self._next_look:
            return False
        self._next_look = batch.began + LOOK_S
        newest = log.newest_of_kind(batch.conn, ORDERED)
        is_new = newest is not None and newest.seq > self._ordered
        self._ordered = -1 if newest is None else newest.seq
        return is_new or batch.began >= self._next_run


def ordered_until(batch: Batch) -> int:
    """Return up to which end everything was ordered to be purged; nothing accepted since ends before that."""
    rows = log.events_of_kinds(batch.conn, {ORDERED}, after=-1)
    return max((json.loads(row.body)["detail"]["before"] for row in rows if row.body is not None), default=-1)


def step(batch: Batch, run: Run) -> None:
    """Purge the next few bulletins of a run, with the record of it."""
    _settle(batch, run)
    if not run.waiting:
        _look_on(batch, run)
    ended, run.waiting = run.waiting[:LINES_MAX], run.waiting[LINES_MAX:]
    if not ended:
        return
    young = (batch.began - purge.GRACE_S) * US_PER_S
    kept = endings.kept(batch.conn, ended, until=run.until, events_until=young)
    chosen = [each for each in ended if each.seq not in kept]
    if chosen:
        _purge(batch, chosen)
        run.taken = chosen


def _settle(batch: Batch, run: Run) -> None:
    """Count what the last step purged; what is still there comes first again, because that commit was lost."""
    left = endings.unpurged(batch.conn, [each.seq for each in run.taken])
    run.purged += len(run.taken) - len(left)
    run.waiting = [each for each in run.taken if each.seq in left] + run.waiting
    run.taken = []


def _look_on(batch: Batch, run: Run) -> None:
    if run.expired is not None:
        run.waiting = endings.expired(batch.conn, run.expired, until=run.until, limit=LOOK_MAX)
        last = run.waiting[-1] if len(run.waiting) == LOOK_MAX else None
        run.expired = None if last is None else endings.Mark(last.exp, last.seq)
    elif run.recalls is not None:
        pairs = endings.recalls(batch.conn, run.recalls, limit=LOOK_MAX)
        is_more = len(pairs) == LOOK_MAX
        if is_more:
            # The last recall may have more targets than were read: it comes whole with the next ones.
            pairs = [pair for pair in pairs if pair[0] != pairs[-1][0]]
        run.waiting = endings.recalled(batch.conn, pairs, until=run.until)
        run.recalls = pairs[-1][0] if is_more else None


def _purge(batch: Batch, ended: Sequence[endings.Ended]) -> None:
    conn = batch.conn
    seqs = [each.seq for each in ended]
    acked = endings.acknowledgements(conn, seqs)
    endings.empty_lines(conn, [*seqs, *(ack_seq for _, ack_seq in acked)])
    about = endings.events_about(conn, ended, [ack_seq for _, ack_seq in acked])
    emptied = [each for each in about if _is_to_empty(batch, each)]
    endings.empty_events(conn, [each.seq for each in emptied])
    _record(batch, ended, emptied, _concerned(batch, ended, acked, emptied))


def _is_to_empty(batch: Batch, event: endings.Emptied) -> bool:
    # A release keeps its body for as long as one of its bulletins has content.
    if event.kind != "bulletin.released" or event.body is None:
        return True
    return not endings.unpurged(batch.conn, json.loads(event.body)["detail"]["seqs"])


def _concerned(
    batch: Batch,
    ended: Sequence[endings.Ended],
    acked: Sequence[tuple[int, int]],
    emptied: Collection[endings.Emptied],
) -> dict[str, set[int]]:
    """Return which of the bulletins each party is told of: its own, those released to it, those it acknowledged."""
    found: dict[str, set[int]] = defaultdict(set)
    for seq, parties in endings.parties(batch.conn, ended).items():
        for party in parties:
            found[party].add(seq)
    party_of = {each.seq: each.party for each in emptied}
    for seq, ack_seq in acked:
        if ack_seq in party_of:
            found[party_of[ack_seq]].add(seq)
    return found


def _record(
    batch: Batch,
    ended: Sequence[endings.Ended],
    emptied: Sequence[endings.Emptied],
    concerned: Mapping[str, Collection[int]],
) -> None:
    for party in sorted(concerned):
        told = [each for each in ended if each.seq in concerned[party]]
        entries = [(each.party_seq, each.entry) for each in emptied if each.party == party]
        for detail in purge.details([each.id for each in told], [each.by for each in told], entries):
            batch.append(purge.KIND, party, detail=detail)
