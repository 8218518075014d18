"""Long polls: an empty page waits for news, no longer than allowed, for nobody who has left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

import httpx
import pytest

from broker import wakeup
from lintas.header import KEY
from tests.broker.conftest import Desks, problem_of
from tests.conftest import wait_until

ISSUER, READER, OTHER = "my-police", "sg-fiu", "th-cert"


def feed(desks: Desks, prefer: str, party: str = READER, query: str = "") -> httpx.Response:
    """Ask for a page with a preference, from where the log ends."""
    after = desks.hub.writer._head.size - 1  # type: ignore[union-attr]
    return desks.get(f"/v1/bulletins?after={after}{query}", party, Prefer=prefer)


def waiting(desks: Desks) -> int:
    """Return how many requests wait."""
    return len(desks.hub.wakeup._bells)


def start(ask: Callable[[], httpx.Response], desks: Desks) -> Future[httpx.Response]:
    """Ask from a thread of its own; return once the hub has the request waiting."""
    before, asked = waiting(desks), Future[httpx.Response]()
    threading.Thread(target=lambda: asked.set_result(ask()), daemon=True).start()
    wait_until(lambda: waiting(desks) > before)
    return asked


@pytest.mark.parametrize("to", [[READER], ["*"]])
def test_news_end_the_wait(desks: Desks, to: list[str]) -> None:
    """A bulletin for the reader, by name or for everyone, is the answer, at once and recorded."""
    asked = start(lambda: feed(desks, "wait=30"), desks)
    began = time.monotonic()
    line = desks.publish(ISSUER, to, tlp="GREEN")
    answer = asked.result(20)

    assert line.raw in answer.content
    assert time.monotonic() - began < 2
    assert "wait=30" == answer.headers["preference-applied"]
    assert 1 == len(desks.details(kind="bulletin.sent", party=READER))


def test_nothing_comes(desks: Desks) -> None:
    """When nothing comes the page is empty, its cursor good, and nothing is recorded."""
    began = time.monotonic()
    answer = feed(desks, "wait=1")
    took_s = time.monotonic() - began

    assert (200, b"") == (answer.status_code, answer.content)
    assert 0.9 < took_s < 3
    assert b"" == desks.get(f"/v1/bulletins?after={answer.headers['lintas-cursor']}", READER).content
    assert [] == desks.details(kind="bulletin.sent")


def test_what_others_get_is_no_news(desks: Desks) -> None:
    """A bulletin for others, or one outside the filter, goes on waiting."""
    asked = start(lambda: feed(desks, "wait=2", query="&urgency=flash"), desks)
    desks.publish(ISSUER, [OTHER])
    desks.publish(ISSUER, [READER])
    time.sleep(0.3)
    still_waiting = waiting(desks)
    line = desks.publish(ISSUER, [READER], urgency="flash")

    assert 1 == still_waiting
    assert line.raw in asked.result(20).content


def test_a_page_that_is_there_does_not_wait(desks: Desks) -> None:
    """A page with rows comes at once."""
    line = desks.publish(ISSUER, [READER])
    began = time.monotonic()
    answer = desks.get("/v1/bulletins", READER, Prefer="wait=30")

    assert line.raw in answer.content
    assert time.monotonic() - began < 2


def test_longest_wait(desks: Desks) -> None:
    """A longer wait than allowed is shortened, and the answer says so."""
    asked = start(lambda: feed(desks, "wait=9999"), desks)
    desks.publish(ISSUER, [READER])

    assert "wait=60" == asked.result(20).headers["preference-applied"]


@pytest.mark.parametrize("prefer", ["wait=-1", "wait=x", "wait=", "wait=1.5", "wait=1e3", "wait=" + "9" * 40, "wait=٣"])
def test_bad_wait(shared: Desks, prefer: str) -> None:
    """A wait that is no number of seconds is refused."""
    token = shared.session(READER).token()
    headers = {"Authorization": f"Bearer {token}", "Prefer": prefer.encode()}
    answer = shared.http.get(shared.url + "/v1/bulletins?after=0", headers=headers)  # type: ignore[arg-type]

    assert (400, "bad-request", "Prefer") == problem_of(answer)


@pytest.mark.parametrize("prefer", ["respond-async", "wait=0", "return=minimal, handling=lenient", "waiting=30", ""])
def test_other_preferences(shared: Desks, prefer: str) -> None:
    """Other preferences, and a wait of nothing, change nothing."""
    answer = feed(shared, prefer)

    assert (200, None) == (answer.status_code, answer.headers.get("preference-applied"))


@pytest.mark.parametrize("prefer", ["WAIT=1", 'respond-async, wait="1"', "wait = 1; foo=bar", "wait=1, wait=30"])
def test_forms_of_wait(shared: Desks, prefer: str) -> None:
    """The forms of RFC 7240 are understood; of several the first counts."""
    assert "wait=1" == feed(shared, prefer).headers["preference-applied"]


def test_revoked_while_waiting(desks: Desks) -> None:
    """A revocation ends the wait with 401."""
    asked = start(lambda: feed(desks, "wait=30"), desks)
    session = desks.session(READER)
    desks.post(session.sign_revocation("keyCompromise", session.now()), KEY)

    assert (401, "unauthorized", None) == problem_of(asked.result(20))


def test_other_changes_of_the_directory(desks: Desks) -> None:
    """A change that does not concern the reader's key goes on waiting."""
    asked = start(lambda: feed(desks, "wait=2"), desks)
    desks.order("ceiling", agency=OTHER, tlp="GREEN")

    assert (200, b"") == (asked.result(20).status_code, asked.result().content)


def test_reader_that_leaves(desks: Desks) -> None:
    """A request whose client left is given up at once."""
    token = desks.session(READER).token()
    with httpx.Client(timeout=0.5) as http, pytest.raises(httpx.ReadTimeout):
        http.get(f"{desks.url}/v1/bulletins?after=1", headers={"Authorization": f"Bearer {token}", "Prefer": "wait=30"})

    wait_until(lambda: waiting(desks) == 0, 2)


def test_too_many(desks: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agency, and all together, have so many waiting requests; a place is free again afterwards."""
    monkeypatch.setattr(wakeup, "BELLS_PER_AGENCY_MAX", 1)
    monkeypatch.setattr(wakeup, "BELLS_MAX", 2)
    asked = [start(lambda party=party: feed(desks, "wait=30", party), desks) for party in (READER, OTHER)]  # type: ignore[misc]
    refused = [feed(desks, "wait=30", party) for party in (READER, ISSUER)]
    desks.publish(ISSUER, ["*"], tlp="GREEN")
    answers = [each.result(20) for each in asked]

    assert [(503, "busy", None)] * 2 == [problem_of(answer) for answer in refused]
    assert [200, 200] == [answer.status_code for answer in answers]
    assert 200 == feed(desks, "wait=1").status_code


def test_server_stops(desks: Desks) -> None:
    """A hub that stops answers at once what waits."""
    asked = start(lambda: feed(desks, "wait=30"), desks)
    began = time.monotonic()
    desks.hub.wakeup._loop.call_soon_threadsafe(desks.hub.wakeup.stop)  # type: ignore[union-attr]

    assert 200 == asked.result(20).status_code
    assert time.monotonic() - began < 2
