"""Verifying what the hub delivers: nothing is shown before signature, recipient, key history, log agree.

Spec: docs/spec/http.md (rows of a page), docs/spec/log.md (releases).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from lintas import bulletin
from lintas.directory import SKEW_S
from lintas.errors import LintasError, Unverified, Withheld
from lintas.header import BULLETIN, EVERYONE, Header, is_id
from lintas.line import Line, check, line_id, parse
from lintas.session import Session
from lintas.state import Released
from lintas.strict import parse_object

_INDEX = re.compile(r"-1|[0-9]{1,15}")
MARKS = ("suspect", "recalled-in-part")
WITHDRAWN = ("recalled", "superseded")
STATES = (*WITHDRAWN, "expired", "purged")


@dataclass(frozen=True, slots=True)
class Received:
    """A verified bulletin, or the place where one was withdrawn.

    `line` and `content` are None when `state` says what became of it; `by` is then the id of the line that withdrew it.
    `marks`: ``suspect`` (signed after its key was compromised), ``recalled-in-part`` (see `recalled_by`).
    """

    seq: int
    id: str
    line: Line | None = None
    content: bulletin.Bulletin | None = None
    state: str | None = None
    by: str | None = None
    marks: tuple[str, ...] = ()
    recalled_by: tuple[str, ...] = ()

    @property
    def header(self) -> Header:
        """The signed header; only for one that still stands."""
        assert self.line is not None
        return self.line.header


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Rows of the feed as the hub sent them, not yet verified, with the cursor that confirms them."""

    rows: tuple[dict[str, Any], ...]
    after: int
    cursor: int
    is_last: bool


def read_page(body: bytes, *, after: int, shown: int, cursor: str | None, is_last: bool) -> FeedPage:
    """Read a page's rows; raise Unverified when they are out of order or not rows at all.

    `shown` is the last log index seen before the page was asked for: raise Withheld when a last page ends before it.
    """
    try:
        rows = tuple(parse_object(line) for line in body.splitlines())
        seqs = [row["seq"] for row in rows]
        end = _index(cursor)
    except (ValueError, KeyError, TypeError) as fault:
        raise Unverified("The page is not made of rows.") from fault
    if any(type(seq) is not int for seq in seqs) or seqs != sorted({*seqs}) or (seqs and seqs[0] <= after):
        raise Unverified("The rows of the page are out of order.")
    if end < max(seqs, default=after):
        raise Unverified("The page's cursor lies before its rows.")
    # Without these two a hub could answer for ever that there is nothing new, or nothing yet.
    if is_last and end < shown:
        raise Withheld(f"The feed ends at log index {end}, before what the log has shown.")
    if not is_last and not rows:
        raise Unverified("The page is empty, yet more is said to follow.")
    return FeedPage(rows, after, end, is_last)


def _index(cursor: str | None) -> int:
    if cursor is None or not _INDEX.fullmatch(cursor):
        raise ValueError("no index")
    return int(cursor)


def named(page: FeedPage) -> set[str]:
    """Return the ids of a page's bulletins, and of what withdrew them, as far as it names any."""
    lines = {line_id(row["line"].encode()) for row in page.rows if isinstance(row.get("line"), str)}
    return lines | {row[name] for row in page.rows for name in ("id", "by") if is_id(row.get(name))}


def verify_page(session: Session, page: FeedPage) -> list[Received]:
    """Verify every row of a page against the directory and the releases learnt from the log."""
    found = [_verify_row(session, row) for row in page.rows]
    shown = {each.id for each in found} | {each.by for each in found if each.by is not None}
    released = session.state.released(shown)
    if shown - set(released):
        # A recall goes to every holder, so the line named in `by` must have been released to us as well.
        raise Unverified(f"The log does not say that {min(shown - set(released))} was released to {session.party}.")
    return [judge(session, each, released[each.id]) for each in found]


def judge(session: Session, found: Received, released: Released) -> Received:
    """Hold a row against what the log said when it released the bulletin; mark it if its key was compromised then."""
    if found.seq != released.accepted_seq:
        raise Unverified(f"The log has bulletin {found.id} at index {released.accepted_seq}, not at {found.seq}.")
    if found.state == "expired" and released.exp > session.now() + SKEW_S:
        raise Unverified(f"Bulletin {found.id} is said to have expired, but it stands until {released.exp}.")
    if found.line is None:
        return found
    header = found.header
    if not session.directory.key(header.kid, header.iss).was_active(released.seq, header.iat):
        raise Unverified(f"The key of bulletin {found.id} was not active when it was released.")
    is_suspect = session.directory.is_suspect(header.kid, released.at)
    # The hub may know more of a key than we; what it leaves out we add.
    return replace(found, marks=("suspect", *found.marks)) if is_suspect and "suspect" not in found.marks else found


def confirm_item(session: Session, item: Received) -> None:
    """Move the cursor past one bulletin that was taken over."""
    with session.state.transaction():
        session.state.mark_seen([item.id])
        session.state.put("feed_after", item.seq)


def confirm_page(session: Session, page: FeedPage, found: Sequence[Received]) -> None:
    """Move the cursor past a page that was taken over; raise Withheld if the log released more than was delivered."""
    state = session.state
    with state.transaction():
        state.mark_seen(each.id for each in found)
        state.put("feed_after", page.cursor)
    if not page.is_last:
        return
    grant = session.directory.grant(session.party)
    known_size = session.state.get_int("events_after", -1)
    for missing in state.unseen(min(page.cursor, known_size)):
        # What later changes of our grants took away is not withheld; those changes are in the log too.
        is_ours = missing.beyond or grant.may_read(missing.topic, missing.tlp)
        if is_ours and not session.directory.is_suspended(session.party):
            raise Withheld(f"Event {missing.seq} released bulletin {missing.id} to {session.party}.")


def verify_line(session: Session, raw: bytes, *, seq: int, wanted: str | None = None) -> Received:
    """Verify one bulletin accepted at log index `seq`; `wanted` is the id that was asked for."""
    try:
        line = parse(raw, BULLETIN)
        _check_line(session, line, seq)
        content = None if line.header.enc else bulletin.parse(line.payload, kind=line.header.kind or "")
    except LintasError as fault:
        raise Unverified(f"The bulletin at log index {seq}: {fault}") from fault
    if wanted is not None and line.id != wanted:
        raise Unverified("The hub gave another bulletin than was asked for.")
    return Received(seq=seq, id=line.id, line=line, content=content)


def _check_line(session: Session, line: Line, seq: int) -> None:
    header, directory = line.header, session.directory
    record = directory.key(header.kid, header.iss)
    check(line, record.public)
    if not record.was_active(seq, header.iat):
        raise Unverified("Its key was not active at that place of the log.")
    if header.aud != directory.hub:
        raise Unverified("It was signed for another hub.")
    if header.iss != session.party and header.release_to != EVERYONE and session.party not in header.release_to:
        raise Unverified("Its signer did not address it to us.")


def _verify_row(session: Session, row: dict[str, Any]) -> Received:
    seq, state = row["seq"], row.get("state")
    if state is not None:
        by = row.get("by")
        if state not in STATES or not is_id(row.get("id")) or not (is_id(by) if state in WITHDRAWN else by is None):
            raise Unverified(f"The row at log index {seq} has no known state.")
        return Received(seq=seq, id=row["id"], state=state, by=by)
    line = row.get("line")
    if not isinstance(line, str):
        raise Unverified(f"The row at log index {seq} holds no line.")
    found = verify_line(session, line.encode(), seq=seq)
    return Received(
        seq=seq,
        id=found.id,
        line=found.line,
        content=found.content,
        marks=tuple(mark for mark in MARKS if mark in texts(row.get("marks"))),
        recalled_by=tuple(filter(is_id, texts(row.get("recalled_by")))),
    )


def texts(value: object) -> tuple[str, ...]:
    """Return the items of a JSON list as texts; nothing for what is no list."""
    return tuple(str(each) for each in value) if isinstance(value, list) else ()
