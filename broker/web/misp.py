"""The feed of a MISP over HTTP: two indexes, the events.

An index is asked for again and again and has an entity tag that costs a few look-ups; the same index again is answered
304. The manifest holds nothing of a bulletin's content, so its reading is a view. Events and hashes are content: each
is recorded as sent to the agency, by ``misp/<token id>``, before it leaves.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar
from uuid import UUID

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import StreamingResponse

from broker import misp
from broker.batch import Batch
from broker.delivery import Page, Row, Source, give, in_reader, record_page, submit
from broker.hub import Hub
from broker.misp import DOOR, Entry, Uuids
from broker.read_tokens import ReadCaller
from broker.store import delivery, log
from broker.store.engine import Connection
from broker.web.charging import limits_of
from broker.web.http import JSON_MEDIA, PRIVATE, check_params, hub_of, use_problems
from broker.web.interop import interop_caller_of, problem_here
from lintas.errors import NotFound, Refusal
from lintas.filter import Filter
from lintas.misp import manifest as manifest_of
from lintas.read_token import CEILINGS, EVERY_AREA

AT_ONCE = 100
"""Events whose hashes are read, recorded and sent together."""

LISTED_A_UNIT, HASHED_A_UNIT = 10, 2
"""Events that cost as much as a read: who asks on and on takes a tenth of a processor, as with pages."""

CSV_MEDIA = "text/csv"
NOT_MODIFIED = 304

T = TypeVar("T")
Write = Callable[[str, list[Entry]], "Index"]

router = APIRouter(prefix="/misp", tags=["misp"])


@dataclass(frozen=True, slots=True)
class Index:
    """An index, or the `seqs` of the bulletins of each event in it. `is_known`: the caller has it, by its `tag`."""

    tag: str
    is_known: bool = False
    body: bytes = b""
    seqs: Sequence[Sequence[int]] = ()

    @property
    def headers(self) -> dict[str, str]:
        """The headers of an answer."""
        return {**PRIVATE, "ETag": self.tag}


class Turns:
    """Whose feed is looked through: of one agency once at a time, because that takes memory and a processor."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._locks: dict[str, asyncio.Lock] = {}

    def of(self, agency: str) -> asyncio.Lock:
        """Return the lock that an agency's looks take in turn."""
        return self._locks.setdefault(agency, asyncio.Lock())


@router.get("/manifest.json", summary="The events of a MISP feed")
async def manifest(request: Request) -> Response:
    """What a MISP needs to know what is new: by uuid of each event, in the format of MISP feeds. `ETag` as usual."""
    caller = _caller(request)
    found = await _index(request, caller, "misp-manifest", _manifest)
    if found.is_known:
        return Response(status_code=NOT_MODIFIED, headers=found.headers)
    return Response(found.body, 200, found.headers, media_type=JSON_MEDIA)


@router.get("/hashes.csv", summary="The MD5 of every value in a MISP feed")
async def hashes(request: Request) -> Response:
    """Lines `md5,uuid` for MISP's cache of feeds. `ETag` as usual."""
    caller = _caller(request)
    found = await _index(request, caller, "misp-hashes", _places)
    if found.is_known:
        return Response(status_code=NOT_MODIFIED, headers=found.headers)
    limits_of(request).charge_reads(caller.agency, len(found.seqs) // HASHED_A_UNIT)
    parts = [found.seqs[start : start + AT_ONCE] for start in range(0, len(found.seqs), AT_ONCE)]
    # The first part before the answer begins, so that what is refused is refused with a problem.
    first = await _hashes(hub_of(request), caller, parts[0]) if parts else b""
    body = _rest(hub_of(request), caller, first, parts[1:])
    return StreamingResponse(body, headers=found.headers, media_type=CSV_MEDIA)


@router.get("/{uuid}.json", summary="One event of a MISP feed")
async def event(request: Request, uuid: Annotated[str, Path()]) -> Response:
    """A bulletin as a MISP event, or what is left of one that was withdrawn."""
    caller = _caller(request)
    check_params(request, ())
    hub, first = hub_of(request), await _first(request, caller, uuid)
    source = Source(caller.agency, caller.way(DOOR), reasons=caller.reasons)

    def read(conn: Connection) -> Page:
        directory, now = hub.directory, hub.now()
        found = misp.entry_of(conn, directory, misp.bounds_of(directory, caller), first, now=now)
        if found is None:
            raise NotFound
        [written] = misp.events_of(conn, [found])
        row, body = found.row, json.dumps(written, ensure_ascii=False, separators=(",", ":"))
        shown = Row(row.seq, row.id, row.iss, body.encode(), is_line=not found.listed.is_withdrawn)
        return Page(directory, log.head(conn)[0], (shown,))

    def record(batch: Batch, page: Page) -> int:
        return record_page(batch, source, page, object_id=page.rows[0].id)

    page = await give(hub, lambda batch: caller.fault(batch.directory, batch.now), read, record)
    return Response(page.body, 200, PRIVATE, media_type=JSON_MEDIA)


async def _index(request: Request, caller: ReadCaller, view: str, write: Write) -> Index:
    """Return an index; that it was read is recorded, unless the caller has it already."""
    check_params(request, ())
    hub = hub_of(request)
    known = {each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")}

    def look(conn: Connection) -> tuple[Index, dict[str, str]]:
        directory, now = hub.directory, hub.now()
        bounds = misp.bounds_of(directory, caller)
        tag = misp.tag_of(conn, bounds, now=now)
        if tag in known:
            return Index(tag, is_known=True), {}
        found = misp.entries(conn, directory, bounds, now=now)
        return write(tag, found), misp.firsts_of(found)

    index = await _look(request, caller, look)
    if not index.is_known:
        await submit(hub, lambda batch: caller.fault(batch.directory, batch.now) or _viewed(batch, caller, view))
    return index


async def _look(request: Request, caller: ReadCaller, look: Callable[[Connection], tuple[T, dict[str, str]]]) -> T:
    """Look through a feed in the agency's turn, charge it, remember of which chains its events are."""
    turns: Turns = request.app.state.misp_turns
    async with turns.of(caller.agency):
        # Whoever waited here may be in debt by now.
        limits_of(request).check_reads(caller.agency)
        found, firsts = await in_reader(hub_of(request), look)
        limits_of(request).charge_reads(caller.agency, len(firsts) // LISTED_A_UNIT)
    _uuids_of(request).remember(firsts)
    return found


async def _first(request: Request, caller: ReadCaller, uuid: str) -> str:
    """Return the id of the first bulletin of an event; one that is not remembered is looked for in the whole feed."""
    hub, uuids = hub_of(request), _uuids_of(request)
    if not _is_uuid(uuid):
        raise NotFound
    if uuids.first_of(uuid) is None:

        def look(conn: Connection) -> tuple[None, dict[str, str]]:
            bounds = misp.bounds_of(hub.directory, caller)
            return None, misp.firsts_of(misp.entries(conn, hub.directory, bounds, now=hub.now()))

        await _look(request, caller, look)
    first = uuids.first_of(uuid)
    if first is None:
        raise NotFound
    return first


async def _rest(
    hub: Hub, caller: ReadCaller, first: bytes, parts: Sequence[Sequence[Sequence[int]]]
) -> AsyncIterator[bytes]:
    yield first
    for part in parts:
        # A refusal in between cuts the answer off: whoever reads it sees that it is not whole.
        yield await _hashes(hub, caller, part)


async def _hashes(hub: Hub, caller: ReadCaller, part: Sequence[Sequence[int]]) -> bytes:
    """Return the hashes of events by their bulletins, recorded as sent where they were not before."""
    source = Source(caller.agency, caller.way(DOOR), _filter_of(caller), reasons=caller.reasons)
    seqs = [seq for each in part for seq in each]
    text = ""

    def read(conn: Connection) -> Page:
        nonlocal text
        directory, size = hub.directory, log.head(conn)[0]
        found = misp.entries_among(conn, directory, misp.bounds_of(directory, caller), seqs, now=hub.now())
        text = misp.hashes_of(conn, found)
        standing = [each.row for each in found if not each.listed.is_withdrawn]
        had = delivery.sent_among(conn, source.agency, source.way, [row.seq for row in standing])
        rows = (Row(row.seq, row.id, row.iss, b"", is_line=True) for row in standing if row.seq not in had)
        return Page(directory, size, tuple(rows))

    def standing(batch: Batch) -> Refusal | None:
        return caller.fault(batch.directory, batch.now)

    page = await give(hub, standing, read, lambda batch, page: record_page(batch, source, page))
    fault = caller.fault(hub.directory, hub.now()) if page.is_empty else None
    if fault is not None:
        raise fault
    return text.encode()


def _filter_of(caller: ReadCaller) -> Filter:
    # The token's bounds as a filter, so that the record of a sending says which part of a feed it was.
    topics = () if caller.areas == EVERY_AREA else caller.areas
    return Filter(topics=frozenset(topics), tlps=frozenset(CEILINGS[: CEILINGS.index(caller.ceiling) + 1]))


def _caller(request: Request) -> ReadCaller:
    use_problems(request, problem_here)
    return interop_caller_of(request)


def _manifest(tag: str, found: list[Entry]) -> Index:
    listed = manifest_of(each.listed for each in found)
    return Index(tag, body=json.dumps(listed, ensure_ascii=False, separators=(",", ":")).encode())


def _places(tag: str, found: list[Entry]) -> Index:
    return Index(tag, seqs=[each.seqs for each in found])


def _viewed(batch: Batch, caller: ReadCaller, view: str) -> int:
    detail = {"view": view, "way": caller.way(DOOR), **dict(caller.reasons)}
    return batch.append("view.read", caller.agency, detail=detail)


def _uuids_of(request: Request) -> Uuids:
    uuids: Uuids = request.app.state.misp_uuids
    return uuids


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
