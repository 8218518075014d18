"""Rows that somebody has to look at: webhooks in trouble, bursts of refusals, the use of keys."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from broker.store.tables import event, line, webhook
from broker.store.webhooks import DEAD


@dataclass(frozen=True, slots=True)
class Hook:
    """A webhook without its address: whose, for which subscription, how it does. `since` is a Unix second."""

    agency: str
    subscription: str
    state: str
    tries: int
    since: int | None
    code: str | None

    @property
    def is_dead(self) -> bool:
        """Tell whether nothing is pushed any more."""
        return self.state == DEAD

    @property
    def is_failing(self) -> bool:
        """Tell whether it is tried again."""
        return bool(self.tries) and not self.is_dead


def hooks(conn: Connection) -> list[Hook]:
    """Return every webhook by agency and subscription: there are a few for each agency at most."""
    columns = (
        webhook.c.agency,
        webhook.c.subscription,
        webhook.c.state,
        webhook.c.tries,
        webhook.c.since,
        webhook.c.code,
    )
    rows = conn.execute(select(*columns).order_by(webhook.c.agency, webhook.c.subscription))
    return [Hook(*row) for row in rows]


def bursts(conn: Connection, kinds: Collection[str], *, low: int, count_min: int) -> dict[str, int]:
    """Return who has at least so many events of these kinds from log index `low` on, and how many."""
    counted = func.count()
    statement = (
        select(event.c.party, counted)
        .where(event.c.kind.in_(kinds), event.c.seq >= low)
        .group_by(event.c.party)
        .having(counted >= count_min)
    )
    return dict(conn.execute(statement.order_by(counted.desc(), event.c.party)).all())


def newest_seqs(conn: Connection, parties: Collection[str]) -> dict[str, int]:
    """Return the index of the newest event of each of these parties that has one; a look-up each."""
    found = {}
    for party in parties:
        seq = conn.scalar(select(func.max(event.c.seq)).where(event.c.party == party))
        if seq is not None:
            found[party] = seq
    return found


def signed_seqs(conn: Connection, party: str, kid: str) -> tuple[int, int] | None:
    """Return the log indexes of the first and the last accepted line that a key of this party signed."""
    mine = select(line.c.seq).where(line.c.iss == party, line.c.kid == kid)
    first = conn.scalar(mine.order_by(line.c.seq).limit(1))
    last = conn.scalar(mine.order_by(line.c.seq.desc()).limit(1))
    return None if first is None or last is None else (first, last)
