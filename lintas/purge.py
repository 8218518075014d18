"""What a purge says when it may be believed.

A purge takes the content of bulletins that ended and the bodies of the events about them; the tree keeps their entries.
The event that records it names the bulletins, and each emptied event by its number and entry. Whoever sees an event
without its body believes that only with the purge that names it. Since nothing is purged within a day of its release,
a hub cannot hide from a reader who looks daily what it released: that would have to be purged too soon.
Spec: docs/spec/log.md (purge).
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lintas.errors import BadProof
from lintas.event import US_PER_S, Event
from lintas.header import is_id

KIND = "bulletin.purged"

PURGEABLE = frozenset(
    {
        "bulletin.accepted",
        "bulletin.released",
        "bulletin.recalled",
        "bulletin.opened",
        "bulletin.acknowledged",
    }
)
"""The kinds of event that may lose their bodies: those about bulletins."""

GRACE_S = 86_400
"""Nothing is purged within a day of its end, and no event loses its body within a day."""

EMPTIED_MAX = 500
"""Events that one purge event names: some 30 KB."""

ENTRY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Purge:
    """A purge as its event tells it. `by` is, for what was purged before its own end, the recall that ended it.

    `emptied` are numbers of events of the same party with their entries. `at` is in Unix seconds.
    """

    ids: tuple[str, ...]
    by: tuple[str | None, ...]
    emptied: tuple[tuple[int, bytes], ...]
    at: int


def details(
    ids: Sequence[str], by: Sequence[str | None], emptied: Sequence[tuple[int, bytes]]
) -> Iterable[dict[str, Any]]:
    """Yield the details of the events that record a purge to one party: one, or more when it empties much."""
    for start in range(0, max(len(emptied), 1), EMPTIED_MAX):
        part = emptied[start : start + EMPTIED_MAX]
        named = (list(ids), list(by)) if start == 0 else ([], [])
        yield {
            "ids": named[0],
            "by": named[1],
            "emptied": [[number, base64.b64encode(entry).decode()] for number, entry in part],
        }


def read(event: Event) -> Purge:
    """Read the detail of a purge event; raise BadProof when it does not say what it purged."""
    try:
        ids, by = tuple(event.detail["ids"]), tuple(event.detail["by"])
        emptied = tuple((number, entry_of_text(text)) for number, text in event.detail["emptied"])
    except (KeyError, TypeError, ValueError) as fault:
        raise BadProof("An event of a purge does not say what was purged.") from fault
    sound = len(ids) == len(by) and all(map(is_id, ids)) and all(each is None or is_id(each) for each in by)
    if not sound or not all(type(number) is int for number, _ in emptied):
        raise BadProof("An event of a purge does not say what was purged.")
    return Purge(ids, by, emptied, event.time // US_PER_S)


def entry_of_text(text: object) -> bytes:
    """Read an entry in base64; raise ValueError when it is none."""
    entry = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    if len(entry) != ENTRY_BYTES:
        raise ValueError("no entry")
    return entry
