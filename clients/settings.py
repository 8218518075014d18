"""The one reader of the environment on the agency's side.

LINTAS_HUB (optional: the address in the identity is used without it), LINTAS_IDENTITY, LINTAS_PASSPHRASE_FILE,
LINTAS_POLICY (optional: a tlog-policy file, by default the one beside the identity if there is one), LINTAS_CA
(optional: certificates that alone may vouch for the hub's TLS certificate).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lintas import Client
from lintas.errors import BadPolicy, BadSettings
from lintas.log_keys import LogKeys
from lintas.quorum import Policy, for_log, parse_policy

HUB = "LINTAS_HUB"
IDENTITY = "LINTAS_IDENTITY"
PASSPHRASE_FILE = "LINTAS_PASSPHRASE_FILE"  # noqa: S105 - the name of a variable

POLICY = "LINTAS_POLICY"
CA = "LINTAS_CA"

PASSPHRASE_BYTES_MAX = 4096
"""No passphrase is longer; a wrong path to something large is noticed."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Which identity acts, what opens it, at which address its hub is (None: the one in the identity).

    `ca` is a file with the certificates that alone may vouch for the hub's; None: the usual authorities may.
    """

    hub: str | None
    identity: Path
    passphrase: bytes = field(repr=False)
    ca: Path | None = None


def read_settings(
    environ: Mapping[str, str] | None = None,
    *,
    prompt: Callable[[str], str] | None = None,
    identity: Path | None = None,
) -> Settings:
    """Read the settings; raise BadSettings naming the variable.

    `prompt` asks for the passphrase when no file is named; `identity` is a file named on the command line.
    """
    given = os.environ if environ is None else environ
    identity = identity or Path(given.get(IDENTITY, ""))
    if identity == Path():
        raise BadSettings(f"{IDENTITY} is not set: name the identity file to act with.")
    hub = given.get(HUB) or None
    if hub is not None and not hub.startswith(("http://", "https://")):
        raise BadSettings(f"{HUB} is not an address that begins with http:// or https://.")
    return Settings(hub, identity, _passphrase(given, identity, prompt), read_ca(given))


def read_ca(environ: Mapping[str, str] | None = None) -> Path | None:
    """Return the file with the certificates that alone may vouch for the hub's, None for the usual authorities."""
    named = (os.environ if environ is None else environ).get(CA)
    return Path(named) if named else None


def read_passphrase(path: Path) -> bytes:
    """Read a passphrase file without the line end; raise BadSettings when it cannot be read or holds none."""
    try:
        with path.open("rb") as file:
            data = file.read(PASSPHRASE_BYTES_MAX + 1)
    except OSError as fault:
        raise BadSettings(f"{PASSPHRASE_FILE}: {path} cannot be read: {fault.strerror}.") from fault
    passphrase = data.rstrip(b"\r\n")
    if not passphrase or len(data) > PASSPHRASE_BYTES_MAX:
        raise BadSettings(f"{PASSPHRASE_FILE}: {path} holds no passphrase of 1 to {PASSPHRASE_BYTES_MAX} bytes.")
    return passphrase


def open_client(settings: Settings, *, origin: str | None = None) -> Client:
    """Open the identity with the state beside it, that of the epoch `origin` if named; raise BadIdentity."""
    return Client.open(settings.identity, settings.passphrase, hub=settings.hub, ca=settings.ca, origin=origin)


def read_policy(log_keys: LogKeys, environ: Mapping[str, str] | None = None) -> Policy | None:
    """Read the policy for the log of these keys; None when none is named and none stands beside the identity.

    Raises BadPolicy.
    """
    given = os.environ if environ is None else environ
    path = Path(given.get(POLICY) or Path(given.get(IDENTITY, "")).with_suffix(".policy"))
    if not given.get(POLICY) and not path.exists():
        return None
    try:
        return for_log(parse_policy(path.read_bytes()), *log_keys.keys)
    except OSError as fault:
        raise BadPolicy(f"{POLICY}: {path} cannot be read: {fault.strerror}.") from fault
    except BadPolicy as fault:
        raise BadPolicy(f"{POLICY}: {path}: {fault.detail}") from fault


def _passphrase(given: Mapping[str, str], identity: Path, prompt: Callable[[str], str] | None) -> bytes:
    path = given.get(PASSPHRASE_FILE)
    if path:
        return read_passphrase(Path(path))
    if prompt is None:
        raise BadSettings(f"{PASSPHRASE_FILE} is not set: name the file with the passphrase of the identity.")
    return prompt(f"Passphrase of {identity}").encode()
