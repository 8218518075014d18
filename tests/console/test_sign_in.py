"""Signing in to the console in a real browser: links, sessions, and what neither may be used for."""

from __future__ import annotations

import re
from typing import Literal

import pytest
from playwright.sync_api import expect

from tests.console.conftest import LOOKS, REGISTRAR, Console, Pages, fits, violations

OFFICER = "my-police"


def test_link_signs_in_once(console: Console, pages: Pages) -> None:
    """Opening a link shows whom it signs in; the button signs in; the link is good for nothing afterwards."""
    link = console.link(OFFICER)
    page = pages.new()
    page.goto(link)
    expect(page.locator("main")).to_contain_text(OFFICER)
    page.locator("main button").click()
    expect(page.locator(".who")).to_contain_text("officer")

    other = pages.new()
    answer = other.goto(link)

    assert answer is not None
    assert 401 == answer.status
    expect(other.locator("main")).to_contain_text("used before")


def test_looking_uses_no_link_up(console: Console, pages: Pages) -> None:
    """A link that was only looked at still signs in."""
    link = console.link(OFFICER)
    pages.new().goto(link)
    page = pages.new()
    page.goto(link)
    page.locator("main button").click()

    expect(page.locator(".who")).to_contain_text(OFFICER)


def test_cookie_is_for_this_host_alone(console: Console, pages: Pages) -> None:
    """The cookie has the prefix and every attribute that keeps it from script, other sites and plain networks."""
    page = pages.signed_in(OFFICER)

    (cookie,) = page.context.cookies()
    assert ("__Host-lintas", "/", -1) == (cookie["name"], cookie["path"], cookie["expires"])
    assert (True, True, "Strict") == (cookie["httpOnly"], cookie["secure"], cookie["sameSite"])
    assert "" == page.evaluate("() => document.cookie")


@pytest.mark.parametrize(("seconds", "seen"), [(29 * 60, "Audit log"), (31 * 60, "lintas open")])
def test_session_ends_when_idle(console: Console, pages: Pages, seconds: int, seen: str) -> None:
    """A session without a page for half an hour has ended, and the page says how to begin another."""
    page = pages.signed_in(OFFICER)
    console.clock.advance(seconds)
    page.goto("/console/audit")

    expect(page.locator("main")).to_contain_text(seen)


def test_session_ends_after_a_shift(console: Console, pages: Pages) -> None:
    """A session that is used all the time ends after eight hours."""
    page = pages.signed_in(OFFICER)
    for _ in range(19):
        console.clock.advance(25 * 60)
        assert page.request.get("/console/audit", headers={"Sec-Fetch-Site": "same-origin"}).ok
    console.clock.advance(25 * 60)

    page.goto("/console/audit")

    expect(page.locator("main")).to_contain_text("session has ended")


def test_stolen_cookie_in_another_browser(console: Console, pages: Pages) -> None:
    """A cookie shown by another browser ends the session, and that is on record."""
    page = pages.signed_in(OFFICER)
    thief = pages.new(user_agent="somebody else's")
    thief.context.add_cookies(page.context.cookies())  # type: ignore[arg-type]

    thief.goto("/console/audit")
    expect(thief.locator("main")).to_contain_text("another browser")
    page.goto("/console/audit")

    expect(page.locator("main")).to_contain_text("Sign in")
    assert "other-browser" == console.events(kind="session.refused")[0]["reason"]


def test_signing_in_ends_the_former_session(console: Console, pages: Pages) -> None:
    """A key has one session: whoever holds a stolen one loses it when the officer signs in again."""
    former = pages.signed_in(OFFICER)
    pages.signed_in(OFFICER)

    former.goto("/console/audit")

    expect(former.locator("main")).to_contain_text("Sign in")


def test_sign_out_ends_the_session_at_the_hub(console: Console, pages: Pages) -> None:
    """After signing out the cookie is gone, and worth nothing if it was kept."""
    page = pages.signed_in(OFFICER)
    kept = page.context.cookies()
    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("main")).to_contain_text("Signed out")
    assert [] == page.context.cookies()
    page.context.add_cookies(kept)  # type: ignore[arg-type]

    page.goto("/console/audit")

    expect(page.locator("main")).to_contain_text("Sign in")


def test_other_site_cannot_ask(console: Console, pages: Pages) -> None:
    """A page at another port of the same host, to which browsers send the cookie along, can neither act nor read."""
    page = pages.signed_in(OFFICER)
    statuses = []
    for method, path in (("post", "/console/sign-out"), ("get", "/console/audit")):
        evil = page.context.new_page()
        evil.route("http://localhost:1/", lambda route: route.fulfill(body="<form></form>", content_type="text/html"))
        evil.goto("http://localhost:1/")
        with evil.expect_response(lambda answer: "/console/" in answer.url) as answer:
            evil.evaluate(
                "([to, method]) => { const f = document.forms[0]; f.action = to; f.method = method; f.submit(); }",
                [console.url + path, method],
            )
        assert "__Host-lintas" in answer.value.request.all_headers().get("cookie", "")
        statuses.append(answer.value.status)

    page.goto("/console/audit")

    assert [403, 403] == statuses
    expect(page.locator(".who")).to_contain_text(OFFICER)


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_everyone_can_use_the_page(console: Console, pages: Pages, size: str, scheme: Literal["light", "dark"]) -> None:
    """The pages of signing in have no barrier that axe knows, in light or dark, at every width."""
    page = pages.new(size=size, scheme=scheme)
    page.goto("/console/")
    assert ([], True) == (violations(page), fits(page))
    page.goto(console.link(REGISTRAR))

    assert ([], True) == (violations(page), fits(page))


def test_works_without_script(console: Console, pages: Pages) -> None:
    """Signing in needs no script."""
    page = pages.signed_in(REGISTRAR, "operator", script=False)

    expect(page).to_have_url(re.compile("/console/"))
    expect(page.locator(".who")).to_contain_text("operator")
