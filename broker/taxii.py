"""Giving out objects by TAXII, with the record of it first.

Who may have what follows from the bulletins behind the objects, as in every feed, within what the caller's token
opens. Objects of its own bulletins are not given to an agency: it has them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from broker.additions import ALL, areas
from broker.batch import Batch
from broker.delivery import Page, Row, Source, give, log_sending
from broker.hub import Hub
from broker.read_tokens import ReadCaller
from broker.standing import reader
from broker.store import delivery, log, taxii
from broker.store.engine import Connection
from lintas import vocabulary
from lintas.directory import Directory
from lintas.errors import NotFound
from lintas.strict import canonical
from lintas.taxii import Asked, Collection, Endpoint, Record, Wanted, collection_id

PAGE_MAX = 1_000
PAGE_BYTES_MAX = 4 * 1024 * 1024
"""Bytes of the objects of a page, unless one is larger: a page is held in memory."""

WITH_CONTENT = frozenset({Endpoint.OBJECTS, Endpoint.OBJECT})
DOOR = "taxii"
NOTE = " All agencies and bulletins are simulated."


@dataclass(frozen=True, slots=True)
class Objects(Page):
    """A page of records; `rows` are the bulletins whose content is in it."""

    records: tuple[Record, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing would be sent."""
        return not self.records


def collections(hub: Hub, caller: ReadCaller) -> tuple[Collection, ...]:
    """Return the collections that a caller may read: everything within its areas, each of them."""
    names = areas() if caller.areas == ("*",) else tuple(each for each in areas() if each in caller.areas)
    known = vocabulary.load()
    described = [
        Collection(collection_id(hub.name, each), each, known.title("topics", each), f"Bulletins on {each}.{NOTE}")
        for each in names
    ]
    everything = f"Bulletins of every area that you may read.{NOTE}"
    return (Collection(collection_id(hub.name, ALL), ALL, "Everything", everything), *described)


def collection_of(hub: Hub, caller: ReadCaller, name: str) -> Collection:
    """Return a collection by its id or its alias; one that the caller may not read does not exist for it."""
    for each in collections(hub, caller):
        if name in (each.id, each.alias):
            return each
    raise NotFound


async def give_objects(hub: Hub, caller: ReadCaller, asked: Asked, collection: Collection) -> Objects:
    """Give a page, recorded: what has content as a sending, what has not as a reading."""

    def record(batch: Batch, page: Page) -> None:
        assert isinstance(page, Objects)
        _record(batch, caller, asked, collection, page)

    page = await give(
        hub,
        lambda batch: caller.fault(batch.directory, batch.now),
        lambda conn: read_objects(conn, hub.directory, caller, asked, collection, now=hub.now()),
        record,
    )
    assert isinstance(page, Objects)
    return page


def read_objects(
    conn: Connection, directory: Directory, caller: ReadCaller, asked: Asked, collection: Collection, *, now: int
) -> Objects:
    """Read a page of a collection."""
    size, _ = log.head(conn)
    wanted = asked.wanted
    limit = wanted.limit_within(PAGE_MAX)
    found = taxii.find(conn, bounds_of(directory, caller), _sought(asked, collection), limit=limit + 1, now=now)
    kept = _within(found[:limit]) if asked.endpoint in WITH_CONTENT else found[:limit]
    bodies = taxii.bodies(conn, [each.added for each in kept]) if asked.endpoint in WITH_CONTENT else {}
    told = {each.seq for each in kept if each.seq is not None}
    # What is withdrawn is not sent, as in a feed.
    sent = {each.seq for each in kept if not each.is_gone}
    return Objects(
        directory=directory,
        size=size,
        rows=tuple(Row(seq, id_, iss, b"", is_line=seq in sent) for seq, id_, iss in taxii.heads(conn, told)),
        records=tuple(Record(each.id, each.added, each.version, bodies.get(each.added, b"")) for each in kept),
        is_full=len(found) > len(kept),
    )


def bounds_of(directory: Directory, caller: ReadCaller) -> taxii.Bounds:
    """Return what a caller may have now."""
    suspects = tuple(
        sorted((kid, key.revoked_since) for kid, key in directory.keys.items() if key.revoked_since is not None)
    )
    return taxii.Bounds(reader(directory, caller.agency), caller.tlp_rank_max, caller.topics, suspects)


def _sought(asked: Asked, collection: Collection) -> taxii.Sought:
    wanted = asked.wanted
    ids = frozenset({asked.object_id}) if asked.object_id else wanted.ids
    # Each object has one version here: it is the first, the last, and all there are.
    versions = frozenset() if wanted.keywords else wanted.versions
    is_none = bool(wanted.spec_versions) and "2.1" not in wanted.spec_versions
    return taxii.Sought("" if is_none else collection.alias, wanted.after_us, ids, wanted.types, versions)


def _within(found: list[taxii.Found]) -> list[taxii.Found]:
    size_bytes = 0
    for number, each in enumerate(found):
        size_bytes += each.size_bytes
        if number and size_bytes > PAGE_BYTES_MAX:
            return found[:number]
    return found


def _record(batch: Batch, caller: ReadCaller, asked: Asked, collection: Collection, page: Objects) -> None:
    facts: dict[str, Any] = {"collection": collection.alias, **_digest(asked.wanted)}
    way = caller.way(DOOR)
    if asked.endpoint in WITH_CONTENT and page.rows:
        source = Source(caller.agency, way, reasons=caller.reasons)
        # Objects of a collection are no range of the log, so the record names the bulletins.
        sending = log_sending(batch, source, page, ids=list(page.sent), **facts)
        delivery.insert_sendings(batch.conn, [sending])
        return
    detail = {"view": f"{DOOR}/{asked.endpoint.value}", "way": way, **facts, **dict(caller.reasons)}
    batch.append("view.read", caller.agency, object_id=None, detail=detail)


def _digest(wanted: Wanted) -> Mapping[str, str]:
    members = {
        "ids": sorted(wanted.ids),
        "types": sorted(wanted.types),
        "versions": sorted(wanted.versions),
        "spec_versions": sorted(wanted.spec_versions),
    }
    if wanted.is_everything:
        return {}
    return {"filter": hashlib.sha256(canonical(members)).hexdigest()}
