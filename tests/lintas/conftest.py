"""Fixtures of the protocol's tests: a hub's key history on paper, and a hostile middle before a real hub."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from broker.hub import open_hub, read_log_key
from broker.settings import read_settings
from lintas import checkpoint, note
from lintas.async_client import AsyncClient
from lintas.client import Client
from lintas.clock import Clock, now_us
from lintas.decide import changes, check_signatures
from lintas.directory import Change, Directory, apply
from lintas.draft import Draft, read_draft
from lintas.event import US_PER_S, Event
from lintas.header import KEY, ORDER
from lintas.jwk import jwk
from lintas.keys import Identity, SigningKey
from lintas.line import Line, parse, sign
from lintas.state import State
from lintas.strict import b64u, canonical
from tests.conftest import ExerciseHub, ShiftedClock, served
from tests.databases import Databases

HUB = "exercise.lintas.example-k3v9q2xa"
NOW = 1_795_467_600
DAY = 86_400

Tamper = Callable[[httpx.Request, httpx.Response], httpx.Response | None]

TamperStream = Callable[[Iterator[bytes]], Iterator[bytes]]


@dataclass
class Ledger:
    """A hub's key history on paper: lines are decided at `now`, applied, and kept as the events a log would hold."""

    now: int = NOW
    directory: Directory = field(default_factory=lambda: Directory(HUB))
    events: list[tuple[Event, Line | None]] = field(default_factory=list)
    orders: int = 0

    def key(self, name: str) -> SigningKey:
        """Return the key of this name, always the same one."""
        return SigningKey.from_seed(sha256(name.encode()).digest())

    def window(self, key: SigningKey, **other: Any) -> dict[str, Any]:
        """Return the members that present a key, good for a year."""
        members = {
            "jwk": jwk(key.public),
            "holder": "duty desk",
            "not_before": self.now,
            "not_after": self.now + 365 * DAY,
        }
        return members | other

    def line(self, typ: str, party: str, payload: bytes | Mapping[str, Any], *, key: str = "", **members: Any) -> Line:
        """Sign a line of a party, by default with the key named as the party is."""
        header = {"typ": typ, "iss": party, "aud": HUB, "iat": self.now, **members}
        body = payload if isinstance(payload, bytes) else canonical(payload)
        return parse(sign(header, body, self.key(key or party)), typ)

    def enrolment(self, party: str, *, key: str = "", invite: str | None = None, **window: Any) -> Line:
        """Make the line by which a key asks for admission."""
        payload = {"act": "enrol", **self.window(self.key(key or party), **window)}
        if invite is not None:
            payload |= {"invite": invite, "code_hmac": b64u(bytes(32))}
        return self.line(KEY, party, payload, key=key)

    def rotation(self, party: str, *, old: str = "", new: str, overlap_s: int = 0, **window: Any) -> Line:
        """Make the line by which a key hands over to another."""
        payload = {"act": "rotate", "overlap_s": overlap_s, **self.window(self.key(new), **window)}
        return self.line(KEY, party, self.line(KEY, party, payload, key=new).raw, key=old)

    def revocation(self, party: str, *, key: str = "", reason: str = "superseded", since: int = 0) -> Line:
        """Make the line by which a key ends itself."""
        kid = self.key(key or party).kid
        return self.line(KEY, party, {"act": "revoke", "kid": kid, "reason": reason, "since": since}, key=key)

    def order(self, act: str, *by: str, **arguments: Any) -> Line:
        """Make an order of these administrators, the first one innermost."""
        first, *others = by or ("admin/one", "admin/two")
        # Each order is another line, though the time on paper stands still.
        self.orders += 1
        line = self.line(ORDER, first, {"act": act, **arguments}, sub=f"desk-{self.orders}")
        for other in others:
            line = self.line(ORDER, other, line.raw)
        return line

    def decide(self, line: Line) -> tuple[Change, ...]:
        """Return what a line causes now, changing nothing."""
        check_signatures(self.directory, line)
        return changes(self.directory, line, now=self.now)

    def post(self, line: Line) -> tuple[Change, ...]:
        """Decide a line, then carry it out."""
        decided = self.decide(line)
        for change in decided:
            self.record(change, line)
        return decided

    def record(self, change: Change, line: Line | None) -> None:
        """Log one change and carry it out."""
        numbers = sum(1 for event, _ in self.events if event.party == change.party)
        object_id = None if line is None else line.id
        event = Event(change.kind, self.now * US_PER_S, change.party, numbers + 1, object_id, change.detail)
        self.directory = apply(self.directory, change, seq=len(self.events), at=self.now)
        self.events.append((event, line))

    def admit(self, party: str, *, key: str = "") -> None:
        """Invite a party, enrol its key, approve it."""
        by = sorted(self.directory.admins - {party})[:2]
        invite = self.order("invite", *by, agency=party)
        self.post(invite)
        innermost = parse(invite.payload) if len(by) > 1 else invite
        self.post(self.enrolment(party, key=key, invite=innermost.id))
        self.post(self.order("approve", *by, agency=party, kid=self.key(key or party).kid))


@pytest.fixture
def empty_ledger() -> Ledger:
    """The paper of a hub that was just opened."""
    ledger = Ledger()
    ledger.record(
        Change(
            "log.opened",
            "*",
            {"hub": HUB, "log_key": note.vkey(f"{HUB}/log/1", SigningKey.from_seed(bytes(32)).public)},
        ),
        None,
    )
    return ledger


@pytest.fixture
def lone_ledger(empty_ledger: Ledger) -> Ledger:
    """The paper of a hub with one administrator, admin/one, where one person decides."""
    empty_ledger.post(empty_ledger.enrolment("admin/one"))
    return empty_ledger


@pytest.fixture
def ledger(lone_ledger: Ledger) -> Ledger:
    """The paper of a hub with admin/one and admin/two, my-police and sg-fiu; two persons decide."""
    for party in ("admin/two", "my-police", "sg-fiu"):
        lone_ledger.admit(party)
    return lone_ledger


class Through(httpx.SyncByteStream):
    """A stream on its way through the middle."""

    def __init__(self, answer: httpx.Response, tamper: TamperStream) -> None:
        self._answer, self._tamper = answer, tamper

    def __iter__(self) -> Iterator[bytes]:
        """Yield what the middle makes of the chunks."""
        assert isinstance(self._answer.stream, httpx.SyncByteStream)
        yield from self._tamper(iter(self._answer.stream))

    def close(self) -> None:
        """Close the stream of the hub."""
        self._answer.close()


class Middle(httpx.BaseTransport):
    """Whoever stands between client and hub: passes requests to the real hub, notes them, changes the answers.

    `tamper` sees each answer that the hub gave; None lets it pass. `lose` counts answers that get lost on their way
    back, `refuse` requests that never reach the hub and are answered with `refusal`, `cut` requests that never reach
    it at all. `elsewhere` is the address of another hub that gets the requests instead. Streams pass through
    `tamper_stream` chunk by chunk; None lets no stream through and answers `no_stream`.
    """

    def __init__(self) -> None:
        self._real = httpx.HTTPTransport()
        self.tamper: Tamper = lambda _request, _answer: None
        self.requests: list[tuple[str, bytes]] = []
        self.lose = self.refuse = self.cut = 0
        self.refusal = 503, b""
        self.no_stream = 406
        self.elsewhere = ""
        self.tamper_stream: TamperStream | None = iter

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a request on, and its answer back."""
        self.requests.append((f"{request.method} {request.url.path}", request.read()))
        if self.elsewhere:
            request.url = httpx.URL(self.elsewhere).copy_with(raw_path=request.url.raw_path)
        if self.cut > 0:
            self.cut -= 1
            raise httpx.ConnectError("cut")
        if self.refuse > 0:
            self.refuse -= 1
            status, body = self.refusal
            return httpx.Response(status, content=body, request=request)
        is_stream = request.headers.get("accept") == "text/event-stream"
        if is_stream and self.tamper_stream is None:
            return httpx.Response(self.no_stream, request=request)
        found = self._real.handle_request(request)
        if is_stream and found.status_code == 200 and self.tamper_stream is not None:
            return httpx.Response(200, headers=found.headers, stream=Through(found, self.tamper_stream))
        answer = httpx.Response(found.status_code, headers=found.headers, content=found.read(), request=request)
        if self.lose > 0:
            self.lose -= 1
            raise httpx.ReadError("lost")
        return self.tamper(request, answer) or answer

    def close(self) -> None:
        """Close the connections to the hub."""
        self._real.close()


class AsyncMiddle(httpx.AsyncBaseTransport):
    """The same middle for an event loop."""

    def __init__(self, middle: Middle) -> None:
        self._middle = middle

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a request on, and its answer back."""
        return self._middle.handle_request(request)


class Awaited:
    """An AsyncClient called as a Client is: each coroutine runs to its end on one loop."""

    def __init__(self, client: AsyncClient, runner: asyncio.Runner | None = None) -> None:
        self._client = client
        self._runner = runner or asyncio.Runner()

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the client, coroutine functions made blocking."""
        found = getattr(self._client, name)
        if inspect.isasyncgenfunction(found):
            return lambda *given, **options: iter(self._runner.run(self._collect(found(*given, **options))))
        if inspect.iscoroutinefunction(found):
            return lambda *given, **options: self._runner.run(found(*given, **options))
        return found

    def with_purpose(self, *given: str) -> Awaited:
        """Return the same client for a purpose, on the same loop."""
        return Awaited(self._client.with_purpose(*given), self._runner)

    async def _collect(self, found: Any) -> list[Any]:
        return [each async for each in found]

    def close(self) -> None:
        """Close client and loop."""
        self._runner.run(self._client.aclose())
        self._runner.close()


@dataclass
class Hostile:
    """A client behind a middle that a test turns hostile. `client` is a Client, or an AsyncClient awaited."""

    hub: ExerciseHub
    middle: Middle
    client: Any
    state: State
    twin: Callable[[], ExerciseHub]
    followers: list[Any] = field(default_factory=list)


@pytest.fixture
def middle(quick: None) -> Iterator[Middle]:
    """A middle that passes everything."""
    middle = Middle()
    yield middle
    middle.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients try a request twice at once, then give up."""
    monkeypatch.setattr("lintas.client.PAUSES_S", (0, None))
    monkeypatch.setattr("lintas.async_client.PAUSES_S", (0, None))


@pytest.fixture
def way() -> str:
    """Which client a test drives: override it by parametrising to drive both."""
    return "Client"


@pytest.fixture
def party() -> str:
    """Whose client a test drives: override it by parametrising."""
    return "sg-fiu"


@contextmanager
def serving(data: Path, clock: Clock) -> Iterator[ExerciseHub]:
    """Serve the hub whose data are here."""
    hub_settings = read_settings({}, data=str(data))
    hub = open_hub(hub_settings, clock)
    hub.start()
    with served(hub) as url:
        passphrase = (data / "passphrase").read_bytes().strip()
        found = ExerciseHub(data, url, hub, ShiftedClock(), passphrase, hub_settings)
        yield found
        found.close()
    hub.stop()


@pytest.fixture
def hostile(
    exercise_hub: ExerciseHub,
    middle: Middle,
    way: str,
    party: str,
    tmp_path: Path,
    *,
    exercise_template: Path,
    databases: Databases,
) -> Iterator[Hostile]:
    """The client of a party behind a middle; it has synced once. `twin` serves a copy of the hub as it was before."""
    identity = exercise_hub.identity(party)
    state = State(exercise_hub.data / "hostile.state", log_key=identity.hub.log_key)
    client: Any
    if way == "Client":
        client = Client(identity, state, clock=exercise_hub.clock, transport=middle)
    else:
        client = Awaited(AsyncClient(identity, state, clock=exercise_hub.clock, transport=AsyncMiddle(middle)))
    client.sync()
    with ExitStack() as stack:

        def twin() -> ExerciseHub:
            return stack.enter_context(serving(databases.copy(exercise_template, tmp_path / "twin"), now_us))

        yield Hostile(exercise_hub, middle, client, state, twin)
        client.close()


def draft(title: str, **other: Any) -> Draft:
    """Write a draft of an AMBER alert to sg-fiu."""
    members = {
        "kind": "alert",
        "topic": "cyber.scam",
        "tlp": "AMBER",
        "urgency": "routine",
        "release_to": ["sg-fiu"],
        "valid_for": "P30D",
        "payload": {"title": title, "summary": "Fictional."},
    }
    return read_draft(members | other)


@pytest.fixture(name="draft")
def draft_fixture() -> Callable[..., Draft]:
    """The writer of drafts."""
    return draft


@dataclass(frozen=True)
class Recording:
    """What a real hub once showed sg-fiu: its events, its feed, and the keys of hub and reader.

    The feed has, in order of `published`: an alert, a second one that was recalled by the third, and one by id-police.
    `checkpoints` are three, one later than the other, and `consistency` is the hub's proof between the first two.
    `released_receipt` proves that the first bulletin was released.
    """

    identity: Identity
    log_key: note.SignerKey
    directory: Directory
    events: bytes
    feed: bytes
    cursor: str
    published: tuple[Line, ...]
    foreign: Line
    checkpoints: tuple[bytes, ...]
    consistency: bytes
    released_receipt: bytes
    now_us: int

    @property
    def size(self) -> int:
        """The size that the checkpoint under the events commits to."""
        return self._checkpoint().size

    @property
    def root(self) -> bytes:
        """The root that the checkpoint under the events commits to."""
        return self._checkpoint().root

    def _checkpoint(self) -> checkpoint.Checkpoint:
        shown = json.loads(self.events.splitlines()[-1])["checkpoint"].encode()
        return checkpoint.open_checkpoint(shown, origin=self.log_key.name, key=self.log_key.verifier)


def _later_checkpoint(client: Client) -> bytes:
    client.sync()
    return client.session.state.get("checkpoint") or b""


@pytest.fixture(scope="session")
def recording(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """A recording, made once a run."""
    # Asked for only here: a test that reads the recording alone has no database, and is not run again on Postgres.
    databases: Databases = request.getfixturevalue("databases")
    exercise_template: Path = request.getfixturevalue("exercise_template")
    data = databases.copy(exercise_template, tmp_path_factory.mktemp("recording") / "hub")
    with serving(data, now_us) as hub:
        police, reader = hub.client("my-police"), hub.client("sg-fiu")
        lines = [police.sign(draft(title)) for title in ("first", "second")]
        payload = {"title": "recall", "summary": "Wrong.", "reason": "false-positive"}
        lines.append(police.sign(draft("", kind="recall", refs=[f"recalls:{lines[1].id}"], payload=payload)))
        lines.append(hub.client("id-police").sign(draft("fourth", tlp="GREEN")))
        foreign = police.sign(draft("not for sg-fiu", release_to=["id-police"]))
        for line in (*lines, foreign, reader.sign(draft("own", release_to=["id-police"]))):
            hub.client(line.header.iss).publish_line(line)
        feed = hub.get("/v1/bulletins", "sg-fiu")
        checkpoints = tuple(_later_checkpoint(reader) for _ in range(3))
        sizes = [int(each.split(b"\n")[1]) for each in checkpoints]
        return Recording(
            identity=reader.session.identity,
            log_key=read_log_key(hub.settings.log_key_file),
            directory=hub.hub.directory,
            events=hub.get("/v1/log/events?limit=1000", "sg-fiu").content,
            feed=feed.content,
            cursor=feed.headers["Lintas-Cursor"],
            published=tuple(lines),
            foreign=foreign,
            checkpoints=checkpoints,
            released_receipt=hub.get(f"/v1/bulletins/{lines[0].id}/receipt", "sg-fiu").content,
            consistency=hub.get(f"/v1/log/witness?old={sizes[0]}&size={sizes[1]}", "sg-fiu").content,
            now_us=now_us(),
        )
