"""Giving out bulletins, with the record of it first.

A page is read from a snapshot, then the writer records who gets it; only then it leaves. Between the two the directory
may have changed (a revocation, a grant) or a recall may have come in: the writer sees that, and the page is read again.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

from broker.auth import Caller
from broker.batch import Batch
from broker.hub import Hub
from broker.standing import RECALLING, SUPERSEDED, Standing, readable, reader, stand
from broker.store import delivery, lines, log
from broker.store.engine import Connection
from broker.writer import Done
from lintas.directory import Directory
from lintas.errors import (
    Busy,
    CursorBeyondLog,
    NoLongerValid,
    Purged,
    Recalled,
    Refusal,
    Superseded,
    Unauthorized,
)
from lintas.filter import EVERYTHING, Filter
from lintas.strict import canonical

READ_AGAIN_MAX = 5
"""Times a page is read again because of what came in meanwhile; then the caller is asked to come back."""

PAGE_BYTES_ENOUGH = 4 * 1024 * 1024
"""Bytes of bulletins with which a page ends, however many rows were asked for: a thousand typical ones have half."""

ROWS_AT_ONCE = 100
"""Rows read before the bytes are looked at: the usual page by one statement, and of the largest bulletins 25 MiB."""

GONE: dict[str, type[Refusal]] = {
    "recalled": Recalled,
    "superseded": Superseded,
    "expired": NoLongerValid,
    "purged": Purged,
}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Source:
    """A feed as somebody reads it: whose it is, by which way it goes, which part of it, why.

    `way` stands in the record of the sending: ``feed``, ``fetch``, ``subscription/<name>``, ... `ref_to` keeps what
    refers to one bulletin. `reasons` are those of the reader's token, for the record.
    """

    agency: str
    way: str
    wanted: Filter = EVERYTHING
    ref_to: str | None = None
    reasons: tuple[tuple[str, str], ...] = ()

    @property
    def is_own(self) -> bool:
        """Tell whether an agency asks for what it issued itself, which is never delivered to it."""
        return self.wanted.issuers == {self.agency}

    @property
    def is_whole(self) -> bool:
        """Tell whether nothing of the feed is left out."""
        return self.wanted == EVERYTHING and self.ref_to is None


class Row(NamedTuple):
    """One row of a page, prepared. `is_line`: it carries the bulletin itself, not only what became of it.

    `is_personal`: somebody else's bulletin with person data, or sealed so that the hub cannot tell.
    """

    seq: int
    id: str
    iss: str
    data: bytes
    is_line: bool
    urgency: str | None = None
    is_personal: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """What is about to leave, with what it was read with. `cursor` is the `after` of the next page.

    `is_full`: there may be another page. `is_cut`: there is more, and no page gives it.
    """

    directory: Directory
    size: int
    rows: tuple[Row, ...] = ()
    cursor: int = 0
    is_full: bool = False
    is_cut: bool = False
    marks: tuple[str, ...] = ()
    recalled_by: tuple[str, ...] = ()
    state: str | None = None
    by: str | None = None

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing would be sent."""
        return not self.rows

    @property
    def body(self) -> bytes:
        """The rows as they are sent."""
        return b"".join(row.data for row in self.rows)

    @property
    def sent(self) -> tuple[str, ...]:
        """The ids of the bulletins whose bytes are in it."""
        return tuple(row.id for row in self.rows if row.is_line)


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
    return await hub.writer.submit_here(job, ids)


async def submit_as(hub: Hub, caller: Caller, job: Callable[[Batch], T | Refusal]) -> Done[T]:
    """As `submit`, for what a caller asks by token alone: its key is looked at again in the log's own order."""
    return await submit(hub, lambda batch: refused(batch, caller) or job(batch))


def refused(batch: Batch, caller: Caller) -> Refusal | None:
    """Return the refusal of a caller whose key was revoked between the request and now; nothing leaves then."""
    try:
        batch.directory.active_key(caller.kid, caller.party, batch.now)
    except Refusal as refusal:
        return Unauthorized(str(refusal))
    return None


async def deliver(
    hub: Hub, caller: Caller, read: Callable[[Connection], Page], record: Callable[[Batch, Page], object]
) -> Page:
    """Give a page to a caller whose key may still sign."""
    return await give(hub, lambda batch: refused(batch, caller), read, record)


async def give(
    hub: Hub,
    standing: Callable[[Batch], Refusal | None],
    read: Callable[[Connection], Page],
    record: Callable[[Batch, Page], object],
) -> Page:
    """Read a page and record its sending; return it only when both are true of the same state of the hub.

    `standing` tells why nothing may leave any more.
    """
    for _ in range(READ_AGAIN_MAX):
        page = await in_reader(hub, read)
        if page.is_empty:
            return page
        done = await submit(hub, lambda batch, page=page: _recorded(batch, standing, page, record))  # type: ignore[misc]
        if done.value:
            return page
    raise Busy(retry_after=1)


async def deliver_when_there(hub: Hub, caller: Caller, give: Callable[[], Awaitable[Page]], *, wait_s: float) -> Page:
    """Give a page as `give` does; an empty one waits up to `wait_s` seconds for news of the caller and is given again.

    Raises Unauthorized when the caller's key ends meanwhile, Busy when too many wait.
    """
    end = asyncio.get_running_loop().time() + wait_s
    # Hung up before the first look, so that what comes in between rings.
    with hub.wakeup.bell(caller.party) as bell:
        while True:
            page = await give()
            if not page.is_empty or hub.wakeup.is_stopping:
                return page
            try:
                async with asyncio.timeout_at(end):
                    await bell.wait()
            except TimeoutError:
                return page
            check_still_active(hub, caller)


def check_still_active(hub: Hub, caller: Caller) -> None:
    """Raise Unauthorized when the caller's key has ended since it was let in."""
    try:
        hub.directory.active_key(caller.kid, caller.party, hub.now())
    except Refusal as refusal:
        raise Unauthorized(str(refusal)) from refusal


def _recorded(
    batch: Batch,
    standing: Callable[[Batch], Refusal | None],
    page: Page,
    record: Callable[[Batch, Page], object],
) -> bool | Refusal:
    refusal = standing(batch)
    if refusal is not None:
        return refusal
    if batch.directory is not page.directory or batch.withdrawn >= page.size:
        return False
    record(batch, page)
    return True


def record_page(batch: Batch, source: Source, page: Page, *, object_id: str | None = None, **facts: Any) -> int:
    """Log that a page is sent and note each bulletin on its way; return the index of the event."""
    sending = log_sending(batch, source, page, object_id=object_id, **facts)
    delivery.insert_sendings(batch.conn, [sending])
    return sending.sent_seq


def record_pages(batch: Batch, pages: Mapping[Source, Page]) -> None:
    """Log that pages of many sources are sent together; note their bulletins at once."""
    delivery.insert_sendings(batch.conn, [log_sending(batch, source, page) for source, page in pages.items()])


def log_sending(
    batch: Batch, source: Source, page: Page, *, object_id: str | None = None, **facts: Any
) -> delivery.Sending:
    """Log that a page is sent, and return what is to be noted of it."""
    detail = {"way": source.way, "from": page.rows[0].seq, "to": page.rows[-1].seq, "count": len(page.sent), **facts}
    detail |= dict(source.reasons)
    if not source.is_whole:
        # With a filter the range does not tell which were sent, so the record names them.
        asked = source.wanted.members() | ({"ref": source.ref_to} if source.ref_to else {})
        detail |= {"filter": hashlib.sha256(canonical(asked)).hexdigest(), "ids": list(page.sent)}
    seq = batch.append("bulletin.sent", source.agency, object_id=object_id, detail=detail)
    # What an agency issued is never delivered to it, though it may look at it.
    sent = [row.seq for row in page.rows if row.is_line and row.iss != source.agency]
    return delivery.Sending(source.agency, source.way, sent, seq)


def read_page(conn: Connection, directory: Directory, source: Source, *, window: Window, now: int) -> Page:
    """Read one page of a feed; raise CursorBeyondLog when the log is shorter than its cursor."""
    size, _ = log.head(conn)
    if window.after >= size:
        raise CursorBeyondLog(f"The log ends at index {size - 1}.", member="after")
    rows, is_full = _read_rows(conn, directory, source, window)
    return page_of(conn, directory, rows, is_full=is_full, size=size, now=now)


def _read_rows(
    conn: Connection, directory: Directory, source: Source, window: Window
) -> tuple[list[lines.StoredLine], bool]:
    """Return the rows of a page, and whether there may be more: as many as are asked for, or as are enough in bytes."""
    wanted, ref_to, agency = source.wanted, source.ref_to, source.agency
    rows: list[lines.StoredLine] = []
    after, size_bytes = window.after, 0
    while len(rows) < window.limit and size_bytes < PAGE_BYTES_ENOUGH:
        limit = min(ROWS_AT_ONCE, window.limit - len(rows))
        if source.is_own:
            found = lines.published(conn, agency, wanted, after=after, limit=limit, ref_to=ref_to)
        else:
            found = lines.feed(conn, reader(directory, agency), wanted, after=after, limit=limit, ref_to=ref_to)
        rows += found
        if len(found) < limit:
            return rows, False
        after, size_bytes = rows[-1].seq, size_bytes + sum(len(row.raw or b"") for row in found)
    return rows, True


def page_of(
    conn: Connection, directory: Directory, rows: Sequence[lines.StoredLine], *, is_full: bool, size: int, now: int
) -> Page:
    """Return the page that these rows make, read when the log had this size."""
    standings = stand(conn, directory, rows, now=now)
    return Page(
        directory=directory,
        size=size,
        rows=tuple(prepared(row, standings[row.seq]) for row in rows),
        cursor=rows[-1].seq if is_full else size - 1,
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
    is_personal = row.is_personal and row.iss != agency
    found = Row(row.seq, row.id, row.iss, row.raw, is_line=True, urgency=row.urgency, is_personal=is_personal)
    page = Page(directory, size, (found,), cursor=row.seq, state=state, by=by)
    return replace(page, marks=standing.marks, recalled_by=standing.recalled_by)


def prepared(row: lines.StoredLine, standing: Standing) -> Row:
    """Return the row of a stored bulletin as it is sent: the line, or what became of it."""
    return Row(row.seq, row.id, row.iss, _data(row, standing), is_line=standing.state is None, urgency=row.urgency)


def _data(row: lines.StoredLine, standing: Standing) -> bytes:
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
