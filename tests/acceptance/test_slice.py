"""The whole mission in small, by its own commands: a new hub, agencies that enrol, publish, receive, verify, review."""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from broker.cli import cli as hub_command
from broker.fsck import check_everything
from broker.hub import Hub, open_hub
from broker.settings import read_settings
from clients.cli import cli as agency_command
from lintas import note
from lintas.client import Client
from lintas.draft import read_draft
from lintas.errors import HubUnreachable, LintasError, NotFound, Recalled, Superseded
from lintas.receipt import check_receipt, parse_receipt
from tests.conftest import served

ADMIN, SECOND = "admin/registrar", "admin/auditor"
ISSUER, READER, OUTSIDER = "my-police", "sg-fiu", "th-cert"
WHY = ("--purpose", "investigation", "--case-ref", "SIM-12")
DRAFT: dict[str, Any] = {
    "kind": "alert",
    "topic": "cyber.scam",
    "tlp": "TLP:AMBER",
    "urgency": "urgent",
    "release_to": [READER],
    "valid_for": "P7D",
    "payload": {
        "title": "Fictional scam kit offered for sale",
        "summary": "FICTIONAL. Two addresses were seen.",
        "indicators": [
            {"type": "ip", "value": "203.0.113.77", "role": "hosting"},
            {"type": "domain", "value": "LotusTrade.example", "role": "phishing"},
        ],
    },
}


def another_draft() -> dict[str, Any]:
    """Return the draft with a reference of its own: two that say the same in one second are one line."""
    return DRAFT | {"payload": DRAFT["payload"] | {"case_ref": f"SIM-{secrets.token_hex(8)}"}}


@dataclass
class Region:
    """A hub that was made by `lintas-broker init`, and everybody's folder on one machine."""

    folder: Path
    url: str
    hub: Hub

    def identity(self, party: str) -> Path:
        """Return the identity file of a party."""
        if party == ADMIN:
            return self.folder / "hub" / "admins" / "registrar.json"
        return self.folder / f"{party.replace('/', '-')}.json"

    def lintas(self, party: str, *arguments: str, hub: str | None = None, text: str | None = None) -> str:
        """Run `lintas` as this party; return what it prints, or raise the error it ends with."""
        environment = {
            "LINTAS_IDENTITY": str(self.identity(party)),
            "LINTAS_PASSPHRASE_FILE": str(self.folder / "hub" / "passphrase"),
            "LINTAS_HUB": hub or self.url,
        }
        result = CliRunner().invoke(agency_command, arguments, env=environment, input=text)
        if isinstance(result.exception, LintasError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout

    def join(self, party: str) -> str:
        """Invite, enrol and approve a party; return the fingerprint that was compared."""
        letter = self.folder / f"{party.replace('/', '-')}-invite.json"
        self.lintas(ADMIN, "admin", "invite", party, "--out", str(letter))
        enrolled = self.lintas(party, "enrol", str(letter))
        fingerprint = enrolled.split()[-1]
        self.lintas(ADMIN, "admin", "approve", party, fingerprint)
        return fingerprint

    def publish(self, party: str, **changes: Any) -> str:
        """Publish a draft without being asked; return the id."""
        draft = json.dumps(another_draft() | changes)
        return self.lintas(party, "publish", "--yes", "-", text=draft).split()[0]

    def recall(self, line_id: str, **payload: Any) -> str:
        """Recall a bulletin of the issuer; return the id of the recall."""
        content = {"title": "Recall", "summary": "FICTIONAL.", "reason": "false-positive"} | payload
        return self.publish(ISSUER, kind="recall", refs=[f"recalls:{line_id}"], payload=content)

    def follow(self, party: str) -> list[dict[str, Any]]:
        """Return everything that the party's feed shows, verified."""
        return [
            json.loads(row) for row in self.lintas(party, "follow", "--once", "--json", "--from-start").splitlines()
        ]

    def curl(self, party: str, path: str) -> httpx.Response:
        """Read as with curl and `lintas token`."""
        token = self.lintas(party, "token").strip()
        return httpx.get(self.url + path, headers={"Authorization": f"Bearer {token}"})


@contextmanager
def new_region(folder: Path, *agencies: str) -> Iterator[Region]:
    """Make a hub with these agencies by nothing but the two commands, and serve it."""
    made = CliRunner().invoke(hub_command, ["init", "--data", str(folder / "hub"), "--origin", "region.example"])
    assert made.exit_code == 0, made.output
    hub = open_hub(read_settings({}, data=str(folder / "hub")))
    hub.start()
    with served(hub) as url:
        found = Region(folder, url, hub)
        for agency in agencies:
            found.join(agency)
            found.lintas(ADMIN, "admin", "grant", agency, "--publish", "cyber", "--read", "*")
            found.lintas(ADMIN, "admin", "ceiling", agency, "AMBER")
        yield found
    hub.stop()


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    """A new hub with three agencies and one administrator, which all tests of this module use."""
    with new_region(tmp_path_factory.mktemp("region"), ISSUER, READER, OUTSIDER) as found:
        yield found


def test_enrolment(region: Region) -> None:
    """An agency enrols its own key: pending until its fingerprint is approved, then listed as proven from the log."""
    letter = region.folder / "letter.json"
    region.lintas(ADMIN, "admin", "invite", "vn-police", "--out", str(letter))
    fingerprint = region.lintas("vn-police", "enrol", str(letter)).split()[-1]
    waiting = region.lintas(ADMIN, "admin", "pending")
    region.lintas(ADMIN, "admin", "approve", "vn-police", fingerprint)

    listed = region.lintas(READER, "keys", "--party", "vn-police")

    assert fingerprint in waiting
    assert fingerprint in listed
    assert "active" in listed
    assert "vn-police" in region.lintas(READER, "partners")
    assert letter.stat().st_mode & 0o077 == 0
    assert region.identity("vn-police").stat().st_mode & 0o077 == 0


def test_publish_and_follow(region: Region) -> None:
    """A recipient receives what was released to it, verified, its indicators canonical; an outsider sees nothing."""
    line_id = region.publish(ISSUER)

    [row] = [row for row in region.follow(READER) if row["id"] == line_id]

    values = [each["value"] for each in row["payload"]["indicators"]]
    assert ["203.0.113.77", "lotustrade.example"] == values
    assert DRAFT["payload"]["title"] in region.lintas(READER, "show", line_id)
    assert line_id not in [row["id"] for row in region.follow(OUTSIDER)]
    with pytest.raises(NotFound):
        region.lintas(OUTSIDER, "show", line_id)


def test_recipients_are_shown(region: Region) -> None:
    """Before signing it is shown who will receive."""
    environment = {
        "LINTAS_IDENTITY": str(region.identity(ISSUER)),
        "LINTAS_PASSPHRASE_FILE": str(region.folder / "hub" / "passphrase"),
        "LINTAS_HUB": region.url,
    }

    result = CliRunner().invoke(
        agency_command,
        ["publish", "--yes", "-"],
        env=environment,
        input=json.dumps(another_draft() | {"release_to": [OUTSIDER, READER]}),
    )

    assert f"{READER} {OUTSIDER}" in result.stderr


def test_verify_offline(region: Region) -> None:
    """A saved line and its receipt verify without the hub, and only together."""
    folder = region.folder / "saved"
    draft = region.folder / "draft.json"
    draft.write_text(json.dumps(another_draft()))
    line_id = region.lintas(ISSUER, "publish", "--yes", "--save", str(folder), str(draft)).split()[0]
    line, receipt = folder / f"{line_id}.line", folder / f"{line_id}.tlog-proof"
    of_reader = folder / "reader.tlog-proof"
    region.lintas(READER, "receipt", line_id, "--out", str(of_reader))
    other = region.publish(ISSUER)
    region.lintas(ISSUER, "receipt", other, "--out", str(folder / "other.tlog-proof"))

    nowhere = "http://127.0.0.1:9"
    own = region.lintas(ISSUER, "verify", str(line), "--receipt", str(receipt), hub=nowhere)
    readers = region.lintas(READER, "verify", str(line), "--receipt", str(of_reader), hub=nowhere)

    assert "bulletin.accepted" in own
    assert "bulletin.released" in readers
    with pytest.raises(LintasError, match="another line"):
        region.lintas(ISSUER, "verify", str(line), "--receipt", str(folder / "other.tlog-proof"), hub=nowhere)


@pytest.mark.parametrize(("relation", "kind"), [("supersedes", Superseded), ("recalls", Recalled)])
def test_withdrawal(region: Region, relation: str, kind: type[LintasError]) -> None:
    """A superseded or recalled bulletin is hidden at once, and its place in the feed shows what became of it."""
    line_id = region.publish(ISSUER)
    assert line_id in [row["id"] for row in region.follow(READER) if row.get("state") is None]

    by = region.recall(line_id) if relation == "recalls" else region.publish(ISSUER, refs=[f"supersedes:{line_id}"])

    with pytest.raises(kind):
        region.lintas(READER, "show", line_id)
    rows = {row["id"]: row for row in region.follow(READER)}
    assert {"supersedes": "superseded", "recalls": "recalled"}[relation] == rows[line_id]["state"]
    assert by == rows[line_id]["by"]
    assert rows[by].get("state") is None


def test_partial_recall(region: Region) -> None:
    """A recall of one indicator leaves the bulletin and marks it, in the feed and alone."""
    line_id = region.publish(ISSUER)

    by = region.recall(line_id, indicators=[{"type": "ip", "value": "203.0.113.77", "role": "withdrawn"}])

    row = {row["id"]: row for row in region.follow(READER)}[line_id]
    assert (["recalled-in-part"], [by]) == (row["marks"], row["recalled_by"])
    assert "recalled-in-part" in region.lintas(READER, "show", line_id, "--json")


def test_audit(region: Region) -> None:
    """An administrator reviews with curl and a token: who published, who opened it, each event with its proof."""
    line_id = region.publish(ISSUER)
    region.lintas(READER, "show", line_id)
    with pytest.raises(NotFound):
        region.lintas(OUTSIDER, "show", line_id)

    page = region.curl(ADMIN, f"/v1/admin/events?object={line_id}&proof=1").json()

    events = [(event["kind"], event["party"]) for event in page["events"]]
    key = note.parse_vkey(json.loads(region.identity(READER).read_bytes())["hub"]["log_key"])
    for event in page["events"]:
        receipt = parse_receipt(event["receipt"].encode())
        assert event["seq"] == check_receipt(receipt, line_id=line_id, origin=key.name, key=key).seq
    # Shown are the bulletin and its thread, each sending recorded; then its originator is told.
    found = ["bulletin.opened", "bulletin.sent", "bulletin.sent"]
    assert [*((kind, READER) for kind in found), ("bulletin.accepted", ISSUER)] == events
    assert line_id in region.lintas(ADMIN, "admin", "events", "--object", line_id, "--json")
    assert 403 == region.curl(READER, "/v1/admin/events").status_code


def test_refusal_is_reviewed(region: Region) -> None:
    """A topic beyond the grant is refused with its way out, and an administrator finds the attempt."""
    with pytest.raises(LintasError, match="drugs"):
        region.publish(ISSUER, topic="drugs")

    found = region.lintas(ADMIN, "admin", "events", "--outcome", "refused", "--party", ISSUER, "--json")

    assert {"code": "topic-not-granted", "member": "topic"} == json.loads(found.splitlines()[0])["detail"]


def test_unreachable_hub(region: Region) -> None:
    """What is signed while the hub is away waits in the outbox, and the same bytes are sent later."""
    before = len(region.follow(READER))
    region.lintas(ISSUER, "partners")

    with closed_port() as nowhere, pytest.raises(HubUnreachable):
        send_to_outbox(region, nowhere)
    sent = region.lintas(ISSUER, "outbox", "--send")

    assert "1 of 1 accepted" in sent
    assert before + 1 == len(region.follow(READER))


class closed_port:  # noqa: N801 - used as a function
    """An address where nobody listens."""

    def __enter__(self) -> str:
        self._probe = socket.socket()
        self._probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{self._probe.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self._probe.close()


def send_to_outbox(region: Region, nowhere: str) -> None:
    """Publish towards an address where nobody listens, with a client that knows its partners already."""
    passphrase = (region.folder / "hub" / "passphrase").read_bytes().strip()
    with Client.open(region.identity(ISSUER), passphrase, hub=nowhere) as client:
        client.publish(read_draft(another_draft()))


def test_rotation(region: Region) -> None:
    """An agency hands over to a new key and goes on publishing; what the old one signed still verifies."""
    party = "ph-cert"
    region.join(party)
    region.lintas(ADMIN, "admin", "grant", party, "--publish", "cyber", "--read", "*")
    region.lintas(ADMIN, "admin", "ceiling", party, "AMBER")
    first = region.publish(party)
    new = region.lintas(party, "rotate").split()[2]
    region.lintas(ADMIN, "admin", "approve", party, new)
    region.lintas(party, "rotate")

    second = region.publish(party)

    assert {first, second} <= {row["id"] for row in region.follow(READER)}
    assert new == json.loads(region.identity(party).read_bytes())["kid"]


def test_two_persons(tmp_path: Path) -> None:
    """With a second administrator what touches grants waits for both."""
    with new_region(tmp_path, OUTSIDER) as region:
        region.join(SECOND)

        first = region.lintas(ADMIN, "admin", "ceiling", OUTSIDER, "GREEN")
        order_id = first.split()[-1]
        before = region.hub.directory.grant(OUTSIDER).ceiling
        region.lintas(SECOND, "admin", "countersign", "--yes", order_id)

        assert "waits for a second administrator" in first
        assert ("AMBER", "GREEN") == (before, region.hub.directory.grant(OUTSIDER).ceiling)


def test_log_verifies(region: Region) -> None:
    """After everything the whole log derives from its rows."""
    region.publish(ISSUER)

    report = check_everything(region.hub.store, region.hub.signer.verifier, lambda _done, _all: None)

    assert report.size == region.curl(READER, "/readyz").json()["size"]
    assert report.checkpoints > 10
