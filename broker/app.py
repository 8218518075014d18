"""The composition root: one FastAPI application over one hub."""

from __future__ import annotations

from importlib.metadata import version

from fastapi import FastAPI
from starlette.routing import Route

from broker.hub import Hub
from broker.streams import Streams
from broker.web import admin, bulletins, docs, http, log, openapi, operations, partners


def build_app(hub: Hub) -> FastAPI:
    """Wire the HTTP surface over a hub that the caller starts, after any fork, and stops."""
    app = _new()
    app.state.hub = hub
    app.state.body_room = http.BodyRoom()
    app.state.streams = Streams(hub)
    return _routes(app)


def _new() -> FastAPI:
    # FastAPI's own pages fetch script from elsewhere; ours is broker.web.docs.
    return FastAPI(
        title="Lintas",
        version=version("lintas"),
        description="A regional intelligence-sharing broker. All agencies and bulletins are simulated.",
        docs_url=None,
        redoc_url=None,
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
