"""A new epoch of the log: what the operator's command makes, what it refuses, what a hub takes of the former one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from broker import epoch, keyfile, status
from broker.cli import cli
from broker.fsck import check_everything
from broker.hub import open_hub, purge_all
from broker.settings import Settings, read_settings
from broker.signer import read_end
from broker.store import former as formers
from broker.store import lines, log
from broker.store.engine import Store
from lintas import note
from lintas.checkpoint import Checkpoint, format_checkpoint, open_checkpoint
from lintas.epoch import Former
from lintas.errors import (
    BadNote,
    BadSettings,
    LogHalted,
    NotWitnessed,
)
from lintas.event import encode, entry_of, parse_event
from lintas.header import LOGGED, ORDER
from lintas.line import Line, parse
from lintas.merkle import leaf_hash
from lintas.receipt import Receipt, format_receipt, parse_receipt
from tests import processes
from tests.broker.conftest import FEW, REGISTRAR, Desks, Template, problem_of
from tests.conftest import wait_until
from tests.databases import Databases, spoil
from tests.epochs import ISSUER, POLICY, Epochs
from tests.witnesses import TWO_OF_THREE

DAY_S = 86_400


@pytest.fixture(scope="module")
def begun(
    past: Epochs, few: Template, tmp_path_factory: pytest.TempPathFactory, databases: Databases
) -> Iterator[Desks]:
    """Desks at a served new hub that tests share, of parties that went over to it."""
    place = replace(past, settings=databases.settings(tmp_path_factory.mktemp("begun") / "new"))
    key = place.begin(policy=POLICY).key.text()
    with place.serve() as (hub, url):
        found = Desks(hub, lambda party: few.identities[party].with_log_key(key), place.clock, url)
        yield found
        found.close()


def signed(settings: Settings, size: int, root: bytes, origin: str | None = None) -> bytes:
    """Return a checkpoint by the log key of a hub, as a thief of that key makes them."""
    [key] = keyfile.read_log_keys(settings.log_key_file)
    return note.sign_note(format_checkpoint(Checkpoint(origin or key.name, size, root)), key)


def published(settings: Settings, size: int) -> bytes:
    """Return the checkpoint of this size from a database."""
    store = Store(settings.database)
    with store.read() as conn:
        found = log.checkpoint_at(conn, size)
    store.close()
    assert found is not None
    return found


def resent(desks: Desks, line: Line, receipt: bytes) -> httpx.Response:
    """Post a bulletin with a receipt."""
    headers = {"Content-Type": f"application/{LOGGED}"}
    return desks.http.post(f"{desks.url}/v1/bulletins", content=line.raw + b"\n" + receipt, headers=headers)


def test_begun(epochs: Epochs) -> None:
    """The new epoch has the former's name and directory, a key of its own, quotes its end; all of it verifies."""
    made = epochs.begin(policy=POLICY)

    hub = open_hub(epochs.settings, epochs.clock)
    hub.start()
    with hub.store.read() as conn:
        former = read_end(conn)
    report = check_everything(hub.store, made.key, lambda _done, _all: None)
    partners, tokens = hub.directory.partners, hub.directory.read_tokens
    hub.stop()
    assert former is not None
    # The former hub was shown their secrets.
    assert {} == tokens
    assert (f"{hub.name}/log/2", f"{hub.name}/log/1") == (made.key.name, former.tree().origin)
    assert (epochs.size, former.tree()) == (former.tree().size, report.former)
    assert {*FEW} == {*partners}
    assert ["tl-customs"] == [each.id for each in partners.values() if each.suspended]
    # What an agency ordered for itself it orders anew.
    assert {} == tokens


def test_what_comes_after_the_end_is_void(epochs: Epochs, few: Template) -> None:
    """An order behind the last witnessed checkpoint has no effect any more, and the command names it."""
    kid = few.identities["vn-police"].key.kid

    made = epochs.begin(policy=POLICY)
    hub = open_hub(epochs.settings, epochs.clock)
    hub.start()
    state = hub.directory.keys[kid].state(hub.now())
    hub.stop()

    assert ("active", ["key.revoked"]) == (state, [each.kind for each in made.ended.void])


def test_void_rows_are_shown_harmlessly(epochs: Epochs, tmp_path: Path, databases: Databases) -> None:
    """What is behind the end may be anything; the operator's terminal is shown it without its control characters."""
    former = read_settings({}, data=str(databases.copy(epochs.former.data, tmp_path / "spoilt")))
    store = Store(former.database)
    with store.write() as conn:
        spoil(
            conn,
            "UPDATE event SET body = :body, object = :object WHERE kind = 'key.revoked'",
            body=b"x",
            object="\x1b[2J",
        )
    store.close()
    said: list[str] = []

    epoch.show(epochs.begin(former, policy=POLICY), said.append)

    assert "  to be ordered again if it was right: key.revoked * [2J" == said[-1]


def test_newest_without_a_policy(epochs: Epochs, few: Template) -> None:
    """Without a policy the former epoch ends where its database does."""
    kid = few.identities["vn-police"].key.kid

    made = epochs.begin()

    assert (True, ()) == (made.ended.tree.size > epochs.size, made.ended.void)
    assert "revoked" == made.ended.directory.keys[kid].state(epochs.clock() // 1_000_000)


def test_quote_that_does_not_hold(epochs: Epochs) -> None:
    """A checkpoint by another key, of another tree, beyond the database, or short of witnesses begins nothing."""
    stranger = note.SignerKey.from_seed("few.example/log/1", b"\1" * 32)
    size = epochs.size
    whole = published(epochs.former, size)
    text, _ = note.split_note(whole)
    refused: list[tuple[bytes, Any, type[Exception]]] = [
        (note.sign_note(text, stranger), None, BadNote),
        (signed(epochs.former, size, b"\2" * 32), None, LogHalted),
        (signed(epochs.former, size + 1_000, b"\2" * 32), None, LogHalted),
        (whole, POLICY, NotWitnessed),
    ]

    for quoted, policy, fault in refused:
        with pytest.raises(fault):
            epochs.begin(quoted=quoted, policy=policy)

    assert not epochs.settings.log_key_file.exists()


def test_quote_that_is_named(epochs: Epochs) -> None:
    """An older checkpoint, named by the operator, is where the former epoch ends."""
    made = epochs.begin(quoted=published(epochs.former, epochs.size))

    assert epochs.size == made.ended.tree.size


def test_database_that_does_not_follow(epochs: Epochs, tmp_path: Path, databases: Databases) -> None:
    """A row of the former log that was changed, also where its own tree hides it, begins nothing."""
    former = read_settings({}, data=str(databases.copy(epochs.former.data, tmp_path / "spoilt")))
    store = Store(former.database)
    with store.write() as conn:
        spoil(conn, "UPDATE event SET party = 'th-cert' WHERE seq = 12")
    store.close()

    with pytest.raises(LogHalted, match="Row 12"):
        epochs.begin(former, policy=POLICY)


def test_place_that_is_taken(epochs: Epochs) -> None:
    """Neither a hub that is there nor a checkpoint kept outside is written over; a missing database is named."""
    with pytest.raises(BadSettings, match="no database"):
        epoch.begin(epochs.settings, str(epochs.folder / "nothing"))
    epochs.begin(policy=POLICY)
    with pytest.raises(BadSettings, match="move it away"):
        epochs.begin(policy=POLICY)
    epochs.settings.checkpoint.unlink()
    with pytest.raises(BadSettings, match="hub here already"):
        epochs.begin(policy=POLICY)
    # Nor the former one itself, where settings still point to its database.
    (epochs.settings.data / "elsewhere").mkdir()
    other = replace(epochs.settings, data=epochs.settings.data / "elsewhere", database=epochs.former.database)
    with pytest.raises(BadSettings, match="hub here already"):
        epoch.begin(replace(other, checkpoint=other.data / "newest"), epochs.former.database)


@pytest.mark.parametrize("table", ["event", "checkpoint"])
def test_nothing_to_go_on_from(epochs: Epochs, tmp_path: Path, databases: Databases, table: str) -> None:
    """A database without a log, or without a checkpoint, is no former one."""
    former = read_settings({}, data=str(databases.copy(epochs.former.data, tmp_path / "emptied")))
    store = Store(former.database)
    with store.write() as conn:
        spoil(conn, f"DELETE FROM {table}")
    store.close()

    with pytest.raises(LogHalted, match="has no"):
        epochs.begin(former)


def test_place_of_another_version(epochs: Epochs, tmp_path: Path, databases: Databases) -> None:
    """A database of another version is not looked into: whatever it holds is not written over."""
    other = read_settings({}, data=str(databases.copy(epochs.former.data, tmp_path / "older")))
    store = Store(other.database)
    with store.write() as conn:
        spoil(conn, "UPDATE alembic_version SET version_num = '0001'")
    store.close()
    settings = replace(epochs.settings, database=other.database)

    with pytest.raises(BadSettings, match="hub here already"):
        epoch.begin(settings, epochs.former.database)


def test_quote_that_was_forged(epochs: Epochs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub that quotes what the former key never signed does not verify, nor does anybody go over to it."""
    stranger = note.SignerKey.from_seed("few.example/log/1", b"\1" * 32)

    def forged(quoted: bytes, *rest: Any) -> Former:
        return Former(note.sign_note(note.split_note(quoted)[0], stranger), *rest)

    monkeypatch.setattr(epoch, "Former", forged)
    made = epochs.begin(policy=POLICY)

    with epochs.serve() as (hub, url):
        with pytest.raises(LogHalted, match="former epoch ended does not verify"):
            check_everything(hub.store, made.key, lambda _done, _all: None)
        with pytest.raises(BadNote):
            epochs.run(ISSUER, url, "epoch")


@pytest.mark.parametrize("write", ["INSERT INTO event", "COMMIT"])
def test_killed_before_the_commit(epochs: Epochs, write: str) -> None:
    """Killed before its one transaction is committed, the command has made nothing, and runs again."""
    assert -9 == killed(epochs, write)

    made = epochs.begin()
    assert [made.key.text()] == [each.verifier.text() for each in keyfile.read_log_keys(epochs.settings.log_key_file)]


def test_killed_after_the_commit(epochs: Epochs) -> None:
    """Killed after it, before the first checkpoint is kept, there is a whole hub: it signs at its start."""
    assert -9 == killed(epochs, "INSERT INTO checkpoint")

    with epochs.serve() as (hub, url):
        # A replica is ready once it hears the others.
        wait_until(lambda: httpx.get(f"{url}/readyz").status_code == 200)
        check_everything(hub.store, hub.signer.verifier, lambda _done, _all: None)
    epochs.settings.checkpoint.unlink()
    with pytest.raises(BadSettings, match="hub here already"):
        epochs.begin()


def killed(epochs: Epochs, write: str) -> int | None:
    """Run the command in a process that is killed at this write; return how it ended."""
    process = processes.warm().Process(
        target=processes.die, args=(epochs.former.database, str(epochs.settings.data), write)
    )
    process.start()
    process.join()
    exit_code: int | None = process.exitcode
    return exit_code


def test_line_of_the_former_epoch(begun: Desks, past: Epochs) -> None:
    """A bulletin that the former log took is not taken for new; its issuer brings it back by its receipt, once."""
    line, receipt = next(iter(past.sent.values()))

    replayed, back, again = begun.post(line), resent(begun, line, receipt), resent(begun, line, receipt)

    assert (409, "former-epoch", None) == problem_of(replayed)
    assert [201, 200] == [back.status_code, again.status_code]
    assert (
        begun.hub.signer.origin
        == open_checkpoint(
            parse_receipt(again.content).checkpoint, origin=begun.hub.signer.origin, key=begun.hub.signer.verifier
        ).origin
    )


@pytest.mark.parametrize("forgery", ["by a thief", "of a reader", "of another line", "of another hub", "of no hub"])
def test_receipt_that_brings_nothing_back(begun: Desks, past: Epochs, forgery: str) -> None:
    """Nobody but its issuer brings a line back: not who stole the former key, not a reader with its own receipt."""
    (_, other), (line, receipt) = past.sent.values()
    found = parse_receipt(receipt)
    if forgery == "by a thief":
        # Whoever holds the key can have any event in any tree, but not the salt of the one that was.
        body = encode(parse_event(found.extra or b""), bytes(16))
        tree = signed(past.former, 1, leaf_hash(entry_of(body)))
        shown = format_receipt(Receipt(0, (), tree, body))
    elif forgery == "of a reader":
        shown = format_receipt(Receipt(found.index, found.proof, found.checkpoint, released(past, line)))
    elif forgery == "of another line":
        shown = other
    else:
        origin = "other.example/log/1" if forgery == "of another hub" else "nothing"
        tree = signed(past.former, 1, b"\2" * 32, origin=origin)
        shown = format_receipt(Receipt(0, (), tree, found.extra))

    answer = resent(begun, line, shown)

    expected = (409, "former-epoch", None) if forgery == "by a thief" else (400, "bad-request", "receipt")
    assert expected == problem_of(answer)


def released(epochs: Epochs, line: Line) -> bytes:
    """Return the event that released a bulletin, as its reader has it."""
    store = Store(epochs.former.database)
    with store.read() as conn:
        rows = log.events_of_kinds(conn, {"bulletin.released"}, after=-1)
    store.close()
    return next(row.body or b"" for row in rows if line.id.encode() in (row.body or b""))


def stored(epochs: Epochs, kind: str) -> Line:
    """Return the line behind the first event of a kind in the former log."""
    store = Store(epochs.former.database)
    with store.read() as conn:
        event = parse_event(log.events_of_kinds(conn, {kind}, after=-1)[0].body or b"")
        named = str(event.detail.get("ack", event.object))
        found = parse(lines.by_ids(conn, {named})[named])
    store.close()
    return found


def test_orders_and_acknowledgements(begun: Desks, past: Epochs) -> None:
    """An order that shaped the directory is known by its place; what else was said then takes no effect again."""
    size = begun.hub.writer.size

    suspended = begun.post(stored(past, "partner.suspended"), ORDER)
    watch = begun.post(stored(past, "watch.changed"), ORDER)
    ack = begun.post_ack(next(iter(past.sent.values()))[0], stored(past, "bulletin.opened"))

    assert (200, True) == (suspended.status_code, suspended.json()["seq"] < size)
    assert [(409, "former-epoch", None)] * 2 == [problem_of(watch), problem_of(ack)]


def test_order_that_is_void(begun: Desks, past: Epochs) -> None:
    """What came after the former epoch's end was never said: as long as it is fresh it can be said again."""
    revoked = stored(past, "key.revoked")

    assert 201 == begun.post(revoked, ORDER).status_code


def test_purged_line(epochs: Epochs, tmp_path: Path, databases: Databases, few: Template) -> None:
    """What was purged does not come back, with whatever receipt."""
    former = read_settings({}, data=str(databases.copy(epochs.former.data, tmp_path / "purged")))
    hub = open_hub(former, epochs.clock)
    epochs.clock.advance(70 * DAY_S)
    hub.start()
    assert 2 == purge_all(hub, progress=lambda _text: None)
    hub.stop()
    key = epochs.begin(former).key.text()
    with epochs.serve() as (new, url):
        desks = Desks(new, lambda party: few.identities[party].with_log_key(key), epochs.clock, url)
        line, receipt = next(iter(epochs.sent.values()))

        answer = resent(desks, line, receipt)

        assert (409, "former-epoch", None) == problem_of(answer)
        check_everything(new.store, new.signer.verifier, lambda _done, _all: None)
        desks.close()


def test_second_new_epoch(epochs: Epochs, tmp_path: Path, databases: Databases, few: Template) -> None:
    """A third epoch goes on from the second as that did: directory, what either of them took."""
    key = epochs.begin(policy=POLICY).key.text()
    (first, receipt), (second, other) = epochs.sent.values()
    with epochs.serve() as (hub, url):
        desks = Desks(hub, lambda party: few.identities[party].with_log_key(key), epochs.clock, url)
        assert 201 == resent(desks, first, receipt).status_code
        assert 201 == desks.order("resume", agency="tl-customs").status_code
        desks.close()
    later = replace(epochs, settings=databases.settings(tmp_path / "later"))

    made = later.begin(epochs.settings)

    with later.serve() as (hub, url):
        desks = Desks(hub, lambda party: few.identities[party].with_log_key(made.key.text()), epochs.clock, url)
        answers = [resent(desks, second, other), desks.post(first), resent(desks, first, receipt)]
        partners = hub.directory.partners
        check_everything(hub.store, made.key, lambda _done, _all: None)
        desks.close()
    assert f"{hub.name}/log/3" == made.key.name
    assert [201, 409, 201] == [each.status_code for each in answers]
    assert [] == [each.id for each in partners.values() if each.suspended]


def test_former_log_with_two_keys(epochs: Epochs, tmp_path: Path, databases: Databases, few: Template) -> None:
    """A rotation of the former log stays behind: the quote needs the key of its time, the new log has its own."""
    former = read_settings({}, data=str(databases.copy(epochs.former.data, tmp_path / "rotated")))
    with epochs.serve(former) as (hub, url):
        desks = Desks(hub, few.identities.__getitem__, epochs.clock, url)
        key = keyfile.add_log_key(former.log_key_file).verifier
        assert 201 == desks.order("log-key", log_key=key.text(), overlap_s=DAY_S).status_code
        desks.close()

    made = epochs.begin(former)

    with epochs.serve() as (hub, url):
        shown = epochs.run(ISSUER, url, "epoch")
        check_everything(hub.store, made.key, lambda _done, _all: None)
        assert (key, made.key) == (made.ended.key, hub.signer.log_keys.newest)
        assert 1 == len(hub.signer.log_keys.keys)
    assert "signed with a key of the log that you pinned" in shown.output


def test_checked_against_the_first_event(epochs: Epochs, few: Template) -> None:
    """`fsck` finds a former line that was changed."""
    made = epochs.begin(policy=POLICY)
    store = Store(epochs.settings.database)
    with store.write() as conn:
        spoil(conn, "UPDATE former_line SET id = 'x' WHERE seq = 20")
    with pytest.raises(LogHalted, match="not those that the first event names"):
        check_everything(store, made.key, lambda _done, _all: None)
    store.close()


def test_no_former_lines_in_a_first_epoch(few: Template, tmp_path: Path) -> None:
    """`fsck` finds lines of a former epoch where there was none."""
    settings = read_settings({}, data=str(few.copy(tmp_path / "first")))
    store = Store(settings.database)
    with store.write() as conn:
        formers.add(conn, [{"epoch": 0, "seq": 1, "id": "x", "entry": None}])
    [key] = keyfile.read_log_keys(settings.log_key_file)
    with pytest.raises(LogHalted, match="yet this is the first"):
        check_everything(store, key.verifier, lambda _done, _all: None)
    store.close()


def test_screens(epochs: Epochs, tmp_path: Path) -> None:
    """The commands of the operator say which epoch it is, and where the one before ended."""
    new, former = str(epochs.settings.data), epochs.former.database
    (tmp_path / "policy").write_text(TWO_OF_THREE)
    words = ("new-epoch", "--data", new, "--former", former, "--policy", str(tmp_path / "policy"))

    made = CliRunner().invoke(cli, words, standalone_mode=False)
    checked = CliRunner().invoke(cli, ("fsck", "--data", new), standalone_mode=False)
    shown = {each.name: each.text for each in status.examine(epochs.settings, now=epochs.clock() // 1_000_000)}

    ended = f"/log/1 ended at {epochs.size} entries"
    assert all(word in made.output for word in ("witnessed  w0, w1", "key.revoked vn-police", "/log/2+", "void       "))
    assert ended in checked.output
    assert ended in shown["epoch"]


def test_console(begun: Desks, past: Epochs) -> None:
    """The page Integrity shows where the epoch before ended."""
    headers = {"Sec-Fetch-Site": "same-origin", "User-Agent": "test"}
    token = {"Authorization": f"Bearer {begun.session(REGISTRAR).token()}", "Content-Type": "application/json"}
    link = begun.http.post(f"{begun.url}/v1/console/links", content=b"{}", headers=headers | token).json()["path"]
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    cookie = begun.http.post(begun.url + link, headers=headers | form).headers["set-cookie"].partition(";")[0]

    page = begun.http.get(f"{begun.url}/console/integrity", headers=headers | {"Cookie": cookie})

    assert 200 == page.status_code
    assert all(word in page.text for word in ("The epoch before", "/log/1", f"<dd>{past.size}</dd>"))
