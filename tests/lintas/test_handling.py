"""From the names a writer chooses to the list that is signed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lintas.errors import MalformedPayload, UnknownRecipient
from lintas.handling import resolve

PARTNERS = ("id-police", "kh-police", "my-cert", "my-police", "sg-cert", "th-police")
COMMUNITIES = {
    "asean-all": PARTNERS,
    "certs": ("my-cert", "sg-cert", "vn-cert"),
    "police-desks": ("id-police", "kh-police", "my-police", "th-police"),
    "sg-cert": ("my-police",),
    "strangers": ("vn-cert",),
}


def resolved(
    release_to: Sequence[str], *, exclude: Sequence[str] = (), tlp: str = "AMBER", issuer: str = "my-police"
) -> tuple[str, ...]:
    """Resolve within the partners and communities above."""
    return resolve(
        release_to=release_to, exclude=exclude, issuer=issuer, tlp=tlp, communities=COMMUNITIES, partners=PARTNERS
    )


def test_agencies_and_communities_become_one_sorted_list() -> None:
    """No name occurs twice, and the issuer not at all."""
    actual = resolved(["th-police", "police-desks"])

    assert actual == ("id-police", "kh-police", "th-police")


def test_an_issuer_who_names_itself_is_left_out() -> None:
    """The issuer may always read and is never listed."""
    assert resolved(["my-police", "sg-cert"]) == ("sg-cert",)


def test_a_member_who_is_no_partner_is_left_out() -> None:
    """A community may know more agencies than the hub."""
    assert resolved(["certs"]) == ("my-cert", "sg-cert")


@pytest.mark.parametrize("member", ["release_to", "exclude"])
def test_a_name_nobody_knows_is_refused(member: str) -> None:
    """A mistyped exclusion would share too much, so it is refused like a mistyped recipient."""
    names = {"release_to": ["certs"], "exclude": ["my-cert"], member: ["my-cret"]}

    with pytest.raises(UnknownRecipient, match="'my-cret' is neither a partner nor a community") as caught:
        resolved(names["release_to"], exclude=names["exclude"])

    assert caught.value.member == member


def test_an_agency_that_is_no_partner_is_refused_by_name() -> None:
    """What was asked for by name and cannot be done is said."""
    with pytest.raises(UnknownRecipient):
        resolved(["certs", "vn-cert"])


@pytest.mark.parametrize("name", ["asean-all", "*"])
@pytest.mark.parametrize("tlp", ["CLEAR", "GREEN"])
def test_everyone_stays_open_for_clear_and_green(name: str, tlp: str) -> None:
    """Later partners may read it too."""
    assert resolved([name, "certs"], tlp=tlp) == ("*",)


@pytest.mark.parametrize("name", ["asean-all", "*"])
@pytest.mark.parametrize("tlp", ["AMBER", "AMBER+STRICT"])
def test_everyone_is_frozen_above_green(name: str, tlp: str) -> None:
    """The partners of today are listed, later ones inherit nothing."""
    assert resolved([name], tlp=tlp) == ("id-police", "kh-police", "my-cert", "sg-cert", "th-police")


def test_a_community_is_frozen_even_with_green() -> None:
    """Only the names that mean everyone open the list."""
    assert resolved(["certs"], tlp="GREEN") == ("my-cert", "sg-cert")


def test_a_name_nobody_knows_is_unknown_with_red_too() -> None:
    """A mistyped agency is not taken for a community."""
    with pytest.raises(UnknownRecipient):
        resolved(["sg-cret"], tlp="RED")


def test_everyone_but_one_is_frozen() -> None:
    """An exclusion needs a list, even with GREEN."""
    assert resolved(["*"], exclude=["kh-police"], tlp="GREEN") == ("id-police", "my-cert", "sg-cert", "th-police")


def test_an_exclusion_beats_the_agency_named_as_recipient() -> None:
    """Whoever is excluded by name or community gets nothing."""
    assert resolved(["certs", "id-police"], exclude=["police-desks", "sg-cert"]) == ("my-cert",)


@pytest.mark.parametrize(
    ("release_to", "exclude"), [([], []), (["my-police"], []), (["strangers"], []), (["certs"], ["certs"])]
)
def test_a_list_without_anybody_is_refused(release_to: list[str], exclude: list[str]) -> None:
    """A bulletin for nobody is a mistake."""
    with pytest.raises(UnknownRecipient, match="Nobody is left") as caught:
        resolved(release_to, exclude=exclude)

    assert caught.value.member == "release_to"


@pytest.mark.parametrize("name", ["*", "asean-all", "certs"])
def test_red_goes_to_named_agencies_only(name: str) -> None:
    """Nobody counts the members of a community before sending RED."""
    with pytest.raises(MalformedPayload, match="RED goes to named agencies") as caught:
        resolved(["sg-cert", name], tlp="RED")

    assert caught.value.member == "release_to"


def test_red_to_named_agencies_is_resolved() -> None:
    """RED is a list like others."""
    assert resolved(["th-police", "sg-cert"], tlp="RED") == ("sg-cert", "th-police")


def test_a_partner_wins_over_a_community_of_its_name() -> None:
    """Whoever orders a community named like an agency catches nothing."""
    assert resolved(["sg-cert"]) == ("sg-cert",)


NAMES = st.sampled_from([*PARTNERS, *COMMUNITIES, "*"])


@given(st.lists(NAMES, max_size=4), st.lists(NAMES, max_size=3), st.sampled_from(["CLEAR", "AMBER"]))
def test_nobody_excluded_is_ever_on_the_list(release_to: list[str], exclude: list[str], tlp: str) -> None:
    """Whatever is combined: sorted partners, neither excluded nor the issuer."""
    try:
        actual = resolved(release_to, exclude=exclude, tlp=tlp)
    except UnknownRecipient:
        return
    excluded = {"my-police"}.union(*({name} if name in PARTNERS else reach(name) for name in exclude))

    assert actual == ("*",) or list(actual) == sorted({*PARTNERS}.intersection(actual) - excluded)


def reach(name: str) -> set[str]:
    """Return whom a community reaches at most."""
    return set(COMMUNITIES.get(name, PARTNERS))
