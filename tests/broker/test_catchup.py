"""What a replica finds when it looks at what others committed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from broker.batch import Batch, Head
from broker.catchup import Caught, catch_up
from broker.intake import admit_bulletin, open_bulletin
from broker.partners import admit_control, open_control
from broker.wakeup import News
from lintas.directory import Directory
from lintas.header import ORDER
from lintas.line import Line
from tests.broker.conftest import AUDITOR, REGISTRAR, Desks

ISSUER, READER, OTHER = "my-police", "sg-fiu", "th-cert"
WAIT_S = 20


def known(desks: Desks) -> tuple[Head, Directory]:
    """Return what a replica that saw everything so far knows, apart from what the writer changes in place."""

    def look(batch: Batch) -> tuple[Head, Directory]:
        head = batch._head
        return replace(head, party_seqs=dict(head.party_seqs), refused=dict(head.refused)), batch.directory

    return desks.hub.writer.submit(look).result(WAIT_S).value


def post(desks: Desks, line: Line) -> None:
    """Post a bulletin without HTTP."""
    submission = open_bulletin(line.raw, desks.hub.directory)
    desks.hub.writer.submit(lambda batch: admit_bulletin(batch, submission), (line.id,)).exception(WAIT_S)


def order(desks: Desks, act: str, **arguments: object) -> None:
    """Give an order of both administrators without HTTP."""
    first = desks.session(REGISTRAR).sign_order(act, arguments)
    line = open_control(desks.session(AUDITOR).countersign(first).raw, ORDER, desks.hub.directory)
    desks.hub.writer.submit(lambda batch: admit_control(batch, line, "")).result(WAIT_S)


def caught(desks: Desks, head: Head | None, directory: Directory) -> Caught | None:
    """Look as a replica that knows this much."""
    with desks.hub.store.read() as conn:
        return catch_up(conn, head, directory)


def test_nothing_new(inner: Desks) -> None:
    """Whoever knows the whole log finds nothing."""
    assert caught(inner, *known(inner)) is None


def test_same_head(inner: Desks) -> None:
    """Whoever catches up knows what the writer knows that committed: size, time, tree, numbers, refused ids."""
    post(inner, inner.bulletin(ISSUER, [READER]))
    before = known(inner)
    post(inner, inner.bulletin(ISSUER, [READER, OTHER]))
    post(inner, inner.bulletin(OTHER, ["ph-police"]))
    after = known(inner)

    found = caught(inner, *before)

    assert found is not None
    assert after[0] == found.head
    assert 1 == len(found.head.refused)


def test_whom_it_is_for(inner: Desks) -> None:
    """News name the recipients and the issuer; a directory that did not change is the same object."""
    before = known(inner)
    post(inner, inner.bulletin(ISSUER, [READER]))

    found = caught(inner, *before)

    assert found is not None
    assert News(frozenset((ISSUER, READER))) == found.news
    assert before[1] is found.directory


def test_withdrawn(inner: Desks) -> None:
    """A recall is news to all who read before it; what else is committed leaves the newest withdrawal as it was."""
    line = inner.bulletin(ISSUER, [READER])
    post(inner, line)
    before = known(inner)
    post(inner, inner.bulletin(ISSUER, [READER]))
    between = caught(inner, *before)
    post(inner, inner.recall(ISSUER, line.id, [READER]))
    after = caught(inner, *before)

    assert between is not None
    assert after is not None
    assert (before[0].withdrawn, False) == (between.head.withdrawn, between.news.has_withdrawn)
    assert (known(inner)[0].withdrawn, True) == (after.head.withdrawn, after.news.has_withdrawn)


def test_directory(inner: Desks) -> None:
    """The directory that follows is the one of the writer that carried the order out."""
    before = known(inner)
    order(inner, "grant", agency=ISSUER, publish=["drugs"], read=["*"])

    found = caught(inner, *before)

    assert found is not None
    assert found.news.directory_changed
    assert inner.hub.directory == found.directory
    assert before[1] != found.directory


def test_everything(inner: Desks) -> None:
    """Whoever knows nothing derives everything, and everyone is told to look."""
    found = caught(inner, None, Directory(""))

    assert found is not None
    assert inner.hub.directory == found.directory
    assert News(directory_changed=True) == found.news


def test_refused_ids_are_bounded(inner: Desks) -> None:
    """Of very many refused lines the oldest are forgotten."""
    head = known(inner)[0]
    for number in range(100_001):
        head.remember_refused(str(number))

    assert (100_000, False, True) == (len(head.refused), "0" in head.refused, "100000" in head.refused)


def test_untold(inner: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is signed was told to other replicas with the signature; what is not is told by who finds it."""
    before = known(inner)
    post(inner, inner.bulletin(ISSUER, [READER]))
    signed = caught(inner, *before)
    before = known(inner)

    def die(*_: object) -> None:
        raise RuntimeError("killed between commit and signature")

    monkeypatch.setattr(inner.hub.signer, "sign_new", die)
    post(inner, inner.bulletin(ISSUER, [OTHER]))
    unsigned = caught(inner, *before)

    assert signed is not None
    assert unsigned is not None
    assert (News(frozenset((ISSUER, READER))), News()) == (signed.news, signed.untold)
    assert (unsigned.news, frozenset((ISSUER, OTHER))) == (unsigned.untold, unsigned.untold.agencies)
