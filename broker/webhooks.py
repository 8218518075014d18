"""Pushing subscriptions to receivers.

Of several replicas the one that leads pushes. One task a webhook, one call at a time, so that no receiver waits for
another one's; an agency has few webhooks, which bounds tasks, connections and memory. Whatever leaves was recorded
first, like any page of a feed. The cursor moves when a receiver took a bulletin over, so a call that failed, a
restart or a crash loses nothing: what is sent again has the same id. Flash bulletins and withdrawals overtake the
rest; what went ahead is remembered until the cursor passes it.
Everything here runs on the event loop; rows are read in the hub's reading threads and written by its writer.
Spec: docs/spec/webhooks.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from broker import calls
from broker.batch import Batch
from broker.delivery import Page, Row, Source, Window, give, in_reader, read_page, record_page, submit
from broker.hub import Hub
from broker.outbound import Answer, Outbound
from broker.standing import reader
from broker.store import log, webhooks
from broker.store.engine import Connection
from broker.store.lines import Reader
from broker.store.webhooks import DEAD, PENDING, Webhook
from lintas.directory import EVERY_PARTNER, Directory
from lintas.errors import Busy, NotFound, Refusal, Unauthorized
from lintas.filter import Filter, read_filter
from lintas.strict import b64u, parse_object
from lintas.webhooks import call_id, read_url, sign_call

ROWS_MAX = 8
"""Rows read and recorded at once for one webhook."""

AHEAD_MAX = 1_024
"""Bulletins that may have overtaken the cursor; then it has to follow first."""

PAUSE_S = 0.05
"""How long news are gathered before the webhooks are looked at again."""

QUIET_S = 0.25
"""As long as there is none: the first one waits so long at most, and a busy hub does not look after each commit."""

IDLE_S = 5.0
"""How often a webhook that waits looks at the clock, whatever happens."""

CHALLENGE_BYTES = 24
FLASH = "flash"

logger = logging.getLogger("lintas.webhooks")


@dataclass(frozen=True, slots=True)
class News:
    """What was committed up to log index `seen`: the webhooks as they are now, whom the events since concern."""

    seen: int
    rows: list[Webhook]
    parties: frozenset[str]


class Webhooks:
    """Every webhook of a hub at work. Used by the event loop's thread alone; without webhooks it has no task."""

    def __init__(self, hub: Hub, outbound: Outbound) -> None:
        """Take the hub and what calls out; `start` begins."""
        self._hub = hub
        self._outbound = outbound
        self._tasks: dict[int, tuple[Push, asyncio.Task[None]]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._has_news = False
        self._seen = -1
        self._tell: Callable[[Any], None] | None = None

    def start(self) -> None:
        """Begin with what waits as soon as this replica leads, then go on with every commit."""
        loop = asyncio.get_running_loop()

        def look() -> None:
            # The loop may close while somebody is just telling.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._news)

        def tell(_news: Any) -> None:
            # Who still has news to look at reads this commit too.
            if self._hub.replica.is_leading and not self._has_news:
                look()

        self._tell = tell
        self._hub.wakeup.watchers.append(tell)
        self._hub.replica.want_lead(look)

    async def stop(self) -> None:
        """Break off what is on its way; it is sent again after the next start, or by the next that leads."""
        if self._tell is not None:
            self._hub.wakeup.watchers.remove(self._tell)
        tasks = [task for _, task in self._tasks.values()]
        if self._looking is not None:
            tasks.append(self._looking)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._hub.replica.leave_lead()
        self._outbound.close()

    def _news(self) -> None:
        self._has_news = True
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look())

    async def _look(self) -> None:
        while self._has_news:
            self._has_news = False
            try:
                is_leading = self._hub.replica.is_leading
                self._settle(await in_reader(self._hub, self._read) if is_leading else News(-1, [], frozenset()))
            except Exception:
                logger.exception("webhooks cannot be read")
            # Whatever arrives in this pause is one look more, not one each.
            await asyncio.sleep(PAUSE_S if self._tasks else QUIET_S)

    def _read(self, conn: Connection) -> News:
        size, _ = log.head(conn)
        rows = webhooks.at_work(conn)
        parties = log.parties_since(conn, self._seen) if rows and self._seen >= 0 else frozenset()
        return News(size - 1, rows, parties)

    def _settle(self, news: News) -> None:
        self._seen = news.seen
        # An order's index names its webhook: one that was ordered anew is another.
        wanted = {row.order_seq: row for row in news.rows}
        for gone in self._tasks.keys() - wanted.keys():
            self._tasks.pop(gone)[1].cancel()
        for order_seq, row in wanted.items():
            if order_seq not in self._tasks or self._tasks[order_seq][1].done():
                push = Push(self._hub, self._outbound, row)
                self._tasks[order_seq] = push, asyncio.get_running_loop().create_task(push.run())
        for push, _ in self._tasks.values():
            if not news.parties.isdisjoint((push.agency, EVERY_PARTNER)):
                push.news.set()


@dataclass(slots=True)
class Lane:
    """How far one reading of a subscription has come: the log index after which it goes on."""

    wanted: Filter
    after: int


class Push:
    """One webhook at work."""

    def __init__(self, hub: Hub, outbound: Outbound, hook: Webhook) -> None:
        """Take up a webhook as its row says; where its subscription stands is read in `run`."""
        self._hub = hub
        self._outbound = outbound
        self._hook = hook
        self._address = read_url(hook.url)
        self._way = f"webhook/{hook.subscription}"
        self._place: webhooks.Place | None = None
        self._bounds: Reader | None = None
        self._all = Lane(Filter(), -1)
        self._first: Lane | None = None
        self._ahead: set[int] = set()
        self._is_over = False
        self.agency = hook.agency
        self.news = asyncio.Event()

    async def run(self) -> None:
        """Work until the webhook ends; a fault of the hub's own is survived, and is no failure of the receiver.

        What was taken over though that could not be recorded is sent again, from the cursor on. In the log of the
        process a webhook is called by the index of its order: its name is its agency's business.
        """
        while not self._is_over:
            try:
                await self._step()
            except Refusal as refusal:
                logger.info("webhook %d waits: %s", self._hook.order_seq, refusal.code)
                self._place = None
                await self._rest(IDLE_S)
            except Exception:
                logger.exception("webhook %d failed", self._hook.order_seq)
                self._place = None
                await asyncio.sleep(IDLE_S)

    async def _step(self) -> None:
        self.news.clear()
        wait_s = self._hook.next_at - self._hub.now()
        if not self._is_entitled(self._hub.directory):
            await self._keep(calls.revoked(self._hook, now=self._hub.now()))
        elif wait_s > 0:
            await self._rest(wait_s)
        elif self._hook.state == PENDING:
            await self._challenge()
        elif await self._follow() and not (await self._push_first() or await self._push_all()):
            await self._rest(IDLE_S)

    async def _rest(self, seconds: float) -> None:
        # Not `wait_for`: in Python 3.11 news of the same moment swallow what breaks this off, and a hub never stops.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(seconds, IDLE_S)):
                await self.news.wait()

    async def _challenge(self) -> None:
        secret = b64u(secrets.token_bytes(CHALLENGE_BYTES))
        answer = await self._call(calls.challenge(secret))
        if answer.is_good and calls.is_met(secret, answer.body):
            await self._keep(calls.succeeded(self._hook))
        else:
            await self._keep(self._failed(answer))

    async def _follow(self) -> bool:
        """Read where the subscription stands; begin there when somebody else moved it, or other things can be read.

        False when it is gone.
        """
        place = await in_reader(self._hub, lambda conn: webhooks.place(conn, self.agency, self._hook.subscription))
        self._is_over = place is None
        # What was passed in memory because it could not be read may be readable now: the cursor has not passed it yet.
        bounds = reader(self._hub.directory, self.agency)
        if place is not None and (place, bounds) != (self._place, self._bounds):
            wanted = read_filter(parse_object(place.filter.encode()))
            self._place, self._bounds, self._ahead = place, bounds, set()
            self._all = Lane(wanted, place.cursor)
            may_be_flash = not wanted.urgencies or FLASH in wanted.urgencies
            self._first = Lane(replace(wanted, urgencies=frozenset({FLASH})), place.cursor) if may_be_flash else None
        return place is not None

    async def _push_first(self) -> bool:
        """Push what overtakes the rest: flash, and withdrawals, which no filter holds back."""
        lane = self._first
        if lane is None or len(self._ahead) >= AHEAD_MAX:
            return False
        lane.after = max(lane.after, self._all.after)
        page = await self._give(lane)
        done, failure = await self._push(page)
        _advance(lane, page, done)
        self._ahead.update(row.seq for row in done)
        if not page.is_empty:
            await self._take_over(done, failure, None)
        return not page.is_empty

    async def _push_all(self) -> bool:
        """Push the next rows in the order of the log, and move the cursor over what was taken over."""
        lane = self._all
        page = await self._give(lane)
        done, failure = await self._push(page, may_stop=True)
        _advance(lane, page, done)
        passed = {seq for seq in self._ahead if seq <= lane.after}
        self._ahead -= passed
        if passed or not page.is_empty:
            await self._take_over(done, failure, lane.after if done or passed else None)
        return page.is_full or not page.is_empty

    async def _give(self, lane: Lane) -> Page:
        source = Source(self.agency, self._way, lane.wanted)

        def record(batch: Batch, page: Page) -> int:
            return record_page(batch, source, page)

        return await give(self._hub, self._standing, lambda conn: self._read(conn, lane), record)

    def _read(self, conn: Connection, lane: Lane) -> Page:
        source = Source(self.agency, self._way, lane.wanted)
        # A receiver that fails is tried with one, so that the record does not say of many that they were sent.
        window = Window(lane.after, 1 if self._hook.tries else ROWS_MAX)
        page = read_page(conn, self._hub.directory, source, window=window, now=self._hub.now())
        return replace(page, rows=tuple(calls.as_pushed(row) for row in page.rows if row.seq not in self._ahead))

    def _standing(self, batch: Batch) -> Refusal | None:
        if not self._hub.replica.is_leading:
            return Busy("Another replica pushes.")
        if not self._is_entitled(batch.directory):
            return Unauthorized("The key that ordered this webhook is revoked.")
        return None if webhooks.is_active(batch.conn, self._hook) else NotFound()

    def _is_entitled(self, directory: Directory) -> bool:
        # A key that was replaced or ran out ordered it rightly; one that was revoked did perhaps not.
        key = directory.keys.get(self._hook.kid)
        return key is not None and key.revoked_seq is None

    async def _push(self, page: Page, *, may_stop: bool = False) -> tuple[list[Row], Answer | None]:
        """Push rows in turn; return those taken over, and the answer to the first one that was not.

        `may_stop` lets what overtakes go in between.
        """
        done: list[Row] = []
        for row in page.rows:
            # Recorded together, they leave one by one: what was withdrawn in between does not leave.
            if done and (not self._is_current(page) or (may_stop and await self._is_overtaken())):
                break
            answer = await self._call(calls.call_of(row))
            if not answer.is_good:
                return done, answer
            done.append(row)
        return done, None

    def _is_current(self, page: Page) -> bool:
        # What another replica withdrew counts from when this one has heard of it.
        if not self._hub.replica.is_current:
            return False
        withdrawn = self._hub.writer.withdrawn
        return withdrawn is not None and withdrawn < page.size and self._hub.directory is page.directory

    async def _is_overtaken(self) -> bool:
        lane = self._first
        if lane is None or len(self._ahead) >= AHEAD_MAX:
            return False
        page = await in_reader(self._hub, lambda conn: self._read(conn, lane))
        return not page.is_empty

    async def _call(self, call: calls.Call) -> Answer:
        signed = sign_call(
            self._hub.secret.webhook_seed,
            call=call_id(self.agency, self._hook.subscription, call.subject),
            time=self._hub.now(),
            body=call.body,
        )
        headers = {"Content-Type": call.media, **call.headers, **signed}
        return await self._outbound.post(self._address, headers, call.body)

    async def _take_over(self, done: Sequence[Row], failure: Answer | None, to: int | None) -> None:
        """Record what the receiver took over; move the cursor to `to`, or leave it when the rows went ahead."""
        place = self._place
        assert place is not None
        agency, name = self.agency, self._hook.subscription
        ids, seqs = [row.id for row in done if row.is_line], [row.seq for row in done if row.is_line]

        def job(batch: Batch) -> None:
            # Every move of a cursor is in the log, or a client could not tell it from one that skips.
            if ids or to is not None:
                detail = {"way": self._way, "count": len(ids), "ids": ids} | ({} if to is None else {"to": to})
                received = batch.append("bulletin.received", agency, detail=detail)
                webhooks.mark_received(batch.conn, agency, self._way, seqs, received_seq=received)
            if to is not None:
                webhooks.move(batch.conn, agency, name, was=place.cursor, to=to)

        if failure is not None:
            await self._keep(self._failed(failure), job)
        elif self._hook.tries:
            await self._keep(calls.succeeded(self._hook), job)
        else:
            await submit(self._hub, job)
        if to is not None:
            self._place = replace(place, cursor=to)

    def _failed(self, answer: Answer) -> Webhook:
        return calls.failed(
            self._hook,
            now=self._hub.now(),
            gone=answer.status == calls.GONE_STATUS,
            wait_s=answer.retry_after_s,
            spread=secrets.SystemRandom().uniform(-1, 1),
        )

    async def _keep(self, hook: Webhook, also: Callable[[Batch], None] = lambda _batch: None) -> None:
        """Write how the webhook does now, and log it when its state changed."""
        facts = {"subscription": hook.subscription, "host": self._address.host}

        def job(batch: Batch) -> bool:
            also(batch)
            if not webhooks.keep_state(batch.conn, hook):
                return False
            if hook.state == DEAD:
                batch.append("webhook.failed", hook.agency, detail=facts | {"code": hook.code, "since": hook.since})
            elif hook.state != self._hook.state:
                batch.append("webhook.changed", hook.agency, detail=facts | {"state": hook.state})
            return True

        done = await submit(self._hub, job)
        self._hook = hook
        self._is_over = hook.state == DEAD or not done.value


def _advance(lane: Lane, page: Page, done: Sequence[Row]) -> None:
    if len(done) == len(page.rows):
        lane.after = page.cursor
    elif done:
        lane.after = done[-1].seq
