"""STIX objects as the agency's tools are served them, one version each.

An object stays as long as a bulletin carries it. What changes is added anew: `added` is Unix microseconds, strictly
rising, so that whoever polls from the last one it saw misses nothing. Of an observable that stands in several bulletins
the narrowest of their markings counts. Only the newest version is kept: what was withdrawn is nowhere any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from clients.gateway.database import Database
from lintas.stix import version_of
from lintas.stix.fixed import TLP_MARKINGS
from lintas.strict import canonical, parse_object
from lintas.vocabulary import TLP, tlp_rank

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Served:
    """One object: `version` is None for what has none, `body` its canonical JSON."""

    id: str
    type: str
    version: str | None
    added: int
    body: bytes


class Objects:
    """The objects in the database. Changes belong into a transaction of the caller."""

    def __init__(self, database: Database) -> None:
        """Serve from this file."""
        self._database = database

    def carry(self, bulletin: str, objects: Iterable[Object], *, tlp: str, now_us: int) -> None:
        """Make these the objects that a bulletin carries, in place of those it carried."""
        new = {each["id"]: each for each in objects}
        before, rank = self.carried(bulletin), tlp_rank(tlp)
        for each in new.values():
            self._put(each, now_us)
            self._database.run("INSERT OR REPLACE INTO carries VALUES (?, ?, ?)", (bulletin, each["id"], rank))
        for gone in before - new.keys():
            self._database.run("DELETE FROM carries WHERE bulletin = ? AND object = ?", (bulletin, gone))
        # What others carry too may have another marking now, or no carrier.
        for each_id in before | new.keys():
            self._settle(each_id, now_us)

    def carried(self, bulletin: str) -> set[str]:
        """Return the ids of what a bulletin carries."""
        return {row[0] for row in self._database.rows("SELECT object FROM carries WHERE bulletin = ?", (bulletin,))}

    def of(self, bulletin: str) -> list[Object]:
        """Return what a bulletin carries."""
        query = "SELECT body FROM object JOIN carries ON object = id WHERE bulletin = ?"
        return [parse_object(row[0], floats=True) for row in self._database.rows(query, (bulletin,))]

    def select(
        self, *, after: int = -1, ids: Sequence[str] = (), types: Sequence[str] = (), limit: int = -1
    ) -> list[Served]:
        """Return what was added after a time, in that order, at most `limit`; of these ids and types if any."""
        where, values = ["added > ?"], [after, *ids, *types]
        where += [
            f"{name} IN ({', '.join('?' * len(given))})" for name, given in (("id", ids), ("type", types)) if given
        ]
        query = f"SELECT id, type, version, added, body FROM object WHERE {' AND '.join(where)}"  # noqa: S608 - our words
        rows = self._database.rows(f"{query} ORDER BY added LIMIT ?", (*values, limit))
        return [Served(*row) for row in rows]

    def count(self) -> int:
        """Return how many objects are served."""
        count: int = self._database.row("SELECT count(*) FROM object")[0]
        return count

    def _put(self, each: Object, now_us: int) -> None:
        version = version_of(each)
        known = self._database.row("SELECT version FROM object WHERE id = ?", (each["id"],))
        if known is not None and (version is None or known[0] >= version):
            return
        self._write(each, version, now_us)

    def _write(self, each: Object, version: str | None, now_us: int) -> None:
        added = self._database.rising("added", now_us)
        values = (each["id"], each["type"], version, added, canonical(each))
        self._database.run("INSERT OR REPLACE INTO object VALUES (?, ?, ?, ?, ?)", values)

    def _settle(self, each_id: str, now_us: int) -> None:
        # The higher the rank, the narrower the marking.
        (rank,) = self._database.row("SELECT max(rank) FROM carries WHERE object = ?", (each_id,))
        if rank is None:
            self._database.run("DELETE FROM object WHERE id = ?", (each_id,))
            return
        row = self._database.row("SELECT body FROM object WHERE id = ? AND version IS NULL", (each_id,))
        if row is not None:
            each, marking = parse_object(row[0], floats=True), [TLP_MARKINGS[TLP[rank]]]
            if each["object_marking_refs"] != marking:
                self._write({**each, "object_marking_refs": marking}, None, now_us)
