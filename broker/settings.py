"""The hub's settings, read from the environment or one TOML file.

The environment wins over the file. The file is named by LINTAS_SETTINGS, else ``settings.toml`` in the data directory,
if it exists; its keys are the names below without the prefix, in lower case. docs/operate.md explains each one.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lintas.errors import BadSettings

PREFIX = "LINTAS_"
NAMES = ("LINTAS_DATA", "LINTAS_DATABASE", "LINTAS_CHECKPOINT", "LINTAS_HOST", "LINTAS_PORT", "LINTAS_LOG_LEVEL")
LEVELS = ("debug", "info", "warning", "error")
PORT_MAX = 65_535


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a hub process needs to know. `database` is an SQLAlchemy URL, `checkpoint` a file outside it."""

    data: Path
    database: str
    checkpoint: Path
    host: str = "127.0.0.1"
    port: int = 8470
    log_level: str = "info"

    @property
    def log_key_file(self) -> Path:
        """Where the log's signing key is kept (mode 0600)."""
        return self.data / "log.key"

    @property
    def secret_file(self) -> Path:
        """Where the hub's own secret is kept (mode 0600)."""
        return self.data / "hub.secret"


def read_settings(environ: Mapping[str, str] | None = None, **given: str | int | None) -> Settings:
    """Build the settings from what the command line gave, the environment, the file, the defaults, in this order."""
    env = os.environ if environ is None else environ
    asked = {name: str(value) for name, value in given.items() if value is not None}
    from_env = {name.removeprefix(PREFIX).lower(): env[name] for name in NAMES if env.get(name)}
    data = Path(asked.get("data") or from_env.get("data") or "lintas-data")
    values = _read_file(env.get("LINTAS_SETTINGS"), data) | from_env | asked
    return Settings(
        data=data,
        database=values.get("database") or f"sqlite:///{data / 'hub.db'}",
        checkpoint=Path(values.get("checkpoint") or data / "newest.checkpoint"),
        host=values.get("host") or "127.0.0.1",
        port=_port(values.get("port") or "8470"),
        log_level=_level(values.get("log_level") or "info"),
    )


def _read_file(named: str | None, data: Path) -> dict[str, str]:
    path = Path(named) if named else data / "settings.toml"
    if not named and not path.exists():
        return {}
    try:
        members = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as fault:
        raise BadSettings(f"The settings file {path} cannot be read: {fault}") from fault
    known = {name.removeprefix(PREFIX).lower() for name in NAMES} - {"data"}
    unknown = sorted(set(members) - known)
    if unknown:
        raise BadSettings(f"The settings file {path} has an unknown key: {unknown[0]}.")
    return {name: str(value) for name, value in members.items()}


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > PORT_MAX:
        raise BadSettings(f"LINTAS_PORT is a number from 0 to {PORT_MAX}.")
    return int(text)


def _level(text: str) -> str:
    if text not in LEVELS:
        raise BadSettings(f"LINTAS_LOG_LEVEL is one of {', '.join(LEVELS)}.")
    return text
