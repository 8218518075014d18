"""Filling the collections of TAXII behind the log, when somebody reads them.

A hub that nobody reads by TAXII does nothing here. A reader's request asks for what the log has; it is derived a few
bulletins at a time in a reading thread, added by the writer between the commits of others, and goes on after the
request. Objects become visible in the order of their times, so a reader who does not wait for all of it misses nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from broker.additions import Addition, Slice, collections_of, next_slice
from broker.batch import Batch
from broker.delivery import in_reader, submit
from broker.hub import Hub
from broker.store import endings, taxii
from lintas.errors import LintasError
from lintas.stix import version_of
from lintas.strict import canonical

WAIT_S = 2.0
"""How long a request waits for what the log has; a hub that is read now and then is filled by then."""

logger = logging.getLogger("lintas.taxii")


class Filling:
    """The filling of one process. Used by the event loop's thread alone."""

    def __init__(self, hub: Hub) -> None:
        """Begin without knowing how far it is."""
        self._hub = hub
        self._size = 0
        self._partners: object = None
        self._is_stuck = False
        self._task: asyncio.Task[None] | None = None
        self._moved = asyncio.Event()

    async def catch_up(self, wait_s: float = WAIT_S) -> None:
        """Return when the collections have what the log has now, or after `wait_s` seconds."""
        wanted, end = self._hub.writer.size, asyncio.get_running_loop().time() + wait_s
        while self._size < wanted:
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._fill())
            moved = self._moved
            try:
                async with asyncio.timeout_at(end):
                    await moved.wait()
            except TimeoutError:
                return
            if self._is_stuck:
                # What there is can be served.
                return

    async def stop(self) -> None:
        """End it; what was added stays."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _fill(self) -> None:
        hub, self._is_stuck = self._hub, False
        try:
            while True:
                wanted, partners = hub.writer.size, hub.directory.partners
                if partners is self._partners and not await in_reader(hub, taxii.is_behind):
                    self._size = wanted
                    return
                found = await in_reader(hub, lambda conn, partners=partners: next_slice(conn, partners, now=hub.now()))  # type: ignore[misc]
                if found.steps or found.size > found.begun.size:
                    await submit(hub, lambda batch, found=found: add(batch, found))  # type: ignore[misc]
                self._partners = partners
                self._tell()
        except LintasError as fault:
            self._is_stuck = True
            logger.warning("collections of TAXII are behind: %s", fault)
        except Exception:
            # Who waits is answered with what there is, and the next request tries again.
            self._is_stuck = True
            logger.exception("collections of TAXII cannot be filled")
        finally:
            self._tell()

    def _tell(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()


def add(batch: Batch, found: Slice) -> None:
    """Add a slice unless another replica was faster."""
    conn = batch.conn
    begun = taxii.state(conn)
    if begun != found.begun:
        return
    # What was purged since it was read does not come back.
    seqs = {each.of.seq for step in found.steps for each in step.additions if each.of is not None}
    kept = _kept(found, endings.unpurged(conn, seqs))
    taxii.forget(conn, {seq for step in found.steps for seq in step.leaving})
    additions, readers, objects, added = [], [], [], begun.added
    for each in kept:
        first = max(added + 1, each.time_us)
        added = first + len(each.objects) - 1
        additions.append(_addition_row(each, first, added))
        readers += _reader_rows(each, added, found.readers)
        objects += _object_rows(each, first, added)
    taxii.insert_additions(conn, additions, readers, objects)
    taxii.set_state(conn, taxii.State(found.size, added))
    if found.size.bit_length() > begun.size.bit_length():
        # Whenever the log has doubled.
        taxii.recount(conn)


def _kept(found: Slice, unpurged: set[int]) -> Sequence[Addition]:
    """Return the additions that no later step of the slice takes away again."""
    kept: list[Addition] = []
    for step in found.steps:
        kept = [each for each in kept if each.of is None or each.of.seq not in step.leaving]
        kept += [each for each in step.additions if each.of is None or each.of.seq in unpurged]
    return kept


def _addition_row(each: Addition, first: int, last: int) -> Mapping[str, Any]:
    of = each.of
    return {
        "last": last,
        "first": first,
        "seq": None if of is None else of.seq,
        "iss": "" if of is None else of.iss,
        "kind": "" if of is None else of.kind,
        "topic": "" if of is None else of.topic,
        "tlp_rank": 0 if of is None else of.tlp_rank,
        "withdraws": each.is_gone or (of is not None and of.withdraws),
        "is_gone": each.is_gone,
        "until": each.until,
    }


def _reader_rows(each: Addition, last: int, released: Mapping[int, set[str]]) -> list[dict[str, Any]]:
    agencies = {"*"} if each.of is None else released[each.of.seq]
    return [
        {"agency": agency, "collection": collection, "last": last}
        for agency in agencies
        for collection in collections_of(each)
    ]


def _object_rows(each: Addition, first: int, last: int) -> list[dict[str, Any]]:
    return [
        {
            "added": added,
            "last": last,
            "id": members["id"],
            "version": version_of(members),
            "body": canonical(members),
        }
        for added, members in enumerate(each.objects, first)
    ]
