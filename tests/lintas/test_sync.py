"""Tests of following the log: a recorded view of a real hub is taken over; each way of tampering with it is refused."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

from lintas import checkpoint, note, sync, wire
from lintas.directory import Directory
from lintas.errors import (
    BadCheckpoint,
    BadIdentity,
    BadNote,
    BadProof,
    Busy,
    Evidence,
    InconsistentLog,
    LintasError,
    Unpinned,
)
from lintas.keys import Hub, Identity, SigningKey
from lintas.line import parse
from lintas.request import Response
from lintas.session import Session
from lintas.state import Released, State

if TYPE_CHECKING:
    from tests.lintas.conftest import Hostile, Recording

Rows = list[dict[str, Any]]


def new_session(recording: Recording, identity: Identity | None = None) -> Session:
    """Return a session of the recorded party that remembers nothing."""
    found = identity or recording.identity
    return Session(found, State(":memory:", log_key=found.hub.log_key), lambda: recording.now_us)


def rows_of(body: bytes) -> Rows:
    """Return the rows of a page, its checkpoint last."""
    return [json.loads(line) for line in body.decode().splitlines()]


def page(rows: Rows) -> bytes:
    """Return rows as a page."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def take(session: Session, body: bytes) -> sync.Synced:
    """Take over a page as `catch_up` does, without the question for consistency."""
    synced = sync.Synced()
    view = sync.read_view(session, body, sync.place(session))
    assert sync.accept_view(session, view, synced)
    return synced


def event_of(row: dict[str, Any]) -> dict[str, Any]:
    """Return the event of a row."""
    found: dict[str, Any] = json.loads(row["body"])
    return found


def place(rows: Rows, kind: str, number: int = 0) -> int:
    """Return the place of an event of this kind."""
    return [at for at, row in enumerate(rows[:-1]) if event_of(row)["kind"] == kind][number]


def signed(recording: Recording, size: int, root: bytes, origin: str | None = None) -> str:
    """Return a checkpoint signed with the hub's own log key: a hub that lies has it."""
    found = checkpoint.Checkpoint(origin or recording.log_key.name, size, root)
    return note.sign_note(checkpoint.format_checkpoint(found), recording.log_key).decode()


# --- a view as it is ---


def test_view_gives_the_directory(recording: Recording) -> None:
    """Whoever takes over the events of its own and of every partner knows partners, keys and its own grants."""
    session = new_session(recording)

    synced = take(session, recording.events)

    mine = {party: grant for party, grant in recording.directory.grants.items() if party == session.party}
    assert replace(recording.directory, grants=mine, spent=frozenset()) == session.directory
    assert (len(rows_of(recording.events)) - 1, []) == (synced.events, synced.alarms)


def test_view_is_remembered(recording: Recording) -> None:
    """A session opened again on the same memory has the same directory, replayed from what was kept."""
    session = new_session(recording)
    take(session, recording.events)

    again = Session(recording.identity, session.state, session.clock)

    assert session.directory == again.directory


def test_view_is_taken_over_once(recording: Recording) -> None:
    """When another process on the same memory was faster, a page is not taken over again."""
    session = new_session(recording)
    view = sync.read_view(session, recording.events, sync.place(session))
    take(session, recording.events)

    assert not sync.accept_view(session, view, sync.Synced())


def test_releases_are_remembered(recording: Recording) -> None:
    """What the log says was released to us is kept until it is delivered."""
    session = new_session(recording)
    take(session, recording.events)

    assert [each.id for each in recording.published] == [each.id for each in session.state.unseen(10**6)]


def test_own_bulletins_are_seen(recording: Recording) -> None:
    """What we issued ourselves is not waited for."""
    session = new_session(recording)
    take(session, recording.events)
    rows = rows_of(recording.events)
    own = event_of(rows[place(rows, "bulletin.accepted")])["object"]

    session.state.add_released([Released(own, 5, 4, 9, 99, "cyber", "GREEN")])

    assert own not in [each.id for each in session.state.unseen(10**6)]


def test_key_of_ours_that_we_made(recording: Recording) -> None:
    """The key of the identity raises no alarm."""
    assert [] == take(new_session(recording), recording.events).alarms


def test_key_of_ours_that_we_did_not_make(recording: Recording) -> None:
    """A key for our own agency that this identity did not make raises an alarm; one it is rotating to does not."""
    other = SigningKey.from_seed(bytes(32))
    stranger = replace(recording.identity, key=other)
    rotating = replace(stranger, next_key=recording.identity.key)

    (alarm,) = take(new_session(recording, stranger), recording.events).alarms

    assert recording.identity.key.kid in alarm
    assert [] == take(new_session(recording, rotating), recording.events).alarms


def test_pages_of_a_long_log(hostile: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log longer than a page is taken over page by page, to the same end as in one."""
    identity = hostile.client.session.identity
    session = Session(identity, State(":memory:", log_key=identity.hub.log_key))
    monkeypatch.setattr("lintas.sync.EVENT_ROWS_MAX", 7)

    synced = caught_up(session, hostile)

    assert hostile.client.directory == session.directory
    assert synced.events > 40


def caught_up(session: Session, hostile: Hostile) -> sync.Synced:
    """Catch up with a memory of its own, straight from the hub."""
    operation = wire.catch_up(session)
    request = next(operation)
    while True:
        answer = hostile.hub.get(request.path, **request.headers)
        response = Response(answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, answer.content)
        try:
            request = operation.send(response)
        except StopIteration as stop:
            found: sync.Synced = stop.value
            return found


# --- tampering with a view ---


def edited(row: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Return a row whose event has other members: its hash no longer fits the proof."""
    return {**row, "body": json.dumps({**event_of(row), **members}, separators=(",", ":"), sort_keys=True)}


def without(at: int) -> Callable[[Rows, Recording], Rows]:
    """Drop one row."""
    return lambda rows, _: [row for place, row in enumerate(rows) if place != (at if at >= 0 else len(rows) + at)]


def swapped(rows: Rows, _: Recording) -> Rows:
    """Swap two neighbours."""
    return [rows[0], rows[2], rows[1], *rows[3:]]


def doubled(rows: Rows, _: Recording) -> Rows:
    """Show one event twice."""
    return [*rows[:2], rows[1], *rows[2:]]


def only_own(rows: Rows, recording: Recording) -> Rows:
    """Leave out what every partner may read."""
    return [row for row in rows[:-1] if event_of(row)["party"] == recording.identity.party] + rows[-1:]


def last_star(rows: Rows, _: Recording) -> Rows:
    """Leave out the newest event that every partner may read."""
    at = [place for place, row in enumerate(rows[:-1]) if event_of(row)["party"] == "*"][-1]
    return rows[:at] + rows[at + 1 :]


def released_dropped(rows: Rows, _: Recording) -> Rows:
    """Leave out a release."""
    at = place(rows, "bulletin.released")
    return rows[:at] + rows[at + 1 :]


def key_swapped(rows: Rows, _: Recording) -> Rows:
    """Swap a partner's key in its event."""
    at = place(rows, "key.enrolled", 3)
    detail = {**event_of(rows[at])["detail"], "kid": "A" * 43, "public": "00" * 32}
    return [*rows[:at], edited(rows[at], detail=detail), *rows[at + 1 :]]


def other_body(rows: Rows, _: Recording) -> Rows:
    """Show one event's body at another's place."""
    return [{**rows[0], "body": rows[1]["body"]}, *rows[1:]]


def line_dropped(rows: Rows, _: Recording) -> Rows:
    """Leave out the line behind a key event."""
    at = place(rows, "key.approved", 2)
    return [*rows[:at], {name: rows[at][name] for name in ("seq", "body", "proof")}, *rows[at + 1 :]]


def line_swapped(rows: Rows, _: Recording) -> Rows:
    """Show another line behind a key event."""
    at, other = place(rows, "key.approved", 2), place(rows, "key.approved", 1)
    return [*rows[:at], {**rows[at], "line": rows[other]["line"]}, *rows[at + 1 :]]


def first_row(**members: Any) -> Callable[[Rows, Recording], Rows]:
    """Change members of the first row."""
    return lambda rows, _: [{**rows[0], **members}, *rows[1:]]


def last_row(**members: Any) -> Callable[[Rows, Recording], Rows]:
    """Change members of the last row."""
    return lambda rows, _: [*rows[:-1], {**rows[-1], **members}]


def other_log_key(rows: Rows, recording: Recording) -> Rows:
    """Sign the checkpoint with another key of the same name."""
    key = note.SignerKey.from_seed(recording.log_key.name, bytes(32))
    found = note.sign_note(rows[-1]["checkpoint"].split("\n\n")[0] + "\n", key)
    return [*rows[:-1], {"checkpoint": found.decode()}]


def other_origin(rows: Rows, recording: Recording) -> Rows:
    """Sign a checkpoint of another log with the pinned key."""
    return [*rows[:-1], {"checkpoint": signed(recording, 10, bytes(32), "elsewhere.example/log/1")}]


def other_root(rows: Rows, recording: Recording) -> Rows:
    """Sign another root with the pinned key: a fork."""
    return [*rows[:-1], {"checkpoint": signed(recording, recording.size, sha256(b"fork").digest())}]


def other_size(rows: Rows, recording: Recording) -> Rows:
    """Sign the right root for another size."""
    return [*rows[:-1], {"checkpoint": signed(recording, recording.size + 1, recording.root)}]


TAMPERED: dict[str, tuple[Callable[[Rows, Recording], Rows], type[Evidence]]] = {
    "first dropped": (without(0), InconsistentLog),
    "middle dropped": (without(20), InconsistentLog),
    "closing read dropped": (without(-2), InconsistentLog),
    "checkpoint dropped": (without(-1), BadProof),
    "everything dropped": (lambda _rows, _: [], BadProof),
    "all but the checkpoint dropped": (lambda rows, _: rows[-1:], InconsistentLog),
    "all but the read dropped": (lambda rows, _: rows[-2:], InconsistentLog),
    "shared events dropped": (only_own, InconsistentLog),
    "newest shared event dropped": (last_star, InconsistentLog),
    "release dropped": (released_dropped, InconsistentLog),
    "tail dropped": (lambda rows, _: rows[:10] + rows[-1:], InconsistentLog),
    "read dropped and all but one": (lambda rows, _: rows[:1] + rows[-1:], InconsistentLog),
    "swapped": (swapped, InconsistentLog),
    "doubled": (doubled, InconsistentLog),
    "key swapped": (key_swapped, BadProof),
    "body of another": (other_body, BadProof),
    "line dropped": (line_dropped, InconsistentLog),
    "line swapped": (line_swapped, InconsistentLog),
    "index moved": (first_row(seq=1), BadProof),
    "index negative": (first_row(seq=-1), BadProof),
    "index past the end": (first_row(seq=10**6), BadProof),
    "index a text": (first_row(seq="0"), BadProof),
    "index true": (first_row(seq=True), BadProof),
    "index null": (first_row(seq=None), BadProof),
    "proof empty": (first_row(proof=[]), BadProof),
    "proof of nothing": (first_row(proof=["A"]), BadProof),
    "proof a number": (first_row(proof=5), BadProof),
    "proof of numbers": (first_row(proof=[5]), BadProof),
    "body withheld": (first_row(body=None), BadProof),
    "line a number": (first_row(line=5), BadProof),
    "checkpoint a number": (last_row(checkpoint=5), BadProof),
    "checkpoint empty": (last_row(checkpoint=""), BadNote),
    "other log key": (other_log_key, BadNote),
    "other origin": (other_origin, BadCheckpoint),
    "other root": (other_root, BadProof),
    "other size": (other_size, BadProof),
}


@pytest.mark.parametrize(("tamper", "evidence"), TAMPERED.values(), ids=TAMPERED)
def test_tampered_view(
    recording: Recording, tamper: Callable[[Rows, Recording], Rows], evidence: type[Evidence]
) -> None:
    """A view that was tampered with is refused, and nothing of it is remembered."""
    session = new_session(recording)
    before = sync.place(session)

    with pytest.raises(evidence):
        take(session, page(tamper(rows_of(recording.events), recording)))

    assert (before, [], None) == (sync.place(session), session.state.control(), sync.known_checkpoint(session))
    assert Directory(recording.identity.hub.name) == session.directory


SHAPELESS = {
    "empty": b"",
    "html": b"<html>502</html>",
    "deep": b"[" * 100_000,
    "surrogate": b'{"checkpoint":"\\ud800"}',
    "array": b"[]\n{}",
    "binary": b"\xff\xfe",
    "not a row": b'7\n{"checkpoint":"x"}',
}


@pytest.mark.parametrize("body", SHAPELESS.values(), ids=SHAPELESS)
def test_shapeless_view(recording: Recording, body: bytes) -> None:
    """Whatever is no page of events is refused as evidence, not with a crash."""
    session = new_session(recording)

    with pytest.raises(Evidence):
        take(session, body)


def test_old_view_again(recording: Recording) -> None:
    """A page shown before is not taken for an answer to a later question."""
    session = new_session(recording)
    take(session, recording.events)

    with pytest.raises(InconsistentLog):
        take(session, recording.events)


def test_page_that_ends_early(recording: Recording) -> None:
    """A page that leaves out its tail is a page of a longer log: there is more to ask for."""
    rows = rows_of(recording.events)
    session = new_session(recording)

    view = sync.read_view(session, page(rows[:-4] + rows[-2:]), sync.place(session))

    assert (False, len(rows) - 4) == (view.is_complete, len(view.events))


def test_view_of_another_reader(recording: Recording) -> None:
    """A page made for another partner does not end with our own read."""
    session = new_session(recording, replace(recording.identity, party="my-police"))

    with pytest.raises(InconsistentLog, match="record of this read"):
        take(session, recording.events)


def test_release_says_what_it_released(recording: Recording) -> None:
    """A release with lists of different length is refused."""
    session = new_session(recording)
    view = sync.read_view(session, recording.events, sync.place(session))
    at = next(at for at, each in enumerate(view.events) if each.event.kind == "bulletin.released")
    odd: list[dict[str, Any]] = [
        {"ids": ["a"], "topics": [], "tlps": []},
        {"ids": ["a"]},
        {"ids": 7, "topics": 7, "tlps": 7},
    ]

    for detail in odd:
        event = replace(view.events[at], event=replace(view.events[at].event, detail=detail))
        events = (*view.events[:at], event, *view.events[at + 1 :])
        with pytest.raises(BadProof, match="what it released"):
            sync.accept_view(session, replace(view, events=events), sync.Synced())


# --- consistency with what was shown before ---


def answered(session: Session, shown: bytes, answer: Response) -> LintasError | None:
    """Ask for consistency with a checkpoint, get this answer, return what was raised."""
    operation = wire.check_consistent(session, shown)
    try:
        next(operation)
        operation.send(answer)
    except StopIteration:
        return None
    except LintasError as fault:
        return fault
    raise AssertionError


def remembering(recording: Recording, kept: bytes) -> Session:
    """Return a session whose memory holds this checkpoint."""
    session = new_session(recording)
    session.state.put("checkpoint", kept)
    return session


def test_later_checkpoint_is_proven(recording: Recording) -> None:
    """A later checkpoint is believed with its proof."""
    first, second, _ = recording.checkpoints

    assert answered(remembering(recording, first), second, Response(200, {}, recording.consistency)) is None


def test_earlier_checkpoint_is_proven(recording: Recording) -> None:
    """An earlier checkpoint, as a receipt has, is believed as a part of what we know."""
    first, second, _ = recording.checkpoints

    assert answered(remembering(recording, second), first, Response(200, {}, recording.consistency)) is None


def test_same_checkpoint_needs_no_proof(recording: Recording) -> None:
    """The checkpoint we have is not asked about, and the first one of all is taken as it is."""
    first = recording.checkpoints[0]

    for session in (remembering(recording, first), new_session(recording)):
        with pytest.raises(StopIteration):
            next(wire.check_consistent(session, first))


def test_empty_log_needs_no_proof(recording: Recording) -> None:
    """Every log extends an empty one."""
    empty = signed(recording, 0, sha256(b"").digest()).encode()

    with pytest.raises(StopIteration):
        next(wire.check_consistent(remembering(recording, empty), recording.checkpoints[0]))


def proofs(good: bytes) -> dict[str, bytes]:
    """Return answers that prove nothing."""
    head, _, shown = good.partition(b"\n\n")
    first, *hashes = head.split(b"\n")
    other = base64.b64encode(bytes(32))
    return {
        "empty": b"",
        "no proof": first + b"\n\n" + shown,
        "hash dropped": b"\n".join([first, *hashes[:-1]]) + b"\n\n" + shown,
        "hash changed": b"\n".join([first, *hashes[:-1], other]) + b"\n\n" + shown,
        "hash added": b"\n".join([first, *hashes, other]) + b"\n\n" + shown,
        "hash malformed": b"\n".join([first, *hashes[:-1], b"A"]) + b"\n\n" + shown,
        "hash not ascii": b"\n".join([first, *hashes[:-1], b"\xff"]) + b"\n\n" + shown,
        "other old size": b"\n".join([b"old 1", *hashes]) + b"\n\n" + shown,
        "checkpoint dropped": head + b"\n\n",
        "checkpoint unsigned": head + b"\n\n" + shown.split(b"\n\n")[0] + b"\n",
    }


@pytest.mark.parametrize("name", proofs(b""))
def test_consistency_that_proves_nothing(recording: Recording, name: str) -> None:
    """Without a proof that holds, a new checkpoint is not believed."""
    first, second, _ = recording.checkpoints
    answer = Response(200, {}, proofs(recording.consistency)[name])

    assert isinstance(answered(remembering(recording, first), second, answer), InconsistentLog)


def test_consistency_of_other_sizes(recording: Recording) -> None:
    """A sound proof for another checkpoint than the one shown is no answer."""
    first, _, third = recording.checkpoints

    fault = answered(remembering(recording, first), third, Response(200, {}, recording.consistency))

    assert isinstance(fault, InconsistentLog)


def test_consistency_denied(recording: Recording) -> None:
    """A hub that does not know a checkpoint it signed has rolled its log back."""
    first, second, _ = recording.checkpoints
    answer = Response(404, {}, b'{"type":"tag:lintas.example,2026:not-found"}')

    assert isinstance(answered(remembering(recording, second), first, answer), InconsistentLog)


def test_consistency_not_answered(recording: Recording) -> None:
    """A hub that is busy is no liar."""
    first, second, _ = recording.checkpoints
    answer = Response(503, {}, b'{"type":"tag:lintas.example,2026:busy"}')

    assert isinstance(answered(remembering(recording, first), second, answer), Busy)


def test_fork_of_the_same_size(recording: Recording) -> None:
    """Two roots for one size are a fork, whatever is offered as proof."""
    session = remembering(recording, signed(recording, 10, sha256(b"one").digest()).encode())
    other = signed(recording, 10, sha256(b"two").digest()).encode()

    fault = answered(session, other, Response(200, {}, b"old 10\n\n" + other))

    assert isinstance(fault, InconsistentLog)


def test_split_view(hostile: Hostile) -> None:
    """A client led to a twin of the hub that has another past with the same key notices at once."""
    hostile.hub.client("my-police").token()
    twin = hostile.twin()
    for party in ("my-police", "id-police"):
        hostile.hub.client(party).sync()
    hostile.client.sync()
    for _ in range(12):
        twin.client("my-police").sync()
    known = hostile.state.get("checkpoint")

    hostile.middle.elsewhere = twin.url
    with pytest.raises(InconsistentLog):
        hostile.client.sync()

    assert known == hostile.state.get("checkpoint")


def test_rolled_back_log(hostile: Hostile) -> None:
    """A client led to a copy of the hub from yesterday notices at once."""
    twin = hostile.twin()
    for _ in range(5):
        hostile.client.sync()

    hostile.middle.elsewhere = twin.url
    with pytest.raises(InconsistentLog):
        hostile.client.sync()


# --- what a session needs ---


def test_session_needs_a_log_key() -> None:
    """Without a readable pinned key nothing is believed of a hub."""
    identity = Identity("sg-fiu", SigningKey.from_seed(bytes(32)), Hub("", "lintas.example-k3v9q2xa", "none"))

    with pytest.raises(Unpinned):
        Session(identity, State(":memory:", log_key="none"))


def test_session_needs_the_log_key_of_its_hub() -> None:
    """The pinned key is the key of this hub's log, not of any log."""
    key = note.SignerKey.from_seed("lintas.example-aaaaaaaa/log/1", bytes(32)).verifier.text()
    identity = Identity("sg-fiu", SigningKey.from_seed(bytes(32)), Hub("", "lintas.example-k3v9q2xa", key))

    with pytest.raises(BadIdentity):
        Session(identity, State(":memory:", log_key=key))


def test_line_behind_an_event_is_parsed(recording: Recording) -> None:
    """A line shown behind an event is read as strictly as any line."""
    rows = rows_of(recording.events)
    at = place(rows, "key.approved", 2)
    rows[at]["line"] += "="

    with pytest.raises(LintasError):
        take(new_session(recording), page(rows))
    assert "vnd.lintas.order" == parse(rows[place(rows, "key.approved", 1)]["line"].encode()).header.typ
