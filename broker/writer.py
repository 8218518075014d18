"""The one writer: group commit, then signature, then answers.

Whatever arrived during the last commit goes into the next transaction (no timer). The order for a batch: the lock over
the head of the log, what other replicas logged meanwhile, every job in turn, rows inserted, COMMIT, rows read back,
checkpoint signed, then every waiter gets its answer. A crash before COMMIT loses only what nobody was told; a crash
after it leaves rows that the next start, or the next batch of another replica, signs, and whoever asks again with the
same bytes gets their receipt. Directory and head are written by this thread alone; the directory is immutable and
replaced whole, so any thread may read it at any time.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from broker.batch import Batch, Head
from broker.catchup import Caught, catch_up
from broker.signer import LogSigner, Signed
from broker.store import former, lines
from broker.store.engine import Connection, Store
from broker.wakeup import News
from lintas.clock import Clock
from lintas.directory import Directory
from lintas.errors import (
    Busy,
    InternalError,
    LintasError,
    LogBehind,
    LogHalted,
    ReadOnly,
    Refusal,
    StorageFull,
    StorageUnreachable,
)

QUEUE_MAX = 4_096
"""Jobs waiting; beyond this the hub answers 503 instead of growing."""

BATCH_JOBS_MAX = 512
"""Jobs in one commit, so that nobody waits for a huge one."""

BATCH_LINES_MAX = 1_024
"""Lines in one commit, counted as jobs look them up: one agency's batches must not hold up everyone's single lines."""

GATHER_S_MAX = 0.02
"""The longest that coroutines' jobs are gathered while their loop goes on bringing more."""

IDLE_S = 5.0
"""How often an idle writer looks whether something is due."""

RETRY_AFTER_S = 1

T = TypeVar("T")

_AnyFuture = Future[Any] | asyncio.Future[Any]

logger = logging.getLogger("lintas.writer")


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """A job's answer and the checkpoint that covers it; `signed` is None when the batch added nothing."""

    value: T
    signed: Signed | None


@dataclass(frozen=True, slots=True)
class Took:
    """How many jobs a batch had, how long the first of them waited for it, how long commit and signature took."""

    jobs: int
    wait_s: float
    commit_s: float


@dataclass(slots=True)
class _Entry:
    """A job and who waits for it: a thread, or a coroutine of `loop`, whose futures only that loop may touch."""

    job: Callable[[Batch], Any]
    ids: tuple[str, ...]
    future: _AnyFuture
    loop: asyncio.AbstractEventLoop | None = None
    queued_at: float = field(default_factory=time.monotonic)

    def begin(self) -> bool:
        """Tell whether it is still waited for; from here on a thread can no longer cancel."""
        if isinstance(self.future, Future):
            return self.future.set_running_or_notify_cancel()
        return not self.future.cancelled()


@dataclass(slots=True)
class _Gathered:
    """Jobs of a loop's coroutines on their way to the queue, used by the thread of that loop alone."""

    loop: asyncio.AbstractEventLoop
    until: float
    entries: list[_Entry] = field(default_factory=list)


class Writer:
    """Owns the writing connection, the directory and the thread that uses them."""

    def __init__(
        self,
        store: Store,
        signer: LogSigner,
        clock: Clock,
        *,
        index_key: bytes,
        due: Sequence[Callable[[Batch], None]],
    ) -> None:
        """Take its parts; each of `due` is called in every batch and may add what is to be recorded by now.

        Each of `on_commit` is called by the writer's thread after each commit, once it is signed, and each of
        `on_batch` after each batch that was answered, with what it took; none may raise.
        """
        self._store = store
        self._signer = signer
        self._clock = clock
        self._index_key = index_key
        self._due = due
        self._queue: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="lintas-writer", daemon=True)
        self._gathered: _Gathered | None = None
        self._head: Head | None = None
        self._halted: LogHalted | LogBehind | None = None
        self._stopping = False
        self._has_former = False
        self.directory = Directory("")
        self.on_commit: list[Callable[[News], None]] = []
        self.on_batch: list[Callable[[Took], None]] = []

    @property
    def halted(self) -> LogHalted | LogBehind | None:
        """Why nothing is accepted any more, or None."""
        return self._halted

    @property
    def withdrawn(self) -> int | None:
        """The index of the newest recall or supersede; None while that is not known."""
        head = self._head
        return None if head is None else head.withdrawn

    @property
    def size(self) -> int:
        """The size of the log that directory and answers are about, 0 while that is not known."""
        head = self._head
        return 0 if head is None else head.size

    @property
    def depth(self) -> int:
        """Jobs waiting now."""
        gathered = self._gathered
        return self._queue.qsize() + (0 if gathered is None else len(gathered.entries))

    def start(self) -> None:
        """Derive the directory from the log, sign what a crash left unsigned, begin to work."""
        with self._store.write() as conn:
            self._catch_up(conn)
            # It never changes: the rows come with the first transaction of an epoch.
            self._has_former = former.is_any(conn)
        # Whoever left rows unsigned told nobody of them.
        self._signer.sign_new(News(directory_changed=True))
        self._thread.start()

    def start_halted(self, halted: LogBehind) -> None:
        """Derive the directory, so that callers are known, and accept nothing."""
        with self._store.write() as conn:
            self._catch_up(conn)
        logger.critical("read-only: %s", halted)
        self._halted = halted

    def stop(self) -> None:
        """Finish what is queued, then stop. Later submissions are refused as Busy."""
        self._stopping = True
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def submit(self, job: Callable[[Batch], T | Refusal], ids: tuple[str, ...] = ()) -> Future[Done[T]]:
        """Queue a job; its future resolves after commit and signature, or raises the Refusal the job returned.

        A job returns its refusal instead of raising it, so that the record of the refusal is committed with the batch.
        `ids` are looked up once for the whole batch and found in `Batch.known`. Raises Busy or ReadOnly at once.
        """
        future: Future[Done[T]] = Future()
        self._check_open()
        self._queue.put(_Entry(job, ids, future))
        return future

    def submit_here(self, job: Callable[[Batch], T | Refusal], ids: tuple[str, ...] = ()) -> asyncio.Future[Done[T]]:
        """Submit from a coroutine: its loop is woken once a commit, not once for everyone who waits.

        What the coroutines of a loop submit is handed over together, once a turn of the loop brought nothing more.
        A writer that began with the first of them would make a commit for it alone, and take the interpreter from
        the thread that brings the others.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Done[T]] = loop.create_future()
        self._check_open()
        if self._gathered is None or self._gathered.loop is not loop:
            self._gathered = _Gathered(loop, until=loop.time() + GATHER_S_MAX)
            loop.call_soon(self._hand_over, self._gathered, 0)
        self._gathered.entries.append(_Entry(job, ids, future, loop))
        return future

    def _hand_over(self, gathered: _Gathered, before: int) -> None:
        count = len(gathered.entries)
        if before < count and gathered.loop.time() < gathered.until:
            gathered.loop.call_soon(self._hand_over, gathered, count)
            return
        if self._gathered is gathered:
            self._gathered = None
        for entry in gathered.entries:
            self._queue.put(entry)

    def _check_open(self) -> None:
        if self._halted is not None:
            raise read_only(self._halted)
        if self._stopping or self.depth >= QUEUE_MAX:
            raise Busy(retry_after=RETRY_AFTER_S)

    def _run(self) -> None:
        stop = False
        while not stop:
            entries, stop = self._take()
            # A caller that went away is not worked for; from here on it can no longer cancel.
            self._settle([entry for entry in entries if entry.begin()])
        self._drain()

    def _take(self) -> tuple[list[_Entry], bool]:
        try:
            first = self._queue.get(timeout=IDLE_S)
        except queue.Empty:
            # A halt may have drained the word to stop.
            return [], self._stopping
        entries: list[_Entry] = []
        count = 0
        while first is not None:
            entries.append(first)
            count += len(first.ids)
            if len(entries) == BATCH_JOBS_MAX or count >= BATCH_LINES_MAX:
                return entries, False
            try:
                first = self._queue.get_nowait()
            except queue.Empty:
                return entries, False
        return entries, True

    def _settle(self, entries: list[_Entry]) -> None:
        if self._halted is not None:
            return self._halt(self._halted, entries)
        began = time.monotonic()
        try:
            answers, signed = self._commit(entries)
        except LogHalted as halted:
            self._halt(halted, entries)
        except (StorageUnreachable, StorageFull) as refusal:
            # Nobody's own fault, so nobody is tried apart. Whether COMMIT took effect is unknown here, too.
            logger.error("batch of %d failed: %s: %s", len(entries), refusal.code, refusal.__cause__)  # noqa: TRY400
            self._forget()
            _resolve([(entry, refusal) for entry in entries])
        except Exception:
            # Whether COMMIT took effect is unknown: believe only what is read again, and answer nobody with success.
            logger.exception("batch of %d failed", len(entries))
            self._forget()
            self._settle_apart(entries)
        else:
            _resolve([(entry, _done(answer, signed)) for entry, answer in zip(entries, answers, strict=True)])
            if entries:
                took = Took(len(entries), began - entries[0].queued_at, time.monotonic() - began)
                for tell in self.on_batch:
                    tell(took)
        return None

    def _settle_apart(self, entries: list[_Entry]) -> None:
        # One job that fails must not fail its neighbours; jobs are safe to run again, ids make them idempotent.
        if len(entries) == 1:
            _resolve([(entries[0], InternalError())])
            return
        for entry in entries:
            self._settle([entry])

    def _commit(self, entries: list[_Entry]) -> tuple[list[Any], Signed | None]:
        with self._store.write() as conn:
            caught = self._catch_up(conn)
            assert self._head is not None
            batch = Batch(conn, self._head, self.directory, now_us=self._clock(), index_key=self._index_key)
            wanted = [line_id for entry in entries for line_id in entry.ids]
            if wanted:
                batch.known.update(lines.known(conn, wanted))
                if self._has_former:
                    batch.former.update(former.entries(conn, wanted))
            answers = [entry.job(batch) for entry in entries]
            for due in self._due:
                due(batch)
            head = batch.finish()
        if head is None and caught is None:
            return answers, None
        news = News()
        if head is not None:
            is_other, has_withdrawn = batch.directory is not self.directory, head.withdrawn != self._head.withdrawn
            news = News(batch.touched, directory_changed=is_other, has_withdrawn=has_withdrawn)
            self._head, self.directory = head, batch.directory
        # Also what an earlier commit left unsigned, ours or another replica's: who asks for it again needs its receipt.
        signed = self._signer.sign_new(news | caught.untold if caught else news)
        # Not before the signature: a reader must not be shown what a halted log would take back.
        self._tell(news | caught.news if caught else news)
        return answers, signed

    def _tell(self, news: News) -> None:
        for tell in self.on_commit:
            tell(news)

    def _catch_up(self, conn: Connection) -> Caught | None:
        """Bring head and directory to where the log is now; return what others brought, None when nobody wrote."""
        if self._head is not None and not self._store.is_shared:
            return None
        caught = catch_up(conn, self._head, self.directory)
        if caught is not None:
            self._head, self.directory = caught.head, caught.directory
        return caught

    def _forget(self) -> None:
        self._head = None

    def _halt(self, halted: LogHalted | LogBehind, entries: Iterable[_Entry]) -> None:
        logger.critical("log halted: %s", halted)
        self._halted = halted
        _resolve([(entry, ReadOnly()) for entry in entries])
        self._drain()

    def _drain(self) -> None:
        while True:
            try:
                entry = self._queue.get_nowait()
            except queue.Empty:
                return
            if entry is not None and entry.begin():
                _resolve([(entry, ReadOnly() if self._halted else Busy(retry_after=RETRY_AFTER_S))])


def read_only(halted: LogHalted | LogBehind) -> ReadOnly:
    """Return the refusal of a halted hub. What is missing is said: sizes are public; what is broken is not."""
    return ReadOnly(str(halted) if isinstance(halted, LogBehind) else "")


def _done(answer: Any, signed: Signed | None) -> Done[Any] | LintasError:
    return answer if isinstance(answer, LintasError) else Done(answer, signed)


def _resolve(outcomes: Iterable[tuple[_Entry, Done[Any] | LintasError]]) -> None:
    """Tell whoever waits: threads one by one, each event loop by one call."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_AnyFuture, Done[Any] | LintasError]]] = defaultdict(list)
    for entry, outcome in outcomes:
        if entry.loop is None:
            _set(entry.future, outcome)
        else:
            by_loop[entry.loop].append((entry.future, outcome))
    for loop, pairs in by_loop.items():
        # A loop that has ended took those who waited with it.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_set_all, pairs)


def _set_all(pairs: Iterable[tuple[_AnyFuture, Done[Any] | LintasError]]) -> None:
    for future, outcome in pairs:
        if not future.done():
            _set(future, outcome)


def _set(future: _AnyFuture, outcome: Done[Any] | LintasError) -> None:
    if isinstance(outcome, LintasError):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
