"""Signing in to the console by a link that is good once.

Whoever holds a key asks for a link with a token of it; the browser that opens the link within a minute and confirms
gets a session. The hub keeps digests of code and cookie alone. A session belongs to the key that began it: it ends with
the key, with the suspension of its party, after half an hour without a page, after eight hours, or when the key begins
another one. Every beginning and every refusal of a link that there was is an event.
Spec: docs/spec/http.md, docs/spec/log.md.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from broker.auth import Caller
from broker.batch import Batch
from broker.store import sessions
from broker.store.sessions import Link, Session
from lintas.directory import Directory
from lintas.errors import NotAllowed, PartnerSuspended, Refusal, Unauthorized

LINK_S = 60
"""A link is opened by the one who asked for it, at once."""

KEPT_S = 3_600
"""A link that has ended is remembered for so long, so that whoever tries it is on record."""

IDLE_S = 30 * 60
LIFE_S = 8 * 3_600
"""A session ends after half an hour without a page, and after a shift."""

CODE_BYTES = 32

REVIEWER, OPERATOR, OFFICER = "reviewer", "operator", "officer"
ADMIN_ROLES = frozenset({REVIEWER, OPERATOR})

SIGNED_OUT, EXPIRED = "signed-out", "expired"
QUIET = frozenset({SIGNED_OUT, EXPIRED})
"""Reasons for which sessions end every day."""

WHY = {
    "unknown": "This link is unknown. Ask for another one.",
    "used": "This link was used before. If that was not you, revoke your key; otherwise ask for another one.",
    "late": "This link is older than a minute. Ask for another one.",
    "unknown-session": "You are not signed in.",
    EXPIRED: "Your session has ended: half an hour without a page, or eight hours in all.",
    "other-browser": "This session began in another browser. It has ended; sign in again.",
    "key": "The key that signed you in is no longer active.",
    "suspended": "A suspended party has no console.",
}
"""What is told to whoever asks, by reason."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who looks at the console: the party, the key that signed it in, its role, its session."""

    party: str
    kid: str
    role: str
    session: bytes
    browser: bytes
    begun: int

    @property
    def is_admin(self) -> bool:
        """Tell whether this is an administrator, who sees the whole log and no content."""
        return self.role in ADMIN_ROLES

    @property
    def is_operator(self) -> bool:
        """Tell whether this administrator also sees how the hub runs."""
        return self.role == OPERATOR

    @property
    def end_us(self) -> int:
        """When the session ends at the latest, in Unix microseconds."""
        return (self.begun + LIFE_S) * 1_000_000

    @property
    def caller(self) -> Caller:
        """The same as what reads by token are asked with."""
        return Caller(self.party, self.kid, "admin" if self.is_admin else "read", self.begun + LIFE_S)


def digest(secret: str) -> bytes:
    """Return what the hub keeps of a code or a cookie."""
    return hashlib.sha256(secret.encode()).digest()


def role_for(caller: Caller, wanted: str | None) -> str:
    """Return the role that a caller signs in with; raise NotAllowed for one it cannot have."""
    role = wanted or (REVIEWER if caller.is_admin else OFFICER)
    if (role in ADMIN_ROLES) != caller.is_admin or role not in {*ADMIN_ROLES, OFFICER}:
        raise NotAllowed("Administrators sign in as reviewer or operator, agencies as officer.", member="role")
    return role


def offer(batch: Batch, caller: Caller, role: str, code: str) -> Link | Refusal:
    """Make a link for a caller, and forget what is long over."""
    reason = key_fault(batch.directory, caller.kid, caller.party, batch.now)
    if reason is not None:
        return refusal_for(reason)
    sessions.sweep(batch.conn, links_before=batch.now - KEPT_S, begun_before=batch.now - LIFE_S)
    new = Link(digest(code), caller.party, caller.kid, role, batch.now + LINK_S)
    sessions.add_link(batch.conn, new)
    batch.append("session.offered", caller.party, detail={"role": role, "kid": caller.kid})
    return new


def begin(batch: Batch, code: str, cookie: str, browser: bytes) -> Session | Refusal:
    """Use a link up: begin a session for its party, or refuse it on record. An unknown one makes no event."""
    found = sessions.link_of(batch.conn, digest(code))
    if found is None:
        return refusal_for("unknown")
    reason = link_fault(found, batch.directory, batch.now)
    if reason is not None:
        # Once: that it was tried is on record, whoever tries it a third time is a stranger.
        sessions.drop_link(batch.conn, found.digest)
        batch.append("session.refused", found.party, detail={"role": found.role, "kid": found.kid, "reason": reason})
        return refusal_for(reason)
    sessions.use_link(batch.conn, found.digest, batch.now)
    ended = sessions.drop_of_key(batch.conn, found.kid)
    new = Session(digest(cookie), found.party, found.kid, found.role, browser, batch.now, batch.now)
    sessions.add(batch.conn, new)
    batch.append("session.begun", found.party, detail={"role": found.role, "kid": found.kid, "ended": ended})
    return new


def see(batch: Batch, visitor: Visitor) -> Refusal | None:
    """Note that a session asked for a page; end it and return why if it may not."""
    found = sessions.session_of(batch.conn, visitor.session)
    reason = session_fault(found, batch.directory, visitor.browser, batch.now)
    if reason is None:
        sessions.see(batch.conn, visitor.session, batch.now)
        return None
    if found is not None:
        end(batch, found, reason)
    return refusal_for(reason)


def end(batch: Batch, found: Session, reason: str) -> None:
    """End a session, on record with its reason."""
    sessions.drop(batch.conn, found.digest)
    kind = "session.ended" if reason in QUIET else "session.refused"
    batch.append(kind, found.party, detail={"role": found.role, "kid": found.kid, "reason": reason})


def link_fault(found: Link, directory: Directory, now: int) -> str | None:
    """Return why a link signs nobody in, None if it does."""
    if found.used is not None:
        return "used"
    return "late" if now >= found.end else key_fault(directory, found.kid, found.party, now)


def session_fault(found: Session | None, directory: Directory, browser: bytes, now: int) -> str | None:
    """Return why a session is good for nothing now, None if it is good."""
    if found is None:
        return "unknown-session"
    if now >= min(found.begun + LIFE_S, found.seen + IDLE_S):
        return "expired"
    if found.browser != browser:
        return "other-browser"
    return key_fault(directory, found.kid, found.party, now)


def key_fault(directory: Directory, kid: str, party: str, now: int) -> str | None:
    """Return why a key signs nobody in, None if it may."""
    try:
        directory.active_key(kid, party, now)
    except Refusal:
        return "key"
    return "suspended" if directory.is_suspended(party) else None


def refusal_for(reason: str) -> Refusal:
    """Return the refusal that says this to whoever asked."""
    return PartnerSuspended(WHY[reason]) if reason == "suspended" else Unauthorized(WHY[reason])
