"""Rates over HTTP: who is charged for what, what is said, who is not disturbed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from broker import limits as figures
from broker.limits import Limits, Rate, read_networks
from broker.web import charging, http
from lintas.header import ACK, BULLETIN, KEY, ORDER
from lintas.line import Line
from tests.broker.conftest import Desks, Template, inner_desks, problem_of
from tests.broker.test_limits import Hand
from tests.conftest import served

ISSUER, READER, BAD_DESK = "my-police", "sg-fiu", "th-cert"
ATTACKER, NEIGHBOUR = "198.51.100.7", "203.0.113.9"
BULLETIN_MEDIA = f"application/{BULLETIN}"
FORWARDED = "X-Forwarded-For"


class Guarded:
    """A served hub behind a trusted proxy, its rates small, their time in a test's hand."""

    def __init__(self, desks: Desks, limits: Limits, hand: Hand) -> None:
        self.desks = desks
        self.limits = limits
        self.hand = hand

    def post(self, raw: bytes, *, source: str = ATTACKER, media: str = BULLETIN_MEDIA) -> httpx.Response:
        """Post bytes as they come from this address."""
        headers = {"Content-Type": media, FORWARDED: source}
        return self.desks.http.post(self.desks.url + "/v1/bulletins", content=raw, headers=headers)

    def use_up(self, source: str = ATTACKER) -> None:
        """Bring this address into debt."""
        line = broken(self.desks.bulletin(ISSUER, [READER]))
        assert [403] * 2 == [self.post(line, source=source).status_code for _ in range(2)]


def broken(line: Line) -> bytes:
    """Return the line with a signature that belongs to something else."""
    return line.raw[:-86] + (b"A" if line.raw[-86:-85] != b"A" else b"B") + line.raw[-85:]


@pytest.fixture(scope="module")
def serving(few: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Desks, served]]:
    """A hub for all tests of this module; each brings limits of its own."""
    with inner_desks(few, tmp_path_factory.mktemp("rates") / "hub") as desks:
        server = served(desks.hub)
        with server as desks.url:
            yield desks, server


@pytest.fixture
def guarded(serving: tuple[Desks, served], monkeypatch: pytest.MonkeyPatch) -> Guarded:
    """A hub whose addresses have two bad signatures, whose agencies have three lines and three reads."""
    monkeypatch.setattr(figures, "STRANGERS", Rate(per_s=10, burst=100))
    monkeypatch.setattr(figures, "LINES", Rate(per_s=1, burst=3))
    monkeypatch.setattr(figures, "READS", Rate(per_s=1, burst=3))
    monkeypatch.setattr(http, "SLOW_S", 0.01)
    desks, server = serving
    hand = Hand()
    limits = server.app.state.limits = Limits(hand, trusted=read_networks("127.0.0.1"))
    return Guarded(desks, limits, hand)


def test_bad_signatures(guarded: Guarded) -> None:
    """An address whose signatures are bad is refused before the next is looked at, and let in when it has waited."""
    good = guarded.desks.bulletin(ISSUER, [READER])
    guarded.use_up()

    refused = guarded.post(good.raw)
    guarded.hand.now += int(refused.headers["retry-after"])
    after = guarded.post(good.raw)

    assert (429, "rate-limited", None) == problem_of(refused)
    assert "1" == refused.headers["retry-after"]
    assert 201 == after.status_code


def test_named_agency_is_not_charged(guarded: Guarded) -> None:
    """Lines that only name an agency take nothing from it: it posts from another address as before."""
    for source in (ATTACKER, "198.51.100.8", "198.51.100.9"):
        guarded.use_up(source)

    assert 201 == guarded.post(guarded.desks.bulletin(ISSUER, [READER]).raw, source=NEIGHBOUR).status_code


def test_replays_are_not_charged_to_the_issuer(guarded: Guarded) -> None:
    """Who holds copies of an agency's lines cannot use up what it may send by sending them again."""
    line = guarded.desks.bulletin(ISSUER, [READER])

    statuses = [guarded.post(line.raw, source=NEIGHBOUR).status_code]
    statuses += [guarded.post(line.raw).status_code for _ in range(10)]

    assert [201] + [200] * 10 == statuses
    assert 201 == guarded.post(guarded.desks.bulletin(ISSUER, [READER]).raw, source=NEIGHBOUR).status_code


def test_replays_are_charged_to_their_address(guarded: Guarded) -> None:
    """Each of them costs its address a little."""
    line = guarded.desks.bulletin(ISSUER, [READER])
    guarded.post(line.raw, source=NEIGHBOUR)

    guarded.limits.charge_address(ATTACKER, 98)
    statuses = [guarded.post(line.raw).status_code for _ in range(3)]

    assert [200, 200, 429] == statuses


def test_lines_of_an_agency(guarded: Guarded) -> None:
    """An agency that sends too much is told so from any address; the others are not disturbed."""
    lines = [guarded.desks.bulletin(BAD_DESK, [READER]) for _ in range(4)]

    answers = [guarded.post(line.raw, source=f"203.0.113.{number}") for number, line in enumerate(lines)]

    assert [201, 201, 201, 429] == [answer.status_code for answer in answers]
    assert (429, "rate-limited", None) == problem_of(answers[3])
    assert 201 == guarded.post(guarded.desks.bulletin(ISSUER, [READER]).raw).status_code


def test_refused_lines_are_charged(guarded: Guarded) -> None:
    """A line with a good signature costs its agency as much when it is refused."""
    lines = [guarded.desks.bulletin(BAD_DESK, ["xx-nobody"]) for _ in range(4)]

    assert [422, 422, 422, 429] == [guarded.post(line.raw).status_code for line in lines]


def test_batch_in_debt(guarded: Guarded) -> None:
    """A batch is charged by its lines, taken whole while anything is left, then refused line by line."""
    first, second = (b"\n".join(guarded.desks.bulletin(BAD_DESK, [READER]).raw for _ in range(5)) for _ in range(2))

    taken = guarded.post(first, media="application/jsonl")
    refused = guarded.post(second, media="application/jsonl")

    assert 5 == taken.text.count('"status":201}')
    assert (200, 5) == (refused.status_code, refused.text.count("rate-limited"))
    assert '"retry_after":3' in refused.text


def test_bad_signatures_in_a_batch(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    """After so many bad signatures the other lines of a batch are not looked at; its address is charged for those."""
    line = broken(guarded.desks.bulletin(ISSUER, [READER]))
    good = guarded.desks.bulletin(ISSUER, [READER]).raw

    rows = guarded.post(b"\n".join([line] * 20 + [good]), media="application/jsonl").text.splitlines()

    assert ["bad-signature"] * 16 + ["rate-limited"] * 5 == [
        next(code for code in ("bad-signature", "rate-limited") if code in row) for row in rows
    ]
    assert 429 == guarded.post(good).status_code
    assert 201 == guarded.post(good, source=NEIGHBOUR).status_code


def test_reads_of_an_agency(guarded: Guarded) -> None:
    """An agency that reads too much is told when to come back; the others read on."""
    answers = [guarded.desks.get("/v1/partners", READER) for _ in range(4)]

    assert [200, 200, 200, 429] == [answer.status_code for answer in answers]
    assert (429, "rate-limited", None) == problem_of(answers[3])
    assert 200 == guarded.desks.get("/v1/partners", ISSUER).status_code


@pytest.mark.parametrize(
    ("path", "party"),
    [
        ("/v1/bulletins?limit=500", READER),
        ("/v1/log/events?limit=200", READER),
        ("/v1/admin/events?limit=500", "admin/registrar"),
        ("/v1/admin/events?format=jsonl", "admin/registrar"),
    ],
)
def test_large_pages_cost_more(guarded: Guarded, path: str, party: str) -> None:
    """A page that may have many rows is charged for them."""
    statuses = [guarded.desks.get(path, party).status_code for _ in range(2)]

    assert [200, 429] == statuses


def test_tokens_that_do_not_hold(guarded: Guarded) -> None:
    """Whoever tries tokens is charged like whoever tries signatures."""
    headers = {FORWARDED: ATTACKER, "Authorization": "Bearer x.y.z"}

    guarded.limits.charge_address(ATTACKER, 85)
    answers = [guarded.desks.http.get(guarded.desks.url + "/v1/partners", headers=headers) for _ in range(3)]

    assert [401, 401, 429] == [answer.status_code for answer in answers]


def test_known_token_behind_a_bad_address(guarded: Guarded) -> None:
    """A reader whose token was seen before goes on reading, whatever else comes from its address."""
    guarded.desks.get("/v1/partners", READER, **{FORWARDED: ATTACKER})
    guarded.use_up()

    assert 200 == guarded.desks.get("/v1/partners", READER, **{FORWARDED: ATTACKER}).status_code


@pytest.mark.parametrize(
    "path",
    [
        *("/healthz", "/readyz", "/.well-known/lintas", "/v1/log/checkpoint", "/v1/log/key", "/v1/log/policy"),
        *("/docs", "/openapi.json"),
    ],
)
def test_public_pages(guarded: Guarded, path: str) -> None:
    """What needs no token is charged to the address."""
    guarded.limits.charge_address(ATTACKER, 92)
    answers = [guarded.desks.get(path, None, **{FORWARDED: ATTACKER}) for _ in range(3)]

    assert [200, 200, 429] == [answer.status_code for answer in answers]


@pytest.mark.parametrize(("path", "typ"), [("/v1/keys", KEY), ("/v1/orders", ORDER), ("/v1/bulletins/x/ack", ACK)])
def test_every_kind_of_line(guarded: Guarded, path: str, typ: str) -> None:
    """Lines of every kind from an address in debt are refused before they are read."""
    guarded.use_up()
    headers = {"Content-Type": f"application/{typ}", FORWARDED: ATTACKER}

    assert 429 == guarded.desks.http.post(guarded.desks.url + path, content=b"x", headers=headers).status_code


def test_acknowledgements_are_charged(guarded: Guarded) -> None:
    """An acknowledgement is a line like any other."""
    line = guarded.desks.publish(ISSUER, [READER])
    guarded.limits.charge_lines(READER, 1)
    acks = [guarded.desks.ack(READER, line, state) for state in ("opened", "acknowledged", "acknowledged")]

    assert [201, 201, 429] == [guarded.desks.post_ack(line, ack).status_code for ack in acks]


def test_orders_are_charged(guarded: Guarded) -> None:
    """An order is charged to whoever signed the line that was posted, also when it does not fit the state."""
    answers = [guarded.desks.order("suspend", agency="vn-police", reason=f"exercise {n}") for n in range(4)]

    assert [201, 409, 409, 429] == [answer.status_code for answer in answers]


def test_strangers_enrolment_is_not_charged_to_the_agency(guarded: Guarded) -> None:
    """Who makes a key and names an agency is charged by address, the agency is not."""
    session = guarded.desks.session(BAD_DESK)
    lines = [session.sign_line(KEY, b'{"act":"enrol"}', iss=ISSUER) for _ in range(2)]

    for line in lines:
        guarded.desks.http.post(
            guarded.desks.url + "/v1/keys",
            content=line.raw,
            headers={"Content-Type": f"application/{KEY}", FORWARDED: ATTACKER},
        )

    assert [201] * 3 == [guarded.desks.post(guarded.desks.bulletin(ISSUER, [READER])).status_code for _ in range(3)]


def test_at_once(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting requests of one agency leave room to the others, and give it back when they end."""
    monkeypatch.setattr(figures, "READS_AT_ONCE_MAX", 1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(guarded.desks.get, "/v1/bulletins", READER, Prefer="wait=1")
        bells = guarded.desks.hub.wakeup._bells
        while not bells:
            pass
        refused = guarded.desks.get("/v1/bulletins", READER)
        other = guarded.desks.get("/v1/bulletins", ISSUER)
        assert 200 == waiting.result().status_code

    assert (503, "busy", None) == problem_of(refused)
    assert 200 == other.status_code
    assert 200 == guarded.desks.get("/healthz", READER).status_code
    assert not guarded.limits._under_way


def test_slowed_answers(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer to an address in debt is held back; when too many are, the connection ends with the answer."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    guarded.use_up()
    monkeypatch.setattr(asyncio, "sleep", sleep)
    slow = guarded.post(b"x")
    monkeypatch.setattr(figures, "SLOWED_MAX", 0)
    cut = guarded.post(b"x")

    assert [0.01] == [wait for wait in waits if wait == 0.01]
    assert "connection" not in slow.headers
    assert (429, "close") == (cut.status_code, cut.headers["connection"])


def test_room_for_bodies_of_one_address(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bodies of one address have a share of the room."""
    monkeypatch.setattr(charging, "BODIES_SHARE_BYTES_MAX", 2_000)

    assert (503, "busy", None) == problem_of(guarded.post(b"A" * 3_000))
    assert (400, "malformed-line") == problem_of(guarded.post(b"A" * 1_500))[:2]


def test_debt_is_no_event(guarded: Guarded) -> None:
    """What is refused for its rate alone is not counted again: it cannot fill the log."""
    source = "198.51.100.200"
    guarded.use_up(source)
    for _ in range(3):
        guarded.post(b"x", source=source)
    guarded.desks.get("/v1/admin/stats", "admin/registrar")

    counted = [each["codes"] for each in guarded.desks.details(kind="auth.refused") if each["source"] == source]

    assert [{"bad-signature": 2}] == counted
