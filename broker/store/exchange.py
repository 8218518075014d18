"""Rows of what follows bulletins: threads, requests with their answers, recalls with their acknowledgements."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, union

from broker.store import lines
from broker.store.lines import RELEASED, Reader, StoredLine
from broker.store.tables import ack, delivery, event, line, recipient, ref
from lintas.event import US_PER_S

WITHDRAWING = ("recalls", "supersedes")
ACKNOWLEDGED = "acknowledged"


@dataclass(frozen=True, slots=True)
class Standing:
    """Which bulletins are looked for: of these kinds, valid at second `now`, with log indexes above `after`."""

    kinds: tuple[str, ...]
    now: int
    after: int
    limit: int


def neighbours(
    conn: Connection, reader: Reader | None, seqs: Collection[int], *, known: Collection[int], limit: int
) -> list[StoredLine]:
    """Return what refers to these bulletins or is referred to by them, as far as the reader may have it; None: all."""
    linked = union(
        select(ref.c.seq).where(ref.c.target.in_(seqs)),
        select(ref.c.target).where(ref.c.seq.in_(seqs)),
    ).subquery()
    is_new = and_(line.c.seq.in_(select(linked.c.seq)), line.c.seq.not_in(known))
    if reader is None:
        return lines.matching(conn, is_new, limit=limit)
    is_readable = or_(line.c.iss == reader.agency, lines.is_released_to(reader))
    return lines.matching(conn, is_new, is_readable, limit=limit)


def unanswered(conn: Connection, reader: Reader, wanted: Standing) -> list[StoredLine]:
    """Return the requests that the reader was sent or will be and has not answered."""
    answer = line.alias()
    answers = (
        select(ref.c.seq)
        .join(answer, answer.c.seq == ref.c.seq)
        .where(ref.c.target == line.c.seq, ref.c.relation == "answers", answer.c.iss == reader.agency)
        .where(~_is_withdrawn(answer.c.seq))
        .correlate(line)
    )
    return lines.matching(conn, *_stands(wanted), lines.is_released_to(reader), ~answers.exists(), limit=wanted.limit)


def unacknowledged(conn: Connection, reader: Reader, wanted: Standing) -> list[StoredLine]:
    """Return the recalls that were released to the reader and that it has not acknowledged."""
    acks = (
        select(ack.c.seq)
        .where(ack.c.seq == line.c.seq, ack.c.agency == reader.agency, ack.c.state == ACKNOWLEDGED)
        .correlate(line)
    )
    return lines.matching(conn, *_stands(wanted), lines.is_released_to(reader), ~acks.exists(), limit=wanted.limit)


def standing(conn: Connection, wanted: Standing, *, issuer: str | None = None) -> list[StoredLine]:
    """Return the bulletins of this issuer, or of all, that still stand."""
    mine = [] if issuer is None else [line.c.iss == issuer]
    return lines.matching(conn, *_stands(wanted), *mine, limit=wanted.limit)


def released(conn: Connection, seqs: Collection[int]) -> dict[int, list[str]]:
    """Return to whom each of these bulletins was released, `*` for everyone."""
    statement = (
        select(recipient.c.seq, recipient.c.agency)
        .where(recipient.c.seq.in_(seqs), recipient.c.state == RELEASED)
        .order_by(recipient.c.seq, recipient.c.agency)
    )
    found: dict[int, list[str]] = {seq: [] for seq in seqs}
    for seq, agency in conn.execute(statement):
        found[seq].append(agency)
    return found


def sent(conn: Connection, seqs: Collection[int]) -> dict[tuple[int, str], int]:
    """Return the second at which each of these bulletins was first sent to each agency, in whatever way."""
    first = (
        select(delivery.c.seq, delivery.c.agency, func.min(delivery.c.sent_seq).label("sent_seq"))
        .where(delivery.c.seq.in_(seqs))
        .group_by(delivery.c.seq, delivery.c.agency)
        .subquery()
    )
    statement = select(first.c.seq, first.c.agency, event.c.time).join(event, event.c.seq == first.c.sent_seq)
    return {(seq, agency): time // US_PER_S for seq, agency, time in conn.execute(statement)}


def answered(conn: Connection, seqs: Collection[int]) -> set[tuple[int, str]]:
    """Return which agencies answered which of these requests with an answer that stands."""
    statement = (
        select(ref.c.target, line.c.iss)
        .join(line, line.c.seq == ref.c.seq)
        .where(ref.c.target.in_(seqs), ref.c.relation == "answers", ~_is_withdrawn(line.c.seq))
    )
    return {(seq, agency) for seq, agency in conn.execute(statement)}


def acknowledged(conn: Connection, seqs: Collection[int]) -> set[tuple[int, str]]:
    """Return which agencies acknowledged which of these bulletins."""
    statement = select(ack.c.seq, ack.c.agency).where(ack.c.seq.in_(seqs), ack.c.state == ACKNOWLEDGED)
    return {(seq, agency) for seq, agency in conn.execute(statement)}


def _stands(wanted: Standing) -> list[ColumnElement[bool]]:
    # The index on kind and validity holds the cost to what is open, however long the log is.
    return [
        line.c.kind.in_(wanted.kinds),
        line.c.exp > wanted.now,
        line.c.seq > wanted.after,
        line.c.raw.is_not(None),
        ~_is_withdrawn(line.c.seq),
    ]


def _is_withdrawn(seq: ColumnElement[int]) -> ColumnElement[bool]:
    later = ref.alias()
    return select(later.c.seq).where(later.c.target == seq, later.c.relation.in_(WITHDRAWING)).exists()
