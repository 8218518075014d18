"""What a hub with the real log key tries on its client: each attempt of a review, kept as a test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from broker import batch as batch_module
from broker.web import charging
from lintas import feed, note, sync
from lintas.checkpoint import Checkpoint, format_checkpoint
from lintas.client import Client
from lintas.draft import Draft, read_draft
from lintas.errors import Busy, InconsistentLog, Unverified
from lintas.feed import Received
from lintas.header import BULLETIN
from lintas.state import Released, State
from tests.conftest import ExerciseHub

READER, ISSUER = "sg-fiu", "my-police"


@pytest.fixture
def draft() -> Callable[..., Draft]:
    """Return a maker of drafts."""

    def make(**changes: object) -> Draft:
        members = {
            "kind": "alert",
            "topic": "cyber.scam",
            "tlp": "GREEN",
            "urgency": "routine",
            "release_to": [READER],
            "valid_for": "P1D",
            "payload": {"title": "SIMULATED", "summary": "Fictional."},
        }
        return read_draft(members | changes)

    return make


def test_view_made_before_it_was_asked_for(exercise_hub: ExerciseHub) -> None:
    """A view without the nonce of this read is refused, however well it proves itself."""
    session = exercise_hub.client(READER).session
    asked = sync.place(session)
    body = exercise_hub.get(f"/v1/log/events?after={asked.after}", READER).content

    with pytest.raises(InconsistentLog, match="not made for this read"):
        sync.read_view(session, body, asked, "fresh")


def test_rolled_back_checkpoint(exercise_hub: ExerciseHub) -> None:
    """A view under a smaller checkpoint than the one kept is refused, and the kept one stays."""
    session = exercise_hub.client(READER).session
    known = sync.known_checkpoint(session)
    assert known is not None
    older = format_checkpoint(Checkpoint(origin=session.origin, size=known.size - 1, root=bytes(32)))
    view = sync.View(sync.place(session), (), note.sign_note(older, exercise_hub.hub.signer._key), is_complete=True)

    with pytest.raises(InconsistentLog, match="older checkpoint"):
        sync.accept_view(session, view, sync.Synced())

    assert known == sync.known_checkpoint(session)


def test_fetch_of_what_was_never_released(exercise_hub: ExerciseHub, draft: Callable[..., Draft]) -> None:
    """A bulletin that the log does not say was released is not shown, though its signature is good."""
    made = exercise_hub.client(ISSUER).publish(draft())
    client = exercise_hub.client(READER)
    client.fetch(made.id)
    client.session.state._db.execute("DELETE FROM released")

    with pytest.raises(Unverified, match="released"):
        client.fetch(made.id)


@pytest.mark.parametrize(("lead_s", "is_good"), [(-1, True), (3600, False)])
def test_expiry_is_not_the_hubs_word(exercise_hub: ExerciseHub, lead_s: int, *, is_good: bool) -> None:
    """A bulletin is believed to have expired only when the release said that it ends by now."""
    session = exercise_hub.client(READER).session
    row = Received(seq=4, id="A" * 43, state="expired")
    released = Released("A" * 43, 5, 4, 0, session.now() + lead_s, "cyber", "GREEN")

    if is_good:
        assert row is feed.judge(session, row, released)
    else:
        with pytest.raises(Unverified, match="stands until"):
            feed.judge(session, row, released)


def test_key_revoked_before_the_release(exercise_hub: ExerciseHub, draft: Callable[..., Draft]) -> None:
    """A line released after its key was revoked is refused, whatever index its row claims."""
    issuer, reader = exercise_hub.client(ISSUER), exercise_hub.client(READER)
    line = issuer.sign(draft())
    answer = issuer.revoke("keyCompromise", issuer.session.now())
    reader.sync()
    row = Received(seq=answer.seq - 1, id=line.id, line=line)
    released = Released(line.id, answer.seq + 1, answer.seq - 1, 0, 9, "cyber.scam", "GREEN")

    with pytest.raises(Unverified, match="not active"):
        feed.judge(reader.session, row, released)


def test_bulletin_in_our_name_to_everyone(
    exercise_hub: ExerciseHub, draft: Callable[..., Draft], tmp_path: Path
) -> None:
    """A bulletin to everyone that is logged as ours, but did not go through this outbox, raises a lasting alarm."""
    exercise_hub.client(ISSUER).publish(draft(release_to=["asean-all"]))
    identity = exercise_hub.identity(ISSUER)
    elsewhere = Client(
        identity, State(tmp_path / "other.state", log_key=identity.hub.log_key), clock=exercise_hub.clock
    )

    first, second = elsewhere.sync().alarms, elsewhere.sync().alarms
    elsewhere.close()

    assert first == second
    assert "outbox" in first[0]


def test_refusals_remembered_are_bounded(
    exercise_hub: ExerciseHub, draft: Callable[..., Draft], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused line is logged once while it is remembered; the oldest is forgotten first."""
    monkeypatch.setattr(batch_module, "REFUSED_MAX", 1)
    issuer = exercise_hub.client(ISSUER)
    lines = [issuer.sign(draft(topic=topic), release_to=["xx-police"]).raw for topic in ("drugs", "cyber")]

    for raw in (lines[0], lines[0], lines[1], lines[0]):
        exercise_hub.post("/v1/bulletins", raw, f"application/{BULLETIN}")
    found = exercise_hub.client("admin/auditor").admin_events(kind="bulletin.refused")["events"]

    assert 3 == len(found)


def test_room_for_bodies_is_bounded() -> None:
    """Bodies that come in at once share one bounded room, given back when they are done."""
    room = charging.BodyRoom()
    room.take("127.0.0.1", charging.BODIES_BYTES_MAX)

    with pytest.raises(Busy):
        room.take("192.0.2.1", 1)

    room.give("127.0.0.1", charging.BODIES_BYTES_MAX)
    room.take("192.0.2.1", 1)
