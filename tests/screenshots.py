"""Takes the pictures of the console that docs/console.md shows.

``python -m tests.screenshots`` (``make screenshots``) plays a month of fictional traffic on a hub with every simulated
agency, looks at its pages in Chromium, light and dark, and writes small PNGs to docs/console. The clock of the hub and
of the browser stands still; keys and ids are new each time. ``--everything FOLDER`` writes every page at every width
instead, as it is, for whoever looks for faults.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import chain, product
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Page, expect, sync_playwright

from broker import exercise
from broker.demo import sample_draft, samples
from broker.hub import open_hub
from broker.settings import read_settings
from lintas.client import Client
from lintas.draft import read_draft
from lintas.event import US_PER_S
from lintas.header import BULLETIN, ORDER
from lintas.keys import Identity, SigningKey, unlock_identity
from lintas.state import State
from tests import png
from tests.conftest import ShiftedClock, served
from tests.console.conftest import AUDITOR, REGISTRAR, SIZES, Console, Pages, launch
from tests.witnesses import TWO_OF_THREE, WITNESSES, cosigned

FOLDER = Path(__file__).resolve().parents[1] / "docs/console"
BYTES_MAX = 1_500_000
"""Of all pictures together: a repository keeps each version for ever."""

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
HOUR_S, DAY_S, DAYS = 3_600, 86_400, 30
NOW = 1_795_599_000
"""25 November 2026, 09:30 UTC."""

ISSUER, READER = "sg-fiu", "th-immigration"
SHOWN = "mule-accounts"
"""The sample whose page is shown, to the agency that issued it."""

ISSUERS: Mapping[str, int] = {
    "my-police": 12,
    "th-police": 10,
    "sg-police": 9,
    "id-police": 9,
    "ph-coastguard": 7,
    "vn-police": 7,
    "sg-fiu": 6,
    "my-cert": 6,
    "th-customs": 4,
    "kh-police": 4,
    "la-police": 2,
    "mm-police": 1,
    "bn-cert": 1,
}
TOPICS: Mapping[str, int] = {
    "cyber.scam": 16,
    "cyber.malware": 8,
    "drugs": 11,
    "drugs.precursors": 4,
    "tip": 7,
    "smuggling-migrants": 6,
    "maritime": 6,
    "money-laundering.underground-banking": 6,
    "wildlife": 4,
    "firearms": 3,
    "terrorism.foreign-fighters": 2,
}
MARKINGS: Mapping[str, int] = {"GREEN": 4, "AMBER": 5, "AMBER+STRICT": 2, "CLEAR": 1}
URGENCIES: Mapping[str, int] = {"routine": 6, "priority": 4, "urgent": 2, "flash": 1}
KINDS: Mapping[str, int] = {"alert": 5, "advisory": 4}


class StillClock(ShiftedClock):
    """A clock that stands until it is moved."""

    def __call__(self) -> int:
        """Return its time in Unix microseconds."""
        return (NOW - DAYS * DAY_S + self.offset_s) * US_PER_S


def main(arguments: list[str] | None = None) -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(prog="python -m tests.screenshots", description="Take pictures of the console.")
    parser.add_argument("--into", type=Path, default=FOLDER, help="where the pictures go")
    parser.add_argument("--everything", type=Path, metavar="FOLDER", help="every page at every width, into this folder")
    asked = parser.parse_args(arguments)
    with month() as (console, ids), looking(console) as looks:
        if asked.everything:
            keep(take(looks, every_page(console, ids), SIZES, is_whole=True), asked.everything)
            return
        asked.into.mkdir(parents=True, exist_ok=True)
        for old in asked.into.glob("*.png"):
            old.unlink()
        shown = shots(ids)
        pictures = chain(
            take(looks, shown, ["desk"]), take(looks, [each for each in shown if each.on_phone], ["phone"])
        )
        taken = keep(((name, png.shrink(data)) for name, data in pictures), asked.into)
    if taken > BYTES_MAX:
        sys.exit(f"{taken:,} bytes of pictures are more than {BYTES_MAX:,}: show less.")


def keep(pictures: Iterable[tuple[str, bytes]], folder: Path) -> int:
    """Write pictures; return how many bytes they have."""
    folder.mkdir(parents=True, exist_ok=True)
    taken = 0
    for name, data in pictures:
        (folder / f"{name}.png").write_bytes(data)
        taken += len(data)
        _say(f"{name}.png: {len(data):,} bytes, {taken:,} in all")
    return taken


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


@contextmanager
def month() -> Iterator[tuple[Console, Mapping[str, str]]]:
    """Serve a hub that has seen a month of fictional traffic; yield it with the ids of the samples."""
    with ExitStack() as stack:
        data, clock = (
            Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lintas-pictures-"))) / "hub",
            StillClock(),
        )
        policy = data / "witnesses.policy"
        settings = read_settings({"LINTAS_RATE_FACTOR": "0"}, data=str(data))
        exercise.run(settings, progress=_say, clock=clock)
        policy.write_text(TWO_OF_THREE)
        hub = open_hub(read_settings({"LINTAS_RATE_FACTOR": "0"}, data=str(data), witnesses=str(policy)), clock)
        hub.start()
        stack.callback(hub.stop)
        passphrase = (data / "passphrase").read_bytes().strip()

        @cache
        def identity_of(party: str) -> Identity:
            return unlock_identity(exercise.identity_path(data, party).read_bytes(), passphrase)

        url = stack.enter_context(served(hub)).replace("127.0.0.1", "localhost")
        console = Console(hub, url, clock, identity_of)
        stack.callback(console.close)
        play = Play(console, clock)
        play.run()
        yield console, play.ids


class Play:
    """A month of traffic, the same each time but for keys and ids."""

    def __init__(self, console: Console, clock: StillClock) -> None:
        """Begin."""
        self._console = console
        self._clock = clock
        self._chance = random.Random(11)
        self._cursors: dict[str, int] = {}
        self.ids: dict[str, str] = {}

    def run(self) -> None:
        """Play it."""
        for day in range(DAYS):
            _say(f"day {day + 1} of {DAYS}")
            busy = self._chance.randint(5, 9) + (day % 7 < 5) * self._chance.randint(2, 9)
            # The samples come last, so the last day is shorter.
            for second in sorted(self._chance.sample(range(DAY_S - 6 * HOUR_S * (day == DAYS - 1)), busy)):
                self._clock.offset_s = day * DAY_S + second
                self._bulletin()
        self._clock.offset_s = DAYS * DAY_S - 6 * HOUR_S
        self._samples()
        self._waiting()
        self._clock.offset_s = DAYS * DAY_S
        self._witness()

    def _one(self, weights: Mapping[str, int]) -> str:
        return self._chance.choices(list(weights), list(weights.values()))[0]

    def _bulletin(self) -> None:
        issuer = self._one(ISSUERS)
        to = sorted(self._chance.sample([each for each in ISSUERS if each != issuer], self._chance.randint(2, 6)))
        self._console.publish(
            issuer,
            to,
            topic=self._one(TOPICS),
            tlp=self._one(MARKINGS),
            urgency=self._one(URGENCIES),
            kind=self._one(KINDS),
        )
        for reader in self._chance.sample(to, self._chance.randint(1, len(to))):
            self._pull(reader)
        if self._chance.random() < 0.09:
            self._refused(issuer)
        if self._chance.random() < 0.05:
            self._failed(to[0])

    def _pull(self, reader: str) -> None:
        headers = {"Authorization": f"Bearer {self._console.session(reader).token()}"}
        after = self._cursors.get(reader, 0)
        answer = self._console.http.get(f"{self._console.url}/v1/bulletins?after={after}", headers=headers)
        self._cursors[reader] = int(answer.raise_for_status().headers["Lintas-Cursor"])

    def _refused(self, issuer: str) -> None:
        session = self._console.session(issuer)
        header: dict[str, Any] = {
            "exp": session.now() + DAY_S,
            "kind": "alert",
            "topic": "tip",
            "tlp": "GREEN",
            "urgency": "routine",
        }
        line = session.sign_line(BULLETIN, b'{"title":"FICTIONAL"}', **header, release_to=["xx-none"])
        self._console.http.post(
            f"{self._console.url}/v1/bulletins", content=line.raw, headers={"Content-Type": f"application/{BULLETIN}"}
        )

    def _failed(self, agency: str) -> None:
        detail = {"subscription": "scams", "host": "hooks.example", "code": "timeout", "since": self._console.hub.now()}
        writer = self._console.hub.writer
        writer.submit(lambda batch: batch.append("webhook.failed", agency, detail=detail)).result()

    def _samples(self) -> None:
        """Publish the samples; some readers of the one that is shown take it, open it, acknowledge it."""
        with ExitStack() as stack:

            @cache
            def client(party: str) -> Client:
                identity = self._console.identity_of(party).with_url(self._console.url)
                state = State(":memory:", log_key=identity.hub.log_key)
                found = stack.enter_context(Client(identity, state, clock=self._clock))
                found.sync()
                return found

            ids = self.ids
            for sample in samples():
                self._clock.advance(7 * 60)
                line = client(sample["issuer"]).sign(sample_draft(sample, ids))
                client(sample["issuer"]).publish_line(line)
                ids[sample["sample"]] = line.id
            for steps, reader in enumerate(("tl-police", "my-police", "id-fiu"), 1):
                self._clock.advance(11 * 60)
                list(client(reader).follow(once=True))
                if steps > 1:
                    client(reader).opened(ids[SHOWN])
                if steps > 2:
                    client(reader).acknowledge(ids[SHOWN])
            self._clock.advance(9 * 60)
            client("my-police").publish(read_draft(_comment(ids[SHOWN])))

    def _waiting(self) -> None:
        """Leave an order and a key to administrators."""
        console = self._console
        order = console.session(REGISTRAR).sign_order("ceiling", {"agency": "kh-police", "tlp": "AMBER"})
        console.post(order, ORDER, "/v1/orders")
        invite = console.session(REGISTRAR).sign_order("invite", {"agency": "la-police"})
        answer = console.http.post(
            f"{console.url}/v1/orders", content=invite.raw, headers={"Content-Type": f"application/{ORDER}"}
        ).json()
        hub = console.identity_of("la-police").with_url(console.url).hub
        new = Identity("la-police", SigningKey.generate(), hub)
        with Client(new, State(":memory:", log_key=hub.log_key), clock=self._clock) as client:
            client.enrol(invite=answer["invite"], code=answer["code"], holder="night desk (SIMULATED)")

    def _witness(self) -> None:
        """Two of three witnesses cosign what there is."""
        console, now = self._console, self._console.hub.now()
        note = console.http.get(f"{console.url}/v1/log/checkpoint").content
        body = cosigned(note, *WITNESSES[:2], time=now)
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        console.http.post(f"{console.url}/v1/log/cosignatures", content=body, headers=headers).raise_for_status()


def _comment(line_id: str) -> dict[str, object]:
    return {
        "kind": "comment",
        "topic": "money-laundering.underground-banking",
        "tlp": "AMBER",
        "urgency": "routine",
        "release_to": [ISSUER],
        "valid_for": "P30D",
        "refs": [f"comments:{line_id}"],
        "payload": {"title": "One wallet is known here", "summary": "SIMULATED. Held under a national case."},
    }


@dataclass(frozen=True, slots=True)
class Shot:
    """A page to be taken: its name, its address, who looks, whether all of it or what a window shows."""

    name: str
    path: str
    party: str = AUDITOR
    is_whole: bool = False
    on_phone: bool = False
    ready: Callable[[Page], None] = lambda _page: None


def shots(ids: Mapping[str, str]) -> list[Shot]:
    """Return the pages that are shown. The first pins the log's key, which makes the seal of the others green."""
    return [
        Shot("integrity", "integrity?seq=40", ready=_verified),
        Shot("overview", "", is_whole=True, on_phone=True, ready=_live),
        Shot("audit", "audit?kind=bulletin.accepted", ready=_entry_open),
        Shot("partners", "partners"),
        Shot("system", "system"),
        Shot("bulletins", "bulletins", READER),
        Shot("bulletin", f"bulletins/{ids[SHOWN]}", ISSUER, is_whole=True, on_phone=True),
    ]


def every_page(console: Console, ids: Mapping[str, str]) -> list[Shot]:
    """Return the pages as they are shown, and those that differ by what is in them or by who looks."""
    bulletins = {name: f"bulletins/{line_id}" for name, line_id in ids.items()}
    return [
        *shots(ids),
        Shot("audit-list", "audit"),
        Shot("audit-filtered", "audit?party=my-police&party=sg-fiu&outcome=refused&outcome=accepted&topic=cyber.scam"),
        Shot("audit-nothing", "audit?q=nothing-like-that"),
        Shot("audit-hour", "audit?since=2026-11-25T03:30&until=2026-11-25T05:00"),
        Shot("entry", "audit/40"),
        Shot("bulletins-admin", "bulletins"),
        Shot("bulletins-filtered", "bulletins?topic=drugs&tlp=AMBER"),
        Shot("bulletin-admin", bulletins[SHOWN]),
        Shot("partner", "partners/la-police"),
        Shot("unknown", "nothing"),
        Shot("officer-overview", "", READER),
        Shot("officer-audit", "audit", READER),
        Shot("officer-partners", "partners", READER),
        Shot("officer-partner", f"partners/{READER}", READER),
        Shot("purpose", bulletins["rfi-smuggling"], READER),
        Shot("recalled", bulletins["investment-kit"], READER),
        Shot("sealed", bulletins["facilitator"], "id-police"),
        Shot("signing-in", console.link("bn-cert").partition("/console/")[2]),
    ]


class Looks:
    """Pages of parties that are signed in, one each."""

    def __init__(self, pages: Pages, console: Console) -> None:
        """Begin with none."""
        self._pages = pages
        self._console = console
        self._open: dict[str, Page] = {}

    def of(self, party: str) -> Page:
        """Return the page of a party."""
        if party not in self._open:
            page = self._open[party] = self._pages.new()
            page.clock.set_fixed_time(datetime.fromtimestamp(NOW, UTC))
            page.goto(self._console.link(party, "operator" if party.startswith("admin/") else None))
            page.locator("main button").click()
            page.wait_for_url("**/console/")
            page.goto("/console/integrity")
            page.get_by_label("Pin the log's key").fill(self._console.hub.signer.verifier.text())
            page.get_by_role("button", name="Pin and check").click()
            expect(page.locator("[data-outcome]")).to_have_attribute("data-verdict", "verified")
        return self._open[party]


@contextmanager
def looking(console: Console) -> Iterator[Looks]:
    """Open a browser; what it complained of fails the command."""
    with sync_playwright() as playwright:
        pages = Pages(launch(playwright), console)
        yield Looks(pages, console)
        pages.close()
    assert [] == pages.faults


def take(
    looks: Looks, shown: Iterable[Shot], sizes: Iterable[str], *, is_whole: bool = False
) -> Iterator[tuple[str, bytes]]:
    """Take each page at these sizes, light and dark; yield names and PNGs."""
    for each, size, scheme in product(shown, sizes, SCHEMES):
        page = looks.of(each.party)
        width, height = SIZES[size]
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=scheme)
        page.goto(f"/console/{each.path}")
        each.ready(page)
        page.mouse.move(0, 0)
        page.evaluate("() => scrollTo({top: 0, behavior: 'instant'})")
        name = f"{each.name}-{scheme}" if size == "desk" and not is_whole else f"{each.name}-{size}-{scheme}"
        yield name, page.screenshot(full_page=is_whole or (each.is_whole and size == "desk"))


def _verified(page: Page) -> None:
    page.get_by_role("button", name="Check in this browser").click()
    for outcome in ("[data-outcome]", "#entry-outcome"):
        expect(page.locator(outcome)).to_have_attribute("data-verdict", "verified")


def _live(page: Page) -> None:
    expect(page.locator(".live-state")).to_have_text("live")
    expect(page.locator("[data-seal]")).to_have_attribute("data-state", "verified")


def _entry_open(page: Page) -> None:
    page.locator("tr", has_text=ISSUER).first.locator("a[data-row]").click()
    page.locator("[data-entry]").get_by_role("button", name="Check in this browser").click()
    expect(page.locator("#entry-check")).to_have_attribute("data-verdict", "verified")


if __name__ == "__main__":
    main()
