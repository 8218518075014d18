"""Reading for many readers at once what came in since the last look.

One snapshot serves all: each new bulletin is read and prepared once, each filter is asked once about the new ones, and
each reader's policy is decided from values. A page of the same reader would hold the same rows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import accumulate, takewhile

from broker import policy
from broker.batch import Batch
from broker.delivery import Page, Row, Source, prepared, record_pages
from broker.standing import is_within, stand
from broker.store import lines, log
from broker.store.engine import Connection
from lintas.directory import Directory
from lintas.filter import Filter

ROWS_MAX = 200
"""Bulletins read at once, so that nobody waits for a huge round."""

BYTES_MAX = 4 * 1024 * 1024
"""Bytes of lines read at once; the first one is read whatever its size."""


@dataclass(frozen=True, slots=True)
class Live:
    """What is new for each reader, with what it was read with. `cursor`: every bulletin up to it was considered."""

    directory: Directory
    size: int
    cursor: int
    is_full: bool
    pages: Mapping[Source, Page]


def read_live(conn: Connection, directory: Directory, sources: Collection[Source], *, after: int, now: int) -> Live:
    """Read the bulletins with seq > after and tell which of them go to which reader."""
    size, _ = log.head(conn)
    found = lines.since(conn, after, limit=ROWS_MAX)
    sizes = accumulate(len(row.raw or b"") for row in found)
    fitting = len(list(takewhile(lambda total: total <= BYTES_MAX, sizes)))
    rows = found[: max(1, fitting)]
    is_full = len(found) == ROWS_MAX or len(rows) < len(found)
    cursor = rows[-1].seq if is_full else max(after, size - 1)
    if not rows:
        return Live(directory, size, cursor, is_full, {})
    standings = stand(conn, directory, rows, now=now)
    ready = {row.seq: prepared(row, standings[row.seq]) for row in rows}
    chosen = _chosen(conn, directory, rows, sources)
    pages = {
        source: Page(directory, size, tuple(ready[seq] for seq in seqs), cursor) for source, seqs in chosen.items()
    }
    return Live(directory, size, cursor, is_full, pages)


def record_live(batch: Batch, live: Live) -> bool:
    """Log what is about to leave, one event a reader; False, and nothing is logged, when it must be read again."""
    if batch.directory is not live.directory or batch.withdrawn >= live.size:
        return False
    record_pages(batch, live.pages)
    return True


def _chosen(
    conn: Connection, directory: Directory, rows: list[lines.StoredLine], sources: Collection[Source]
) -> dict[Source, list[int]]:
    """Return the log indexes that go to each reader; readers to whom nothing goes are left out."""
    seqs = [row.seq for row in rows]
    released = lines.released_between(conn, seqs[0], seqs[-1])
    asked = {_question(source): source for source in sources if not source.is_whole}
    wanted = {
        question: lines.wanted_of(conn, seqs, each.wanted, agency=each.agency, ref_to=each.ref_to)
        for question, each in asked.items()
    }
    bounds = {agency: policy.reading(directory, agency) for agency in {source.agency for source in sources}}
    chosen = {}
    for source in sources:
        fitting = wanted.get(_question(source))
        mine = [
            row.seq
            for row in rows
            if (fitting is None or row.seq in fitting)
            and _is_for(source, row, released[row.seq], bounds[source.agency])
        ]
        if mine:
            chosen[source] = mine
    return chosen


def _is_for(source: Source, row: lines.StoredLine, released: set[str], bounds: policy.Reading) -> bool:
    if source.is_own:
        return row.iss == source.agency
    if row.iss == source.agency or released.isdisjoint((source.agency, lines.EVERYONE)):
        return False
    return is_within(bounds, row)


def _question(source: Source) -> tuple[Filter, str | None, str | None]:
    # Watch lists of one name are another list for each agency; everything else asks all readers alike.
    return source.wanted, source.ref_to, source.agency if source.wanted.watches else None


def event_of(row: Row) -> bytes:
    """Return a row as a server-sent event: its log index as id, so that a reader resumes behind it."""
    kind = b"bulletin" if row.is_line else b"state"
    # The row brings the line feed of its own line; the one after it ends the event.
    return b"id: %d\nevent: %b\ndata: %b\n" % (row.seq, kind, row.data)
