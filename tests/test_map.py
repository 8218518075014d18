"""The script that makes the console's map."""

from __future__ import annotations

import json

from deploy import make_map

SQUARE = [[50_000, 52_000], [500, 0], [0, 500], [-500, 0], [0, -500]]
"""A ring of the source: steps of a thousandth of a degree from 50 degrees east of its corner."""

SPECK = [[51_000, 52_000], [2, 0], [0, 2], [-2, -2]]


def source(**numbers: list[list[int]]) -> bytes:
    """Return a small file of the source's format: a country by number for each list of arcs."""
    geometries = [
        {"type": "MultiPolygon", "id": number.removeprefix("n"), "arcs": [[arc] for arc in arcs]}
        for number, arcs in numbers.items()
    ]
    return json.dumps(
        {
            "arcs": [SQUARE, SPECK],
            "transform": {"scale": [0.001, 0.001], "translate": [50.0, -50.0]},
            "objects": {"countries": {"geometries": geometries}},
        }
    ).encode()


def test_member_is_drawn() -> None:
    """A member becomes a path of whole units, north upwards, without the islands that nobody would see."""
    found = make_map.make(source(n702=[[0], [1]]))

    assert {"SG": "M168 536l10 0 0-10-10 0 0 10z"} == found["members"]


def test_smallest_member_stays() -> None:
    """A country that has nothing larger keeps its largest island, however small."""
    assert "SG" in make_map.make(source(n702=[[1]]))["members"]


def test_others_are_land_around() -> None:
    """What is no member is drawn without a name."""
    found = make_map.make(source(n036=[[0]]))

    assert ({}, "M168 536l10 0 0-10-10 0 0 10z") == (found["members"], found["around"])


def test_corners_that_matter_little_go() -> None:
    """Points on a line go, corners and ends stay; a ring never becomes less than a triangle."""
    line = [(0.0, 0.0), (10.0, 0.1), (20.0, 0.0), (20.0, 30.0)]
    ring = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0), (0.0, 0.0)]

    assert [(0.0, 0.0), (20.0, 0.0), (20.0, 30.0)] == make_map.simplified(line)
    assert 4 == len(make_map.simplified(ring))


def test_land_is_clipped() -> None:
    """What reaches out of the picture is cut at its edge."""
    width = round((make_map.EAST - make_map.WEST) * make_map.SCALE)
    ring = [(-50.0, 10.0), (width + 50, 10.0), (width + 50, 20.0), (-50.0, 20.0)]

    corners = {(round(x), round(y)) for x, y in make_map.clipped(ring)}

    assert {(0, 10), (width, 10), (width, 20), (0, 20)} == corners


def test_shapes_are_of_this_script() -> None:
    """The same source makes the same bytes: its digest stands in the result."""
    assert make_map.make(source(n702=[[0]])) == make_map.make(source(n702=[[0]]))
