"""Requests, consent, recalls, feedback by the commands alone, among three agencies, with a clock that moves."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from broker import exercise
from broker.store import exchange as store
from broker.store import tables
from clients.cli import cli
from lintas.client import Client
from lintas.errors import LintasError, NotFound, Recalled
from tests.conftest import ExerciseHub

POLICE, FIU, CERT, OUTSIDER = "my-police", "sg-fiu", "th-cert", "vn-police"
HOUR = 3_600
DRAFT: dict[str, Any] = {
    "kind": "alert",
    "topic": "cyber.scam",
    "tlp": "AMBER",
    "urgency": "urgent",
    "release_to": [FIU, CERT],
    "valid_for": "P30D",
    "payload": {
        "title": "Fictional scam kit offered for sale",
        "summary": "FICTIONAL. Two addresses were seen.",
        "indicators": [
            {"type": "ip", "value": "203.0.113.77", "role": "hosting"},
            {"type": "domain", "value": "lotustrade.example", "role": "phishing"},
        ],
    },
}
CASE = ("--purpose", "investigation", "--case-ref", "MY-SIM-26-311")


class Desks:
    """The command `lintas` as each agency types it; its clock is the hub's."""

    def __init__(self, hub: ExerciseHub) -> None:
        self.hub = hub

    def invoke(self, party: str, *arguments: str, text: str | None = None) -> Result:
        """Run the command."""
        environment = {
            "LINTAS_IDENTITY": str(exercise.identity_path(self.hub.data, party)),
            "LINTAS_PASSPHRASE_FILE": str(self.hub.data / "passphrase"),
            "LINTAS_HUB": self.hub.url,
        }
        return CliRunner().invoke(cli, arguments, env=environment, input=text)

    def lintas(self, party: str, *arguments: str, text: str | None = None) -> str:
        """Run the command; return what it prints, or raise the error it ends with."""
        result = self.invoke(party, *arguments, text=text)
        if isinstance(result.exception, LintasError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout

    def sign(self, party: str, *arguments: str) -> str:
        """Run a command that signs; return the id of what was published."""
        return self.lintas(party, *arguments, "--yes").split()[0]

    def publish(self, **changes: Any) -> str:
        """Publish the alert of my-police; return its id."""
        return self.lintas(POLICE, "publish", "--yes", "-", text=json.dumps(DRAFT | changes)).split()[0]

    def due(self, party: str) -> list[tuple[str, str, str, bool]]:
        """Return the open duties that a party sees: list, who owes, state, whether it is overdue."""
        rows = map(json.loads, self.lintas(party, "due", "--json").splitlines())
        return [(row["list"], row["agency"], row["state"], row["overdue"]) for row in rows]

    def late(self) -> list[tuple[str, str]]:
        """Return what an administrator sees as overdue: which kind, who is late."""
        rows = map(json.loads, self.lintas("admin/registrar", "admin", "due", "--json").splitlines())
        return [(row["kind"], row["agency"]) for row in rows]

    def acknowledge(self, party: str, line_id: str) -> None:
        """Note that a party acknowledged a recall, as the record of its signed line would."""
        with self.hub.hub.store.write() as conn:
            stands = store.standing(conn, store.Standing(("recall",), 0, -1, 99))
            [seq] = [each.seq for each in stands if each.id == line_id]
            conn.execute(tables.ack.insert().values(seq=seq, agency=party, state="acknowledged", ack_seq=seq))


@pytest.fixture
def desks(exercise_hub: ExerciseHub, monkeypatch: pytest.MonkeyPatch) -> Desks:
    """Every desk of an exercised hub."""
    assert Client.__init__.__kwdefaults__ is not None
    monkeypatch.setitem(Client.__init__.__kwdefaults__, "clock", exercise_hub.clock)
    return Desks(exercise_hub)


def test_request_with_deadline(desks: Desks) -> None:
    """A request is due from when each agency got it, overdue on both sides after that, cleared by an answer."""
    question = ("--title", "Account holder", "--question", "Who holds it?", "--urgency", "urgent")
    asked = desks.sign(POLICE, "ask", "--to", FIU, "--to", CERT, "--topic", "cyber.scam", *question, *CASE)
    before = desks.due(POLICE)
    desks.lintas(FIU, "show", asked)
    desks.hub.clock.advance(4 * HOUR)
    desks.lintas(CERT, "show", asked)
    desks.hub.clock.advance(4 * HOUR + 1)

    of_fiu, of_cert, of_police = desks.due(FIU), desks.due(CERT), desks.due(POLICE)
    text = desks.lintas(POLICE, "due")
    late = desks.late()
    desks.sign(FIU, "answer", asked, "--result", "negative")

    assert [("waiting_for_answer", each, "open", False) for each in (FIU, CERT)] == before
    assert [("to_answer", FIU, "open", True)] == of_fiu
    assert [("to_answer", CERT, "open", False)] == of_cert
    assert [("waiting_for_answer", FIU, "open", True), ("waiting_for_answer", CERT, "open", False)] == of_police
    assert text.splitlines()[1].startswith("OVERDUE")
    assert [("rfi", FIU)] == late
    assert [] == desks.due(FIU)
    assert [] == desks.late()
    assert {("waiting_for_answer", FIU, "answered", False), ("waiting_for_answer", CERT, "open", False)} == set(
        desks.due(POLICE)
    )
    assert f"{FIU} negative" in desks.lintas(POLICE, "show", asked)


def test_refused_answer_names_its_ground(desks: Desks) -> None:
    """An answer may refuse, with its ground, which the asker sees; without a ground it is not signed."""
    asked = desks.sign(
        POLICE, "ask", "--to", FIU, "--topic", "cyber.scam", "--title", "Who?", "--question", "Who?", *CASE
    )

    bare = desks.invoke(FIU, "answer", asked, "--result", "refused", "--yes")
    desks.sign(FIU, "answer", asked, "--result", "refused", "--reason", "investigation")

    assert isinstance(bare.exception, LintasError)
    assert f"{FIU} refused (investigation)" in desks.lintas(POLICE, "show", asked)
    assert [] == desks.due(POLICE)


def test_recall_is_followed_up(desks: Desks) -> None:
    """A recall is made from the bulletin alone, and stands on both lists until each holder acknowledged it."""
    alert = desks.publish()
    recall = desks.sign(POLICE, "recall", alert, "--reason", "false-positive", "--summary", "FICTIONAL. Undo it.")
    for party in (FIU, CERT):
        desks.lintas(party, "show", recall)
    desks.hub.clock.advance(2 * HOUR + 1)

    late = desks.due(POLICE)
    desks.acknowledge(FIU, recall)

    assert {("waiting_for_acknowledgement", each, "open", True) for each in (FIU, CERT)} == set(late)
    assert [] == desks.due(FIU)
    assert [("to_acknowledge", CERT, "open", True)] == desks.due(CERT)
    assert [("recall", CERT)] == desks.late()
    with pytest.raises(Recalled):
        desks.lintas(FIU, "show", alert)
    desks.acknowledge(CERT, recall)
    assert ([], []) == (desks.due(POLICE), desks.late())


def test_recall_of_one_indicator(desks: Desks) -> None:
    """A recall that names an indicator withdraws it alone."""
    alert = desks.publish()

    desks.sign(POLICE, "recall", alert, "--reason", "inaccurate", "--indicator", "domain:LotusTrade.example")

    shown = json.loads(desks.lintas(FIU, "show", alert, "--json"))
    assert (["recalled-in-part"], "203.0.113.77") == (shown["marks"], shown["payload"]["indicators"][0]["value"])


def test_recall_of_what_was_replaced(desks: Desks) -> None:
    """What was superseded can still be recalled: the outbox knows to whom it went."""
    alert = desks.publish()
    desks.publish(refs=[f"supersedes:{alert}"])

    desks.sign(POLICE, "recall", alert, "--reason", "legal")

    with pytest.raises(Recalled):
        desks.lintas(FIU, "show", alert)


def test_consent(desks: Desks) -> None:
    """Consent is asked of the originator, answered, shown to all who hold the bulletin, and opens nothing."""
    alert = desks.publish()
    wish = ("--permission", "pass-on", "--pass-to", OUTSIDER, "--pass-to", "Criminal Court (FICTIONAL)")
    request = desks.sign(FIU, "ask-consent", alert, *wish, *CASE)
    waiting = desks.due(POLICE)
    with pytest.raises(NotFound):
        desks.lintas(CERT, "show", request)

    desks.sign(POLICE, "consent", request, "--result", "granted", "--to", CERT)

    granted = f"granted by {POLICE} for {FIU}: pass-on to {OUTSIDER}, Criminal Court (FICTIONAL)"
    assert [("to_answer", POLICE, "open", False)] == waiting
    assert [] == desks.due(FIU)
    assert granted in desks.lintas(FIU, "show", alert)
    assert "pass-on to" in desks.lintas(CERT, "show", alert)
    for command in ("show", "thread"):
        with pytest.raises(NotFound):
            desks.lintas(OUTSIDER, command, alert)


def test_consent_is_refused(desks: Desks) -> None:
    """An originator refuses with a ground; consent to another's bulletin cannot be given."""
    alert = desks.publish()
    request = desks.sign(FIU, "ask-consent", alert, "--permission", "evidence", *CASE)

    stolen = desks.invoke(CERT, "consent", request, "--result", "granted", "--yes")
    own = desks.invoke(FIU, "consent", request, "--result", "granted", "--yes")
    desks.sign(POLICE, "consent", request, "--result", "refused", "--reason", "security")

    assert [True, True] == [isinstance(each.exception, LintasError) for each in (stolen, own)]
    assert f"refused by {POLICE} for {FIU}: evidence" in desks.lintas(FIU, "show", alert)


def test_joint_bulletin_with_feedback(desks: Desks) -> None:
    """Endorsements, comments and feedback are told with the bulletin; the originator sums up what it was worth."""
    alert = desks.publish()
    desks.sign(CERT, "endorse", alert)
    desks.sign(FIU, "comment", alert, "FICTIONAL. Seen here too.")
    counts = ("--count", "arrests=2", "--count", "freezes=1")
    desks.sign(FIU, "give-feedback", alert, "--result", "actioned", *counts)
    desks.sign(CERT, "give-feedback", alert, "--result", "useful")

    shown = desks.lintas(POLICE, "show", alert)
    worth = json.loads(desks.lintas(POLICE, "feedback", alert, "--json"))
    threads = {party: desks.lintas(party, "thread", alert, "--json").splitlines() for party in (POLICE, FIU, CERT)}

    assert f"endorsed by {CERT}\n" in shown
    assert "comments    1\n" in shown
    assert {"feedback": 2, "results": {"actioned": 1, "useful": 1}, "actions": {"arrests": 2, "freezes": 1}} == worth
    assert {POLICE: 5, FIU: 4, CERT: 4} == {party: len(rows) for party, rows in threads.items()}
    assert "arrests" in desks.lintas(POLICE, "feedback", alert)


def test_recipients_are_shown_and_nobody_guesses(desks: Desks) -> None:
    """Before anything is signed away it is shown who will have it; without a terminal nothing goes out unasked."""
    alert = desks.publish()

    asked = desks.invoke(FIU, "comment", alert, "FICTIONAL.")
    wider = desks.invoke(FIU, "comment", alert, "FICTIONAL.", "--tlp", "GREEN", "--yes")

    assert f"as {FIU} to 2: {POLICE} {CERT}" in asked.stderr
    assert (2, 1) == (asked.exit_code, len(desks.lintas(POLICE, "thread", alert).splitlines()) // 3)
    assert isinstance(wider.exception, LintasError)


def test_request_about_a_bulletin(desks: Desks) -> None:
    """A request may be about a bulletin, whose thread then has it, and state the hour by which it needs the answer."""
    alert = desks.publish()
    question = ("--title", "Who?", "--question", "Who?", "--about", alert, "--due", "2031-01-01T00:00:00Z")
    asked = desks.sign(POLICE, "ask", "--to", FIU, "--topic", "cyber.scam", *question, *CASE)

    shown = [json.loads(row)["id"] for row in desks.lintas(FIU, "thread", alert, "--json").splitlines()]

    assert [alert, asked] == shown
    assert "2031-01-01T00:00:00.000000Z" in desks.lintas(FIU, "due")
    assert asked not in desks.lintas(CERT, "thread", alert)


def test_what_does_not_fit_is_not_signed(desks: Desks) -> None:
    """A recall of another's bulletin, consent to what is no request, a duplicate of nothing: refused before signing."""
    alert = desks.publish()

    found = [
        desks.invoke(FIU, "recall", alert, "--reason", "other", "--yes"),
        desks.invoke(FIU, "consent", alert, "--result", "granted", "--yes"),
        desks.invoke(FIU, "give-feedback", alert, "--result", "duplicate", "--yes"),
    ]
    desks.sign(FIU, "give-feedback", alert, "--result", "duplicate", "--reference", "SIM-9", "--all")

    codes = [each.exception.code for each in found if isinstance(each.exception, LintasError)]
    assert ["ref-unavailable", "ref-unavailable", "malformed-payload"] == codes
    assert "duplicate 1" in desks.lintas(CERT, "show", alert)


def test_nothing_is_due(desks: Desks) -> None:
    """An agency that owes nothing is told so."""
    result = desks.invoke(OUTSIDER, "due")

    assert ("", "nothing is due\n", 0) == (result.stdout, result.stderr, result.exit_code)
