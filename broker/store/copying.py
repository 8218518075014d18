"""Copying a whole hub from one database to another, row by row.

One way serves backups (into a SQLite file), restoring (out of one) or moving from SQLite to Postgres: every row of
every table, read from one snapshot, written in one transaction, into a database that has nothing in it yet.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, insert, select

from broker.store.tables import metadata
from lintas.errors import BadSettings

ROWS_AT_ONCE = 1_000

Progress = Callable[[str, int], None]


def copy_rows(source: Connection, target: Connection, progress: Progress) -> int:
    """Copy every row; return how many. `progress` is told the table and its rows so far.

    Raises BadSettings when the target holds rows already: nothing is ever merged.
    """
    for table in metadata.sorted_tables:
        if target.execute(select(table).limit(1)).first() is not None:
            raise BadSettings("The target holds a hub already; name a database that has nothing in it.")
    copied = 0
    for table in metadata.sorted_tables:
        done = 0
        every = select(table).order_by(*table.primary_key)
        rows = source.execute(every.execution_options(yield_per=ROWS_AT_ONCE))
        for part in rows.mappings().partitions(ROWS_AT_ONCE):
            target.execute(insert(table), [dict(row) for row in part])
            done += len(part)
            progress(table.name, done)
        copied += done
    return copied
