"""The pattern language of STIX, as far as it only says that a value equals another.

Read are equality, ``IN``, ``OR``, and ``AND`` within one object. What else the language can say (``NOT``, ``LIKE``,
``MATCHES``, ``FOLLOWEDBY``, time windows) has no place in a list of values, and is refused with the word that says it:
a pattern is carried over whole or not at all.
Spec: STIX 2.1 section 9.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

PATTERN_CHARACTERS_MAX = 32_768
"""Characters of a pattern: a thousand addresses in an ``IN`` list."""

CONDITIONS_MAX = 1_000
"""Objects that one pattern may describe; ``IN`` lists under ``AND`` multiply."""

PROPERTIES_MAX = 8
"""Properties of one object: our longest value has three. Unbounded, a long chain costs the square of its length."""

Values = dict[str, str]
"""Property paths and the literals they equal."""

_TOKEN = re.compile(r"\s*(?:('(?:[^'\\]|\\.)*')|([\[\]()=,]|[<>!]=?)|((?:[^\s\[\]()=,<>!']|'[^'\s\]]*')+))", re.DOTALL)
_PATH = re.compile(r"([a-z][a-z0-9-]{0,249}):([A-Za-z_][A-Za-z0-9_'.-]{0,249})")


class Unreadable(ValueError):
    """The pattern says more than that values are equal. The text says what."""


@dataclass(frozen=True, slots=True)
class Described:
    """One object a pattern describes: its type, and the values its properties must all have."""

    type: str
    values: Values


def read_pattern(text: str) -> tuple[Described, ...]:
    """Return the objects of which any one fulfils the pattern; raise Unreadable."""
    if len(text) > PATTERN_CHARACTERS_MAX:
        raise Unreadable(f"the pattern has more than {PATTERN_CHARACTERS_MAX} characters")
    reader = _Reader([*_tokens(text), ""])
    found = reader.observations()
    if reader.next:
        raise Unreadable(f"it goes on with {reader.next[:40]}")
    return tuple(found)


def unquoted(literal: str) -> str:
    """Return what a string literal stands for."""
    return re.sub(r"\\(.)", r"\1", literal[1:-1], flags=re.DOTALL)


def _tokens(text: str) -> Iterator[str]:
    place = 0
    text = text.strip()
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            raise Unreadable(f"character {place + 1} belongs to no word")
        place = found.end()
        yield found[0].strip() if found[1] is None else found[1]


class _Reader:
    """Reads tokens from left to right; never goes back, never nests deeper than one parenthesis."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.place = 0
        self.is_within = False

    @property
    def next(self) -> str:
        return self.tokens[self.place]

    def skip(self, token: str) -> bool:
        if self.next != token:
            return False
        self.place += 1
        return True

    def expect(self, token: str) -> None:
        if not self.skip(token):
            raise Unreadable(f"{self.next[:40] or 'the end'} stands where {token} should")

    def observations(self) -> list[Described]:
        found = self.observation()
        while self.skip("OR"):
            found += self.observation()
        return found

    def observation(self) -> list[Described]:
        self.expect("[")
        found = self.alternatives()
        self.expect("]")
        return found

    def alternatives(self) -> list[Described]:
        """Read conditions joined by OR, each of them a chain of AND."""
        found = self.together()
        while self.skip("OR"):
            found += self.together()
            self.bounded(len(found))
        return found

    def together(self) -> list[Described]:
        found = self.condition()
        while self.skip("AND"):
            more = self.condition()
            self.bounded(len(found) * len(more))
            found = [_joined(*pair) for pair in product(found, more)]
        return found

    def condition(self) -> list[Described]:
        # A parenthesis holds conditions without further parentheses, or depth would be the sender's choice.
        if self.skip("("):
            if self.is_within:
                raise Unreadable("parentheses within parentheses")
            self.is_within = True
            found = self.alternatives()
            self.expect(")")
            self.is_within = False
            return found
        kind, path = self.path()
        return [Described(kind, {path: literal}) for literal in self.literals()]

    def path(self) -> tuple[str, str]:
        found = _PATH.fullmatch(self.next)
        if found is None:
            raise Unreadable(f"{self.next[:40] or 'the end'} is no property of an object")
        self.place += 1
        return found[1], found[2]

    def literals(self) -> list[str]:
        if self.skip("="):
            return [self.literal()]
        if not self.skip("IN"):
            raise Unreadable(f"it compares with {self.next[:40] or 'nothing'}")
        self.expect("(")
        found = [self.literal()]
        while self.skip(","):
            found.append(self.literal())
            self.bounded(len(found))
        self.expect(")")
        return found

    def literal(self) -> str:
        if not self.next.startswith("'"):
            raise Unreadable(f"{self.next[:40] or 'the end'} is no text in quotes")
        self.place += 1
        return unquoted(self.tokens[self.place - 1])

    def bounded(self, count: int) -> None:
        if count > CONDITIONS_MAX:
            raise Unreadable(f"it describes more than {CONDITIONS_MAX} objects")


def _joined(one: Described, other: Described) -> Described:
    if one.type != other.type or one.values.keys() & other.values.keys():
        raise Unreadable("AND joins what one object cannot say")
    if len(one.values) >= PROPERTIES_MAX:
        raise Unreadable(f"AND joins more than {PROPERTIES_MAX} properties")
    return Described(one.type, one.values | other.values)
