"""The thread of a bulletin: what belongs together with it, fetched page by page, each line verified.

Promises: every line shown was released to us or is ours, and refers to another of the thread or is referred to by one.
Not promised: that nothing was left out. A hub that shows less here gives itself away in the feed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lintas import feed
from lintas.errors import Unverified
from lintas.feed import Received
from lintas.request import Operation, read
from lintas.said import Said, Statement, said_of
from lintas.session import Session
from lintas.wire import catch_up

PAGE_LIMIT = 200
THREAD_MAX = 1_000
"""Rows of one thread: a hub that sends more is not listened to."""


@dataclass(frozen=True, slots=True)
class Thread:
    """The verified thread of the bulletin `id`, in log order. `is_cut`: it is longer than a hub shows."""

    id: str
    items: tuple[Received, ...]
    is_cut: bool
    alarms: tuple[str, ...] = ()

    def said(self, line_id: str | None = None) -> Said:
        """Sum up what the thread says of a bulletin of it, by default the one that was asked for."""
        lines = (each for each in self.items if each.line is not None)
        return said_of(line_id or self.id, (Statement(each.id, each.header, each.content) for each in lines))


def thread(session: Session, line_id: str) -> Operation[Thread]:
    """Get the thread of a bulletin and verify it; raise NotFound as for the bulletin itself."""
    rows: list[dict[str, Any]] = []
    after, is_cut, is_last = -1, False, False
    while not is_last:
        place = after if after >= 0 else None
        response = yield from read(session, f"/v1/bulletins/{line_id}/thread", after=place, limit=PAGE_LIMIT)
        is_last = "link" not in response.headers
        cursor = response.headers.get("lintas-cursor")
        page = feed.read_page(response.body, after=after, shown=-1, cursor=cursor, is_last=is_last)
        rows += page.rows
        after, is_cut = page.cursor, is_cut or "lintas-thread" in response.headers
        if len(rows) > THREAD_MAX:
            raise Unverified(f"The thread of {line_id} has more than {THREAD_MAX} rows.")
    synced = yield from catch_up(session)
    items = _verified(session, [feed.verify_row(session, row) for row in rows])
    _check_joined(line_id, items)
    return Thread(line_id, tuple(items), is_cut, tuple(synced.alarms))


def _verified(session: Session, found: Sequence[Received]) -> list[Received]:
    own = {each.id: each for each in found if each.line is not None and each.header.iss == session.party}
    others = [each for each in found if each.id not in own]
    released = session.state.released({each.id for each in others} | {each.by for each in others if each.by})
    items = []
    for each in found:
        if each.id in own or (each.line is None and _is_own(session, each, own)):
            items.append(each)
        elif each.id in released and (each.by is None or each.by in released):
            items.append(feed.judge(session, each, released[each.id]))
        elif each.line is not None:
            raise Unverified(f"The log does not say that {each.id} was released to {session.party}.")
        # A place without a line that nothing vouches for is not shown: it says nothing anyway.
    return items


def _is_own(session: Session, place: Received, own: Mapping[str, Received]) -> bool:
    if session.state.is_outgoing(place.id):
        return True
    # Another desk of ours may have sent it; then what withdrew it is ours too, and says so.
    by = own.get(place.by or "")
    return by is not None and place.id in by.header.targets("recalls", "supersedes")


def _check_joined(line_id: str, items: Sequence[Received]) -> None:
    """Refuse lines that have nothing to do with the thread. What a withdrawn bulletin referred to cannot be seen."""
    joined = {line_id} | {each.id for each in items if each.line is None}
    apart = {each.id: {ref.split(":", 1)[1] for ref in each.header.refs} for each in items if each.line is not None}
    size = -1
    while size != len(joined):
        size = len(joined)
        for each, targets in apart.items():
            if each in joined or targets & joined:
                joined |= targets | {each}
    if apart.keys() - joined:
        raise Unverified(f"{min(apart.keys() - joined)} does not belong to the thread of {line_id}.")
