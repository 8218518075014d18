"""The client for scripts or threads: every operation of ``lintas.wire``, driven over httpx.

It pins the hub's name and log key from the identity, keeps its state beside it, and shows nothing it has not verified.
Requests are sent again after a lost connection or a 503: every line is the same bytes, so nothing happens twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx

from lintas import feed, quorum, sync, wire, witness
from lintas.clock import Clock, now_us
from lintas.decide import check_signatures
from lintas.directory import Directory
from lintas.draft import Draft
from lintas.errors import HubUnreachable, Refusal, Unverified
from lintas.feed import Received
from lintas.header import ORDER
from lintas.keys import Identity, SigningKey, load_identity
from lintas.line import Line, check, parse
from lintas.note import SignerKey
from lintas.orders import Order, open_order
from lintas.quorum import Policy, Witnessed
from lintas.receipt import Logged, check_receipt, parse_receipt
from lintas.session import Session
from lintas.state import State
from lintas.wire import Answer, Operation, Published, Pulled, Request, Response
from lintas.witness import Attended

PAUSES_S = (0.2, 1.0, 3.0, None)
"""Pauses between the attempts at one request; None ends them and the hub counts as unreachable."""

TIMEOUT_S = 60.0
FOLLOW_S = 5.0
"""Pause between two looks at the feed when nothing is new."""

UNAVAILABLE = 503

RESPONSE_BYTES_MAX = 256 * 1024 * 1024
"""A page holds at most 500 bulletins of 256 KiB; a hub that sends more is not listened to."""

T = TypeVar("T")


class Face:
    """What both clients offer without talking to the hub."""

    def __init__(self, identity: Identity, state: State, clock: Clock) -> None:
        self.session = Session(identity, state, clock)

    @property
    def party(self) -> str:
        """Who this client acts as."""
        return self.session.party

    @property
    def directory(self) -> Directory:
        """Partners, keys, communities as proven from the log so far (`sync` brings it up to date)."""
        return self.session.directory

    def token(self) -> str:
        """Return a read token for other tools (`Authorization: Bearer`), good for at most 300 seconds."""
        return self.session.token()

    def recipients(self, draft: Draft) -> tuple[str, ...]:
        """Return whom a draft would go to: show this before signing."""
        return self.session.recipients(draft)

    def sign(self, draft: Draft, *, release_to: Sequence[str] | None = None) -> Line:
        """Sign a draft for these recipients, by default those it resolves to. Nothing is sent."""
        return self.session.sign_bulletin(draft, release_to=release_to or self.recipients(draft))

    def enqueue(self, draft: Draft, *, tag: str) -> bool:
        """Sign a draft and keep it in the outbox for `flush`; False when this tag was used before."""
        return self.session.enqueue(draft, tag=tag)

    def open_order(self, raw: bytes) -> Order:
        """Return what a line of another administrator orders, its signature checked against the proven directory."""
        line = parse(raw, ORDER)
        check_signatures(self.directory, line)
        return open_order(line)

    def verify(self, raw: bytes, receipt: bytes) -> Logged:
        """Verify a saved line and its receipt offline, with the pinned log key and the keys known so far.

        Raises BadReceipt or Unverified. Returns where and when the line stands in the log.
        """
        line = parse(raw)
        logged = check_receipt(
            parse_receipt(receipt), line_id=line.id, origin=self.session.origin, key=self.session.log_key
        )
        try:
            check(line, self.directory.key(line.header.kid, line.header.iss).public)
        except Refusal as fault:
            raise Unverified(str(fault)) from fault
        return logged

    def judge(self, receipt: bytes, policy: Policy) -> Witnessed:
        """Return which witnesses of a policy cosigned the checkpoint of a receipt, and whether that is enough."""
        return quorum.judge(parse_receipt(receipt).checkpoint, key=self.session.log_key, policy=policy)


class Client(Face):
    """A client for scripts and threads. Close it, or use it in a ``with`` statement.

    >>> with Client.open("my-police.json", passphrase) as client:  # doctest: +SKIP
    ...     for bulletin in client.follow(once=True):
    ...         print(bulletin.content.title)
    """

    def __init__(
        self, identity: Identity, state: State, *, clock: Clock = now_us, transport: httpx.BaseTransport | None = None
    ) -> None:
        """Act as this identity with this memory; `transport` is for tests."""
        super().__init__(identity, state, clock)
        self._http = httpx.Client(base_url=identity.hub.url, timeout=TIMEOUT_S, transport=transport)

    @classmethod
    def open(cls, path: str | Path, passphrase: bytes, *, hub: str | None = None) -> Client:
        """Open an identity file and the state beside it; `hub` overrides the address, never the pinned name or key."""
        identity = load_identity(Path(path), passphrase)
        if hub is not None:
            identity = identity.with_url(hub)
        return cls(identity, open_state(Path(path), identity))

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
                request = operation.send(self._talk(request))
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
            else:
                if answer.status != UNAVAILABLE or pause_s is None:
                    return answer
            time.sleep(pause_s)
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

    def flush(self) -> list[Published | Refusal]:
        """Send everything that waits in the outbox; one outcome a line."""
        return self.run(wire.flush(self.session))

    def pull(self) -> Pulled:
        """Return the next verified page of the feed; `confirm` it once its items are taken over."""
        return self.run(wire.pull(self.session))

    def confirm(self, pulled: Pulled) -> None:
        """Move the cursor past a page; raise Withheld if the hub kept back what the log released."""
        feed.confirm_page(self.session, pulled.page, pulled.items)

    def follow(self, *, once: bool = False, pause_s: float = FOLLOW_S) -> Iterator[Received]:
        """Yield verified bulletins in log order, for ever or until the present; the cursor is kept on disk."""
        while True:
            pulled = self.pull()
            for item in pulled.items:
                yield item
                # Control is back, so it was taken over: one killed in the middle of a page goes on with the next item.
                feed.confirm_item(self.session, item)
            self.confirm(pulled)
            if pulled.page.is_last:
                if once:
                    return
                time.sleep(pause_s)

    def fetch(self, line_id: str) -> Received:
        """Return one verified bulletin."""
        return self.run(wire.fetch(self.session, line_id))

    def receipt(self, line_id: str, policy: Policy | None = None) -> bytes:
        """Return the verified receipt of a bulletin, witnessed as the policy demands if one is given."""
        return self.run(wire.receipt(self.session, line_id, policy))

    def attend(self, key: SignerKey) -> Attended:
        """Look at the log as a witness and cosign what is new; the client's memory must be the witness's own."""
        return self.run(witness.attend(self.session, key))

    def enrol(self, *, invite: str | None, code: str, holder: str) -> Answer:
        """Ask for the admission of this identity's key."""
        return self.run(wire.enrol(self.session, invite=invite, code=code, holder=holder))

    def rotate(self, new: SigningKey, *, holder: str, overlap_s: int) -> Answer:
        """Hand over to a new key."""
        return self.run(
            wire.post_key(self.session, self.session.sign_rotation(new, holder=holder, overlap_s=overlap_s))
        )

    def revoke(self, reason: str, since: int) -> Answer:
        """End this identity's key at once."""
        return self.run(wire.post_key(self.session, self.session.sign_revocation(reason, since)))

    def order(self, act: str, arguments: Mapping[str, Any]) -> Answer:
        """Give an administrator's order; `needs_second` tells whether another one must countersign."""
        return self.run(wire.post_order(self.session, self.session.sign_order(act, arguments)))

    def countersign(self, first: bytes) -> Answer:
        """Give another administrator's order together with them. Read it first: `open_order` shows what it does."""
        return self.run(wire.post_order(self.session, self.session.countersign(parse(first, ORDER))))

    def admin_events(self, **filters: str | int | None) -> dict[str, Any]:
        """Read a page of the audit log (`since_`, `until`, `kind`, `party`, ...)."""
        return self.run(wire.admin_events(self.session, **filters))

    def admin_view(self, view: str) -> dict[str, Any]:
        """Read partners, keys, grants, orders or stats as an administrator."""
        return self.run(wire.admin_view(self.session, view))


def open_state(identity_path: Path, identity: Identity) -> State:
    """Open the state file that stands beside an identity file (``my-police.json`` -> ``my-police.state``)."""
    return State(identity_path.with_suffix(".state"), log_key=identity.hub.log_key)


class Room:
    """How much of one response may still be taken."""

    def __init__(self) -> None:
        """Begin with the limit."""
        self._left = RESPONSE_BYTES_MAX

    def take(self, chunk: bytes) -> bytes:
        """Return the chunk, or raise HubUnreachable when the response is larger than any hub needs."""
        self._left -= len(chunk)
        if self._left < 0:
            raise HubUnreachable(f"The answer is larger than {RESPONSE_BYTES_MAX} bytes; it was not read.")
        return chunk


def parts_of(request: Request) -> dict[str, Any]:
    """Return an operation's request as httpx takes it."""
    headers = dict(request.headers) | {"Accept-Encoding": "identity"}
    if request.media:
        headers["Content-Type"] = request.media
    return {"method": request.method, "url": request.path, "content": request.body or None, "headers": headers}


def response_of(answer: httpx.Response, body: bytes) -> Response:
    """Return what an operation needs of httpx's response."""
    return Response(answer.status_code, {name.lower(): value for name, value in answer.headers.items()}, body)
