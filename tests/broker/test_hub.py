"""Making, opening and starting a hub; the command `lintas-broker` around it."""

from __future__ import annotations

import runpy
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import text

from broker import cli, exercise
from broker.hub import make_log_key, make_name, open_hub, open_log, read_log_key
from broker.settings import Settings, read_settings
from broker.store import engine
from broker.store.engine import Store
from lintas import vocabulary
from lintas.errors import BadSettings, LintasError, MalformedLine
from lintas.header import KEY
from lintas.keys import Identity, load_identity
from lintas.session import Session
from lintas.state import State
from lintas.strict import canonical
from tests.broker.conftest import Template
from tests.databases import Databases


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run the command; return exit code, output and errors."""
    monkeypatch.setattr(sys, "argv", ["lintas-broker", *arguments])
    code = 0
    try:
        cli.main()
    except SystemExit as left:
        code = int(left.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_name() -> None:
    """A hub's name is its origin and eight random characters, so that no two are alike."""
    names = {make_name("lintas.example") for _ in range(20)}

    assert 20 == len(names)
    assert all(name.startswith("lintas.example-") and len(name) == 23 for name in names)


@pytest.mark.parametrize("origin", ["", "Lintas.example", "lintas example", "https://lintas.example", "a" * 70, "-x"])
def test_malformed_origin(origin: str) -> None:
    """An origin that is no host name makes no hub."""
    with pytest.raises(BadSettings, match="An origin is a host name"):
        make_name(origin)


def test_log_key_is_private(small: Settings) -> None:
    """The log's key is kept with mode 0600, and names the log of this hub."""
    key = read_log_key(small.log_key_file)

    assert 0o600 == small.log_key_file.stat().st_mode & 0o777
    assert key.name.startswith("small.lintas.example-")
    assert key.name.endswith("/log/1")


def test_log_key_that_others_can_read(small: Settings) -> None:
    """A log key that others can read is not used, and the way out is named."""
    small.log_key_file.chmod(0o640)

    with pytest.raises(BadSettings, match="can be read by others: run `chmod 600`"):
        read_log_key(small.log_key_file)


def test_no_hub(tmp_path: Path) -> None:
    """Where no hub is, the command that makes one is named."""
    with pytest.raises(BadSettings, match=r"No hub at .*: make one with `lintas-broker init`"):
        open_hub(read_settings({}, data=str(tmp_path)))


def test_hub_is_never_replaced(small: Settings) -> None:
    """A second `init` at the same place is refused and changes nothing."""
    before = small.log_key_file.read_bytes()

    with pytest.raises(BadSettings, match="there is a hub here already"):
        exercise.create(small, origin="other.example", keep=lambda _identity: None)

    assert before == small.log_key_file.read_bytes()


def test_killed_between_key_and_log(tmp_path: Path) -> None:
    """A hub of which only the key was made is made anew."""
    settings = read_settings({}, data=str(tmp_path / "hub"))
    make_log_key(settings, make_name("half.example"))

    exercise.create(settings, origin="whole.example", keep=lambda _identity: None)

    found = open_hub(settings)
    found.start()
    assert found.name.startswith("whole.example-")
    found.stop()


def test_first_key_is_an_administrators(tmp_path: Path, few: Template) -> None:
    """The first key of a hub is an administrator's."""
    settings = read_settings({}, data=str(tmp_path / "hub"))
    name = make_name("first.example")
    key = make_log_key(settings, name)
    identity = few.identities["my-police"]
    session = Session(identity, State(":memory:", log_key=identity.hub.log_key))
    payload = {"act": "revoke", "kid": identity.key.kid, "reason": "unspecified", "since": 0}

    with pytest.raises(MalformedLine, match="The first key of a hub is an administrator's"):
        open_log(settings, name, key, session.sign_line(KEY, canonical(payload)).raw)


def test_first_events(small: Settings) -> None:
    """A new hub's log begins with its opening and its first administrator, signed."""
    found = open_hub(small)
    found.start()
    with found.store.read() as conn:
        kinds = list(conn.execute(text("SELECT kind FROM event ORDER BY seq")).scalars())
        sizes = list(conn.execute(text("SELECT size FROM checkpoint")).scalars())
    admins = found.directory.admins
    found.stop()

    assert (["log.opened", "key.enrolled", "key.approved"], [3]) == (kinds, sizes)
    assert {"admin/registrar"} == admins
    assert not found.directory.two_person


def test_one_process_a_directory(small: Settings) -> None:
    """A database of SQLite is served by one process; once that ends another may."""
    if Store(small.database).is_shared:
        pytest.skip("about SQLite")
    first = open_hub(small)

    with pytest.raises(BadSettings, match="Another process serves the hub"):
        open_hub(small)
    first.stop()
    open_hub(small).stop()


def test_start_of_another_version(small: Settings) -> None:
    """A database of another version is not served."""
    found = open_hub(small)
    with found.store.write() as conn:
        conn.execute(text("UPDATE alembic_version SET version_num = '0000'"))

    with pytest.raises(BadSettings, match="run `lintas-broker migrate`"):
        found.start()
    found.stop()


def test_init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`init` makes hub and first administrator, and prints the log's verifier key."""
    data = tmp_path / "hub"

    code, out, err = run(
        monkeypatch, capsys, "init", "--data", str(data), "--origin", "init.example", "--admin", "chief"
    )

    settings = read_settings({}, data=str(data))
    identity = load_identity(data / "admins" / "chief.json", (data / "passphrase").read_bytes().strip())
    assert (0, "") == (code, err)
    assert read_log_key(settings.log_key_file).verifier.text() in out
    assert "admin/chief" == identity.party
    assert identity.hub.name in out


def test_init_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A second `init` is refused, and the first administrator's identity still opens."""
    arguments = ("init", "--data", str(tmp_path), "--origin", "init.example")
    run(monkeypatch, capsys, *arguments)

    code, _, err = run(monkeypatch, capsys, *arguments)

    assert (cli.EXIT_REFUSED, True) == (code, "there is a hub here already" in err)
    identity = load_identity(tmp_path / "admins" / "registrar.json", (tmp_path / "passphrase").read_bytes().strip())
    assert "admin/registrar" == identity.party


@pytest.mark.parametrize("admin", ["Chief", "../x", ""])
def test_init_with_a_malformed_post(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], admin: str
) -> None:
    """An administrator's post that cannot be a name makes no hub."""
    arguments = ("init", "--data", str(tmp_path / "hub"), "--origin", "init.example", "--admin", admin)

    code, _, err = run(monkeypatch, capsys, *arguments)

    assert (cli.EXIT_REFUSED, True) == (code, "lower-case letters" in err)
    assert not (tmp_path / "hub" / "log.key").exists()


def test_fsck(
    few: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`fsck` tells what it checked; at a fault it names it and exits with 3."""
    data = few.copy(tmp_path / "hub")

    good = run(monkeypatch, capsys, "fsck", "--data", str(data))
    store = Store(read_settings({}, data=str(data)).database)
    with store.write() as conn:
        conn.execute(text("UPDATE event SET time = 5 WHERE seq = 7"))
    store.close()
    bad = run(monkeypatch, capsys, "fsck", "--data", str(data))

    assert (0, True, "") == (good[0], "all consistent\nroot " in good[1], good[2])
    assert (cli.EXIT_LOG_BROKEN, "") == bad[:2]
    assert "the log does not verify: Row 7: the columns differ" in bad[2]


def test_fsck_of_invented_evidence(
    few: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A start on a directory that does not follow from its lines exits with 3 as well."""
    data = few.copy(tmp_path / "hub")
    store = Store(read_settings({}, data=str(data)).database)
    with store.write() as conn:
        conn.execute(text("DELETE FROM line WHERE seq = 1"))
    store.close()

    code, _, err = run(monkeypatch, capsys, "serve", "--data", str(data), "--port", "0")

    assert (cli.EXIT_LOG_BROKEN, True) == (code, "the log does not verify" in err)


def test_migrate(small: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`migrate` brings a database to this version and says so."""
    code, out, _ = run(monkeypatch, capsys, "migrate", "--data", str(small.data))

    assert (0, "The database is at this version's schema; 0 bulletins are in the index.\n") == (code, out)


@pytest.mark.parametrize("command", ["serve", "fsck", "migrate"])
def test_command_without_a_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """A command that finds no hub is refused with the way out."""
    code, _, err = run(monkeypatch, capsys, command, "--data", str(tmp_path))

    assert (cli.EXIT_REFUSED, True) == (code, "lintas-broker: No hub at" in err)


def test_wrong_usage(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage exits with 2 and shows what is missing."""
    code, _, err = run(monkeypatch, capsys, "init")

    assert (2, True) == (code, "--origin" in err)


def test_interrupted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An interrupted command exits with 130."""

    def interrupt(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "read_settings", interrupt)

    assert 130 == run(monkeypatch, capsys, "fsck")[0]


@pytest.mark.parametrize("command", ["serve", "purge", "migrate", "fsck"])
def test_database_away(
    few: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """A command waits a while for a database server, then says that none answers, without the password."""
    data = few.copy(tmp_path / "hub")
    monkeypatch.setattr(engine, "WAIT_S", 0.0)
    monkeypatch.setenv("LINTAS_DATABASE", "postgresql://lintas:geheim@127.0.0.1:1/lintas")

    code, _, err = run(monkeypatch, capsys, command, "--data", str(data))

    assert (cli.EXIT_REFUSED, True, True) == (code, "LINTAS_DATABASE does not answer: " in err, "refused" in err)
    assert "geheim" not in err


def test_waiting_is_said_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """That a database is waited for, and why, is told once, not with each attempt."""
    monkeypatch.setattr(engine, "WAIT_S", 0.2)
    monkeypatch.setattr(engine, "PAUSE_S", 0.01)
    store = Store("postgresql://lintas:geheim@127.0.0.1:1/lintas")

    with pytest.raises(BadSettings, match="LINTAS_DATABASE does not answer"):
        store.wait()

    assert [True] == ["refused" in each for each in caplog.messages if each.startswith("waiting for the database: ")]
    assert "geheim" not in caplog.text
    store.close()


def test_database_comes(databases: Databases, tmp_path: Path) -> None:
    """A database that comes a little later is waited for."""
    if not databases.is_postgres:
        pytest.skip("SQLite needs no server; run with --postgres")
    data = databases.new(tmp_path / "hub")
    databases.forget(tmp_path)
    store = Store(read_settings({}, data=str(data)).database)
    waiting = threading.Thread(target=store.wait)
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()

    databases.new(data)

    waiting.join(10)
    assert not waiting.is_alive()
    store.close()


def test_port_in_use(few: Template, tmp_path: Path) -> None:
    """A hub that cannot listen exits with 1 and leaves the directory to others."""
    data = few.copy(tmp_path / "hub")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "broker", "serve", "--data", str(data), "--port", str(port)]

        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert (1, True) == (ended.returncode, "address already in use" in ended.stderr)
    open_hub(read_settings({}, data=str(data))).stop()


def test_database_that_does_not_answer(
    few: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A hub whose database does not answer says so in one line, and leaves the directory to others."""
    data = few.copy(tmp_path / "hub")
    monkeypatch.setattr("broker.store.engine.WAIT_S", 0.1)
    monkeypatch.setenv("LINTAS_DATABASE", "postgresql://nobody:secret-word@127.0.0.1:1/nowhere")
    monkeypatch.setenv("LINTAS_PORT", "0")
    code, _, said = run(monkeypatch, capsys, "serve", "--data", str(data))
    told = [line for line in said.splitlines() if line.startswith("lintas-broker:")]

    assert (1, 1) == (code, len(told))
    assert "LINTAS_DATABASE does not answer" in told[0]
    assert "secret-word" not in said
    open_hub(read_settings({}, data=str(data))).stop()


def test_figures_at_a_port_in_use(
    few: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A hub that cannot tell its figures where it should does not start, and names the address."""
    data = few.copy(tmp_path / "hub")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("LINTAS_METRICS", address)
        monkeypatch.setenv("LINTAS_PORT", "0")

        code, _, said = run(monkeypatch, capsys, "serve", "--data", str(data))

    assert (1, True) == (code, f"LINTAS_METRICS: cannot listen on {address}" in said)


def test_exercise(region_template: Path) -> None:
    """`exercise` makes identity files of every simulated agency and two administrators, all private."""
    agencies, admins = region_template / "agencies", region_template / "admins"

    assert {f"{agency}.json" for agency in vocabulary.load().agencies} == {path.name for path in agencies.iterdir()}
    assert {"registrar.json", "auditor.json"} == {path.name for path in admins.iterdir()}
    assert all(path.stat().st_mode & 0o077 == 0 for path in region_template.rglob("*.json"))


def test_exercise_twice(small: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`exercise` never replaces a hub."""
    code, _, err = run(monkeypatch, capsys, "exercise", "--data", str(small.data))

    assert (cli.EXIT_REFUSED, True) == (code, "there is a hub here already" in err)


def test_exercise_says_what_is_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`exercise` tells how to serve what it made."""
    monkeypatch.setattr(exercise, "_enrol", nobody)

    code, out, _ = run(monkeypatch, capsys, "exercise", "--data", str(tmp_path))

    assert (0, True) == (code, f"lintas-broker serve --data {tmp_path}" in out)
    assert (tmp_path / "admins" / "registrar.json").exists()


async def nobody(desks: exercise.Desks, *_: object) -> list[Identity]:
    """Enrol nobody beside the first administrator."""
    await desks.close()
    return desks.identities


def test_bar_is_silent_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Piped output has no progress bar."""
    with cli._bar("checking") as progress:
        progress(1, 2)
    cli._status()("text")

    assert ("", "") == tuple(capsys.readouterr())


def test_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """On a terminal long work shows how far it is."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with cli._bar("checking") as progress:
        progress(1, 2)
        progress(2, 2)
    with cli._bar("nothing"):
        pass
    cli._status()("enrolling")

    shown = capsys.readouterr().err
    assert "checking" in shown
    assert "enrolling" in shown


def test_module_is_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`python -m broker` is `lintas-broker`."""
    monkeypatch.setattr(sys, "argv", ["lintas-broker", "--help"])

    runpy.run_module("broker", run_name="__main__")

    assert "Run a Lintas hub." in capsys.readouterr().out


def test_unreadable_log_key(small: Settings) -> None:
    """A log key that is damaged is an error of Lintas, never a crash."""
    small.log_key_file.write_text("PRIVATE+KEY+nonsense")
    small.log_key_file.chmod(0o600)

    with pytest.raises(LintasError):
        open_hub(small)
