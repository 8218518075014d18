"""Tests of what key lines and orders do, and of every reason why they are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lintas.decide import INVITE_S, KEY_LIFE_S_MAX, TWO_PERSON_ACTS, check_signatures
from lintas.directory import FRESH_S, ROTATION_DELAY_S, SKEW_S, Change
from lintas.errors import (
    BadInvite,
    BadSignature,
    ForeignLine,
    FromTheFuture,
    KeyNotActive,
    LifeTooLong,
    NotAllowed,
    OrderConflict,
    Refusal,
    Stale,
    UnknownKey,
)
from lintas.header import ACK, KEY, ORDER
from lintas.keys import SigningKey
from lintas.line import Line, parse
from lintas.note import vkey
from tests.lintas.conftest import HUB

if TYPE_CHECKING:
    from tests.lintas.conftest import Ledger

HOUR = 3_600
DAY = 86_400


def kinds(changes: tuple[Change, ...]) -> list[str]:
    """Return the kinds of event, in order."""
    return [change.kind for change in changes]


def invited(ledger: Ledger, party: str) -> str:
    """Invite a party; return the invitation's id."""
    order = ledger.order("invite", "admin/one", agency=party)
    ledger.post(order)
    return order.id


def resigned(line: Line, signature: bytes) -> Line:
    """Return a line with another line's signature."""
    return parse(line.raw[:-86] + signature)


# --- enrolment ---


def test_first_administrator(empty_ledger: Ledger) -> None:
    """The first key of a hub is an administrator's, and active at once."""
    changes = empty_ledger.post(empty_ledger.enrolment("admin/one"))

    assert ["key.enrolled", "key.approved"] == kinds(changes)
    assert "active" == empty_ledger.directory.keys[empty_ledger.key("admin/one").kid].state(empty_ledger.now)


def test_second_administrator_needs_an_invitation(lone_ledger: Ledger) -> None:
    """After the first key nobody comes in without an invitation."""
    with pytest.raises(BadInvite):
        lone_ledger.decide(lone_ledger.enrolment("admin/two"))


def test_enrolled_key_waits(ledger: Ledger) -> None:
    """An invited key is pending until it is approved."""
    changes = ledger.post(ledger.enrolment("id-police", invite=invited(ledger, "id-police")))

    assert ["key.enrolled"] == kinds(changes)
    assert "pending" == ledger.directory.keys[ledger.key("id-police").kid].state(ledger.now)


def test_invitation_unknown(ledger: Ledger) -> None:
    """An invitation that was never made admits nobody."""
    with pytest.raises(BadInvite):
        ledger.decide(ledger.enrolment("id-police", invite="A" * 43))


def test_invitation_of_another_agency(ledger: Ledger) -> None:
    """An invitation is bound to its agency."""
    invite = invited(ledger, "id-police")

    with pytest.raises(BadInvite):
        ledger.decide(ledger.enrolment("th-police", invite=invite))


def test_invitation_used_twice(ledger: Ledger) -> None:
    """An invitation admits one key."""
    invite = invited(ledger, "id-police")
    ledger.post(ledger.enrolment("id-police", invite=invite))

    with pytest.raises(BadInvite):
        ledger.decide(ledger.enrolment("id-police", key="other", invite=invite))


@pytest.mark.parametrize(("age_s", "is_good"), [(INVITE_S - 1, True), (INVITE_S, False)])
def test_invitation_expires(ledger: Ledger, age_s: int, *, is_good: bool) -> None:
    """An invitation is good for three days."""
    invite = invited(ledger, "id-police")
    ledger.now += age_s

    try:
        found = kinds(ledger.decide(ledger.enrolment("id-police", invite=invite)))
    except BadInvite:
        found = []

    assert (["key.enrolled"] if is_good else []) == found


def test_key_enrols_once(ledger: Ledger) -> None:
    """A key that is on record, of whatever party, is not enrolled again."""
    invite = invited(ledger, "id-police")

    with pytest.raises(OrderConflict):
        ledger.decide(ledger.enrolment("id-police", key="my-police", invite=invite))


def test_enrolment_proves_possession(ledger: Ledger) -> None:
    """Only who holds the key enrols it."""
    line = ledger.enrolment("id-police", invite=invited(ledger, "id-police"))
    other = ledger.enrolment("id-police", key="other", invite="A" * 43)

    with pytest.raises(BadSignature):
        ledger.decide(resigned(line, other.raw[-86:]))


WINDOWS: dict[str, tuple[int, int, str | None]] = {
    "longest": (0, KEY_LIFE_S_MAX, None),
    "too long": (0, KEY_LIFE_S_MAX + 1, "not_after"),
    "empty": (0, 0, "not_after"),
    "empty, and to come": (5, 5, "not_after"),
    "backwards": (10, 5, "not_after"),
    "over": (-10, 0, "not_after"),
    "nearly over": (-10, 1, None),
    "begins tomorrow": (DAY, 2 * DAY, None),
    "begins later": (DAY + 1, 2 * DAY, "not_before"),
}


@pytest.mark.parametrize(("begin", "end", "member"), WINDOWS.values(), ids=WINDOWS)
def test_window_of_a_key(ledger: Ledger, begin: int, end: int, member: str | None) -> None:
    """A key begins within a day and lives at most thirteen months, enrolled or rotated to."""
    window: dict[str, Any] = {"not_before": ledger.now + begin, "not_after": ledger.now + end}
    lines = (
        ledger.enrolment("id-police", invite=invited(ledger, "id-police"), **window),
        ledger.rotation("my-police", new="new", **window),
    )

    for line in lines:
        found = None
        try:
            ledger.decide(line)
        except LifeTooLong as refusal:
            found = refusal.member
        assert member == found


# --- rotation and revocation of one's own key ---


def test_rotation(ledger: Ledger) -> None:
    """A rotation says when the new key begins and when the old one ends."""
    (change,) = ledger.decide(ledger.rotation("my-police", new="new", overlap_s=HOUR))

    begins = ledger.now + ROTATION_DELAY_S
    assert ("key.rotated", "*") == (change.kind, change.party)
    assert (ledger.key("my-police").kid, begins, begins + HOUR) == (
        change.detail["from"],
        change.detail["effective"],
        change.detail["overlap_until"],
    )


def test_rotation_is_signed_by_the_old_key(ledger: Ledger) -> None:
    """A stranger's outer signature is refused."""
    with pytest.raises(UnknownKey):
        ledger.decide(ledger.rotation("my-police", old="stranger", new="new"))
    forged = resigned(ledger.rotation("my-police", new="new"), ledger.rotation("my-police", new="other").raw[-86:])
    with pytest.raises(BadSignature):
        ledger.decide(forged)


def test_rotation_is_signed_by_the_new_key(ledger: Ledger) -> None:
    """A key is not handed over to one that did not sign for it."""
    payload = {"act": "rotate", "overlap_s": 0, **ledger.window(ledger.key("new"))}
    inner = ledger.line(KEY, "my-police", payload, key="new")
    forged = resigned(inner, ledger.line(KEY, "my-police", b"{}", key="new").raw[-86:])

    with pytest.raises(BadSignature):
        ledger.decide(ledger.line(KEY, "my-police", forged.raw))


def test_rotation_to_a_known_key(ledger: Ledger) -> None:
    """The new key is new."""
    with pytest.raises(OrderConflict):
        ledger.decide(ledger.rotation("my-police", new="sg-fiu"))


def test_rotation_twice(ledger: Ledger) -> None:
    """A key hands over once."""
    ledger.post(ledger.rotation("my-police", new="new"))

    with pytest.raises(OrderConflict):
        ledger.decide(ledger.rotation("my-police", new="newer"))


def test_rotated_key_waits(ledger: Ledger) -> None:
    """Until a day has passed the new key signs nothing, then it does."""
    ledger.post(ledger.rotation("my-police", new="new"))

    with pytest.raises(KeyNotActive, match="pending"):
        ledger.decide(ledger.revocation("my-police", key="new"))
    ledger.now += ROTATION_DELAY_S
    assert ["key.revoked"] == kinds(ledger.decide(ledger.revocation("my-police", key="new")))


def test_old_key_ends_with_the_overlap(ledger: Ledger) -> None:
    """After the overlap the old key signs nothing."""
    ledger.post(ledger.rotation("my-police", new="new", overlap_s=HOUR))
    ledger.now += ROTATION_DELAY_S + HOUR

    with pytest.raises(KeyNotActive, match="superseded"):
        ledger.decide(ledger.revocation("my-police"))


def test_rotation_by_a_revoked_key(ledger: Ledger) -> None:
    """A revoked key hands over nothing."""
    ledger.post(ledger.revocation("my-police"))

    with pytest.raises(KeyNotActive, match="revoked"):
        ledger.decide(ledger.rotation("my-police", new="new"))


def test_rotation_by_a_pending_key(ledger: Ledger) -> None:
    """A key that waits for its approval hands over nothing."""
    ledger.post(ledger.enrolment("id-police", invite=invited(ledger, "id-police")))

    with pytest.raises(KeyNotActive, match="pending"):
        ledger.decide(ledger.rotation("id-police", new="new"))


def test_rotation_with_a_stale_inner_line(ledger: Ledger) -> None:
    """The new key's own line is as fresh as the outer one."""
    payload = {"act": "rotate", "overlap_s": 0, **ledger.window(ledger.key("new"))}
    inner = ledger.line(KEY, "my-police", payload, key="new", iat=ledger.now - FRESH_S - 1)

    with pytest.raises(Stale):
        ledger.decide(ledger.line(KEY, "my-police", inner.raw))


def test_revoking_ones_own_key(ledger: Ledger) -> None:
    """A key ends itself at once."""
    ledger.post(ledger.revocation("my-police", since=5))

    record = ledger.directory.keys[ledger.key("my-police").kid]
    assert ("revoked", "superseded") == (record.state(ledger.now), record.revoked_reason)


def test_revoking_another_key(ledger: Ledger) -> None:
    """A key does not end another one, not even its agency's."""
    ledger.admit("my-police", key="second")
    payload = {"act": "revoke", "kid": ledger.key("second").kid, "reason": "superseded", "since": 0}

    with pytest.raises(NotAllowed):
        ledger.decide(ledger.line(KEY, "my-police", payload))


def family(ledger: Ledger) -> None:
    """Rotate my-police to a son and a grandson an hour apart each."""
    for old, new in (("my-police", "son"), ("son", "grandson")):
        ledger.post(ledger.rotation("my-police", old=old, new=new, overlap_s=DAY))
        ledger.now += ROTATION_DELAY_S


def revoked(ledger: Ledger, reason: str, since: int) -> list[str]:
    """Revoke the first key of the family; return the names of those that fell."""
    kid = ledger.key("my-police").kid
    ledger.post(ledger.order("revoke", agency="my-police", kid=kid, reason=reason, since=since))
    keys = ledger.directory.keys
    return [name for name in ("my-police", "son", "grandson") if keys[ledger.key(name).kid].revoked_seq is not None]


def test_compromise_falls_on_the_heirs(ledger: Ledger) -> None:
    """A compromised key takes with it every key that descends from it since."""
    since = ledger.now
    family(ledger)

    assert ["my-police", "son", "grandson"] == revoked(ledger, "keyCompromise", since)


def test_compromise_spares_the_heirs_before(ledger: Ledger) -> None:
    """A key handed over to before the compromise stays, and so do its own heirs."""
    since = ledger.now + 1
    family(ledger)

    assert ["my-police"] == revoked(ledger, "keyCompromise", since)


def test_other_reasons_spare_the_heirs(ledger: Ledger) -> None:
    """Without a compromise the heirs stay."""
    family(ledger)

    assert ["my-police"] == revoked(ledger, "superseded", 0)


def test_heir_revoked_before_is_not_revoked_again(ledger: Ledger) -> None:
    """A key that fell before is not named again."""
    since = ledger.now
    family(ledger)
    ledger.post(ledger.revocation("my-police", key="grandson"))
    kid = ledger.key("my-police").kid

    change, _ = ledger.post(ledger.order("revoke", agency="my-police", kid=kid, reason="keyCompromise", since=since))

    assert [ledger.key("son").kid] == change.detail["also"]


def test_heir_of_a_revoked_heir(ledger: Ledger) -> None:
    """A thief who revokes the key in between does not save the last one."""
    since = ledger.now
    family(ledger)
    payload = {"act": "revoke", "kid": ledger.key("son").kid, "reason": "superseded", "since": 0}
    ledger.post(ledger.line(KEY, "my-police", payload, key="son"))

    assert ["my-police", "son", "grandson"] == revoked(ledger, "keyCompromise", since)


# --- orders ---


ORDERS: dict[str, dict[str, Any]] = {
    "invite": {"agency": "id-police"},
    "approve": {"agency": "id-police", "kid": "id-police"},
    "revoke": {"agency": "sg-fiu", "kid": "sg-fiu", "reason": "unspecified", "since": 0},
    "suspend": {"agency": "sg-fiu", "reason": "audit"},
    "resume": {"agency": "my-police"},
    "grant": {"agency": "sg-fiu", "publish": ["cyber"], "read": ["*"]},
    "ceiling": {"agency": "sg-fiu", "tlp": "AMBER"},
    "community": {"name": "maritime", "members": ["my-police", "sg-fiu"]},
    "log-key": {"log_key": vkey(f"{HUB}/log/1", SigningKey.from_seed(b"\x01" * 32).public), "overlap_s": DAY},
}
EFFECTS = {
    "invite": ("partner.invited", "*"),
    "approve": ("key.approved", "*"),
    "revoke": ("key.revoked", "*"),
    "suspend": ("partner.suspended", "*"),
    "resume": ("partner.resumed", "*"),
    "grant": ("grant.changed", "sg-fiu"),
    "ceiling": ("grant.changed", "sg-fiu"),
    "community": ("community.changed", "*"),
    "log-key": ("log.key", "*"),
}


@pytest.fixture
def ready(ledger: Ledger) -> Ledger:
    """Paper on which every order of the table is in place: id-police waits, my-police is suspended."""
    ledger.post(ledger.enrolment("id-police", invite=invited(ledger, "id-police")))
    ledger.post(ledger.order("suspend", agency="my-police", reason="audit"))
    return ledger


def arguments(ledger: Ledger, act: str) -> dict[str, Any]:
    """Return the arguments of an order of the table, key names made key ids."""
    found = dict(ORDERS[act])
    return found | {"kid": ledger.key(found["kid"]).kid} if "kid" in found else found


@pytest.mark.parametrize("act", ORDERS)
def test_order_of_two(ready: Ledger, act: str) -> None:
    """Two administrators give every order: the effect first, then the record of the order with the first line."""
    line = ready.order(act, "admin/one", "admin/two", **arguments(ready, act))

    effect, record = ready.decide(line)

    assert EFFECTS[act] == (effect.kind, effect.party)
    assert ("order.accepted", "admin/two", act, parse(line.payload).id) == (
        record.kind,
        record.party,
        record.detail["act"],
        record.detail["first"],
    )


@pytest.mark.parametrize("act", ORDERS)
def test_order_of_one(ready: Ledger, act: str) -> None:
    """One administrator alone does what touches neither keys nor grants; the rest waits for a second."""
    changes = ready.decide(ready.order(act, "admin/one", **arguments(ready, act)))

    if act in TWO_PERSON_ACTS:
        assert ["order.accepted"] == kinds(changes)
        assert ("admin/one", "second") == (changes[0].party, changes[0].detail["needs"])
    else:
        assert [EFFECTS[act][0], "order.accepted"] == kinds(changes)
        assert "needs" not in changes[1].detail


def test_acts_of_two_persons() -> None:
    """Approvals, revocations, grants, ceilings, purges and keys of the log take two persons."""
    assert {"approve", "revoke", "grant", "ceiling", "purge", "log-key"} == TWO_PERSON_ACTS


def test_half_an_order_changes_nothing(ready: Ledger) -> None:
    """An order that waits for a second person leaves the directory as it is."""
    before = ready.directory

    ready.post(ready.order("ceiling", "admin/one", agency="sg-fiu", tlp="RED"))

    assert before is ready.directory


@pytest.mark.parametrize("act", ["invite", "suspend", "resume"])
def test_acts_on_administrators_take_two(ledger: Ledger, act: str) -> None:
    """Whatever touches an administrator takes two persons."""
    ledger.admit("admin/three")
    if act == "resume":
        ledger.post(ledger.order("suspend", agency="admin/three", reason="on leave"))
    more = {"reason": "on leave"} if act == "suspend" else {}

    alone = ledger.decide(ledger.order(act, "admin/one", agency="admin/three", **more))
    both = ledger.decide(ledger.order(act, agency="admin/three", **more))

    assert (["order.accepted"], 2) == (kinds(alone), len(both))


def test_lone_administrator_decides(lone_ledger: Ledger) -> None:
    """With one administrator ever, one person decides everything."""
    lone_ledger.admit("my-police")

    changes = lone_ledger.decide(lone_ledger.order("ceiling", "admin/one", agency="my-police", tlp="RED"))

    assert ["grant.changed", "order.accepted"] == kinds(changes)


def test_lone_administrator_may_countersign_nothing(lone_ledger: Ledger) -> None:
    """One person signing twice is one person, even where one is enough."""
    lone_ledger.admit("my-police")

    with pytest.raises(NotAllowed):
        lone_ledger.decide(lone_ledger.order("resume", "admin/one", "admin/one", agency="my-police"))


def test_rule_stays_on(ledger: Ledger) -> None:
    """When the second administrator's key is revoked, one person still does not decide alone."""
    ledger.post(ledger.revocation("admin/two"))

    changes = ledger.decide(ledger.order("ceiling", "admin/one", agency="my-police", tlp="RED"))

    assert ["order.accepted"] == kinds(changes)


def test_second_person_is_another(ledger: Ledger) -> None:
    """Nobody is their own second person, not with a second key either."""
    ledger.admit("admin/three")
    ledger.post(order := ledger.order("invite", "admin/two", "admin/three", agency="admin/one"))
    ledger.post(ledger.enrolment("admin/one", key="spare", invite=parse(order.payload).id))
    spare = {"agency": "admin/one", "kid": ledger.key("spare").kid}
    ledger.post(ledger.order("approve", "admin/two", "admin/three", **spare))
    first = ledger.order("ceiling", "admin/one", agency="my-police", tlp="RED")

    with pytest.raises(NotAllowed):
        ledger.decide(ledger.line(ORDER, "admin/one", first.raw))
    with pytest.raises(NotAllowed):
        ledger.decide(ledger.line(ORDER, "admin/one", first.raw, key="spare"))


@pytest.mark.parametrize("by", [("admin/one", "admin/two"), ("admin/two", "admin/one"), ("admin/one",)])
@pytest.mark.parametrize("act", ["approve", "revoke", "suspend", "resume"])
def test_nobody_decides_about_themselves(ledger: Ledger, act: str, by: tuple[str, ...]) -> None:
    """Neither the first nor the second person orders about their own keys or standing."""
    more: dict[str, dict[str, Any]] = {
        "approve": {"kid": ledger.key("admin/one").kid},
        "revoke": {"kid": ledger.key("admin/one").kid, "reason": "unspecified", "since": 0},
        "suspend": {"reason": "on leave"},
        "resume": {},
    }

    with pytest.raises(NotAllowed, match="own"):
        ledger.decide(ledger.order(act, *by, agency="admin/one", **more[act]))


def test_self_approval(ledger: Ledger) -> None:
    """An administrator's spare key is approved by two others."""
    ledger.admit("admin/three")
    order = ledger.order("invite", agency="admin/one")
    ledger.post(order)
    ledger.post(ledger.enrolment("admin/one", key="spare", invite=parse(order.payload).id))
    kid = ledger.key("spare").kid

    with pytest.raises(NotAllowed):
        ledger.decide(ledger.order("approve", "admin/one", "admin/two", agency="admin/one", kid=kid))
    both = ledger.decide(ledger.order("approve", "admin/two", "admin/three", agency="admin/one", kid=kid))
    assert ["key.approved", "order.accepted"] == kinds(both)


def test_inviting_a_key_of_ones_own(ledger: Ledger) -> None:
    """An invitation for oneself is allowed: it is the approval that counts."""
    assert ["partner.invited", "order.accepted"] == kinds(ledger.decide(ledger.order("invite", agency="admin/one")))


@pytest.mark.parametrize("act", ORDERS)
def test_agency_gives_no_orders(ready: Ledger, act: str) -> None:
    """Orders are the administrators'."""
    for by in (("sg-fiu",), ("sg-fiu", "admin/one"), ("admin/one", "sg-fiu")):
        with pytest.raises(NotAllowed):
            ready.decide(ready.order(act, *by, **arguments(ready, act)))


def test_order_by_a_key_not_enrolled(ledger: Ledger) -> None:
    """An administrator nobody knows orders nothing, as first person or second."""
    for by in (("admin/nobody",), ("admin/nobody", "admin/one"), ("admin/one", "admin/nobody")):
        with pytest.raises(UnknownKey):
            ledger.decide(ledger.order("resume", *by, agency="my-police"))


def test_order_by_a_revoked_key(ledger: Ledger) -> None:
    """A revoked key of either person spoils the order."""
    ledger.post(ledger.revocation("admin/two"))

    for by in (("admin/one", "admin/two"), ("admin/two", "admin/one")):
        with pytest.raises(KeyNotActive):
            ledger.decide(ledger.order("ceiling", *by, agency="my-police", tlp="RED"))


def test_order_with_a_forged_first_line(ledger: Ledger) -> None:
    """The second person does not vouch for the first: both signatures are checked."""
    inner = ledger.order("ceiling", "admin/one", agency="my-police", tlp="RED")
    other = ledger.order("ceiling", "admin/one", agency="my-police", tlp="GREEN")
    forged = resigned(inner, other.raw[-86:])

    with pytest.raises(BadSignature):
        ledger.decide(ledger.line(ORDER, "admin/two", forged.raw))


FRESHNESS: dict[str, tuple[dict[str, Any], type[Refusal]]] = {
    "stale": ({"iat": -FRESH_S - 1}, Stale),
    "future": ({"iat": SKEW_S + 1}, FromTheFuture),
    "foreign": ({"aud": "exercise.lintas.example-aaaaaaaa"}, ForeignLine),
}


@pytest.mark.parametrize(("odd", "refusal"), FRESHNESS.values(), ids=FRESHNESS)
def test_freshness_of_both_lines(ledger: Ledger, odd: dict[str, Any], refusal: type[Refusal]) -> None:
    """Outer and inner line are both of today and for this hub."""
    members = {name: ledger.now + value if name == "iat" else value for name, value in odd.items()}
    payload = {"act": "ceiling", "agency": "my-police", "tlp": "RED"}
    lines = (
        ledger.line(ORDER, "admin/two", ledger.line(ORDER, "admin/one", payload).raw, **members),
        ledger.line(ORDER, "admin/two", ledger.line(ORDER, "admin/one", payload, **members).raw),
        ledger.line(KEY, "my-police", ledger.revocation("my-police").payload, **members),
    )

    for line in lines:
        with pytest.raises(refusal):
            ledger.decide(line)


def test_approving_a_key_twice(ledger: Ledger) -> None:
    """A key that is active is not approved again."""
    with pytest.raises(OrderConflict, match="active"):
        ledger.decide(ledger.order("approve", agency="my-police", kid=ledger.key("my-police").kid))


def test_approving_an_approved_key_that_begins_later(ledger: Ledger) -> None:
    """A key approved before its window begins is pending, but not approved again."""
    invite = invited(ledger, "id-police")
    ledger.post(ledger.enrolment("id-police", invite=invite, not_before=ledger.now + HOUR))
    kid = ledger.key("id-police").kid
    ledger.post(ledger.order("approve", agency="id-police", kid=kid))

    with pytest.raises(OrderConflict, match="pending"):
        ledger.decide(ledger.order("approve", agency="id-police", kid=kid))


def test_approving_a_rotated_key_too_late(ledger: Ledger) -> None:
    """A rotated key that began by itself needs no approval any more."""
    ledger.post(ledger.rotation("my-police", new="new", overlap_s=HOUR))
    ledger.now += ROTATION_DELAY_S

    with pytest.raises(OrderConflict, match="active"):
        ledger.decide(ledger.order("approve", agency="my-police", kid=ledger.key("new").kid))


def test_approving_a_revoked_key(ledger: Ledger) -> None:
    """A revoked key does not come back."""
    ledger.post(ledger.revocation("my-police"))

    with pytest.raises(OrderConflict, match="revoked"):
        ledger.decide(ledger.order("approve", agency="my-police", kid=ledger.key("my-police").kid))


@pytest.mark.parametrize("act", ["approve", "revoke"])
def test_key_of_another_agency(ledger: Ledger, act: str) -> None:
    """An order names key and agency, and they belong together."""
    more = {"reason": "unspecified", "since": 0} if act == "revoke" else {}

    with pytest.raises(KeyNotActive) as caught:
        ledger.decide(ledger.order(act, agency="my-police", kid=ledger.key("sg-fiu").kid, **more))

    assert "kid" == caught.value.member


def test_revoking_twice(ledger: Ledger) -> None:
    """A revoked key is not revoked again, so that reason and moment stay."""
    ledger.post(ledger.revocation("my-police"))
    kid = ledger.key("my-police").kid

    with pytest.raises(OrderConflict):
        ledger.decide(ledger.order("revoke", agency="my-police", kid=kid, reason="keyCompromise", since=0))


@pytest.mark.parametrize(("lead_s", "is_good"), [(SKEW_S, True), (SKEW_S + 1, False)])
def test_distrust_does_not_begin_later(ledger: Ledger, lead_s: int, *, is_good: bool) -> None:
    """A revocation by administrators is not dated into the future."""
    kid = ledger.key("my-police").kid
    line = ledger.order("revoke", agency="my-police", kid=kid, reason="keyCompromise", since=ledger.now + lead_s)

    try:
        member = "" if ledger.decide(line) else None
    except OrderConflict as refusal:
        member = refusal.member

    assert ("" if is_good else "since") == member


@pytest.mark.parametrize("agency", ["my-police", "admin/three"])
def test_suspending_twice(ledger: Ledger, agency: str) -> None:
    """Who is suspended is not suspended again; who is not is not resumed."""
    ledger.admit("admin/three")

    with pytest.raises(OrderConflict, match="Not suspended"):
        ledger.decide(ledger.order("resume", agency=agency))
    ledger.post(ledger.order("suspend", agency=agency, reason="audit"))
    with pytest.raises(OrderConflict, match="Already suspended"):
        ledger.decide(ledger.order("suspend", agency=agency, reason="another audit"))


@pytest.mark.parametrize("act", ["suspend", "resume", "grant", "ceiling"])
def test_order_about_a_stranger(ledger: Ledger, act: str) -> None:
    """Standing and grants are those of partners."""
    with pytest.raises(OrderConflict) as caught:
        ledger.decide(ledger.order(act, **ORDERS[act] | {"agency": "th-police"}))

    assert "agency" == caught.value.member


def test_suspended_administrator_orders_nothing(ledger: Ledger) -> None:
    """A suspended administrator is no second person."""
    ledger.admit("admin/three")
    ledger.post(ledger.order("suspend", agency="admin/three", reason="on leave"))

    with pytest.raises(NotAllowed):
        ledger.decide(ledger.order("ceiling", "admin/one", "admin/three", agency="my-police", tlp="RED"))


def test_signature_of_other_lines(ledger: Ledger) -> None:
    """Any other kind of line is checked with the key on record."""
    line = ledger.line(ACK, "my-police", b"{}")
    forged = resigned(line, ledger.line(ACK, "my-police", b"{ }").raw[-86:])

    check_signatures(ledger.directory, line)
    with pytest.raises(BadSignature):
        check_signatures(ledger.directory, forged)


def test_first_persons_order_works_once(ready: Ledger) -> None:
    """The second person cannot bring an undone order back to life with the first person's old line."""
    widened = ready.order("ceiling", "admin/one", "admin/two", agency="sg-fiu", tlp="AMBER")
    ready.post(widened)
    ready.post(ready.order("ceiling", "admin/one", "admin/two", agency="sg-fiu", tlp="CLEAR"))
    ready.now += 60
    again = ready.line(ORDER, "admin/two", widened.payload, key="admin/two")

    with pytest.raises(OrderConflict):
        ready.decide(again)


def test_waiting_order_can_be_countersigned(ready: Ledger) -> None:
    """An order that waited in the log is not spent by waiting."""
    first = ready.order("ceiling", "admin/one", agency="sg-fiu", tlp="AMBER")
    ready.post(first)

    changes = ready.post(ready.line(ORDER, "admin/two", first.raw, key="admin/two"))

    assert ["grant.changed", "order.accepted"] == kinds(changes)


def test_order_that_took_effect_alone_works_once(ready: Ledger) -> None:
    """What one administrator ordered and another undid is not ordered again by countersigning the old line."""
    first = ready.order("suspend", "admin/one", agency="sg-fiu", reason="audit")
    ready.post(first)
    ready.post(ready.order("resume", "admin/two", agency="sg-fiu"))

    with pytest.raises(OrderConflict):
        ready.decide(ready.line(ORDER, "admin/two", first.raw))
