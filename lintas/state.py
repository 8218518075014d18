"""What a client remembers between runs, in one SQLite file beside its identity.

Kept: the last checkpoint of the pinned log, the events that give the directory, what was released but not yet seen,
what was purged or withdrawn, the feed's cursor, and the outbox of signed lines. Each change is one transaction with
``synchronous=FULL``; a client killed at any moment finds either the state before or the state after.
"""

from __future__ import annotations

import sqlite3
import weakref
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lintas.errors import Unpinned

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS control (seq INTEGER PRIMARY KEY, body BLOB NOT NULL, line BLOB);
CREATE TABLE IF NOT EXISTS released (
  id TEXT PRIMARY KEY, seq INTEGER NOT NULL, accepted_seq INTEGER, at INTEGER, exp INTEGER, topic TEXT, tlp TEXT,
  beyond INTEGER, seen INTEGER
);
CREATE TABLE IF NOT EXISTS outbox (
  id TEXT PRIMARY KEY, number INTEGER NOT NULL, line BLOB NOT NULL, state TEXT NOT NULL, seq INTEGER,
  receipt BLOB, problem TEXT, tag TEXT UNIQUE
);
CREATE TABLE IF NOT EXISTS hole (
  party TEXT NOT NULL, party_seq INTEGER NOT NULL, entry BLOB NOT NULL, since INTEGER NOT NULL,
  PRIMARY KEY (party, party_seq)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS kept (party TEXT NOT NULL, party_seq INTEGER NOT NULL, PRIMARY KEY (party, party_seq))
  WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS purged (id TEXT PRIMARY KEY, unproven TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS signed (id TEXT PRIMARY KEY, iss TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS withdrawal (
  target TEXT NOT NULL, by TEXT NOT NULL, relation TEXT NOT NULL, iss TEXT NOT NULL,
  PRIMARY KEY (target, by, relation)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS purged_unproven ON purged (id) WHERE unproven IS NOT NULL;
CREATE INDEX IF NOT EXISTS outbox_state ON outbox (state, number);
CREATE INDEX IF NOT EXISTS released_unseen ON released (seen, seq);
"""

WAITING, SENT, REFUSED, REPLACED = "waiting", "sent", "refused", "replaced"


@dataclass(frozen=True, slots=True)
class ControlRow:
    """One event that shaped the directory, with the line behind it."""

    seq: int
    body: bytes
    line: bytes | None


@dataclass(frozen=True, slots=True)
class Released:
    """A bulletin that the log says was released to us; `seq` and `at` (seconds) are those of that event.

    `beyond`: released to us by name beyond our grants of that time, as a withdrawal of what we hold is.
    """

    id: str
    seq: int
    accepted_seq: int
    at: int
    exp: int
    topic: str
    tlp: str
    beyond: bool = False


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A signed line on its way. `tag` is the sender's own key for it, so that a script makes it once."""

    id: str
    line: bytes
    state: str
    seq: int | None
    receipt: bytes | None
    problem: str | None
    tag: str | None


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """What a verified line `by` of `iss` says of `target`: recalls, recalls-part or supersedes."""

    target: str
    by: str
    relation: str
    iss: str


class State:
    """The file. One process and thread at a time writes; SQLite's lock makes others wait."""

    def __init__(self, path: Path | str, *, log_key: str) -> None:
        """Open or make the file; raise Unpinned when it belongs to another log than this key is of."""
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
        # A state that nobody closed closes with its last user.
        weakref.finalize(self, self._db.close)
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;" + _SCHEMA)
        known, later = self.get("log_key"), self.get("log_keys") or b""
        if known is None:
            self.put("log_key", log_key.encode())
        elif log_key.encode() not in {known, *(line.split(b" ")[-1] for line in later.splitlines())}:
            raise Unpinned("The state beside this identity belongs to a log with another key.")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make what happens inside one transaction."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def get(self, name: str) -> bytes | None:
        """Return a remembered value."""
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else bytes(row[0])

    def get_int(self, name: str, default: int) -> int:
        """Return a remembered number."""
        value = self.get(name)
        return default if value is None else int(value)

    def put(self, name: str, value: bytes | int) -> None:
        """Remember a value."""
        data = str(value).encode() if isinstance(value, int) else value
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, data))

    def add_control(self, row: ControlRow) -> None:
        """Remember an event of the directory."""
        self._db.execute("INSERT INTO control VALUES (?, ?, ?)", (row.seq, row.body, row.line))

    def control(self) -> list[ControlRow]:
        """Return the events of the directory in log order."""
        return [ControlRow(*row) for row in self._db.execute("SELECT seq, body, line FROM control ORDER BY seq")]

    def newest_control(self) -> int:
        """Return the index of the newest event of the directory, -1 before the first."""
        newest: int = self._db.execute("SELECT coalesce(max(seq), -1) FROM control").fetchone()[0]
        return newest

    def add_released(self, rows: Iterable[Released]) -> None:
        """Remember what the log says was released to us; one seen before its event stays seen."""
        for row in rows:
            self._db.execute(
                "INSERT INTO released VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0) ON CONFLICT (id) DO UPDATE SET "
                "seq = excluded.seq, accepted_seq = excluded.accepted_seq, at = excluded.at, exp = excluded.exp, "
                "topic = excluded.topic, tlp = excluded.tlp, beyond = excluded.beyond WHERE seq < 0",
                (row.id, row.seq, row.accepted_seq, row.at, row.exp, row.topic, row.tlp, row.beyond),
            )

    def mark_seen(self, ids: Iterable[str]) -> None:
        """Note that these were delivered, or are our own."""
        self._db.executemany(
            "INSERT INTO released VALUES (?, -1, -1, 0, 0, '', '', 0, 1) ON CONFLICT (id) DO UPDATE SET seen = 1",
            [(line_id,) for line_id in ids],
        )

    def released(self, ids: Collection[str]) -> dict[str, Released]:
        """Return what the log says of these ids, as far as they were released to us."""
        found = {}
        for line_id in ids:
            query = f"SELECT {_RELEASED} FROM released WHERE id = ? AND seq >= 0"  # noqa: S608 - a constant
            row = self._db.execute(query, (line_id,)).fetchone()
            if row is not None:
                found[line_id] = _released(row)
        return found

    def unseen_of(self, ids: Iterable[str]) -> set[str]:
        """Return which of these were released to us and never taken over."""
        query = "SELECT 1 FROM released WHERE id = ? AND seen = 0"
        return {line_id for line_id in ids if self._db.execute(query, (line_id,)).fetchone() is not None}

    def unseen(self, until: int, *, after: int = -1) -> list[Released]:
        """Return what was released at log indexes above `after` up to `until` and never delivered."""
        query = f"SELECT {_RELEASED} FROM released WHERE seen = 0 AND seq > ? AND seq <= ? ORDER BY seq"  # noqa: S608
        return [_released(row) for row in self._db.execute(query, (after, until))]

    def unseen_between(self, after: int, until: int) -> list[Released]:
        """Return what was accepted at log indexes above `after` up to `until`, released to us and never delivered."""
        where = "seen = 0 AND seq >= 0 AND accepted_seq > ? AND accepted_seq <= ?"
        query = f"SELECT {_RELEASED} FROM released WHERE {where} ORDER BY seq"  # noqa: S608 - constants
        return [_released(row) for row in self._db.execute(query, (after, until))]

    def receipt_of(self, line_id: str) -> bytes | None:
        """Return the receipt that is kept with a line we sent."""
        row = self._db.execute("SELECT receipt FROM outbox WHERE id = ?", (line_id,)).fetchone()
        return None if row is None else row[0]

    def add_hole(self, party: str, party_seq: int, entry: bytes, *, since: int) -> None:
        """Remember an event shown without its body, logged after second `since`, until a purge names it."""
        self._db.execute("INSERT INTO hole VALUES (?, ?, ?, ?)", (party, party_seq, entry, since))

    def take_hole(self, party: str, party_seq: int) -> tuple[bytes, int] | None:
        """Return entry and `since` of such an event and forget it; None when its body was shown."""
        query = "DELETE FROM hole WHERE party = ? AND party_seq = ? RETURNING entry, since"
        row = self._db.execute(query, (party, party_seq)).fetchone()
        return None if row is None else (bytes(row[0]), row[1])

    def holes(self) -> int:
        """Return how many such events no purge has named yet."""
        count: int = self._db.execute("SELECT count(*) FROM hole").fetchone()[0]
        return count

    def add_kept(self, party: str, party_seq: int) -> None:
        """Remember an event that no purge may touch."""
        self._db.execute("INSERT INTO kept VALUES (?, ?)", (party, party_seq))

    def is_kept(self, party: str, party_seq: int) -> bool:
        """Tell whether this is an event that no purge may touch."""
        query = "SELECT 1 FROM kept WHERE party = ? AND party_seq = ?"
        return self._db.execute(query, (party, party_seq)).fetchone() is not None

    def add_purged(self, line_id: str, *, unproven: str | None = None) -> None:
        """Remember that a bulletin was purged; `unproven` is the recall that must still prove that it could be."""
        self._db.execute("INSERT OR IGNORE INTO purged VALUES (?, ?)", (line_id, unproven))

    def prove_purged(self, line_id: str) -> None:
        """Note that the purge of a bulletin was proven to be right."""
        self._db.execute("UPDATE purged SET unproven = NULL WHERE id = ?", (line_id,))

    def purged(self, ids: Iterable[str]) -> set[str]:
        """Return which of these were purged."""
        query = "SELECT 1 FROM purged WHERE id = ?"
        return {line_id for line_id in ids if self._db.execute(query, (line_id,)).fetchone() is not None}

    def unproven_purges(self) -> dict[str, str]:
        """Return the purged bulletins that had not ended, each with the recall that is said to have ended it."""
        return dict(self._db.execute("SELECT id, unproven FROM purged WHERE unproven IS NOT NULL ORDER BY id"))

    def add_signed(self, line_id: str, iss: str, withdrawals: Iterable[Withdrawal]) -> None:
        """Remember a verified line: its issuer, what it withdraws."""
        self._db.execute("INSERT OR IGNORE INTO signed VALUES (?, ?)", (line_id, iss))
        rows = [(each.target, each.by, each.relation, each.iss) for each in withdrawals]
        self._db.executemany("INSERT OR IGNORE INTO withdrawal VALUES (?, ?, ?, ?)", rows)

    def issuer(self, line_id: str) -> str | None:
        """Return who signed a line that was verified once."""
        row = self._db.execute("SELECT iss FROM signed WHERE id = ?", (line_id,)).fetchone()
        return None if row is None else str(row[0])

    def withdrawals(self, target: str) -> list[Withdrawal]:
        """Return what verified lines say of this one."""
        query = "SELECT target, by, relation, iss FROM withdrawal WHERE target = ? ORDER BY by"
        return [Withdrawal(*row) for row in self._db.execute(query, (target,))]

    def is_outgoing(self, line_id: str) -> bool:
        """Tell whether this line went through our outbox."""
        return self._db.execute("SELECT 1 FROM outbox WHERE id = ?", (line_id,)).fetchone() is not None

    def sent(self, line_id: str) -> Outgoing | None:
        """Return a line of ours that the hub accepted, as it was signed."""
        query = f"SELECT {_OUTGOING} FROM outbox WHERE id = ? AND state = ?"  # noqa: S608 - a constant
        row = self._db.execute(query, (line_id, SENT)).fetchone()
        return None if row is None else Outgoing(*row)

    def enqueue(self, line_id: str, line: bytes, tag: str | None = None) -> None:
        """Keep a signed line before it is sent for the first time."""
        query = (
            "INSERT INTO outbox (id, number, line, state, tag) "
            "VALUES (?, (SELECT coalesce(max(number), 0) + 1 FROM outbox), ?, ?, ?) ON CONFLICT (id) DO NOTHING"
        )
        self._db.execute(query, (line_id, line, WAITING, tag))

    def settle(self, line_id: str, *, seq: int, receipt: bytes | None) -> None:
        """Note that the hub accepted a line."""
        query = "UPDATE outbox SET state = ?, seq = ?, receipt = coalesce(?, receipt) WHERE id = ?"
        self._db.execute(query, (SENT, seq, receipt, line_id))

    def refuse(self, line_id: str, problem: str) -> None:
        """Note that the hub refused a line for good."""
        self._db.execute("UPDATE outbox SET state = ?, problem = ? WHERE id = ?", (REFUSED, problem, line_id))

    def replace(self, line_id: str, successor: str, line: bytes) -> None:
        """Put a line signed anew in the place of a stale one, which is kept; the tag moves to the successor."""
        row = self._db.execute("SELECT tag FROM outbox WHERE id = ?", (line_id,)).fetchone()
        self._db.execute("UPDATE outbox SET state = ?, tag = NULL WHERE id = ?", (REPLACED, line_id))
        self.enqueue(successor, line, None if row is None else row[0])

    def add_outgoing(self, each: Outgoing) -> None:
        """Add a line as it stood in another outbox, behind those that are here."""
        query = (
            "INSERT OR IGNORE INTO outbox (id, number, line, state, seq, receipt, problem, tag) "
            "VALUES (?, (SELECT coalesce(max(number), 0) + 1 FROM outbox), ?, ?, ?, ?, ?, ?)"
        )
        facts = (each.line, each.state, each.seq, each.receipt, each.problem, each.tag)
        self._db.execute(query, (each.id, *facts))

    def take_over(self, other: State, prefixes: Iterable[str]) -> None:
        """Take over what another memory has seen and verified, and its values whose names begin so."""
        self.mark_seen(line_id for (line_id,) in other._db.execute("SELECT id FROM released WHERE seen = 1"))
        for table, columns in (("signed", 2), ("withdrawal", 4)):
            places = ", ".join("?" * columns)
            rows = other._db.execute(f"SELECT * FROM {table}")  # noqa: S608 - constants
            self._db.executemany(f"INSERT OR IGNORE INTO {table} VALUES ({places})", rows)  # noqa: S608 - constants
        for prefix in prefixes:
            rows = other._db.execute("SELECT name, value FROM meta WHERE substr(name, 1, ?) = ?", (len(prefix), prefix))
            self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)

    def outgoing(self, state: str = WAITING) -> list[Outgoing]:
        """Return the lines of the outbox in this state, oldest first."""
        query = f"SELECT {_OUTGOING} FROM outbox WHERE state = ? ORDER BY number"  # noqa: S608 - a constant
        return [Outgoing(*row) for row in self._db.execute(query, (state,))]

    def sent_line(self, line_id: str) -> bytes | None:
        """Return the bytes of a line that went through our outbox."""
        row = self._db.execute("SELECT line FROM outbox WHERE id = ?", (line_id,)).fetchone()
        return None if row is None else bytes(row[0])

    def by_tag(self, tag: str) -> Outgoing | None:
        """Return the line a script made under this tag."""
        query = f"SELECT {_OUTGOING} FROM outbox WHERE tag = ?"  # noqa: S608 - a constant
        row = self._db.execute(query, (tag,)).fetchone()
        return None if row is None else Outgoing(*row)


def pinned_in(path: Path) -> str | None:
    """Return the key that the memory in this file was made with, None where there is no such file."""
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as db:
        row = db.execute("SELECT value FROM meta WHERE name = 'log_key'").fetchone()
    return None if row is None else bytes(row[0]).decode()


def _released(row: tuple[Any, ...]) -> Released:
    line_id, seq, accepted_seq, at, exp, topic, tlp, beyond = row
    return Released(line_id, seq, accepted_seq, at, exp, topic, tlp, beyond=bool(beyond))


_RELEASED = "id, seq, accepted_seq, at, exp, topic, tlp, beyond"
_OUTGOING = "id, line, state, seq, receipt, problem, tag"
