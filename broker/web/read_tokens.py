"""An agency's read tokens over HTTP. Orders make or end them (``broker.web.partners``)."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from broker.delivery import in_reader, submit_as
from broker.store import lines
from broker.store.engine import Connection
from broker.web.bulletins import viewed
from broker.web.http import agency_of, check_params, hub_of, json_response, rfc3339
from lintas.event import US_PER_S
from lintas.line import parse
from lintas.orders import open_order
from lintas.read_token import ReadToken

router = APIRouter(prefix="/v1", tags=["read tokens"])


@router.get("/read-tokens", summary="The caller's read tokens that were not ended")
async def show(request: Request) -> Response:
    """What each may read, until when, from where. Its secret is nowhere at the hub."""
    check_params(request, ())
    hub, caller = hub_of(request), agency_of(request)
    await submit_as(hub, caller, lambda batch: viewed(batch, caller, "read-tokens"))
    own = [each for each in hub.directory.read_tokens.values() if each.agency == caller.party]
    labels = await in_reader(hub, lambda conn: _labels(conn, own))
    return json_response({"read_tokens": [_members(each, labels[each.seq], hub.now()) for each in own]})


def _labels(conn: Connection, own: list[ReadToken]) -> dict[int, str]:
    stored = lines.by_seq(conn, [each.seq for each in own])
    return {seq: open_order(parse(row.raw or b"")).args["label"] for seq, row in stored.items()}


def _members(token: ReadToken, label: str, now: int) -> dict[str, Any]:
    return {
        "token": token.id,
        "label": label,
        "state": "expired" if now >= token.until else "active",
        "ceiling": token.ceiling,
        "areas": list(token.areas),
        "until": rfc3339(token.until * US_PER_S),
        "addresses": list(token.addresses),
        "by": token.by,
        "seq": token.seq,
    }
