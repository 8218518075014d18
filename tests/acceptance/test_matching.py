"""Deconfliction, watch lists and the data-protection checks by the command alone, with three agencies."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from broker import exercise
from clients.cli import cli
from lintas.errors import DataProtection
from tests.conftest import ExerciseHub

DRAFT = {
    "kind": "alert",
    "topic": "cyber.scam",
    "tlp": "AMBER",
    "urgency": "routine",
    "release_to": ["sg-fiu"],
    "valid_for": "P30D",
    "payload": {
        "title": "Fictional broker's numbers",
        "summary": "FICTIONAL.",
        "indicators": [{"type": "phone", "value": "+65 4299 5883", "role": "broker"}],
    },
}


class Region:
    """The desks of a served hub, each with the command `lintas`."""

    def __init__(self, hub: ExerciseHub, folder: Path) -> None:
        """Act at this hub; drafts are written into the folder."""
        self.hub = hub
        self.folder = folder

    def run(self, party: str, *arguments: str, text: str | None = None) -> Result:
        """Run `lintas` as this party."""
        environment = {
            "LINTAS_IDENTITY": str(exercise.identity_path(self.hub.data, party)),
            "LINTAS_PASSPHRASE_FILE": str(self.hub.data / "passphrase"),
            "LINTAS_HUB": self.hub.url,
        }
        return CliRunner().invoke(cli, arguments, env=environment, input=text)

    def lintas(self, party: str, *arguments: str, text: str | None = None) -> str:
        """Run `lintas` as this party; it must succeed."""
        result = self.run(party, *arguments, text=text)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout

    def draft(self, **payload: object) -> str:
        """Write a draft; return its path."""
        path = self.folder / "draft.json"
        path.write_text(json.dumps(DRAFT | {"payload": DRAFT["payload"] | payload}))  # type: ignore[operator]
        return str(path)


@pytest.fixture
def region(exercise_hub: ExerciseHub, tmp_path: Path) -> Region:
    """Every simulated agency at a private hub."""
    return Region(exercise_hub, tmp_path)


def test_deconfliction(region: Region, tmp_path: Path) -> None:
    """Three desks look for one number: contact and open learn of each other, nobody learns of the silent one."""
    numbers = tmp_path / "numbers.txt"
    numbers.write_text("phone:+65 4299 5883\n\nphone:+6542995884\n")
    region.lintas("my-police", "interest", "add", str(numbers), "--mode", "open", "--case-ref", "SIM-MY-1")
    region.lintas(
        "sg-fiu", "interest", "add", "--indicator", "phone:+6542995883", "--mode", "contact", "--case-ref", "SIM-SG"
    )
    added = region.lintas("vn-police", "interest", "add", region.draft(), "--mode", "silent", "--case-ref", "SIM-VN")
    assert "results within a minute" in region.lintas("sg-fiu", "interest", "list")
    region.hub.clock.advance(60)

    found = {
        party: [
            (each["value"], each["agency"], each["case_ref"])
            for row in region.lintas(party, "interest", "list", "--json").splitlines()
            for each in json.loads(row)["told"]
        ]
        for party in ("my-police", "sg-fiu", "vn-police")
    }

    of_my, of_sg = ("+6542995883", "my-police", "SIM-MY-1"), ("+6542995883", "sg-fiu", None)
    assert {"my-police": [of_sg], "sg-fiu": [of_my], "vn-police": [of_my, of_sg]} == found
    assert "ask them" in region.lintas("my-police", "interest", "list")
    region.lintas("vn-police", "interest", "end", added.split()[-1])
    assert "" == region.lintas("vn-police", "interest", "list", "--json")
    assert "no interest stands" in region.run("vn-police", "interest", "list").stderr


def test_watch_list(region: Region) -> None:
    """A list shows what the feed has of it, as text or JSON, and is removed on demand alone."""
    line_id = region.lintas("my-police", "publish", "--yes", region.draft()).split()[0]
    region.lintas("sg-fiu", "watch", "set", "case-1", region.draft(), "--indicator", "domain:lotustrade.example")

    assert ["watch list  indicators", "case-1      2"] == region.lintas("sg-fiu", "watch", "list").splitlines()
    assert "Fictional broker's numbers" in region.lintas("sg-fiu", "watch", "show", "case-1")
    rows = region.lintas("sg-fiu", "watch", "show", "case-1", "--json").splitlines()
    assert [(line_id, True)] == [(json.loads(row)["id"], json.loads(row)["verified"]) for row in rows]
    assert 2 == region.run("sg-fiu", "watch", "set", "case-1").exit_code
    region.lintas("sg-fiu", "watch", "set", "case-1", "--remove")
    assert "" == region.lintas("sg-fiu", "watch", "list")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--indicator", "no colon"), None),
        (("--indicator", "phone:"), None),
        (("-",), '{"payload":{}}'),
        (("-",), '{"payload":{"indicators":[{"type":"phone"}]}}'),
        (("-",), "{broken"),
        (("-",), "\n \n"),
        ((), None),
    ],
)
def test_no_indicators(region: Region, arguments: tuple[str, ...], text: str | None) -> None:
    """What names no indicators registers nothing."""
    result = region.run("sg-fiu", "interest", "add", *arguments, "--mode", "open", "--case-ref", "x", text=text)

    assert result.exit_code != 0
    assert "" == region.lintas("sg-fiu", "interest", "list", "--json")


def test_publish_warns(region: Region) -> None:
    """`lintas publish` shows what warns with reason and way out, and publishes."""
    result = region.run("my-police", "publish", "--yes", region.draft(summary="Passport X90217734."))

    assert 0 == result.exit_code
    assert "warn document-in-text at summary" in result.stderr
    assert "Put it into an indicator of type `travel-document`" in result.stderr


def test_publish_refuses(region: Region) -> None:
    """`lintas publish` signs nothing that the rules refuse; there is no way round it."""
    draft = region.draft(summary="Card 4111 1111 1111 1111, passport X90217734.")

    result = region.run("my-police", "publish", "--yes", draft)

    assert isinstance(result.exception, DataProtection)
    assert "refuse card-in-text at summary" in result.stderr
    assert "warn document-in-text at summary" in result.stderr
    assert "" == region.lintas("my-police", "outbox")
