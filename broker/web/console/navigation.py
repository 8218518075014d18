"""The bar at the top: which pages there are for whom."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

ADMINS = frozenset({"reviewer", "operator"})
OPERATORS = frozenset({"operator"})
OFFICERS = frozenset({"officer"})
EVERYONE = ADMINS | OFFICERS


@dataclass(frozen=True, slots=True)
class Entry:
    """A page of the bar: its word, its address, the roles that have it."""

    word: str
    path: str
    roles: frozenset[str] = EVERYONE


ENTRIES = (
    Entry("Overview", "/console/"),
    Entry("Audit log", "/console/audit"),
    Entry("Bulletins", "/console/bulletins"),
    Entry("Partners & keys", "/console/partners"),
    Entry("Integrity", "/console/integrity"),
    Entry("System", "/console/system", OPERATORS),
)
"""In their order. An entry shows once a route of its path is there."""


def entries_for(role: str, paths: Collection[str]) -> tuple[Entry, ...]:
    """Return the entries that this role sees among these paths."""
    return tuple(entry for entry in ENTRIES if role in entry.roles and entry.path in paths)


def is_here(entry: Entry, path: str) -> bool:
    """Tell whether a page stands under this entry."""
    return path == entry.path or (entry.path != "/console/" and path.startswith(entry.path + "/"))
