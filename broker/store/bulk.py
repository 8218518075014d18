"""Inserting many rows by few statements, past the layers that would look at each.

The hub's hot tables take tens of rows for each bulletin. The statements are written once a table, and the driver
carries them out: on SQLite with many rows each, for it lets go of the interpreter's lock around every statement and a
busy event loop does not give it back at once; on Postgres with one array a column.
Errors are SQLAlchemy's, as of any other statement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import chain
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql

ROWS_MAX = 32
"""Rows of one statement. Every smaller number has a statement of its own, which the driver keeps prepared."""


def insert_rows(conn: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert these rows, each with a value for every column of the table; none is fine."""
    if not rows:
        return
    names = table.columns.keys()
    if conn.dialect.name != "sqlite":
        conn.exec_driver_sql(_unnested(table), tuple([row[name] for row in rows] for name in names))
        return
    values = itemgetter(*names)
    for start in range(0, len(rows), ROWS_MAX):
        part = rows[start : start + ROWS_MAX]
        conn.exec_driver_sql(_listed(table, len(part)), tuple(chain.from_iterable(map(values, part))))


@cache
def _listed(table: Table, count: int) -> str:
    names = table.columns.keys()
    row = f"({', '.join('?' * len(names))})"
    return f"INSERT INTO {table.name} ({', '.join(names)}) VALUES {', '.join([row] * count)}"  # noqa: S608 - names of our own


@cache
def _unnested(table: Table) -> str:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    arrays = ", ".join(f"%s::{column.type.compile(dialect)}[]" for column in table.columns)
    return f"INSERT INTO {table.name} ({', '.join(table.columns.keys())}) SELECT * FROM unnest({arrays})"  # noqa: S608 - as above
