"""Server-sent events are read as the WHATWG grammar says, in bounded memory, however the bytes are cut."""

from __future__ import annotations

from itertools import pairwise, repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lintas.errors import HubUnreachable
from lintas.stream import EVENT_BYTES_MAX, EventReader, StreamEvent

TEXT = (
    b'retry: 5\r\n\r\n:\n\nid: 4\nevent: bulletin\ndata: {"seq":4}\n\nid:7\rdata: a\rdata\r\rid: 9\n\n: x\ndata:b\n\n'
)
EVENTS = [
    StreamEvent("bulletin", b'{"seq":4}', "4"),
    StreamEvent("message", b"a\n", "7"),
    StreamEvent("message", b"b", "9"),
]


@given(st.sets(st.integers(0, len(TEXT)), max_size=12))
def test_any_cut_gives_the_same(cuts: set[int]) -> None:
    """Events do not depend on where the bytes were cut."""
    reader = EventReader()
    found = [event for begin, end in pairwise(sorted(cuts | {0, len(TEXT)})) for event in reader.take(TEXT[begin:end])]

    assert EVENTS == found


def test_id_with_nul_is_ignored() -> None:
    """An id with a NUL leaves the last one as it was; an unknown field is passed over."""
    reader = EventReader()

    assert [StreamEvent("message", b"x", "1")] == reader.take(b"id: 1\nid: 2\0\nfoo: bar\ndata: x\n\n")


def test_unfinished_event_is_not_given() -> None:
    """What the stream did not finish is no event."""
    assert [] == EventReader().take(b"id: 1\ndata: x\n")


@pytest.mark.parametrize("part", [b"x" * 1_000, b"data: x\n" * 100, b":\n" * 100, b"id: 1\n" * 100])
def test_endless_event(part: bytes) -> None:
    """A line, or an event of many lines, that never ends is refused at its limit."""
    reader = EventReader()

    with pytest.raises(HubUnreachable, match="larger than"):
        list(map(reader.take, repeat(part, 2 * EVENT_BYTES_MAX // len(part))))


def test_largest_event_passes() -> None:
    """An event of the largest size passes, again and again."""
    data = b"x" * (EVENT_BYTES_MAX - 100)
    reader = EventReader()

    found = [event for _ in range(3) for event in reader.take(b"id: 1\ndata: " + data + b"\n\n")]

    assert [data] * 3 == [event.data for event in found]
