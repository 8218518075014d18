"""What tests of the console share: a served hub, a real browser, pages that fail on anything a browser complains of.

The browser is Debian's Chromium. Where there is none these tests are skipped and say so; with LINTAS_BROWSER=required,
as in the gate of CI, they fail instead. It resolves no name but localhost: nothing can be fetched from elsewhere.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, sync_playwright

from broker import exercise
from broker.hub import Hub, open_hub
from broker.settings import read_settings
from broker.store import log
from lintas.header import BULLETIN, ORDER
from lintas.keys import Identity, unlock_identity
from lintas.line import Line
from lintas.session import Session
from lintas.state import State
from lintas.strict import canonical
from tests.conftest import ShiftedClock, served
from tests.databases import Databases

CHROMIUM = "/usr/bin/chromium"
SWITCHES = [
    "--disable-gpu",
    "--disable-software-rasterizer",
    "--disable-gpu-compositing",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost",
]
REGISTRAR, AUDITOR = "admin/registrar", "admin/auditor"
SIZES = {"desk": (1440, 960), "laptop": (1024, 768), "phone": (390, 844)}
"""The widths that every page is looked at."""

LOOKS: tuple[tuple[str, Literal["light", "dark"]], ...] = (("desk", "light"), ("laptop", "dark"), ("phone", "dark"))
"""How every page is held to the rules of accessibility: each width once, both schemes."""

EXPECTED = re.compile(r"the server responded with a status of 4\d\d")
"""What a browser says of a refusal that a test asked for."""


@dataclass
class Console:
    """A served hub with everything to look at it as any of its parties."""

    hub: Hub
    url: str
    clock: ShiftedClock
    identity_of: Callable[[str], Identity]
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=30))
    _sessions: dict[str, Session] = field(default_factory=dict)

    def session(self, party: str) -> Session:
        """Return the signing session of a party; the same one each time."""
        if party not in self._sessions:
            identity = self.identity_of(party).with_url(self.url)
            self._sessions[party] = Session(identity, State(":memory:", log_key=identity.hub.log_key), self.clock)
        return self._sessions[party]

    def ask_link(self, party: str, role: str | None = None) -> httpx.Response:
        """Ask for a one-time link."""
        body = json.dumps({"role": role} if role else {}).encode()
        headers = {"Authorization": f"Bearer {self.session(party).token()}", "Content-Type": "application/json"}
        return self.http.post(f"{self.url}/v1/console/links", content=body, headers=headers)

    def link(self, party: str, role: str | None = None) -> str:
        """Return the address of a one-time link."""
        answer = self.ask_link(party, role)
        assert answer.status_code == 201, answer.text
        return self.url + str(answer.json()["path"])

    def publish(self, party: str, to: Sequence[str], **changes: Any) -> Line:
        """Publish a bulletin that must be accepted; `payload` (an object) replaces its content."""
        session = self.session(party)
        payload = changes.pop("payload", {"title": "Fictional scam kit", "summary": "FICTIONAL. A kit is offered."})
        members: dict[str, Any] = {
            "exp": session.now() + 7 * 86_400,
            "kind": "alert",
            "topic": "cyber.scam",
            "tlp": "AMBER",
            "release_to": sorted(to),
            "urgency": "routine",
        }
        payload = canonical({"case_ref": f"SIM-{secrets.token_hex(8)}"} | payload)
        line = session.sign_line(BULLETIN, payload, **(members | changes))
        self.post(line, BULLETIN, "/v1/bulletins")
        return line

    def order(self, act: str, **arguments: object) -> None:
        """Give an order signed by both administrators; it must be accepted."""
        first = self.session(REGISTRAR).sign_order(act, arguments)
        self.post(self.session(AUDITOR).countersign(first), ORDER, "/v1/orders")

    def post(self, line: Line, typ: str, path: str) -> None:
        """Post a line that must be accepted."""
        headers = {"Content-Type": f"application/{typ}"}
        answer = self.http.post(self.url + path, content=line.raw, headers=headers)
        assert answer.is_success, answer.text

    def events(self, **wanted: Any) -> list[dict[str, Any]]:
        """Return the details of the logged events that fit, newest first."""
        return [json.loads(row.body or b"")["detail"] for row in self.rows(**wanted)]

    def rows(self, **wanted: Any) -> list[log.EventRow]:
        """Return the logged events that fit, newest first, read behind the console."""
        if "kind" in wanted:
            wanted["kinds"] = frozenset({wanted.pop("kind")})
        with self.hub.store.read() as conn:
            return log.search(conn, log.EventFilter(**wanted), before=None, limit=1_000)

    def close(self) -> None:
        """Close connections and memories."""
        self.http.close()
        for session in self._sessions.values():
            session.state.close()


@pytest.fixture(scope="module")
def console(
    exercise_template: Path, tmp_path_factory: pytest.TempPathFactory, databases: Databases
) -> Iterator[Console]:
    """An exercised hub, served on localhost, that the tests of a module share. Its clock only moves on."""
    data = databases.copy(exercise_template, tmp_path_factory.mktemp("console") / "hub")
    clock = ShiftedClock()
    hub = open_hub(read_settings({}, data=str(data)), clock)
    hub.start()
    passphrase = (data / "passphrase").read_bytes().strip()

    @cache
    def identity_of(party: str) -> Identity:
        return unlock_identity(exercise.identity_path(data, party).read_bytes(), passphrase)

    with served(hub) as url:
        found = Console(hub, url.replace("127.0.0.1", "localhost"), clock, identity_of)
        yield found
        found.close()
    hub.stop()


@pytest.fixture(scope="module")
def browser(console: Console) -> Iterator[Browser]:
    """One browser for the tests of a module, begun after the hub.

    While Playwright runs, its event loop counts as running in this thread: nothing else there may run one of its own.
    """
    if not Path(CHROMIUM).exists():
        reason = f"no browser: {CHROMIUM} is missing (on Debian: apt install chromium, or `make browser`)"
        if os.environ.get("LINTAS_BROWSER") == "required":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        found = launch(playwright)
        yield found
        found.close()


def launch(playwright: Playwright) -> Browser:
    """Start Chromium."""
    switches = SWITCHES + (["--no-sandbox"] if os.geteuid() == 0 else [])
    return playwright.chromium.launch(executable_path=CHROMIUM, args=switches)


class Pages:
    """Opens pages and keeps what their browser complains of: refused by the policy, failed, asked of another host."""

    def __init__(self, browser: Browser, console: Console) -> None:
        """Take the browser and the hub."""
        self._browser = browser
        self._console = console
        self._contexts: list[BrowserContext] = []
        self.faults: list[str] = []

    def new(
        self, *, size: str = "desk", scheme: Literal["light", "dark"] = "light", script: bool = True, **options: Any
    ) -> Page:
        """Open an empty page of a browser of its own."""
        width, height = SIZES[size]
        context = self._browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            java_script_enabled=script,
            reduced_motion="reduce",
            base_url=self._console.url,
            **options,
        )
        context.set_default_timeout(10_000)
        self._contexts.append(context)
        page = context.new_page()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))
        page.on("request", self._asked)
        return page

    def signed_in(self, party: str, role: str | None = None, **options: Any) -> Page:
        """Open a page that a party has signed in on, as somebody does by hand."""
        page = self.new(**options)
        page.goto(self._console.link(party, role))
        page.locator("main button").click()
        page.wait_for_url("**/console/**")
        return page

    def close(self) -> None:
        """Close them."""
        for context in self._contexts:
            context.close()

    def _heard(self, message: Any) -> None:
        if message.type in ("error", "warning") and not EXPECTED.search(message.text):
            self.faults.append(f"{message.type}: {message.text}")

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self._console.url + "/", "blob:" + self._console.url)):
            self.faults.append(f"asked elsewhere: {request.url}")


@pytest.fixture
def pages(browser: Browser, console: Console) -> Iterator[Pages]:
    """Pages of the browser; nothing that it complained of may be left at the end."""
    found = Pages(browser, console)
    yield found
    found.close()
    assert [] == found.faults


@cache
def _axe() -> str:
    return files("axe_playwright_python").joinpath("axe.min.js").read_text()


def violations(page: Page) -> list[str]:
    """Return what axe finds wrong with a page: the rule and where.

    Contrast, nine tenths of the work, follows from the scheme: it is left out on a laptop, which has that of a phone.
    """
    page.evaluate(_axe())
    has_contrast = page.viewport_size is None or page.viewport_size["width"] != SIZES["laptop"][0]
    options = {"resultTypes": ["violations"], "rules": {"color-contrast": {"enabled": has_contrast}}}
    found = page.evaluate("(options) => axe.run(document, options)", options)
    return [
        f"{each['id']}: {node['target']} {node['html'][:120]}" for each in found["violations"] for node in each["nodes"]
    ]


def fits(page: Page) -> bool:
    """Tell whether nothing makes the page wider than its window."""
    wide: bool = page.evaluate("() => document.documentElement.scrollWidth > document.documentElement.clientWidth")
    return not wide
