"""The composition root: one FastAPI application over one hub."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from starlette.routing import Route

from broker.hub import Hub, open_hub
from broker.settings import Settings
from broker.web import admin, bulletins, docs, http, log, openapi, operations, partners
from lintas.clock import Clock, now_us


def build_app(settings: Settings, clock: Clock = now_us) -> FastAPI:
    """Wire a hub and its HTTP surface; the database is opened when the server starts, so after any fork."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        hub = open_hub(settings, clock)
        app.state.hub = hub
        hub.start()
        try:
            yield
        finally:
            hub.stop()

    return _routes(_new(lifespan=lifespan))


def serve_hub(hub: Hub) -> FastAPI:
    """Wire the HTTP surface over a hub that the caller starts and stops."""
    app = _new()
    app.state.hub = hub
    return _routes(app)


def _new(**options: Any) -> FastAPI:
    # FastAPI's own pages fetch script from elsewhere; ours is broker.web.docs.
    return FastAPI(
        title="Lintas",
        version=version("lintas"),
        description="A regional intelligence-sharing broker. All agencies and bulletins are simulated.",
        docs_url=None,
        redoc_url=None,
        **options,
    )


def _routes(app: FastAPI) -> FastAPI:
    http.install_problems(app)
    # The hot paths skip FastAPI's own route handling, which costs more than a signature check.
    app.router.routes.append(Route("/v1/bulletins", bulletins.publish, methods=["POST"]))
    app.router.routes.append(Route("/v1/bulletins", bulletins.feed, methods=["GET"]))
    app.router.routes.append(Route("/v1/bulletins/{id}", bulletins.one, methods=["GET"]))
    app.router.routes.append(Route("/v1/bulletins/{id}/receipt", bulletins.receipt, methods=["GET"]))
    for module in (log, partners, admin, operations, docs):
        app.include_router(module.router)
    openapi.install(app)
    return app
