"""What our own events prove of our subscriptions.

The log says what each subscription asks for and how far its cursor was moved, so a hub that serves from further on, or
leaves out what a filter wants, is found out. What a filter wants can be told from a release only where it names nothing
but topics or markings: a release says no more of a bulletin.
Spec: docs/spec/http.md (subscriptions), docs/spec/log.md (kinds of event).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lintas.errors import MalformedPayload
from lintas.event import Event
from lintas.filter import EVERYTHING, Filter, read_filter
from lintas.state import Released, State
from lintas.strict import canonical, parse_object

FEED = "feed"
"""The built-in subscription, the whole feed."""

BEGINNING = -1


@dataclass(frozen=True, slots=True)
class Proven:
    """A subscription as our events have it: what it wants, where its cursor stands."""

    wanted: Filter
    cursor: int

    @property
    def is_judged(self) -> bool:
        """Tell whether a release shows all that this subscription asks about."""
        return {*self.wanted.members()} <= {"topic", "tlp"}

    def wants(self, released: Released) -> bool:
        """Tell whether a released bulletin must be in it; False where a release does not show that."""
        wanted = self.wanted
        on_topic = not wanted.topics or released.topic in wanted.covered_topics()
        return self.is_judged and on_topic and (not wanted.tlps or released.tlp in wanted.tlps)


def remember(state: State, event: Event) -> None:
    """Take over what an event of our own says of a subscription."""
    detail = event.detail
    if event.kind == "bulletin.received":
        way, to = str(detail.get("way")), detail.get("to")
        # ``feed``, ``subscription/<name>``, or ``webhook/<name>``: each moves the cursor of its subscription.
        name = way.partition("/")[2] or way
        known = proven(state, name)
        if known is not None and type(to) is int:
            _keep(state, name, {"filter": known.wanted.members(), "cursor": max(known.cursor, to)})
    elif event.kind in ("subscription.created", "subscription.changed"):
        _keep(state, str(detail.get("name")), {"filter": detail.get("filter"), "cursor": detail.get("cursor")})
    elif event.kind == "subscription.deleted":
        state.put(f"subscription:{detail.get('name')}", b"")


def proven(state: State, name: str) -> Proven | None:
    """Return what the log says of a subscription; None when it knows none of this name."""
    kept = state.get(f"subscription:{name}")
    if not kept:
        return Proven(EVERYTHING, BEGINNING) if name == FEED else None
    try:
        members = parse_object(kept)
        wanted, cursor = read_filter(members["filter"]), members["cursor"]
    except (MalformedPayload, ValueError):
        return None
    return Proven(wanted, cursor) if type(cursor) is int else None


def _keep(state: State, name: str, members: dict[str, Any]) -> None:
    state.put(f"subscription:{name}", canonical(members))
