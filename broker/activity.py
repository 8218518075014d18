"""What happened on each of the last days, for figures.

Time rises along the log and nothing in it changes, so the figures of a day that is over stay true: they are read once a
process, from the counts that follow behind the log, and remembered; only the present day is read each time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from broker.store import activity, log, rollup
from broker.store.activity import Span
from broker.store.engine import Connection
from lintas.event import KINDS, US_PER_S

DAY_S = 86_400
DAYS = 30
PUBLISHED = frozenset({"bulletin.accepted"})
SENT = frozenset({"bulletin.sent"})
REFUSED = frozenset(kind for kind, outcome in KINDS.items() if outcome == "refused")
FAILED = frozenset(kind for kind, outcome in KINDS.items() if outcome == "failed")
SHOWN = PUBLISHED | SENT | REFUSED | FAILED


@dataclass(frozen=True, slots=True)
class Day:
    """One day (days since 1970): bulletins by topic and issuer, times something was sent, refusals, faults."""

    day: int
    published: Mapping[tuple[str, str], int]
    sent: int
    refused: int
    failed: int


@dataclass(frozen=True, slots=True)
class Recent:
    """How much happened in the last 24 hours (first of each pair), and in the 24 hours before."""

    published: tuple[int, int]
    sent: tuple[int, int]
    refused: tuple[int, int]
    failed: tuple[int, int]


class Activity:
    """The figures of one process. Any reading thread may ask: a day that two read at once is the same twice."""

    def __init__(self) -> None:
        """Begin without a day."""
        self._over: dict[int, Day] = {}

    def days(self, conn: Connection, *, now: int) -> list[Day]:
        """Return the last days, the present one last."""
        size, _ = log.head(conn)
        today = now // DAY_S
        wanted = range(today - DAYS + 1, today + 1)
        # Looked at once: another thread may replace it meanwhile.
        over = self._over
        read = _read(conn, [day for day in wanted if day not in over], size)
        found = [over.get(day) or read[day] for day in wanted]
        # The present day is not over: it is read again.
        self._over = {each.day: each for each in found[:-1]}
        return found


def recent(conn: Connection, *, now_us: int, party: str | None = None) -> Recent:
    """Return the figures of two days to the hour, of everyone or of one party."""
    size, _ = log.head(conn)
    day_us = DAY_S * US_PER_S
    before, since = activity.places(conn, [now_us - 2 * day_us, now_us - day_us], size=size)
    spans = Span(since, size), Span(before, since)

    def pair(kinds: frozenset[str]) -> tuple[int, int]:
        last, former = (activity.events(conn, kinds, span, party=party) for span in spans)
        return last, former

    return Recent(pair(PUBLISHED), pair(SENT), pair(REFUSED), pair(FAILED))


def _read(conn: Connection, days: Sequence[int], size: int) -> dict[int, Day]:
    [low] = activity.places(conn, [days[0] * DAY_S * US_PER_S], size=size)
    published: dict[int, dict[tuple[str, str], int]] = {day: {} for day in days}
    others = {day: dict.fromkeys(("sent", "refused", "failed"), 0) for day in days}
    for (day, party, kind, topic), count in rollup.days(conn, SHOWN, (low, size), rollup.size(conn)).items():
        if day not in published:
            continue
        if kind in PUBLISHED:
            published[day][topic, party] = count
        else:
            others[day]["sent" if kind in SENT else KINDS[kind]] += count
    return {day: Day(day, published[day], **others[day]) for day in days}
