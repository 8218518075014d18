"""Verifying what the hub delivers: nothing is shown before signature, recipient, key history, log agree.

Spec: docs/spec/http.md (rows of a page), docs/spec/log.md (releases).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lintas import bulletin, sealed, withdrawal
from lintas.directory import SKEW_S
from lintas.errors import LintasError, MalformedPayload, SealedToOldKey, Unverified, Withheld
from lintas.header import BULLETIN, EVERYONE, Header, is_id
from lintas.line import Line, check, line_id, parse
from lintas.session import Session
from lintas.state import Released
from lintas.strict import parse_object

_INDEX = re.compile(r"-1|[0-9]{1,15}")
PARTLY = "recalled-in-part"
MARKS = ("suspect", PARTLY)
WITHDRAWN = ("recalled", "superseded")
STATES = (*WITHDRAWN, "expired", "purged")


AFTER, TOP, AGAIN, OPENED = "feed_after", "feed_top", "feed_again", "feed_opened"
"""Where the memory keeps the cursor of the feed, how far it was shown, from where it is to be read again, and the last
event that let us read something that was released before."""

JUDGED, JUDGED_BY = "feed_judged", "feed_judged_by"
"""Where the memory keeps up to which event everything unseen was found to be beyond our grants, and the last event that
had shaped the directory then."""

JUDGED_MIN = 100
"""So many are judged again rather than noted: the note costs a durable write."""

NOWHERE = -2
"""Of these places: not set. -1 is before the first event."""


@dataclass(frozen=True, slots=True)
class Received:
    """A verified bulletin, or the place where one was withdrawn.

    `line` and `content` are None when `state` says what became of it; `by` is then the id of the line that withdrew it.
    `marks`: ``suspect`` (signed after its key was compromised), ``recalled-in-part`` (see `recalled_by`),
    ``superseded`` (asked for though it was replaced), ``unproven`` (its successor is gone, so nothing proves it).
    `payload` is the content's JSON, opened if it was sealed. Where sealed content does not open, `content` is None too
    and `unopened` says why: SealedToOldKey, or MalformedPayload if its sender sealed it badly. The feed goes on.
    """

    seq: int
    id: str
    line: Line | None = None
    content: bulletin.Bulletin | None = None
    state: str | None = None
    by: str | None = None
    marks: tuple[str, ...] = ()
    recalled_by: tuple[str, ...] = ()
    payload: bytes | None = field(default=None, repr=False)
    unopened: LintasError | None = None

    @property
    def is_sealed(self) -> bool:
        """Tell whether only its recipients could read it on its way."""
        return self.line is not None and self.line.header.enc is not None

    @property
    def header(self) -> Header:
        """The signed header; only for one that still stands."""
        assert self.line is not None
        return self.line.header


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Rows of the feed as the hub sent them, not yet verified, with the cursor that confirms them.

    `shown` is the last log index that was known when the page was asked for.
    """

    rows: tuple[dict[str, Any], ...]
    after: int
    cursor: int
    is_last: bool
    shown: int = -1


def read_page(body: bytes, *, after: int, shown: int, cursor: str | None, is_last: bool) -> FeedPage:
    """Read a page's rows; raise Unverified when they are out of order or not rows at all.

    `shown` is the last log index seen before the page was asked for: raise Withheld when a last page ends before it.
    """
    try:
        rows = tuple(parse_object(line) for line in body.splitlines())
        seqs = [row["seq"] for row in rows]
        end = _number(cursor)
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
    return FeedPage(rows, after, end, is_last, shown)


def index(text: str | None) -> int:
    """Read a log index of the hub's headers; raise Unverified."""
    try:
        return _number(text)
    except ValueError as fault:
        raise Unverified("The hub does not say where the page begins.") from fault


def _number(cursor: str | None) -> int:
    if cursor is None or not _INDEX.fullmatch(cursor):
        raise ValueError("no index")
    return int(cursor)


def named(page: FeedPage) -> set[str]:
    """Return the ids of a page's bulletins, and of what withdrew them, as far as it names any."""
    lines = {line_id(row["line"].encode()) for row in page.rows if isinstance(row.get("line"), str)}
    return lines | {row[name] for row in page.rows for name in ("id", "by") if is_id(row.get(name))}


def verify_rows(session: Session, page: FeedPage) -> list[Received]:
    """Verify the lines of a page and remember what they withdraw; raise Unverified if the log did not release one.

    The rows are not yet to be shown: `judge_rows` holds them against the log once what is missing was fetched.
    """
    found = [verify_row(session, row) for row in page.rows]
    shown = {each.id for each in found} | {each.by for each in found if each.by is not None}
    shown |= {by for each in found for by in each.recalled_by}
    unknown = shown - set(session.state.released(shown))
    unknown -= session.state.purged(unknown)
    if unknown:
        # A recall goes to every holder, so the line named in `by` must have been released to us as well.
        raise Unverified(f"The log does not say that {min(unknown)} was released to {session.party}.")
    remember(session, found)
    return found


def judge_rows(session: Session, found: Sequence[Received], gone: Collection[str] = ()) -> list[Received]:
    """Hold verified rows against the log and what withdrew them; `gone` are successors that cannot be seen any more."""
    released = session.state.released({each.id for each in found})
    return [judge(session, each, released.get(each.id), gone) for each in found]


def remember(session: Session, found: Iterable[Received]) -> None:
    """Remember of verified lines who signed them and what they withdraw."""
    with session.state.transaction():
        for each in found:
            if each.line is not None:
                said = withdrawal.said_by(each.line, each.content)
                session.state.add_signed(each.id, each.header.iss, said)


def judge(
    session: Session,
    found: Received,
    released: Released | None,
    gone: Collection[str] = (),
    *,
    superseded: bool = False,
) -> Received:
    """Hold a row against what the log said of the bulletin; add the marks that the hub left out.

    `released` is None when the log shows its release no more; `superseded` keeps one that was replaced. Raises
    Unverified.
    """
    if released is not None and found.seq != released.accepted_seq:
        raise Unverified(f"The log has bulletin {found.id} at index {released.accepted_seq}, not at {found.seq}.")
    if found.state == "purged" and not session.state.purged([found.id]):
        raise Unverified(f"The log does not say that bulletin {found.id} was purged.")
    if found.state == "expired" and (released is None or released.exp > session.now() + SKEW_S):
        until = "" if released is None else f", but it stands until {released.exp}"
        raise Unverified(f"Bulletin {found.id} is said to have expired{until}.")
    if found.line is None:
        marks = withdrawal.marks_of(session, found, gone)
        return replace(found, marks=marks) if marks else found
    if released is None:
        raise Unverified(f"The log does not say that {found.id} was released to {session.party}.")
    header = found.header
    if not session.directory.key(header.kid, header.iss).was_active(released.seq, header.iat):
        raise Unverified(f"The key of bulletin {found.id} was not active when it was released.")
    is_suspect = session.directory.is_suspect(header.kid, released.at)
    # The hub may know more of a key than we; what it leaves out we add.
    marked = replace(found, marks=("suspect", *found.marks)) if is_suspect and "suspect" not in found.marks else found
    return _withdrawn(session, marked, hiding=["recalled"] if superseded else list(withdrawal.RELATIONS))


def _withdrawn(session: Session, found: Received, *, hiding: Collection[str]) -> Received:
    """Return a standing bulletin with what its issuer said of it, whether the hub says so or not."""
    said = withdrawal.proven(session, found.id)
    by = {each.relation: each.by for each in said}
    for state, relation in withdrawal.RELATIONS.items():
        if relation in by and state in hiding:
            return Received(seq=found.seq, id=found.id, state=state, by=by[relation])
    parts = tuple(each.by for each in said if each.relation == withdrawal.PART)
    if set(found.recalled_by) - set(parts) or (PARTLY in found.marks and not parts):
        raise Unverified(f"Nothing that was released to {session.party} recalls a part of {found.id}.")
    marks = [mark for mark in found.marks if mark != PARTLY] + [PARTLY] * bool(parts)
    if "supersedes" in by:
        marks.append("superseded")
    return replace(found, marks=tuple(marks), recalled_by=parts, by=by.get("supersedes"))


def look_back(session: Session, seqs: Sequence[int], *, opened_by: int) -> None:
    """Note that bulletins accepted at these indexes can be read since the event `opened_by`.

    Those behind the cursor are noted too: a page or a stream asked for before may be about to pass them.
    """
    state = session.state
    if seqs:
        again = state.get_int(AGAIN, NOWHERE)
        first = min(seqs) - 1
        state.put(AGAIN, first if again == NOWHERE else min(first, again))
        state.put(OPENED, opened_by)


def is_outgrown(session: Session, page: FeedPage) -> bool:
    """Tell whether a page was asked for before we knew that we may read more: what it leaves out is not withheld."""
    return page.shown < session.state.get_int(OPENED, NOWHERE)


def is_to_go_back(session: Session) -> bool:
    """Tell whether something before the cursor is still to be read."""
    return _missed(session) is not None


def go_back(session: Session) -> None:
    """Put the cursor back to what can be read now and could not before; remember how far the feed was shown."""
    state = session.state
    if state.get_int(AGAIN, NOWHERE) == NOWHERE:
        return
    with state.transaction():
        missed = _missed(session)
        if missed is not None:
            state.put(TOP, max(state.get_int(TOP, NOWHERE), state.get_int(AFTER, -1)))
            state.put(AFTER, missed - 1)
        # The page that is asked for next is read with what the log has said of our grants.
        state.put(AGAIN, NOWHERE)


def _missed(session: Session) -> int | None:
    """Return where the first bulletin was accepted that was passed and can be read now."""
    state, again = session.state, session.state.get_int(AGAIN, NOWHERE)
    if again == NOWHERE:
        return None
    passed = state.unseen_between(again, state.get_int(AFTER, -1))
    return min(
        (each.accepted_seq for each in passed if withdrawal.may_read(session.directory, session.party, each)),
        default=None,
    )


def begin_again(session: Session) -> None:
    """Put the cursor before everything: all is shown again."""
    with session.state.transaction():
        session.state.put(AFTER, -1)
        session.state.put(TOP, NOWHERE)
        session.state.put(AGAIN, NOWHERE)


def unshown(session: Session, items: Sequence[Received]) -> list[Received]:
    """Return the items that were not shown before the cursor went back."""
    top = session.state.get_int(TOP, NOWHERE)
    passed = {item.id for item in items if item.seq <= top}
    unseen = session.state.unseen_of(passed)
    return [item for item in items if item.seq > top or item.id in unseen]


def confirm_item(session: Session, item: Received) -> None:
    """Move the cursor past one bulletin that was taken over."""
    with session.state.transaction():
        _take_over(session, [item])
        session.state.put(AFTER, item.seq)


def _take_over(session: Session, items: Sequence[Received]) -> None:
    session.state.mark_seen(each.id for each in items)
    for each in items:
        if each.line is not None and each.is_sealed:
            session.note_sealed(each.line)


def confirm_page(session: Session, page: FeedPage, found: Sequence[Received]) -> None:
    """Move the cursor past a page that was taken over; raise Withheld if the log released more than was delivered."""
    state = session.state
    with state.transaction():
        _take_over(session, found)
        state.put(AFTER, page.cursor)
    if not page.is_last or is_to_go_back(session):
        return
    missing = left_out(session, page)
    if missing is not None:
        raise Withheld(f"Event {missing.seq} released bulletin {missing.id} to {session.party}.")


def left_out(session: Session, page: FeedPage) -> Released | None:
    """Return a bulletin that the log released to us, that a last page passed and that was never taken over."""
    state, shaped_by = session.state, session.state.newest_control()
    # What was not for us stays unseen for ever. It is judged once, until an event that may widen our grants.
    after = state.get_int(JUDGED, -1) if state.get_int(JUDGED_BY, NOWHERE) == shaped_by else -1
    until = min(page.cursor, state.get_int("events_after", -1))
    unseen = state.unseen(until, after=after)
    purged = state.purged(each.id for each in unseen)
    # What later changes of our grants took away is not withheld; those changes are in the log too.
    directory, party = session.directory, session.party
    missing = next(
        (each for each in unseen if each.id not in purged and withdrawal.may_read(directory, party, each)), None
    )
    if missing is None and len(unseen) >= JUDGED_MIN:
        with state.transaction():
            state.put(JUDGED, until)
            state.put(JUDGED_BY, shaped_by)
    return missing


def verify_line(session: Session, raw: bytes, *, seq: int, wanted: str | None = None) -> Received:
    """Verify one bulletin accepted at log index `seq`; `wanted` is the id that was asked for."""
    try:
        line = parse(raw, BULLETIN)
        _check_line(session, line, seq)
        found = Received(seq=seq, id=line.id, line=line)
        found = _open(session, found, line) if line.header.enc else _read(found, line, line.payload)
    except LintasError as fault:
        raise Unverified(f"The bulletin at log index {seq}: {fault}") from fault
    if wanted is not None and line.id != wanted:
        raise Unverified("The hub gave another bulletin than was asked for.")
    return found


def _read(found: Received, line: Line, payload: bytes) -> Received:
    return replace(found, content=bulletin.parse(payload, kind=line.header.kind or ""), payload=payload)


def _open(session: Session, found: Received, line: Line) -> Received:
    # The hub refuses a payload of another shape, so one that arrives is evidence. What is inside only the sender
    # answers for: it must not stop the feed.
    sealed.read_sealed(line.payload)
    try:
        opened = _read(found, line, session.open_sealed(line))
        assert opened.content is not None
        sealed.check_inside(opened.content, tlp=line.header.tlp or "RED", release_to=line.header.release_to)
    except (MalformedPayload, SealedToOldKey) as fault:
        return replace(found, unopened=fault)
    return opened


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


def verify_row(session: Session, row: dict[str, Any]) -> Received:
    """Verify one row as far as it shows by itself: `judge` holds it against the log."""
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
    return replace(
        found,
        marks=tuple(mark for mark in MARKS if mark in texts(row.get("marks"))),
        recalled_by=tuple(filter(is_id, texts(row.get("recalled_by")))),
    )


def texts(value: object) -> tuple[str, ...]:
    """Return the items of a JSON list as texts; nothing for what is no list."""
    return tuple(str(each) for each in value) if isinstance(value, list) else ()
