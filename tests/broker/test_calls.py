"""What a call says and when it is tried again, decided from values."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from broker import calls
from broker.delivery import Row
from broker.store.webhooks import ACTIVE, DEAD, PENDING, Webhook
from lintas.strict import canonical
from tests.broker.conftest import Desks

HOOK = Webhook("sg-fiu", "feed", "https://a.example/", ACTIVE, 7, 0, None, None, 0, "kid")
NOW = 1_795_467_600


def row_of(desks: Desks, *, marks: tuple[str, ...] = (), **changes: Any) -> Row:
    """Return the row of a bulletin as a feed has it."""
    line = desks.bulletin("my-police", ["sg-fiu"], **changes)
    members = {"seq": 9, "line": line.raw.decode()} | ({"marks": list(marks)} if marks else {})
    return Row(9, line.id, line.header.iss, canonical(members) + b"\n", is_line=True, urgency=line.header.urgency)


@pytest.mark.parametrize("tlp", ["CLEAR", "GREEN", "AMBER"])
def test_line(inner: Desks, tlp: str) -> None:
    """A bulletin up to AMBER goes as its line."""
    row = row_of(inner, tlp=tlp)

    call = calls.call_of(calls.as_pushed(row))

    assert json.loads(row.data)["line"].encode() == call.body
    assert (row.id, {"Lintas-Seq": "9"}) == (call.subject, call.headers)


@pytest.mark.parametrize("tlp", ["AMBER+STRICT", "RED"])
def test_notice(inner: Desks, tlp: str) -> None:
    """AMBER+STRICT and RED go as notices: six facts, nothing of the payload, and they count as not sent."""
    row = row_of(inner, tlp=tlp, urgency="flash")

    pushed = calls.as_pushed(row)
    call = calls.call_of(pushed)

    facts = {"tlp": tlp, "urgency": "flash", "kind": "alert"}
    assert {"type": "bulletin.notice", "seq": 9, "id": row.id, **facts} == json.loads(call.body)
    assert not pushed.is_line
    assert f"{row.id}/notice" == call.subject


def test_marks(inner: Desks) -> None:
    """Marks stand in a header, as they do when a bulletin is fetched."""
    call = calls.call_of(calls.as_pushed(row_of(inner, marks=("suspect", "recalled-in-part"))))

    assert {"Lintas-Seq": "9", "Lintas-Marks": "suspect, recalled-in-part"} == call.headers


def test_state() -> None:
    """What became of a bulletin is another subject than the bulletin."""
    row = Row(9, "A" * 43, "my-police", b'{"id":"x","seq":9,"state":"expired"}\n', is_line=False)

    call = calls.call_of(calls.as_pushed(row))

    assert {"type": "bulletin.state", "id": "x", "seq": 9, "state": "expired"} == json.loads(call.body)
    assert f"{'A' * 43}/expired" == call.subject


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"secret", True),
        (b" secret\r\n", True),
        (b'{"challenge":"secret"}', True),
        (b'{"challenge":"secret","type":"webhook.challenge"}', False),
        (b'{"challenge":7}', False),
        (b'{"secret":"secret"}', False),
        (b"secret!", False),
        (b"", False),
        (b"\xff\xfe", False),
        (b"[" * 4000, False),
    ],
)
def test_challenge(body: bytes, *, expected: bool) -> None:
    """The challenge is met by itself, alone or as the only member of an object; an echo of the call is no answer."""
    assert expected == calls.is_met("secret", body)


@pytest.mark.parametrize(
    ("tries", "pause_s"), [(0, 5), (1, 30), (2, 120), (3, 600), (4, 3600), (5, 10_800), (9, 10_800)]
)
def test_pauses(tries: int, pause_s: int) -> None:
    """The pause grows with the failures up to three hours."""
    hook = replace(HOOK, tries=tries, since=NOW - 60)

    found = calls.failed(hook, now=NOW, gone=False, wait_s=None, spread=0.0)

    assert replace(hook, tries=tries + 1, code="not-delivered", next_at=NOW + pause_s) == found


@pytest.mark.parametrize(("spread", "pause_s"), [(-1.0, 480), (1.0, 720)])
def test_spread(spread: float, pause_s: int) -> None:
    """A pause is up to a fifth longer or shorter."""
    hook = replace(HOOK, tries=3, since=NOW)

    assert NOW + pause_s == calls.failed(hook, now=NOW, gone=False, wait_s=None, spread=spread).next_at


@pytest.mark.parametrize(("wait_s", "pause_s"), [(1, 5), (60, 60), (10**9, 21_600)])
def test_put_off(wait_s: int, pause_s: int) -> None:
    """A receiver lengthens a pause, up to six hours, and never shortens it."""
    assert NOW + pause_s == calls.failed(HOOK, now=NOW, gone=False, wait_s=wait_s, spread=0.0).next_at


@pytest.mark.parametrize(("age_s", "state"), [(3 * 86_400 - 1, ACTIVE), (3 * 86_400, DEAD)])
def test_dead(age_s: int, state: str) -> None:
    """A webhook dies with the first failure three days after the first one."""
    hook = replace(HOOK, tries=20, since=NOW - age_s)

    assert state == calls.failed(hook, now=NOW, gone=False, wait_s=None, spread=0.0).state


def test_first_failure() -> None:
    """The row of failures begins with the first one."""
    assert NOW == calls.failed(HOOK, now=NOW, gone=False, wait_s=None, spread=0.0).since


def test_gone() -> None:
    """A receiver that is gone for good ends the webhook at once."""
    found = calls.failed(HOOK, now=NOW, gone=True, wait_s=None, spread=0.0)

    assert (DEAD, "gone", NOW) == (found.state, found.code, found.since)


def test_succeeded() -> None:
    """A call that was taken over ends the row of failures and proves a pending webhook."""
    hook = replace(HOOK, state=PENDING, tries=3, since=NOW, code="not-delivered", next_at=NOW)

    assert HOOK == calls.succeeded(hook)


def test_revoked() -> None:
    """A webhook whose key was revoked is dead since then."""
    assert replace(HOOK, state=DEAD, since=NOW, code="key-revoked") == calls.revoked(HOOK, now=NOW)
