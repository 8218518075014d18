"""Backups, restoring, moving between databases, what a hub does whose database is older than what it published."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from broker import backup
from broker.cli import cli
from broker.fsck import check_everything
from broker.hub import Hub, open_hub
from broker.settings import Settings, read_settings
from broker.store.engine import Store
from lintas.errors import BadSettings, LintasError, LogHalted
from tests.broker.conftest import Desks, Template, problem_of
from tests.conftest import ShiftedClock, served, wait_until
from tests.databases import Databases, spoil

ISSUER, READER = "my-police", "sg-fiu"


def silent(_table: str, _rows: int) -> None:
    """Say nothing of the progress."""


def run(*arguments: str) -> str:
    """Run `lintas-broker`; return what it prints, or raise the error it ends with."""
    result = CliRunner().invoke(cli, arguments)
    if isinstance(result.exception, LintasError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def another(tmp_path: Path, desks: Desks, databases: Databases) -> Settings:
    """A data directory with the hub's keys and an empty database."""
    settings = databases.settings(tmp_path / "another")
    settings.data.mkdir(exist_ok=True)
    for name in ("log.key", "hub.secret"):
        shutil.copy2(desks.hub.settings.data / name, settings.data)
    return settings


def test_saved_while_serving(desks: Desks, tmp_path: Path) -> None:
    """A backup of a hub that serves is whole: every row up to one moment, verified."""
    desks.publish(ISSUER, [READER])

    printed = run("backup", "--data", str(desks.hub.settings.data), "--out", str(tmp_path / "hub.backup"))

    report = check_everything(desks.hub.store, desks.hub.signer.verifier, lambda _done, _all: None)
    assert f"saved: {report.size} events, {report.checkpoints} checkpoints, {report.lines} lines" in printed
    assert report.root.hex() in printed
    assert ["hub.backup"] == [path.name for path in tmp_path.iterdir() if "backup" in path.name]


def test_restored_hub_is_the_same(desks: Desks, another: Settings, tmp_path: Path, clock: ShiftedClock) -> None:
    """A restored hub gives the same receipts, and goes on with the same log."""
    line = desks.publish(ISSUER, [READER])
    receipt = desks.post(line).content
    run("backup", "--data", str(desks.hub.settings.data), "--out", str(tmp_path / "hub.backup"))
    run("restore", "--data", str(another.data), str(tmp_path / "hub.backup"))

    hub = open_hub(another, clock)
    hub.start()
    with served(hub) as url:
        desks.url = url
        again = desks.post(line)
        newer = desks.post(desks.bulletin(ISSUER, [READER]))
    hub.stop()

    assert (200, receipt, 201) == (again.status_code, again.content, newer.status_code)


def test_moved_hub_is_the_same(desks: Desks, tmp_path: Path, databases: Databases, clock: ShiftedClock) -> None:
    """A stopped hub that was moved to another database goes on there."""
    line = desks.publish(ISSUER, [READER])
    receipt = desks.post(line).content
    data = desks.hub.settings.data
    desks.hub.stop()
    url = databases.url(tmp_path / "moved")

    printed = run("move", "--data", str(data), "--to", url)

    hub = open_hub(read_settings({"LINTAS_DATABASE": url}, data=str(data)), clock)
    hub.start()
    with served(hub) as address:
        desks.url = address
        again = desks.post(line)
    hub.stop()
    assert printed.startswith("moved: ")
    assert (200, receipt) == (again.status_code, again.content)


def test_move_of_a_serving_hub(desks: Desks, databases: Databases, tmp_path: Path) -> None:
    """A hub that serves is not moved: what it accepts meanwhile would be left behind."""
    wait_until(lambda: desks.hub.replica.is_hearing)

    with pytest.raises(BadSettings, match=r"Another process serves|A replica serves"):
        run("move", "--data", str(desks.hub.settings.data), "--to", databases.url(tmp_path / "moved"))


def test_nothing_is_overwritten(desks: Desks, tmp_path: Path) -> None:
    """Neither a file nor a database that holds a hub is written over."""
    out = tmp_path / "hub.backup"
    backup.save(desks.hub.store, out, desks.hub.signer.verifier, silent)

    with pytest.raises(BadSettings, match="never overwrites"):
        backup.save(desks.hub.store, out, desks.hub.signer.verifier, silent)
    with pytest.raises(BadSettings, match="holds a hub already"):
        backup.load(out, desks.hub.settings.database, desks.hub.signer.verifier, silent)


def test_no_backup(another: Settings, desks: Desks, tmp_path: Path) -> None:
    """What is not there is not restored."""
    with pytest.raises(BadSettings, match="no backup"):
        backup.load(tmp_path / "nothing", another.database, desks.hub.signer.verifier, silent)


def test_broken_source(desks: Desks, tmp_path: Path) -> None:
    """A backup of a log that does not verify is refused, and nothing is left of it."""
    with desks.hub.store.write() as conn:
        spoil(conn, "UPDATE log SET entry = zeroblob(32) WHERE seq = 2")

    with pytest.raises(LogHalted, match="Row 2"):
        backup.save(desks.hub.store, tmp_path / "hub.backup", desks.hub.signer.verifier, silent)

    assert [] == [path.name for path in tmp_path.iterdir() if "backup" in path.name]


@pytest.fixture
def behind(few: Template, tmp_path: Path, clock: ShiftedClock, databases: Databases) -> Iterator[Hub]:
    """A hub restored from a backup that is older than what it published since, open but not started."""
    data = few.copy(tmp_path / "hub")
    hub = open_hub(read_settings({}, data=str(data)), clock)
    hub.start()
    backup.save(hub.store, tmp_path / "old.backup", hub.signer.verifier, silent)
    hub.writer.submit(lambda batch: batch.append("view.read", READER, detail={})).result(20)
    hub.stop()
    restored = databases.settings(tmp_path / "restored")
    restored.data.mkdir(exist_ok=True)
    for name in ("log.key", "hub.secret", "newest.checkpoint"):
        shutil.copy2(data / name, restored.data)
    backup.load(tmp_path / "old.backup", restored.database, hub.signer.verifier, silent)
    found = open_hub(restored, clock)
    yield found
    found.stop()


def test_behind_is_read_only(behind: Hub, few: Template, clock: ShiftedClock) -> None:
    """A hub that lacks what was published accepts nothing, says how much is missing, and still shows its log."""
    behind.start()
    with served(behind) as url:
        desks = Desks(behind, few.identities.__getitem__, clock, url)
        posted = desks.post(desks.bulletin(ISSUER, [READER]))
        ready = desks.get("/readyz")
        shown = desks.get("/v1/log/checkpoint"), desks.get("/v1/log/tile/0/000.p/9", READER)
        feed = desks.get("/v1/bulletins", READER)
        desks.close()

    assert (503, "read-only") == problem_of(posted)[:2]
    assert "were published: 1 missing" in ready.json()["detail"]
    assert [200, 200] == [answer.status_code for answer in shown]
    assert feed.status_code == 503 or feed.content == b""


def test_another_history(few: Template, tmp_path: Path, clock: ShiftedClock) -> None:
    """A database with another history than was published is not served, however long it is."""
    first, second = few.copy(tmp_path / "first"), few.copy(tmp_path / "second")
    for data in (first, second):
        hub = open_hub(read_settings({}, data=str(data)), clock)
        hub.start()
        hub.writer.submit(lambda batch: batch.append("view.read", READER, detail={})).result(20)
        hub.stop()
    shutil.copy2(first / "newest.checkpoint", second / "newest.checkpoint")

    hub = open_hub(read_settings({}, data=str(second)), clock)
    hub.start()
    halted = hub.writer.halted
    hub.stop()

    assert "The log is another one than was published" in str(halted)


def test_kept_outside(desks: Desks) -> None:
    """Each checkpoint that is published stands in the file outside the database."""
    desks.publish(ISSUER, [READER])

    assert desks.get("/v1/log/checkpoint").content == desks.hub.settings.checkpoint.read_bytes()


def test_unreadable_outside(desks: Desks) -> None:
    """A kept checkpoint that cannot be read stops the start: a guess could sign another history."""
    settings = desks.hub.settings
    desks.hub.stop()
    settings.checkpoint.unlink()
    settings.checkpoint.mkdir()
    hub = open_hub(settings)

    with pytest.raises(BadSettings, match="cannot be read"):
        hub.start()
    hub.close()


def test_database_of_another_kind() -> None:
    """Only the two kinds of database that are tested are opened."""
    for url in ("mysql://somewhere/hub", "nonsense"):
        with pytest.raises(BadSettings, match="LINTAS_DATABASE"):
            Store(url)
