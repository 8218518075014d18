"""Figures of the database for its operator: sizes, what waits, how webhooks do."""

from __future__ import annotations

from sqlalchemy import Connection, func, select, text

from broker.store.tables import line, webhook
from broker.store.webhooks import DEAD, PENDING

FAILING, WELL = "failing", "active"
STATES = (PENDING, WELL, FAILING, DEAD)

OVERDUE_MAX = 10_000
"""Bulletins counted as overdue at most: whether there are more changes nothing for who looks."""


def size_bytes(conn: Connection) -> int:
    """Return what the database takes on its disk."""
    if conn.dialect.name == "sqlite":
        statement = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
    else:
        statement = "SELECT pg_database_size(current_database())"
    return conn.scalar(text(statement)) or 0


def webhooks(conn: Connection) -> dict[str, int]:
    """Return how many webhooks are in each state; one that is tried again counts as failing, whatever else it is."""
    found = dict.fromkeys(STATES, 0)
    for state, tries in conn.execute(select(webhook.c.state, webhook.c.tries)):
        found[FAILING if tries and state != DEAD else state] += 1
    return found


def overdue(conn: Connection, until: int) -> int:
    """Count bulletins that ended by second `until` and still have their content, OVERDUE_MAX at most."""
    ended = select(line.c.seq).where(line.c.raw.is_not(None), line.c.exp <= until, line.c.kind.is_not(None))
    return conn.scalar(select(func.count()).select_from(ended.limit(OVERDUE_MAX).subquery())) or 0
