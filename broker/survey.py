"""What the database says of a hub's state, read once.

The same figures stand in ``metrics`` and ``status``. Nothing here names a bulletin, a value or an address.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from broker.retention import DAY_S
from broker.store import figures, log
from broker.store.engine import Connection
from broker.witnesses import newest_witnessed
from lintas.directory import Directory
from lintas.errors import NotWitnessed
from lintas.event import US_PER_S
from lintas.quorum import Policy

EXPIRY_S = 30 * DAY_S
"""How long before its end a key is called near it: time enough to invite whoever will not rotate."""


@dataclass(frozen=True, slots=True)
class Survey:
    """Figures of one snapshot. Times are Unix seconds, `database_bytes` is what lies on the disk.

    `size` counts events, `signed` those under the newest checkpoint, `signed_at` is the time of the last of these.
    `witnessed` counts those under the newest witnessed one, `unwitnessed_since` is the time of the first that is not;
    both are None when no quorum is asked for. `webhooks` by state, `overdue` are bulletins past their purge.
    """

    size: int
    signed: int
    signed_at: int
    witnessed: int | None
    unwitnessed_since: int | None
    database_bytes: int
    webhooks: Mapping[str, int]
    overdue: int


def survey(conn: Connection, policy: Policy, *, now: int, purge_after_days: int) -> Survey:
    """Read the figures."""
    size, _ = log.head(conn)
    newest = log.newest_checkpoint(conn)
    signed = newest[0] if newest else 0
    witnessed = None if policy.quorum is None else _witnessed(conn, policy)
    times = log.times(conn, [signed - 1] + ([] if witnessed is None else [witnessed]))
    unwitnessed = None if witnessed is None else times.get(witnessed)
    return Survey(
        size=size,
        signed=signed,
        signed_at=times.get(signed - 1, 0) // US_PER_S,
        witnessed=witnessed,
        unwitnessed_since=None if unwitnessed is None else unwitnessed // US_PER_S,
        database_bytes=figures.size_bytes(conn),
        webhooks=figures.webhooks(conn),
        # A day is the purge's own pace: what became due since its last run is in order.
        overdue=figures.overdue(conn, now - (purge_after_days + 2) * DAY_S),
    )


def _witnessed(conn: Connection, policy: Policy) -> int:
    try:
        return newest_witnessed(conn, policy)[0]
    except NotWitnessed:
        return 0


def keys_ending(directory: Directory, now: int) -> list[tuple[str, int]]:
    """Return (party, end) of the active keys that end soon and have no active successor, the first to end first."""
    last: dict[str, int] = {}
    for key in directory.keys.values():
        if key.state(now) == "active":
            last[key.party] = max(last.get(key.party, 0), key.not_after)
    return sorted(((party, end) for party, end in last.items() if end <= now + EXPIRY_S), key=lambda each: each[1])
