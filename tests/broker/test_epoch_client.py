"""Going over to a new epoch of the log: a person's word, what it is held against, what it leaves and takes along."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click
import pytest

from broker import epoch as epochs_of_hub
from broker.hub import make_log_key, open_hub, open_log
from broker.settings import Settings, read_settings
from broker.store import log
from broker.store.engine import Store
from lintas import AsyncClient
from lintas.client import Client
from lintas.epoch import goes_on
from lintas.errors import (
    BadNote,
    BadProof,
    BadRequest,
    BadSettings,
    Evidence,
    InconsistentLog,
    NewEpoch,
    UnknownWitness,
    Unpinned,
)
from lintas.header import KEY
from lintas.keys import load_identity
from lintas.memory import open_state, path_of
from lintas.note import SignerKey
from lintas.receipt import origin_in
from lintas.request import Request, Response
from lintas.session import Session
from lintas.state import State
from lintas.strict import canonical
from lintas.sync import kept_conflict
from tests.broker.conftest import Template
from tests.databases import Databases
from tests.epochs import AUDITOR, ISSUER, PASSPHRASE, POLICY, READER, REGISTRAR, THIRD, Epochs, draft
from tests.witnesses import TWO_OF_THREE

Served = tuple[str, str]


@pytest.fixture(scope="module")
def offered(past: Epochs, tmp_path_factory: pytest.TempPathFactory, databases: Databases) -> Iterator[Served]:
    """A new epoch that is served to all tests of this file: its address, the key of its log."""
    place = replace(past, settings=databases.settings(tmp_path_factory.mktemp("offered") / "new"))
    key = place.begin(policy=POLICY).key.text()
    with place.serve() as (_, url):
        yield url, key


@pytest.fixture
def fresh(epochs: Epochs) -> Iterator[Served]:
    """One that nobody has gone over to."""
    key = epochs.begin(policy=POLICY).key.text()
    with epochs.serve() as (_, url):
        yield url, key


def pinned(epochs: Epochs, party: str) -> str:
    """Return the key that an identity pins."""
    return load_identity(epochs.path(party), PASSPHRASE).hub.log_key


def checkpoint_below(settings: Settings, size: int) -> bytes:
    """Return the newest checkpoint of a database below this size."""
    store = Store(settings.database)
    with store.read() as conn:
        found = [each for at, each in log.checkpoints(conn) if at < size]
    store.close()
    return found[-1]


def test_nobody_follows_by_itself(epochs: Epochs, offered: Served) -> None:
    """Whatever a client does, it refuses a hub of a new epoch and names the command, until its person has decided."""
    with epochs.client(ISSUER, offered[0]) as issuer:
        acts = (
            issuer.sync,
            lambda: [*issuer.follow(once=True)],
            lambda: issuer.publish(draft(3)),
            issuer.subscriptions,
            issuer.due,
            lambda: issuer.fetch("A" * 43),
        )
        for act in acts:
            with pytest.raises(NewEpoch, match=r"log/2, pinned is .*log/1"):
                act()
    assert "`lintas epoch`" in NewEpoch.title()


def test_nor_an_async_client(epochs: Epochs, offered: Served) -> None:
    """The other client refuses it as well."""

    async def look() -> None:
        identity = load_identity(epochs.path(ISSUER), PASSPHRASE).with_url(offered[0])
        client = AsyncClient(identity, open_state(epochs.path(ISSUER), identity))
        try:
            await client.sync()
        finally:
            await client.aclose()

    with pytest.raises(NewEpoch):
        asyncio.run(look())


def test_hub_that_does_not_say_so(epochs: Epochs, offered: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thief whose hub hides that it began an epoch of its own is believed no more."""
    monkeypatch.setattr(Client, "checked", lambda _self, _request, response: response)

    with epochs.client(ISSUER, offered[0]) as issuer:
        with pytest.raises(NewEpoch):
            issuer.sync()
        with pytest.raises(Evidence):
            list(issuer.follow(once=True))
        with pytest.raises(NewEpoch):
            issuer.publish(draft(3))
        assert ["waiting"] == [each.state for each in issuer.session.state.outgoing()]


def test_nor_a_witness_of_such_a_hub(epochs: Epochs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A witness that has seen the former log takes nothing else for it."""
    key = tmp_path / "w.key"
    with epochs.serve(epochs.former) as (_, url):
        epochs.run(THIRD, url, "witness", "--init", key)
        with pytest.raises(UnknownWitness):
            epochs.run(THIRD, url, "witness", "--key", key, "--once")
    epochs.begin()
    monkeypatch.setattr(Client, "checked", lambda _self, _request, response: response)

    with epochs.serve() as (_, url), pytest.raises(NewEpoch):
        epochs.run(THIRD, url, "witness", "--key", key, "--once")


def test_log_that_goes_on_from_none(epochs: Epochs, few: Template) -> None:
    """A log that claims a later epoch and quotes no former one is another log."""
    first = few.identities[REGISTRAR]
    key = make_log_key(epochs.settings, first.hub.name, epoch=2)
    session = Session(first, State(":memory:", log_key=first.hub.log_key), epochs.clock)
    payload = canonical({"act": "enrol", **session.key_window(first.key, "duty desk")})
    open_log(epochs.settings, first.hub.name, key, session.sign_line(KEY, payload).raw, epochs.clock)

    with epochs.serve() as (_, url), pytest.raises(BadProof, match="it is another log"):
        epochs.run(REGISTRAR, url, "epoch")


def test_shown(epochs: Epochs, offered: Served) -> None:
    """Without a key the command shows what is offered and how it stands to what was seen, and changes nothing."""
    url, key = offered
    (epochs.folder / "policy").write_text(TWO_OF_THREE)

    shown = epochs.run(ISSUER, url, "epoch", LINTAS_POLICY=str(epochs.folder / "policy"))

    assert 1 == shown.exit_code
    assert key in shown.output
    assert "witnessed by 2 of 3 (policy): w0, w1" in shown.output
    assert "the same tree" in shown.output
    (epochs.folder / "policy").write_text(TWO_OF_THREE.replace("group all-of-them 2", "group all-of-them 3"))
    other = epochs.run(READER, url, "epoch", LINTAS_POLICY=str(epochs.folder / "policy"))
    assert "cosigned by 2 of 3 (policy), which is not enough" in other.output
    assert "extend these is not proven" in other.output
    assert key != pinned(epochs, ISSUER)
    assert not path_of(epochs.path(ISSUER), key.partition("+")[0]).exists()


def test_nothing_to_decide(epochs: Epochs) -> None:
    """At the pinned log there is nothing to decide."""
    with epochs.serve(epochs.former) as (_, url):
        shown = epochs.run(ISSUER, url, "epoch")

    assert (0, True) == (shown.exit_code, "nothing to decide" in shown.output)


def test_going_over(epochs: Epochs, fresh: Served, tmp_path: Path) -> None:
    """Bulletins come back with their issuer, nobody is shown one twice, receipts of both epochs verify offline."""
    url, key = fresh
    for party in (ISSUER, READER):
        assert "now pinned" in epochs.go_over(party, url, key).output

    assert "2 were lost and are back" in epochs.run(ISSUER, url, "resend").output
    line, receipt = next(iter(epochs.sent.values()))
    with epochs.client(ISSUER, url) as issuer, epochs.client(READER, url) as reader:
        later = issuer.publish(draft(3))
        new = issuer.receipt(line.id)
        assert [later.id] == [each.id for each in reader.follow(once=True)]
        reader.opened(line.id)
        assert ["opened"] == [each.progress for each in issuer.readers(line.id)]
    (tmp_path / "line").write_bytes(line.raw)
    for each, size in ((receipt, "log of"), (new, "log of")):
        (tmp_path / "proof").write_bytes(each)
        verified = epochs.run(
            ISSUER, "http://127.0.0.1:9", "verify", tmp_path / "line", "--receipt", tmp_path / "proof"
        )
        assert size in verified.output
    assert receipt != new


def test_receipt_of_an_epoch_that_was_never_seen(epochs: Epochs, offered: Served, tmp_path: Path) -> None:
    """A receipt of a later epoch, or of one before this identity, is checked by nobody here."""
    url, key = offered
    epochs.go_over(ISSUER, url, key)
    epochs.run(ISSUER, url, "resend")
    line, old = next(iter(epochs.sent.values()))
    (tmp_path / "line").write_bytes(line.raw)
    (tmp_path / "old").write_bytes(old)
    with epochs.client(ISSUER, url) as issuer:
        (tmp_path / "later").write_bytes(issuer.receipt(line.id))
    path_of(epochs.path(ISSUER), "x/log/1").unlink()

    with pytest.raises(NewEpoch):
        epochs.run(READER, url, "verify", tmp_path / "line", "--receipt", tmp_path / "later")
    (tmp_path / "other").write_bytes(old.replace(origin_in(old).encode(), b"other.example/log/1"))
    for each in ("old", "other"):
        with pytest.raises(Unpinned, match="no memory"):
            epochs.run(ISSUER, url, "verify", tmp_path / "line", "--receipt", tmp_path / each)


def test_another_key_than_was_told(epochs: Epochs, offered: Served) -> None:
    """The hub's word is not asked: a log under another key than the person was told is not gone over to."""
    url, key = offered
    origin, before = key.partition("+")[0], epochs.path(ISSUER).read_bytes()
    told = SignerKey.from_seed(origin, b"\7" * 32).verifier.text()

    with pytest.raises(BadNote):
        epochs.go_over(ISSUER, url, told)
    for other in (pinned(epochs, ISSUER), SignerKey.from_seed("other.example/log/2", b"\7" * 32).verifier.text()):
        with pytest.raises(BadRequest):
            epochs.go_over(ISSUER, url, other)

    assert before == epochs.path(ISSUER).read_bytes()


def test_asks(epochs: Epochs, offered: Served) -> None:
    """Without --yes somebody must be there to say so."""
    with pytest.raises(click.UsageError, match="add --yes"):
        epochs.run(ISSUER, offered[0], "epoch", "--accept", offered[1])

    assert offered[1] != pinned(epochs, ISSUER)


def test_older_checkpoint_loses_entries(epochs: Epochs) -> None:
    """A hub that quotes an older checkpoint than was seen is shown as losing the entries after it, by number."""
    with epochs.serve(epochs.former) as (_, url), epochs.client(ISSUER, url) as issuer:
        known = issuer.sync().size
        [*_, last] = issuer.session.state.outgoing("sent")
    quoted = checkpoint_below(epochs.former, (last.seq or 0) + 1)
    made = epochs.begin(quoted=quoted)

    with epochs.serve() as (_, url):
        shown = epochs.run(ISSUER, url, "epoch")

    size = made.ended.tree.size
    assert f"the last {known - size} are void, {size} to {known - 1}" in shown.output
    assert "1 of them are bulletins of yours" in shown.output


def test_another_history(epochs: Epochs, few: Template, tmp_path: Path) -> None:
    """A new epoch after another history of the size that was seen is refused, and kept as evidence."""
    forked = read_settings({}, data=str(few.copy(tmp_path / "forked")))
    with epochs.client(ISSUER, "http://127.0.0.1:9") as issuer:
        kept = issuer.session.state.get("checkpoint") or b""
        size = int(kept.splitlines()[1])
    hub = open_hub(forked, epochs.clock)
    hub.start()
    for _ in range(size - hub.writer.size):
        hub.writer.submit(lambda batch: batch.append("view.read", "hub", detail={})).result()
    hub.stop()
    epochs.begin(forked)

    with epochs.serve() as (_, url), pytest.raises(InconsistentLog, match="it is a fork"):
        epochs.run(ISSUER, url, "epoch")

    with epochs.client(ISSUER, "http://127.0.0.1:9") as issuer:
        assert kept_conflict(issuer.session.state) is not None


@pytest.mark.parametrize("fault", ["leaves out", "adds"])
def test_directory_of_its_own(epochs: Epochs, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """A new epoch that brings a suspended partner back, or tells of an order that never was, is refused."""
    if fault == "leaves out":
        dropped = {"partner.suspended": None, "order.accepted": "suspend"}
        monkeypatch.setattr(
            epochs_of_hub,
            "goes_on",
            lambda event: goes_on(event) and dropped.get(event.kind, "") != event.detail.get("act"),
        )
    else:
        # The memory does not have it, the log it is said to be from would not either.
        with epochs.client(ISSUER, "http://127.0.0.1:9") as issuer:
            issuer.session.state._db.execute("DELETE FROM control WHERE seq = 20")
    epochs.begin(policy=POLICY)

    with epochs.serve() as (_, url), pytest.raises(InconsistentLog, match=f"{fault}|changes or"):
        epochs.run(ISSUER, url, "epoch")


def test_what_waits_goes_along(epochs: Epochs, offered: Served) -> None:
    """A line that waits is sent to the new epoch; what a command left that was killed is not used."""
    url, key = offered
    with epochs.client(ISSUER, url) as issuer:
        issuer.session.enqueue(draft(4), tag="waits")
    left = path_of(epochs.path(ISSUER), key.partition("+")[0])
    for path in (left, left.with_name(f".{left.name}.part")):
        State(path, log_key=key.replace("+", "+0")).close()

    epochs.go_over(ISSUER, url, key)

    assert "1 of 1 accepted" in epochs.run(ISSUER, url, "outbox", "--send").output


def test_memory_of_another_identity(epochs: Epochs, offered: Served) -> None:
    """A memory that is not of this log stays, whoever gave it that name."""
    url, key = offered
    path = path_of(epochs.path(ISSUER), key.partition("+")[0])
    State(path, log_key=pinned(epochs, READER)).close()

    with pytest.raises(BadSettings, match="something else"):
        epochs.go_over(ISSUER, url, key)

    assert path.exists()


def test_name_of_a_log_that_is_none(epochs: Epochs) -> None:
    """What an answer says of its log in a way that is no origin is passed over."""
    answer = Response(200, {"lintas-log": "nonsense"}, b"")

    with epochs.client(ISSUER, "http://127.0.0.1:9") as issuer:
        assert answer is issuer.checked(Request("GET", "/"), answer)


def test_administrators_go_on(epochs: Epochs, offered: Served, tmp_path: Path) -> None:
    """Administrators go over as well, order as before, and admit a newcomer, who pins the new epoch from the start."""
    url, key = offered
    for party in (REGISTRAR, AUDITOR):
        epochs.go_over(party, url, key)
    newcomer = "id-police"

    epochs.run(REGISTRAR, url, "admin", "invite", newcomer, "--out", tmp_path / "letter.json")
    epochs.run(newcomer, url, "enrol", tmp_path / "letter.json", "--identity", epochs.path(newcomer))

    with epochs.client(newcomer, url) as client:
        kid = client.session.identity.key.kid
        with epochs.client(REGISTRAR, url) as first, epochs.client(AUDITOR, url) as second:
            second.countersign(first.session.sign_order("approve", {"agency": newcomer, "kid": kid}).raw)
        client.sync()
        assert newcomer in client.directory.partners
    assert key == pinned(epochs, newcomer)


def test_policy_names_the_log(epochs: Epochs, offered: Served, tmp_path: Path) -> None:
    """A policy that names logs must name the new one too."""
    url, key = offered
    epochs.go_over(ISSUER, url, key)
    epochs.run(ISSUER, url, "resend")
    former = next(each for each in epochs.sent.values())
    line = former[0].id
    with epochs.serve(epochs.former) as (hub, _):
        first = hub.signer.verifier.text()
    (tmp_path / "old").write_text(f"log {first}\n{TWO_OF_THREE}")
    (tmp_path / "both").write_text(f"log {first}\nlog {key}\n{TWO_OF_THREE}")
    epochs.run(ISSUER, url, "receipt", line, "--out", tmp_path / "proof")
    (tmp_path / "line").write_bytes(former[0].raw)
    words = ("verify", tmp_path / "line", "--receipt", tmp_path / "proof")

    with pytest.raises(Exception, match="It is for other logs"):
        epochs.run(ISSUER, url, *words, LINTAS_POLICY=str(tmp_path / "old"))
    assert "verified" in epochs.run(ISSUER, url, *words, LINTAS_POLICY=str(tmp_path / "both")).output


def test_witnesses_begin_anew(epochs: Epochs, offered: Served, tmp_path: Path) -> None:
    """A witness cosigns no log but the one it has seen; after going over it begins with a new key and memory."""
    url, key = offered
    epochs.run(THIRD, url, "witness", "--init", tmp_path / "old.key")

    with pytest.raises(NewEpoch):
        epochs.run(THIRD, url, "witness", "--key", tmp_path / "old.key", "--once")
    epochs.go_over(THIRD, url, key)
    with pytest.raises(BadSettings, match="make a new key with --init"):
        epochs.run(THIRD, url, "witness", "--key", tmp_path / "old.key", "--once")
    assert "witness th-cert" in epochs.run(THIRD, url, "witness", "--init", tmp_path / "new.key").output


def test_two_epochs_at_once(epochs: Epochs, tmp_path: Path, databases: Databases) -> None:
    """Whoever was away through a whole epoch cannot compare, is told so, and may go over all the same."""
    epochs.begin(policy=POLICY)
    later = replace(epochs, settings=databases.settings(tmp_path / "later"))
    key = later.begin(epochs.settings).key.text()

    with later.serve() as (_, url):
        shown = later.run(ISSUER, url, "epoch")
        later.go_over(ISSUER, url, key)
        resent = later.run(ISSUER, url, "resend")

    assert "a key that this memory does not know" in shown.output
    assert "nothing can be compared" in shown.output
    assert "2 were lost and are back" in resent.output
