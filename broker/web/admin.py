"""What administrators review: the audit log, partners, keys, grants, orders, figures. Every read is itself an event."""

from __future__ import annotations

import hashlib
from typing import Any

from fastapi import APIRouter, Request, Response

from broker import approvals, proofs
from broker.auth import Caller
from broker.batch import Batch
from broker.delivery import in_reader, submit_as
from broker.due import overdue
from broker.hub import Hub
from broker.store import lines, log
from broker.store.engine import Connection
from broker.web.charging import charge_rows
from broker.web.exchange import due_window, overdue_members
from broker.web.export import event_members, exported
from broker.web.http import (
    admin_of,
    check_params,
    hub_of,
    integer_param,
    json_response,
    rfc3339,
    time_param,
)
from broker.web.partners import key_members, partner_members
from broker.writer import Done
from lintas.errors import BadRequest
from lintas.event import KINDS, OUTCOMES
from lintas.header import is_id, is_party

PAGE_DEFAULT = 100
PAGE_MAX = 1_000
TEXT_CHARACTERS_MAX = 100
FILTERS = frozenset({"since", "until", "kind", "party", "object", "outcome", "text"})
PARTIES = frozenset({"*", "hub"})

EXPORT_ROWS = 10_000
"""What an export is charged as: it may be the whole log."""

router = APIRouter(prefix="/v1/admin", tags=["admin"])


@router.get("/events", summary="The audit log: filter, page, export")
async def events(request: Request) -> Response:
    """Newest first; `before` pages on. `format` jsonl or csv streams every match; `proof=1` adds each event's proof."""
    check_params(request, FILTERS | {"before", "limit", "format", "proof"})
    caller, hub = admin_of(request), hub_of(request)
    wanted = _filter(request)
    form = request.query_params.get("format", "json")
    if form not in ("json", "jsonl", "csv"):
        raise BadRequest("`format` is json, jsonl or csv.", member="format")
    if form != "json":
        charge_rows(request, caller, EXPORT_ROWS)
        return await _export(hub, caller, wanted, form, dict(request.query_params))
    limit = integer_param(request, "limit", PAGE_DEFAULT, low=1, high=PAGE_MAX)
    charge_rows(request, caller, limit)
    before = integer_param(request, "before", -1)
    with_proof = request.query_params.get("proof") == "1"
    done = await _record(hub, caller, "events", dict(request.query_params))
    signed = done.signed
    assert signed is not None

    def read(conn: Connection) -> dict[str, Any]:
        top = min(signed.size, before) if before >= 0 else signed.size
        rows = log.search(conn, wanted, before=top, limit=limit)
        shown = [event_members(row) for row in rows]
        if with_proof:
            for members, row in zip(shown, rows, strict=True):
                members["receipt"] = _proof(conn, row)
        return {"events": shown, "next": rows[-1].seq if len(rows) == limit else None}

    page = await in_reader(hub, read)
    return json_response(page | {"checkpoint": signed.note.decode()})


@router.get("/partners", summary="Partners with grants and last use")
async def partners(request: Request) -> Response:
    """Every partner, its standing, what it may publish and read."""
    hub = await _viewing(request, "partners")
    directory = hub.directory
    return json_response(
        {"partners": [partner_members(directory, each) | _grant(hub, each) for each in sorted(directory.partners)]}
    )


@router.get("/keys", summary="Every key, the pending ones first")
async def keys(request: Request) -> Response:
    """Keys of agencies and administrators with their state; compare a fingerprint over another channel to approve."""
    hub = await _viewing(request, "keys")
    members = [key_members(key, hub.now()) for key in hub.directory.keys.values()]
    return json_response({"keys": sorted(members, key=lambda each: (each["state"] != "pending", each["party"]))})


@router.get("/grants", summary="What each partner may publish and read")
async def grants(request: Request) -> Response:
    """Grants and ceilings; an agency without one may do nothing."""
    hub = await _viewing(request, "grants")
    return json_response({"grants": {agency: _grant(hub, agency) for agency in sorted(hub.directory.partners)}})


@router.get("/orders", summary="Orders waiting for a second administrator")
async def orders(request: Request) -> Response:
    """The line of each, to be countersigned with `lintas admin countersign`."""
    hub = await _viewing(request, "orders")
    return json_response({"orders": await in_reader(hub, lambda conn: _pending(conn, hub))})


@router.get("/due", summary="Recalls and requests that are overdue")
async def due(request: Request) -> Response:
    """Ids, agencies, times, no content. A page looks at `limit` open bulletins; go on with `next` until it is null."""
    check_params(request, {"after", "limit"})
    caller, hub = admin_of(request), hub_of(request)
    window = due_window(request)
    await _record(hub, caller, "due", dict(request.query_params))
    now = hub.now()
    found, following = await in_reader(hub, lambda conn: overdue(conn, hub.directory, window=window, now=now))
    return json_response({"overdue": [row for each in found for row in overdue_members(each, now)], "next": following})


@router.get("/stats", summary="Figures of the hub")
async def stats(request: Request) -> Response:
    """Size of the log, events by kind, queue."""
    hub = await _viewing(request, "stats")

    def read(conn: Connection) -> dict[str, Any]:
        size, time = log.head(conn)
        return {"size": size, "newest": rfc3339(time), "events": log.counts(conn)}

    figures = await in_reader(hub, read)
    admins = len(hub.directory.admins)
    return json_response(
        figures | {"queue": hub.writer.depth, "admins": admins, "two_person": hub.directory.two_person}
    )


async def _viewing(request: Request, view: str) -> Hub:
    check_params(request, ())
    hub = hub_of(request)
    await _record(hub, admin_of(request), view, {})
    return hub


async def _record(hub: Hub, caller: Caller, view: str, asked: dict[str, str]) -> Done[int]:
    def job(batch: Batch) -> int:
        hub.strangers.record_all(batch)
        return batch.append("admin.viewed", caller.party, detail={"view": view, "asked": _facts(asked)})

    return await submit_as(hub, caller, job)


def _facts(asked: dict[str, str]) -> dict[str, str]:
    # The log holds routing facts only: free text could name a person, so its digest stands for it.
    digest = {"text": hashlib.sha256(asked["text"].encode()).hexdigest()} if "text" in asked else {}
    return asked | digest


def _filter(request: Request) -> log.EventFilter:
    params = request.query_params
    kind, outcome, party = params.get("kind"), params.get("outcome"), params.get("party")
    object_id, text = params.get("object"), params.get("text")
    if kind is not None and kind not in KINDS:
        raise BadRequest("`kind` is no kind of event.", member="kind")
    if outcome is not None and outcome not in OUTCOMES:
        raise BadRequest(f"`outcome` is one of {', '.join(sorted(OUTCOMES))}.", member="outcome")
    if party is not None and not is_party(party) and party not in PARTIES:
        raise BadRequest("`party` is an agency, an administrator, `*` or `hub`.", member="party")
    if object_id is not None and not is_id(object_id):
        raise BadRequest("`object` is the id of a line.", member="object")
    if text is not None and not 1 <= len(text) <= TEXT_CHARACTERS_MAX:
        raise BadRequest(f"`text` has 1 to {TEXT_CHARACTERS_MAX} characters.", member="text")
    kinds = None
    if kind is not None or outcome is not None:
        kinds = frozenset(each for each in KINDS if kind in (None, each) and outcome in (None, KINDS[each]))
    since, until = time_param(request, "since"), time_param(request, "until")
    return log.EventFilter(since, until, kinds, party, object_id, text)


def _proof(conn: Connection, row: log.EventRow) -> str | None:
    return None if row.body is None else proofs.receipt(conn, row.seq).decode()


def _grant(hub: Hub, agency: str) -> dict[str, Any]:
    grant = hub.directory.grant(agency)
    return {"publish": list(grant.publish), "read": list(grant.read), "ceiling": grant.ceiling}


def _pending(conn: Connection, hub: Hub) -> list[dict[str, Any]]:
    waiting = approvals.waiting(conn, now=hub.now())
    raw = lines.by_ids(conn, waiting)
    return [
        {"id": row_id, **detail, "at": rfc3339(at), "line": raw[row_id].decode()}
        for row_id, (detail, at) in waiting.items()
    ]


async def _export(hub: Hub, caller: Caller, wanted: log.EventFilter, form: str, asked: dict[str, str]) -> Response:
    def job(batch: Batch) -> int:
        hub.strangers.record_all(batch)
        return batch.append("admin.exported", caller.party, detail={"view": "events", "asked": _facts(asked)})

    done = await submit_as(hub, caller, job)
    assert done.signed is not None
    return exported(
        hub, lambda conn, before, limit: log.search(conn, wanted, before=before, limit=limit), form, done.value + 1
    )
