"""The log over HTTP: checkpoint, tiles, proofs, entitled events."""

from __future__ import annotations

import asyncio
import json
import re
from base64 import b64encode
from dataclasses import dataclass, replace
from typing import Any

from fastapi import APIRouter, Request, Response

from broker import proofs, witnesses
from broker.auth import Caller
from broker.batch import Batch
from broker.delivery import READ_AGAIN_MAX, Window, in_reader, submit, submit_as
from broker.hub import Hub
from broker.store import lines, log
from broker.store.engine import Connection
from broker.web.charging import charge_rows, public
from broker.web.http import (
    LINES_MEDIA,
    PRIVATE,
    TEXT_MEDIA,
    caller_of,
    check_params,
    expect_media,
    flag_param,
    hub_of,
    integer_param,
    json_response,
    read_body,
)
from lintas import event as event_format
from lintas import merkle, purge
from lintas.directory import CONTROL_KINDS, EVERY_PARTNER
from lintas.errors import BadRequest, Busy, NotFound

EVENTS_DEFAULT = 200
EVENTS_MAX = 1_000
PROOFS_A_ROW = 2
"""An event is shown with its proof, which is read for it alone: it counts as two rows."""

_NONCE = re.compile(r"[A-Za-z0-9_-]{0,64}")
FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}
OCTETS = "application/octet-stream"

router = APIRouter(prefix="/v1/log", tags=["log"])


@router.get("/checkpoint", summary="The newest signed checkpoint (C2SP tlog-checkpoint)")
async def checkpoint(request: Request) -> Response:
    """Public: it tells the size and root of the log, nothing else. `witnessed=1`: the newest with enough witnesses."""
    check_params(request, {"witnessed"})
    public(request)
    hub = hub_of(request)
    witnessed = flag_param(request, "witnessed")
    newest = await in_reader(hub, lambda conn: _newest(conn, hub, witnessed=witnessed))
    if newest is None:
        raise NotFound
    return Response(newest[1], headers={"Cache-Control": "no-cache"}, media_type=TEXT_MEDIA)


def _newest(conn: Connection, hub: Hub, *, witnessed: bool) -> tuple[int, bytes] | None:
    return witnesses.newest_witnessed(conn, hub.witnesses) if witnessed else log.newest_checkpoint(conn)


@router.get("/key", summary="The verifier key of the log (C2SP signed-note)")
async def key(request: Request) -> Response:
    """Public. Compare it with what an administrator gave you over another channel; this answer proves nothing.

    It is the key that signs now.
    """
    check_params(request, ())
    public(request)
    return Response(hub_of(request).signer.verifier.text() + "\n", headers=PRIVATE, media_type=TEXT_MEDIA)


@router.get("/key/{key_id}", summary="The receipt of the event that announced the key after this one")
async def next_key(request: Request, key_id: str) -> Response:
    """Under the first checkpoint over that event, signed with both keys: whoever knows the one crosses to the other."""
    check_params(request, ())
    caller_of(request)
    body = await in_reader(hub_of(request), lambda conn: proofs.crossing(conn, key_id))
    return Response(body, headers=PRIVATE, media_type=TEXT_MEDIA)


@router.get("/policy", summary="The witnesses that this hub asks for (C2SP tlog-policy)")
async def policy(request: Request) -> Response:
    """Public. A client decides by a policy of its own; this one tells whose cosignatures there are."""
    check_params(request, ())
    public(request)
    hub = hub_of(request)
    served = replace(hub.witnesses, logs=hub.signer.log_keys.keys)
    return Response(served.text(), headers=PRIVATE, media_type=TEXT_MEDIA)


@router.post("/cosignatures", summary="A checkpoint with cosignatures of witnesses (C2SP tlog-cosignature)")
async def cosignatures(request: Request) -> Response:
    """The cosignature itself says who posts, so no token is asked for. Of each witness and size the first is kept."""
    check_params(request, ())
    expect_media(request, {"text/plain"})
    hub = hub_of(request)
    body = await read_body(request, witnesses.BODY_BYTES_MAX)
    now = hub.now()
    posted = await asyncio.get_running_loop().run_in_executor(
        hub.readers, lambda: witnesses.open_cosignatures(body, hub.witnesses, now=now)
    )
    done = await submit(hub, lambda batch: witnesses.keep(batch.conn, posted, hub.witnesses, hub.signer.log_keys))
    kept = done.value
    assert isinstance(kept, witnesses.Kept)
    answer = {"size": kept.size, "new": kept.new, "witnessed": kept.is_witnessed}
    return json_response(answer, 201 if kept.new else 200)


@router.get("/tile/{path:path}", summary="A hash tile or an entry bundle (C2SP tlog-tiles)")
async def tile(request: Request, path: str) -> Response:
    """Partial tiles are given only for sizes that were published."""
    check_params(request, ())
    caller_of(request)
    hub = hub_of(request)
    wanted = merkle.parse_tile_path(f"tile/{path}")
    if wanted is None:
        raise NotFound
    body = await in_reader(hub, lambda conn: _tile(conn, wanted))
    return Response(body, headers=FOREVER, media_type=OCTETS)


def _tile(conn: Connection, wanted: merkle.TilePath) -> bytes:
    newest = log.newest_checkpoint(conn)
    level = 0 if wanted.level is None else wanted.level
    stop = (wanted.index * merkle.TILE_WIDTH + wanted.width) << (merkle.TILE_HEIGHT * level)
    if newest is None or stop > newest[0]:
        raise NotFound
    if wanted.level is None:
        first = wanted.index * merkle.TILE_WIDTH
        return merkle.entry_bundle(log.entries(conn, first, first + wanted.width))
    return b"".join(log.nodes(conn, merkle.tile_nodes(level, wanted.index, wanted.width)))


@router.get("/proof/{seq}", summary="An inclusion proof (C2SP tlog-proof, without extra data)")
async def proof(request: Request, seq: str) -> Response:
    """Proves the entry at this index under the newest checkpoint, or under the published one of `size`."""
    check_params(request, {"size"})
    caller_of(request)
    if not seq.isascii() or not seq.isdigit() or len(seq) > 16:  # noqa: PLR2004 - digits of 2^53
        raise BadRequest("An index is a decimal number.", member="seq")
    size = integer_param(request, "size", -1)
    hub = hub_of(request)
    body = await in_reader(hub, lambda conn: proofs.proof(conn, int(seq), None if size < 0 else size))
    return Response(body, headers=PRIVATE, media_type=TEXT_MEDIA)


@router.get("/witness", summary="Consistency from an older size (C2SP add-checkpoint body)")
async def witness(request: Request) -> Response:
    """The old size, the consistency proof, the checkpoint that a witness is to cosign next (or that of `size`)."""
    check_params(request, {"old", "size"})
    caller_of(request)
    old, size = integer_param(request, "old", 0), integer_param(request, "size", -1)
    hub = hub_of(request)
    body = await in_reader(hub, lambda conn: _witness_body(conn, hub, old, None if size < 0 else size))
    return Response(body, headers=PRIVATE, media_type=TEXT_MEDIA)


def _witness_body(conn: Connection, hub: Hub, old: int, size: int | None) -> bytes:
    return proofs.witness_body(conn, old, witnesses.next_size(conn, hub.witnesses, old) if size is None else size)


@router.get("/events", summary="The events the caller is entitled to, each with its proof")
async def events(request: Request) -> Response:
    """JSON Lines, oldest first: bodies verbatim, the line behind a key event, a proof each; the checkpoint comes last.

    The read is itself the caller's newest event and closes the view, so numbers 1 to n of the caller prove that nothing
    between was left out.
    """
    check_params(request, {"after", "limit", "kind", "nonce"})
    caller = caller_of(request)
    after = integer_param(request, "after", -1)
    limit = integer_param(request, "limit", EVENTS_DEFAULT, low=1, high=EVENTS_MAX)
    kind = request.query_params.get("kind")
    if kind is not None and kind not in event_format.KINDS:
        raise BadRequest("`kind` is no kind of event.", member="kind")
    nonce = request.query_params.get("nonce", "")
    if not _NONCE.fullmatch(nonce):
        raise BadRequest("`nonce` has at most 64 characters of base64url.", member="nonce")
    charge_rows(request, caller, limit * PROOFS_A_ROW)
    hub = hub_of(request)
    asked = {name: text for name, text in (("kind", kind), ("nonce", nonce)) if text}
    body, cursor, is_full = await _view_whole(hub, caller, Window(after, limit), asked)
    headers = {**PRIVATE, "Lintas-Cursor": str(cursor)}
    if is_full:
        url = request.url.include_query_params(after=cursor)
        headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
    return Response(body, headers=headers, media_type=LINES_MEDIA)


@dataclass(frozen=True, slots=True)
class View:
    """One reading of entitled events: whose, from where, and the index of the event that recorded the reading."""

    party: str
    window: Window
    kind: str | None
    read_seq: int


async def _view_whole(hub: Hub, caller: Caller, window: Window, asked: dict[str, str]) -> tuple[bytes, int, bool]:
    for _ in range(READ_AGAIN_MAX):
        done = await submit_as(hub, caller, lambda batch: _record_read(batch, caller, window.after, asked))
        signed = done.signed
        assert signed is not None
        seen = View(caller.party, window, asked.get("kind"), done.value)
        found = await in_reader(hub, lambda conn, seen=seen, signed=signed: _view(conn, seen, signed.size, signed.note))  # type: ignore[misc]
        if found is not None:
            return found
    raise Busy(retry_after=1)


def _record_read(batch: Batch, caller: Caller, after: int, asked: dict[str, str]) -> int:
    detail: dict[str, Any] = {"view": "events", "after": after, "star": batch.party_seq(EVERY_PARTNER)}
    return batch.append("view.read", caller.party, detail=detail | asked)


def _view(conn: Connection, seen: View, size: int, note: bytes) -> tuple[bytes, int, bool] | None:
    """Return the view, its cursor and whether more follows; None when a purge came in after it was recorded.

    That purge may have emptied what is shown here, and its own event would be missing.
    """
    kinds = None if seen.kind is None else {seen.kind}
    parties = {seen.party, EVERY_PARTNER}
    rows = log.events_of(conn, parties, after=seen.window.after, limit=seen.window.limit, kinds=kinds)
    rows = [row for row in rows if row.seq < seen.read_seq]
    if any(row.body is None for row in rows) and _is_purged_since(conn, seen.read_seq):
        return None
    is_full = len(rows) == seen.window.limit
    cursor = rows[-1].seq if is_full else seen.read_seq
    own = log.event_at(conn, seen.read_seq)
    assert own is not None
    rows.append(own)
    behind = lines.by_ids(conn, {row.object for row in rows if row.kind in CONTROL_KINDS and row.object is not None})
    parts = [json.dumps(event_row(conn, row, behind, size), separators=(",", ":"), ensure_ascii=False) for row in rows]
    parts.append(json.dumps({"checkpoint": note.decode()}, ensure_ascii=False))
    return ("\n".join(parts) + "\n").encode(), cursor, is_full


def _is_purged_since(conn: Connection, seq: int) -> bool:
    newest = log.newest_of_kind(conn, purge.KIND)
    return newest is not None and newest.seq > seq


def event_row(conn: Connection, row: log.EventRow, behind: dict[str, bytes], size: int) -> dict[str, Any]:
    """Return one event as shown: index, body verbatim, the line behind it, its inclusion proof at `size`."""
    shown: dict[str, Any] = {"seq": row.seq}
    if row.body is None:
        # The numbers and the entry stand for the body; a purge event of the same party names them.
        (entry,) = log.entries(conn, row.seq, row.seq + 1)
        shown |= {"party": row.party, "party_seq": row.party_seq, "entry": b64encode(entry).decode()}
    shown["body"] = None if row.body is None else row.body.decode()
    if row.kind in CONTROL_KINDS and row.object in behind:
        shown["line"] = behind[row.object].decode()
    shown["proof"] = [b64encode(node).decode() for node in proofs.inclusion(conn, row.seq, size)]
    return shown
