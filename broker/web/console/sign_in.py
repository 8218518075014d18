"""Signing in by a link, signing out.

The link is asked for with a token (`POST /v1/console/links`). Opening it shows whom it signs in and changes nothing, so
that a program that looks at links uses none up; only the button does.
"""

from __future__ import annotations

import re
import secrets
from typing import Any

from fastapi import APIRouter, Request, Response

from broker import sessions
from broker.batch import Batch
from broker.delivery import in_reader, submit, submit_as
from broker.store.sessions import link_of, session_of
from broker.web.charging import public
from broker.web.console.headers import headers_of
from broker.web.console.rendering import Page, render
from broker.web.console.session import COOKIE, browser_of, check_site, drop_cookie, set_cookie
from broker.web.http import (
    JSON_MEDIA,
    caller_of,
    check_params,
    expect_media,
    hub_of,
    json_response,
    read_body,
    rfc3339,
)
from lintas.errors import BadRequest
from lintas.event import US_PER_S
from lintas.strict import parse_object

BODY_BYTES_MAX = 1_024
FORM_MEDIA = "application/x-www-form-urlencoded"
HOME = "/console/"

_CODE = re.compile(r"[A-Za-z0-9_-]{43}")

router = APIRouter()
pages = APIRouter(route_class=Page)


@router.post(
    "/v1/console/links", tags=["console"], status_code=201, summary="A one-time link that signs in to the console"
)
async def links(request: Request) -> Response:
    """For the caller's own key, with the role it asks for. The link is good once, for a minute."""
    check_params(request, ())
    caller = caller_of(request)
    expect_media(request, {JSON_MEDIA})
    role = sessions.role_for(caller, _role(await read_body(request, BODY_BYTES_MAX)))
    code = secrets.token_urlsafe(sessions.CODE_BYTES)
    done = await submit_as(hub_of(request), caller, lambda batch: sessions.offer(batch, caller, role, code))
    members = {"path": f"/console/sign-in/{code}", "role": role, "until": rfc3339(done.value.end * US_PER_S)}
    return json_response(members, 201)


@pages.get("/console/sign-in/{code}")
async def ask(request: Request, code: str) -> Response:
    """Show whom a link signs in."""
    check_site(request)
    check_params(request, ())
    public(request)
    hub = hub_of(request)
    found = await in_reader(hub, lambda conn: link_of(conn, sessions.digest(code))) if _CODE.fullmatch(code) else None
    reason = "unknown" if found is None else sessions.link_fault(found, hub.directory, hub.now())
    if found is None or reason is not None:
        raise sessions.refusal_for(reason or "unknown")
    return render(request, "sign-in.html", link=found, life_h=sessions.LIFE_S // 3_600, idle_min=sessions.IDLE_S // 60)


@pages.post("/console/sign-in/{code}")
async def enter(request: Request, code: str) -> Response:
    """Use a link up; begin a session."""
    check_site(request)
    check_params(request, ())
    await _read_nothing(request)
    public(request)
    cookie, browser = secrets.token_urlsafe(sessions.CODE_BYTES), browser_of(request)
    await submit(hub_of(request), lambda batch: sessions.begin(batch, code, cookie, browser))
    response = _go_to(request, HOME)
    set_cookie(response, cookie)
    return response


@pages.post("/console/sign-out")
async def leave(request: Request) -> Response:
    """End the session, whether or not it was good for anything."""
    check_site(request)
    check_params(request, ())
    await _read_nothing(request)
    public(request)
    digest = sessions.digest(request.cookies.get(COOKIE, ""))

    def job(batch: Batch) -> None:
        found = session_of(batch.conn, digest)
        if found is not None:
            sessions.end(batch, found, sessions.SIGNED_OUT)

    await submit(hub_of(request), job)
    response = render(request, "signed-out.html")
    drop_cookie(response)
    return response


async def _read_nothing(request: Request) -> None:
    expect_media(request, {FORM_MEDIA})
    if await read_body(request, BODY_BYTES_MAX):
        raise BadRequest("This form has no fields.")


def _role(body: bytes) -> str | None:
    try:
        members: dict[str, Any] = parse_object(body)
    except ValueError as fault:
        raise BadRequest('Send an object, such as {"role":"reviewer"}.') from fault
    role = members.pop("role", None)
    if members or not isinstance(role, str | None):
        raise BadRequest("A link has a `role` and nothing else.", member="role")
    return role


def _go_to(request: Request, path: str) -> Response:
    return Response(status_code=303, headers=headers_of(request) | {"Location": path})
