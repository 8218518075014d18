"""Durable subscriptions over HTTP."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request, Response

from broker import subscriptions
from broker.delivery import in_reader, submit_as
from broker.store.subscriptions import Subscription
from broker.subscriptions import BODY_BYTES_MAX, Placed
from broker.web.bulletins import PAGE_MAX, deliver_page, page_response, viewed, window_of
from broker.web.http import (
    JSON_MEDIA,
    agency_of,
    check_params,
    expect_media,
    hub_of,
    integer_param,
    json_response,
    read_body,
    subscriber_of,
)
from broker.web.waiting import resume_after, stream, wants_events

PAGE_PARAMS = frozenset({"after", "limit"})

router = APIRouter(prefix="/v1/subscriptions", tags=["subscriptions"])


@router.get("", summary="The caller's subscriptions")
async def every(request: Request) -> Response:
    """The built-in `feed` first, then by name, each with its cursor."""
    check_params(request, ())
    hub, caller = hub_of(request), agency_of(request)
    await submit_as(hub, caller, lambda batch: viewed(batch, caller, "subscriptions"))
    found = await in_reader(hub, lambda conn: subscriptions.every(conn, caller.party))
    return json_response({"subscriptions": [members_of(each) for each in found]})


@router.get("/{name}", summary="One subscription")
async def one(request: Request, name: str) -> Response:
    """Its filter and cursor."""
    check_params(request, ())
    hub, caller = hub_of(request), agency_of(request)
    found = await in_reader(hub, lambda conn: subscriptions.find(conn, caller.party, name))
    await submit_as(hub, caller, lambda batch: viewed(batch, caller, "subscriptions"))
    return json_response(members_of(found))


@router.put("/{name}", summary="Make a subscription, or exchange its filter")
async def put(request: Request, name: str) -> Response:
    """Token of scope `subscribe`. `start` counts when it is made; the same again changes nothing."""
    check_params(request, ())
    hub, caller = hub_of(request), subscriber_of(request)
    wish = subscriptions.read_wish(name, caller.party, await _body(request))
    done = await submit_as(hub, caller, lambda batch: subscriptions.put(batch, caller.party, wish))
    return _answer(done.value)


@router.delete("/{name}", summary="End a subscription")
async def delete(request: Request, name: str) -> Response:
    """Token of scope `subscribe`. Answers with what it was."""
    check_params(request, ())
    hub, caller = hub_of(request), subscriber_of(request)
    done = await submit_as(hub, caller, lambda batch: subscriptions.delete(batch, caller.party, name))
    return _answer(done.value)


@router.get("/{name}/bulletins", summary="A page of a subscription, from its cursor")
async def bulletins(request: Request, name: str) -> Response:
    """Rows as in the feed, as a page or a stream. The same again until the cursor is moved; `after` reads elsewhere."""
    hub, caller = hub_of(request), agency_of(request)
    check_params(request, PAGE_PARAMS - {"limit"} if wants_events(request) else PAGE_PARAMS)
    found = await in_reader(hub, lambda conn: subscriptions.find(conn, caller.party, name))
    source = replace(subscriptions.source(found), reasons=caller.reasons)
    if wants_events(request):
        after = resume_after(request, integer_param(request, "after", found.cursor))
        return await stream(request, source, caller, after=after)
    window = window_of(request, limit_max=PAGE_MAX, after=found.cursor)
    page, headers = await deliver_page(request, caller, source, window)
    return page_response(request, page, **{"Lintas-After": str(window.after)}, **headers)


@router.post("/{name}/cursor", summary="Move the cursor of a subscription")
async def cursor(request: Request, name: str) -> Response:
    """Token of scope `subscribe`. Forward: everything up to it was received. Back: it is delivered again."""
    check_params(request, ())
    hub, caller = hub_of(request), subscriber_of(request)
    wanted = subscriptions.read_cursor(await _body(request))
    done = await submit_as(hub, caller, lambda batch: subscriptions.move(batch, caller.party, name, wanted))
    return _answer(done.value)


def members_of(found: Subscription) -> dict[str, Any]:
    """Return a subscription as it is shown."""
    return {"name": found.name, "filter": found.wanted.members(), "cursor": found.cursor}


async def _body(request: Request) -> bytes:
    expect_media(request, {JSON_MEDIA})
    return await read_body(request, BODY_BYTES_MAX)


def _answer(placed: object) -> Response:
    assert isinstance(placed, Placed)
    location = {"Location": f"/v1/subscriptions/{placed.subscription.name}"} if placed.is_new else {}
    return json_response(members_of(placed.subscription), 201 if placed.is_new else 200, location)
