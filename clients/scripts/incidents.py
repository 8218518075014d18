"""Rows of the piracy data set as drafts of bulletins.

Every row that concerns an ASEAN state becomes one draft of that state's maritime agency, or is rejected with its
reason; nothing is dropped in silence. Files, clock and hub are unknown here: the same row always gives the same draft
under the same tag.

The columns are those of the Maritime Pirate Attacks data set (Benden, Feng, Howell, Dalla Riva 2021).
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from lintas import Draft, LintasError, read_draft
from lintas.bulletin import TITLE_CHARACTERS_MAX
from lintas.vocabulary import Vocabulary

COLUMNS = (
    "date",
    "time",
    "longitude",
    "latitude",
    "attack_type",
    "location_description",
    "nearest_country",
    "eez_country",
    "shore_distance",
    "shore_longitude",
    "shore_latitude",
    "attack_description",
    "vessel_name",
    "vessel_type",
    "vessel_status",
    "data_source",
)
MISSING = frozenset({"", "NA"})
NAMELESS = frozenset({"name withheld", "unknown", "unnamed", "unspecified"})
SEVERITY = {
    "Hijacked": "severe",
    "Fired Upon": "severe",
    "Explosion": "severe",
    "Boarded": "moderate",
    "Boarding": "moderate",
    "Attempted": "minor",
    "Suspicious": "minor",
}
CITATION = (
    "Benden, Feng, Howell, Dalla Riva (2021): Crime at Sea: A Global Database of Maritime Pirate Attacks (1993-2020). "
    "JOHD 7:19, doi 10.5334/johd.39, CC BY 4.0"
)
DAY_ONLY = "Only the day is known."
VALID_FOR = "P365D"
TOLD_CHARACTERS_MAX = 4000
"""Of a description; with the facts of the columns it stays far below the limit of a summary."""

NAME_CHARACTERS_MAX = 100
PLACE_CHARACTERS_MAX = 200
KM_DIGITS = 1

_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9]) UTC")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_NAMES = re.compile(r" & |, ")


class BadTable(ValueError):
    """This is not a table of the data set. The detail says at which line and why."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table. `line` is the number of its first line in the file, `state` the ASEAN state it concerns."""

    line: int
    cells: Mapping[str, str]
    state: str | None


@dataclass(frozen=True, slots=True)
class Incident:
    """A draft ready to be signed by `issuer`. `tag` is the row's own key: the same row has it in every run."""

    row: Row
    issuer: str
    tag: str
    draft: Draft


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that cannot be used. `reason` is one of a few, to be counted; `detail` is about this row."""

    row: Row
    reason: str
    detail: str = ""


def desks_of(known: Vocabulary) -> dict[str, str]:
    """Return the maritime agency of each state by ICAO code: its coast guard if there is one, else its police desk."""
    desks = {}
    for country in known.countries.values():
        prefix = country.iso2.lower()
        desk = next((each for each in (f"{prefix}-coastguard", f"{prefix}-police") if each in known.agencies), None)
        if desk is not None:
            desks[country.icao3] = desk
    return desks


def read_incidents(lines: Iterable[str], desks: Mapping[str, str]) -> Iterator[Incident | Reject]:
    """Turn a table into incidents and rejects, one a row, in order; raise BadTable when it is not such a table."""
    first: dict[str, int] = {}
    for row in read_rows(lines, desks):
        if row.state is None:
            yield Reject(row, "concerns no ASEAN state")
            continue
        tag = tag_of(row)
        if tag in first:
            yield Reject(row, "duplicate", f"duplicate of line {first[tag]}")
            continue
        first[tag] = row.line
        yield read_incident(row, desks)


def read_rows(lines: Iterable[str], desks: Mapping[str, str]) -> Iterator[Row]:
    """Read the rows of a table; raise BadTable for a wrong head, a wrong number of columns or broken quotes."""
    reader = csv.reader(lines, strict=True)
    start = 1
    try:
        for number, cells in enumerate(reader):
            if number == 0 and tuple(cells) != COLUMNS:
                raise BadTable(f"Line 1 does not name the columns {', '.join(COLUMNS)}.")
            if cells and len(cells) != len(COLUMNS):
                raise BadTable(f"Line {start} has {len(cells)} columns instead of {len(COLUMNS)}.")
            if cells and number > 0:
                named = dict(zip(COLUMNS, cells, strict=True))
                yield Row(start, named, concerned(named, desks))
            # A quoted description may hold line ends, so rows are not lines.
            start = reader.line_num + 1
    except csv.Error as fault:
        raise BadTable(f"The row that begins at line {start} cannot be read: {fault}.") from fault
    if start == 1:
        raise BadTable("The table is empty.")


def concerned(cells: Mapping[str, str], desks: Mapping[str, str]) -> str | None:
    """Return the ASEAN state a row concerns: by nearest country, else by exclusive economic zone."""
    return next((cells[each] for each in ("nearest_country", "eez_country") if cells[each] in desks), None)


def tag_of(row: Row) -> str:
    """Return the stable key of a row: a digest of its cells, whatever its place in the file."""
    return f"incident:{digest_of(row)}"


def digest_of(row: Row) -> str:
    """Return a digest of a row's cells; JSON keeps the borders between them."""
    cells = json.dumps([row.cells[name] for name in COLUMNS], ensure_ascii=True)
    return hashlib.sha256(cells.encode()).hexdigest()


def read_incident(row: Row, desks: Mapping[str, str]) -> Incident | Reject:
    """Make the draft of a row that concerns a state with a desk."""
    day = row.cells["date"]
    if day in MISSING:
        return Reject(row, "no date")
    if not is_date(day):
        return Reject(row, "impossible date", f"{clean(day)[:20]} is no date")
    assert row.state is not None
    try:
        draft = read_draft(members_of(row))
    except LintasError as fault:
        return Reject(row, "no bulletin can be made of it", str(fault))
    return Incident(row, desks[row.state], tag_of(row), draft)


def is_date(text: str) -> bool:
    """Tell whether this is a day of the calendar, written year-month-day."""
    try:
        return _DATE.fullmatch(text) is not None and date.fromisoformat(text).year > 0
    except ValueError:
        return False


def clean(text: str) -> str:
    """Return text of one line: NFC, without control and format characters, spaces squeezed, '' when missing."""
    if text.strip() in MISSING:
        return ""
    spaced = "".join(_plain(each) for each in unicodedata.normalize("NFC", text))
    return " ".join(spaced.split())


def cut(text: str, characters_max: int) -> str:
    """Shorten text to a number of characters, showing that something is missing."""
    return text if len(text) <= characters_max else text[: characters_max - 1].rstrip() + "…"


def event_time(day: str, time: str) -> str | None:
    """Return the minute when the row gives it in UTC; None when only the day is sure (local time has no known zone)."""
    found = _TIME.fullmatch(time)
    return f"{day}T{found[1]}:{found[2]}:00Z" if found else None


def position_of(cells: Mapping[str, str]) -> str | None:
    """Return `latitude,longitude` with five decimals, or None when the row has none on this globe."""
    try:
        latitude, longitude = float(cells["latitude"]), float(cells["longitude"])
    except ValueError:
        return None
    # Comparisons with NaN are false, so it is refused here as well.
    if not (abs(latitude) <= 90 and abs(longitude) <= 180):  # noqa: PLR2004 - the globe
        return None
    # Adding zero turns -0.0 into 0.0.
    return f"{round(latitude, 5) + 0.0:.5f},{round(longitude, 5) + 0.0:.5f}"


def vessel_names(cells: Mapping[str, str]) -> list[str]:
    """Return the names of the vessels attacked (a tug has its barge beside it), without those withheld."""
    names = (each.strip() for each in _NAMES.split(clean(cells["vessel_name"])))
    return list(
        dict.fromkeys(cut(each, NAME_CHARACTERS_MAX) for each in names if each and each.lower() not in NAMELESS)
    )


def members_of(row: Row) -> dict[str, Any]:
    """Return the draft of a row as JSON members; the text of the row stands in it cleaned, never as markup."""
    cells = row.cells
    return {
        "kind": "incident",
        "topic": "maritime",
        "tlp": "GREEN",
        "urgency": "routine",
        "release_to": ["asean-all"],
        "valid_for": VALID_FOR,
        "payload": {
            "title": title_of(cells),
            "summary": summary_of(cells),
            "case_ref": f"SEA-{cells['date'].replace('-', '')}-{digest_of(row)[:10]}",
            "severity": SEVERITY.get(cells["attack_type"], "unknown"),
            "grading": grading_of(cells),
            "event": event_of(cells),
            "languages": ["en"],
            "indicators": _indicators(cells),
            "references": [CITATION],
        },
    }


def event_of(cells: Mapping[str, str]) -> dict[str, str]:
    """Return when it happened and where: the position, or the place in words when the row has no position."""
    event = {"time": event_time(cells["date"], cells["time"]) or cells["date"]}
    position, place = position_of(cells), cut(clean(cells["location_description"]), PLACE_CHARACTERS_MAX)
    if position is not None:
        event["position"] = position
    elif place:
        event["place"] = place
    return event


def title_of(cells: Mapping[str, str]) -> str:
    """Return `What: vessel (type), where`, shortened to a title."""
    what = clean(cells["attack_type"]) or "Incident"
    names, kind = vessel_names(cells), clean(cells["vessel_type"]).lower()
    vessel = " & ".join(names) or "vessel not named"
    where = clean(cells["location_description"]) or "place not stated"
    return cut(f"{what}: {vessel}{f' ({kind})' if kind else ''}, {where}", TITLE_CHARACTERS_MAX)


def summary_of(cells: Mapping[str, str]) -> str:
    """Return the description, then what the columns say; a time that is not in UTC is told as it stands."""
    told = cut(clean(cells["attack_description"]), TOLD_CHARACTERS_MAX)
    facts = {
        "Vessel": " & ".join(vessel_names(cells)),
        "Type": clean(cells["vessel_type"]).lower(),
        "Status": clean(cells["vessel_status"]).lower(),
        "Location": clean(cells["location_description"])[:TOLD_CHARACTERS_MAX],
        "Distance from shore": _km(cells["shore_distance"]),
        "Time as reported": clean(cells["time"]),
    }
    what = clean(cells["attack_type"]) or "Incident of an unstated kind"
    said = f"{what} on {cells['date']}." + "".join(f" {name}: {value}." for name, value in facts.items() if value)
    unsure = None if event_time(cells["date"], cells["time"]) else DAY_ONLY
    return "\n".join(each for each in (told, said, unsure) if each)


def grading_of(cells: Mapping[str, str]) -> dict[str, str]:
    """Grade a row: reports of the maritime bureau are usually reliable; nobody has judged the single report again."""
    return {"source": "B" if cells["data_source"] == "imb" else "F", "information": "6"}


def _plain(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Cf":
        return ""
    return " " if category[0] in "CZ" else character


def _km(text: str) -> str:
    try:
        return f"{float(text):.{KM_DIGITS}f} km"
    except ValueError:
        return ""


def _indicators(cells: Mapping[str, str]) -> list[dict[str, str]]:
    found = [{"type": "vessel-name", "value": name, "role": "victim vessel"} for name in vessel_names(cells)]
    position = position_of(cells)
    if position is not None:
        found.append({"type": "position", "value": position, "role": "place of the incident"})
    return found
