"""One hub: its parts wired together by hand."""

from __future__ import annotations

import fcntl
import secrets
import string
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from broker import matching, reindex
from broker.auth import Tokens
from broker.batch import Batch, Head
from broker.keyfile import read_log_keys
from broker.lifecycle import Expiry
from broker.outside import Outside
from broker.replica import Replica
from broker.retention import Retention, step
from broker.rollup import Rollup
from broker.secret import HubSecret, read_secret
from broker.settings import Settings
from broker.signer import LogSigner
from broker.store import log, migrate
from broker.store.engine import READERS, Connection, Store
from broker.strangers import Strangers
from broker.tally import Tally
from broker.wakeup import Wakeup
from broker.witnesses import read_policy
from broker.writer import Writer
from lintas import note
from lintas.clock import Clock, now_us
from lintas.decide import changes, check_signatures
from lintas.directory import Directory
from lintas.epoch import origin_of
from lintas.errors import BadSettings, LogBehind, MalformedLine
from lintas.event import US_PER_S
from lintas.header import KEY, is_hub
from lintas.keys import write_private
from lintas.line import parse
from lintas.quorum import Policy

NAME_SUFFIX_CHARACTERS = 8
FIRST_EPOCH = 1


@dataclass(frozen=True, slots=True)
class Hub:
    """A hub that is open. `readers` are the threads that read the database.

    `lock` keeps other processes away from an SQLite database; `replica` hears of those that share a Postgres.

    `witnesses` is the policy by which a checkpoint counts as witnessed, `tally` what was counted since it was opened.
    """

    settings: Settings
    clock: Clock
    secret: HubSecret
    store: Store
    signer: LogSigner
    strangers: Strangers
    retention: Retention
    wakeup: Wakeup
    tally: Tally
    witnesses: Policy
    writer: Writer
    replica: Replica
    tokens: Tokens
    readers: ThreadPoolExecutor
    lock: IO[str] | None

    @property
    def directory(self) -> Directory:
        """The directory as of the last commit."""
        return self.writer.directory

    @property
    def name(self) -> str:
        """The hub's name, the `aud` of every line."""
        return self.directory.hub

    def now(self) -> int:
        """Return the time in Unix seconds."""
        return self.clock() // US_PER_S

    def start(self) -> None:
        """Check the tail of the log, then begin to accept. Call it once, after any fork.

        A database behind what was published is served read-only: what is in it can be looked at and compared.
        """
        self.store.wait()
        with self.store.read() as conn:
            migrate.check_current(conn)
            reindex.check(conn, self.secret.index_key)
        try:
            self.signer.start()
        except LogBehind as behind:
            self.writer.start_halted(behind)
        else:
            self.writer.start()
        self.replica.start()

    def stop(self) -> None:
        """Finish what is queued, then close."""
        self.writer.stop()
        self.close()

    def close(self) -> None:
        """Close the database and let other processes at it."""
        self.replica.stop()
        self.readers.shutdown()
        self.store.close()
        if self.lock is not None:
            self.lock.close()


def open_hub(settings: Settings, clock: Clock = now_us) -> Hub:
    """Wire a hub from its settings; raise BadSettings when there is none at the data directory."""
    keys = read_log_keys(settings.log_key_file)
    witnesses = read_policy(settings.witnesses, *(key.verifier for key in keys))
    store = Store(settings.database)
    if store.is_shared and not settings.secret_file.exists():
        raise BadSettings(
            f"{settings.secret_file} is missing: copy it from another replica, or run `lintas-broker migrate`."
        )
    lock = None if store.file is None else _lock(store.file.with_suffix(".lock"))
    secret = read_secret(settings.secret_file)
    signer = LogSigner(store, keys[0], Outside(settings.checkpoint), lambda: read_log_keys(settings.log_key_file))
    strangers, retention, wakeup, tally = Strangers(clock), Retention(settings.purge_after_days), Wakeup(), Tally()
    due = (strangers.record, Expiry().record, retention.record, matching.Ticker().record, tally.see, Rollup().record)
    writer = Writer(store, signer, clock, index_key=secret.index_key, due=due)
    writer.on_commit += [wakeup.tell, tally.committed]
    writer.on_batch.append(tally.took)
    return Hub(
        settings=settings,
        clock=clock,
        secret=secret,
        store=store,
        signer=signer,
        strangers=strangers,
        retention=retention,
        wakeup=wakeup,
        tally=tally,
        witnesses=witnesses,
        writer=writer,
        replica=Replica(store, writer, wakeup),
        tokens=Tokens(),
        readers=ThreadPoolExecutor(READERS, thread_name_prefix="lintas-reader"),
        lock=lock,
    )


def purge_all(hub: Hub, progress: Callable[[str], None]) -> int:
    """Purge everything that is to be purged, step by step; return how many bulletins. The hub is started."""
    run = hub.writer.submit(hub.retention.begin).result().value
    while not run.is_over:
        hub.writer.submit(lambda batch: step(batch, run)).result()
        progress(f"purged {run.purged} bulletins")
    return run.purged


def make_name(origin: str) -> str:
    """Return a hub name: the origin and eight random characters, so that two hubs of one origin never mix."""
    alphabet = string.ascii_lowercase + string.digits
    name = f"{origin}-" + "".join(secrets.choice(alphabet) for _ in range(NAME_SUFFIX_CHARACTERS))
    if not is_hub(name):
        raise BadSettings("An origin is a host name in lower case: letters, digits, dots, hyphens, at most 64.")
    return name


def make_log_key(settings: Settings, name: str, *, epoch: int = FIRST_EPOCH) -> note.SignerKey:
    """Make the key of a new log and write it to the data directory; refuse to where there is a log with events."""
    settings.data.mkdir(parents=True, exist_ok=True)
    if _has_hub(settings):
        raise BadSettings(f"{settings.data} or its database: there is a hub here already.")
    key = note.SignerKey.from_seed(origin_of(name, epoch), secrets.token_bytes(32))
    # A key alone is what a command leaves that was killed before the log's first transaction.
    write_private(settings.log_key_file, key.text().encode() + b"\n")
    return key


def _has_hub(settings: Settings) -> bool:
    with closing(Store(settings.database)) as store, store.read() as conn:
        if migrate.revision(conn) is None:
            return False
        # One of another version is not looked into.
        return not migrate.is_current(conn) or log.head(conn)[0] > 0


def open_log(settings: Settings, name: str, key: note.SignerKey, admin_line: bytes, clock: Clock = now_us) -> None:
    """Make the database and the first events: the log, and the key of its first administrator."""
    line = parse(admin_line, KEY)
    if not line.header.iss.startswith("admin/"):
        raise MalformedLine("The first key of a hub is an administrator's.", member="iss")

    def write(conn: Connection) -> None:
        batch = Batch(conn, Head.load(conn), Directory(name), now_us=clock())
        batch.append("log.opened", "*", detail={"hub": name, "log_key": key.verifier.text()})
        check_signatures(batch.directory, line)
        seqs = [batch.change(change, object_id=line.id) for change in changes(batch.directory, line, now=batch.now)]
        batch.keep(line, seqs[0])
        batch.finish()

    begin_log(settings, key, write)


def begin_log(settings: Settings, key: note.SignerKey, write: Callable[[Connection], None]) -> None:
    """Make the database, have its first rows written, sign the first checkpoint."""
    # With the hub, not with its first start: replicas copy it.
    read_secret(settings.secret_file)
    with closing(Store(settings.database)) as store:
        with store.write() as conn:
            # Schema and first events in one transaction: there is a whole hub or none.
            migrate.upgrade(conn)
            write(conn)
        signer = LogSigner(store, key, Outside(settings.checkpoint))
        signer.start()
        signer.sign_new()


def _lock(path: Path) -> IO[str]:
    # One process serves an SQLite database: a second one would hear of nothing that the first accepts.
    try:
        file = path.open("w")
    except OSError as fault:
        raise BadSettings(f"{path} cannot be written: {fault.strerror}.") from fault
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as fault:
        file.close()
        raise BadSettings(
            f"Another process serves the hub at {path.parent}: stop it, or move the hub to Postgres."
        ) from fault
    return file


def read_log_key(path: Path) -> note.SignerKey:
    """Read a key of the log, the one that signs or signed last; raise BadSettings when none is there for us alone."""
    return read_log_keys(path)[0]
