"""How a bulletin went to a reader, in words.

A way is a word, or a word and what it was for: ``feed``, ``subscription/<name>``, ``misp/<read token>``.
Spec: docs/spec/log.md (`bulletin.sent`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

TOOLS: Mapping[str, str] = {"taxii": "TAXII", "misp": "MISP feed"}
"""Ways that lead to a tool of an agency, not to a client that verifies: whoever reads the record should see that."""


def is_of_tool(way: str) -> bool:
    """Tell whether a way leads to a tool."""
    return way.partition("/")[0] in TOOLS


def in_words(way: str) -> str:
    """Return a way as people are shown it: ``TAXII (read token k3v5q2xatz7m)``; others as they are."""
    door, _, token = way.partition("/")
    if not is_of_tool(way):
        return way
    return f"{TOOLS[door]} (read token {token})" if token else TOOLS[door]


def delivered(ways: Iterable[str], agency: str) -> str:
    """Return one sentence on how a bulletin reached an agency: ``delivered by TAXII to sg-fiu``."""
    return f"delivered by {', '.join(map(in_words, ways))} to {agency}"
