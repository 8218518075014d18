"""Tests of the examples that verify in other languages: every shared vector, and files as a client saves them."""

from __future__ import annotations

import json
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from lintas.strict import b64u
from tests.lintas.test_vectors import VECTORS, cases, wanted
from tests.vectors.make import ISSUER, LINE, LINE_ID, LOG, NEXT, OTHER, RECIPIENT, ROTATED, TREE

ROOT = Path(__file__).resolve().parents[1]
VERIFIED = ("objects", "keys", "checkpoints", "rotations", "inclusions", "receipts", "lines")
"""The files about a line and its receipt. The others are about a log that is watched: its growth, witnesses, forks."""

Commands = Callable[[str], tuple[list[str], list[str]]]
"""Of a language the commands that verify files, and that answer vectors."""

Answers = Callable[[str], dict[str, list[dict[str, Any]]]]


def need(program: str) -> str:
    """Return where a program is, or skip."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is absent: this example was not run")
    return found


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """Makes the two commands of a language: verify files, answer vectors."""

    @cache
    def made(language: str) -> tuple[list[str], list[str]]:
        if language == "JavaScript":
            node, example = need("node"), str(ROOT / "examples/verify.mjs")
            return [node, example], [node, str(ROOT / "tests/independent/vectors.mjs"), example]
        compiler, java, out = need("javac"), need("java"), str(tmp_path_factory.mktemp("java"))
        sources = [ROOT / "examples/Verify.java", ROOT / "tests/independent/AskVerify.java"]
        subprocess.run(
            [compiler, "-J-XX:TieredStopAtLevel=1", "-Xlint:all,-serial", "-Werror", "-d", out, *sources], check=True
        )
        start = [java, "-XX:TieredStopAtLevel=1", "-cp", out]
        return [*start, "Verify"], [*start, "AskVerify"]

    return made


@pytest.fixture(scope="module")
def answers(commands: Commands) -> Answers:
    """Asks an example about all cases of all files."""

    @cache
    def asked(language: str) -> dict[str, list[dict[str, Any]]]:
        files = [str(VECTORS / f"{name}.json") for name in VERIFIED]
        done = subprocess.run([*commands(language)[1], *files], capture_output=True, check=True)
        found: dict[str, list[dict[str, Any]]] = json.loads(done.stdout)
        return found

    return asked


@pytest.mark.parametrize("name", VERIFIED)
@pytest.mark.parametrize("language", ["JavaScript", "Java"])
def test_vectors(answers: Answers, language: str, name: str) -> None:
    """Each example takes what holds, with what it gives, and refuses the rest; no case makes it fall over."""
    found = [
        (each["name"], "refused" if "fault" in got else got)
        for each, got in zip(cases(name), answers(language)[name], strict=True)
    ]

    assert [(each["name"], wanted(each)) for each in cases(name)] == found


LOG_KEY, X, OTHER_X = LOG.verifier.text(), b64u(ISSUER.public), b64u(RECIPIENT.public)
FILES = {
    "alert.line": LINE + b"\n",
    "bare.line": LINE,
    "alert.tlog-proof": TREE.receipt(1, 13),
    "later.tlog-proof": ROTATED.receipt(1, 7, NEXT),
    "crossing.tlog-proof": ROTATED.receipt(5, 6, LOG, NEXT),
    "altered.tlog-proof": TREE.receipt(1, 13).replace(b"index 1\n", b"index 2\n"),
}


@pytest.mark.parametrize("language", ["JavaScript", "Java"])
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["alert.line", "my-police", X], f"signed    by my-police, key {ISSUER.kid}"),
        (
            ["bare.line", "my-police", X, "alert.tlog-proof", LOG_KEY],
            f"logged    bulletin.accepted at index 1 of {LOG.name}",
        ),
        (["alert.line", "my-police", X, "later.tlog-proof", LOG_KEY, "crossing.tlog-proof"], "when      2026-11-23T"),
    ],
)
def test_saved_files(
    commands: Commands,
    tmp_path: Path,
    language: str,
    *,
    arguments: Sequence[str],
    says: str,
) -> None:
    """The line and the receipt that a client saved verify by the commands of the guide, and nothing else is needed."""
    done = run(commands(language)[0], arguments, tmp_path)

    assert (0, "") == (done.returncode, done.stderr)
    assert says in done.stdout
    assert LINE_ID in done.stdout


@pytest.mark.parametrize("language", ["JavaScript", "Java"])
@pytest.mark.parametrize(
    "arguments",
    [
        ["alert.line", "my-police", OTHER_X],
        ["alert.line", "sg-fiu", X],
        ["alert.line", "my-police", X, "altered.tlog-proof", LOG_KEY],
        ["alert.line", "my-police", X, "alert.tlog-proof", OTHER.verifier.text()],
        ["alert.line", "my-police", X, "later.tlog-proof", LOG_KEY],
        ["alert.line", "my-police", X, "alert.tlog-proof"],
        ["none.line", "my-police", X],
        ["alert.line", "my-police", b64encode(ISSUER.public).decode()],
    ],
)
def test_what_does_not_hold(commands: Commands, tmp_path: Path, language: str, arguments: Sequence[str]) -> None:
    """Another key, agency, log, index, spelling, a missing key of the log or file: it says so and fails."""
    done = run(commands(language)[0], arguments, tmp_path)

    assert 1 == done.returncode
    assert done.stderr.startswith("does not hold: ")
    assert "logged" not in done.stdout


def run(command: Sequence[str], arguments: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run an example over the saved files."""
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    return subprocess.run([*command, *arguments], cwd=folder, capture_output=True, check=False, text=True)
