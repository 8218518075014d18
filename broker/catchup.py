"""Catching up with what other replicas committed.

A writer looks at it first thing under the lock, so everything its batch decides by is what the log says: directory,
numbers of the parties, ids of refused lines, the newest withdrawal. What it found is news for the readers here as well:
whoever committed it may have died before it told anybody.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from broker.batch import Head
from broker.store import lines, log, since
from broker.store.engine import Connection
from broker.wakeup import News
from lintas.directory import CONTROL_KINDS, Directory
from lintas.errors import LogHalted
from lintas.event import parse_event
from lintas.line import parse
from lintas.replay import Replay


@dataclass(frozen=True, slots=True)
class Caught:
    """The head of the log with the directory at it, and what is new since the head that was known.

    `untold` is the part of the news that other replicas may not have been told: rows that nobody signed yet.
    """

    head: Head
    directory: Directory
    news: News
    untold: News


def catch_up(conn: Connection, known: Head | None, directory: Directory) -> Caught | None:
    """Return where the log is now, None when that is known. Without a known head everything is derived anew."""
    if known is None:
        everything = News(directory_changed=True)
        return Caught(Head.load(conn), _replayed(conn), everything, everything)
    size, time = log.head(conn)
    if size == known.size:
        return None
    newer = _replayed(conn, directory, size=known.size)
    withdrawn = since.withdrawn(conn, known.size)
    head = Head(
        size=size,
        time=time,
        frontier=log.frontier(conn, size),
        withdrawn=known.withdrawn if withdrawn is None else withdrawn,
        party_seqs=known.party_seqs | since.party_seqs(conn, known.size),
        refused=known.refused,
    )
    for line_id in since.refused(conn, known.size):
        head.remember_refused(line_id)
    changed = newer is not directory
    news = News(since.touched(conn, known.size), directory_changed=changed, has_withdrawn=withdrawn is not None)
    newest = log.newest_checkpoint(conn)
    is_signed = newest is not None and newest[0] == size
    return Caught(head, newer, news, News() if is_signed else news)


def _replayed(conn: Connection, directory: Directory | None = None, *, size: int = 0) -> Directory:
    rows = log.events_of_kinds(conn, CONTROL_KINDS, after=size - 1)
    raw = lines.by_ids(conn, {row.object for row in rows if row.object is not None})
    return replay(rows, raw, after=directory)


def replay(rows: Iterable[log.EventRow], raw: dict[str, bytes], *, after: Directory | None = None) -> Directory:
    """Derive the directory from stored control events and the lines behind them; raise InconsistentLog.

    `after` is the directory before these events, None before the first of the log.
    """
    state = None if after is None else Replay(after)
    for row in rows:
        if row.body is None:
            raise LogHalted(f"Row {row.seq}: a {row.kind} event is never purged, yet its body is gone.")
        event = parse_event(row.body)
        if state is None:
            state = Replay.begin(str(event.detail.get("hub")))
        line = parse(raw[row.object]) if row.object in raw else None
        state = state.step(event, seq=row.seq, line=line)
    if state is None:
        raise LogHalted("The log is empty: make the hub with `lintas-broker init`.")
    return state.directory
