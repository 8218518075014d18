"""The newest checkpoint, kept outside the database.

A database restored from an old backup looks sound by itself; started, it would sign another history with the same key.
So each checkpoint is also written to a file that no backup of the database carries back (LINTAS_CHECKPOINT, best on
another disk), and a start demands that the database extends it.
"""

from __future__ import annotations

import errno
import secrets
from pathlib import Path

from lintas.errors import BadSettings, StorageFull, StorageUnreachable

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
RETRY_AFTER_S = 30


class Outside:
    """The file. Written by the writer's thread alone."""

    def __init__(self, path: Path) -> None:
        """Take its place; nothing is read or written yet."""
        self._path = path
        # Replicas may share the place, each in a container where its process has the same number.
        self._mark = secrets.token_hex(4)

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

        Not synced: after a power cut an older one is there, as true.
        """
        aside = self._path.with_name(f".{self._path.name}.{self._mark}")
        try:
            aside.write_bytes(note)
            aside.replace(self._path)
        except OSError as fault:
            refusal = StorageFull if fault.errno in FULL else StorageUnreachable
            raise refusal(retry_after=RETRY_AFTER_S) from fault
