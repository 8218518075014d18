"""Tests of the directory: what each control event makes of it, and what it answers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from lintas.directory import (
    FRESH_S,
    ROTATION_DELAY_S,
    SKEW_S,
    Change,
    Directory,
    Grant,
    KeyRecord,
    Partner,
    apply,
    check_fresh,
)
from lintas.errors import ForeignLine, FromTheFuture, KeyNotActive, NotAllowed, Stale, UnknownKey

if TYPE_CHECKING:
    from tests.lintas.conftest import Ledger

HOUR = 3_600
DAY = 86_400
RECORD = KeyRecord(
    kid="k",
    party="my-police",
    public=bytes(32),
    holder="desk",
    not_before=1_000,
    not_after=9_000,
    enrolled_seq=5,
    enrolled_at=900,
)
ACTIVE = replace(RECORD, active_from=2_000, approved_seq=7)
HEIR = replace(RECORD, active_from=2_000, parent="old")


@pytest.mark.parametrize(
    ("record", "now", "state"),
    [
        (RECORD, 5_000, "pending"),
        (RECORD, 9_000, "expired"),
        (ACTIVE, 1_999, "pending"),
        (ACTIVE, 2_000, "active"),
        (replace(ACTIVE, not_before=3_000), 2_999, "pending"),
        (replace(ACTIVE, not_before=3_000), 3_000, "active"),
        (ACTIVE, 8_999, "active"),
        (ACTIVE, 9_000, "expired"),
        (replace(ACTIVE, superseded_at=4_000), 3_999, "active"),
        (replace(ACTIVE, superseded_at=4_000), 4_000, "superseded"),
        (replace(ACTIVE, superseded_at=4_000), 9_000, "expired"),
        (replace(ACTIVE, revoked_seq=9), 2_500, "revoked"),
        (replace(ACTIVE, revoked_seq=9), 9_000, "revoked"),
    ],
)  # fmt: skip
def test_state_of_a_key(record: KeyRecord, now: int, state: str) -> None:
    """A key is pending, active, superseded, expired or revoked, each from a second on."""
    assert state == record.state(now)


LIVED = replace(ACTIVE, active_from=200_000, not_before=200_000, not_after=300_000)
OLD = replace(LIVED, superseded_at=250_000)
ROTATED = replace(HEIR, active_from=200_000, not_before=100_000, not_after=300_000)


@pytest.mark.parametrize(
    ("record", "seq", "iat", "was_active"),
    [
        (RECORD, 8, 2_000, False),
        (LIVED, 5, 200_000, False),
        (LIVED, 7, 200_000, False),
        (LIVED, 8, 200_000, True),
        (LIVED, 8, 200_000 - FRESH_S, True),
        (LIVED, 8, 200_000 - FRESH_S - 1, False),
        (LIVED, 8, 300_000 + SKEW_S - 1, True),
        (LIVED, 8, 300_000 + SKEW_S, False),
        (replace(LIVED, revoked_seq=9), 9, 200_000, True),
        (replace(LIVED, revoked_seq=9), 10, 200_000, False),
        (OLD, 8, 250_000 + SKEW_S - 1, True),
        (OLD, 8, 250_000 + SKEW_S, False),
        (ROTATED, 6, 200_000 - FRESH_S, True),
        (ROTATED, 6, 200_000 - FRESH_S - 1, False),
        (ROTATED, 5, 200_000, False),
        (replace(ROTATED, approved_seq=7), 8, 200_000 - FRESH_S - 1, True),
        (replace(LIVED, approved_seq=None), 8, 200_000, False),
    ],
)  # fmt: skip
def test_key_is_judged_by_place_in_the_log(record: KeyRecord, seq: int, iat: int, *, was_active: bool) -> None:
    """Whether a line was good is decided by its place in the log and its date, with the tolerances of acceptance."""
    assert was_active == record.was_active(seq, iat)


@pytest.mark.parametrize(
    ("grant", "topic", "tlp", "answer"),
    [
        (Grant(), "cyber", "CLEAR", (False, False)),
        (Grant(publish=("cyber",)), "cyber.scam", "CLEAR", (True, False)),
        (Grant(read=("cyber",)), "cyber.scam", "CLEAR", (False, True)),
        (Grant(read=("cyber",)), "cyber.scam", "GREEN", (False, False)),
        (Grant(read=("cyber.scam",), ceiling="RED"), "cyber", "CLEAR", (False, False)),
        (Grant(("*",), ("*",), "AMBER"), "drugs", "AMBER", (True, True)),
        (Grant(("*",), ("*",), "AMBER"), "drugs", "AMBER+STRICT", (True, False)),
    ],
)  # fmt: skip
def test_grant(grant: Grant, topic: str, tlp: str, answer: tuple[bool, bool]) -> None:
    """A grant covers a topic and what lies below it; reading has a ceiling too."""
    assert answer == (grant.may_publish(topic), grant.may_read(topic, tlp))


def test_pair_of_key_and_party(ledger: Ledger) -> None:
    """A key is found only for the party that it belongs to."""
    kid = ledger.key("my-police").kid

    assert "my-police" == ledger.directory.key(kid, "my-police").party
    with pytest.raises(UnknownKey):
        ledger.directory.key(kid, "sg-fiu")
    with pytest.raises(UnknownKey):
        ledger.directory.key(ledger.key("nobody").kid, "my-police")


def test_active_key(ledger: Ledger) -> None:
    """A key that may not sign now is refused with its state."""
    key = ledger.key("my-police")
    after = ledger.now + 400 * DAY

    assert key.kid == ledger.directory.active_key(key.kid, "my-police", ledger.now).kid
    with pytest.raises(KeyNotActive, match="expired"):
        ledger.directory.active_key(key.kid, "my-police", after)


def test_suspended_admin_has_no_active_key(ledger: Ledger) -> None:
    """A suspended administrator's key signs nothing."""
    ledger.admit("admin/three")
    ledger.post(ledger.order("suspend", agency="admin/three", reason="on leave"))

    with pytest.raises(NotAllowed):
        ledger.directory.active_key(ledger.key("admin/three").kid, "admin/three", ledger.now)


@pytest.mark.parametrize(
    ("lead_s", "hub", "refusal"),
    [
        (SKEW_S, "a", None),
        (SKEW_S + 1, "a", FromTheFuture),
        (-FRESH_S, "a", None),
        (-FRESH_S - 1, "a", Stale),
        (0, "b", ForeignLine),
        (-FRESH_S - 1, "b", ForeignLine),
    ],
)  # fmt: skip
def test_freshness(ledger: Ledger, lead_s: int, hub: str, refusal: type[Exception] | None) -> None:
    """A line is first accepted by its own hub, from two minutes before its date to a day after."""
    header = ledger.order("resume", agency="my-police").header._replace(aud="a", iat=ledger.now + lead_s)
    found = None

    try:
        check_fresh(header, hub=hub, now=ledger.now)
    except (ForeignLine, FromTheFuture, Stale) as caught:
        found = type(caught)

    assert refusal == found


def test_log_opens(empty_ledger: Ledger) -> None:
    """The first event names the hub and the log's first key."""
    opened = apply(Directory(""), empty_ledger.events[0][0], seq=0, at=0)  # type: ignore[arg-type]

    hub = "exercise.lintas.example-k3v9q2xa"
    assert opened.log_keys is not None
    assert (Directory(hub), f"{hub}/log/1") == (replace(opened, log_keys=None), opened.log_keys.name)


def test_partner_joins_with_its_first_key(ledger: Ledger) -> None:
    """An agency is a partner from the approval of its first key on; an administrator never is."""
    before = ledger.directory.partners["my-police"]
    ledger.admit("my-police", key="second")

    assert {"my-police", "sg-fiu"} == set(ledger.directory.partners)
    assert before == ledger.directory.partners["my-police"]
    assert "key.approved" == ledger.events[before.joined_seq][0].kind


def test_administrators(lone_ledger: Ledger) -> None:
    """Two persons are needed from the second administrator on, counted by approved keys."""
    alone = (lone_ledger.directory.admins, lone_ledger.directory.two_person)
    invite = lone_ledger.order("invite", "admin/one", agency="admin/two")
    lone_ledger.post(invite)
    lone_ledger.post(lone_ledger.enrolment("admin/two", invite=invite.id))
    waiting = lone_ledger.directory.two_person
    kid = lone_ledger.key("admin/two").kid
    lone_ledger.post(lone_ledger.order("approve", "admin/one", agency="admin/two", kid=kid))

    assert (frozenset({"admin/one"}), False) == alone
    assert (False, True) == (waiting, lone_ledger.directory.two_person)


def test_invitation_is_used_up(ledger: Ledger) -> None:
    """An enrolment uses its invitation."""
    ledger.post(ledger.order("invite", "admin/one", agency="id-police"))
    (invite,) = [each for each in ledger.directory.invites.values() if each.party == "id-police"]
    ledger.post(ledger.enrolment("id-police", invite=invite.id))

    assert (False, True) == (invite.used, ledger.directory.invites[invite.id].used)


def test_rotation_waits_a_day(ledger: Ledger) -> None:
    """A rotated key signs after a day; the old one ends after the overlap that follows."""
    ledger.post(ledger.rotation("my-police", new="new", overlap_s=HOUR))
    old, new = (ledger.directory.keys[ledger.key(name).kid] for name in ("my-police", "new"))
    begins = ledger.now + ROTATION_DELAY_S

    assert ("pending", "active") == (new.state(begins - 1), new.state(begins))
    assert ("active", "superseded") == (old.state(begins + HOUR - 1), old.state(begins + HOUR))
    assert (old.kid, ledger.now) == (new.parent, new.enrolled_at)


def test_rotation_approved_at_once(ledger: Ledger) -> None:
    """An approval starts the new key now and moves the overlap, which keeps its length."""
    ledger.post(ledger.rotation("my-police", new="new", overlap_s=HOUR))
    ledger.now += 2 * HOUR
    ledger.post(ledger.order("approve", agency="my-police", kid=ledger.key("new").kid))
    old, new = (ledger.directory.keys[ledger.key(name).kid] for name in ("my-police", "new"))

    assert (ledger.now, ledger.now + HOUR) == (new.active_from, old.superseded_at)


def test_revocation_for_compromise_remembers_since(ledger: Ledger) -> None:
    """Only a compromise makes what the key signed since suspect."""
    ledger.post(ledger.revocation("my-police", reason="keyCompromise", since=ledger.now - HOUR))
    ledger.post(ledger.revocation("sg-fiu", reason="superseded", since=ledger.now - HOUR))
    stolen, retired = (ledger.key(name).kid for name in ("my-police", "sg-fiu"))
    times = (ledger.now - HOUR - 1, ledger.now - HOUR)

    assert [False, True] == [ledger.directory.is_suspect(stolen, at) for at in times]
    assert [False, False] == [ledger.directory.is_suspect(retired, at) for at in times]
    assert not ledger.directory.is_suspect("unknown", ledger.now)
    assert ("keyCompromise", "superseded") == (
        ledger.directory.keys[stolen].revoked_reason,
        ledger.directory.keys[retired].revoked_reason,
    )


def test_suspension_and_return(ledger: Ledger) -> None:
    """A partner is suspended until it is resumed; nobody else is."""
    ledger.post(ledger.order("suspend", agency="my-police", reason="audit"))
    during = [ledger.directory.is_suspended(agency) for agency in ("my-police", "sg-fiu", "nobody")]
    ledger.post(ledger.order("resume", agency="my-police"))

    assert [True, False, False] == during
    assert not ledger.directory.is_suspended("my-police")


def test_admin_suspension_and_return(ledger: Ledger) -> None:
    """An administrator is suspended apart from the partners, and comes back."""
    ledger.admit("admin/three")
    ledger.post(ledger.order("suspend", agency="admin/three", reason="on leave"))
    during = ledger.directory.suspended_admins
    ledger.post(ledger.order("resume", agency="admin/three"))

    assert ["admin/three"] == sorted(during)
    assert not ledger.directory.suspended_admins


def test_grant_and_ceiling_are_kept_apart(ledger: Ledger) -> None:
    """Topics and ceiling are ordered one by one, each leaving the other."""
    ledger.post(ledger.order("ceiling", agency="my-police", tlp="AMBER"))
    ledger.post(ledger.order("grant", agency="my-police", publish=["cyber"], read=["*"]))
    ledger.post(ledger.order("ceiling", agency="my-police", tlp="RED"))

    assert Grant(("cyber",), ("*",), "RED") == ledger.directory.grant("my-police")
    assert Grant() == ledger.directory.grant("sg-fiu")


def test_community_is_set_and_dissolved(ledger: Ledger) -> None:
    """A community is set whole; one without members is gone."""
    ledger.post(ledger.order("community", name="first", members=["my-police"]))
    ledger.post(ledger.order("community", name="second", members=["my-police", "sg-fiu"]))
    ledger.post(ledger.order("community", name="second", members=["sg-fiu"]))
    both = dict(ledger.directory.communities)
    ledger.post(ledger.order("community", name="first", members=[]))

    assert {"first": ("my-police",), "second": ("sg-fiu",)} == both
    assert {"second": ("sg-fiu",)} == ledger.directory.communities


def test_other_events_change_nothing(ledger: Ledger) -> None:
    """An event that is not about the directory leaves the very same one."""
    change = Change("view.read", "my-police", {})

    assert apply(ledger.directory, change, seq=99, at=0) is ledger.directory


def test_directory_is_immutable(ledger: Ledger) -> None:
    """A step gives a new directory; the one before stays as it was."""
    before = ledger.directory
    ledger.post(ledger.order("suspend", agency="my-police", reason="audit"))

    assert Partner("my-police", before.partners["my-police"].joined_seq) == before.partners["my-police"]
