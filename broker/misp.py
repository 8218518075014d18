"""An agency's feed as MISP reads it: which events it has, what is in each.

An event is a chain of supersessions, as its newest bulletin that the reader may have. It stands, or is withdrawn when
that one was recalled, has ended, or gave way to one beyond the reader's bounds; what is purged has no event, nor have
recalls, sealed bulletins, the reader's own. What went from an earlier bulletin of a chain is told only to whom that one
was released: uuids of MISP are hashes of values.
Reading only: what is given is recorded by the web layer. Spec: docs/spec/misp.md (feed).
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from broker.intake import PART
from broker.read_tokens import ReadCaller
from broker.standing import PARTLY_RECALLED, Standing, reader, stand
from broker.store import lines, outlines
from broker.store.engine import Connection
from broker.store.lines import StoredLine
from broker.store.outlines import Bounds
from lintas import bulletin
from lintas.directory import Directory
from lintas.event import US_PER_S
from lintas.line import parse
from lintas.misp import hashes_csv, withdrawn_event, write_event
from lintas.misp.feed import Listed
from lintas.stix import Export, Origin, clear_export
from lintas.strict import canonical
from lintas.vocabulary import TLP

EVENTS_MAX = 10_000
"""Events of a feed: the newest, with whatever older ones were withdrawn while these came. A MISP keeps the others."""

UUIDS_MAX = 100_000
"""Events whose uuid is remembered: some 25 MiB. One that was forgotten costs a look at the whole feed."""

DOOR = "misp"

Value = tuple[str, str]
"""Type and canonical value of an indicator."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An event of a feed. `row` is the newest bulletin of its chain that the reader may have, `older` the others."""

    listed: Listed
    row: StoredLine
    older: tuple[StoredLine, ...] = ()

    @property
    def seqs(self) -> tuple[int, ...]:
        """The log indexes of its bulletins."""
        return (*(each.seq for each in self.older), self.row.seq)


class Uuids:
    """Of which chain an event is, by the id of its first bulletin. Used by the event loop's thread alone."""

    def __init__(self) -> None:
        """Begin with none."""
        self._firsts: dict[str, str] = {}

    def remember(self, firsts: Mapping[str, str]) -> None:
        """Remember the first bulletins of these events, and forget the oldest when there are many."""
        self._firsts.update(firsts)
        for uuid in list(islice(self._firsts, max(0, len(self._firsts) - UUIDS_MAX))):
            del self._firsts[uuid]

    def first_of(self, uuid: str) -> str | None:
        """Return the id of the first bulletin of an event, None when it is not remembered."""
        return self._firsts.get(uuid)


def bounds_of(directory: Directory, caller: ReadCaller) -> Bounds:
    """Return within what a caller reads: what its agency may, and its token's own bounds."""
    return Bounds(reader(directory, caller.agency), caller.topics, caller.tlp_rank_max)


def tag_of(conn: Connection, bounds: Bounds, *, now: int) -> str:
    """Return the entity tag of the feed's indexes: another one as soon as they may have changed. Cheap."""
    who = bounds.reader
    topics = [None if each is None else sorted(each) for each in (who.topics, bounds.topics)]
    seen = [*outlines.mark(conn, who.agency, now=now), who.tlp_rank_max, int(who.only_withdrawals), bounds.tlp_rank_max]
    digest = hashlib.sha256(canonical({"v": 1, "agency": who.agency, "topics": topics, "seen": seen})).hexdigest()
    return f'"{digest[:32]}"'


def entries(
    conn: Connection, directory: Directory, bounds: Bounds, *, now: int, limit: int = EVENTS_MAX
) -> list[Entry]:
    """Return the events of a feed, oldest first."""
    rows = outlines.newest(conn, bounds, limit=limit)[::-1]
    if len(rows) == limit:
        rows = outlines.changed_since(conn, bounds, rows[0].seq) + rows
    return _entries(conn, directory, rows, now=now)


def entries_among(
    conn: Connection, directory: Directory, bounds: Bounds, seqs: Iterable[int], *, now: int
) -> list[Entry]:
    """Return the events that those of these bulletins make that the reader may have now."""
    return _entries(conn, directory, outlines.among(conn, bounds, set(seqs)), now=now)


def entry_of(conn: Connection, directory: Directory, bounds: Bounds, first: str, *, now: int) -> Entry | None:
    """Return the event of the chain that begins with this bulletin, if the reader may have one of it."""
    seq = outlines.seq_of(conn, first)
    chain, newest = set[int](), set[int]() if seq is None else {seq}
    while newest:
        chain |= newest
        newest = outlines.successors(conn, newest) - chain
    found = entries_among(conn, directory, bounds, chain, now=now)
    return next((each for each in found if each.listed.origin.id == first), None)


def events_of(conn: Connection, found: Sequence[Entry]) -> list[dict[str, Any]]:
    """Return these events whole; those that stand with what they have, the others with what is gone."""
    stored = lines.by_seq(conn, [seq for each in found for seq in each.seqs])
    recalled = _recalled_values(conn, [each.row.seq for each in found if each.row.is_said_of])
    return [_event(each, stored, recalled[each.row.seq]) for each in found]


def firsts_of(found: Iterable[Entry]) -> dict[str, str]:
    """Return the id of the first bulletin of each of these events by its uuid."""
    return {each.listed.uuid: each.listed.origin.id for each in found}


def hashes_of(conn: Connection, found: Sequence[Entry]) -> str:
    """Return the lines of ``hashes.csv`` for these events; what is withdrawn has none."""
    return hashes_csv(events_of(conn, [each for each in found if not each.listed.is_withdrawn]))


def _entries(conn: Connection, directory: Directory, rows: Sequence[StoredLine], *, now: int) -> list[Entry]:
    clear = [row for row in rows if not _is_sealed(row)]
    chains: dict[int, list[StoredLine]] = defaultdict(list)
    firsts = _firsts(conn, clear)
    for row in clear:
        chains[firsts[row.seq]].append(row)
    heads = [chain[-1] for chain in chains.values()]
    standings = stand(conn, directory, heads, now=now)
    known = {row.seq: (row.id, row.at) for row in clear}
    known |= outlines.ids_of(conn, chains.keys() - known.keys())
    said = (by for each in standings.values() for by in (each.by, *each.recalled_by) if by is not None)
    when = outlines.accepted_at(conn, said)
    found = []
    for first, chain in chains.items():
        origin = Origin(known[first][0], known[first][1] * US_PER_S)
        listed = _listed(origin, chain[-1], standings[chain[-1].seq], when)
        found.append(Entry(listed, chain[-1], tuple(chain[:-1])))
    return sorted(found, key=lambda each: each.row.seq)


def _listed(origin: Origin, row: StoredLine, standing: Standing, when: dict[str, int]) -> Listed:
    if standing.by is not None:
        changed = when[standing.by]
    elif standing.state is not None:
        changed = row.exp or 0
    else:
        changed = max([row.at, *(when[each] for each in standing.recalled_by if PARTLY_RECALLED in standing.marks)])
    return Listed(
        origin=origin,
        issuer=row.iss,
        kind=row.kind or "",
        topic=row.topic or "",
        tlp=TLP[row.tlp_rank or 0],
        urgency=row.urgency or "",
        changed_us=changed * US_PER_S,
        is_withdrawn=standing.state is not None,
    )


def _firsts(conn: Connection, rows: Sequence[StoredLine]) -> dict[int, int]:
    """Return for each bulletin the first of its chain; one that supersedes several goes on the oldest one's."""
    before = outlines.predecessors(conn, [row.seq for row in rows])
    asked = set(before)
    while more := set(before.values()) - asked:
        asked |= more
        before |= outlines.predecessors(conn, more)
    firsts = {}
    for row in rows:
        first = row.seq
        while first in before:
            first = before[first]
        firsts[row.seq] = first
    return firsts


def _is_sealed(row: StoredLine) -> bool:
    # Whatever is sealed counts as personal, and comes with its bytes.
    return row.is_personal and row.raw is not None and parse(row.raw).header.enc is not None


def _event(entry: Entry, stored: Mapping[int, StoredLine], recalled: set[Value]) -> dict[str, Any]:
    exports = [_export(stored[seq]) for seq in entry.seqs if stored[seq].raw is not None]
    export = exports[-1]
    had = {(each.type, each.value) for older in exports[:-1] for each in older.content.indicators}
    has = {(each.type, each.value) for each in export.content.indicators}
    origin, changed_us = entry.listed.origin, entry.listed.changed_us
    gone = frozenset((had - has) | recalled)
    export = replace(export, origins={export.id: origin}, withdrawn=gone, changed_us=changed_us)
    return withdrawn_event(export, changed_us) if entry.listed.is_withdrawn else write_event(export)


def _export(row: StoredLine) -> Export:
    assert row.raw is not None
    return clear_export(parse(row.raw), row.at * US_PER_S)


def _recalled_values(conn: Connection, seqs: Sequence[int]) -> dict[int, set[Value]]:
    """Return which values were recalled of each of these bulletins."""
    recalls = [each for each in lines.references(conn, seqs) if each.relation == PART] if seqs else []
    raws = lines.by_ids(conn, {each.id for each in recalls})
    found: dict[int, set[Value]] = defaultdict(set)
    for each in recalls:
        if each.id in raws:
            content = bulletin.parse(parse(raws[each.id]).payload, kind="recall")
            found[each.target] |= {(value.type, value.value) for value in content.indicators}
    return found
