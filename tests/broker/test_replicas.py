"""Two replicas of one hub on one Postgres: one log, one directory, whoever accepts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from broker.fsck import check_everything
from broker.hub import Hub, open_hub
from broker.keyfile import add_log_key
from broker.settings import read_settings
from broker.store import log
from lintas import checkpoint
from lintas.errors import LogHalted
from lintas.header import KEY
from lintas.keys import SigningKey
from lintas.line import Line
from lintas.note import SignerKey
from lintas.receipt import check_receipt, parse_receipt
from tests.broker.conftest import Desks, Template, problem_of
from tests.conftest import ShiftedClock, served
from tests.databases import Databases

ISSUER, READER = "my-police", "sg-fiu"
POSTS = 40


@dataclass
class Replicas:
    """Desks at each of two replicas."""

    first: Desks
    second: Desks

    def receipts(self, line: Line) -> set[bytes]:
        """Post a line that was accepted to both; return the receipts they give."""
        answers = [desks.post(line) for desks in (self.first, self.second)]
        assert [200, 200] == [answer.status_code for answer in answers]
        return {answer.content for answer in answers}


@pytest.fixture
def replicas(few: Template, tmp_path: Path, clock: ShiftedClock, databases: Databases) -> Iterator[Replicas]:
    """Two served replicas with data directories of their own: the same keys, the same database."""
    if not databases.is_postgres:
        pytest.skip("SQLite has one process; run with --postgres")
    one = few.copy(tmp_path / "one")
    shutil.copytree(one, tmp_path / "two")
    hubs = [open_hub(read_settings({}, data=str(tmp_path / name)), clock) for name in ("one", "two")]
    for hub in hubs:
        hub.start()
    with served(hubs[0]) as first_url, served(hubs[1]) as second_url:
        identity_of = few.identities.__getitem__
        found = Replicas(Desks(hubs[0], identity_of, clock, first_url), Desks(hubs[1], identity_of, clock, second_url))
        yield found
        found.first.close()
        found.second.close()
    for hub in hubs:
        hub.stop()


def check_log(hub: Hub) -> int:
    """Re-derive everything in the shared database; return the size of the log."""
    return check_everything(hub.store, hub.signer.verifier, lambda _done, _all: None).size


def test_one_log(replicas: Replicas) -> None:
    """What both accept at once is one log without gap or fork, and each gives the same receipt for everything."""
    hub = replicas.first.hub
    lines = [replicas.first.bulletin(ISSUER, [READER]) for _ in range(POSTS)]
    pairs = [(replicas.first if number % 2 else replicas.second, line) for number, line in enumerate(lines)]

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda pair: pair[0].post(pair[1]), pairs))

    assert {201} == {answer.status_code for answer in answers}
    seqs = {
        check_receipt(
            parse_receipt(answer.content), line_id=line.id, origin=hub.signer.origin, key=hub.signer.verifier
        ).seq
        for answer, line in zip(answers, lines, strict=True)
    }
    assert POSTS == len(seqs)
    assert all(len(replicas.receipts(line)) == 1 for line in lines[:5])
    assert check_log(hub) > POSTS


def test_read_at_the_other(replicas: Replicas) -> None:
    """What one replica accepted is in the feed that the other gives."""
    line = replicas.first.publish(ISSUER, [READER])

    rows = replicas.second.rows("/v1/bulletins", READER)

    assert line.raw.decode() == rows[-1]["line"]


def test_same_line_at_both(replicas: Replicas) -> None:
    """The same bytes posted to both at once are one entry."""
    line = replicas.first.bulletin(ISSUER, [READER])

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda desks: desks.post(line), [replicas.first, replicas.second] * 4))

    assert [200] * 7 + [201] == sorted(answer.status_code for answer in answers)
    assert 1 == len({answer.content for answer in answers})


def test_revocation_wins(replicas: Replicas) -> None:
    """A key revoked at one replica accepts nothing at the other from then on."""
    replicas.second.publish(ISSUER, [READER])
    session = replicas.first.session(ISSUER)
    replicas.first.post(session.sign_revocation("unspecified", session.now()), KEY)

    answer = replicas.second.post(replicas.second.bulletin(ISSUER, [READER]))

    assert (403, "key-not-active") == problem_of(answer)[:2]


def test_orders_reach_the_other(replicas: Replicas) -> None:
    """A grant changed at one replica is what the other decides by; both directories are the same in the end."""
    replicas.first.order("grant", agency=ISSUER, publish=["drugs"], read=["*"])

    answer = replicas.second.post(replicas.second.bulletin(ISSUER, [READER], topic="cyber.scam"))

    assert (403, "topic-not-granted") == problem_of(answer)[:2]
    assert replicas.first.hub.directory.grants == replicas.second.hub.directory.grants


def test_unsigned_rows_of_the_other(replicas: Replicas, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a replica committed before it died is signed by the other, which gives its receipt."""

    def die() -> None:
        raise RuntimeError("killed between commit and signature")

    monkeypatch.setattr(replicas.first.hub.signer, "sign_new", die)
    line = replicas.first.bulletin(ISSUER, [READER])
    assert 500 == replicas.first.post(line).status_code

    answer = replicas.second.post(line)

    assert 200 == answer.status_code
    hub = replicas.second.hub
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
    assert check_log(second.hub) > 0


def test_rotation_at_one(replicas: Replicas) -> None:
    """A replica without the new key halts with what its file needs; the other signs what it committed."""
    first, second = replicas.first, replicas.second
    key = add_log_key(first.hub.settings.log_key_file).verifier
    first.order("log-key", log_key=key.text(), overlap_s=86_400)
    line = second.bulletin(ISSUER, [READER])

    refused, answer = second.post(line), first.post(line)

    assert (503, 200) == (refused.status_code, answer.status_code)
    assert f"key {key.key_id.hex()}" in str(second.hub.writer.halted)
    assert check_log(first.hub) > 0


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
