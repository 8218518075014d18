"""Tests of the keys of a log: which one a checkpoint asks for, who follows whom, how that is shown and ordered."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from lintas import merkle, note
from lintas.checkpoint import Checkpoint, format_checkpoint, open_by_any, open_checkpoint
from lintas.crossing import read_crossing
from lintas.errors import BadCheckpoint, BadNote, BadProof, BadReceipt, InconsistentLog, MalformedPayload, OrderConflict
from lintas.event import Event, encode, entry_of
from lintas.evidence import Conflict, judge_conflict
from lintas.log_keys import LOG_KEYS_MAX, LogKey, LogKeys, opened, parse_log_keys
from lintas.note import SignerKey, VerifierKey, sign_note
from lintas.receipt import Receipt, format_receipt
from lintas.replay import Replay
from tests.lintas.conftest import DAY, HUB, NOW

if TYPE_CHECKING:
    from tests.lintas.conftest import Ledger

NAME = f"{HUB}/log/1"
FIRST, SECOND, THIRD, OTHER = (SignerKey.from_seed(NAME, bytes([n]) * 32) for n in range(4))
ELSEWHERE = SignerKey.from_seed("other.example/log/1", bytes(32))
SEQ, UNTIL = 5, 1_000
KEYS = LogKeys((LogKey(FIRST.verifier), LogKey(SECOND.verifier, SEQ, UNTIL)))


def announcement(new: VerifierKey, former: VerifierKey = FIRST.verifier, **changes: Any) -> dict[str, Any]:
    """Return what an event that announces a key tells."""
    return {"log_key": new.text(), "former": former.text(), "until": UNTIL} | changes


def signed(size: int, *signers: SignerKey, root: bytes = bytes(32), origin: str = NAME) -> bytes:
    """Return a checkpoint signed by these."""
    return sign_note(format_checkpoint(Checkpoint(origin, size, root)), *signers)


@pytest.mark.parametrize(
    ("size", "second", "signing"),
    [
        (SEQ, UNTIL - 1, [FIRST]),
        (SEQ, UNTIL, [FIRST]),
        (SEQ + 1, UNTIL - 1, [FIRST, SECOND]),
        (SEQ + 1, UNTIL, [SECOND]),
        (SEQ + 99, UNTIL - 1, [FIRST, SECOND]),
        (SEQ + 99, UNTIL, [SECOND]),
    ],
)
def test_who_signs(size: int, second: int, signing: list[SignerKey]) -> None:
    """The former key signs what is below the announcement, both until the overlap is over, then the new one alone."""
    assert tuple(key.verifier for key in signing) == KEYS.signing(size, second)
    assert signing[-1].verifier == KEYS.at(size)


@pytest.mark.parametrize(
    ("signers", "is_open"),
    [([SECOND], True), ([FIRST, SECOND], True), ([SECOND, FIRST], True), ([FIRST], False), ([OTHER], False)],
)
def test_newest_key_must_sign(signers: list[SignerKey], is_open: bool) -> None:  # noqa: FBT001 - a table
    """Whoever knows the new key takes no checkpoint over its announcement that it did not sign, at whatever place."""
    checkpoint, found = signed(SEQ + 1, *signers), True
    try:
        open_checkpoint(checkpoint, origin=NAME, key=KEYS)
    except BadNote:
        found = False

    assert is_open == found


def test_older_checkpoint_takes_the_older_key() -> None:
    """What was signed before the announcement stays good by the key of its time, and by no later one."""
    open_checkpoint(signed(SEQ, FIRST), origin=NAME, key=KEYS)

    with pytest.raises(BadNote, match="signed with the key"):
        open_checkpoint(signed(SEQ, SECOND), origin=NAME, key=KEYS)


def test_bad_signature_of_the_former_key() -> None:
    """A bad line by a known key refuses the note, though the key that must sign did."""
    text, (good,) = note.split_note(signed(SEQ + 1, SECOND))
    bad = note.Signature(NAME, FIRST.verifier.key_id, bytes(64))

    with pytest.raises(BadNote, match="does not belong"):
        open_checkpoint(note.format_note(text, [good, bad]), origin=NAME, key=KEYS)


def test_any_key_of_another_log() -> None:
    """Whoever judges by several keys of a log still takes no checkpoint of another."""
    with pytest.raises(BadCheckpoint):
        open_by_any(signed(9, FIRST, origin="elsewhere"), KEYS.keys)


@pytest.mark.parametrize(
    ("seq", "detail"),
    [
        (SEQ + 1, announcement(THIRD.verifier)),
        (SEQ + 1, announcement(FIRST.verifier, SECOND.verifier)),
        (SEQ + 1, announcement(ELSEWHERE.verifier, SECOND.verifier)),
        (SEQ + 1, announcement(THIRD.verifier, SECOND.verifier, until="soon")),
        (SEQ, announcement(THIRD.verifier, SECOND.verifier)),
    ],
)
def test_no_follower(seq: int, detail: dict[str, Any]) -> None:
    """A second follower of one key, a key that was there, another log's, a wrong time or place: nothing follows."""
    with pytest.raises(BadProof):
        KEYS.then(seq, detail)


def test_no_key() -> None:
    """An event that tells no key is refused, for the first as for a later one."""
    with pytest.raises(BadNote):
        opened({})
    with pytest.raises(BadNote):
        KEYS.then(SEQ + 1, {"former": SECOND.verifier.text(), "until": 0})


def test_kept_as_text() -> None:
    """The keys come back from the memory of a client as they were."""
    assert KEYS == parse_log_keys(KEYS.text())


def test_known_signers() -> None:
    """A line in the log's name by a key nobody told of is noticed; a witness's line is not."""
    lines = [note.split_note(signed(9, key))[1][0] for key in (SECOND, OTHER, ELSEWHERE)]

    assert [True, False, False] == [KEYS.knows([line]) for line in lines]
    assert [True, False, True] == [KEYS.knows_all([line]) for line in lines]


def crossing(*signers: SignerKey, kind: str = "log.key", detail: dict[str, Any] | None = None) -> bytes:
    """Return the receipt of an announcement, alone in a log of one event."""
    told = announcement(SECOND.verifier) if detail is None else detail
    body = encode(Event(kind, 1, "*", 1, None, told), bytes(16))
    root = merkle.leaf_hash(entry_of(body))
    return format_receipt(Receipt(0, (), signed(1, *signers, root=root), body))


def test_crossing() -> None:
    """Who knows the former key learns the new one from a checkpoint that both signed."""
    crossed = read_crossing(crossing(FIRST, SECOND), LogKeys.of(FIRST.verifier))

    assert LogKeys((LogKey(FIRST.verifier), LogKey(SECOND.verifier, 0, UNTIL))) == crossed


@pytest.mark.parametrize(
    "shown",
    [
        crossing(SECOND),
        crossing(FIRST),
        crossing(FIRST, OTHER),
        crossing(FIRST, SECOND, kind="log.opened"),
        crossing(FIRST, SECOND, detail=announcement(SECOND.verifier, THIRD.verifier)),
        crossing(FIRST, SECOND, detail={}),
        crossing(FIRST, SECOND).replace(b"index 0", b"index 1"),
        b"",
    ],
)
def test_no_crossing(shown: bytes) -> None:
    """Without the former key's signature, without the new one's, for another event or key: nobody crosses."""
    with pytest.raises(BadReceipt):
        read_crossing(shown, LogKeys.of(FIRST.verifier))


def test_second_follower_of_one_key() -> None:
    """Who crossed once does not cross from the former key again, to whatever its thief announces."""
    forged = crossing(FIRST, THIRD, detail=announcement(THIRD.verifier))
    read_crossing(forged, LogKeys.of(FIRST.verifier))

    with pytest.raises(BadReceipt):
        read_crossing(forged, KEYS)


@pytest.mark.parametrize(("other", "is_proven"), [((FIRST,), True), ((SECOND, FIRST), True), ((SECOND,), False)])
def test_evidence_by_one_key(other: tuple[SignerKey, ...], is_proven: bool) -> None:  # noqa: FBT001 - a table
    """Two roots of one size prove a fork where one key signed both: who stole a former key frames nobody."""
    conflict = Conflict(signed(9, FIRST), signed(9, *other, root=b"\1" * 32), b"")

    assert is_proven == judge_conflict(conflict, *KEYS.keys).is_proven


def ordered(ledger: Ledger, key: SignerKey, **changes: Any) -> Any:
    """Have both administrators order a key of the log."""
    arguments = {"log_key": key.verifier.text(), "overlap_s": DAY} | changes
    return ledger.post(ledger.order("log-key", "admin/one", "admin/two", **arguments))


def test_order(ledger: Ledger) -> None:
    """Two administrators' order announces the key that follows, with the second at which the former one ends."""
    effect, _ = ordered(ledger, SECOND)

    assert announcement(SECOND.verifier, until=NOW + DAY) == effect.detail
    assert ledger.directory.log_keys is not None
    assert (FIRST.verifier, SECOND.verifier) == ledger.directory.log_keys.keys


def test_one_after_the_other(ledger: Ledger) -> None:
    """The next key waits until the overlap is over; then a third may follow, so that two keys sign at most."""
    ordered(ledger, SECOND)
    with pytest.raises(OrderConflict, match="still signs"):
        ordered(ledger, THIRD)

    ledger.now += DAY
    ordered(ledger, THIRD)

    assert ledger.directory.log_keys is not None
    assert [a.seq < b.seq for a, b in pairwise(ledger.directory.log_keys.entries)] == [True, True]


@pytest.mark.parametrize(("key", "told"), [(ELSEWHERE, "no key of the log"), (FIRST, "signs the log already")])
def test_key_that_cannot_follow(ledger: Ledger, key: SignerKey, told: str) -> None:
    """The key of another hub's log, or one that signed before, is not ordered: no announcement fits two logs."""
    with pytest.raises(OrderConflict, match=told):
        ordered(ledger, key)


def test_too_many_keys(ledger: Ledger) -> None:
    """An epoch has as many keys as a policy has lines for them."""
    for number in range(LOG_KEYS_MAX - 1):
        ordered(ledger, SignerKey.from_seed(NAME, bytes([100 + number]) * 32))
        ledger.now += DAY

    with pytest.raises(OrderConflict, match="new epoch"):
        ordered(ledger, SECOND)


@pytest.mark.parametrize(
    "changes", [{"overlap_s": DAY - 1}, {"overlap_s": 30 * DAY + 1}, {"log_key": "k"}, {"log_key": 7}, {"more": 1}]
)
def test_malformed_order(ledger: Ledger, changes: dict[str, Any]) -> None:
    """Both keys sign for one day to thirty, and the order names a sound key."""
    with pytest.raises(MalformedPayload):
        ordered(ledger, SECOND, **changes)


def test_announcement_that_nobody_ordered(ledger: Ledger) -> None:
    """A replay refuses a key of the log without the order behind it, whatever the log says."""
    replay = Replay(ledger.directory)
    event = Event("log.key", NOW * 1_000_000, "*", 99, None, announcement(SECOND.verifier))

    with pytest.raises(InconsistentLog, match="does not show the line"):
        replay.step(event, seq=99, line=None)
