"""Where an agency's subscriptions are pushed to, as operations of its client."""

from __future__ import annotations

from typing import Any

from lintas.errors import HubUnreachable
from lintas.request import Operation, Request, Response, expect, read
from lintas.session import Session
from lintas.strict import Json, parse_object


def webhooks(session: Session) -> Operation[list[dict[str, Any]]]:
    """Read how this agency's webhooks do."""
    found = _object((yield from read(session, "/v1/webhooks"))).get("webhooks")
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise HubUnreachable("The hub's answer is no list of webhooks.")
    return found


def webhook_key() -> Operation[str]:
    """Read the key that signs the hub's calls. Nothing but the connection vouches for it: compare it once, keep it."""
    response = yield Request("GET", "/.well-known/lintas")
    return str(_object(expect(response, 200)).get("webhook_key", ""))


def _object(response: Response) -> Json:
    try:
        return parse_object(response.body)
    except ValueError as fault:
        raise HubUnreachable(f"The hub's answer cannot be read: {fault!s:.200}") from fault
