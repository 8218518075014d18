"""The Integrity page: what the log is signed with, who witnesses it, proofs for whoever checks it.

Nothing here says that the log holds. The page gives the newest checkpoint, the keys, the cosignatures as they are; its
script, or the saved verify.html, or `lintas`, checks them. A proof that is taken from here is an event like the page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fastapi import APIRouter, Request, Response

from broker import proofs, witnesses
from broker.delivery import in_reader
from broker.hub import Hub
from broker.sessions import Visitor
from broker.signer import Signed, read_end
from broker.store import cosignatures, log
from broker.store.engine import Connection
from broker.web.charging import public
from broker.web.console import offline
from broker.web.console.headers import headers_of
from broker.web.console.rendering import Page, render
from broker.web.console.session import check_site, record_view, visitor_of
from broker.web.http import TEXT_MEDIA, check_params, hub_of, integer_param
from lintas import merkle
from lintas.checkpoint import parse_checkpoint
from lintas.cosignature import check_cosignatures
from lintas.directory import EVERY_PARTNER
from lintas.errors import BadRequest, NotFound, NotWitnessed
from lintas.event import US_PER_S
from lintas.note import b64, split_note
from lintas.quorum import Policy

router = APIRouter(route_class=Page)


@dataclass(frozen=True, slots=True)
class Witness:
    """A witness of the hub's policy: its name there, its key, the size and second of what it cosigned last."""

    name: str
    vkey: str
    size: int | None = None
    time: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry by its index, with the proof that it is in the newest tree. `is_shown`: its body may be taken."""

    seq: int
    entry: str
    leaf: str
    proof: tuple[str, ...]
    is_shown: bool


@router.get("/console/integrity")
async def integrity(request: Request) -> Response:
    """Show checkpoint, keys, witnesses, and the entry that was asked for."""
    visitor = await visitor_of(request, frozenset({"seq"}))
    hub, seq = hub_of(request), _seq(request)
    done = await record_view(hub, visitor, "integrity", {"asked": {} if seq is None else {"seq": str(seq)}})
    signed = done.signed
    assert signed is not None
    values = await in_reader(hub, lambda conn: _values(conn, hub, visitor, signed, seq))
    return render(request, "integrity.html", **values, verifier=offline.read())


@router.get("/console/integrity/update")
async def update(request: Request) -> Response:
    """Give the newest checkpoint with the proof that it extends the one of size `old`."""
    visitor = await visitor_of(request, frozenset({"old"}))
    hub, old = hub_of(request), integer_param(request, "old", 0)
    done = await record_view(hub, visitor, "update", {"asked": {"old": str(old)}})
    assert done.signed is not None
    size = done.signed.size
    return _text(request, await in_reader(hub, lambda conn: proofs.witness_body(conn, old, size)))


@router.get("/console/integrity/key/{key_id}")
async def next_key(request: Request, key_id: str) -> Response:
    """Give the receipt of the event that announced the key after this one."""
    visitor = await visitor_of(request)
    hub = hub_of(request)
    found = await in_reader(hub, lambda conn: proofs.crossing(conn, key_id))
    await record_view(hub, visitor, "log-key", {"asked": {"key": key_id}})
    return _text(request, found)


@router.get("/console/integrity/proof/{seq}")
async def proof(request: Request, seq: str) -> Response:
    """Give the receipt of an event, or the bare proof of an entry whose event the visitor may not see."""
    visitor = await visitor_of(request)
    if not seq.isascii() or not seq.isdigit() or len(seq) > 16:  # noqa: PLR2004 - digits of 2^53
        raise BadRequest("An index is a decimal number.", member="seq")
    hub, index = hub_of(request), int(seq)
    done = await record_view(hub, visitor, "proof", {"asked": {"entry": str(index)}})
    assert done.signed is not None
    covered = (done.signed.size, done.signed.note)
    body = await in_reader(hub, lambda conn: _proof(conn, visitor, index, covered))
    name = f"entry-{index}.tlog-proof"
    return _text(request, body, {"Content-Disposition": f'attachment; filename="{name}"'})


@router.get("/console/verify.html")
async def verify_html(request: Request) -> Response:
    """Give the same checks as one file that works without a network. It is the same for everybody, so no session."""
    check_site(request)
    check_params(request, ())
    public(request)
    found = offline.read()
    disposition = {"Content-Disposition": 'attachment; filename="verify.html"', "Content-Type": "text/html"}
    return Response(found.data, headers=headers_of(request) | disposition)


def _seq(request: Request) -> int | None:
    if not request.query_params.get("seq"):
        return None
    return integer_param(request, "seq", 0)


def _text(request: Request, body: bytes, more: Mapping[str, str] | None = None) -> Response:
    return Response(body, headers={**headers_of(request), **(more or {})}, media_type=TEXT_MEDIA)


def _values(conn: Connection, hub: Hub, visitor: Visitor, signed: Signed, seq: int | None) -> dict[str, Any]:
    tree = parse_checkpoint(split_note(signed.note)[0].decode())
    times, former = log.times(conn, [tree.size - 1]), read_end(conn)
    return {
        "note": signed.note.decode(),
        "tree": tree,
        "root": b64(tree.root),
        "tree_time": times[tree.size - 1],
        "former": former,
        "former_root": None if former is None else b64(former.tree().root),
        "keys": hub.signer.log_keys.entries,
        "log_key": hub.signer.verifier.text(),
        "policy": hub.witnesses,
        "policy_text": replace(hub.witnesses, logs=hub.signer.log_keys.keys).text().decode(errors="replace"),
        "witnesses": _witnesses(conn, hub.witnesses),
        "witnessed": _witnessed_size(conn, hub.witnesses),
        "asked": seq,
        "entry": None if seq is None else _entry(conn, visitor, seq, tree.size),
        "us_per_s": US_PER_S,
    }


def _witnesses(conn: Connection, policy: Policy) -> list[Witness]:
    return [_witness(conn, name, key.text(), policy) for name, key in policy.witnesses.items()]


def _witness(conn: Connection, name: str, vkey: str, policy: Policy) -> Witness:
    found = cosignatures.latest(conn, vkey)
    note = None if found is None else log.checkpoint_at(conn, found[0])
    if found is None or note is None:
        return Witness(name, vkey)
    (cosigned,) = check_cosignatures(*split_note(note + found[1].encode()), [policy.witnesses[name]])
    return Witness(name, vkey, found[0], cosigned.time)


def _witnessed_size(conn: Connection, policy: Policy) -> int | None:
    if policy.quorum is None:
        return None
    try:
        return witnesses.newest_witnessed(conn, policy)[0]
    except NotWitnessed:
        return None


def _entry(conn: Connection, visitor: Visitor, seq: int, size: int) -> Entry | None:
    if seq >= size:
        return None
    (entry,) = log.entries(conn, seq, seq + 1)
    hashes = tuple(map(b64, proofs.inclusion(conn, seq, size)))
    return Entry(seq, entry.hex(), merkle.leaf_hash(entry).hex(), hashes, _may_take(conn, visitor, seq))


def _may_take(conn: Connection, visitor: Visitor, seq: int) -> bool:
    row = log.event_at(conn, seq)
    is_theirs = row is not None and (visitor.is_admin or row.party in {visitor.party, EVERY_PARTNER})
    return is_theirs and row is not None and row.body is not None


def _proof(conn: Connection, visitor: Visitor, seq: int, covered: tuple[int, bytes]) -> bytes:
    if seq >= covered[0]:
        raise NotFound("The log has no entry of that index.")
    if _may_take(conn, visitor, seq):
        return proofs.receipt(conn, seq, covered)
    return proofs.proof(conn, seq, covered[0])
