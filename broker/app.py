"""The composition root: one FastAPI application over one hub."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from starlette.routing import Route

from broker.hub import Hub
from broker.outbound import Outbound
from broker.streams import Streams
from broker.web import (
    admin,
    bulletins,
    direct,
    docs,
    exchange,
    http,
    log,
    matching,
    openapi,
    operations,
    partners,
    readers,
    subscriptions,
)
from broker.web import webhooks as webhooks_page
from broker.webhooks import Webhooks

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def build_app(hub: Hub, outbound: Outbound | None = None) -> FastAPI:
    """Wire the HTTP surface over a hub that the caller starts, after any fork, and stops.

    `outbound` calls the webhooks; without it the hub's settings make one.
    """
    app = _new(_pushing(hub, outbound))
    app.state.hub = hub
    app.state.body_room = http.BodyRoom()
    app.state.streams = Streams(hub)
    return _routes(app)


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
    # FastAPI's own pages fetch script from elsewhere; ours is broker.web.docs.
    return FastAPI(
        title="Lintas",
        version=version("lintas"),
        description="A regional intelligence-sharing broker. All agencies and bulletins are simulated.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )


def _routes(app: FastAPI) -> FastAPI:
    http.install_problems(app)
    app.add_middleware(direct.Direct)
    # The hot paths skip FastAPI's own route handling, which costs more than a signature check.
    app.router.routes.append(Route("/v1/bulletins", bulletins.publish, methods=["POST"]))
    app.router.routes.append(Route("/v1/bulletins", bulletins.feed, methods=["GET"]))
    app.router.routes.append(Route("/v1/bulletins/{id}", bulletins.one, methods=["GET"]))
    app.router.routes.append(Route("/v1/bulletins/{id}/receipt", bulletins.receipt, methods=["GET"]))
    app.router.routes.append(Route("/v1/bulletins/{id}/thread", exchange.thread, methods=["GET"]))
    for module in (
        exchange,
        log,
        partners,
        subscriptions,
        readers,
        matching,
        webhooks_page,
        admin,
        operations,
        docs,
    ):
        app.include_router(module.router)
    openapi.install(app)
    return app
