"""Secrets of invitations: the only rows that are not in the log."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select, update

from broker.store.tables import invite, invite_try


def add(conn: Connection, invite_id: str, secret: bytes) -> None:
    """Keep SHA-256 of an invitation's code."""
    conn.execute(insert(invite), {"id": invite_id, "secret": secret})


def secret_of(conn: Connection, invite_id: str) -> bytes | None:
    """Return SHA-256 of the code."""
    return conn.scalar(select(invite.c.secret).where(invite.c.id == invite_id))


def tries(conn: Connection, invite_id: str, source: str) -> int:
    """Return the failed tries from this address."""
    statement = select(invite_try.c.tries).where(invite_try.c.invite == invite_id, invite_try.c.source == source)
    return conn.scalar(statement) or 0


def count_try(conn: Connection, invite_id: str, source: str) -> None:
    """Count one more failed try from this address."""
    same = (invite_try.c.invite == invite_id, invite_try.c.source == source)
    if conn.execute(update(invite_try).where(*same).values(tries=invite_try.c.tries + 1)).rowcount == 0:
        conn.execute(insert(invite_try), {"invite": invite_id, "source": source, "tries": 1})
