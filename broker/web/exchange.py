"""What follows bulletins: their threads, what an agency owes, what it is owed."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from broker.delivery import Source, Window, deliver, in_reader, record_page, submit_as
from broker.due import Due, Open, due_of
from broker.threads import read_thread
from broker.web.bulletins import id_of, page_response, viewed, window_of
from broker.web.http import agency_of, check_params, hub_of, json_response, rfc3339
from lintas import vocabulary
from lintas.event import US_PER_S
from lintas.exchange import Duty

THREAD_PAGE_MAX = 500
"""Rows of a thread in one answer: its record names each."""

DUE_PAGE_MAX = 100
"""Open requests or recalls looked at for one answer; each may have a row for every partner."""

router = APIRouter(tags=["exchange"])


async def thread(request: Request) -> Response:
    """Give a page of the bulletins that belong together with one, as far as the caller may read them."""
    check_params(request, {"after", "limit"})
    hub, caller = hub_of(request), agency_of(request)
    wanted, window = id_of(request), window_of(request, limit_max=THREAD_PAGE_MAX)
    source = Source(caller.party, "thread", reasons=caller.reasons)
    page = await deliver(
        hub,
        caller,
        lambda conn: read_thread(conn, hub.directory, caller.party, wanted, window=window, now=hub.now()),
        lambda batch, page: record_page(batch, source, page, object_id=wanted, ids=list(page.sent)),
    )
    response = page_response(request, page)
    if page.is_cut:
        response.headers["Lintas-Thread"] = "cut"
    return response


@router.get("/v1/due", summary="What is to be answered or acknowledged, by the caller and by others")
async def due(request: Request) -> Response:
    """Open requests and recalls, with the time by which an answer or acknowledgement is due. `next` is an `after`."""
    check_params(request, {"after", "limit"})
    hub, caller = hub_of(request), agency_of(request)
    window = due_window(request)
    now = hub.now()
    found = await in_reader(hub, lambda conn: due_of(conn, hub.directory, caller.party, window=window, now=now))
    await submit_as(hub, caller, lambda batch: viewed(batch, caller, "due"))
    return json_response(_due_members(found, now))


def due_window(request: Request) -> Window:
    """Return which part of the open bulletins is asked for."""
    return window_of(request, limit_max=DUE_PAGE_MAX)


def overdue_members(each: Open, now: int) -> list[dict[str, Any]]:
    """Return a row for each agency that is late, for administrators: who, on what, since when."""
    return [
        {"id": each.line.id, "seq": each.line.seq, "kind": each.line.kind, "issuer": each.line.iss}
        | {"urgency": each.line.urgency, "agency": duty.agency}
        | {"sent": _time(duty.sent_at), "due": _time(duty.due)}
        for duty in each.overdue(now)
    ]


def _due_members(found: Due, now: int) -> dict[str, Any]:
    return {
        "to_acknowledge": [_owed(each, now) for each in found.to_acknowledge],
        "to_answer": [_owed(each, now) for each in found.to_answer],
        "waiting_for_answer": [_awaited(each, now) for each in found.waiting_for_answer],
        "waiting_for_acknowledgement": [_awaited(each, now) for each in found.waiting_for_acknowledgement],
        "next": found.next,
        "time": rfc3339(now * US_PER_S),
    }


def _owed(each: Open, now: int) -> dict[str, Any]:
    [duty] = each.duties
    return _line_members(each) | {"issuer": each.line.iss} | _duty_members(duty, now)


def _awaited(each: Open, now: int) -> dict[str, Any]:
    met = "acknowledged" if each.is_recall else "answered"
    agencies = [
        {"agency": duty.agency, "state": met if duty.is_met else "open"} | _duty_members(duty, now)
        for duty in each.duties
    ]
    agencies += [{"agency": agency, "state": "withheld"} for agency in each.barred]
    return _line_members(each) | {"agencies": sorted(agencies, key=lambda row: str(row["agency"]))}


def _line_members(each: Open) -> dict[str, Any]:
    row = each.line
    members = {"id": row.id, "seq": row.seq, "kind": row.kind, "topic": row.topic, "urgency": row.urgency}
    return members | {"tlp": vocabulary.TLP[row.tlp_rank or 0], "accepted": _time(row.at)}


def _duty_members(duty: Duty, now: int) -> dict[str, Any]:
    return {"sent": _time(duty.sent_at), "due": _time(duty.due), "overdue": duty.is_overdue(now)}


def _time(seconds: int | None) -> str | None:
    return None if seconds is None else rfc3339(seconds * US_PER_S)
