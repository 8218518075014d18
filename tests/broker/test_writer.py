"""The one writer: group commit, neighbours, halting, unknown outcomes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, text

from broker import writer as writers
from broker.batch import Batch
from broker.catchup import replay
from broker.hub import Hub
from broker.intake import Accepted, admit_bulletin, open_bulletin
from broker.store import log
from broker.wakeup import News
from broker.writer import Done
from lintas.errors import Busy, InconsistentLog, InternalError, LogHalted, NotAllowed, ReadOnly, Refusal
from lintas.line import Line
from tests.broker.conftest import Desks
from tests.conftest import wait_until

ISSUER, READER = "my-police", "sg-fiu"
WAIT_S = 20


class Gate:
    """A job that holds the writer until it is opened."""

    def __init__(self, hub: Hub) -> None:
        self._open, self._reached = threading.Event(), threading.Event()
        self.future = hub.writer.submit(self._job)
        assert self._reached.wait(WAIT_S)

    def _job(self, batch: Batch) -> int:
        self._reached.set()
        assert self._open.wait(WAIT_S)
        return batch.append("view.read", READER, detail={"view": "gate"})

    def open(self) -> None:
        """Let the writer go on."""
        self._open.set()


def note_view(name: str) -> Any:
    """Return a job that adds one event."""
    return lambda batch: batch.append("view.read", READER, detail={"view": name})


def fail(_batch: Batch) -> int:
    """Fail as a bug would."""
    raise RuntimeError("a bug in a job")


def posting(line: Line, hub: Hub) -> Any:
    """Return the job of posting this line."""
    submission = open_bulletin(line.raw, hub.directory)
    return lambda batch: admit_bulletin(batch, submission)


def test_one_commit_for_all_that_waited(inner: Desks) -> None:
    """Whatever arrived during a commit shares the next one: one transaction, one checkpoint."""
    writer = inner.hub.writer
    gate = Gate(inner.hub)
    futures = [writer.submit(note_view(str(number))) for number in range(20)]
    gate.open()

    done = [future.result(WAIT_S) for future in futures]

    assert 1 == len({each.signed and each.signed.note for each in done})
    assert list(range(done[0].value, done[0].value + 20)) == [each.value for each in done]
    assert gate.future.result(WAIT_S).signed != done[0].signed


def test_jobs_of_one_commit_have_a_limit(inner: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """More jobs than one commit takes are spread over several, in order."""
    monkeypatch.setattr(writers, "BATCH_JOBS_MAX", 3)
    gate = Gate(inner.hub)
    futures = [inner.hub.writer.submit(note_view(str(number))) for number in range(7)]
    gate.open()

    done = [future.result(WAIT_S) for future in futures]

    sizes = [each.signed.size for each in done if each.signed]
    assert [3, 3, 1] == [sizes.count(size) for size in sorted(set(sizes))]
    assert [each.value for each in done] == sorted(each.value for each in done)


def test_lines_of_one_commit_have_a_limit(inner: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit ends with the job that brings its lines to the limit: large batches are not all in one."""
    monkeypatch.setattr(writers, "BATCH_LINES_MAX", 4)
    gate = Gate(inner.hub)
    futures = [inner.hub.writer.submit(note_view(str(number)), ("x", "y", "z")) for number in range(5)]
    gate.open()

    sizes = [done.signed.size for done in (future.result(WAIT_S) for future in futures) if done.signed]

    assert [2, 2, 1] == [sizes.count(size) for size in sorted(set(sizes))]


def test_answer_comes_after_the_signature(inner: Desks) -> None:
    """An answer carries the checkpoint that covers its event, and that is the newest one stored."""
    done = inner.hub.writer.submit(note_view("a")).result(WAIT_S)

    with inner.hub.store.read() as conn:
        newest = log.newest_checkpoint(conn)
    assert newest is not None
    assert done.signed is not None
    assert (newest[0], newest[1], done.value + 1) == (done.signed.size, done.signed.note, done.signed.size)


def test_failing_job(inner: Desks) -> None:
    """A job that fails is answered as our fault and harms none of its neighbours."""
    writer = inner.hub.writer
    gate = Gate(inner.hub)
    futures: list[Future[Done[int]]] = [writer.submit(job) for job in (note_view("a"), fail, note_view("b"))]
    gate.open()

    with pytest.raises(InternalError):
        futures[1].result(WAIT_S)
    neighbours = [futures[0].result(WAIT_S).value, futures[2].result(WAIT_S).value]
    assert ["a", "b"] == [detail["view"] for detail in reversed(inner.details(party=READER)[:2])]
    assert neighbours == sorted(neighbours)


def test_refused_job(inner: Desks) -> None:
    """A refusal that a job returns is raised to its caller, and what it recorded is committed."""

    def job(batch: Batch) -> int | Refusal:
        batch.append("bulletin.refused", ISSUER, detail={"code": "not-allowed"})
        return NotAllowed(member="iss")

    with pytest.raises(NotAllowed):
        inner.hub.writer.submit(job).result(WAIT_S)

    assert {"code": "not-allowed"} == inner.details(kind="bulletin.refused")[0]


def test_job_that_adds_nothing(inner: Desks) -> None:
    """A batch that adds nothing has no checkpoint and grows nothing."""
    before = len(inner.events())

    done = inner.hub.writer.submit(lambda batch: batch.next_seq).result(WAIT_S)

    assert (None, before) == (done.signed, len(inner.events()))


def test_known_ids(inner: Desks) -> None:
    """Ids that a job asked about are looked up for it."""
    line = inner.bulletin(ISSUER, [READER])
    posted = inner.hub.writer.submit(posting(line, inner.hub), (line.id,)).result(WAIT_S)

    known = inner.hub.writer.submit(lambda batch: dict(batch.known), (line.id, "A" * 43)).result(WAIT_S).value

    assert {line.id: posted.value.seq} == known


def test_full_queue(inner: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond its limit the queue refuses at once and says when to come back."""
    writer = inner.hub.writer
    gate = Gate(inner.hub)
    monkeypatch.setattr(writers, "QUEUE_MAX", 2)
    futures = [writer.submit(note_view(name)) for name in ("a", "b")]

    with pytest.raises(Busy) as caught:
        writer.submit(note_view("c"))
    depth = writer.depth
    gate.open()

    assert (1, 2) == (caught.value.extra["retry_after"], depth)
    assert all(future.result(WAIT_S) for future in futures)


def test_cancelled_caller(inner: Desks) -> None:
    """A caller that went away is not worked for, and the writer goes on."""
    writer = inner.hub.writer
    gate = Gate(inner.hub)
    gone, stays = writer.submit(note_view("gone")), writer.submit(note_view("stays"))
    assert gone.cancel()
    gate.open()

    stays.result(WAIT_S)

    assert ["stays", "gate"] == [detail["view"] for detail in inner.details(party=READER)[:2]]


def test_waiting_coroutines(inner: Desks) -> None:
    """Coroutines get their answers as threads do: results, refusals; one that went away is not worked for."""
    writer = inner.hub.writer
    gate = Gate(inner.hub)

    async def wait() -> list[Any]:
        waiting = [writer.submit_here(job) for job in (note_view("a"), lambda _batch: NotAllowed(member="iss"))]
        gone = writer.submit_here(note_view("gone"))
        gone.cancel()
        gate.open()
        return await asyncio.gather(*waiting, gone, return_exceptions=True)

    done, refused, gone = asyncio.run(wait())

    assert ["a", "gate"] == [detail["view"] for detail in inner.details(party=READER)[:2]]
    assert (done.value + 1, NotAllowed) == (done.signed.size, type(refused))
    assert isinstance(gone, asyncio.CancelledError)


def test_one_call_for_all_coroutines(inner: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many coroutines of a loop wait for one commit, their loop is woken once."""
    writer = inner.hub.writer
    gate = Gate(inner.hub)
    calls: list[Any] = []

    async def wait() -> None:
        loop = asyncio.get_running_loop()
        wake = loop.call_soon_threadsafe

        def count(*given: Any, **named: Any) -> Any:
            calls.append(given)
            return wake(*given, **named)

        monkeypatch.setattr(loop, "call_soon_threadsafe", count)
        waiting = [writer.submit_here(note_view(str(number))) for number in range(20)]
        gate.open()
        await asyncio.gather(*waiting)

    asyncio.run(wait())

    assert 1 == len(calls)


async def submit_in_turns(hub: Hub, count: int) -> list[Done[Any]]:
    """Submit from coroutines in so many turns of the loop, one after the other."""
    waiting = []
    for number in range(count):
        waiting.append(hub.writer.submit_here(note_view(str(number))))
        await asyncio.sleep(0)
    return await asyncio.gather(*waiting)


def test_coroutines_share_a_commit(inner: Desks) -> None:
    """What coroutines submit while each turn of their loop brings more is handed over together."""
    done = asyncio.run(submit_in_turns(inner.hub, 20))

    assert 1 == len({each.signed and each.signed.size for each in done})


def test_gathering_has_an_end(inner: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that goes on bringing more does not put off for ever what it brought."""
    monkeypatch.setattr(writers, "GATHER_S_MAX", 0.0)

    async def submit() -> bool:
        waiting = [inner.hub.writer.submit_here(note_view("first"))]
        while not waiting[0].done() and len(waiting) < 2_000:
            # Blocks the loop on purpose: the writer's thread gets on, and the next turn brings more all the same.
            time.sleep(0.001)  # noqa: ASYNC251
            waiting.append(inner.hub.writer.submit_here(note_view(str(len(waiting)))))
            await asyncio.sleep(0)
        is_answered = waiting[0].done()
        await asyncio.gather(*waiting)
        return is_answered

    assert asyncio.run(submit())


def test_gathered_jobs_count(inner: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs that are not handed over yet count as waiting."""
    monkeypatch.setattr(writers, "QUEUE_MAX", 1)
    writer = inner.hub.writer

    async def submit() -> tuple[int, Done[Any]]:
        first = writer.submit_here(note_view("a"))
        with pytest.raises(Busy):
            writer.submit_here(note_view("b"))
        return writer.depth, await first

    depth, done = asyncio.run(submit())

    assert (1, 0) == (depth, writer.depth)
    assert done.signed is not None


def test_coroutine_that_left_meanwhile(inner: Desks) -> None:
    """Whoever stops waiting during the commit, alone or with its whole loop, does not trouble the writer."""
    writer = inner.hub.writer

    async def leave(*, is_cancelled: bool) -> None:
        gate = Gate(inner.hub)
        left = writer.submit_here(note_view("left"))
        stays = writer.submit_here(lambda _batch: left.cancel() if is_cancelled else True)
        gate.open()
        if is_cancelled:
            await stays

    asyncio.run(leave(is_cancelled=True))
    asyncio.run(leave(is_cancelled=False))

    assert writer.submit(note_view("on")).result(WAIT_S).signed is not None


def test_stopping(inner: Desks) -> None:
    """A stop finishes what is queued and refuses what comes later."""
    writer = inner.hub.writer
    future = writer.submit(note_view("last"))
    writer.stop()

    assert future.result(0).signed is not None
    with pytest.raises(Busy):
        writer.submit(note_view("late"))
    writer.stop()


def test_left_in_the_queue(opened: Hub) -> None:
    """What is still queued when the writer ends is answered as busy; one that was cancelled is passed over."""
    writer = opened.writer
    gone, waits = writer.submit(note_view("gone")), writer.submit(note_view("waits"))
    gone.cancel()
    writer._queue.put(None)

    writer._drain()

    with pytest.raises(Busy):
        waits.result(0)
    assert gone.cancelled()


def flip(hub: Hub, column: str = "body") -> None:
    """Corrupt the newest event behind the signer's back."""
    with hub.store.write() as conn:
        conn.execute(text(f"UPDATE event SET {column} = {column} || 'x' WHERE seq = (SELECT max(seq) FROM event)"))


def test_halted_log(inner: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault found before signing halts the hub: this caller and all later ones are told it is read-only."""
    writer = inner.hub.writer

    def halt(*_: object) -> None:
        raise LogHalted("Row 7: a test")

    monkeypatch.setattr(inner.hub.signer, "sign_new", halt)
    gate = Gate(inner.hub)
    waiting = writer.submit(note_view("waiting"))
    cancelled = writer.submit(note_view("cancelled"))
    cancelled.cancel()
    gate.open()

    for future in (gate.future, waiting):
        with pytest.raises(ReadOnly):
            future.result(WAIT_S)
    with pytest.raises(ReadOnly):
        writer.submit(note_view("late"))
    assert "Row 7: a test" == str(writer.halted)
    assert cancelled.cancelled()


def test_halted_writer_answers_what_slipped_in(inner: Desks) -> None:
    """A job queued at the moment of halting is answered too."""
    writer = inner.hub.writer
    gate = Gate(inner.hub)
    late = writer.submit(note_view("late"))
    writer._halted = LogHalted("test")
    gate.open()

    with pytest.raises(ReadOnly):
        late.result(WAIT_S)


def test_halted_writer_stops(inner: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """A halt that swallows the word to stop still lets the writer stop."""
    monkeypatch.setattr(writers, "IDLE_S", 0.05)
    writer = inner.hub.writer
    gate = Gate(inner.hub)

    def halt(*_: object) -> None:
        raise LogHalted("test")

    monkeypatch.setattr(inner.hub.signer, "sign_new", halt)
    stopping = threading.Thread(target=writer.stop, daemon=True)
    stopping.start()
    wait_until(lambda: writer.depth == 1)
    gate.open()
    stopping.join(WAIT_S)

    assert not stopping.is_alive()


class Faults:
    """Stands between the writer and its database, and makes one commit go wrong."""

    def __init__(self, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
        self._write = hub.store.write
        self._next: str | None = None
        monkeypatch.setattr(hub.writer, "_store", self)
        self.read = hub.store.read
        self.is_shared = hub.store.is_shared

    def arm(self, fault: str) -> None:
        """Choose what the next commit does: `lost`, or `applied` though an error is reported."""
        self._next = fault

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Write as the store does, with the fault armed for this time."""
        fault, self._next = self._next, None
        with self._write() as conn:
            yield conn
            if fault == "lost":
                raise OSError("the disk is gone")
        if fault == "applied":
            raise OSError("the disk did not answer")


@pytest.mark.parametrize("fault", ["lost", "applied"])
@pytest.mark.parametrize("neighbours", [0, 2])
def test_unknown_outcome(inner: Desks, monkeypatch: pytest.MonkeyPatch, fault: str, neighbours: int) -> None:
    """After a commit of unknown outcome nobody is lied to, and the same bytes get their one receipt."""
    faults = Faults(inner.hub, monkeypatch)
    line = inner.bulletin(ISSUER, [READER])
    posts = [line, *(inner.bulletin(ISSUER, [READER]) for _ in range(neighbours))]
    gate = Gate(inner.hub)
    futures = [inner.hub.writer.submit(posting(each, inner.hub), (each.id,)) for each in posts]
    # The gate's own batch has begun its transaction; the next one takes the fault.
    faults.arm(fault)
    gate.open()

    for future in futures:
        if neighbours:
            assert isinstance(future.result(WAIT_S).value, Accepted)
        else:
            with pytest.raises(InternalError):
                future.result(WAIT_S)
    again = inner.hub.writer.submit(posting(line, inner.hub), (line.id,)).result(WAIT_S).value

    assert isinstance(again, Accepted)
    assert (fault == "lost" and not neighbours) == again.is_new
    assert [again.seq] == [event.seq for event in inner.events(kind="bulletin.accepted", object=line.id)]
    with inner.hub.store.read() as conn:
        covered = log.checkpoint_over(conn, again.seq)
    assert covered is not None


def test_failed_signature(inner: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit whose checkpoint could not be stored is answered as our fault; the next one covers it."""
    sign = inner.hub.signer._sign
    broken = iter([True])

    def failing(*arguments: Any) -> bytes:
        if next(broken, False):
            raise OSError("no space left")
        return sign(*arguments)

    monkeypatch.setattr(inner.hub.signer, "_sign", failing)
    line = inner.bulletin(ISSUER, [READER])
    with pytest.raises(InternalError):
        inner.hub.writer.submit(posting(line, inner.hub), (line.id,)).result(WAIT_S)

    again = inner.hub.writer.submit(posting(line, inner.hub), (line.id,)).result(WAIT_S).value

    with inner.hub.store.read() as conn:
        assert isinstance(again, Accepted)
        assert not again.is_new
        assert log.checkpoint_over(conn, again.seq) is not None


def test_idle_writer_records_what_is_due(inner: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle writer looks now and then whether something is due."""
    monkeypatch.setattr(writers, "IDLE_S", 0.05)
    inner.hub.strangers.count("192.0.2.1", "malformed-line")
    inner.clock.advance(61)
    inner.hub.writer.submit(lambda batch: batch.next_seq).result(WAIT_S)

    inner.hub.strangers.count("192.0.2.2", "malformed-line")
    inner.clock.advance(61)
    wait_until(lambda: len(inner.events(kind="auth.refused")) == 2)

    assert {"192.0.2.1", "192.0.2.2"} == {detail["source"] for detail in inner.details(kind="auth.refused")}


def test_empty_log() -> None:
    """Without a first event there is no directory."""
    with pytest.raises(LogHalted, match="The log is empty"):
        replay([], {})


def test_purged_control_event() -> None:
    """A control event without its body is a fault: none is ever purged."""
    row = log.EventRow(4, 1, "key.approved", "*", 3, None, None)

    with pytest.raises(LogHalted, match=r"Row 4: a key\.approved event is never purged"):
        replay([row], {})


def test_control_event_without_its_line(opened: Hub) -> None:
    """A control event that shows no line behind it is not believed."""
    with opened.store.read() as conn:
        rows = log.events_of_kinds(conn, {"log.opened", "key.enrolled"}, after=-1)

    with pytest.raises(InconsistentLog):
        replay(rows, {})


def test_directory_is_derived_at_start(inner: Desks) -> None:
    """The directory that a start derives is the one that the commits led to."""
    before = inner.hub.directory

    inner.hub.writer._forget()
    with inner.hub.store.write() as conn:
        inner.hub.writer._catch_up(conn)

    assert before == inner.hub.directory
    assert before is not inner.hub.directory


def test_told_of_commits(inner: Desks) -> None:
    """Whoever asked is told after a commit with events, once they can be read, and not after one without."""
    sizes: list[int] = []

    def told(_news: News) -> None:
        with inner.hub.store.read() as conn:
            sizes.append(log.head(conn)[0])

    before = inner.hub.writer.submit(lambda batch: batch.next_seq).result(WAIT_S).value
    inner.hub.writer.on_commit.append(told)
    inner.hub.writer.submit(lambda _batch: 0).result(WAIT_S)
    inner.hub.writer.submit(note_view("told")).result(WAIT_S)
    wait_until(lambda: sizes != [])

    assert [before + 1] == sizes


def test_newest_withdrawal(inner: Desks) -> None:
    """The index of the newest recall is known as soon as it is committed."""
    line = inner.bulletin(ISSUER, [READER])
    inner.hub.writer.submit(posting(line, inner.hub)).result(WAIT_S)
    recall = inner.recall(ISSUER, line.id, [READER])

    accepted = inner.hub.writer.submit(posting(recall, inner.hub)).result(WAIT_S).value

    assert accepted.seq == inner.hub.writer.withdrawn
