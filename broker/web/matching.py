"""What an agency reads of its interests or watch lists. Changing them is an order (``broker.web.partners``)."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from broker import matching
from broker.delivery import Source, deliver, in_reader, read_page, record_page, submit_as
from broker.store import watches as stored
from broker.store.engine import Connection
from broker.web.bulletins import PAGE_MAX, page_response, viewed, window_of
from broker.web.http import agency_of, check_params, hub_of, json_response, rfc3339
from lintas.errors import NotFound
from lintas.event import US_PER_S
from lintas.filter import Filter
from lintas.header import is_id

router = APIRouter(prefix="/v1", tags=["matching"])


@router.get("/interests", summary="The caller's interests with what they are told")
async def interests(request: Request) -> Response:
    """Those that stand, oldest first. Recorded in one form, whatever is told."""
    check_params(request, ())
    hub, caller = hub_of(request), agency_of(request)
    await submit_as(hub, caller, lambda batch: viewed(batch, caller, "interests"))
    found = await in_reader(hub, lambda conn: matching.results(conn, hub.directory, caller.party, hub.now()))
    return json_response({"interests": [_members(each) for each in found]})


@router.get("/interests/{id}", summary="One of the caller's interests")
async def interest(request: Request, id: str) -> Response:  # noqa: A002 - the name in the path
    """Another agency's, an ended and an unknown one give the same 404."""
    check_params(request, ())
    hub, caller = hub_of(request), agency_of(request)

    def read(conn: Connection) -> matching.Result:
        return matching.result(conn, hub.directory, caller.party, id, now=hub.now())

    if not is_id(id):
        raise NotFound
    # Read first: nobody gets ids of others, or of nothing, into the log.
    await in_reader(hub, read)
    await submit_as(hub, caller, lambda batch: viewed(batch, caller, "interest", id))
    return json_response(_members(await in_reader(hub, read)))


@router.get("/watches", summary="The caller's watch lists")
async def watches(request: Request) -> Response:
    """Names and numbers of indicators; the values are in the agency's own orders alone."""
    check_params(request, ())
    hub, caller = hub_of(request), agency_of(request)
    await submit_as(hub, caller, lambda batch: viewed(batch, caller, "watches"))
    counts = await in_reader(hub, lambda conn: stored.counts(conn, caller.party))
    return json_response({"watches": [{"name": name, "count": count} for name, count in counts.items()]})


@router.get("/watches/{name}/bulletins", summary="Bulletins of the caller's feed that a watch list matches")
async def watched(request: Request, name: str) -> Response:
    """A page as of the feed with the filter `watch`: bulletins that have an indicator of the list, and withdrawals."""
    check_params(request, {"after", "limit"})
    hub, caller = hub_of(request), agency_of(request)
    window = window_of(request, limit_max=PAGE_MAX)
    counts = await in_reader(hub, lambda conn: stored.counts(conn, caller.party))
    if name not in counts:
        raise NotFound
    source = Source(caller.party, f"watch/{name}", Filter(watches=frozenset({name})), reasons=caller.reasons)
    page = await deliver(
        hub,
        caller,
        lambda conn: read_page(conn, hub.directory, source, window=window, now=hub.now()),
        lambda batch, page: record_page(batch, source, page),
    )
    return page_response(request, page)


def _members(found: matching.Result) -> dict[str, Any]:
    interest = found.interest
    return {
        "id": interest.id,
        "mode": interest.mode,
        "case_ref": interest.case_ref,
        "at": rfc3339(interest.at * US_PER_S),
        "until": rfc3339(interest.until * US_PER_S),
        "count": interest.count,
        "checked": interest.checked_seq,
        "told": [
            {"place": each.place, "agency": each.agency, "mode": each.mode}
            | ({} if each.case_ref is None else {"case_ref": each.case_ref})
            for each in found.told
        ],
    }
