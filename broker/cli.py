"""The command `lintas-broker`, for the hub's own machine.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 the log does not verify. Of `status`: 0 in order, 1 wants
attention, 3 broken.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from broker import backup as backups
from broker import epoch as epochs
from broker import exercise as exercises
from broker import keyfile, status
from broker.demo import run_demo
from broker.fsck import Report, check_everything
from broker.hub import open_hub, purge_all, read_log_key
from broker.reindex import fits, reindex
from broker.secret import read_secret
from broker.serving import run_server
from broker.settings import Settings, read_settings
from broker.signer import read_keys
from broker.store import log, migrate, rollup
from broker.store.engine import DatabaseFault, Store
from lintas.clock import now_us
from lintas.errors import BadSettings, Evidence, LintasError, LogHalted, StorageUnreachable
from lintas.event import US_PER_S
from lintas.header import is_party
from lintas.keys import save_identity
from lintas.quorum import parse_policy

EXIT_REFUSED = 1
EXIT_LOG_BROKEN = 3

FILE = click.Path(path_type=Path, exists=True, dir_okay=False)

data_option = click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), help="The hub's directory (LINTAS_DATA)."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Run a Lintas hub.

    \b
    lintas-broker init --data hub --origin lintas.example
    lintas-broker serve --data hub
    lintas-broker fsck --data hub
    """


@cli.command()
@data_option
@click.option("--origin", required=True, help="The hub's public host name, such as lintas.example.")
@click.option("--admin", default="registrar", show_default=True, help="The first administrator's post.")
def init(data: Path | None, origin: str, admin: str) -> None:
    """Make a new hub: database, log key, first administrator.

    Prints the log's verifier key: give it to partners over another channel than the network.

    \b
    Example: lintas-broker init --data hub --origin lintas.example
    """
    settings = read_settings(data=str(data) if data else None)
    party = f"admin/{admin}"
    if not is_party(party):
        raise BadSettings("An administrator's post is lower-case letters, digits and hyphens.")
    passphrase = exercises.make_passphrase(settings.data / "passphrase")
    path = exercises.identity_path(settings.data, party)
    created = exercises.create(
        settings, origin=origin, admin=party, keep=lambda identity: save_identity(path, identity, passphrase)
    )
    click.echo(f"hub        {created.hub.name}\nlog key    {created.hub.log_key}")
    click.echo(f"admin      {path} (passphrase in {settings.data / 'passphrase'}; move both to the administrator)")
    click.echo(f"next       lintas-broker serve --data {settings.data}")


@cli.command()
@data_option
@click.option("--host", help="Address to listen on (LINTAS_HOST).")
@click.option("--port", type=int, help="Port to listen on (LINTAS_PORT).")
def serve(data: Path | None, host: str | None, port: int | None) -> None:
    """Serve a hub until interrupted; put a TLS proxy in front of it.

    \b
    Example: lintas-broker serve --data hub --host 127.0.0.1 --port 8470
    """
    run_server(read_settings(data=str(data) if data else None, host=host, port=port))


@cli.command("status")
@data_option
@click.option("--json", "is_json", is_flag=True, help="Write one JSON object.")
def status_command(data: Path | None, *, is_json: bool) -> None:
    """Show how a hub does, serving or stopped. Exit code 0: in order, 1: wants attention, 3: broken.

    \b
    Example: lintas-broker status --data hub
    """
    found = status.examine(read_settings(data=str(data) if data else None), now=now_us() // US_PER_S)
    if is_json:
        click.echo(json.dumps(status.as_json(found)))
    else:
        status.show(found, click.echo)
    sys.exit({status.OK: 0, status.ATTENTION: EXIT_REFUSED, status.BROKEN: EXIT_LOG_BROKEN}[status.worst(found)])


@cli.command("migrate")
@data_option
@click.option("--recount", is_flag=True, help="Count the console's figures anew, when fsck says that they do not fit.")
def migrate_command(data: Path | None, *, recount: bool) -> None:
    """Bring the database of a hub to this version's schema, and make its index of indicators anew.

    Back it up first, and stop the hub. Run it too when hub.secret was lost. It may run again, and twice at once.
    """
    settings = read_settings(data=str(data) if data else None)
    read_log_key(settings.log_key_file)
    key = read_secret(settings.secret_file).index_key
    with _store(settings) as store, store.write() as conn, _bar("indexing") as progress:
        if not recount and migrate.is_current(conn) and fits(conn, key):
            click.echo("The database is at this version's schema already.")
            return
        migrate.upgrade(conn)
        size, _ = log.head(conn)
        if recount:
            rollup.recount(conn, size)
        counted = reindex(conn, key, now=now_us() // US_PER_S, progress=lambda seq: progress(seq + 1, size))
    click.echo(f"The database is at this version's schema; {counted} bulletins are in the index.")


@cli.group("log-key")
def log_key() -> None:
    """Change the key that the log is signed with.

    \b
    lintas-broker log-key new --data hub       # then two administrators: lintas admin log-key KEY
    lintas-broker log-key retire --data hub    # after the overlap
    """


@log_key.command("new")
@data_option
def log_key_new(data: Path | None) -> None:
    """Make the log's next key beside the present one, and print the line that administrators order it with.

    It signs nothing until two of them did. Replicas need the same log.key file before that.

    \b
    Example: lintas-broker log-key new --data hub
    """
    path = read_settings(data=str(data) if data else None).log_key_file
    click.echo(
        f"The next key is in {path}. Copy that file to every replica; then two administrators order it:", err=True
    )
    click.echo(keyfile.add_log_key(path).verifier.text())


@log_key.command("retire")
@data_option
def log_key_retire(data: Path | None) -> None:
    """Destroy the private keys that sign the log no more, once the overlap is over. Run it at every replica.

    \b
    Example: lintas-broker log-key retire --data hub
    """
    settings = read_settings(data=str(data) if data else None)
    with _store(settings) as store, store.read() as conn:
        migrate.check_current(conn)
        known, (size, time) = read_keys(conn), log.head(conn)
    assert known is not None
    number = keyfile.retire_log_keys(settings.log_key_file, known, size=size, second=time // US_PER_S)
    click.echo(f"{number} former key{'' if number == 1 else 's'} destroyed; {known.newest.text()} signs")
    if len(known.signing(size, time // US_PER_S)) > 1:
        until = datetime.fromtimestamp(known.entries[-1].until, UTC)
        click.echo(f"the former key signs too until the first event after {until:%Y-%m-%dT%H:%M:%SZ}", err=True)


@cli.command("new-epoch")
@data_option
@click.option("--former", required=True, metavar="DATABASE", help="What is left: a backup, a hub.db, or an address.")
@click.option("--checkpoint", type=FILE, help="Where the former log ends.")
@click.option("--policy", type=FILE, help="Who must have cosigned that (a tlog-policy).")
def new_epoch(data: Path | None, former: str, checkpoint: Path | None, policy: Path | None) -> None:
    """Begin the log anew, with a key of its own, when the former key is in other hands or published rows are lost.

    Makes a hub of the same name in an empty directory and database, with the partners, keys and grants of the former
    log at its end: --checkpoint, or the newest one in DATABASE that the witnesses of --policy cosigned. What came later
    is void. Partners follow once they were told the new key and ran `lintas epoch`: read docs/operate.md first.

    \b
    Example: lintas-broker new-epoch --data hub-2 --former hub.backup --policy witnesses.policy
    """
    settings = read_settings(data=str(data) if data else None)
    asked = None if policy is None else parse_policy(policy.read_bytes())
    quoted = None if checkpoint is None else checkpoint.read_bytes()
    with _bar("checking") as progress:
        begun = epochs.begin(settings, former, quoted=quoted, policy=asked, progress=progress)
    epochs.show(begun, click.echo)
    click.echo(f"next       tell partners the log key over another channel; lintas-broker serve --data {settings.data}")


@cli.command()
@data_option
def fsck(data: Path | None) -> None:
    """Re-derive everything from the stored rows and name the first fault. Exit code 3 if there is one."""
    settings = read_settings(data=str(data) if data else None)
    key = read_log_key(settings.log_key_file).verifier
    with _store(settings) as store, _bar("checking") as progress:
        report = check_everything(store, key, progress)
    _tell_whole("checked", report)


@cli.command()
@data_option
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The new file to write.")
def backup(data: Path | None, out: Path) -> None:
    """Save every row of a hub, serving or not, into one SQLite file, and verify it. Keys are not in it.

    \b
    Example: lintas-broker backup --data hub --out hub-2026-11-27.backup
    """
    settings = read_settings(data=str(data) if data else None)
    key = read_log_key(settings.log_key_file).verifier
    with _store(settings) as store:
        _tell_whole("saved", backups.save(store, out, key, _counting()))


@cli.command()
@data_option
@click.argument("source", type=FILE)
def restore(data: Path | None, source: Path) -> None:
    """Restore a backup into the empty database of a data directory that has the hub's keys, and verify it.

    A hub whose database is older than what it published serves read-only: see docs/operate.md before you go on.

    \b
    Example: lintas-broker restore --data hub hub-2026-11-27.backup
    """
    settings = read_settings(data=str(data) if data else None)
    key = read_log_key(settings.log_key_file).verifier
    _tell_whole("restored", backups.load(source, settings.database, key, _counting()))


@cli.command()
@data_option
@click.option("--to", "target", required=True, help="An empty database: postgresql://USER@HOST/NAME")
def move(data: Path | None, target: str) -> None:
    """Copy a stopped hub into another database, log and receipts intact, and verify it there.

    Then set LINTAS_DATABASE to it, and never serve the old one again.

    \b
    Example: lintas-broker move --data hub --to postgresql://lintas@db.example/lintas
    """
    settings = read_settings(data=str(data) if data else None)
    hub = open_hub(settings)
    try:
        with hub.replica.alone():
            report = backups.transfer(hub.store, target, hub.signer.verifier, _counting())
    finally:
        hub.close()
    _tell_whole("moved", report)


def _tell_whole(done: str, report: Report) -> None:
    click.echo(f"{done}: {report.size} events, {report.checkpoints} checkpoints, {report.lines} lines: all consistent")
    click.echo(f"root {report.root.hex()}")
    if report.former is not None:
        click.echo(f"log {report.origin}, after {report.former.origin} ended at {report.former.size} entries")


def _counting() -> Callable[[str, int], None]:
    show = _status()
    return lambda table, rows: show(f"{table}: {rows} rows")


@cli.command("purge")
@data_option
def purge_command(data: Path | None) -> None:
    """Purge the content of everything that ended long enough ago; the hub must be stopped.

    A hub that is served does the same by itself, once a day. Killed at any moment it leaves every step whole.

    \b
    Example: lintas-broker purge --data hub
    """
    settings = read_settings(data=str(data) if data else None)
    hub = open_hub(settings)
    try:
        hub.start()
        purged = purge_all(hub, progress=_status())
    finally:
        hub.stop()
    click.echo(f"{purged} bulletins purged that ended {settings.purge_after_days} days ago, or were ordered to be")


@cli.command()
@data_option
def exercise(data: Path | None) -> None:
    """Make a hub with two administrators and every simulated agency enrolled.

    Identity files: DATA/admins/<name>.json and DATA/agencies/<id>.json, all opened by DATA/passphrase.

    \b
    Example: lintas-broker exercise --data hub && lintas-broker serve --data hub
    """
    settings = read_settings(data=str(data) if data else None)
    exercises.run(settings, progress=_status())
    click.echo(f"A hub with all simulated agencies is at {settings.data}.")
    click.echo(f"next  lintas-broker serve --data {settings.data}")


@cli.command()
@data_option
@click.option("--once", is_flag=True, envvar="ONCE", help="Exit when the demonstration is over (ONCE=1).")
def demo(data: Path | None, *, once: bool) -> None:
    """Show the whole of Lintas on this machine: publish, receive, verify, refuse, prove.

    In a terminal it keeps serving and prints what to try; otherwise, or with --once, it exits 0 only if every
    check held.
    """
    keep_serving = sys.stdout.isatty() and not once
    sys.exit(run_demo(data, keep_serving=keep_serving, status=_status()))


class _store:  # noqa: N801 - used as a function
    """Open the store of a hub for one command."""

    def __init__(self, settings: Settings) -> None:
        self._store = Store(settings.database)

    def __enter__(self) -> Store:
        self._store.wait()
        return self._store

    def __exit__(self, *_: object) -> None:
        self._store.close()


class _bar:  # noqa: N801 - used as a function
    """A progress bar on a terminal, nothing when piped."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._bar: Any = None

    def __enter__(self) -> Callable[[int, int], None]:
        return self._move

    def _move(self, done: int, length: int) -> None:
        if not sys.stderr.isatty():
            return
        if self._bar is None:
            self._bar = click.progressbar(length=length, label=self._label, file=sys.stderr)
        self._bar.update(done - self._bar.pos)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.render_finish()


def _status() -> Callable[[str], None]:
    def show(text: str) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r\x1b[2K{text}", nl=False, err=True)

    return show


def main() -> None:
    """Run the command; a LintasError becomes one line on standard error and an exit code."""
    # What is written here is keys, bulletins, receipts: for this user alone.
    os.umask(0o077)
    try:
        cli(prog_name="lintas-broker", standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as fault:
        fault.show()
        sys.exit(fault.exit_code)
    except (LogHalted, Evidence) as fault:
        click.echo(f"lintas-broker: the log does not verify: {fault}", err=True)
        sys.exit(EXIT_LOG_BROKEN)
    except (DatabaseFault, StorageUnreachable) as fault:
        # One line: from the second on a driver quotes rows.
        first = next(iter(str(fault.__cause__ or fault).splitlines()), type(fault).__name__)
        click.echo(f"lintas-broker: the database does not answer, or refuses: {first}", err=True)
        sys.exit(EXIT_REFUSED)
    except LintasError as fault:
        click.echo(f"lintas-broker: {fault}", err=True)
        sys.exit(EXIT_REFUSED)
