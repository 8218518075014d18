"""The one place that reads the time of day."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Returns the time in Unix microseconds; tests pass their own."""


def now_us() -> int:
    """Return the time in Unix microseconds."""
    return time.time_ns() // 1000
