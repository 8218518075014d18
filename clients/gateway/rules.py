"""What may pass the gateway in either direction, as its starter set it.

Narrow unless told otherwise: what is posted waits for an officer, RED and person data stay inside.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from lintas.bulletin import Bulletin, has_person_data
from lintas.header import Header
from lintas.imported import Choices

RED, PERSON_DATA, SUSPECT, UNOPENED = "red", "purpose-needed", "suspect", "unopened"
"""Why a bulletin is given to tools by its header alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The settings of one gateway.

    `choices` is what posted things do not say themselves. `publishes`: what has a marking is signed, nobody is asked.
    `serves_red` and `has_purpose` open RED and person data to the agency's tools.
    """

    choices: Choices = field(default_factory=Choices)
    publishes: bool = False
    serves_red: bool = False
    has_purpose: bool = False


def why_unserved(header: Header, content: Bulletin | None, marks: Collection[str], rules: Rules) -> str | None:
    """Return why the content of a bulletin stays inside, None when tools may have it."""
    if content is None:
        return UNOPENED
    if header.tlp == "RED" and not rules.serves_red:
        return RED
    if has_person_data(content) and not rules.has_purpose:
        return PERSON_DATA
    # Signed after its key was compromised: a sensor must not act on it before somebody asked.
    return SUSPECT if "suspect" in marks else None
