"""What a process counted: what was committed, once."""

from __future__ import annotations

import pytest

from broker.batch import Batch
from broker.hub import Hub
from broker.tally import Histogram
from lintas.errors import InternalError


def note(batch: Batch) -> int:
    """Log one event."""
    return batch.append("auth.refused", "hub", detail={"source": "others", "minute": 0, "codes": {}})


def test_committed_events(opened: Hub) -> None:
    """Each event of a commit is counted once, by its kind, and what the batch took beside it."""
    opened.start()
    opened.writer.submit(note).result()
    opened.writer.submit(lambda _batch: None).result()
    opened.writer.submit(note).result()
    opened.writer.stop()
    tally = opened.tally

    assert 2 == tally.events["auth.refused"]
    assert tally.commits >= 2
    assert 3 == sum(count * bound for count, bound in zip(tally.jobs.counts, (*tally.jobs.bounds, 0), strict=True))
    assert sum(tally.commit_times.counts) == sum(tally.waits.counts) == sum(tally.jobs.counts)


def test_failed_batch(opened: Hub) -> None:
    """What was not committed is not counted."""

    def fail(batch: Batch) -> None:
        note(batch)
        raise ZeroDivisionError

    opened.start()
    with pytest.raises(InternalError):
        opened.writer.submit(fail).result()
    opened.writer.stop()

    assert 0 == opened.tally.events["auth.refused"]
    assert 0 == sum(opened.tally.jobs.counts)


@pytest.mark.parametrize(("value", "place"), [(0.0, 0), (1.0, 0), (1.001, 1), (2.0, 1), (2.001, 2)])
def test_buckets(value: float, place: int) -> None:
    """A bucket has its upper end; beyond the last one is one more."""
    found = Histogram((1.0, 2.0))
    found.observe(value)

    assert [int(each == place) for each in range(3)] == found.counts
