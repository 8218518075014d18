"""The database of each hub that a test makes: SQLite by default, a real Postgres with ``--postgres``.

A hub finds its database in the ``settings.toml`` of its data directory, so the same tests serve both: what makes or
copies a data directory asks `Databases` for the database that goes with it.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from broker.settings import Settings, read_settings
from tests.postgres import Cluster


class Databases:
    """Makes databases for data directories; `cluster` None means one SQLite file in each."""

    def __init__(self, cluster: Cluster | None) -> None:
        self._cluster = cluster
        self._made: set[Path] = set()

    @property
    def is_postgres(self) -> bool:
        """Tell which of the two it is."""
        return self._cluster is not None

    def new(self, data: Path) -> Path:
        """Prepare a data directory whose database is empty."""
        if self._cluster is not None:
            data.mkdir(parents=True, exist_ok=True)
            self._point(data, self._cluster.create(_name(data)))
        return data

    def copy(self, data: Path, target: Path) -> Path:
        """Copy the data directory of a hub that is not open, with its database."""
        shutil.copytree(data, target)
        if self._cluster is not None:
            self._point(target, self._cluster.create(_name(target), template=_name(data)))
        return target

    def settings(self, data: Path) -> Settings:
        """Return the settings of a new hub at a data directory made for it."""
        return read_settings({}, data=str(self.new(data)))

    def url(self, folder: Path) -> str:
        """Return the URL of an empty database that belongs to no hub."""
        self.new(folder).mkdir(parents=True, exist_ok=True)
        return read_settings({}, data=str(folder)).database

    def forget(self, folder: Path) -> None:
        """Remove the databases of data directories below this folder."""
        for data in [each for each in self._made if each.is_relative_to(folder)]:
            self._made.remove(data)
            if self._cluster is not None:
                self._cluster.drop(_name(data))

    def _point(self, data: Path, url: str) -> None:
        self._made.add(data)
        path = data / "settings.toml"
        members = (tomllib.loads(path.read_text()) if path.exists() else {}) | {"database": url}
        path.write_text("".join(f"{name} = {value!r}\n" for name, value in members.items()))


def _name(data: Path) -> str:
    return f"hub_{hashlib.sha256(str(data).encode()).hexdigest()[:24]}"


_IN_POSTGRES = (
    (re.compile(r"zeroblob\((\w+(?:\(\w+\))?)\)"), r"decode(repeat('00', \1), 'hex')"),
    (re.compile(r"CAST\((\w+) \|\| ' ' AS BLOB\)"), r"\1 || decode('20', 'hex')"),
    (re.compile(r"\bx'(\w+)'"), r"decode('\1', 'hex')"),
)


def spoil(conn: Connection, statement: str, **values: Any) -> None:
    """Change rows as a broken disk or a careless hand would, past the triggers. The statement is spelt for SQLite."""
    is_postgres = conn.dialect.name == "postgresql"
    for table in ("log", "checkpoint"):
        if is_postgres:
            conn.execute(text(f"DROP TRIGGER IF EXISTS {table}_is_append_only ON {table}"))
        else:
            conn.execute(text(f"DROP TRIGGER IF EXISTS {table}_no_update"))
            conn.execute(text(f"DROP TRIGGER IF EXISTS {table}_no_delete"))
    for pattern, spelt in _IN_POSTGRES if is_postgres else ():
        statement = pattern.sub(spelt, statement)
    conn.execute(text(statement), values)
