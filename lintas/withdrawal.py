"""Whether what was withdrawn or purged may be so: the hub's word alone hides no bulletin.

A row that says "recalled by R" or "superseded by S" is believed once R or S was verified and says so, signed by the
issuer of what it withdraws. A purge is believed for what ended, or for what a verified recall ended. What has ended by
our own knowledge needs no proof: the hub could as well have said that it expired.
Spec: docs/spec/log.md (purge, withdrawals).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from lintas import bulletin, purge
from lintas.directory import SKEW_S, Directory
from lintas.errors import InconsistentLog, Unverified
from lintas.event import Event
from lintas.line import Line, parse
from lintas.session import Session
from lintas.state import Released, Withdrawal

if TYPE_CHECKING:
    from lintas.feed import Received

RELATIONS = {"recalled": "recalls", "superseded": "supersedes"}
"""States of a row, and what the line that caused it says."""

PART = "recalls-part"
UNPROVEN = "unproven"
"""The mark of a bulletin whose successor is gone itself, with good reason, so that nothing can prove it."""


def said_by(line: Line, content: bulletin.Bulletin | None) -> list[Withdrawal]:
    """Return what a verified bulletin withdraws."""
    recalls = PART if content is not None and bulletin.is_partial_recall(content) else "recalls"
    kinds = (("recalls", recalls), ("supersedes", "supersedes"))
    return [
        Withdrawal(target, line.id, relation, line.header.iss)
        for name, relation in kinds
        for target in line.header.targets(name)
    ]


def proven(session: Session, target: str) -> list[Withdrawal]:
    """Return what the issuer of a bulletin is known to have said of it; of an unknown issuer, what anybody said."""
    issuer = session.state.issuer(target)
    return [each for each in session.state.withdrawals(target) if issuer in (None, each.iss)]


def is_proven(session: Session, target: str, by: str, relation: str) -> bool:
    """Tell whether `by` was verified and says this of the bulletin."""
    return any((each.by, each.relation) == (by, relation) for each in proven(session, target))


def is_over(session: Session, line_id: str) -> bool:
    """Tell whether a bulletin has ended by what the log or our own outbox says of it."""
    end = _end(session, line_id)
    return end is not None and end <= session.now() + SKEW_S


def is_beyond(session: Session, line_id: str) -> bool:
    """Tell whether our present grants or a suspension keep us from a bulletin that was released to us."""
    released = session.state.released([line_id]).get(line_id)
    return released is not None and not may_read(session.directory, session.party, released)


def may_read(directory: Directory, party: str, released: Released) -> bool:
    """Tell whether a bulletin that was released to us must come to us, as our grants and standing are."""
    is_granted = released.beyond or directory.grant(party).may_read(released.topic, released.tlp)
    return is_granted and not directory.is_suspended(party)


def missing(session: Session, found: Iterable[Received]) -> list[str]:
    """Return the lines that must be seen before these rows, or purges, are believed."""
    wanted = [by for line_id, by in session.state.unproven_purges().items() if not _is_recalled(session, line_id, by)]
    for row in found:
        if row.state in RELATIONS and row.by is not None and not is_over(session, row.id):
            claims = [(row.by, RELATIONS[row.state])]
        else:
            claims = [(by, PART) for by in row.recalled_by]
        wanted += [by for by, relation in claims if not is_proven(session, row.id, by, relation)]
    return list(dict.fromkeys(wanted))


def marks_of(session: Session, row: Received, gone: Collection[str]) -> tuple[str, ...]:
    """Return the marks of a row that says its bulletin was withdrawn; raise Unverified when nothing proves that.

    `gone` are lines that cannot be seen any more, with good reason.
    """
    if row.state not in RELATIONS or row.by is None or is_over(session, row.id):
        return ()
    if is_proven(session, row.id, row.by, RELATIONS[row.state]):
        return ()
    if row.state == "superseded" and row.by in gone:
        return (UNPROVEN,)
    raise Unverified(f"Bulletin {row.by} does not say that {row.id} was {row.state}.")


def take_purge(session: Session, event: Event) -> None:
    """Take over a purge from the log; raise InconsistentLog when it takes what it may not."""
    found, state = purge.read(event), session.state
    if found.at > session.now() + SKEW_S:
        raise InconsistentLog("A purge is dated in the future.")
    for number, entry in found.emptied:
        if state.is_kept(event.party, number):
            raise InconsistentLog(f"A purge names event {number} of {event.party}, which is never purged.")
        hole = state.take_hole(event.party, number)
        if hole is not None and hole[0] != entry:
            raise InconsistentLog(f"A purge names another event than number {number} of {event.party}.")
        if hole is not None and found.at < hole[1] + purge.GRACE_S - SKEW_S:
            raise InconsistentLog(f"Event {number} of {event.party} lost its body within a day.")
    for line_id, by in zip(found.ids, found.by, strict=True):
        state.add_purged(line_id, unproven=_unproven(session, line_id, by))


def prove_purges(session: Session) -> None:
    """Demand that every purge before its time is proven by now; raise InconsistentLog."""
    for line_id, by in session.state.unproven_purges().items():
        if not is_over(session, line_id) and not _is_recalled(session, line_id, by):
            raise InconsistentLog(f"Bulletin {line_id} was purged, but {by} does not recall it.")
        session.state.prove_purged(line_id)


def _unproven(session: Session, line_id: str, by: str | None) -> str | None:
    # Administrators read no bulletins: they cannot check, and lose none.
    if _end(session, line_id) is None or is_over(session, line_id) or session.party.startswith("admin/"):
        return None
    if by is None:
        raise InconsistentLog(f"Bulletin {line_id} was purged while it stands.")
    return by


def _is_recalled(session: Session, line_id: str, by: str) -> bool:
    return is_proven(session, line_id, by, "recalls")


def _end(session: Session, line_id: str) -> int | None:
    """Return when a bulletin ends, or None when neither the log nor our outbox told us."""
    released = session.state.released([line_id])
    if line_id in released:
        return released[line_id].exp
    raw = session.state.sent_line(line_id)
    return None if raw is None else parse(raw).header.exp
