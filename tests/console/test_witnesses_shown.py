"""What the Integrity page says of witnesses, read without a browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import ExerciseHub, ShiftedClock
from tests.console.conftest import REGISTRAR
from tests.witnesses import WITNESSES, cosigned, serve

HERE = {"Sec-Fetch-Site": "same-origin", "User-Agent": "test"}


@pytest.fixture
def witnessed(exercise_data: Path, clock: ShiftedClock) -> Iterator[ExerciseHub]:
    """A hub that asks two of three witnesses."""
    with serve(exercise_data, clock) as found:
        yield found


def page(hub: ExerciseHub) -> str:
    """Sign in as an administrator and return the text of the page, its tags as single spaces."""
    with httpx.Client(base_url=hub.url, headers=HERE) as http:
        token = {"Authorization": f"Bearer {hub.client(REGISTRAR).session.token()}", "Content-Type": "application/json"}
        link = json.loads(http.post("/v1/console/links", content=b"{}", headers=token).content)["path"]
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        cookie = http.post(link, headers=form).headers["set-cookie"].partition(";")[0]
        answer = http.get("/console/integrity", headers={"Cookie": cookie})
    assert 200 == answer.status_code
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text))


def test_witnesses_are_told(witnessed: ExerciseHub) -> None:
    """The page tells who cosigned what and when, who never did, and the newest checkpoint that has enough."""
    before = page(witnessed)
    note = httpx.get(f"{witnessed.url}/v1/log/checkpoint").content
    size = int(note.split(b"\n")[1])
    body = cosigned(note, *WITNESSES[:2], time=witnessed.hub.now())
    headers = {"Content-Type": "text/plain; charset=utf-8"}
    posted = httpx.post(f"{witnessed.url}/v1/log/cosignatures", content=body, headers=headers)
    after = page(witnessed)

    assert 201 == posted.status_code
    assert "At least 2 of 3 must cosign. No checkpoint has enough cosignatures yet." in before
    assert f"The newest witnessed checkpoint has {size} entries" in after
    assert 3 == before.count("never")
    assert 1 == after.count("never")
