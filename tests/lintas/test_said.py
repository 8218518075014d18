"""What was said of a bulletin, counted from plain values."""

from __future__ import annotations

from typing import Any

import pytest

from lintas import bulletin
from lintas.errors import MalformedPayload
from lintas.exchange import REFERS
from lintas.feed import Received
from lintas.header import BULLETIN, EVERYONE, Header
from lintas.line import Line
from lintas.reply import circle, refs_of, reply_draft, title_of
from lintas.said import Answer, Consent, Said, Statement, said_of

NOW = 1_795_000_000
DAY = 86_400
NOTHING = Said((), (), (), comments=0, feedback=0, results={}, actions={})


def name(number: int) -> str:
    """Return an id."""
    return f"{number:042}A"


ALERT, REQUEST = name(1), name(2)
PURPOSE = {"code": "investigation", "statement": "Fictional."}


def said(line_id: str, iss: str, kind: str, *to: str, refs: tuple[str, ...] = (), **content: Any) -> Statement:
    """Return what an agency said."""
    header = Header(
        typ=BULLETIN,
        kid=name(0),
        iss=iss,
        aud="hub.example-aaaaaaaa",
        iat=NOW,
        exp=NOW + 30 * DAY,
        kind=kind,
        topic="cyber.scam",
        tlp="AMBER",
        release_to=to,
        urgency="urgent",
        refs=refs,
    )
    members = {"title": "Fictional", "summary": "FICTIONAL.", **content}
    return Statement(line_id, header, bulletin.check(members, kind=kind) if content.get("sealed") is None else None)


def about(iss: str, kind: str, target: str = ALERT, *, number: int = 9, **content: Any) -> Statement:
    """Return what an agency said of a bulletin."""
    return said(name(number), iss, kind, "my-police", refs=(f"{REFERS[kind]}:{target}",), **content)


SUBJECT = said(ALERT, "my-police", "alert", "sg-fiu", "th-cert")
ASKED = said(
    REQUEST,
    "sg-fiu",
    "consent-request",
    "my-police",
    refs=(f"comments:{ALERT}",),
    permission="pass-on",
    pass_to=["th-cert"],
    purpose=PURPOSE,
    case_ref="SIM-1",
)


def test_nothing_was_said() -> None:
    """A bulletin alone has nothing said of it."""
    assert NOTHING == said_of(ALERT, [SUBJECT])


def test_each_sort_is_counted() -> None:
    """Endorsements, comments and feedback are told apart; an agency that endorses twice stands there once."""
    thread = [
        SUBJECT,
        about("th-cert", "endorsement"),
        about("th-cert", "endorsement", number=10),
        about("sg-fiu", "comment"),
        about("sg-fiu", "feedback", result="actioned", counts={"arrests": 2, "blocks": 0}),
        about("th-cert", "feedback", result="actioned", counts={"arrests": 1, "freezes": 3}),
        about("th-cert", "feedback", result="stale"),
    ]

    found = said_of(ALERT, thread)

    assert (("th-cert",), 1, 3) == (found.endorsed_by, found.comments, found.feedback)
    assert {"actioned": 2, "stale": 1} == found.results
    assert {"arrests": 3, "freezes": 3} == found.actions


def test_of_another_bulletin() -> None:
    """What was said of another bulletin of the thread is not counted."""
    assert NOTHING == said_of(ALERT, [SUBJECT, about("sg-fiu", "comment", REQUEST)])


def test_strangers_do_not_count() -> None:
    """What comes from outside the circle of a bulletin does not count, whatever a hub let through."""
    thread = [SUBJECT, about("vn-police", "endorsement"), about("vn-police", "feedback", result="useful")]

    assert NOTHING == said_of(ALERT, thread)


def test_own_praise_does_not_count() -> None:
    """Nobody endorses their own bulletin or tells what it was worth; a comment of the issuer is one."""
    thread = [SUBJECT, about("my-police", "endorsement"), about("my-police", "feedback", result="useful")]

    assert NOTHING == said_of(ALERT, thread)
    assert 1 == said_of(ALERT, [SUBJECT, about("my-police", "comment")]).comments


def test_everyone_is_within_the_circle_of_everyone() -> None:
    """Of a bulletin to every partner every partner speaks."""
    thread = [said(ALERT, "my-police", "advisory", "*"), about("vn-police", "endorsement")]

    assert ("vn-police",) == said_of(ALERT, thread).endorsed_by


def test_withdrawn_subject() -> None:
    """Of a bulletin that was withdrawn what was said is still counted, but consent is not shown."""
    thread = [about("sg-fiu", "comment"), ASKED, consent("my-police")]

    found = said_of(ALERT, thread)

    assert (1, ()) == (found.comments, found.consents)


def test_answers() -> None:
    """Each answer is told with its result and the ground of a refusal; one sealed to others has no result."""
    rfi = said(REQUEST, "my-police", "rfi", "sg-fiu", "th-cert", questions=["?"], purpose=PURPOSE, case_ref="SIM-1")
    thread = [
        rfi,
        about("sg-fiu", "answer", REQUEST, result="refused", reason="security"),
        about("th-cert", "answer", REQUEST, number=10, sealed=True),
    ]

    found = said_of(REQUEST, thread).answers

    assert (Answer(name(9), "sg-fiu", "refused", "security"), Answer(name(10), "th-cert", None)) == found


def consent(iss: str, **content: Any) -> Statement:
    """Return an answer to the request for consent."""
    refs = (f"answers:{REQUEST}", f"comments:{ALERT}")
    return said(
        name(9), iss, "consent-answer", "sg-fiu", refs=refs, **({"result": "granted", "requester": "sg-fiu"} | content)
    )


@pytest.mark.parametrize("asked", [ALERT, REQUEST])
def test_consent_is_what_was_asked(asked: str) -> None:
    """Consent is told with the bulletin and with the request; what it does not say itself is what was asked."""
    found = said_of(asked, [SUBJECT, ASKED, consent("my-police")]).consents

    assert (Consent(name(9), "my-police", "sg-fiu", "granted", "pass-on", ("th-cert",)),) == found


def test_consent_says_less() -> None:
    """An originator may permit less than was asked."""
    found = said_of(ALERT, [SUBJECT, ASKED, consent("my-police", permission="pass-on", pass_to=["a court"])]).consents

    assert (("a court",),) == tuple(each.pass_to for each in found)


def test_consent_seen_without_its_request() -> None:
    """Another holder of the bulletin sees who asked and what is permitted to them."""
    found = said_of(ALERT, [SUBJECT, consent("my-police", permission="evidence")]).consents

    assert (Consent(name(9), "my-police", "sg-fiu", "granted", "evidence"),) == found


def test_request_names_who_asked() -> None:
    """Where the request is there, it says who asked, whatever the answer says."""
    found = said_of(ALERT, [SUBJECT, ASKED, consent("my-police", requester="th-cert")]).consents

    assert ["sg-fiu"] == [each.to for each in found]


def test_consent_that_cannot_be_opened() -> None:
    """Of consent that is sealed to others its issuer alone is told."""
    found = said_of(ALERT, [SUBJECT, consent("my-police", sealed=True)]).consents

    assert (Consent(name(9), "my-police", None, None),) == found


@pytest.mark.parametrize("asked", [ALERT, REQUEST])
def test_consent_of_another_is_none(asked: str) -> None:
    """Only its originator consents about a bulletin."""
    assert () == said_of(asked, [SUBJECT, ASKED, consent("th-cert")]).consents


def received(statement: Statement) -> Received:
    """Return it as it is received."""
    line = Line(raw=b"", id=statement.id, header=statement.header, payload=b"", signature=b"")
    return Received(seq=5, id=statement.id, line=line, content=statement.content)


def test_reply_keeps_topic_and_marking() -> None:
    """A reply is about the topic of its original, marked and valid like it."""
    found = reply_draft(received(SUBJECT), "comment", {"title": "t"}, to=["my-police"], now=NOW)

    expected = {
        "kind": "comment",
        "topic": "cyber.scam",
        "tlp": "AMBER",
        "urgency": "urgent",
        "release_to": ["my-police"],
        "valid_until": "2026-12-18T11:06:40Z",
        "refs": [f"comments:{ALERT}"],
        "payload": {"title": "t"},
    }
    assert expected == found


def test_reply_stands_a_week() -> None:
    """A reply to what is nearly over stands for a week."""
    found = reply_draft(received(SUBJECT), "comment", {}, to=["my-police"], now=NOW + 30 * DAY)

    assert "2026-12-25T11:06:40Z" == found["valid_until"]


def test_reply_is_never_wider() -> None:
    """A reply is marked as narrowly as its original at least."""
    with pytest.raises(MalformedPayload):
        reply_draft(received(SUBJECT), "comment", {}, to=["my-police"], now=NOW, tlp="GREEN")

    assert "RED" == reply_draft(received(SUBJECT), "comment", {}, to=["my-police"], now=NOW, tlp="RED")["tlp"]


def test_consent_answer_names_the_bulletin() -> None:
    """An answer about consent refers to the request and to the bulletin that it is about."""
    assert [f"answers:{REQUEST}", f"comments:{ALERT}"] == refs_of(received(ASKED), "consent-answer")


def test_circle() -> None:
    """The circle of a bulletin is everyone it went to and its issuer, without oneself."""
    everyone = said(ALERT, "my-police", "advisory", *EVERYONE)

    found = circle(SUBJECT.header, "sg-fiu"), circle(SUBJECT.header, "my-police"), circle(everyone.header, "sg-fiu")

    assert (["my-police", "th-cert"], ["sg-fiu", "th-cert"], ["*"]) == found


def test_title_fits() -> None:
    """A title is cut at its limit; of what cannot be opened it names the id."""
    long = about("sg-fiu", "comment", title="a" * 120)
    closed = about("sg-fiu", "comment", sealed=True)

    assert (120, f"Re: {name(9)}") == (len(title_of(received(long), "Re")), title_of(received(closed), "Re"))
