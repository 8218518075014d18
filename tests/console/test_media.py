"""Pages on paper, with forced colours, without motion, in pictures: what a reader needs stays."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests import png
from tests.console.conftest import AUDITOR, Console, Pages
from tests.screenshots import Looks, Shot, take

OFFICER, READER = "my-police", "sg-fiu"

ILLEGIBLE = """() => {
  const light = (color) => {
    const [red, green, blue, alpha = 1] = color.match(/[\\d.]+/g).map(Number);
    return alpha < 0.5 ? null : (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255;
  };
  const isSaid = (each) => [...each.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
  return [...document.querySelectorAll("body, main, main *")].filter((each) => {
    if (!each.checkVisibility() || each.closest("svg")) return false;
    const style = getComputedStyle(each), ground = light(style.backgroundColor);
    return (ground !== null && ground < 0.8) || (isSaid(each) && light(style.color) > 0.5);
  }).map((each) => each.outerHTML.slice(0, 100));
}"""
"""What is printed on a dark ground, or in pale letters."""


@pytest.fixture(scope="module")
def paths(console: Console) -> dict[str, str]:
    """The pages by who looks; that of a bulletin has content."""
    line = console.publish(OFFICER, [READER])
    return {
        "": AUDITOR,
        "audit?kind=key.approved&entry=9": AUDITOR,
        "partners": AUDITOR,
        "integrity?seq=3": AUDITOR,
        "system": AUDITOR,
        f"bulletins/{line.id}": OFFICER,
    }


@pytest.fixture
def looks(pages: Pages) -> dict[str, Page]:
    """A page of each party, in the dark."""
    return {
        AUDITOR: pages.signed_in(AUDITOR, "operator", scheme="dark"),
        OFFICER: pages.signed_in(OFFICER, scheme="dark"),
    }


def test_print(paths: dict[str, str], looks: dict[str, Page]) -> None:
    """On paper there is the content on white, legible, and neither bar nor filter nor button."""
    for path, party in paths.items():
        page = looks[party]
        page.emulate_media(media="print", color_scheme="dark")
        page.goto(f"/console/{path}")

        assert page.locator("main h1").first.is_visible(), path
        assert 0 == page.locator(".bar, .rail, form, button, a.button").filter(visible=True).count(), path
        assert [] == page.evaluate(ILLEGIBLE), path


def test_print_after_choosing_the_dark(looks: dict[str, Page]) -> None:
    """Paper is white also for whoever chose the dark by the button."""
    page = looks[AUDITOR]
    page.emulate_media(color_scheme="light")
    page.goto("/console/audit?entry=9")
    page.locator("#theme").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.evaluate(ILLEGIBLE)

    page.emulate_media(media="print")

    assert [] == page.evaluate(ILLEGIBLE)


def test_print_shows_what_a_window_folds(looks: dict[str, Page]) -> None:
    """On paper the logged bytes are whole and the hashes that a window hides behind a click are there."""
    page = looks[AUDITOR]
    page.goto("/console/audit/9")
    folded = page.locator(".hashes dd").first
    assert not folded.evaluate("(each) => each.checkVisibility({contentVisibilityAuto: true})")

    page.emulate_media(media="print")

    assert folded.evaluate("(each) => each.checkVisibility({contentVisibilityAuto: true})")
    whole = "(each) => each.scrollHeight <= each.clientHeight + 2"
    assert page.locator(".bytes").first.evaluate(whole)


def test_forced_colours(looks: dict[str, Page]) -> None:
    """With forced colours the page one is on, the focus, the open row and each state still differ from the rest."""
    page = looks[AUDITOR]
    page.emulate_media(forced_colors="active")
    page.goto("/console/audit?outcome=accepted")
    style = "(each, name) => getComputedStyle(each)[name]"

    here, other = (page.locator(f".bar nav a{which}").first for which in ("[aria-current]", ":not([aria-current])"))
    assert here.evaluate(style, "borderBottomColor") != other.evaluate(style, "borderBottomColor")
    assert other.evaluate(style, "borderBottomColor") == page.locator("body").evaluate(style, "backgroundColor")
    link = page.locator("a[data-row]").first
    page.keyboard.press("j")
    expect(link).to_be_focused()
    assert ("solid", "2px") == (link.evaluate(style, "outlineStyle"), link.evaluate(style, "outlineWidth"))
    page.keyboard.press("Enter")
    opened = page.locator("tr[aria-selected=true]")
    assert "solid" == opened.evaluate(style, "outlineStyle")
    for each in page.locator(".chip, .badge, .card").filter(visible=True).all()[:10]:
        assert "solid" == each.evaluate(style, "borderTopStyle")
    marks = {each.inner_text().strip() for each in page.locator("tbody .outcome").all()}
    assert {"accepted"} == marks
    assert page.locator("tbody .outcome").count() == page.locator("tbody .outcome svg path").count()


def test_reduced_motion(looks: dict[str, Page]) -> None:
    """Who wants no motion gets none; who does not say so gets a short one."""
    page = looks[AUDITOR]
    moving = """() => [...document.querySelectorAll("*")].filter((each) => {
      const style = getComputedStyle(each);
      return style.transitionDuration !== "0s" || style.animationName !== "none" || style.scrollBehavior !== "auto";
    }).length"""
    found = []
    for wanted in ("no-preference", "reduce"):
        page.emulate_media(reduced_motion=wanted)
        page.goto("/console/audit")
        found.append(page.evaluate(moving))

    assert found[0] > 0
    assert 0 == found[1]


def test_pictures_are_taken(console: Console, pages: Pages) -> None:
    """The command behind the pictures in the documents takes a page in light and dark, its key pinned before."""
    taken = dict(take(Looks(pages, console), [Shot("system", "system")], ["phone"]))

    assert {"system-phone-light": 390, "system-phone-dark": 390} == {
        name: png.size(data)[0] for name, data in taken.items()
    }
    assert len(set(taken.values())) == 2
