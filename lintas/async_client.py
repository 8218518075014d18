"""The client for event loops: the same operations as `lintas.client.Client`, awaited.

One AsyncClient runs its operations one after another (a lock guards its state); open several for more at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx

from lintas import feed, sync, wire, witness
from lintas.client import FOLLOW_S, PAUSES_S, TIMEOUT_S, UNAVAILABLE, Face, Room, open_state, parts_of, response_of
from lintas.clock import Clock, now_us
from lintas.draft import Draft
from lintas.errors import HubUnreachable, Refusal
from lintas.feed import Received
from lintas.keys import Identity, SigningKey, load_identity
from lintas.line import Line, parse
from lintas.note import SignerKey
from lintas.quorum import Policy
from lintas.state import State
from lintas.wire import Answer, Operation, Published, Pulled, Request, Response
from lintas.witness import Attended

T = TypeVar("T")


class AsyncClient(Face):
    """A client to await. Close it with `aclose`, or use it in an ``async with`` statement."""

    def __init__(
        self,
        identity: Identity,
        state: State,
        *,
        clock: Clock = now_us,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Act as this identity with this memory; `transport` lets a hub in the same process answer."""
        super().__init__(identity, state, clock)
        self._http = httpx.AsyncClient(base_url=identity.hub.url, timeout=TIMEOUT_S, transport=transport)
        self._lock = asyncio.Lock()

    @classmethod
    def open(cls, path: str | Path, passphrase: bytes, *, hub: str | None = None) -> AsyncClient:
        """Open an identity file and the state beside it, as `Client.open` does."""
        identity = load_identity(Path(path), passphrase)
        if hub is not None:
            identity = identity.with_url(hub)
        return cls(identity, open_state(Path(path), identity))

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close connections and state."""
        await self._http.aclose()
        self.session.state.close()

    async def run(self, operation: Operation[T]) -> T:
        """Drive one operation of ``lintas.wire`` to its end."""
        async with self._lock:
            try:
                request = next(operation)
                while True:
                    request = operation.send(await self._talk(request))
            except StopIteration as stop:
                result: T = stop.value
                return result

    async def _talk(self, request: Request) -> Response:
        for pause_s in PAUSES_S:
            try:
                answer = await self._exchange(request)
            except httpx.RequestError as fault:
                if pause_s is None:
                    raise HubUnreachable(f"{self._http.base_url}: {fault!s:.200}") from fault
            else:
                if answer.status != UNAVAILABLE or pause_s is None:
                    return answer
            await asyncio.sleep(pause_s)
        raise AssertionError

    async def _exchange(self, request: Request) -> Response:
        sent = self._http.build_request(**parts_of(request))
        answer = await self._http.send(sent, stream=True)
        try:
            room = Room()
            return response_of(answer, b"".join([room.take(chunk) async for chunk in answer.aiter_bytes()]))
        finally:
            await answer.aclose()

    async def sync(self) -> sync.Synced:
        """As `Client.sync`."""
        return await self.run(wire.catch_up(self.session))

    async def publish(self, draft: Draft, *, tag: str | None = None) -> Published:
        """As `Client.publish`."""
        return await self.run(wire.publish_draft(self.session, draft, tag=tag))

    async def publish_line(self, line: Line) -> Published:
        """As `Client.publish_line`."""
        return await self.run(wire.publish(self.session, line))

    async def flush(self) -> list[Published | Refusal]:
        """As `Client.flush`."""
        return await self.run(wire.flush(self.session))

    async def pull(self) -> Pulled:
        """As `Client.pull`."""
        return await self.run(wire.pull(self.session))

    def confirm(self, pulled: Pulled) -> None:
        """As `Client.confirm`."""
        feed.confirm_page(self.session, pulled.page, pulled.items)

    async def follow(self, *, once: bool = False, pause_s: float = FOLLOW_S) -> AsyncIterator[Received]:
        """As `Client.follow`."""
        while True:
            pulled = await self.pull()
            for item in pulled.items:
                yield item
                feed.confirm_item(self.session, item)
            self.confirm(pulled)
            if pulled.page.is_last:
                if once:
                    return
                await asyncio.sleep(pause_s)

    async def fetch(self, line_id: str) -> Received:
        """As `Client.fetch`."""
        return await self.run(wire.fetch(self.session, line_id))

    async def receipt(self, line_id: str, policy: Policy | None = None) -> bytes:
        """As `Client.receipt`."""
        return await self.run(wire.receipt(self.session, line_id, policy))

    async def attend(self, key: SignerKey) -> Attended:
        """As `Client.attend`."""
        return await self.run(witness.attend(self.session, key))

    async def enrol(self, *, invite: str | None, code: str, holder: str) -> Answer:
        """As `Client.enrol`."""
        return await self.run(wire.enrol(self.session, invite=invite, code=code, holder=holder))

    async def rotate(self, new: SigningKey, *, holder: str, overlap_s: int) -> Answer:
        """As `Client.rotate`."""
        line = self.session.sign_rotation(new, holder=holder, overlap_s=overlap_s)
        return await self.run(wire.post_key(self.session, line))

    async def revoke(self, reason: str, since: int) -> Answer:
        """As `Client.revoke`."""
        return await self.run(wire.post_key(self.session, self.session.sign_revocation(reason, since)))

    async def order(self, act: str, arguments: Mapping[str, Any]) -> Answer:
        """As `Client.order`."""
        return await self.run(wire.post_order(self.session, self.session.sign_order(act, arguments)))

    async def countersign(self, first: bytes) -> Answer:
        """As `Client.countersign`."""
        return await self.run(wire.post_order(self.session, self.session.countersign(parse(first))))

    async def admin_events(self, **filters: str | int | None) -> dict[str, Any]:
        """As `Client.admin_events`."""
        return await self.run(wire.admin_events(self.session, **filters))

    async def admin_view(self, view: str) -> dict[str, Any]:
        """As `Client.admin_view`."""
        return await self.run(wire.admin_view(self.session, view))
