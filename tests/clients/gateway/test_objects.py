"""STIX objects as they are served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clients.gateway.database import Database
from clients.gateway.objects import Objects
from lintas.stix.fixed import TLP_MARKINGS
from lintas.strict import parse_object


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    """No objects yet."""
    return Objects(Database(tmp_path / "gateway"))


def sco(value: str, tlp: str) -> dict[str, Any]:
    """Write an observable."""
    return {
        "type": "domain-name",
        "id": f"domain-name--{value}",
        "value": value,
        "object_marking_refs": [TLP_MARKINGS[tlp]],
    }


def report(modified: str, name: str = "x") -> dict[str, Any]:
    """Write a version of a report."""
    return {"type": "report", "id": "report--1", "name": name, "modified": f"2026-11-24T00:00:0{modified}.000000Z"}


def markings(objects: Objects) -> list[list[str]]:
    """Return the markings of what is served."""
    return [parse_object(each.body)["object_marking_refs"] for each in objects.select()]


def test_added_rises(objects: Objects) -> None:
    """Times of adding rise strictly, also where the clock stands still or goes back."""
    for number, now_us in enumerate((1_000, 1_000, 500, 2_000)):
        objects.carry(f"b{number}", [sco(str(number), "GREEN")], tlp="GREEN", now_us=now_us)

    assert [1_000, 1_001, 1_002, 2_000] == [each.added for each in objects.select()]


def test_added_never_comes_again(objects: Objects) -> None:
    """The time of an object that is gone is given to no other."""
    objects.carry("a", [sco("a", "GREEN")], tlp="GREEN", now_us=1_000)
    objects.carry("a", [], tlp="GREEN", now_us=1_000)
    objects.carry("b", [sco("b", "GREEN")], tlp="GREEN", now_us=1_000)

    assert [1_001] == [each.added for each in objects.select()]


def test_narrowest_marking(objects: Objects) -> None:
    """An observable has the narrowest marking of the bulletins that carry it, and is added anew when that changes."""
    seen: list[tuple[int, str]] = []
    for bulletin, carried, tlp in (
        ("a", True, "GREEN"),
        ("b", True, "AMBER"),
        ("c", True, "GREEN"),
        ("b", False, "AMBER"),
    ):
        objects.carry(bulletin, [sco("x", tlp)] if carried else [], tlp=tlp, now_us=len(seen))
        seen.append((objects.select()[0].added, markings(objects)[0][0]))

    green, amber = TLP_MARKINGS["GREEN"], TLP_MARKINGS["AMBER"]
    assert [(1, green), (2, amber), (2, amber), (3, green)] == seen


def test_newest_version(objects: Objects) -> None:
    """The newest version counts, in whatever order versions come."""
    for bulletin, version in (("a", "2"), ("b", "1"), ("c", "3"), ("d", "3")):
        objects.carry(bulletin, [report(version, bulletin)], tlp="GREEN", now_us=5)

    (served,) = objects.select()
    assert ("c", "2026-11-24T00:00:03.000000Z", 6) == (parse_object(served.body)["name"], served.version, served.added)


def test_gone_with_its_last_carrier(objects: Objects) -> None:
    """An object stays while a bulletin carries it."""
    for bulletin in ("a", "b"):
        objects.carry(bulletin, [sco("x", "GREEN")], tlp="GREEN", now_us=1)
    counts = []
    for bulletin in ("a", "b"):
        objects.carry(bulletin, [], tlp="GREEN", now_us=1)
        counts.append(objects.count())

    assert [1, 0] == counts


def test_select(objects: Objects) -> None:
    """Objects are chosen by time, id, type and number."""
    objects.carry("a", [sco("x", "GREEN"), sco("y", "GREEN"), report("1")], tlp="GREEN", now_us=1)

    def ids(**wanted: Any) -> list[str]:
        return [each.id.partition("--")[2] for each in objects.select(**wanted)]

    assert ["x", "y", "1"] == ids()
    assert ["y", "1"] == ids(after=1)
    assert ["x", "y"] == ids(types=["domain-name"])
    assert ["y"] == ids(ids=["domain-name--y", "report--9"])
    assert ["x"] == ids(limit=1)
