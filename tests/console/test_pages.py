"""Overview, bulletins, partners, system in a real browser: widths, light, dark, without script, hostile content."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from lintas.line import Line
from tests.console.conftest import AUDITOR, LOOKS, SIZES, Console, Pages, fits, violations

ISSUER, READER = "my-police", "sg-fiu"
MARKUP = "</script><img src=x onerror=alert(1)><svg/onload=alert(2)>\"'&{{ 7*7 }}"
SCRIPTS = "ภาษาไทย ភាសាខ្មែរ ພາສາລາວ မြန်မာဘာသာ 中文 தமிழ் بهاس ملايو Tiếng Việt Baybayin ᜊ"
LONG = "x" * 2_000

HOSTILE = {
    "title": (MARKUP + SCRIPTS)[:120],
    "summary": f"FICTIONAL. {MARKUP}\n{SCRIPTS}\n{LONG}\n=cmd()\n\ttab",
    "handling": ["H1"],
    "handling_note": MARKUP,
    "event": {"time": "2026-11-20", "place": (MARKUP)[:200]},
    "references": [MARKUP, LONG[:200], SCRIPTS],
    "questions": [MARKUP, LONG[:200], SCRIPTS],
    "purpose": {"code": "investigation", "statement": MARKUP},
    "case_ref": "SIM-1",
    "marking_reason": MARKUP,
    "indicators": [
        {"type": "domain", "value": "golden-lotus.example", "role": MARKUP, "note": SCRIPTS},
        {"type": "url", "value": "https://golden-lotus.example/" + LONG, "role": "login", "note": LONG[:200]},
    ],
}


@pytest.fixture(scope="module")
def hostile(console: Console) -> Line:
    """A request whose every free field has markup, a very long word or every script of the region."""
    return console.publish(ISSUER, [READER], kind="rfi", payload=HOSTILE)


def look(page: Page, path: str) -> None:
    """Open a page in every look; it must fit its window and break no rule of accessibility."""
    for size, scheme in LOOKS:
        width, height = SIZES[size]
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        page.goto(path)
        assert fits(page), f"{path} is wider than a {size}"
        assert [] == violations(page), f"{path} on a {size}, {scheme}"


def test_pages_of_an_operator(console: Console, pages: Pages, hostile: Line) -> None:
    """Every page fits and is accessible for an operator: on a desk in light, on a laptop and a phone in the dark."""
    page = pages.signed_in(AUDITOR, "operator")

    for path in ("", "bulletins", f"bulletins/{hostile.id}", "partners", f"partners/{ISSUER}", "system"):
        look(page, f"/console/{path}")


def test_pages_of_an_officer(console: Console, pages: Pages, hostile: Line) -> None:
    """Every page fits and is accessible for an officer, also with hostile content in every field."""
    page = pages.signed_in(READER)

    for path in ("", "bulletins", f"bulletins/{hostile.id}", "partners", f"partners/{READER}"):
        look(page, f"/console/{path}")


def test_hostile_content_is_text(console: Console, pages: Pages, hostile: Line) -> None:
    """Markup is shown as text, long words wrap, every script is whole."""
    page = pages.signed_in(READER, size="phone")
    page.goto(f"/console/bulletins/{hostile.id}")
    content = page.locator("article.content")

    assert 0 == content.locator("img, script, iframe, form, svg").count()
    expect(content).to_contain_text(MARKUP)
    expect(content).to_contain_text(SCRIPTS)
    expect(content).to_contain_text(LONG)
    assert fits(page)


def test_without_script(console: Console, pages: Pages) -> None:
    """Without script figures, lists, filters and one bulletin are there, and nothing says that it is live."""
    line = console.publish(ISSUER, [READER], topic="drugs", tlp="GREEN")
    page = pages.signed_in(READER, script=False)
    expect(page.locator(".live-state")).to_have_text("as of this page")
    expect(page.locator("[data-live-pause]")).to_be_hidden()
    page.goto("/console/bulletins")
    page.get_by_label("Topic").select_option("drugs")
    page.get_by_role("button", name="Apply").click()

    page.locator(f'a[href="/console/bulletins/{line.id}"]').click()

    expect(page.locator("article.content")).to_contain_text("Fictional scam kit")


def test_purpose_is_asked_in_a_form(console: Console, pages: Pages) -> None:
    """Person data is shown after a purpose is chosen and a case is named, by keyboard alone."""
    person = {"type": "email", "value": "somebody@example.org", "role": "sender"}
    line = console.publish(ISSUER, [READER], payload={"title": "Two", "summary": "FICTIONAL.", "indicators": [person]})
    page = pages.signed_in(READER, script=False)
    page.goto(f"/console/bulletins/{line.id}")
    page.get_by_label("Purpose").focus()
    page.get_by_label("Purpose").select_option("investigation")
    page.keyboard.press("Tab")
    page.keyboard.type("SIM-77")
    page.keyboard.press("Enter")

    expect(page.locator("article.content")).to_contain_text("somebody@example.org")


def test_live_list(console: Console, pages: Pages) -> None:
    """A new bulletin comes in above the others by its header; while paused it waits, then all come in at once."""
    page = pages.signed_in(AUDITOR)
    expect(page.locator(".live-state")).to_have_text("live")
    first = console.publish(ISSUER, [READER], urgency="flash")
    row = page.locator(".feed li").first
    expect(row.locator("a")).to_have_attribute("href", f"/console/bulletins/{first.id}")
    expect(row).to_contain_text("flash")

    page.get_by_role("button", name="Pause").click()
    console.publish(ISSUER, [READER])
    last = console.publish(ISSUER, [READER])
    expect(page.locator(".live-state")).to_have_text("2 waiting")
    expect(row.locator("a")).to_have_attribute("href", f"/console/bulletins/{first.id}")
    page.get_by_role("button", name="Resume").click()

    expect(row.locator("a")).to_have_attribute("href", f"/console/bulletins/{last.id}")
    expect(page.locator(".live-state")).to_have_text("live")
    assert page.locator(".feed li").count() <= 8
