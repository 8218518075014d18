"""The short way to the endpoint that publishes: nothing that stands around the router is left out."""

from __future__ import annotations

import pytest
from starlette.routing import Router
from starlette.types import Receive, Scope, Send

from broker.app import build_app
from broker.hub import Hub
from broker.web.direct import Direct
from tests.broker.conftest import Desks

ISSUER, READER = "my-police", "sg-fiu"


def test_innermost_layer(small_hub: Hub) -> None:
    """It is the layer next to the router: whatever else the application adds applies to posts of bulletins too."""
    innermost: object = build_app(small_hub).user_middleware[-1].cls

    assert innermost is Direct


def test_router_is_passed_by(desks: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """A post of a bulletin does not meet the router; any other request to its address does."""
    asked: list[str] = []
    route = Router.__call__

    async def meet(self: Router, scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(scope["method"])
        await route(self, scope, receive, send)

    monkeypatch.setattr(Router, "__call__", meet)

    posted, read = desks.post(desks.bulletin(ISSUER, [READER])), desks.get("/v1/bulletins", READER)

    assert (201, 200, ["GET"]) == (posted.status_code, read.status_code, asked)
