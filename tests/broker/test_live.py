"""What the fan-out gives a reader is what pages give it, whatever the filter, whenever it joins."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker import live, streams
from broker.auth import Caller
from broker.delivery import Row, Source, Window, read_page, submit
from broker.intake import admit_bulletin, open_bulletin
from broker.live import read_live
from broker.partners import admit_control, open_control
from broker.store import lines, log
from broker.streams import Stream, Streams
from lintas.directory import Grant
from lintas.filter import read_filter
from lintas.header import ORDER
from lintas.stream import EventReader
from lintas.strict import canonical
from lintas.vocabulary import TLP
from tests.broker.conftest import PAYLOAD, Desks, Template, inner_desks
from tests.broker.test_delivery import order, publish

AGENCIES = ("my-police", "sg-fiu", "th-cert", "vn-police")
READERS = st.sampled_from(AGENCIES)
FILTERS = st.fixed_dictionaries(
    {},
    optional={
        "topic": st.sampled_from([["cyber"], ["drugs"], ["cyber.scam"]]),
        "from": st.lists(READERS, min_size=1, max_size=2, unique=True),
        "country": st.sampled_from([["my"], ["sg", "th"]]),
        "urgency": st.sampled_from([["flash"], ["routine"]]),
        "tlp": st.sampled_from([["GREEN"], ["AMBER", "GREEN"]]),
        "indicator": st.just(["ip"]),
        "watch": st.sampled_from([["mine"], ["none"], ["mine", "none"]]),
    },
)
TERMS = st.fixed_dictionaries(
    {
        agency: st.tuples(
            st.lists(st.sampled_from(["*", "cyber", "cyber.scam", "drugs"]), max_size=2, unique=True),
            st.sampled_from(TLP),
            st.booleans(),
        )
        for agency in AGENCIES
    }
)


@pytest.fixture(scope="module")
def plain(few: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desks]:
    """A hub where everything is granted to everyone."""
    with inner_desks(few, tmp_path_factory.mktemp("plain") / "hub") as desks:
        yield desks


@pytest.fixture(scope="module")
def filled(few: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desks]:
    """A hub with bulletins of many kinds, withdrawn ones, agencies with narrow grants."""
    with inner_desks(few, tmp_path_factory.mktemp("filled") / "hub") as desks:
        fill(desks)
        yield desks


def fill(desks: Desks) -> None:
    """Publish every kind of thing, then narrow what is granted."""
    ip = [{"type": "ip", "value": "203.0.113.7", "role": "host"}]
    published = []
    for number, (issuer, reader) in enumerate((a, b) for a in AGENCIES for b in (*AGENCIES, "*") if a != b):
        changes: dict[str, Any] = {
            "topic": ("cyber.scam", "drugs", "cyber.malware")[number % 3],
            "tlp": "GREEN" if reader == "*" else ("AMBER", "GREEN", "CLEAR")[number % 3],
            "urgency": ("flash", "routine")[number % 2],
            "payload": canonical(
                PAYLOAD | {"case_ref": f"SIM-{number}"} | ({"indicators": ip} if number % 4 == 0 else {})
            ),
        }
        published.append(desks.bulletin(issuer, [reader], **changes))
        publish(desks, published[-1])
    for line in published[::5]:
        publish(desks, desks.recall(line.header.iss, line.id, line.header.release_to, tlp=line.header.tlp or ""))
    for line in published[1::5]:
        again = {"refs": [f"supersedes:{line.id}"], "tlp": line.header.tlp, "topic": line.header.topic}
        publish(desks, desks.bulletin(line.header.iss, line.header.release_to, **again))
    for line in (published[8], published[12]):
        part = {"indicators": [ip[0]], "tlp": line.header.tlp, "topic": line.header.topic}
        publish(desks, desks.recall(line.header.iss, line.id, line.header.release_to, **part))
    for agency in ("my-police", "th-cert"):
        watched = {"name": "mine", "indicators": [{"type": "ip", "value": "203.0.113.7"}]}
        raw = desks.session(agency).sign_order("watch", watched).raw
        line = open_control(raw, ORDER, desks.hub.directory)
        desks.hub.writer.submit(lambda batch, line=line: admit_control(batch, line, "test")).result(20)  # type: ignore[misc]
    order(desks, "grant", agency="th-cert", publish=["*"], read=["cyber"])
    order(desks, "ceiling", agency="vn-police", tlp="GREEN")
    order(desks, "suspend", agency="sg-fiu", reason="test")


@given(st.lists(st.tuples(READERS, FILTERS, st.booleans()), min_size=1, max_size=6), st.integers(0, 100))
@settings(max_examples=100)
def test_live_rows_are_page_rows(filled: Desks, asked: list[tuple[str, dict[str, Any], bool]], back: int) -> None:
    """For every reader, filter and place the fan-out chooses the rows of a page."""
    hub = filled.hub
    with hub.store.read() as conn:
        ids = [row.id for row in lines.since(conn, -1, limit=1_000)]
        sources = [Source(who, "feed", read_filter(what), ids[0] if refers else None) for who, what, refers in asked]
        after = max(0, log.head(conn)[0] - 1 - back)
        window = Window(after, 1_000)
        found = read_live(conn, hub.directory, sources, after=after, now=hub.now())
        pages = [read_page(conn, hub.directory, each, window=window, now=hub.now()) for each in sources]

    assert [page.rows for page in pages] == [
        found.pages[source].rows if source in found.pages else () for source in sources
    ]
    assert all(source in found.pages or page.is_empty for source, page in zip(sources, pages, strict=True))


@given(TERMS, st.lists(st.tuples(READERS, FILTERS), min_size=1, max_size=6))
@settings(max_examples=60)
def test_live_rows_are_page_rows_whatever_is_granted(
    filled: Desks, terms: dict[str, tuple[list[str], str, bool]], asked: list[tuple[str, dict[str, Any]]]
) -> None:
    """Whatever grants, ceilings and suspensions there are, the fan-out chooses the rows of a page."""
    hub, known = filled.hub, filled.hub.directory
    directory = replace(
        known,
        grants={agency: Grant(("*",), tuple(read), ceiling) for agency, (read, ceiling, _) in terms.items()},
        partners={
            agency: replace(partner, suspended=agency in terms and terms[agency][2])
            for agency, partner in known.partners.items()
        },
    )
    sources = [Source(who, "feed", read_filter(what)) for who, what in asked]
    with hub.store.read() as conn:
        found = read_live(conn, directory, sources, after=-1, now=hub.now())
        pages = [read_page(conn, directory, each, window=Window(-1, 1_000), now=hub.now()) for each in sources]

    assert [page.rows for page in pages] == [
        found.pages[source].rows if source in found.pages else () for source in sources
    ]


def test_filled_has_everything(filled: Desks) -> None:
    """The properties are asked of watched bulletins, withdrawn ones of each kind, recalls for the suspended."""
    hub = filled.hub

    def rows(agency: str, **wanted: list[str]) -> list[Row]:
        with hub.store.read() as conn:
            source = Source(agency, "feed", read_filter(wanted))
            return list(read_page(conn, hub.directory, source, window=Window(-1, 1_000), now=hub.now()).rows)

    watched, known = rows("my-police", watch=["mine"]), rows("my-police", **{"from": ["my-police"]})
    data = b"".join(row.data for agency in AGENCIES for row in (*rows(agency), *known))

    assert 0 < len(watched) < len(rows("my-police"))
    assert [] != rows("sg-fiu")
    assert all(part in data for part in (b'"state":"recalled"', b'"state":"superseded"', b'"recalled_by"'))


def test_live_in_parts(filled: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading in parts, by rows or by bytes, gives everything once."""
    hub, source = filled.hub, Source("my-police", "feed")

    def rows() -> Iterator[int]:
        after, is_full = -1, True
        while is_full:
            with hub.store.read() as conn:
                found = read_live(conn, hub.directory, [source], after=after, now=hub.now())
            yield from (row.seq for page in found.pages.values() for row in page.rows)
            after, is_full = found.cursor, found.is_full

    whole = list(rows())
    monkeypatch.setattr(live, "ROWS_MAX", 3)
    by_rows = list(rows())
    monkeypatch.setattr(live, "BYTES_MAX", 1)
    by_bytes = list(rows())

    assert whole == by_rows == by_bytes
    assert len(whole) > 5


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.sampled_from([["sg-fiu"], ["th-cert"], ["*"]])),
        st.tuples(st.just("join"), st.sampled_from(["sg-fiu", "th-cert"])),
        st.tuples(st.just("leave"), st.integers(0, 3)),
        st.tuples(st.just("pause"), st.integers(0, 30)),
    ),
    max_size=25,
)


class Reader:
    """A stream of the engine without HTTP, and the log indexes it was given."""

    def __init__(self, engine: Streams, caller: Caller, after: int) -> None:
        self.engine, self.caller, self.after = engine, caller, after
        self.source = Source(caller.party, "feed")
        self.stream: Stream | None = None
        self.seqs: list[int] = []
        self.task = asyncio.ensure_future(self.run())

    async def run(self) -> None:
        """Read to the end."""
        events = EventReader()

        async def send(data: bytes) -> None:
            self.seqs += [int(event.id) for event in events.take(data)]
            await asyncio.sleep(0)

        self.stream = await self.engine.open(self.source, self.caller, lambda: None, after=self.after)
        await self.engine.run(self.stream, send)

    async def hold(self, count: int) -> None:
        """Wait until it was given so many rows."""
        async with asyncio.timeout(20):
            while len(self.seqs) < count:  # noqa: ASYNC110 - what it reads is no event
                await asyncio.sleep(0.005)

    async def leave(self) -> None:
        """Leave."""
        if self.stream is None:
            self.task.cancel()
        else:
            self.engine.close(self.stream)
        await asyncio.wait([self.task])


class Play:
    """A hub's stream engine that is played step by step."""

    def __init__(self, desks: Desks) -> None:
        self.desks, self.engine = desks, Streams(desks.hub)
        self.begin = desks.hub.writer._head.size - 1  # type: ignore[union-attr]
        self.readers: list[Reader] = []
        self.pending: list[asyncio.Future[Any]] = []

    def publish(self, to: list[str]) -> None:
        """Queue a bulletin; it is committed some time later."""
        ready = open_bulletin(self.desks.bulletin("my-police", to, tlp="GREEN").raw, self.desks.hub.directory)
        self.pending.append(asyncio.ensure_future(submit(self.desks.hub, lambda batch: admit_bulletin(batch, ready))))

    def join(self, agency: str) -> None:
        """Open a stream of an agency from where the play began."""
        caller = Caller(agency, self.desks.session(agency).identity.key.kid, "read", 0)
        self.readers.append(Reader(self.engine, caller, self.begin))

    async def leave(self, number: int) -> None:
        """Let a reader leave, if it is there."""
        if number < len(self.readers):
            await self.readers.pop(number).leave()

    async def end(self) -> list[tuple[list[int], list[int]]]:
        """Wait until every reader has what it may have; return that, and what it got."""
        await asyncio.gather(*self.pending)
        expected = [feed_of(self.desks, reader.source, self.begin) for reader in self.readers]
        for reader, seqs in zip(self.readers, expected, strict=True):
            await reader.hold(len(seqs))
            await reader.leave()
        return [(seqs, reader.seqs) for reader, seqs in zip(self.readers, expected, strict=True)]


@given(steps=STEPS)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_joining_at_any_moment(plain: Desks, steps: list[tuple[str, Any]]) -> None:
    """However publishing, joining, leaving interleave, a reader that stays holds its feed, once, in order."""

    async def run() -> list[tuple[list[int], list[int]]]:
        play = Play(plain)
        for step, value in steps:
            if step == "leave":
                await play.leave(value)
            elif step != "pause":
                getattr(play, step)(value)
            await asyncio.sleep(0.0005 * (value if step == "pause" else 1))
        return await play.end()

    for expected, found in asyncio.run(run()):
        assert expected == found


def feed_of(desks: Desks, source: Source, after: int) -> list[int]:
    """Return the log indexes of a feed by one page."""
    with desks.hub.store.read() as conn:
        window = Window(after, 1_000)
        page = read_page(conn, desks.hub.directory, source, window=window, now=desks.hub.now())
    return [row.seq for row in page.rows]


def test_page_limits(plain: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long backlog comes page by page."""
    for _ in range(7):
        publish(plain, plain.bulletin("my-police", ["sg-fiu"]))
    monkeypatch.setattr(streams, "PAGE_LIMIT", 2)

    async def run() -> list[tuple[list[int], list[int]]]:
        play = Play(plain)
        play.begin = -1
        play.join("sg-fiu")
        return await play.end()

    [(expected, found)] = asyncio.run(run())

    assert expected == found
    assert len(found) >= 7
