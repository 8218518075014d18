"""One story through the command `lintas`: three agencies go once through every workflow at one hub.

The hub is served over HTTP; its clock and that of the commands is moved where a deadline or an end matters.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from broker import exercise
from broker.fsck import check_everything
from broker.hub import open_hub
from broker.settings import read_settings
from lintas.client import Client
from lintas.errors import DataProtection, NotFound, Purged, PurposeNeeded, Recalled, SealedToOldKey
from lintas.event import US_PER_S
from lintas.keys import load_identity, save_identity
from lintas.webhooks import open_webhook
from tests.acceptance.test_exchange import CASE, CERT, DRAFT, FIU, HOUR, OUTSIDER, POLICE, Desks
from tests.conftest import ExerciseHub, ShiftedClock, served, wait_until
from tests.receiver import Receiver

REGISTRAR, AUDITOR = "admin/registrar", "admin/auditor"
DAY = 24 * HOUR
PHONE = "+6542995883"
SECRET = "Fictional: a source is in danger"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver of webhooks on this machine."""
    with Receiver() as found:
        yield found


@pytest.fixture
def desks(
    exercise_data: Path, clock: ShiftedClock, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Desks]:
    """The desks at a hub that may call the receiver."""
    assert Client.__init__.__kwdefaults__ is not None
    monkeypatch.setitem(Client.__init__.__kwdefaults__, "clock", clock)
    settings = read_settings({"LINTAS_WEBHOOK_ALLOW": f"127.0.0.1:{receiver.port}"}, data=str(exercise_data))
    hub = open_hub(settings, clock)
    hub.start()
    with served(hub) as url:
        passphrase = (exercise_data / "passphrase").read_bytes().strip()
        yield Desks(ExerciseHub(exercise_data, url, hub, clock, passphrase, settings))
    hub.stop()


def rows(text: str) -> list[dict[str, Any]]:
    """Read JSON Lines."""
    return [json.loads(row) for row in text.splitlines()]


def publish(desks: Desks, title: str, **changes: Any) -> str:
    """Publish the alert under another title, further members of the payload in `payload`; return its id."""
    payload = DRAFT["payload"] | {"title": f"Fictional: {title}"} | changes.pop("payload", {})
    return desks.publish(**changes, payload=payload)


def progress(desks: Desks, line_id: str) -> dict[str, str]:
    """Return how far a bulletin of the police got with each recipient."""
    found = json.loads(desks.lintas(POLICE, "status", line_id, "--json"))
    return {each["agency"]: each["progress"] for each in found["readers"]}


def tick(desks: Desks, seconds: int = 61) -> None:
    """Let time go by, and the hub do what is due then."""
    desks.hub.clock.advance(seconds)
    desks.hub.hub.writer.submit(lambda batch: batch.next_seq).result(30)


def lose_keys(desks: Desks, party: str) -> None:
    """Lose every opening key of a party."""
    path = exercise.identity_path(desks.hub.data, party)
    found = load_identity(path, desks.hub.passphrase)
    save_identity(path, replace(found, openings=()), desks.hub.passphrase)


def test_every_workflow(desks: Desks, receiver: Receiver) -> None:
    """Each workflow does at one hub, after all the others, what its how-to says; then the log derives from its rows."""
    alert = deliver(desks)
    push(desks, receiver)
    ask(desks)
    talk(desks, alert)
    consent(desks, alert)
    watch(desks, alert)
    recall(desks, alert)
    deconflict(desks)
    protect(desks)
    seal(desks)
    purge(desks)

    report = check_everything(desks.hub.hub.store, desks.hub.hub.signer.verifier, lambda _done, _all: None)

    assert report.size == desks.hub.get("/readyz").json()["size"]


def deliver(desks: Desks) -> str:
    """Subscribe, follow, open, acknowledge; the originator sees who has it."""
    desks.lintas(FIU, "subscription", "set", "scams", "--topic", "cyber.scam", "--urgency", "urgent")
    alert = publish(desks, "a scam kit")
    other = publish(desks, "another topic", topic="cyber.malware")
    follow = ("follow", "--once", "--json")
    by_subscription = [row["id"] for row in rows(desks.lintas(FIU, *follow, "--subscription", "scams"))]
    again = desks.lintas(FIU, *follow, "--subscription", "scams")
    by_feed = [row["id"] for row in rows(desks.lintas(CERT, *follow))]
    desks.lintas(FIU, "show", alert)
    desks.lintas(FIU, "ack", alert)

    assert ([alert], "", [alert, other]) == (by_subscription, again, by_feed)
    assert {FIU: "acknowledged", CERT: "received"} == progress(desks, alert)
    with pytest.raises(NotFound):
        desks.lintas(FIU, "status", alert)
    return alert


def push(desks: Desks, receiver: Receiver) -> None:
    """Set a webhook; what is released is pushed to it, signed by the hub and by its issuer."""
    ordered = desks.lintas(CERT, "webhook", "set", "feed", receiver.url)
    wait_until(lambda: "active" in desks.lintas(CERT, "webhook", "list"))
    pushed = publish(desks, "to be pushed")
    [got] = receiver.wait(1)
    call = open_webhook(got.headers, got.body, ordered.split()[-1], desks.hub.clock() // US_PER_S)
    desks.lintas(CERT, "webhook", "remove", "feed")

    assert call.line is not None
    assert pushed == call.line.id
    assert "no webhooks\n" == desks.lintas(CERT, "webhook", "list")


def ask(desks: Desks) -> None:
    """Ask with a deadline; it runs out for one of two; both answer."""
    question = ("--title", "Account holder", "--question", "Who holds it?", "--urgency", "urgent")
    asked = desks.sign(POLICE, "ask", "--to", FIU, "--to", CERT, "--topic", "cyber.scam", *question, *CASE)
    assert "1. Who holds it?" in desks.lintas(FIU, "show", asked)
    tick(desks, 8 * HOUR + 1)
    overdue, late = desks.due(FIU), desks.late()
    desks.sign(FIU, "answer", asked, "--result", "negative")
    desks.sign(CERT, "answer", asked, "--result", "refused", "--reason", "investigation")

    assert [("to_answer", FIU, "open", True)] == overdue
    assert [("rfi", FIU)] == late
    assert ([], [], [], []) == (desks.due(FIU), desks.due(CERT), desks.due(POLICE), desks.late())
    assert f"{FIU} negative, {CERT} refused (investigation)" in desks.lintas(POLICE, "show", asked)


def talk(desks: Desks, alert: str) -> None:
    """Comment, endorse, say what it was worth."""
    desks.sign(CERT, "endorse", alert)
    desks.sign(FIU, "comment", alert, "FICTIONAL. Seen here too.")
    desks.sign(FIU, "give-feedback", alert, "--result", "actioned", "--count", "arrests=2")
    shown = desks.lintas(POLICE, "show", alert)
    worth = json.loads(desks.lintas(POLICE, "feedback", alert, "--json"))

    assert (True, True) == (f"endorsed by {CERT}\n" in shown, "comments    1\n" in shown)
    assert {"feedback": 1, "results": {"actioned": 1}, "actions": {"arrests": 2}} == worth


def consent(desks: Desks, alert: str) -> None:
    """Ask the originator to pass it on; the grant is shown and opens nothing."""
    request = desks.sign(FIU, "ask-consent", alert, "--permission", "pass-on", "--pass-to", OUTSIDER, *CASE)
    waiting = desks.due(POLICE)
    desks.sign(POLICE, "consent", request, "--result", "granted")

    assert [("to_answer", POLICE, "open", False)] == waiting
    assert f"granted by {POLICE} for {FIU}: pass-on to {OUTSIDER}" in desks.lintas(FIU, "show", alert)
    with pytest.raises(NotFound):
        desks.lintas(OUTSIDER, "show", alert)


def watch(desks: Desks, alert: str) -> None:
    """Keep a list; it shows what of one's own feed has it, and filters a subscription."""
    for party in (FIU, OUTSIDER):
        desks.lintas(party, "watch", "set", "case-1", "--indicator", "ip:203.0.113.77")
        desks.lintas(party, "subscription", "set", "watched", "--watch", "case-1", "--start", "beginning")
    shown = [desks.lintas(party, "watch", "show", "case-1", "--json") for party in (FIU, OUTSIDER)]
    follow = ("follow", "--once", "--json", "--subscription", "watched")
    followed = [desks.lintas(party, *follow) for party in (FIU, OUTSIDER)]

    for seen, unseen in (shown, followed):
        assert (True, "") == (alert in [row["id"] for row in rows(seen)], unseen)


def recall(desks: Desks, alert: str) -> None:
    """Recall it; the holders get the recall, acknowledge it, and get the bulletin no more."""
    by = desks.sign(POLICE, "recall", alert, "--reason", "false-positive")
    got = by in [row["id"] for row in rows(desks.lintas(FIU, "follow", "--once", "--json", "--subscription", "scams"))]
    desks.lintas(CERT, "follow", "--once")
    tick(desks, 2 * HOUR + 1)
    late = sorted(desks.late())
    for party in (FIU, CERT):
        desks.lintas(party, "ack", by)

    assert (True, [("recall", FIU), ("recall", CERT)]) == (got, late)
    assert {FIU: "acknowledged", CERT: "acknowledged"} == progress(desks, by)
    assert ([], [], [], []) == (desks.due(POLICE), desks.due(FIU), desks.due(CERT), desks.late())
    for party in (FIU, CERT):
        with pytest.raises(Recalled):
            desks.lintas(party, "show", alert)


def deconflict(desks: Desks) -> None:
    """Three look for one number: two learn of each other, nobody of the silent one."""
    for party, mode in ((POLICE, "open"), (FIU, "contact"), (CERT, "silent")):
        case = ("--mode", mode, "--case-ref", f"SIM-{party}")
        desks.lintas(party, "interest", "add", "--indicator", f"phone:{PHONE}", *case)
    tick(desks)

    told = {
        party: {(each["agency"], each["case_ref"]) for each in row["told"]}
        for party in (POLICE, FIU, CERT)
        for row in rows(desks.lintas(party, "interest", "list", "--json"))
    }

    of_police, of_fiu = (POLICE, f"SIM-{POLICE}"), (FIU, None)
    assert {POLICE: {of_fiu}, FIU: {of_police}, CERT: {of_police, of_fiu}} == told


def protect(desks: Desks) -> None:
    """A card number in text is not signed; person data is shown for a purpose and a case alone."""
    draft = DRAFT | {"payload": DRAFT["payload"] | {"summary": "FICTIONAL. Card 4111 1111 1111 1111."}}
    refused = desks.invoke(POLICE, "publish", "--yes", "-", text=json.dumps(draft))
    caller = {"indicators": [{"type": "phone", "value": PHONE, "role": "caller"}]}
    persons = publish(desks, "a caller", payload=caller)
    with pytest.raises(PurposeNeeded):
        desks.lintas(FIU, "show", persons)

    assert (True, "") == (isinstance(refused.exception, DataProtection), desks.lintas(POLICE, "outbox"))
    assert PHONE in desks.lintas(FIU, "show", persons, *CASE)


def seal(desks: Desks) -> None:
    """RED is read by whom it names; who lost the key says so, renews, and reads what was sealed again."""
    inside = {"named_recipients": [f"{FIU}/duty-officer"], "marking_reason": "FICTIONAL.", "title": SECRET}
    red = desks.publish(tlp="RED", release_to=[FIU], payload=DRAFT["payload"] | inside)
    read = desks.lintas(FIU, "show", red, *CASE)
    with pytest.raises(NotFound):
        desks.lintas(CERT, "show", red, *CASE)
    lose_keys(desks, FIU)
    with pytest.raises(SealedToOldKey):
        desks.lintas(FIU, "show", red, *CASE)
    desks.lintas(FIU, "rotate", "--opening")
    new = desks.lintas(POLICE, "reseal", red, "--to", FIU).split()[0]

    assert (True, True) == (SECRET in read, "[sealed]" in read)
    assert SECRET in desks.lintas(FIU, "show", new, *CASE)


def purge(desks: Desks) -> None:
    """What ended is purged on the order of two administrators; nobody gets it, its acceptance stays proven."""
    short = publish(desks, "soon over", valid_for="P1D")
    tick(desks, 3 * DAY)
    before = datetime.fromtimestamp(desks.hub.clock() / US_PER_S - DAY - 60, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    ordered = desks.lintas(REGISTRAR, "admin", "purge", "--before", before)
    done = desks.lintas(AUDITOR, "admin", "countersign", "--yes", ordered.split()[-1])

    def is_purged() -> bool:
        tick(desks)
        return short in desks.lintas(REGISTRAR, "admin", "events", "--kind", "bulletin.purged", "--json")

    wait_until(is_purged)
    assert (True, True) == ("waits for a second administrator" in ordered, "purge.ordered" in done)
    with pytest.raises(Purged):
        desks.lintas(FIU, "show", short)
