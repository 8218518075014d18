"""The database connection: the only place that commits.

SQLite runs in WAL mode with ``synchronous=FULL``, Postgres with ``synchronous_commit=on``: a commit that returned
survives a power cut, which is what a signed checkpoint promises. One writer at a time: on SQLite by BEGIN IMMEDIATE,
on Postgres by an advisory lock that all replicas of a hub share and that ends with the transaction. Readers see the
snapshot of their transaction.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from lintas.errors import BadSettings

# The rest of the hub passes connections on without knowing SQLAlchemy: it imports the name from here.
__all__ = ["READERS", "Connection", "Store"]

READERS = 8
"""Connections for reading: more than the threads that read at once on the machines we know."""

BUSY_MS = 10_000
"""How long a second process (fsck, a backup) makes the writer wait at most."""

WAL_PAGES = 4_000
"""Pages of 4 KiB in the WAL before they go into the database file, which costs a wait for the disk. A commit of 64
bulletins writes some 300, and the next ones write many of them again. What is purged stays in it that long."""

STATEMENTS = 512
"""Statements that a connection to SQLite keeps prepared."""

LOCK = 0x6C696E746173
"""The advisory lock over the head of the log: the letters of the name."""

SQLITE, POSTGRES = "sqlite", "postgresql"


class Store:
    """One database, opened for one process. Open it after a fork, never before."""

    def __init__(self, url: str) -> None:
        """Open the database at an SQLAlchemy URL; raise BadSettings for a kind we do not know. Nothing is created."""
        self.url = read_url(url)
        self.is_shared = self.url.get_backend_name() == POSTGRES
        opened = _open_postgres if self.is_shared else _open_sqlite
        self._write, self._read = opened(self.url, size=1, is_writer=True), opened(self.url, size=READERS)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Yield the one writing connection inside a transaction; commit at the end, roll back on any error."""
        with self._write.connect() as conn:
            conn.begin()
            if self.is_shared:
                # Taken first: whatever this transaction reads of the log is then the newest there is.
                conn.execute(_TAKE_LOCK, {"lock": LOCK})
            yield conn
            conn.commit()

    @contextmanager
    def write_lazily(self) -> Iterator[Connection]:
        """Yield as `write` does; on SQLite return before the commit is on the disk. The next `write` takes it there.

        Every connection sees it at once. A power cut, which ends this process too, may lose it, but nothing committed
        before it, and nothing committed after it is kept without it: frames of the WAL hold only in their order. A
        database of its own can lose a commit while this process lives on, so on Postgres this is `write`.
        """
        if self.is_shared:
            with self.write() as conn:
                yield conn
            return
        with self._write.connect() as conn:
            # The driver's own connection: SQLAlchemy would begin a transaction, in which this cannot be changed.
            driver: Any = conn.connection.driver_connection
            driver.execute("PRAGMA synchronous=NORMAL")
            try:
                with conn.begin():
                    yield conn
            finally:
                driver.execute("PRAGMA synchronous=FULL")

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yield a reading connection with a stable snapshot."""
        with self._read.connect() as conn, conn.begin():
            yield conn

    def close(self) -> None:
        """Close every connection."""
        self._write.dispose()
        self._read.dispose()


def read_url(url: str) -> URL:
    """Read a database URL; ``postgresql:`` means the driver that Lintas ships with. Raise BadSettings."""
    try:
        found = make_url(url)
    except ArgumentError as fault:
        raise BadSettings("LINTAS_DATABASE is not a database URL.") from fault
    if found.get_backend_name() == POSTGRES:
        return found.set(drivername="postgresql+psycopg")
    if found.get_backend_name() != SQLITE:
        raise BadSettings("LINTAS_DATABASE begins with sqlite: or postgresql:.")
    return found


_TAKE_LOCK = text("SELECT pg_advisory_xact_lock(:lock)")


def _open_sqlite(url: URL, *, size: int, is_writer: bool = False) -> Engine:
    # Each number of rows inserted at once is a statement of its own (broker.store.bulk).
    engine = create_engine(url, pool_size=size, max_overflow=0, connect_args={"cached_statements": STATEMENTS})
    begin = "BEGIN IMMEDIATE" if is_writer else "BEGIN"
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", lambda conn: conn.exec_driver_sql(begin))
    return engine


def _open_postgres(url: URL, *, size: int, is_writer: bool = False) -> Engine:
    # A writer must see what another replica committed while it waited for the lock; a reader wants one snapshot.
    level = "READ COMMITTED" if is_writer else "REPEATABLE READ"
    return create_engine(
        url,
        pool_size=size,
        max_overflow=0,
        # A database that was restarted left its connections dead: they are tried before use and made anew.
        pool_pre_ping=True,
        isolation_level=level,
        connect_args={"options": "-c synchronous_commit=on -c lock_timeout=30s -c timezone=UTC"},
    )


def _set_up_sqlite(dbapi_connection: Any, _record: object) -> None:
    # The driver's own transaction handling would start them late and without IMMEDIATE: we say BEGIN ourselves.
    dbapi_connection.isolation_level = None
    # What is purged must leave the file: freed pages are overwritten with zeros.
    secure = "secure_delete=ON"
    journal = ("journal_mode=WAL", "synchronous=FULL", f"wal_autocheckpoint={WAL_PAGES}")
    for pragma in (*journal, f"busy_timeout={BUSY_MS}", "foreign_keys=ON", secure):
        dbapi_connection.execute(f"PRAGMA {pragma}")
