"""Pushing to receivers over real HTTP: what leaves, when, in which order, and what is tried again."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from nacl.signing import VerifyKey
from sqlalchemy import event, insert, select, update

from broker import webhooks as webhooks_module
from broker.delivery import submit
from broker.fsck import check_everything
from broker.hub import Hub, open_hub
from broker.outbound import Outbound
from broker.settings import read_settings
from broker.store import delivery, tables
from broker.store import webhooks as webhook_rows
from broker.webhooks import Push, Webhooks
from lintas.errors import Busy, Refusal
from lintas.filter import read_filter
from lintas.header import KEY, ORDER
from lintas.line import Line
from lintas.strict import canonical
from lintas.webhooks import open_webhook
from tests.broker.conftest import Desks, Template, problem_of
from tests.conftest import ShiftedClock, served, wait_until
from tests.receiver import Got, Receiver, Told, willing

ISSUER, READER, OTHER = "my-police", "sg-fiu", "th-cert"
DAY_S = 86_400


@dataclass
class Pushing:
    """A served hub that may call two receivers, with its desks."""

    desks: Desks
    first: Receiver
    second: Receiver
    data: Path

    def order(self, url: str | None, subscription: str = "feed", agency: str = READER) -> Any:
        """Order a webhook as an agency."""
        line = self.desks.session(agency).sign_order("webhook", {"subscription": subscription, "url": url})
        return self.desks.post(line, ORDER)

    def set_up(self, receiver: Receiver, subscription: str = "feed", agency: str = READER) -> None:
        """Order a webhook and wait until it is active."""
        answer = self.order(receiver.url, subscription, agency)
        assert answer.status_code == 201, answer.text
        self.wait_state("active", agency, subscription)

    def subscribe(self, name: str, agency: str = READER, **wanted: list[str]) -> None:
        """Make a subscription that begins now."""
        text = canonical(read_filter(wanted).members()).decode()

        def job(batch: Any) -> None:
            row = {"agency": agency, "name": name, "filter": text, "cursor": batch.next_seq - 1}
            batch.conn.execute(insert(tables.subscription), row | {"created_seq": batch.next_seq - 1})

        self.desks.hub.writer.submit(job).result(20)

    def state(self, agency: str = READER) -> dict[str, dict[str, Any]]:
        """Return how the webhooks of an agency do, by subscription. The read is an event, so it also wakes them."""
        answer = self.desks.get("/v1/webhooks", agency)
        assert answer.status_code == 200, answer.text
        return {each["subscription"]: each for each in answer.json()["webhooks"]}

    def wait_state(self, state: str, agency: str = READER, subscription: str = "feed") -> None:
        """Wait until a webhook is in this state."""
        wait_until(lambda: self.row(agency, subscription)["state"] == state)

    def row(self, agency: str = READER, subscription: str = "feed") -> dict[str, Any]:
        """Return the row of a webhook."""
        table = tables.webhook
        with self.desks.hub.store.read() as conn:
            found = conn.execute(
                select(table).where(table.c.agency == agency, table.c.subscription == subscription)
            ).mappings()
            return dict(found.one())

    def cursor(self, name: str = "feed", agency: str = READER) -> int:
        """Return how far a subscription was taken over."""
        table = tables.subscription
        with self.desks.hub.store.read() as conn:
            return conn.execute(
                select(table.c.cursor).where(table.c.agency == agency, table.c.name == name)
            ).scalar_one()

    def later(self, seconds: int) -> None:
        """Let time pass and wake the webhooks."""
        self.desks.clock.advance(seconds)
        self.state()

    def key(self) -> str:
        """Return the key that signs the calls."""
        return str(self.desks.get("/.well-known/lintas").json()["webhook_key"])


def hub_at(data: Path, clock: ShiftedClock, *receivers: Receiver) -> Hub:
    """Open and start a hub that may call these receivers."""
    allow = ",".join(f"127.0.0.1:{each.port}" for each in receivers)
    hub = open_hub(read_settings({"LINTAS_WEBHOOK_ALLOW": allow}, data=str(data)), clock)
    hub.start()
    return hub


@pytest.fixture
def pushing(few: Template, tmp_path: Path, clock: ShiftedClock) -> Iterator[Pushing]:
    """A served hub with two receivers."""
    data = few.copy(tmp_path / "hub")
    with Receiver() as first, Receiver() as second:
        hub = hub_at(data, clock, first, second)
        with served(hub) as url:
            desks = Desks(hub, few.identities.__getitem__, clock, url)
            yield Pushing(desks, first, second, data)
            desks.close()
        hub.stop()


def test_line_is_pushed(pushing: Pushing) -> None:
    """The body of a call is the signed line, byte for byte."""
    pushing.set_up(pushing.first)
    line = pushing.desks.publish(ISSUER, [READER])

    (got,) = pushing.first.wait(1)

    assert (line.raw, "application/vnd.lintas.bulletin") == (got.body, got.headers["content-type"])


def test_signature(pushing: Pushing) -> None:
    """An independent implementation verifies Ed25519 over id, time and body with the published key."""
    pushing.set_up(pushing.first)
    pushing.desks.publish(ISSUER, [READER])
    (got,) = pushing.first.wait(1)
    key = VerifyKey(base64.b64decode(pushing.key().removeprefix("whpk_")))
    scheme, _, signature = got.headers["webhook-signature"].partition(",")

    signed = f"{got.headers['webhook-id']}.{got.headers['webhook-timestamp']}.".encode() + got.body

    assert "v1a" == scheme
    assert signed == key.verify(signed, base64.b64decode(signature))


def test_receiver_opens_call(pushing: Pushing) -> None:
    """A receiver opens the call with the library and holds the line."""
    pushing.set_up(pushing.first)
    line = pushing.desks.publish(ISSUER, [READER])
    (got,) = pushing.first.wait(1)

    call = open_webhook(got.headers, got.body, pushing.key(), pushing.desks.hub.now())

    assert (line, got.headers["webhook-id"]) == (call.line, call.id)


def test_nothing_before_challenge(pushing: Pushing) -> None:
    """A receiver that does not answer the challenge gets nothing else, and the webhook stays pending."""
    pushing.first.answer = lambda _got: Told(200, b"hello")
    pushing.order(pushing.first.url)
    pushing.desks.publish(ISSUER, [READER])

    wait_until(lambda: pushing.row()["tries"] == 1)

    assert ([], "pending", "not-delivered") == (
        pushing.first.deliveries,
        pushing.row()["state"],
        pushing.row()["code"],
    )


def test_challenge_is_new_each_time(pushing: Pushing) -> None:
    """An answer to one challenge is no answer to the next."""
    pushing.first.answer = lambda _got: Told(200, pushing.first.got[0].members["challenge"].encode() + b"x")
    pushing.order(pushing.first.url)
    wait_until(lambda: pushing.row()["tries"] == 1)
    pushing.first.answer = lambda _got: Told(200, pushing.first.got[0].members["challenge"].encode())

    pushing.later(7)
    wait_until(lambda: pushing.row()["tries"] == 2)

    assert "pending" == pushing.row()["state"]


def test_challenge_as_object(pushing: Pushing) -> None:
    """The challenge may be answered in a JSON object."""
    pushing.first.answer = lambda got: Told(200, json.dumps({"challenge": got.members["challenge"]}).encode())

    pushing.set_up(pushing.first)

    assert "active" == pushing.row()["state"]


def test_activation_is_logged(pushing: Pushing) -> None:
    """Order and activation are events with subscription and host, never the path."""
    pushing.set_up(pushing.first)

    details = pushing.desks.details(kind="webhook.changed")

    expected = {"subscription": "feed", "host": "127.0.0.1"}
    assert [expected | {"state": "active"}, expected] == details


def test_strict_marking_is_only_named(pushing: Pushing) -> None:
    """AMBER+STRICT goes as a notice with routing facts, and is not recorded as sent."""
    pushing.set_up(pushing.first)
    line = pushing.desks.publish(ISSUER, [READER], tlp="AMBER+STRICT", urgency="urgent")
    seq = pushing.desks.events(kind="bulletin.accepted")[0].seq

    (got,) = pushing.first.wait(1)

    facts = {"tlp": "AMBER+STRICT", "urgency": "urgent", "kind": "alert"}
    assert {"type": "bulletin.notice", "seq": seq, "id": line.id, **facts} == got.members
    assert [0] == [detail["count"] for detail in pushing.desks.details(kind="bulletin.sent")]


def test_every_move_is_logged(pushing: Pushing) -> None:
    """The cursor stands where the log says, also when only a notice was taken over and for a feed just begun."""
    pushing.set_up(pushing.first)
    start = pushing.desks.details(kind="subscription.created")
    begun = pushing.cursor()
    pushing.desks.publish(ISSUER, [READER], tlp="AMBER+STRICT")
    wait_until(lambda: pushing.desks.events(kind="bulletin.received") != [])

    assert [{"name": "feed", "filter": {}, "cursor": begun}] == start
    expected = {"way": "webhook/feed", "count": 0, "ids": [], "to": pushing.cursor()}
    assert [expected] == pushing.desks.details(kind="bulletin.received")


def test_withdrawn_meanwhile(pushing: Pushing) -> None:
    """What was recalled while the receiver was away comes as its state, after the recall that overtook it."""
    pushing.set_up(pushing.first)
    pushing.first.answer = lambda _got: Told(500)
    line = pushing.desks.publish(ISSUER, [READER])
    pushing.first.wait(1)
    recall = pushing.desks.recall(ISSUER, line.id, [READER])
    pushing.desks.post(recall)
    pushing.first.answer = willing

    pushing.later(7)
    _, first, second = pushing.first.wait(3)

    assert recall.raw == first.body
    members = second.members
    del members["seq"]
    assert {"type": "bulletin.state", "id": line.id, "state": "recalled", "by": recall.id} == members


def test_flash_goes_first(pushing: Pushing) -> None:
    """Among what waits, flash overtakes; everything comes once, the rest in the order of the log."""
    pushing.set_up(pushing.first)
    pushing.first.answer = lambda _got: Told(503)
    lines = [pushing.desks.publish(ISSUER, [READER]) for _ in range(3)]
    pushing.first.wait(1)
    lines.insert(0, pushing.desks.publish(ISSUER, [READER], urgency="flash"))
    pushing.first.answer = willing
    failed = len(pushing.first.got)

    pushing.later(7)
    wait_until(lambda: pushing.cursor() >= max(row.seq for row in pushing.desks.events(kind="bulletin.accepted")))

    assert [line.raw for line in lines] == [got.body for got in pushing.first.got[failed:]]


def held_back(pushing: Pushing) -> tuple[list[Line], threading.Event, int]:
    """Let three lines wait in a page whose first one a receiver holds until released.

    Return the lines, the release, and how many calls came before.
    """
    pushing.set_up(pushing.first)
    pushing.first.answer = lambda _got: Told(500)
    first, *lines = [pushing.desks.publish(ISSUER, [READER]) for _ in range(4)]
    pushing.first.wait(1)
    wait_until(lambda: pushing.row()["tries"] == 1)
    released, before = threading.Event(), len(pushing.first.got) + 1
    pushing.first.answer = lambda got: Told() if got.body == first.raw or released.wait(8) else willing(got)
    pushing.later(7)
    wait_until(lambda: len(pushing.first.got) == before + 1)
    return lines, released, before


def test_flash_goes_between(pushing: Pushing) -> None:
    """A flash that comes in while a page is being pushed goes before what is left of the page."""
    lines, released, before = held_back(pushing)
    flash = pushing.desks.publish(ISSUER, [READER], urgency="flash")
    released.set()

    wait_until(lambda: len(pushing.first.got) >= before + 4)

    order = [lines[0], flash, lines[1], lines[2]]
    assert [line.raw for line in order] == [got.body for got in pushing.first.got[before:]]


def test_recalled_while_its_page_leaves(pushing: Pushing) -> None:
    """What is recalled after its page was recorded, but before its own turn, does not leave as a line."""
    lines, released, before = held_back(pushing)
    recall = pushing.desks.recall(ISSUER, lines[2].id, [READER])
    pushing.desks.post(recall)
    released.set()

    wait_until(lambda: len(pushing.first.got) >= before + 4)

    bodies = [got.body for got in pushing.first.got[before:]]
    assert [lines[0].raw, recall.raw, lines[1].raw] == bodies[:3]
    assert "recalled" == json.loads(bodies[3])["state"]


def test_grant_narrowed_while_its_page_leaves(pushing: Pushing) -> None:
    """What a grant no longer covers when its turn comes does not leave, though its page was recorded."""
    _, released, before = held_back(pushing)
    pushing.desks.order("ceiling", agency=READER, tlp="GREEN")
    green = pushing.desks.publish(ISSUER, [READER], tlp="GREEN")
    released.set()

    wait_until(lambda: pushing.cursor() >= pushing.desks.events(object=green.id)[0].seq)

    assert [green.raw] == [got.body for got in pushing.first.got[before + 1 :]]


def test_record_that_fails(pushing: Pushing, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was taken over while the hub could not record it is sent again with its id, until the record is there."""
    pushing.set_up(pushing.first)
    faults = iter([Busy(retry_after=1)])

    async def submit_or_fail(hub: Hub, job: Any) -> Any:
        for fault in faults:
            raise fault
        return await submit(hub, job)

    monkeypatch.setattr(webhooks_module, "submit", submit_or_fail)
    pushing.desks.publish(ISSUER, [READER])
    pushing.first.wait(1)
    pushing.state()
    wait_until(lambda: pushing.desks.events(kind="bulletin.received") != [])

    assert 2 == len(pushing.first.deliveries)
    assert 1 == len({got.headers["webhook-id"] for got in pushing.first.deliveries})


def test_much_flash(pushing: Pushing, monkeypatch: pytest.MonkeyPatch) -> None:
    """When much has overtaken the cursor it follows first; everything comes once."""
    monkeypatch.setattr(webhooks_module, "AHEAD_MAX", 2)
    pushing.set_up(pushing.first)
    pushing.first.answer = lambda _got: Told(500)
    urgencies = ["routine", "flash"] * 12
    lines = [pushing.desks.publish(ISSUER, [READER], urgency=urgency) for urgency in urgencies]
    wait_until(lambda: pushing.row()["tries"] == 1)
    before = len(pushing.first.got)
    pushing.first.answer = willing

    pushing.later(7)
    wait_until(lambda: pushing.cursor() >= pushing.desks.events(object=lines[-1].id)[0].seq)

    assert sorted(line.raw for line in lines) == sorted(got.body for got in pushing.first.got[before:])


def test_standing_is_asked_when_recorded(pushing: Pushing) -> None:
    """A page read before the lead was lost, a webhook removed, its key revoked is not recorded and does not leave."""
    pushing.set_up(pushing.first)
    hub = pushing.desks.hub
    with hub.store.read() as conn:
        (hook,) = webhook_rows.at_work(conn)
    push = Push(hub, Outbound(()), hook)

    def asked() -> str | None:
        return hub.writer.submit(lambda batch: void_code(push._standing(batch))).result(20).value

    found = [asked()]
    hub.replica.leave_lead()
    wait_until(lambda: not hub.replica.is_leading)
    found.append(asked())
    hub.replica.want_lead(lambda: None)
    wait_until(lambda: hub.replica.is_leading)
    pushing.order(None)
    found.append(asked())
    session = pushing.desks.session(READER)
    pushing.desks.post(session.sign_revocation("unspecified", session.now()), KEY)
    found.append(asked())

    assert [None, "busy", "not-found", "unauthorized"] == found


def void_code(refusal: Refusal | None) -> str | None:
    """Return the code of a refusal as a value that is none."""
    return refusal.code if refusal else None


@pytest.mark.parametrize("turns", range(4))
def test_broken_off_while_news_come(turns: int) -> None:
    """News of the same moment, or of any turn of the loop before it, do not keep a webhook from being broken off."""
    hook = webhook_rows.Webhook(READER, "feed", "https://receiver.example/", "active", 0, 0, None, None, 0, "")

    async def play() -> tuple[bool, object]:
        push = Push(cast("Hub", None), Outbound(()), hook)
        resting = asyncio.create_task(push._rest(60))
        for _ in range(4):
            await asyncio.sleep(0)
        push.news.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        is_resting = resting.cancel()
        [found] = await asyncio.gather(resting, return_exceptions=True)
        return is_resting, type(found)

    assert asyncio.run(play()) in ((True, asyncio.CancelledError), (False, type(None)))


def test_recorded_before_and_after(pushing: Pushing) -> None:
    """Sending is logged before the call leaves, taking over after it; the cursor and the delivery say the same."""
    sizes: list[int] = []
    pushing.set_up(pushing.first)

    def answer(got: Got) -> Told:
        sizes.append(len(pushing.desks.events(kind="bulletin.sent")))
        return willing(got)

    pushing.first.answer = answer
    line = pushing.desks.publish(ISSUER, [READER])
    wait_until(lambda: pushing.desks.events(kind="bulletin.received") != [])

    seq = pushing.desks.events(kind="bulletin.accepted")[0].seq
    sent, received = (pushing.desks.events(kind=f"bulletin.{what}")[0].seq for what in ("sent", "received"))
    with pushing.desks.hub.store.read() as conn:
        rows = delivery.of_bulletin(conn, seq)
    assert [1] == sizes
    assert [delivery.Delivered(READER, "webhook/feed", sent, received)] == rows
    expected = {"way": "webhook/feed", "count": 1, "ids": [line.id], "to": pushing.cursor()}
    assert [expected] == pushing.desks.details(kind="bulletin.received")
    assert pushing.cursor() >= seq


def test_log_is_consistent(pushing: Pushing) -> None:
    """A log with webhook orders and their events passes the full check."""
    pushing.set_up(pushing.first)
    pushing.desks.publish(ISSUER, [READER])
    wait_until(lambda: pushing.desks.events(kind="bulletin.received") != [])
    pushing.order(None)

    hub = pushing.desks.hub
    report = check_everything(hub.store, hub.signer.verifier, lambda _done, _all: None)

    assert report.size > 0


def test_tried_again_later(pushing: Pushing) -> None:
    """A failed call is repeated with the same id after a pause, not before."""
    pushing.set_up(pushing.first)
    pushing.first.answer = lambda _got: Told(500)
    pushing.desks.publish(ISSUER, [READER])
    wait_until(lambda: pushing.row()["tries"] == 1)
    row = pushing.row()
    pushing.first.answer = willing
    pushing.state()

    pushing.later(7)
    wait_until(lambda: pushing.row()["tries"] == 0)

    assert 4 <= row["next_at"] - row["since"] <= 6
    ids = [got.headers["webhook-id"] for got in pushing.first.deliveries]
    assert 2 == len(ids)
    assert 1 == len(set(ids))


def test_ids_differ_between_webhooks(pushing: Pushing) -> None:
    """Two webhooks give one bulletin two ids, so that receivers cannot tell what others were sent."""
    pushing.set_up(pushing.first)
    pushing.set_up(pushing.second, agency=OTHER)
    pushing.desks.publish(ISSUER, [READER, OTHER])

    (mine,), (theirs,) = pushing.first.wait(1), pushing.second.wait(1)

    assert mine.body == theirs.body
    assert mine.headers["webhook-id"] != theirs.headers["webhook-id"]


def test_one_is_tried_while_failing(pushing: Pushing) -> None:
    """While a receiver fails the record names one bulletin at each try, not all that wait."""
    pushing.set_up(pushing.first)
    pushing.first.answer = lambda _got: Told(500)
    for _ in range(3):
        pushing.desks.publish(ISSUER, [READER])
    wait_until(lambda: pushing.row()["tries"] == 1)

    pushing.later(7)
    wait_until(lambda: pushing.row()["tries"] == 2)

    assert 1 == pushing.desks.details(kind="bulletin.sent")[0]["count"]


@pytest.mark.parametrize(("asked", "low", "high"), [("600", 600, 602), ("999999", 21_600, 21_602), ("soon", 4, 6)])
def test_retry_after(pushing: Pushing, asked: str, low: int, high: int) -> None:
    """A receiver may put the hub off by seconds, at most six hours."""
    pushing.set_up(pushing.first)
    pushing.first.answer = lambda _got: Told(429, headers={"Retry-After": asked})
    pushing.desks.publish(ISSUER, [READER])

    wait_until(lambda: pushing.row()["tries"] == 1)

    row = pushing.row()
    assert low <= row["next_at"] - row["since"] <= high


def test_dead_letter(pushing: Pushing) -> None:
    """After three days without success the webhook is dead, the log says since when, and nothing is lost."""
    pushing.set_up(pushing.first)
    pushing.first.answer = lambda _got: Told(500)
    line = pushing.desks.publish(ISSUER, [READER])
    wait_until(lambda: pushing.row()["tries"] == 1)
    since = pushing.row()["since"]

    pushing.later(3 * DAY_S + 1)
    pushing.wait_state("dead")

    expected = {"subscription": "feed", "host": "127.0.0.1", "code": "not-delivered", "since": since}
    assert [expected] == pushing.desks.details(kind="webhook.failed")
    rows = pushing.desks.rows(f"/v1/bulletins?after={pushing.cursor()}", READER)
    assert [line.raw.decode()] == [row["line"] for row in rows]


def test_ordered_again(pushing: Pushing) -> None:
    """A dead webhook that is ordered again gets what waited."""
    pushing.set_up(pushing.first)
    pushing.first.answer = lambda _got: Told(410)
    line = pushing.desks.publish(ISSUER, [READER])
    pushing.wait_state("dead")
    pushing.first.answer = willing
    pushing.desks.clock.advance(1)

    pushing.set_up(pushing.first)
    got = pushing.first.wait(2)[1]

    assert line.raw == got.body


def test_gone(pushing: Pushing) -> None:
    """A receiver that answers 410 is not called again."""
    pushing.set_up(pushing.first)
    pushing.first.answer = lambda _got: Told(410)
    pushing.desks.publish(ISSUER, [READER])
    pushing.wait_state("dead")
    pushing.desks.publish(ISSUER, [READER])

    pushing.later(DAY_S)

    assert 1 == len(pushing.first.deliveries)
    assert "gone" == pushing.state()["feed"]["code"]


def test_redirect_is_refused(pushing: Pushing) -> None:
    """A redirect is not followed; it counts as a failure."""
    pushing.set_up(pushing.first)
    pushing.first.answer = lambda _got: Told(307, headers={"Location": pushing.second.url})
    pushing.desks.publish(ISSUER, [READER])

    wait_until(lambda: pushing.row()["tries"] == 1)

    assert [] == pushing.second.got


def test_revoked_key(pushing: Pushing) -> None:
    """The webhook ends with the revocation of the key that ordered it."""
    pushing.set_up(pushing.first)
    session = pushing.desks.session(READER)
    pushing.desks.post(session.sign_revocation("keyCompromise", session.now()), KEY)
    pushing.desks.publish(ISSUER, [READER])

    pushing.wait_state("dead")

    assert ["key-revoked"] == [detail["code"] for detail in pushing.desks.details(kind="webhook.failed")]
    assert [] == pushing.first.deliveries


def test_suspended_agency(pushing: Pushing) -> None:
    """A suspended agency is pushed recalls and nothing else."""
    pushing.set_up(pushing.first)
    pushing.first.answer = lambda _got: Told(500)
    line = pushing.desks.publish(ISSUER, [READER])
    pushing.first.wait(1)
    pushing.desks.order("suspend", agency=READER, reason="exercise")
    pushing.first.answer = willing
    recall = pushing.desks.recall(ISSUER, line.id, [READER])

    pushing.desks.post(recall)
    pushing.later(7)

    _, got = pushing.first.wait(2)
    assert recall.raw == got.body
    assert 2 == len(pushing.first.deliveries)


@pytest.mark.parametrize("is_passed", [True, False])
def test_resumed_agency(pushing: Pushing, *, is_passed: bool) -> None:
    """What came while its agency was suspended is pushed when the suspension ends, passed by the cursor or not."""
    pushing.set_up(pushing.first)
    target = pushing.desks.publish(ISSUER, ["*"], tlp="GREEN")
    pushing.first.wait(1)
    pushing.desks.order("suspend", agency=READER, reason="exercise")
    missed = pushing.desks.publish(ISSUER, ["*"], tlp="GREEN")
    if is_passed:
        pushing.desks.post(pushing.desks.recall(ISSUER, target.id, ["*"], tlp="GREEN"))
        pushing.first.wait(2)
        wait_until(lambda: pushing.cursor() > pushing.desks.events(kind="bulletin.recalled")[0].seq - 2)
    else:
        # It was looked at, and passed in memory.
        pushing.state()
        time.sleep(0.5)
    pushing.desks.order("resume", agency=READER)
    wait_until(lambda: missed.raw in [got.body for got in pushing.first.deliveries])

    assert 1 == [got.body for got in pushing.first.deliveries].count(target.raw)


def test_narrower_grant(pushing: Pushing) -> None:
    """What a grant no longer covers when the receiver is back is not pushed."""
    pushing.set_up(pushing.first)
    pushing.first.answer = lambda _got: Told(500)
    pushing.desks.publish(ISSUER, [READER])
    pushing.first.wait(1)
    pushing.desks.order("ceiling", agency=READER, tlp="GREEN")
    pushing.first.answer = willing
    green = pushing.desks.publish(ISSUER, [READER], tlp="GREEN")

    pushing.later(7)
    got = pushing.first.wait(2)

    assert [green.raw] == [each.body for each in got[1:]]


def test_slow_beside_fast(pushing: Pushing) -> None:
    """A receiver that hangs keeps nobody else waiting."""
    released = threading.Event()
    pushing.set_up(pushing.first)
    pushing.set_up(pushing.second, agency=OTHER)
    pushing.first.answer = lambda got: Told() if released.wait(8) else willing(got)
    lines = [pushing.desks.publish(ISSUER, [READER, OTHER]) for _ in range(20)]

    got = pushing.second.wait(20, seconds=5)

    released.set()
    assert [line.raw for line in lines] == [each.body for each in got]
    assert 1 == len(pushing.first.deliveries)


def test_restart(pushing: Pushing, few: Template, clock: ShiftedClock) -> None:
    """A hub that stops while a receiver is away goes on after its start; what is sent again has the same id."""
    pushing.set_up(pushing.first)
    pushing.first.answer = lambda _got: Told(500)
    lines = [pushing.desks.publish(ISSUER, [READER]) for _ in range(3)]
    tried = pushing.first.wait(1)[0].headers["webhook-id"]
    wait_until(lambda: pushing.row()["tries"] == 1)
    pushing.desks.hub.stop()
    pushing.first.answer = willing
    clock.advance(7)

    hub = hub_at(pushing.data, clock, pushing.first)
    with served(hub):
        got = pushing.first.wait(4)[1:]
    hub.stop()

    assert [line.raw for line in lines] == [each.body for each in got]
    assert tried == got[0].headers["webhook-id"]


def test_removed(pushing: Pushing) -> None:
    """A webhook that is removed is not called; the log says so without a host."""
    pushing.set_up(pushing.first)

    pushing.order(None)
    pushing.desks.publish(ISSUER, [READER])

    assert ({}, []) == (pushing.state(), pushing.first.deliveries)
    assert {"subscription": "feed", "host": None} == pushing.desks.details(kind="webhook.changed")[0]


def test_filter(pushing: Pushing) -> None:
    """A subscription with a filter is pushed only what it asks for."""
    pushing.subscribe("maritime", topic=["maritime"])
    pushing.set_up(pushing.first, "maritime")
    pushing.desks.publish(ISSUER, [READER])
    wanted = pushing.desks.publish(ISSUER, [READER], topic="maritime")

    (got,) = pushing.first.wait(1)

    assert wanted.raw == got.body
    assert [[wanted.id]] == [detail["ids"] for detail in pushing.desks.details(kind="bulletin.sent")]


def test_without_flash(pushing: Pushing) -> None:
    """A subscription that asks for routine bulletins alone is pushed no flash."""
    pushing.subscribe("calm", urgency=["routine"])
    pushing.set_up(pushing.first, "calm")
    pushing.desks.publish(ISSUER, [READER], urgency="flash")
    wanted = pushing.desks.publish(ISSUER, [READER])

    (got,) = pushing.first.wait(1)

    assert wanted.raw == got.body


def test_cursor_moved_back(pushing: Pushing) -> None:
    """When the agency moves the cursor back, the bulletins come again with their ids."""
    pushing.set_up(pushing.first)
    start = pushing.cursor()
    pushing.desks.publish(ISSUER, [READER])
    wait_until(lambda: pushing.cursor() > start)
    table = tables.subscription

    pushing.desks.hub.writer.submit(lambda batch: void(batch.conn.execute(update(table).values(cursor=start)))).result(
        20
    )
    pushing.state()

    first, second = pushing.first.wait(2)
    assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])


def void(_value: object) -> None:
    """Drop a value."""


def test_subscription_made_anew(pushing: Pushing) -> None:
    """A subscription that was deleted and made again is not pushed to where the former one was."""
    pushing.subscribe("mine")
    pushing.set_up(pushing.first, "mine")
    table = tables.subscription
    pushing.desks.hub.writer.submit(
        lambda batch: void(batch.conn.execute(table.delete().where(table.c.name == "mine")))
    ).result(20)
    pushing.state()
    pushing.subscribe("mine")

    pushing.desks.publish(ISSUER, [READER])

    assert ({}, []) == (pushing.state(), pushing.first.deliveries)


@pytest.mark.parametrize(
    ("subscription", "url", "expected"),
    [
        ("feed", "http://receiver.example/", (403, "not-allowed", "url")),
        ("feed", "http://127.0.0.1:9/", (403, "not-allowed", "url")),
        ("other", "https://receiver.example/", (409, "order-conflict", "subscription")),
        ("feed", None, (409, "order-conflict", "subscription")),
        ("feed", "https://me@receiver.example/", (400, "malformed-payload", "url")),
        ("feed", 7, (400, "malformed-payload", "url")),
        ("../feed", "https://receiver.example/", (400, "malformed-payload", "subscription")),
    ],
)
def test_refused_order(
    pushing: Pushing, subscription: str, url: str | None, expected: tuple[int, str, str | None]
) -> None:
    """An order that names no subscription, or no address that may be called, changes nothing."""
    answer = pushing.order(url, subscription)

    assert expected == problem_of(answer)
    assert {} == pushing.state()


def test_quota(pushing: Pushing) -> None:
    """An agency has at most eight webhooks."""
    for number in range(9):
        pushing.subscribe(f"s{number}")
    statuses = [pushing.order("https://127.0.0.1/", f"s{number}").status_code for number in range(8)]

    answer = pushing.order("https://receiver.example/", "s8")

    assert [201] * 8 == statuses
    assert (429, "quota-exceeded", "subscription") == problem_of(answer)


def test_administrators_have_none(pushing: Pushing) -> None:
    """An administrator neither orders a webhook nor reads an agency's."""
    answer = pushing.order(pushing.first.url, agency="admin/registrar")

    assert (403, "not-allowed", "iss") == problem_of(answer)
    assert 403 == pushing.desks.get("/v1/webhooks", "admin/registrar").status_code


def test_path_is_a_secret(pushing: Pushing, caplog: pytest.LogCaptureFixture) -> None:
    """The path of an address stands in no event, no answer and no log, whatever fails."""
    caplog.set_level("DEBUG")
    pushing.first.answer = lambda _got: Told(500)
    answer = pushing.order(pushing.first.url)
    wait_until(lambda: pushing.row()["tries"] == 1)
    shown = pushing.desks.get("/v1/webhooks", READER).text

    bodies = [row.body or b"" for row in pushing.desks.events()]

    assert not any(b"s3cr3t" in body for body in bodies)
    assert "s3cr3t" not in answer.text + shown + caplog.text


def test_shown_to_its_agency(pushing: Pushing) -> None:
    """An agency sees how its webhooks do, with what waits; another one sees nothing of them."""
    pushing.set_up(pushing.first)
    pushing.first.answer = lambda _got: Told(500)
    for _ in range(2):
        pushing.desks.publish(ISSUER, [READER])
    wait_until(lambda: pushing.row()["tries"] == 1)

    shown = pushing.state()["feed"]

    assert shown.pop("since")
    assert shown.pop("next_at")
    expected = {"subscription": "feed", "host": "127.0.0.1", "state": "active", "tries": 1, "code": "not-delivered"}
    assert expected | {"pending": 2} == shown
    assert {} == pushing.state(OTHER)


def test_order_for_another(pushing: Pushing) -> None:
    """An order changes the signer's own webhooks alone, whatever subscription of that name others have."""
    pushing.subscribe("shared", agency=OTHER)

    answer = pushing.order("https://receiver.example/", "shared")

    assert (409, "order-conflict", "subscription") == problem_of(answer)


def test_stops_while_a_call_hangs(few: Template, tmp_path: Path, clock: ShiftedClock) -> None:
    """A hub stops at once though a receiver hangs, and the bulletin counts as not taken over."""
    released = threading.Event()
    with Receiver() as receiver:
        data = few.copy(tmp_path / "hub")
        hub = hub_at(data, clock, receiver)
        with served(hub) as url:
            pushing = Pushing(Desks(hub, few.identities.__getitem__, clock, url), receiver, receiver, data)
            pushing.set_up(receiver)
            receiver.answer = lambda got: Told() if released.wait(9) else willing(got)
            line = pushing.desks.publish(ISSUER, [READER])
            receiver.wait(1)
            begun = time.monotonic()
        took_s = time.monotonic() - begun
        released.set()
        cursor = pushing.cursor()
        seq = pushing.desks.events(object=line.id)[0].seq
        pushing.desks.close()
        hub.stop()

    assert took_s < 5
    assert cursor < seq


def test_seldom_looked_for_when_there_are_none(inner: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub without webhooks does not look for one after each commit, yet for what the last one brought."""
    monkeypatch.setattr(webhooks_module, "QUIET_S", 0.3)
    looks: list[str] = []
    event.listen(inner.hub.store._read, "before_cursor_execute", lambda *found: looks.append(found[2]))

    async def commit() -> None:
        webhooks = Webhooks(inner.hub, Outbound(()))
        webhooks.start()
        for _ in range(20):
            await submit(inner.hub, lambda batch: batch.append("view.read", READER, detail={"view": "none"}))
        await asyncio.sleep(0.5)
        await webhooks.stop()

    asyncio.run(commit())

    assert 2 <= len([each for each in looks if "FROM webhook" in each]) < 10


def test_no_task_without_webhooks(inner: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub without webhooks keeps no task for them, however much is committed."""
    monkeypatch.setattr(webhooks_module, "QUIET_S", 0.05)
    before = inner.hub.writer.on_commit[:]

    async def tasks() -> list[int]:
        outbound = Outbound(())
        webhooks = Webhooks(inner.hub, outbound)
        webhooks.start()
        counts = []
        for _ in range(2):
            await submit(inner.hub, lambda batch: batch.append("view.read", READER, detail={"view": "none"}))
            await asyncio.sleep(0.3)
            counts.append(len(asyncio.all_tasks()) - 1)
        await webhooks.stop()
        return counts

    assert [0, 0] == asyncio.run(tasks())
    assert [] == inner.hub.wakeup.watchers
    assert before == inner.hub.writer.on_commit
