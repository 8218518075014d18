"""Answering by what the log says now, also when another replica of this hub said it.

A replica that does not hear the others, or has just heard of a change that it does not know yet, looks at the log
before it answers. So does one that is about to refuse somebody because of a key it does not know: that key may have
been enrolled at another replica a moment ago.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from broker import read_tokens
from broker.delivery import in_reader, submit
from broker.hub import Hub
from broker.store import log
from broker.web.charging import limits_of, source_of
from broker.web.http import problem
from lintas.directory import Directory
from lintas.errors import LintasError, Refusal, UnknownKey

PROBES = frozenset({"/healthz", "/readyz"})
"""What says how this replica does, not what the hub knows."""

T = TypeVar("T")


class Current:
    """A layer of the application; it does nothing for a hub without replicas."""

    def __init__(self, app: ASGIApp, hub: Hub) -> None:
        """Take what answers."""
        self._app = app
        self._hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer once this replica is current; refuse when it cannot be."""
        app = self._app
        if scope["type"] == "http" and self._hub.store.is_shared and scope["path"] not in PROBES:
            try:
                await self._look(Request(scope))
            except Refusal as refusal:
                app = problem(refusal)
        await app(scope, receive, send)

    async def _look(self, request: Request) -> None:
        hub = self._hub
        is_known = _is_known(hub, request.headers.get("authorization"))
        # A stranger from an address in debt is refused anyway, and shall not cost a look at the log.
        if not hub.replica.is_current or not (is_known or limits_of(request).is_in_debt(source_of(request))):
            await catch_up(hub)


def _is_known(hub: Hub, authorization: str | None) -> bool:
    if authorization is None:
        return True
    token = read_tokens.text_of(authorization)
    if token is not None:
        return read_tokens.is_known(token, hub.directory)
    try:
        hub.tokens.caller(authorization, hub.directory, hub.now())
    except LintasError:
        return False
    return True


async def catch_up(hub: Hub) -> bool:
    """Bring the directory to where the log is now; tell whether it was behind."""
    if not hub.store.is_shared:
        return False
    size, _ = await in_reader(hub, log.head)
    if size <= hub.writer.size:
        return False
    await submit(hub, lambda _batch: None)
    return True


async def opened(hub: Hub, open_posted: Callable[[Directory], T], *, inline: bool = False) -> T:
    """Open what was posted, in a reading thread unless `inline`; the key it is signed with may be new here."""

    async def attempt() -> T:
        directory = hub.directory
        if inline:
            return open_posted(directory)
        return await asyncio.get_running_loop().run_in_executor(hub.readers, open_posted, directory)

    try:
        return await attempt()
    except UnknownKey:
        if not await catch_up(hub):
            raise
        return await attempt()
