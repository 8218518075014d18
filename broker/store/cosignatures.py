"""Cosignatures of witnesses on published checkpoints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Select, func, insert, select

from broker.store.tables import cosignature

SIZES_MAX = 1_000
"""Sizes looked at for one that enough witnesses cosigned. Only those with enough lines at all are looked at."""

MOST_MAX = 32
"""Sizes looked at for the one that most cosigned. They come by count, so the first is it, unless a witness has left."""


@dataclass(frozen=True, slots=True)
class Cosigned:
    """The signature lines on the checkpoint of one size, by verifier key line."""

    size: int
    lines: Mapping[str, str]


def add(conn: Connection, size: int, lines: Mapping[str, str]) -> int:
    """Keep the first cosignature of each witness on the checkpoint of this size; return how many are new."""
    known = set(conn.scalars(select(cosignature.c.witness).where(cosignature.c.size == size)))
    rows = [{"size": size, "witness": witness, "line": line} for witness, line in lines.items() if witness not in known]
    if rows:
        conn.execute(insert(cosignature), rows)
    return len(rows)


def at(conn: Connection, size: int) -> Cosigned:
    """Return the cosignatures on the checkpoint of this size."""
    statement = select(cosignature.c.witness, cosignature.c.line).where(cosignature.c.size == size)
    return Cosigned(size, {row.witness: row.line for row in conn.execute(statement.order_by(cosignature.c.witness))})


def newest(conn: Connection, *, count_min: int) -> Iterator[Cosigned]:
    """Yield checkpoints that at least so many cosigned, the largest first, SIZES_MAX at most."""
    yield from _each(conn, _SIZES.having(func.count() >= count_min).order_by(cosignature.c.size.desc()))


def oldest(conn: Connection, *, above: int, count_min: int) -> Iterator[Cosigned]:
    """Yield checkpoints larger than `above` that at least so many cosigned, the smallest first, SIZES_MAX at most."""
    wanted = _SIZES.where(cosignature.c.size > above).having(func.count() >= count_min)
    yield from _each(conn, wanted.order_by(cosignature.c.size))


def most_cosigned(conn: Connection, *, above: int) -> Iterator[Cosigned]:
    """Yield checkpoints larger than `above`, those that most cosigned first, then the largest; MOST_MAX at most."""
    wanted = _SIZES.where(cosignature.c.size > above).limit(MOST_MAX)
    yield from _each(conn, wanted.order_by(func.count().desc(), cosignature.c.size.desc()))


def latest(conn: Connection, witness: str) -> tuple[int, str] | None:
    """Return size and signature line of what this witness cosigned last, None if nothing yet."""
    statement = select(cosignature.c.size, cosignature.c.line).where(cosignature.c.witness == witness)
    row = conn.execute(statement.order_by(cosignature.c.size.desc()).limit(1)).first()
    return None if row is None else (row.size, row.line)


def every(conn: Connection) -> Iterator[Cosigned]:
    """Yield all cosignatures by size, smallest first."""
    statement = select(cosignature).order_by(cosignature.c.size, cosignature.c.witness)
    for size, rows in groupby(conn.execute(statement), key=lambda row: row.size):
        yield Cosigned(size, {row.witness: row.line for row in rows})


_SIZES = select(cosignature.c.size).group_by(cosignature.c.size).limit(SIZES_MAX)


def _each(conn: Connection, sizes: Select[Any]) -> Iterator[Cosigned]:
    for size in conn.scalars(sizes).all():
        yield at(conn, size)
