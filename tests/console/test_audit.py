"""The audit log in a real browser: what is seen, by which means, by whom."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from lintas.receipt import check_receipt, parse_receipt
from tests.console.conftest import LOOKS, REGISTRAR, Console, Pages, fits, violations

OFFICER, OTHER = "my-police", "sg-fiu"


def rows(page: Page) -> list[int]:
    """Return the indexes of the rows that a page shows."""
    links = page.locator("[data-row]").evaluate_all("(found) => found.map((each) => each.dataset.row)")
    return [int(link.rpartition("/")[2]) for link in links]


def shown(page: Page) -> int:
    """Return how many entries the page says that fit."""
    found = re.search(r"([\d\u202f]+) of", page.locator(".head .muted").inner_text())
    assert found is not None
    return int(found[1].replace("\u202f", ""))


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_everyone_can_use_the_page(pages: Pages, size: str, scheme: Literal["light", "dark"]) -> None:
    """The list with an open entry has no barrier that axe knows and fits its window, whatever its size."""
    page = pages.signed_in(REGISTRAR, size=size, scheme=scheme)
    page.goto("/console/audit?outcome=accepted&entry=5")

    assert ([], True) == (violations(page), fits(page))


def test_filters_narrow_rows_and_counts(console: Console, pages: Pages) -> None:
    """A choice of a facet leaves as many rows as it announced, and stands as a chip that takes it away again."""
    page = pages.signed_in(REGISTRAR)
    page.goto("/console/audit")
    choice = page.locator("label.facet", has_text="grant.changed")
    announced = int(choice.locator(".count").inner_text())
    choice.locator("input").check()
    page.wait_for_url("**kind=grant.changed**")

    assert (announced, announced) == (shown(page), len(rows(page)))
    assert announced == len(console.events(kind="grant.changed"))
    page.locator(".chip").click()
    expect(page).to_have_url(console.url + "/console/audit")


def test_facets_count_what_other_facets_leave(console: Console, pages: Pages) -> None:
    """With an actor chosen, the counts of the actions are the actor's; those of the actors are everyone's."""
    page = pages.signed_in(REGISTRAR)
    page.goto(f"/console/audit?party={OFFICER}&kind=grant.changed")

    counts = {
        name: int(page.locator("label.facet", has_text=name).locator(".count").inner_text())
        for name in (OFFICER, OTHER, "grant.changed")
    }
    assert {
        OFFICER: len(console.events(kind="grant.changed", party=OFFICER)),
        OTHER: len(console.events(kind="grant.changed", party=OTHER)),
        "grant.changed": len(console.events(kind="grant.changed", party=OFFICER)),
    } == counts


def test_pages_go_down_and_up_again(pages: Pages) -> None:
    """Older and newer pages hold every entry once, in order."""
    page = pages.signed_in(REGISTRAR)
    page.goto("/console/audit?outcome=accepted")
    first = rows(page)
    page.get_by_role("link", name="Older").click()
    second = rows(page)
    page.get_by_role("link", name="Newer").click()

    assert first[-1] > second[0]
    assert sorted({*first, *second}, reverse=True) == first + second
    assert first == rows(page)


@pytest.mark.parametrize("what", ["number", "actor", "object"])
def test_search(console: Console, pages: Pages, what: str) -> None:
    """An entry number, a part of an actor's name, the beginning of an object's id each find what they name."""
    line = console.publish(OFFICER, [OTHER])
    page = pages.signed_in(REGISTRAR)
    words: dict[str, tuple[str, Callable[[], bool]]] = {
        "number": ("7", lambda: [7] == rows(page)),
        "actor": (
            "y-polic",
            lambda: page.locator("tbody .party", has_not_text=OFFICER).count() == 0 and shown(page) > 1,
        ),
        "object": (line.id[:10], lambda: len(rows(page)) == 1 and shown(page) == 1),
    }
    page.goto("/console/audit")
    page.keyboard.press("/")
    page.keyboard.type(words[what][0])
    page.keyboard.press("Enter")
    page.wait_for_url("**q=**")

    assert words[what][1]()


def test_bar_of_the_histogram_leads_to_its_time(console: Console, pages: Pages) -> None:
    """A bar leads to the entries of its hour, as many as it says."""
    console.clock.advance(2 * 3_600)
    page = pages.signed_in(REGISTRAR)
    page.goto("/console/audit")
    bar = page.locator(".chart a").first
    (count,) = re.findall(r": ([\d\u202f]+) events", bar.locator("title").text_content() or "")
    page.goto(bar.get_attribute("href") or "")

    assert int(count.replace("\u202f", "")) == shown(page) > 1
    assert 2 == page.locator(".chip").count()


def test_keyboard(console: Console, pages: Pages) -> None:
    """Keys j and k move, Enter opens beside the list, Escape closes; the address follows, so that going back works."""
    page = pages.signed_in(REGISTRAR)
    page.goto("/console/audit")
    wanted = rows(page)[1]
    for key in ("j", "j", "j", "k", "Enter"):
        page.keyboard.press(key)
    expect(page.locator("[data-entry]")).to_have_attribute("data-entry", str(wanted))
    expect(page).to_have_url(f"{console.url}/console/audit?entry={wanted}")
    page.keyboard.press("Escape")

    expect(page.locator("[data-drawer]")).to_be_hidden()
    expect(page).to_have_url(f"{console.url}/console/audit")
    page.go_back()
    expect(page.locator("[data-entry]")).to_have_attribute("data-entry", str(wanted))


def test_entry_shows_what_was_logged(console: Console, pages: Pages) -> None:
    """The drawer, the page of the entry and the log have the same bytes; the proof that is given holds."""
    page = pages.signed_in(REGISTRAR)
    page.goto("/console/audit?entry=6")
    in_drawer = page.locator("[data-entry] .bytes").first.inner_text()
    page.goto("/console/audit/6")
    with page.expect_download() as download:
        page.locator("[data-entry] a[download]").click()

    receipt = parse_receipt(Path(download.value.path()).read_bytes())
    identity = console.identity_of(REGISTRAR)
    assert in_drawer == page.locator("[data-entry] .bytes").first.inner_text() == (receipt.extra or b"").decode()
    event = json.loads(receipt.extra or b"")
    found = check_receipt(
        receipt, line_id=event["object"], origin=console.hub.signer.origin, key=console.session(REGISTRAR).log_keys
    )
    assert (6, identity.hub.name) == (found.seq, console.hub.name)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_export(console: Console, pages: Pages, form: str) -> None:
    """An export holds every entry that fits, and is on record with what was asked."""
    page = pages.signed_in(REGISTRAR)
    page.goto("/console/audit?kind=grant.changed")
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV" if form == "csv" else "JSON Lines").click()

    text = Path(download.value.path()).read_text()
    found = (
        [int(row["seq"]) for row in csv.DictReader(text.splitlines())]
        if form == "csv"
        else [json.loads(row)["seq"] for row in text.splitlines()]
    )
    assert rows(page) == found
    assert {"kind": "grant.changed", "form": form} == console.events(kind="admin.exported")[0]["asked"]


def test_officer_sees_own_events_alone(console: Console, pages: Pages) -> None:
    """An agency's officer sees its events and those of everyone, and nothing of another agency by any way in."""
    console.publish(OTHER, [OFFICER])
    theirs = next(row.seq for row in console.rows(party=OTHER))
    page = pages.signed_in(OFFICER)
    page.goto("/console/audit")
    parties = page.locator("label.facet input[name=party]").evaluate_all("(found) => found.map((each) => each.value)")
    assert {OFFICER, "*"} == {*parties}

    answers = [page.goto(f"/console/audit{path}") for path in (f"/{theirs}", f"?entry={theirs}", f"/{theirs}/proof")]
    assert [404] * 3 == [answer.status for answer in answers if answer is not None]
    for query in (f"q={theirs}", f"party={OTHER}", f"q={OTHER}"):
        page.goto(f"/console/audit?{query}")
        expect(page.locator(".empty")).to_be_visible()
    text = page.request.get(
        f"/console/audit/export?form=jsonl&party={OTHER}", headers={"Sec-Fetch-Site": "same-origin"}
    )
    assert "" == text.text()


def test_every_look_is_on_record(console: Console, pages: Pages) -> None:
    """A page that was shown is an event of whoever looked, with what was asked; a search only by its digest."""
    page = pages.signed_in(OFFICER)
    page.goto("/console/audit?q=somebody&kind=view.read")

    detail = console.events(kind="view.read", party=OFFICER)[0]
    assert ("audit", "console", "view.read") == (detail["view"], detail["by"], detail["asked"]["kind"])
    assert "somebody" not in json.dumps(detail)
    assert 64 == len(detail["asked"]["q"])


def test_works_without_script(pages: Pages) -> None:
    """Filtering, opening and closing an entry work without script."""
    page = pages.signed_in(REGISTRAR, script=False)
    page.goto("/console/audit")
    page.locator("label.facet", has_text="key.approved").locator("input").check()
    page.get_by_role("button", name="Apply").click()
    first = rows(page)[0]
    page.locator("[data-row]").first.click()
    expect(page.locator("[data-entry]")).to_have_attribute("data-entry", str(first))
    page.locator("a.shut").click()

    expect(page.locator("[data-drawer]")).to_be_hidden()
    expect(page.locator(".chip")).to_contain_text("key.approved")


def test_hostile_words_are_shown_harmlessly(console: Console, pages: Pages) -> None:
    """Markup in a search or a filter is shown as it is written, in an isolate, and never runs."""
    page = pages.signed_in(REGISTRAR)
    page.on("dialog", lambda dialog: pages.faults.append(f"ran: {dialog.message}"))
    hostile = "<img src=x onerror=alert(1)>\"'-- \u0645\u0631\u062d\u0628\u0627"
    page.goto("/console/audit?party=%3Csvg/onload=alert(2)%3E")
    page.locator("#q").fill(hostile)
    page.locator("#q").press("Enter")
    page.wait_for_url("**q=**")

    assert ["<svg/onload=alert(2)>", hostile] == page.locator(".chip bdi").all_inner_texts()
    assert 0 == page.locator("main img").count()
    assert hostile == page.locator("#q").input_value()


@pytest.mark.parametrize("query", ["kind=none", "before=x", "since=yesterday", "page=2", "q=a&q=b", "tlp=PINK"])
def test_wrong_filters_are_refused(pages: Pages, query: str) -> None:
    """A filter that nothing can have is refused with a page that says so, never widened in silence."""
    page = pages.signed_in(REGISTRAR, script=False)

    answer = page.goto(f"/console/audit?{query}")

    assert answer is not None
    assert 400 == answer.status
    expect(page.locator("main")).to_contain_text("To the first page")
