"""The life of bulletins from the command line: replaced, recalled, expired, purged, with three agencies and a clock."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from broker import exercise
from broker.cli import cli as hub_command
from broker.fsck import check_everything
from clients.cli import cli as agency_command
from lintas.client import Client
from lintas.errors import LintasError, Purged, Recalled, Superseded
from tests.conftest import ExerciseHub

REGISTRAR, AUDITOR = "admin/registrar", "admin/auditor"
ISSUER, READER, OTHER = "my-police", "sg-fiu", "id-police"
DAY_S = 86_400
DRAFT: dict[str, Any] = {
    "kind": "alert",
    "topic": "cyber.scam",
    "tlp": "AMBER",
    "urgency": "urgent",
    "release_to": [READER, OTHER],
    "valid_for": "P7D",
}


class Desk:
    """The command `lintas` on a machine whose clock is the test's."""

    def __init__(self, hub: ExerciseHub, folder: Path) -> None:
        self.hub, self.folder = hub, folder

    def lintas(self, party: str, *arguments: str, text: str | None = None) -> str:
        """Run `lintas` as this party; return what it prints, or raise the error it ends with."""
        environment = {
            "LINTAS_IDENTITY": str(exercise.identity_path(self.hub.data, party)),
            "LINTAS_PASSPHRASE_FILE": str(self.hub.data / "passphrase"),
            "LINTAS_HUB": self.hub.url,
        }
        result = CliRunner().invoke(agency_command, arguments, env=environment, input=text)
        if isinstance(result.exception, LintasError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout

    def publish(self, title: str, **changes: Any) -> str:
        """Publish a draft and keep line and receipt; return the id."""
        payload = {"title": title, "summary": "FICTIONAL."} | changes.pop("payload", {})
        draft = json.dumps(DRAFT | {"payload": payload} | changes)
        return self.lintas(ISSUER, "publish", "--yes", "--save", str(self.folder), "-", text=draft).split()[0]

    def follow(self, party: str) -> dict[str, dict[str, Any]]:
        """Return what is new in the feed of a party, by id."""
        rows = self.lintas(party, "follow", "--once", "--json").splitlines()
        return {row["id"]: row for row in map(json.loads, rows)}

    def verify(self, party: str, line_id: str) -> str:
        """Verify a saved line offline."""
        line, proof = self.folder / f"{line_id}.line", self.folder / f"{line_id}.tlog-proof"
        return self.lintas(party, "verify", str(line), "--receipt", str(proof))

    def later(self, days: int) -> None:
        """Let days go by, and the hub do what is due."""
        self.hub.clock.advance(days * DAY_S)
        for _ in range(6):
            self.hub.clock.advance(61)
            self.hub.hub.writer.submit(lambda batch: batch.next_seq).result(30)


@pytest.fixture
def desk(exercise_hub: ExerciseHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Desks of the exercise whose programs have the hub's clock."""
    defaults = Client.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "clock", exercise_hub.clock)
    return Desk(exercise_hub, tmp_path / "saved")


def test_life_of_bulletins(desk: Desk) -> None:
    """Three agencies see a bulletin replaced, another recalled, all of it end and go; every receipt holds."""
    plain, old = desk.publish("stays until its end"), desk.publish("first try")
    wrong = desk.publish("about the wrong number", valid_for="P365D")
    before = {party: desk.follow(party) for party in (READER, OTHER)}
    newer = desk.publish("second try", refs=[f"supersedes:{old}"])
    recall = desk.publish("recall", kind="recall", refs=[f"recalls:{wrong}"], payload={"reason": "false-positive"})
    after = {party: desk.follow(party) for party in (READER, OTHER)}
    shown = json.loads(desk.lintas(READER, "show", "--superseded", "--json", old))
    for line_id, error in ((old, Superseded), (wrong, Recalled)):
        with pytest.raises(error):
            desk.lintas(READER, "show", line_id)

    desk.later(40)
    # A third desk of the region was away all the time; the issuer looks too.
    Path(exercise.identity_path(desk.hub.data, OTHER)).with_suffix(".state").unlink()
    anew = desk.follow(OTHER)
    with pytest.raises(Purged):
        desk.lintas(READER, "show", plain)

    assert [{plain, old, wrong}] * 2 == [set(before[party]) for party in (READER, OTHER)]
    assert [{newer, recall}] * 2 == [set(after[party]) for party in (READER, OTHER)]
    assert (["superseded"], "first try") == (shown["marks"], shown["payload"]["title"])
    found = {line_id: anew[line_id].get("state") for line_id in (plain, old, wrong, newer, recall)}
    assert {plain: "purged", old: "purged", wrong: "recalled", newer: "purged", recall: None} == found
    assert all("verified" in desk.verify(ISSUER, line_id) for line_id in (plain, old, wrong, newer, recall))
    assert "nothing new" not in desk.lintas(ISSUER, "partners")


def test_ordered_purge(desk: Desk) -> None:
    """Two administrators order a purge; the second reads what it does; then it is done, and the log verifies."""
    line_id = desk.publish("short", valid_for="P1D")
    desk.later(3)
    before = datetime.fromtimestamp(desk.hub.clock() / 1e6 - DAY_S - 60, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    first = desk.lintas(REGISTRAR, "admin", "purge", "--before", before)
    pending = desk.lintas(AUDITOR, "admin", "pending")
    done = desk.lintas(AUDITOR, "admin", "countersign", "--yes", first.split()[-1])
    desk.later(0)
    events = desk.lintas(REGISTRAR, "admin", "events", "--kind", "bulletin.purged", "--json")

    assert "waits for a second administrator" in first
    assert f"purge before={before}" in pending
    assert "purge.ordered" in done
    assert line_id in events
    check_everything(desk.hub.hub.store, desk.hub.hub.signer.verifier, lambda _done, _all: None)


def test_purge_of_a_stopped_hub(exercise_data: Path) -> None:
    """The hub's own command does a whole run and says how much it purged."""
    result = CliRunner().invoke(hub_command, ["purge", "--data", str(exercise_data)])

    assert (0, "0 bulletins purged") == (result.exit_code, result.output[:18])
