"""What was said of one bulletin: who endorsed, answered or consented, what it was worth.

Pure: it counts over verified bulletins of a thread, for whoever holds them. Two readers may count differently, since
each sees what was released to it. What comes from outside the circle of the bulletin, praise of one's own, or consent
of another than the originator does not count, whatever a hub let through. Spec: docs/spec/bulletin.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from lintas import exchange
from lintas.bulletin import Bulletin
from lintas.header import EVERYONE, Header


@dataclass(frozen=True, slots=True)
class Statement:
    """A verified bulletin of a thread. `content` is None where the reader cannot open it."""

    id: str
    header: Header
    content: Bulletin | None


@dataclass(frozen=True, slots=True)
class Answer:
    """A signed answer. `result` None: sealed, and not to this reader. `reason` is the ground of a refusal."""

    id: str
    by: str
    result: str | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Consent:
    """What an originator permitted or refused to whom. It widens nothing: the hub still gives what it gave.

    `to` is who asked; None where neither request nor answer can be opened.
    """

    id: str
    by: str
    to: str | None
    result: str | None
    permission: str | None = None
    pass_to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Said:
    """What a thread says of one bulletin, oldest first; `results` and `actions` are totals of its feedback."""

    endorsed_by: tuple[str, ...]
    answers: tuple[Answer, ...]
    consents: tuple[Consent, ...]
    comments: int
    feedback: int
    results: dict[str, int]
    actions: dict[str, int]


def said_of(line_id: str, thread: Iterable[Statement]) -> Said:
    """Sum up what these say of the bulletin with this id."""
    statements = tuple(thread)
    subject = next((each.header for each in statements if each.id == line_id), None)
    about = [
        each
        for each in statements
        if line_id in each.header.targets("answers", "endorses", "comments") and _is_within(subject, each.header.iss)
    ]
    others = [each for each in about if subject is None or each.header.iss != subject.iss]
    feedback = [each for each in others if each.header.kind == "feedback"]
    results, actions = _totals(feedback)
    return Said(
        endorsed_by=tuple(sorted({each.header.iss for each in others if each.header.kind == "endorsement"})),
        answers=tuple(_answer(each) for each in about if each.header.kind == "answer"),
        consents=() if subject is None else _consents(line_id, subject, statements),
        comments=sum(each.header.kind == "comment" for each in about),
        feedback=len(feedback),
        results=results,
        actions=actions,
    )


def _totals(feedback: Iterable[Statement]) -> tuple[dict[str, int], dict[str, int]]:
    results: Counter[str] = Counter()
    actions: Counter[str] = Counter()
    for each in feedback:
        if each.content is not None:
            results[each.content.result or ""] += 1
            actions.update(each.content.counts or {})
    return dict(sorted(results.items())), {name: actions[name] for name in exchange.ACTIONS if actions[name]}


def _answer(each: Statement) -> Answer:
    content = each.content
    if content is None:
        return Answer(each.id, each.header.iss, None)
    return Answer(each.id, each.header.iss, content.result, content.reason)


def _is_within(subject: Header | None, agency: str) -> bool:
    # Of a bulletin that was withdrawn nobody sees the circle any more.
    return subject is None or subject.release_to == EVERYONE or agency in {subject.iss, *subject.release_to}


def _consents(line_id: str, subject: Header, statements: tuple[Statement, ...]) -> tuple[Consent, ...]:
    is_request = subject.kind == exchange.CONSENT_REQUEST
    requests = {
        each.id: each
        for each in statements
        if each.header.kind == exchange.CONSENT_REQUEST
        and (each.id == line_id if is_request else line_id in each.header.targets("comments"))
    }
    originators = subject.release_to if is_request else (subject.iss,)
    found = []
    for each in statements:
        header = each.header
        if header.kind != exchange.CONSENT_ANSWER or header.iss not in originators:
            continue
        answered = [target for target in header.targets("answers") if target in requests]
        if answered or line_id in header.targets("comments"):
            found.append(_consent(each, requests[answered[0]] if answered else None))
    return tuple(found)


def _consent(each: Statement, request: Statement | None) -> Consent:
    # What is permitted is what the answer says; where it says nothing, what the request asked. To others who are told
    # of it nothing is permitted, so it always says to whom.
    asked = request.content if request is not None else None
    content = each.content
    told = content if content is not None and content.permission is not None else asked
    requester = None if content is None else content.requester
    return Consent(
        id=each.id,
        by=each.header.iss,
        to=requester if request is None else request.header.iss,
        result=None if content is None else content.result,
        permission=None if told is None else told.permission,
        pass_to=() if told is None else told.pass_to,
    )
