"""The file in which the gateway remembers what it took over from either side.

One SQLite file beside the identity. Every change is one transaction with ``synchronous=FULL``: a gateway killed at any
moment finds the state before or the state after. The threads of the process share one connection under one lock;
another process (`lintas outbox`) waits for SQLite's own. What is deleted is overwritten.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS bulletin (
  id TEXT PRIMARY KEY, seq INTEGER NOT NULL, changed INTEGER NOT NULL UNIQUE, at_us INTEGER NOT NULL,
  exp INTEGER NOT NULL, iss TEXT NOT NULL, line BLOB, payload BLOB, marks TEXT NOT NULL, parts TEXT NOT NULL,
  unserved TEXT, state TEXT, by TEXT, origin TEXT NOT NULL, origin_us INTEGER NOT NULL, version_us INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS said (
  target TEXT NOT NULL, by TEXT NOT NULL, relation TEXT NOT NULL, iss TEXT NOT NULL, at_us INTEGER NOT NULL,
  PRIMARY KEY (target, by, relation)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS gone (
  target TEXT NOT NULL, kind TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (target, kind, value)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS object (
  id TEXT PRIMARY KEY, type TEXT NOT NULL, version TEXT, added INTEGER NOT NULL UNIQUE, body BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS carries (
  bulletin TEXT NOT NULL, object TEXT NOT NULL, rank INTEGER NOT NULL, PRIMARY KEY (bulletin, object)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS event (uuid TEXT PRIMARY KEY, bulletin TEXT NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS posting (
  number INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL UNIQUE, key TEXT NOT NULL, attempt INTEGER NOT NULL,
  channel TEXT NOT NULL, name TEXT NOT NULL, at_us INTEGER NOT NULL, objects TEXT NOT NULL, omitted TEXT NOT NULL,
  problem TEXT, UNIQUE (key, attempt)
);
CREATE TABLE IF NOT EXISTS draft (
  number INTEGER PRIMARY KEY AUTOINCREMENT, posting INTEGER NOT NULL, tag TEXT NOT NULL UNIQUE, members TEXT NOT NULL,
  state TEXT NOT NULL, release_to TEXT, line TEXT, seq INTEGER, problem TEXT
);
CREATE TABLE IF NOT EXISTS noting (bulletin TEXT PRIMARY KEY, state TEXT NOT NULL, problem TEXT) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS bulletin_ends ON bulletin (exp) WHERE state IS NULL;
CREATE INDEX IF NOT EXISTS bulletin_origin ON bulletin (origin, version_us);
CREATE INDEX IF NOT EXISTS carries_object ON carries (object, rank);
CREATE INDEX IF NOT EXISTS event_bulletin ON event (bulletin);
CREATE INDEX IF NOT EXISTS draft_posting ON draft (posting);
CREATE INDEX IF NOT EXISTS draft_state ON draft (state);
"""


class Database:
    """The file, open. `path` is made with mode 0600: it holds what was opened of sealed bulletins."""

    def __init__(self, path: Path) -> None:
        """Open or make the file."""
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        self._lock = threading.RLock()
        self._depth = 0
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
        # One that nobody closed closes with its last user.
        weakref.finalize(self, self._db.close)
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON;" + _SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make what happens inside one transaction; one inside another is part of it."""
        with self._lock:
            if self._depth:
                yield
                return
            self._db.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                # A disk that was full may have ended it already.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            finally:
                self._depth -= 1

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """Return all rows of a query."""
        with self._lock:
            return self._db.execute(query, values).fetchall()

    def row(self, query: str, values: Sequence[Any] = ()) -> Any:
        """Return the first row of a query, or None."""
        with self._lock:
            return self._db.execute(query, values).fetchone()

    def run(self, query: str, values: Sequence[Any] = ()) -> int:
        """Change something; return how many rows."""
        with self._lock:
            return self._db.execute(query, values).rowcount

    def insert(self, table: str, **values: Any) -> int:
        """Insert one row; return its number."""
        names = ", ".join(values)
        marks = ", ".join("?" * len(values))
        with self._lock:
            # Table and columns are words of ours.
            done = self._db.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(values.values()))  # noqa: S608
            return done.lastrowid or 0

    def sweep(self) -> None:
        """Overwrite what was deleted in the file beside this one as well, where changes wait for their place."""
        self.rows("PRAGMA wal_checkpoint(TRUNCATE)")

    def get(self, name: str) -> str | None:
        """Return a remembered value."""
        row = self.row("SELECT value FROM meta WHERE name = ?", (name,))
        return None if row is None else str(row[0])

    def put(self, name: str, value: str) -> None:
        """Remember a value."""
        self.run("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def rising(self, name: str, at_least: int = 1) -> int:
        """Return a number larger than every one that was given under this name, and at least so large."""
        number = max(at_least, int(self.get(name) or 0) + 1)
        self.put(name, str(number))
        return number
