"""The shortest way to the endpoint that publishes.

Routing, with what frameworks put around an endpoint, costs as much as checking a signature. So the innermost layer
before the router hands these requests to their endpoint itself; the route stays for whoever lists routes. Outer layers
(whatever the application adds, and the answer to a crash) apply as to every request.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from broker.web.bulletins import publish
from broker.web.http import refusal_of
from lintas.errors import LintasError

PATH = "/v1/bulletins"
ROUTE = Route(PATH, publish, methods=["POST"])


class Direct:
    """Publishes; everything else goes on to the router. Add it before any other layer: the first is the innermost."""

    def __init__(self, app: ASGIApp) -> None:
        """Take what is next for all other requests."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a post of bulletins, refusals as the application answers them."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] != PATH:
            return await self._app(scope, receive, send)
        # What was asked is counted by its route.
        scope["route"] = ROUTE
        request = Request(scope, receive, send)
        try:
            response = await publish(request)
        except LintasError as error:
            response = await refusal_of(request, error)
        return await response(scope, receive, send)
