"""The composition root: one FastAPI application over one hub."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from starlette.routing import Match, Route
from starlette.types import Scope

from broker.hub import Hub
from broker.limits import Limits
from broker.misp import Uuids
from broker.outbound import Outbound
from broker.settings import Settings
from broker.streams import Streams
from broker.web import (
    admin,
    bulletins,
    charging,
    direct,
    docs,
    exchange,
    http,
    log,
    matching,
    misp,
    openapi,
    operations,
    partners,
    read_tokens,
    readers,
    subscriptions,
)
from broker.web import webhooks as webhooks_page
from broker.web.console import sign_in
from broker.web.console.routes import console_paths, console_router
from broker.web.current import Current
from broker.webhooks import Webhooks

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def build_app(hub: Hub, outbound: Outbound | None = None, limits: Limits | None = None) -> FastAPI:
    """Wire the HTTP surface over a hub that the caller starts, after any fork, and stops.

    `outbound` calls the webhooks, `limits` bound what is asked; without them the hub's settings make them.
    """
    app = _new(_pushing(hub, outbound))
    app.state.hub = hub
    app.state.body_room = charging.BodyRoom()
    app.state.limits = limits or make_limits(hub.settings)
    app.state.streams = Streams(hub)
    app.state.misp_uuids = Uuids()
    app.state.misp_turns = misp.Turns()
    app.state.console_paths = console_paths()
    _routes(app)
    # Outermost: whatever answers comes after it.
    app.add_middleware(Current, hub=hub)
    return app


def make_limits(settings: Settings) -> Limits:
    """Return the limits that a hub's settings ask for."""
    return Limits(time.monotonic, factor=settings.rate_factor, trusted=settings.trusted_proxy)


def _pushing(hub: Hub, outbound: Outbound | None) -> Lifespan:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        webhooks = Webhooks(hub, outbound or Outbound(hub.settings.webhook_allow))
        webhooks.start()
        try:
            yield
        finally:
            await webhooks.stop()

    return lifespan


def _new(lifespan: Lifespan) -> FastAPI:
    # FastAPI's own pages fetch script from elsewhere; ours, with the document, is broker.web.docs.
    return FastAPI(
        title="Lintas",
        version=version("lintas"),
        description="A regional intelligence-sharing broker. All agencies and bulletins are simulated.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        # What a hub tells of itself is broker.metrics; asking for each request whether to tell others costs too much.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        lifespan=lifespan,
    )


def _routes(app: FastAPI) -> None:
    http.install_problems(app)
    # First, so that it is the innermost layer.
    app.add_middleware(direct.Direct)
    app.add_middleware(charging.Releasing)
    # The hot paths skip FastAPI's own route handling, which costs more than a signature check.
    app.router.routes.append(direct.ROUTE)
    app.router.routes.append(_Hot("/v1/bulletins", bulletins.feed, methods=["GET"]))
    app.router.routes.append(_Hot("/v1/bulletins/{id}", bulletins.one, methods=["GET"]))
    app.router.routes.append(_Hot("/v1/bulletins/{id}/receipt", bulletins.receipt, methods=["GET"]))
    app.router.routes.append(_Hot("/v1/bulletins/{id}/thread", exchange.thread, methods=["GET"]))
    for module in (
        exchange,
        log,
        partners,
        subscriptions,
        readers,
        matching,
        webhooks_page,
        read_tokens,
        misp,
        admin,
        operations,
        docs,
    ):
        app.include_router(module.router)
    app.include_router(sign_in.router)
    app.include_router(console_router())
    openapi.install(app)


class _Hot(Route):
    """A route that says which one it was, as FastAPI's own do: requests are counted by it."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child_scope = super().matches(scope)
        return match, {**child_scope, "route": self}
