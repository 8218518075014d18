"""Who may publish what to whom; who may read it now.

Pure: decisions take the line, the directory, the lines it refers to and the time, and return values or raise a Refusal.
Only the signed header counts, so sealed bulletins will take the same path.
Spec: docs/spec/bulletin.md (releasability), docs/spec/http.md (refusals).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache

from lintas import vocabulary
from lintas.directory import Directory, check_fresh
from lintas.errors import (
    Expired,
    NotAllowed,
    PartnerSuspended,
    RecipientsTooFew,
    RedNeedsSealing,
    RefUnavailable,
    SealingNotOffered,
    TlpAboveCeiling,
    TopicNotGranted,
    UnknownRecipient,
)
from lintas.header import EVERYONE, Header
from lintas.vocabulary import TLP, tlp_rank

RECALL = "recall"

GRANTS_MAX = 1_024
"""Different grants whose topics are remembered: more than there are agencies."""


@dataclass(frozen=True, slots=True)
class Target:
    """What policy needs to know of a line named in `refs`. `audience` are those it was released to.

    `named` adds those it was addressed to and withheld from.
    """

    seq: int
    id: str
    iss: str
    kind: str
    topic: str
    tlp_rank: int
    audience: frozenset[str]
    named: frozenset[str] = frozenset()
    is_recalled: bool = False
    is_superseded: bool = False


@dataclass(frozen=True, slots=True)
class Admission:
    """An accepted bulletin: who gets it, who was named but may not have it (and why).

    `withdraws`: later changes of grants do not keep it from those it was released to.
    """

    released: tuple[str, ...]
    withheld: Mapping[str, str]
    withdraws: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """What an agency may read now: all of its feed within these bounds, or only recalls while it is suspended."""

    topics: frozenset[str] | None
    tlp_rank_max: int
    only_withdrawals: bool


def admit(
    header: Header,
    directory: Directory,
    *,
    targets: Mapping[str, Target],
    topics: Collection[str],
    now: int,
) -> Admission:
    """Decide on a bulletin whose signature is good. `topics` are the further ones of a clear payload.

    Checks in the order of docs/spec/line.md: freshness, standing, sealing, references, grants, recipients.
    """
    check_fresh(header, hub=directory.hub, now=now)
    directory.active_key(header.kid, header.iss, now)
    assert header.exp is not None
    if header.exp <= now:
        raise Expired(member="exp")
    if header.iss not in directory.partners:
        raise NotAllowed("Only partner agencies publish bulletins.", member="iss")
    if directory.is_suspended(header.iss) and header.kind != RECALL:
        raise PartnerSuspended(member="iss")
    _check_sealing(header)
    holders = _check_refs(header, directory, targets, topics)
    if not holders:
        _check_grants(header, directory, topics)
    admission = _release(header, directory, holders)
    _check_holders(header, targets, admission)
    return admission


def reading(directory: Directory, agency: str) -> Reading:
    """Return what this agency may read now, whatever was released to it."""
    grant = directory.grant(agency)
    return Reading(
        topics=_covered(grant.read),
        tlp_rank_max=tlp_rank(grant.ceiling),
        only_withdrawals=directory.is_suspended(agency),
    )


@lru_cache(maxsize=GRANTS_MAX)
def _covered(granted: tuple[str, ...]) -> frozenset[str] | None:
    # Asked for every page and for every reader of a bulletin to everyone, a millisecond each time.
    known = vocabulary.load().topics
    topics = frozenset(topic for topic in known if any(vocabulary.topic_covers(read, topic) for read in granted))
    return None if topics == known else topics


def allows(bounds: Reading, *, topic: str, rank: int, withdraws: bool) -> bool:
    """Tell whether one released bulletin lies within the bounds; nothing narrows a recall."""
    if withdraws:
        return True
    inside = rank <= bounds.tlp_rank_max and (bounds.topics is None or topic in bounds.topics)
    return inside and not bounds.only_withdrawals


def _check_sealing(header: Header) -> None:
    if header.enc is not None:
        raise SealingNotOffered(member="enc")
    if header.tlp == "RED":
        raise RedNeedsSealing(member="tlp")


def _check_refs(
    header: Header, directory: Directory, targets: Mapping[str, Target], topics: Collection[str]
) -> frozenset[str]:
    """Return who holds what this bulletin withdraws: they get it whatever their grants. Empty: an ordinary bulletin.

    A target that is missing, unreadable, or not one's own to withdraw gives one identical answer, before recipients
    are looked at, so that nobody learns what exists.
    """
    holders: set[str] = set()
    for ref in header.refs:
        relation, target_id = ref.split(":", 1)
        target = targets.get(target_id)
        if target is None or not _may_refer(header, directory, relation, target):
            raise RefUnavailable(member="refs")
        if relation in ("recalls", "supersedes"):
            _check_reaches(header, target)
            if _needs_no_grant(header, target, topics):
                # The issuer stands for "nobody else", so that a recall of what reached nobody still passes.
                holders |= target.audience | {header.iss}
        else:
            _check_audience(header, target)
    if (header.kind == RECALL) != bool(header.targets("recalls")):
        raise RefUnavailable("A recall names what it recalls, and nothing else recalls.", member="refs")
    return frozenset(holders)


def _may_refer(header: Header, directory: Directory, relation: str, target: Target) -> bool:
    if relation in ("recalls", "supersedes"):
        gone = target.is_recalled or (target.is_superseded and relation == "supersedes")
        return target.iss == header.iss and target.kind != RECALL and not gone
    if target.iss == header.iss:
        return True
    named = header.iss in target.audience or EVERYONE[0] in target.audience
    bounds = reading(directory, header.iss)
    return named and allows(bounds, topic=target.topic, rank=target.tlp_rank, withdraws=target.kind == RECALL)


def _needs_no_grant(header: Header, target: Target, topics: Collection[str]) -> bool:
    # Nothing may stop a withdrawal that says no more, to no more people, than what it withdraws. One that goes further
    # is judged like any bulletin: otherwise one old bulletin would be a licence for anything.
    same = not topics and header.topic == target.topic and tlp_rank(header.tlp or "RED") <= target.tlp_rank
    nobody_new = EVERYONE[0] in target.audience or {*header.release_to} <= target.audience | target.named
    return same and nobody_new


def _check_reaches(header: Header, target: Target) -> None:
    if header.release_to != EVERYONE and not target.audience <= {*header.release_to}:
        raise RecipientsTooFew(member="release_to")


def _check_audience(header: Header, target: Target) -> None:
    if EVERYONE[0] in target.audience:
        return
    if not {*header.release_to} <= target.audience | {target.iss}:
        raise UnknownRecipient("An answer or comment goes only to those who have the original.", member="release_to")


def _check_grants(header: Header, directory: Directory, topics: Collection[str]) -> None:
    grant = directory.grant(header.iss)
    for topic in (header.topic or "", *topics):
        if not grant.may_publish(topic):
            raise TopicNotGranted(f"`{topic}` is not granted to {header.iss}.", member="topic")
    if not grant.within_ceiling(header.tlp or "RED"):
        raise TlpAboveCeiling(f"The ceiling of {header.iss} is {grant.ceiling}.", member="tlp")


def _check_holders(header: Header, targets: Mapping[str, Target], admission: Admission) -> None:
    # A holder left out would see its copy withdrawn by something it may not read.
    for target_id in header.targets("recalls", "supersedes"):
        if not targets[target_id].audience.isdisjoint(admission.withheld):
            raise RecipientsTooFew(
                "Some who have the original may not read this: keep its topic and marking, or recall it."
            )


def _release(header: Header, directory: Directory, holders: frozenset[str]) -> Admission:
    if header.release_to == EVERYONE:
        # Grants are asked at each reading; only a recall of what everyone had goes past them.
        past_grants = header.kind == RECALL and EVERYONE[0] in holders
        return Admission(released=EVERYONE, withheld={}, withdraws=past_grants)
    strangers = [agency for agency in header.release_to if agency not in directory.partners]
    if strangers:
        raise UnknownRecipient(f"Not a partner: {', '.join(strangers[:5])}.", member="release_to")
    released, withheld = [], {}
    for agency in header.release_to:
        is_holder = agency in holders or EVERYONE[0] in holders
        reason = None if is_holder else _withheld(header, directory, agency)
        if reason is None:
            released.append(agency)
        else:
            withheld[agency] = reason
    # New content waits until a suspension ends; a recall does not.
    return Admission(released=tuple(released), withheld=withheld, withdraws=bool(holders) and header.kind == RECALL)


def _withheld(header: Header, directory: Directory, agency: str) -> str | None:
    if directory.is_suspended(agency):
        return "suspended"
    grant = directory.grant(agency)
    if not grant.may_read(header.topic or "", header.tlp or TLP[-1]):
        return "not-entitled"
    return None
