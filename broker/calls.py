"""What a webhook call says; when it is tried again.

Pure: rows of a feed and figures in, values out. Bulletins marked RED or AMBER+STRICT are named, not sent: what may not
be passed on freely within the agency does not go to any address of its choice.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from broker.delivery import Row
from broker.store.webhooks import ACTIVE, DEAD, Webhook
from lintas.header import BULLETIN
from lintas.line import parse
from lintas.strict import canonical, parse_object

NOTICE_TLP = frozenset({"RED", "AMBER+STRICT"})
LINE_MEDIA = f"application/{BULLETIN}"
JSON_MEDIA = "application/json"

DELAYS_S = (5, 30, 120, 600, 3_600, 10_800)
"""Pauses after the first failures; the last one is repeated. Each is spread, so that many do not come back at once."""

SPREAD = 0.2
"""A pause is up to this part longer or shorter."""

RETRY_AFTER_S_MAX = 6 * 3_600
"""How long a receiver may put the hub off at a time."""

DEAD_S = 3 * 86_400
"""After three days without success nobody is listening."""

GONE_STATUS = 410

NOT_DELIVERED, GONE, KEY_REVOKED = "not-delivered", "gone", "key-revoked"
"""The codes of failures. The first one covers whatever went wrong on the way: more would describe a network."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call to make. `subject` tells it from every other one of the same webhook."""

    subject: str
    media: str
    body: bytes
    headers: Mapping[str, str]


def as_pushed(row: Row) -> Row:
    """Return a row of a feed as a webhook may carry it: the line, a notice of it, or what became of it."""
    if row.is_line:
        header = parse(_line_of(row), BULLETIN).header
        if header.tlp not in NOTICE_TLP:
            return row
        notice = {"type": "bulletin.notice", "seq": row.seq, "id": row.id}
        facts = {"tlp": header.tlp, "urgency": header.urgency, "kind": header.kind}
        return row._replace(is_line=False, data=canonical(notice | facts))
    return row._replace(data=canonical({"type": "bulletin.state", **json.loads(row.data)}))


def call_of(row: Row) -> Call:
    """Return the call that carries a row made by `as_pushed`."""
    if row.is_line:
        marks = json.loads(row.data).get("marks", ())
        headers = {"Lintas-Seq": str(row.seq)} | ({"Lintas-Marks": ", ".join(marks)} if marks else {})
        return Call(row.id, LINE_MEDIA, _line_of(row), headers)
    # What was sent before and is recalled now is another subject, or receivers would take it for a repetition.
    members = json.loads(row.data)
    return Call(f"{row.id}/{members.get('state', 'notice')}", JSON_MEDIA, row.data, {})


def challenge(secret: str) -> Call:
    """Return the call that asks whether this receiver wants to be called."""
    body = canonical({"type": "webhook.challenge", "challenge": secret})
    return Call(f"challenge/{secret}", JSON_MEDIA, body, {})


def is_met(secret: str, body: bytes) -> bool:
    """Tell whether an answer proves the receiver: the challenge alone, or as the one member of a JSON object."""
    try:
        members = parse_object(body)
    except ValueError:
        told = body.strip()
    else:
        # A server that sends back whatever it gets has not agreed to anything.
        told = str(members["challenge"]).encode() if set(members) == {"challenge"} else b""
    return hmac.compare_digest(told, secret.encode())


def succeeded(hook: Webhook) -> Webhook:
    """Return the webhook after a call that was taken over."""
    return replace(hook, state=ACTIVE, tries=0, since=None, code=None, next_at=0)


def failed(hook: Webhook, *, now: int, gone: bool, wait_s: int | None, spread: float) -> Webhook:
    """Return the webhook after a call that was not: waiting for the next try, or dead.

    `wait_s` is what the receiver asked for, `spread` from -1 to 1 where in its range the pause lies.
    """
    since = now if hook.since is None else hook.since
    if gone or now - since >= DEAD_S:
        return replace(hook, state=DEAD, tries=hook.tries + 1, since=since, code=GONE if gone else NOT_DELIVERED)
    pause_s = DELAYS_S[min(hook.tries, len(DELAYS_S) - 1)] * (1 + SPREAD * spread)
    next_at = now + max(round(pause_s), min(wait_s or 0, RETRY_AFTER_S_MAX))
    return replace(hook, tries=hook.tries + 1, since=since, code=NOT_DELIVERED, next_at=next_at)


def revoked(hook: Webhook, *, now: int) -> Webhook:
    """Return the webhook after the key that ordered it was revoked."""
    return replace(hook, state=DEAD, since=now if hook.since is None else hook.since, code=KEY_REVOKED)


def _line_of(row: Row) -> bytes:
    line: str = json.loads(row.data)["line"]
    return line.encode()
