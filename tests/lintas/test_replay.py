"""Tests of replaying key events: a directory is believed only as far as signed lines justify it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from lintas.directory import Directory
from lintas.errors import InconsistentLog
from lintas.event import Event
from lintas.line import Line, parse
from lintas.replay import Replay

if TYPE_CHECKING:
    from tests.lintas.conftest import Ledger

HUB = "exercise.lintas.example-k3v9q2xa"

Row = tuple[int, Event, Line | None]


@pytest.fixture
def story(ledger: Ledger) -> Ledger:
    """Paper with every kind of control event in it."""
    ledger.post(ledger.order("grant", agency="my-police", publish=["cyber"], read=["*"]))
    ledger.post(ledger.order("ceiling", agency="sg-fiu", tlp="AMBER"))
    ledger.post(ledger.order("community", name="both", members=["my-police", "sg-fiu"]))
    ledger.post(ledger.rotation("my-police", new="new", overlap_s=3_600))
    ledger.post(ledger.order("approve", agency="my-police", kid=ledger.key("new").kid))
    ledger.post(ledger.order("suspend", agency="sg-fiu", reason="audit"))
    ledger.post(ledger.order("resume", agency="sg-fiu"))
    ledger.post(ledger.revocation("sg-fiu"))
    return ledger


def rows(ledger: Ledger) -> list[Row]:
    """Return the events as a log shows them."""
    return [(seq, event, line) for seq, (event, line) in enumerate(ledger.events)]


def replayed(shown: Sequence[Row], parties: Sequence[str] | None = None, hub: str = HUB) -> Directory:
    """Replay rows from the beginning."""
    replay = Replay.begin(hub, parties)
    for seq, event, line in shown:
        replay = replay.step(event, seq=seq, line=line)
    return replay.directory


def place(shown: Sequence[Row], kind: str, number: int = -1) -> int:
    """Return the place of an event of this kind."""
    return [at for at, (_, event, _) in enumerate(shown) if event.kind == kind][number]


def altered(shown: Sequence[Row], at: int, **detail: Any) -> list[Row]:
    """Return the rows with the detail of one event changed."""
    seq, event, line = shown[at]
    return [*shown[:at], (seq, replace(event, detail={**event.detail, **detail}), line), *shown[at + 1 :]]


def test_replay_gives_the_same_directory(story: Ledger) -> None:
    """Whoever sees every event derives the directory that the hub has."""
    assert story.directory == replayed(rows(story))


def test_partner_sees_its_own_grants(story: Ledger) -> None:
    """Who sees only its own events and those of every partner derives all but the grants of others."""
    shown = [row for row in rows(story) if row[1].party in ("*", "my-police")]

    found = replayed(shown, ["*", "my-police"])

    grants = {agency: grant for agency, grant in story.directory.grants.items() if agency == "my-police"}
    assert replace(story.directory, grants=grants, spent=frozenset()) == found


def test_other_events_are_passed_over(story: Ledger) -> None:
    """An event that is not about the directory changes nothing and needs no line."""
    replay = Replay.begin(HUB)
    event = Event("view.read", 1, "my-police", 1, None, {})

    assert replay is replay.step(event, seq=5, line=None)


def test_log_of_another_hub(story: Ledger) -> None:
    """The events of another hub are refused from the first on."""
    with pytest.raises(InconsistentLog, match="opens the log"):
        replayed(rows(story), hub="exercise.lintas.example-aaaaaaaa")


def test_log_opens_once(story: Ledger) -> None:
    """A log opens at its first index only."""
    _, event, line = rows(story)[0]

    with pytest.raises(InconsistentLog, match="opens the log"):
        replayed([*rows(story), (99, event, line)])


def test_event_without_its_line(story: Ledger) -> None:
    """An event that shows no line behind it is refused."""
    shown = rows(story)
    at = place(shown, "key.approved")
    shown[at] = (*shown[at][:2], None)

    with pytest.raises(InconsistentLog, match="does not show"):
        replayed(shown)


def test_event_with_another_line(story: Ledger) -> None:
    """A line is the one that the event names."""
    shown = rows(story)
    at = place(shown, "key.approved")
    shown[at] = (*shown[at][:2], shown[at - 2][2])

    with pytest.raises(InconsistentLog, match="does not show"):
        replayed(shown)


def test_invented_approval(ledger: Ledger) -> None:
    """A hub cannot approve a key by an event that it makes itself, whatever line it hangs on it."""
    ledger.post(ledger.order("invite", "admin/one", agency="id-police"))
    invite = ledger.events[-2][1]
    assert invite is not None
    ledger.post(ledger.enrolment("id-police", invite=invite.id))
    kid = ledger.key("id-police").kid
    half = ledger.order("approve", "admin/one", agency="id-police", kid=kid)
    forged = ledger.order("approve", "admin/one", "admin/one", agency="id-police", kid=kid)

    for line in (half, forged, invite):
        event = Event("key.approved", ledger.now * 1_000_000, "*", 1, line.id, {"agency": "id-police", "kid": kid})
        with pytest.raises(InconsistentLog):
            replayed([*rows(ledger), (len(ledger.events), event, line)])


def test_swapped_key(story: Ledger) -> None:
    """A partner's key swapped for another is refused: the line does not carry it."""
    shown = rows(story)
    at = place(shown, "key.enrolled")
    other = story.key("attacker")

    with pytest.raises(InconsistentLog, match="not what its line causes"):
        replayed(altered(shown, at, kid=other.kid, public=other.public.hex()))


def test_swapped_key_with_its_own_line(story: Ledger) -> None:
    """A key swapped with a line of its own is refused: its invitation was for another agency."""
    shown = rows(story)
    at = place(shown, "key.enrolled")
    seq, event, line = shown[at]
    assert line is not None
    swapped = story.enrolment("sg-fiu", key="attacker", invite="A" * 43)
    other = story.key("attacker")
    detail = {**event.detail, "kid": other.kid, "public": other.public.hex(), "invite": "A" * 43}
    shown[at] = (seq, replace(event, object=swapped.id, detail=detail), swapped)

    with pytest.raises(InconsistentLog, match="is refused"):
        replayed(shown)


@pytest.mark.parametrize(
    ("kind", "detail"),
    [
        ("key.rotated", {"effective": 0}),
        ("key.rotated", {"overlap_until": 2**40}),
        ("key.revoked", {"also": ["x"]}),
        ("key.revoked", {"reason": "keyCompromise"}),
        ("grant.changed", {"read": ["*"], "publish": ["*"]}),
        ("grant.changed", {"extra": 1}),
        ("community.changed", {"members": ["my-police"]}),
        ("partner.suspended", {"agency": "my-police"}),
    ],
)  # fmt: skip
def test_edited_event(story: Ledger, kind: str, detail: dict[str, Any]) -> None:
    """Whatever an event says beyond its line is refused."""
    shown = rows(story)

    with pytest.raises(InconsistentLog, match="not what its line causes"):
        replayed(altered(shown, place(shown, kind, 0), **detail))


def test_event_of_another_party(story: Ledger) -> None:
    """A grant is told to its agency: the same event under another party is refused."""
    shown = rows(story)
    at = place(shown, "grant.changed")
    seq, event, line = shown[at]
    shown[at] = (seq, replace(event, party="my-police"), line)

    with pytest.raises(InconsistentLog, match="not what its line causes"):
        replayed(shown)


def test_missing_event_of_a_line(empty_ledger: Ledger) -> None:
    """A line that causes two events is not left behind after the first."""
    empty_ledger.post(empty_ledger.enrolment("admin/one"))
    enrolled = rows(empty_ledger)[:2]
    invite = empty_ledger.order("invite", "admin/one", agency="my-police")
    detail = {"agency": "my-police", "invite": invite.id}
    event = Event("partner.invited", empty_ledger.now * 1_000_000, "*", 3, invite.id, detail)

    with pytest.raises(InconsistentLog, match="missing"):
        replayed([*enrolled, (2, event, invite)])


def test_missing_line(story: Ledger) -> None:
    """What rests on an event left out is refused."""
    shown = rows(story)
    del shown[place(shown, "partner.invited")]

    with pytest.raises(InconsistentLog, match=r"is refused|is not what its line causes"):
        replayed(shown)


def test_event_twice(story: Ledger) -> None:
    """One line causes its events once, whether it has more of them to come or not."""
    shown = rows(story)

    for kind in ("grant.changed", "key.revoked"):
        at = place(shown, kind)
        with pytest.raises(InconsistentLog, match="not what its line causes"):
            replayed([*shown[: at + 1], shown[at]])


def test_forged_line(story: Ledger) -> None:
    """A line whose signature does not hold justifies nothing."""
    shown = rows(story)
    at = place(shown, "key.revoked")
    seq, event, line = shown[at]
    assert line is not None
    forged = parse(line.raw[:-86] + story.revocation("sg-fiu", since=1).raw[-86:])
    shown[at] = (seq, replace(event, object=forged.id), forged)

    with pytest.raises(InconsistentLog, match="is refused"):
        replayed(shown)


def test_backdated_event(story: Ledger) -> None:
    """The time of an event is the time at which its line was decided."""
    shown = rows(story)
    at = place(shown, "key.rotated")
    seq, event, line = shown[at]
    shown[at] = (seq, replace(event, time=event.time - 3 * 86_400 * 1_000_000), line)

    with pytest.raises(InconsistentLog, match="is refused"):
        replayed(shown)
