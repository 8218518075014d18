"""Tests of the example scripts against a real hub, and of the settings they share."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from clients.scripts import export_audit, follow_feed, publish_bulletin, verify_saved
from clients.settings import Settings, open_client, read_passphrase, read_settings
from lintas import Received
from lintas.errors import BadIdentity, BadSettings, SealedToOldKey

Run = Callable[..., Result]

TITLE = "FICTIONAL: boarding pattern at an invented anchorage"
DRAFT = {
    "kind": "advisory",
    "topic": "maritime",
    "tlp": "GREEN",
    "urgency": "routine",
    "release_to": ["sg-police"],
    "valid_for": "P30D",
    "payload": {"title": TITLE, "summary": "FICTIONAL. Two boardings in one night by the same invented craft."},
}


@pytest.fixture
def given(tmp_path: Path) -> dict[str, str]:
    """Return an environment with a passphrase file."""
    (tmp_path / "passphrase").write_bytes(b"correct horse\n")
    return {"LINTAS_IDENTITY": str(tmp_path / "me.json"), "LINTAS_PASSPHRASE_FILE": str(tmp_path / "passphrase")}


def test_settings(given: dict[str, str]) -> None:
    """The three variables give the settings; the line end is no part of the passphrase."""
    found = read_settings(given | {"LINTAS_HUB": "https://hub.example"})

    assert Settings("https://hub.example", Path(given["LINTAS_IDENTITY"]), b"correct horse") == found


def test_settings_with_authority(given: dict[str, str]) -> None:
    """Certificates that alone may vouch for the hub are named by a file; by default the usual authorities may."""
    assert Path("ca.pem") == read_settings(given | {"LINTAS_CA": "ca.pem"}).ca
    assert None is read_settings(given).ca


def test_settings_without_hub(given: dict[str, str]) -> None:
    """Without an address the one in the identity holds."""
    assert None is read_settings(given).hub
    assert None is read_settings(given | {"LINTAS_HUB": ""}).hub


def test_passphrase_is_not_shown(given: dict[str, str]) -> None:
    """Printing the settings does not print the passphrase."""
    assert "correct horse" not in repr(read_settings(given))


@pytest.mark.parametrize("name", ["LINTAS_IDENTITY", "LINTAS_PASSPHRASE_FILE"])
def test_missing_setting(given: dict[str, str], name: str) -> None:
    """A missing variable is named."""
    del given[name]

    with pytest.raises(BadSettings, match=name):
        read_settings(given)


def test_named_identity(given: dict[str, str]) -> None:
    """An identity named by the caller goes before the variable."""
    assert Path("other.json") == read_settings(given, identity=Path("other.json")).identity


def test_bad_hub(given: dict[str, str]) -> None:
    """An address without http or https is refused."""
    with pytest.raises(BadSettings, match="LINTAS_HUB"):
        read_settings(given | {"LINTAS_HUB": "hub.example"})


def test_prompt(given: dict[str, str]) -> None:
    """Without a passphrase file the passphrase is asked for, naming the identity."""
    del given["LINTAS_PASSPHRASE_FILE"]
    asked: list[str] = []

    def ask(text: str) -> str:
        asked.append(text)
        return "typed"

    found = read_settings(given, prompt=ask)

    assert (b"typed", [f"Passphrase of {given['LINTAS_IDENTITY']}"]) == (found.passphrase, asked)


def test_environment_is_the_default(given: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a mapping the environment is read."""
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("LINTAS_HUB", raising=False)

    assert read_settings(given) == read_settings()


@pytest.mark.parametrize("data", [b"", b"\n", b"x" * 4097])
def test_unusable_passphrase_file(tmp_path: Path, data: bytes) -> None:
    """A passphrase file that holds none, or far too much, is refused."""
    (tmp_path / "file").write_bytes(data)

    with pytest.raises(BadSettings, match="holds no passphrase"):
        read_passphrase(tmp_path / "file")


def test_longest_passphrase(tmp_path: Path) -> None:
    """A passphrase file of exactly the limit is read."""
    (tmp_path / "file").write_bytes(b"x" * 4096)

    assert b"x" * 4096 == read_passphrase(tmp_path / "file")


def test_absent_passphrase_file(tmp_path: Path) -> None:
    """A passphrase file that is not there is named."""
    with pytest.raises(BadSettings, match="absent cannot be read"):
        read_passphrase(tmp_path / "absent")


def test_open_client_without_identity(given: dict[str, str]) -> None:
    """An identity file that is not there is a clear error."""
    with pytest.raises(BadIdentity, match=r"me\.json"):
        open_client(read_settings(given))


@pytest.mark.parametrize("script", [publish_bulletin, follow_feed, verify_saved, export_audit])
def test_scripts_say_what_is_missing(script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script without settings ends with 1 and names the variable."""
    monkeypatch.delenv("LINTAS_IDENTITY", raising=False)
    (tmp_path / "file").write_text("{}")
    command: click.Command = script.main
    files = [str(tmp_path / "file") for each in command.params if isinstance(each, click.Argument)]

    result = CliRunner().invoke(command, files)

    assert (1, True) == (result.exit_code, "LINTAS_IDENTITY" in result.stderr)


# ------------------------------------------------------------------------------------------------ with a real hub


@pytest.fixture
def run(exercise_hub: Any, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a script as a party."""

    def run_as(party: str, command: click.Command, *arguments: str) -> Result:
        folder, name = ("admins", party.removeprefix("admin/")) if party.startswith("admin/") else ("agencies", party)
        monkeypatch.setenv("LINTAS_HUB", exercise_hub.url)
        monkeypatch.setenv("LINTAS_IDENTITY", str(exercise_hub.data / folder / f"{name}.json"))
        monkeypatch.setenv("LINTAS_PASSPHRASE_FILE", str(exercise_hub.data / "passphrase"))
        return CliRunner().invoke(command, arguments)

    return run_as


@pytest.fixture
def published(run: Run, tmp_path: Path) -> str:
    """Publish a draft by the script, keep its receipt, return its id."""
    (tmp_path / "draft.json").write_text(json.dumps(DRAFT))
    result = run(
        "my-police", publish_bulletin.main, str(tmp_path / "draft.json"), "--receipt", str(tmp_path / "receipt")
    )
    assert 0 == result.exit_code, result.output
    assert "to       sg-police\n" == result.stderr
    return str(result.stdout.strip())


def test_publish_and_follow(run: Run, published: str) -> None:
    """What one agency publishes another prints once, verified, with issuer, marking and title."""
    first = run("sg-police", follow_feed.main)
    second = run("sg-police", follow_feed.main)

    (line,) = [each for each in first.stdout.splitlines() if published in each]
    assert line.endswith(f"{published}  my-police  TLP:GREEN  {TITLE}")
    assert (0, "") == (second.exit_code, second.stdout)


def test_follow_tells_what_does_not_open() -> None:
    """A sealed bulletin whose key is lost is one line with the reason, a withdrawn one with its state."""
    lost = Received(seq=7, id="A", unopened=SealedToOldKey())

    assert "7  A  sealed-to-old-key" == follow_feed.describe(lost)
    assert "8  B  recalled" == follow_feed.describe(Received(seq=8, id="B", state="recalled"))


def test_unaddressed_agency_sees_nothing(run: Run, published: str) -> None:
    """An agency that is not addressed does not see the bulletin."""
    result = run("th-police", follow_feed.main)

    assert (0, False) == (result.exit_code, published in result.stdout)


def test_publish_refused(run: Run, tmp_path: Path) -> None:
    """A draft that breaks the schema ends with 1 and names the member."""
    (tmp_path / "draft.json").write_text(json.dumps(DRAFT | {"tlp": "PURPLE"}))

    result = run("my-police", publish_bulletin.main, str(tmp_path / "draft.json"))

    assert (1, True) == (result.exit_code, "tlp" in result.stderr)


def test_verify_saved(run: Run, published: str, tmp_path: Path) -> None:
    """A saved line and its receipt verify; a changed line does not."""
    with open_client(read_settings()) as client:
        line = client.fetch(published).line
    assert line is not None
    (tmp_path / "line").write_bytes(line.raw + b"\n")
    (tmp_path / "forged").write_bytes(line.raw[:-4] + b"AAAA")

    good = run("my-police", verify_saved.main, str(tmp_path / "line"), str(tmp_path / "receipt"))
    bad = run("my-police", verify_saved.main, str(tmp_path / "forged"), str(tmp_path / "receipt"))

    assert (0, True) == (good.exit_code, good.stdout.startswith("verified: event "))
    assert 1 == bad.exit_code


def test_export_audit(run: Run, published: str) -> None:
    """An administrator's export has every event once, newest first, down to the first."""
    result = run("admin/auditor", export_audit.main)

    events = [json.loads(each) for each in result.stdout.splitlines()]
    seqs = [each["seq"] for each in events]
    assert list(range(seqs[0], -1, -1)) == seqs
    assert published in {each["object"] for each in events if each["kind"] == "bulletin.accepted"}


def test_export_audit_by_pages(exercise_hub: Any) -> None:
    """Pages follow each other without a gap or an event twice, to the first event."""
    events = list(export_audit.read_events(exercise_hub.client("admin/auditor"), limit=50))

    assert list(range(events[0]["seq"], -1, -1)) == [each["seq"] for each in events]
    assert len(events) > 50


def test_export_audit_of_a_kind(run: Run, published: str) -> None:
    """The export can be limited to one kind of event."""
    result = run("admin/auditor", export_audit.main, "--kind", "bulletin.accepted")

    assert {"bulletin.accepted"} == {json.loads(each)["kind"] for each in result.stdout.splitlines()}


def test_export_audit_needs_an_administrator(run: Run) -> None:
    """An agency cannot export the audit log."""
    assert 1 == run("my-police", export_audit.main).exit_code
