"""Telling waiting readers that a commit brought something for them.

Whoever commits calls `tell` once a commit, from any thread: here the writer, elsewhere a thread that listens to the
notifications of a database. Readers wait on bells of an event loop; nobody looks for news by the clock.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from lintas.directory import EVERY_PARTNER
from lintas.errors import Busy

BELLS_MAX = 500
"""Readers that wait with a request of their own: with all streams they still leave connections for publishing."""

BELLS_PER_AGENCY_MAX = 32
"""Several programs of a desk may wait; an agency cannot take the places of the others."""

RETRY_AFTER_S = 5


@dataclass(frozen=True, slots=True)
class News:
    """What one commit brought: whose feeds it touched (``*`` is everyone's), whether the directory changed."""

    agencies: frozenset[str] = frozenset()
    directory_changed: bool = False

    @property
    def is_any(self) -> bool:
        """Tell whether anybody has to be told."""
        return self.directory_changed or bool(self.agencies)

    @property
    def is_for_everyone(self) -> bool:
        """Tell whether every reader must look."""
        return self.directory_changed or EVERY_PARTNER in self.agencies


@dataclass(eq=False, slots=True)
class Bell:
    """One waiting reader; an `agency` of ``*`` is told of everything."""

    agency: str
    rung: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait(self) -> None:
        """Wait until it rings, then make it silent again; what rang before this call counts."""
        await self.rung.wait()
        self.rung.clear()


class Wakeup:
    """The bells of one process. All but `tell` belong to the thread of the event loop.

    `is_leaving`: the server will stop soon, so readers and publishers should be sent elsewhere. `is_stopping`: it does.
    """

    def __init__(self) -> None:
        """Begin without a bell."""
        self._bells: set[Bell] = set()
        self._counts: Counter[str] = Counter()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.is_leaving = False
        self.is_stopping = False

    @property
    def waiting(self) -> int:
        """Readers that wait now."""
        return len(self._bells)

    @contextmanager
    def bell(self, agency: str) -> Iterator[Bell]:
        """Hang up a bell for a reader; hang it up before reading, so that nothing falls in between. May raise Busy."""
        if len(self._bells) >= BELLS_MAX or self._counts[agency] >= BELLS_PER_AGENCY_MAX:
            raise Busy("Too many requests of yours, or of all, wait for news.", retry_after=RETRY_AFTER_S)
        bell = Bell(agency)
        self._loop = asyncio.get_running_loop()
        self._bells.add(bell)
        self._counts[agency] += 1
        try:
            yield bell
        finally:
            self._bells.discard(bell)
            self._counts -= Counter((agency,))

    def tell(self, news: News) -> None:
        """Ring the bells that this concerns. Any thread may call it; it never waits."""
        if self._loop is None or not news.is_any:
            return
        # A loop that has ended took its readers with it.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._ring, news)

    def stop(self) -> None:
        """Tell everyone that the server stops: nobody waits any longer."""
        self.is_stopping = True
        self._ring(News(directory_changed=True))

    def _ring(self, news: News) -> None:
        for bell in self._bells:
            if news.is_for_everyone or bell.agency in news.agencies or bell.agency == EVERY_PARTNER:
                bell.rung.set()
