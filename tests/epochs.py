"""What tests of a new epoch share: a former hub that has stopped, the files of its parties, a place for a new one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from broker import epoch
from broker.epoch import Begun
from broker.hub import Hub, open_hub
from broker.settings import Settings, read_settings
from broker.store import cosignatures, log
from clients.cli import cli
from lintas.client import Client
from lintas.cosignature import cosign
from lintas.draft import read_draft
from lintas.keys import load_identity, save_identity
from lintas.line import Line, parse
from lintas.memory import open_state
from lintas.note import split_note
from lintas.quorum import parse_policy
from tests.conftest import ShiftedClock, served
from tests.databases import Databases
from tests.witnesses import TWO_OF_THREE, WITNESSES

if TYPE_CHECKING:
    from tests.broker.conftest import Template

ISSUER, READER, THIRD = "my-police", "sg-fiu", "th-cert"
REGISTRAR, AUDITOR = "admin/registrar", "admin/auditor"
PASSPHRASE = b"a passphrase of a test"
POLICY = parse_policy(TWO_OF_THREE.encode())


def draft(number: int, **changes: Any) -> Any:
    """Return a draft for one reader that stands for a month."""
    members = {
        "kind": "alert",
        "topic": "drugs",
        "tlp": "GREEN",
        "urgency": "routine",
        "release_to": [READER],
        "valid_for": "P30D",
        "payload": {"title": f"Number {number}", "summary": "SIMULATED."},
    }
    return read_draft(members | changes)


@dataclass
class Epochs:
    """A hub that is stopped, with what was sent there (line, receipt); `settings` are those of the new one.

    Its log was witnessed at `size` and went on from there.
    """

    folder: Path
    former: Settings
    settings: Settings
    clock: ShiftedClock
    sent: dict[str, tuple[Line, bytes]]
    size: int

    def begin(self, former: Settings | None = None, **how: Any) -> Begun:
        """Begin the new epoch as the operator does."""
        return epoch.begin(self.settings, (former or self.former).database, clock=self.clock, **how)

    @contextmanager
    def serve(self, settings: Settings | None = None) -> Iterator[tuple[Hub, str]]:
        """Serve the new hub, or another one."""
        hub = open_hub(settings or self.settings, self.clock)
        hub.start()
        try:
            with served(hub) as url:
                yield hub, url
        finally:
            hub.stop()

    def path(self, party: str) -> Path:
        """Return the identity file of a party."""
        return path_in(self.folder, party)

    @contextmanager
    def client(self, party: str, url: str) -> Iterator[Client]:
        """Open the client of a party with the memory of the epoch it pins."""
        identity = load_identity(self.path(party), PASSPHRASE).with_url(url)
        with Client(identity, open_state(self.path(party), identity), clock=self.clock) as found:
            yield found

    def run(self, party: str, url: str, *words: str | Path, **environ: str) -> Result:
        """Run `lintas` as a party; a fault is raised as it is."""
        (self.folder / "passphrase").write_bytes(PASSPHRASE)
        given = {
            "LINTAS_HUB": url,
            "LINTAS_IDENTITY": str(self.path(party)),
            "LINTAS_PASSPHRASE_FILE": str(self.folder / "passphrase"),
        }
        result = CliRunner(env=given | environ).invoke(cli, [str(word) for word in words], standalone_mode=False)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def go_over(self, party: str, url: str, key: str) -> Result:
        """Go over to the log of this key as a person does that was told it."""
        return self.run(party, url, "epoch", "--accept", key, "--yes")


@pytest.fixture(scope="session")
def past(few: Template, tmp_path_factory: pytest.TempPathFactory) -> Epochs:
    """Publish two bulletins, read them, have it witnessed, then revoke a key that nobody witnesses; stop."""
    folder, clock = tmp_path_factory.mktemp("past"), ShiftedClock()
    (folder / "files").mkdir()
    for party in (ISSUER, READER, THIRD, REGISTRAR, AUDITOR):
        save_identity(path_in(folder / "files", party), few.identities[party], PASSPHRASE)
    former = read_settings({}, data=str(few.copy(folder / "former")))
    found = Epochs(folder / "files", former, former, clock, {}, 0)
    with (
        found.serve(former) as (hub, url),
        found.client(ISSUER, url) as issuer,
        found.client(READER, url) as reader,
        found.client(REGISTRAR, url) as first,
        found.client(AUDITOR, url) as second,
    ):
        issuer.sync()
        for number in (1, 2):
            published = issuer.publish(draft(number))
            raw = issuer.session.state.sent_line(published.id) or b""
            found.sent[published.id] = (parse(raw), published.receipt or b"")
        assert 2 == len(list(reader.follow(once=True)))
        reader.opened(next(iter(found.sent)))
        reader.order("watch", {"name": "scams", "indicators": []})
        reader.issue_read_token("SIMULATED")
        reader.end_read_token(reader.issue_read_token("SIMULATED").id)
        second.order("suspend", {"agency": "tl-customs", "reason": "SIMULATED"})
        issuer.sync()
        found.size = witness(hub, clock() // 1_000_000)
        kid = few.identities["vn-police"].key.kid
        order = {"agency": "vn-police", "kid": kid, "reason": "superseded", "since": 0}
        second.countersign(first.session.sign_order("revoke", order).raw)
    return found


@pytest.fixture
def epochs(past: Epochs, tmp_path: Path, clock: ShiftedClock, databases: Databases) -> Epochs:
    """The past with files of its own, and an empty place for what comes."""
    shutil.copytree(past.folder, tmp_path / "files")
    return replace(past, folder=tmp_path / "files", settings=databases.settings(tmp_path / "new"), clock=clock)


def path_in(folder: Path, party: str) -> Path:
    """Return the identity file of a party in a folder."""
    return folder / f"{party.replace('/', '-')}.json"


def witness(hub: Hub, time: int) -> int:
    """Have two witnesses cosign the newest checkpoint; return its size."""
    with hub.store.write() as conn:
        found = log.newest_checkpoint(conn)
        assert found is not None
        text, _ = split_note(found[1])
        lines = {key.verifier.text(): cosign(text, key, time=time).line() for key in WITNESSES[:2]}
        cosignatures.add(conn, found[0], lines)
    return found[0]
