"""The way back of lines that a restored log lost: agencies post again what they hold, byte for byte."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from broker import backup
from broker.fsck import check_everything
from broker.hub import Hub, open_hub
from broker.settings import read_settings
from clients.cli import cli
from lintas import note
from lintas.client import Client
from lintas.errors import BadRequest, Refusal, Stale
from lintas.header import LOGGED
from lintas.keys import save_identity
from lintas.receipt import Receipt, check_receipt, format_receipt, parse_receipt
from lintas.resend import Held, Resent, held
from lintas.state import State
from tests.broker.conftest import Template
from tests.conftest import ShiftedClock, served
from tests.databases import Databases
from tests.epochs import draft

ISSUER, READER = "my-police", "sg-fiu"
DAY_S = 86_400
PASSPHRASE = b"a passphrase of a test"


@dataclass
class Restored:
    """A hub restored, two days later, from a backup that lacks the last bulletins; the issuer's memory has all."""

    hub: Hub
    url: str
    issuer: Client
    reader: Client
    kept: str
    lost: list[str]
    clock: ShiftedClock


@pytest.fixture
def restored(few: Template, tmp_path: Path, clock: ShiftedClock, databases: Databases) -> Iterator[Restored]:
    """Publish, back up, publish more, lose the database, restore."""
    with ExitStack() as stack:
        identity = few.identities[ISSUER]
        state = State(tmp_path / "issuer.state", log_key=identity.hub.log_key)
        hub = open_hub(read_settings({}, data=str(few.copy(tmp_path / "hub"))), clock)
        hub.start()
        with served(hub) as url:
            client = Client(identity.with_url(url), state, clock=clock)
            client.sync()
            kept = client.publish(draft(1)).id
            backup.save(hub.store, tmp_path / "old.backup", hub.signer.verifier, lambda _table, _rows: None)
            lost = [client.publish(draft(2)).id]
            recall = {"kind": "recall", "refs": [f"recalls:{lost[0]}"]}
            payload = {"title": "recall", "summary": "SIMULATED.", "reason": "false-positive"}
            lost.append(client.publish(draft(3, **recall, payload=payload)).id)
            # Its memory goes on.
            client._http.close()
        hub.stop()
        settings = databases.settings(tmp_path / "restored")
        settings.data.mkdir(exist_ok=True)
        # Without `newest.checkpoint`: the decision to go on that docs/operate.md speaks of.
        for name in ("log.key", "hub.secret"):
            shutil.copy2(hub.settings.data / name, settings.data)
        backup.load(tmp_path / "old.backup", settings.database, hub.signer.verifier, lambda _table, _rows: None)
        clock.advance(2 * DAY_S)
        hub = open_hub(settings, clock)
        hub.start()
        stack.callback(hub.stop)
        url = stack.enter_context(served(hub))
        reader = few.identities[READER].with_url(url)
        issuer = stack.enter_context(Client(identity.with_url(url), state, clock=clock))
        follower = stack.enter_context(Client(reader, State(":memory:", log_key=reader.hub.log_key), clock=clock))
        yield Restored(hub, url, issuer, follower, kept, lost, clock)


def test_lines_come_back(restored: Restored) -> None:
    """What the log lost is accepted again under its old id though it is old; what it has stays where it is."""
    old = {each.line.id: each.receipt or b"" for each in held(restored.issuer.session)}

    outcomes = restored.issuer.resend()
    again = restored.issuer.resend()

    key = restored.hub.signer.verifier
    assert [(restored.kept, False), *((each, True) for each in restored.lost)] == [
        (each.id, each.is_new) for each in outcomes if isinstance(each, Resent)
    ]
    assert [False] * 3 == [each.is_new for each in again if isinstance(each, Resent)]
    assert old == {each.line.id: each.receipt for each in held(restored.issuer.session)}
    for line_id, receipt in old.items():
        check_receipt(parse_receipt(receipt), line_id=line_id, origin=key.name, key=key)
    assert {restored.kept: None, restored.lost[0]: "recalled", restored.lost[1]: None} == {
        each.id: each.state for each in restored.reader.follow(once=True)
    }
    check_everything(restored.hub.store, key, lambda _done, _all: None)


def test_too_old_without_a_receipt(restored: Restored) -> None:
    """Without a receipt nothing says that an old line was ever accepted."""
    bulletins = [Held(each.line, None) for each in held(restored.issuer.session)]

    outcomes = restored.issuer.resend(bulletins[1:2])

    assert [Stale] == [type(each) for each in outcomes]


@pytest.mark.parametrize("fault", ["another-line", "another-key", "refusal", "nonsense"])
def test_receipt_that_does_not_prove_it(restored: Restored, fault: str) -> None:
    """A receipt for another line, by another key, of another kind of event or none at all is refused."""
    first, second = held(restored.issuer.session)[1:]
    receipt = parse_receipt((second if fault == "another-line" else first).receipt or b"")
    shown = format_receipt(receipt)
    if fault == "another-key":
        other = note.SignerKey.from_seed(restored.hub.signer.origin, b"\x07" * 32)
        text, _ = note.split_note(receipt.checkpoint)
        shown = format_receipt(Receipt(receipt.index, receipt.proof, note.sign_note(text, other), receipt.extra))
    elif fault == "refusal":
        [released] = [each for each in _events(restored) if each.kind == "bulletin.released"][-1:]
        assert released.body
        shown = format_receipt(Receipt(receipt.index, receipt.proof, receipt.checkpoint, released.body))
    elif fault == "nonsense":
        shown = b"nothing"

    outcomes = restored.issuer.resend([Held(first.line, shown)])

    assert [(BadRequest, "receipt")] == [(type(each), each.member) for each in outcomes if isinstance(each, Refusal)]


def _events(restored: Restored) -> list[Any]:
    from broker.store import log  # noqa: PLC0415 - of this helper alone

    with restored.hub.store.read() as conn:
        return log.events_of_kinds(conn, {"bulletin.released"}, after=-1)


def test_receipt_does_not_widen(restored: Restored) -> None:
    """A receipt speaks for the age of a line alone: what ended meanwhile is refused as ever."""
    restored.clock.advance(60 * DAY_S)

    outcomes = restored.issuer.resend(held(restored.issuer.session)[1:2])

    assert ["expired"] == [each.code for each in outcomes if isinstance(each, Refusal)]


def test_command(restored: Restored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`lintas resend` says how many were lost and are back, from the outbox or from a folder of saved lines."""
    save_identity(tmp_path / "issuer.json", restored.issuer.session.identity, PASSPHRASE)
    (tmp_path / "passphrase").write_bytes(PASSPHRASE)
    monkeypatch.setenv("LINTAS_IDENTITY", str(tmp_path / "issuer.json"))
    monkeypatch.setenv("LINTAS_PASSPHRASE_FILE", str(tmp_path / "passphrase"))
    monkeypatch.setenv("LINTAS_HUB", restored.url)
    folder = tmp_path / "sent"
    folder.mkdir()
    for each in held(restored.issuer.session)[:2]:
        (folder / f"{each.line.id}.line").write_bytes(each.line.raw + b"\n")
        (folder / f"{each.line.id}.tlog-proof").write_bytes(each.receipt or b"")
    last = held(restored.issuer.session)[-1]
    (folder / f"{last.line.id}.line").write_bytes(last.line.raw)

    from_folder = CliRunner().invoke(cli, ["resend", str(folder)])
    from_outbox = CliRunner().invoke(cli, ["resend"])

    assert (1, True) == (from_folder.exit_code, f"{last.line.id}  stale" in from_folder.output)
    assert "3 sent again: 1 were lost and are back, 1 refused" in from_folder.output
    assert (0, "3 sent again: 1 were lost and are back, 0 refused\n") == (from_outbox.exit_code, from_outbox.output)


def test_media_type() -> None:
    """The media type of a bulletin with its receipt is written down."""
    assert LOGGED in (Path(__file__).resolve().parents[2] / "docs/spec/http.md").read_text()
