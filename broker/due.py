"""What is owed: requests to answer, recalls to acknowledge, by whom, until when.

A view over lines, deliveries and acknowledgements. It reads what still stands, bounded, and lets ``lintas.exchange``
decide what is late. Nothing here is a record: that an answer came, or none, is in the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from broker import policy
from broker.delivery import Window
from broker.standing import is_within, reader
from broker.store import exchange as store
from broker.store.engine import Connection
from broker.store.lines import EVERYONE, StoredLine
from lintas import exchange
from lintas.directory import Directory
from lintas.exchange import Duty
from lintas.line import parse
from lintas.strict import parse_object

REQUESTS = tuple(sorted(exchange.ANSWERED_BY))
RECALLS = (exchange.RECALL,)


@dataclass(frozen=True, slots=True)
class Open:
    """A request or recall that stands, with who owes what on it. `barred` may not read it now, so they owe nothing."""

    line: StoredLine
    duties: tuple[Duty, ...]
    barred: tuple[str, ...] = ()

    @property
    def is_recall(self) -> bool:
        """Tell whether it is to be acknowledged; else it is to be answered."""
        return self.line.kind == exchange.RECALL

    def overdue(self, now: int) -> list[Duty]:
        """Return the duties whose time is over."""
        return [duty for duty in self.duties if duty.is_overdue(now)]


@dataclass(frozen=True, slots=True)
class Due:
    """One agency's view, complete up to log index `next`; None: complete."""

    to_acknowledge: tuple[Open, ...]
    to_answer: tuple[Open, ...]
    waiting_for_answer: tuple[Open, ...]
    waiting_for_acknowledgement: tuple[Open, ...]
    next: int | None


def due_of(conn: Connection, directory: Directory, agency: str, *, window: Window, now: int) -> Due:
    """Return what this agency owes and what it is owed, of bulletins with log indexes in the window."""
    who = reader(directory, agency)
    requests, recalls = _standing(REQUESTS, window, now), _standing(RECALLS, window, now)
    lists = [
        store.unacknowledged(conn, who, recalls),
        store.unanswered(conn, who, requests),
        store.standing(conn, requests, issuer=agency),
        store.standing(conn, recalls, issuer=agency),
    ]
    # The four lists share one cursor: none goes further than the shortest that was cut.
    cut = min((rows[-1].seq for rows in lists if len(rows) == window.limit), default=None)
    mine, asked, requested, recalled = ([row for row in rows if cut is None or row.seq <= cut] for rows in lists)
    return Due(
        to_acknowledge=_own(conn, agency, mine),
        to_answer=_own(conn, agency, asked),
        waiting_for_answer=_unmet(_open(conn, directory, requested)),
        waiting_for_acknowledgement=_unmet(_open(conn, directory, recalled)),
        next=cut,
    )


def overdue(conn: Connection, directory: Directory, *, window: Window, now: int) -> tuple[list[Open], int | None]:
    """Return what is overdue among the open requests and recalls of all in this window, and where to go on."""
    rows = store.standing(conn, _standing((*RECALLS, *REQUESTS), window, now))
    found = [each for each in _open(conn, directory, rows) if each.overdue(now)]
    return found, rows[-1].seq if len(rows) == window.limit else None


def _standing(kinds: tuple[str, ...], window: Window, now: int) -> store.Standing:
    return store.Standing(kinds, now, window.after, window.limit)


def _own(conn: Connection, agency: str, rows: Sequence[StoredLine]) -> tuple[Open, ...]:
    sent = store.sent(conn, [row.seq for row in rows])
    return tuple(Open(row, (_duty(row, agency, sent.get((row.seq, agency))),)) for row in rows)


def _unmet(found: Sequence[Open]) -> tuple[Open, ...]:
    return tuple(each for each in found if each.barred or not all(duty.is_met for duty in each.duties))


def _open(conn: Connection, directory: Directory, rows: Sequence[StoredLine]) -> list[Open]:
    seqs = [row.seq for row in rows]
    released, sent = store.released(conn, seqs), store.sent(conn, seqs)
    met = store.answered(conn, seqs) | store.acknowledged(conn, [row.seq for row in rows if row.kind in RECALLS])
    bounds = {agency: policy.reading(directory, agency) for agency in directory.partners}
    found = []
    for row in rows:
        is_for_all = EVERYONE in released[row.seq]
        named = sorted(bounds.keys() - {row.iss}) if is_for_all else released[row.seq]
        owing = [each for each in named if (row.seq, each) in met or is_within(bounds[each], row)]
        duties = [_duty(row, each, sent.get((row.seq, each)), is_met=(row.seq, each) in met) for each in owing]
        # Of those whom the issuer did not name it learns nothing, least of all what they may not read.
        barred = () if is_for_all else tuple(each for each in named if each not in owing)
        found.append(Open(row, tuple(duties), barred))
    return found


def _duty(row: StoredLine, agency: str, sent_at: int | None, *, is_met: bool = False) -> Duty:
    urgency = row.urgency or ""
    if row.kind in RECALLS:
        return Duty(agency, sent_at, exchange.acknowledgement_due(urgency, sent_at), is_met)
    return Duty(agency, sent_at, exchange.answer_due(urgency, sent_at, _stated(row)), is_met)


def _stated(row: StoredLine) -> str | None:
    # Checked when it was accepted. A sealed request states its time to its readers alone.
    assert row.raw is not None
    found = parse(row.raw)
    if found.header.enc is not None:
        return None
    stated = parse_object(found.payload, floats=True).get("answer_due")
    return stated if isinstance(stated, str) else None
