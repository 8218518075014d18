"""Values as they are shown: times, parties, ids, foreign text.

Pure. What comes from outside is escaped here or by the template, never trusted: characters that would hide, reorder or
break text are written out, and each piece stands in an isolate of its own (``<bdi>``).
"""

from __future__ import annotations

import json
import unicodedata
from datetime import UTC, datetime

from markupsafe import Markup, escape

from lintas import vocabulary
from lintas.event import KINDS, US_PER_S
from lintas.vocabulary import TLP

ID_CHARACTERS = 10
"""Of an id that is a hash: enough to tell a page's rows apart. The whole of it is in the title."""

TEXT_CHARACTERS_MAX = 400
"""Of foreign text where one line is meant."""

ICONS = {
    "check": '<path d="m3 8.5 3.2 3.2L13 5"/>',
    "barred": '<circle cx="8" cy="8" r="5.5"/><path d="m4.2 11.8 7.6-7.6"/>',
    "alert": '<path d="M8 2.5 14.2 13H1.8z"/><path d="M8 6.5v3m0 1.6v.4"/>',
    "clock": '<circle cx="8" cy="8" r="5.5"/><path d="M8 4.8V8l2.2 1.6"/>',
    "seal": '<path d="M8 1.8 13.5 4v4c0 3-2.2 5-5.5 6-3.3-1-5.5-3-5.5-6V4z"/><path d="m5.4 8 1.9 1.9 3.3-3.6"/>',
    "close": '<path d="m4 4 8 8m0-8-8 8"/>',
    "shade": '<circle cx="8" cy="8" r="5.5"/><path class="solid" d="M8 2.5v11a5.5 5.5 0 0 0 0-11z"/>',
    "search": '<circle cx="7" cy="7" r="4.2"/><path d="m10.2 10.2 3.3 3.3"/>',
    "lock": '<rect x="3.2" y="7" width="9.6" height="6.5" rx="1.2"/><path d="M5.2 7V5a2.8 2.8 0 0 1 5.6 0v2"/>',
    "key": '<circle cx="5" cy="11" r="2.6"/><path d="m6.9 9.1 6-6m-2.4 2.4 1.9 1.9"/>',
    "down": '<path d="M8 2.5v8m-3.4-3.2L8 10.7l3.4-3.4M3 13.5h10"/>',
    "left": '<path d="M10 3 5 8l5 5"/>',
    "right": '<path d="m6 3 5 5-5 5"/>',
}
"""Shapes of the symbols, drawn by their lines on 16 by 16."""

OUTCOME_ICONS = {"accepted": "check", "done": "check", "refused": "barred", "failed": "alert"}

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Categories of characters that are not seen, or change how others are seen."""

_JOINERS = frozenset("\u200c\u200d")
"""Scripts of the region are written with them."""


def moment(time_us: int, now_us: int) -> Markup:
    """Show a time in UTC, its year only if it is not the present one; its title has it to the microsecond."""
    at = datetime.fromtimestamp(time_us // US_PER_S, UTC)
    year = "" if at.year == datetime.fromtimestamp(now_us // US_PER_S, UTC).year else f" {at.year}"
    exact = iso(time_us)
    return Markup('<time datetime="{0}" title="{0}">{1}</time>').format(exact, f"{at.day} {at:%b}{year} {at:%H:%M:%S}")


def iso(time_us: int) -> str:
    """Write a time as RFC 3339 UTC to the microsecond."""
    at = datetime.fromtimestamp(time_us // US_PER_S, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{time_us % US_PER_S:06d}Z"


def number(value: int) -> str:
    """Write a number with narrow spaces between its thousands."""
    return f"{value:,}".replace(",", "\u202f")


def text(value: str, length_max: int = TEXT_CHARACTERS_MAX) -> Markup:
    """Show foreign text in an isolate: what is hidden in it becomes visible, what is too long is cut."""
    cut = Markup('<span class="cut" title="{} characters">\u2026</span>').format(len(value))
    return Markup("<bdi>{}{}</bdi>").format(_visible(value[:length_max]), cut if len(value) > length_max else "")


def whole(value: str) -> Markup:
    """Show foreign text of many lines, all of it: line feeds and tabs stay."""
    lines = value.replace("\r\n", "\n").split("\n")
    return Markup("<bdi>{}</bdi>").format(Markup("\n").join(_visible(line, kept="\t") for line in lines))


def brief(value: object) -> Markup:
    """Show any JSON value in one line: words as they are, everything else as JSON."""
    return text(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def ident(value: str | None) -> Markup:
    """Show the beginning of an id; its title has all of it."""
    if value is None:
        return Markup('<span class="none">\u2013</span>')
    short = value if len(value) <= ID_CHARACTERS + 2 else value[:ID_CHARACTERS] + "\u2026"
    return Markup('<code class="id" title="{}">{}</code>').format(value, _visible(short))


def badge(party: str) -> str:
    """Return the two or three letters that stand before a party: its country, or what it is."""
    if party.startswith("admin/"):
        return "ADM"
    return {"hub": "HUB", "*": "ALL"}.get(party, party.partition("-")[0].upper()[:3])


def party(name: str) -> Markup:
    """Show a party behind its badge."""
    words = "everyone" if name == "*" else name
    return Markup('<span class="party"><span class="badge" aria-hidden="true">{}</span> {}</span>').format(
        _visible(badge(name)), text(words)
    )


def outcome(word: str) -> Markup:
    """Show an outcome as icon, word and colour; no meaning hangs on colour alone."""
    return Markup('<span class="outcome {0}">{1}{0}</span>').format(word, icon(OUTCOME_ICONS[word]))


def outcome_of(kind: str) -> str:
    """Return the outcome of a kind of event."""
    return KINDS[kind]


def tlp(marking: str) -> Markup:
    """Show a marking in the colours that FIRST gives it."""
    if marking not in TLP:
        return text(marking)
    return Markup('<span class="tlp {}">TLP:{}</span>').format(marking.lower().replace("+", "-"), marking)


def marking(rank: int) -> Markup:
    """Show a marking by its rank, as tables of the hub have it."""
    return tlp(TLP[rank])


def topic(name: str) -> str:
    """Return what a topic is called, or the name itself where it is unknown."""
    return vocabulary.load().title("topics", name)


def icon(name: str) -> Markup:
    """Return a symbol, hidden from those who hear the page: a word stands beside it."""
    shape = Markup(ICONS[name])  # noqa: S704 - shapes of ours
    return Markup('<svg class="icon" viewBox="0 0 16 16" aria-hidden="true">{}</svg>').format(shape)


def _visible(value: str, kept: str = "") -> Markup:
    parts = [
        escape(each) if each in kept or each in _JOINERS or unicodedata.category(each) not in _HIDDEN else _named(each)
        for each in value
    ]
    return Markup("").join(parts)


def _named(character: str) -> Markup:
    code = f"U+{ord(character):04X}"
    return Markup('<span class="control" title="{}">{}</span>').format(unicodedata.name(character, code), code)
