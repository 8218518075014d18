"""MISP events as the agency's own MISP is served them, one for each chain of bulletins.

What supersedes a bulletin takes its event over; of what ended, the event says that it is deleted, without its words.
Spec: docs/spec/misp.md.
"""

from __future__ import annotations

from typing import Any

from clients.gateway.database import Database
from lintas import misp
from lintas.stix import Export
from lintas.strict import canonical, parse_object

RECALL = "recall"
LISTED = ("Orgc", "Tag", "info", "date", "analysis", "threat_level_id", "timestamp")
"""What a manifest says of an event; on the agency's own machine also its title."""


class Events:
    """The events in the database. Changes belong into a transaction of the caller."""

    def __init__(self, database: Database) -> None:
        """Serve from this file."""
        self._database = database

    def put(self, export: Export) -> None:
        """Serve the event of a bulletin that stands; a recall has none, it changes that of what it recalls."""
        if export.header.kind != RECALL:
            self._write(export.id, misp.write_event(export))

    def withdraw(self, export: Export, at_us: int) -> None:
        """Serve the event of a bulletin that ended, unless a successor has taken it over."""
        row = self._database.row("SELECT bulletin FROM event WHERE uuid = ?", (misp.event_uuid(export),))
        if row is not None and row[0] == export.id:
            self._write(export.id, misp.withdrawn_event(export, at_us))

    def drop(self, bulletin: str) -> None:
        """Serve the event of a bulletin no more."""
        self._database.run("DELETE FROM event WHERE bulletin = ?", (bulletin,))

    def body(self, uuid: str) -> bytes | None:
        """Return one event as it is served."""
        row = self._database.row("SELECT body FROM event WHERE uuid = ?", (uuid,))
        return None if row is None else bytes(row[0])

    def manifest(self) -> dict[str, Any]:
        """Return what a MISP needs of each event to know whether to fetch it, by uuid."""
        found = (each["Event"] for each in self.everything())
        return {each["uuid"]: {name: each[name] for name in LISTED} for each in found}

    def everything(self) -> list[dict[str, Any]]:
        """Return all events."""
        rows = self._database.rows("SELECT body FROM event ORDER BY uuid")
        return [parse_object(row[0], floats=True) for row in rows]

    def _write(self, bulletin: str, event: dict[str, Any]) -> None:
        values = (event["Event"]["uuid"], bulletin, canonical(event))
        self._database.run("INSERT OR REPLACE INTO event VALUES (?, ?, ?)", values)
