"""What the importers share: drafts from other people's formats, with a list of what could not be carried over.

Promises: nothing is dropped in silence; every draft is one that `read_draft` takes; a marking is never lowered.
Texts of others stay as they are except for characters that would hide something.
Spec: docs/howto/import.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from lintas import indicators
from lintas.bulletin import (
    PHRASE_CHARACTERS_MAX,
    REFERENCES_MAX,
    SUMMARY_CHARACTERS_MAX,
    TITLE_CHARACTERS_MAX,
)
from lintas.draft import read_draft
from lintas.errors import BadRequest, MalformedPayload
from lintas.strict import Json, canonical, parse_object
from lintas.vocabulary import tlp_label, tlp_rank

INPUT_BYTES_MAX = 16 * 1024 * 1024
"""Bytes of a file: ten times the largest published bundle we know."""

PART_INDICATORS_MAX = 500
PART_BYTES_MAX = 120_000
"""Indicators of one draft: with title, summary and base64 they fit a line of 256 KiB."""

PART_CHARACTERS = len(" (100 of 100)")
"""Room in a title for the number of a part."""

VALUES_MAX = 50_000
"""Values of a file, repeated ones counted: a hundred bulletins' worth."""

OMITTED_MAX = 100_000
WHERE_CHARACTERS_MAX = 120
NO_ROLE = "indicator"

_HIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What the file does not say and the person does. `tlp` may narrow what a file says, never widen it."""

    topic: str | None = None
    kind: str = "advisory"
    urgency: str = "routine"
    release_to: tuple[str, ...] = ()
    valid_for: str = "P90D"
    tlp: str | None = None
    title: str | None = None


@dataclass(frozen=True, slots=True)
class Omission:
    """Something that was not carried over: the object at fault and why."""

    where: str
    why: str


@dataclass(frozen=True, slots=True)
class Import:
    """Drafts as JSON members, and everything that is not in them."""

    drafts: tuple[Json, ...]
    omitted: tuple[Omission, ...]


@dataclass(slots=True)
class Carrier:
    """Gathers the indicators of one draft and what is left out. Written by one importer, in one thread."""

    omitted: list[Omission] = field(default_factory=list)
    found: dict[tuple[str, str], Json] = field(default_factory=dict)
    taken: int = 0

    def leave(self, where: object, why: str) -> None:
        """Note something as not carried over."""
        if len(self.omitted) >= OMITTED_MAX:
            raise BadRequest(f"More than {OMITTED_MAX} things could not be carried over: this is no threat report.")
        self.omitted.append(Omission(line(str(where))[:WHERE_CHARACTERS_MAX], why))

    def emptied(self) -> dict[tuple[str, str], Json]:
        """Hand out what was carried so far and begin the next draft."""
        found, self.found = self.found, {}
        return found

    def take(self, where: object, types: Sequence[str], raw: str, **said: str | None) -> None:
        """Carry a value over as the first of these types that it can be, each value once."""
        self.taken += 1
        if self.taken > VALUES_MAX:
            raise BadRequest(f"The file has more than {VALUES_MAX} values. Split it.")
        if "person" in types:
            # Victim or suspect: the file does not say it in our words, and naming a person without is refused.
            self.leave(where, "A person is named with a `person_role`: add them by hand.")
            return
        why = ""
        for kind in types:
            try:
                value = indicators.normalise(kind, raw)
            except MalformedPayload as fault:
                why = why or fault.detail
                continue
            told = {name: self.phrase(where, text) for name, text in said.items() if text and text != raw}
            given = {name: text for name, text in told.items() if text}
            self.found.setdefault((kind, value), {"type": kind, "value": value, "role": NO_ROLE, **given})
            return
        self.leave(where, why)

    def phrase(self, where: object, text: str) -> str:
        """Return text as one short line."""
        return self.cut(where, line(text), PHRASE_CHARACTERS_MAX)

    def cut(self, where: object, text: str, characters_max: int) -> str:
        """Return text no longer than this, and note what was cut."""
        if len(text) > characters_max:
            self.leave(where, f"Text after character {characters_max} was cut: {line(text[characters_max:])[:40]}")
        return text[:characters_max].strip()


def read_members(data: bytes) -> Json:
    """Read a file as one strict JSON object; raise BadRequest for one too large, too deep, or ambiguous."""
    if len(data) > INPUT_BYTES_MAX:
        raise BadRequest(f"The file has {len(data)} bytes; {INPUT_BYTES_MAX} is the limit. Split it.")
    try:
        return parse_object(data, floats=True)
    except (ValueError, RecursionError) as fault:
        raise BadRequest(f"The file is not one strict JSON object: {line(str(fault))[:200]}.") from fault


def draft_all(carrier: Carrier, choices: Choices, *, title: str, summary: str, **members: Any) -> Iterator[Json]:
    """Yield drafts of what was carried, as many as a line has room for; `members` are `tlp` and more of the payload."""
    head = header_of(choices, members.pop("tlp"))
    parts = list(_parts(carrier.emptied().values()))
    named = carrier.cut("title", line(choices.title or title), TITLE_CHARACTERS_MAX - PART_CHARACTERS)
    told = carrier.cut("summary", lines(summary), SUMMARY_CHARACTERS_MAX)
    for number, part in enumerate(parts, 1):
        suffix = f" ({number} of {len(parts)})" if len(parts) > 1 else ""
        payload = {"title": named + suffix, "summary": told, **members, **({"indicators": part} if part else {})}
        yield checked(head | {"payload": payload})


def header_of(choices: Choices, tlp: str | None) -> Json:
    """Return the members of a draft beside its payload; raise BadRequest for what nobody said."""
    if choices.topic is None:
        raise BadRequest("The file names no topic of ours: give --topic.", member="topic")
    if not choices.release_to:
        raise BadRequest("The file does not say who shall receive it: give --to.", member="release_to")
    return {
        "kind": choices.kind,
        "topic": choices.topic,
        "tlp": narrowed(tlp, choices.tlp),
        "urgency": choices.urgency,
        "release_to": list(choices.release_to),
        "valid_for": choices.valid_for,
    }


def narrowed(found: str | None, chosen: str | None) -> str:
    """Return the marking of a draft from what the file says and what the person chose; raise BadRequest."""
    if found is None and chosen is None:
        raise BadRequest("The file has no TLP marking: give --tlp.", member="tlp")
    if found is None or chosen is None:
        return found or chosen or ""
    if tlp_rank(chosen) < tlp_rank(found):
        raise BadRequest(f"The file is marked {tlp_label(found)}; it cannot be passed on more widely.", member="tlp")
    return chosen


def narrowest(found: Iterable[str]) -> str | None:
    """Return the narrowest of some markings, or None."""
    return max(found, key=tlp_rank, default=None)


def checked(members: Json) -> Json:
    """Return a draft that `lintas publish` takes; raise MalformedPayload naming the member at fault."""
    read_draft(members)
    return members


def references(texts: Iterable[str], carrier: Carrier) -> list[str]:
    """Return texts as references of a payload, each once, as many as fit."""
    kept = list(dict.fromkeys(text for each in texts if (text := line(each))))
    fitting = [each for each in kept if len(each) <= PHRASE_CHARACTERS_MAX]
    for each in [*(each for each in kept if len(each) > PHRASE_CHARACTERS_MAX), *fitting[REFERENCES_MAX:]]:
        carrier.leave(f"reference {each}", f"A bulletin has {REFERENCES_MAX} references of {PHRASE_CHARACTERS_MAX}.")
    return fitting[:REFERENCES_MAX]


def line(text: str) -> str:
    """Return text as one line without hidden characters."""
    return " ".join(_HIDDEN.sub(" ", text).split())


def lines(text: str) -> str:
    """Return text without hidden characters, its line ends kept."""
    return _HIDDEN.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n"))


def _parts(listed: Iterable[Json]) -> Iterator[list[Json]]:
    """Yield lists that fit a line; one empty list of nothing."""
    part: list[Json] = []
    size_bytes = 0
    for each in listed:
        bytes_each = len(canonical(each))
        if part and (len(part) == PART_INDICATORS_MAX or size_bytes + bytes_each > PART_BYTES_MAX):
            yield part
            part, size_bytes = [], 0
        part.append(each)
        size_bytes += bytes_each
    yield part
