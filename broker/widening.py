"""What happens when an agency may read more: a wider grant, the end of a suspension.

Bulletins that were released before come within reach. Cursors that passed them while nobody could be given them go
back, as the log says: they are served late, never skipped.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from broker.standing import reader
from broker.store import lines, log, subscriptions

if TYPE_CHECKING:
    from broker.batch import Batch
    from lintas.directory import Directory

WIDENING = frozenset({"grant.changed", "partner.resumed"})
"""Changes after which an agency may be able to read more."""

BEGINNING = -1


def look_back(batch: Batch, agency: str, before: Directory) -> None:
    """Move the agency's cursors back to what they passed that it could not read before and can read now."""
    was, now = reader(before, agency), reader(batch.directory, agency)
    if was == now:
        return
    for known in subscriptions.of_agency(batch.conn, agency):
        passed = lines.Passed(
            above=_begun(batch, agency, known.name),
            until=known.cursor,
            ways=(known.name, f"subscription/{known.name}", f"webhook/{known.name}"),
            now=batch.now,
        )
        first = lines.first_opened(batch.conn, was, now, known.wanted, passed)
        if first is not None:
            subscriptions.move(batch.conn, agency, known.name, first - 1)
            detail = {"name": known.name, "filter": known.wanted.members(), "cursor": first - 1}
            batch.append("subscription.changed", agency, detail=detail)


def _begun(batch: Batch, agency: str, name: str) -> int:
    """Return after which index a subscription began: what is older was never asked for."""
    made = log.event_at(batch.conn, subscriptions.created_seq(batch.conn, agency, name))
    if made is None or made.body is None:
        return BEGINNING
    cursor: int = json.loads(made.body)["detail"].get("cursor", BEGINNING)
    return cursor
