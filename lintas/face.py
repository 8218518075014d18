"""What both clients offer without talking to the hub."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import suppress
from typing import Self

from lintas import feed, quorum
from lintas.clock import Clock
from lintas.decide import check_signatures
from lintas.directory import Directory
from lintas.draft import Draft
from lintas.epoch import check_epochs
from lintas.errors import BadCheckpoint, Refusal, Unverified
from lintas.feed import Received
from lintas.header import ORDER
from lintas.keys import Identity
from lintas.line import Line, check, parse
from lintas.lint import Finding
from lintas.orders import Order, open_order
from lintas.quorum import Policy, Witnessed
from lintas.receipt import Logged, check_receipt, parse_receipt
from lintas.request import Request, Response
from lintas.session import Session
from lintas.state import State


class Face:
    """What both clients offer without talking to the hub."""

    def __init__(self, identity: Identity, state: State, clock: Clock) -> None:
        self.session = Session(identity, state, clock)

    def checked(self, request: Request, response: Response) -> Response:
        """Return an answer; raise NewEpoch when it says that it is of a later epoch of the log than is pinned."""
        shown = response.headers.get("lintas-log")
        if shown is not None and not request.any_epoch:
            with suppress(BadCheckpoint):
                check_epochs(shown, self.session.origin)
        return response

    @property
    def party(self) -> str:
        """Who this client acts as."""
        return self.session.party

    @property
    def directory(self) -> Directory:
        """Partners, keys, communities as proven from the log so far (`sync` brings it up to date)."""
        return self.session.directory

    def token(self, scope: str = "read") -> str:
        """Return a token for other tools (`Authorization: Bearer`), to `read` or `subscribe`, for 300 seconds."""
        return self.session.token(scope)

    def with_purpose(self, purpose: str, case_ref: str, *, officer: str | None = None) -> Self:
        """Return this client with a reason to read: a purpose of the vocabulary, a case, by which post.

        It goes into each of its tokens and is recorded with what they open. Connection and memory are shared.
        """
        found = copy.copy(self)
        found.session = self.session.with_purpose(purpose, case_ref, officer)
        return found

    def recipients(self, draft: Draft) -> tuple[str, ...]:
        """Return whom a draft would go to: show this before signing."""
        return self.session.recipients(draft)

    def lint(self, draft: Draft) -> tuple[Finding, ...]:
        """Return what the data-protection checks find in a draft; what refuses cannot be signed."""
        return self.session.lint(draft)

    def sign(self, draft: Draft, *, release_to: Sequence[str] | None = None) -> Line:
        """Sign a draft for these recipients, by default those it resolves to. Nothing is sent.

        Raises DataProtection for what `lint` refuses.
        """
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
        """Verify a saved line and its receipt offline, with the log's keys and the partners' keys known so far.

        Raises BadReceipt or Unverified. Returns where and when the line stands in the log.
        """
        line = parse(raw)
        logged = check_receipt(
            parse_receipt(receipt), line_id=line.id, origin=self.session.origin, key=self.session.log_keys
        )
        try:
            check(line, self.directory.key(line.header.kid, line.header.iss).public)
        except Refusal as fault:
            raise Unverified(str(fault)) from fault
        return logged

    def verify_line(self, raw: bytes, *, seq: int) -> Received:
        """Verify a bulletin that is said to stand at this index of the log, as a webhook brings it.

        With the keys known so far (`sync`); raises Unverified. Whether it was recalled since, `fetch` tells.
        """
        return feed.verify_line(self.session, raw, seq=seq)

    def judge(self, receipt: bytes, policy: Policy) -> Witnessed:
        """Return which witnesses of a policy cosigned the checkpoint of a receipt, and whether that is enough."""
        return quorum.judge(parse_receipt(receipt).checkpoint, key=self.session.log_keys, policy=policy)
