"""What a partner installs: the wheel, away from this tree.

The wheel is built offline by the locked back end, then installed into an environment of its own. That environment sees
the dependencies of this one through a path entry; nothing is fetched, and this tree is not on its path.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_string
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parents[1]
START_S_MAX = 30
TITLE = "Fictional: a fake loan application asks for contacts"
DRAFT = {
    "kind": "alert",
    "topic": "cyber.scam",
    "tlp": "GREEN",
    "urgency": "urgent",
    "release_to": ["my-police"],
    "valid_for": "P30D",
    "payload": {"title": TITLE, "summary": "SIMULATED. Two complaints this week; the same domain in both."},
}


@dataclass(frozen=True)
class Installation:
    """An environment with the wheel in it; `run` runs one of its programs in a folder outside this tree."""

    bin: Path
    folder: Path

    def run(self, program: str, *arguments: str, env: Mapping[str, str] | None = None) -> str:
        """Return what the program prints; fail with what it complains of."""
        command = [str(self.bin / program), *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=dict(env or {}), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The wheel, installed by pip into a new environment."""
    folder = tmp_path_factory.mktemp("installed")
    python = folder / "env/bin/python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "env")], check=True)
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*install, str(wheel)], check=True)
    paths = sysconfig.get_paths()
    # Path entries of a folder named in a .pth file are not followed: an editable install of this tree stays unseen.
    (packages,) = (folder / "env/lib").glob("python*/site-packages")
    (packages / "dependencies.pth").write_text(f"{paths['purelib']}\n{paths['platlib']}\n")
    return Installation(python.parent, folder)


def contents(wheel: Path) -> set[str]:
    """Return the names of the files in a wheel."""
    with ZipFile(wheel) as archive:
        return set(archive.namelist())


@contextmanager
def serving(installed: Installation, data: Path) -> Iterator[str]:
    """Run the installed `lintas-broker serve`; yield its URL once it is ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [str(installed.bin / "lintas-broker"), "serve", "--data", str(data)]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, cwd=installed.folder, env={}) as process:
        try:
            wait_ready(process, url)
            yield url
        finally:
            process.terminate()


def wait_ready(process: subprocess.Popen[bytes], url: str) -> None:
    """Wait until the hub says that it is ready; fail when it ends or takes too long."""
    end = time.monotonic() + START_S_MAX
    while process.poll() is None and time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=5):
                return
        except OSError:
            time.sleep(0.05)
    pytest.fail("the installed hub did not become ready")


@pytest.mark.parametrize("folder", ["lintas", "broker", "clients", "migrations"])
def test_wheel_holds_the_package(wheel: Path, folder: str) -> None:
    """The wheel holds every source and data file of a package: revisions, vocabularies, type marks."""
    expected = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    assert expected == {file for file in contents(wheel) if file.startswith(f"{folder}/")}


def test_wheel_holds_the_essentials(wheel: Path) -> None:
    """The wheel holds what the programs open by name."""
    essentials = {
        "broker/py.typed",
        "clients/py.typed",
        "lintas/py.typed",
        "lintas/vocabulary.json",
        "migrations/env.py",
        "migrations/versions/0001_first.py",
    }

    assert set() == essentials - contents(wheel)


def test_wheel_holds_nothing_else(wheel: Path) -> None:
    """No test, benchmark, document or hub's data goes into the wheel."""
    folders = {file.split("/")[0] for file in contents(wheel)}

    assert {"lintas", "broker", "clients", "migrations", "lintas-0.1.0.dist-info"} == folders


def test_partner_needs_no_server(wheel: Path) -> None:
    """Without the extra `broker`, the requirements are those of a client."""
    with ZipFile(wheel) as archive:
        metadata = message_from_string(archive.read("lintas-0.1.0.dist-info/METADATA").decode())

    required = {line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line}

    assert {"click", "cryptography", "httpx", "idna"} == required


def test_runs_from_the_wheel(installed: Installation) -> None:
    """What is imported is the wheel, not this tree."""
    script = "import broker, clients, lintas, migrations; print(broker.__file__, clients.__file__, lintas.__file__)"

    files = installed.run("python", "-c", script).split()

    assert [True] * 3 == [installed.bin.parent in Path(file).parents for file in files]


def test_client_imports_no_server(installed: Installation) -> None:
    """The client library and its command load without anything of the hub or its dependencies."""
    script = (
        "import sys; before = set(sys.modules); import lintas, clients.cli;"
        "print(*sorted({'broker', 'fastapi', 'sqlalchemy', 'alembic', 'uvicorn', 'migrations'} & set(sys.modules)))"
    )

    assert "" == installed.run("python", "-c", script).strip()


def test_makes_a_hub(installed: Installation, tmp_path: Path) -> None:
    """`lintas-broker init` makes a hub, migrated with the revisions of the wheel, and prints the log's key."""
    printed = installed.run("lintas-broker", "init", "--data", str(tmp_path / "hub"), "--origin", "hub.example")

    assert "log key" in printed
    assert {"hub.db", "log.key", "passphrase", "admins"} <= {path.name for path in (tmp_path / "hub").iterdir()}


def test_carries_a_bulletin(installed: Installation, tmp_path: Path) -> None:
    """A hub served from the wheel takes a bulletin from one agency and hands it, verified, to another."""
    data, draft = tmp_path / "hub", tmp_path / "draft.json"
    installed.run("lintas-broker", "exercise", "--data", str(data))
    draft.write_text(json.dumps(DRAFT))

    with serving(installed, data) as url:
        settings = {"LINTAS_HUB": url, "LINTAS_PASSPHRASE_FILE": str(data / "passphrase")}
        sender, reader = (
            settings | {"LINTAS_IDENTITY": str(data / f"agencies/{who}.json")} for who in ("sg-fiu", "my-police")
        )
        published = installed.run("lintas", "publish", "--yes", str(draft), env=sender)
        received = installed.run("lintas", "follow", "--once", "--json", env=reader)

    (bulletin,) = map(json.loads, received.splitlines())
    assert (TITLE, "sg-fiu", True) == (bulletin["payload"]["title"], bulletin["issuer"], bulletin["verified"])
    assert bulletin["id"] in published
