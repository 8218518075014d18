"""Lines that former epochs of the log accepted: none of them is taken for new."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from sqlalchemy import Connection, select

from broker.store.bulk import insert_rows
from broker.store.tables import former_line

ROWS_AT_ONCE = 1_000

Row = Mapping[str, Any]


def add(conn: Connection, rows: Iterable[Row]) -> None:
    """Insert rows of an epoch that is over; they are never changed."""
    remaining = iter(rows)
    while part := list(islice(remaining, ROWS_AT_ONCE)):
        insert_rows(conn, former_line, part)


def every(conn: Connection) -> Iterator[Row]:
    """Yield all rows, epoch by epoch, in the order of the log."""
    statement = select(former_line).order_by(former_line.c.epoch, former_line.c.seq)
    for row in conn.execute(statement.execution_options(yield_per=ROWS_AT_ONCE)):
        yield row._asdict()


def is_any(conn: Connection) -> bool:
    """Tell whether there is any: not so in a first epoch."""
    return conn.execute(select(former_line.c.seq).limit(1)).first() is not None


def entries(conn: Connection, ids: Collection[str]) -> dict[str, frozenset[bytes]]:
    """Return which of these lines a former epoch accepted: the entries of the events that say so, unless purged."""
    found: dict[str, set[bytes]] = defaultdict(set)
    statement = select(former_line.c.id, former_line.c.entry).where(former_line.c.id.in_(ids))
    for row in conn.execute(statement):
        found[row.id] |= {row.entry} - {None}
    return {line_id: frozenset(each) for line_id, each in found.items()}


def digest(conn: Connection) -> str:
    """Return the SHA-256, in hexadecimal, of all rows: what the first event of the epoch names."""
    sum_ = hashlib.sha256()
    for row in every(conn):
        entry = "-" if row["entry"] is None else row["entry"].hex()
        sum_.update(f"{row['epoch']} {row['seq']} {row['id']} {entry}\n".encode())
    return sum_.hexdigest()
