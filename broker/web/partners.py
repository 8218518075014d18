"""The partner directory over HTTP: partners, communities, keys; key lines or orders in."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response

from broker import proofs
from broker.batch import Batch
from broker.delivery import in_reader, submit_as
from broker.partners import DEFERRED, Ordered, admit_control, open_control
from broker.store import lines, log
from broker.store.engine import Connection
from broker.web.charging import charge_line, source_of, submit_line
from broker.web.current import opened
from broker.web.http import PRIVATE, caller_of, check_params, hub_of, json_response, read_line, rfc3339
from broker.web.log import event_row
from lintas import vocabulary
from lintas.directory import EVERY_PARTNER, Directory, KeyRecord
from lintas.event import US_PER_S
from lintas.header import KEY, LINE_BYTES_MAX, ORDER
from lintas.jwk import jwk
from lintas.strict import b64u

KEY_KINDS = frozenset({"key.enrolled", "key.approved", "key.rotated", "key.revoked", "key.opening"})

router = APIRouter(prefix="/v1", tags=["partners"])


@router.get("/partners", summary="Every partner agency")
async def partners(request: Request) -> Response:
    """Names and countries come from the vocabulary; all agencies there are simulated."""
    check_params(request, ())
    await _record(request, "partners")
    return json_response({"partners": [partner_members(hub_of(request).directory, each) for each in _sorted(request)]})


@router.get("/communities", summary="Communities and their members")
async def communities(request: Request) -> Response:
    """Use them to resolve recipients before signing; a later joiner inherits nothing."""
    check_params(request, ())
    await _record(request, "communities")
    found = hub_of(request).directory.communities
    return json_response({"communities": {name: list(found[name]) for name in sorted(found)}})


@router.get("/keys", summary="All keys as a JWKS, with the lines and proofs behind them")
async def keys(request: Request) -> Response:
    """`keys` is RFC 7517 with state, window and log index; `opening` is what one seals to for each agency.

    `events` lets anyone derive both from the log.
    """
    check_params(request, ())
    hub = hub_of(request)
    done = await _record(request, "keys")
    signed = done.signed
    assert signed is not None
    events = await in_reader(hub, lambda conn: _key_events(conn, signed.size))
    members = [key_members(key, hub.now()) for key in hub.directory.keys.values()]
    opening = opening_members(hub.directory, hub.now())
    return json_response({"keys": members, "opening": opening, "events": events, "checkpoint": signed.note.decode()})


@router.post("/keys", status_code=201, summary="Enrol, rotate or revoke a key")
async def post_key(request: Request) -> Response:
    """One `vnd.lintas.key` line."""
    return await _post(request, KEY)


@router.post("/orders", status_code=201, summary="An order of an administrator, or of an agency for itself")
async def post_order(request: Request) -> Response:
    """One `vnd.lintas.order` line; 202 when it still needs a second administrator, or its results come later."""
    return await _post(request, ORDER)


async def _post(request: Request, typ: str) -> Response:
    check_params(request, ())
    hub = hub_of(request)
    raw = await read_line(request, typ, LINE_BYTES_MAX[typ])
    # In a reading thread: checking that a new public key is sound takes milliseconds.
    line = await opened(hub, lambda directory: open_control(raw, typ, directory))
    source, allow = source_of(request), hub.settings.webhook_allow
    admit = partial(admit_control, line=line, source=source, allow=allow, holds=hub.signer.holds)
    done = await submit_line(request, admit, line)
    ordered = done.value
    assert isinstance(ordered, Ordered)
    charge_line(request, line.header, is_new=ordered.is_new)
    if done.signed is not None and ordered.seq in done.signed.bodies:
        receipt = done.signed.receipt(ordered.seq)
    else:
        receipt = await in_reader(hub, lambda conn: proofs.receipt(conn, ordered.seq))
    members: dict[str, Any] = {
        "id": ordered.id,
        "seq": ordered.seq,
        "events": list(ordered.kinds),
        "needs_second": ordered.needs_second,
        "receipt": receipt.decode(),
        **ordered.extra,
    }
    waits = ordered.needs_second or not DEFERRED.isdisjoint(ordered.kinds)
    status = (202 if waits else 201) if ordered.is_new else 200
    return json_response(members, status, {**PRIVATE, "ETag": f'"{ordered.id}"'})


async def _record(request: Request, view: str) -> Any:
    caller = caller_of(request)

    def job(batch: Batch) -> int:
        kind = "admin.viewed" if caller.is_admin else "view.read"
        return batch.append(kind, caller.party, detail={"view": view})

    return await submit_as(hub_of(request), caller, job)


def _sorted(request: Request) -> list[str]:
    return sorted(hub_of(request).directory.partners)


def partner_members(directory: Directory, agency: str) -> dict[str, Any]:
    """Return a partner as shown to other partners."""
    partner = directory.partners[agency]
    known = vocabulary.load().agencies.get(agency)
    return {
        "id": agency,
        "name": known.name if known else agency,
        "country": known.country if known else agency[:2].upper(),
        "state": "suspended" if partner.suspended else "active",
        "joined_seq": partner.joined_seq,
    }


def key_members(key: KeyRecord, now: int) -> dict[str, Any]:
    """Return a key as an RFC 7517 JWK with our members beside."""
    members: dict[str, Any] = {
        **jwk(key.public),
        "kid": key.kid,
        "use": "sig",
        "alg": "Ed25519",
        "party": key.party,
        "holder": key.holder,
        "state": key.state(now),
        "not_before": rfc3339(key.not_before * US_PER_S),
        "not_after": rfc3339(key.not_after * US_PER_S),
        "seq": key.enrolled_seq,
    }
    if key.revoked_seq is not None:
        members |= {"revoked_seq": key.revoked_seq, "reason": key.revoked_reason}
    return members


def opening_members(directory: Directory, now: int) -> list[dict[str, Any]]:
    """Return the current opening key of each partner that has one."""
    found = (directory.opening_key(agency, now) for agency in sorted(directory.partners))
    return [
        {
            "agency": record.party,
            "kid": record.kid,
            "public": b64u(record.public),
            "not_after": rfc3339(record.not_after * US_PER_S),
            "by": record.by,
            "seq": record.seq,
        }
        for record in found
        if record is not None
    ]


def _key_events(conn: Connection, size: int) -> list[dict[str, Any]]:
    rows = log.events_of_kinds(conn, KEY_KINDS, after=-1)
    shown = [row for row in rows if row.party == EVERY_PARTNER and row.seq < size]
    behind = lines.by_ids(conn, {row.object for row in shown if row.object is not None})
    return [event_row(conn, row, behind, size) for row in shown]
