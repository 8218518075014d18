"""The pages of partners: who is admitted, with which keys, what waits for an administrator's signature.

Nothing is ordered here: what waits is shown with the command that signs it, where the key is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastapi import APIRouter, Request, Response

from broker import approvals
from broker.delivery import in_reader
from broker.sessions import Visitor
from broker.store import log, troubles
from broker.store.engine import Connection
from broker.store.troubles import Hook
from broker.survey import EXPIRY_S
from broker.web.console.rendering import Page, render
from broker.web.console.session import record_view, visitor_of
from broker.web.http import hub_of
from lintas import vocabulary
from lintas.directory import Directory, Grant, KeyRecord, OpeningRecord
from lintas.errors import NotFound
from lintas.event import US_PER_S
from lintas.header import is_agency

STATES = ("pending", "active", "superseded", "expired", "revoked")
"""Of keys, in the order in which they are shown."""

INVITE = "invite"
SIMULATED = " (SIMULATED)"

router = APIRouter(route_class=Page)


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is shown. `used` are the times (microseconds) of the first and last line it signed, if any."""

    record: KeyRecord
    state: str
    ends_soon: bool
    used: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Partner:
    """A party as it is shown. What the visitor may not know of it is None or empty.

    `last_us` is the time of its newest event.
    """

    id: str
    name: str
    country: str
    state: str
    keys: Sequence[Key]
    opening: OpeningRecord | None
    grant: Grant | None = None
    hooks: Sequence[Hook] = ()
    last_us: int | None = None

    @property
    def key(self) -> Key | None:
        """The key that signs, the newest of several; None when none does."""
        active = [each for each in self.keys if each.state == "active"]
        return max(active, key=lambda each: each.record.enrolled_seq, default=None)

    @property
    def pending(self) -> int:
        """Keys that wait for approval or for their time."""
        return sum(each.state == "pending" for each in self.keys)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something that waits for an administrator: what, from whom, since when, the command that signs it."""

    what: str
    party: str
    time_us: int
    fingerprint: str | None
    command: str


@router.get("/console/partners")
async def partners(request: Request) -> Response:
    """Show every partner; administrators also see grants, webhooks, last use, administrators, what waits."""
    visitor = await visitor_of(request)
    hub = hub_of(request)
    await record_view(hub, visitor, "partners")
    now, directory = hub.now(), hub.directory
    shown, admins, waiting = await in_reader(hub, lambda conn: _listed(conn, directory, visitor, now))
    return render(
        request,
        "partners.html",
        partners=shown,
        admins=admins,
        waiting=waiting,
        two_person=directory.two_person,
        communities=sorted(directory.communities.items()),
    )


@router.get("/console/partners/{party}")
@router.get("/console/partners/admin/{name}")
async def partner(request: Request, party: str = "", name: str = "") -> Response:
    """Show one partner, or an administrator to administrators."""
    visitor = await visitor_of(request)
    hub = hub_of(request)
    asked = f"admin/{name}" if name else party
    if not _is_known(hub.directory, asked, visitor):
        raise NotFound
    await record_view(hub, visitor, "partner", {"asked": asked})
    now, directory = hub.now(), hub.directory
    found, waiting = await in_reader(hub, lambda conn: _one(conn, directory, asked, visitor, now))
    return render(
        request,
        "partner.html",
        partner=found,
        waiting=waiting,
        communities=sorted(community for community, members in directory.communities.items() if asked in members),
        is_admin_party=bool(name),
        is_own=asked == visitor.party,
        now_s=now,
    )


def _is_known(directory: Directory, party: str, visitor: Visitor) -> bool:
    if is_agency(party):
        return party in directory.partners or (
            visitor.is_admin and any(k.party == party for k in directory.keys.values())
        )
    return visitor.is_admin and any(key.party == party for key in directory.keys.values())


def _listed(
    conn: Connection, directory: Directory, visitor: Visitor, now: int
) -> tuple[list[Partner], list[Partner], list[Waiting]]:
    agencies = sorted(directory.partners)
    shown = [look(directory, agency, visitor, now=now) for agency in agencies]
    if not visitor.is_admin:
        hooks = [hook for hook in troubles.hooks(conn) if hook.agency == visitor.party]
        return [replace(each, hooks=hooks) if each.id == visitor.party else each for each in shown], [], []
    admins = [look(directory, party, visitor, now=now) for party in sorted(directory.admins)]
    times = _last_times(conn, [*agencies, *directory.admins])
    hooks = troubles.hooks(conn)
    shown = [
        replace(each, hooks=[hook for hook in hooks if hook.agency == each.id], last_us=times.get(each.id))
        for each in shown
    ]
    admins = [replace(each, last_us=times.get(each.id)) for each in admins]
    return shown, admins, waiting_for(conn, directory, now=now)


def _one(
    conn: Connection, directory: Directory, party: str, visitor: Visitor, now: int
) -> tuple[Partner, list[Waiting]]:
    found = look(directory, party, visitor, now=now)
    if not (visitor.is_admin or party == visitor.party):
        return found, []
    hooks = [hook for hook in troubles.hooks(conn) if hook.agency == party]
    keys = [replace(key, used=_used(conn, key.record)) for key in found.keys]
    found = replace(found, hooks=hooks, keys=keys, last_us=_last_times(conn, [party]).get(party))
    waiting = waiting_for(conn, directory, now=now) if visitor.is_admin else []
    return found, [each for each in waiting if each.party == party]


def look(directory: Directory, party: str, visitor: Visitor, *, now: int) -> Partner:
    """Return a party from the directory, as far as the visitor may know it."""
    known = vocabulary.load().agencies.get(party)
    suspended = directory.is_suspended(party) or party in directory.suspended_admins
    may_see_grant = visitor.is_admin or party == visitor.party
    keys = sorted(
        (Key(key, key.state(now), _ends_soon(key, now)) for key in directory.keys.values() if key.party == party),
        key=lambda each: (STATES.index(each.state), -each.record.enrolled_seq),
    )
    return Partner(
        id=party,
        # Every page says that all of them are simulated.
        name=known.name.removesuffix(SIMULATED) if known else party,
        country=known.country if known else party[:2].upper(),
        state="suspended" if suspended else "active" if party in directory.partners or known is None else "invited",
        keys=keys,
        opening=directory.opening_key(party, now) if party in directory.partners else None,
        grant=directory.grant(party) if may_see_grant and party in directory.partners else None,
    )


def _ends_soon(key: KeyRecord, now: int) -> bool:
    return key.state(now) == "active" and key.not_after <= now + EXPIRY_S


def _last_times(conn: Connection, parties: Sequence[str]) -> Mapping[str, int]:
    seqs = troubles.newest_seqs(conn, parties)
    times = log.times(conn, list(seqs.values()))
    return {party: times[seq] for party, seq in seqs.items()}


def _used(conn: Connection, key: KeyRecord) -> tuple[int, int] | None:
    seqs = troubles.signed_seqs(conn, key.party, key.kid)
    if seqs is None:
        return None
    times = log.times(conn, seqs)
    return times[seqs[0]], times[seqs[1]]


def waiting_for(conn: Connection, directory: Directory, *, now: int) -> list[Waiting]:
    """Return what waits for an administrator, the oldest first."""
    keys = [
        Waiting(
            "key to approve",
            key.party,
            key.enrolled_at * US_PER_S,
            key.kid,
            f"lintas admin approve {key.party} {key.kid}",
        )
        for key in directory.keys.values()
        if key.state(now) == "pending" and key.active_from is None
    ]
    orders = [
        Waiting(
            _order_words(detail),
            str(detail.get("agency", detail.get("name", ""))),
            time,
            None,
            countersign(order_id, detail),
        )
        for order_id, (detail, time) in approvals.waiting(conn, now=now).items()
    ]
    return sorted([*keys, *orders], key=lambda each: each.time_us)


def countersign(order_id: str, detail: Mapping[str, Any]) -> str:
    """Return the command with which a second administrator signs an order; an invitation is written to a file."""
    out = " --out invite.json" if detail["act"] == INVITE else ""
    return f"lintas admin countersign {order_id}{out}"


def _order_words(detail: Mapping[str, Any]) -> str:
    kid = f" of {str(detail['kid'])[:10]}…" if "kid" in detail else ""
    return f"order: {detail['act']}{kid}"
