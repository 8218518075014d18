"""The audit log: search, filter, look at one entry with its proof, take it along.

Administrators see all of it, officers the events of their agency and those of everyone.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response

from broker import proofs
from broker.delivery import in_reader
from broker.hub import Hub
from broker.sessions import Visitor
from broker.store import audit, log, rollup
from broker.store.engine import Connection
from broker.store.log import EventRow
from broker.store.rollup import NO_TLP, NO_TOPIC, Cell, Wanted
from broker.web.charging import charge_rows
from broker.web.console import asked as asking
from broker.web.console import facets, histogram
from broker.web.console.asked import FACETS, SINGLE, Asked
from broker.web.console.headers import headers_of
from broker.web.console.rendering import Page, render
from broker.web.console.session import record_view, visitor_of
from broker.web.export import exported
from broker.web.http import TEXT_MEDIA, hub_of
from lintas.errors import BadRequest, NotFound
from lintas.event import entry_of
from lintas.strict import b64u
from lintas.vocabulary import TLP, tlp_rank

ROWS = 50
EXPORT_ROWS = 10_000
"""What an export is charged as."""

EVERYONE = "*"
NOBODY = frozenset[str]()

_ID_BEGINNING = re.compile(r"[A-Za-z0-9_-]{4,43}")
_SEQ = re.compile(r"[0-9]{1,16}")

router = APIRouter(route_class=Page)


@dataclass(frozen=True, slots=True)
class Listing:
    """What the page shows: rows with topics and markings by index, counts, the time they span."""

    rows: list[EventRow]
    headers: Mapping[int, tuple[str, str]]
    counted: facets.Counted
    bars: list[histogram.Bar]
    has_newer: bool
    has_older: bool
    is_cut: bool


@dataclass(frozen=True, slots=True)
class Opened:
    """One entry: the row, its leaf's hash, its receipt under `size` unless it was purged."""

    row: EventRow
    entry: str
    header: tuple[str, str] | None
    size: int
    hashes: list[str]
    note: str
    facts: dict[str, Any] | None


@router.get("/console/audit")
async def listing(request: Request) -> Response:
    """Show the log, newest first."""
    visitor = await visitor_of(request, SINGLE, FACETS)
    hub, asked = hub_of(request), asking.read(request.query_params.multi_items())
    done = await record_view(hub, visitor, "audit", {"asked": asked.facts()})
    assert done.signed is not None
    size = done.signed.size
    found = await in_reader(hub, lambda conn: _list(conn, hub, visitor, asked, size))
    opened = None
    if asked.entry is not None:
        opened = await in_reader(hub, lambda conn: _open(conn, visitor, asked.entry or 0, size))
    chart = histogram.drawing(found.bars, lambda begin, end: asked.at(since=begin, until=end, before=None, after=None))
    return render(
        request,
        "audit.html",
        asked=asked,
        found=found,
        size=size,
        chart=chart,
        chips=asking.chips(asked),
        written=asking.written,
        opened=opened,
        shut=asked.at(entry=None),
    )


@router.get("/console/audit/export")
async def export(request: Request) -> Response:
    """Stream everything that fits as CSV or JSON Lines."""
    visitor = await visitor_of(request, (*SINGLE, "form"), FACETS)
    hub = hub_of(request)
    form = request.query_params.get("form", "csv")
    if form not in ("csv", "jsonl"):
        raise BadRequest("`form` is csv or jsonl.", member="form")
    charge_rows(request, visitor.caller, EXPORT_ROWS)
    asked = asking.read(pair for pair in request.query_params.multi_items() if pair[0] != "form")
    kind = "admin.exported" if visitor.is_admin else None
    done = await record_view(hub, visitor, "audit-export", {"asked": asked.facts() | {"form": form}}, kind=kind)
    wanted, beginning = await in_reader(hub, lambda conn: _wanted(conn, hub, visitor, asked, done.value + 1))

    def read(conn: Connection, before: int, limit: int) -> list[EventRow]:
        if beginning is not None:
            return [row for row in audit.about(conn, beginning, wanted) if row.seq < before][:limit]
        return audit.part(conn, wanted, before=before, limit=limit)

    response = exported(hub, read, form, done.value + 1)
    response.headers.update(headers_of(request))
    return response


@router.get("/console/audit/{seq}")
async def entry(request: Request, seq: str) -> Response:
    """Show one entry with its proof, as the drawer beside the list does."""
    visitor = await visitor_of(request)
    hub, index = hub_of(request), _index(seq)
    done = await record_view(hub, visitor, "entry", {"asked": {"entry": str(index)}})
    assert done.signed is not None
    size = done.signed.size
    opened = await in_reader(hub, lambda conn: _open(conn, visitor, index, size))
    return render(request, "entry.html", opened=opened, shut=asking.PATH)


@router.get("/console/audit/{seq}/proof")
async def proof(request: Request, seq: str) -> Response:
    """Give the receipt of an entry as a file that is checked without the hub."""
    visitor = await visitor_of(request)
    hub, index = hub_of(request), _index(seq)
    await record_view(hub, visitor, "proof", {"asked": {"entry": str(index)}})
    body = await in_reader(hub, lambda conn: (_entitled(conn, visitor, index), proofs.receipt(conn, index))[1])
    headers = headers_of(request)
    headers["Content-Disposition"] = f'attachment; filename="lintas-entry-{index}.tlog-proof"'
    return Response(body, headers=headers, media_type=TEXT_MEDIA)


def _index(seq: str) -> int:
    if not _SEQ.fullmatch(seq):
        raise NotFound
    return int(seq)


def _scope(visitor: Visitor) -> frozenset[str] | None:
    return None if visitor.is_admin else frozenset({visitor.party, EVERYONE})


def _entitled(conn: Connection, visitor: Visitor, index: int) -> EventRow:
    row, scope = log.event_at(conn, index), _scope(visitor)
    if row is None or (scope is not None and row.party not in scope):
        raise NotFound
    return row


def _open(conn: Connection, visitor: Visitor, index: int, size: int) -> Opened:
    row = _entitled(conn, visitor, index)
    if index >= size:
        raise NotFound
    note = log.checkpoint_at(conn, size)
    assert note is not None
    (leaf,) = log.entries(conn, index, index + 1)
    hashes = [b64u(each) for each in proofs.inclusion(conn, index, size)]
    facts = None if row.body is None else json.loads(row.body)["detail"]
    assert row.body is None or entry_of(row.body) == leaf
    return Opened(row, b64u(leaf), _headers(conn, [row]).get(index), size, hashes, note.decode(), facts)


def _headers(conn: Connection, rows: list[EventRow]) -> dict[int, tuple[str, str]]:
    accepted = [row.seq for row in rows if row.kind == "bulletin.accepted"]
    return {seq: (topic, TLP[rank]) for seq, (topic, rank) in audit.headers(conn, accepted).items()}


def _wanted(conn: Connection, hub: Hub, visitor: Visitor, asked: Asked, size: int) -> tuple[Wanted, str | None]:
    """Return which events fit, and the beginning of the ids they are about if that is what was searched."""
    low = 0 if asked.since is None else rollup.boundary(conn, asked.since, size)
    high = size if asked.until is None else rollup.boundary(conn, asked.until, size)
    parties, scope, beginning = asked.party or None, _scope(visitor), None
    if asked.q:
        names = _named(hub, asked.q)
        if _SEQ.fullmatch(asked.q):
            low, high = max(low, int(asked.q)), min(high, int(asked.q) + 1)
        elif names:
            parties = names if parties is None else parties & names
        elif _ID_BEGINNING.fullmatch(asked.q):
            beginning = asked.q
        else:
            parties = NOBODY
    if scope is not None:
        parties = scope if parties is None else parties & scope
    tlps = frozenset(map(tlp_rank, asked.tlp)) or None
    return Wanted(low, high, parties, asked.kinds, asked.topic or None, tlps), beginning


def _named(hub: Hub, text: str) -> frozenset[str]:
    known = {*hub.directory.partners, *hub.directory.admins, "hub", EVERYONE}
    return frozenset(each for each in known if text.lower() in each)


def _list(conn: Connection, hub: Hub, visitor: Visitor, asked: Asked, size: int) -> Listing:
    wanted, beginning = _wanted(conn, hub, visitor, asked, size)
    if beginning is not None:
        return _list_about(conn, wanted, beginning, asked)
    rows, has_newer, has_older = _page(conn, wanted, asked)
    upto = rollup.size(conn)
    scope = wanted.parties if asked.q and not asked.party else _scope(visitor)
    counted = facets.count(rollup.cells(conn, scope, (wanted.low, wanted.high), upto), asked)
    begin, end = _times(conn, wanted.low, wanted.high)
    span = histogram.span_for(begin, end, wanted.high - wanted.low)
    bars = rollup.bars(conn, wanted, span, upto)
    return Listing(
        rows,
        _headers(conn, rows),
        counted,
        histogram.bars(bars, begin, end, span),
        has_newer=has_newer,
        has_older=has_older,
        is_cut=False,
    )


def _page(conn: Connection, wanted: Wanted, asked: Asked) -> tuple[list[EventRow], bool, bool]:
    if asked.after is not None:
        above = _between(wanted, asked.after + 1, wanted.high)
        rows = audit.page(conn, above, limit=ROWS + 1, newest=False)
        return rows[:ROWS][::-1], len(rows) > ROWS, True
    below = _between(wanted, wanted.low, wanted.high if asked.before is None else asked.before)
    rows = audit.page(conn, below, limit=ROWS + 1)
    return rows[:ROWS], asked.before is not None, len(rows) > ROWS


def _between(wanted: Wanted, low: int, high: int) -> Wanted:
    return Wanted(
        max(wanted.low, low), min(wanted.high, high), wanted.parties, wanted.kinds, wanted.topics, wanted.tlps
    )


def _list_about(conn: Connection, wanted: Wanted, beginning: str, asked: Asked) -> Listing:
    # Few by nature: what is known of one line. Counted one by one.
    found = audit.about(conn, beginning, Wanted(wanted.low, wanted.high, wanted.parties))
    fitting = [row for row in found if asked.kinds is None or row.kind in asked.kinds]
    if asked.after is not None:
        newer = [row for row in fitting if row.seq > asked.after]
        rows, has_newer, has_older = newer[-ROWS:], len(newer) > ROWS, True
    else:
        older = [row for row in fitting if asked.before is None or row.seq < asked.before]
        rows, has_newer, has_older = older[:ROWS], asked.before is not None, len(older) > ROWS
    cells = Counter(Cell(row.party, row.kind, NO_TOPIC, NO_TLP) for row in found)
    return Listing(
        rows,
        _headers(conn, rows),
        facets.count(cells, asked),
        [],
        has_newer=has_newer,
        has_older=has_older,
        is_cut=len(found) >= audit.OBJECT_ROWS_MAX,
    )


def _times(conn: Connection, low: int, high: int) -> tuple[int, int]:
    times = log.times(conn, [low, high - 1]) if low < high else {}
    return times.get(low, 0), times.get(high - 1, 0) + 1
