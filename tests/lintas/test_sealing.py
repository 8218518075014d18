"""Both clients with sealed bulletins on a real hub: publishing, reading, renewing, sealing again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from lintas import sealing
from lintas.client import Client
from lintas.draft import Draft
from lintas.errors import (
    HubUnreachable,
    MalformedPayload,
    NoOpeningKey,
    NotAllowed,
    OrderConflict,
    SealedToOldKey,
    Superseded,
    UnknownRecipient,
    WrongOpeningKeys,
)
from lintas.feed import Received
from lintas.keys import SigningKey, fresh_content_key, fresh_opening
from lintas.line import make_head, parse, sign_under
from lintas.opening import RENEW_S, OpeningKey
from lintas.sealed import read_sealed, seal
from lintas.session import Session
from lintas.state import REFUSED, REPLACED, SENT
from lintas.strict import canonical
from tests.conftest import ExerciseHub

if TYPE_CHECKING:
    from tests.lintas.conftest import Hostile

both_ways = pytest.mark.parametrize("way", ["Client", "AsyncClient"])

Draw = Callable[..., Draft]

DAY = 86_400
ISSUER, READER, OTHER = "my-police", "sg-fiu", "th-cert"
TITLE = "Fictional: who is named here"
RED: dict[str, Any] = {
    "tlp": "RED",
    "payload": {
        "title": TITLE,
        "summary": "FICTIONAL.",
        "named_recipients": [f"{READER}/duty-officer"],
        "marking_reason": "FICTIONAL. The source is in danger.",
    },
}


def renew(client: Any, key: OpeningKey | None = None) -> OpeningKey:
    """Give a client a new opening key and tell it."""
    key = key or fresh_opening()
    identity = client.session.identity
    client.session.identity = replace(identity, openings=(*identity.openings, key))
    client.renew_opening(key)
    return key


def lose_keys(client: Any) -> None:
    """Lose every opening key, as a desk does whose identity file came from an old backup."""
    client.session.identity = replace(client.session.identity, openings=())


def title(item: Received) -> str | None:
    """Return the title of what was opened."""
    return None if item.content is None else item.content.title


def follow(client: Any) -> list[Received]:
    """Return what is new for a client."""
    return list(client.follow(once=True))


def badly_sealed(session: Session, content: bytes, *, to: list[str], **changes: Any) -> bytes:
    """Seal what a Lintas client would not, as a hostile sender does."""
    members = {
        "exp": session.now() + DAY,
        "kind": "alert",
        "topic": "cyber.scam",
        "tlp": "RED",
        "release_to": to,
        "urgency": "routine",
        "enc": "hpke",
    }
    head = make_head(session._header("vnd.lintas.bulletin", members | changes), session.identity.key)
    keys = {key.kid: key.public for key in session.opening_keys(to)}
    return sign_under(head, seal(content, head=head, to=keys, content_key=fresh_content_key()), session.identity.key)


# --- publishing, reading ---


@both_ways
def test_red_is_read_by_its_recipients(hostile: Hostile, draft: Draw) -> None:
    """Sealed RED is opened by whom it names; the hub and everyone else hold only ciphertext."""
    made = hostile.hub.client(ISSUER).publish(draft("", **RED))

    (found,) = follow(hostile.client)

    assert found.content is not None
    assert (made.id, TITLE, True, None) == (found.id, found.content.title, found.is_sealed, found.unopened)
    assert RED["payload"] == json.loads(found.payload or b"")
    assert TITLE.encode() not in (found.line.raw if found.line else b"")
    assert [] == follow(hostile.hub.client(OTHER))


@both_ways
def test_fetched(hostile: Hostile, draft: Draw) -> None:
    """Alone, too, it is opened, by recipient and issuer."""
    made = hostile.hub.client(ISSUER).publish(draft("", **RED))

    for client in (hostile.client, hostile.hub.client(ISSUER)):
        assert TITLE == title(client.with_purpose("investigation", "SIM-1").fetch(made.id))


def test_anything_is_sealed_on_wish(exercise_hub: ExerciseHub, draft: Draw) -> None:
    """Any bulletin to named recipients may be sealed, a community's members too."""
    made = exercise_hub.client(ISSUER).publish(draft("AMBER", seal=True, release_to=["regional-cert", READER]))

    (found,) = follow(exercise_hub.client(READER))

    assert found.content is not None
    assert (made.id, "AMBER", "hpke") == (found.id, found.content.title, found.header.enc)


def test_clear_bulletin_is_as_before(exercise_hub: ExerciseHub, draft: Draw) -> None:
    """What is not sealed comes with its payload and no mark."""
    exercise_hub.client(ISSUER).publish(draft("clear"))

    (found,) = follow(exercise_hub.client(READER))

    assert (False, None, found.line.payload if found.line else None) == (found.is_sealed, found.unopened, found.payload)


def test_posts_are_checked_once_recipients_are_known(exercise_hub: ExerciseHub, draft: Draw) -> None:
    """A post of an agency that a community does not bring in is found before signing."""
    payload = RED["payload"] | {"named_recipients": ["my-fiu/duty-officer"]}

    with pytest.raises(MalformedPayload) as caught:
        exercise_hub.client(ISSUER).sign(draft("", seal=True, release_to=[READER], payload=payload))

    assert "named_recipients" == caught.value.member


def test_recipient_without_a_key(exercise_hub: ExerciseHub, draft: Draw) -> None:
    """Nothing is signed for an agency that has no proven key; it is named."""
    exercise_hub.clock.advance(91 * DAY)
    client = exercise_hub.client(ISSUER)

    with pytest.raises(NoOpeningKey, match=READER):
        client.sign(draft("", **RED))


def test_own_key_of_somebody_else(exercise_hub: ExerciseHub, draft: Draw) -> None:
    """A thief's opening key in our name gets nothing: we do not seal our copy to a key we do not hold, and alarm."""
    client = exercise_hub.client(ISSUER)
    thief = fresh_opening()
    client.renew_opening(thief)

    with pytest.raises(NoOpeningKey, match="none of this identity"):
        client.sign(draft("", **RED))
    assert [True] == [thief.kid in alarm for alarm in client.session.alarms()]
    client.session.state.put(f"ours:{thief.kid}", 1)
    assert [] == client.session.alarms()


def test_hub_that_adds_a_key(hostile: Hostile, draft: Draw) -> None:
    """What a hub says of keys beside the log is not asked: content is sealed to proven keys alone."""
    client = hostile.hub.client(ISSUER)
    proven = {client.directory.opening_key(party, client.session.now()) for party in (ISSUER, READER)}

    line = client.sign(draft("", **RED))

    assert {record.kid for record in proven if record is not None} == {*read_sealed(line.payload).to}


# --- what does not open ---


def attempts() -> dict[str, tuple[bytes, dict[str, Any], str | None]]:
    """Return what a hostile sender seals properly: content, header, the member at fault."""
    named, reason = RED["payload"]["named_recipients"], RED["payload"]["marking_reason"]
    text = {"title": "Fictional", "summary": "FICTIONAL."}
    indicator = {"type": "ip", "value": "203.0.113.7", "role": "x"}
    return {
        "no JSON": (b"\0\1", {}, None),
        "another schema": (canonical(text | {"password": "x"}), {}, "password"),
        "RED for nobody": (canonical(text | {"marking_reason": reason}), {}, "named_recipients"),
        "RED for no reason": (canonical(text | {"named_recipients": named}), {}, "marking_reason"),
        "direction override": (canonical(text | {"title": "a\u202eb"}), {"tlp": "AMBER"}, "title"),
        "indicator not canonical": (
            canonical(text | {"indicators": [indicator | {"value": "203.0.113.007"}]}),
            {"tlp": "AMBER"},
            "indicators[0].value",
        ),
    }


@pytest.mark.parametrize(("content", "changes", "member"), attempts().values(), ids=attempts())
def test_bad_content_does_not_stop_the_feed(
    exercise_hub: ExerciseHub, draft: Draw, content: bytes, changes: dict[str, Any], member: str | None
) -> None:
    """What a sender sealed badly is not shown, its reason is, and what follows comes as ever."""
    issuer = exercise_hub.client(ISSUER)
    issuer.publish_line(parse(badly_sealed(issuer.session, content, to=[READER], **changes)))
    issuer.publish(draft("after"))

    bad, good = follow(exercise_hub.client(READER))

    assert isinstance(bad.unopened, MalformedPayload)
    assert (None, None, member) == (bad.content, bad.payload, bad.unopened.member)
    assert good.content is not None
    assert ("after", []) == (good.content.title, follow(exercise_hub.client(READER)))


def test_sealed_partial_recall(exercise_hub: ExerciseHub, draft: Draw) -> None:
    """A sealed recall that names indicators is malformed: it withdrew the whole, and says otherwise."""
    issuer = exercise_hub.client(ISSUER)
    made = issuer.publish(draft("first"))
    content = {"title": "Recall", "summary": "FICTIONAL.", "reason": "false-positive"}
    content["indicators"] = [{"type": "ip", "value": "203.0.113.7", "role": "x"}]  # type: ignore[assignment]
    refs = {"tlp": "AMBER", "kind": "recall", "refs": [f"recalls:{made.id}"]}
    issuer.publish_line(parse(badly_sealed(issuer.session, canonical(content), to=[READER], **refs)))

    original, recall = follow(exercise_hub.client(READER))

    assert isinstance(recall.unopened, MalformedPayload)
    assert ("recalled", "indicators") == (original.state, recall.unopened.member)


@both_ways
def test_sealed_to_a_lost_key(hostile: Hostile, draft: Draw) -> None:
    """A reader that lost its key is told so, the feed goes on, and nothing counts as malformed."""
    issuer = hostile.hub.client(ISSUER)
    issuer.publish(draft("", **RED))
    issuer.publish(draft("after"))
    lose_keys(hostile.client)

    lost, after = follow(hostile.client)

    assert ((None, SealedToOldKey), "after") == ((lost.content, type(lost.unopened)), title(after))
    assert [] == follow(hostile.client)


def test_sender_and_hub_that_leave_us_out(exercise_hub: ExerciseHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is addressed to us and sealed to no key of ours is the sender's fault, not a key of ours that is gone."""
    monkeypatch.setattr("broker.policy._check_opening_keys", lambda *_: None)
    issuer = exercise_hub.client(ISSUER)
    honest = issuer.session.opening_keys
    monkeypatch.setattr(issuer.session, "opening_keys", lambda _to: honest([OTHER]))
    content = canonical(RED["payload"])
    issuer.publish_line(parse(badly_sealed(issuer.session, content, to=[READER])))

    (found,) = follow(exercise_hub.client(READER))

    assert isinstance(found.unopened, MalformedPayload)
    assert "to" == found.unopened.member


@both_ways
def test_old_key_opens_what_it_was_told_for(hostile: Hostile, draft: Draw) -> None:
    """After a renewal, bulletins under the old key and the new one open."""
    issuer = hostile.hub.client(ISSUER)
    issuer.publish(draft("", **RED))
    renew(hostile.client)
    issuer.sync()
    issuer.publish(draft("", **RED))

    assert [TITLE, TITLE] == [title(each) for each in follow(hostile.client)]


# --- on its way ---


@both_ways
@pytest.mark.parametrize("party", [ISSUER])
def test_key_renewed_on_the_way(hostile: Hostile, draft: Draw) -> None:
    """A recipient's renewal while a line is under way: it is sealed anew to the new key, and both lines are kept."""
    line = hostile.client.sign(draft("", **RED))
    key = renew(hostile.hub.client(READER))

    made = hostile.client.publish_line(line)

    (old,), (new,) = hostile.state.outgoing(REPLACED), hostile.state.outgoing(SENT)
    assert (line.id, made.id) == (old.id, new.id)
    assert key.kid in read_sealed(parse(new.line).payload).to
    (found,) = follow(hostile.hub.client(READER))
    assert found.content is not None
    assert (made.id, line.id) == (found.id, found.content.reissue_of)


@both_ways
@pytest.mark.parametrize("party", [ISSUER])
def test_key_renewed_while_it_waits(hostile: Hostile, draft: Draw) -> None:
    """In a batch, too, what was sealed to former keys is sealed anew; what is stale is sealed under its new header."""
    hostile.client.enqueue(draft("", **RED), tag="sealed")
    hostile.client.enqueue(draft("clear"), tag="clear")
    renew(hostile.hub.client(READER))
    hostile.hub.clock.advance(25 * 3_600)
    hostile.client.enqueue(draft("", **RED), tag="late")

    outcomes = hostile.client.flush()

    kept = [hostile.state.by_tag(tag) for tag in ("sealed", "clear", "late")]
    assert [each.id for each in outcomes] == [each.id for each in kept if each is not None]
    opened = [each.content.title for each in follow(hostile.hub.client(READER)) if each.content is not None]
    assert sorted([TITLE, TITLE, "clear"]) == sorted(opened)


def lie(request: httpx.Request, _answer: httpx.Response) -> httpx.Response | None:
    """Refuse every bulletin as sealed to wrong keys."""
    if request.method != "POST":
        return None
    return httpx.Response(422, json=WrongOpeningKeys("Because.").problem() | {"status": 422})


@both_ways
@pytest.mark.parametrize("party", [ISSUER])
def test_hub_that_lies_about_keys(hostile: Hostile, draft: Draw) -> None:
    """A hub's word alone makes nobody seal again: with the log's own keys the refusal stands, after one attempt."""
    hostile.middle.tamper = lie
    hostile.middle.requests.clear()

    with pytest.raises(WrongOpeningKeys):
        hostile.client.publish(draft("", **RED))

    assert 1 == sum(request == "POST /v1/bulletins" for request, _ in hostile.middle.requests)
    assert ["wrong-opening-keys"] == [each.problem for each in hostile.state.outgoing(REFUSED)]


@pytest.mark.parametrize("party", [ISSUER])
def test_keys_renewed_for_ever(hostile: Hostile, draft: Draw) -> None:
    """A recipient that renews at each attempt is followed a few times, not for ever."""
    reader = hostile.hub.client(READER)
    posted: list[str] = []

    def renew_and_lie(request: httpx.Request, answer: httpx.Response) -> httpx.Response | None:
        if request.method == "POST":
            posted.append(request.url.path)
            renew(reader)
        return lie(request, answer)

    hostile.middle.tamper = renew_and_lie

    with pytest.raises(WrongOpeningKeys):
        hostile.client.publish(draft("", **RED))

    assert 4 == len(posted)


@pytest.mark.parametrize("party", [ISSUER])
def test_waiting_line_whose_own_key_is_lost(hostile: Hostile, draft: Draw) -> None:
    """A line that cannot be sealed again, its own copy being closed, is refused; what waits behind it goes out."""
    hostile.client.enqueue(draft("", **RED), tag="lost")
    hostile.client.enqueue(draft("clear"), tag="clear")
    renew(hostile.hub.client(READER))
    lose_keys(hostile.client)

    lost, clear = hostile.client.flush()

    assert isinstance(lost, WrongOpeningKeys)
    assert [clear.id] == [each.id for each in hostile.state.outgoing(SENT)]


@pytest.mark.parametrize("party", [ISSUER])
def test_unreachable_hub_keeps_a_sealed_line(hostile: Hostile, draft: Draw) -> None:
    """Without a hub the sealed line waits; later the very same bytes are sent."""
    hostile.middle.cut = 2
    with pytest.raises(HubUnreachable):
        hostile.client.publish(draft("", **RED))
    (waiting,) = hostile.state.outgoing()

    (made,) = hostile.client.flush()

    assert waiting.id == made.id


# --- sealing again ---


def lost_and_renewed(hub: ExerciseHub, draft: Draw) -> tuple[Client, Client, str]:
    """Publish RED, let the reader lose its key and tell a new one; return issuer, reader, id."""
    issuer, reader = hub.client(ISSUER), hub.client(READER)
    made = issuer.publish(draft("", **RED))
    lose_keys(reader)
    renew(reader)
    issuer.sync()
    return issuer, reader, made.id


@pytest.mark.parametrize("to", [(), (READER,)])
def test_reseal(exercise_hub: ExerciseHub, draft: Draw, to: tuple[str, ...]) -> None:
    """Sealed again, the reader opens the same content under the same header, and the old one is superseded."""
    issuer, reader, old = lost_and_renewed(exercise_hub, draft)

    made = issuer.reseal(old, to=to)

    first, second = follow(reader)
    assert ("superseded", made.id) == (first.state, first.by)
    assert second.content is not None
    assert (TITLE, (f"supersedes:{old}",)) == (second.content.title, second.header.refs)
    with pytest.raises(Superseded):
        issuer.reseal(old)


def test_reseal_keeps_the_header(exercise_hub: ExerciseHub, draft: Draw) -> None:
    """Marking, topic, recipients, end and further references stay; what the old one superseded is not named again."""
    issuer = exercise_hub.client(ISSUER)
    about = exercise_hub.client("id-police").publish(draft("about", release_to=[ISSUER, READER]))
    before = issuer.publish(draft("", **RED))
    refs = [f"comments:{about.id}", f"supersedes:{before.id}"]
    old = issuer.publish(draft("", **RED, kind="comment", refs=refs, urgency="flash"))
    lose_keys(exercise_hub.client(READER))
    renew(exercise_hub.client(READER))
    issuer.sync()

    made = issuer.reseal(old.id)

    first, second = (parse(each.line).header for each in issuer.session.state.outgoing(SENT)[-2:])
    assert made.id == issuer.session.state.outgoing(SENT)[-1].id
    assert sorted([f"comments:{about.id}", f"supersedes:{old.id}"]) == [*second.refs]
    assert first._replace(iat=0, refs=()) == second._replace(iat=0, refs=())


def test_reseal_for_nothing(exercise_hub: ExerciseHub, draft: Draw) -> None:
    """While everyone it names has the key it was sealed to, nothing is published again."""
    issuer = exercise_hub.client(ISSUER)
    made = issuer.publish(draft("", **RED | {"release_to": [OTHER, READER]}))
    renew(exercise_hub.client(READER))
    issuer.sync()

    with pytest.raises(OrderConflict, match=OTHER):
        issuer.reseal(made.id, to=[READER, OTHER])
    assert made.id != issuer.reseal(made.id, to=[READER]).id


def test_reseal_to_a_stranger(exercise_hub: ExerciseHub, draft: Draw) -> None:
    """Sealing again adds nobody."""
    issuer, _, old = lost_and_renewed(exercise_hub, draft)

    with pytest.raises(UnknownRecipient):
        issuer.reseal(old, to=[OTHER])


def test_reseal_of_anothers(exercise_hub: ExerciseHub, draft: Draw) -> None:
    """Only the originator seals again."""
    _, reader, _ = lost_and_renewed(exercise_hub, draft)
    made = exercise_hub.client("id-police").publish(draft("clear"))

    with pytest.raises(NotAllowed):
        reader.reseal(made.id)


def test_reseal_of_a_clear_one(exercise_hub: ExerciseHub, draft: Draw) -> None:
    """What is clear needs no key."""
    issuer = exercise_hub.client(ISSUER)

    with pytest.raises(NotAllowed):
        issuer.reseal(issuer.publish(draft("clear")).id)


def test_reseal_of_a_recall(exercise_hub: ExerciseHub, draft: Draw) -> None:
    """A recall holds whether it opens or not, and nothing supersedes it."""
    issuer, _, old = lost_and_renewed(exercise_hub, draft)
    payload = RED["payload"] | {"reason": "false-positive"}
    recall = issuer.publish(draft("", **RED | {"payload": payload}, kind="recall", refs=[f"recalls:{old}"]))

    with pytest.raises(NotAllowed):
        issuer.reseal(recall.id)


def test_reseal_without_ones_own_key(exercise_hub: ExerciseHub, draft: Draw) -> None:
    """An originator whose own key is gone cannot read what it would seal."""
    issuer, _, old = lost_and_renewed(exercise_hub, draft)
    lose_keys(issuer)
    renew(issuer)

    with pytest.raises(SealedToOldKey):
        issuer.reseal(old)


def test_reseal_to_no_key(exercise_hub: ExerciseHub, draft: Draw) -> None:
    """A recipient that has no current key at all is named."""
    issuer = exercise_hub.client(ISSUER)
    made = issuer.publish(draft("", **RED, valid_for="P200D"))
    exercise_hub.clock.advance(91 * DAY)
    renew(issuer)

    with pytest.raises(NoOpeningKey, match=READER):
        issuer.reseal(made.id)


# --- renewing ---


@pytest.mark.parametrize(("age_s", "is_due"), [(0, False), (75 * DAY, False), (76 * DAY + 60, True), (91 * DAY, True)])
def test_renewal_is_due(exercise_hub: ExerciseHub, age_s: int, *, is_due: bool) -> None:
    """Two weeks before its end an opening key is renewed."""
    client = exercise_hub.client(READER)
    exercise_hub.clock.advance(age_s)

    assert (is_due, 14 * DAY) == (sealing.is_renewal_due(client.session), RENEW_S)


def test_administrator_renews_nothing(exercise_hub: ExerciseHub) -> None:
    """An administrator has no opening key and needs none."""
    assert not sealing.is_renewal_due(exercise_hub.client("admin/auditor").session)


def test_key_made_but_never_told(exercise_hub: ExerciseHub) -> None:
    """A key whose telling was cut off is found again, so that nothing is ever sealed to a key that is lost."""
    client, key = exercise_hub.client(READER), fresh_opening()
    client.session.identity = replace(client.session.identity, openings=(*client.session.identity.openings, key))
    before = sealing.untold(client.session)
    client.renew_opening(key)

    assert (key, None) == (before, sealing.untold(client.session))


def test_old_key_is_kept_as_long_as_needed(exercise_hub: ExerciseHub, draft: Draw) -> None:
    """A key is kept while it may be sealed to, until all was read, until the last thing under it ends."""
    issuer, reader = exercise_hub.client(ISSUER), exercise_hub.client(READER)
    old = reader.session.identity.openings
    issuer.publish(draft("", **RED, valid_for="P120D"))
    new = renew(reader)
    kept = []
    for step_s in (0, 91 * DAY, 0, 30 * DAY):
        exercise_hub.clock.advance(step_s)
        reader.sync()
        kept.append(sealing.needed(reader.session))
        if step_s:
            follow(reader)

    assert [(*old, new), (*old, new), old, ()] == kept


def test_issuers_key_is_kept_for_its_own_copies(exercise_hub: ExerciseHub, draft: Draw) -> None:
    """The sender's former key is kept until the last thing that it sealed ends: it may have to be sealed again."""
    issuer = exercise_hub.client(ISSUER)
    old = issuer.session.identity.openings
    issuer.publish(draft("", **RED, valid_for="P120D"))
    exercise_hub.clock.advance(91 * DAY)
    during = sealing.needed(issuer.session)
    exercise_hub.clock.advance(30 * DAY)

    assert (old, ()) == (during, sealing.needed(issuer.session))


@both_ways
def test_rotation_carries_an_opening_key(hostile: Hostile) -> None:
    """A rotation tells an opening key that becomes current when the new signing key acts."""
    session = hostile.client.session
    before = session.directory.opening_key(READER, session.now())
    new, opening = SigningKey.generate(), fresh_opening()
    hostile.client.rotate(new, holder="duty desk", overlap_s=0, opening=opening)
    hostile.client.sync()
    during = session.directory.opening_key(READER, session.now())
    hostile.hub.clock.advance(DAY + 60)
    after = session.directory.opening_key(READER, session.now())

    assert before is not None
    assert after is not None
    assert (before, opening.kid, new.kid) == (during, after.kid, after.by)


def test_clear_line_is_never_outdated(exercise_hub: ExerciseHub, draft: Draw) -> None:
    """Only a sealed line may be out of date; a clear one refused as wrongly sealed stays refused."""
    client = exercise_hub.client(ISSUER)
    line = client.sign(draft("clear"))

    assert not client.session.is_outdated(line)
