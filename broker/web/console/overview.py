"""The first page: figures of the last days, what is new, what needs attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response

from broker import activity, approvals
from broker.activity import DAY_S, DAYS, REFUSED, Activity
from broker.delivery import Window, in_reader
from broker.due import due_of, overdue
from broker.hub import Hub
from broker.sessions import Visitor
from broker.standing import reader
from broker.store import activity as counts
from broker.store import log, shown, troubles
from broker.store.engine import Connection
from broker.store.shown import Part
from broker.survey import keys_ending, survey
from broker.web.console import attention, geo
from broker.web.console.attention import BURST_MIN, Notice
from broker.web.console.charts import Series
from broker.web.console.figures import Tile, Topic, countries, day_labels, tiles_of_agency, tiles_of_hub, topics
from broker.web.console.rendering import Page, render
from broker.web.console.session import record_view, visitor_of
from broker.web.http import hub_of
from broker.writer import read_only
from lintas.event import US_PER_S
from lintas.filter import EVERYTHING

LATEST = 8
"""Bulletins shown at first beside the figures; later ones come in above them."""

OPEN_MAX = 100
"""Open requests and recalls that are looked at for what is overdue, the oldest first."""

router = APIRouter(route_class=Page)


@dataclass(frozen=True, slots=True)
class Overview:
    """What the page shows. `by_country` has every member, `newest` the newest bulletins by their headers."""

    tiles: Sequence[Tile]
    topics: Sequence[Topic]
    by_country: Mapping[str, int]
    newest: Sequence[shown.Shown]
    notices: Sequence[Notice]
    labels: Sequence[str]


@router.get("/console/")
async def overview(request: Request) -> Response:
    """Show the last thirty days; administrators see the whole hub, officers what their agency may see."""
    visitor = await visitor_of(request)
    hub = hub_of(request)
    await record_view(hub, visitor, "overview")
    figures = _activity(request)
    found = await in_reader(hub, lambda conn: _read(conn, hub, visitor, figures))
    return render(request, "overview.html", **_values(found, visitor))


def _activity(request: Request) -> Activity:
    state = request.app.state
    if not hasattr(state, "activity"):
        state.activity = Activity()
    found: Activity = state.activity
    return found


def _read(conn: Connection, hub: Hub, visitor: Visitor, figures: Activity) -> Overview:
    read = _of_hub if visitor.is_admin else _of_agency
    return read(conn, hub, visitor, figures)


def _of_hub(conn: Connection, hub: Hub, _visitor: Visitor, figures: Activity) -> Overview:
    now = hub.now()
    days = figures.days(conn, now=now)
    by_topic: dict[tuple[str, int], int] = {}
    by_issuer: dict[str, int] = {}
    for place, day in enumerate(days):
        for (topic, issuer), number in day.published.items():
            by_topic[topic, place] = by_topic.get((topic, place), 0) + number
            by_issuer[issuer] = by_issuer.get(issuer, 0) + number
    labels = day_labels([day.day for day in days])
    return Overview(
        tiles=tiles_of_hub(days, activity.recent(conn, now_us=hub.clock()), labels),
        topics=topics(by_topic, labels),
        by_country=countries(by_issuer),
        newest=shown.newest(conn, None, EVERYTHING, Part(limit=LATEST)),
        notices=attention.of_hub(_state(conn, hub, now), now),
        labels=labels,
    )


def _state(conn: Connection, hub: Hub, now: int) -> attention.State:
    size, _ = log.head(conn)
    since_us = (now - DAY_S) * US_PER_S
    [low] = counts.places(conn, [since_us], size=size)
    late, _ = overdue(conn, hub.directory, window=Window(-1, OPEN_MAX), now=now)
    waiting = sum(key.state(now) == "pending" and not key.parent for key in hub.directory.keys.values())
    halted = hub.writer.halted
    return attention.State(
        survey=survey(conn, hub.witnesses, now=now, purge_after_days=hub.settings.purge_after_days),
        overdue=late,
        hooks=troubles.hooks(conn),
        bursts=troubles.bursts(conn, REFUSED, low=low, count_min=BURST_MIN),
        ending=keys_ending(hub.directory, now),
        pending=waiting + len(approvals.waiting(conn, now=now)),
        two_person=hub.directory.two_person,
        halted=None if halted is None else str(read_only(halted)),
        since_us=since_us,
    )


def _of_agency(conn: Connection, hub: Hub, visitor: Visitor, _figures: Activity) -> Overview:
    now, agency = hub.now(), visitor.party
    who = reader(hub.directory, agency)
    today = now // DAY_S
    days = list(range(today - DAYS + 1, today + 1))
    size, _ = log.head(conn)
    [low] = counts.places(conn, [days[0] * DAY_S * US_PER_S], size=size)
    seen = shown.by_day(conn, who, after=low - 1)
    by_topic: dict[tuple[str, int], int] = {}
    for day, topic, _own, number in seen:
        if day in days:
            place = day - days[0]
            by_topic[topic, place] = by_topic.get((topic, place), 0) + number
    owed = due_of(conn, hub.directory, agency, window=Window(-1, OPEN_MAX), now=now)
    ending = [each for each in keys_ending(hub.directory, now) if each[0] == agency]
    hooks = [each for each in troubles.hooks(conn) if each.agency == agency]
    labels = day_labels(days)
    own = [sum(number for day, _, mine, number in seen if mine and day == each) for each in days]
    others = [sum(number for day, _, mine, number in seen if not mine and day == each) for each in days]
    recent = activity.recent(conn, now_us=hub.clock(), party=agency)
    return Overview(
        tiles=tiles_of_agency(
            agency,
            own=own,
            others=others,
            recent=recent,
            labels=labels,
            owed=len(owed.to_acknowledge) + len(owed.to_answer),
        ),
        topics=topics(by_topic, labels),
        by_country=countries(shown.by_issuer(conn, who, after=low - 1)),
        newest=shown.newest(conn, who, EVERYTHING, Part(limit=LATEST)),
        notices=attention.of_agency(hooks, ending, owed.to_acknowledge, owed.to_answer, now),
        labels=labels,
    )


def _values(found: Overview, visitor: Visitor) -> dict[str, Any]:
    top = max(found.by_country.values(), default=0)
    ranked = sorted(found.by_country.items(), key=lambda each: (-each[1], geo.country_name(each[0])))
    urls = {country: f"/console/bulletins?country={country.lower()}" for country in found.by_country}
    return {
        "found": found,
        "map": geo.draw(found.by_country, urls),
        "legend": geo.legend(found.by_country),
        "ranked": [(country, geo.country_name(country), number, urls[country]) for country, number in ranked],
        "top": top,
        "caption": geo.CAPTION,
        "all_topics": Series(
            "Bulletins of all topics",
            found.labels,
            [sum(day) for day in zip(*(t.values for t in found.topics), strict=True)],
        )
        if found.topics
        else None,
        "after": found.newest[0].seq if found.newest else -1,
        "scope": "the whole hub" if visitor.is_admin else f"what {visitor.party} may see",
    }
