"""The operations of a client on interests or watch lists.

What the hub says of an interest is held against the agency's own order in the proven log: it can be wrong about who
else has a value, never about what was asked. Values are shown from that order; the hub answers with places alone.
Spec: docs/spec/matching.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from lintas import feed, indicators, proving
from lintas.errors import MalformedPayload, NotFound, Unverified
from lintas.header import ORDER, is_agency, is_case_ref, is_id
from lintas.line import parse
from lintas.orders import INTEREST_S_MAX, Order, open_order, values_of
from lintas.pages import PAGE_LIMIT
from lintas.request import Operation, read
from lintas.session import Session
from lintas.strict import Json, parse_object
from lintas.wire import Answer, catch_up, post_order

TELLING_MODES = frozenset({"contact", "open"})
"""A silent interest is told to nobody."""

Value = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Counterpart:
    """Another agency that looks for the same: `type` and `value` are ours, `case_ref` its own if it is open with it."""

    type: str
    value: str
    agency: str
    case_ref: str | None


@dataclass(frozen=True, slots=True)
class Interest:
    """A registered interest of ours; `until` in Unix seconds. `is_checked`: its first results are there."""

    id: str
    mode: str
    case_ref: str
    until: int
    values: tuple[Value, ...]
    is_checked: bool
    told: tuple[Counterpart, ...]


@dataclass(frozen=True, slots=True)
class Watched:
    """A verified page of what a watch list matches; `cursor` is where the next one begins, `values` the list's."""

    items: tuple[feed.Received, ...]
    values: frozenset[Value]
    cursor: int
    is_last: bool


def canonical_values(values: Iterable[Value]) -> list[dict[str, str]]:
    """Return (type, value) pairs as an order has them: canonical, sorted, each once; raise MalformedPayload."""
    found = {(kind, indicators.normalise(kind, value)) for kind, value in values}
    alone = sorted(value for kind, value in found if not indicators.identifies(kind, value))
    if alone:
        raise MalformedPayload(f"{alone[0]!r} is a name alone: add birth date or nationality.", member="indicators")
    return [{"type": kind, "value": value} for kind, value in sorted(found)]


def register(
    session: Session, values: Iterable[Value], *, mode: str, case_ref: str, for_s: int = INTEREST_S_MAX
) -> Operation[Answer]:
    """Register an interest that ends in `for_s` seconds. The answer is the same whatever others look for."""
    arguments = {
        "mode": mode,
        "case_ref": case_ref,
        "until": session.now() + for_s,
        "indicators": canonical_values(values),
    }
    return (yield from _order(session, "interest", arguments))


def end(session: Session, interest_id: str) -> Operation[Answer]:
    """End an interest of ours; it matches no more, and its results are gone."""
    return (yield from _order(session, "interest-end", {"interest": interest_id}))


def set_watch(session: Session, name: str, values: Iterable[Value]) -> Operation[Answer]:
    """Set the indicators of a watch list; none removes it."""
    return (yield from _order(session, "watch", {"name": name, "indicators": canonical_values(values)}))


def interests(session: Session) -> Operation[tuple[Interest, ...]]:
    """Read our interests that stand, with what they are told; raise Unverified for one that we never registered."""
    response = yield from read(session, "/v1/interests")
    yield from catch_up(session)
    orders = _own_orders(session, "interest")
    rows = _object(response.body).get("interests")
    if not isinstance(rows, list):
        raise Unverified("The hub's answer lists no interests.")
    return tuple(_interest(row, orders) for row in rows)


def interest(session: Session, interest_id: str) -> Operation[Interest]:
    """Read one of our interests."""
    if not is_id(interest_id):
        raise NotFound
    response = yield from read(session, f"/v1/interests/{interest_id}")
    yield from catch_up(session)
    found = _interest(_object(response.body), _own_orders(session, "interest"))
    if found.id != interest_id:
        raise Unverified("The hub gave another interest than was asked for.")
    return found


def watches(session: Session) -> Operation[dict[str, int]]:
    """Read the names of our watch lists, with the number of indicators of each."""
    response = yield from read(session, "/v1/watches")
    try:
        found = {str(row["name"]): int(row["count"]) for row in _object(response.body)["watches"]}
    except (KeyError, TypeError, ValueError) as fault:
        raise Unverified("The hub's answer lists no watch lists.") from fault
    return found


def watched(session: Session, name: str, *, after: int = -1) -> Operation[Watched]:
    """Read the next page of what a watch list matches in our feed, and verify it."""
    shown = session.state.get_int("events_after", -1)
    path = f"/v1/watches/{quote(name, safe='')}/bulletins"
    response = yield from read(session, path, after=after if after >= 0 else None, limit=PAGE_LIMIT)
    is_last = "link" not in response.headers
    cursor = response.headers.get("lintas-cursor")
    page = feed.read_page(response.body, after=after, shown=shown, cursor=cursor, is_last=is_last)
    if page.rows:
        yield from catch_up(session)
    lists = [order for order in _own_orders(session, "watch").values() if order.args["name"] == name]
    # The newest order of a name is its list.
    values = frozenset(values_of(lists[-1])) if lists else frozenset()
    items = yield from proving.verify_page(session, page)
    return Watched(tuple(items), values, page.cursor, is_last)


def concerned(page: Watched, shown: set[str]) -> Iterator[feed.Received]:
    """Yield what the list is about: a page also has every withdrawal of the feed, as with any filter.

    `shown` are the ids of what was yielded so far; it is added to.
    """
    for item in page.items:
        targets = item.header.targets("recalls", "supersedes") if item.line is not None else ()
        listed = item.content.indicators if item.content is not None else ()
        if (
            not targets
            or not shown.isdisjoint(targets)
            or any((each.type, each.value) in page.values for each in listed)
        ):
            shown.add(item.id)
            yield item


def _order(session: Session, act: str, arguments: Mapping[str, Any]) -> Operation[Answer]:
    line = session.sign_order(act, arguments)
    # What the hub would refuse is refused before it leaves: values that nobody else may see are in it.
    open_order(line)
    return (yield from post_order(session, line))


def _own_orders(session: Session, act: str) -> dict[str, Order]:
    """Return our orders of an act by id, oldest first, as the proven log has them."""
    lines = (parse(row.line, None) for row in session.state.control() if row.line is not None)
    own = (line for line in lines if line.header.typ == ORDER and line.header.iss == session.party)
    orders = (open_order(line) for line in own)
    return {order.lines[0].id: order for order in orders if order.act == act}


def _interest(row: Any, orders: Mapping[str, Order]) -> Interest:
    order = orders.get(str(row.get("id"))) if isinstance(row, dict) else None
    if order is None:
        raise Unverified("The hub lists an interest that this agency never registered.")
    values, told = values_of(order), row.get("told")
    if not isinstance(told, list):
        raise Unverified("The hub does not say what the interest is told.")
    return Interest(
        id=order.lines[0].id,
        mode=order.args["mode"],
        case_ref=order.args["case_ref"],
        until=order.args["until"],
        values=values,
        is_checked=type(row.get("checked")) is int,
        told=tuple(_counterpart(each, values) for each in told),
    )


def _counterpart(row: Any, values: tuple[Value, ...]) -> Counterpart:
    members = row if isinstance(row, dict) else {}
    place, agency, case_ref = members.get("place"), members.get("agency"), members.get("case_ref")
    is_sound = is_agency(agency) and members.get("mode") in TELLING_MODES
    if (
        not isinstance(place, int)
        or not 0 <= place < len(values)
        or not is_sound
        or not (case_ref is None or is_case_ref(case_ref))
    ):
        raise Unverified("The hub tells of a counterpart in no known form.")
    return Counterpart(*values[place], str(agency), case_ref)


def _object(body: bytes) -> Json:
    try:
        return parse_object(body)
    except ValueError as fault:
        raise Unverified("The hub's answer is not one JSON object.") from fault
