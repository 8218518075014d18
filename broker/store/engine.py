"""The database connection: the only place that commits.

SQLite runs in WAL mode with ``synchronous=FULL``, Postgres with ``synchronous_commit=on``: a commit that returned
survives a power cut, which is what a signed checkpoint promises. One writer at a time: on SQLite by BEGIN IMMEDIATE,
on Postgres by an advisory lock that all replicas of a hub share and that ends with the transaction. Readers see the
snapshot of their transaction. A database that does not answer, or has no room, is a Refusal that says when to come
back; whether a commit took effect is then unknown.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.exc import SQLAlchemyError as DatabaseFault
from sqlalchemy.pool import PoolProxiedConnection

from lintas.errors import BadSettings, Refusal, StorageFull, StorageUnreachable

# The rest of the hub passes connections on without knowing SQLAlchemy: it imports the name from here.
__all__ = ["READERS", "Connection", "DatabaseFault", "Store"]

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

CHANNEL = "lintas"
"""The channel on which replicas tell each other of what they signed."""

WAIT_S = 30.0
"""How long a command waits for a database server that is not there yet: one that starts beside it, or recovers."""

PAUSE_S = 0.5

logger = logging.getLogger("lintas.store")

SQLITE, POSTGRES = "sqlite", "postgresql"

FULL = ("SQLITE_FULL", "53100")
"""What SQLite and Postgres call it when there is no room; the others are SQLSTATEs too."""

STANDBY = "25006"
"""Postgres takes no writes: it is (still) the standby."""

OURS = "SQLITE_ERROR"
"""SQLite calls a statement that is wrong an operational error; that is a fault of the hub's, not of the machine's."""

RETRY_AFTER_S = 1
RETRY_WHEN_FULL_S = 30

_ALIVE = {"connect_timeout": 10, "keepalives_idle": 10, "keepalives_interval": 5, "tcp_user_timeout": 20_000}
"""A database whose machine fell silent is given up after some 20 seconds, not after the system's quarter of an hour."""


class Store:
    """One database, opened for one process. Open it after a fork, never before. `file` is that of an SQLite one."""

    def __init__(self, url: str) -> None:
        """Open the database at an SQLAlchemy URL; raise BadSettings for a kind we do not know. Nothing is created."""
        self.url = read_url(url)
        self.is_shared = self.url.get_backend_name() == POSTGRES
        self.file = None if self.is_shared or not self.url.database else Path(self.url.database)
        opened = _open_postgres if self.is_shared else _open_sqlite
        self._write, self._read = opened(self.url, size=1, is_writer=True), opened(self.url, size=READERS)
        self.faults = 0

    @property
    def in_use(self) -> int:
        """Connections that are working now."""
        return sum(engine.pool.checkedout() for engine in (self._write, self._read))  # type: ignore[attr-defined]

    def wait(self) -> None:
        """Return once the server of a shared database answers; raise BadSettings when it does not within WAIT_S."""
        end, said = time.monotonic() + WAIT_S, ""
        while self.is_shared:
            try:
                self._read.connect().close()
            except OperationalError as fault:
                before, said = said, str(fault.orig).splitlines()[0]
                if time.monotonic() >= end:
                    raise BadSettings(
                        f"LINTAS_DATABASE does not answer: {said}. Start it, or mend its address or the password file."
                    ) from fault
                if said != before:
                    logger.warning("waiting for the database: %s", said)
                time.sleep(PAUSE_S)
            else:
                return

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Yield the one writing connection inside a transaction; commit at the end, roll back on any error."""
        with self._refusing(), self._write.connect() as conn:
            conn.begin()
            if self.is_shared:
                # Taken first: whatever this transaction reads of the log is then the newest there is.
                conn.execute(_TAKE_LOCK, {"lock": LOCK})
            yield conn
            try:
                conn.commit()
            except BaseException:
                # SQLAlchemy takes it for ended, and SQLite may still be in it: this connection is not used again.
                conn.invalidate()
                raise

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
        with self._refusing(), self._write.connect() as conn:
            # The driver's own connection: SQLAlchemy would begin a transaction, in which this cannot be changed.
            driver: Any = conn.connection.driver_connection
            driver.execute("PRAGMA synchronous=NORMAL")
            conn.begin()
            try:
                yield conn
                conn.commit()
            except BaseException:
                # The next one is made anew and waits for the disk, whatever became of this one.
                conn.invalidate()
                raise
            driver.execute("PRAGMA synchronous=FULL")

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yield a reading connection with a stable snapshot."""
        with self._refusing(), self._read.connect() as conn, conn.begin():
            yield conn

    def notify(self, conn: Connection, text: str) -> None:
        """Tell every process that listens, when this transaction commits. An SQLite database has one process."""
        if self.is_shared:
            conn.execute(_NOTIFY, {"channel": CHANNEL, "text": text})

    def close(self) -> None:
        """Close every connection."""
        self._write.dispose()
        self._read.dispose()

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as fault:
            # Any thread; two at once may count as one, which an alarm can bear.
            self.faults += 1
            refusal = _refusal(fault)
            if refusal is None:
                raise
            raise refusal from fault


def _refusal(fault: DBAPIError) -> Refusal | None:
    found = getattr(fault.orig, "sqlite_errorname", None) or getattr(fault.orig, "sqlstate", None)
    if found in FULL:
        return StorageFull(retry_after=RETRY_WHEN_FULL_S)
    if (isinstance(fault, OperationalError) and found != OURS) or fault.connection_invalidated or found == STANDBY:
        return StorageUnreachable(retry_after=RETRY_AFTER_S)
    return None


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
_NOTIFY = text("SELECT pg_notify(:channel, :text)")


def _open_sqlite(url: URL, *, size: int, is_writer: bool = False) -> Engine:
    # Here and below: what was to be written is never part of an error that is logged.
    # Each number of rows inserted at once is a statement of its own (broker.store.bulk).
    cached = {"cached_statements": STATEMENTS}
    engine = create_engine(url, pool_size=size, max_overflow=0, hide_parameters=True, connect_args=cached)
    begin = "BEGIN IMMEDIATE" if is_writer else "BEGIN"
    event.listen(engine, "connect", _set_up_sqlite)
    # Where the driver is asked to begin, not at an event of the engine: one listener makes every statement dearer.
    engine.dialect.do_begin = partial(_begin, begin)  # type: ignore[method-assign]
    return engine


def _begin(statement: str, dbapi_connection: PoolProxiedConnection) -> None:
    dbapi_connection.cursor().execute(statement)


def _open_postgres(url: URL, *, size: int, is_writer: bool = False) -> Engine:
    # A writer must see what another replica committed while it waited for the lock; a reader wants one snapshot.
    level = "READ COMMITTED" if is_writer else "REPEATABLE READ"
    return create_engine(
        url,
        pool_size=size,
        max_overflow=0,
        # The text of an error would quote what was to be stored, and end in a log.
        hide_parameters=True,
        # A database that was restarted left its connections dead: they are tried before use and made anew.
        pool_pre_ping=True,
        isolation_level=level,
        connect_args={"options": "-c synchronous_commit=on -c lock_timeout=30s -c timezone=UTC", **_ALIVE},
    )


def _set_up_sqlite(dbapi_connection: Any, _record: object) -> None:
    # The driver's own transaction handling would start them late and without IMMEDIATE: we say BEGIN ourselves.
    dbapi_connection.isolation_level = None
    # What is purged must leave the file: freed pages are overwritten with zeros.
    secure = "secure_delete=ON"
    journal = ("journal_mode=WAL", "synchronous=FULL", f"wal_autocheckpoint={WAL_PAGES}")
    for pragma in (*journal, f"busy_timeout={BUSY_MS}", "foreign_keys=ON", secure):
        dbapi_connection.execute(f"PRAGMA {pragma}")
