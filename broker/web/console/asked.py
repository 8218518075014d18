"""What is asked of the audit log, as it stands in the address of the page.

The address is the whole state: filters, search, place, the entry that is open. Pure.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from urllib.parse import urlencode

from lintas.errors import BadRequest
from lintas.event import KINDS, OUTCOMES, US_PER_S
from lintas.vocabulary import TLP

PATH = "/console/audit"
SEARCH_CHARACTERS_MAX = 100
VALUES_MAX = 64
"""Of one facet chosen together; there are not more of any."""

VALUE_CHARACTERS_MAX = 80

FACETS = ("party", "kind", "outcome", "topic", "tlp")
SINGLE = ("since", "until", "q", "before", "after", "entry")
TITLES: Mapping[str, str] = {
    "party": "Actor",
    "kind": "Action",
    "outcome": "Outcome",
    "topic": "Topic",
    "tlp": "Marking",
    "since": "From",
    "until": "To",
    "q": "Search",
}

_CLOSED: Mapping[str, frozenset[str]] = {
    "kind": frozenset(KINDS),
    "outcome": OUTCOMES,
    "tlp": frozenset(TLP),
}
_NUMBER = re.compile(r"[0-9]{1,16}")


@dataclass(frozen=True, slots=True)
class Asked:
    """The filters (none means any), the search, the time from `since` up to `until`, the place, the open entry.

    Times are Unix microseconds. `before` and `after` are indexes that rows are asked below or above.
    """

    party: frozenset[str] = frozenset()
    kind: frozenset[str] = frozenset()
    outcome: frozenset[str] = frozenset()
    topic: frozenset[str] = frozenset()
    tlp: frozenset[str] = frozenset()
    since: int | None = None
    until: int | None = None
    q: str = ""
    before: int | None = None
    after: int | None = None
    entry: int | None = None

    @property
    def kinds(self) -> frozenset[str] | None:
        """The kinds that fit both facets that are about them, None for any."""
        if not self.kind and not self.outcome:
            return None
        return frozenset(
            each
            for each in KINDS
            if (not self.kind or each in self.kind) and (not self.outcome or KINDS[each] in self.outcome)
        )

    @property
    def is_filtered(self) -> bool:
        """Tell whether anything is left out."""
        return replace(self, before=None, after=None, entry=None) != Asked()

    def at(self, **changes: object) -> str:
        """Return the address of the page with these changes."""
        return address(replace(self, **changes))  # type: ignore[arg-type]

    def elsewhere(self, path: str, **more: str) -> str:
        """Return another address with the same filters."""
        return address(replace(self, before=None, after=None, entry=None), path, **more)

    def facts(self) -> dict[str, str]:
        """Return what the record of the view says: no free text, which could name a person, but its digest."""
        pairs = dict(_pairs(replace(self, q="")))
        found = {name: ",".join(sorted(getattr(self, name))) if name in FACETS else pairs[name] for name in pairs}
        return found | ({"q": hashlib.sha256(self.q.encode()).hexdigest()} if self.q else {})


@dataclass(frozen=True, slots=True)
class Chip:
    """An active filter: its name, its value, the address without it."""

    name: str
    value: str
    without: str


def read(pairs: Iterable[tuple[str, str]]) -> Asked:
    """Read the parameters of an address; raise BadRequest for a value that nothing can have."""
    found: dict[str, set[str]] = {}
    for name, value in pairs:
        if value:
            found.setdefault(name, set()).add(value)
    facets = {name: _values(name, found.get(name, set())) for name in FACETS}
    single = {name: next(iter(found.get(name, {""}))) for name in SINGLE}
    if len(single["q"]) > SEARCH_CHARACTERS_MAX:
        raise BadRequest(f"A search has at most {SEARCH_CHARACTERS_MAX} characters.", member="q")
    return Asked(
        **facets,
        since=_time("since", single["since"]),
        until=_time("until", single["until"]),
        q=single["q"].strip(),
        before=_number("before", single["before"]),
        after=_number("after", single["after"]),
        entry=_number("entry", single["entry"]),
    )


def address(asked: Asked, path: str = PATH, **more: str) -> str:
    """Return the address of what is asked."""
    query = urlencode([*_pairs(asked), *more.items()])
    return f"{path}?{query}" if query else path


def chips(asked: Asked) -> list[Chip]:
    """Return every active filter with the address without it."""
    here = replace(asked, before=None, after=None)
    found = [
        Chip(TITLES[name], value, here.at(**{name: getattr(asked, name) - {value}}))
        for name in FACETS
        for value in sorted(getattr(asked, name))
    ]
    for name in ("since", "until"):
        time_us = getattr(asked, name)
        if time_us is not None:
            found.append(Chip(TITLES[name], written(time_us).replace("T", " "), here.at(**{name: None})))
    if asked.q:
        found.append(Chip(TITLES["q"], asked.q, here.at(q="")))
    return found


def written(time_us: int) -> str:
    """Write a time as a field of a form takes it, in UTC: to the minute, or as exact as it is."""
    at = datetime.fromtimestamp(time_us // US_PER_S, UTC)
    return f"{at:%Y-%m-%dT%H:%M}" if at.second == 0 else f"{at:%Y-%m-%dT%H:%M:%S}"


def _pairs(asked: Asked) -> list[tuple[str, str]]:
    found = []
    for each in fields(asked):
        value = getattr(asked, each.name)
        if each.name in FACETS:
            found += [(each.name, one) for one in sorted(value)]
        elif each.name in ("since", "until") and value is not None:
            found.append((each.name, written(value)))
        elif value not in (None, ""):
            found.append((each.name, str(value)))
    return found


def _values(name: str, values: set[str]) -> frozenset[str]:
    allowed = _CLOSED.get(name)
    if len(values) > VALUES_MAX or any(len(value) > VALUE_CHARACTERS_MAX for value in values):
        raise BadRequest("That is too much of one filter.", member=name)
    if allowed is not None and not values <= allowed:
        raise BadRequest("This filter has no such value.", member=name)
    return frozenset(values)


def _number(name: str, text: str) -> int | None:
    if not text:
        return None
    if not _NUMBER.fullmatch(text):
        raise BadRequest("An index is a decimal number.", member=name)
    return int(text)


def _time(name: str, text: str) -> int | None:
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as fault:
        raise BadRequest("A time is written like 2026-11-24T08:00, in UTC.", member=name) from fault
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()) * US_PER_S
