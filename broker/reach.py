"""Which addresses the hub may call on an agency's behalf.

Pure. An agency names a host; what it resolves to is judged here. Only public addresses are called, so that nobody makes
the hub knock at doors of its operator's network; LINTAS_WEBHOOK_ALLOW opens single ones. Forms of IPv6 that carry an
IPv4 address inside are never public: a gateway may lead them anywhere.
Spec: docs/spec/webhooks.md; RFC 6890, RFC 6052.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from lintas.webhooks import PORT_MAX, Address

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NEVER_PUBLIC = tuple(
    map(
        ipaddress.ip_network,
        (
            "192.88.99.0/24",  # anycast of 6to4 relays
            "::/96",  # IPv4-compatible
            "::ffff:0:0/96",  # IPv4-mapped
            "::ffff:0:0:0/96",  # IPv4-translated
            "64:ff9b::/96",  # NAT64
            "64:ff9b:1::/48",  # NAT64 within a network
            "2001::/32",  # Teredo
            "2002::/16",  # 6to4
            "fec0::/10",  # site-local, of old
        ),
    )
)
"""What Python's `is_global` takes for public in some version, and must not be."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """One exception an operator makes: a host by name, or a network; always with its port."""

    host: str | None
    network: _Network | None
    port: int


def read_allowed(text: str) -> tuple[Allowed, ...]:
    """Read ``host:port`` or ``network:port``, separated by commas (``[fd00::/8]:443``); raise ValueError."""
    return tuple(_read_one(part.strip()) for part in text.split(",") if part.strip())


def may_be_plain(address: Address, allow: Sequence[Allowed]) -> bool:
    """Tell whether this may be called without TLS, as far as that is known before its name is resolved."""
    return _is_named(address, allow) or _is_inside(address.host, address.port, allow)


def reachable(address: Address, resolved: Sequence[str], allow: Sequence[Allowed]) -> tuple[str, ...]:
    """Return the addresses that may be called for a host that resolved to these: all of them, or none.

    One bad address among good ones is an attempt, not an accident.
    """
    if _is_named(address, allow):
        return tuple(resolved)
    is_inside = all(_is_inside(each, address.port, allow) for each in resolved)
    if address.scheme == "http" and not is_inside:
        return ()
    is_fit = all(is_public(each) or _is_inside(each, address.port, allow) for each in resolved)
    return tuple(resolved) if is_fit else ()


def is_public(text: str) -> bool:
    """Tell whether an IP address is one of the public Internet."""
    found = ipaddress.ip_address(text)
    if found.is_multicast or found.is_reserved or not found.is_global:
        return False
    return not any(found.version == network.version and found in network for network in _NEVER_PUBLIC)


def _read_one(text: str) -> Allowed:
    host, _, port = text.rpartition(":")
    if not port.isascii() or not port.isdigit() or not 0 < int(port) <= PORT_MAX or not host:
        raise ValueError(f"{text!r} is not a host or network with a port")
    bare = host.strip("[]")
    try:
        return Allowed(None, ipaddress.ip_network(bare), int(port))
    except ValueError:
        if "/" in bare or ":" in bare:
            raise
        return Allowed(bare.lower(), None, int(port))


def _is_named(address: Address, allow: Sequence[Allowed]) -> bool:
    return any(each.host == address.host and each.port == address.port for each in allow)


def _is_inside(text: str, port: int, allow: Sequence[Allowed]) -> bool:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return False
    return any(
        each.port == port
        and each.network is not None
        and each.network.version == found.version
        and found in each.network
        for each in allow
    )
