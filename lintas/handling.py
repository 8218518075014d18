"""Whom a bulletin goes to: the names its writer chose, made the frozen list that is signed.

Promises: an exclusion beats every inclusion; a name nobody knows is refused, never skipped; the issuer is never listed.
Members of a community who are no partners of the hub are left out: nobody could deliver to them.
Spec: docs/spec/bulletin.md (releasability); FIRST TLP 2.0.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from lintas.errors import MalformedPayload, UnknownRecipient
from lintas.header import EVERYONE, WIDE_TLP

EVERYONE_NAMES = frozenset({EVERYONE[0], "asean-all"})
"""Both mean every partner; with CLEAR or GREEN and no exclusion, later ones too."""


def resolve(
    *,
    release_to: Sequence[str],
    exclude: Sequence[str],
    issuer: str,
    tlp: str,
    communities: Mapping[str, Sequence[str]],
    partners: Collection[str],
) -> tuple[str, ...]:
    """Return the sorted agencies that the names stand for, or ``("*",)`` for all partners, later ones too.

    Raises UnknownRecipient for a name that is neither partner nor community, and when nobody is left;
    MalformedPayload when RED names anything but agencies.
    """
    if tlp == "RED":
        _refuse_crowds(release_to, communities, partners)
    chosen = _members(release_to, "release_to", communities, partners)
    excluded = _members(exclude, "exclude", communities, partners)
    if tlp in WIDE_TLP and not exclude and not EVERYONE_NAMES.isdisjoint(release_to):
        return EVERYONE
    recipients = chosen - excluded - {issuer}
    if not recipients:
        raise UnknownRecipient("Nobody is left on the list of recipients.", member="release_to")
    return tuple(sorted(recipients))


def _refuse_crowds(names: Sequence[str], communities: Collection[str], partners: Collection[str]) -> None:
    for name in names:
        if name not in partners and (name in EVERYONE_NAMES or name in communities):
            raise MalformedPayload(f"TLP:RED goes to named agencies, not to {name}: list them.", member="release_to")


def _members(
    names: Sequence[str], member: str, communities: Mapping[str, Sequence[str]], partners: Collection[str]
) -> frozenset[str]:
    return frozenset().union(*(_expand(name, member, communities, partners) for name in names))


def _expand(
    name: str, member: str, communities: Mapping[str, Sequence[str]], partners: Collection[str]
) -> frozenset[str]:
    # A partner's own id wins, so that no community named like an agency can catch what is meant for it.
    if name in partners:
        return frozenset({name})
    if name in EVERYONE_NAMES:
        return frozenset(partners)
    if name in communities:
        return frozenset(communities[name]).intersection(partners)
    raise UnknownRecipient(f"{name[:80]!r} is neither a partner nor a community of this hub.", member=member)
