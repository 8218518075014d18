"""Who may publish what to whom; who may read it now.

Pure: decisions take the line, the directory, the lines it refers to and the time, and return values or raise a Refusal.
Only the signed header counts, so sealed bulletins take the same path.
Spec: docs/spec/bulletin.md (releasability), docs/spec/http.md (refusals).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from lintas import exchange, vocabulary
from lintas.directory import Directory, check_fresh
from lintas.errors import (
    Expired,
    NoOpeningKey,
    NotAllowed,
    PartnerSuspended,
    RecipientsTooFew,
    RedNeedsSealing,
    RefUnavailable,
    TlpAboveCeiling,
    TopicNotGranted,
    UnknownRecipient,
    WrongOpeningKeys,
)
from lintas.header import EVERYONE, Header
from lintas.vocabulary import TLP, tlp_rank

RECALL = "recall"
WITHDRAWING = frozenset({"recalls", "supersedes"})

GRANTS_MAX = 1_024
"""Different grants whose topics are remembered: more than there are agencies."""


@dataclass(frozen=True, slots=True)
class Target:
    """What policy needs to know of a line named in `refs`. `audience` are those it was released to.

    `named` adds those it was addressed to and withheld from, `about` are the log indexes of what it refers to itself.
    """

    seq: int
    id: str
    iss: str
    kind: str
    topic: str
    tlp_rank: int
    audience: frozenset[str]
    named: frozenset[str] = frozenset()
    about: frozenset[int] = frozenset()
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


def admit(  # noqa: PLR0913 - what a decision takes, it takes as values
    header: Header,
    directory: Directory,
    *,
    targets: Mapping[str, Target],
    topics: Collection[str],
    now: int,
    sealed_to: Collection[str] | None = None,
    logged_at: int | None = None,
) -> Admission:
    """Decide on a bulletin whose signature is good. `topics` are the further ones of a clear payload.

    `sealed_to` are the opening kids that a sealed payload names; None when it names none that can be read. A line that
    a log had before (`logged_at`, as its receipt proves) is as fresh, its keys as current, as they were then.
    Checks in the order of docs/spec/line.md: freshness, standing, sealing, references, grants, recipients.
    """
    then = now if logged_at is None else logged_at
    check_fresh(header, hub=directory.hub, now=then)
    directory.active_key(header.kid, header.iss, then)
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
    withdrawn = header.targets("recalls", "supersedes") if header.refs else ()
    is_held = any(targets[target_id].audience for target_id in withdrawn)
    admission = _release(header, directory, holders, is_held=is_held)
    _check_holders(withdrawn, targets, admission)
    if header.enc is not None and sealed_to is not None:
        _check_opening_keys(header, directory, sealed_to, then)
    return admission


def reading(directory: Directory, agency: str) -> Reading:
    """Return what this agency may read now, whatever was released to it."""
    grant = directory.grant(agency)
    return Reading(
        topics=covered(grant.read),
        tlp_rank_max=tlp_rank(grant.ceiling),
        only_withdrawals=directory.is_suspended(agency),
    )


@lru_cache(maxsize=GRANTS_MAX)
def covered(granted: tuple[str, ...]) -> frozenset[str] | None:
    """Return the topics that these cover, None for every topic."""
    # Asked for every page and for every reader of a bulletin to everyone, a millisecond each time.
    known = vocabulary.load().topics
    topics = frozenset(topic for topic in known if any(vocabulary.topic_covers(read, topic) for read in granted))
    return None if topics == known else topics


def allows(bounds: Reading, *, topic: str, rank: int, withdraws: bool, is_recall: bool = True) -> bool:
    """Tell whether one released bulletin lies within the bounds; nothing narrows a recall, grants no successor."""
    if withdraws and (is_recall or not bounds.only_withdrawals):
        return True
    inside = rank <= bounds.tlp_rank_max and (bounds.topics is None or topic in bounds.topics)
    return inside and not bounds.only_withdrawals


def _check_sealing(header: Header) -> None:
    if header.tlp == "RED" and header.enc is None:
        raise RedNeedsSealing(member="tlp")


def _check_opening_keys(header: Header, directory: Directory, sealed_to: Collection[str], now: int) -> None:
    # Of every recipient, also one that it is withheld from: the sender cannot know who that will be.
    # Nothing beside them: a further key would be a reader that the header does not name.
    current: dict[str, str] = {}
    for agency in (*header.release_to, header.iss):
        record = directory.opening_key(agency, now)
        if record is None:
            raise NoOpeningKey(f"{agency} has no current opening key.", member="release_to")
        current[record.kid] = agency
    left_out = sorted(current[kid] for kid in current.keys() - {*sealed_to})
    if left_out:
        raise WrongOpeningKeys(f"It is not sealed to the current key of {', '.join(left_out[:5])}.", member="to")
    if len(current) != len(sealed_to):
        raise WrongOpeningKeys("It is sealed to keys that are no recipient's current one.", member="to")


def _check_refs(
    header: Header, directory: Directory, targets: Mapping[str, Target], topics: Collection[str]
) -> frozenset[str]:
    """Return who holds what this bulletin withdraws: they get it whatever their grants. Empty: an ordinary bulletin.

    A target that is missing, unreadable, or not one's own to withdraw gives one identical answer, before recipients
    are looked at, so that nobody learns what exists.
    """
    relations = {ref.split(":", 1)[0] for ref in header.refs}
    fault = exchange.relations_fault(header.kind or "", relations)
    if fault is not None:
        # It shows in the header alone, whatever exists.
        raise RefUnavailable(fault, member="refs")
    if not relations:
        return frozenset()
    found = _referred(header, directory, targets)
    withdrawn = [target for relation, target in found if relation in WITHDRAWING]
    for target in withdrawn:
        _check_reaches(header, target)
    _check_audience(header, [(relation, target) for relation, target in found if relation not in WITHDRAWING])
    holders: set[str] = set()
    for target in withdrawn:
        if _needs_no_grant(header, target, topics):
            # The issuer stands for "nobody else", so that a recall of what reached nobody still passes.
            holders |= target.audience | {header.iss}
    return frozenset(holders)


def _referred(header: Header, directory: Directory, targets: Mapping[str, Target]) -> list[tuple[str, Target]]:
    found = []
    for ref in header.refs:
        relation, target_id = ref.split(":", 1)
        target = targets.get(target_id)
        if target is None or not _may_refer(header, directory, relation, target):
            raise RefUnavailable(member="refs")
        found.append((relation, target))
    if header.kind == exchange.CONSENT_ANSWER and not _is_to_the_point(header, found):
        raise RefUnavailable(member="refs")
    return found


def _may_refer(header: Header, directory: Directory, relation: str, target: Target) -> bool:
    is_own = target.iss == header.iss
    if relation in WITHDRAWING:
        gone = target.is_recalled or (target.is_superseded and relation == "supersedes")
        return is_own and target.kind != RECALL and not gone
    if relation == "answers" and not exchange.is_answered_by(target.kind, header.kind or ""):
        return False
    if is_own:
        # Nobody answers, endorses or asks the consent of themselves.
        return relation == "comments" and header.kind != exchange.CONSENT_REQUEST
    named = header.iss in target.audience or EVERYONE[0] in target.audience
    bounds = reading(directory, header.iss)
    return named and allows(bounds, topic=target.topic, rank=target.tlp_rank, withdraws=target.kind == RECALL)


def _is_to_the_point(header: Header, found: Sequence[tuple[str, Target]]) -> bool:
    # What an answer about consent is said of is what consent was asked for, so it may be told to whoever has that.
    asked = {seq for relation, target in found if relation == "answers" for seq in target.about}
    return all(target.iss == header.iss and target.seq in asked for relation, target in found if relation == "comments")


def _needs_no_grant(header: Header, target: Target, topics: Collection[str]) -> bool:
    # Nothing may stop a withdrawal that says no more, to no more people, than what it withdraws. One that goes further
    # is judged like any bulletin: otherwise one old bulletin would be a licence for anything.
    same = not topics and header.topic == target.topic and tlp_rank(header.tlp or "RED") <= target.tlp_rank
    nobody_new = EVERYONE[0] in target.audience or {*header.release_to} <= target.audience | target.named
    return same and nobody_new


def _check_reaches(header: Header, target: Target) -> None:
    if header.release_to != EVERYONE and not target.audience <= {*header.release_to}:
        raise RecipientsTooFew(member="release_to")


def _check_audience(header: Header, referred: Sequence[tuple[str, Target]]) -> None:
    for relation, target in referred:
        if relation == "answers" and header.release_to != EVERYONE and target.iss not in header.release_to:
            raise RecipientsTooFew("An answer goes to whoever asked.", member="release_to")
        if header.kind == exchange.CONSENT_REQUEST and header.release_to != (target.iss,):
            raise UnknownRecipient("A request for consent goes to the originator alone.", member="release_to")
    audiences = [target.audience | {target.iss} for _, target in referred]
    if header.kind == exchange.CONSENT_ANSWER:
        # The originator may tell it to all who hold the bulletin, who must know what may be done with it.
        audiences = [frozenset().union(*audiences)]
    for audience in audiences:
        if EVERYONE[0] not in audience and not {*header.release_to} <= audience:
            raise UnknownRecipient(
                "An answer or comment goes only to those who have the original.", member="release_to"
            )


def _check_grants(header: Header, directory: Directory, topics: Collection[str]) -> None:
    grant = directory.grant(header.iss)
    for topic in (header.topic or "", *topics):
        if not grant.may_publish(topic):
            raise TopicNotGranted(f"`{topic}` is not granted to {header.iss}.", member="topic")
    if not grant.within_ceiling(header.tlp or "RED"):
        raise TlpAboveCeiling(f"The ceiling of {header.iss} is {grant.ceiling}.", member="tlp")


def _check_holders(withdrawn: Iterable[str], targets: Mapping[str, Target], admission: Admission) -> None:
    # A holder left out would see its copy withdrawn by something it may not read.
    for target_id in withdrawn:
        if not targets[target_id].audience.isdisjoint(admission.withheld):
            raise RecipientsTooFew(
                "Some who have the original may not read this: keep its topic and marking, or recall it."
            )


def _release(header: Header, directory: Directory, holders: frozenset[str], *, is_held: bool) -> Admission:
    if header.release_to == EVERYONE:
        # Grants are asked at each reading; only a recall goes past them, for some of its readers hold the original.
        return Admission(released=EVERYONE, withheld={}, withdraws=is_held and header.kind == RECALL)
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
    # A recall reached holders or those entitled; a successor that needed no grant went to holders. Both stay theirs.
    withdraws = is_held and (header.kind == RECALL or bool(holders))
    return Admission(released=tuple(released), withheld=withheld, withdraws=withdraws)


def _withheld(header: Header, directory: Directory, agency: str) -> str | None:
    if directory.is_suspended(agency):
        return "suspended"
    grant = directory.grant(agency)
    if not grant.may_read(header.topic or "", header.tlp or TLP[-1]):
        return "not-entitled"
    return None
