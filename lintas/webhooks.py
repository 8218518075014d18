"""A webhook call, signed by the hub.

Calls follow Standard Webhooks: the headers `webhook-id`, `webhook-timestamp`, `webhook-signature`, the latter
``v1a,<base64>`` of Ed25519 over ``id.timestamp.body``. There is no shared secret: the hub publishes its key
(``whpk_...``) in ``/.well-known/lintas``. A call is proof that the hub sent it, nothing more: a line in it is verified
like any other. Also here: which addresses an agency may name. One pattern reads them, so that no two parsers can
disagree about the host.
Spec: docs/spec/webhooks.md; https://www.standardwebhooks.com.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lintas import ed25519
from lintas.errors import BadRequest, BadSignature, FromTheFuture, MalformedPayload, Stale
from lintas.header import BULLETIN
from lintas.line import Line, parse
from lintas.strict import b64u, parse_object

URL_CHARACTERS_MAX = 512
"""Longer than any path with a key in it."""

TOLERANCE_S = 300
"""How far the clocks of hub and receiver may differ: what was sent earlier is a replay."""

SIGNATURES_MAX = 8
"""Signatures of one call that are looked at: two while a key changes, some of other schemes."""

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
SCHEME = "v1a,"
KEY_PREFIX = "whpk_"
PORTS = {"https": 443, "http": 80}
PORT_MAX = 65_535
NAME_CHARACTERS_MAX = 253

_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# The last label begins with a letter: what is spelt in numbers must be an address as ipaddress reads it.
_NAME = re.compile(rf"(?:{_LABEL}\.)*[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])?")
_TARGET = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*"
_URL = re.compile(rf"(https?)://(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::([1-9][0-9]{{0,4}}))?((?:/|\?){_TARGET})?", re.ASCII)
_CALL_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_TIME = re.compile(r"[0-9]{1,12}")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a webhook goes. `host` has no brackets; `target` is what stands in the request line: path, query."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Call:
    """A call whose signature and time are good. Either a `line` (its own signature not yet checked) or `members`."""

    id: str
    time: int
    line: Line | None
    members: Mapping[str, Any]


def read_url(url: str) -> Address:
    """Read where a webhook goes; raise MalformedPayload for anything but a plain http or https URL.

    No user, no fragment, lower-case host, names beyond ASCII as A-labels (``xn--...``).
    """
    found = _URL.fullmatch(url) if len(url) <= URL_CHARACTERS_MAX else None
    if found is None:
        raise MalformedPayload(f"`url` is an https address of at most {URL_CHARACTERS_MAX} characters.", member="url")
    scheme, host, port, target = found.groups()
    number = int(port) if port else PORTS[scheme]
    if number > PORT_MAX or not (_is_name(host) or _is_literal(host)):
        raise MalformedPayload("`url` has no valid host and port.", member="url")
    target = target or "/"
    return Address(scheme, host.strip("[]"), number, target if target.startswith("/") else f"/{target}")


def call_id(agency: str, subscription: str, subject: str) -> str:
    """Return the id of a call: the same for the same subject of the same webhook, however often it is tried."""
    return "msg_" + b64u(hashlib.sha256(f"{agency}/{subscription}/{subject}".encode()).digest()[:24])


def sign_call(seed: bytes, *, call: str, time: int, body: bytes) -> dict[str, str]:
    """Return the three headers of a call, signed with the hub's webhook key."""
    signature = base64.b64encode(ed25519.sign(seed, _signed(call, str(time), body))).decode()
    return {ID: call, TIMESTAMP: str(time), SIGNATURE: SCHEME + signature}


def key_text(public: bytes) -> str:
    """Write a public key as it is published: ``whpk_`` and base64."""
    return KEY_PREFIX + base64.b64encode(public).decode()


def open_webhook(headers: Mapping[str, str], body: bytes, key: str, now: int) -> Call:
    """Return what the hub sent at most five minutes ago.

    `key` is the hub's ``webhook_key``; header names count in any case. Raises BadRequest for a header that is missing
    or malformed, BadSignature, Stale or FromTheFuture, MalformedLine or MalformedPayload for a body that is neither a
    line nor an object. The same call may come again: what was taken over before is known by its `id`.
    """
    given = {name.lower(): value for name, value in headers.items()}
    call, stamp = given.get(ID, ""), given.get(TIMESTAMP, "")
    if not _CALL_ID.fullmatch(call):
        raise BadRequest(f"The header {ID} is missing or malformed.", member=ID)
    if not _TIME.fullmatch(stamp):
        raise BadRequest(f"The header {TIMESTAMP} is missing or malformed.", member=TIMESTAMP)
    public, signed = _read_key(key), _signed(call, stamp, body)
    if not any(ed25519.verify(public, each, signed) for each in _signatures(given.get(SIGNATURE, ""))):
        raise BadSignature("The call was not signed by this hub.", member=SIGNATURE)
    if int(stamp) < now - TOLERANCE_S:
        raise Stale("The call was sent more than five minutes ago.", member=TIMESTAMP)
    if int(stamp) > now + TOLERANCE_S:
        raise FromTheFuture("The call is dated in the future; set your clock right.", member=TIMESTAMP)
    return _opened(call, int(stamp), body)


def _opened(call: str, time: int, body: bytes) -> Call:
    if not body.startswith(b"{"):
        return Call(call, time, parse(body, BULLETIN), {})
    try:
        return Call(call, time, None, parse_object(body))
    except ValueError as fault:
        raise MalformedPayload("The body is not one strict JSON object.") from fault


def _signatures(text: str) -> list[bytes]:
    found = []
    for each in text.split(" ")[:SIGNATURES_MAX]:
        if each.startswith(SCHEME):
            try:
                found.append(base64.b64decode(each.removeprefix(SCHEME), validate=True))
            except ValueError:
                continue
    return found


def _read_key(text: str) -> bytes:
    try:
        public = base64.b64decode(text.removeprefix(KEY_PREFIX), validate=True)
    except ValueError:
        public = b""
    if not text.startswith(KEY_PREFIX) or len(public) != ed25519.KEY_BYTES:
        raise BadRequest("The webhook key is `whpk_` and the base64 of 32 bytes.", member="key")
    return public


def _signed(call: str, stamp: str, body: bytes) -> bytes:
    return f"{call}.{stamp}.".encode() + body


def _is_name(host: str) -> bool:
    return len(host) <= NAME_CHARACTERS_MAX and _NAME.fullmatch(host) is not None


def _is_literal(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return (address.version == 6) == host.startswith("[")  # noqa: PLR2004 - IPv6
