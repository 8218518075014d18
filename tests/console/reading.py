"""Reading pages of the console without a browser: the same requests, signed in as any party."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

import httpx

from tests.console.conftest import Console

HEADERS = {"Sec-Fetch-Site": "same-origin", "User-Agent": "a test"}


@dataclass
class Reading:
    """Somebody who is signed in."""

    console: Console
    cookie: str

    def get(self, path: str, **headers: str) -> httpx.Response:
        """Ask for a page."""
        return self.console.http.get(
            self.console.url + path, headers=HEADERS | {"Cookie": f"__Host-lintas={self.cookie}"} | headers
        )

    def page(self, path: str) -> str:
        """Return the markup of a page that must be there."""
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return answer.text

    def words(self, path: str) -> str:
        """Return the words of a page's main part, blanks as one."""
        return words(self.page(path))


def sign_in(console: Console, party: str, role: str | None = None) -> Reading:
    """Sign a party in."""
    answer = console.http.post(
        console.link(party, role), headers=HEADERS | {"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert answer.status_code == 303, answer.text
    found = re.search(r"__Host-lintas=([^;]+)", answer.headers["set-cookie"])
    assert found is not None
    return Reading(console, found[1])


def words(markup: str) -> str:
    """Return what a page says, without its markup."""
    main = markup.partition("<main")[2].partition("</main>")[0].partition(">")[2]
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", main))).strip()
