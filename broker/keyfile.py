"""The private keys of the log, one a line in a file of mode 0600.

There is one, or two from the making of the next one until the former is destroyed. Which of them sign is for the log to
say (``lintas.log_keys``), never for the file: replicas that hold the same lines change over at the same index.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from lintas.errors import BadNote, BadSettings
from lintas.keys import SEED_BYTES, write_private
from lintas.log_keys import LogKeys
from lintas.note import SignerKey, parse_signer_key

KEYS_MAX = 2
"""One that signs, one that follows: a further one would be a secret without a use."""


def read_log_keys(path: Path) -> tuple[SignerKey, ...]:
    """Read the keys, oldest first; raise BadSettings when the file is missing or others can read it, or BadNote."""
    try:
        mode = path.stat().st_mode
        text = path.read_text()
    except OSError as fault:
        raise BadSettings(f"No hub at {path.parent}: make one with `lintas-broker init`.") from fault
    if mode & 0o077:
        raise BadSettings(f"{path} can be read by others: run `chmod 600` on it, and consider the key known.")
    lines = text.split()
    if not lines:
        raise BadNote(f"{path} holds no key.")
    return tuple(map(parse_signer_key, lines))


def add_log_key(path: Path) -> SignerKey:
    """Make the next key of the log beside the one that is there; it signs once two administrators ordered it."""
    keys = read_log_keys(path)
    if len(keys) >= KEYS_MAX:
        raise BadSettings(
            f"{path} holds {len(keys)} keys: after the rotation and its overlap run `lintas-broker log-key retire`."
        )
    new = SignerKey.from_seed(keys[-1].name, secrets.token_bytes(SEED_BYTES))
    _write(path, (*keys, new))
    return new


def retire_log_keys(path: Path, log_keys: LogKeys, *, size: int, second: int) -> int:
    """Destroy the keys that sign no more for a log that has grown to this size and second; return how many.

    Raises BadSettings, and destroys nothing, when the key that signs is not there.
    """
    keys = read_log_keys(path)
    signing = log_keys.signing(size, second)
    if log_keys.newest not in {key.verifier for key in keys}:
        raise BadSettings(f"{path} lacks the log's key {log_keys.newest.key_id.hex()}: put that line into it first.")
    former = [key for key in keys if key.verifier in log_keys.keys and key.verifier not in signing]
    if former:
        # Overwritten before it is replaced, for what little a disk promises; see docs/operate.md for the backups.
        path.write_bytes(bytes(path.stat().st_size))
        _write(path, [key for key in keys if key not in former])
    return len(former)


def _write(path: Path, keys: tuple[SignerKey, ...] | list[SignerKey]) -> None:
    write_private(path, "".join(f"{key.text()}\n" for key in keys).encode())
