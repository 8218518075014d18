"""A gateway of tests beside a real hub, with tools that ask it over real HTTP."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from clients.gateway.approving import approve
from clients.gateway.database import Database
from clients.gateway.guard import Tokens, read_tokens
from clients.gateway.place import Place, beside
from clients.gateway.postings import Postings
from clients.gateway.process import Gateway, Pace
from clients.gateway.rules import Rules
from lintas.bulletin import parse as read
from lintas.client import Client
from lintas.draft import Draft, read_draft
from lintas.errors import STATUS, LintasError
from lintas.feed import Received
from lintas.header import BULLETIN
from lintas.imported import Choices
from lintas.keys import SigningKey, load_identity
from lintas.line import parse, sign
from lintas.memory import open_state
from lintas.strict import canonical
from lintas.wire import Published
from tests.conftest import ExerciseHub, wait_until
from tests.processes import free_port

PARTY, OTHER = "sg-fiu", "my-police"
HUB, NOW = "exercise.lintas.example-k3v9q2xa", 1_795_467_600
HEADER: dict[str, Any] = {"topic": "cyber.scam", "tlp": "AMBER", "urgency": "routine", "release_to": [PARTY]}
PACE = Pace(wait_s=0, tick_s=0.1)
TAXII = "application/taxii+json;version=2.1"
CHOICES = Choices(topic="cyber.scam", release_to=("id-police",), tlp="AMBER")


@dataclass
class Beside:
    """A gateway of `PARTY` beside a hub; `told` is what it reported."""

    hub: ExerciseHub
    identity: Path
    spool: Path
    told: list[str] = field(default_factory=list)
    gateway: Gateway | None = None

    def open(self) -> Client:
        """Return a client of the agency on its one memory."""
        identity = load_identity(self.identity, self.hub.passphrase).with_url(self.hub.url)
        return Client(identity, open_state(self.identity, identity), clock=self.hub.clock)

    def start(self, *, purpose: bool = True, **rules: Any) -> None:
        """Start a gateway with these rules."""
        following = self.open()
        following = following.with_purpose("investigation", "SIM-1") if purpose else following
        given = Rules(**{"choices": CHOICES, "has_purpose": purpose, **rules})
        place = Place(identity=self.identity, port=0, spool=self.spool)
        self.gateway = Gateway(place, given, (following, self.open()), report=self.told.append, pace=PACE)
        self.gateway.start()

    def stop(self) -> None:
        """Stop it."""
        if self.gateway is not None:
            self.gateway.stop()
            self.gateway = None

    @property
    def url(self) -> str:
        """Where tools reach it."""
        assert self.gateway is not None
        return self.gateway.url

    @property
    def tokens(self) -> Tokens:
        """The tokens of the tools."""
        return read_tokens(beside(self.identity, ".tokens"))

    def ask(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, **headers: str
    ) -> httpx.Response:
        """Ask as a tool does, with the token that posts unless another is given."""
        auth = None if token == "" else ("tool", token or self.tokens.post)
        given = {"Content-Type": TAXII if path.startswith("/taxii2") else "application/json"} | headers
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        return httpx.request(method, self.url + path, content=content, auth=auth, headers=given, timeout=20)

    def get(self, path: str, **headers: str) -> Any:
        """Return the JSON of an answer."""
        answer = self.ask("GET", path, **headers)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def objects(self) -> dict[str, Any]:
        """Return what tools are served, by id."""
        found = self.get("/taxii2/api/collections/received/objects/").get("objects", [])
        return {each["id"]: each for each in found}

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that the gateway does."""
        wait_until(condition, 10)

    def approve_all(self) -> None:
        """Approve what waits, as an officer does in another process."""
        assert self.gateway is not None
        client, postings = self.hub.client(PARTY), Postings(Database(beside(self.identity, "")))
        for row in postings.held():
            approve(client, postings, row.number, yes=True)

    @contextmanager
    def outage(self, problem: LintasError | None = None) -> Iterator[None]:
        """Let every request to the hub fail for a while, or be refused so."""
        assert self.gateway is not None
        before = [client._http for client in self.gateway._clients]
        url, transport = f"http://127.0.0.1:{free_port()}", None
        if problem is not None:
            answer = httpx.Response(STATUS[type(problem)], json=problem.problem())
            transport = httpx.MockTransport(lambda _request: answer)
        for client in self.gateway._clients:
            client._http = httpx.Client(base_url=url, transport=transport)
        try:
            yield
        finally:
            for client, http in zip(self.gateway._clients, before, strict=True):
                client._http = http

    def drop(self, name: str, members: Any) -> None:
        """Put a file into the spool that nobody writes to any more."""
        aside = self.spool / f".{name}"
        aside.write_text(json.dumps(members))
        os.utime(aside, (1, 1))
        aside.rename(self.spool / name)

    def publish(self, draft: Draft) -> Published:
        """Publish as another agency, and wait until the gateway has it."""
        published = self.hub.client(OTHER).publish(draft)
        self.until(lambda: self.ask("GET", f"/v1/bulletins/{published.id}").status_code == 200)
        return published


def alert(title: str, *, indicators: Any = (), to: str = PARTY, **other: Any) -> Draft:
    """Write an alert of another agency."""
    payload = {"title": title, "summary": "Fictional.", "indicators": list(indicators)} | other.pop("payload", {})
    members = {
        "kind": "alert",
        "topic": "cyber.scam",
        "tlp": "AMBER",
        "urgency": "routine",
        "release_to": [to],
        "valid_for": "P30D",
    }
    return read_draft(members | other | {"payload": payload})


def domain(value: str) -> dict[str, str]:
    """Write an indicator."""
    return {"type": "domain", "value": value, "role": "phishing"}


def signed(
    title: str,
    *,
    by: str = OTHER,
    seq: int = 1,
    indicators: Any = (),
    payload: Mapping[str, Any] | None = None,
    marks: tuple[str, ...] = (),
    **header: Any,
) -> Received:
    """Return a bulletin as the client gives it once it is verified."""
    kind = header.get("kind", "alert")
    members: dict[str, Any] = {"title": title, "summary": "Fictional."}
    members |= {"indicators": list(indicators)} if indicators else {}
    head = {"typ": BULLETIN, "iss": by, "aud": HUB, "iat": NOW, "exp": NOW + 86_400, "kind": kind, **HEADER} | header
    body = canonical({**members, **(payload or {})})
    line = parse(sign(head, body, SigningKey.from_seed(bytes(32))), BULLETIN)
    return Received(seq=seq, id=line.id, line=line, content=read(body, kind=kind), payload=body, marks=marks)
