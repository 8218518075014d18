"""Replicas of one hub on one Postgres: one log, one directory, whoever accepts and whoever is asked."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from broker import lifecycle, retention, writer
from broker.app import build_app
from broker.keyfile import add_log_key
from broker.limits import STRANGERS
from broker.retention import Run
from broker.signer import LogSigner
from broker.store import log
from broker.wakeup import News
from lintas import checkpoint
from lintas.errors import Busy, LogHalted
from lintas.header import KEY, ORDER, TOKEN
from lintas.keys import SigningKey
from lintas.note import SignerKey
from lintas.receipt import check_receipt, parse_receipt
from lintas.strict import canonical
from tests.broker import test_read_tokens as read_token_tests
from tests.broker.conftest import FEW, Desks, Template, problem_of, sign_bulletin
from tests.broker.replicas import Replicas, mute, served_pair
from tests.broker.streaming import listening
from tests.conftest import ShiftedClock, wait_until

ISSUER, READER, OTHER, THIRD, FOURTH = FEW
POSTS = 40
WAIT_S = 20
AT_ONCE_S = 4.0
"""Less than any clock in the hub takes to look; what is seen within it was told. A busy machine needs part of it."""


@pytest.fixture(scope="module")
def pair(few: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicas]:
    """Two replicas that the tests of this module share: bulletins may be added, nothing else may change.

    Their writers do not look by the clock, so what one knows of the other it was told.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "IDLE_S", 600.0)
        with served_pair(few, tmp_path_factory.mktemp("pair"), ShiftedClock()) as found:
            yield found


@pytest.fixture
def replicas(few: Template, tmp_path: Path, clock: ShiftedClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Replicas]:
    """Two replicas of a private hub whose writers do not look by the clock."""
    monkeypatch.setattr(writer, "IDLE_S", 600.0)
    with served_pair(few, tmp_path, clock) as found:
        yield found


# --- one log ---


def test_one_log(pair: Replicas) -> None:
    """What both accept at once is one log without gap or fork, and each gives the same receipt for everything."""
    hub = pair.first.hub
    lines = [pair.first.bulletin(ISSUER, [READER]) for _ in range(POSTS)]
    pairs = [(pair.first if number % 2 else pair.second, line) for number, line in enumerate(lines)]

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda each: each[0].post(each[1]), pairs))

    assert {201} == {answer.status_code for answer in answers}
    seqs = {
        check_receipt(
            parse_receipt(answer.content), line_id=line.id, origin=hub.signer.origin, key=hub.signer.verifier
        ).seq
        for answer, line in zip(answers, lines, strict=True)
    }
    assert POSTS == len(seqs)
    assert all(len(pair.receipts(line)) == 1 for line in lines[:5])
    assert pair.check_log() > POSTS


def test_same_line_at_both(pair: Replicas) -> None:
    """The same bytes posted to both at once are one entry."""
    line = pair.first.bulletin(ISSUER, [READER])

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda desks: desks.post(line), [pair.first, pair.second] * 4))

    assert [200] * 7 + [201] == sorted(answer.status_code for answer in answers)
    assert 1 == len({answer.content for answer in answers})


def test_refused_at_both(pair: Replicas) -> None:
    """A refusal is logged once, whichever replicas the same line is sent to."""
    line = pair.first.bulletin(ISSUER, ["ph-police"])

    answers = [desks.post(line) for desks in (pair.first, pair.second, pair.first)]

    assert [422] * 3 == [answer.status_code for answer in answers]
    assert 1 == len(pair.first.events(kind="bulletin.refused", object=line.id))


def test_unsigned_rows_of_the_other(pair: Replicas, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a replica committed before it died is signed by the other, which gives its receipt."""
    die_unsigned(pair.first.hub.signer, monkeypatch)
    line = pair.first.bulletin(ISSUER, [READER])
    assert 500 == pair.first.post(line).status_code

    answer = pair.second.post(line)

    assert 200 == answer.status_code
    hub = pair.second.hub
    check_receipt(parse_receipt(answer.content), line_id=line.id, origin=hub.signer.origin, key=hub.signer.verifier)


def test_rotation_at_both(replicas: Replicas) -> None:
    """Two replicas change over at one index: each signs what the other would, in the overlap and after it."""
    first, second = replicas.first, replicas.second
    path = first.hub.settings.log_key_file
    key = add_log_key(path).verifier
    shutil.copy(path, second.hub.settings.log_key_file)
    assert 201 == first.order("log-key", log_key=key.text(), overlap_s=86_400).status_code

    second.publish(ISSUER, [READER])
    first.clock.advance(2 * 86_400)
    lines = [each.publish(ISSUER, [READER]) for each in (first, second, first)]

    assert all(len(replicas.receipts(line)) == 1 for line in lines)
    assert first.hub.signer.log_keys == second.hub.signer.log_keys
    assert key == second.hub.signer.verifier
    assert replicas.check_log() > 0


def test_rotation_at_one(replicas: Replicas) -> None:
    """A replica without the new key halts with what its file needs; the other signs what it committed."""
    first, second = replicas.first, replicas.second
    key = add_log_key(first.hub.settings.log_key_file).verifier
    first.order("log-key", log_key=key.text(), overlap_s=86_400)
    line = second.bulletin(ISSUER, [READER])

    refused, answer = second.post(line), first.post(line)

    # It may have found that out by itself a moment earlier, and then it committed nothing.
    assert (503, True) == (refused.status_code, answer.status_code in (200, 201))
    assert f"key {key.key_id.hex()}" in str(second.hub.writer.halted)
    assert replicas.check_log() > 0


def die_unsigned(signer: LogSigner, patch: pytest.MonkeyPatch) -> None:
    """Have a replica commit and come no further."""

    def die(*_: object) -> None:
        raise RuntimeError("killed between commit and signature")

    patch.setattr(signer, "sign_new", die)


def test_replica_with_another_log_key(replicas: Replicas) -> None:
    """A checkpoint that another key signed for a size is found before ours is published: the log has forked."""
    hub = replicas.first.hub
    replicas.first.publish(ISSUER, [READER])
    with hub.store.read() as conn:
        newest = log.newest_checkpoint(conn)
    assert newest is not None
    signed = checkpoint.open_checkpoint(newest[1], origin=hub.signer.origin, key=hub.signer.verifier)
    hub.signer._frontier = type(hub.signer._frontier)(0, ())
    hub.signer._held[hub.signer.verifier] = SignerKey.from_seed(hub.signer.origin, SigningKey.generate().seed)

    with pytest.raises(LogHalted, match=f"Another checkpoint of size {signed.size}"):
        hub.signer.sign_new()


# --- news ---


def test_read_at_the_other(pair: Replicas) -> None:
    """What one replica accepted is in the feed that the other gives."""
    line = pair.first.publish(ISSUER, [READER])

    rows = pair.second.rows("/v1/bulletins", READER)

    assert line.raw.decode() in [row["line"] for row in rows]


def test_stream_at_the_other(pair: Replicas) -> None:
    """A stream brings at once what another replica accepted, and the record of it stands in the one log."""
    after = pair.second.events()[0].seq
    token = pair.second.session(OTHER).token()
    with listening(f"{pair.second.url}/v1/bulletins?after={after}", token) as listener:
        began = time.monotonic()
        line = pair.first.publish(ISSUER, [OTHER])
        wait_until(lambda: len(listener.rows) == 1)
        took_s = time.monotonic() - began

    assert line.raw.decode() == listener.rows[0]["line"]
    assert took_s < AT_ONCE_S
    assert listener.seqs == [pair.first.details(kind="bulletin.sent", party=OTHER)[0]["from"]]


def test_long_poll_at_the_other(pair: Replicas) -> None:
    """A request that waits at one replica is answered at once with what another accepted."""
    asked = waiting(pair.second, THIRD)
    began = time.monotonic()
    line = pair.first.publish(ISSUER, [THIRD])

    answer = asked.result(WAIT_S)

    assert line.raw in answer.content
    assert time.monotonic() - began < AT_ONCE_S


def waiting(desks: Desks, party: str) -> Future[httpx.Response]:
    """Ask for what comes next, from a thread of its own; return once the request waits."""
    asked = Future[httpx.Response]()
    path = f"/v1/bulletins?after={desks.events()[0].seq}"
    ask = threading.Thread(target=lambda: asked.set_result(desks.get(path, party, Prefer="wait=30")), daemon=True)
    ask.start()
    wait_until(lambda: party in {bell.agency for bell in tuple(desks.hub.wakeup._bells)})
    return asked


def test_news_of_other_forms(pair: Replicas) -> None:
    """What a replica of another version tells makes this one look at the log."""
    second = pair.second.hub
    asked = waiting(pair.second, READER)
    with pytest.MonkeyPatch.context() as patch:
        mute(second, patch)
        line = pair.first.publish(ISSUER, [READER])
    with pair.first.hub.store.write() as conn:
        second.store.notify(conn, "of another form")

    assert line.raw in asked.result(WAIT_S).content


def test_rows_that_nobody_told_of(pair: Replicas, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a replica committed before it died is told by the one whose batch finds it, to readers everywhere."""
    asked = waiting(pair.first, READER)
    die_unsigned(pair.first.hub.signer, monkeypatch)
    line = pair.first.bulletin(ISSUER, [READER])
    assert 500 == pair.first.post(line).status_code
    monkeypatch.undo()

    pair.second.publish(ISSUER, [OTHER])

    assert line.raw in asked.result(WAIT_S).content


def test_idle_replica_finds_what_nobody_told(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch, few: Template, tmp_path: Path, clock: ShiftedClock
) -> None:
    """Rows that were left unsigned and untold are signed and told by an idle replica within its pause."""
    monkeypatch.setattr(writer, "IDLE_S", 0.1)
    with served_pair(few, tmp_path / "idle", clock) as idle:
        asked = waiting(idle.second, READER)
        die_unsigned(idle.first.hub.signer, monkeypatch)
        line = idle.first.bulletin(ISSUER, [READER])
        idle.first.post(line)

        assert line.raw in asked.result(WAIT_S).content


def test_told_once(pair: Replicas) -> None:
    """Whoever accepted tells its own readers once, and does not hear itself."""
    for desks in (pair.second, pair.first):
        # A writer that was made to fail before looks at everything once.
        desks.publish(ISSUER, [OTHER])
    told: list[News] = []
    wakeup = pair.first.hub.wakeup
    wakeup.watchers.append(told.append)
    pair.first.publish(ISSUER, [FOURTH])
    pair.second.publish(ISSUER, [THIRD])
    wait_until(lambda: any(THIRD in news.agencies for news in told))
    wakeup.watchers.remove(told.append)

    assert [News(frozenset({ISSUER, FOURTH})), News(frozenset({ISSUER, THIRD}))] == told


# --- one directory ---


def test_revocation_wins(replicas: Replicas) -> None:
    """A key revoked at one replica accepts nothing at the other from then on."""
    replicas.second.publish(ISSUER, [READER])
    revoke(replicas.first, ISSUER)

    answer = replicas.second.post(replicas.second.bulletin(ISSUER, [READER]))

    assert (403, "key-not-active") == problem_of(answer)[:2]


def revoke(desks: Desks, party: str) -> None:
    """Revoke the key of a party, by itself."""
    session = desks.session(party)
    answer = desks.post(session.sign_revocation("unspecified", session.now()), KEY)
    assert answer.status_code == 201, answer.text


def test_read_tokens(replicas: Replicas) -> None:
    """A read token that was made at one replica is good at the other at once, and is bad there once it was ended."""
    made = read_token_tests.order(replicas.first, READER)
    header = f"Bearer {read_token_tests.TEXT}"
    good = replicas.second.get("/misp/manifest.json", Authorization=header)
    end = replicas.first.session(READER).sign_order("read-token-end", {"token": read_token_tests.TOKEN})
    ended = replicas.first.post(end, ORDER)
    bad = replicas.second.get("/misp/manifest.json", Authorization=header)

    assert [201, 200, 201, 401] == [answer.status_code for answer in (made, good, ended, bad)]


def test_revoked_reader(replicas: Replicas) -> None:
    """A key revoked at one replica ends the stream and the waiting request of its agency at the other, at once."""
    token = replicas.second.session(READER).token()
    asked = waiting(replicas.second, READER)
    with listening(f"{replicas.second.url}/v1/bulletins", token) as listener:
        began = time.monotonic()
        revoke(replicas.first, READER)
        wait_until(lambda: listener.ended)
        answer = asked.result(WAIT_S)
        took_s = time.monotonic() - began

    assert "unauthorized" == listener.reason
    assert (401, "unauthorized") == problem_of(answer)[:2]
    assert took_s < AT_ONCE_S


def test_heard_but_not_known(replicas: Replicas, monkeypatch: pytest.MonkeyPatch) -> None:
    """A replica that has heard of a revocation but could not look yet looks before it answers from memory."""
    second = replicas.second.hub
    token = replicas.second.session(READER).token()
    submit = second.writer.submit
    monkeypatch.setattr(second.writer, "submit", busy)
    revoke(replicas.first, READER)
    wait_until(lambda: not second.replica.is_current)
    monkeypatch.setattr(second.writer, "submit", submit)
    assert second.directory != replicas.first.hub.directory

    answer = replicas.second.http.get(f"{replicas.second.url}/v1/keys", headers={"Authorization": f"Bearer {token}"})

    assert (401, "unauthorized") == problem_of(answer)[:2]
    assert second.replica.is_current


def busy(*_: Any) -> None:
    """Have no room in the queue."""
    raise Busy(retry_after=1)


def test_orders_reach_the_other(pair: Replicas) -> None:
    """A grant changed at one replica is what the other decides by; both directories are the same in the end."""
    pair.first.order("grant", agency=FOURTH, publish=["drugs"], read=["*"])

    answer = pair.second.post(pair.second.bulletin(FOURTH, [READER], topic="cyber.scam"))

    assert (403, "topic-not-granted") == problem_of(answer)[:2]
    assert pair.first.hub.directory.grants == pair.second.hub.directory.grants


def rotated(desks: Desks, party: str) -> SigningKey:
    """Rotate the key of a party with the approval of an administrator; return the new one."""
    new = SigningKey.generate()
    answer = desks.post(desks.session(party).sign_rotation(new, holder="desk", overlap_s=3_600), KEY)
    assert answer.status_code == 201, answer.text
    answer = desks.order("approve", agency=party, kid=new.kid)
    assert answer.status_code == 201, answer.text
    return new


def post_token(desks: Desks, party: str, key: SigningKey) -> httpx.Response:
    """Read with a token of this key."""
    return desks.http.get(f"{desks.url}/v1/keys", headers={"Authorization": f"Bearer {token_of(desks, party, key)}"})


def token_of(desks: Desks, party: str, key: SigningKey) -> str:
    """Return a token to read, signed with this key."""
    session = desks.session(party)
    return session.sign_line(TOKEN, b"", key=key, exp=session.now() + 300, scope="read").raw.decode()


def post_bulletin(desks: Desks, party: str, key: SigningKey) -> httpx.Response:
    """Post a bulletin signed with this key."""
    return desks.post(sign_bulletin(desks.session(party), [READER], key=key))


def post_batch(desks: Desks, party: str, key: SigningKey) -> httpx.Response:
    """Post a batch of one bulletin signed with this key."""
    line = sign_bulletin(desks.session(party), [READER], key=key)
    headers = {"Content-Type": "application/jsonl"}
    answer = desks.http.post(f"{desks.url}/v1/bulletins", content=line.raw, headers=headers)
    assert '"status":201' in answer.text, answer.text
    return answer


def post_key(desks: Desks, party: str, key: SigningKey) -> httpx.Response:
    """Post a line that revokes this key, signed with it."""
    session = desks.session(party)
    payload = canonical({"act": "revoke", "kid": key.kid, "reason": "unspecified", "since": session.now()})
    return desks.post(session.sign_line(KEY, payload, key=key), KEY)


@pytest.mark.parametrize(
    ("post", "party"), [(post_token, ISSUER), (post_bulletin, THIRD), (post_batch, OTHER), (post_key, READER)]
)
def test_key_that_is_new_here(
    pair: Replicas,
    monkeypatch: pytest.MonkeyPatch,
    post: Callable[[Desks, str, SigningKey], httpx.Response],
    party: str,
) -> None:
    """A key enrolled at one replica is good at the other from the next request on, even if no news got through."""
    mute(pair.second.hub, monkeypatch)
    new = rotated(pair.first, party)
    assert new.kid not in pair.second.hub.directory.keys

    answer = post(pair.second, party, new)

    assert answer.status_code in (200, 201), answer.text


def test_address_in_debt_costs_no_look(pair: Replicas, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that is not known here, from an address in debt, is refused without a look at the log."""
    hub = pair.second.hub
    mute(hub, monkeypatch)
    new = rotated(pair.first, FOURTH)
    token = token_of(pair.second, FOURTH, new)
    app = build_app(hub)

    async def ask(address: str) -> httpx.Response:
        transport = httpx.ASGITransport(app=app, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url=pair.second.url) as http:
            return await http.get("/v1/keys", headers={"Authorization": f"Bearer {token}"})

    app.state.limits.charge_address("203.0.113.9", 2 * STRANGERS.burst)
    refused = asyncio.run(ask("203.0.113.9"))
    has_looked = new.kid in hub.directory.keys
    answer = asyncio.run(ask("203.0.113.10"))

    assert (429, False, 200) == (refused.status_code, has_looked, answer.status_code)


def test_unknown_key_everywhere(pair: Replicas) -> None:
    """A key that no replica knows is refused as ever."""
    session = pair.second.session(ISSUER)
    line = sign_bulletin(session, [READER], key=SigningKey.generate())

    assert (403, "unknown-key") == problem_of(pair.second.post(line))[:2]


# --- what readers hold ---


def test_subscription_at_both(pair: Replicas) -> None:
    """A subscription made at one replica is read at the other, and its cursor moves at either."""
    path = "/v1/subscriptions/both"
    made = pair.first.change("PUT", path, OTHER, {"filter": {}})
    line = pair.second.publish(ISSUER, [OTHER])
    page = pair.second.get(f"{path}/bulletins", OTHER)
    assert page.status_code == 200, page.text
    moved = pair.second.change("POST", f"{path}/cursor", OTHER, {"cursor": int(page.headers["lintas-cursor"])})

    assert [201, 200] == [made.status_code, moved.status_code]
    assert line.raw in page.content
    assert b"" == pair.first.get(f"{path}/bulletins", OTHER).content


def test_ack_at_the_other(pair: Replicas) -> None:
    """A bulletin posted to one replica is acknowledged at the other; the first then shows it, and says it once."""
    line = pair.first.publish(ISSUER, [THIRD])
    ack = pair.first.ack(THIRD, line)

    answers = [desks.post_ack(line, ack) for desks in (pair.second, pair.first)]

    (reader,) = pair.first.get(f"/v1/bulletins/{line.id}/readers", ISSUER).json()["readers"]
    assert [201, 200] == [answer.status_code for answer in answers]
    assert "opened" in reader


# --- what is due ---


def test_expired_once(replicas: Replicas) -> None:
    """What ended is told once, however many replicas sweep."""
    line = replicas.first.publish(ISSUER, [READER], exp=replicas.first.session(ISSUER).now() + 100)
    replicas.first.clock.advance(200)

    look_at_both(replicas)

    assert [[line.id]] == [detail["ids"] for detail in replicas.first.details(kind=lifecycle.KIND)]


def test_purged_once(replicas: Replicas) -> None:
    """A bulletin is purged once, also if another replica found it before that."""
    replicas.first.publish(ISSUER, [READER], exp=replicas.first.session(ISSUER).now() + 100)
    replicas.first.clock.advance(3 * 86_400)
    runs = [Run(until=replicas.first.session(ISSUER).now()) for _ in range(2)]

    # Each finds it before any of them purges.
    for act in (retention._look_on, retention.step):
        for hub, run in zip(replicas.hubs, runs, strict=True):
            hub.writer.submit(partial(act, run=run)).result(WAIT_S)

    assert sorted([ISSUER, READER]) == sorted(event.party for event in replicas.first.events(kind="bulletin.purged"))
    replicas.check_log()


def look_at_both(replicas: Replicas) -> None:
    """Make both writers commit once, at the same time."""
    done = [hub.writer.submit(lambda batch: batch.next_seq) for hub in replicas.hubs]
    for each in done:
        each.result(WAIT_S)


def test_strangers_are_counted_where_they_knock(pair: Replicas) -> None:
    """Each replica logs the strangers it refused, and no other's."""
    for desks in (pair.first, pair.second, pair.second):
        assert 400 == desks.post(b"nonsense").status_code

    for hub in pair.hubs:
        hub.writer.submit(hub.strangers.record_all).result(WAIT_S)

    counts = [detail["codes"].get("malformed-line", 0) for detail in pair.first.details(kind="auth.refused")]
    assert [1, 2] == sorted(filter(None, counts))
