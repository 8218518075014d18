"""The schema: one way from nothing to this version, the same as the tables in the code."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from broker.settings import Settings
from broker.store import migrate, tables
from broker.store.engine import Store
from lintas.errors import BadSettings
from tests.databases import Databases

MIGRATE_TWICE = """
import sys
from broker.store import migrate
from broker.store.engine import Store
store = Store(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
with store.write() as conn:
    migrate.upgrade(conn)
store.close()
"""


class Undone(Exception):
    """Ends a transaction that is to leave nothing."""


@pytest.fixture
def url(tmp_path: Path, databases: Databases) -> str:
    """The address of a database that does not exist yet."""
    return databases.url(tmp_path / "new")


def test_from_nothing(url: str) -> None:
    """An empty database is brought to this version, which is then current and has every table."""
    store = Store(url)
    with store.write() as conn:
        assert not migrate.is_current(conn)
        migrate.upgrade(conn)

        migrate.check_current(conn)
        assert migrate.is_current(conn)
        assert set(tables.metadata.tables) | {"alembic_version"} == set(inspect(conn).get_table_names())
    store.close()


def test_no_drift(url: str) -> None:
    """What the revisions make is what the code expects, to the last column and index."""
    store = Store(url)
    with store.write() as conn:
        migrate.upgrade(conn)

        assert [] == migrate.drift(conn)
    store.close()


def test_drift_is_found(url: str) -> None:
    """A table that is not as the code expects is told."""
    store = Store(url)
    with store.write() as conn:
        migrate.upgrade(conn)
        conn.execute(text("ALTER TABLE invite ADD COLUMN extra TEXT"))

        assert "extra" in str(migrate.drift(conn))
    store.close()


def test_upgrade_again(small: Settings) -> None:
    """Migrating a database that is current changes nothing in it."""
    store = Store(small.database)
    with store.write() as conn:
        before = conn.execute(text("SELECT seq, entry FROM log")).all()
        migrate.upgrade(conn)

        assert before == conn.execute(text("SELECT seq, entry FROM log")).all()
        assert len(before) == 3
    store.close()


def test_all_or_nothing(url: str) -> None:
    """A migration that fails leaves the database as it was."""
    store = Store(url)
    with contextlib.suppress(Undone), store.write() as conn:
        migrate.upgrade(conn)
        raise Undone

    with store.read() as conn:
        assert [] == inspect(conn).get_table_names()
    store.close()


def test_one_head() -> None:
    """The revisions form one line with one end."""
    config = Config()
    config.set_main_option("script_location", str(files("migrations")))

    script = ScriptDirectory.from_config(config)

    assert 1 == len(script.get_heads())
    assert all(len(revision.nextrev) <= 1 for revision in script.walk_revisions())


@pytest.mark.parametrize("revision", [None, "0000"])
def test_another_version(url: str, revision: str | None) -> None:
    """A database of another version is refused with the command that helps."""
    store = Store(url)
    with store.write() as conn:
        migrate.upgrade(conn)
        conn.execute(text("DELETE FROM alembic_version"))
        if revision is not None:
            conn.execute(text("INSERT INTO alembic_version VALUES (:revision)"), {"revision": revision})

        with pytest.raises(BadSettings, match=f"is at revision {revision}.*run `lintas-broker migrate`"):
            migrate.check_current(conn)
    store.close()


def test_two_processes_at_once(url: str) -> None:
    """Two processes that migrate one database at the same time both succeed."""
    command = [sys.executable, "-c", MIGRATE_TWICE, url]
    both = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in both:
        assert process.stdout is not None
        assert "ready\n" == process.stdout.readline()
    for process in both:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()

    ended = [(process.communicate(timeout=60)[1], process.returncode) for process in both]

    assert [("", 0)] * 2 == ended
    store = Store(url)
    with store.read() as conn:
        migrate.check_current(conn)
    store.close()
