"""Orders that wait for a second administrator."""

from __future__ import annotations

import json
from typing import Any

from broker.store import log
from broker.store.engine import Connection
from lintas.directory import FRESH_S
from lintas.event import US_PER_S


def waiting(conn: Connection, *, now: int) -> dict[str, tuple[dict[str, Any], int]]:
    """Return detail and time (microseconds) of each such order by its id; after a day an order waits no more."""
    accepted = log.events_of_kinds(conn, {"order.accepted"}, after=-1)
    details = {row.object: json.loads(row.body)["detail"] for row in accepted if row.body is not None and row.object}
    done = {detail["first"] for detail in details.values() if "first" in detail}
    times = {row.object: row.time for row in accepted}
    return {
        row_id: (detail, times[row_id])
        for row_id, detail in details.items()
        if "needs" in detail and row_id not in done and times[row_id] // US_PER_S + FRESH_S > now
    }
