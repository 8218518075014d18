"""Hit/no-hit deconfliction between registered interests, beside the watch lists of an agency.

Two agencies that look for the same value may be told of each other, as the modes of both allow; never what they know.
Promises: nothing but its results tells an agency a hit from a miss. Registering does the same work for both; every
interest has one `interest.checked` event at the next minute of the hub's clock, of one form; no event ever depends on a
match. Each pair is found once, by the later interest, and told to both sides at that minute.
Spec: docs/spec/matching.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from broker.batch import Batch
from broker.store import interests, watches
from broker.store.engine import Connection
from broker.store.indicators import digest
from broker.store.interests import Pair, StoredInterest
from lintas.directory import Directory
from lintas.errors import NotFound, OrderConflict, PartnerSuspended, QuotaExceeded
from lintas.line import Line
from lintas.orders import Order, open_order, values_of

TICK_S = 60
"""Results come at full minutes, so that their time tells nothing of how they were found."""

TICK_INTERESTS_MAX = 200
"""Interests checked in one commit; the next one, seconds later, takes the rest."""

DAY_S = 86_400
STANDING_MAX = 200
"""Interests of one agency at a time: the open cases of a desk."""

DAILY_INDICATORS_MAX = 500
"""Indicators that an agency may register in a day. Asking for values at random finds nothing at this pace."""

WATCHES_MAX = 20
"""Watch lists of an agency; each holds a thousand indicators."""

SILENT = "silent"
OPEN = "open"


@dataclass(frozen=True, slots=True)
class Counterpart:
    """What is told at one place of an interest: an agency that has the same; its case only if its mode is ``open``."""

    place: int
    agency: str
    mode: str
    case_ref: str | None


@dataclass(frozen=True, slots=True)
class Result:
    """An interest that stands, with what it is told now."""

    interest: StoredInterest
    told: tuple[Counterpart, ...]


class Ticker:
    """When interests are checked next. Used by the writer's thread alone."""

    def __init__(self) -> None:
        """Begin with a check that is due at once."""
        self._next_at = 0

    def record(self, batch: Batch) -> None:
        """Check what is due. When nothing is, nothing will be before the next full minute."""
        if batch.now >= self._next_at and not tick(batch):
            self._next_at = batch.now - batch.now % TICK_S + TICK_S


def tick(batch: Batch) -> bool:
    """Check interests registered before this minute: tell both sides of each pair, record that they were checked.

    Returns whether there were any.
    """
    due = interests.due(batch.conn, batch.now - batch.now % TICK_S, TICK_INTERESTS_MAX)
    if not due:
        return False
    interests.forget_ended(batch.conn, batch.now)
    rows = [
        row for pair in interests.pairs(batch.conn, [each.seq for each in due], batch.now) for row in tellings(pair)
    ]
    if rows:
        interests.tell(batch.conn, rows)
    for each in due:
        interests.set_checked(
            batch.conn, each.seq, batch.append("interest.checked", each.agency, object_id=each.id, detail={})
        )
    return True


def tellings(pair: Pair) -> list[dict[str, int]]:
    """Return what a pair lets be told: each side learns of the other, unless the other is silent."""
    told = []
    if pair.later_mode != SILENT:
        told.append({"seq": pair.earlier, "place": pair.earlier_place, "other": pair.later})
    if pair.earlier_mode != SILENT:
        told.append({"seq": pair.later, "place": pair.later_place, "other": pair.earlier})
    return told


def results(conn: Connection, directory: Directory, agency: str, now: int) -> tuple[Result, ...]:
    """Return an agency's interests that stand, oldest first; raise PartnerSuspended.

    Of an agency that is suspended nobody is told, for as long as it is.
    """
    _check_standing(directory, agency)
    return _results(conn, directory, interests.standing(conn, agency, now))


def result(conn: Connection, directory: Directory, agency: str, interest_id: str, *, now: int) -> Result:
    """Return one interest of an agency; NotFound is the same for another's, an ended one, none."""
    _check_standing(directory, agency)
    found = interests.by_id(conn, agency, interest_id, now)
    if found is None:
        raise NotFound
    return _results(conn, directory, [found])[0]


def _check_standing(directory: Directory, agency: str) -> None:
    if directory.is_suspended(agency):
        raise PartnerSuspended("Results wait until the suspension ends.")


def _results(conn: Connection, directory: Directory, found: Sequence[StoredInterest]) -> tuple[Result, ...]:
    told: dict[int, dict[Counterpart, None]] = {each.seq: {} for each in found}
    for each in interests.told(conn, list(told)):
        if not directory.is_suspended(each.agency):
            # Several interests of one agency may say the same; it is told once.
            case_ref = each.case_ref if each.mode == OPEN else None
            told[each.seq][Counterpart(each.place, each.agency, each.mode, case_ref)] = None
    return tuple(Result(each, tuple(told[each.seq])) for each in found)


def wait_s(recent: Sequence[tuple[int, int]], count: int, now: int) -> int:
    """Return the seconds until `count` more indicators may be registered; 0 when they may at once.

    `recent` is time and number of what was registered within a day, oldest first.
    """
    over = sum(number for _, number in recent) + count - DAILY_INDICATORS_MAX
    for at, number in recent:
        if over <= 0:
            break
        over -= number
        if over <= 0:
            return at + DAY_S - now
    return 0


def _check_quota(batch: Batch, order: Order) -> None:
    agency, now = order.lines[0].header.iss, batch.now
    standing = interests.standing(batch.conn, agency, now)
    if len(standing) >= STANDING_MAX:
        until = min(each.until for each in standing)
        raise QuotaExceeded(f"{STANDING_MAX} interests stand at most.", member="act", retry_after=until - now)
    wait = wait_s(interests.registered(batch.conn, agency, now - DAY_S), len(values_of(order)), now)
    if wait:
        detail = f"At most {DAILY_INDICATORS_MAX} indicators are registered in a day."
        raise QuotaExceeded(detail, member="indicators", retry_after=wait)


def _register(batch: Batch, order: Order, seq: int) -> None:
    line, args, values = order.lines[0], order.args, values_of(order)
    found = StoredInterest(
        seq=seq,
        id=line.id,
        agency=line.header.iss,
        mode=args["mode"],
        case_ref=args["case_ref"],
        at=batch.now,
        until=args["until"],
        count=len(values),
        checked_seq=None,
    )
    interests.add(batch.conn, found, digests(batch.index_key, values))


def _check_own(batch: Batch, order: Order) -> None:
    if interests.by_id(batch.conn, order.lines[0].header.iss, order.args["interest"], batch.now) is None:
        raise OrderConflict("No interest of yours with this id stands.", member="interest")


def _end(batch: Batch, order: Order, _seq: int) -> None:
    found = interests.by_id(batch.conn, order.lines[0].header.iss, order.args["interest"], batch.now)
    # None when it ran out by itself in this very second.
    if found is not None:
        interests.end(batch.conn, found.seq, batch.now)


def _check_watches(batch: Batch, order: Order) -> None:
    known = watches.counts(batch.conn, order.lines[0].header.iss)
    if order.args["name"] not in known and len(known) >= WATCHES_MAX and values_of(order):
        raise QuotaExceeded(f"An agency has {WATCHES_MAX} watch lists at most.", member="name")


def _watch(batch: Batch, order: Order, _seq: int) -> None:
    agency, name = order.lines[0].header.iss, order.args["name"]
    watches.replace(batch.conn, agency, name, digests(batch.index_key, values_of(order)))


def digests(key: bytes, values: Iterable[tuple[str, str]]) -> list[tuple[str, bytes]]:
    """Return what stands for each (type, canonical value) in the index."""
    return [(type_, digest(key, type_, value)) for type_, value in values]


def _of_line(act: Callable[[Batch, Order, int], None]) -> Callable[[Batch, Line, int], None]:
    return lambda batch, line, seq: act(batch, open_order(line), seq)


CHECKS: Mapping[str, Callable[[Batch, Order], None]] = {
    "interest": _check_quota,
    "interest-end": _check_own,
    "watch": _check_watches,
}
"""What must hold beside the directory before an order is carried out, by its act; each raises a Refusal."""

EFFECTS: Mapping[str, Callable[[Batch, Line, int], None]] = {
    "interest.registered": _of_line(_register),
    "interest.ended": _of_line(_end),
    "watch.changed": _of_line(_watch),
}
"""What an order does to rows that are not in the log, by the kind of its event, whose index is `seq`."""
