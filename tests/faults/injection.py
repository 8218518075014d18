"""Faults at a hub's writes: the write lost, applied though an error was reported, or the process killed there.

It stands where the driver is, so that whatever the hub writes passes it, however the statement was made: connections
and cursors of both drivers are subclassed, and say each write by its name (``INSERT line``, ``COMMIT batch``).
"""

from __future__ import annotations

import os
import re
import signal
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg
from sqlalchemy import event

from broker.hub import Hub
from broker.outside import Outside
from lintas.errors import StorageUnreachable

LOST, APPLIED, KILLED = "lost", "applied", "killed"

_WRITE = re.compile(r'\s*(INSERT|UPDATE|DELETE|COPY)(?: OR \w+)?(?: INTO| FROM)? "?(\w+)', re.IGNORECASE)


@dataclass
class Injector:
    """The one fault that comes next, and every write that was seen. `is_full`: Postgres finds no room for any."""

    armed: tuple[str, str] | None = None
    is_full: bool = False
    seen: set[str] = field(default_factory=set)

    def arm(self, write: str, fault: str) -> None:
        """Let this fault happen the next time that this is written."""
        self.armed = (write, fault)

    def at(self, write: str, act: Callable[[], Any], fail: Callable[[], None]) -> Any:
        """Do a write, with the fault that is armed for it; `fail` reports the error as the driver would."""
        self.seen.add(write)
        if self.is_full and write.startswith(("INSERT", "UPDATE", "COPY")):
            raise psycopg.errors.DiskFull("could not extend file: No space left on device")
        if self.armed is None or self.armed[0] != write:
            return act()
        (_, fault), self.armed = self.armed, None
        if fault == KILLED:
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == APPLIED:
            act()
        return fail()


def inject(hub: Hub) -> Injector:
    """Stand between a hub that is not started yet and its disk."""
    injector = Injector()
    is_postgres = hub.store.is_shared
    connect = _postgres(injector) if is_postgres else _sqlite(injector)
    event.listen(hub.store._write, "do_connect", connect)
    hub.signer._outside = _Kept(injector, hub.settings.checkpoint)
    hub.writer.on_commit.insert(0, lambda _news: injector.at("ANSWER", lambda: None, lambda: None))
    return injector


class _Kept(Outside):
    """The file outside the database."""

    def __init__(self, injector: Injector, path: Any) -> None:
        super().__init__(path)
        self._injector = injector

    def keep(self, note: bytes) -> None:
        """Keep a checkpoint, or fail."""

        def fail() -> None:
            raise StorageUnreachable(retry_after=1)

        self._injector.at("KEEP checkpoint", lambda: super(_Kept, self).keep(note), fail)


class _Transaction:
    """What one connection wrote since its last commit, which names the commit."""

    def __init__(self, injector: Injector) -> None:
        self.injector = injector
        self.writes: set[str] = set()

    def at(self, statement: Any, act: Callable[[], Any], fail: Callable[[], None]) -> Any:
        """Do a statement."""
        found = _WRITE.match(statement if isinstance(statement, str) else str(statement))
        if found is None:
            return act()
        write = f"{found[1].upper()} {found[2]}"
        self.writes.add(write)
        return self.injector.at(write, act, fail)

    def commit(self, act: Callable[[], Any], fail: Callable[[], None]) -> Any:
        """Commit."""
        writes, self.writes = self.writes, set()
        if not writes:
            return act()
        return self.injector.at("COMMIT checkpoint" if "INSERT checkpoint" in writes else "COMMIT batch", act, fail)


def _sqlite(injector: Injector) -> Callable[..., None]:
    def fail() -> None:
        fault = sqlite3.OperationalError("disk I/O error")
        fault.sqlite_errorname = "SQLITE_IOERR"
        raise fault

    class FaultyCursor(sqlite3.Cursor):
        def execute(self, statement: str, *parameters: Any) -> Any:
            transaction = self.connection.transaction  # type: ignore[attr-defined]
            return transaction.at(statement, lambda: super(FaultyCursor, self).execute(statement, *parameters), fail)

        def executemany(self, statement: str, *parameters: Any) -> Any:
            transaction = self.connection.transaction  # type: ignore[attr-defined]
            many = super().executemany
            return transaction.at(statement, lambda: many(statement, *parameters), fail)

    class FaultyConnection(sqlite3.Connection):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.transaction = _Transaction(injector)

        def cursor(self, *_: Any) -> Any:
            return super().cursor(FaultyCursor)

        def commit(self) -> None:
            self.transaction.commit(super().commit, fail)

    def connect(_dialect: Any, _record: Any, _arguments: Any, options: dict[str, Any]) -> None:
        options["factory"] = FaultyConnection

    return connect


def _postgres(injector: Injector) -> Callable[..., Any]:
    def failing(conn: psycopg.Connection[Any]) -> Callable[[], None]:
        def fail() -> None:
            # What a cut connection leaves behind: the server takes back what was not committed.
            conn.close()
            raise psycopg.OperationalError("the connection is lost")

        return fail

    class FaultyCursor(psycopg.Cursor[Any]):
        def execute(self, query: Any, *arguments: Any, **options: Any) -> Any:
            act = super().execute
            return self._at(query, lambda: act(query, *arguments, **options))

        def executemany(self, query: Any, *arguments: Any, **options: Any) -> Any:
            act = super().executemany
            return self._at(query, lambda: act(query, *arguments, **options))

        def copy(self, statement: Any, *arguments: Any, **options: Any) -> Any:
            act = super().copy
            return self._at(statement, lambda: act(statement, *arguments, **options))

        def _at(self, statement: Any, act: Callable[[], Any]) -> Any:
            conn = self.connection
            return conn.transaction_.at(statement, act, failing(conn))  # type: ignore[attr-defined]

    class FaultyConnection(psycopg.Connection[Any]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.transaction_ = _Transaction(injector)

        def commit(self) -> None:
            self.transaction_.commit(super().commit, failing(self))

    def connect(_dialect: Any, _record: Any, arguments: Any, options: dict[str, Any]) -> Any:
        conn = FaultyConnection.connect(*arguments, **options)
        conn.cursor_factory = FaultyCursor
        return conn

    return connect
