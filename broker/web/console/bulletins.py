"""The pages of bulletins: the list by headers, one bulletin.

Administrators see what a header says, who has the bulletin and what it hangs together with, never its content. An
agency's officers read what their agency may read; each reading of content is recorded as a sending by the way
``console``, and content with person data is shown for a purpose and a case alone, as over the API.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request, Response

from broker.auth import Caller
from broker.batch import Batch
from broker.delivery import Page as Sent
from broker.delivery import Source, Window, deliver, in_reader, read_one, record_page
from broker.due import Due, due_of
from broker.hub import Hub
from broker.sessions import Visitor
from broker.standing import Standing, readable, reader, stand
from broker.store import lines, shown
from broker.store.engine import Connection
from broker.store.shown import Part, Shown
from broker.web.console import bulletin_facts
from broker.web.console.bulletin_facts import Facts
from broker.web.console.rendering import Page, render
from broker.web.console.session import record_view, visitor_of
from broker.web.http import hub_of, integer_param
from lintas import bulletin, vocabulary
from lintas import filter as filters
from lintas.bulletin import Bulletin
from lintas.errors import BadRequest, MalformedPayload, NotFound, PurposeNeeded, Refusal
from lintas.header import BULLETIN, is_case_ref, is_id
from lintas.line import parse

ROWS = 50
DUE_ROWS = 100
WAY = "console"
"""The way that stands in the record of a sending, and in the originator's table of readers."""

REASON = " --purpose PURPOSE --case-ref CASE"
"""What the reader of person data adds to a command, with values of its own."""

FILTERS = ("topic", "kind", "from", "country", "urgency", "tlp")

router = APIRouter(route_class=Page)


@router.get("/console/bulletins")
async def listed(request: Request) -> Response:
    """Show the newest bulletins, or those before an index, that fit the filters."""
    visitor = await visitor_of(request, frozenset({*FILTERS, "before"}))
    hub = hub_of(request)
    chosen = {name: request.query_params[name] for name in FILTERS if request.query_params.get(name)}
    wanted = _filter(chosen)
    before = integer_param(request, "before", -1)
    await record_view(hub, visitor, "bulletins", chosen | ({} if before < 0 else {"before": str(before)}))
    part = Part(before=None if before < 0 else before, limit=ROWS)
    rows, standings, owed = await in_reader(hub, lambda conn: _listed(conn, hub, visitor, wanted, part))
    return render(
        request,
        "bulletins.html",
        rows=[(row, standings[row.seq]) for row in rows],
        chosen=chosen,
        chips=[(name, value, _without(chosen, name)) for name, value in chosen.items()],
        choices=_choices(hub),
        older=rows[-1].seq if len(rows) == ROWS else None,
        is_first=before < 0,
        query=_query(chosen),
        owed=owed,
        seconds=1_000_000,
    )


def _filter(chosen: Mapping[str, str]) -> filters.Filter:
    try:
        return filters.read_filter({name: [value] for name, value in chosen.items()})
    except MalformedPayload as fault:
        raise BadRequest(fault.detail, member=(fault.member or "").partition("[")[0]) from fault


def _listed(
    conn: Connection, hub: Hub, visitor: Visitor, wanted: filters.Filter, part: Part
) -> tuple[list[Shown], dict[int, Standing], Due | None]:
    now = hub.now()
    who = None if visitor.is_admin else reader(hub.directory, visitor.party)
    rows = shown.newest(conn, who, wanted, part)
    stored = lines.by_seq(conn, [row.seq for row in rows])
    standings = stand(conn, hub.directory, list(stored.values()), now=now)
    owed = None
    if not visitor.is_admin and part.before is None and wanted == filters.EVERYTHING:
        owed = due_of(conn, hub.directory, visitor.party, window=Window(-1, DUE_ROWS), now=now)
    return rows, standings, owed


def _choices(hub: Hub) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Return what the filters offer: name, label, values with their words."""
    known = vocabulary.load()
    titles = known.titles
    return [
        ("topic", "Topic", sorted(titles["topics"].items(), key=lambda each: each[1])),
        ("kind", "Kind", sorted(titles["kinds"].items(), key=lambda each: each[1])),
        ("from", "From", [(agency, agency) for agency in sorted(hub.directory.partners)]),
        ("country", "Country", [(each.iso2.lower(), each.name) for each in known.countries.values()]),
        ("urgency", "Urgency", [(name, name) for name in ("flash", "urgent", "priority", "routine")]),
        ("tlp", "Marking", [(name, f"TLP:{name}") for name in vocabulary.TLP]),
    ]


def _query(chosen: Mapping[str, str]) -> str:
    # Every value is one of the vocabulary's; `+` is the one character of theirs that an address reads otherwise.
    return "&".join(f"{name}={value}".replace("+", "%2B") for name, value in chosen.items())


def _without(chosen: Mapping[str, str], name: str) -> str:
    left = _query({each: value for each, value in chosen.items() if each != name})
    return "/console/bulletins" + (f"?{left}" if left else "")


# --- one bulletin ---


@router.get("/console/bulletins/{line_id}")
async def one(request: Request, line_id: str) -> Response:
    """Show one bulletin; what one may not know of is answered like what does not exist."""
    visitor = await visitor_of(request, frozenset({"purpose", "case_ref"}))
    if not is_id(line_id):
        raise NotFound
    show = _reviewed if visitor.is_admin else _opened
    return await show(request, visitor, line_id)


async def _reviewed(request: Request, visitor: Visitor, line_id: str) -> Response:
    hub = hub_of(request)
    await record_view(hub, visitor, "bulletin", {"asked": line_id})

    def read(conn: Connection) -> Facts:
        row = lines.by_id(conn, line_id)
        if row is None or row.typ != BULLETIN:
            raise NotFound
        return bulletin_facts.read(conn, hub.directory, row, None, now=hub.now())

    facts = await in_reader(hub, read)
    return render(request, "bulletin.html", facts=facts, content=None, closed="admin", **_words(visitor, facts))


async def _opened(request: Request, visitor: Visitor, line_id: str) -> Response:
    hub = hub_of(request)
    caller = _caller(request, visitor)

    def read(conn: Connection) -> Facts:
        row = readable(conn, hub.directory, visitor.party, line_id)
        return bulletin_facts.read(conn, hub.directory, row, visitor.party, now=hub.now())

    # Who may not know of it is on record as having asked, and learns nothing.
    await record_view(hub, visitor, "bulletin", {"asked": line_id, **dict(caller.reasons)})
    facts = await in_reader(hub, read)
    closed, content = _closed(facts, caller), None
    if closed is None:
        content = await _content(hub, caller, line_id)
        closed = None if content is not None else "gone"
    return render(request, "bulletin.html", facts=facts, content=content, closed=closed, **_words(visitor, facts))


def _caller(request: Request, visitor: Visitor) -> Caller:
    """Return the visitor as a reader with the reason that stands in the address; raise BadRequest for half of one."""
    purpose, case_ref = request.query_params.get("purpose"), request.query_params.get("case_ref")
    if not purpose and not case_ref:
        return visitor.caller
    if purpose not in vocabulary.load().purposes:
        raise BadRequest("Choose a purpose from the list.", member="purpose")
    if not is_case_ref(case_ref):
        raise BadRequest("A case reference has 1 to 64 letters, digits, blanks or `._/()-`.", member="case_ref")
    return replace(visitor.caller, purpose=purpose, case_ref=case_ref)


def _closed(facts: Facts, caller: Caller) -> str | None:
    """Return why the content is not shown here; None when it may be."""
    if facts.standing.state is not None:
        return "gone"
    if facts.is_sealed:
        return "sealed"
    if facts.row.is_personal and facts.row.iss != caller.party and not caller.has_purpose:
        return "purpose"
    return None


async def _content(hub: Hub, caller: Caller, line_id: str) -> Bulletin | None:
    """Give the content as the API would, its sending recorded first; None when it was withdrawn a moment ago."""
    source = Source(caller.party, WAY, reasons=caller.reasons)

    def read(conn: Connection) -> Sent:
        page = read_one(conn, hub.directory, caller.party, line_id, now=hub.now())
        if any(row.is_personal for row in page.rows) and not caller.has_purpose:
            raise PurposeNeeded
        return page

    def record(batch: Batch, page: Sent) -> int:
        return record_page(batch, source, page, object_id=line_id)

    try:
        page = await deliver(hub, caller, read, record)
    except (NotFound, PurposeNeeded):
        raise
    except Refusal as refusal:
        if refusal.code in bulletin_facts.GONE_CODES:
            return None
        raise
    line = parse(page.rows[0].data, BULLETIN)
    return bulletin.parse(line.payload, kind=line.header.kind or "")


def _words(visitor: Visitor, facts: Facts) -> dict[str, Any]:
    known = vocabulary.load()
    return {
        "purposes": sorted(known.titles["purposes"].items(), key=lambda each: each[1]),
        "known": known,
        "steps": bulletin_facts.STEPS,
        "commands": commands(facts, None if visitor.is_admin else visitor.party),
        "seconds": 1_000_000,
        "asked": facts.row.id,
    }


def commands(facts: Facts, agency: str | None) -> Sequence[tuple[str, str]]:
    """Return what one may do with it next: in words, as the command that does it."""
    row = facts.row
    if agency is None:
        return ()
    reason = REASON if row.is_personal and row.iss != agency else ""
    found = [("Verify and show it on your own machine", f"lintas show {row.id}{reason}")]
    if row.iss == agency:
        found.append(("See who has it, verified", f"lintas status {row.id}"))
        if facts.standing.state is None and row.kind != "recall":
            found.append(("Withdraw it from everyone who has it", f"lintas recall {row.id} --reason false-positive"))
    else:
        found.append(("Say, signed, that your agency took note", f"lintas ack {row.id}"))
        if facts.standing.state is None and row.kind == "rfi":
            found.append(("Answer it", f"lintas answer {row.id} --result negative"))
        if facts.standing.state is None and row.kind == "consent-request":
            found.append(("Grant or refuse it", f"lintas consent {row.id} --result granted"))
    found.append(("Keep the proof that it is in the log", f"lintas receipt {row.id} --out receipt.txt"))
    return tuple(found)
