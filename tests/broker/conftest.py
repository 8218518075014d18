"""What tests of the hub share: desks that sign anything and post it raw, on a served hub or without HTTP."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from broker import exercise
from broker.hub import Hub, open_hub
from broker.settings import Settings, read_settings
from broker.store import log, tables
from broker.streams import Streams
from lintas.errors import PROBLEM_TYPE_PREFIX
from lintas.header import ACK, BULLETIN, KEY, ORDER, TOKEN
from lintas.keys import Identity, load_identity
from lintas.line import Line
from lintas.session import Session
from lintas.state import State
from lintas.strict import canonical
from tests.conftest import ShiftedClock, enrol_few, served
from tests.databases import Databases
from tests.epochs import epochs, past

__all__ = ["epochs", "past"]

REGISTRAR, AUDITOR = "admin/registrar", "admin/auditor"
UNKNOWN_ID = "A" * 43
FEW = ("my-police", "sg-fiu", "th-cert", "tl-customs", "vn-police")
PAYLOAD: dict[str, Any] = {
    "title": "Fictional scam kit offered for sale",
    "summary": "FICTIONAL. A kit for investment scams is offered by the invented 'Golden Lotus' group.",
}

IdentityOf = Callable[[str], Identity]


def sign_bulletin(session: Session, to: Sequence[str], **changes: Any) -> Line:
    """Sign a bulletin, each another; `changes` replace members of its header, or the whole payload as bytes."""
    payload = changes.pop("payload", None) or canonical(PAYLOAD | {"case_ref": f"SIM-{secrets.token_hex(8)}"})
    members: dict[str, Any] = {
        "exp": session.now() + 7 * 86_400,
        "kind": "alert",
        "topic": "cyber.scam",
        "tlp": "AMBER",
        "release_to": list(to),
        "urgency": "routine",
    }
    return session.sign_line(BULLETIN, payload, **(members | changes))


def sign_recall(session: Session, target: str, to: Sequence[str], **changes: Any) -> Line:
    """Sign the recall of a bulletin; with `indicators` it recalls these alone."""
    content = PAYLOAD | {"reason": "false-positive"}
    if "indicators" in changes:
        content["indicators"] = changes.pop("indicators")
    return sign_bulletin(
        session, to, **({"kind": "recall", "refs": [f"recalls:{target}"], "payload": canonical(content)} | changes)
    )


def problem_of(answer: httpx.Response) -> tuple[int, str, str | None]:
    """Return status, code and member of a problem; the body must be a whole RFC 9457 document of its status."""
    members = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert members["status"] == answer.status_code
    assert members["title"]
    return answer.status_code, members["type"].removeprefix(PROBLEM_TYPE_PREFIX), members.get("member")


@dataclass
class Desks:
    """Every party of a hub, able to send what a client would never send."""

    hub: Hub
    identity_of: IdentityOf
    clock: ShiftedClock
    url: str = ""
    streams: Streams | None = None
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=60))
    _sessions: dict[str, Session] = field(default_factory=dict)

    def session(self, party: str) -> Session:
        """Return the session of a party, its memory empty; the same one each time."""
        if party not in self._sessions:
            identity = self.identity_of(party).with_url(self.url)
            self._sessions[party] = Session(identity, State(":memory:", log_key=identity.hub.log_key), self.clock)
        return self._sessions[party]

    def bulletin(self, party: str, to: Sequence[str], **changes: Any) -> Line:
        """Sign a bulletin as this party."""
        return sign_bulletin(self.session(party), to, **changes)

    def recall(self, party: str, target: str, to: Sequence[str], **changes: Any) -> Line:
        """Sign a recall as this party."""
        return sign_recall(self.session(party), target, to, **changes)

    def post(self, line: Line | bytes, typ: str = BULLETIN) -> httpx.Response:
        """Post a line or bytes in its place."""
        path = {BULLETIN: "/v1/bulletins", KEY: "/v1/keys", ORDER: "/v1/orders"}[typ]
        raw = line if isinstance(line, bytes) else line.raw
        return self.http.post(self.url + path, content=raw, headers={"Content-Type": f"application/{typ}"})

    def publish(self, party: str, to: Sequence[str], **changes: Any) -> Line:
        """Publish a bulletin that must be accepted."""
        line = self.bulletin(party, to, **changes)
        answer = self.post(line)
        assert answer.status_code == 201, answer.text
        return line

    def get(self, path: str, party: str | None = None, **headers: str) -> httpx.Response:
        """Read a path, with a token of this party if one is named."""
        if party is not None:
            headers["Authorization"] = f"Bearer {self.session(party).token()}"
        return self.http.get(self.url + path, headers=headers)

    def change(self, method: str, path: str, party: str, body: Any = None, **members: Any) -> httpx.Response:
        """Send a change with a token of scope `subscribe`; `members` replace members of the token."""
        session = self.session(party)
        header: dict[str, Any] = {"exp": session.now() + 300, "scope": "subscribe"} | members
        token = session.sign_line(TOKEN, b"", **header).raw.decode()
        content = body if isinstance(body, bytes) else None if body is None else canonical(body)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        return self.http.request(method, self.url + path, content=content, headers=headers)

    def ack(self, party: str, line: Line, state: str = "opened", **changes: Any) -> Line:
        """Sign an acknowledgement as this party; `changes` replace members of the header, or the whole payload."""
        payload = changes.pop("payload", {"id": line.id, "state": state})
        return self.session(party).sign_line(ACK, canonical(payload), **changes)

    def post_ack(self, line: Line, ack: Line | bytes) -> httpx.Response:
        """Post an acknowledgement to the address of this bulletin."""
        raw = ack if isinstance(ack, bytes) else ack.raw
        path = f"{self.url}/v1/bulletins/{line.id}/ack"
        return self.http.post(path, content=raw, headers={"Content-Type": f"application/{ACK}"})

    def rows(self, path: str, party: str, **headers: str) -> list[dict[str, Any]]:
        """Read JSON Lines that must be given."""
        answer = self.get(path, party, **headers)
        assert answer.status_code == 200, answer.text
        return [json.loads(row) for row in answer.text.splitlines()]

    def order(self, act: str, **arguments: Any) -> httpx.Response:
        """Give an order signed by both administrators."""
        first = self.session(REGISTRAR).sign_order(act, arguments)
        return self.post(self.session(AUDITOR).countersign(first), ORDER)

    def events(self, **wanted: Any) -> list[log.EventRow]:
        """Return the logged events that fit, newest first, read behind the HTTP surface."""
        if "kind" in wanted:
            wanted["kinds"] = frozenset({wanted.pop("kind")})
        with self.hub.store.read() as conn:
            return log.search(conn, log.EventFilter(**wanted), before=None, limit=1_000)

    def details(self, **wanted: Any) -> list[dict[str, Any]]:
        """Return the details of the logged events that fit, newest first."""
        return [json.loads(row.body or b"")["detail"] for row in self.events(**wanted)]

    def stored(self) -> int:
        """Return how many lines are stored."""
        with self.hub.store.read() as conn:
            return conn.scalar(select(func.count()).select_from(tables.line)) or 0

    def close(self) -> None:
        """Close connections and memories."""
        self.http.close()
        for session in self._sessions.values():
            session.state.close()


@pytest.fixture(scope="session")
def identity_of(exercise_template: Path) -> IdentityOf:
    """The identity of any party, unlocked once a run."""
    passphrase = (exercise_template / "passphrase").read_bytes().strip()

    @cache
    def load(party: str) -> Identity:
        return load_identity(exercise.identity_path(exercise_template, party), passphrase)

    return load


@dataclass(frozen=True)
class Template:
    """The data directory of a hub that is copied, never served, with the identity of each of its parties."""

    data: Path
    identities: dict[str, Identity]
    databases: Databases

    def copy(self, target: Path) -> Path:
        """Copy the data directory with its database."""
        return self.databases.copy(self.data, target)


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory, databases: Databases) -> Template:
    """A hub with two administrators and a few agencies to whom everything is granted: quick to copy, quick to start."""
    settings = databases.settings(tmp_path_factory.mktemp("few") / "hub")
    created = exercise.create(settings, origin="few.lintas.example", keep=lambda _identity: None)
    hub = open_hub(settings)
    hub.start()

    identities = asyncio.run(enrol_few(hub, created, FEW))
    hub.stop()
    return Template(settings.data, {identity.party: identity for identity in identities}, databases)


@pytest.fixture
def opened(few: Template, tmp_path: Path, clock: ShiftedClock) -> Iterator[Hub]:
    """A private hub with a few agencies, open but not started."""
    hub = open_hub(read_settings({}, data=str(few.copy(tmp_path / "hub"))), clock)
    yield hub
    hub.stop()


@pytest.fixture
def inner(opened: Hub, few: Template, clock: ShiftedClock) -> Iterator[Desks]:
    """Desks at a private started hub without HTTP."""
    opened.start()
    found = Desks(opened, few.identities.__getitem__, clock)
    yield found
    found.close()


@contextmanager
def inner_desks(few: Template, data: Path) -> Iterator[Desks]:
    """Desks at a started hub without HTTP, for fixtures of one module."""
    clock = ShiftedClock()
    hub = open_hub(read_settings({}, data=str(few.copy(data))), clock)
    hub.start()
    found = Desks(hub, few.identities.__getitem__, clock)
    yield found
    found.close()
    hub.stop()


@pytest.fixture
def desks(opened: Hub, few: Template, clock: ShiftedClock) -> Iterator[Desks]:
    """Desks at a private served hub, for tests that change partners, keys, grants or the clock."""
    opened.start()
    server = served(opened)
    with server as url:
        found = Desks(opened, few.identities.__getitem__, clock, url, server.app.state.streams)
        yield found
        found.close()


@pytest.fixture(scope="module")
def shared(
    exercise_template: Path, tmp_path_factory: pytest.TempPathFactory, identity_of: IdentityOf, databases: Databases
) -> Iterator[Desks]:
    """Desks at a served hub that all tests of a module share: bulletins may be added, nothing else may change."""
    data = databases.copy(exercise_template, tmp_path_factory.mktemp("shared") / "hub")
    clock = ShiftedClock()
    hub = open_hub(read_settings({}, data=str(data)), clock)
    hub.start()
    with served(hub) as url:
        found = Desks(hub, identity_of, clock, url)
        yield found
        found.close()
    hub.stop()


@pytest.fixture
def small(tmp_path: Path, databases: Databases) -> Settings:
    """A hub with one administrator and nothing else: four events, never opened."""
    settings = databases.settings(tmp_path / "small")
    exercise.create(settings, origin="small.lintas.example", keep=lambda _identity: None)
    return settings


@pytest.fixture
def small_hub(small: Settings, clock: ShiftedClock) -> Iterator[Hub]:
    """The small hub, open but not started."""
    hub = open_hub(small, clock)
    yield hub
    hub.stop()
