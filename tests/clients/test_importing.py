"""The command `lintas draft`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from clients.cli import cli
from clients.importing import EXIT_INCOMPLETE
from lintas.draft import read_draft
from lintas.imported import INPUT_BYTES_MAX

GREEN = "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb"
NAME = {"type": "domain-name", "id": "domain-name--1", "value": "Lotus-Loan.example", "object_marking_refs": [GREEN]}
BUNDLE = {"type": "bundle", "id": "bundle--1", "objects": [NAME]}
EVENT = {
    "Event": {
        "info": "Fictional",
        "Tag": [{"name": "tlp:green"}],
        "Attribute": [{"type": "ip-dst", "value": "203.0.113.7"}],
    }
}
ASKED = ["--topic", "cyber.scam", "--to", "sg-cert"]


def drafted(folder: Path, members: Any, *arguments: str) -> Result:
    """Run the command on a file with these members."""
    file = folder / "report.json"
    file.write_text(members if isinstance(members, str) else json.dumps(members))
    return CliRunner().invoke(cli, ["draft", "--from", str(file), "--out", str(folder / "out"), *arguments])


@pytest.mark.parametrize(
    ("members", "indicator"),
    [
        (BUNDLE, {"type": "domain", "value": "lotus-loan.example", "role": "observable"}),
        (EVENT, {"type": "ip", "value": "203.0.113.7", "role": "indicator"}),
    ],
    ids=["stix", "misp"],
)
def test_file_becomes_a_draft(tmp_path: Path, members: Any, indicator: dict[str, str]) -> None:
    """Either format gives a draft that `lintas publish` takes, and its path is printed."""
    result = drafted(tmp_path, members, *ASKED)
    path = tmp_path / "out/report.draft.json"
    written = json.loads(path.read_text())

    assert (0, f"{path}\n") == (result.exit_code, result.output)
    assert ("cyber.scam", ["sg-cert"], "GREEN") == tuple(written[name] for name in ("topic", "release_to", "tlp"))
    assert "advisory" == read_draft(written).kind
    assert [indicator] == written["payload"]["indicators"]


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    """Each thing that is not in the draft is a line, and the exit code says that there is one."""
    malware = {"type": "malware", "id": "malware--1\x1b[2J", "name": "FicRAT"}
    result = drafted(tmp_path, BUNDLE | {"objects": [NAME, malware]}, *ASKED)

    assert EXIT_INCOMPLETE == result.exit_code
    assert "not carried over: malware--1 [2J: malware has no place in a bulletin" in result.stderr
    assert "1 things are not in the drafts" in result.stderr


def test_options_fill_the_draft(tmp_path: Path) -> None:
    """Kind, urgency, validity, marking and title are the person's."""
    options = ["--kind", "alert", "--urgency", "urgent", "--valid-for", "P3D", "--tlp", "AMBER", "--title", "Ours"]
    drafted(tmp_path, BUNDLE, *ASKED, *options)
    written = json.loads((tmp_path / "out/report.draft.json").read_text())

    assert {"kind": "alert", "urgency": "urgent", "valid_for": "P3D", "tlp": "AMBER"}.items() <= written.items()
    assert "Ours" == written["payload"]["title"]


def test_several_drafts_are_numbered(tmp_path: Path) -> None:
    """Each of several drafts has a file of its own."""
    result = drafted(tmp_path, {"response": [EVENT, EVENT]}, *ASKED)

    assert ["report-1.draft.json", "report-2.draft.json"] == [Path(each).name for each in result.output.split()]


def test_no_draft_is_overwritten(tmp_path: Path) -> None:
    """A draft that lies there is left alone."""
    drafted(tmp_path, BUNDLE, *ASKED)
    before = (tmp_path / "out/report.draft.json").stat()
    result = drafted(tmp_path, BUNDLE, *ASKED, "--title", "Other")

    assert (2, before) == (result.exit_code, (tmp_path / "out/report.draft.json").stat())
    assert "never overwritten" in result.stderr


@pytest.mark.parametrize(
    ("text", "arguments", "words"),
    [
        ("{}", ASKED, "neither a STIX bundle"),
        ("[]", ASKED, "is not an object"),
        ('{"type": "bundle", "type": "bundle"}', ASKED, "duplicate member"),
        (" " * (INPUT_BYTES_MAX + 1), ASKED, "is the limit"),
        ('{"type": "bundle", "objects": []}', ASKED, "Nothing in the file"),
        (json.dumps(BUNDLE), ["--to", "sg-cert"], "give --topic"),
        (json.dumps(BUNDLE), ["--topic", "cyber"], "give --to"),
        (json.dumps(BUNDLE), [*ASKED, "--tlp", "CLEAR"], "passed on more widely"),
        (json.dumps(BUNDLE), ["--topic", "cyber", "--to", "no such"], "name of an agency"),
    ],
)
def test_refusals_write_nothing(tmp_path: Path, text: str, arguments: list[str], words: str) -> None:
    """What cannot be drafted is one line of text, exit code 1, and no file."""
    file = tmp_path / "report.json"
    file.write_text(text)

    done = subprocess.run(
        [Path(sys.executable).parent / "lintas", "draft", "--from", file, "--out", tmp_path / "out", *arguments],
        capture_output=True,
        check=False,
        text=True,
    )

    assert (1, False) == (done.returncode, (tmp_path / "out").exists())
    assert words in done.stderr
    assert "Traceback" not in done.stderr
