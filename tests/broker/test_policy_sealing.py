"""Admission of sealed bulletins, decided from plain values."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from broker.policy import Admission, admit
from lintas.directory import Directory, Grant, OpeningRecord, Partner
from lintas.errors import NoOpeningKey, RedNeedsSealing, Refusal, TopicNotGranted, UnknownRecipient, WrongOpeningKeys
from lintas.header import BULLETIN, Header
from tests.broker.test_policy import NOW, key_of

HUB = "policy.example-aaaaaaaa"
ISSUER, FIRST, SECOND = AGENCIES = ("my-police", "sg-fiu", "th-cert")
EVERYTHING = Grant(publish=("*",), read=("*",), ceiling="RED")


def opening_of(party: str, generation: int = 1) -> OpeningRecord:
    """Return an opening key of a party; a later generation is the newer one."""
    return OpeningRecord(
        kid=f"{party}/{generation}",
        party=party,
        public=b"",
        not_after=NOW + 1_000,
        by=party,
        seq=10 + generation,
        at=NOW - 100 + generation,
    )


def directory_of(*openings: OpeningRecord, **grants: Grant) -> Directory:
    """Return a directory of three agencies with these opening keys."""
    named = {name.replace("_", "-"): grant for name, grant in grants.items()}
    return Directory(
        hub=HUB,
        keys={party: key_of(party) for party in AGENCIES},
        openings={agency: tuple(each for each in openings if each.party == agency) for agency in AGENCIES},
        partners={agency: Partner(agency, joined_seq=1) for agency in AGENCIES},
        grants=dict.fromkeys(AGENCIES, EVERYTHING) | named,
    )


EACH = tuple(opening_of(agency) for agency in AGENCIES)
ALL = frozenset(each.kid for each in EACH)


def header_of(**changes: Any) -> Header:
    """Return the header of a sealed RED bulletin to both recipients."""
    header = Header(
        typ=BULLETIN,
        kid=ISSUER,
        iss=ISSUER,
        aud=HUB,
        iat=NOW,
        exp=NOW + 60,
        kind="alert",
        topic="cyber.scam",
        tlp="RED",
        release_to=(FIRST, SECOND),
        urgency="routine",
        enc="hpke",
    )
    return header._replace(**changes)


def decide(header: Header, directory: Directory, sealed_to: Collection[str] | None = ALL) -> Admission:
    """Decide on a header without references."""
    return admit(header, directory, targets={}, topics=(), now=NOW, sealed_to=sealed_to)


def refusal(header: Header, directory: Directory, sealed_to: Collection[str] | None = ALL) -> Refusal:
    """Return why a header is refused."""
    with pytest.raises(Refusal) as caught:
        decide(header, directory, sealed_to)
    return caught.value


def test_sealed_to_its_recipients() -> None:
    """Sealed to the current key of each recipient and of its issuer, RED is released."""
    assert (FIRST, SECOND) == decide(header_of(), directory_of(*EACH)).released


@pytest.mark.parametrize("tlp", ["CLEAR", "GREEN", "AMBER", "AMBER+STRICT"])
def test_any_marking_may_be_sealed(tlp: str) -> None:
    """What need not be sealed may be."""
    assert (FIRST, SECOND) == decide(header_of(tlp=tlp), directory_of(*EACH)).released


def test_red_in_clear() -> None:
    """RED that is not sealed is refused, whoever may read it."""
    found = refusal(header_of(enc=None), directory_of(*EACH), None)

    assert (RedNeedsSealing, "tlp") == (type(found), found.member)


@pytest.mark.parametrize("agency", AGENCIES)
def test_a_key_left_out(agency: str) -> None:
    """A recipient or issuer that could not open it is named."""
    found = refusal(header_of(), directory_of(*EACH), ALL - {f"{agency}/1"})

    assert (WrongOpeningKeys, "to") == (type(found), found.member)
    assert agency in found.detail


@pytest.mark.parametrize("extra", ["somebody", "sg-fiu/0"])
def test_a_key_too_many(extra: str) -> None:
    """A key beside the recipients' would be a reader that no header names; a former key is one, too."""
    openings = (opening_of(FIRST, generation=0), *EACH)
    found = refusal(header_of(), directory_of(*openings), ALL | {extra})

    assert (WrongOpeningKeys, "to") == (type(found), found.member)


def test_key_of_a_partner_that_is_no_recipient() -> None:
    """The current key of another partner opens nothing that is not addressed to it."""
    found = refusal(header_of(release_to=(FIRST,)), directory_of(*EACH))

    assert WrongOpeningKeys is type(found)


def test_renewed_key() -> None:
    """From the moment that a newer key is told, the former one is no longer taken."""
    directory = directory_of(*EACH, opening_of(FIRST, generation=2))

    assert WrongOpeningKeys is type(refusal(header_of(), directory))
    assert (FIRST, SECOND) == decide(header_of(), directory, ALL - {"sg-fiu/1"} | {"sg-fiu/2"}).released


@pytest.mark.parametrize("agency", AGENCIES)
def test_no_key(agency: str) -> None:
    """An agency that has no current key is named, so that its colleagues can call it."""
    directory = directory_of(*(each for each in EACH if each.party != agency))

    found = refusal(header_of(), directory, ALL - {f"{agency}/1"})

    assert (NoOpeningKey, "release_to") == (type(found), found.member)
    assert agency in found.detail


def test_withheld_recipient_is_sealed_to() -> None:
    """Its sender cannot know from whom it will be withheld: that recipient's key belongs in it, too."""
    directory = directory_of(*EACH, sg_fiu=Grant(publish=("*",), read=("drugs",), ceiling="RED"))

    assert {FIRST: "not-entitled"} == decide(header_of(), directory).withheld
    assert WrongOpeningKeys is type(refusal(header_of(), directory, ALL - {"sg-fiu/1"}))


def test_stranger_is_no_matter_of_keys() -> None:
    """A recipient who is no partner is told as such."""
    found = refusal(header_of(release_to=(FIRST, "xx-police")), directory_of(*EACH))

    assert UnknownRecipient is type(found)


def test_grants_come_first() -> None:
    """Who may not publish the topic learns nothing about keys."""
    found = refusal(header_of(), directory_of(my_police=Grant(publish=("drugs",), read=("*",), ceiling="RED")))

    assert TopicNotGranted is type(found)
