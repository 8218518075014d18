"""Every page of the console."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from broker.web.charging import public
from broker.web.console import audit, bulletins, integrity, live, overview, partners, sign_in, static, system
from broker.web.console.headers import headers_of
from broker.web.console.rendering import Page
from lintas.errors import NotFound

ROUTERS = (
    overview.router,
    audit.router,
    integrity.router,
    live.router,
    bulletins.router,
    partners.router,
    system.router,
    sign_in.pages,
    static.router,
)
"""The routers with pages, in any order."""

FIRST = "/console/"


def console_router() -> APIRouter:
    """Return the router of the whole console; what is unknown under its address is answered last, by a page too."""
    router = APIRouter()
    for each in ROUTERS:
        router.include_router(each)
    router.include_router(_last)
    return router


def console_paths() -> frozenset[str]:
    """Return the addresses that have pages."""
    return frozenset(route.path for router in ROUTERS for route in router.routes if isinstance(route, Page))


_last = APIRouter(route_class=Page)


@_last.get("/console")
async def first(request: Request) -> Response:
    """Lead to the first page."""
    public(request)
    return Response(status_code=303, headers=headers_of(request) | {"Location": FIRST})


@_last.get("/console/{rest:path}")
async def unknown(request: Request, rest: str) -> Response:
    """Answer that there is no such page."""
    del rest
    public(request)
    raise NotFound
