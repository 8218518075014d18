"""The partner directory, derived from key events.

One reducer serves the hub (its state in memory) and every client (its own view, proven from the log): `changes` decides
what a key line or an order does at a given time, or refuses it; `apply` carries one such change out. Replaying the
events of party ``*`` therefore gives a client the same directory as the hub's, and an event that no line justifies is
refused. Grants are told only to their agency, so a client's directory holds its own alone.
Spec: docs/spec/directory.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from lintas.errors import ForeignLine, FromTheFuture, KeyNotActive, NotAllowed, Stale, UnknownKey
from lintas.header import Header
from lintas.log_keys import LogKeys, opened
from lintas.read_token import ReadToken, issued, not_ordered_by, without
from lintas.strict import unb64u
from lintas.vocabulary import tlp_rank, topic_covers

FRESH_S = 24 * 3600
"""A line is first accepted within a day of its signing; longer outages sign anew."""

SKEW_S = 120
"""A sender's clock may run this far ahead."""

ROTATION_DELAY_S = 24 * 3600
"""A rotated key acts after a day, so that a thief cannot settle in before the agency is alerted."""

EVERY_PARTNER = "*"
"""The party of events that every partner may read."""


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One key and its history. Times are Unix seconds, seqs are log indexes."""

    kid: str
    party: str
    public: bytes
    holder: str
    not_before: int
    not_after: int
    enrolled_seq: int
    enrolled_at: int
    active_from: int | None = None
    approved_seq: int | None = None
    parent: str | None = None
    superseded_at: int | None = None
    revoked_seq: int | None = None
    revoked_reason: str | None = None
    revoked_since: int | None = None

    def has_stood(self, now: int) -> bool:
        """Tell whether it was admitted and never revoked; that it was replaced or is over does not count."""
        if self.revoked_seq is not None or self.active_from is None:
            return False
        return now >= max(self.active_from, self.not_before)

    def state(self, now: int) -> str:
        """Return pending, active, superseded, expired or revoked."""
        if self.revoked_seq is not None:
            return "revoked"
        if now >= self.not_after:
            return "expired"
        if self.active_from is None or now < max(self.active_from, self.not_before):
            return "pending"
        if self.superseded_at is not None and now >= self.superseded_at:
            return "superseded"
        return "active"

    def was_active(self, seq: int, iat: int) -> bool:
        """Judge a line by its place in the log: signed at `iat`, accepted at `seq`. Later states change nothing."""
        if self.active_from is None or self.enrolled_seq >= seq:
            return False
        started = self.approved_seq is not None and self.approved_seq < seq
        # A rotated key starts by time; acceptance may trail signing by a day, signing may lead by the skew.
        started = started or (self.parent is not None and iat + FRESH_S >= self.active_from)
        ended = self.revoked_seq is not None and self.revoked_seq < seq
        replaced = self.superseded_at is not None and iat - SKEW_S >= self.superseded_at
        return started and not ended and not replaced and self.not_before - FRESH_S <= iat < self.not_after + SKEW_S


@dataclass(frozen=True, slots=True)
class OpeningRecord:
    """A public opening key, told at `seq` by the signing key `by`. Nothing is sealed to it from `not_after` on."""

    kid: str
    party: str
    public: bytes
    not_after: int
    by: str
    seq: int
    at: int


@dataclass(frozen=True, slots=True)
class Partner:
    """An agency that was admitted. A suspended one may still fetch and send recalls."""

    id: str
    joined_seq: int
    suspended: bool = False


@dataclass(frozen=True, slots=True)
class Grant:
    """What an agency may publish and read: topics (a topic covers its sub-topics, ``*`` all) up to a TLP ceiling."""

    publish: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    ceiling: str = "CLEAR"

    def may_publish(self, topic: str) -> bool:
        """Tell whether a publishing grant covers this topic."""
        return _covers(self.publish, topic)

    def may_read(self, topic: str, tlp: str) -> bool:
        """Tell whether topic and marking lie within the reading grant and the ceiling."""
        return self.within_ceiling(tlp) and _covers(self.read, topic)

    def within_ceiling(self, tlp: str) -> bool:
        """Tell whether a marking is at or below the ceiling."""
        return tlp_rank(tlp) <= tlp_rank(self.ceiling)


@lru_cache(maxsize=4096)
def _covers(granted: tuple[str, ...], topic: str) -> bool:
    return any(topic_covers(each, topic) for each in granted)


NO_GRANT = Grant()


@dataclass(frozen=True, slots=True)
class Invite:
    """An open or used invitation; its id is the id of the order that made it."""

    id: str
    party: str
    made_at: int
    used: bool = False


def _empty() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Directory:
    """Partners, keys, grants, communities and invitations at one log index. Immutable: `apply` returns the next.

    `log_keys` are those of the log it is derived from, None before its first event. `openings` are the opening keys
    that each agency told, in order. `spent` are the lines of first persons whose orders took effect: each works once.
    `read_tokens` are those that were not ended, by id.
    """

    hub: str
    log_keys: LogKeys | None = None
    keys: Mapping[str, KeyRecord] = field(default_factory=_empty)
    openings: Mapping[str, tuple[OpeningRecord, ...]] = field(default_factory=_empty)
    partners: Mapping[str, Partner] = field(default_factory=_empty)
    grants: Mapping[str, Grant] = field(default_factory=_empty)
    communities: Mapping[str, tuple[str, ...]] = field(default_factory=_empty)
    invites: Mapping[str, Invite] = field(default_factory=_empty)
    read_tokens: Mapping[str, ReadToken] = field(default_factory=_empty)
    suspended_admins: frozenset[str] = frozenset()
    spent: frozenset[str] = frozenset()

    def key(self, kid: str, party: str) -> KeyRecord:
        """Return the record of this pair; a key of another party is as unknown as none (UnknownKey)."""
        record = self.keys.get(kid)
        if record is None or record.party != party:
            raise UnknownKey(member="kid")
        return record

    def active_key(self, kid: str, party: str, now: int) -> KeyRecord:
        """Return the record if it may sign now; raise UnknownKey or KeyNotActive."""
        record = self.key(kid, party)
        state = record.state(now)
        if state != "active":
            raise KeyNotActive(f"The key is {state}.", member="kid")
        if party in self.suspended_admins:
            raise NotAllowed("This administrator is suspended.", member="iss")
        return record

    def opening_key(self, agency: str, now: int) -> OpeningRecord | None:
        """Return what is sealed to for this agency: its newest opening key whose signing key stands, if any."""
        told = reversed(self.openings.get(agency, ()))
        return next((each for each in told if now < each.not_after and self.keys[each.by].has_stood(now)), None)

    def grant(self, agency: str) -> Grant:
        """Return what the agency may do; nothing unless an order said so."""
        return self.grants.get(agency, NO_GRANT)

    def is_suspended(self, agency: str) -> bool:
        """Tell whether the agency is suspended now."""
        partner = self.partners.get(agency)
        return partner is not None and partner.suspended

    @property
    def admins(self) -> frozenset[str]:
        """Every administrator that ever had an approved key."""
        return frozenset(
            key.party for key in self.keys.values() if key.active_from is not None and key.party.startswith("admin/")
        )

    @property
    def two_person(self) -> bool:
        """Tell whether two administrators must sign what touches keys and grants: from the second one on, for ever."""
        return len(self.admins) > 1

    def is_suspect(self, kid: str, accepted_at: int) -> bool:
        """Tell whether a bulletin accepted then was signed after its key was known to be compromised."""
        record = self.keys.get(kid)
        return record is not None and record.revoked_since is not None and accepted_at >= record.revoked_since


@dataclass(frozen=True, slots=True)
class Change:
    """One event that a key line or an order causes: its kind, its party, its routing facts."""

    kind: str
    party: str
    detail: Mapping[str, Any]


def check_fresh(header: Header, *, hub: str, now: int) -> None:
    """Refuse a line of another hub, of the future, or signed too long ago to be accepted for the first time."""
    if header.aud != hub:
        raise ForeignLine(member="aud")
    if header.iat > now + SKEW_S:
        raise FromTheFuture(member="iat")
    if header.iat < now - FRESH_S:
        raise Stale(member="iat")


def apply(directory: Directory, change: Change, *, seq: int, at: int) -> Directory:
    """Carry out a change logged at `seq` and second `at`. Kinds that change no state return the same directory."""
    step = _STEPS.get(change.kind)
    return directory if step is None else step(directory, change.detail, seq, at)


def _opened(directory: Directory, detail: Mapping[str, Any], _seq: int, _at: int) -> Directory:
    return replace(directory, hub=detail["hub"], log_keys=opened(detail))


def _log_key(directory: Directory, detail: Mapping[str, Any], seq: int, _at: int) -> Directory:
    assert directory.log_keys is not None
    return replace(directory, log_keys=directory.log_keys.then(seq, detail))


def _invited(directory: Directory, detail: Mapping[str, Any], _seq: int, at: int) -> Directory:
    invite = Invite(id=detail["invite"], party=detail["agency"], made_at=at)
    return replace(directory, invites={**directory.invites, invite.id: invite})


def _enrolled(directory: Directory, detail: Mapping[str, Any], seq: int, at: int) -> Directory:
    record = _record(detail, seq, at)
    invites = directory.invites
    if "invite" in detail:
        invites = {**invites, detail["invite"]: replace(invites[detail["invite"]], used=True)}
    return replace(directory, keys={**directory.keys, record.kid: record}, invites=invites)


def _approved(directory: Directory, detail: Mapping[str, Any], seq: int, at: int) -> Directory:
    record = replace(directory.keys[detail["kid"]], active_from=at, approved_seq=seq)
    keys = {**directory.keys, record.kid: record}
    if record.parent is not None:
        # Approved at once: the overlap keeps its length and starts now instead of tomorrow.
        parent = keys[record.parent]
        early = max(0, (directory.keys[record.kid].active_from or at) - at)
        keys[parent.kid] = replace(parent, superseded_at=(parent.superseded_at or at) - early)
    partners = directory.partners
    if not record.party.startswith("admin/") and record.party not in partners:
        partners = {**partners, record.party: Partner(id=record.party, joined_seq=seq)}
    return replace(directory, keys=keys, partners=partners)


def _rotated(directory: Directory, detail: Mapping[str, Any], seq: int, at: int) -> Directory:
    record = replace(_record(detail, seq, at), parent=detail["from"], active_from=detail["effective"])
    old = replace(directory.keys[detail["from"]], superseded_at=detail["overlap_until"])
    return replace(directory, keys={**directory.keys, record.kid: record, old.kid: old})


def _record(detail: Mapping[str, Any], seq: int, at: int) -> KeyRecord:
    return KeyRecord(
        kid=detail["kid"],
        party=detail["agency"],
        public=bytes.fromhex(detail["public"]),
        holder=detail["holder"],
        not_before=detail["not_before"],
        not_after=detail["not_after"],
        enrolled_seq=seq,
        enrolled_at=at,
    )


def _revoked(directory: Directory, detail: Mapping[str, Any], seq: int, _at: int) -> Directory:
    keys, kids = dict(directory.keys), (detail["kid"], *detail["also"])
    for kid in kids:
        keys[kid] = replace(
            keys[kid],
            revoked_seq=seq,
            revoked_reason=detail["reason"],
            revoked_since=detail["since"] if detail["reason"] == "keyCompromise" else None,
        )
    return replace(directory, keys=keys, read_tokens=not_ordered_by(directory.read_tokens, kids))


def _opening(directory: Directory, detail: Mapping[str, Any], seq: int, at: int) -> Directory:
    record = OpeningRecord(
        kid=detail["kid"],
        party=detail["agency"],
        public=unb64u(detail["public"]),
        not_after=detail["not_after"],
        by=detail["by"],
        seq=seq,
        at=at,
    )
    told = (*directory.openings.get(record.party, ()), record)
    return replace(directory, openings={**directory.openings, record.party: told})


def _suspended(directory: Directory, detail: Mapping[str, Any], _seq: int, _at: int) -> Directory:
    return _set_suspended(directory, detail["agency"], suspended=True)


def _resumed(directory: Directory, detail: Mapping[str, Any], _seq: int, _at: int) -> Directory:
    return _set_suspended(directory, detail["agency"], suspended=False)


def _set_suspended(directory: Directory, party: str, *, suspended: bool) -> Directory:
    if party.startswith("admin/"):
        admins = directory.suspended_admins
        return replace(directory, suspended_admins=admins | {party} if suspended else admins - {party})
    partner = replace(directory.partners[party], suspended=suspended)
    return replace(directory, partners={**directory.partners, party: partner})


def _granted(directory: Directory, detail: Mapping[str, Any], _seq: int, _at: int) -> Directory:
    agency = detail["agency"]
    grant = directory.grant(agency)
    if detail["act"] == "ceiling":
        grant = replace(grant, ceiling=detail["tlp"])
    else:
        grant = replace(grant, publish=tuple(detail["publish"]), read=tuple(detail["read"]))
    return replace(directory, grants={**directory.grants, agency: grant})


def _community(directory: Directory, detail: Mapping[str, Any], _seq: int, _at: int) -> Directory:
    communities = {name: members for name, members in directory.communities.items() if name != detail["name"]}
    if detail["members"]:
        communities[detail["name"]] = tuple(detail["members"])
    return replace(directory, communities=communities)


def _ordered(directory: Directory, detail: Mapping[str, Any], _seq: int, _at: int) -> Directory:
    return replace(directory, spent=directory.spent | {detail["first"]}) if "first" in detail else directory


def _token_issued(directory: Directory, detail: Mapping[str, Any], seq: int, at: int) -> Directory:
    return replace(directory, read_tokens=issued(directory.read_tokens, detail, seq=seq, at=at))


def _token_ended(directory: Directory, detail: Mapping[str, Any], _seq: int, _at: int) -> Directory:
    return replace(directory, read_tokens=without(directory.read_tokens, detail["token"]))


_STEPS = {
    "order.accepted": _ordered,
    "log.opened": _opened,
    "log.key": _log_key,
    "partner.invited": _invited,
    "key.enrolled": _enrolled,
    "key.approved": _approved,
    "key.rotated": _rotated,
    "key.revoked": _revoked,
    "key.opening": _opening,
    "partner.suspended": _suspended,
    "partner.resumed": _resumed,
    "grant.changed": _granted,
    "community.changed": _community,
    "token.issued": _token_issued,
    "token.ended": _token_ended,
}

CONTROL_KINDS = frozenset(_STEPS)
"""The kinds of event that a directory is derived from."""
