"""The thread of a bulletin: what references join to it, as far as the caller may read it.

What the caller may not read is neither shown nor walked through: a link that leads over it would tell that it exists.
"""

from __future__ import annotations

from dataclasses import replace

from broker.delivery import Page, Window, page_of
from broker.standing import readable, reader
from broker.store import exchange, lines, log
from broker.store.engine import Connection
from lintas.directory import Directory

THREAD_MAX = 1_000
"""Bulletins in one thread, those nearest to the asked one first: more is no conversation, and each costs a look-up."""

LEVEL_MAX = 200
"""Bulletins whose neighbours are asked for at once."""


def read_thread(conn: Connection, directory: Directory, agency: str, line_id: str, *, window: Window, now: int) -> Page:
    """Read one page of the thread of a bulletin; raise NotFound as for the bulletin itself."""
    size, _ = log.head(conn)
    asked = readable(conn, directory, agency, line_id)
    found, is_cut = connected(conn, reader(directory, agency), asked)
    rows = [row for row in found if row.seq > window.after][: window.limit]
    is_full = len(rows) == window.limit
    return replace(page_of(conn, directory, rows, is_full=is_full, size=size, now=now), is_cut=is_cut)


def connected(
    conn: Connection, who: lines.Reader | None, asked: lines.StoredLine
) -> tuple[list[lines.StoredLine], bool]:
    """Return the thread of a readable bulletin in log order, and whether it was cut at `THREAD_MAX`; None reads all."""
    found = {asked.seq: asked}
    waiting = [asked.seq]
    while waiting:
        level, waiting = waiting[:LEVEL_MAX], waiting[LEVEL_MAX:]
        room = THREAD_MAX - len(found)
        new = exchange.neighbours(conn, who, level, known=found, limit=room + 1)
        if len(new) > room:
            found |= {row.seq: row for row in new[:room]}
            return [found[seq] for seq in sorted(found)], True
        found |= {row.seq: row for row in new}
        waiting += [row.seq for row in new]
    return [found[seq] for seq in sorted(found)], False
