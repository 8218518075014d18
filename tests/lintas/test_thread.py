"""Threads and due lists as a client takes them from a hub that may lie."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from lintas import due, thread
from lintas.draft import Draft, read_draft
from lintas.errors import HubUnreachable, LintasError, NotFound, Unverified
from lintas.request import Response

if TYPE_CHECKING:
    from tests.conftest import ExerciseHub
    from tests.lintas.conftest import Hostile

both_ways = pytest.mark.parametrize("way", ["Client", "AsyncClient"])

Draw = Callable[..., Draft]
Rows = list[dict[str, Any]]

ISSUER, READER, OTHER = "my-police", "sg-fiu", "th-cert"
RFI = {
    "title": "rfi",
    "summary": "FICTIONAL.",
    "questions": ["?"],
    "purpose": {"code": "investigation", "statement": "Fictional."},
    "case_ref": "SIM-1",
}


def say(hub: ExerciseHub, party: str, draft: Draw, title: str, **other: Any) -> str:
    """Publish a bulletin; return its id."""
    return hub.client(party).publish(draft(title, **other)).id


@pytest.fixture
def alert(hostile: Hostile, draft: Draw) -> str:
    """An alert of my-police to sg-fiu, with a comment of each of them."""
    line_id = say(hostile.hub, ISSUER, draft, "alert")
    say(hostile.hub, ISSUER, draft, "first", kind="comment", refs=[f"comments:{line_id}"])
    say(hostile.hub, READER, draft, "second", kind="comment", refs=[f"comments:{line_id}"], release_to=[ISSUER])
    return line_id


def lying(change: Callable[[Rows], Rows], path: str = "/thread", **headers: str) -> Any:
    """Change the rows of a thread on their way."""

    def tamper(request: httpx.Request, answer: httpx.Response) -> httpx.Response | None:
        if not request.url.path.endswith(path):
            return None
        rows = change([json.loads(row) for row in answer.text.splitlines()])
        kept = {name: value for name, value in answer.headers.items() if name != "content-length"}
        return httpx.Response(200, headers=kept | headers, content="".join(json.dumps(row) + "\n" for row in rows))

    return tamper


def titles(found: thread.Thread) -> list[str | None]:
    """Return the titles of a thread, states for what was withdrawn."""
    return [item.content.title if item.content is not None else item.state for item in found.items]


@both_ways
def test_thread(hostile: Hostile, alert: str) -> None:
    """A thread is fetched and verified, others' words and one's own, and summed up."""
    found = hostile.client.thread(alert)

    assert (["alert", "first", "second"], False) == (titles(found), found.is_cut)
    assert 2 == found.said().comments
    assert 0 == found.said(found.items[1].id).comments


def test_thread_page_by_page(hostile: Hostile, alert: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread of several pages is one thread."""
    monkeypatch.setattr(thread, "PAGE_LIMIT", 1)

    assert ["alert", "first", "second"] == titles(hostile.client.thread(alert))


def test_thread_of_what_is_not_ours(hostile: Hostile, draft: Draw) -> None:
    """The thread of a bulletin that was not released to us does not exist."""
    line_id = say(hostile.hub, ISSUER, draft, "not ours", release_to=[OTHER])

    with pytest.raises(NotFound):
        hostile.client.thread(line_id)


def test_own_thread_after_a_recall(hostile: Hostile, draft: Draw) -> None:
    """The place of an own bulletin that another desk of ours recalled is vouched for by the recall."""
    line_id = say(hostile.hub, READER, draft, "own", release_to=[ISSUER])
    content = {"title": "recall", "summary": "FICTIONAL.", "reason": "other"}
    recall = {"kind": "recall", "refs": [f"recalls:{line_id}"], "release_to": [ISSUER], "payload": content}
    say(hostile.hub, READER, draft, "", **recall)

    assert ["recalled", "recall"] == titles(hostile.client.thread(line_id))
    assert ["recalled", "recall"] == titles(hostile.hub.client(READER).thread(line_id))


def test_cut_thread(hostile: Hostile, alert: str) -> None:
    """A client tells when a hub says that a thread is longer."""
    hostile.middle.tamper = lying(lambda rows: rows, **{"lintas-thread": "cut"})

    assert hostile.client.thread(alert).is_cut


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: [*rows[:2], {**rows[2], "seq": rows[0]["seq"]}],
        lambda rows: [{**rows[0], "line": rows[0]["line"][:-4] + "AAAA"}, *rows[1:]],
        lambda rows: [{**rows[0], "seq": rows[0]["seq"] - 1}, *rows[1:]],
        lambda rows: [{"seq": 1, "line": 7}],
        lambda rows: [{"seq": 1, "id": rows[0]["line"][:43], "state": "lost"}],
    ],
    ids=["order", "signature", "place", "no-line", "no-state"],
)
def test_lying_thread(hostile: Hostile, alert: str, change: Callable[[Rows], Rows]) -> None:
    """A row that does not verify is not shown, and nothing else of the thread either."""
    hostile.middle.tamper = lying(change)

    with pytest.raises(Unverified):
        hostile.client.thread(alert)


def test_line_of_another_thread(hostile: Hostile, alert: str, draft: Draw) -> None:
    """A true bulletin that has nothing to do with the thread is not taken for a part of it."""
    say(hostile.hub, ISSUER, draft, "another")
    [*_, another] = [json.loads(row) for row in hostile.hub.get("/v1/bulletins", READER).text.splitlines()]
    hostile.middle.tamper = lying(lambda rows: [*rows, another])

    with pytest.raises(Unverified, match="does not belong"):
        hostile.client.thread(alert)


def test_line_that_the_log_never_released(hostile: Hostile, alert: str) -> None:
    """A line that the log does not release to us is not shown, though its signature is good."""
    hostile.client.sync()
    hostile.state._db.execute("DELETE FROM released WHERE id = ?", (alert,))

    with pytest.raises(Unverified, match="released"):
        hostile.client.thread(alert)


def test_place_that_nothing_vouches_for(hostile: Hostile, alert: str) -> None:
    """A withdrawal of what nobody knows is left out."""
    invented = {"seq": 10**6, "id": "A" * 43, "state": "recalled", "by": "A" * 43}
    hostile.middle.tamper = lying(lambda rows: [*rows, invented], **{"lintas-cursor": "1000000"})

    assert ["alert", "first", "second"] == titles(hostile.client.thread(alert))


def test_endless_thread(hostile: Hostile, alert: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub that sends more rows than any thread has is not listened to."""
    monkeypatch.setattr(thread, "THREAD_MAX", 2)

    with pytest.raises(Unverified, match="more than 2"):
        hostile.client.thread(alert)


@both_ways
def test_due(hostile: Hostile, draft: Draw) -> None:
    """What we owe and are owed comes as duties, open ones with who owes them."""
    asked = say(hostile.hub, ISSUER, draft, "", kind="rfi", payload=RFI)
    waiting = hostile.client.publish(read_draft(dict(RFI_DRAFT))).id

    found = hostile.client.due()

    assert {("to_answer", asked, ISSUER, READER), ("waiting_for_answer", waiting, READER, OTHER)} == {
        (duty.list, duty.id, duty.issuer, duty.agency) for duty in found
    }
    assert {("open", False, None)} == {(duty.state, duty.is_overdue, duty.due) for duty in found}


RFI_DRAFT = {
    "kind": "rfi",
    "topic": "cyber.scam",
    "tlp": "AMBER",
    "urgency": "routine",
    "release_to": [OTHER],
    "valid_for": "P1D",
    "payload": RFI,
}


@both_ways
@pytest.mark.parametrize("party", ["admin/registrar"])
def test_admin_due(hostile: Hostile) -> None:
    """An administrator reads what is overdue."""
    assert () == hostile.client.admin_due()


ROW: dict[str, Any] = {
    "id": "A" * 43,
    "seq": 5,
    "kind": "rfi",
    "urgency": "urgent",
    "issuer": ISSUER,
    "sent": None,
    "due": None,
    "overdue": False,
}
EMPTY: dict[str, Any] = {name: [] for name in due.LISTS} | {"next": None}


def told(hostile: Hostile, *pages: dict[str, Any] | bytes) -> Any:
    """Give the operation these answers; return what comes of it, an error too."""
    operation = due.due(hostile.client.session)
    next(operation)
    try:
        for page in pages:
            body = page if isinstance(page, bytes) else json.dumps(page).encode()
            operation.send(Response(200, {}, body))
    except StopIteration as stop:
        return stop.value
    except LintasError as fault:
        return fault
    raise AssertionError


def test_overdue_comes_first(hostile: Hostile) -> None:
    """What is overdue comes before what is due, what is due soon before what is due late, what never was sent last."""
    times = ["2026-11-24T03:00:00Z", "2026-11-23T03:00:00Z", None, "2026-11-20T03:00:00Z"]
    rows = [ROW | {"seq": seq, "due": moment, "overdue": seq == 0} for seq, moment in enumerate(times)]

    first = told(hostile, EMPTY | {"to_answer": rows[:2], "next": 1}, EMPTY | {"to_answer": rows[2:]})

    assert [0, 3, 1, 2] == [duty.seq for duty in first]


@pytest.mark.parametrize(
    "page",
    [
        b"<html>",
        b"[]",
        EMPTY | {"next": "5"},
        EMPTY | {"next": True},
        EMPTY | {"to_answer": None},
        EMPTY | {"to_answer": [7]},
        EMPTY | {"to_answer": [ROW | {"id": "x"}]},
        EMPTY | {"to_answer": [ROW | {"seq": -1}]},
        EMPTY | {"to_answer": [ROW | {"kind": "x"}]},
        EMPTY | {"to_answer": [ROW | {"issuer": "\x1b[2J"}]},
        EMPTY | {"to_answer": [ROW | {"due": "soon"}]},
        EMPTY | {"to_answer": [ROW | {"overdue": 1}]},
        EMPTY | {"waiting_for_answer": [ROW]},
        EMPTY | {"waiting_for_answer": [ROW | {"agencies": [{"agency": OTHER, "state": "asleep"}]}]},
    ],
    ids=repr,
)
def test_unreadable_due(hostile: Hostile, page: dict[str, Any] | bytes) -> None:
    """A list that is none is the hub's fault, told as such."""
    assert HubUnreachable is type(told(hostile, page))


def test_endless_due(hostile: Hostile) -> None:
    """A list that never ends is not listened to."""
    assert HubUnreachable is type(told(hostile, *[EMPTY | {"next": 5}] * due.PAGES_MAX))
