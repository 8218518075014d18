"""What a client asks of a hub beside bulletins: how its webhooks do, a link to the console."""

from __future__ import annotations

import re
from typing import Any

from lintas.errors import HubUnreachable
from lintas.request import Operation, Request, Response, expect, read
from lintas.session import Session
from lintas.strict import Json, canonical, parse_object

_SIGN_IN = re.compile(r"/console/sign-in/[A-Za-z0-9_-]{43}")


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


def open_console(session: Session, role: str | None) -> Operation[str]:
    """Ask for a link that signs a browser in, and return its address at the hub that this identity is for."""
    headers = {"Authorization": f"Bearer {session.token()}"}
    body = canonical({"role": role} if role else {})
    response = yield Request("POST", "/v1/console/links", body, "application/json", headers)
    path = _object(expect(response, 201)).get("path")
    if not isinstance(path, str) or not _SIGN_IN.fullmatch(path):
        raise HubUnreachable("The hub's answer is no link to its console.")
    return session.identity.hub.url + path


def _object(response: Response) -> Json:
    try:
        return parse_object(response.body)
    except ValueError as fault:
        raise HubUnreachable(f"The hub's answer cannot be read: {fault!s:.200}") from fault
