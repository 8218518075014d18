"""Rows about who is signed in to the console: one-time links, browsers."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import Connection, delete, insert, select, update

from broker.store.tables import link, session


@dataclass(frozen=True, slots=True)
class Link:
    """A link that signs somebody in, once, before `end`; `used` is when it was."""

    digest: bytes
    party: str
    kid: str
    role: str
    end: int
    used: int | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that is signed in. Times are Unix seconds."""

    digest: bytes
    party: str
    kid: str
    role: str
    browser: bytes
    begun: int
    seen: int


def add_link(conn: Connection, new: Link) -> None:
    """Keep a link."""
    conn.execute(insert(link), asdict(new))


def link_of(conn: Connection, digest: bytes) -> Link | None:
    """Return a link by the digest of its code."""
    row = conn.execute(select(link).where(link.c.digest == digest)).first()
    return None if row is None else Link(*row)


def use_link(conn: Connection, digest: bytes, now: int) -> None:
    """Note that a link was used."""
    conn.execute(update(link).where(link.c.digest == digest).values(used=now))


def drop_link(conn: Connection, digest: bytes) -> None:
    """Forget a link."""
    conn.execute(delete(link).where(link.c.digest == digest))


def add(conn: Connection, new: Session) -> None:
    """Keep a session."""
    conn.execute(insert(session), asdict(new))


def session_of(conn: Connection, digest: bytes) -> Session | None:
    """Return a session by the digest of its cookie."""
    row = conn.execute(select(session).where(session.c.digest == digest)).first()
    return None if row is None else Session(*row)


def see(conn: Connection, digest: bytes, now: int) -> None:
    """Note that a session asked for a page."""
    conn.execute(update(session).where(session.c.digest == digest).values(seen=now))


def drop(conn: Connection, digest: bytes) -> None:
    """Forget a session."""
    conn.execute(delete(session).where(session.c.digest == digest))


def drop_of_key(conn: Connection, kid: str) -> int:
    """Forget the sessions that a key began; return how many there were."""
    return conn.execute(delete(session).where(session.c.kid == kid)).rowcount


def sweep(conn: Connection, *, links_before: int, begun_before: int) -> None:
    """Forget links that ended before a time, and sessions that began before one."""
    conn.execute(delete(link).where(link.c.end < links_before))
    conn.execute(delete(session).where(session.c.begun < begun_before))
