"""The MISP feed over HTTP: what PyMISP loads of it, what is never in it, what becomes of what was withdrawn."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from broker import misp
from broker.batch import Batch
from broker.fsck import check_everything
from broker.hub import purge_all
from broker.limits import Limits, Rate
from broker.misp import EVENTS_MAX, Uuids
from broker.read_tokens import OVER, REFUSED, find
from broker.web.interop import SCHEMES
from broker.web.misp import _hashes
from lintas.errors import Unauthorized
from lintas.header import KEY, ORDER
from lintas.keys import fresh_content_key
from lintas.line import Line, make_head, parse, sign_under
from lintas.misp import hashes_csv
from lintas.misp.export import uuid_of
from lintas.read_token import digest_of, write_token
from lintas.sealed import seal
from lintas.strict import canonical
from tests.broker.conftest import FEW, PAYLOAD, REGISTRAR, Desks, Template, inner_desks, problem_of
from tests.broker.test_limits import Hand
from tests.conftest import served, wait_until
from tests.lintas.test_misp import loaded, parts, same

ISSUER, READER, OTHER, THIRD, *_ = FEW
SECRET = "c2VjcmV0IG9mIDMyIGJ5dGVzIGluIGJhc2U2NHVybCE"
PHONE, DOMAIN, URL = "+6542995883", "lotustrade.example", "https://lotustrade.example/kit"
NUMBERS = itertools.count()


def content(*values: tuple[str, str], **members: Any) -> bytes:
    """Return the payload of a bulletin with these (type, value) pairs, each another."""
    listed = [{"type": kind, "value": value, "role": "fictional"} for kind, value in values]
    title = f"Fictional kit number {next(NUMBERS)}"
    return canonical(PAYLOAD | {"title": title, "indicators": listed} | members)


def md5(value: str) -> str:
    """Return the hash of a value as a feed lists it."""
    return hashlib.md5(value.encode(), usedforsecurity=False).hexdigest()


class Reading:
    """A tool of the reader's agency with a read token of its own."""

    def __init__(self, desks: Desks, agency: str = READER, **bounds: Any) -> None:
        self.desks = desks
        self.agency = agency
        self.id = "".join(chr(97 + int(digit)) for digit in f"{next(NUMBERS):012d}")
        members: dict[str, Any] = {
            "token": self.id,
            "digest": digest_of(SECRET),
            "ceiling": "AMBER",
            "areas": ["*"],
            "until": desks.session(agency).now() + 90 * 86_400,
            "addresses": [],
            "label": "MISP",
        }
        answer = desks.post(desks.session(agency).sign_order("read-token", members | bounds), ORDER)
        assert answer.status_code == 201, answer.text
        self.text = write_token(self.id, SECRET)

    def get(self, path: str, **headers: str) -> httpx.Response:
        """Read a path of the feed."""
        return self.desks.get(f"/misp/{path}", Authorization=f"Bearer {self.text}", **headers)

    def manifest(self) -> dict[str, dict[str, Any]]:
        """Return the manifest, which must be given."""
        answer = self.get("manifest.json")
        assert answer.status_code == 200, answer.text
        found: dict[str, dict[str, Any]] = answer.json()
        return found

    def event(self, line: Line | str) -> dict[str, Any]:
        """Return the event of a bulletin that began a chain, which must be given."""
        answer = self.get(f"{uuid(line)}.json")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def hashes(self) -> set[str]:
        """Return every hash of the feed."""
        answer = self.get("hashes.csv")
        assert answer.status_code == 200, answer.text
        return {row.split(",")[0] for row in answer.text.splitlines()}

    def end(self) -> None:
        """Revoke the token."""
        line = self.desks.session(self.agency).sign_order("read-token-end", {"token": self.id})
        assert self.desks.post(line, ORDER).status_code == 201


def uuid(line: Line | str) -> str:
    """Return the uuid of the event that a bulletin began."""
    return uuid_of(line if isinstance(line, str) else line.id)


def ways(desks: Desks, line: Line) -> dict[str, list[str]]:
    """Return by which ways a bulletin went to each reader, as its originator sees it."""
    answer = desks.get(f"/v1/bulletins/{line.id}/readers", line.header.iss)
    return {each["agency"]: each["sent"]["ways"] for each in answer.json()["readers"] if "sent" in each}


def post_sealed(desks: Desks) -> Line:
    """Publish a sealed AMBER bulletin to the reader."""
    session = desks.session(ISSUER)
    members = {"kind": "alert", "topic": "cyber.scam", "tlp": "AMBER", "urgency": "routine", "enc": "hpke"}
    times = {"exp": session.now() + 86_400, "release_to": [READER]}
    head = make_head(session._header("vnd.lintas.bulletin", members | times), session.identity.key)
    keys = [desks.session(party).identity.openings[-1] for party in (ISSUER, READER)]
    closed = seal(
        content(("phone", PHONE)), head=head, to={key.kid: key.public for key in keys}, content_key=fresh_content_key()
    )
    raw = sign_under(head, closed, session.identity.key)
    answer = desks.post(raw)
    assert answer.status_code == 201, answer.text
    return parse(raw)


# --- what is in it ---


def test_pymisp_loads_it(desks: Desks) -> None:
    """PyMISP drops nothing of any event that the manifest lists, and the hashes are those of the events."""
    mine = [
        desks.publish(ISSUER, [READER], payload=content(("phone", PHONE), ("domain", DOMAIN))),
        desks.publish(OTHER, [ISSUER, READER], payload=content(("url", URL)), topic="drugs", tlp="GREEN"),
        desks.publish(ISSUER, ["*"], payload=content(("bank-account", "SG:DBSSSGSG:0031234567")), tlp="CLEAR"),
    ]
    tool = Reading(desks)

    listed = tool.manifest()
    events = [tool.event(line) for line in mine]

    assert [uuid(line) for line in mine] == list(listed)
    for event in events:
        same(event)
        inner, row = event["Event"], listed[event["Event"]["uuid"]]
        assert [inner[name] for name in ("timestamp", "date", "Orgc")] == [
            row[name] for name in ("timestamp", "date", "Orgc")
        ]
        assert {each["name"] for each in row["Tag"]} <= {each["name"] for each in inner["Tag"]}
    answer = tool.get("hashes.csv")
    assert hashes_csv(events) == answer.text
    assert md5(PHONE) in answer.text
    assert answer.headers["content-type"].startswith("text/csv")
    assert [0, 1, 3] == [int(loaded(event).distribution) for event in events]
    check_everything(desks.hub.store, desks.hub.signer.verifier, lambda _done, _all: None)


def test_recorded_first_and_shown(desks: Desks) -> None:
    """A manifest is a view without a title; an event is sent by the token's way, which its originator sees."""
    first, second = (desks.publish(ISSUER, [READER], payload=content(("phone", PHONE))) for _ in range(2))
    tool = Reading(desks)
    text = tool.get("manifest.json").text
    before = (ways(desks, first), desks.details(kind="bulletin.sent"))
    tool.event(first)
    [sent] = desks.events(kind="bulletin.sent")

    assert "Fictional" not in text
    assert {"view": "misp-manifest", "way": f"misp/{tool.id}"} in desks.details(kind="view.read", party=READER)
    assert ({}, []) == before
    assert (READER, first.id) == (sent.party, sent.object)
    [detail] = desks.details(kind="bulletin.sent")
    assert (f"misp/{tool.id}", 1) == (detail["way"], detail["count"])
    assert ({READER: [f"misp/{tool.id}"]}, {}) == (ways(desks, first), ways(desks, second))


def test_hashes_are_content(desks: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose hashes leave is sent, on record by name, once a bulletin and way, however many parts they come in."""
    monkeypatch.setattr("broker.web.misp.AT_ONCE", 2)
    lines = [desks.publish(ISSUER, [READER], payload=content(("phone", PHONE))) for _ in range(5)]
    tool, other = Reading(desks), Reading(desks)
    tool.event(lines[0])
    tool.hashes()
    named = [detail.get("ids", []) for detail in desks.details(kind="bulletin.sent")][:3]
    tool.hashes()
    again = len(desks.events(kind="bulletin.sent"))
    newer = desks.publish(ISSUER, [READER], payload=content(("domain", DOMAIN)))
    other.hashes()

    assert [line.id for line in lines[1:]] == [each for ids in reversed(named) for each in ids]
    assert 4 == again
    assert {READER: [f"misp/{tool.id}", f"misp/{other.id}"]} == ways(desks, lines[0])
    assert {READER: [f"misp/{other.id}"]} == ways(desks, newer)
    check_everything(desks.hub.store, desks.hub.signer.verifier, lambda _done, _all: None)


def test_empty_feed(desks: Desks) -> None:
    """Where nothing is, the indexes are empty."""
    tool = Reading(desks)

    assert ({}, "") == (tool.manifest(), tool.get("hashes.csv").text)


def test_basic(desks: Desks) -> None:
    """The token is good as the password of any user, and an agency's own token as Bearer."""
    line = desks.publish(ISSUER, [READER], payload=content(("phone", PHONE)))
    tool = Reading(desks)
    given = base64.b64encode(f"lintas:{tool.text}".encode()).decode()
    path = f"/misp/{uuid(line)}.json"

    assert 200 == desks.get(path, Authorization=f"Basic {given}").status_code
    assert 200 == desks.get(path, READER).status_code
    assert {READER: [f"misp/{tool.id}", "misp"]} == ways(desks, line)


# --- what is never in it ---


def test_never_there(desks: Desks) -> None:
    """Others' bulletins, one's own, sealed and AMBER+STRICT ones and recalls are nowhere: no event, no hash."""
    hidden = [
        desks.publish(ISSUER, [OTHER], payload=content(("phone", PHONE))),
        desks.publish(READER, [ISSUER], payload=content(("phone", PHONE))),
        desks.publish(READER, ["*"], payload=content(("phone", PHONE)), tlp="GREEN"),
        desks.publish(ISSUER, [READER], payload=content(("phone", PHONE)), tlp="AMBER+STRICT"),
        post_sealed(desks),
    ]
    shown = desks.publish(ISSUER, [READER], payload=content(("domain", DOMAIN)))
    recall = desks.recall(
        ISSUER, shown.id, [READER], indicators=[{"type": "domain", "value": DOMAIN, "role": "fictional"}]
    )
    assert desks.post(recall).status_code == 201
    tool = Reading(desks)
    unknown = tool.get(f"{uuid('A' * 43)}.json")

    assert [uuid(shown)] == list(tool.manifest())
    for line in (*hidden, recall):
        answer = tool.get(f"{uuid(line)}.json")
        assert (404, unknown.content) == (answer.status_code, answer.content)
    assert {md5(PHONE), md5(DOMAIN)}.isdisjoint(tool.hashes())
    for path in ("manifest", "x.json", f"{uuid(shown).upper()}.json", "%2e%2e.json"):
        assert 404 == tool.get(path).status_code


def test_bounds(desks: Desks) -> None:
    """A token of a lower ceiling or fewer areas sees less, and what it does not see is unknown to it."""
    values = [("phone", PHONE), ("domain", DOMAIN), ("url", URL)]
    headers: Sequence[dict[str, str]] = ({"tlp": "GREEN"}, {}, {"topic": "drugs.precursors"})
    lines = [
        desks.publish(ISSUER, [READER], payload=content(value), **header)
        for value, header in zip(values, headers, strict=True)
    ]
    expected: list[tuple[dict[str, Any], list[bool]]] = [
        ({}, [True, True, True]),
        ({"ceiling": "GREEN"}, [True, False, False]),
        ({"ceiling": "CLEAR"}, [False, False, False]),
        ({"areas": ["cyber"]}, [True, True, False]),
        ({"areas": ["drugs", "wildlife"]}, [False, False, True]),
    ]
    for bounds, sees in expected:
        tool = Reading(desks, **bounds)
        listed, hashes = tool.manifest(), tool.hashes()
        assert sees == [uuid(line) in listed for line in lines]
        assert sees == [200 == tool.get(f"{uuid(line)}.json").status_code for line in lines]
        assert sees == [md5(value) in hashes for _, value in values]
        assert sum(sees) == len(listed)


def test_grants_count_at_each_reading(desks: Desks) -> None:
    """When the agency may read less, so may its tokens, at once."""
    line = desks.publish(ISSUER, [READER], payload=content(("phone", PHONE)))
    tool = Reading(desks)
    tag = tool.get("manifest.json").headers["etag"]
    desks.order("ceiling", agency=READER, tlp="GREEN")

    assert 200 == tool.get("manifest.json", **{"If-None-Match": tag}).status_code
    assert ({}, 404) == (tool.manifest(), tool.get(f"{uuid(line)}.json").status_code)


def test_withheld(desks: Desks) -> None:
    """What was withheld from an agency at its publication stays so, whatever it may read later."""
    desks.order("ceiling", agency=READER, tlp="GREEN")
    line = desks.publish(ISSUER, [READER], payload=content(("phone", PHONE)))
    desks.order("ceiling", agency=READER, tlp="AMBER")
    tool = Reading(desks)

    assert ({}, 404) == (tool.manifest(), tool.get(f"{uuid(line)}.json").status_code)


# --- who may not ---


def test_refused_alike(desks: Desks) -> None:
    """Unknown, revoked, wrong and foreign tokens get one answer, which names both schemes; so does nobody at all."""
    line = desks.publish(ISSUER, [READER], payload=content(("phone", PHONE)))
    here, foreign, ended = (
        Reading(desks, addresses=["127.0.0.0/8"]),
        Reading(desks, addresses=["203.0.113.0/24"]),
        Reading(desks),
    )
    ended.end()
    for path in ("manifest.json", "hashes.csv", f"{uuid(line)}.json"):
        answers = [
            foreign.get(path),
            ended.get(path),
            desks.get(f"/misp/{path}", Authorization=f"Bearer {write_token(here.id, 'A' * 43)}"),
            desks.get(f"/misp/{path}", Authorization="Bearer lts_nonsense"),
        ]
        nobody = desks.get(f"/misp/{path}")

        assert 200 == here.get(path).status_code
        assert {(401, SCHEMES, answers[0].content)} == {
            (answer.status_code, answer.headers["www-authenticate"], answer.content) for answer in answers
        }
        assert REFUSED == answers[0].json()["detail"]
        assert (401, SCHEMES) == (nobody.status_code, nobody.headers["www-authenticate"])
        assert (403, "not-allowed", "scope") == problem_of(desks.get(f"/misp/{path}", REGISTRAR))
        assert (400, "bad-request", "limit") == problem_of(here.get(f"{path}?limit=1"))


def test_over(desks: Desks) -> None:
    """A token that is over says so."""
    tool = Reading(desks, until=desks.session(READER).now() + 60)
    assert {} == tool.manifest()
    desks.clock.advance(60)

    assert (401, OVER) == (tool.get("manifest.json").status_code, tool.get("manifest.json").json()["detail"])


def test_ends_with_its_key(desks: Desks) -> None:
    """When the key that ordered it is revoked, a token is unknown."""
    tool = Reading(desks)
    line = desks.session(READER).sign_revocation("superseded", 0)
    assert 201 == desks.post(line, KEY).status_code

    assert (401, REFUSED) == (tool.get("manifest.json").status_code, tool.get("manifest.json").json()["detail"])


def ask(tool: Reading, path: str, answers: list[httpx.Response]) -> None:
    """Read a path, from a thread of its own."""
    answers.append(tool.get(path))


@contextmanager
def held(desks: Desks) -> Iterator[None]:
    """Keep the writer busy; what is asked of it meanwhile is done in order afterwards."""
    begun, release = threading.Event(), threading.Event()

    def hold(_batch: Batch) -> None:
        begun.set()
        release.wait(20)

    desks.hub.writer.submit(hold)
    begun.wait(20)
    try:
        yield
    finally:
        release.set()


def test_ended_between_reading_and_recording(desks: Desks) -> None:
    """A token that ends after a page was read, before it is recorded, gets nothing."""
    line = desks.publish(ISSUER, [READER], payload=content(("phone", PHONE)))
    for path in ("manifest.json", "hashes.csv", f"{uuid(line)}.json"):
        tool = Reading(desks)
        answers: list[httpx.Response] = []
        get = threading.Thread(target=ask, args=(tool, path, answers))
        end = threading.Thread(target=tool.end)
        with held(desks):
            end.start()
            wait_until(lambda: desks.hub.writer.depth == 1)
            get.start()
            wait_until(lambda: desks.hub.writer.depth == 2)
        get.join()
        end.join()
        assert [401] == [answer.status_code for answer in answers]


def test_rates(few: Template, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Strangers are charged to their address, which a good token passes; reading is charged to the agency."""
    monkeypatch.setattr("broker.limits.LOCAL", frozenset())
    monkeypatch.setattr("broker.limits.STRANGERS", Rate(per_s=1, burst=30))
    monkeypatch.setattr("broker.web.http.SLOW_S", 0.0)
    hand = Hand()
    with inner_desks(few, tmp_path / "hub") as desks:
        server = served(desks.hub)
        with server as desks.url:
            tool = Reading(desks)
            server.app.state.limits = limits = Limits(hand)
            stranger = f"Bearer {write_token('b' * 12, SECRET)}"
            asked = [desks.get("/misp/manifest.json", Authorization=stranger).status_code for _ in range(5)]
            refused = desks.hub.strangers.totals["unauthorized"]
            good = tool.get("manifest.json").status_code
            limits.charge_reads(READER, 10_000)
            after = tool.get("manifest.json")

    assert ({401, 429}, 401, 429) == (set(asked), asked[0], asked[-1])
    assert asked.count(401) == refused
    assert (200, 429) == (good, after.status_code)


def test_cost(few: Template, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks through a feed pays for its length; several of an agency do so in turn, the last ones in debt."""
    monkeypatch.setattr("broker.limits.READS", Rate(per_s=1, burst=10))
    monkeypatch.setattr("broker.web.http.SLOW_S", 0.0)
    monkeypatch.setattr("broker.web.misp.LISTED_A_UNIT", 1)
    monkeypatch.setattr("broker.web.misp.HASHED_A_UNIT", 1)
    hand, looking, inside, look = Hand(), threading.Event(), [], misp.entries

    def entries(*given: Any, **named: Any) -> Any:
        inside.append(1)
        looking.wait(20)
        assert 1 == len(inside)
        inside.pop()
        return look(*given, **named)

    with inner_desks(few, tmp_path / "hub") as desks:
        server = served(desks.hub)
        with server as desks.url:
            for _ in range(3):
                desks.publish(ISSUER, [READER], payload=content(("phone", PHONE)))
            tool, answers = Reading(desks), list[httpx.Response]()
            server.app.state.limits = limits = Limits(hand)
            # The manifest costs one and three, the hashes three more.
            statuses = [tool.get(path).status_code for path in ("hashes.csv", "manifest.json", "manifest.json")]
            hand.now += 60
            monkeypatch.setattr(misp, "entries", entries)
            askers = [threading.Thread(target=ask, args=(tool, "manifest.json", answers)) for _ in range(4)]
            for asker in askers:
                asker.start()
            wait_until(lambda: limits._under_way[READER] == len(askers) and bool(inside))
            looking.set()
            for asker in askers:
                asker.join()

    assert [200, 200, 429] == statuses
    assert [200, 200, 429, 429] == sorted(answer.status_code for answer in answers)


# --- what was withdrawn ---


def test_recalled_between_two_polls(desks: Desks) -> None:
    """A recall shows at the next poll: another tag, the same event newer, every part deleted, no hash, no delivery."""
    line = desks.publish(ISSUER, [READER], payload=content(("phone", PHONE)))
    tool = Reading(desks)
    first = tool.get("manifest.json")
    event = tool.event(line)
    desks.clock.advance(5)
    assert desks.post(desks.recall(ISSUER, line.id, [READER])).status_code == 201
    second = tool.get("manifest.json", **{"If-None-Match": first.headers["etag"]})
    gone = tool.event(line)

    before, after = first.json()[uuid(line)], second.json()[uuid(line)]
    assert int(before["timestamp"]) < int(after["timestamp"]) == int(gone["Event"]["timestamp"])
    assert "Withdrawn" == after["info"] == gone["Event"]["info"]
    assert {each["uuid"] for each in parts(event)} == {each["uuid"] for each in parts(gone)}
    assert {True} == {each.get("deleted") for each in parts(gone)}
    assert PHONE not in json.dumps(gone)
    assert md5(PHONE) not in tool.hashes()
    assert 0 == desks.details(kind="bulletin.sent")[0]["count"]


def test_partly_recalled(desks: Desks) -> None:
    """What was recalled of a bulletin is deleted in its event, and its hash is gone; the rest stays."""
    line = desks.publish(ISSUER, [READER], payload=content(("phone", PHONE), ("domain", DOMAIN)))
    tool = Reading(desks)
    before = tool.event(line)
    desks.clock.advance(5)
    values = [{"type": "phone", "value": PHONE, "role": "fictional"}]
    assert desks.post(desks.recall(ISSUER, line.id, [READER], indicators=values)).status_code == 201
    after = tool.event(line)

    assert int(before["Event"]["timestamp"]) < int(after["Event"]["timestamp"])
    assert tool.manifest()[uuid(line)]["timestamp"] == after["Event"]["timestamp"]
    assert {each["uuid"] for each in parts(before)} == {each["uuid"] for each in parts(after)}
    assert PHONE not in json.dumps(after)
    assert (False, True) == (md5(PHONE) in tool.hashes(), md5(DOMAIN) in tool.hashes())


def test_superseded(desks: Desks) -> None:
    """What supersedes is the same event, newer; values that are gone are deleted for whoever had them alone."""
    old = desks.publish(ISSUER, [READER], payload=content(("phone", PHONE), ("domain", DOMAIN)))
    tool, late, last = Reading(desks), Reading(desks, OTHER), Reading(desks, THIRD)
    before = tool.event(old)
    desks.clock.advance(5)
    new = desks.publish(
        ISSUER, [READER, OTHER], payload=content(("domain", DOMAIN), ("url", URL)), refs=[f"supersedes:{old.id}"]
    )
    newest = desks.publish(ISSUER, [READER, OTHER, THIRD], payload=content(("url", URL)), refs=[f"supersedes:{new.id}"])
    after, seen = tool.event(old), late.event(old)
    uuids = [{each["uuid"] for each in parts(event)} for event in (before, after, seen)]

    assert [uuid(old)] == list(tool.manifest())
    assert newest.id in json.dumps(after)
    assert uuids[0] < uuids[1]
    assert not {each["uuid"] for each in parts(before) if each["type"] == "phone-number"} & uuids[2]
    domains = {each["uuid"] for each in parts(before) if each["type"] == "domain"}
    assert domains < uuids[2]
    assert not domains & {each["uuid"] for each in parts(last.event(old))}
    assert (False, False, True) == tuple(md5(value) in tool.hashes() for value in (PHONE, DOMAIN, URL))
    expected = {READER: [f"misp/{tool.id}"], OTHER: [f"misp/{late.id}"], THIRD: [f"misp/{last.id}"]}
    assert expected == ways(desks, newest)
    for line in (new, newest):
        assert 404 == tool.get(f"{uuid(line)}.json").status_code


def test_superseded_by_what_it_may_not_read(desks: Desks) -> None:
    """A successor beyond a token's bounds withdraws the event, and is not told."""
    old = desks.publish(ISSUER, [READER], payload=content(("phone", PHONE)), tlp="GREEN")
    tool = Reading(desks, ceiling="GREEN")
    before = tool.manifest()[uuid(old)]
    desks.clock.advance(5)
    desks.publish(ISSUER, [READER], payload=content(("domain", DOMAIN)), refs=[f"supersedes:{old.id}"])
    after = tool.manifest()[uuid(old)]

    assert int(before["timestamp"]) < int(after["timestamp"])
    assert {True} == {each.get("deleted") for each in parts(tool.event(old))}
    assert set() == tool.hashes()


def test_superseded_past_grants(desks: Desks) -> None:
    """What replaces something that the agency holds comes past a narrower grant, as in its feed, not past a token."""
    old = desks.publish(ISSUER, [READER], payload=content(("phone", PHONE)))
    tool, narrow = Reading(desks), Reading(desks, ceiling="GREEN")
    desks.order("ceiling", agency=READER, tlp="GREEN")
    assert {} == tool.manifest()
    desks.publish(ISSUER, [READER], payload=content(("domain", DOMAIN)), refs=[f"supersedes:{old.id}"])

    assert ([uuid(old)], {}) == (list(tool.manifest()), narrow.manifest())


def test_one_for_several(desks: Desks) -> None:
    """A bulletin that replaces several is the event of the oldest one; the others are withdrawn."""
    first, second = (desks.publish(ISSUER, [READER], payload=content(("phone", PHONE))) for _ in range(2))
    refs = sorted(f"supersedes:{line.id}" for line in (first, second))
    tool, late = Reading(desks), Reading(desks, OTHER)
    desks.publish(ISSUER, [READER, OTHER], payload=content(("domain", DOMAIN)), refs=refs)

    assert ["Withdrawn"] == [each["info"] for key, each in tool.manifest().items() if key == uuid(second)]
    assert {True} == {each.get("deleted") for each in parts(tool.event(second))}
    assert {md5(DOMAIN)} < tool.hashes()
    assert DOMAIN in json.dumps(tool.event(first))
    assert DOMAIN in json.dumps(late.event(first))
    assert 404 == late.get(f"{uuid(second)}.json").status_code


def test_expired_then_purged(desks: Desks) -> None:
    """What has ended is withdrawn as of its end; what is purged vanishes."""
    line = desks.publish(ISSUER, [READER], payload=content(("phone", PHONE)))
    tool = Reading(desks)
    tag = tool.get("manifest.json").headers["etag"]
    desks.clock.advance(7 * 86_400)
    ended = tool.get("manifest.json", **{"If-None-Match": tag})
    gone = tool.event(line)
    desks.clock.advance(40 * 86_400)
    purge_all(desks.hub, lambda _text: None)
    purged = tool.get("manifest.json", **{"If-None-Match": ended.headers["etag"]})

    assert str(line.header.exp) == ended.json()[uuid(line)]["timestamp"] == gone["Event"]["timestamp"]
    assert {True} == {each.get("deleted") for each in parts(gone)}
    assert (200, {}) == (purged.status_code, purged.json())
    assert 404 == tool.get(f"{uuid(line)}.json").status_code


def test_recalled_then_purged(desks: Desks) -> None:
    """What was recalled and is purged before its end vanishes at the next poll."""
    end = desks.session(ISSUER).now() + 80 * 86_400
    line = desks.publish(ISSUER, [READER], payload=content(("phone", PHONE)), exp=end)
    assert desks.post(desks.recall(ISSUER, line.id, [READER], exp=end)).status_code == 201
    tool = Reading(desks)
    desks.clock.advance(40 * 86_400)
    withdrawn = tool.get("manifest.json")
    purge_all(desks.hub, lambda _text: None)
    purged = tool.get("manifest.json", **{"If-None-Match": withdrawn.headers["etag"]})

    assert ([uuid(line)], 200, {}) == (list(withdrawn.json()), purged.status_code, purged.json())


def test_while_suspended(desks: Desks) -> None:
    """A suspended agency's tool learns what was recalled, as its feed would tell, and nothing else."""
    stands, recalled = (desks.publish(ISSUER, [READER], payload=content(("phone", PHONE))) for _ in range(2))
    tool = Reading(desks)
    desks.order("suspend", agency=READER, reason="audit")
    assert {} == tool.manifest()
    assert desks.post(desks.recall(ISSUER, recalled.id, [READER])).status_code == 201

    assert [uuid(recalled)] == list(tool.manifest())
    assert {True} == {each.get("deleted") for each in parts(tool.event(recalled))}
    assert (404, set()) == (tool.get(f"{uuid(stands)}.json").status_code, tool.hashes())


# --- how much it costs ---


def test_same_again(desks: Desks) -> None:
    """An index that is unchanged is answered 304 without an event, whatever others are given."""
    desks.publish(ISSUER, [READER], payload=content(("phone", PHONE)))
    tool = Reading(desks)
    for path in ("manifest.json", "hashes.csv"):
        tag = tool.get(path).headers["etag"]
        desks.publish(ISSUER, [OTHER], payload=content(("phone", PHONE)))
        count = len(desks.events())
        again = tool.get(path, **{"If-None-Match": f'"x", W/{tag}'})
        assert (304, b"", tag, count) == (again.status_code, again.content, again.headers["etag"], len(desks.events()))
        for bounds in ({"areas": ["cyber"]}, {"ceiling": "GREEN"}):
            assert 200 == Reading(desks, **bounds).get(path, **{"If-None-Match": tag}).status_code
        for to, tlp in (([READER], "AMBER"), (["*"], "GREEN")):
            tag = tool.get(path).headers["etag"]
            desks.publish(ISSUER, to, payload=content(("phone", PHONE)), tlp=tlp)
            assert 200 == tool.get(path, **{"If-None-Match": tag}).status_code


def test_newest_and_what_changed(desks: Desks) -> None:
    """Of a long feed the newest are listed, with older ones that were withdrawn or changed while these came."""
    lines = [desks.publish(ISSUER, [READER], payload=content(("phone", PHONE), ("url", URL))) for _ in range(5)]
    tool = Reading(desks)
    caller = find(tool.text, desks.hub.directory, desks.hub.now(), None)

    def listed(limit: int = 2) -> list[str]:
        with desks.hub.store.read() as conn:
            bounds = misp.bounds_of(desks.hub.directory, caller)
            found = misp.entries(conn, desks.hub.directory, bounds, now=desks.hub.now(), limit=limit)
        return [each.listed.uuid for each in found]

    before = listed()
    values = [{"type": "url", "value": URL, "role": "fictional"}]
    assert desks.post(desks.recall(ISSUER, lines[0].id, [READER])).status_code == 201
    assert desks.post(desks.recall(ISSUER, lines[2].id, [READER], indicators=values)).status_code == 201

    assert EVENTS_MAX > 1_000
    assert [uuid(line) for line in lines[3:]] == before
    assert [uuid(lines[0]), uuid(lines[2]), *before] == listed()
    assert [uuid(line) for line in lines] == listed(6)


def test_uuids_are_found_again(desks: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub that does not remember an event finds it in the feed; it remembers so many."""
    line = desks.publish(ISSUER, [READER], payload=content(("phone", PHONE)))
    tool = Reading(desks)
    monkeypatch.setattr(misp, "UUIDS_MAX", 2)
    known = Uuids()
    known.remember({"a": "1", "b": "2", "c": "3"})

    assert uuid(line) == tool.event(line)["Event"]["uuid"]
    assert [None, "2", "3"] == [known.first_of(each) for each in "abc"]
    monkeypatch.delattr(misp, "entries")
    assert uuid(line) == tool.event(line)["Event"]["uuid"]
    assert 404 == tool.get("manifest.json.json").status_code


def test_ended_between_two_parts(desks: Desks) -> None:
    """A token that ends gets no further part of the hashes, though nothing in it is to be recorded."""
    desks.publish(ISSUER, [READER], payload=content(("phone", PHONE)))
    tool = Reading(desks)
    caller = find(tool.text, desks.hub.directory, desks.hub.now(), None)
    with desks.hub.store.read() as conn:
        bounds = misp.bounds_of(desks.hub.directory, caller)
        found = misp.entries(conn, desks.hub.directory, bounds, now=desks.hub.now())
    part = tool.get("hashes.csv").content
    seqs = [each.seqs for each in found]

    assert part == asyncio.run(_hashes(desks.hub, caller, seqs))
    tool.end()
    with pytest.raises(Unauthorized):
        asyncio.run(_hashes(desks.hub, caller, seqs))


def test_many_are_asked_in_parts(desks: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many bulletins one statement may name, the feed is the same."""
    old = [desks.publish(ISSUER, [READER], payload=content(("phone", PHONE))) for _ in range(3)]
    for line in old:
        desks.publish(ISSUER, [READER], payload=content(("domain", DOMAIN)), refs=[f"supersedes:{line.id}"])
    tool = Reading(desks)
    before = tool.manifest(), tool.get("hashes.csv").text
    monkeypatch.setattr("broker.store.outlines.ASKED_MAX", 1)

    assert before == (tool.manifest(), tool.get("hashes.csv").text)
    assert {uuid(line) for line in old} == set(before[0])
