"""Listening to what other replicas tell, over a database connection that is kept for it.

The same connection may hold the lead: a lock of its session, which one replica of a hub has at a time and which ends
with the connection. What is heard has no gap while the connection lives; after a new one everything has to be looked
up, which is what `on_open` is for. That it lives is asked every few seconds, and believed for a few more: a replica
whose network fell silent knows that it hears nothing even if nobody tells it.
"""

from __future__ import annotations

import logging
import os
import secrets
import selectors
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

import psycopg
from sqlalchemy import create_engine
from sqlalchemy.engine import URL

from broker.store.engine import CHANNEL
from lintas.errors import BadSettings, LintasError

LEAD_LOCK = 0x6C656164
"""The advisory lock of the one that leads: the letters of the word."""

SERVE_LOCK = 0x7365727665
"""The advisory lock that all who serve share: the letters of the word. Who holds it alone knows that nobody serves."""

BEAT_S = 2.0
"""How often the connection is tried, and the lead asked for by whoever wants it."""

BELIEVED_S = 6.0
"""How long after its last sign of life a connection is believed in: nobody acts on less for longer."""

PAUSE_S_MIN, PAUSE_S_MAX = 0.1, 5.0
"""Between two attempts to connect: longer each time."""

_ALIVE = {"connect_timeout": 5, "keepalives_idle": 5, "keepalives_interval": 2, "tcp_user_timeout": 10_000}
_OPTIONS = "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3 -c statement_timeout=5s"
"""Both ends give a silent peer up within seconds: then the lead is free for another."""

logger = logging.getLogger("lintas.listening")


@dataclass(frozen=True, slots=True)
class Calls:
    """What the listener calls, in its own thread; none may wait for long.

    `on_open`: it hears from now on, whatever came before has to be looked up. `on_text`: this was told. `on_lead`: it
    began to lead, or leads no more.
    """

    on_open: Callable[[], None]
    on_text: Callable[[str], None]
    on_lead: Callable[[], None]


class Listening:
    """A thread that listens until it is stopped. Its attributes are written by that thread, read by any."""

    def __init__(self, url: URL, calls: Calls) -> None:
        """Take the database; `start` connects."""
        self.name = f"lintas-listening-{secrets.token_hex(4)}"
        self._url = url
        self._calls = calls
        self._thread = threading.Thread(target=self._run, name="lintas-listening", daemon=True)
        self._wake_read, self._wake_write = os.pipe()
        self._stopping = threading.Event()
        self._is_closed = False
        self._wants_lead = False
        self._has_lead = False
        self._believed_until = 0.0

    @property
    def is_hearing(self) -> bool:
        """Tell whether everything that others tell is heard here."""
        return monotonic() < self._believed_until

    @property
    def is_leading(self) -> bool:
        """Tell whether this is the one replica that leads."""
        return self._has_lead and self.is_hearing

    def start(self) -> None:
        """Begin to connect."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening; the lead is free then."""
        if self._is_closed:
            return
        self._stopping.set()
        self._wake()
        if self._thread.is_alive():
            self._thread.join()
        self._is_closed = True
        os.close(self._wake_read)
        os.close(self._wake_write)

    def want_lead(self, *, wanted: bool) -> None:
        """Ask for the lead until it comes, or give it up."""
        self._wants_lead = wanted
        self._wake()

    def _wake(self) -> None:
        if not self._is_closed:
            os.write(self._wake_write, b"\0")

    def _run(self) -> None:
        pause = PAUSE_S_MIN
        while not self._stopping.is_set():
            try:
                with connect(self._url, self.name) as conn:
                    _take(conn, "SELECT pg_try_advisory_lock_shared(%s)", "The hub is being moved to another database.")
                    conn.execute(f"LISTEN {CHANNEL}")
                    self._calls.on_open()
                    pause = PAUSE_S_MIN
                    self._listen(conn)
            except Exception as fault:
                # What the database says names hosts and roles, which the operator needs, and no password.
                is_known = isinstance(fault, (psycopg.Error, LintasError))
                logger.warning("other replicas are not heard: %s", str(fault).strip(), exc_info=not is_known)
            self._believed_until = 0.0
            self._lead(has_lead=False)
            self._stopping.wait(pause)
            pause = min(pause * 2, PAUSE_S_MAX)

    def _listen(self, conn: psycopg.Connection[Any]) -> None:
        beat_at = 0.0
        with selectors.DefaultSelector() as selector:
            selector.register(conn.fileno(), selectors.EVENT_READ)
            selector.register(self._wake_read, selectors.EVENT_READ, data="wake")
            while not self._stopping.is_set():
                if monotonic() >= beat_at:
                    beat_at = monotonic() + BEAT_S
                    self._beat(conn)
                for heard in conn.notifies(timeout=0):
                    self._calls.on_text(heard.payload)
                for key, _ in selector.select(max(0.0, beat_at - monotonic())):
                    if key.data == "wake":
                        os.read(self._wake_read, 64)
                        beat_at = 0.0

    def _beat(self, conn: psycopg.Connection[Any]) -> None:
        began = monotonic()
        if self._wants_lead and not self._has_lead:
            row = conn.execute("SELECT pg_try_advisory_lock(%s)", (LEAD_LOCK,)).fetchone()
            has_lead = row is not None and row[0]
        elif self._has_lead and not self._wants_lead:
            conn.execute("SELECT pg_advisory_unlock(%s)", (LEAD_LOCK,))
            has_lead = False
        else:
            conn.execute("SELECT 1")
            has_lead = self._has_lead
        self._believed_until = began + BELIEVED_S
        self._lead(has_lead=has_lead)

    def _lead(self, *, has_lead: bool) -> None:
        if has_lead != self._has_lead:
            self._has_lead = has_lead
            self._calls.on_lead()


@contextmanager
def alone(url: URL) -> Iterator[None]:
    """Keep everybody from serving the database meanwhile; raise BadSettings when somebody does."""
    with connect(url) as conn:
        _take(conn, "SELECT pg_try_advisory_lock(%s)", "A replica serves this hub: stop every one first.")
        yield


def _take(conn: psycopg.Connection[Any], statement: str, refusal: str) -> None:
    row = conn.execute(statement.encode(), (SERVE_LOCK,)).fetchone()
    if row is None or not row[0]:
        raise BadSettings(refusal)


def connect(url: URL, name: str = "") -> psycopg.Connection[Any]:
    """Connect outside the pools of the engines, under a name that the database shows; the address is read as theirs."""
    arguments, found = create_engine(url).dialect.create_connect_args(url)
    options: dict[str, Any] = {**_ALIVE, **found, "options": _OPTIONS, "autocommit": True, "application_name": name}
    return psycopg.connect(*arguments, **options)
