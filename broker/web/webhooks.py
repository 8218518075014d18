"""An agency's webhooks over HTTP: how each does. They are set by orders (``broker.web.partners``)."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from broker.delivery import in_reader, submit_as
from broker.standing import reader
from broker.store import lines, webhooks
from broker.store.engine import Connection
from broker.web.bulletins import viewed
from broker.web.http import agency_of, check_params, hub_of, json_response, rfc3339
from lintas.directory import Directory
from lintas.event import US_PER_S
from lintas.filter import read_filter
from lintas.strict import parse_object
from lintas.webhooks import read_url

PENDING_MAX = 1_000
"""Waiting bulletins are counted up to here."""

router = APIRouter(prefix="/v1", tags=["webhooks"])


@router.get("/webhooks", summary="The caller's webhooks, and how each does")
async def show(request: Request) -> Response:
    """Hosts only: the rest of an address may be a secret between the hub and the receiver."""
    hub, caller = hub_of(request), agency_of(request)
    check_params(request, ())

    await submit_as(hub, caller, lambda batch: viewed(batch, caller, "webhooks"))
    found = await in_reader(hub, lambda conn: _all(conn, hub.directory, caller.party))
    return json_response({"webhooks": found})


def _all(conn: Connection, directory: Directory, agency: str) -> list[dict[str, Any]]:
    return [_members(conn, directory, each) for each in webhooks.of_agency(conn, agency)]


def _members(conn: Connection, directory: Directory, hook: webhooks.Webhook) -> dict[str, Any]:
    place = webhooks.place(conn, hook.agency, hook.subscription)
    assert place is not None
    wanted = read_filter(parse_object(place.filter.encode()))
    bounds = reader(directory, hook.agency)
    return {
        "subscription": hook.subscription,
        "host": read_url(hook.url).host,
        "state": hook.state,
        "tries": hook.tries,
        "since": None if hook.since is None else rfc3339(hook.since * US_PER_S),
        "next_at": rfc3339(hook.next_at * US_PER_S) if hook.tries and hook.state != webhooks.DEAD else None,
        "code": hook.code,
        "pending": lines.waiting(conn, bounds, wanted, after=place.cursor, limit=PENDING_MAX),
    }
