"""The commands of an officer: `lintas outbox` over what tools posted, and how `lintas gateway` starts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from broker import exercise
from clients.cli import cli
from clients.gateway.database import Database
from clients.gateway.intake import Intake
from clients.gateway.place import beside
from clients.gateway.rules import Rules
from lintas.clock import now_us
from lintas.errors import BadSettings, LintasError, NotFound, OrderConflict
from tests.conftest import ExerciseHub
from tests.gateways import CHOICES, PARTY

Run = Callable[..., Result]
OBJECTS = [
    {"type": "domain-name", "id": "domain-name--1", "value": "lotus-loan.example"},
    {"type": "malware", "id": "malware--1", "name": "FicRAT\x1b[2J"},
]


@pytest.fixture
def identity(exercise_data: Path) -> Path:
    """The identity of an agency whose gateway has one held draft; no hub answers."""
    path = exercise.identity_path(exercise_data, PARTY)
    intake = Intake(Database(beside(path, "")), Rules(choices=CHOICES), PARTY, clock=now_us, report=lambda _text: None)
    intake.take({"type": "bundle", "objects": OBJECTS}, channel="spool", name="report.json")
    return path


def runner(identity: Path, data: Path, **environ: str) -> Run:
    """Return what runs `lintas` as an agency; a fault is raised as it is."""

    def invoke(*words: Any) -> Result:
        given = {"LINTAS_IDENTITY": str(identity), "LINTAS_PASSPHRASE_FILE": str(data / "passphrase")} | environ
        result = CliRunner(env=given).invoke(cli, [str(word) for word in words], standalone_mode=False)
        if result.exception is not None:
            raise result.exception
        return result

    return invoke


@pytest.fixture
def run(identity: Path, exercise_data: Path) -> Run:
    """Run `lintas` as the agency."""
    return runner(identity, exercise_data)


@pytest.fixture
def served(identity: Path, exercise_hub: ExerciseHub) -> Run:
    """Run `lintas` as the agency, with a hub that answers."""
    return runner(identity, exercise_hub.data, LINTAS_HUB=exercise_hub.url)


def test_held_drafts_are_listed(run: Run) -> None:
    """An officer sees who posted what, to whom it would go, and how much of it is left out."""
    (line,) = [each for each in run("outbox").output.splitlines() if each.startswith("1 ")]

    assert ["1", "spool", "report.json", "advisory", "cyber.scam", "TLP:AMBER", "id-police", "1"] == line.split()[:8]
    assert "\x1b" not in line


def test_draft_is_shown(run: Run) -> None:
    """A draft is shown as it would be signed, with what is not in it."""
    shown = run("outbox", "--show", 1)

    assert '"value": "lotus-loan.example"' in shown.output
    assert "not carried over: malware--1: malware has no place" in shown.output


def test_approved(served: Run, identity: Path) -> None:
    """An approved draft keeps the recipients that the officer saw."""
    said = served("outbox", "--approve", 1, "--yes").output
    row = Database(beside(identity, "")).row("SELECT state, release_to FROM draft")

    assert ("as sg-fiu to 1: id-police" in said, "draft 1: approved" in said) == (True, True)
    assert ("approved", '["id-police"]') == row


def test_approving_asks(served: Run, identity: Path) -> None:
    """Without --yes and with nobody to ask, nothing is approved."""
    with pytest.raises(click.UsageError, match="Nobody is there"):
        served("outbox", "--approve", 1)

    assert ("held",) == Database(beside(identity, "")).row("SELECT state FROM draft")


def test_decided_once(served: Run) -> None:
    """A decided draft is not decided on again."""
    assert "draft 1: discarded" in served("outbox", "--discard", 1).output

    for words in (("--discard", 1), ("--approve", 1, "--yes")):
        with pytest.raises(OrderConflict, match="is discarded, not held"):
            served("outbox", *words)


def test_unknown_draft(run: Run) -> None:
    """A draft that is not there is named."""
    with pytest.raises(NotFound, match="no draft 9"):
        run("outbox", "--show", 9)


def test_no_gateway(exercise_data: Path) -> None:
    """Where no gateway ever ran the outbox is as it was, and has no drafts to decide on."""
    run = runner(exercise.identity_path(exercise_data, "id-police"), exercise_data)

    assert "" == run("outbox").output
    with pytest.raises(click.UsageError, match="No gateway ever ran"):
        run("outbox", "--discard", 1)


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (("--host", "0.0.0.0"), BadSettings),
        (("--purpose", "investigation"), click.UsageError),
        (("--tlp", "PURPLE"), click.UsageError),
    ],
)
def test_start_is_refused(run: Run, words: tuple[str, ...], fault: type[LintasError]) -> None:
    """A gateway that others could reach, with half a purpose or a wrong word, does not start."""
    with pytest.raises(fault):
        run("gateway", *words)


def test_start_and_stop(identity: Path, exercise_hub: ExerciseHub) -> None:
    """A gateway says where it is reached and where the tokens are, and ends in order when it is told to."""
    environ = {
        **os.environ,
        "LINTAS_HUB": exercise_hub.url,
        "LINTAS_IDENTITY": str(identity),
        "LINTAS_PASSPHRASE_FILE": str(exercise_hub.data / "passphrase"),
    }
    words = [
        str(Path(sys.executable).parent / "lintas"),
        "gateway",
        "--port",
        "0",
        "--purpose",
        "audit",
        "--case-ref",
        "S-1",
    ]
    with subprocess.Popen(words, env=environ, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = [process.stderr.readline() for _ in range(3)]
        process.terminate()
        rest = process.stderr.read()

    assert ["TAXII 2.1", "JSON", "tokens"] == [re.split(r"  +", line)[0] for line in said]
    assert (0, True) == (process.returncode, rest.endswith("stopped\n"))
    assert f"{beside(identity, '.tokens')}\n" in said[2]


def test_administrators_have_none(exercise_data: Path) -> None:
    """An administrator has no bulletins to serve."""
    run = runner(exercise.identity_path(exercise_data, "admin/auditor"), exercise_data)

    with pytest.raises(BadSettings, match="acts for an agency"):
        run("gateway")
