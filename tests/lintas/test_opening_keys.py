"""Opening keys: which are sound, who tells one, which one is current at what time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lintas.decide import OPENINGS_A_DAY_MAX
from lintas.directory import FRESH_S, ROTATION_DELAY_S, SKEW_S
from lintas.errors import (
    InconsistentLog,
    KeyNotActive,
    LifeTooLong,
    MalformedPayload,
    NotAllowed,
    OrderConflict,
    QuotaExceeded,
    Refusal,
    WeakKey,
)
from lintas.header import KEY
from lintas.line import Line, parse
from lintas.opening import OPENING_LIFE_S, OpeningKey, kid_of, load_public
from lintas.orders import Enrol, Opening, Rotate, open_key_line
from lintas.replay import Replay
from lintas.strict import b64u, canonical
from tests.lintas.conftest import HUB, Ledger

if TYPE_CHECKING:
    from lintas.directory import OpeningRecord

FIRST, SECOND, THIRD = (OpeningKey.from_seed(bytes([number]) * 32) for number in range(1, 4))
DAY = 86_400
AGENCY = "my-police"
PRIME = 2**255 - 19


def window(ledger: Ledger, key: OpeningKey, life_s: int = 90 * DAY) -> dict[str, Any]:
    """Return the members that present an opening key."""
    return {"public": b64u(key.public), "not_after": ledger.now + life_s}


def telling(ledger: Ledger, key: OpeningKey, life_s: int = 90 * DAY, party: str = AGENCY, **signer: Any) -> Line:
    """Make the line by which an agency tells an opening key."""
    return ledger.line(KEY, party, {"act": "opening", **window(ledger, key, life_s)}, **signer)


def enrolment(ledger: Ledger, party: str, opening: OpeningKey, **other: Any) -> Line:
    """Make an invited enrolment that carries an opening key."""
    invite = ledger.order("invite", "admin/one", agency=party)
    ledger.post(invite)
    return ledger.enrolment(party, invite=invite.id, opening=window(ledger, opening), **other)


def current(ledger: Ledger, agency: str = AGENCY) -> OpeningRecord | None:
    """Return the current opening key of an agency."""
    return ledger.directory.opening_key(agency, ledger.now)


def current_kid(ledger: Ledger, agency: str = AGENCY) -> str | None:
    """Return the kid of the current opening key."""
    record = current(ledger, agency)
    return None if record is None else record.kid


# --- soundness ---


def small_orders() -> list[int]:
    """Return the coordinates of every point of small order of Curve25519 and its twist (RFC 7748, section 7)."""
    fifth = 325606250916557431795983626356110631294008115727848805560023387167927233504
    other = 39382357235489614581723060781553021112529911719440698176882885853963445705823
    return [0, 1, fifth, other, PRIME - 1, PRIME, PRIME + 1, 2**255 - 1, 2**256 - 1, fifth + 2**255]


@pytest.mark.parametrize("point", small_orders())
def test_weak_point(point: int) -> None:
    """A point of small order, or written in another way than the shortest, is refused."""
    public = FIRST.public[:1184] + point.to_bytes(32, "little")

    with pytest.raises(WeakKey):
        load_public(public)


@pytest.mark.parametrize(
    "public",
    [b"", FIRST.public[:-1], FIRST.public + b"\0", b"\xff" * 1184 + FIRST.public[1184:]],
    ids=["empty", "short", "long", "not reduced"],
)
def test_unsound_key(public: bytes) -> None:
    """Another length, or coefficients that are not reduced, are refused."""
    with pytest.raises(WeakKey):
        load_public(public)


def test_repr_shows_no_seed() -> None:
    """A key that is printed shows its kid alone."""
    assert f"OpeningKey(kid='{FIRST.kid}')" == repr(FIRST)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_seed_of_another_length(size: int) -> None:
    """A seed has 32 bytes."""
    with pytest.raises(ValueError, match="32 bytes"):
        OpeningKey.from_seed(bytes(size))


# --- lines ---


def test_line_is_read(ledger: Ledger) -> None:
    """A line tells one public key and its end."""
    assert Opening(FIRST.public, kid_of(FIRST.public), ledger.now + 90 * DAY) == open_key_line(telling(ledger, FIRST))


@pytest.mark.parametrize(
    ("changes", "kind", "member"),
    [
        ({"public": "A=="}, MalformedPayload, "public"),
        ({"public": ""}, MalformedPayload, "public"),
        ({"public": 5}, MalformedPayload, "public"),
        ({"public": "AAAA"}, WeakKey, "public"),
        ({"not_after": "soon"}, MalformedPayload, "not_after"),
        ({"holder": "desk"}, MalformedPayload, "holder"),
    ],
)
def test_line_is_closed(ledger: Ledger, changes: dict[str, Any], kind: type[Refusal], member: str) -> None:
    """Each member has its form, and there is no other."""
    payload = {"act": "opening", **window(ledger, FIRST)} | changes

    with pytest.raises(kind) as caught:
        open_key_line(ledger.line(KEY, AGENCY, payload))

    assert member == caught.value.member


@pytest.mark.parametrize(
    "carried", [None, {}, [], {"public": b64u(FIRST.public)}, {"public": "A", "not_after": 1, "x": 1}]
)
def test_carried_key_is_closed(ledger: Ledger, carried: Any) -> None:
    """An enrolment carries a whole opening key or none."""
    line = ledger.enrolment("id-police", invite="A" * 43, opening=carried)

    with pytest.raises(MalformedPayload) as caught:
        open_key_line(line)

    assert "opening" == caught.value.member


def test_administrator_carries_none(ledger: Ledger) -> None:
    """An administrator reads no bulletins and carries no opening key."""
    line = ledger.enrolment("admin/three", invite="A" * 43, opening=window(ledger, FIRST))

    with pytest.raises(MalformedPayload) as caught:
        open_key_line(line)

    assert "opening" == caught.value.member


def test_old_lines_carry_none(ledger: Ledger) -> None:
    """Enrolments and rotations without an opening key are read and decided as ever."""
    lines = [ledger.enrolment("id-police", invite="A" * 43), ledger.rotation(AGENCY, new="next")]
    found = [open_key_line(line) for line in lines]

    assert [None, None] == [each.opening for each in found if isinstance(each, Enrol | Rotate)]
    assert ["key.rotated"] == [change.kind for change in ledger.decide(lines[1])]


# --- decisions ---


def test_told(ledger: Ledger) -> None:
    """An active key tells an opening key, which everyone learns and is current at once."""
    (change,) = ledger.post(telling(ledger, FIRST))

    assert ("key.opening", "*") == (change.kind, change.party)
    assert {
        "agency": AGENCY,
        "kid": FIRST.kid,
        "public": b64u(FIRST.public),
        "not_after": ledger.now + 90 * DAY,
        "by": ledger.key(AGENCY).kid,
    } == change.detail
    assert FIRST.kid == current_kid(ledger)


def test_enrolment_carries_one(ledger: Ledger) -> None:
    """What an enrolment carries becomes current when the key it came with is approved."""
    changes = ledger.post(enrolment(ledger, "id-police", FIRST))
    before = current_kid(ledger, "id-police")
    ledger.post(ledger.order("approve", agency="id-police", kid=ledger.key("id-police").kid))

    assert ["key.enrolled", "key.opening"] == [change.kind for change in changes]
    assert (None, FIRST.kid) == (before, current_kid(ledger, "id-police"))


def test_rotation_carries_one(ledger: Ledger) -> None:
    """What a rotation carries becomes current when the new key acts: a thief waits a day with it, too."""
    ledger.post(telling(ledger, FIRST))
    ledger.post(ledger.rotation(AGENCY, new="next", opening=window(ledger, SECOND)))
    before = current_kid(ledger)
    ledger.now += ROTATION_DELAY_S

    assert (FIRST.kid, SECOND.kid) == (before, current_kid(ledger))


def test_newest_is_current(ledger: Ledger) -> None:
    """Of several the newest is sealed to; when it ends before the others, one of them is again."""
    ledger.post(telling(ledger, FIRST))
    ledger.post(telling(ledger, SECOND, life_s=DAY))
    during = current_kid(ledger)
    ledger.now += DAY

    assert (SECOND.kid, FIRST.kid) == (during, current_kid(ledger))


@pytest.mark.parametrize(("age_s", "kid"), [(90 * DAY - 1, FIRST.kid), (90 * DAY, None)])
def test_end(ledger: Ledger, age_s: int, kid: str | None) -> None:
    """From its end on nothing is sealed to a key."""
    ledger.post(telling(ledger, FIRST))
    ledger.now += age_s

    assert kid == current_kid(ledger)


def test_falls_with_its_signing_key(ledger: Ledger) -> None:
    """Revoking a signing key ends the opening keys it told."""
    ledger.post(telling(ledger, FIRST))
    ledger.post(ledger.revocation(AGENCY))

    assert current_kid(ledger) is None


def test_outlives_the_replacement_of_its_signing_key(ledger: Ledger) -> None:
    """An opening key told by a key that was replaced in order stays current until its own end."""
    ledger.post(telling(ledger, FIRST))
    ledger.post(ledger.rotation(AGENCY, new="next"))
    ledger.now += 2 * ROTATION_DELAY_S

    assert "superseded" == ledger.directory.keys[ledger.key(AGENCY).kid].state(ledger.now)
    assert FIRST.kid == current_kid(ledger)


def test_window_that_passed_without_approval(ledger: Ledger) -> None:
    """A key that nobody approved makes no opening key current, not even when its own window is over."""
    line = enrolment(ledger, AGENCY, FIRST, key="thief", not_after=ledger.now + 60)
    ledger.post(line)
    ledger.now += 61

    assert ("expired", None) == (ledger.directory.keys[ledger.key("thief").kid].state(ledger.now), current_kid(ledger))


@pytest.mark.parametrize(
    ("life_s", "is_good"),
    [(0, False), (1, True), (OPENING_LIFE_S + SKEW_S, True), (OPENING_LIFE_S + SKEW_S + 1, False)],
)
def test_life(ledger: Ledger, life_s: int, *, is_good: bool) -> None:
    """It ends after now, and within 90 days as a clock two minutes ahead counts them."""
    line = telling(ledger, FIRST, life_s)
    if is_good:
        assert ["key.opening"] == [change.kind for change in ledger.decide(line)]
    else:
        with pytest.raises(LifeTooLong):
            ledger.decide(line)


def test_told_once(ledger: Ledger) -> None:
    """A key that is known is refused: told again, or told by another agency that cannot hold its private half."""
    ledger.post(telling(ledger, FIRST))
    lines = [
        telling(ledger, FIRST, life_s=DAY),
        telling(ledger, FIRST, party="sg-fiu"),
        enrolment(ledger, "id-police", FIRST),
        ledger.rotation(AGENCY, new="next", opening=window(ledger, FIRST)),
    ]
    for line in lines:
        with pytest.raises(OrderConflict):
            ledger.decide(line)


def test_administrator_tells_none(ledger: Ledger) -> None:
    """Nothing is sealed to an administrator."""
    with pytest.raises(NotAllowed):
        ledger.decide(telling(ledger, FIRST, party="admin/one"))


def test_pending_key_tells_none(ledger: Ledger) -> None:
    """Only an active key tells an opening key by itself."""
    ledger.post(enrolment(ledger, "id-police", FIRST))

    with pytest.raises(KeyNotActive):
        ledger.decide(telling(ledger, SECOND, party="id-police"))


def test_a_day_has_few(ledger: Ledger) -> None:
    """Every client keeps every key, so an agency tells twelve a day and goes on the next."""
    for number in range(OPENINGS_A_DAY_MAX):
        ledger.post(telling(ledger, OpeningKey.from_seed(bytes([9, number]) * 16), life_s=1))
    with pytest.raises(QuotaExceeded) as caught:
        ledger.decide(telling(ledger, FIRST))
    others = ledger.decide(telling(ledger, FIRST, party="sg-fiu"))
    ledger.now += FRESH_S

    assert {"retry_after": FRESH_S} == caught.value.extra
    assert ["key.opening"] * 2 == [change.kind for change in (*others, *ledger.decide(telling(ledger, FIRST)))]


# --- replay ---


def replayed(ledger: Ledger, parties: set[str] | None = None) -> Replay:
    """Replay what the ledger logged."""
    replay = Replay.begin(HUB, parties)
    for seq, (event, line) in enumerate(ledger.events):
        if parties is None or event.party in parties:
            replay = replay.step(event, seq=seq, line=line)
    return replay


def test_replay(ledger: Ledger) -> None:
    """Everyone derives the same opening keys from the log."""
    ledger.post(telling(ledger, FIRST))
    ledger.post(enrolment(ledger, "id-police", SECOND))
    ledger.post(ledger.rotation("sg-fiu", new="next", opening=window(ledger, THIRD)))

    assert ledger.directory.openings == replayed(ledger, {"*"}).directory.openings
    assert 3 == len(ledger.directory.openings)


@pytest.mark.parametrize("member", ["kid", "public", "agency", "by", "not_after"])
def test_key_swapped_by_the_hub(ledger: Ledger, member: str) -> None:
    """An opening key that its agency did not tell so is refused: the hub cannot put its own in the place."""
    ledger.post(telling(ledger, FIRST))
    event, line = ledger.events.pop()
    other = {
        "kid": SECOND.kid,
        "public": b64u(SECOND.public),
        "agency": "sg-fiu",
        "by": ledger.key("sg-fiu").kid,
        "not_after": ledger.now + 9,
    }
    detail = {**event.detail, member: other[member]}
    before = replayed(ledger)

    with pytest.raises(InconsistentLog):
        before.step(
            type(event)(event.kind, event.time, event.party, event.party_seq, event.object, detail), seq=99, line=line
        )


def test_key_told_by_nobody(ledger: Ledger) -> None:
    """A line signed with another key than the agency's tells nothing."""
    forged = telling(ledger, SECOND)
    raw = forged.raw[:-86] + telling(ledger, SECOND, party="sg-fiu").raw[-86:]

    with pytest.raises(Refusal):
        ledger.post(parse(raw))


def test_carried_key_left_out_by_the_hub(ledger: Ledger) -> None:
    """An enrolment shown without the opening key it carries does not replay to another line."""
    ledger.post(enrolment(ledger, "id-police", FIRST))
    left_out, _ = ledger.events.pop()
    ledger.post(telling(ledger, SECOND))
    with pytest.raises(InconsistentLog, match="missing"):
        replayed(ledger)

    assert "key.opening" == left_out.kind
    assert canonical(window(ledger, FIRST)["public"]) == canonical(left_out.detail["public"])
