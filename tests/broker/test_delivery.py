"""Giving out with the record first: what came in between reading and recording sends the reader back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from broker import delivery as deliveries
from broker.auth import Caller
from broker.batch import Batch
from broker.delivery import READ_AGAIN_MAX, Page, Source, Window, deliver, read_one, read_page
from broker.intake import Accepted, admit_bulletin, open_bulletin
from broker.partners import admit_control, open_control
from broker.store.engine import Connection
from lintas.errors import Busy, NoLongerValid, NotFound, Recalled, Refusal, Superseded, Unauthorized
from lintas.filter import read_filter
from lintas.header import ORDER
from lintas.line import Line
from lintas.vocabulary import TLP
from tests.broker.conftest import AUDITOR, REGISTRAR, UNKNOWN_ID, Desks

ISSUER, READER, OTHER = "my-police", "sg-fiu", "th-cert"
WAIT_S = 20


def publish(inner: Desks, line: Line) -> int:
    """Publish behind the HTTP surface; return the log index."""
    submission = open_bulletin(line.raw, inner.hub.directory)
    value = inner.hub.writer.submit(lambda batch: admit_bulletin(batch, submission), (line.id,)).result(WAIT_S).value
    assert isinstance(value, Accepted)
    return value.seq


def order(inner: Desks, act: str, **arguments: Any) -> None:
    """Give an order of two administrators behind the HTTP surface."""
    first = inner.session(REGISTRAR).sign_order(act, arguments)
    line = open_control(inner.session(AUDITOR).countersign(first).raw, ORDER, inner.hub.directory)
    inner.hub.writer.submit(lambda batch: admit_control(batch, line, "test")).result(WAIT_S)


def give(inner: Desks, read: Callable[[Connection], Page]) -> Page:
    """Deliver a page to the reader."""

    def record(batch: Batch, page: Page) -> None:
        batch.append("bulletin.sent", READER, detail={"count": len(page.sent)})

    key = inner.session(READER).identity.key
    caller = Caller(READER, key.kid, "read", inner.hub.now() + 300)
    return asyncio.run(deliver(inner.hub, caller, read, record))


def reading(inner: Desks, between: Callable[[int], None]) -> tuple[Callable[[Connection], Page], list[Page]]:
    """Return a read of the reader's feed after which something happens before it is recorded, and what it read."""
    pages: list[Page] = []

    def read(conn: Connection) -> Page:
        page = page_of(inner, conn)
        pages.append(page)
        between(len(pages))
        return page

    return read, pages


def page_of(inner: Desks, conn: Connection, **wanted: Any) -> Page:
    """Read the first page of the reader's feed."""
    return read_page(
        conn,
        inner.hub.directory,
        Source(READER, "feed", read_filter(wanted)),
        window=Window(after=-1, limit=100),
        now=inner.hub.now(),
    )


def test_recorded_once(inner: Desks) -> None:
    """A page that nothing disturbed is read once and recorded once."""
    publish(inner, inner.bulletin(ISSUER, [READER]))
    read, pages = reading(inner, lambda _time: None)

    page = give(inner, read)

    assert (1, page) == (len(pages), pages[0])
    assert [{"count": 1}] == inner.details(kind="bulletin.sent")


def test_recalled_between(inner: Desks) -> None:
    """A recall that comes in between reading and recording is in the page that leaves."""
    line = inner.bulletin(ISSUER, [READER])
    publish(inner, line)
    read, pages = reading(
        inner, lambda time: None if time > 1 else void(publish(inner, inner.recall(ISSUER, line.id, [READER])))
    )

    page = give(inner, read)

    assert line.raw in pages[0].body
    assert line.raw not in page.body
    assert "recalled" == json.loads(page.body.splitlines()[0])["state"]
    assert [{"count": 1}] == inner.details(kind="bulletin.sent")


def void(_value: object) -> None:
    """Drop a value."""


def test_recalled_in_part_between(inner: Desks) -> None:
    """A recall in part that comes in between marks the page that leaves."""
    line = inner.bulletin(ISSUER, [READER])
    publish(inner, line)
    part = inner.recall(ISSUER, line.id, [READER], indicators=[{"type": "ip", "value": "203.0.113.7", "role": "host"}])
    read, _ = reading(inner, lambda time: None if time > 1 else void(publish(inner, part)))

    page = give(inner, read)

    assert ["recalled-in-part"] == json.loads(page.body.splitlines()[0])["marks"]


def test_superseded_between_without_being_free(inner: Desks) -> None:
    """A superseding bulletin that needed a grant sends the reader back as well."""
    line = inner.bulletin(ISSUER, [READER])
    publish(inner, line)
    newer = inner.bulletin(ISSUER, [READER], refs=[f"supersedes:{line.id}"], topic="drugs")
    read, _ = reading(inner, lambda time: None if time > 1 else void(publish(inner, newer)))

    page = give(inner, read)

    assert "superseded" == json.loads(page.body.splitlines()[0])["state"]


def test_grant_changed_between(inner: Desks) -> None:
    """A grant that is narrowed between reading and recording empties the page."""
    publish(inner, inner.bulletin(ISSUER, [READER]))
    read, _ = reading(
        inner, lambda time: None if time > 1 else order(inner, "grant", agency=READER, publish=[], read=["drugs"])
    )

    page = give(inner, read)

    assert page.is_empty
    assert [] == inner.details(kind="bulletin.sent")


def test_revoked_between(inner: Desks) -> None:
    """A reader whose key is revoked between reading and recording gets nothing, and nothing is recorded as sent."""
    publish(inner, inner.bulletin(ISSUER, [READER]))
    kid = inner.session(READER).identity.key.kid
    arguments = {"agency": READER, "kid": kid, "reason": "unspecified", "since": inner.hub.now()}
    read, _ = reading(inner, lambda _time: order(inner, "revoke", **arguments))

    with pytest.raises(Unauthorized, match="revoked"):
        give(inner, read)

    assert [] == inner.details(kind="bulletin.sent")


def test_ordinary_bulletin_between(inner: Desks) -> None:
    """An ordinary bulletin in between does not disturb a page."""
    publish(inner, inner.bulletin(ISSUER, [READER]))
    read, pages = reading(inner, lambda _time: void(publish(inner, inner.bulletin(ISSUER, [READER]))))

    give(inner, read)

    assert 1 == len(pages)


def test_disturbed_for_ever(inner: Desks) -> None:
    """A reader who is disturbed each time is asked to come back, and nothing was recorded as sent."""
    publish(inner, inner.bulletin(ISSUER, [READER]))
    read, pages = reading(inner, lambda time: order(inner, "ceiling", agency=OTHER, tlp=TLP[time - 1]))

    with pytest.raises(Busy) as caught:
        give(inner, read)

    assert (READ_AGAIN_MAX, 1) == (len(pages), caught.value.extra["retry_after"])
    assert [] == inner.details(kind="bulletin.sent")


def test_nothing_to_send(inner: Desks) -> None:
    """An empty page is not recorded."""
    read, _ = reading(inner, lambda _time: None)

    assert give(inner, read).is_empty
    assert [] == inner.details(kind="bulletin.sent")


def test_cursor_of_a_short_page(inner: Desks) -> None:
    """The cursor of a page that reaches the present stands at the end of the log, never before what was asked."""
    seq = publish(inner, inner.bulletin(ISSUER, [READER]))

    with inner.hub.store.read() as conn:
        page = page_of(inner, conn)

    assert (seq, seq, seq + 1, False) == (page.rows[0].seq, page.rows[-1].seq, page.cursor, page.is_full)
    assert page.cursor == page.size - 1


def walked(inner: Desks, limit: int) -> tuple[list[int], list[int]]:
    """Walk the reader's feed to its end; return the sizes of its pages, the indexes of its rows."""
    sizes: list[int] = []
    seqs: list[int] = []
    after, is_full = -1, True
    while is_full:
        with inner.hub.store.read() as conn:
            now = inner.hub.now()
            page = read_page(conn, inner.hub.directory, Source(READER, "feed"), window=Window(after, limit), now=now)
        after, is_full = page.cursor, page.is_full
        sizes.append(len(page.rows))
        seqs += [row.seq for row in page.rows]
    return sizes, seqs


def test_page_ends_with_enough_bytes(inner: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of large bulletins ends before it has the rows that were asked for, and the next one goes on there."""
    published = [publish(inner, inner.bulletin(ISSUER, [READER])) for _ in range(7)]
    monkeypatch.setattr(deliveries, "ROWS_AT_ONCE", 2)
    monkeypatch.setattr(deliveries, "PAGE_BYTES_ENOUGH", 2_500)

    assert ([4, 3], published) == walked(inner, 100)


@pytest.mark.parametrize(("limit", "sizes"), [(3, [3, 3, 1]), (4, [4, 3]), (7, [7, 0]), (100, [7])])
def test_page_is_read_in_parts(inner: Desks, monkeypatch: pytest.MonkeyPatch, limit: int, sizes: list[int]) -> None:
    """Rows that are read a few at a time make the page that was asked for."""
    published = [publish(inner, inner.bulletin(ISSUER, [READER])) for _ in range(7)]
    monkeypatch.setattr(deliveries, "ROWS_AT_ONCE", 2)

    assert (sizes, published) == walked(inner, limit)


def test_withdrawn_are_not_counted_as_sent(inner: Desks) -> None:
    """What is shown as withdrawn was not sent."""
    line, other = inner.bulletin(ISSUER, [READER]), inner.bulletin(ISSUER, [READER])
    recall = inner.recall(ISSUER, line.id, [READER])
    for each in (line, other, recall):
        publish(inner, each)

    with inner.hub.store.read() as conn:
        page = page_of(inner, conn)

    assert (other.id, recall.id) == page.sent


@pytest.mark.parametrize(("relation", "kind"), [("recalls", Recalled), ("supersedes", Superseded), ("", NoLongerValid)])
def test_one_that_is_gone(inner: Desks, relation: str, kind: type[Refusal]) -> None:
    """One bulletin that was withdrawn or is over is refused with what became of it, and by what."""
    line = inner.bulletin(ISSUER, [READER])
    publish(inner, line)
    by = None
    if relation == "recalls":
        by = inner.recall(ISSUER, line.id, [READER])
    if relation == "supersedes":
        by = inner.bulletin(ISSUER, [READER], refs=[f"supersedes:{line.id}"])
    if by is not None:
        publish(inner, by)
    now = inner.hub.now() + (0 if by else 8 * 86_400)

    with inner.hub.store.read() as conn, pytest.raises(Refusal) as caught:
        read_one(conn, inner.hub.directory, READER, line.id, now=now)

    assert (kind, {"by": by.id} if by else {}) == (type(caught.value), caught.value.extra)


def test_one_that_is_not_there(inner: Desks) -> None:
    """An unknown id and another kind of line are not found."""
    [approved, *_] = inner.events(kind="key.approved")
    for wanted in (UNKNOWN_ID, approved.object or ""):
        with inner.hub.store.read() as conn, pytest.raises(NotFound):
            read_one(conn, inner.hub.directory, READER, wanted, now=inner.hub.now())


def test_one_and_page_agree(inner: Desks) -> None:
    """A bulletin is readable alone exactly when it stands in the reader's feed."""
    line = inner.bulletin(ISSUER, [READER])
    publish(inner, line)
    for grant in (["*"], ["drugs"], ["cyber"], ["cyber.malware"]):
        order(inner, "grant", agency=READER, publish=[], read=grant)
        inner.clock.advance(1)
        with inner.hub.store.read() as conn:
            in_page = line.raw in page_of(inner, conn).body
            try:
                alone = read_one(conn, inner.hub.directory, READER, line.id, now=inner.hub.now()).body == line.raw
            except NotFound:
                alone = False

        assert (grant in (["*"], ["cyber"])) == in_page == alone
