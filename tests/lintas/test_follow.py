"""Following over the stream: at once, once, in order, verified, whatever a hub or what stands before it tries."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import httpx
import pytest

from lintas import client as client_module
from lintas import follow as following
from lintas.async_client import AsyncClient
from lintas.draft import Draft
from lintas.errors import HubUnreachable, LintasError, RateLimited, Unauthorized, Unverified, Withheld
from lintas.state import State
from lintas.stream import EVENT_BYTES_MAX
from tests.conftest import wait_until
from tests.lintas.conftest import Hostile

Draw = Callable[..., Draft]
ISSUER, READER = "my-police", "sg-fiu"


class Stopped(BaseException):
    """Ends a follower that the test is done with."""


class Follower:
    """A client that follows in a thread of its own: what it showed, what ended it."""

    def __init__(self, hostile: Hostile, **options: Any) -> None:
        self.titles: list[str | None] = []
        self.fault: LintasError | None = None
        self._hostile = hostile
        self._steps = hostile.client.follow(**options)
        hostile.followers.append(self)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            for item in self._steps:
                self.titles.append(None if item.content is None else item.content.title)
        except LintasError as fault:
            self.fault = fault
        except Stopped:
            return

    def stop(self) -> None:
        """Cut it off from the hub, which ends its streams, and wait for its end."""
        self._hostile.middle.cut = 10**9
        wakeup = self._hostile.hub.hub.wakeup
        if wakeup._loop is not None:
            wakeup._loop.call_soon_threadsafe(wakeup.stop)
        self._thread.join(20)
        assert not self._thread.is_alive()

    def wait_for(self, *titles: str) -> None:
        """Wait until it showed exactly these."""
        wait_until(lambda: len(self.titles) >= len(titles) or self.fault is not None)
        assert (list(titles), None) == (self.titles, self.fault)

    def wait_for_all(self, *titles: str) -> None:
        """Wait until it showed exactly these, in whatever order."""
        wait_until(lambda: len(self.titles) >= len(titles) or self.fault is not None)
        assert (sorted(titles), None) == (sorted(map(str, self.titles)), self.fault)

    def fails(self) -> LintasError:
        """Wait until it ends, and return why."""
        wait_until(lambda: self.fault is not None)
        assert self.fault is not None
        return self.fault


@pytest.fixture(autouse=True)
def impatient(hostile: Hostile, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Followers come again soon, and end before their memory is closed."""
    stopping = threading.Event()

    def pause(seconds: float) -> float:
        if stopping.is_set():
            raise Stopped
        return min(seconds, 0.05)

    monkeypatch.setattr(client_module, "spread", pause)
    yield
    stopping.set()
    for follower in hostile.followers:
        follower.stop()


def publish(hostile: Hostile, draft: Draw, title: str, **other: Any) -> str:
    """Publish as the issuer; return the id."""
    found: str = hostile.hub.client(ISSUER).publish(draft(title, **other)).id
    return found


def asked(hostile: Hostile, path: str = "GET /v1/bulletins") -> int:
    """Return how often the hub was asked."""
    return sum(line == path for line, _ in hostile.middle.requests)


def test_at_once_over_the_stream(hostile: Hostile, draft: Draw) -> None:
    """What is there is shown, then what comes, at once, without asking again."""
    publish(hostile, draft, "first")
    follower = Follower(hostile)
    follower.wait_for("first")
    wait_until(lambda: asked(hostile) == 2)
    before = asked(hostile)
    began = time.monotonic()
    publish(hostile, draft, "second")
    follower.wait_for("first", "second")

    assert before == asked(hostile)
    assert time.monotonic() - began < 5


def test_recall_over_the_stream(hostile: Hostile, draft: Draw) -> None:
    """A recall is shown as it comes."""
    target = publish(hostile, draft, "first")
    follower = Follower(hostile)
    follower.wait_for("first")
    payload = {"title": "recall", "summary": "Wrong.", "reason": "false-positive"}
    publish(hostile, draft, "", kind="recall", refs=[f"recalls:{target}"], payload=payload)

    follower.wait_for("first", "recall")


@pytest.mark.parametrize("poll", [True, False])
def test_without_a_stream(hostile: Hostile, draft: Draw, *, poll: bool) -> None:
    """Where no stream gets through, or none is wanted, long polls bring the same."""
    hostile.middle.tamper_stream = None
    follower = Follower(hostile, poll=poll)
    wait_until(lambda: asked(hostile) >= 2)
    time.sleep(0.5)
    waited = asked(hostile)
    publish(hostile, draft, "first")

    follower.wait_for("first")
    # A poll that waits: the follower did not ask again and again.
    assert waited <= 4


def test_a_proxy_that_lost_the_hub(hostile: Hostile, draft: Draw) -> None:
    """While a proxy says that the hub is not there a follower asks for its stream again, and does not begin to poll."""
    hostile.middle.tamper_stream, hostile.middle.no_stream = None, 502
    follower = Follower(hostile)
    wait_until(lambda: asked(hostile) >= 4)
    hostile.middle.tamper_stream = iter
    publish(hostile, draft, "first")

    follower.wait_for("first")


def test_a_stream_that_something_keeps(hostile: Hostile, draft: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream from which nothing comes at all is given up for long polls."""

    def keep(chunks: Iterator[bytes]) -> Iterator[bytes]:
        for _ in chunks:
            raise httpx.ReadTimeout("silence")
        yield b""

    hostile.middle.tamper_stream = keep
    follower = Follower(hostile)
    publish(hostile, draft, "first")

    follower.wait_for("first")
    assert 1 == sum(line == "GET /v1/bulletins" for line, _ in hostile.middle.requests[1:2])


@pytest.mark.parametrize("whole", [0, 1, 2])
def test_a_stream_that_breaks(hostile: Hostile, draft: Draw, whole: int) -> None:
    """A stream that breaks in the middle of an event is resumed: nothing is missing, nothing comes twice."""
    broken: list[int] = []

    def cut(chunks: Iterator[bytes]) -> Iterator[bytes]:
        for number, chunk in enumerate(chunks):
            if number >= whole + 1 and len(broken) < 2:
                yield chunk[: len(chunk) // 2]
                broken.append(number)
                raise httpx.ReadError("cut")
            yield chunk

    hostile.middle.tamper_stream = cut
    follower = Follower(hostile)
    for number in range(4):
        publish(hostile, draft, f"{number}")

    follower.wait_for("0", "1", "2", "3")


def test_a_stream_that_ends(hostile: Hostile, draft: Draw) -> None:
    """A stream that the hub ends is followed by the next one."""
    ended: list[int] = []

    def end(chunks: Iterator[bytes]) -> Iterator[bytes]:
        if not ended:
            ended.append(1)
            yield b"retry: 1\n\nevent: end\ndata: hour\n\n"
            return
        yield from chunks

    hostile.middle.tamper_stream = end
    follower = Follower(hostile)
    wait_until(lambda: bool(ended))
    publish(hostile, draft, "first")

    follower.wait_for("first")


def test_duplicates_are_not_shown(hostile: Hostile, draft: Draw) -> None:
    """A stream that begins before the follower's place shows nothing twice."""
    publish(hostile, draft, "first")
    page = hostile.hub.get("/v1/bulletins", READER).content
    seq = page.split(b'"seq":')[1].split(b",")[0]

    def again(chunks: Iterator[bytes]) -> Iterator[bytes]:
        yield b"id: %b\nevent: bulletin\ndata: %b\n" % (seq, page)
        yield from chunks

    hostile.middle.tamper_stream = again
    follower = Follower(hostile)
    follower.wait_for("first")
    publish(hostile, draft, "second")

    follower.wait_for("first", "second")


def changed(old: bytes, new: bytes) -> Callable[[Iterator[bytes]], Iterator[bytes]]:
    """Return a middle that changes bytes of a stream."""
    return lambda chunks: (chunk.replace(old, new) for chunk in chunks)


@pytest.mark.parametrize(
    "tamper",
    [
        changed(b"id: ", b"id: 9"),
        changed(b"id: ", b"id: x"),
        changed(b"id: ", b"no: "),
        changed(b'"line":"ey', b'"line":"fy'),
        changed(b'{"seq":', b'{"seq":1'),
        changed(b"data: {", b"data: ["),
        lambda chunks: (chunk * 2 for chunk in chunks),
    ],
    ids=["another id", "no index", "no id", "another line", "another place", "no row", "the same twice"],
)
def test_a_row_that_does_not_verify(hostile: Hostile, draft: Draw, tamper: Any) -> None:
    """A row over the stream that does not verify is not shown, and ends the following."""
    hostile.middle.tamper_stream = tamper
    follower = Follower(hostile)
    wait_until(lambda: asked(hostile) == 2)
    publish(hostile, draft, "first")

    assert isinstance(follower.fails(), Unverified)
    assert follower.titles in ([], ["first"])


def test_a_row_held_back(hostile: Hostile, draft: Draw) -> None:
    """A hub that leaves a row out of the stream is caught when the next one comes."""
    seen = []

    def drop(chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            if b"event: bulletin" in chunk:
                seen.append(chunk)
                if len(seen) == 1:
                    continue
            yield chunk

    hostile.middle.tamper_stream = drop
    follower = Follower(hostile)
    wait_until(lambda: asked(hostile) == 2)
    publish(hostile, draft, "first")
    wait_until(lambda: len(seen) == 1)
    publish(hostile, draft, "second")

    assert isinstance(follower.fails(), Withheld)


def test_silence_is_checked(hostile: Hostile, draft: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub that shows nothing but heartbeats is asked for a page from time to time."""
    monkeypatch.setattr(following, "IDLE_S", 1)

    def only_beats(chunks: Iterator[bytes]) -> Iterator[bytes]:
        yield next(chunks)
        while not hostile.middle.cut:
            time.sleep(0.2)
            yield b":\n\n"

    hostile.middle.tamper_stream = only_beats
    follower = Follower(hostile)
    wait_until(lambda: asked(hostile) == 2)
    publish(hostile, draft, "first")

    follower.wait_for("first")


@pytest.mark.parametrize("part", [b"data: " + b"x" * 65_536, b"x" * 65_536, b": x\n" * 1_000])
def test_an_endless_event(hostile: Hostile, draft: Draw, part: bytes) -> None:
    """An event without end is given up in bounded memory, and the stream is asked for again."""
    taken: list[int] = []

    def flood(chunks: Iterator[bytes]) -> Iterator[bytes]:
        if taken:
            yield from chunks
        while sum(taken) < 64 * EVENT_BYTES_MAX:
            taken.append(len(part))
            yield part

    hostile.middle.tamper_stream = flood
    follower = Follower(hostile)
    publish(hostile, draft, "first")

    follower.wait_for("first")
    assert sum(taken) <= 2 * EVENT_BYTES_MAX


@pytest.mark.parametrize(
    ("narrow", "widen"),
    [
        (("grant", {"publish": [], "read": ["drugs"]}), ("grant", {"publish": [], "read": ["*"]})),
        (("ceiling", {"tlp": "CLEAR"}), ("ceiling", {"tlp": "AMBER"})),
        (("suspend", {"reason": "test"}), ("resume", {})),
    ],
    ids=["grant", "ceiling", "suspension"],
)
def test_what_could_not_be_read_is_not_withheld(hostile: Hostile, draft: Draw, narrow: Any, widen: Any) -> None:
    """What came while a grant was narrow is not missed when it is widened again; what comes then is shown."""
    follower = Follower(hostile)
    wait_until(lambda: asked(hostile) == 2)
    hostile.hub.order(narrow[0], agency=READER, **narrow[1])
    publish(hostile, draft, "between", release_to=["*"], tlp="GREEN")
    hostile.hub.order(widen[0], agency=READER, **widen[1])
    publish(hostile, draft, "after", release_to=["*"], tlp="GREEN")

    follower.wait_for("after")


def test_revoked(hostile: Hostile, draft: Draw) -> None:
    """A follower whose key is revoked is told so."""
    follower = Follower(hostile)
    wait_until(lambda: asked(hostile) == 2)
    session = hostile.hub.client(READER).session
    hostile.hub.client(READER).revoke("keyCompromise", session.now())

    assert isinstance(follower.fails(), Unauthorized)


def test_a_hub_that_is_away(hostile: Hostile, draft: Draw) -> None:
    """A follower waits for a hub that was there before; one that was never there is reported."""
    ended: list[int] = []

    def end(chunks: Iterator[bytes]) -> Iterator[bytes]:
        if not ended:
            ended.append(1)
            hostile.middle.cut = 7
            yield next(chunks)
            raise httpx.ReadError("gone")
        yield from chunks

    hostile.middle.tamper_stream = end
    follower = Follower(hostile)
    wait_until(lambda: hostile.middle.cut == 0 and bool(ended))
    publish(hostile, draft, "first")

    follower.wait_for("first")


def test_awaited_beside_publishing(hostile: Hostile, draft: Draw) -> None:
    """An awaited client follows over the stream while the same client does other things."""

    async def run() -> list[str]:
        identity = hostile.client.session.identity
        state = State(":memory:", log_key=identity.hub.log_key)
        found: list[str] = []
        async with AsyncClient(identity, state, clock=hostile.hub.clock) as client:

            async def follow() -> None:
                async for item in client.follow():
                    assert item.content is not None
                    found.append(item.content.title)
                    if len(found) == 2:
                        return

            following_ = asyncio.ensure_future(follow())
            await asyncio.sleep(0.3)
            await asyncio.to_thread(publish, hostile, draft, "first")
            async with asyncio.timeout(5):
                await client.sync()
            await asyncio.to_thread(publish, hostile, draft, "second")
            async with asyncio.timeout(10):
                await following_
        return found

    assert ["first", "second"] == asyncio.run(run())


def test_pauses_grow(hostile: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    """A follower that fails again and again comes later and later, up to a limit."""
    there = iter([True])

    def pages(*_given: object, **_options: object) -> Iterator[following.Step]:
        yield from ()
        if not next(there, False):
            raise HubUnreachable("away")

    monkeypatch.setattr(following, "_pages", pages)
    steps = following.follow(hostile.client.session, once=False, poll=True, pause_s=1)

    assert [following.Pause(seconds) for seconds in (1, 2, 4, 8, 16, 32, 60, 60, 60)] == list(islice(steps, 9))


@pytest.mark.parametrize(("asked", "expected"), [(20, 40), (3_600, 60), ("soon", 1), (-5, 1)])
def test_pause_that_the_hub_asks_for(
    hostile: Hostile, monkeypatch: pytest.MonkeyPatch, asked: int | str, expected: int
) -> None:
    """A follower that read too much comes back when it is asked to: drivers take at least half of a pause."""
    there = iter([True])

    def pages(*_given: object, **_options: object) -> Iterator[following.Step]:
        yield from ()
        if not next(there, False):
            raise RateLimited(retry_after=asked)

    monkeypatch.setattr(following, "_pages", pages)
    steps = following.follow(hostile.client.session, once=False, poll=True, pause_s=1)

    assert following.Pause(expected) == next(steps)
