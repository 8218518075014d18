"""What a new epoch says of the former one: read strictly, replayed in order, held against a memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from lintas import note
from lintas.checkpoint import Checkpoint, format_checkpoint
from lintas.directory import Directory
from lintas.epoch import (
    Carried,
    Former,
    check_carried,
    check_epoch,
    check_epochs,
    goes_on,
    origin_of,
    read_carried,
    read_former,
    split_origin,
    stand,
)
from lintas.errors import BadCheckpoint, BadNote, BadProof, InconsistentLog, NewEpoch
from lintas.event import US_PER_S, Event
from lintas.line import Line
from lintas.log_keys import LogKeys
from lintas.replay import Replay

if TYPE_CHECKING:
    from tests.lintas.conftest import Ledger

HUB = "exercise.lintas.example-k3v9q2xa"
DAY_US = 86_400 * US_PER_S
KEY = note.SignerKey.from_seed(origin_of(HUB, 1), b"\1" * 32)
NEXT = note.SignerKey.from_seed(origin_of(HUB, 2), b"\2" * 32)
STRANGER = note.SignerKey.from_seed(origin_of(HUB, 1), b"\3" * 32)


def quote(size: int = 5, root: bytes = b"\5" * 32, *, key: note.SignerKey = KEY, carried: int = 0) -> Former:
    """Return what a first event says of a former log of this size."""
    text = format_checkpoint(Checkpoint(key.name, size, root))
    return Former(note.sign_note(text, key), key.verifier, carried, "00")


@pytest.mark.parametrize("origin", ["hub", "hub/log/", "hub/log/01", "hub/log/x", "hub/log/1234567", "/log/1"])
def test_no_origin(origin: str) -> None:
    """An origin is a hub's name and a plain number."""
    with pytest.raises(BadCheckpoint):
        split_origin(origin)


def test_origin() -> None:
    """Name and number of an epoch are read as they were written."""
    assert (HUB, 12) == split_origin(origin_of(HUB, 12))


def test_later_epoch() -> None:
    """Only a later epoch of the very hub is one to decide about."""
    for shown, pinned in ((KEY.name, NEXT.name), (KEY.name, KEY.name), ("other/log/2", KEY.name)):
        check_epochs(shown, pinned)
    with pytest.raises(NewEpoch):
        check_epochs(NEXT.name, KEY.name)
    with pytest.raises(NewEpoch):
        check_epoch(quote(key=NEXT).checkpoint, KEY.name)
    check_epoch(b"no note", KEY.name)


def test_former() -> None:
    """What is said of the former epoch is read as it was written; a first epoch says nothing."""
    assert quote() == read_former({"log_key": NEXT.verifier.text(), "former": quote().detail()})
    assert None is read_former({"hub": HUB})


@pytest.mark.parametrize(
    "changes",
    [
        {"carried": -1},
        {"carried": "1"},
        {"carried": True},
        {"lines": None},
        {"checkpoint": 1},
        {"log_key": "x"},
        {"more": 1},
    ],
)
def test_former_that_is_not_spelt_so(changes: dict[str, Any]) -> None:
    """Another member, type or key is refused."""
    with pytest.raises(BadProof):
        read_former({"log_key": NEXT.verifier.text(), "former": quote().detail() | changes})
    with pytest.raises(BadProof):
        read_former({"log_key": NEXT.verifier.text(), "former": None})


@pytest.mark.parametrize("origin", [NEXT.name, "other.example/log/1", "x"])
def test_former_of_another_log(origin: str) -> None:
    """The former epoch is an earlier one of this very log."""
    key = note.SignerKey.from_seed(origin, b"\1" * 32)

    with pytest.raises(BadProof):
        read_former({"log_key": NEXT.verifier.text(), "former": quote(key=key).detail()})


def test_stand() -> None:
    """A quote is larger, the same, or smaller than what was seen, of which some is lost then."""
    keys = LogKeys.of(KEY.verifier)
    sizes = {size: stand(quote(size), known=Checkpoint(KEY.name, 5, b"\5" * 32), keys=keys) for size in (3, 5, 8)}

    assert {3: 2, 5: 0, 8: 0} == {size: each.lost for size, each in sizes.items()}
    assert all(each.is_known for each in sizes.values())
    assert 0 == stand(quote(), known=None, keys=keys).lost


def test_stand_of_another_tree() -> None:
    """Another tree of the size that was seen is a fork."""
    with pytest.raises(InconsistentLog, match="it is a fork"):
        stand(quote(root=b"\6" * 32), known=Checkpoint(KEY.name, 5, b"\5" * 32), keys=LogKeys.of(KEY.verifier))


def test_stand_of_a_false_signature() -> None:
    """A false signature by a known key is refused, and so is one by the key that is named with the quote."""
    keys, other = LogKeys.of(KEY.verifier), quote(6)
    text, signatures = note.split_note(other.checkpoint)
    false = note.format_note(text.replace(b"\n6\n", b"\n7\n"), signatures)

    with pytest.raises(BadNote):
        stand(replace(other, checkpoint=false), known=None, keys=keys)
    with pytest.raises(BadNote):
        stand(replace(quote(key=STRANGER), log_key=KEY.verifier), known=None, keys=LogKeys.of(NEXT.verifier))


def test_stand_by_an_unknown_key() -> None:
    """A quote by a key that the memory does not know, or of another epoch, can be compared with nothing."""
    known = Checkpoint(KEY.name, 9, b"\5" * 32)

    found = [stand(each, known=known, keys=LogKeys.of(KEY.verifier)) for each in (quote(key=STRANGER), quote(key=NEXT))]

    assert [(False, 0)] * 2 == [(each.is_known, each.lost) for each in found]


def carried(*seqs: int) -> list[Carried]:
    """Return events of a former epoch."""
    return [Carried(seq, seq, "key.revoked", "*", "line", {"kid": str(seq)}) for seq in seqs]


def test_carried_as_known() -> None:
    """What a memory knows must be there, up to where it knows; what came later is beyond it."""
    check_carried(carried(1, 2), carried(1, 2, 7), until=5)
    check_carried(carried(1, 2, 6), carried(1, 2), until=5)


@pytest.mark.parametrize(
    ("theirs", "fault"),
    [
        (carried(1), "leaves out event 2"),
        (carried(1, 2, 3), "adds an event 3"),
        (carried(2), "changes or leaves out event 1"),
        ([*carried(1), replace(carried(2)[0], at=9)], "changes or leaves out event 2"),
    ],
)
def test_carried_otherwise(theirs: Sequence[Carried], fault: str) -> None:
    """An event left out, added or dated anew contradicts the memory."""
    with pytest.raises(InconsistentLog, match=fault):
        check_carried(carried(1, 2), theirs, until=5)


def test_what_goes_on() -> None:
    """Keys of the log, and what agencies order for themselves, stay behind."""
    said = {
        "log.opened": ("*", {}),
        "log.key": ("*", {}),
        "order.accepted": ("my-police", {"act": "watch"}),
        "token.issued": ("my-police", {}),
        "token.ended": ("my-police", {}),
        "key.revoked": ("*", {}),
    }
    events = [Event(kind, 1, party, 1, "line", detail) for kind, (party, detail) in said.items()]
    orders = [Event("order.accepted", 1, "admin/registrar", 1, "line", {"act": act}) for act in ("log-key", "grant")]

    assert [False] * 5 + [True] == [goes_on(each) for each in events]
    assert [False, True] == [goes_on(each) for each in orders]


Row = tuple[int, Event, Line | None]


def repeated(ledger: Ledger, *, later_us: int = 30 * DAY_US) -> list[Row]:
    """Return the events of a log as the next epoch repeats them a month later."""
    going_on = [(seq, event, line) for seq, (event, line) in enumerate(ledger.events) if goes_on(event)]
    opened = Event(
        "log.opened",
        ledger.events[-1][0].time + later_us,
        "*",
        1,
        None,
        {"hub": HUB, "log_key": NEXT.verifier.text(), "former": quote(carried=len(going_on)).detail()},
    )
    rows: list[Row] = [(0, opened, None)]
    for number, (seq, event, line) in enumerate(going_on, 1):
        told = read_carried(event, seq, 0)
        rows.append((number, replace(event, time=opened.time + number, detail=told.detail_now()), line))
    return rows


def replayed(rows: Sequence[Row]) -> Directory:
    """Replay rows from the beginning."""
    replay = Replay.begin(HUB)
    for seq, event, line in rows:
        replay = replay.step(event, seq=seq, line=line)
    return replay.directory


def altered(row: Row, **members: Any) -> Row:
    """Return a row with what it says of the former epoch changed."""
    seq, event, line = row
    told = {**event.detail["carried"], **members}
    return seq, replace(event, detail={**event.detail, "carried": told}), line


def test_replayed_as_decided_then(ledger: Ledger) -> None:
    """Lines that are a month old are decided at the second of their former events, and give the same directory."""
    ledger.post(ledger.order("grant", agency="my-police", publish=["cyber"], read=["*"]))
    ledger.post(ledger.rotation("my-police", new="new", overlap_s=3_600))
    ledger.post(ledger.revocation("sg-fiu"))
    found = replayed(repeated(ledger))

    times = {kid: (key.enrolled_at, key.active_from, key.superseded_at) for kid, key in found.keys.items()}
    former = ledger.directory
    assert times == {kid: (key.enrolled_at, key.active_from, key.superseded_at) for kid, key in former.keys.items()}
    assert (former.grants, former.communities) == (found.grants, found.communities)
    assert {*former.partners} == {*found.partners}


@pytest.mark.parametrize("fault", ["not told", "out of order", "back in time", "of the future", "too late", "unread"])
def test_not_replayed_otherwise(ledger: Ledger, fault: str) -> None:
    """A repeated event must say which it was, in order; an event beyond their number is decided now."""
    rows = repeated(ledger)
    at = len(rows) - 1
    seq, event, line = rows[at]
    if fault == "not told":
        detail = {name: each for name, each in event.detail.items() if name != "carried"}
        rows[at] = (seq, replace(event, detail=detail), line)
    elif fault == "out of order":
        rows[at] = altered(rows[at], seq=1)
    elif fault == "back in time":
        rows[at] = altered(rows[at], at=1)
    elif fault == "of the future":
        rows[at] = altered(rows[at], at=event.time // US_PER_S + 1)
    elif fault == "unread":
        rows[at] = altered(rows[at], at="then")
    else:
        former = rows[0][1].detail["former"]
        rows[0] = (0, replace(rows[0][1], detail={**rows[0][1].detail, "former": {**former, "carried": at - 1}}), None)

    with pytest.raises(InconsistentLog):
        replayed(rows)


def test_former_that_cannot_be_read(ledger: Ledger) -> None:
    """A log whose first event says something else of a former one is not replayed."""
    rows = repeated(ledger)
    opened = rows[0][1]

    with pytest.raises(InconsistentLog, match="former epoch ends"):
        replayed([(0, replace(opened, detail={**opened.detail, "former": {}}), None)])
