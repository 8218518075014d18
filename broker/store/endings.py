"""Rows whose time is over: what expired, what is to be purged, which events go with it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, or_, select, update

from broker.store import taxii
from broker.store.tables import ack, event, indicator, line, log, recipient, ref

RECALLS = "recalls"
RECALLED = "bulletin.recalled"
RELEASED = "released"
WITHDRAWING = ("recalls", "recalls-part", "supersedes")

EMPTY_MAX = 1_000
"""Rows emptied by one statement: databases limit how many values it may name."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a walk over bulletins by their ends got: the second, then the index within it."""

    exp: int
    seq: int


START = Mark(-1, -1)


@dataclass(frozen=True, slots=True)
class Ended:
    """A bulletin whose content is still there. `by` is the recall that ended it before its time."""

    seq: int
    id: str
    iss: str
    exp: int
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Emptied:
    """An event whose body goes with a purge."""

    seq: int
    kind: str
    party: str
    party_seq: int
    entry: bytes
    body: bytes | None


def expired(conn: Connection, after: Mark, *, until: int, limit: int) -> list[Ended]:
    """Return bulletins that end by second `until`, later than `after`, in the order of their ends."""
    later = or_(line.c.exp > after.exp, line.c.seq > after.seq)
    statement = (
        select(line.c.seq, line.c.id, line.c.iss, line.c.exp)
        .where(line.c.raw.is_not(None), line.c.exp >= after.exp, line.c.exp <= until, later, line.c.kind.is_not(None))
        .order_by(line.c.exp, line.c.seq)
        .limit(limit)
    )
    return [Ended(row.seq, row.id, row.iss, row.exp or 0) for row in conn.execute(statement)]


def recalls(conn: Connection, after: int, *, limit: int) -> list[tuple[int, int]]:
    """Return (recall, bulletin wholly recalled) by log index, beginning after index `after` of the recalls."""
    statement = select(ref.c.seq, ref.c.target).where(ref.c.seq > after, ref.c.relation == RECALLS)
    return [(row.seq, row.target) for row in conn.execute(statement.order_by(ref.c.seq, ref.c.target).limit(limit))]


def recalled(conn: Connection, pairs: Iterable[tuple[int, int]], *, until: int) -> list[Ended]:
    """Return which of the bulletins in `recalls` were recalled by second `until` and still have their content."""
    by_target = {target: by for by, target in pairs}
    statement = select(line.c.seq, line.c.id, line.c.at).where(line.c.seq.in_(set(by_target.values())))
    made = {row.seq: row.id for row in conn.execute(statement) if row.at <= until}
    found = conn.execute(
        select(line.c.seq, line.c.id, line.c.iss, line.c.exp)
        .where(line.c.seq.in_(by_target), line.c.raw.is_not(None))
        .order_by(line.c.seq)
    )
    return [
        Ended(row.seq, row.id, row.iss, row.exp or 0, made[by_target[row.seq]])
        for row in found
        if by_target[row.seq] in made
    ]


def kept(conn: Connection, ended: Collection[Ended], *, until: int, events_until: int) -> set[int]:
    """Return the indexes of those that must still be kept.

    One that withdraws what has not ended by second `until` is the proof of that; an event after microsecond
    `events_until` is too young to lose its body. What was purged meanwhile is not purged again.
    """
    seqs = [each.seq for each in ended]
    proofs = (
        select(ref.c.seq)
        .join_from(ref, line, line.c.seq == ref.c.target)
        .where(ref.c.seq.in_(seqs), ref.c.relation.in_(WITHDRAWING), line.c.exp > until)
    )
    acked = (
        select(ack.c.seq)
        .join_from(ack, event, event.c.seq == ack.c.ack_seq)
        .where(ack.c.seq.in_(seqs), event.c.time > events_until)
    )
    recalled_lately = (
        select(line.c.seq)
        .join_from(event, line, line.c.id == event.c.object)
        .where(event.c.object.in_([each.id for each in ended]), event.c.kind == RECALLED, event.c.time > events_until)
    )
    gone = select(line.c.seq).where(line.c.seq.in_(seqs), line.c.raw.is_(None))
    return {seq for statement in (proofs, acked, recalled_lately, gone) for seq in conn.scalars(statement)}


def parties(conn: Connection, ended: Collection[Ended]) -> dict[int, set[str]]:
    """Return whom each bulletin concerns: its issuer, and those it was released to."""
    found = {each.seq: {each.iss} for each in ended}
    statement = select(recipient.c.seq, recipient.c.agency)
    for row in conn.execute(statement.where(recipient.c.seq.in_(found), recipient.c.state == RELEASED)):
        found[row.seq].add(row.agency)
    return found


def acknowledgements(conn: Connection, seqs: Collection[int]) -> list[tuple[int, int]]:
    """Return (bulletin, acknowledgement) by log index."""
    statement = select(ack.c.seq, ack.c.ack_seq).where(ack.c.seq.in_(seqs))
    return [(row.seq, row.ack_seq) for row in conn.execute(statement)]


def events_about(conn: Connection, ended: Collection[Ended], acked: Collection[int]) -> list[Emptied]:
    """Return the events about these bulletins: acceptances, recalls, releases, and those of `acked`."""
    seqs = [each.seq for each in ended]
    released = select(recipient.c.released_seq).where(recipient.c.seq.in_(seqs), recipient.c.released_seq.is_not(None))
    ids = [each.id for each in ended]
    statement = select(event.c.seq, event.c.kind, event.c.party, event.c.party_seq, log.c.entry, event.c.body)
    statement = statement.join_from(event, log, log.c.seq == event.c.seq).where(event.c.body.is_not(None))
    found: dict[int, Emptied] = {}
    for chosen in (
        event.c.seq.in_([*seqs, *acked]),
        event.c.seq.in_(released),
        # The kind is no index to begin with: a bulletin has few events, a log many recalls.
        event.c.object.in_(ids) & (event.c.kind.concat("") == RECALLED),
    ):
        found |= {row.seq: Emptied(*row) for row in conn.execute(statement.where(chosen))}
    return [found[seq] for seq in sorted(found)]


def unpurged(conn: Connection, seqs: Collection[int]) -> set[int]:
    """Return which of these lines still have their content."""
    return set(conn.scalars(select(line.c.seq).where(line.c.seq.in_(seqs), line.c.raw.is_not(None)))) if seqs else set()


def empty_lines(conn: Connection, seqs: Sequence[int]) -> None:
    """Take the bytes of these lines away, and what an index holds of them."""
    for part in _parts(seqs):
        conn.execute(update(line).where(line.c.seq.in_(part)).values(raw=None))
        conn.execute(delete(indicator).where(indicator.c.seq.in_(part)))
        taxii.forget(conn, part)


def empty_events(conn: Connection, seqs: Sequence[int]) -> None:
    """Take the bodies of these events away; entries and tree stay."""
    for part in _parts(seqs):
        conn.execute(update(event).where(event.c.seq.in_(part)).values(body=None))


def last_ends(conn: Connection, seqs: Collection[int]) -> Mapping[int, int]:
    """Return when the last of what each of these lines withdraws would have ended (Unix seconds)."""
    statement = (
        select(ref.c.seq, func.max(line.c.exp))
        .join_from(ref, line, line.c.seq == ref.c.target)
        .where(ref.c.seq.in_(seqs), ref.c.relation.in_(WITHDRAWING))
        .group_by(ref.c.seq)
    )
    return {row[0]: row[1] or 0 for row in conn.execute(statement)}


def _parts(seqs: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(seqs), EMPTY_MAX):
        yield seqs[start : start + EMPTY_MAX]
