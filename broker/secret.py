"""The hub's own secret, from which the keys that are not the log's are derived.

One file beside the log key (mode 0600): 32 random bytes in hex. Losing it loses no bulletin and no proof: indexes are
made anew with another one, and partners learn another webhook key. Replicas of one hub share it.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from lintas.errors import BadSettings
from lintas.keys import write_private

SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class HubSecret:
    """The secret in memory. `index_key` hides indicator values in indexes; `webhook_seed` signs what is pushed."""

    index_key: bytes = field(repr=False)
    webhook_seed: bytes = field(repr=False)

    @classmethod
    def derive(cls, secret: bytes) -> HubSecret:
        """Derive every key from the 32 bytes of the file (RFC 5869)."""
        return cls(index_key=_expand(secret, "index"), webhook_seed=_expand(secret, "webhook"))


def read_secret(path: Path) -> HubSecret:
    """Read the secret, or make it when there is none yet; raise BadSettings when others can read it."""
    if not path.exists():
        write_private(path, secrets.token_hex(SECRET_BYTES).encode() + b"\n")
    if path.stat().st_mode & 0o077:
        raise BadSettings(f"{path} can be read by others: run `chmod 600` on it, and consider the secret known.")
    try:
        secret = bytes.fromhex(path.read_text().strip())
    except ValueError as fault:
        raise BadSettings(f"{path} is not the hub's secret: 64 hexadecimal digits.") from fault
    if len(secret) != SECRET_BYTES:
        raise BadSettings(f"{path} is not the hub's secret: 64 hexadecimal digits.")
    return HubSecret.derive(secret)


def _expand(secret: bytes, name: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=f"lintas/{name}/1".encode()).derive(secret)
