"""The acknowledgement, a reader's signed word on a bulletin.

``opened``: somebody at the agency looked at it. ``acknowledged``: the agency has taken note and acts on it, which
implies the former. The line is the reader's own, so the originator need not take the hub's word for it.
Spec: docs/spec/line.md (acknowledgements).
"""

from __future__ import annotations

from dataclasses import dataclass

from lintas.errors import MalformedPayload
from lintas.header import ID_PATTERN
from lintas.line import Line
from lintas.shape import Reader, matching, members_of, one_of, refusal
from lintas.strict import INTEGER_MAX, canonical, parse_object

OPENED, ACKNOWLEDGED = "opened", "acknowledged"
STATES = (OPENED, ACKNOWLEDGED)
"""In the order in which they can only rise."""


@dataclass(frozen=True, slots=True)
class Ack:
    """What is said of bulletin `id`. `seq` is the log index at which the reader saw it, if it looked."""

    id: str
    state: str
    seq: int | None = None

    def payload(self) -> bytes:
        """Return the payload that `open_ack` reads."""
        members: dict[str, str | int] = {"id": self.id, "state": self.state}
        return canonical(members if self.seq is None else members | {"seq": self.seq})


def open_ack(line: Line) -> Ack:
    """Return what an acknowledgement says; raise MalformedPayload naming the member at fault."""
    try:
        members = parse_object(line.payload)
    except ValueError as fault:
        raise MalformedPayload(f"The payload {fault!s:.100}.") from fault
    return Ack(**_READ(members, ""))


def is_at_least(state: str, wanted: str) -> bool:
    """Tell whether one state says all that another does."""
    return STATES.index(state) >= STATES.index(wanted)


def _index(value: object, path: str) -> int:
    if type(value) is not int or not 0 <= value <= INTEGER_MAX:
        raise refusal(f"`{path}` is an index of the log.", path)
    return value


_MEMBERS: dict[str, Reader] = {
    "id": matching(ID_PATTERN, "the id of a bulletin"),
    "state": one_of(STATES),
    "seq": _index,
}
_READ = members_of(_MEMBERS, required=("id", "state"), what="An acknowledgement")
