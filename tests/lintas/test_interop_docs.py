"""The mapping tables of docs/spec/stix.md, docs/spec/misp.md, held against the code."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from lintas import vocabulary
from lintas.misp import mapping
from lintas.stix import fixed
from lintas.stix.observables import pattern_of, shape_of
from lintas.stix.reading import ALIASES
from tests.lintas.exports import EXAMPLES

DOCS = Path(__file__).resolve().parents[2] / "docs/spec"
PAGES = {name: (DOCS / f"{name}.md").read_text() for name in ("stix", "misp")}


@pytest.mark.parametrize("kind", sorted(EXAMPLES))
def test_stix_page_says_what_a_type_becomes(kind: str) -> None:
    """Object, properties and pattern of a type are those of the page."""
    shape, sought = shape_of(kind, EXAMPLES[kind]), pattern_of(kind, EXAMPLES[kind]) is not None
    (line,) = re.findall(rf"^\| `{kind}` \| `[a-z0-9-]+` \| `.*` \|.*\|$", PAGES["stix"], re.MULTILINE)

    assert f"| `{kind}` | `{shape.type}` | {_listed(shape.properties)} | {'yes' if sought else ''} |" == line


@pytest.mark.parametrize("kind", sorted(EXAMPLES))
def test_misp_page_says_what_a_type_becomes(kind: str) -> None:
    """Attribute or object of a type is that of the page."""
    shape = mapping.shape_of(kind, EXAMPLES[kind])
    place = f"object `{shape.template.name}`" if shape.template else "attribute"
    parts = ", ".join(f"`{name}` ({of})" if name else f"`{of}`" for name, of, _ in shape.pairs)

    assert f"| `{kind}` | {place} | {parts} | {'yes' if shape.is_searched else ''} |" in PAGES["misp"].splitlines()


def test_stix_page_has_no_type_too_many() -> None:
    """The tables name every type of the vocabulary, and nothing else."""
    rows = {
        page: set(re.findall(r"^\| `([a-z-]+)` \| .*\| .* \| (?:yes)? ?\|$", text, re.MULTILINE))
        for page, text in PAGES.items()
    }

    assert {page: set(vocabulary.load().indicator_types) for page in PAGES} == rows


@pytest.mark.parametrize(("kind", "definition"), sorted({**fixed.NEW_SCO, **fixed.FOREIGN_SCO}.items()))
def test_stix_page_names_every_definition(kind: str, definition: str) -> None:
    """Every observable beyond the standard stands on the page with its definition."""
    assert f"| `{kind}` | `{definition}` |" in PAGES["stix"]


def test_stix_page_names_the_extension() -> None:
    """The page names our property-extension and the properties read as an address."""
    assert fixed.BULLETIN_EXTENSION in PAGES["stix"]
    assert [] == [name for name in ALIASES if f"`{name}`" not in PAGES["stix"]]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
