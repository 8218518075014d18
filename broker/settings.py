"""The hub's settings, read from the environment or one TOML file.

The environment wins over the file. The file is named by LINTAS_SETTINGS, else ``settings.toml`` in the data directory,
if it exists; its keys are the names below without the prefix, in lower case. docs/operate.md explains each one.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from broker.limits import Network, read_networks
from broker.reach import Allowed, read_allowed
from lintas.errors import BadSettings

PREFIX = "LINTAS_"
NAMES = (
    "LINTAS_DATA",
    "LINTAS_DATABASE",
    "LINTAS_CHECKPOINT",
    "LINTAS_HOST",
    "LINTAS_PORT",
    "LINTAS_LOG_LEVEL",
    "LINTAS_LOG_FORMAT",
    "LINTAS_METRICS",
    "LINTAS_DRAIN_S",
    "LINTAS_PURGE_AFTER_DAYS",
    "LINTAS_RATE_FACTOR",
    "LINTAS_TRUSTED_PROXY",
    "LINTAS_WEBHOOK_ALLOW",
    "LINTAS_WITNESSES",
)
LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("json", "text")
DRAIN_S_MAX = 300
"""Longer than any proxy needs to see that a hub is leaving."""

PORT_MAX = 65_535
RATE_FACTOR_MAX = 1_000
PURGE_AFTER_DAYS_MAX = 3_650
"""Ten years, the longest that any type of record is kept. A day at least: readers who look daily rely on it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a hub process needs to know. `database` is an SQLAlchemy URL, `witnesses` a tlog-policy file.

    `checkpoint` is a file outside the database, where the newest checkpoint is kept.
    Content is purged `purge_after_days` after its end. A `log_format` of None is chosen by where the log goes.
    Figures for monitoring are told at the address `metrics`. A hub told to stop goes on serving for `drain_s` seconds.
    `rate_factor` multiplies what an agency may ask, 0 sets no limit; `trusted_proxy` are the addresses whose
    X-Forwarded-For is believed.
    `webhook_allow` are the addresses that are called though they are not public, or without TLS.
    """

    data: Path
    database: str
    checkpoint: Path
    host: str = "127.0.0.1"
    port: int = 8470
    log_level: str = "info"
    log_format: str | None = None
    metrics: tuple[str, int] | None = None
    drain_s: int = 0
    purge_after_days: int = 30
    rate_factor: int = 1
    trusted_proxy: tuple[Network, ...] = ()
    webhook_allow: tuple[Allowed, ...] = ()
    witnesses: Path | None = None

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
        port=_number("LINTAS_PORT", values.get("port") or "8470", 0, PORT_MAX),
        log_level=_one_of("LINTAS_LOG_LEVEL", LEVELS, values.get("log_level") or "info"),
        log_format=_one_of("LINTAS_LOG_FORMAT", LOG_FORMATS, values["log_format"])
        if values.get("log_format")
        else None,
        metrics=_address(values["metrics"]) if values.get("metrics") else None,
        drain_s=_number("LINTAS_DRAIN_S", values.get("drain_s") or "0", 0, DRAIN_S_MAX),
        purge_after_days=_number(
            "LINTAS_PURGE_AFTER_DAYS", values.get("purge_after_days") or "30", 1, PURGE_AFTER_DAYS_MAX
        ),
        rate_factor=_number("LINTAS_RATE_FACTOR", values.get("rate_factor") or "1", 0, RATE_FACTOR_MAX),
        trusted_proxy=_networks(values.get("trusted_proxy") or ""),
        webhook_allow=_allowed(values.get("webhook_allow") or ""),
        witnesses=Path(values["witnesses"]) if values.get("witnesses") else None,
    )


def _read_file(named: str | None, data: Path) -> dict[str, str]:
    path = Path(named) if named else data / "settings.toml"
    if not named and not path.exists():
        return {}
    try:
        members = tomllib.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as fault:
        raise BadSettings(f"The settings file {path} cannot be read: {fault}") from fault
    known = {name.removeprefix(PREFIX).lower() for name in NAMES} - {"data"}
    unknown = sorted(set(members) - known)
    if unknown:
        raise BadSettings(f"The settings file {path} has an unknown key: {unknown[0]}.")
    return {name: str(value) for name, value in members.items()}


def _number(name: str, text: str, low: int, high: int) -> int:
    is_short = text.isascii() and text.isdigit() and len(text) <= len(str(high))
    if not is_short or not low <= int(text) <= high:
        raise BadSettings(f"{name} is a number from {low} to {high}.")
    return int(text)


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not host or not colon:
        raise BadSettings("LINTAS_METRICS is an address and a port, such as 127.0.0.1:9470.")
    return host.removeprefix("[").removesuffix("]"), _number("The port of LINTAS_METRICS", port, 0, PORT_MAX)


def _allowed(text: str) -> tuple[Allowed, ...]:
    try:
        return read_allowed(text)
    except ValueError as fault:
        raise BadSettings(f"LINTAS_WEBHOOK_ALLOW: {fault}; write host:port or network:port.") from fault


def _networks(text: str) -> tuple[Network, ...]:
    try:
        return read_networks(text)
    except ValueError as fault:
        raise BadSettings(f"LINTAS_TRUSTED_PROXY: {fault}; write addresses or networks.") from fault


def _one_of(name: str, allowed: Sequence[str], text: str) -> str:
    if text not in allowed:
        raise BadSettings(f"{name} is one of {', '.join(allowed)}.")
    return text
