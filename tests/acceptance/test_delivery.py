"""Delivery as its three parties see it, by their own commands: a subscription, a purpose, who has read what."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broker.fsck import check_everything
from lintas.errors import NotFound, PurposeNeeded
from tests.acceptance.test_slice import ADMIN, DRAFT, ISSUER, OUTSIDER, READER, WHY, Region, new_region

PERSON = DRAFT["payload"] | {"indicators": [{"type": "phone", "value": "+60123456789", "role": "caller"}]}


@pytest.fixture
def region(tmp_path: Path) -> Iterator[Region]:
    """A hub with three agencies."""
    with new_region(tmp_path, ISSUER, READER, OUTSIDER) as found:
        yield found


def rows(text: str) -> list[dict[str, Any]]:
    """Read JSON Lines."""
    return [json.loads(row) for row in text.splitlines()]


def readers(region: Region, line_id: str) -> dict[str, dict[str, Any]]:
    """Return what the issuer is shown of each reader."""
    return {each["agency"]: each for each in json.loads(region.lintas(ISSUER, "status", line_id, "--json"))["readers"]}


def test_subscription(region: Region) -> None:
    """A subscription gives what its filter wants, once, from wherever it is followed; moved back it gives it again."""
    region.lintas(READER, "subscription", "set", "scams", "--topic", "cyber.scam", "--urgency", "urgent")
    wanted = region.publish(ISSUER)
    region.publish(ISSUER, topic="cyber.malware")
    region.publish(ISSUER, urgency="routine")
    follow = ("follow", "--once", "--json", "--subscription", "scams")

    first, second = rows(region.lintas(READER, *follow)), rows(region.lintas(READER, *follow))
    region.lintas(READER, "subscription", "move", "scams", "-1")
    again = rows(region.lintas(READER, *follow))

    assert ([wanted], [], [wanted]) == ([row["id"] for row in first], second, [row["id"] for row in again])
    assert "scams" in region.lintas(READER, "subscription", "list")
    region.lintas(READER, "subscription", "remove", "scams")
    assert "scams" not in region.lintas(READER, "subscription", "list")
    with pytest.raises(NotFound):
        region.lintas(READER, *follow)


def test_who_has_read_it(region: Region) -> None:
    """The issuer sees each recipient rise from released over sent, received and opened to acknowledged; nobody else."""
    line_id = region.publish(ISSUER, release_to=[READER, OUTSIDER])
    progress = [readers(region, line_id)[READER]["progress"]]
    region.lintas(READER, "follow", "--once")
    progress.append(readers(region, line_id)[READER]["progress"])
    region.lintas(READER, "show", line_id)
    progress.append(readers(region, line_id)[READER]["progress"])
    region.lintas(READER, "ack", line_id)

    found = readers(region, line_id)

    assert ["released", "received", "opened"] == progress
    assert ("acknowledged", "released") == (found[READER]["progress"], found[OUTSIDER]["progress"])
    assert ["feed", "fetch", "thread"] == found[READER]["sent"]["ways"]
    table = region.lintas(ISSUER, "status", line_id).splitlines()
    assert ["recipient", "state", "sent", "received", "opened", "acknowledged"] == table[0].split()
    assert [READER, "acknowledged"] == table[1].split()[:2]
    for party in (READER, OUTSIDER):
        with pytest.raises(NotFound):
            region.lintas(party, "status", line_id)


def test_recalled_and_acknowledged(region: Region) -> None:
    """A recall is acknowledged like any bulletin, and what it withdrew still shows its readers."""
    line_id = region.publish(ISSUER)
    region.lintas(READER, "follow", "--once")
    recall = region.recall(line_id)
    region.lintas(READER, "follow", "--once")
    region.lintas(READER, "ack", recall)

    assert "acknowledged" == readers(region, recall)[READER]["progress"]
    assert "received" == readers(region, line_id)[READER]["progress"]


def test_purpose(region: Region) -> None:
    """Person data is shown for a purpose and a case, and both stand in the log for the auditor."""
    line_id = region.publish(ISSUER, payload=PERSON)
    [hidden] = rows(region.lintas(READER, "follow", "--once", "--json"))
    [shown] = rows(region.lintas(READER, "follow", "--once", "--json", "--from-start", *WHY))
    with pytest.raises(PurposeNeeded):
        region.lintas(READER, "show", line_id)
    whole = region.lintas(READER, "show", line_id, *WHY, "--officer", "desk/duty")

    assert (True, None, None) == (hidden["purpose_needed"], hidden["payload"], hidden["line"])
    assert PERSON["indicators"][0]["value"] == shown["payload"]["indicators"][0]["value"]
    assert PERSON["indicators"][0]["value"] in whole
    events = rows(region.lintas(ADMIN, "admin", "events", "--object", line_id, "--json"))
    sent = [event["detail"] for event in events if event["kind"] == "bulletin.sent"]
    assert {("investigation", "SIM-12", "desk/duty")} == {(row["purpose"], row["case_ref"], row["sub"]) for row in sent}


def test_log_verifies(region: Region) -> None:
    """After all of it the whole log derives from its rows."""
    line_id = region.publish(ISSUER)
    region.lintas(READER, "show", line_id)
    region.lintas(READER, "ack", line_id)

    report = check_everything(region.hub.store, region.hub.signer.verifier, lambda _done, _all: None)

    assert report.size == region.curl(READER, "/readyz").json()["size"]
