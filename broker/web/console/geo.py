"""The map of the console: member states coloured by rank.

Pure but for the shapes, which are read once from ``shapes.json`` beside this module (made by deploy/make_map.py). A
colour says in which fifth of the members a figure is, so that one large figure does not make all others look alike.
States too small to be seen have a marker, and their names stand apart from it on a leader line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from markupsafe import Markup

from broker.web.console.words import number
from lintas import vocabulary

CLASSES = 5
"""Colours beside that of nothing: as many as the eye tells apart."""

CAPTION = "Shapes: Natural Earth (public domain), simplified. Shapes show no position on any boundary."

LABELS: Mapping[str, tuple[int, int]] = {
    "ID": (440, 590),
    "KH": (275, 328),
    "LA": (212, 190),
    "MM": (88, 142),
    "MY": (212, 500),
    "PH": (668, 434),
    "TH": (180, 238),
    "VN": (338, 296),
}
"""Where names stand inside the shapes."""

MARKERS: Mapping[str, tuple[int, int, int, int]] = {
    "SG": (246, 549, 290, 515),
    "BN": (462, 483, 420, 440),
    "TL": (684, 760, 730, 790),
}
"""Small states: the place of the marker, then that of the name."""


@dataclass(frozen=True, slots=True)
class Band:
    """One colour of the legend: the smallest and largest figure that have it."""

    rank: int
    low: int
    high: int

    @property
    def words(self) -> str:
        """What stands beside the colour."""
        return number(self.low) if self.low == self.high else f"{number(self.low)}\u2013{number(self.high)}"


@cache
def shapes() -> dict[str, Any]:
    """Return the drawing: width, height, land around, a path for each member."""
    found: dict[str, Any] = json.loads(resources.files("broker.web.console").joinpath("shapes.json").read_text("utf-8"))
    return found


def ranks(counts: Mapping[str, int]) -> dict[str, int]:
    """Return 0 for nothing, else 1 to 5 by the fifth in which a figure is; equal figures have equal colours."""
    there = sorted(count for count in counts.values() if count)
    return {
        country: 0 if not count else 1 + there.index(count) * CLASSES // len(there) for country, count in counts.items()
    }


def legend(counts: Mapping[str, int]) -> list[Band]:
    """Return the colours that are used, the palest first."""
    found = ranks(counts)
    return [
        Band(rank, min(mine), max(mine))
        for rank in range(CLASSES + 1)
        if (mine := [counts[country] for country, each in found.items() if each == rank])
    ]


def draw(counts: Mapping[str, int], urls: Mapping[str, str]) -> Markup:
    """Draw the members, each a link with its name and figure."""
    drawing, found = shapes(), ranks(counts)
    members = Markup("").join(_member(country, counts[country], found[country], urls[country]) for country in counts)
    return Markup(
        '<svg class="map" viewBox="0 0 {} {}" role="group" aria-label="Map of the members">'
        '<path class="around" d="{}"/>{}{}</svg>'
    ).format(drawing["width"], drawing["height"], drawing["around"], members, _names())


def _member(country: str, count: int, rank: int, url: str) -> Markup:
    said = f"{country_name(country)}: {number(count)}"
    marker = Markup("")
    if country in MARKERS:
        x, y, name_x, name_y = MARKERS[country]
        marker = Markup(
            '<line class="leader" x1="{}" y1="{}" x2="{}" y2="{}"/><circle class="marker" cx="{}" cy="{}" r="9"/>'
        ).format(x, y, name_x, name_y, x, y)
    return Markup('<a href="{}" class="q{}" aria-label="{}"><title>{}</title><path d="{}"/>{}</a>').format(
        url, rank, said, said, shapes()["members"][country], marker
    )


def _names() -> Markup:
    # Above all shapes, and not part of a link: the link has its name already.
    places = {**LABELS, **{country: (place[2], place[3]) for country, place in MARKERS.items()}}
    return Markup('<g class="names" aria-hidden="true">{}</g>').format(
        Markup("").join(
            Markup('<text x="{}" y="{}">{}</text>').format(x, y, country) for country, (x, y) in places.items()
        )
    )


def country_name(country: str) -> str:
    """Return the name of a member state, or its code for another."""
    known = vocabulary.load().countries.get(country)
    return known.name if known else country
