"""Bring the database to the schema of this version."""

from __future__ import annotations

from importlib.resources import files

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from broker.store.tables import metadata
from lintas.errors import BadSettings


def upgrade(conn: Connection) -> None:
    """Run every revision the database lacks, inside the caller's transaction."""
    command.upgrade(_config(conn), "head")


def is_current(conn: Connection) -> bool:
    """Tell whether the database is at this version's revision."""
    return _found(conn) == _wanted(conn)


def revision(conn: Connection) -> str | None:
    """Return the revision that the database is at, None before the first."""
    return _found(conn)


def check_current(conn: Connection) -> None:
    """Raise BadSettings unless the database is at this version's revision."""
    found, wanted = _found(conn), _wanted(conn)
    if found != wanted:
        raise BadSettings(
            f"The database is at revision {found}, this version needs {wanted}: run `lintas-broker migrate`."
        )


def drift(conn: Connection) -> list[object]:
    """Return the differences between the database and the tables of this version, for tests."""
    return list(compare_metadata(MigrationContext.configure(conn), metadata))


def _found(conn: Connection) -> str | None:
    return MigrationContext.configure(conn).get_current_revision()


def _wanted(conn: Connection) -> str | None:
    return ScriptDirectory.from_config(_config(conn)).get_current_head()


def _config(conn: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(files("migrations")))
    config.attributes["connection"] = conn
    return config
