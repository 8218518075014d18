"""What could not be read and now can: a feed goes back for it, shows it once, keeps its place."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

import httpx
import pytest

from lintas import feed, pages
from lintas.draft import Draft
from lintas.errors import Withheld
from tests.lintas.conftest import Hostile
from tests.lintas.test_follow import Follower
from tests.lintas.test_follow import impatient as impatient  # noqa: PLC0414 - a fixture

Draw = Callable[..., Draft]
Close = Callable[[Hostile], None]
ISSUER, READER = "my-police", "sg-fiu"
both_clients = pytest.mark.parametrize("way", ["Client", "AsyncClient"])


def order(hostile: Hostile, act: str, **arguments: object) -> None:
    """Give an order; two of one second that say the same would be one line."""
    hostile.hub.clock.advance(1)
    hostile.hub.order(act, agency=READER, **arguments)


def suspend(hostile: Hostile) -> None:
    """Suspend the reader."""
    order(hostile, "suspend", reason="audit")


def resume(hostile: Hostile) -> None:
    """End the suspension."""
    order(hostile, "resume")


def narrow(hostile: Hostile) -> None:
    """Take everything but CLEAR away from the reader."""
    order(hostile, "ceiling", tlp="CLEAR")


def widen(hostile: Hostile) -> None:
    """Give the reader all of it back."""
    order(hostile, "ceiling", tlp="AMBER+STRICT")


both_causes = pytest.mark.parametrize(("close", "open_"), [(suspend, resume), (narrow, widen)], ids=["stand", "grant"])


def publish(hostile: Hostile, draft: Draw, title: str, **other: Any) -> str:
    """Publish to all partners, which narrows with each reading, not once for all; return the id."""
    members = {"tlp": "GREEN", "release_to": ["asean-all"]} | other
    found: str = hostile.hub.client(ISSUER).publish(draft(title, **members)).id
    return found


def once(hostile: Hostile, **options: Any) -> list[str | None]:
    """Follow up to the present; return the titles that were shown."""
    items = hostile.client.follow(once=True, **options)
    return [None if item.content is None else item.content.title for item in items]


def meanwhile(hostile: Hostile, act: Callable[[], None], path: str = "/v1/bulletins") -> None:
    """Act once, when the hub has answered a request for this path that the client has not seen the answer of."""
    waiting = [act]

    def tamper(request: httpx.Request, _answer: httpx.Response) -> None:
        if request.url.path == path and waiting:
            waiting.pop()()

    hostile.middle.tamper = tamper


@both_clients
@both_causes
def test_once(hostile: Hostile, draft: Draw, close: Close, open_: Close) -> None:
    """What came while we could not read is shown after it, once; what was shown before is not shown again."""
    publish(hostile, draft, "before")
    first = once(hostile)
    close(hostile)
    publish(hostile, draft, "missed")
    closed = once(hostile)
    open_(hostile)
    publish(hostile, draft, "after")

    assert (["before"], []) == (first, closed)
    assert ["after", "missed"] == sorted(map(str, once(hostile)))
    assert [] == once(hostile)


@both_causes
def test_widened_while_a_page_is_under_way(hostile: Hostile, draft: Draw, close: Close, open_: Close) -> None:
    """A page asked for before a grant widened passes what it could not show: the feed goes back, no alarm is raised."""
    close(hostile)
    publish(hostile, draft, "missed")
    recalled = publish(hostile, draft, "clear", tlp="CLEAR")
    payload = {"title": "recall", "summary": "Wrong.", "reason": "false-positive"}
    publish(hostile, draft, "", kind="recall", tlp="CLEAR", refs=[f"recalls:{recalled}"], payload=payload)
    meanwhile(hostile, lambda: open_(hostile))

    shown = once(hostile)

    assert (1, 1) == (shown.count("missed"), shown.count("recall"))
    assert [] == once(hostile)


@pytest.mark.parametrize("poll", [True, False], ids=["poll", "stream"])
@both_causes
def test_following(hostile: Hostile, draft: Draw, close: Close, open_: Close, *, poll: bool) -> None:
    """A follower that stays shows what it missed once it may read again, by polls as by the stream."""
    publish(hostile, draft, "before")
    follower = Follower(hostile, poll=poll)
    follower.wait_for("before")
    close(hostile)
    publish(hostile, draft, "missed")
    open_(hostile)
    publish(hostile, draft, "after")
    follower.wait_for_all("before", "missed", "after")
    publish(hostile, draft, "last")

    follower.wait_for_all("before", "missed", "after", "last")


def test_killed_between_going_back_and_the_page(hostile: Hostile, draft: Draw) -> None:
    """Going back is on disk before the page is asked for: the next process shows what was missed, nothing twice."""
    publish(hostile, draft, "before")
    once(hostile)
    suspend(hostile)
    publish(hostile, draft, "missed")
    publish(hostile, draft, "missed too")
    once(hostile)
    resume(hostile)
    hostile.client.sync()
    pages.ask_page(hostile.client.session)

    assert ["missed", "missed too"] == once(hostile)


def test_killed_within_the_page(hostile: Hostile, draft: Draw) -> None:
    """One killed between two items that it went back for goes on with the second."""
    suspend(hostile)
    publish(hostile, draft, "missed")
    publish(hostile, draft, "missed too")
    once(hostile)
    resume(hostile)
    hostile.client.sync()
    # The next step takes the first item over; there it ends.
    for _item in islice(hostile.client.follow(once=True), 2):
        pass

    assert ["missed too"] == once(hostile)


def test_second_time_while_going_back(hostile: Hostile, draft: Draw) -> None:
    """A second suspension that ends before all of the first was shown loses nothing."""
    publish(hostile, draft, "before")
    once(hostile)
    for title in ("missed", "missed too"):
        suspend(hostile)
        publish(hostile, draft, title)
        once(hostile)
        resume(hostile)
        hostile.client.sync()
        pages.ask_page(hostile.client.session)

    assert ["missed", "missed too"] == once(hostile)


def test_nothing_missed(hostile: Hostile, draft: Draw) -> None:
    """A suspension without bulletins costs no page more."""
    publish(hostile, draft, "before")
    suspend(hostile)
    resume(hostile)
    before = len(hostile.middle.requests)

    assert ["before"] == once(hostile)
    assert 1 == [line for line, _ in hostile.middle.requests[before:]].count("GET /v1/bulletins")


@both_causes
def test_recalled_meanwhile(hostile: Hostile, draft: Draw, close: Close, open_: Close) -> None:
    """What was recalled before we might read it is shown in its place as recalled, its recall once."""
    close(hostile)
    target = publish(hostile, draft, "missed")
    payload = {"title": "recall", "summary": "Wrong.", "reason": "false-positive"}
    publish(hostile, draft, "", kind="recall", refs=[f"recalls:{target}"], payload=payload)
    closed = once(hostile)
    open_(hostile)
    hostile.client.sync()
    items = list(hostile.client.follow(once=True))

    assert ["recall"] == closed
    assert [(target, "recalled")] == [(item.id, item.state) for item in items]


def test_withheld_though_gone_back(hostile: Hostile, draft: Draw) -> None:
    """A hub that keeps back what it may now show is found out."""
    suspend(hostile)
    publish(hostile, draft, "missed")
    once(hostile)
    resume(hostile)

    def tamper(request: httpx.Request, answer: httpx.Response) -> httpx.Response | None:
        if request.url.path != "/v1/bulletins":
            return None
        headers = {"Lintas-Cursor": answer.headers["Lintas-Cursor"]}
        return httpx.Response(200, headers=headers, content=b"", request=request)

    hostile.middle.tamper = tamper
    hostile.client.sync()

    with pytest.raises(Withheld):
        once(hostile)


def test_all_again(hostile: Hostile, draft: Draw) -> None:
    """Whoever begins again is shown everything, what it went back for too."""
    publish(hostile, draft, "before")
    suspend(hostile)
    publish(hostile, draft, "missed")
    once(hostile)
    resume(hostile)
    once(hostile)
    feed.begin_again(hostile.client.session)

    assert ["before", "missed"] == once(hostile)


@both_causes
def test_subscription_while_a_page_is_under_way(hostile: Hostile, draft: Draw, close: Close, open_: Close) -> None:
    """The page of a subscription asked for before a grant widened is no evidence: it comes again with the rest."""
    hostile.client.subscribe("desk", {"topic": ["cyber"]}, start="beginning")
    close(hostile)
    publish(hostile, draft, "missed")
    recalled = publish(hostile, draft, "clear", tlp="CLEAR")
    payload = {"title": "recall", "summary": "Wrong.", "reason": "false-positive"}
    publish(hostile, draft, "", kind="recall", tlp="CLEAR", refs=[f"recalls:{recalled}"], payload=payload)
    meanwhile(hostile, lambda: open_(hostile), "/v1/subscriptions/desk/bulletins")

    shown = once(hostile, subscription="desk") + once(hostile, subscription="desk")

    assert (1, 1) == (shown.count("missed"), shown.count("recall"))
