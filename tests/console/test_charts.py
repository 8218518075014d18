"""Charts and map: figures in, SVG out, nothing of it a style or markup of others."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from broker.web.console import charts, geo
from broker.web.console.charts import Series
from lintas import vocabulary

WEEK = Series("Bulletins", ["1 Nov", "2 Nov", "3 Nov"], [4, 0, 12_000])
HOSTILE = '<script>alert(1)</script>"&\u202e'


def drawn(markup: Markup) -> ET.Element:
    """Read a drawing as a browser would; what is not well formed is an error."""
    return ET.fromstring(str.__str__(markup))


@pytest.mark.parametrize("draw", [charts.sparkline, charts.bars])
def test_chart_says_its_figures(draw: object) -> None:
    """A chart is an image whose name says sum, lowest, highest and last figure."""
    root = drawn(draw(WEEK))  # type: ignore[operator]

    assert "img" == root.get("role")
    assert (
        "Bulletins: 12\u202f004 in all from 1 Nov to 3 Nov, lowest 0, highest 12\u202f000 (3 Nov), last 12\u202f000."
        == root.get("aria-label")
    )


def test_bar_of_little_is_seen() -> None:
    """One among thousands has a bar of its own, nothing has none."""
    heights = [float(each.get("height") or 0) for each in drawn(charts.bars(WEEK)).iter("rect")]

    assert [1.5, 0.0, 24.0] == heights


@pytest.mark.parametrize("draw", [charts.sparkline, charts.bars])
def test_chart_of_nothing(draw: object) -> None:
    """A chart without figures says so and is drawn."""
    assert "Bulletins: no figures." == drawn(draw(Series("Bulletins", [], []))).get("aria-label")  # type: ignore[operator]


def test_text_is_escaped() -> None:
    """Foreign text in names and labels stays text, in charts as in their table."""
    series = Series(HOSTILE, [HOSTILE], [1])

    for markup in (charts.sparkline(series), charts.bars(series), charts.table(series, of=HOSTILE)):
        assert "<script" not in markup
        assert "&lt;script&gt;" in markup
        drawn(markup)


@given(st.lists(st.integers(0, 10**9), max_size=40))
def test_every_chart_is_drawn(values: list[int]) -> None:
    """Whatever the figures, a drawing is well formed, within its frame, and carries no style of its own."""
    series = Series("Any", [str(each) for each in range(len(values))], values)

    for markup in (charts.sparkline(series), charts.bars(series), charts.bar(sum(values), series.top)):
        root = drawn(markup)
        high = float((root.get("viewBox") or "").split()[3])
        assert not re.search(r"\bstyle\b", markup)
        assert all(0 <= float(each.get("height") or 0) <= high for each in root.iter("rect"))


def test_table_has_each_figure() -> None:
    """The table beside a chart has every label with its figure."""
    cells = [cell.text for row in drawn(charts.table(WEEK, of="Day")).iter("tr") for cell in row]

    assert ["Day", "Number", "1 Nov", "4", "2 Nov", "0", "3 Nov", "12\u202f000"] == cells


@pytest.mark.parametrize(
    ("now", "before", "said"),
    [
        (12, 10, "+20\u00a0%"),
        (8, 10, "\u221220\u00a0%"),
        (3, 0, "new"),
        (0, 0, "±0\u00a0%"),
        (0, 4, "\u2212100\u00a0%"),
    ],
)
def test_change_in_words(now: int, before: int, said: str) -> None:
    """A change is told in percent of what was, with a true minus; from nothing it is new."""
    assert said == charts.change(now, before)


def test_colours_follow_rank() -> None:
    """One huge figure leaves the others their own colours; equal figures have equal ones; nothing has the first."""
    counts = {"a": 0, "b": 1, "c": 1, "d": 2, "e": 3, "f": 1_000_000}

    assert {"a": 0, "b": 1, "c": 1, "d": 3, "e": 4, "f": 5} == geo.ranks(counts)


def test_legend_covers_every_figure() -> None:
    """Each colour of the legend says from where to where it goes."""
    counts = {"a": 0, "b": 1, "c": 1, "d": 2, "e": 3, "f": 1_000_000}

    assert [(0, "0"), (1, "1"), (3, "2"), (4, "3"), (5, "1\u202f000\u202f000")] == [
        (band.rank, band.words) for band in geo.legend(counts)
    ]


def test_map_has_every_member() -> None:
    """Each member state is a link with its name and figure; the small ones have a marker that no name covers."""
    counts = dict.fromkeys(sorted(vocabulary.load().countries), 7)
    root = drawn(geo.draw(counts, {country: f"/x?country={country}" for country in counts}))
    links = {each.get("href"): each for each in root.iter("a")}

    assert {f"/x?country={country}" for country in counts} == set(links)
    assert "Timor-Leste: 7" == links["/x?country=TL"].get("aria-label")
    for country, (x, y, name_x, name_y) in geo.MARKERS.items():
        assert links[f"/x?country={country}"].find("circle") is not None
        assert (name_x - x) ** 2 + (name_y - y) ** 2 > 30**2


def test_shapes_name_their_source() -> None:
    """The shapes say by a digest what they were made from, and are small."""
    text = files("broker.web.console").joinpath("shapes.json").read_text()

    assert re.fullmatch(r"Natural Earth 1:50m by world-atlas, sha256 [0-9a-f]{64}", json.loads(text)["source"])
    assert len(text) < 20_000
    assert set(vocabulary.load().countries) == set(json.loads(text)["members"])
