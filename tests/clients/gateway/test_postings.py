"""Postings with their drafts, and what became of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from clients.gateway.database import Database
from clients.gateway.postings import Posted, Posting, Postings
from lintas.imported import Import, Omission

TWO = Import(({"n": 1}, {"n": 2}), (Omission("malware--1", "No place."),))


@pytest.fixture
def postings(tmp_path: Path) -> Postings:
    """No postings yet."""
    return Postings(Database(tmp_path / "gateway"))


def add(postings: Postings, found: Import | str = TWO, *, key: str = "k", publishes: bool = False) -> Posting:
    """Post something."""
    posted = Posted(key=key, channel="http", name="n", objects=[("report--1", "v")])
    return postings.add(posted, found, publishes=publishes, now_us=5)


def states(postings: Postings) -> list[str]:
    """Return the states of all postings, the newest first."""
    return [each.state for each in postings.newest(10)]


def test_kept_as_posted(postings: Postings) -> None:
    """A posting has its drafts, its objects and what was left out; its drafts wait for an officer."""
    found = add(postings)

    assert ("held", False, (("report--1", "v"),), TWO.omitted) == (
        found.state,
        found.is_over,
        found.objects,
        found.omitted,
    )
    assert [({"n": 1}, "held"), ({"n": 2}, "held")] == [(each.members, each.state) for each in postings.held()]


def test_approved_at_once(postings: Postings) -> None:
    """A gateway that publishes asks nobody."""
    assert "waiting" == add(postings, publishes=True).state
    assert 2 == len(postings.approved())


def test_same_content(postings: Postings) -> None:
    """The same content is the same posting, whatever became of it, unless that was a refusal."""
    first = add(postings)
    second = add(postings)
    for row in postings.held():
        postings.discard(row.number)
    third = add(postings)

    assert [first.number] * 2 == [second.number, third.number]
    assert (["discarded"], third.uuid) == (states(postings), first.uuid)


def test_refused_content_is_tried_again(postings: Postings) -> None:
    """What was refused may be posted again, under another status id and other tags."""
    first = add(postings, "Not now.")
    second = add(postings)

    assert ["held", "refused"] == states(postings)
    assert (True, None) == (first.uuid != second.uuid, second.problem)
    assert ["gateway:k:0:2", "gateway:k:1:2"] == [each.tag for each in second.drafts]


def test_only_the_refused_part_again(postings: Postings) -> None:
    """Of a posting that was refused in part, what was published is not made a second time."""
    one, two = add(postings, publishes=True).drafts
    postings.publish(one.number, "line", 7)
    postings.refuse(two.number, "No.")
    again = add(postings, publishes=True)

    assert ["gateway:k:1:2"] == [each.tag for each in again.drafts]


def test_decided_once(postings: Postings) -> None:
    """A draft is approved or discarded once, and by one."""
    one, two = add(postings).drafts

    assert [True, False, False] == [
        postings.approve(one.number, ["id-police"]),
        postings.discard(one.number),
        postings.approve(one.number, ["th-police"]),
    ]
    assert (("id-police",), True) == (postings.approved()[0].release_to, postings.discard(two.number))


def test_state_of_a_posting(postings: Postings) -> None:
    """A posting is over when nothing of it waits; one refusal makes it refused."""
    one, two = add(postings).drafts
    seen = []

    def look() -> None:
        seen.append(states(postings)[0])

    postings.approve(one.number, [])
    look()
    postings.publish(one.number, "line", 7)
    look()
    postings.approve(two.number, [])
    look()
    postings.wait(two.number, "busy")
    look()
    postings.publish(two.number, "line", 8)
    look()

    assert ["held", "held", "waiting", "waiting", "published"] == seen
    assert {"published": 2} == postings.counts()
    done = postings.draft(two.number)
    assert done is not None
    assert ("line", 8, None) == (done.line, done.seq, done.problem)


def test_decided_drafts_lose_their_content(postings: Postings) -> None:
    """Once it is published, refused or discarded, nothing of a draft's content stays here."""
    one, two = add(postings, publishes=True).drafts
    postings.publish(one.number, "line", 7)
    postings.refuse(two.number, "No.")
    third = add(postings, key="other").drafts[0]
    postings.discard(third.number)

    assert [{}, {}, {}] == [row.members for each in (one, two, third) if (row := postings.draft(each.number))]


def test_found_by_status_id(postings: Postings) -> None:
    """A posting is found by the id of its status; an unknown one is none."""
    found = postings.by_uuid(add(postings).uuid)

    assert found is not None
    assert (None, None) == (postings.by_uuid("x"), postings.get(99))
