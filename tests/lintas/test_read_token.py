"""Read tokens on paper: what an agency may order, what the directory keeps of it, how the text is read."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from lintas.directory import Directory
from lintas.errors import InconsistentLog, MalformedPayload, OrderConflict, QuotaExceeded
from lintas.event import US_PER_S, Event
from lintas.header import ORDER
from lintas.keys import fresh_read_token
from lintas.line import Line
from lintas.orders import INTEREST_S_MAX
from lintas.read_token import (
    ADDRESSES_MAX,
    TOKENS_MAX,
    ReadToken,
    areas,
    canonical_addresses,
    digest_of,
    is_token_id,
    read_token,
    write_token,
)
from lintas.replay import Replay
from lintas.strict import canonical

if TYPE_CHECKING:
    from tests.lintas.conftest import Ledger

AGENCY, OTHER = "sg-fiu", "my-police"
NOW = 1_795_467_600
DAY_S = 86_400
TOKEN, SECRET = "k3v5q2xatz7m", "c2VjcmV0IG9mIDMyIGJ5dGVzIGluIGJhc2U2NHVybCE"
ORDERED: dict[str, Any] = {
    "token": TOKEN,
    "digest": digest_of(SECRET),
    "ceiling": "AMBER",
    "areas": ["cyber", "drugs"],
    "until": NOW + DAY_S,
    "addresses": ["198.51.100.7/32", "2001:db8::/48"],
    "label": "MISP of the fusion desk",
}


def issue(ledger: Ledger, agency: str = AGENCY, **changes: Any) -> Line:
    """Carry out the order of a token; `changes` replace its members."""
    line = ledger.order("read-token", agency, **(ORDERED | changes))
    ledger.post(line)
    return line


def the_token(directory: Directory, token_id: str = TOKEN) -> ReadToken:
    """Return a token that must be there."""
    return directory.read_tokens[token_id]


def test_issued(ledger: Ledger) -> None:
    """The order puts the token into the directory by an event of its agency, without its label."""
    effect, accepted = ledger.decide(ledger.order("read-token", AGENCY, **ORDERED))
    issue(ledger)

    kid = ledger.key(AGENCY).kid
    told = {name: value for name, value in ORDERED.items() if name != "label"} | {"agency": AGENCY, "by": kid}
    assert ("token.issued", AGENCY, told) == (effect.kind, effect.party, effect.detail)
    assert ("order.accepted", AGENCY, {"act": "read-token"}) == (accepted.kind, accepted.party, accepted.detail)
    found = the_token(ledger.directory)
    assert (AGENCY, kid, ("cyber", "drugs"), NOW + DAY_S) == (found.agency, found.by, found.areas, found.until)


def test_ended(ledger: Ledger) -> None:
    """Its agency ends a token; another agency's, an ended and an unknown one give one identical refusal."""
    issue(ledger)
    refusals = []
    for agency, token in ((OTHER, TOKEN), (AGENCY, "a" * 12)):
        with pytest.raises(OrderConflict) as refusal:
            ledger.decide(ledger.order("read-token-end", agency, token=token))
        refusals.append(refusal.value.problem())
    ledger.post(ledger.order("read-token-end", AGENCY, token=TOKEN))
    with pytest.raises(OrderConflict) as refusal:
        ledger.decide(ledger.order("read-token-end", AGENCY, token=TOKEN))

    assert {} == ledger.directory.read_tokens
    assert [refusal.value.problem()] * 2 == refusals


@pytest.mark.parametrize(
    "changes",
    [
        {"token": "K3V5Q2XATZ7M"},
        {"token": "k3v5q2xatz7"},
        {"token": 7},
        {"digest": "abc"},
        {"digest": None},
        {"ceiling": "AMBER+STRICT"},
        {"ceiling": "RED"},
        {"ceiling": ["AMBER"]},
        {"areas": []},
        {"areas": ["*", "cyber"]},
        {"areas": ["drugs", "cyber"]},
        {"areas": ["cyber.scam"]},
        {"areas": ["weather"]},
        {"areas": "cyber"},
        {"areas": [7]},
        {"until": NOW},
        {"until": NOW + INTEREST_S_MAX + 1},
        {"until": "2027"},
        {"addresses": ["198.51.100.7"]},
        {"addresses": ["198.51.100.7/24"]},
        {"addresses": ["2001:db8::/48", "198.51.100.7/32"]},
        {"addresses": ["here"]},
        {"addresses": None},
        {"addresses": [f"198.51.100.{last}/32" for last in range(100, 101 + ADDRESSES_MAX)]},
        {"label": ""},
        {"label": "x" * 65},
        {"label": "two\nlines"},
        {"more": 1},
    ],
    ids=repr,
)
def test_malformed(ledger: Ledger, changes: dict[str, Any]) -> None:
    """Every member has one form; RED and AMBER+STRICT are no ceilings, sub-topics no areas, a year the longest life."""
    with pytest.raises(MalformedPayload):
        ledger.decide(ledger.order("read-token", AGENCY, **(ORDERED | changes)))


def test_bounds_that_are_good(ledger: Ledger) -> None:
    """All areas, a year and no address are good."""
    issue(ledger, areas=["*"], until=NOW + INTEREST_S_MAX, addresses=[], ceiling="CLEAR")

    assert ("*",) == the_token(ledger.directory).areas


def test_areas_are_topics_without_subtopics() -> None:
    """An area covers its sub-topics and is none itself."""
    assert {"cyber", "maritime"} < areas()
    assert not [area for area in areas() if "." in area]


def test_id_is_taken(ledger: Ledger) -> None:
    """The id of a token that stands is nobody else's, and is free again when it is over."""
    issue(ledger)
    with pytest.raises(OrderConflict):
        ledger.decide(ledger.order("read-token", OTHER, **ORDERED))
    ledger.now = ORDERED["until"]
    issue(ledger, OTHER, until=ledger.now + DAY_S)

    assert OTHER == the_token(ledger.directory).agency


def test_quota(ledger: Ledger) -> None:
    """An agency has so many tokens at a time; another's, ended ones and those that are over do not count."""
    names = [f"{chr(97 + number)}" * 12 for number in range(TOKENS_MAX + 1)]
    for name in names[:TOKENS_MAX]:
        issue(ledger, token=name)
    with pytest.raises(QuotaExceeded):
        ledger.decide(ledger.order("read-token", AGENCY, **(ORDERED | {"token": names[-1]})))

    issue(ledger, OTHER, token=names[-1])
    ledger.post(ledger.order("read-token-end", AGENCY, token=names[0]))
    issue(ledger, token=names[0])
    ledger.now = ORDERED["until"]
    issue(ledger, token=names[1], until=ledger.now + DAY_S)
    assert [names[1]] == list(ledger.directory.read_tokens)


@pytest.mark.parametrize("by_admins", [False, True])
def test_ends_with_its_key(ledger: Ledger, *, by_admins: bool) -> None:
    """A token ends when the key that ordered it is revoked, whoever revokes it; another's stays."""
    issue(ledger)
    issue(ledger, OTHER, token="b" * 12)
    kid = ledger.key(AGENCY).kid
    order = ledger.order("revoke", "admin/one", "admin/two", agency=AGENCY, kid=kid, reason="superseded", since=NOW)
    ledger.post(order if by_admins else ledger.revocation(AGENCY))

    assert ["b" * 12] == list(ledger.directory.read_tokens)


def test_ends_with_a_key_that_falls_along(ledger: Ledger) -> None:
    """A compromised key takes the tokens of the keys that descend from it along."""
    ledger.post(ledger.rotation(AGENCY, new="heir", overlap_s=3 * DAY_S))
    ledger.now += DAY_S + 1
    line = ledger.line(ORDER, AGENCY, canonical({"act": "read-token", **ORDERED, "until": NOW + 9 * DAY_S}), key="heir")
    ledger.post(line)
    assert [TOKEN] == list(ledger.directory.read_tokens)

    ledger.post(ledger.revocation(AGENCY, reason="keyCompromise", since=NOW))
    assert {} == ledger.directory.read_tokens


def test_stays_with_a_replaced_key(ledger: Ledger) -> None:
    """A key that was merely replaced ordered its tokens rightly."""
    issue(ledger, until=NOW + 9 * DAY_S)
    ledger.post(ledger.rotation(AGENCY, new="heir"))
    ledger.now += 2 * DAY_S

    assert "superseded" == ledger.directory.keys[ledger.key(AGENCY).kid].state(ledger.now)
    assert [TOKEN] == list(ledger.directory.read_tokens)


def test_stays_through_a_suspension(ledger: Ledger) -> None:
    """A suspension ends no token: what may be read meanwhile is decided at each reading."""
    issue(ledger)
    ledger.post(ledger.order("suspend", agency=AGENCY, reason="audit"))

    assert [TOKEN] == list(ledger.directory.read_tokens)


def test_replay(ledger: Ledger) -> None:
    """A client of the agency replays its tokens from the log and believes none that no order made."""
    before = Replay(ledger.directory, frozenset({AGENCY, "*"}))
    line = issue(ledger)
    (issued, _), (accepted, _) = ledger.events[-2:]

    after = before.step(issued, seq=len(ledger.events) - 2, line=line).step(accepted, seq=99, line=line)
    assert ledger.directory.read_tokens == after.directory.read_tokens
    wider = Event(issued.kind, NOW * US_PER_S, AGENCY, 9, line.id, {**issued.detail, "areas": ["*"]})
    with pytest.raises(InconsistentLog):
        before.step(wider, seq=99, line=line)


def test_text_and_back() -> None:
    """A token is read from its text and nothing else is taken for one."""
    made = fresh_read_token()
    text = write_token(*made)

    assert is_token_id(made[0])
    assert made == read_token(text)
    assert made != fresh_read_token()
    for broken in (
        "",
        "lts_",
        text[:-1],
        text + "A",
        text.upper(),
        text.replace("lts_", "lts-"),
        f" {text}",
        text + "\n",
    ):
        assert read_token(broken) is None


def test_secret(ledger: Ledger) -> None:
    """The secret alone proves a token."""
    issue(ledger)
    found = the_token(ledger.directory)

    assert (True, False) == (found.is_proven_by(SECRET), found.is_proven_by(SECRET[:-1] + "A"))


@pytest.mark.parametrize(
    ("address", "may"),
    [
        ("198.51.100.7", True),
        ("198.51.100.8", False),
        ("2001:db8::9", True),
        ("2001:db8:1::", False),
        (None, False),
    ],
)
def test_addresses(ledger: Ledger, address: str | None, *, may: bool) -> None:
    """A token with addresses is good from these alone, never from one that nobody knows."""
    issue(ledger)
    found = the_token(ledger.directory)
    place = None if address is None else ipaddress.ip_address(address)

    assert may == found.may_come_from(place)
    assert replace(found, addresses=()).may_come_from(place)


def test_addresses_as_people_write_them() -> None:
    """Addresses become networks in their one spelling, each once; what is none is refused."""
    given = ["2001:DB8::/48", " 198.51.100.7", "198.51.100.7/32"]

    assert ["198.51.100.7/32", "2001:db8::/48"] == canonical_addresses(given)
    with pytest.raises(MalformedPayload):
        canonical_addresses(["198.51.100.7/24"])
