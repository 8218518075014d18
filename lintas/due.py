"""What is due: the hub's list of what is to be answered or acknowledged, read strictly.

It is a convenience that proves nothing: what was asked, answered and acknowledged is in the log and the feed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lintas import shape, vocabulary
from lintas.errors import HubUnreachable, MalformedPayload
from lintas.header import ID_PATTERN, is_agency
from lintas.request import Operation, read
from lintas.session import Session
from lintas.shape import Reader, matching, members_of, one_of
from lintas.strict import Json, parse_object

LISTS = ("to_acknowledge", "to_answer", "waiting_for_answer", "waiting_for_acknowledgement")
STATES = ("open", "answered", "acknowledged", "withheld")

PAGE_LIMIT = 100
PAGES_MAX = 100
"""Pages of one list: a hub that never comes to an end is not listened to."""

ROWS_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Duty:
    """What one agency owes on one bulletin. `due` and `sent` are RFC 3339; None: it was not sent to the agency yet.

    `list` is one of `LISTS`, `state` one of `STATES`. `agency` owes it to `issuer`.
    """

    list: str
    id: str
    seq: int
    kind: str
    urgency: str
    issuer: str
    agency: str
    state: str
    sent: str | None
    due: str | None
    is_overdue: bool


def due(session: Session) -> Operation[tuple[Duty, ...]]:
    """Read what this agency owes and is owed, overdue first, then what is due soonest."""
    found: list[Duty] = []
    after: int | None = None
    for _ in range(PAGES_MAX):
        response = yield from read(session, "/v1/due", after=after, limit=PAGE_LIMIT)
        members = _members(response.body)
        found += _duties(members, session.party)
        after = members.get("next")
        if after is None:
            return tuple(sorted(found, key=_order))
    raise HubUnreachable(f"The list of what is due has more than {PAGES_MAX} pages.")


def admin_due(session: Session) -> Operation[tuple[Duty, ...]]:
    """Read what is overdue at the whole hub, as an administrator."""
    found: list[Duty] = []
    after: int | None = None
    for _ in range(PAGES_MAX):
        response = yield from read(session, "/v1/admin/due", after=after, limit=PAGE_LIMIT)
        members = _members(response.body)
        rows = members.get("overdue")
        found += [_duty("overdue", row, {"state": "open", "overdue": True}) for row in _rows(rows)]
        after = members.get("next")
        if after is None:
            return tuple(sorted(found, key=_order))
    raise HubUnreachable(f"The list of what is overdue has more than {PAGES_MAX} pages.")


def _order(duty: Duty) -> tuple[bool, bool, str, int, str]:
    return not duty.is_overdue, duty.due is None, duty.due or "", duty.seq, duty.agency


def _members(body: bytes) -> Json:
    try:
        members = parse_object(body)
    except ValueError as fault:
        raise HubUnreachable(f"The hub's answer cannot be read: {fault!s:.200}") from fault
    if not isinstance(members.get("next"), int | None) or isinstance(members.get("next"), bool):
        raise HubUnreachable("The hub's list does not say where it goes on.")
    return members


def _duties(members: Json, party: str) -> list[Duty]:
    found = []
    for name in LISTS:
        for row in _rows(members.get(name)):
            if name.startswith("to_"):
                found.append(_duty(name, row, {"agency": party, "state": "open"}))
            else:
                agencies = _rows(row.get("agencies"))
                found += [_duty(name, {**row, **each}, {"issuer": party}) for each in agencies]
    return found


def _rows(value: object) -> list[Mapping[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value) or len(value) > ROWS_MAX:
        raise HubUnreachable("The hub's list is not made of rows.")
    return value


def _duty(name: str, row: Mapping[str, Any], known: Mapping[str, Any]) -> Duty:
    shown = {"sent": None, "due": None, "overdue": False, **row, **known}
    try:
        values = _reader()({member: shown.get(member) for member in _MEMBERS}, "")
    except MalformedPayload as fault:
        raise HubUnreachable(f"The hub's list has a row that cannot be read: {fault.detail}") from fault
    return Duty(list=name, is_overdue=values.pop("overdue"), **values)


def _reader() -> Reader:
    known = vocabulary.load()
    readers: dict[str, Reader] = {
        "id": matching(ID_PATTERN, "an id"),
        "seq": _index,
        "kind": one_of(known.kinds),
        "urgency": one_of(known.urgencies),
        "issuer": _agency,
        "agency": _agency,
        "state": one_of(STATES),
        "sent": _moment,
        "due": _moment,
        "overdue": shape.flag,
    }
    return members_of(readers, required=_MEMBERS, what="A row")


_MEMBERS = ("id", "seq", "kind", "urgency", "issuer", "agency", "state", "sent", "due", "overdue")


def _index(value: object, path: str) -> int:
    if type(value) is not int or value < 0:
        raise shape.refusal(f"`{path}` is a log index.", path)
    return value


def _agency(value: object, path: str) -> str:
    if not isinstance(value, str) or not is_agency(value):
        raise shape.refusal(f"`{path}` is an agency.", path)
    return value


def _moment(value: object, path: str) -> str | None:
    return None if value is None else shape.time(value, path)
