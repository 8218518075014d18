"""Admission and reading, decided from plain values."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from broker.policy import Admission, Reading, Target, admit, allows, reading
from lintas import vocabulary
from lintas.directory import FRESH_S, SKEW_S, Directory, Grant, KeyRecord, Partner
from lintas.errors import (
    Expired,
    ForeignLine,
    FromTheFuture,
    KeyNotActive,
    NotAllowed,
    PartnerSuspended,
    RecipientsTooFew,
    RedNeedsSealing,
    RefUnavailable,
    Refusal,
    Stale,
    TlpAboveCeiling,
    TopicNotGranted,
    UnknownKey,
    UnknownRecipient,
)
from lintas.header import BULLETIN, EVERYONE, Header
from lintas.vocabulary import tlp_rank

NOW = 1_795_000_000
HUB = "policy.example-aaaaaaaa"
AGENCIES = ("my-police", "sg-fiu", "th-cert", "vn-police")
EVERYTHING = Grant(publish=("*",), read=("*",), ceiling="RED")
ID, OTHER_ID = "A" * 43, "B" * 42 + "A"


def key_of(party: str, **changes: Any) -> KeyRecord:
    """Return an active key of a party; its kid is the party's name, which is all policy looks at."""
    record = KeyRecord(
        kid=party,
        party=party,
        public=b"",
        holder="desk",
        not_before=NOW - 1_000,
        not_after=NOW + 1_000,
        enrolled_seq=1,
        enrolled_at=NOW - 1_000,
        active_from=NOW - 1_000,
        approved_seq=2,
    )
    return replace(record, **changes)


def directory_of(**grants: Grant) -> Directory:
    """Return a directory of four agencies and an administrator, everything granted unless said otherwise."""
    named = {name.replace("_", "-"): grant for name, grant in grants.items()}
    return Directory(
        hub=HUB,
        keys=MappingProxyType({party: key_of(party) for party in (*AGENCIES, "admin/registrar")}),
        partners=MappingProxyType({agency: Partner(agency, joined_seq=1) for agency in AGENCIES}),
        grants=MappingProxyType(dict.fromkeys(AGENCIES, EVERYTHING) | named),
    )


DIRECTORY = directory_of()


def suspend(directory: Directory, *agencies: str) -> Directory:
    """Return the directory with these agencies suspended."""
    changed = {agency: replace(directory.partners[agency], suspended=True) for agency in agencies}
    return replace(directory, partners={**directory.partners, **changed})


def header_of(**changes: Any) -> Header:
    """Return the header of an ordinary bulletin of my-police to sg-fiu."""
    header = Header(
        typ=BULLETIN,
        kid="my-police",
        iss="my-police",
        aud=HUB,
        iat=NOW,
        exp=NOW + 60,
        kind="alert",
        topic="cyber.scam",
        tlp="AMBER",
        release_to=("sg-fiu",),
        urgency="routine",
    )
    return header._replace(**changes)


def target_of(**changes: Any) -> Target:
    """Return a bulletin of my-police that sg-fiu has."""
    target = Target(
        seq=9,
        id=ID,
        iss="my-police",
        kind="alert",
        topic="cyber.scam",
        tlp_rank=tlp_rank("AMBER"),
        audience=frozenset({"sg-fiu"}),
    )
    return replace(target, **changes)


def decide(
    header: Header, directory: Directory = DIRECTORY, *targets: Target, topics: tuple[str, ...] = ()
) -> Admission:
    """Admit at NOW."""
    return admit(header, directory, targets={target.id: target for target in targets}, topics=topics, now=NOW)


def refusal(
    header: Header, directory: Directory = DIRECTORY, *targets: Target, topics: tuple[str, ...] = ()
) -> Refusal:
    """Return why this is refused."""
    with pytest.raises(Refusal) as caught:
        decide(header, directory, *targets, topics=topics)
    return caught.value


def recall_of(*ids: str, **changes: Any) -> Header:
    """Return the header of a recall of these bulletins by my-police."""
    return header_of(**({"kind": "recall", "refs": tuple(f"recalls:{each}" for each in ids)} | changes))


def test_admitted() -> None:
    """An ordinary bulletin within every grant is released to those it names."""
    assert Admission(released=("sg-fiu",), withheld={}, withdraws=False) == decide(header_of())


@pytest.mark.parametrize(
    ("changes", "kind", "member"),
    [
        ({"aud": "policy.example-bbbbbbbb"}, ForeignLine, "aud"),
        ({"iat": NOW + SKEW_S + 1}, FromTheFuture, "iat"),
        ({"iat": NOW - FRESH_S - 1}, Stale, "iat"),
        ({"kid": "nobody"}, UnknownKey, "kid"),
        ({"kid": "sg-fiu"}, UnknownKey, "kid"),
        ({"exp": NOW}, Expired, "exp"),
        ({"iss": "admin/registrar", "kid": "admin/registrar"}, NotAllowed, "iss"),
        ({"tlp": "RED"}, RedNeedsSealing, "tlp"),
        ({"release_to": ("sg-fiu", "xx-police")}, UnknownRecipient, "release_to"),
    ],
)
def test_refused(changes: dict[str, Any], kind: type[Refusal], member: str) -> None:
    """Each fault of a header has its refusal, which names the member."""
    found = refusal(header_of(**changes))

    assert (kind, member) == (type(found), found.member)


@pytest.mark.parametrize("changes", [{"iat": NOW + SKEW_S}, {"iat": NOW - FRESH_S}, {"exp": NOW + 1}])
def test_at_the_limit(changes: dict[str, Any]) -> None:
    """A line at the edge of its times is admitted."""
    assert ("sg-fiu",) == decide(header_of(**changes)).released


@pytest.mark.parametrize(
    "changes",
    [
        {"revoked_seq": 5},
        {"not_after": NOW},
        {"active_from": None},
        {"superseded_at": NOW},
    ],
)
def test_key_not_active(changes: dict[str, Any]) -> None:
    """A key that is revoked, expired, pending or superseded signs nothing."""
    keys = {**DIRECTORY.keys, "my-police": key_of("my-police", **changes)}

    found = refusal(header_of(), replace(DIRECTORY, keys=keys))

    assert (KeyNotActive, "kid") == (type(found), found.member)


def readmit(key: dict[str, Any], **changes: Any) -> Admission:
    """Admit, at NOW, what a log had ten days before, signed by a key of a month."""
    month, then = NOW - 30 * 86_400, NOW - 10 * 86_400
    record = key_of("my-police", **({"not_before": month, "active_from": month} | key))
    directory = replace(DIRECTORY, keys={**DIRECTORY.keys, "my-police": record})
    return admit(header_of(iat=then, **changes), directory, targets={}, topics=(), now=NOW, logged_at=then + 60)


@pytest.mark.parametrize("changes", [{}, {"not_after": NOW - 1}, {"superseded_at": NOW - 1}])
def test_logged_before(changes: dict[str, Any]) -> None:
    """What a log had before is as fresh, and its key as current, as they were then."""
    assert ("sg-fiu",) == readmit(changes).released


@pytest.mark.parametrize(
    ("changes", "key", "kind"),
    [
        ({"exp": NOW}, {}, Expired),
        ({"aud": "policy.example-bbbbbbbb"}, {}, ForeignLine),
        ({}, {"revoked_seq": 5}, KeyNotActive),
        ({}, {"active_from": NOW - 86_400}, KeyNotActive),
        ({}, {"superseded_at": NOW - 20 * 86_400}, KeyNotActive),
    ],
)
def test_logged_before_and_refused(changes: dict[str, Any], key: dict[str, Any], kind: type[Refusal]) -> None:
    """It is refused all the same when it ended, its key was revoked, or was not active then."""
    with pytest.raises(kind):
        readmit(key, **changes)


def test_suspended_issuer() -> None:
    """A suspended agency publishes nothing new."""
    found = refusal(header_of(), suspend(DIRECTORY, "my-police"))

    assert (PartnerSuspended, "iss") == (type(found), found.member)


def test_suspended_issuer_recalls() -> None:
    """A suspended agency still recalls."""
    admission = decide(recall_of(ID), suspend(DIRECTORY, "my-police"), target_of())

    assert Admission(released=("sg-fiu",), withheld={}, withdraws=True) == admission


def test_topic_not_granted() -> None:
    """A topic outside the grant is refused; a grant covers its sub-topics."""
    directory = directory_of(my_police=Grant(publish=("cyber",), read=("*",), ceiling="RED"))

    found = refusal(header_of(topic="drugs"), directory)

    assert (TopicNotGranted, "topic") == (type(found), found.member)
    assert ("sg-fiu",) == decide(header_of(), directory).released


def test_further_topics_need_grants() -> None:
    """Each further topic of the payload needs a grant too."""
    directory = directory_of(my_police=Grant(publish=("cyber",), read=("*",), ceiling="RED"))

    found = refusal(header_of(), directory, topics=("cyber.malware", "drugs"))

    assert TopicNotGranted is type(found)
    assert "`drugs`" in found.detail


def test_above_ceiling() -> None:
    """A marking above the issuer's ceiling is refused."""
    directory = directory_of(my_police=Grant(publish=("*",), read=("*",), ceiling="GREEN"))

    found = refusal(header_of(), directory)

    assert (TlpAboveCeiling, "tlp") == (type(found), found.member)
    assert ("sg-fiu",) == decide(header_of(tlp="GREEN"), directory).released


def test_strangers_are_listed_in_part() -> None:
    """A refusal names at most five recipients that are no partners."""
    strangers = tuple(f"xx-d{number}" for number in range(7))

    assert "Not a partner: xx-d0, xx-d1, xx-d2, xx-d3, xx-d4." == refusal(header_of(release_to=strangers)).detail


@pytest.mark.parametrize(
    ("grant", "reason"),
    [
        (Grant(publish=(), read=("drugs",), ceiling="RED"), "not-entitled"),
        (Grant(publish=(), read=("*",), ceiling="GREEN"), "not-entitled"),
        (Grant(), "not-entitled"),
    ],
)
def test_withheld(grant: Grant, reason: str) -> None:
    """A recipient without the topic or the ceiling is told apart, and the others still receive."""
    admission = decide(header_of(release_to=("sg-fiu", "th-cert")), directory_of(sg_fiu=grant))

    assert Admission(released=("th-cert",), withheld={"sg-fiu": reason}, withdraws=False) == admission


def test_withheld_from_suspended() -> None:
    """A suspended recipient gets nothing new."""
    admission = decide(header_of(), suspend(DIRECTORY, "sg-fiu"))

    assert ((), {"sg-fiu": "suspended"}) == (admission.released, admission.withheld)


def test_everyone() -> None:
    """A bulletin to everyone is released to everyone, whoever may read it later."""
    assert EVERYONE == decide(header_of(release_to=EVERYONE, tlp="GREEN")).released


@pytest.mark.parametrize(
    ("relation", "target"),
    [
        ("recalls", None),
        ("supersedes", None),
        ("answers", None),
        ("recalls", target_of(iss="th-cert", audience=frozenset({"my-police", "sg-fiu"}))),
        ("supersedes", target_of(iss="th-cert", audience=frozenset({"my-police", "sg-fiu"}))),
        ("recalls", target_of(kind="recall")),
        ("answers", target_of(iss="th-cert", audience=frozenset({"sg-fiu"}))),
        ("comments", target_of(iss="th-cert", audience=frozenset({"sg-fiu"}))),
        ("endorses", target_of(iss="th-cert", audience=frozenset({"sg-fiu"}))),
    ],
)
def test_references_are_refused_alike(relation: str, target: Target | None) -> None:
    """A target that is missing, unreadable, not one's own or itself a recall gives one identical answer."""
    kind = {"recalls": "recall", "answers": "answer", "endorses": "endorsement"}.get(relation, "alert")
    header = header_of(kind=kind, refs=(f"{relation}:{ID}",), release_to=("nobody-known",))

    found = refusal(header, DIRECTORY, *([target] if target else []))

    assert RefUnavailable(member="refs").problem() == found.problem()
    assert RefUnavailable is type(found)


def test_reference_beyond_the_grant() -> None:
    """What an agency may no longer read it cannot refer to, though it was released to it."""
    directory = directory_of(my_police=Grant(publish=("*",), read=("drugs",), ceiling="RED"))
    target = target_of(iss="th-cert", audience=frozenset({"my-police", "sg-fiu"}))

    found = refusal(header_of(refs=(f"comments:{ID}",)), directory, target)

    assert RefUnavailable is type(found)


@pytest.mark.parametrize("audience", [frozenset({"my-police", "sg-fiu"}), frozenset(EVERYONE)])
def test_comment_of_a_reader(audience: frozenset[str]) -> None:
    """Whoever holds a bulletin comments on it among those who hold it."""
    target = target_of(iss="th-cert", audience=audience)

    admission = decide(
        header_of(kind="comment", refs=(f"comments:{ID}",), release_to=("sg-fiu", "th-cert")), DIRECTORY, target
    )

    assert (("sg-fiu", "th-cert"), False) == (admission.released, admission.withdraws)


def request_of(**changes: Any) -> Target:
    """Return a request for information of th-cert that my-police and sg-fiu have."""
    return target_of(**({"iss": "th-cert", "kind": "rfi", "audience": frozenset({"my-police", "sg-fiu"})} | changes))


def answer_of(**changes: Any) -> Header:
    """Return the header of an answer of my-police to whoever asked."""
    return header_of(**({"kind": "answer", "refs": (f"answers:{ID}",), "release_to": ("th-cert",)} | changes))


def test_answer_of_one_who_was_asked() -> None:
    """Whoever a request was released to answers it, to the asker and to others who were asked."""
    found = decide(answer_of(release_to=("sg-fiu", "th-cert")), DIRECTORY, request_of())

    assert ("sg-fiu", "th-cert") == found.released


@pytest.mark.parametrize(
    ("header", "target"),
    [
        (answer_of(), request_of(audience=frozenset({"sg-fiu"}))),
        (answer_of(), request_of(iss="my-police", audience=frozenset({"th-cert"}))),
        (answer_of(), request_of(kind="alert")),
        (answer_of(), request_of(kind="consent-request")),
        (answer_of(kind="consent-answer"), request_of()),
        (answer_of(kind="endorsement", refs=(f"endorses:{ID}",)), target_of(audience=frozenset({"th-cert"}))),
        (answer_of(kind="consent-request", refs=(f"comments:{ID}",)), target_of(audience=frozenset({"th-cert"}))),
    ],
    ids=["not-asked", "own-request", "no-request", "other-request", "consent-to-rfi", "own", "own-consent"],
)
def test_answers_fit_what_was_asked(header: Header, target: Target) -> None:
    """What was not asked of one, or not so, is refused exactly as if it did not exist."""
    assert RefUnavailable(member="refs").problem() == refusal(header, DIRECTORY, target).problem()


def test_comment_of_the_issuer() -> None:
    """The issuer may comment on its own bulletin."""
    header = header_of(kind="comment", refs=(f"comments:{ID}",))

    assert ("sg-fiu",) == decide(header, DIRECTORY, target_of()).released


def test_answer_reaches_the_asker() -> None:
    """An answer that leaves out whoever asked is refused."""
    found = refusal(answer_of(release_to=("sg-fiu",)), DIRECTORY, request_of())

    assert (RecipientsTooFew, "release_to") == (type(found), found.member)


def test_answer_beyond_the_audience() -> None:
    """An answer never reaches one who does not have the original."""
    found = refusal(answer_of(release_to=("th-cert", "vn-police")), DIRECTORY, request_of())

    assert (UnknownRecipient, "release_to") == (type(found), found.member)


def test_answer_to_everyone_beyond_the_audience() -> None:
    """An answer to everyone is refused unless everyone has the original."""
    header = answer_of(release_to=EVERYONE, tlp="GREEN")

    assert UnknownRecipient is type(refusal(header, DIRECTORY, request_of()))
    assert EVERYONE == decide(header, DIRECTORY, request_of(audience=frozenset(EVERYONE))).released


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "answer"}, "Kind answer needs `answers:<id>` in `refs`."),
        ({"kind": "comment"}, "Kind comment needs `comments:<id>` in `refs`."),
        ({"refs": (f"answers:{ID}",)}, "Only kind answer or consent-answer has `answers:<id>` in `refs`."),
        ({"refs": (f"endorses:{ID}",)}, "Only kind endorsement has `endorses:<id>` in `refs`."),
    ],
)
@pytest.mark.parametrize("targets", [(), (request_of(),)])
def test_kind_and_relation_go_together(changes: dict[str, Any], said: str, targets: tuple[Target, ...]) -> None:
    """A reference that its kind cannot have is refused with the reason, the same whether the target exists or not."""
    found = refusal(header_of(**changes), DIRECTORY, *targets)

    assert (RefUnavailable, said) == (type(found), found.detail)


def held_of(**changes: Any) -> Target:
    """Return an alert of sg-fiu that my-police and th-cert have."""
    members = {"seq": 5, "id": OTHER_ID, "iss": "sg-fiu", "audience": frozenset({"my-police", "th-cert"})}
    return target_of(**(members | changes))


def consent_request(**changes: Any) -> Header:
    """Return the header by which my-police asks sg-fiu for consent."""
    return header_of(**({"kind": "consent-request", "refs": (f"comments:{OTHER_ID}",)} | changes))


def test_consent_is_asked_of_the_originator() -> None:
    """Whoever holds a bulletin asks its originator."""
    assert ("sg-fiu",) == decide(consent_request(), DIRECTORY, held_of()).released


@pytest.mark.parametrize("to", [("th-cert",), ("sg-fiu", "th-cert")])
def test_consent_is_asked_of_nobody_else(to: tuple[str, ...]) -> None:
    """A request for consent goes to the originator alone, not to others who hold the bulletin."""
    found = refusal(consent_request(release_to=to), DIRECTORY, held_of())

    assert (UnknownRecipient, "release_to") == (type(found), found.member)


def test_consent_for_what_one_does_not_hold() -> None:
    """Asking consent tells nobody whether a bulletin exists."""
    found = refusal(consent_request(), DIRECTORY, held_of(audience=frozenset({"th-cert"})))

    assert RefUnavailable(member="refs").problem() == found.problem()


def consent_answer(**changes: Any) -> Header:
    """Return the header by which my-police tells sg-fiu and th-cert what may be done with its bulletin."""
    members = {
        "kind": "consent-answer",
        "refs": (f"answers:{ID}", f"comments:{OTHER_ID}"),
        "release_to": ("sg-fiu", "th-cert"),
    }
    return header_of(**(members | changes))


ASKED = target_of(iss="sg-fiu", kind="consent-request", audience=frozenset({"my-police"}), about=frozenset({5}))
OWN = held_of(iss="my-police", audience=frozenset({"sg-fiu", "th-cert"}))


def test_consent_is_told_to_holders() -> None:
    """The originator tells whoever asked, and whoever else holds the bulletin."""
    assert ("sg-fiu", "th-cert") == decide(consent_answer(), DIRECTORY, ASKED, OWN).released


def test_consent_is_told_to_no_stranger() -> None:
    """One who holds neither bulletin nor request is told nothing of it."""
    header = consent_answer(release_to=("sg-fiu", "th-cert", "vn-police"))

    assert UnknownRecipient is type(refusal(header, DIRECTORY, ASKED, OWN))


def test_consent_without_the_bulletin_goes_to_the_asker() -> None:
    """An answer about consent that names the request alone goes to whoever asked alone."""
    header = consent_answer(refs=(f"answers:{ID}",))

    assert UnknownRecipient is type(refusal(header, DIRECTORY, ASKED))
    assert ("sg-fiu",) == decide(header._replace(release_to=("sg-fiu",)), DIRECTORY, ASKED).released


@pytest.mark.parametrize(
    "other",
    [replace(OWN, seq=6), replace(OWN, iss="th-cert", audience=frozenset({"my-police", "vn-police"}))],
    ids=["another", "not-own"],
)
def test_consent_is_about_what_was_asked(other: Target) -> None:
    """The bulletin that an answer about consent names is its own and the one asked about, or there is none."""
    found = refusal(consent_answer(), DIRECTORY, ASKED, other)

    assert RefUnavailable(member="refs").problem() == found.problem()


def test_grant_needs_a_request() -> None:
    """Consent that nobody asked for is not given."""
    header = consent_answer(refs=(f"comments:{OTHER_ID}",))

    assert RefUnavailable is type(refusal(header, DIRECTORY, OWN))


@pytest.mark.parametrize("relation", ["recalls", "supersedes"])
def test_withdrawal_reaches_all(relation: str) -> None:
    """A recall or supersede that leaves out a holder of the original is refused."""
    kind = "recall" if relation == "recalls" else "alert"
    header = header_of(kind=kind, refs=(f"{relation}:{ID}",))

    found = refusal(header, DIRECTORY, target_of(audience=frozenset({"sg-fiu", "th-cert"})))

    assert (RecipientsTooFew, "release_to") == (type(found), found.member)


def test_withdrawal_for_everyone() -> None:
    """A withdrawal of what everyone has goes to everyone, and one to everyone reaches any holder."""
    assert RecipientsTooFew is type(refusal(recall_of(ID), DIRECTORY, target_of(audience=frozenset(EVERYONE))))
    assert EVERYONE == decide(recall_of(ID, release_to=EVERYONE, tlp="GREEN"), DIRECTORY, target_of()).released


def test_recall_needs_no_grant() -> None:
    """Nothing stops a recall: no grant of the issuer, no grant or suspension of a holder."""
    directory = suspend(directory_of(my_police=Grant(), sg_fiu=Grant()), "sg-fiu")

    admission = decide(recall_of(ID), directory, target_of())

    assert Admission(released=("sg-fiu",), withheld={}, withdraws=True) == admission


def test_recall_to_a_bystander() -> None:
    """One who did not hold the original gets its recall only within the grants."""
    directory = directory_of(th_cert=Grant())

    admission = decide(recall_of(ID, release_to=("sg-fiu", "th-cert")), directory, target_of())

    assert (("sg-fiu",), {"th-cert": "not-entitled"}) == (admission.released, admission.withheld)


def test_recall_of_what_reached_nobody() -> None:
    """The recall of a bulletin that was withheld from all is judged like any bulletin: nobody waits for it."""
    admission = decide(recall_of(ID), DIRECTORY, target_of(audience=frozenset()))

    assert (("sg-fiu",), False) == (admission.released, admission.withdraws)


def test_recall_of_everyones() -> None:
    """Whoever is named in the recall of a bulletin to everyone counts as a holder."""
    directory = directory_of(sg_fiu=Grant())
    target = target_of(audience=frozenset(EVERYONE))

    admission = decide(
        recall_of(ID, OTHER_ID, release_to=EVERYONE, tlp="GREEN"), directory, target, target_of(id=OTHER_ID)
    )

    assert (EVERYONE, {}, True) == (admission.released, admission.withheld, admission.withdraws)


def test_recall_of_several_reaches_the_holders_of_each() -> None:
    """A recall of several bulletins is refused when it leaves out a holder of one."""
    second = target_of(id=OTHER_ID, audience=frozenset({"vn-police"}))

    assert RecipientsTooFew is type(refusal(recall_of(ID, OTHER_ID), DIRECTORY, target_of(), second))


@pytest.mark.parametrize(
    "header",
    [
        header_of(kind="recall"),
        header_of(kind="recall", refs=(f"supersedes:{ID}",)),
        header_of(refs=(f"recalls:{ID}",)),
    ],
)
def test_recall_and_its_reference_go_together(header: Header) -> None:
    """A recall names what it recalls, and no other kind recalls."""
    found = refusal(header, DIRECTORY, target_of())

    assert (RefUnavailable, "refs") == (type(found), found.member)


def test_supersede_within_the_original() -> None:
    """A superseding bulletin of the same topic, marked no higher, to no one new, needs no grant."""
    directory = directory_of(my_police=Grant(), sg_fiu=Grant())

    admission = decide(header_of(refs=(f"supersedes:{ID}",)), directory, target_of())

    assert Admission(released=("sg-fiu",), withheld={}, withdraws=True) == admission


def test_recall_that_goes_further() -> None:
    """A recall that says more than the original is judged like any bulletin, and stays with those it reached."""
    admission = decide(recall_of(ID, topic="drugs"), DIRECTORY, target_of())

    assert (("sg-fiu",), True) == (admission.released, admission.withdraws)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"topic": "drugs"}, TopicNotGranted),
        ({"tlp": "AMBER+STRICT"}, TlpAboveCeiling),
    ],
)
def test_supersede_beyond_the_original(changes: dict[str, Any], kind: type[Refusal]) -> None:
    """A superseding bulletin on another topic or marked higher needs the grant for it."""
    directory = directory_of(my_police=Grant(publish=("cyber",), read=("*",), ceiling="AMBER"))
    header = header_of(refs=(f"supersedes:{ID}",), **changes)

    assert kind is type(refusal(header, directory, target_of()))
    assert not decide(header, DIRECTORY, target_of()).withdraws


def test_supersede_beyond_the_original_with_further_topics() -> None:
    """A superseding bulletin of the original's topic brings no topic along that was never granted."""
    directory = directory_of(my_police=Grant(publish=("cyber",), read=("*",), ceiling="RED"))
    header = header_of(refs=(f"supersedes:{ID}",))

    found = refusal(header, directory, target_of(), topics=("drugs",))

    assert TopicNotGranted is type(found)


@pytest.mark.parametrize("relation", ["recalls", "supersedes"])
@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"topic": "drugs"}, TopicNotGranted),
        ({"tlp": "AMBER+STRICT"}, TlpAboveCeiling),
    ],
)
def test_withdrawal_that_goes_further(relation: str, changes: dict[str, Any], kind: type[Refusal]) -> None:
    """A withdrawal that says more than what it withdraws is judged like any bulletin."""
    directory = directory_of(my_police=Grant(publish=("cyber",), read=("*",), ceiling="AMBER"))
    header = header_of(kind="recall" if relation == "recalls" else "alert", refs=(f"{relation}:{ID}",), **changes)

    assert kind is type(refusal(header, directory, target_of()))


def test_withdrawal_to_more() -> None:
    """A withdrawal to one who did not have the original needs the grant for it."""
    directory = directory_of(my_police=Grant())

    assert TopicNotGranted is type(refusal(recall_of(ID, release_to=("sg-fiu", "th-cert")), directory, target_of()))


def test_withdrawal_that_a_holder_may_not_read() -> None:
    """A withdrawal that goes further, so that a holder may not read it, is refused."""
    directory = directory_of(sg_fiu=Grant(read=("cyber",), ceiling="AMBER"))
    header = header_of(refs=(f"supersedes:{ID}",), topic="drugs")

    assert RecipientsTooFew is type(refusal(header, directory, target_of()))
    assert ("sg-fiu",) == decide(header, DIRECTORY, target_of()).released


@pytest.mark.parametrize(
    ("relation", "changes", "is_refused"),
    [
        ("recalls", {"is_recalled": True}, True),
        ("supersedes", {"is_recalled": True}, True),
        ("supersedes", {"is_superseded": True}, True),
        ("recalls", {"is_superseded": True}, False),
    ],
)
def test_withdrawn_already(relation: str, changes: dict[str, bool], is_refused: bool) -> None:  # noqa: FBT001 - a table
    """What was recalled is gone for good; what was superseded can still be recalled."""
    header = header_of(kind="recall" if relation == "recalls" else "alert", refs=(f"{relation}:{ID}",))
    target = target_of(**changes)

    if is_refused:
        assert RefUnavailable(member="refs").problem() == refusal(header, DIRECTORY, target).problem()
    else:
        assert ("sg-fiu",) == decide(header, DIRECTORY, target).released


def test_withdrawal_to_everyone_past_grants() -> None:
    """To everyone a recall goes past the grants of its readers, a successor does not."""
    everyones, named = target_of(audience=frozenset(EVERYONE)), target_of()
    recall = recall_of(ID, release_to=EVERYONE, tlp="GREEN")
    supersede = header_of(refs=(f"supersedes:{ID}",), release_to=EVERYONE, tlp="GREEN")

    found = [
        decide(recall, DIRECTORY, everyones).withdraws,
        decide(recall, DIRECTORY, named).withdraws,
        decide(supersede, DIRECTORY, everyones).withdraws,
    ]

    assert [True, True, False] == found


def test_reading_everything() -> None:
    """A grant of everything reads every topic without naming any."""
    assert Reading(topics=None, tlp_rank_max=4, only_withdrawals=False) == reading(DIRECTORY, "sg-fiu")


def test_reading_of_a_narrow_grant() -> None:
    """A grant of a topic reads its sub-topics, up to the ceiling."""
    directory = directory_of(sg_fiu=Grant(read=("drugs", "tip"), ceiling="GREEN"))

    found = reading(directory, "sg-fiu")

    assert frozenset({"drugs", "drugs.precursors", "tip", "tip.forced-criminality"}) == found.topics
    assert 1 == found.tlp_rank_max


def test_reading_of_every_topic_named() -> None:
    """Naming every top-level topic is the same as granting everything."""
    tops = tuple(sorted(topic for topic in vocabulary.load().topics if "." not in topic))

    assert reading(directory_of(sg_fiu=Grant(read=tops, ceiling="RED")), "sg-fiu").topics is None


def test_reading_while_suspended() -> None:
    """A suspended agency reads recalls alone; a successor waits for the end of the suspension."""
    bounds = reading(suspend(DIRECTORY, "sg-fiu"), "sg-fiu")

    assert not allows(bounds, topic="cyber.scam", rank=0, withdraws=True, is_recall=False)

    assert not allows(bounds, topic="cyber.scam", rank=0, withdraws=False)
    assert allows(bounds, topic="cyber.scam", rank=0, withdraws=True)


@pytest.mark.parametrize(
    ("topic", "rank", "withdraws", "expected"),
    [
        ("drugs", 2, False, True),
        ("drugs", 3, False, False),
        ("cyber", 2, False, False),
        ("cyber", 4, True, True),
    ],
)
def test_bounds(topic: str, rank: int, withdraws: bool, expected: bool) -> None:  # noqa: FBT001 - a table
    """One bulletin lies within the bounds by topic and marking; a withdrawal always does."""
    bounds = Reading(topics=frozenset({"drugs"}), tlp_rank_max=2, only_withdrawals=False)

    assert expected == allows(bounds, topic=topic, rank=rank, withdraws=withdraws)


def test_bounds_of_everything() -> None:
    """Without a list of topics only the marking bounds."""
    bounds = Reading(topics=None, tlp_rank_max=2, only_withdrawals=False)

    assert allows(bounds, topic="cyber", rank=2, withdraws=False)
    assert not allows(bounds, topic="cyber", rank=3, withdraws=False)


def test_recall_of_what_was_withheld_from_some() -> None:
    """A recall to those first named needs no grant, though some of them never had the original."""
    directory = directory_of(my_police=Grant(), th_cert=Grant())
    target = target_of(named=frozenset({"sg-fiu", "th-cert"}))

    admission = decide(recall_of(ID, release_to=("sg-fiu", "th-cert")), directory, target)

    assert (("sg-fiu",), {"th-cert": "not-entitled"}) == (admission.released, admission.withheld)


@pytest.mark.parametrize(
    "wider",
    [
        {"topic": "documents"},
        {"tlp": "AMBER+STRICT"},
        {"release_to": ("sg-fiu", "vn-police")},
    ],
)
def test_recall_that_says_more_needs_a_grant(wider: dict[str, Any]) -> None:
    """A recall on another topic, of a higher marking or to somebody new is judged like any bulletin."""
    error = refusal(recall_of(ID, **wider), directory_of(my_police=Grant()), target_of(named=frozenset({"sg-fiu"})))

    assert error.code in {"topic-not-granted", "tlp-above-ceiling"}


@pytest.mark.parametrize(("relation", "gone"), [("supersedes", "is_recalled"), ("supersedes", "is_superseded")])
def test_withdrawn_line_is_not_superseded(relation: str, gone: str) -> None:
    """What was recalled or superseded is not superseded again."""
    header = header_of(refs=(f"{relation}:{ID}",))

    assert "ref-unavailable" == refusal(header, DIRECTORY, target_of(**{gone: True})).code


def test_superseding_reaches_every_holder() -> None:
    """A successor that a holder of the original may not read is refused: its copy would vanish unexplained."""
    directory = directory_of(sg_fiu=Grant(read=("cyber",), ceiling="AMBER"))
    header = header_of(refs=(f"supersedes:{ID}",), tlp="AMBER+STRICT")

    assert "recipients-too-few" == refusal(header, directory, target_of()).code
