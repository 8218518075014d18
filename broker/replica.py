"""One replica of a hub among others on the same database.

Replicas know of each other what the log says. A writer looks at the log before every batch, so nothing is accepted,
recorded or given out on old knowledge. Whatever is answered from memory alone (is this token good, which keys are
there) is current as soon as this replica has heard of the change: `is_current` is False from then on until the change
is known, and whenever nothing can be heard; who sees that looks at the log first.
A hub on SQLite is one process and always current.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from broker.store import log
from broker.store.engine import Store
from broker.store.listening import Calls, Listening, alone
from broker.wakeup import Wakeup, read_news
from broker.writer import Writer
from lintas.errors import Busy, ReadOnly

logger = logging.getLogger("lintas.replica")


class Replica:
    """Hears what other replicas signed, and tells the readers here."""

    def __init__(self, store: Store, writer: Writer, wakeup: Wakeup) -> None:
        """Take its parts; `start` begins to listen."""
        self._store = store
        self._writer = writer
        self._wakeup = wakeup
        self._due = 0
        self._is_alone = not store.is_shared
        calls = Calls(on_open=self._look, on_text=self._hear, on_lead=self._changed)
        self._listening = None if self._is_alone else Listening(store.url, calls)
        self._wants_lead = False
        self.on_lead: Callable[[], None] | None = None

    @property
    def is_hearing(self) -> bool:
        """Tell whether what others sign is heard here."""
        return self._listening is None or self._listening.is_hearing

    @property
    def is_current(self) -> bool:
        """Tell whether what is known here is all that was told."""
        return self._listening is None or (self._listening.is_hearing and self._writer.size >= self._due)

    @property
    def is_leading(self) -> bool:
        """Tell whether this is the replica that does what only one may do."""
        return self._wants_lead if self._listening is None else self._listening.is_leading

    def start(self) -> None:
        """Begin to listen, in a thread of its own. The writer is started."""
        if self._listening is not None:
            self._listening.start()

    def stop(self) -> None:
        """Stop listening."""
        if self._listening is not None:
            self._listening.stop()

    def alone(self) -> AbstractContextManager[None]:
        """Keep every replica from serving meanwhile; raise BadSettings when one does. An SQLite hub is locked."""
        return nullcontext() if self._is_alone else alone(self._store.url)

    def want_lead(self, on_lead: Callable[[], None]) -> None:
        """Lead when no other replica does; `on_lead` is called whenever that changes, from any thread."""
        self.on_lead, self._wants_lead = on_lead, True
        if self._listening is None:
            on_lead()
        else:
            self._listening.want_lead(wanted=True)

    def leave_lead(self) -> None:
        """Let another replica lead."""
        self.on_lead, self._wants_lead = None, False
        if self._listening is not None:
            self._listening.want_lead(wanted=False)

    def _changed(self) -> None:
        on_lead = self.on_lead
        if on_lead is not None:
            on_lead()

    def _look(self) -> None:
        with self._store.read() as conn:
            size, _ = log.head(conn)
        self._catch_up(size)

    def _hear(self, text: str) -> None:
        try:
            size, news = read_news(text)
        except ValueError:
            # A replica of another version, during an upgrade: what it means is in the log.
            logger.warning("news of another form")
            return self._look()
        if size <= self._writer.size:
            # Our own, or found by a batch of ours under the lock: it told everyone here.
            return None
        if news.directory_changed or news.has_withdrawn:
            return self._catch_up(size)
        return self._wakeup.tell(news)

    def _catch_up(self, size: int) -> None:
        """Have the writer look at the log, which tells everyone here what is new in it."""
        if size <= self._writer.size:
            return
        self._due = max(self._due, size)
        try:
            self._writer.submit(_nothing)
        except (Busy, ReadOnly):
            # The next batch finds it, and until then every request looks at the log itself.
            logger.info("catching up waits")


def _nothing(_batch: object) -> None:
    return
