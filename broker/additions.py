"""What each event of the log adds to the collections of TAXII.

Derived from stored lines, what they say of each other, and the log; so it can be made again. Content enters with its
bulletin. Whatever is corrected, recalled or over leaves, and revoked objects enter in its place for those who could
have it, whether or not it was ever there: somebody may hold it from before the collections were made anew. What every
partner may know (markings, definitions, the identities of partners) stands first and belongs to no bulletin.
Never in a collection: sealed content, AMBER+STRICT, RED.
Spec: docs/spec/taxii.md.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from broker import policy
from broker.store import endings, lines, log, taxii
from broker.store.engine import Connection
from lintas import vocabulary
from lintas.header import BULLETIN
from lintas.line import parse
from lintas.stix import Export, Origin, clear_export, common, objects, revoked
from lintas.vocabulary import TLP, tlp_rank

TLPS = TLP[: tlp_rank("AMBER") + 1]
"""Markings that may leave by a secret that stands in the settings of a program."""

ALL = "all"
"""The collection of everything."""

STEPS_MAX = 25
"""Bulletins looked at for one commit: some 20 ms of it, so that nobody waits long beside readers who come back late."""

AGENCIES_MAX = 1_024
WHOLLY = frozenset({"supersedes", "recalls"})
"""Relations that leave nothing of what they are said of."""

Object = dict[str, Any]
Value = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Addition:
    """Objects that come together, of bulletin `of`, or None of what all may know.

    `is_gone`: they say that it was withdrawn. They are not served any more from second `until` on.
    """

    objects: Sequence[Object]
    time_us: int = 0
    of: lines.StoredLine | None = None
    is_gone: bool = False
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What one event does: all that told of `leaving` goes, additions come."""

    leaving: tuple[int, ...] = ()
    additions: tuple[Addition, ...] = ()


@dataclass(frozen=True, slots=True)
class Slice:
    """The next part of the log: made for a state, it leads to `size` events."""

    begun: taxii.State
    size: int
    steps: tuple[Step, ...]
    readers: dict[int, set[str]]


def areas() -> tuple[str, ...]:
    """Return the areas, one collection each: topics that are no sub-topics."""
    return tuple(sorted(topic for topic in vocabulary.load().topics if "." not in topic))


def collections_of(addition: Addition) -> tuple[str, ...]:
    """Return in which collections an addition stands."""
    if addition.of is None:
        return (ALL, *areas())
    return (ALL, area_of(addition.of.topic or ""))


def area_of(topic: str) -> str:
    """Return the area of a topic."""
    return topic.partition(".")[0]


def next_slice(conn: Connection, partners: Collection[str], *, now: int) -> Slice:
    """Return what the next events add; one without steps that leads nowhere when there is nothing to add."""
    begun = taxii.state(conn)
    size, _ = log.head(conn)
    rows = lines.since(conn, begun.size - 1, limit=STEPS_MAX)
    stop = rows[-1].seq + 1 if len(rows) == STEPS_MAX else size
    told = taxii.expired_between(conn, begun.size, stop, limit=1)
    if told:
        # It may name two hundred bulletins: it comes alone, with what was accepted before.
        stop = told[0].seq + 1
        rows = [row for row in rows if row.seq < stop]
    deriving = _Deriving(conn, now, rows)
    steps = [*_introduced(conn, partners), *(deriving.accepted(row) for row in rows)]
    steps += [step for each in told for step in deriving.expired(each)]
    kept = tuple(step for step in steps if step.leaving or step.additions)
    return Slice(begun, stop, kept, deriving.readers(kept))


def _introduced(conn: Connection, partners: Collection[str]) -> Iterator[Step]:
    shared = _shared(tuple(sorted(partners)))
    there = taxii.known(conn, shared)
    new = [each for name, each in shared.items() if name not in there]
    if new:
        yield Step(additions=(Addition(new),))


@lru_cache(maxsize=1)
def _shared(partners: tuple[str, ...]) -> Mapping[str, Object]:
    # Asked at every poll.
    return {str(each["id"]): each for each in common(partners, TLPS)}


class _Deriving:
    """Reads lines of one snapshot of the database, each once."""

    def __init__(self, conn: Connection, now: int, rows: Iterable[lines.StoredLine]) -> None:
        self._conn = conn
        self._now = now
        self._rows = {row.seq: row for row in rows}
        self._times = log.times(conn, self._rows)
        self._exports: dict[int, Export | None] = {}

    def accepted(self, row: lines.StoredLine) -> Step:
        """Return what the acceptance of a bulletin does: to those that it withdraws, then its own objects."""
        at_us = self._time(row.seq)
        leaving: list[int] = []
        additions: list[Addition] = []
        for relation, target in taxii.says(self._conn, row.seq):
            leaving.append(target)
            is_whole = relation in WHOLLY
            additions += self._gone(target, at_us) if is_whole else self._content(target, at_us, since=row.seq)
        return Step(tuple(leaving), (*additions, *self._content(row.seq, at_us)))

    def expired(self, told: taxii.Told) -> Iterator[Step]:
        """Yield what is left of bulletins that ended."""
        for seq in taxii.seqs_of(self._conn, json.loads(told.body)["detail"]["ids"]):
            # Of one that was withdrawn before, that was said then; a recall is not taken back by its own end.
            if self._row(seq).kind != policy.RECALL and not WHOLLY & {each for each, _ in taxii.said(self._conn, seq)}:
                yield Step((seq,), tuple(self._gone(seq, told.time)))

    def readers(self, steps: Iterable[Step]) -> dict[int, set[str]]:
        """Return to whom the bulletins behind additions were released."""
        seqs = {addition.of.seq for step in steps for addition in step.additions if addition.of is not None}
        return {
            seq: {agency for agency, state in lines.recipients(self._conn, seq).items() if state == lines.RELEASED}
            for seq in seqs
        }

    def _content(self, seq: int, at_us: int, *, since: int = -1) -> Iterator[Addition]:
        """Yield the objects of a bulletin that stands; `since` is the partial recall that makes them anew."""
        row, export, until = self._row(seq), self._export(seq), self._until(seq)
        said = taxii.said(self._conn, seq)
        is_changed = any(relation in WHOLLY or by > since for relation, by in said)
        if export is None or until <= self._now or is_changed:
            # What changed it has its own step, or was before and left nothing.
            return
        parts = self._values(by for _, by in said) & self._values([seq])
        export = replace(
            export, origins=self._origins(seq), withdrawn=frozenset(parts), changed_us=at_us if said else None
        )
        yield Addition(_without_common(objects(export), row.iss), at_us, row, until=until)

    def _gone(self, seq: int, at_us: int) -> Iterator[Addition]:
        found = self._revoked(seq, at_us)
        if found:
            yield Addition(found, at_us, self._row(seq), is_gone=True)

    def _revoked(self, seq: int, at_us: int) -> list[Object]:
        export = self._export(seq)
        if export is None or export.header.kind == policy.RECALL:
            return []
        return _without_common(revoked(replace(export, origins=self._origins(seq)), at_us), export.header.iss)

    def _until(self, seq: int) -> int:
        """Return the second a bulletin ends at; a recall stands for as long as what it recalls would have."""
        row = self._row(seq)
        end = row.exp or 0
        return max(end, endings.last_ends(self._conn, [seq]).get(seq, 0)) if row.kind == policy.RECALL else end

    def _origins(self, seq: int) -> dict[str, Origin]:
        """Return the first bulletin of the chain that this one is in, or of those that what it recalls is in."""
        is_recall = self._row(seq).kind == policy.RECALL
        found = {}
        for each in [target for _, target in taxii.says(self._conn, seq)] if is_recall else [seq]:
            first = self._row(taxii.first_of(self._conn, each))
            if first.seq != each:
                found[self._row(each).id] = Origin(first.id, self._time(first.seq))
        return found

    def _values(self, seqs: Iterable[int]) -> set[Value]:
        exports = (self._clear(seq) for seq in seqs)
        return {(each.type, each.value) for export in exports if export for each in export.content.indicators}

    def _export(self, seq: int) -> Export | None:
        """Return a bulletin that may leave by TAXII, None for any other."""
        export = self._clear(seq)
        return None if export is None or export.tlp not in TLPS else export

    def _clear(self, seq: int) -> Export | None:
        """Return a bulletin, however it is marked; None for a sealed one or one that was purged."""
        if seq not in self._exports:
            raw = self._row(seq).raw
            line = None if raw is None else parse(raw, BULLETIN)
            is_clear = line is not None and line.header.enc is None
            self._exports[seq] = clear_export(line, self._time(seq)) if line is not None and is_clear else None
        return self._exports[seq]

    def _row(self, seq: int) -> lines.StoredLine:
        if seq not in self._rows:
            self._rows |= lines.by_seq(self._conn, [seq])
        return self._rows[seq]

    def _time(self, seq: int) -> int:
        if seq not in self._times:
            self._times |= log.times(self._conn, [seq])
        return self._times[seq]


def _without_common(found: Iterable[Object], issuer: str) -> list[Object]:
    shared = _ids((issuer,))
    return [each for each in found if each["id"] not in shared]


@lru_cache(maxsize=AGENCIES_MAX)
def _ids(agencies: tuple[str, ...]) -> frozenset[object]:
    return frozenset(each["id"] for each in common(agencies, TLPS))
