"""What somebody has to look at, as notices.

Pure: from figures, directory, duties to sentences. Each says what is wrong, whose it is and where to go on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from broker.due import Open
from broker.store.troubles import Hook
from broker.survey import Survey
from lintas.event import US_PER_S

BAD, WARN, NOTE = "bad", "warn", "note"

UNWITNESSED_S_MAX = 900
"""Witnesses look about once a minute; what a quorum has not seen for so long, it does not look at."""

BURST_MIN = 10
"""Refusals of one party in a day that are more than slips."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One line: how bad, in one word what, whose, in words, and the address of what it is about.

    `time_us` is when it began or will be, if that matters.
    """

    tone: str
    word: str
    text: str
    url: str
    party: str | None = None
    time_us: int | None = None


@dataclass(frozen=True, slots=True)
class State:
    """What notices about the hub follow from."""

    survey: Survey
    overdue: Collection[Open]
    hooks: Collection[Hook]
    bursts: Mapping[str, int]
    ending: Collection[tuple[str, int]]
    pending: int
    two_person: bool
    halted: str | None
    since_us: int


def of_hub(state: State, now: int) -> list[Notice]:
    """Return what administrators have to look at, the worst first."""
    found = [
        *_standing(state),
        *_witnesses(state.survey, now),
        *_overdue(state.overdue, now),
        *_hooks(state.hooks, "/console/partners/{}"),
        *_bursts(state),
        *_ending(state.ending),
    ]
    return _worst_first(found)


def of_agency(
    hooks: Iterable[Hook],
    ending: Iterable[tuple[str, int]],
    to_acknowledge: Iterable[Open],
    to_answer: Iterable[Open],
    now: int,
) -> list[Notice]:
    """Return what an agency's officers have to look at, the worst first."""
    found = [*_owed(to_acknowledge, "acknowledge", now), *_owed(to_answer, "answer", now)]
    return _worst_first([*found, *_hooks(hooks, "/console/partners/{}"), *_ending(ending)])


def _worst_first(found: Iterable[Notice]) -> list[Notice]:
    order = (BAD, WARN, NOTE)
    return sorted(found, key=lambda notice: order.index(notice.tone))


def _standing(state: State) -> Iterator[Notice]:
    if state.halted is not None:
        yield Notice(BAD, "read-only", state.halted, "/console/integrity")
    if not state.two_person:
        text = "One person decides: with a second administrator, orders about keys and grants need two."
        yield Notice(BAD, "one person", text, "/console/partners")
    if state.pending:
        text = f"{state.pending} waiting for an administrator's signature."
        yield Notice(WARN, "approvals", text, "/console/partners")
    if state.survey.overdue:
        text = f"{state.survey.overdue} bulletins are two days past their purge."
        yield Notice(WARN, "purge", text, "/console/system")


def _witnesses(survey: Survey, now: int) -> Iterator[Notice]:
    if survey.witnessed is None:
        yield Notice(WARN, "no quorum", "No witness is asked to cosign this log's checkpoints.", "/console/integrity")
        return
    lag = 0 if survey.unwitnessed_since is None else now - survey.unwitnessed_since
    if lag > UNWITNESSED_S_MAX:
        text = f"{survey.size - survey.witnessed} entries have no quorum of witnesses yet."
        yield Notice(BAD, "no quorum", text, "/console/integrity", time_us=_us(survey.unwitnessed_since))


def _overdue(overdue: Iterable[Open], now: int) -> Iterator[Notice]:
    for each in overdue:
        late = sorted(each.overdue(now), key=lambda duty: duty.due or 0)
        what = "recall is not acknowledged" if each.is_recall else "request is not answered"
        text = f"'s {what} by {_names([duty.agency for duty in late])}."
        yield Notice(BAD, "overdue", text, f"/console/bulletins/{each.line.id}", each.line.iss, _us(late[0].due))


def _owed(owed: Iterable[Open], verb: str, now: int) -> Iterator[Notice]:
    for each in owed:
        [duty] = each.duties
        tone = BAD if duty.is_overdue(now) else WARN
        word = "overdue" if tone == BAD else "due"
        what = "recall to acknowledge" if verb == "acknowledge" else "request to answer"
        yield Notice(tone, word, f"'s {what}.", f"/console/bulletins/{each.line.id}", each.line.iss, _us(duty.due))


def _hooks(hooks: Iterable[Hook], url: str) -> Iterator[Notice]:
    for hook in hooks:
        if hook.is_dead or hook.is_failing:
            state = "is dead, nothing is pushed any more" if hook.is_dead else "is failing, it is tried again"
            why = f" ({hook.code})" if hook.code else ""
            text = f"'s webhook for {hook.subscription} {state}{why}."
            tone = BAD if hook.is_dead else WARN
            yield Notice(tone, "webhook", text, url.format(hook.agency), hook.agency, _us(hook.since))


def _bursts(state: State) -> Iterator[Notice]:
    for party, count in state.bursts.items():
        url = f"/console/audit?party={party}&outcome=refused"
        yield Notice(WARN, "refused", f" was refused {count} times in 24 hours.", url, party, state.since_us)


def _ending(ending: Iterable[tuple[str, int]]) -> Iterator[Notice]:
    for party, end in ending:
        yield Notice(
            WARN, "key ends", "'s last key ends; it should rotate.", f"/console/partners/{party}", party, _us(end)
        )


def _names(agencies: list[str], shown: int = 3) -> str:
    named = ", ".join(agencies[:shown])
    return named if len(agencies) <= shown else f"{named} and {len(agencies) - shown} more"


def _us(second: int | None) -> int | None:
    return None if second is None else second * US_PER_S
