"""How long a client pauses before it sends the same request again."""

from __future__ import annotations

import pytest

from lintas.request import Response
from lintas.transport import pause_after


@pytest.mark.parametrize(
    ("status", "asked", "expected"),
    [
        (503, None, 1.0),
        (503, "0", 1.0),
        (503, "7", 7.0),
        (503, "11", 1.0),
        (429, "0", 1.0),
        (429, "10", 10.0),
        # What lasts longer, such as a quota of a day, is for the caller to wait for.
        (429, "11", None),
        (429, None, None),
        (429, "-1", None),
        (429, "soon", None),
        (429, "1" * 5_000, None),
        (429, "\u0661", None),
        (200, "5", None),
        (404, None, None),
        (500, "1", None),
    ],
)
def test_pause(status: int, asked: str | None, expected: float | None) -> None:
    """A hub that is busy, or is asked too much, is asked again when it says, if that is soon."""
    headers = {} if asked is None else {"retry-after": asked}

    assert expected == pause_after(Response(status, headers, b""), 1.0)
