"""The overview: its figures, what needs attention, bulletins as they come in."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import httpx
import pytest

from broker import activity
from broker.activity import DAY_S, DAYS, Activity, Day, Recent
from broker.due import Open
from broker.store import lines
from broker.store.lines import StoredLine
from broker.store.troubles import Hook
from broker.survey import Survey
from broker.web.console import attention, figures
from broker.web.console.attention import State
from lintas.exchange import Duty
from tests.console.conftest import AUDITOR, Console
from tests.console.reading import HEADERS, Reading, sign_in

ISSUER, READER, OTHER = "my-police", "sg-fiu", "th-cert"
NOW = 1_800_000_000
WELL = State(
    survey=Survey(
        size=10,
        signed=10,
        signed_at=NOW,
        witnessed=10,
        unwitnessed_since=None,
        database_bytes=1,
        webhooks={},
        overdue=0,
    ),
    overdue=(),
    hooks=(),
    bursts={},
    ending=(),
    pending=0,
    two_person=True,
    halted=None,
    since_us=0,
)
RECALL = StoredLine(
    seq=7,
    id="x" * 43,
    typ="",
    raw=b"",
    iss=ISSUER,
    kid="k",
    at=NOW,
    exp=NOW,
    kind="recall",
    topic="drugs",
    urgency="flash",
    tlp_rank=2,
    withdraws=True,
    is_personal=False,
)
HOOK = Hook(READER, "scams", "active", 0, None, None)


@pytest.fixture(scope="module")
def admin(console: Console) -> Reading:
    """A reviewing administrator."""
    return sign_in(console, AUDITOR)


@pytest.fixture(scope="module")
def officer(console: Console) -> Reading:
    """An officer of the agency that receives."""
    return sign_in(console, READER)


def test_all_is_well() -> None:
    """A hub in order needs no attention."""
    assert [] == attention.of_hub(WELL, NOW)


@pytest.mark.parametrize(
    ("changes", "tone", "word", "text"),
    [
        ({"halted": "The log is halted."}, "bad", "read-only", "The log is halted."),
        ({"two_person": False}, "bad", "one person", "One person decides"),
        ({"pending": 2}, "warn", "approvals", "2 waiting"),
        ({"survey": replace(WELL.survey, witnessed=None)}, "warn", "no quorum", "No witness is asked"),
        ({"survey": replace(WELL.survey, witnessed=4, unwitnessed_since=NOW - 901)}, "bad", "no quorum", "6 entries"),
        ({"survey": replace(WELL.survey, overdue=3)}, "warn", "purge", "3 bulletins"),
        ({"overdue": [Open(RECALL, (Duty(READER, 1, NOW - 1),))]}, "bad", "overdue", f"acknowledged by {READER}"),
        ({"hooks": [replace(HOOK, state="dead")]}, "bad", "webhook", "is dead"),
        (
            {"hooks": [replace(HOOK, tries=3, code="refused")]},
            "warn",
            "webhook",
            "is failing, it is tried again (refused)",
        ),
        ({"bursts": {READER: 12}}, "warn", "refused", "12 times"),
        ({"ending": [(READER, NOW + 5)]}, "warn", "key ends", "last key ends"),
    ],
)
def test_notice(changes: dict[str, object], tone: str, word: str, text: str) -> None:
    """What is not in order is told with how bad it is, in a word, and where to go on."""
    [found] = attention.of_hub(replace(WELL, **changes), NOW)  # type: ignore[arg-type]

    assert (tone, word) == (found.tone, found.word)
    assert text in found.text
    assert found.url.startswith("/console/")


@pytest.mark.parametrize(
    "changes",
    [
        {"survey": replace(WELL.survey, witnessed=9, unwitnessed_since=NOW - 899)},
        {"hooks": [HOOK]},
    ],
)
def test_no_notice(changes: dict[str, object]) -> None:
    """A quorum that was asked a moment ago and a webhook that works need no attention."""
    assert [] == attention.of_hub(replace(WELL, **changes), NOW)  # type: ignore[arg-type]


def test_worst_first() -> None:
    """What is broken stands before what is only to be watched."""
    found = attention.of_hub(replace(WELL, pending=1, ending=[(READER, NOW)], halted="It is halted."), NOW)

    assert ["bad", "warn", "warn"] == [each.tone for each in found]


def test_many_names_are_cut() -> None:
    """A recall that many owe names three of them."""
    duties = tuple(Duty(f"my-{name}", 1, NOW - 1) for name in ("a1", "a2", "a3", "a4", "a5"))
    [found] = attention.of_hub(replace(WELL, overdue=[Open(RECALL, duties)]), NOW)

    assert "my-a1, my-a2, my-a3 and 2 more" in found.text


def test_owed_by_an_agency() -> None:
    """An agency's officers see what they owe, late or not, and their own webhooks and keys."""
    late, soon = (Open(RECALL, (Duty(READER, 1, due),)) for due in (NOW, NOW + 60))
    found = attention.of_agency([HOOK], [(READER, NOW)], [soon], [replace(late, line=RECALL._replace(kind="rfi"))], NOW)

    assert [("bad", "overdue"), ("warn", "due"), ("warn", "key ends")] == [(each.tone, each.word) for each in found]


def test_tile_says_how_it_moved() -> None:
    """A figure says in words how it stands to the day before."""
    days = [Day(day, {("drugs", ISSUER): 2}, 3, 0, 0) for day in range(2)]
    tiles = figures.tiles_of_hub(days, Recent((1_200, 100), (1, 4), (2, 2), (0, 0)), ["1 Nov", "2 Nov"])

    assert [
        "1\u202f100 more than the day before",
        "3 fewer than the day before",
        "as the day before",
        "as the day before",
    ] == [tile.moved for tile in tiles]
    assert [2, 2] == list(tiles[0].series.values if tiles[0].series else ())


def test_sub_topics_count_with_their_topic() -> None:
    """The busiest topics of the first level come first, each with those below it."""
    counts = {("cyber.scam", 0): 3, ("cyber", 1): 1, ("drugs", 0): 5, ("drugs.precursors", 1): 1}

    assert [("drugs", [5, 1]), ("cyber", [3, 1])] == [
        (topic.name, list(topic.values)) for topic in figures.topics(counts, ["1", "2"])
    ]


def test_every_member_has_a_figure() -> None:
    """Each member state has the figure of its agencies, none has 0, others are left out."""
    found = figures.countries({"my-police": 2, "my-fiu": 3, "xx-none": 9})

    assert (5, 0, 11) == (found["MY"], found["SG"], len(found))


def test_days_of_the_log(console: Console) -> None:
    """Figures of each day are those of the log: bulletins by topic and issuer, sendings, refusals."""
    console.publish(ISSUER, [READER], topic="wildlife")
    with console.hub.store.read() as conn:
        days = Activity().days(conn, now=console.hub.now())
        recent = activity.recent(conn, now_us=console.hub.clock())

    assert (DAYS, console.hub.now() // DAY_S) == (len(days), days[-1].day)
    assert days[-1].published["wildlife", ISSUER] >= 1
    assert sum(sum(day.published.values()) for day in days[-2:]) >= recent.published[0] > 0


def test_days_that_are_over_are_remembered(console: Console) -> None:
    """A day that is over is read once; the present one each time."""
    known, now = Activity(), console.hub.now()
    with console.hub.store.read() as conn:
        first = known.days(conn, now=now)
    console.publish(ISSUER, [READER])

    with console.hub.store.read() as conn:
        second = known.days(conn, now=now)
        later = known.days(conn, now=now + DAY_S)

    assert all(one is other for one, other in zip(first[:-1], second[:-1], strict=True))
    assert sum(second[-1].published.values()) > sum(first[-1].published.values())
    assert second[1:-1] == later[:-2]


def test_pages_show_the_figures(console: Console, admin: Reading, officer: Reading) -> None:
    """The overview has figures, topics, map, newest bulletins; an officer's counts what its agency may see."""
    line, hidden = console.publish(ISSUER, [READER], topic="wildlife"), console.publish(ISSUER, [OTHER], topic="tip")
    everything, own = admin.page("/console/"), officer.page("/console/")

    for page in (everything, own):
        assert "Bulletins by topic" in page
        assert "Shapes show no position on any boundary" in page
        assert f"/console/bulletins/{line.id}" in page
    assert hidden.id in everything
    assert hidden.id not in own
    assert "topic=tip" not in own
    assert {"view": "overview", "by": "console"} == console.events(kind="view.read", party=READER)[0]


def told(reading: Reading, after: int, count: int) -> list[dict[str, str]]:
    """Return the first bulletins that the live list is told of."""
    found: list[dict[str, str]] = []
    headers = HEADERS | {"Cookie": f"__Host-lintas={reading.cookie}"}
    url = f"{reading.console.url}/console/live?after={after}"
    with httpx.stream("GET", url, headers=headers, timeout=10) as answer:
        assert "text/event-stream" in answer.headers["content-type"]
        for text in answer.iter_lines():
            if text.startswith("data: "):
                found.append(json.loads(text[6:]))
            if len(found) == count:
                break
    return found


def test_live_tells_headers_alone(console: Console, admin: Reading, officer: Reading) -> None:
    """The live list tells each what it may know of, in order, by headers alone."""
    after = console.hub.writer.size - 1
    hidden, line = console.publish(ISSUER, [OTHER]), console.publish(ISSUER, [READER], urgency="flash")

    everything, own = told(admin, after, 2), told(officer, after, 1)

    assert [hidden.id, line.id] == [each["id"] for each in everything]
    assert [line.id] == [each["id"] for each in own]
    assert {"id", "topic", "kind", "issuer", "country", "tlp", "urgency", "time", "clock"} == set(own[0])
    assert "Fictional scam kit" not in str(everything)


def test_live_goes_on_where_it_was(console: Console, admin: Reading) -> None:
    """A browser that comes again is told what followed the last it heard of."""
    first, second = console.publish(ISSUER, [READER]), console.publish(ISSUER, [READER])
    with console.hub.store.read() as conn:
        seq = lines.known(conn, [first.id])[first.id]
    url = f"{console.url}/console/live?after=0"
    headers = HEADERS | {"Cookie": f"__Host-lintas={admin.cookie}", "Last-Event-ID": str(seq)}
    with httpx.stream("GET", url, headers=headers, timeout=10) as answer:
        data = next(text for text in answer.iter_lines() if text.startswith("data: "))

    assert second.id == json.loads(data[6:])["id"]


def test_live_ends_with_the_session(console: Console) -> None:
    """A stream tells nothing more once its session has ended."""
    reading = sign_in(console, OTHER)
    headers = HEADERS | {"Cookie": f"__Host-lintas={reading.cookie}"}
    after = console.hub.writer.size - 1
    with httpx.stream("GET", f"{console.url}/console/live?after={after}", headers=headers, timeout=10) as answer:
        text = answer.iter_lines()
        assert next(text).startswith("retry:")
        sign_in(console, OTHER)
        console.publish(ISSUER, [OTHER])

        assert not [each for each in text if each.startswith("data:")]


@pytest.mark.parametrize(
    "path", ["/console/live", "/console/", "/console/bulletins", "/console/partners", "/console/system"]
)
def test_nobody_is_told_without_signing_in(console: Console, path: str) -> None:
    """Every page asks whoever is not signed in to do so."""
    answer = console.http.get(console.url + path, headers=HEADERS)

    assert 401 == answer.status_code
    assert re.search("lintas open", answer.text)
