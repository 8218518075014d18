"""Read tokens at the hub: who calls with one, from where, within which bounds; how an agency makes and ends them."""

from __future__ import annotations

import base64
import ipaddress
from dataclasses import replace
from typing import Any

import httpx
import pytest

from broker import read_tokens
from broker.auth import Caller
from broker.fsck import check_everything
from broker.read_tokens import OVER, REFUSED, ReadCaller
from broker.store.lines import Reader, StoredLine
from lintas.directory import Directory
from lintas.errors import PROBLEM_TYPE_PREFIX, Unauthorized
from lintas.header import ORDER
from lintas.read_token import ReadToken, digest_of, write_token
from lintas.strict import canonical
from tests.broker.conftest import FEW, Desks, problem_of

AGENCY, OTHER, *_ = FEW
NOW = 1_795_000_000
TOKEN, SECRET = "k3v5q2xatz7m", "c2VjcmV0IG9mIDMyIGJ5dGVzIGluIGJhc2U2NHVybCE"
TEXT = write_token(TOKEN, SECRET)
HERE, ELSEWHERE = ipaddress.ip_address("198.51.100.7"), ipaddress.ip_address("203.0.113.9")
KNOWN = ReadToken(
    id=TOKEN,
    agency=AGENCY,
    digest=digest_of(SECRET),
    ceiling="GREEN",
    areas=("cyber",),
    until=NOW + 100,
    addresses=("198.51.100.0/24",),
    by="A" * 43,
    seq=9,
)
DIRECTORY = Directory("tokens.example-aaaaaaaa", read_tokens={TOKEN: KNOWN})
ROW = StoredLine(
    1, "B" * 43, "", b"", OTHER, "", 1, 2, "alert", "cyber.scam", "routine", 1, withdraws=False, is_personal=False
)


def basic(text: str, user: str = "lintas") -> str:
    """Return the header of Basic with this password."""
    return "Basic " + base64.b64encode(f"{user}:{text}".encode()).decode()


def order(desks: Desks, agency: str = AGENCY, **changes: Any) -> httpx.Response:
    """Post the order of a read token; `changes` replace its members."""
    members: dict[str, Any] = {
        "token": TOKEN,
        "digest": digest_of(SECRET),
        "ceiling": "AMBER",
        "areas": ["*"],
        "until": desks.session(agency).now() + 86_400,
        "addresses": [],
        "label": "MISP of the fusion desk",
    }
    return desks.post(desks.session(agency).sign_order("read-token", members | changes), ORDER)


@pytest.mark.parametrize(
    "header",
    [f"Bearer {TEXT}", f"bearer  {TEXT} ", basic(TEXT), basic(TEXT, ""), basic(TEXT, "x").replace("B", "b", 1)],
)
def test_header(header: str) -> None:
    """A token comes as Bearer, or as the password of any user."""
    assert TEXT == read_tokens.text_of(header)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer eyJh.b.c",
        TEXT,
        f"Digest {TEXT}",
        "Basic !",
        "Basic " + TEXT,
        basic("password"),
        basic("", TEXT),
        "Basic /w==",
    ],
)
def test_no_header(header: str | None) -> None:
    """Whatever else is in the header is no read token."""
    assert read_tokens.text_of(header) is None


def test_found() -> None:
    """Secret and address together let a caller in, within the bounds of its token."""
    caller = read_tokens.find(TEXT, DIRECTORY, NOW, HERE)

    assert ReadCaller(AGENCY, "GREEN", ("cyber",), token=KNOWN) == caller
    assert (TOKEN, f"misp/{TOKEN}", ()) == (caller.token_id, caller.way("misp"), caller.reasons)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (TEXT, ELSEWHERE),
        (TEXT, None),
        (write_token(TOKEN, "A" * 43), HERE),
        (write_token("a" * 12, SECRET), HERE),
        ("lts_nonsense", HERE),
    ],
)
@pytest.mark.parametrize("now", [NOW, NOW + 100])
def test_refused_alike(text: str, address: Any, now: int) -> None:
    """A foreign address, a wrong secret and an unknown token give one answer, also for a token that is over."""
    with pytest.raises(Unauthorized) as refusal:
        read_tokens.find(text, DIRECTORY, now, address)

    assert REFUSED == refusal.value.detail


def test_over() -> None:
    """Whoever holds the secret of a token that is over is told so."""
    assert TOKEN == read_tokens.find(TEXT, DIRECTORY, NOW + 99, HERE).token_id
    with pytest.raises(Unauthorized) as refusal:
        read_tokens.find(TEXT, DIRECTORY, NOW + 100, HERE)

    assert OVER == refusal.value.detail


def test_fault() -> None:
    """Nothing leaves any more once the token was ended, made anew, or is over."""
    caller = read_tokens.find(TEXT, DIRECTORY, NOW, HERE)
    anew = replace(DIRECTORY, read_tokens={TOKEN: replace(KNOWN, seq=10)})

    assert caller.fault(DIRECTORY, NOW) is None
    for directory, now in ((replace(DIRECTORY, read_tokens={}), NOW), (anew, NOW), (DIRECTORY, NOW + 100)):
        assert isinstance(caller.fault(directory, now), Unauthorized)


def test_self_signed() -> None:
    """An agency's own token reads up to AMBER in all areas, keeps its reasons, and ends with its key."""
    signed = Caller(AGENCY, "kid", "read", NOW + 9, purpose="investigation", case_ref="SIM-1")
    caller = read_tokens.of_signed(signed)

    assert ("AMBER", None, None, "taxii") == (caller.ceiling, caller.topics, caller.token_id, caller.way("taxii"))
    assert signed.reasons == caller.reasons
    assert isinstance(caller.fault(DIRECTORY, NOW), Unauthorized)


def test_bounds() -> None:
    """A token narrows what its agency may read, and covers withdrawals within its bounds alone."""
    caller = read_tokens.find(TEXT, DIRECTORY, NOW, HERE)
    wide, narrow = Reader(AGENCY, None, 4), Reader(AGENCY, frozenset({"cyber.scam", "drugs"}), 0, only_withdrawals=True)
    cyber = caller.topics

    assert cyber is not None
    assert {"cyber", "cyber.scam"} <= cyber
    assert Reader(AGENCY, cyber, 1) == caller.narrowed(wide)
    assert Reader(AGENCY, frozenset({"cyber.scam"}), 0, only_withdrawals=True) == caller.narrowed(narrow)
    assert wide == replace(read_tokens.of_signed(Caller(AGENCY, "", "read", 0)).narrowed(wide), tlp_rank_max=4)
    rows = [ROW, ROW._replace(tlp_rank=2), ROW._replace(topic="drugs"), ROW._replace(topic="drugs", withdraws=True)]
    assert [True, False, False, False] == [caller.covers(row) for row in rows]


def test_ordered_and_listed(desks: Desks) -> None:
    """An agency makes a token, sees it with its label, and ends it; nobody else sees it, the secret is nowhere."""
    until = desks.session(AGENCY).now() + 86_400
    made = order(desks, until=until, areas=["cyber"], addresses=["198.51.100.0/24"])
    listed = desks.get("/v1/read-tokens", AGENCY)
    [event] = desks.events(kind="token.issued")

    assert (201, ["token.issued", "order.accepted"]) == (made.status_code, made.json()["events"])
    [found] = listed.json()["read_tokens"]
    assert (TOKEN, "MISP of the fusion desk", "active", event.seq) == (
        found["token"],
        found["label"],
        found["state"],
        found["seq"],
    )
    assert ("AMBER", ["cyber"], ["198.51.100.0/24"]) == (found["ceiling"], found["areas"], found["addresses"])
    assert desks.session(AGENCY).identity.key.kid == found["by"]
    assert SECRET not in listed.text
    assert {"read_tokens": []} == desks.get("/v1/read-tokens", OTHER).json()
    assert 403 == desks.get("/v1/read-tokens", "admin/registrar").status_code
    assert {"view": "read-tokens"} == desks.details(kind="view.read", party=AGENCY)[0]

    desks.clock.advance(86_400)
    assert "expired" == desks.get("/v1/read-tokens", AGENCY).json()["read_tokens"][0]["state"]
    ended = desks.post(desks.session(AGENCY).sign_order("read-token-end", {"token": TOKEN}), ORDER)
    assert (201, ["token.ended", "order.accepted"]) == (ended.status_code, ended.json()["events"])
    assert {"read_tokens": []} == desks.get("/v1/read-tokens", AGENCY).json()
    check_everything(desks.hub.store, desks.hub.signer.verifier, lambda _done, _all: None)


def test_opens_no_other_door(desks: Desks) -> None:
    """With a read token nothing is read under /v1, nothing published, nothing subscribed."""
    order(desks)
    body = canonical({"filter": {}, "start": "now"})
    for header in (f"Bearer {TEXT}", basic(TEXT)):
        headers = {"Authorization": header, "Content-Type": "application/json"}
        for path in ("/v1/bulletins", "/v1/read-tokens", "/v1/log/events", "/v1/keys"):
            assert (401, "unauthorized") == problem_of(desks.get(path, Authorization=header))[:2]
        put = desks.http.put(desks.url + "/v1/subscriptions/mine", content=body, headers=headers)
        link = desks.http.post(desks.url + "/v1/console/links", content=b"{}", headers=headers)
        assert [401, 401] == [put.status_code, link.status_code]
    assert "/misp/" in desks.get("/v1/bulletins", Authorization=f"Bearer {TEXT}").json()["detail"]


def test_refused_orders(desks: Desks) -> None:
    """A token too wide, a second one of the same id, and another agency's end are refused, on record."""
    assert PROBLEM_TYPE_PREFIX + "malformed-payload" == order(desks, ceiling="RED").json()["type"]
    assert 201 == order(desks).status_code
    assert (409, "order-conflict", "token") == problem_of(order(desks, OTHER))
    end = desks.session(OTHER).sign_order("read-token-end", {"token": TOKEN})
    assert (409, "order-conflict", "token") == problem_of(desks.post(end, ORDER))

    assert [TOKEN] == list(desks.hub.directory.read_tokens)
