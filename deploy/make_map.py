"""Makes the shapes of the console's map from the countries of Natural Earth.

    npm pack world-atlas@2.0.2 && tar xzf world-atlas-2.0.2.tgz
    python3 deploy/make_map.py package/countries-50m.json > broker/web/console/shapes.json

The source is a TopoJSON file (ISC; Natural Earth is in the public domain): neighbours share the arc of their border, so
an arc that is simplified once stays common to both. Corners that change the outline least go first (Visvalingam and
Whyatt), then rings too small to be seen. The result names the source by its SHA-256; the same source gives the same
bytes.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

MEMBERS = {
    "096": "BN",
    "116": "KH",
    "360": "ID",
    "418": "LA",
    "458": "MY",
    "104": "MM",
    "608": "PH",
    "702": "SG",
    "764": "TH",
    "626": "TL",
    "704": "VN",
}
"""The numbers of ISO 3166 by which the source names the member states."""

WEST, EAST, SOUTH, NORTH = 91.6, 141.4, -11.4, 28.8
SCALE = 20
"""Units of the drawing to a degree. So near to the equator a degree is as wide as it is high."""

CORNER_MIN = 3.0
"""Corners whose triangle is smaller than so many square units go."""

RING_MIN = 5.0
"""Islands smaller than so many square units go, unless a country has nothing larger."""

Point = tuple[float, float]
Ring = Sequence[Point]


def make(source: bytes) -> dict[str, Any]:
    """Return size, shapes of members by country, the shape of the land around them, and the digest of the source."""
    topology = json.loads(source)
    arcs = [simplified(arc) for arc in _placed(topology)]
    members: dict[str, list[Ring]] = {}
    around: list[Ring] = []
    for geometry in topology["objects"]["countries"]["geometries"]:
        rings = [_ring(arcs, polygon[0]) for polygon in _polygons(geometry)]
        code = MEMBERS.get(str(geometry.get("id")))
        if code is None:
            around += [ring for ring in map(clipped, rings) if area(ring) >= RING_MIN]
        else:
            members[code] = _seen(rings)
    return {
        "source": f"Natural Earth 1:50m by world-atlas, sha256 {hashlib.sha256(source).hexdigest()}",
        "width": round((EAST - WEST) * SCALE),
        "height": round((NORTH - SOUTH) * SCALE),
        "around": path(around),
        "members": {code: path(members[code]) for code in sorted(members)},
    }


def _placed(topology: Mapping[str, Any]) -> Iterable[list[Point]]:
    """Yield the arcs in units of the drawing; those of the source are steps on a grid."""
    (scale_x, scale_y), (left, bottom) = topology["transform"]["scale"], topology["transform"]["translate"]
    for arc in topology["arcs"]:
        x = y = 0
        points = []
        for step_x, step_y in arc:
            x, y = x + step_x, y + step_y
            points.append(((x * scale_x + left - WEST) * SCALE, (NORTH - y * scale_y - bottom) * SCALE))
        yield points


def _polygons(geometry: Mapping[str, Any]) -> list[Any]:
    arcs: list[Any] = geometry.get("arcs", [])
    return [arcs] if geometry["type"] == "Polygon" else arcs


def _ring(arcs: Sequence[Ring], numbers: Iterable[int]) -> list[Point]:
    """Join arcs to a ring; a negative number is an arc walked backwards. Each begins where the last one ended."""
    ring: list[Point] = []
    for number in numbers:
        arc = arcs[number] if number >= 0 else arcs[~number][::-1]
        ring += arc[1:] if ring else arc
    return ring


def _seen(rings: Sequence[Ring]) -> list[Ring]:
    largest = max(rings, key=area)
    return [ring for ring in rings if ring is largest or area(ring) >= RING_MIN]


def simplified(arc: Sequence[Point]) -> list[Point]:
    """Return the arc without the corners that matter least; its ends stay, and a closed one keeps a triangle."""
    points = list(arc)
    if not any(0 <= x <= (EAST - WEST) * SCALE and 0 <= y <= (NORTH - SOUTH) * SCALE for x, y in points):
        # Out of the picture: what is left of it after clipping is a straight edge.
        return [points[0], points[len(points) // 2], points[-1]]
    fewest = 4 if points[0] == points[-1] else 2
    while len(points) > fewest:
        sizes = [area(points[at - 1 : at + 2]) for at in range(1, len(points) - 1)]
        least = min(range(len(sizes)), key=sizes.__getitem__)
        if sizes[least] >= CORNER_MIN:
            break
        del points[least + 1]
    return points


def area(ring: Ring) -> float:
    """Return the area within a ring, open or closed, in square units."""
    pairs = zip(ring, [*ring[1:], *ring[:1]], strict=True)
    return abs(sum(left[0] * right[1] - right[0] * left[1] for left, right in pairs)) / 2


def clipped(ring: Ring) -> list[Point]:
    """Return what of a ring lies within the drawing (Sutherland and Hodgman)."""
    points = list(ring)
    for axis, limit, sign in ((0, 0, 1), (0, (EAST - WEST) * SCALE, -1), (1, 0, 1), (1, (NORTH - SOUTH) * SCALE, -1)):
        kept: list[Point] = []
        for this, following in zip(points, [*points[1:], *points[:1]], strict=True):
            inside, next_inside = (sign * (each[axis] - limit) >= 0 for each in (this, following))
            if inside:
                kept.append(this)
            if inside != next_inside:
                share = (limit - this[axis]) / (following[axis] - this[axis])
                kept.append((this[0] + share * (following[0] - this[0]), this[1] + share * (following[1] - this[1])))
        points = kept
    return points


def path(rings: Iterable[Ring]) -> str:
    """Write rings as the path of an SVG, in whole units: one absolute point, then steps."""
    return "".join(map(_subpath, rings))


def _subpath(ring: Ring) -> str:
    points = [(round(x), round(y)) for x, y in ring]
    steps = [(x - left, y - top) for (left, top), (x, y) in itertools.pairwise(points)]
    moves = "".join(f"{' ' if x >= 0 else ''}{x}{' ' if y >= 0 else ''}{y}" for x, y in steps if x or y)
    return f"M{points[0][0]} {points[0][1]}l{moves.strip()}z"


if __name__ == "__main__":
    json.dump(make(Path(sys.argv[1]).read_bytes()), sys.stdout, indent=1)
    sys.stdout.write("\n")
