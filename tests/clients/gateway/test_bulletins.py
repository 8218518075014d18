"""Bulletins as the gateway keeps them, and what tools get of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from clients.gateway.bulletins import Bulletins, Kept
from clients.gateway.database import Database
from clients.gateway.events import Events
from clients.gateway.objects import Objects
from clients.gateway.rules import Rules
from lintas.errors import SealedToOldKey
from lintas.event import US_PER_S
from lintas.feed import Received
from lintas.line import Line
from lintas.state import Released
from lintas.stix.fixed import TLP_MARKINGS
from lintas.strict import parse_object
from tests.gateways import NOW, domain, signed

T0 = NOW * US_PER_S
LOTUS, OTHER = domain("lotus-loan.example"), domain("other.example")
PERSON = {"type": "phone", "value": "+6591234567", "role": "caller"}
RED = {"named_recipients": ["sg-fiu/duty"], "marking_reason": "Fictional."}


@dataclass
class Shelf:
    """Bulletins on disk, taken over second by second."""

    path: Path
    rules: Rules
    now_us: int = T0

    def __post_init__(self) -> None:
        """Open the file."""
        self.open()

    def open(self, **rules: Any) -> None:
        """Open the file, with other rules if some are named."""
        self.rules = replace(self.rules, **rules)
        self.database = Database(self.path)
        self.objects = Objects(self.database)
        self.bulletins = Bulletins(self.database, self.objects, self.rules, "https://hub.example")

    def take(self, *items: Received) -> None:
        """Take items over, a second later than those before."""
        self.now_us += US_PER_S
        released = {each.id: Released(each.id, 0, each.seq, self.now_us // US_PER_S, 0, "", "") for each in items}
        self.bulletins.take(items, released, self.now_us)

    def kept(self, item: Received) -> Kept:
        """Return what is kept of an item."""
        found = self.bulletins.get(item.id)
        assert found is not None
        return found

    def served(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Return the objects of a type that tools get, in the order they were added."""
        found = [parse_object(each.body, floats=True) for each in self.objects.select()]
        return [each for each in found if kind in (None, each["type"])]

    def events(self) -> list[dict[str, Any]]:
        """Return the events that MISP gets."""
        return [each["Event"] for each in Events(self.database).everything()]

    def living(self) -> list[str]:
        """Return the values that tools still see."""
        return sorted(each["value"] for each in self.served("domain-name"))

    def revoked(self) -> list[str]:
        """Return the types of what is revoked."""
        return sorted(each["type"] for each in self.served() if each.get("revoked"))

    def everything(self) -> bytes:
        """Return all bytes of the file."""
        with sqlite3.connect(self.path) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return self.path.read_bytes()


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    """An empty file, person data allowed."""
    return Shelf(tmp_path / "gateway", Rules(has_purpose=True))


def recall(target: Received, *indicators: dict[str, str], by: str = "my-police", seq: int = 9) -> Received:
    """Write a recall, whole or of some indicators."""
    return signed(
        "Recall",
        by=by,
        seq=seq,
        kind="recall",
        refs=[f"recalls:{target.id}"],
        indicators=indicators,
        payload={"reason": "inaccurate"},
    )


def successor(target: Received, *indicators: dict[str, str], seq: int = 5, **other: Any) -> Received:
    """Write what supersedes a bulletin."""
    return signed("Fictional: newer", seq=seq, refs=[f"supersedes:{target.id}"], indicators=indicators, **other)


def never(_line: Line) -> bytes:
    """Open nothing."""
    raise SealedToOldKey


def test_served_with_its_marking(shelf: Shelf) -> None:
    """Every object about a bulletin has its marking, dated by the log."""
    item = signed("Fictional", indicators=[LOTUS])
    shelf.take(item)

    about = [each for each in shelf.served() if each["type"] in ("report", "indicator", "domain-name")]
    assert [[TLP_MARKINGS["AMBER"]]] * 3 == [each["object_marking_refs"] for each in about]
    assert ["2026-11-23T21:00:01.000000Z"] == [each["created"] for each in shelf.served("report")]


def test_taken_twice(shelf: Shelf) -> None:
    """The same item again changes nothing."""
    item = signed("Fictional", indicators=[LOTUS])
    shelf.take(item)
    before = shelf.everything()
    shelf.take(item)

    assert before == shelf.everything()


def test_whole_recall(shelf: Shelf) -> None:
    """After a recall the objects are revoked, and the content is nowhere in the file."""
    item = signed("Fictional: Lotus", indicators=[LOTUS])
    shelf.take(item)
    shelf.take(recall(item))

    assert (["indicator", "report"], []) == (shelf.revoked(), shelf.living())
    assert ("recalled", None) == (shelf.kept(item).state, shelf.kept(item).line)
    assert b"lotus" not in shelf.everything().lower()
    assert ["note"] == [each["type"] for each in shelf.served("note")]


def test_partial_recall(shelf: Shelf) -> None:
    """What was recalled goes, the rest stays in a newer version that says what is missing."""
    item = signed("Fictional: lotus-loan.example and more", indicators=[LOTUS, OTHER])
    shelf.take(item)
    before = shelf.served("report")[0]
    part = recall(item, LOTUS)
    shelf.take(part)

    (report,) = shelf.served("report")
    assert (["indicator"], ["other.example"]) == (shelf.revoked(), shelf.living())
    assert (before["created"], True) == (report["created"], report["modified"] > before["modified"])
    assert "lotus" not in str(report).lower()
    assert ("recalled-in-part", part.id) == (shelf.kept(item).marks, shelf.kept(item).parts)


def test_revoked_stays_revoked(shelf: Shelf) -> None:
    """What a partial recall revoked is revoked still when the rest ends."""
    item = signed("Fictional", indicators=[LOTUS, OTHER])
    shelf.take(item)
    shelf.take(recall(item, LOTUS))
    shelf.take(recall(item, seq=12))

    assert ["indicator", "indicator", "report"] == shelf.revoked()


def test_supersede(shelf: Shelf) -> None:
    """A successor gives newer versions of the same objects; what it leaves out is revoked."""
    item = signed("Fictional", indicators=[LOTUS, OTHER])
    shelf.take(item)
    (before,) = shelf.served("report")
    newer = successor(item, OTHER)
    shelf.take(newer)

    (after,) = shelf.served("report")
    assert (before["id"], before["created"], True) == (
        after["id"],
        after["created"],
        after["modified"] > before["modified"],
    )
    assert (["indicator"], ["other.example"]) == (shelf.revoked(), shelf.living())
    assert ("superseded", newer.id) == (shelf.kept(item).state, shelf.kept(item).by)


def test_supersede_in_the_same_second(shelf: Shelf) -> None:
    """A successor of the same second is a newer version all the same."""
    item = signed("Fictional", indicators=[LOTUS])
    shelf.take(item, successor(item, LOTUS))

    (report,) = shelf.served("report")
    assert ("Fictional: newer", "2026-11-23T21:00:01.000001Z") == (report["name"], report["modified"])


def test_recall_of_a_successor(shelf: Shelf) -> None:
    """When a successor is recalled, whoever polled only before it still learns that everything is revoked."""
    item = signed("Fictional", indicators=[LOTUS, OTHER])
    shelf.take(item)
    newer = successor(item, OTHER)
    shelf.take(newer)
    shelf.take(recall(newer, seq=12))

    assert (["indicator", "indicator", "report"], []) == (shelf.revoked(), shelf.living())


def test_successor_that_tools_may_not_have(shelf: Shelf) -> None:
    """What is superseded by a bulletin that stays inside is revoked."""
    item = signed("Fictional", indicators=[LOTUS])
    shelf.take(item)
    shelf.take(successor(item, OTHER, tlp="RED", payload=RED))

    assert (["indicator", "report"], []) == (shelf.revoked(), shelf.living())


def test_successor_of_what_never_came(shelf: Shelf) -> None:
    """A successor of something that was never ours hangs on that one's id, as everywhere else."""
    former = signed("Fictional", indicators=[LOTUS])
    newer = successor(former, LOTUS)
    shelf.take(newer)

    assert (former.id, True) == (shelf.kept(newer).origin, shelf.served("report") != [])


@pytest.mark.parametrize("write", [recall, successor])
def test_withdrawn_before_it_came(shelf: Shelf, write: Callable[..., Received]) -> None:
    """What comes only after it was withdrawn, because a grant widened, is withdrawn."""
    item = signed("Fictional", indicators=[LOTUS])
    shelf.take(write(item))
    shelf.take(item)

    assert (True, []) == (shelf.kept(item).state in ("recalled", "superseded"), shelf.living())


def test_part_recalled_before_it_came(shelf: Shelf) -> None:
    """What was recalled of a bulletin that comes only later is not served with it."""
    item = signed("Fictional", indicators=[LOTUS, OTHER])
    shelf.take(recall(item, LOTUS))
    shelf.take(item)

    assert ["other.example"] == shelf.living()


def test_only_its_issuer_withdraws(shelf: Shelf) -> None:
    """A recall by another agency does nothing."""
    item = signed("Fictional", indicators=[LOTUS])
    shelf.take(item)
    shelf.take(recall(item, by="id-police"))

    assert (None, ["lotus-loan.example"]) == (shelf.kept(item).state, shelf.living())


def test_state_of_a_row(shelf: Shelf) -> None:
    """A row that says what became of a bulletin ends it; of one that never came its place is kept."""
    item, strange = signed("Fictional", indicators=[LOTUS]), signed("Fictional: never here", seq=3)
    shelf.take(item)
    shelf.take(
        Received(seq=1, id=item.id, state="purged"), Received(seq=3, id=strange.id, state="recalled", by="A" * 43)
    )

    assert ("purged", "recalled") == (shelf.kept(item).state, shelf.kept(strange).state)
    assert [] == shelf.living()


def test_expiry(shelf: Shelf) -> None:
    """When its time is over its objects are revoked, not a second before."""
    item = signed("Fictional", indicators=[LOTUS])
    shelf.take(item)
    end_us = (NOW + 86_400) * US_PER_S
    shelf.bulletins.end_expired(end_us - 1)
    before = shelf.kept(item).state
    shelf.bulletins.end_expired(end_us)

    assert (None, "expired", []) == (before, shelf.kept(item).state, shelf.living())
    assert ["indicator", "report"] == shelf.revoked()


def test_note_goes_with_its_recall(shelf: Shelf) -> None:
    """The note of a recall that is over is served no more."""
    item = signed("Fictional", indicators=[LOTUS])
    shelf.take(item)
    shelf.take(recall(item))
    shelf.bulletins.end_expired((NOW + 86_400) * US_PER_S)

    assert [] == shelf.served("note")


@pytest.mark.parametrize(
    ("item", "rules", "why"),
    [
        (signed("Fictional", indicators=[LOTUS], tlp="RED", payload=RED), {}, "red"),
        (signed("Fictional", indicators=[PERSON]), {"has_purpose": False}, "purpose-needed"),
        (signed("Fictional", indicators=[LOTUS], marks=("suspect",)), {}, "suspect"),
        (replace(signed("Fictional", enc="hpke"), content=None, payload=None), {}, "unopened"),
    ],
    ids=["red", "person-data", "suspect", "unopened"],
)
def test_stays_inside(shelf: Shelf, item: Received, rules: dict[str, bool], why: str) -> None:
    """RED, person data without a purpose, suspect and unopened bulletins are given by their header alone."""
    shelf.open(**rules)
    shelf.take(item)
    received = shelf.kept(item).received()

    assert (why, [], None, None) == (shelf.kept(item).unserved, shelf.served(), received.content, received.payload)
    assert {why: 1} == shelf.bulletins.counts()


@pytest.mark.parametrize(
    ("item", "narrow", "wide"),
    [
        (signed("Fictional", indicators=[LOTUS], tlp="RED", payload=RED), {"serves_red": False}, {"serves_red": True}),
        (signed("Fictional", indicators=[LOTUS, PERSON]), {"has_purpose": False}, {"has_purpose": True}),
    ],
)
def test_rules_change(shelf: Shelf, item: Received, narrow: dict[str, bool], wide: dict[str, bool]) -> None:
    """A start with other rules gives what they permit and takes back what they do not."""
    shelf.open(**narrow)
    shelf.take(item)
    seen = []
    for rules in (wide, wide, narrow):
        shelf.open(**rules)
        shelf.bulletins.apply_rules(never, shelf.now_us)
        seen.append(shelf.living())

    assert [["lotus-loan.example"], ["lotus-loan.example"], []] == seen


def test_suspicion_comes_later(shelf: Shelf) -> None:
    """A bulletin that becomes suspect is taken back."""
    item = signed("Fictional", indicators=[LOTUS])
    shelf.take(item)
    shelf.take(replace(item, marks=("suspect",)))

    assert ("suspect", []) == (shelf.kept(item).unserved, shelf.served())


def test_sealed(shelf: Shelf) -> None:
    """Of a sealed bulletin what was opened is served, and forgotten with it."""
    clear = signed("Fictional", indicators=[LOTUS])
    item = replace(signed("x", enc="hpke", tlp="AMBER"), content=clear.content, payload=clear.payload)
    shelf.take(item)
    opened = shelf.kept(item).received()
    shelf.take(recall(item))

    assert (clear.payload, clear.content) == (opened.payload, opened.content)
    assert (None, True) == (shelf.kept(item).payload, b"lotus" not in shelf.everything())


def test_event_of_misp(shelf: Shelf) -> None:
    """MISP gets one event for a chain of bulletins; a recall leaves it, deleted and without words."""
    item = signed("Fictional: lotus", indicators=[LOTUS])
    shelf.take(item)
    newer = successor(item, LOTUS)
    shelf.take(newer)
    (standing,) = shelf.events()
    shelf.take(recall(newer, seq=12))
    (ended,) = shelf.events()

    assert ("Fictional: newer", standing["uuid"], "Withdrawn") == (standing["info"], ended["uuid"], ended["info"])
    assert "lotus-loan.example" in str(standing)
    assert "lotus" not in str(ended)


def test_no_event_of_what_stays_inside(shelf: Shelf) -> None:
    """MISP gets nothing of what tools may not have, nor of it any more."""
    shelf.take(signed("Fictional", tlp="RED", payload=RED))
    item = signed("Fictional: 2", seq=2)
    shelf.take(item)
    shelf.take(replace(item, marks=("suspect",)))

    assert [] == shelf.events()


def test_sealed_suspicion_is_lifted(shelf: Shelf) -> None:
    """A sealed bulletin that was suspect and is not any more is served with what was opened of it."""
    clear = signed("Fictional", indicators=[LOTUS])
    item = replace(signed("x", enc="hpke", tlp="AMBER"), content=clear.content, payload=clear.payload)
    shelf.take(replace(item, marks=("suspect",)))
    shelf.take(item)

    assert ["lotus-loan.example"] == shelf.living()


def test_sealed_after_a_change_of_rules(shelf: Shelf) -> None:
    """A start that permits more opens what was sealed again; what does not open any more stays inside."""
    clear = signed("Fictional", indicators=[PERSON])
    items = [
        replace(signed(title, enc="hpke", tlp="AMBER"), content=clear.content, payload=clear.payload)
        for title in ("opens", "lost")
    ]
    shelf.open(has_purpose=False)
    shelf.take(*items)
    shelf.open(has_purpose=True)

    def opener(line: Line) -> bytes:
        if line.id != items[0].id:
            raise SealedToOldKey
        return clear.payload or b""

    shelf.bulletins.apply_rules(opener, shelf.now_us)

    assert [None, "unopened"] == [shelf.kept(each).unserved for each in items]


def test_content_of_a_recall_that_fails_stays(shelf: Shelf) -> None:
    """What breaks in the middle of a page leaves everything as it was."""
    item = signed("Fictional", indicators=[LOTUS])
    shelf.take(item)
    before = shelf.everything()
    broken = replace(signed("x", seq=4), line=None, state=object())  # type: ignore[arg-type]

    with pytest.raises(sqlite3.Error):
        shelf.take(recall(item), broken)

    assert before == shelf.everything()


def test_changes_in_order(shelf: Shelf) -> None:
    """What came or changed after a number is told in that order, each once, as it is now."""
    items = [signed(f"Fictional {number}", seq=number) for number in (1, 2, 3)]
    shelf.take(*items)
    before = shelf.bulletins.changed_after(0, 10)
    shelf.take(recall(items[0]))

    def told(found: Sequence[Kept]) -> list[tuple[int, str | None]]:
        return [(each.seq, each.state) for each in found]

    assert [(1, None), (2, None), (3, None)] == told(before)
    assert [(9, None), (1, "recalled")] == told(shelf.bulletins.changed_after(before[-1].changed, 10))
    assert [(2, None)] == told(shelf.bulletins.changed_after(0, 1))
