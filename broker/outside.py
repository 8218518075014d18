"""The newest checkpoint, kept outside the database.

A database restored from an old backup looks sound by itself; started, it would sign another history with the same key.
So each checkpoint is also written to a file that no backup of the database carries back (LINTAS_CHECKPOINT, best on
another disk), and a start demands that the database extends it.
"""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path

from lintas.errors import BadSettings, StorageFull, StorageUnreachable

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
RETRY_AFTER_S = 30

SECTOR_BYTES = 512
"""What every disk writes whole or not at all."""


class Outside:
    """The file. Written by the writer's thread alone."""

    def __init__(self, path: Path) -> None:
        """Take its place; nothing is read or written yet."""
        self._path = path
        # Replicas may share the place, each in a container where its process has the same number.
        self._mark = secrets.token_hex(4)
        self._size_bytes = 0

    def read(self) -> bytes | None:
        """Return the note that is kept, None before the first; raise BadSettings when the file cannot be read."""
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as fault:
            raise BadSettings(f"The checkpoint kept at {self._path} cannot be read: {fault.strerror}.") from fault

    def keep(self, note: bytes) -> None:
        """Replace what is kept, whole or not at all; raise StorageFull or StorageUnreachable.

        Not synced: after a power cut an older one is there, as true. One note follows another of the same length
        nearly always, and both fit one sector, which is written whole: it is written over. A new file in its place
        would cost a flush of the disk for every commit.
        """
        try:
            if len(note) == self._size_bytes <= SECTOR_BYTES:
                self._write_over(note)
                return
            aside = self._path.with_name(f".{self._path.name}.{self._mark}")
            aside.write_bytes(note)
            aside.replace(self._path)
        except OSError as fault:
            refusal = StorageFull if fault.errno in FULL else StorageUnreachable
            raise refusal(retry_after=RETRY_AFTER_S) from fault
        self._size_bytes = len(note)

    def _write_over(self, note: bytes) -> None:
        # Opened each time: a file system of another machine sends what was written when it is closed.
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.write(file, note)
        finally:
            os.close(file)
