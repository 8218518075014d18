"""Tests of interests and watch lists from the client's side: what is signed, what is believed of the answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from lintas import matching
from lintas.draft import Draft
from lintas.errors import DataProtection, LintasError, MalformedPayload, NotFound, OrderConflict, Unverified
from lintas.lint import Finding

if TYPE_CHECKING:
    from tests.lintas.conftest import Hostile

both_ways = pytest.mark.parametrize("way", ["Client", "AsyncClient"])
Draw = Callable[..., Draft]

PHONE, DOMAIN = ("phone", "+6542995883"), ("domain", "lotustrade.example")
DAY = 86_400
RECALL = {"title": "withdrawn", "summary": "x", "reason": "legal"}
CARD = "4111 1111 1111 1111"


def register(hostile: Hostile, party: str = "sg-fiu", **changes: Any) -> str:
    """Register an interest of a party; return its id."""
    client = hostile.client if party == "sg-fiu" else hostile.hub.client(party)
    arguments: dict[str, Any] = {"mode": "open", "case_ref": f"SIM-{party}", "for_s": DAY} | changes
    answer = client.register_interest([("phone", "+65 4299 5883"), DOMAIN], **arguments)
    return str(answer.id)


def tamper_with(hostile: Hostile, change: Callable[[dict[str, Any]], object]) -> None:
    """Change what the hub says of the first interest."""

    def tamper(request: httpx.Request, answer: httpx.Response) -> httpx.Response | None:
        if not request.url.path.startswith("/v1/interests"):
            return None
        members = answer.json()
        change(members["interests"][0] if "interests" in members else members)
        return httpx.Response(200, content=json.dumps(members).encode())

    hostile.middle.tamper = tamper


@both_ways
def test_deconfliction(hostile: Hostile) -> None:
    """An interest is registered canonical, checked at the next minute, told of the other agency, then ended."""
    mine = register(hostile)
    register(hostile, "my-police", mode="contact")
    hostile.hub.clock.advance(60)

    (found,) = hostile.client.interests()

    told = [("domain", "lotustrade.example", "my-police", None), ("phone", "+6542995883", "my-police", None)]
    assert (mine, "open", "SIM-sg-fiu", (DOMAIN, PHONE)) == (found.id, found.mode, found.case_ref, found.values)
    assert told == [(each.type, each.value, each.agency, each.case_ref) for each in found.told]
    assert found.is_checked
    assert found == hostile.client.interest(mine)
    (other,) = hostile.hub.client("my-police").interests()
    assert ["SIM-sg-fiu"] * 2 == [each.case_ref for each in other.told]
    hostile.client.end_interest(mine)
    assert () == hostile.client.interests()
    # In the same second it would be the same line, which is accepted already.
    hostile.hub.clock.advance(1)
    with pytest.raises(OrderConflict):
        hostile.client.end_interest(mine)


@both_ways
def test_watch_list(hostile: Hostile, draft: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list shows the verified bulletins that have its indicators, page by page, with their withdrawals alone."""
    monkeypatch.setattr("lintas.matching.PAGE_LIMIT", 1)
    police = hostile.hub.client("my-police")
    ids: list[str] = []
    for title, value in (("first", "lotustrade.example"), ("other", "else.example"), ("last", "lotustrade.example"),
                         ("another", "else.example")):  # fmt: skip
        payload = {"title": title, "summary": "x", "indicators": [{"type": "domain", "value": value, "role": "x"}]}
        ids.append(police.publish(draft(title, payload=payload)).id)
    indicators = [{"type": "domain", "value": "lotustrade.example", "role": "x"}]
    newer = {"title": "newer", "summary": "x", "indicators": indicators}
    police.publish(draft("", refs=[f"supersedes:{ids[1]}"], payload=newer))
    police.publish(draft("", kind="recall", refs=[f"recalls:{ids[3]}"], payload=RECALL))
    police.publish(draft("", kind="recall", refs=[f"recalls:{ids[2]}"], payload=RECALL))
    hostile.client.set_watch("case-1", [DOMAIN, ("domain", "LOTUSTRADE.example")])

    shown = [each.state or each.content.title for each in hostile.client.watched("case-1")]

    assert (["first", "recalled", "newer", "withdrawn"], {"case-1": 1}) == (shown, hostile.client.watches())
    hostile.client.set_watch("case-1", [])
    assert {} == hostile.client.watches()
    with pytest.raises(NotFound):
        list(hostile.client.watched("case-1"))


def test_values_of_people() -> None:
    """What people write is made canonical, sorted, each once; a name alone is refused before anything is signed."""
    written = [("phone", "+65 4299 5883"), PHONE, ("domain", "LotusTrade.example")]

    assert [{"type": kind, "value": value} for kind, value in (DOMAIN, PHONE)] == matching.canonical_values(written)
    with pytest.raises(MalformedPayload, match="birth date"):
        matching.canonical_values([("person", "FICTIONAL<<ARJUNA")])


def test_malformed_is_not_sent(hostile: Hostile) -> None:
    """An order that the hub would refuse for its form never leaves: it holds values."""
    hostile.middle.requests.clear()

    with pytest.raises(MalformedPayload):
        hostile.client.register_interest([PHONE], mode="loud", case_ref="x", for_s=DAY)
    with pytest.raises(MalformedPayload):
        hostile.client.set_watch("no name", [PHONE])

    assert [] == hostile.middle.requests


LIES: dict[str, Callable[[dict[str, Any]], object]] = {
    "another interest": lambda row: row.update(id="A" * 43),
    "no id": lambda row: row.pop("id"),
    "no list": lambda row: row.update(told=None),
    "no place": lambda row: row["told"][0].update(place=2),
    "negative place": lambda row: row["told"][0].update(place=-1),
    "no agency": lambda row: row["told"][0].update(agency="\x1b[2J"),
    "silent one": lambda row: row["told"][0].update(mode="silent"),
    "no case": lambda row: row["told"][0].update(case_ref="x\u202ey"),
    "no row": lambda row: row.update(told=[7]),
}


@pytest.mark.parametrize("lie", LIES)
def test_hostile_results(hostile: Hostile, lie: str) -> None:
    """Results in another form, or of an interest that the proven log does not have, are not shown."""
    mine = register(hostile)
    register(hostile, "my-police")
    hostile.hub.clock.advance(60)
    assert 2 == len(hostile.client.interest(mine).told)
    tamper_with(hostile, LIES[lie])

    for read in (hostile.client.interests, lambda: hostile.client.interest(mine)):
        with pytest.raises(Unverified):
            read()


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"interests":7,"watches":7}', b'{"interests":[7],"watches":[7]}']
)
def test_shapeless_answer(hostile: Hostile, body: bytes) -> None:
    """An answer that is none is refused, not read."""
    hostile.middle.tamper = lambda request, _answer: (
        None if request.url.path.startswith("/v1/log") else httpx.Response(200, content=body)
    )

    for read in (hostile.client.interests, hostile.client.watches, lambda: hostile.client.interest("A" * 43)):
        with pytest.raises(Unverified):
            read()


def test_swapped_answer(hostile: Hostile) -> None:
    """The answer for another interest of ours is not taken for the one asked for."""
    mine, second = register(hostile), register(hostile, case_ref="SIM-2")
    hostile.middle.tamper = lambda request, _answer: (
        httpx.Response(200, content=hostile.hub.get(f"/v1/interests/{second}", "sg-fiu").content)
        if request.url.path.endswith(mine)
        else None
    )

    with pytest.raises(Unverified, match="another interest"):
        hostile.client.interest(mine)


def test_watched_is_verified(hostile: Hostile, draft: Draw) -> None:
    """A bulletin that the log did not release to us is not shown by a watch list either."""
    line = hostile.hub.client("my-police").sign(draft("x", release_to=["id-police"]))
    seq = hostile.hub.client("my-police").publish_line(line).seq
    hostile.client.set_watch("case-1", [DOMAIN])
    row = json.dumps({"seq": seq, "line": line.raw.decode()}).encode() + b"\n"
    hostile.middle.tamper = lambda request, _answer: (
        httpx.Response(200, content=row, headers={"Lintas-Cursor": str(seq + 9)})
        if "watches" in request.url.path
        else None
    )

    with pytest.raises(Unverified):
        list(hostile.client.watched("case-1"))


@both_ways
def test_lint_before_signing(hostile: Hostile, draft: Draw) -> None:
    """What the rules refuse is neither signed nor kept nor sent; what they warn of is told, then signed."""
    bad = draft("x", release_to=["my-police"], payload={"title": "x", "summary": CARD})
    warned = draft("x", release_to=["my-police"], payload={"title": "x", "summary": "Passport X90217734"})
    hostile.middle.requests.clear()

    acts: list[Callable[[], object]] = [
        lambda: hostile.client.sign(bad),
        lambda: hostile.client.publish(bad),
        lambda: hostile.client.enqueue(bad, tag="x"),
    ]
    for act in acts:
        with pytest.raises(DataProtection) as caught:
            act()
        assert ("summary", {"rule": "card-in-text"}) == (caught.value.member, caught.value.extra)

    assert ([], []) == (hostile.middle.requests, hostile.state.outgoing())
    assert (Finding("card-in-text", "refuse", "summary"),) == hostile.client.lint(bad)
    assert (Finding("document-in-text", "warn", "summary"),) == hostile.client.lint(warned)
    assert hostile.client.publish(warned).seq > 0


def test_lint_knows_what_was_released(hostile: Hostile, draft: Draw) -> None:
    """A comment wider than the bulletin it is on is refused from what the log released to us."""
    published = hostile.hub.client("my-police").publish(draft("x", tlp="AMBER"))
    hostile.client.sync()
    comment = draft("x", kind="comment", tlp="GREEN", release_to=["my-police"], refs=[f"comments:{published.id}"])

    assert (Finding("narrower-quoted", "refuse", "refs"),) == hostile.client.lint(comment)
    with pytest.raises(LintasError):
        hostile.client.sign(comment)
