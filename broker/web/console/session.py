"""Whose browser asks: the cookie, where the request came from, the record of each page."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping

from fastapi import Request, Response

from broker import sessions
from broker.batch import Batch
from broker.delivery import in_reader, submit
from broker.hub import Hub
from broker.sessions import Visitor
from broker.store.sessions import Session, session_of
from broker.web.charging import hold, limits_of, source_of
from broker.web.console.rendering import VISITOR
from broker.web.http import check_params, hub_of
from broker.writer import Done
from lintas.errors import NotAllowed, Refusal

COOKIE = "__Host-lintas"
"""The prefix makes browsers take it over TLS alone (or on their own machine), for this host, for all paths."""

OWN_SITES = frozenset({"same-origin", "none"})
"""What a browser says of a request that a page of ours made, or its user by hand."""


def check_site(request: Request) -> None:
    """Refuse what another site made a browser ask, and what does not say where it comes from."""
    if request.headers.get("sec-fetch-site") not in OWN_SITES:
        raise NotAllowed("The console answers only its own pages. Type its address, or use a current browser over TLS.")


async def visitor_of(request: Request, params: Collection[str] = (), repeatable: Collection[str] = ()) -> Visitor:
    """Return who looks, charged for a read; raise Unauthorized when nobody is signed in.

    `params` are the query parameters that the page knows, `repeatable` those that may be given more than once.
    """
    check_site(request)
    cookie = request.cookies.get(COOKIE, "")
    hub, limits = hub_of(request), limits_of(request)
    limits.check_address(source_of(request))
    digest, browser = sessions.digest(cookie), browser_of(request)
    found = await in_reader(hub, lambda conn: session_of(conn, digest)) if cookie else None
    reason = sessions.session_fault(found, hub.directory, browser, hub.now())
    if found is None or reason is not None:
        if found is not None:
            await submit(hub, lambda batch: sessions.see(batch, _visitor(found, browser)))
        raise sessions.refusal_for(reason or "expired")
    visitor = _visitor(found, browser)
    limits.check_reads(visitor.party)
    limits.charge_reads(visitor.party)
    hold(request, limits.begin_read(visitor.party))
    request.scope[VISITOR] = visitor
    check_params(request, params, repeatable)
    return visitor


def operator_visitor(visitor: Visitor) -> Visitor:
    """Return the visitor if it signed in as operator; raise NotAllowed."""
    if not visitor.is_operator:
        raise NotAllowed("Only operators see this page: `lintas admin open --operator`.", member="role")
    return visitor


async def record_view(
    hub: Hub, visitor: Visitor, view: str, facts: Mapping[str, object] | None = None, *, kind: str | None = None
) -> Done[int]:
    """Record that a page is shown, before it is; return the index of the event under its checkpoint.

    The session is looked at again in the log's own order: one that was ended meanwhile sees nothing. `facts` join the
    detail: routing facts only, never free text. `kind` replaces `admin.viewed` or `view.read`.
    """

    def job(batch: Batch) -> int | Refusal:
        refusal = sessions.see(batch, visitor)
        if refusal is not None:
            return refusal
        if visitor.is_admin:
            hub.strangers.record_all(batch)
        found = kind or ("admin.viewed" if visitor.is_admin else "view.read")
        return batch.append(found, visitor.party, detail={"view": view, "by": "console", **(facts or {})})

    return await submit(hub, job)


def browser_of(request: Request) -> bytes:
    """Return the digest of what the browser calls itself."""
    return hashlib.sha256(request.headers.get("user-agent", "").encode()).digest()


def set_cookie(response: Response, value: str) -> None:
    """Give the browser its cookie, until it is closed."""
    response.set_cookie(COOKIE, value, secure=True, httponly=True, samesite="strict", path="/")


def drop_cookie(response: Response) -> None:
    """Have the browser forget its cookie."""
    response.delete_cookie(COOKIE, secure=True, httponly=True, samesite="strict", path="/")


def _visitor(found: Session, browser: bytes) -> Visitor:
    return Visitor(found.party, found.kid, found.role, found.digest, browser, found.begun)
