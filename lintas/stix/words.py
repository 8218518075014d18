"""What a bulletin says, as plain text for tools that drop what they do not know.

Addresses are defanged, so that no tool makes a link of them.
Spec: docs/spec/stix.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from lintas import vocabulary
from lintas.bulletin import Bulletin, Indicator
from lintas.header import Header
from lintas.vocabulary import tlp_label

LINKED = frozenset({"domain", "url", "email", "ip"})
"""Types whose values a reader's program might make a link of."""


VALUE_CHARACTERS_MIN = 4
"""Shorter names of ships are words of the language; taking them out would spoil the text and hide nothing."""

WITHDRAWN_WORD = "[withdrawn]"


def describe(content: Bulletin, header: Header, indicators: Iterable[Indicator]) -> str:
    """Return summary, handling and a list of indicators."""
    paragraphs = [content.summary, "\n".join(_facts(content, header))]
    listed = [f"- {_line(each)}" for each in indicators]
    if listed:
        paragraphs.append("\n".join(["Indicators:", *listed]))
    if content.stix:
        paragraphs.append(f"The signed line carries {len(content.stix['objects'])} further STIX objects.")
    return "\n\n".join(paragraphs)


def describe_recall(content: Bulletin) -> str:
    """Return why something was recalled, naming none of its values."""
    reason = vocabulary.load().title("recall_reasons", content.reason or "")
    which = f"{len(content.indicators)} indicators were withdrawn" if content.indicators else "Withdrawn as a whole"
    return f"{which}: {reason}.\n\n{content.summary}"


def defanged(text: str) -> str:
    """Return an address that no program takes for one."""
    return text.replace("http", "hxxp").replace(".", "[.]")


def without(text: str, values: Iterable[str]) -> str:
    """Return text in which none of these values stands as a word of its own."""
    for each in values:
        if len(each) >= VALUE_CHARACTERS_MIN:
            text = re.sub(rf"(?<!\w){re.escape(each)}(?!\w)", WITHDRAWN_WORD, text, flags=re.IGNORECASE)
    return text


def _facts(content: Bulletin, header: Header) -> Iterator[str]:
    known = vocabulary.load()
    yield f"{tlp_label(str(header.tlp))}, {header.kind} of {header.iss}, {header.urgency}, topic {header.topic}"
    yield f"Released to: {'every partner' if header.release_to == ('*',) else ', '.join(header.release_to)}"
    if content.grading:
        source, information = content.grading.source, content.grading.information
        words = known.title("sources", source), known.title("credibilities", information)
        yield f"Grading: {source}{information} ({'; '.join(words)})"
    for code in content.handling:
        yield f"Handling {code}: {known.title('handling_codes', code)}"
    if content.handling_note:
        yield f"Handling note: {content.handling_note}"
    for code in content.caveats:
        yield f"Caveat {code}: {known.title('caveats', code)}"
    if content.event:
        where = content.event.place or content.event.position
        yield f"Event: {content.event.time}{f', {where}' if where else ''}"
    yield from (f"Question: {each}" for each in content.questions)
    if content.result:
        yield f"Result: {content.result}{f', {content.reason}' if content.reason else ''}"


def _line(each: Indicator) -> str:
    title = vocabulary.load().indicator_types[each.type].title
    value = defanged(each.value) if each.type in LINKED else each.value
    seen = f"seen {each.first_seen or '?'} to {each.last_seen or '?'}" if each.first_seen or each.last_seen else None
    more = [each.person_role, each.name, each.asset, each.note, seen]
    said = "; ".join(part for part in more if part)
    return f"{title} {value}: {each.role}{f' ({said})' if said else ''}"
