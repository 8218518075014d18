"""Counts beside the choices of a filter, from cells of events that are counted together. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from broker.store.rollup import NO_TLP, NO_TOPIC, Cell
from broker.web.console.asked import FACETS, TITLES, Asked
from lintas.event import KINDS
from lintas.vocabulary import TLP

SHOWN_MAX = 12


@dataclass(frozen=True, slots=True)
class Choice:
    """A value of a facet: how many events have it, of those that fit every other facet."""

    value: str
    count: int
    is_on: bool


@dataclass(frozen=True, slots=True)
class Facet:
    """A facet with its choices, the commonest first."""

    name: str
    title: str
    choices: tuple[Choice, ...]

    @property
    def shown(self) -> tuple[Choice, ...]:
        """The choices that are seen at once: the commonest, and those that are on."""
        return tuple(each for place, each in enumerate(self.choices) if place < SHOWN_MAX or each.is_on)

    @property
    def more(self) -> tuple[Choice, ...]:
        """The others."""
        return tuple(each for each in self.choices if each not in self.shown)


@dataclass(frozen=True, slots=True)
class Counted:
    """How many events fit, of how many, and what each facet would leave."""

    fitting: int
    all: int
    facets: tuple[Facet, ...]


def count(cells: Mapping[Cell, int], asked: Asked) -> Counted:
    """Count what fits. An event counts in a facet if every other facet lets it through."""
    fitting, counts = 0, {name: Counter[str]() for name in FACETS}
    chosen = [frozenset(getattr(asked, name)) for name in FACETS]
    for cell, number in cells.items():
        values = _values(cell)
        misses = [place for place, value in enumerate(values) if chosen[place] and value not in chosen[place]]
        fitting += 0 if misses else number
        for place in range(len(FACETS)) if not misses else misses if len(misses) == 1 else ():
            counts[FACETS[place]][values[place]] += number
    facets = (_facet(name, counts[name], chosen[place]) for place, name in enumerate(FACETS))
    return Counted(fitting, sum(cells.values()), tuple(facet for facet in facets if facet.choices))


def _values(cell: Cell) -> tuple[str, ...]:
    tlp = TLP[cell.tlp_rank] if cell.tlp_rank != NO_TLP else ""
    return (cell.party, cell.kind, KINDS[cell.kind], cell.topic if cell.topic != NO_TOPIC else "", tlp)


def _facet(name: str, counts: Counter[str], chosen: frozenset[str]) -> Facet:
    values = {value for value in counts if value} | chosen
    ordered = sorted(values, key=lambda value: (-counts[value], value))
    return Facet(name, TITLES[name], tuple(Choice(value, counts[value], value in chosen) for value in ordered))
