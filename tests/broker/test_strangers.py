"""Counts of refused strangers: by address, minute and code, never one event each."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from broker import strangers as counting
from broker.batch import Batch, Head
from broker.hub import Hub
from broker.strangers import Strangers
from lintas.directory import Directory
from tests.conftest import ShiftedClock

MINUTE_US = 60_000_000


class Hand:
    """A clock that stands where a test puts it."""

    def __init__(self) -> None:
        self.now = 100 * MINUTE_US

    def __call__(self) -> int:
        """Return the time in Unix microseconds."""
        return self.now


def logged(hub: Hub, found: Strangers, *, every: bool = False) -> list[dict[str, Any]]:
    """Return the details of what is logged now."""
    with hub.store.write() as conn:
        batch = Batch(conn, Head.load(conn), Directory("hub"), now_us=1)
        (found.record_all if every else found.record)(batch)
        events = [event for event, _ in batch._events]
    assert all(("auth.refused", "hub") == (event.kind, event.party) for event in events)
    return [json.loads(json.dumps(event.detail)) for event in events]


def test_minutes_that_are_over(small_hub: Hub) -> None:
    """The counts of an address and minute are one event once the minute is over, and only once."""
    hand = Hand()
    found = Strangers(hand)
    for code in ("unknown-key", "malformed-line", "unknown-key"):
        found.count("192.0.2.1", code)

    during = logged(small_hub, found)
    hand.now += MINUTE_US
    found.count("192.0.2.1", "too-large")
    after = logged(small_hub, found)
    again = logged(small_hub, found)

    assert ([], []) == (during, again)
    assert [{"source": "192.0.2.1", "minute": 100, "codes": {"malformed-line": 1, "unknown-key": 2}}] == after


def test_at_once(small_hub: Hub) -> None:
    """For an administrator everything counted so far is logged at once."""
    found = Strangers(Hand())
    found.count("192.0.2.1", "unknown-key")
    found.count("192.0.2.2", "unknown-key")

    assert ["192.0.2.1", "192.0.2.2"] == [each["source"] for each in logged(small_hub, found, every=True)]
    assert [] == logged(small_hub, found, every=True)


def test_many_addresses(small_hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit all other addresses count as one, and nothing grows."""
    monkeypatch.setattr(counting, "SOURCES_MAX", 2)
    found = Strangers(Hand())
    for number in (1, 2, 3, 4, 1):
        found.count(f"192.0.2.{number}", "unknown-key")

    shown = {each["source"]: each["codes"]["unknown-key"] for each in logged(small_hub, found, every=True)}

    assert {"192.0.2.1": 2, "192.0.2.2": 1, "others": 2} == shown


def test_from_many_threads(small_hub: Hub, clock: ShiftedClock) -> None:
    """Counts from several threads are all there."""
    found = Strangers(Hand())

    def count() -> None:
        for _ in range(2_000):
            found.count("192.0.2.1", "unknown-key")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 8_000 == logged(small_hub, found, every=True)[0]["codes"]["unknown-key"]
