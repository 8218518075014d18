"""Telling waiting readers that a commit brought something for them.

`tell` is called once a commit, from any thread: by the writer for its own commits, by the thread that listens to the
database for those of other replicas. Readers wait on bells of an event loop; nobody looks for news by the clock.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from lintas.directory import EVERY_PARTNER
from lintas.errors import Busy

BELLS_MAX = 500
"""Readers that wait with a request of their own: with all streams they still leave connections for publishing."""

BELLS_PER_AGENCY_MAX = 32
"""Several programs of a desk may wait; an agency cannot take the places of the others."""

RETRY_AFTER_S = 5


TEXT_BYTES_MAX = 7_000
"""News for other replicas. Postgres takes a notification of at most 8,000 bytes."""


@dataclass(frozen=True, slots=True)
class News:
    """What commits brought: whose feeds they touched (``*`` is everyone's), which earlier readings hold no more."""

    agencies: frozenset[str] = frozenset()
    directory_changed: bool = False
    has_withdrawn: bool = False

    @property
    def is_any(self) -> bool:
        """Tell whether anybody has to be told."""
        return self.directory_changed or bool(self.agencies)

    @property
    def is_for_everyone(self) -> bool:
        """Tell whether every reader must look."""
        return self.directory_changed or EVERY_PARTNER in self.agencies

    def __or__(self, other: News) -> News:
        """Return both together."""
        return News(
            self.agencies | other.agencies,
            self.directory_changed or other.directory_changed,
            self.has_withdrawn or other.has_withdrawn,
        )

    def text(self, size: int) -> str:
        """Write this for other replicas, with the size of the log that it is about; `read_news` reads it."""
        text = self._text(size, self.agencies)
        return text if len(text) <= TEXT_BYTES_MAX else self._text(size, {EVERY_PARTNER})

    def _text(self, size: int, agencies: Collection[str]) -> str:
        members = {"size": size, "for": sorted(agencies), "directory": self.directory_changed}
        return json.dumps(members | {"withdrawn": self.has_withdrawn}, separators=(",", ":"))


def read_news(text: str) -> tuple[int, News]:
    """Return the size of the log and the news; raise ValueError for what no replica of this version writes."""
    try:
        members = json.loads(text)
        size, directory, withdrawn = members["size"], members["directory"], members["withdrawn"]
        news = News(frozenset(map(str, members["for"])), bool(directory), bool(withdrawn))
        return int(size), news
    except (KeyError, TypeError) as fault:
        raise ValueError("These are no news of a replica.") from fault


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
    Each of `watchers` is told of every commit, also of one that is for no reader, in the thread that tells; it must
    not wait or raise.
    """

    def __init__(self) -> None:
        """Begin without a bell."""
        self._bells: set[Bell] = set()
        self._counts: Counter[str] = Counter()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.is_leaving = False
        self.watchers: list[Callable[[News], None]] = []
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
        for watcher in tuple(self.watchers):
            watcher(news)
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
