"""Tests of the incident import: rows to drafts from values alone, then into a real hub, killed midway."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from clients.scripts import report_incidents
from clients.scripts.incidents import (
    COLUMNS,
    DAY_ONLY,
    BadTable,
    Incident,
    Reject,
    Row,
    clean,
    cut,
    desks_of,
    event_time,
    is_date,
    members_of,
    position_of,
    read_incident,
    read_incidents,
    tag_of,
    vessel_names,
)
from clients.settings import read_passphrase
from lintas import Client, vocabulary
from lintas.state import SENT, State

ROOT = Path(__file__).resolve().parents[2]
FICTIONAL = ROOT / "tests/data/incidents.csv"
REAL = ROOT / "../shared/data/real/piracy/pirate_attacks.csv"
USED, REJECTED = 19, 7
"""What the fictional table holds, counted by hand."""

DESKS = desks_of(vocabulary.load())
CELLS = {
    "date": "2017-06-07",
    "time": "18:00 UTC",
    "longitude": "103.65",
    "latitude": "1.0416667",
    "attack_type": "Boarded",
    "location_description": "Off Invented Shoal, Indonesia",
    "nearest_country": "IDN",
    "eez_country": "SGP",
    "shore_distance": "12.3456",
    "shore_longitude": "103.6",
    "shore_latitude": "1.0",
    "attack_description": "NA",
    "vessel_name": "Fictional Star",
    "vessel_type": "Bulk Carrier",
    "vessel_status": "Anchored",
    "data_source": "imb",
}


def row(**cells: str) -> Row:
    """Return a usable row with these cells changed."""
    changed = CELLS | cells
    state = next((changed[name] for name in ("nearest_country", "eez_country") if changed[name] in DESKS), None)
    return Row(2, changed, state)


def payload_of(**cells: str) -> Any:
    """Return the payload of a usable row with these cells changed."""
    return members_of(row(**cells))["payload"]


def table(*rows: dict[str, str]) -> list[str]:
    """Return the lines of a table with these rows."""
    lines = [",".join(COLUMNS), *(",".join(f'"{each[name]}"' for name in COLUMNS) for each in rows)]
    return "".join(f"{line}\n" for line in lines).splitlines(keepends=True)


def real_table() -> report_incidents.Table:
    """Read the published table, or skip."""
    if not REAL.is_file():
        pytest.skip("the published table is absent: ../shared/data/real/piracy/pirate_attacks.csv")
    return report_incidents.read_table(REAL)


@pytest.fixture(scope="session")
def exercise_template(region_template: Path) -> Path:
    """Incidents are shared with the whole region."""
    return region_template


@pytest.fixture(scope="module")
def fictional() -> report_incidents.Table:
    """Return the fictional table, read."""
    return report_incidents.read_table(FICTIONAL)


def test_every_row_is_accounted_for(fictional: report_incidents.Table) -> None:
    """Each row of a table is either used or rejected with a reason."""
    reasons = Counter(each.reason for each in fictional.rejects)

    assert (USED, REJECTED) == (fictional.used, len(fictional.rejects))
    assert {"duplicate": 1, "concerns no ASEAN state": 3, "impossible date": 2, "no date": 1} == dict(reasons)


def test_published_table_is_accounted_for() -> None:
    """Of the published table 3,043 rows concern ASEAN states: 3,031 are used, 12 are duplicates."""
    found = real_table()

    concerned = [each for each in found.rejects if each.row.state is not None]
    assert (3_031, {"duplicate": 12}, 7_511) == (
        found.used,
        dict(Counter(each.reason for each in concerned)),
        found.used + len(found.rejects),
    )


def test_published_tags_are_unique() -> None:
    """No two used rows of the published table share a tag or a case reference."""
    incidents = [each for group in real_table().incidents.values() for each in group]

    assert (3_031, 3_031) == (
        len({each.tag for each in incidents}),
        len({members_of(each.row)["payload"]["case_ref"] for each in incidents}),
    )


def test_every_state_has_a_desk() -> None:
    """Each of the eleven states reports by its coast guard, or by its police desk where it has none."""
    assert {
        "BRN": "bn-police",
        "IDN": "id-coastguard",
        "KHM": "kh-police",
        "LAO": "la-police",
        "MMR": "mm-police",
        "MYS": "my-coastguard",
        "PHL": "ph-coastguard",
        "SGP": "sg-coastguard",
        "THA": "th-police",
        "TLS": "tl-police",
        "VNM": "vn-police",
    } == desks_of(vocabulary.load())


@pytest.mark.parametrize(
    ("nearest", "zone", "issuer"),
    [
        ("IDN", "SGP", "id-coastguard"),
        ("CHN", "VNM", "vn-police"),
        ("NA", "IDN", "id-coastguard"),
        ("THA", "NA", "th-police"),
    ],
)
def test_issuer(nearest: str, zone: str, issuer: str) -> None:
    """The nearest country decides when it is an ASEAN state, else the economic zone."""
    cells = CELLS | {"nearest_country": nearest, "eez_country": zone}

    (found,) = read_incidents(table(cells), DESKS)

    assert isinstance(found, Incident)
    assert issuer == found.issuer


def test_header_members() -> None:
    """An incident goes to every partner as routine, for a year."""
    members = members_of(row())
    del members["payload"]

    assert {
        "kind": "incident",
        "topic": "maritime",
        "tlp": "GREEN",
        "urgency": "routine",
        "release_to": ["asean-all"],
        "valid_for": "P365D",
    } == members


def test_text() -> None:
    """Title, summary and severity say what the columns say."""
    payload = payload_of()

    assert "Boarded: Fictional Star (bulk carrier), Off Invented Shoal, Indonesia" == payload["title"]
    assert (
        "Boarded on 2017-06-07. Vessel: Fictional Star. Type: bulk carrier. Status: anchored. "
        "Location: Off Invented Shoal, Indonesia. Distance from shore: 12.3 km. Time as reported: 18:00 UTC."
    ) == payload["summary"]
    assert "moderate" == payload["severity"]


def test_place_without_position() -> None:
    """A row without a position has its place in words."""
    assert "Off Invented Shoal, Indonesia" == payload_of(latitude="NA")["event"]["place"]


def test_bare_row() -> None:
    """A row of which little is known says so and gives no severity."""
    payload = payload_of(
        attack_type="NA", vessel_name="NA", vessel_type="NA", location_description="NA", shore_distance="NA"
    )

    assert "Incident: vessel not named, place not stated" == payload["title"]
    assert (
        "Incident of an unstated kind on 2017-06-07. Status: anchored. Time as reported: 18:00 UTC."
        == payload["summary"]
    )
    assert "unknown" == payload["severity"]


def test_nowhere() -> None:
    """A row without place and position is still an incident of that day."""
    found = read_incident(row(latitude="NA", location_description="NA"), DESKS)

    assert isinstance(found, Incident)
    assert {"time": "2017-06-07T18:00:00Z"} == dict(found.draft.members["event"])


def test_event_and_indicators() -> None:
    """Time, position and vessel stand in the event and the indicators."""
    members = payload_of()

    assert {"time": "2017-06-07T18:00:00Z", "position": "1.04167,103.65000"} == members["event"]
    assert [
        {"type": "vessel-name", "value": "Fictional Star", "role": "victim vessel"},
        {"type": "position", "value": "1.04167,103.65000", "role": "place of the incident"},
    ] == members["indicators"]


def test_citation() -> None:
    """Every bulletin cites the data set, as its licence asks."""
    assert "10.5334/johd.39" in str(payload_of()["references"])
    assert "CC BY 4.0" in str(payload_of()["references"])


@pytest.mark.parametrize(
    ("source", "grade"), [("imb", {"source": "B", "information": "6"}), ("other", {"source": "F", "information": "6"})]
)
def test_grading(source: str, grade: dict[str, str]) -> None:
    """A row is graded by its source; the single report is judged by nobody."""
    assert grade == payload_of(data_source=source)["grading"]


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("NA", None),
        ("05:00", None),
        ("03:30 LT", None),
        ("18:00 UTC", "2017-06-07T18:00:00Z"),
        ("18:85 UTC", None),
        ("24:00 UTC", None),
        ("23:59 UTC", "2017-06-07T23:59:00Z"),
    ],
)
def test_event_time(time: str, expected: str | None) -> None:
    """Only a possible time in UTC is a point in time."""
    assert expected == event_time("2017-06-07", time)


def test_local_time_is_told() -> None:
    """A time without a zone stays in the text."""
    assert "Time as reported: 05:00." in payload_of(time="05:00")["summary"]


def test_day_only() -> None:
    """Where only the day is known the event names the day, and the summary says so."""
    members = payload_of(time="05:00")

    assert "2017-06-07" == members["event"]["time"]
    assert members["summary"].endswith(f"\n{DAY_ONLY}")
    assert DAY_ONLY not in payload_of()["summary"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2016-02-29", True),
        ("2015-02-29", False),
        ("20160229", False),
        ("2016-2-9", False),
        ("0000-01-01", False),
        ("٢٠١٦-02-28", False),
        ("", False),
    ],
)
def test_is_date(text: str, expected: bool) -> None:  # noqa: FBT001 - a table's column
    """A date is a day of the calendar in one way of writing."""
    assert expected == is_date(text)


@pytest.mark.parametrize(
    ("latitude", "longitude", "expected"),
    [
        ("1.0416667", "103.65", "1.04167,103.65000"),
        ("-0.000001", "-0.0", "0.00000,0.00000"),
        ("90", "-180", "90.00000,-180.00000"),
        ("90.1", "0", None),
        ("0", "180.5", None),
        ("NA", "103", None),
        ("nan", "103", None),
        ("inf", "103", None),
    ],
)
def test_position(latitude: str, longitude: str, expected: str | None) -> None:
    """A position on the globe has five decimals and no minus before zero; any other is none."""
    assert expected == position_of(CELLS | {"latitude": latitude, "longitude": longitude})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("NA", []),
        ("Name Withheld", []),
        ("unspecified", []),
        ("Name Withheld & Name Withheld", []),
        ("Fictional Tug 3 & Fictional Barge 288", ["Fictional Tug 3", "Fictional Barge 288"]),
        ("P&O Fictional, Invented Copper & Name Withheld", ["P&O Fictional", "Invented Copper"]),
        ("Twice & Twice", ["Twice"]),
        ("x" * 120, ["x" * 99 + "…"]),
    ],
)
def test_vessel_names(name: str, expected: list[str]) -> None:
    """Vessels are named one by one, unless their name is withheld."""
    assert expected == vessel_names(CELLS | {"vessel_name": name})


def test_unnamed_vessel() -> None:
    """A vessel without a name has no indicator, and the title says so."""
    members = payload_of(vessel_name="Name Withheld", vessel_type="NA", latitude="NA")

    assert "Boarded: vessel not named, Off Invented Shoal, Indonesia" == members["title"]
    assert [] == members["indicators"]


def test_clean() -> None:
    """Control, format and bidirectional characters go, odd spaces are squeezed, letters are composed."""
    assert "Invented Tea \u00e9" == clean("\ufeff Inven\u200bted\x00\t\u2003Tea\u202e\n e\u0301 ")


@pytest.mark.parametrize("text", ["", "NA", " NA ", "   "])
def test_clean_missing(text: str) -> None:
    """What the table calls missing is no text."""
    assert "" == clean(text)


def test_cut() -> None:
    """Text of the limit stays; one more character is cut visibly."""
    assert ("x" * 10, "x" * 9 + "…") == (cut("x" * 10, 10), cut("x" * 11, 10))


def test_limits() -> None:
    """A long row is cut to the limits of a title, a place and a summary."""
    long = "word " * 2_000
    members = payload_of(attack_description=long, location_description=long, latitude="NA")

    assert (True, True, True) == (
        len(members["title"]) <= 120,
        len(members["event"]["place"]) <= 200,
        len(members["summary"]) <= 16_000,
    )
    assert isinstance(
        read_incident(row(attack_description=long, location_description=long, latitude="NA"), DESKS), Incident
    )


def test_description_comes_first() -> None:
    """A row with a description is told in its own words first."""
    summary = payload_of(attack_description="Two\nrobbers  \u2013 gone.")["summary"]

    assert "Two robbers \u2013 gone." == summary.splitlines()[0]


@pytest.mark.parametrize(
    ("day", "reason"), [("NA", "no date"), ("2019-02-30", "impossible date"), ("x", "impossible date")]
)
def test_rejected_date(day: str, reason: str) -> None:
    """A row without a possible day is rejected."""
    found = read_incident(row(date=day), DESKS)

    assert isinstance(found, Reject)
    assert reason == found.reason


def test_duplicate_names_its_first_line() -> None:
    """The second of two equal rows is rejected and names the line of the first, though rows span lines."""
    other = CELLS | {"attack_description": "Two\nlines."}

    found = list(read_incidents(table(other, CELLS, CELLS), DESKS))

    last = found[2]
    assert isinstance(last, Reject)
    assert ("duplicate", "duplicate of line 4", 5) == (last.reason, last.detail, last.row.line)


def test_tag_depends_on_every_column() -> None:
    """Changing any cell changes the tag; moving the row in the file does not."""
    tags = {tag_of(row(**{name: CELLS[name] + "1"})) for name in COLUMNS} | {tag_of(row())}

    assert len(COLUMNS) + 1 == len(tags)
    assert tag_of(row()) == tag_of(Row(99, CELLS, None))


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "empty"),
        (["date,time\n"], "Line 1"),
        ([*table(CELLS), "short,row\n"], "Line 3 has 2 columns"),
        ([*table(CELLS), '"open quote'], "line 3"),
        ([*table(CELLS), '"a"b\n'], "line 3"),
    ],
)
def test_bad_table(lines: list[str], words: str) -> None:
    """What is not such a table is refused with its line."""
    with pytest.raises(BadTable, match=words):
        list(read_incidents(lines, DESKS))


def test_not_utf8(tmp_path: Path) -> None:
    """A file in another encoding is refused as a whole."""
    path = tmp_path / "latin.csv"
    path.write_bytes(",".join(COLUMNS).encode() + b"\n\xe9")

    with pytest.raises(BadTable, match="UTF-8"):
        report_incidents.read_table(path)


def test_limit() -> None:
    """A limit counts usable rows and leaves the rejects listed."""
    found = report_incidents.read_table(FICTIONAL, limit=3)

    assert (3, REJECTED) == (found.used, len(found.rejects))


def test_rejects_file(tmp_path: Path, fictional: report_incidents.Table) -> None:
    """The file of rejects has line, reason and row, and no cell that a spreadsheet would run."""
    report_incidents.write_rejects(tmp_path / "rejects.csv", fictional.rejects)

    with (tmp_path / "rejects.csv").open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    formulas = [cell for each in found for cell in each.values() if cell.startswith(("=", "+", "@"))]
    assert (REJECTED, []) == (len(found), formulas)
    assert "'=HYPERLINK(1) Invented Bay, Philippines" in {each["location_description"] for each in found}


@pytest.mark.parametrize(
    ("cell", "expected"),
    [("=1+1", "'=1+1"), ("-6.08", "-6.08"), ("-6+1", "'-6+1"), ("@a", "'@a"), ("\tb", "'\tb"), ("plain", "plain")],
)
def test_inert(cell: str, expected: str) -> None:
    """A cell that begins like a formula is quoted unless it is a number."""
    assert expected == report_incidents.inert(cell)


# ------------------------------------------------------------------------------------------------ into a real hub


@pytest.fixture
def desks(exercise_hub: Any) -> Path:
    """Return the folder with the agencies' identities."""
    return Path(exercise_hub.data / "agencies")


def command(hub: Any, desks: Path, *more: str) -> list[str]:
    """Return the command that imports the fictional table."""
    given = ["--identities", str(desks), "--passphrase-file", str(hub.data / "passphrase"), "--hub", hub.url]
    return [sys.executable, "-m", "clients.scripts.report_incidents", str(FICTIONAL), *given, *more]


def incidents_at(hub: Any, desks: Path) -> Counter[tuple[str, str]]:
    """Return issuer and case reference of every incident that another agency pulls and verifies."""
    # bn-cert reads everything and posts no incident, so nothing of the import is its own.
    with Client.open(desks / "bn-cert.json", read_passphrase(hub.data / "passphrase"), hub=hub.url) as client:
        found = [each for each in client.follow(once=True) if each.content is not None]
        return Counter(
            (each.header.iss, str(each.content.case_ref))
            for each in found
            if each.content is not None and str(each.content.case_ref).startswith("SEA-")
        )


def expected_incidents(found: report_incidents.Table) -> Counter[tuple[str, str]]:
    """Return issuer and case reference of every usable row."""
    return Counter(
        (each.issuer, members_of(each.row)["payload"]["case_ref"])
        for group in found.incidents.values()
        for each in group
    )


def sent_lines(desks: Path) -> int:
    """Count the lines that the outboxes know as accepted."""
    total = 0
    for path in desks.glob("*.state"):
        state = State(path, log_key=_log_key(path))
        total += len(state.outgoing(SENT))
        state.close()
    return total


def _log_key(path: Path) -> str:
    return str(json.loads(path.with_suffix(".json").read_text())["hub"]["log_key"])


@pytest.mark.parametrize("after", [1, 8])
def test_killed_and_run_again(exercise_hub: Any, desks: Path, fictional: report_incidents.Table, *, after: int) -> None:
    """Killed midway and run twice more, the import leaves every usable row once; another agency verifies each."""
    process = subprocess.Popen(command(exercise_hub, desks), cwd=ROOT, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while process.poll() is None and sent_lines(desks) < after and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    killed = process.wait()
    second = subprocess.run(command(exercise_hub, desks), cwd=ROOT, capture_output=True, check=False, text=True)
    third = subprocess.run(command(exercise_hub, desks), cwd=ROOT, capture_output=True, check=False, text=True)

    assert (-signal.SIGKILL, 0, 0) == (killed, second.returncode, third.returncode), second.stderr
    assert expected_incidents(fictional) == incidents_at(exercise_hub, desks)
    assert USED == sent_lines(desks)


def test_missing_identity(exercise_hub: Any, desks: Path) -> None:
    """Without the identity of one agency nothing is posted, and it is named."""
    (desks / "vn-police.json").unlink()

    done = subprocess.run(command(exercise_hub, desks), cwd=ROOT, capture_output=True, check=False, text=True)

    assert (2, True, 0) == (done.returncode, "vn-police" in done.stderr, sent_lines(desks))


def test_refused_rows_are_named(exercise_hub: Any, desks: Path) -> None:
    """Rows that the hub refuses are named with their problem, and the exit code is 1."""
    exercise_hub.order("grant", agency="bn-police", publish=["cyber"], read=["*"])

    done = subprocess.run(command(exercise_hub, desks), cwd=ROOT, capture_output=True, check=False, text=True)

    # Lines are counted as in the file, where one description spans two.
    assert "line 19: bn-police refused: topic-not-granted" in done.stdout.splitlines()
    assert (1, USED - 1) == (done.returncode, sent_lines(desks))


def test_unreachable_hub(exercise_hub: Any, desks: Path) -> None:
    """Without a hub the import ends with 1 and says that nothing is lost."""
    lost = [*command(exercise_hub, desks), "--hub", "http://127.0.0.1:1"]

    done = subprocess.run(lost, cwd=ROOT, capture_output=True, check=False, text=True)

    assert (1, True) == (done.returncode, "http://127.0.0.1:1" in done.stderr)


def test_table_refused_before_posting(exercise_hub: Any, desks: Path, tmp_path: Path) -> None:
    """A file that is no such table is refused with its line, and nothing is posted."""
    (tmp_path / "bad.csv").write_text(FICTIONAL.read_text() + "short,row\n")
    words = [str(tmp_path / "bad.csv") if word == str(FICTIONAL) else word for word in command(exercise_hub, desks)]

    done = subprocess.run(words, cwd=ROOT, capture_output=True, check=False, text=True)

    assert (1, True, 0) == (done.returncode, "has 2 columns" in done.stderr, sent_lines(desks))
