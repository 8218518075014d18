"""Ways in words."""

from __future__ import annotations

import pytest

from lintas.ways import delivered, in_words, is_of_tool


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("feed", "feed"),
        ("subscription/scams", "subscription/scams"),
        ("taxii", "TAXII"),
        ("taxii/k3v5q2xatz7m", "TAXII (read token k3v5q2xatz7m)"),
        ("misp", "MISP feed"),
        ("misp/k3v5q2xatz7m", "MISP feed (read token k3v5q2xatz7m)"),
        ("webhook/misp", "webhook/misp"),
    ],
)
def test_in_words(way: str, words: str) -> None:
    """The ways of tools are named with their read token, the others stay as they are."""
    assert words == in_words(way)
    assert is_of_tool(way) == (words != way)


def test_sentence() -> None:
    """One sentence names every way and the agency."""
    assert "delivered by feed, TAXII to sg-fiu" == delivered(["feed", "taxii"], "sg-fiu")
