"""The database connection: the only place that commits.

SQLite runs in WAL mode with ``synchronous=FULL``: a commit that returned survives a power cut, which is what a signed
checkpoint promises. One writer at a time (``BEGIN IMMEDIATE``); readers see the snapshot of their transaction.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url

# The rest of the hub passes connections on without knowing SQLAlchemy: it imports the name from here.
__all__ = ["READERS", "Connection", "Store"]

READERS = 8
"""Connections for reading: more than the threads that read at once on the machines we know."""

BUSY_MS = 10_000
"""How long a second process (fsck, a backup) makes the writer wait at most."""


class Store:
    """One database, opened for one process. Open it after a fork, never before."""

    def __init__(self, url: str) -> None:
        """Open the database at an SQLAlchemy URL; nothing is created or migrated."""
        self.url = make_url(url)
        self._write = _open(url, begin="BEGIN IMMEDIATE", size=1)
        self._read = _open(url, begin="BEGIN", size=READERS)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Yield the one writing connection inside a transaction; commit at the end, roll back on any error."""
        with self._write.connect() as conn:
            conn.begin()
            yield conn
            conn.commit()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yield a reading connection with a stable snapshot."""
        with self._read.connect() as conn, conn.begin():
            yield conn

    def close(self) -> None:
        """Close every connection."""
        self._write.dispose()
        self._read.dispose()


def _open(url: str, *, begin: str, size: int) -> Engine:
    engine = create_engine(url, pool_size=size, max_overflow=0)
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", lambda conn: conn.exec_driver_sql(begin))
    return engine


def _set_up(dbapi_connection: Any, _record: object) -> None:
    # The driver's own transaction handling would start them late and without IMMEDIATE: we say BEGIN ourselves.
    dbapi_connection.isolation_level = None
    # What is purged must leave the file: freed pages are overwritten with zeros.
    secure = "secure_delete=ON"
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={BUSY_MS}", "foreign_keys=ON", secure):
        dbapi_connection.execute(f"PRAGMA {pragma}")
