"""Bars over time: how long one is, how many there are, where they lead."""

from __future__ import annotations

import html
import re

import pytest

from broker.web.console import histogram
from broker.web.console.histogram import BARS_MAX, FINE_EVENTS_MAX
from lintas.event import US_PER_S
from tests.console.conftest import AUDITOR, Console
from tests.console.reading import sign_in

HOUR_S, DAY_S = 3_600, 86_400
BEGIN = 1_795_467_600 * US_PER_S


@pytest.mark.parametrize(
    ("seconds", "span_s"),
    [
        (1, 1),
        (120, 1),
        (121, 5),
        (1_200, 10),
        (HOUR_S, 30),
        (2 * HOUR_S, 60),
        (4 * HOUR_S, 120),
        (4 * HOUR_S + 1, HOUR_S),
        (4 * DAY_S, HOUR_S),
        (4 * DAY_S + 1, DAY_S),
    ],
)
def test_span_follows_from_the_time(seconds: int, span_s: int) -> None:
    """Short times have short bars, down to a second; what is longer has hours or days."""
    assert span_s * US_PER_S == histogram.span_for(BEGIN, BEGIN + seconds * US_PER_S, FINE_EVENTS_MAX)


def test_many_events_are_not_counted_one_by_one() -> None:
    """A busy short time has hours, which are counted already."""
    assert HOUR_S * US_PER_S == histogram.span_for(BEGIN, BEGIN + 60 * US_PER_S, FINE_EVENTS_MAX + 1)


@pytest.mark.parametrize("seconds", [1, 59, 120, 121, 3_000, HOUR_S, 5 * HOUR_S, DAY_S, 400 * DAY_S])
@pytest.mark.parametrize("late_us", [0, 1, 29_999_999])
def test_bars_cover_the_time(seconds: int, late_us: int) -> None:
    """The bars follow each other without a gap, from before the beginning to the end, and are not too many."""
    begin, end = BEGIN + late_us, BEGIN + late_us + seconds * US_PER_S
    span = histogram.span_for(begin, end, 10)
    first, last = begin // span * span, (end - 1) // span * span
    bars = histogram.bars({(first, "view.read"): 3, (last, "bulletin.refused"): 2}, begin, end, span)

    assert bars[0].begin <= begin < end <= bars[-1].end
    assert [bar.end for bar in bars[:-1]] == [bar.begin for bar in bars[1:]]
    assert len(bars) <= BARS_MAX + 1
    assert (5, 2) == (sum(bar.count for bar in bars), sum(bar.bad for bar in bars))


def test_title_has_seconds_where_they_tell() -> None:
    """A bar of a minute or more is named by its minute, a shorter one by its second."""
    whole, part = (histogram.Bar(begin, begin + US_PER_S, 1, 1) for begin in (BEGIN, BEGIN + US_PER_S))

    assert "23 Nov 2026 21:00: 1 events, 1 refused or failed" == histogram.title(whole)
    assert "23 Nov 2026 21:00:01: 1 events, 1 refused or failed" == histogram.title(part)


def test_bar_within_an_hour_leads_to_its_seconds(console: Console) -> None:
    """A time of some seconds has bars; each leads to as many entries as it says, by fields that a browser takes."""
    reading = sign_in(console, AUDITOR)
    for _ in range(3):
        console.clock.advance(7)
        console.publish("my-police", ["sg-fiu"])
    page = reading.page("/console/audit?kind=bulletin.accepted")
    found = re.findall(r'<a href="([^"]+)" tabindex="-1"><title>[^<]*:\d\d: (\d+) events', page)
    addresses = [(html.unescape(address), int(count)) for address, count in found if count != "0"]

    assert len(addresses) > 1
    for address, count in addresses:
        shown = reading.page(address)
        assert count == shown.count("data-row=")
        fields = re.findall(r'type="datetime-local"[^>]* value="([^"]+)"( step="1")?', shown)
        assert [(value, len(value) > len("2026-11-23T21:00")) for value, _ in fields] == [
            (value, bool(step)) for value, step in fields
        ]
        assert 2 == len(fields)
