"""Where a gateway stands: its files beside the identity, what it listens on."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from lintas.errors import BadSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The identity that a gateway keeps its files beside, its address, its spool if it has one."""

    identity: Path
    host: str = "127.0.0.1"
    port: int = 8490
    spool: Path | None = None


def beside(identity: Path, suffix: str) -> Path:
    """Return a file of the gateway beside an identity: ``my-police.gateway``, ``my-police.gateway.tokens``."""
    return identity.with_suffix(f".gateway{suffix}")


def take(path: Path) -> int:
    """Take a lock file until it is closed; raise BadSettings when another gateway has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as fault:
        os.close(descriptor)
        raise BadSettings(f"Another gateway runs with this identity: it holds {path}.") from fault
    return descriptor
