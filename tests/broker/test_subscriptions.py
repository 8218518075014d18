"""What a batch that fails leaves of a moved cursor or a reader's word: nothing, or all of it."""

from __future__ import annotations

import pytest

from broker import subscriptions
from broker.acks import admit_ack, open_posted
from broker.batch import Batch
from broker.intake import admit_bulletin, open_bulletin
from broker.store import delivery
from broker.store.subscriptions import Subscription
from lintas.errors import InternalError
from lintas.filter import Filter
from lintas.line import Line
from tests.broker.conftest import FEW, Desks

ISSUER, READER, *_ = FEW
WAIT_S = 20
SCAMS = Filter(topics=frozenset({"cyber.scam"}))


def published(inner: Desks) -> Line:
    """Publish a bulletin behind the HTTP surface."""
    line = inner.bulletin(ISSUER, [READER])
    submission = open_bulletin(line.raw, inner.hub.directory)
    inner.hub.writer.submit(lambda batch: admit_bulletin(batch, submission), (line.id,)).result(WAIT_S)
    return line


def stored(inner: Desks, name: str) -> Subscription:
    """Return a subscription of the reader as it is stored."""
    with inner.hub.store.read() as conn:
        return subscriptions.find(conn, READER, name)


def test_made(inner: Desks) -> None:
    """A subscription is stored as it was wished for, and read again as it was stored."""
    wish = subscriptions.Wish("scams", SCAMS, None)

    done = inner.hub.writer.submit(lambda batch: subscriptions.put(batch, READER, wish)).result(WAIT_S)

    assert isinstance(done.value, subscriptions.Placed)
    assert done.value.subscription == stored(inner, "scams")
    assert (SCAMS, "subscription/scams") == (
        stored(inner, "scams").wanted,
        subscriptions.source(stored(inner, "scams")).way,
    )


def test_move_is_whole(inner: Desks) -> None:
    """A cursor stays where it was when the record of its move could not be committed, and the other way round."""
    published(inner)

    def job(batch: Batch) -> None:
        subscriptions.move(batch, READER, "feed", batch.next_seq - 1)
        raise RuntimeError("the disk is full")

    with pytest.raises(InternalError):
        inner.hub.writer.submit(job).result(WAIT_S)

    assert -1 == stored(inner, "feed").cursor
    assert [] == inner.events(kind="bulletin.received")


def test_word_is_whole(inner: Desks) -> None:
    """A reader's word is on record with its line, or not at all; said again, it is taken."""
    line = published(inner)
    word = open_posted(inner.ack(READER, line).raw, inner.hub.directory, line.id)

    def job(batch: Batch) -> None:
        admit_ack(batch, word)
        raise RuntimeError("the disk is full")

    with pytest.raises(InternalError):
        inner.hub.writer.submit(job).result(WAIT_S)
    before = inner.events(kind="bulletin.opened")
    inner.hub.writer.submit(lambda batch: admit_ack(batch, word), (word.line.id,)).result(WAIT_S)

    with inner.hub.store.read() as conn:
        seq = inner.events(kind="bulletin.accepted")[0].seq
        [kept] = delivery.acks(conn, seq)
    assert [] == before
    assert [kept.seq] == [event.seq for event in inner.events(kind="bulletin.opened")]


def test_webhook_takes_over(inner: Desks) -> None:
    """What an endpoint took moves the cursor of its subscription and names its way."""
    wish = subscriptions.Wish("scams", SCAMS, subscriptions.BEGINNING)
    inner.hub.writer.submit(lambda batch: subscriptions.put(batch, READER, wish)).result(WAIT_S)
    known = stored(inner, "scams")

    inner.hub.writer.submit(lambda batch: subscriptions.take_over(batch, known, 3, way="webhook/scams")).result(WAIT_S)

    assert 3 == stored(inner, "scams").cursor
    assert [{"way": "webhook/scams", "to": 3, "count": 0}] == inner.details(kind="bulletin.received")
