"""The table of writes: where each is, in which play it is reached, what must be true after a fault there.

A play prepares what it needs at a hub that works, then acts once with the fault in its way, then again with the same
bytes. `docs/faults.md` shows the table.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import httpx
from fastapi import FastAPI
from sqlalchemy import text

from broker.additions import next_slice
from broker.app import build_app
from broker.filling import add
from broker.hub import Hub
from broker.rollup import Rollup
from broker.sessions import LINK_S
from broker.store import log, webhooks
from lintas.header import ACK, BULLETIN, KEY, ORDER
from lintas.keys import Identity, SigningKey
from lintas.line import Line
from lintas.session import Session
from lintas.state import State
from lintas.strict import b64u, canonical
from tests.broker.conftest import AUDITOR, FEW, PAYLOAD, REGISTRAR, Desks
from tests.conftest import ShiftedClock
from tests.witnesses import WITNESSES, cosigned

ISSUER, READER, OTHER = "my-police", "sg-fiu", "th-cert"
LIFE_S = 200 * 86_400
VISITORS = itertools.cycle((*FEW, REGISTRAR, AUDITOR))
"""Who signs in to the console: a key has one session, so each play takes the next party."""

FORM = {"Sec-Fetch-Site": "same-origin", "Content-Type": "application/x-www-form-urlencoded"}
NUMBERS = itertools.count(secrets.randbelow(10**6) * 10)


class World:
    """A started hub in this process, and its clock."""

    def __init__(self, hub: Hub, clock: ShiftedClock) -> None:
        self.hub = hub
        self.clock = clock

    @cached_property
    def app(self) -> FastAPI:
        """The HTTP surface."""
        return build_app(self.hub)

    def send(self, asked: Send) -> Answer:
        """Send one request."""

        async def talk() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://hub") as client:
                return await client.request(asked.method, asked.path, content=asked.body or None, headers=asked.headers)

        found = asyncio.run(talk())
        cookie = found.headers.get("set-cookie", "").split(";", 1)[0]
        return Answer(found.status_code, found.content, found.headers.get("retry-after"), cookie)


@dataclass(frozen=True)
class Answer:
    """What an act was answered: status, body, when to come back, the cookie that was set."""

    status: int
    body: bytes = b""
    retry_after: str | None = None
    cookie: str = ""


@dataclass(frozen=True)
class Send:
    """A request; `good` are the statuses of success, at first or again."""

    method: str
    path: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    good: tuple[int, ...] = (200, 201)

    def run(self, world: World) -> Answer:
        """Send it."""
        return world.send(self)


@dataclass(frozen=True)
class Wait:
    """Nothing but time, after which the hub does something by itself."""

    seconds: int
    good: tuple[int, ...] = (200,)

    def run(self, world: World) -> Answer:
        """Let the time go by, then let the writer look."""
        world.clock.advance(self.seconds)
        # A run that purges comes to its end in steps of a second.
        for _ in range(4):
            world.clock.advance(2)
            world.hub.writer.submit(lambda batch: batch.next_seq).result(20)
        return Answer(200)


@dataclass(frozen=True)
class Failed:
    """A webhook that failed once."""

    agency: str
    good: tuple[int, ...] = (200,)

    def run(self, world: World) -> Answer:
        """Note it as the hub does."""

        def job(batch: Any) -> bool:
            [hook] = webhooks.of_agency(batch.conn, self.agency)
            return webhooks.keep_state(batch.conn, replace(hook, tries=1, since=1, code="not-delivered"))

        return Answer(200 if world.hub.writer.submit(job).result(20).value else 404)


@dataclass(frozen=True)
class RollUp:
    """The log rolled up to its head."""

    good: tuple[int, ...] = (200,)

    def run(self, world: World) -> Answer:
        """Do it as the hub does, however little there is."""
        world.hub.writer.submit(Rollup(behind_min=1).record).result(20)
        return Answer(200)


@dataclass(frozen=True)
class Collect:
    """The collections of TAXII filled to the head of the log."""

    good: tuple[int, ...] = (200,)

    def run(self, world: World) -> Answer:
        """Do it as the hub does when somebody reads."""
        hub = world.hub
        while True:
            with hub.store.read() as conn:
                found = next_slice(conn, hub.directory.partners, now=hub.now())
            if found.size == found.begun.size:
                return Answer(200)
            hub.writer.submit(partial(add, found=found)).result(20)


@dataclass(frozen=True)
class Act:
    """What is done with a fault in its way. `once`: kind and object of the event that must be there once."""

    step: Send | Wait | Failed | RollUp | Collect
    once: tuple[str, str] | None = None
    line: Line | None = None
    rows: tuple[str, ...] = ()
    """Queries that must each give 1 afterwards."""


class Stage:
    """A started hub with desks, for the plays."""

    def __init__(self, desks: Desks) -> None:
        self.desks = desks
        self.world = World(desks.hub, desks.clock)
        self.acknowledged: dict[str, int] = {}

    def must(self, asked: Send) -> Answer:
        """Send what must succeed."""
        answer = self.world.send(asked)
        assert answer.status in asked.good, answer
        return answer

    def post(self, line: Line, typ: str = BULLETIN, path: str | None = None, *, good: tuple[int, ...] = ()) -> Send:
        """Return the request that posts a line."""
        path = path or {BULLETIN: "/v1/bulletins", KEY: "/v1/keys", ORDER: "/v1/orders"}[typ]
        return Send("POST", path, line.raw, {"Content-Type": f"application/{typ}"}, good or (200, 201, 202))

    def get(self, path: str, party: str) -> Send:
        """Return a read."""
        return Send("GET", path, headers={"Authorization": f"Bearer {self.desks.session(party).token()}"})

    def change(self, method: str, path: str, party: str, body: Any = None) -> Send:
        """Return a change by token."""
        token = self.desks.session(party).token("subscribe")
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        # Deleted once, it is not found again.
        good = (200, 404) if method == "DELETE" else (200, 201)
        return Send(method, path, b"" if body is None else canonical(body), headers, good)

    def bulletin(self, **changes: Any) -> Line:
        """Sign a bulletin with an indicator that stands for long."""
        number = next(NUMBERS)
        content = PAYLOAD | {
            "case_ref": f"SIM-{number}",
            "indicators": [{"type": "domain", "value": f"d{number}.example", "role": "c2"}],
        }
        exp = self.desks.session(ISSUER).now() + changes.pop("life_s", LIFE_S)
        changes.setdefault("payload", canonical(content))
        return self.desks.bulletin(ISSUER, [READER, OTHER], exp=exp, **changes)

    def published(self, **changes: Any) -> Line:
        """Publish one."""
        line = self.bulletin(**changes)
        self.must(self.post(line))
        return line

    def order(self, party: str, act: str, **arguments: Any) -> Line:
        """Sign an order, each another."""
        return self.desks.session(party).sign_line(
            ORDER, canonical({"act": act, **arguments}), sub=f"officer-{next(NUMBERS)}"
        )

    def both(self, act: str, **arguments: Any) -> Line:
        """Sign an order of two administrators, each another."""
        self.desks.clock.advance(1)
        return self.desks.session(AUDITOR).countersign(self.desks.session(REGISTRAR).sign_order(act, arguments))


def publish(stage: Stage) -> Act:
    line = stage.bulletin()
    return Act(stage.post(line), ("bulletin.accepted", line.id), line)


def recall(stage: Stage) -> Act:
    old = stage.published()
    line = stage.desks.recall(ISSUER, old.id, [READER, OTHER], exp=stage.desks.session(ISSUER).now() + LIFE_S)
    return Act(stage.post(line), ("bulletin.accepted", line.id), line)


def page(stage: Stage) -> Act:
    line = stage.published()
    rows = f"SELECT count(*) FROM delivery JOIN line USING (seq) WHERE line.id = '{line.id}' AND agency = '{READER}'"
    return Act(stage.get("/v1/bulletins?limit=500", READER), rows=(rows,))


def take_over(stage: Stage) -> Act:
    line = stage.published()
    stage.must(stage.get("/v1/bulletins?limit=500", OTHER))
    [event] = stage.desks.events(kind="bulletin.accepted", object=line.id)
    rows = (
        f"SELECT count(*) FROM delivery WHERE seq = {event.seq} AND agency = '{OTHER}' AND received_seq IS NOT NULL",
        f"SELECT count(*) FROM subscription WHERE agency = '{OTHER}' AND name = 'feed' AND cursor >= {event.seq}",
    )
    return Act(stage.change("POST", "/v1/subscriptions/feed/cursor", OTHER, {"cursor": event.seq}), rows=rows)


def subscribe(stage: Stage) -> Act:
    name = f"s{next(NUMBERS)}"
    rows = (f"SELECT count(*) FROM subscription WHERE agency = '{READER}' AND name = '{name}'",)
    return Act(stage.change("PUT", f"/v1/subscriptions/{name}", READER, {"filter": {}}), rows=rows)


def refilter(stage: Stage) -> Act:
    name = f"s{next(NUMBERS)}"
    stage.must(stage.change("PUT", f"/v1/subscriptions/{name}", READER, {"filter": {}}))
    wish = {"filter": {"topic": ["drugs"]}}
    rows = (f"SELECT count(*) FROM subscription WHERE name = '{name}' AND filter LIKE '%drugs%'",)
    return Act(stage.change("PUT", f"/v1/subscriptions/{name}", READER, wish), rows=rows)


def unsubscribe(stage: Stage) -> Act:
    name = f"s{next(NUMBERS)}"
    stage.must(stage.change("PUT", f"/v1/subscriptions/{name}", READER, {"filter": {}}))
    rows = (f"SELECT 1 - count(*) FROM subscription WHERE name = '{name}'",)
    return Act(stage.change("DELETE", f"/v1/subscriptions/{name}", READER), rows=rows)


def webhook(stage: Stage) -> Act:
    line = stage.order(OTHER, "webhook", subscription="feed", url=f"https://receiver.example/{next(NUMBERS)}")
    rows = (f"SELECT count(*) FROM webhook WHERE agency = '{OTHER}'",)
    return Act(stage.post(line, ORDER), ("order.accepted", line.id), line, rows)


def failing_webhook(stage: Stage) -> Act:
    stage.must(webhook(stage).step)  # type: ignore[arg-type]
    return Act(Failed(OTHER), rows=(f"SELECT count(*) FROM webhook WHERE agency = '{OTHER}' AND tries = 1",))


def acknowledge(stage: Stage) -> Act:
    line = stage.published()
    stage.must(stage.get("/v1/bulletins?limit=500", READER))
    ack = stage.desks.ack(READER, line)
    rows = (f"SELECT count(*) FROM ack JOIN line USING (seq) WHERE line.id = '{line.id}'",)
    return Act(stage.post(ack, ACK, f"/v1/bulletins/{line.id}/ack"), ("bulletin.opened", line.id), ack, rows)


def watch(stage: Stage) -> Act:
    number = next(NUMBERS)
    line = stage.order(READER, "watch", name="scams", indicators=[{"type": "domain", "value": f"w{number}.example"}])
    rows = (f"SELECT count(*) FROM watch WHERE agency = '{READER}'",)
    return Act(stage.post(line, ORDER), ("watch.changed", line.id), line, rows)


def _interest(stage: Stage, party: str, phone: str) -> Line:
    until = stage.desks.session(party).now() + 3_600
    values = [{"type": "phone", "value": phone}]
    return stage.order(party, "interest", mode="contact", case_ref="SIM-1", until=until, indicators=values)


def interest(stage: Stage) -> Act:
    line = _interest(stage, READER, f"+65429{next(NUMBERS):07}")
    rows = (f"SELECT count(*) FROM interest JOIN interest_value USING (seq) WHERE interest.id = '{line.id}'",)
    return Act(stage.post(line, ORDER), ("interest.registered", line.id), line, rows)


def matched(stage: Stage) -> Act:
    # Early in a minute, so that none begins before the act.
    stage.desks.clock.advance(61 - stage.desks.hub.now() % 60)
    phone = f"+65429{next(NUMBERS):07}"
    first, second = (_interest(stage, party, phone) for party in (READER, OTHER))
    for each in (first, second):
        stage.must(stage.post(each, ORDER))
    rows = tuple(
        f"SELECT count(*) FROM match JOIN interest USING (seq) WHERE interest.id = '{each.id}'"
        for each in (first, second)
    )
    return Act(Wait(61), ("interest.checked", first.id), rows=rows)


def end_interest(stage: Stage) -> Act:
    old = _interest(stage, READER, f"+65429{next(NUMBERS):07}")
    stage.must(stage.post(old, ORDER))
    line = stage.order(READER, "interest-end", interest=old.id)
    return Act(stage.post(line, ORDER), ("interest.ended", line.id), line)


def invite(stage: Stage) -> Act:
    line = stage.both("invite", agency=f"admin/post-{next(NUMBERS)}")
    return Act(stage.post(line, ORDER), ("partner.invited", line.id), line)


def _wrong_code(stage: Stage) -> tuple[Send, str]:
    party = f"admin/post-{next(NUMBERS)}"
    invited = httpx.Response(201, content=stage.must(stage.post(stage.both("invite", agency=party), ORDER)).body).json()
    hub = stage.desks.session(REGISTRAR).identity.hub
    session = Session(
        Identity(party, SigningKey.generate(), hub), State(":memory:", log_key=hub.log_key), stage.desks.clock
    )
    payload = {"act": "enrol", **session.key_window(session.identity.key, "desk"), "invite": invited["invite"]}
    line = session.sign_line(KEY, canonical(payload | {"code_hmac": b64u(bytes(32))}))
    return stage.post(line, KEY, good=(403,)), invited["invite"]


def wrong_code(stage: Stage) -> Act:
    step, invited = _wrong_code(stage)
    return Act(step, rows=(f"SELECT count(*) FROM invite_try WHERE invite = '{invited}'",))


def wrong_again(stage: Stage) -> Act:
    step, invited = _wrong_code(stage)
    stage.must(step)
    return Act(step, rows=(f"SELECT count(*) FROM invite_try WHERE invite = '{invited}' AND tries > 1",))


def cosign(stage: Stage) -> Act:
    stage.published()
    with stage.desks.hub.store.read() as conn:
        newest = log.newest_checkpoint(conn)
    assert newest is not None
    note = cosigned(newest[1], WITNESSES[0], time=stage.desks.hub.now())
    rows = (f"SELECT count(*) FROM cosignature WHERE size = {newest[0]}",)
    return Act(Send("POST", "/v1/log/cosignatures", note, {"Content-Type": "text/plain"}), rows=rows)


def grant(stage: Stage) -> Act:
    line = stage.both("ceiling", agency=OTHER, tlp="RED")
    return Act(stage.post(line, ORDER), ("grant.changed", line.id), line)


def purge(stage: Stage) -> Act:
    line = stage.published(life_s=3_600)
    rows = (
        f"SELECT count(*) FROM line WHERE id = '{line.id}' AND raw IS NULL",
        f"SELECT 1 - count(*) FROM indicator JOIN line USING (seq) WHERE line.id = '{line.id}'",
        f"SELECT count(*) FROM event WHERE object = '{line.id}' AND kind = 'bulletin.accepted' AND body IS NULL",
    )
    return Act(Wait(3 * 86_400), rows=rows)


def _offer(stage: Stage, party: str) -> Send:
    headers = {"Authorization": f"Bearer {stage.desks.session(party).token()}", "Content-Type": "application/json"}
    return Send("POST", "/v1/console/links", b"{}", headers)


def _enter(stage: Stage, party: str, *good: int) -> Send:
    return Send("POST", json.loads(stage.must(_offer(stage, party)).body)["path"], headers=FORM, good=good)


def _visitor(stage: Stage) -> tuple[str, dict[str, str]]:
    party = next(VISITORS)
    return party, FORM | {"Cookie": stage.must(_enter(stage, party, 303)).cookie}


def _once_from_here(stage: Stage, kind: str, party: str) -> str:
    size = stage.desks.hub.writer.size
    return f"SELECT count(*) FROM event WHERE kind = '{kind}' AND party = '{party}' AND seq >= {size}"


def offer_link(stage: Stage) -> Act:
    # Later by a second than whatever this party asked for before.
    stage.desks.clock.advance(1)
    party, now = next(VISITORS), stage.desks.hub.now()
    links = f"SELECT count(*) FROM link WHERE party = '{party}' AND \"end\" - {LINK_S} >= {now}"
    told = f"SELECT count(*) FROM event WHERE kind = 'session.offered' AND party = '{party}' AND time >= {now}000000"
    return Act(_offer(stage, party), rows=(f"SELECT CASE WHEN ({links}) = ({told}) THEN 1 END",))


def sign_in(stage: Stage) -> Act:
    party, _ = _visitor(stage)
    # A second time the link is used.
    step = _enter(stage, party, 303, 401)
    rows = (f"SELECT count(*) FROM session WHERE party = '{party}'", _once_from_here(stage, "session.begun", party))
    return Act(step, rows=rows)


def use_link_again(stage: Stage) -> Act:
    party = next(VISITORS)
    step = _enter(stage, party, 303, 401)
    stage.must(step)
    with stage.desks.hub.store.read() as conn:
        links = conn.scalar(text(f"SELECT count(*) FROM link WHERE party = '{party}'"))
    dropped = f"SELECT {links} - count(*) FROM link WHERE party = '{party}'"
    return Act(step, rows=(dropped, _once_from_here(stage, "session.refused", party)))


def look(stage: Stage) -> Act:
    party, headers = _visitor(stage)
    stage.desks.clock.advance(1)
    rows = (f"SELECT count(*) FROM session WHERE party = '{party}' AND seen > begun",)
    return Act(Send("GET", "/console/audit", headers=headers), rows=rows)


def sign_out(stage: Stage) -> Act:
    party, headers = _visitor(stage)
    gone = f"SELECT 1 - count(*) FROM session WHERE party = '{party}'"
    return Act(
        Send("POST", "/console/sign-out", headers=headers), rows=(gone, _once_from_here(stage, "session.ended", party))
    )


ROLLED = "SELECT CASE WHEN (SELECT sum(count) FROM rollup WHERE width = 1) = (SELECT size FROM rolled) THEN 1 END"


def roll_up(stage: Stage) -> Act:
    RollUp().run(stage.world)
    stage.published()
    return Act(RollUp(), rows=(ROLLED,))


def first_roll_up(stage: Stage) -> Act:
    with stage.desks.hub.store.write() as conn:
        for table in ("rollup", "rolled"):
            conn.execute(text(f"DELETE FROM {table}"))
    return Act(RollUp(), rows=(ROLLED,))


COLLECTED = """SELECT CASE WHEN (SELECT count(*) FROM taxii_object) = (SELECT sum(last - first + 1) FROM taxii_addition)
AND NOT EXISTS (SELECT 1 FROM taxii_addition a WHERE NOT EXISTS (SELECT 1 FROM taxii_reader r WHERE r.last = a.last))
AND NOT EXISTS (SELECT 1 FROM taxii_object o WHERE NOT EXISTS (SELECT 1 FROM taxii_addition a WHERE a.last = o.last))
THEN 1 END"""


def collect(stage: Stage) -> Act:
    Collect().run(stage.world)
    stage.published()
    return Act(Collect(), rows=(COLLECTED,))


def collect_recall(stage: Stage) -> Act:
    act = recall(stage)
    Collect().run(stage.world)
    assert isinstance(act.step, Send)
    stage.must(act.step)
    return Act(Collect(), rows=(COLLECTED,))


@dataclass(frozen=True)
class Write:
    """One write of the hub: its name at the driver, the play that reaches it, what must be true after a fault there."""

    name: str
    play: Callable[[Stage], Act]
    after: str


NOTHING = "nothing of the batch is there; the same bytes again are accepted once"
ORDERED = "order and effect are both there, or neither"
SENT = "nothing left; the page is read again and recorded once"
SIGNED_IN = "one session of the key at most, each beginning and end with its event"
WHOLE = "an addition is whole or not there; the next reader's request adds it"
COUNTED = "every event up to where it says it is rolled up is counted once"

WRITES = (
    Write("INSERT log", publish, NOTHING),
    Write("INSERT event", publish, NOTHING),
    Write("INSERT line", publish, NOTHING),
    Write("INSERT recipient", publish, NOTHING),
    Write("INSERT indicator", publish, NOTHING),
    Write("INSERT ref", recall, NOTHING),
    Write("COMMIT batch", publish, "all of the batch is there or nothing; the same bytes again get the one receipt"),
    Write("COMMIT batch", grant, "the directory in memory is the one that follows from the log"),
    Write("INSERT checkpoint", publish, "the rows stand unsigned until the next batch, or start, signs them"),
    Write("KEEP checkpoint", publish, "nobody saw the checkpoint; the next one is kept before it is published"),
    Write("COMMIT checkpoint", publish, "one checkpoint of this size at most, the same bytes whoever signs it again"),
    Write("ANSWER", publish, "the same bytes again get the same receipt"),
    Write("INSERT delivery", page, SENT),
    Write("UPDATE delivery", take_over, "the cursor stands where it stood, or was moved with the record of it"),
    Write("INSERT subscription", subscribe, "it is there with its event, or not at all"),
    Write("UPDATE subscription", refilter, "old filter or new one, with its event"),
    Write("DELETE subscription", unsubscribe, "it is there, or gone with its event"),
    Write("DELETE webhook", unsubscribe, "never a webhook without its subscription"),
    Write("INSERT webhook", webhook, ORDERED),
    Write("UPDATE webhook", failing_webhook, "the row is as before; what was pushed is pushed again under the same id"),
    Write("INSERT ack", acknowledge, "the word counts once"),
    Write("DELETE watch", watch, ORDERED),
    Write("INSERT watch", watch, ORDERED),
    Write("INSERT interest", interest, ORDERED),
    Write("INSERT interest_value", interest, ORDERED),
    Write("INSERT match", matched, "told once, at this tick or the next"),
    Write("UPDATE interest", matched, "checked once, at this tick or the next"),
    Write("DELETE interest_value", end_interest, ORDERED),
    Write("DELETE match", end_interest, ORDERED),
    Write("INSERT invite", invite, "an invitation has its secret, or is none"),
    Write("INSERT invite_try", wrong_code, "the try may be uncounted; nobody was let in"),
    Write("UPDATE invite_try", wrong_again, "the try may be uncounted; nobody was let in"),
    Write("INSERT cosignature", cosign, "the witness posts it again"),
    Write("INSERT link", offer_link, "a link has its event, or is none"),
    Write("UPDATE link", sign_in, "the link is as good as before, or used with the session it began"),
    Write("DELETE link", use_link_again, "what was refused is on record once, and then forgotten"),
    Write("INSERT session", sign_in, SIGNED_IN),
    Write("UPDATE session", look, "no page is shown that the session and the log do not know of"),
    Write("DELETE session", sign_in, SIGNED_IN),
    Write("DELETE session", sign_out, SIGNED_IN),
    Write("INSERT rollup", roll_up, COUNTED),
    Write("UPDATE rolled", roll_up, COUNTED),
    Write("INSERT rolled", first_roll_up, COUNTED),
    Write("INSERT taxii_filled", collect, WHOLE),
    Write("INSERT taxii_addition", collect, WHOLE),
    Write("INSERT taxii_reader", collect, WHOLE),
    Write("INSERT taxii_object", collect, WHOLE),
    Write("DELETE taxii_object", collect_recall, WHOLE),
    Write("DELETE taxii_reader", collect_recall, WHOLE),
    Write("DELETE taxii_addition", collect_recall, WHOLE),
    Write("UPDATE line", purge, "content and record go together; the run takes it again"),
    Write("DELETE indicator", purge, "content and record go together; the run takes it again"),
    Write("UPDATE event", purge, "content and record go together; the run takes it again"),
)

WAITING = (matched, purge)
"""Plays in which time goes by."""

SOON = (sign_in, use_link_again)
"""Plays with a link that is good for a minute: they are killed among themselves."""
