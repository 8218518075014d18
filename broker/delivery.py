"""Giving out bulletins, with the record of it first.

A page is read from a snapshot, then the writer records who gets it; only then it leaves. Between the two the directory
may have changed (a revocation, a grant) or a recall may have come in: the writer sees that, and the page is read again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from broker import policy
from broker.auth import Caller
from broker.batch import Batch
from broker.hub import Hub
from broker.intake import PART
from broker.store import endings, lines, log
from broker.store.engine import Connection
from broker.writer import Done
from lintas.directory import Directory
from lintas.errors import Busy, NoLongerValid, NotFound, Purged, Recalled, Refusal, Superseded, Unauthorized
from lintas.header import BULLETIN
from lintas.strict import canonical

READ_AGAIN_MAX = 5
"""Times a page is read again because of what came in meanwhile; then the caller is asked to come back."""

SUSPECT = "suspect"
PARTLY_RECALLED = "recalled-in-part"
SUPERSEDED = "superseded"
RECALLING = {"recalls": "recalled"}
HIDING = {**RECALLING, "supersedes": SUPERSEDED}
GONE: dict[str, type[Refusal]] = {
    "recalled": Recalled,
    "superseded": Superseded,
    "expired": NoLongerValid,
    "purged": Purged,
}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Standing:
    """What became of a stored bulletin: `state` None while it stands; `by` the line that withdrew it."""

    state: str | None = None
    by: str | None = None
    marks: tuple[str, ...] = ()
    recalled_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """What is about to leave, and what it was read with. `sent` are the ids whose bytes are in `body`."""

    directory: Directory
    size: int
    body: bytes = b""
    sent: tuple[str, ...] = ()
    first: int = 0
    last: int = 0
    cursor: int = 0
    is_full: bool = False
    marks: tuple[str, ...] = field(default=())
    recalled_by: tuple[str, ...] = ()
    state: str | None = None
    by: str | None = None

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing would be sent."""
        return not self.body


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a feed is asked for: log indexes above `after`, at most `limit` rows."""

    after: int
    limit: int


async def in_reader(hub: Hub, work: Callable[[Connection], T]) -> T:
    """Run a read in the pool of reading threads with a snapshot of its own."""

    def read() -> T:
        with hub.store.read() as conn:
            return work(conn)

    return await asyncio.get_running_loop().run_in_executor(hub.readers, read)


async def submit(hub: Hub, job: Callable[[Batch], T | Refusal], ids: tuple[str, ...] = ()) -> Done[T]:
    """Queue a job with the writer and wait for its commit and signature."""
    return await asyncio.wrap_future(hub.writer.submit(job, ids))


async def deliver(
    hub: Hub, caller: Caller, read: Callable[[Connection], Page], record: Callable[[Batch, Page], None]
) -> Page:
    """Read a page and record its sending; return it only when both are true of the same state of the hub."""
    for _ in range(READ_AGAIN_MAX):
        page = await in_reader(hub, read)
        if page.is_empty:
            return page
        done = await submit(hub, lambda batch, page=page: _recorded(batch, caller, page, record))  # type: ignore[misc]
        if done.value:
            return page
    raise Busy(retry_after=1)


def _recorded(batch: Batch, caller: Caller, page: Page, record: Callable[[Batch, Page], None]) -> bool | Refusal:
    try:
        batch.directory.active_key(caller.kid, caller.party, batch.now)
    except Refusal as refusal:
        # Revoked between the request and now: the log decides, and nothing leaves.
        return Unauthorized(str(refusal))
    if batch.directory is not page.directory or batch.withdrawn >= page.size:
        return False
    record(batch, page)
    return True


def read_page(
    conn: Connection, directory: Directory, agency: str, wanted: lines.FeedFilter, *, window: Window, now: int
) -> Page:
    """Read one page of an agency's feed, or of its own bulletins when it asks for those it issued."""
    size, _ = log.head(conn)
    after, limit = window.after, window.limit
    if wanted.issuer == agency:
        rows = lines.published(conn, agency, wanted, after=after, limit=limit)
    else:
        rows = lines.feed(conn, reader(directory, agency), wanted, after=after, limit=limit)
    standings = stand(conn, directory, rows, now=now)
    is_full = len(rows) == limit
    return Page(
        directory=directory,
        size=size,
        body=b"".join(_row(row, standings[row.seq]) for row in rows),
        sent=tuple(row.id for row in rows if standings[row.seq].state is None),
        first=rows[0].seq if rows else after,
        last=rows[-1].seq if rows else after,
        cursor=rows[-1].seq if is_full else max(after, size - 1),
        is_full=is_full,
    )


def read_one(
    conn: Connection, directory: Directory, agency: str, line_id: str, *, now: int, superseded: bool = False
) -> Page:
    """Read one bulletin for an agency; raise NotFound, or the Refusal that says what became of it.

    `superseded` asks for it even if it was replaced, as long as it would stand otherwise.
    """
    size, _ = log.head(conn)
    row = readable(conn, directory, agency, line_id)
    standing = stand(conn, directory, [row], now=now)[row.seq]
    state, by = standing.state, standing.by
    if superseded and state == SUPERSEDED:
        standing = stand(conn, directory, [row], now=now, hiding=RECALLING)[row.seq]
    if standing.state is not None:
        raise GONE[standing.state](**({"by": standing.by} if standing.by else {}))
    assert row.raw is not None
    page = Page(directory, size, row.raw, (row.id,), row.seq, row.seq, row.seq, state=state, by=by)
    return replace(page, marks=standing.marks, recalled_by=standing.recalled_by)


def readable(conn: Connection, directory: Directory, agency: str, line_id: str) -> lines.StoredLine:
    """Return a stored bulletin that this agency may read now; NotFound is the same whether it exists or not."""
    row = lines.by_id(conn, line_id)
    if row is None or row.typ != BULLETIN:
        raise NotFound
    if row.iss == agency:
        return row
    if lines.released_seq(conn, row.seq, agency) is None:
        raise NotFound
    bounds = policy.reading(directory, agency)
    is_recall = row.kind == policy.RECALL
    rank, withdraws = row.tlp_rank or 0, row.withdraws
    if not policy.allows(bounds, topic=row.topic or "", rank=rank, withdraws=withdraws, is_recall=is_recall):
        raise NotFound
    return row


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
    said: dict[int, list[lines.Reference]] = {row.seq: [] for row in rows}
    for reference in lines.references(conn, list(said)) if rows else []:
        said[reference.target].append(reference)
    over = {row.seq for row in rows if row.exp is not None and row.exp <= now}
    recalls = [row.seq for row in rows if row.seq in over and row.kind == policy.RECALL]
    if recalls:
        # A recall stands for as long as what it recalls would have: else its holders had no proof of it.
        over -= {seq for seq, end in endings.last_ends(conn, recalls).items() if end > now}
    return {row.seq: _standing(row, said[row.seq], directory, hiding, is_over=row.seq in over) for row in rows}


def _standing(
    row: lines.StoredLine,
    said: list[lines.Reference],
    directory: Directory,
    hiding: Mapping[str, str],
    *,
    is_over: bool,
) -> Standing:
    if row.raw is None and is_over:
        return Standing(state="purged")
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


def _row(row: lines.StoredLine, standing: Standing) -> bytes:
    if standing.state is not None:
        members = {"seq": row.seq, "id": row.id, "state": standing.state}
        return canonical(members | ({"by": standing.by} if standing.by else {})) + b"\n"
    assert row.raw is not None
    # The stored bytes go out as they are: a line is ASCII without quotes or backslashes.
    extra = b""
    if standing.marks:
        extra = b',"marks":' + canonical(list(standing.marks))
    if standing.recalled_by:
        extra += b',"recalled_by":' + canonical(list(standing.recalled_by))
    return b'{"seq":%d,"line":"%b"%b}\n' % (row.seq, row.raw, extra)
