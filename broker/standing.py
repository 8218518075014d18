"""What became of stored bulletins, who may read them now.

Both are asked at every reading: nothing of it is stored, it follows from lines, references, directory, time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from broker import policy
from broker.intake import PART
from broker.store import endings, lines
from broker.store.engine import Connection
from lintas.directory import Directory
from lintas.errors import (
    NotFound,
)
from lintas.header import BULLETIN

SUSPECT = "suspect"
PARTLY_RECALLED = "recalled-in-part"
SUPERSEDED = "superseded"
RECALLING = {"recalls": "recalled"}
HIDING = {**RECALLING, "supersedes": SUPERSEDED}


@dataclass(frozen=True, slots=True)
class Standing:
    """What became of a stored bulletin: `state` None while it stands; `by` the line that withdrew it."""

    state: str | None = None
    by: str | None = None
    marks: tuple[str, ...] = ()
    recalled_by: tuple[str, ...] = ()


UNTOUCHED = Standing()
"""What nearly every bulletin is: nothing was said of it."""


def readable(conn: Connection, directory: Directory, agency: str, line_id: str) -> lines.StoredLine:
    """Return a stored bulletin that this agency may read now; NotFound is the same whether it exists or not."""
    row = lines.by_id(conn, line_id)
    if row is None or row.typ != BULLETIN:
        raise NotFound
    if row.iss == agency:
        return row
    if lines.released_seq(conn, row.seq, agency) is None:
        raise NotFound
    if not is_within(policy.reading(directory, agency), row):
        raise NotFound
    return row


def is_within(bounds: policy.Reading, row: lines.StoredLine) -> bool:
    """Tell whether a bulletin that was released to a reader lies within what it may read now."""
    is_recall = row.kind == policy.RECALL
    return policy.allows(
        bounds, topic=row.topic or "", rank=row.tlp_rank or 0, withdraws=row.withdraws, is_recall=is_recall
    )


def reader(directory: Directory, agency: str) -> lines.Reader:
    """Return the bounds of an agency's feed as the store takes them."""
    bounds = policy.reading(directory, agency)
    return lines.Reader(agency, bounds.topics, bounds.tlp_rank_max, bounds.only_withdrawals)


def stand(
    conn: Connection,
    directory: Directory,
    rows: Sequence[lines.StoredLine],
    *,
    now: int,
    hiding: Mapping[str, str] = HIDING,
) -> dict[int, Standing]:
    """Tell what became of each of these bulletins; `hiding` says which relations withdraw one."""
    said: dict[int, list[lines.Reference]] = {row.seq: [] for row in rows if row.is_said_of}
    for reference in lines.references(conn, said) if said else []:
        said[reference.target].append(reference)
    over = {row.seq for row in rows if row.exp is not None and row.exp <= now}
    recalls = [row.seq for row in rows if row.seq in over and row.kind == policy.RECALL]
    if recalls:
        # A recall stands for as long as what it recalls would have: else its holders had no proof of it.
        over -= {seq for seq, end in endings.last_ends(conn, recalls).items() if end > now}
    return {row.seq: _standing(row, said.get(row.seq, ()), directory, hiding, is_over=row.seq in over) for row in rows}


def _standing(
    row: lines.StoredLine,
    said: Sequence[lines.Reference],
    directory: Directory,
    hiding: Mapping[str, str],
    *,
    is_over: bool,
) -> Standing:
    if row.raw is None and is_over:
        return Standing(state="purged")
    if not said and row.raw is not None and not is_over and not directory.is_suspect(row.kid, row.at):
        return UNTOUCHED
    for relation, state in hiding.items():
        by = next((reference.id for reference in said if reference.relation == relation), None)
        if by is not None:
            return Standing(state=state, by=by)
    if row.raw is None:
        return Standing(state="purged")
    if is_over:
        return Standing(state="expired")
    recalled_by = tuple(reference.id for reference in said if reference.relation == PART)
    marks = ((SUSPECT,) if directory.is_suspect(row.kid, row.at) else ()) + ((PARTLY_RECALLED,) if recalled_by else ())
    return Standing(marks=marks, recalled_by=recalled_by)
