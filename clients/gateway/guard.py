"""Who on this machine may ask the gateway for what.

Two tokens, made at the first start and kept beside the identity: one that reads, one that also posts. A tool gives its
own as a password (Basic, any user name) or as it is (Bearer). Whatever comes from a browser is refused, also when a
foreign name was made to point to this machine (DNS rebinding).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lintas.errors import BadRequest, BadSettings, NotAllowed, Unauthorized
from lintas.keys import write_private
from lintas.strict import parse_object

READ, POST = "read", "post"
TOKEN_BYTES = 32
BROWSER_HEADERS = ("origin", "sec-fetch-site", "sec-fetch-mode")
"""Every browser sends one of these with what a page asks; no tool does."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """The secrets of this machine's tools; never printed."""

    read: str = field(repr=False)
    post: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Guard:
    """Lets a request in or raises a Refusal. `names` are the hosts, with port, by which tools may call the gateway."""

    tokens: Tokens
    names: frozenset[str]

    def admit(self, method: str, headers: Mapping[str, str]) -> None:
        """Raise BadRequest for a foreign name, NotAllowed for a browser or a token that only reads, Unauthorized."""
        if headers.get("host", "").lower() not in self.names:
            raise BadRequest("The Host of this request is not the gateway's. Call it by the address that it prints.")
        if any(name in headers for name in BROWSER_HEADERS):
            raise NotAllowed("The gateway serves tools, not pages in a browser.")
        given = _token(headers.get("authorization", ""))
        # Both are compared whatever comes, so that the time it takes tells nothing.
        may_post, may_read = (
            hmac.compare_digest(given, each.encode()) for each in (self.tokens.post, self.tokens.read)
        )
        if not may_post and not may_read:
            raise Unauthorized("The gateway's tokens are in the file that it names when it starts.")
        if method == "POST" and not may_post:
            raise NotAllowed("This token reads. Use the one that posts.")


def read_tokens(path: Path) -> Tokens:
    """Return the tokens of this file, made if it does not exist; raise BadSettings when others can read it."""
    if not path.exists():
        made = {name: f"lg_{name}_{secrets.token_urlsafe(TOKEN_BYTES)}" for name in (READ, POST)}
        write_private(path, json.dumps(made, indent=1).encode() + b"\n")
    if path.stat().st_mode & 0o077:
        raise BadSettings(f"{path} can be read by others: remove it and start again, which makes new tokens.")
    try:
        members = parse_object(path.read_bytes())
        found = Tokens(members[READ], members[POST])
    except (ValueError, KeyError) as fault:
        raise BadSettings(f"{path} does not hold the gateway's tokens: remove it and start again.") from fault
    if min(len(found.read), len(found.post)) < TOKEN_BYTES:
        raise BadSettings(f"{path} holds a token that could be guessed: remove it and start again.")
    return found


def check_loopback(host: str) -> str:
    """Return an address that only this machine reaches; raise BadSettings for any other."""
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError as fault:
        raise BadSettings(f"{host[:80]!r} is no address. The gateway listens on 127.0.0.1 or ::1.") from fault
    if not address.is_loopback:
        raise BadSettings(f"{host} can be reached from other machines. The gateway listens on 127.0.0.1 or ::1 only.")
    return str(address)


def names_of(host: str, port: int) -> frozenset[str]:
    """Return the names, as a Host header has them, of a gateway that listens there."""
    shown = f"[{host}]" if ":" in host else host
    return frozenset({f"{shown}:{port}", f"localhost:{port}"})


def _token(header: str) -> bytes:
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip().encode()
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(value.strip(), validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return b""
