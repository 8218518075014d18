"""What happened on each of the last days, for figures.

Time rises along the log and nothing in it changes, so the figures of a day that is over stay true: they are read once a
process and remembered, and only the present day is read each time. Nothing is stored, so nothing can go wrong with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from broker.store import activity, log
from broker.store.activity import Span
from broker.store.engine import Connection
from lintas.event import KINDS, US_PER_S

DAY_S = 86_400
DAYS = 30
PUBLISHED = frozenset({"bulletin.accepted"})
SENT = frozenset({"bulletin.sent"})
REFUSED = frozenset(kind for kind, outcome in KINDS.items() if outcome == "refused")
FAILED = frozenset(kind for kind, outcome in KINDS.items() if outcome == "failed")


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
        starts = activity.places(conn, [day * DAY_S * US_PER_S for day in wanted], size=size)
        found = [
            self._over.get(day) or _read(conn, day, Span(low, high))
            for day, low, high in zip(wanted, starts, [*starts[1:], size], strict=True)
        ]
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


def _read(conn: Connection, day: int, span: Span) -> Day:
    return Day(
        day,
        activity.bulletins(conn, span),
        activity.events(conn, SENT, span),
        activity.events(conn, REFUSED, span),
        activity.events(conn, FAILED, span),
    )
