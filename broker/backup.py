"""Saving a hub, restoring it elsewhere, moving it to another database.

A backup is one SQLite file with every row, taken from one snapshot while the hub serves; it counts as made once it was
re-derived whole. Keys are not in it: whoever holds a backup can read clear bulletins, but cannot sign as the log. A
restored or moved hub is the same hub: same name, same log, same receipts.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from broker.fsck import Report, check_everything
from broker.store import migrate
from broker.store.copying import Progress, copy_rows
from broker.store.engine import Store
from lintas import note
from lintas.errors import BadSettings


def save(store: Store, target: Path, key: note.VerifierKey, progress: Progress) -> Report:
    """Write a backup to a new file and verify it; nothing is left there when it fails."""
    if target.exists():
        raise BadSettings(f"{target} exists; a backup never overwrites another.")
    aside = target.with_name(f".{target.name}.part")
    aside.unlink(missing_ok=True)
    try:
        report = transfer(store, f"sqlite:///{aside}", key, progress)
        aside.replace(target)
    finally:
        for leftover in aside.parent.glob(f"{aside.name}*"):
            leftover.unlink()
    return report


def load(source: Path, url: str, key: note.VerifierKey, progress: Progress) -> Report:
    """Restore a backup into an empty database and verify it there."""
    if not source.is_file():
        raise BadSettings(f"There is no backup at {source}.")
    with closing(Store(f"sqlite:///{source}")) as store:
        return transfer(store, url, key, progress)


def transfer(source: Store, url: str, key: note.VerifierKey, progress: Progress) -> Report:
    """Copy a hub into an empty database, made on the way, and verify what arrived; raise LogHalted unless whole."""
    with closing(Store(url)) as target:
        with source.read() as rows, target.write() as conn:
            migrate.check_current(rows)
            migrate.upgrade(conn)
            copy_rows(rows, conn, progress)
        return check_everything(target, key, lambda _done, _all: None)
