"""Rotation of the log's key, from the operator's command to its end, with every attack on it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from broker import keyfile
from broker.cli import cli
from broker.fsck import check_everything
from broker.hub import open_hub
from broker.settings import read_settings
from broker.store import log
from clients.cli import cli as agency
from lintas import note, sync
from lintas.checkpoint import Checkpoint, format_checkpoint, open_by_any
from lintas.client import Client
from lintas.cosignature import cosign
from lintas.draft import read_draft
from lintas.errors import BadNote, BadReceipt, BadSettings, InconsistentLog, LintasError, LogHalted, Unpinned
from lintas.event import Event, encode, entry_of
from lintas.header import ORDER
from lintas.keys import save_identity
from lintas.line import Line
from lintas.log_keys import LogKeys
from lintas.merkle import leaf_hash
from lintas.note import SignerKey, VerifierKey
from lintas.quorum import parse_policy
from lintas.receipt import Receipt, format_receipt, parse_receipt
from lintas.request import Request, Response
from lintas.state import State
from lintas.wire import check_consistent
from tests.broker.conftest import AUDITOR, REGISTRAR, Desks, Template, problem_of
from tests.conftest import ShiftedClock, served
from tests.databases import spoil
from tests.witnesses import TWO_OF_THREE, WITNESSES

ISSUER, READER = "my-police", "sg-fiu"
DAY = 86_400
ClientOf = Callable[[str], Client]


@pytest.fixture
def client_of(desks: Desks, tmp_path: Path) -> Iterator[ClientOf]:
    """Make clients with a memory of their own; they begin knowing the log's first key alone."""
    made: list[Client] = []

    def make(party: str) -> Client:
        identity = desks.identity_of(party).with_url(desks.url)
        made.append(Client(identity, State(tmp_path / f"{len(made)}", log_key=identity.hub.log_key), clock=desks.clock))
        return made[-1]

    yield make
    for client in made:
        client.close()


def new_key(desks: Desks) -> VerifierKey:
    """Make the next key as the operator does."""
    return keyfile.add_log_key(desks.hub.settings.log_key_file).verifier


def rotate(desks: Desks) -> VerifierKey:
    """Make and order the next key of the log; it overlaps the former one for a day."""
    key = new_key(desks)
    answer = desks.order("log-key", log_key=key.text(), overlap_s=DAY)
    assert answer.status_code == 201, answer.text
    return key


def end_overlap(desks: Desks) -> None:
    """Let two days pass and something happen."""
    desks.clock.advance(2 * DAY)
    desks.publish(ISSUER, [READER])


def newest(desks: Desks) -> bytes:
    """Return the newest checkpoint."""
    return desks.get("/v1/log/checkpoint").content


def signers(desks: Desks, checkpoint: bytes) -> set[VerifierKey]:
    """Return which keys of the log signed a checkpoint."""
    return set(open_by_any(checkpoint, desks.hub.signer.log_keys.keys)[1])


def held(desks: Desks) -> list[SignerKey]:
    """Return the private keys that are there, oldest first."""
    return list(keyfile.read_log_keys(desks.hub.settings.log_key_file))


def check(desks: Desks, key: VerifierKey) -> None:
    """Derive the whole log again."""
    check_everything(desks.hub.store, key, lambda _done, _all: None)


def by_hand(desks: Desks, key: VerifierKey, line: Line | None = None) -> None:
    """Write an announcement into the log past the order, as a hostile hub can."""
    former = desks.hub.signer.verifier
    detail = {"log_key": key.text(), "former": former.text(), "until": desks.session(REGISTRAR).now() + DAY}
    object_id = None if line is None else line.id
    desks.hub.writer.submit(lambda batch: batch.append("log.key", "*", object_id=object_id, detail=detail)).result()


def test_both_sign_then_the_new_one(desks: Desks) -> None:
    """Both keys sign from the announcement on, the new one alone after the overlap; the whole log verifies by each."""
    first, before = desks.hub.signer.verifier, newest(desks)

    second = rotate(desks)
    during = newest(desks)
    end_overlap(desks)

    found = [signers(desks, each) for each in (before, during, newest(desks))]
    assert [{first}, {first, second}, {second}] == found
    assert second.text() == desks.get("/v1/log/key").text.strip() == desks.get("/.well-known/lintas").json()["log_key"]
    check(desks, first)
    check(desks, second)


def test_key_that_the_hub_does_not_hold(desks: Desks) -> None:
    """A key is not announced before the hub holds its private half: from then on nothing is signed without it."""
    stranger = SignerKey.from_seed(desks.hub.signer.origin, b"\1" * 32).verifier

    answer = desks.order("log-key", log_key=stranger.text(), overlap_s=DAY)

    assert (409, "order-conflict", "log_key") == problem_of(answer)


def test_one_administrator(desks: Desks) -> None:
    """One administrator alone announces no key."""
    line = desks.session(REGISTRAR).sign_order("log-key", {"log_key": new_key(desks).text(), "overlap_s": DAY})

    assert 202 == desks.post(line, ORDER).status_code
    assert 1 == len(desks.hub.signer.log_keys.keys)


def test_follower_learns(desks: Desks, client_of: ClientOf) -> None:
    """A client that looks during the overlap knows both keys, and its receipts of before and after hold offline."""
    client, line = client_of(ISSUER), desks.publish(ISSUER, [READER])
    client.sync()
    before = client.receipt(line.id)
    second = rotate(desks)
    client.sync()
    end_overlap(desks)

    assert second == client.session.log_keys.newest
    assert line.id == client.verify(line.raw, before).event["object"]
    later = desks.publish(ISSUER, [READER])
    assert later.id == client.verify(later.raw, client.receipt(later.id)).event["object"]


@pytest.mark.parametrize("first_act", ["sync", "publish", "receipt", "order"])
def test_away_through_two_rotations(desks: Desks, client_of: ClientOf, first_act: str) -> None:
    """A client that saw neither overlap crosses both by itself, whatever it does first."""
    client = client_of(REGISTRAR if first_act == "order" else ISSUER)
    client.sync()
    rotate(desks)
    end_overlap(desks)
    keyfile.retire_log_keys(desks.hub.settings.log_key_file, desks.hub.signer.log_keys, size=9**9, second=9**12)
    third = rotate(desks)
    end_overlap(desks)

    if first_act == "sync":
        client.sync()
    elif first_act == "publish":
        members = {"kind": "alert", "topic": "cyber.scam", "tlp": "GREEN", "urgency": "routine", "valid_for": "P1D"}
        content = {"title": "FICTIONAL", "summary": "SIMULATED."}
        assert client.publish(read_draft({**members, "release_to": [READER], "payload": content})).receipt is not None
    elif first_act == "receipt":
        client.receipt(desks.publish(ISSUER, [READER]).id)
    else:
        client.order("suspend", {"agency": READER, "reason": "SIMULATED"})

    assert (3, third) == (len(client.session.log_keys.keys), client.session.log_keys.newest)


def test_crossing_over_several_pages(desks: Desks, client_of: ClientOf, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint by a key that only a later page announces is not kept yet: a client killed there crosses anew."""
    client, accept = client_of(READER), sync.accept_view
    client.sync()
    for _ in range(4):
        desks.publish(ISSUER, [READER])
    rotate(desks)
    end_overlap(desks)
    monkeypatch.setattr(sync, "EVENT_ROWS_MAX", 3)
    kept = client.session.state.get("checkpoint")

    def killed(*arguments: Any) -> bool:
        accept(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sync, "accept_view", killed)
        with pytest.raises(KeyboardInterrupt):
            client.sync()
    assert (kept, None) == (client.session.state.get("checkpoint"), client.session.crossed)

    client.sync()

    assert 2 == len(client.session.log_keys.keys)
    assert kept != client.session.state.get("checkpoint")


def test_newcomer(desks: Desks, client_of: ClientOf, tmp_path: Path) -> None:
    """Who pins the new key learns the former one from the log; a memory of the former key is not lost to it."""
    second = rotate(desks)
    end_overlap(desks)
    old = client_of(READER)
    identity = replace(old.session.identity, hub=replace(old.session.identity.hub, log_key=second.text()))
    with pytest.raises(Unpinned):
        State(tmp_path / "0", log_key=second.text())
    old.sync()

    with Client(identity, State(tmp_path / "new", log_key=second.text()), clock=desks.clock) as newcomer:
        newcomer.sync()

        assert old.session.log_keys == newcomer.session.log_keys
    State(tmp_path / "0", log_key=second.text()).close()


def test_announcement_without_an_order(desks: Desks, client_of: ClientOf) -> None:
    """A hub that announces a key by itself is refused, by who follows and by who comes after the overlap."""
    follower, away = client_of(READER), client_of(ISSUER)
    follower.sync()
    away.sync()
    by_hand(desks, new_key(desks))

    with pytest.raises(InconsistentLog, match="does not show the line"):
        follower.sync()
    end_overlap(desks)
    with pytest.raises(InconsistentLog, match="does not show the line"):
        away.sync()

    assert [1, 1] == [len(client.session.log_keys.keys) for client in (follower, away)]


def test_announcement_that_the_new_key_does_not_sign(
    desks: Desks, client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hub that goes on with the former key alone is refused by who sees the announcement, ordered as it is."""
    client, former = client_of(READER), held(desks)[0]
    client.sync()
    monkeypatch.setattr(desks.hub.signer, "_signers", lambda _wanted: [former])
    rotate(desks)

    with pytest.raises(InconsistentLog, match="not signed with the keys that it tells of"):
        client.sync()

    assert (former.verifier,) == client.session.log_keys.keys


def test_crossing_in_another_history(desks: Desks, client_of: ClientOf, monkeypatch: pytest.MonkeyPatch) -> None:
    """An announcement under a checkpoint that does not fit the one kept is evidence of a fork, whoever signed it."""
    client, talk = client_of(READER), Client._talk
    client.sync()
    second = rotate(desks)
    former, new = held(desks)
    end_overlap(desks)
    detail = {"log_key": second.text(), "former": former.verifier.text(), "until": 1}
    body = encode(Event("log.key", 1, "*", 1, None, detail), bytes(16))
    root = leaf_hash(entry_of(body))
    signed = note.sign_note(format_checkpoint(Checkpoint(former.name, 1, root)), former, new)

    def forge(self: Client, request: Request) -> Response:
        is_crossing = request.path.startswith("/v1/log/key/")
        return Response(200, {}, format_receipt(Receipt(0, (), signed, body))) if is_crossing else talk(self, request)

    monkeypatch.setattr(Client, "_talk", forge)
    with pytest.raises(InconsistentLog, match="No proof"):
        client.sync()

    assert signed in {client.session.state.get(f"conflict.{name}") for name in ("known", "shown")}


def test_key_that_was_never_announced(desks: Desks, client_of: ClientOf) -> None:
    """A checkpoint by a key of the right name that the log never told of is nobody's checkpoint."""
    client = client_of(READER)
    client.sync()
    forged = SignerKey.from_seed(desks.hub.signer.origin, b"\1" * 32)
    tree = open_by_any(newest(desks), desks.hub.signer.log_keys.keys)[0]

    with pytest.raises(BadNote):
        client.run(check_consistent(client.session, note.sign_note(format_checkpoint(tree), forged)))

    path = f"/v1/log/key/{desks.hub.signer.verifier.key_id.hex()}"
    assert (404, "not-found", None) == problem_of(desks.get(path, READER))


def test_thief_of_the_former_key(desks: Desks, client_of: ClientOf) -> None:
    """What the former key signs after the rotation is believed by nobody who crossed: no checkpoint, no receipt."""
    client, thief = client_of(ISSUER), held(desks)[0]
    line = desks.publish(ISSUER, [READER])
    rotate(desks)
    client.sync()
    end_overlap(desks)
    tree = open_by_any(newest(desks), desks.hub.signer.log_keys.keys)[0]
    stolen = note.sign_note(format_checkpoint(Checkpoint(tree.origin, tree.size, tree.root)), thief)

    with pytest.raises(BadNote, match="signed with the key"):
        client.run(check_consistent(client.session, stolen))
    good = parse_receipt(client.receipt(line.id))
    forged = note.sign_note(format_checkpoint(Checkpoint(tree.origin, tree.size, bytes(32))), thief)
    with pytest.raises(BadReceipt):
        client.verify(line.raw, format_receipt(Receipt(good.index, good.proof, forged, good.extra)))


def replace_checkpoint(desks: Desks, **values: Any) -> None:
    """Change a stored checkpoint, as somebody with a hand in the database would."""
    with desks.hub.store.write() as conn:
        spoil(conn, "UPDATE checkpoint SET note = :note WHERE size = :size", **values)


def test_old_key_that_goes_on_signing(desks: Desks) -> None:
    """A checkpoint that carries the former key's line after the overlap is a fault of the log, as is a missing line."""
    first, _ = held(desks)[0], rotate(desks)
    second = held(desks)[1]
    during = newest(desks)
    end_overlap(desks)
    signed, tree = newest(desks), open_by_any(newest(desks), desks.hub.signer.log_keys.keys)[0]

    for size, keys in ((tree.size, (first, second)), (open_by_any(during, [first.verifier])[0].size, (second,))):
        with desks.hub.store.read() as conn:
            good = log.checkpoint_at(conn, size)
        assert good is not None
        replace_checkpoint(desks, note=note.sign_note(note.split_note(good)[0], *keys), size=size)
        with pytest.raises(LogHalted, match="not signed with the keys of its time"):
            check(desks, first.verifier)
        replace_checkpoint(desks, note=good, size=size)

    assert signed == newest(desks)
    check(desks, first.verifier)


def test_fsck_by_a_stranger(desks: Desks) -> None:
    """A log is not verified by a key that it does not tell of."""
    with pytest.raises(LogHalted, match="another key"):
        check(desks, SignerKey.from_seed(desks.hub.signer.origin, b"\1" * 32).verifier)


def test_witness(desks: Desks, client_of: ClientOf) -> None:
    """A witness learns the new key at its first look in the overlap; one that was away crosses after it."""
    there, away = client_of("th-cert"), client_of("vn-police")
    hub = desks.hub
    object.__setattr__(hub, "witnesses", parse_policy(TWO_OF_THREE.encode()))
    there.attend(WITNESSES[0])
    away.attend(WITNESSES[1])
    second = rotate(desks)
    seen = there.attend(WITNESSES[0])
    assert (True, second) == (seen.is_cosigned, there.session.log_keys.newest)
    end_overlap(desks)

    crossed = away.attend(WITNESSES[1])
    last = [there.attend(WITNESSES[0]), away.attend(WITNESSES[1])]

    assert [True, True] == [each.is_cosigned for each in (crossed, last[0])]
    assert last[0].is_witnessed or last[1].is_witnessed
    assert second == away.session.log_keys.newest
    assert {*hub.signer.log_keys.keys} == {*parse_policy(desks.get("/v1/log/policy").content).logs}


def test_witness_of_a_stranger(desks: Desks, client_of: ClientOf, caplog: pytest.LogCaptureFixture) -> None:
    """A checkpoint by the former key that was not published here is reported as what it is: somebody has that key."""
    object.__setattr__(desks.hub, "witnesses", parse_policy(TWO_OF_THREE.encode()))
    thief, _ = held(desks)[0], rotate(desks)
    forged = format_checkpoint(Checkpoint(desks.hub.signer.origin, 3, bytes(32)))
    signed = note.split_note(note.sign_note(forged, thief))
    body = note.format_note(signed[0], [*signed[1], cosign(signed[0], WITNESSES[0], time=desks.hub.now())])

    desks.http.post(f"{desks.url}/v1/log/cosignatures", content=body, headers={"Content-Type": "text/plain"})

    assert ["former" in each.message for each in caplog.records if each.name == "lintas.witnesses"] == [True]


def test_retire(desks: Desks) -> None:
    """The former key is destroyed once it signs no more, not before; a hub with the new one alone goes on."""
    data, path = str(desks.hub.settings.data), desks.hub.settings.log_key_file
    first = held(desks)[0]
    second = rotate(desks)
    early = CliRunner().invoke(cli, ["log-key", "retire", "--data", data], catch_exceptions=False)
    assert (0, 2) == (early.exit_code, len(held(desks)))
    assert "signs too until" in early.output
    end_overlap(desks)

    done = CliRunner().invoke(cli, ["log-key", "retire", "--data", data], catch_exceptions=False)

    assert "1 former key destroyed" in done.output
    assert [second] == [key.verifier for key in held(desks)]
    assert (first.text() not in path.read_text(), 0o600) == (True, path.stat().st_mode & 0o777)
    desks.hub.stop()
    again = open_hub(read_settings({}, data=data), desks.clock)
    again.start()
    assert second == again.signer.verifier
    again.stop()


def test_retire_without_the_new_key(desks: Desks) -> None:
    """Nothing is destroyed at a replica that lacks the key which signs."""
    path, first = desks.hub.settings.log_key_file, held(desks)[0]
    rotate(desks)
    end_overlap(desks)
    path.write_text(first.text())

    with pytest.raises(BadSettings, match="put that line into it"):
        keyfile.retire_log_keys(path, desks.hub.signer.log_keys, size=9**9, second=9**12)

    assert [first] == held(desks)


def test_third_key(desks: Desks) -> None:
    """A further key is made only after the former one was destroyed."""
    result = [CliRunner().invoke(cli, ["log-key", "new", "--data", str(desks.hub.settings.data)]) for _ in range(2)]

    assert isinstance(result[1].exception, BadSettings)
    assert held(desks)[1].verifier.text() in result[0].output


def test_replica_without_the_new_key(desks: Desks) -> None:
    """A process that lacks the new key signs nothing and says which line its file needs, running or starting."""
    path, first = desks.hub.settings.log_key_file, held(desks)[0]
    signer = desks.hub.signer
    second = rotate(desks)
    path.write_text(first.text())
    signer._held.pop(second)
    size = open_by_any(newest(desks), [first.verifier])[0].size

    assert 503 == desks.post(desks.bulletin(ISSUER, [READER])).status_code
    assert size == open_by_any(newest(desks), [first.verifier])[0].size
    assert f"key {second.key_id.hex()}" in str(desks.hub.writer.halted)
    desks.hub.stop()
    again = open_hub(read_settings({}, data=str(desks.hub.settings.data)), desks.clock)
    with pytest.raises(LogHalted, match="that line of another replica"):
        again.start()
    again.stop()


def test_start_without_the_new_key(desks: Desks) -> None:
    """A process that lacks the key that signs now does not start, though nothing waits to be signed."""
    path, first = desks.hub.settings.log_key_file, held(desks)[0]
    rotate(desks)
    desks.hub.stop()
    path.write_text(first.text())
    again = open_hub(read_settings({}, data=str(desks.hub.settings.data)), desks.clock)

    with pytest.raises(LogHalted, match="that line of another replica"):
        again.signer.start()

    again.stop()


def test_restored_from_before_the_rotation(few: Template, tmp_path: Path, clock: ShiftedClock) -> None:
    """A database from before the rotation is behind a checkpoint by the new key alone: read-only, not a fork."""
    hub = open_hub(read_settings({}, data=str(few.copy(tmp_path / "hub"))), clock)
    hub.start()
    with served(hub) as url:
        desks = Desks(hub, few.identities.__getitem__, clock, url)
        rotate(desks)
        end_overlap(desks)
        desks.close()
    hub.stop()
    settings = read_settings({}, data=str(few.copy(tmp_path / "old")))
    for name in ("log.key", "newest.checkpoint"):
        (tmp_path / "old" / name).write_bytes((tmp_path / "hub" / name).read_bytes())

    restored = open_hub(settings, clock)
    restored.start()

    assert "missing" in str(restored.writer.halted)
    restored.stop()


def test_key_file_of_another_log(few: Template, tmp_path: Path, clock: ShiftedClock) -> None:
    """A hub does not start with a key that its log does not tell of."""
    data = few.copy(tmp_path / "hub")
    stranger = SignerKey.from_seed(keyfile.read_log_keys(data / "log.key")[0].name, b"\1" * 32)
    (data / "log.key").write_text(stranger.text())
    hub = open_hub(read_settings({}, data=str(data)), clock)

    with pytest.raises(LogHalted, match="none of this log's"):
        hub.start()

    hub.stop()


def test_empty_key_file(tmp_path: Path) -> None:
    """A file without a key is no key."""
    (tmp_path / "log.key").write_text("\n")
    (tmp_path / "log.key").chmod(0o600)

    with pytest.raises(LintasError, match="holds no key"):
        keyfile.read_log_keys(tmp_path / "log.key")


def test_outside_the_protocol(desks: Desks, client_of: ClientOf) -> None:
    """A log whose own record never knew the key that signs it is refused."""
    client = client_of(READER)
    stranger = SignerKey.from_seed(desks.hub.signer.origin, b"\1" * 32)
    client.session.pinned = stranger.verifier
    client.session._keys = LogKeys.of(stranger.verifier)
    desks.hub.signer._held[desks.hub.signer.verifier] = stranger

    with pytest.raises(InconsistentLog, match="does not tell of the key that is pinned"):
        client.sync()


def test_commands(desks: Desks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Operator and administrators rotate with their commands alone; an invitation made then carries the new key."""
    (tmp_path / "passphrase").write_text("correct horse")
    monkeypatch.setenv("LINTAS_PASSPHRASE_FILE", str(tmp_path / "passphrase"))

    def run(party: str, *words: str) -> str:
        path = tmp_path / f"{party.replace('/', '-')}.json"
        if not path.exists():
            save_identity(path, desks.identity_of(party).with_url(desks.url), b"correct horse")
        monkeypatch.setenv("LINTAS_IDENTITY", str(path))
        return CliRunner().invoke(agency, ["admin", *words], catch_exceptions=False, standalone_mode=False).output

    made = CliRunner().invoke(cli, ["log-key", "new", "--data", str(desks.hub.settings.data)], catch_exceptions=False)
    key = made.output.splitlines()[-1]
    waiting = run(REGISTRAR, "log-key", key, "--overlap-days", "1")
    run(AUDITOR, "countersign", waiting.split()[-1], "--yes")
    run(REGISTRAR, "pending")
    run(REGISTRAR, "invite", "id-police", "--out", str(tmp_path / "letter"))

    assert key == desks.hub.signer.verifier.text()
    assert key == json.loads((tmp_path / "letter").read_text())["log_key"]
