"""The client for event loops: the same operations as `lintas.client.Client`, awaited.

One AsyncClient runs its operations one after another (a lock guards its state); open several for more at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator, Iterable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Self, TypeVar, Unpack

import httpx

from lintas import (
    acknowledge,
    endpoints,
    matching,
    pages,
    read_tokens,
    readers,
    resend,
    sealing,
    subscribe,
    sync,
    wire,
    witness,
)
from lintas import due as dues
from lintas import follow as following
from lintas import thread as threads
from lintas.ack import ACKNOWLEDGED, OPENED
from lintas.acknowledge import Told
from lintas.clock import Clock, now_us
from lintas.draft import Draft
from lintas.due import Duty
from lintas.errors import HubUnreachable, LintasError, Refusal
from lintas.face import Face
from lintas.feed import Received
from lintas.keys import Identity, SigningKey
from lintas.line import Line, parse
from lintas.matching import Interest, Value
from lintas.memory import open_memory
from lintas.note import SignerKey
from lintas.opening import OpeningKey
from lintas.pages import Pulled
from lintas.quorum import Policy
from lintas.read_tokens import Bounds, NewToken, OwnToken
from lintas.readers import Reader
from lintas.request import Operation, Request, Response
from lintas.resend import Held, Resent
from lintas.state import State
from lintas.subscribe import Subscription
from lintas.thread import Thread
from lintas.transport import (
    FOLLOW_S,
    PAUSES_S,
    TIMEOUT_S,
    AsyncEar,
    Room,
    parts_of,
    pause_after,
    response_of,
    spread,
    trusted,
)
from lintas.wire import Answer, Published
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
        ca: Path | None = None,
    ) -> None:
        """Act as this identity with this memory; `transport` lets a hub in the same process answer.

        `ca` is a file with the certificates that alone may vouch for the hub's TLS certificate.
        """
        super().__init__(identity, state, clock)
        url = identity.hub.url
        self._http = httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S, transport=transport, verify=trusted(ca, url))
        self._lock = asyncio.Lock()

    @classmethod
    def open(
        cls,
        path: str | Path,
        passphrase: bytes,
        *,
        hub: str | None = None,
        ca: Path | None = None,
        origin: str | None = None,
    ) -> AsyncClient:
        """Open an identity file and the state beside it, as `Client.open` does."""
        return cls(*open_memory(Path(path), passphrase, hub=hub, origin=origin), ca=ca)

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
                    try:
                        answer = await self._talk(request)
                    except LintasError as fault:
                        # Into the operation, which may know what to make of it.
                        request = operation.throw(fault)
                    else:
                        request = operation.send(answer)
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
                await asyncio.sleep(pause_s)
            else:
                wait_s = None if pause_s is None else pause_after(answer, pause_s)
                if wait_s is None:
                    return self.checked(request, answer)
                await asyncio.sleep(wait_s)
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

    async def flush(self) -> list[Published | Told | Refusal]:
        """As `Client.flush`."""
        return await self.run(acknowledge.flush(self.session))

    async def resend(self, bulletins: Iterable[Held] | None = None) -> list[Resent | Refusal]:
        """As `Client.resend`."""
        given = resend.held(self.session) if bulletins is None else bulletins
        return await self.run(resend.resend(self.session, given))

    async def pull(self, subscription: str | None = None) -> Pulled:
        """As `Client.pull`."""
        if subscription is None:
            return await self.run(pages.pull(self.session))
        return await self.run(subscribe.pull(self.session, subscription))

    async def confirm(self, pulled: Pulled) -> None:
        """As `Client.confirm`."""
        await self.run(subscribe.confirm(self.session, pulled))

    async def follow(
        self, *, once: bool = False, poll: bool = False, pause_s: float = FOLLOW_S, subscription: str | None = None
    ) -> AsyncIterator[Received]:
        """As `Client.follow`; other operations of this client go on while it waits."""
        steps = following.follow(self.session, once=once, poll=poll, pause_s=pause_s, subscription=subscription)
        answer: Any = None
        fault: LintasError | None = None
        async with aclosing(AsyncEar(self._http)) as ear:
            while True:
                try:
                    step = steps.send(answer) if fault is None else steps.throw(fault)
                except StopIteration:
                    return
                answer = fault = None
                if isinstance(step, Received):
                    yield step
                    continue
                try:
                    answer = await self._take_step(step, ear)
                except LintasError as error:
                    fault = error

    async def _take_step(self, step: following.Step, ear: AsyncEar) -> Any:
        match step:
            case following.Listen(request):
                return self.checked(request, await ear.listen(request))
            case following.Hear():
                return await ear.hear()
            case following.Pause(seconds):
                return await asyncio.sleep(spread(seconds))
            case Request():
                return await self._talk(step)
            case _:
                assert isinstance(step, Generator)
                return await self.run(step)

    async def fetch(self, line_id: str, *, superseded: bool = False) -> Received:
        """As `Client.fetch`."""
        return await self.run(wire.fetch(self.session, line_id, superseded=superseded))

    async def receipt(self, line_id: str, policy: Policy | None = None) -> bytes:
        """As `Client.receipt`."""
        return await self.run(wire.receipt(self.session, line_id, policy))

    async def attend(self, key: SignerKey) -> Attended:
        """As `Client.attend`."""
        return await self.run(witness.attend(self.session, key))

    async def opened(self, line_id: str) -> Told:
        """As `Client.opened`."""
        return await self.run(acknowledge.tell(self.session, line_id, OPENED))

    async def acknowledge(self, line_id: str) -> Told:
        """As `Client.acknowledge`."""
        return await self.run(acknowledge.tell(self.session, line_id, ACKNOWLEDGED))

    async def readers(self, line_id: str) -> tuple[Reader, ...]:
        """As `Client.readers`."""
        return await self.run(readers.readers(self.session, line_id))

    async def subscriptions(self) -> list[Subscription]:
        """As `Client.subscriptions`."""
        return await self.run(subscribe.subscriptions(self.session))

    async def subscribe(
        self, name: str, wanted: Mapping[str, Sequence[str]] | None = None, *, start: str | int = "now"
    ) -> Subscription:
        """As `Client.subscribe`."""
        return await self.run(subscribe.subscribe(self.session, name, wanted or {}, start))

    async def unsubscribe(self, name: str) -> Subscription:
        """As `Client.unsubscribe`."""
        return await self.run(subscribe.unsubscribe(self.session, name))

    async def move(self, name: str, cursor: int) -> Subscription:
        """As `Client.move`."""
        return await self.run(subscribe.move(self.session, name, cursor))

    async def thread(self, line_id: str) -> Thread:
        """As `Client.thread`."""
        return await self.run(threads.thread(self.session, line_id))

    async def due(self) -> tuple[Duty, ...]:
        """As `Client.due`."""
        return await self.run(dues.due(self.session))

    async def enrol(self, *, invite: str | None, code: str, holder: str) -> Answer:
        """As `Client.enrol`."""
        return await self.run(wire.enrol(self.session, invite=invite, code=code, holder=holder))

    async def rotate(
        self, new: SigningKey, *, holder: str, overlap_s: int, opening: OpeningKey | None = None
    ) -> Answer:
        """As `Client.rotate`."""
        line = self.session.sign_rotation(new, holder=holder, overlap_s=overlap_s, opening=opening)
        return await self.run(wire.post_key(self.session, line))

    async def renew_opening(self, key: OpeningKey) -> Answer:
        """As `Client.renew_opening`."""
        return await self.run(sealing.renew_opening(self.session, key))

    async def reseal(self, line_id: str, *, to: Sequence[str] = ()) -> Published:
        """As `Client.reseal`."""
        return await self.run(sealing.reseal(self.session, line_id, to=to))

    async def revoke(self, reason: str, since: int) -> Answer:
        """As `Client.revoke`."""
        return await self.run(wire.post_key(self.session, self.session.sign_revocation(reason, since)))

    async def order(self, act: str, arguments: Mapping[str, Any]) -> Answer:
        """As `Client.order`."""
        return await self.run(wire.post_order(self.session, self.session.sign_order(act, arguments)))

    async def countersign(self, first: bytes) -> Answer:
        """As `Client.countersign`."""
        return await self.run(wire.post_order(self.session, self.session.countersign(parse(first))))

    async def register_interest(self, values: Iterable[Value], *, mode: str, case_ref: str, for_s: int) -> Answer:
        """As `Client.register_interest`."""
        return await self.run(matching.register(self.session, values, mode=mode, case_ref=case_ref, for_s=for_s))

    async def end_interest(self, interest_id: str) -> Answer:
        """As `Client.end_interest`."""
        return await self.run(matching.end(self.session, interest_id))

    async def interests(self) -> tuple[Interest, ...]:
        """As `Client.interests`."""
        return await self.run(matching.interests(self.session))

    async def interest(self, interest_id: str) -> Interest:
        """As `Client.interest`."""
        return await self.run(matching.interest(self.session, interest_id))

    async def set_watch(self, name: str, values: Iterable[Value]) -> Answer:
        """As `Client.set_watch`."""
        return await self.run(matching.set_watch(self.session, name, values))

    async def watches(self) -> dict[str, int]:
        """As `Client.watches`."""
        return await self.run(matching.watches(self.session))

    async def watched(self, name: str, *, after: int = -1) -> AsyncIterator[Received]:
        """As `Client.watched`."""
        shown: set[str] = set()
        is_last = False
        while not is_last:
            page = await self.run(matching.watched(self.session, name, after=after))
            for item in matching.concerned(page, shown):
                yield item
            after, is_last = page.cursor, page.is_last

    async def webhooks(self) -> list[dict[str, Any]]:
        """As `Client.webhooks`."""
        return await self.run(endpoints.webhooks(self.session))

    async def set_webhook(self, subscription: str, url: str | None) -> Answer:
        """As `Client.set_webhook`."""
        return await self.order("webhook", {"subscription": subscription, "url": url})

    async def issue_read_token(self, label: str, **bounds: Unpack[Bounds]) -> NewToken:
        """As `Client.issue_read_token`."""
        return await self.run(read_tokens.issue(self.session, label, **bounds))

    async def end_read_token(self, token_id: str) -> Answer:
        """As `Client.end_read_token`."""
        return await self.run(read_tokens.end(self.session, token_id))

    async def read_tokens(self) -> tuple[OwnToken, ...]:
        """As `Client.read_tokens`."""
        return await self.run(read_tokens.read_tokens(self.session))

    async def webhook_key(self) -> str:
        """As `Client.webhook_key`."""
        return await self.run(endpoints.webhook_key())

    async def admin_events(self, **filters: str | int | None) -> dict[str, Any]:
        """As `Client.admin_events`."""
        return await self.run(wire.admin_events(self.session, **filters))

    async def admin_view(self, view: str) -> dict[str, Any]:
        """As `Client.admin_view`."""
        return await self.run(wire.admin_view(self.session, view))

    async def admin_due(self) -> tuple[Duty, ...]:
        """As `Client.admin_due`."""
        return await self.run(dues.admin_due(self.session))

    async def open_console(self, role: str | None = None) -> str:
        """As `Client.open_console`."""
        return await self.run(endpoints.open_console(self.session, role))
