"""The how-tos on exchange run as they are printed, those on recalls, imports, the gateway too."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ExerciseHub

HOWTO = Path(__file__).resolve().parents[2] / "docs/howto"


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("requests", ["not sent yet", "answers     sg-fiu negative, th-cert refused (investigation)"]),
        ("consent", ["consent     granted by my-police for sg-fiu: pass-on to vn-police, Criminal Court (FICTIONAL)"]),
        ("recall", ["SUPERSEDED", "recalled in part by", "wait for  sg-fiu", "acknowledge to"]),
        ("import", ["kit.draft.json", "it compares with LIKE", "2 things are not in the drafts", '"203.0.113.77"']),
        (
            "gateway",
            [
                '"state":"held"',
                "draft 1: approved",
                '"state":"published"',
                "not carried over: malware--0c7b",
                '"bulletins":[',
            ],
        ),
        ("feedback", ["feedback   3", "actioned        1", "freezes  3", "wait for"]),
    ],
)
def test_howto_runs(exercise_hub: ExerciseHub, page: str, said: list[str]) -> None:
    """Every command of the page does what the page says, one after the other, in a shell."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", (HOWTO / f"{page}.md").read_text(), re.MULTILINE | re.DOTALL)
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.defpath}",
        "LINTAS_HUB": exercise_hub.url,
        "LINTAS_PASSPHRASE_FILE": "hub/passphrase",
    }

    done = subprocess.run(
        # What a page starts in the background ends with it, also where it stops halfway.
        ["bash", "-euo", "pipefail", "-c", "\n".join(["trap 'kill $(jobs -p) 2>/dev/null || true' EXIT", *blocks])],
        cwd=exercise_hub.data.parent,
        env=environment,
        capture_output=True,
        check=False,
        text=True,
    )

    assert (0, []) == (done.returncode, [words for words in said if words not in done.stdout]), (
        done.stdout + done.stderr
    )
