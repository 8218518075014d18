"""Fetching what proves a withdrawal or a purge, before either is believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lintas import feed, withdrawal
from lintas.errors import (
    MalformedPayload,
    NoLongerValid,
    NotFound,
    Purged,
    PurposeNeeded,
    Recalled,
    Superseded,
    Unverified,
)
from lintas.header import is_id
from lintas.request import Operation, Response, read
from lintas.session import Session


def verify_page(session: Session, page: feed.FeedPage) -> Operation[list[feed.Received]]:
    """Verify every row of a page, with what it says of withdrawals; raise Unverified."""
    found = feed.verify_rows(session, page)
    gone = yield from prove(session, withdrawal.missing(session, found))
    return feed.judge_rows(session, found, gone)


def prove_purges(session: Session) -> Operation[None]:
    """Demand the recall behind every purge before its time; raise InconsistentLog."""
    yield from prove(session, withdrawal.missing(session, []))
    withdrawal.prove_purges(session)


def prove(session: Session, wanted: Sequence[str]) -> Operation[frozenset[str]]:
    """See the lines that are said to withdraw something; return those that are gone themselves, with good reason."""
    gone = set()
    for line_id in wanted:
        try:
            yield from _see(session, line_id)
        except Recalled as refusal:
            by = refusal.extra.get("by")
            if not is_id(by):
                raise Unverified(f"The hub does not say what recalled {line_id}.") from refusal
            yield from _see(session, str(by))
            if not withdrawal.is_proven(session, line_id, str(by), "recalls"):
                raise Unverified(f"Bulletin {by} does not recall {line_id}.") from refusal
            gone.add(line_id)
        except Superseded:
            # Replaced in its turn, and only to be opened for a purpose: what it said cannot be seen any more.
            gone.add(line_id)
        except (NoLongerValid, Purged) as refusal:
            if not withdrawal.is_over(session, line_id) and not session.state.purged([line_id]):
                raise Unverified(f"Bulletin {line_id} is said to be over, but it stands.") from refusal
            gone.add(line_id)
        except NotFound as refusal:
            if not withdrawal.is_beyond(session, line_id):
                raise Unverified(f"The hub denies {line_id}, which it released to {session.party}.") from refusal
            gone.add(line_id)
    return frozenset(gone)


def read_line(session: Session, response: Response, line_id: str) -> feed.Received:
    """Verify the bulletin in an answer, remember what it withdraws; the marks are still the hub's word."""
    seq, headers = response.headers.get("lintas-seq", ""), response.headers
    if not seq.isascii() or not seq.isdigit():
        raise MalformedPayload("The hub did not say where in the log the bulletin is.")
    found = feed.verify_line(session, response.body, seq=int(seq), wanted=line_id)
    released = session.state.released([line_id]).get(line_id)
    if found.header.iss != session.party and (released is None or released.accepted_seq != found.seq):
        raise Unverified(f"The log does not say that {line_id} was released to {session.party} at {found.seq}.")
    feed.remember(session, [found])
    marks = headers.get("lintas-marks", "").split(", ")
    parts = tuple(filter(is_id, headers.get("lintas-recalled-by", "").split(", ")))
    return replace(found, marks=tuple(each for each in feed.MARKS if each in marks), recalled_by=parts)


def _see(session: Session, line_id: str) -> Operation[None]:
    try:
        response = yield from read(session, f"/v1/bulletins/{line_id}", superseded=1)
    except PurposeNeeded:
        # A program looks for what a line withdraws, nobody opens its content: the feed delivers it without a purpose.
        yield from _see_in_feed(session, line_id)
    else:
        read_line(session, response, line_id)


def _see_in_feed(session: Session, line_id: str) -> Operation[None]:
    released = session.state.released([line_id]).get(line_id)
    if released is None:
        raise NotFound
    response = yield from read(session, "/v1/bulletins", after=released.accepted_seq - 1, limit=1)
    page = feed.read_page(
        response.body,
        after=released.accepted_seq - 1,
        shown=-1,
        cursor=response.headers.get("lintas-cursor"),
        is_last="link" not in response.headers,
    )
    if not page.rows:
        raise NotFound
    found = feed.verify_row(session, page.rows[0])
    if found.id != line_id or found.seq != released.accepted_seq:
        raise Unverified(f"The hub gives another bulletin at {released.accepted_seq} than {line_id}.")
    if found.state == "recalled":
        raise Recalled(by=found.by or "")
    if found.state == "superseded":
        raise Superseded(by=found.by or "")
    if found.line is None:
        raise NoLongerValid
    feed.remember(session, [found])
