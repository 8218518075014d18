"""The demonstration: it holds, and it would not if a check failed."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from broker import cli, demo, exercise
from broker.scenes import _holds
from broker.settings import read_settings
from broker.stage import ACCEPTED, Tally, refusal
from broker.store.engine import Store
from lintas.errors import LintasError
from tests.conftest import ExerciseHub

README = Path(__file__).resolve().parents[2] / "README.md"


def words_of(line: str) -> str:
    """Return a line of the output without what differs from run to run: numbers, digests, the folder."""
    words = re.sub(r"\b[0-9a-f]{16,}(?:\.\.\.)?|/tmp/\S+", "*", line)
    return " ".join(re.sub(r"[\d:]+", "#", words).split())


def test_demo(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Every check holds, it ends by itself, and it prints what the README says, on one screen and a half."""
    monkeypatch.setattr(sys, "argv", ["lintas-broker", "demo", "--once"])

    with pytest.raises(SystemExit) as left:
        cli.main()

    out = capsys.readouterr().out
    held, checks = re.findall(r"(\d+) of (\d+) checks held", out)[0]
    assert (0, checks) == (left.value.code, held)
    assert int(checks) > 30
    assert "FAIL" not in out
    assert out.count("\n") <= 62
    assert re.search(r"^sg-police(?: +\d\d:\d\d:\d\d){5}$", out, re.MULTILINE)
    shown = README.read_text().split("<!-- demo output -->\n```\n")[1].split("```\n<!-- end of demo output -->")[0]
    assert [] == [
        line for line in shown.splitlines() if words_of(line) not in map(words_of, [*out.splitlines(), "..."])
    ]


def test_check_that_fails(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """One check that does not hold is shown, and the whole does not hold."""
    tally = Tally()
    tally.check("the first", held=True)
    before = tally.all_held
    tally.check("the second", held=False)

    demo._print_summary(tally, read_settings({}, data=str(tmp_path)))

    assert (True, False) == (before, tally.all_held)
    assert "FAIL  the second" in capsys.readouterr().out


def test_accepted() -> None:
    """Where a refusal must come and none does, the check fails."""
    assert ACCEPTED == refusal(lambda: None)


@pytest.mark.parametrize("before", ["", "a", "ab", "abc"])
def test_marker_is_found(before: str) -> None:
    """A marker is found in a stored line, whatever stands before and behind it, and nothing else is."""
    marker, line = "c0ffee1234567890", base64.urlsafe_b64encode(f'{before}c0ffee1234567890"}}'.encode())

    assert (True, False) == (_holds(b"x" + line, marker), _holds(b"x" + line, marker[::-1]))


def test_broken_database(tmp_path: Path) -> None:
    """A database that does not derive is a failed check, not a crash."""
    settings = read_settings({}, data=str(tmp_path / "hub"))
    exercise.create(settings, origin="demo.example", keep=lambda _identity: None)
    tally = Tally()
    demo._check_database(settings, tally)
    store = Store(settings.database)
    with store.write() as conn:
        conn.exec_driver_sql("UPDATE event SET time = 5 WHERE seq = 1")
    store.close()

    demo._check_database(settings, tally)

    assert [True, False] == [each.held for each in tally.checks]
    assert "Row 1" in tally.checks[1].text


def test_invitation(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """In a terminal it tells what to try, gives a link to the console, and goes on until it is interrupted."""

    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("broker.demo.time.sleep", interrupt)

    demo._print_invitation(read_settings({}, data=str(tmp_path)), "http://127.0.0.1:8470", "http://the.link")

    out = capsys.readouterr().out
    assert "lintas follow --once --from-start" in out
    assert "lintas admin events --outcome refused" in out
    assert "lintas admin open --operator" in out
    assert "\n  http://the.link\n" in out
    assert out.endswith("stopped\n")


def test_link_to_the_console(exercise_hub: ExerciseHub) -> None:
    """The link that it prints signs an administrator in as operator."""
    link = demo._console_link(exercise_hub.settings, [exercise_hub.identity(exercise.SECOND_ADMIN)], exercise_hub.url)
    page = httpx.get(link, headers={"Sec-Fetch-Site": "none"})

    assert link.startswith(f"{exercise_hub.url}/console/sign-in/")
    assert 200 == page.status_code
    assert exercise.SECOND_ADMIN in page.text
    assert "operator" in page.text


def test_hub_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub process that ends, or never answers, is told with what it said."""
    ended = subprocess.Popen([sys.executable, "-c", "import sys; sys.exit('no luck')"], stderr=subprocess.PIPE)
    ended.wait()
    with pytest.raises(LintasError, match="no luck"):
        demo._wait_ready(ended, "http://127.0.0.1:9")
    assert ended.stderr is not None
    ended.stderr.close()

    monkeypatch.setattr(demo, "START_S_MAX", 0.2)
    silent = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with pytest.raises(LintasError, match="did not become ready"):
        demo._wait_ready(silent, f"http://127.0.0.1:{demo._free_port()}")
    silent.communicate(b"\n")
