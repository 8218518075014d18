"""The client for scripts or threads: every operation of ``lintas.wire``, driven over httpx.

It pins the hub's name and log key from the identity, keeps its state beside it, and shows nothing it has not verified.
Requests are sent again after a lost connection or a 503: every line is the same bytes, so nothing happens twice.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
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
from lintas.header import ORDER
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
    Ear,
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


class Client(Face):
    """A client for scripts and threads. Close it, or use it in a ``with`` statement.

    >>> with Client.open("my-police.json", passphrase) as client:  # doctest: +SKIP
    ...     for bulletin in client.follow(once=True):
    ...         print(bulletin.content.title)
    """

    def __init__(
        self,
        identity: Identity,
        state: State,
        *,
        clock: Clock = now_us,
        transport: httpx.BaseTransport | None = None,
        ca: Path | None = None,
    ) -> None:
        """Act as this identity with this memory; `transport` is for tests.

        `ca` is a file with the certificates that alone may vouch for the hub's TLS certificate.
        """
        super().__init__(identity, state, clock)
        url = identity.hub.url
        self._http = httpx.Client(base_url=url, timeout=TIMEOUT_S, transport=transport, verify=trusted(ca, url))

    @classmethod
    def open(
        cls,
        path: str | Path,
        passphrase: bytes,
        *,
        hub: str | None = None,
        ca: Path | None = None,
        origin: str | None = None,
    ) -> Client:
        """Open an identity file and the state beside it; `hub` overrides the address, never the pinned name or key.

        `ca`: as for the client itself. `origin` asks for the memory of a former epoch, to check old receipts.
        """
        return cls(*open_memory(Path(path), passphrase, hub=hub, origin=origin), ca=ca)

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close connections and state."""
        self._http.close()
        self.session.state.close()

    def run(self, operation: Operation[T]) -> T:
        """Drive one operation of ``lintas.wire`` to its end."""
        try:
            request = next(operation)
            while True:
                try:
                    answer = self._talk(request)
                except LintasError as fault:
                    # Into the operation, which may know what to make of it.
                    request = operation.throw(fault)
                else:
                    request = operation.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result

    def _talk(self, request: Request) -> Response:
        for pause_s in PAUSES_S:
            try:
                answer = self._exchange(request)
            except httpx.RequestError as fault:
                if pause_s is None:
                    raise HubUnreachable(f"{self._http.base_url}: {fault!s:.200}") from fault
                time.sleep(pause_s)
            else:
                wait_s = None if pause_s is None else pause_after(answer, pause_s)
                if wait_s is None:
                    return self.checked(request, answer)
                time.sleep(wait_s)
        raise AssertionError

    def _exchange(self, request: Request) -> Response:
        sent = self._http.build_request(**parts_of(request))
        answer = self._http.send(sent, stream=True)
        try:
            room = Room()
            return response_of(answer, b"".join(room.take(chunk) for chunk in answer.iter_bytes()))
        finally:
            answer.close()

    def sync(self) -> sync.Synced:
        """Take over and verify every event this party may read; `directory` is then up to date."""
        return self.run(wire.catch_up(self.session))

    def publish(self, draft: Draft, *, tag: str | None = None) -> Published:
        """Resolve, sign, keep and send a draft. `tag` makes it idempotent: a tag used before sends nothing new."""
        return self.run(wire.publish_draft(self.session, draft, tag=tag))

    def publish_line(self, line: Line) -> Published:
        """Keep and send a line signed before (`sign`)."""
        return self.run(wire.publish(self.session, line))

    def flush(self) -> list[Published | Told | Refusal]:
        """Send everything that waits in the outbox; one outcome a line."""
        return self.run(acknowledge.flush(self.session))

    def resend(self, bulletins: Iterable[Held] | None = None) -> list[Resent | Refusal]:
        """Post again what the hub once accepted (by default all of the outbox), for a log that may have lost it."""
        return self.run(resend.resend(self.session, resend.held(self.session) if bulletins is None else bulletins))

    def pull(self, subscription: str | None = None) -> Pulled:
        """Return the next verified page of the feed, or of a subscription; `confirm` it once it is taken over."""
        if subscription is None:
            return self.run(pages.pull(self.session))
        return self.run(subscribe.pull(self.session, subscription))

    def confirm(self, pulled: Pulled) -> None:
        """Move the cursor past a page and tell the hub; raise Withheld if it kept back what the log released."""
        self.run(subscribe.confirm(self.session, pulled))

    def follow(
        self, *, once: bool = False, poll: bool = False, pause_s: float = FOLLOW_S, subscription: str | None = None
    ) -> Iterator[Received]:
        """Yield verified bulletins in log order, for ever or until the present.

        What comes later comes over the hub's stream, or with `poll`, for a subscription, or where no stream gets
        through, by long polls. The cursor is kept on disk; that of a `subscription` by the hub.
        """
        steps = following.follow(self.session, once=once, poll=poll, pause_s=pause_s, subscription=subscription)
        answer: Any = None
        fault: LintasError | None = None
        with closing(Ear(self._http)) as ear:
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
                    answer = self._take_step(step, ear)
                except LintasError as error:
                    fault = error

    def _take_step(self, step: following.Step, ear: Ear) -> Any:
        match step:
            case following.Listen(request):
                return self.checked(request, ear.listen(request))
            case following.Hear():
                return ear.hear()
            case following.Pause(seconds):
                return time.sleep(spread(seconds))
            case Request():
                return self._talk(step)
            case _:
                assert isinstance(step, Generator)
                return self.run(step)

    def fetch(self, line_id: str, *, superseded: bool = False) -> Received:
        """Return one verified bulletin; with `superseded` also one that was replaced, marked so."""
        return self.run(wire.fetch(self.session, line_id, superseded=superseded))

    def receipt(self, line_id: str, policy: Policy | None = None) -> bytes:
        """Return the verified receipt of a bulletin, witnessed as the policy demands if one is given."""
        return self.run(wire.receipt(self.session, line_id, policy))

    def attend(self, key: SignerKey) -> Attended:
        """Look at the log as a witness and cosign what is new; the client's memory must be the witness's own."""
        return self.run(witness.attend(self.session, key))

    def opened(self, line_id: str) -> Told:
        """Tell the originator, signed, that somebody here looked at a bulletin."""
        return self.run(acknowledge.tell(self.session, line_id, OPENED))

    def acknowledge(self, line_id: str) -> Told:
        """Tell the originator, signed, that we have taken note of a bulletin."""
        return self.run(acknowledge.tell(self.session, line_id, ACKNOWLEDGED))

    def readers(self, line_id: str) -> tuple[Reader, ...]:
        """Return who has a bulletin of ours and how far it got; what they signed is verified."""
        return self.run(readers.readers(self.session, line_id))

    def subscriptions(self) -> list[Subscription]:
        """Return our subscriptions as the hub keeps them."""
        return self.run(subscribe.subscriptions(self.session))

    def subscribe(
        self, name: str, wanted: Mapping[str, Sequence[str]] | None = None, *, start: str | int = "now"
    ) -> Subscription:
        """Make a subscription or exchange its filter; `start` (now, beginning, an index) counts when it is made."""
        return self.run(subscribe.subscribe(self.session, name, wanted or {}, start))

    def unsubscribe(self, name: str) -> Subscription:
        """End a subscription; return what it was."""
        return self.run(subscribe.unsubscribe(self.session, name))

    def move(self, name: str, cursor: int) -> Subscription:
        """Move the cursor of a subscription: forward, everything up to it was received; back, it comes again."""
        return self.run(subscribe.move(self.session, name, cursor))

    def thread(self, line_id: str) -> Thread:
        """Return the verified thread of a bulletin: what refers to it, what it refers to, and so on."""
        return self.run(threads.thread(self.session, line_id))

    def due(self) -> tuple[Duty, ...]:
        """Return what this agency owes and is owed: answers, acknowledgements, overdue first."""
        return self.run(dues.due(self.session))

    def enrol(self, *, invite: str | None, code: str, holder: str) -> Answer:
        """Ask for the admission of this identity's key."""
        return self.run(wire.enrol(self.session, invite=invite, code=code, holder=holder))

    def rotate(self, new: SigningKey, *, holder: str, overlap_s: int, opening: OpeningKey | None = None) -> Answer:
        """Hand over to a new key, with a new opening key that becomes current when the new key acts."""
        line = self.session.sign_rotation(new, holder=holder, overlap_s=overlap_s, opening=opening)
        return self.run(wire.post_key(self.session, line))

    def renew_opening(self, key: OpeningKey) -> Answer:
        """Tell a new opening key at once; save it in the identity file first."""
        return self.run(sealing.renew_opening(self.session, key))

    def reseal(self, line_id: str, *, to: Sequence[str] = ()) -> Published:
        """Publish an own sealed bulletin again for the current keys of its recipients; it supersedes the old one."""
        return self.run(sealing.reseal(self.session, line_id, to=to))

    def revoke(self, reason: str, since: int) -> Answer:
        """End this identity's key at once."""
        return self.run(wire.post_key(self.session, self.session.sign_revocation(reason, since)))

    def order(self, act: str, arguments: Mapping[str, Any]) -> Answer:
        """Give an administrator's order; `needs_second` tells whether another one must countersign."""
        return self.run(wire.post_order(self.session, self.session.sign_order(act, arguments)))

    def countersign(self, first: bytes) -> Answer:
        """Give another administrator's order together with them. Read it first: `open_order` shows what it does."""
        return self.run(wire.post_order(self.session, self.session.countersign(parse(first, ORDER))))

    def register_interest(self, values: Iterable[Value], *, mode: str, case_ref: str, for_s: int) -> Answer:
        """Register an interest in (type, value) pairs; who else has them is told from the next minute on."""
        return self.run(matching.register(self.session, values, mode=mode, case_ref=case_ref, for_s=for_s))

    def end_interest(self, interest_id: str) -> Answer:
        """End an interest."""
        return self.run(matching.end(self.session, interest_id))

    def interests(self) -> tuple[Interest, ...]:
        """Return our interests that stand, with what they are told."""
        return self.run(matching.interests(self.session))

    def interest(self, interest_id: str) -> Interest:
        """Return one of our interests."""
        return self.run(matching.interest(self.session, interest_id))

    def set_watch(self, name: str, values: Iterable[Value]) -> Answer:
        """Set the (type, value) pairs of a watch list; none removes it."""
        return self.run(matching.set_watch(self.session, name, values))

    def watches(self) -> dict[str, int]:
        """Return our watch lists with the number of indicators of each."""
        return self.run(matching.watches(self.session))

    def watched(self, name: str, *, after: int = -1) -> Iterator[Received]:
        """Yield the verified bulletins of our feed that a watch list matches, in log order, up to the present."""
        shown: set[str] = set()
        is_last = False
        while not is_last:
            page = self.run(matching.watched(self.session, name, after=after))
            yield from matching.concerned(page, shown)
            after, is_last = page.cursor, page.is_last

    def webhooks(self) -> list[dict[str, Any]]:
        """Return this agency's webhooks: subscription, host, state, tries, next attempt, what waits."""
        return self.run(endpoints.webhooks(self.session))

    def set_webhook(self, subscription: str, url: str | None) -> Answer:
        """Push a subscription to an address from now on; None ends it."""
        return self.order("webhook", {"subscription": subscription, "url": url})

    def issue_read_token(self, label: str, **bounds: Unpack[Bounds]) -> NewToken:
        """Make a read token for a tool (`ceiling`, `areas`, `for_s`, `addresses`); its text is shown here alone."""
        return self.run(read_tokens.issue(self.session, label, **bounds))

    def end_read_token(self, token_id: str) -> Answer:
        """End a read token of ours."""
        return self.run(read_tokens.end(self.session, token_id))

    def read_tokens(self) -> tuple[OwnToken, ...]:
        """Return the read tokens of our agency, as the proven log has them."""
        return self.run(read_tokens.read_tokens(self.session))

    def webhook_key(self) -> str:
        """Return the key with which the hub signs its calls, for `lintas.webhooks.open_webhook`."""
        return self.run(endpoints.webhook_key())

    def admin_events(self, **filters: str | int | None) -> dict[str, Any]:
        """Read a page of the audit log (`since_`, `until`, `kind`, `party`, ...)."""
        return self.run(wire.admin_events(self.session, **filters))

    def admin_view(self, view: str) -> dict[str, Any]:
        """Read partners, keys, grants, orders or stats as an administrator."""
        return self.run(wire.admin_view(self.session, view))

    def admin_due(self) -> tuple[Duty, ...]:
        """Return what is overdue at the whole hub, as an administrator."""
        return self.run(dues.admin_due(self.session))

    def open_console(self, role: str | None = None) -> str:
        """Return the address that signs a browser in to the hub's console: good once, for a minute."""
        return self.run(endpoints.open_console(self.session, role))
