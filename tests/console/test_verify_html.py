"""The saved verify.html in a real browser, opened as a file with the network off."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, FilePayload, Page, expect

from broker.web.console import offline
from lintas.note import b64
from tests.console.conftest import LOOKS, SIZES, Console, fits, violations
from tests.vectors.make import (
    ACK_LINE,
    FORKED,
    LINE,
    LOG,
    NEXT,
    OTHER,
    RECORD,
    ROTATED,
    TREE,
    TWO_OF_THREE,
    WITNESSES,
    Tree,
    body_of,
)
from tests.witnesses import cosigned

ROOT = Path(__file__).resolve().parents[2]
NOW = 1_795_467_600
KEY_EVENT = Tree(body_of(0), body_of(1, "key.enrolled", party="*", detail=RECORD)).receipt(1, 2)
Files = dict[str, bytes]


class Offline:
    """The opened file; what its browser complained of, and whatever it asked for beside the file itself."""

    def __init__(self, page: Page, address: str) -> None:
        """Open it."""
        self.page = page
        self.faults: list[str] = []
        page.on("console", lambda message: self.faults.append(message.text))
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("request", lambda request: self.faults.append(request.url) if request.url != address else None)
        page.goto(address)

    def check(self, files: Files, key: str = LOG.verifier.text(), *, confirmed: bool = True) -> dict[str, str]:
        """Load these files and check them; return the verdict of each, by its name."""
        self.page.reload()
        self.page.get_by_label("The log's key", exact=True).fill(key)
        self.page.get_by_role("checkbox").set_checked(confirmed)
        loaded = [FilePayload(name=name, mimeType="", buffer=data) for name, data in files.items()]
        self.page.get_by_label("Load files").set_input_files(loaded)
        expect(self.page.locator("[data-loaded] li")).to_have_count(len(files))
        self.page.get_by_role("button", name="Check", exact=True).click()
        expect(self.page.locator("[data-outcomes] section")).to_have_count(self.expected(files))
        found: dict[str, str] = self.page.evaluate(
            "() => Object.fromEntries([...document.querySelectorAll('[data-outcomes] section')]"
            ".map((each) => [each.querySelector('h2').textContent,"
            " each.querySelector('[data-verdict]').dataset.verdict]))"
        )
        return {name: verdict for name, verdict in found.items() if name in files or name == "The log's key"}

    @staticmethod
    def expected(files: Files) -> int:
        """Count the pieces that are examined by themselves: all but policies and changes of the key, and the key."""
        return 1 + sum(not name.startswith(("policy", "crossing")) for name in files)


@pytest.fixture
def saved(browser: Browser, tmp_path: Path) -> Iterator[Offline]:
    """The file, opened from disk in a browser without a network."""
    path = tmp_path / "verify.html"
    path.write_bytes(offline.read().data)
    context = browser.new_context(offline=True)
    context.set_default_timeout(10_000)
    found = Offline(context.new_page(), path.as_uri())
    yield found
    context.close()
    assert [] == found.faults


def test_everything_at_once(saved: Offline) -> None:
    """A key, its change, an enrolled key, a line, its receipt, a witnessed checkpoint, a proof: all hold, all green."""
    note = cosigned(TREE.checkpoint(5), *WITNESSES[:2], time=NOW)
    crossing = ROTATED.receipt(5, 6, LOG, NEXT)
    later = Tree(*TREE.bodies[:5], body_of(5, "key.enrolled", party="*", detail=RECORD)).receipt(5, 6)
    files = {"line": LINE, "receipt": cosigned_receipt(), "checkpoint": note, "policy": TWO_OF_THREE, "enrolled": later}
    found = saved.check(files)
    crossed = saved.check(
        {"crossing": crossing, "checkpoint": TREE.checkpoint(5), "update": ROTATED.add_checkpoint(5, 7, NEXT)}
    )

    assert {"verified"} == {*found.values()} == {*crossed.values()}
    assert 5 == len(found)


def cosigned_receipt() -> bytes:
    """Return the receipt of the line under a checkpoint that two witnesses cosigned."""
    return TREE.receipt(1, 13, checkpoint=cosigned(TREE.checkpoint(13), *WITNESSES[:2], time=NOW))


def test_unconfirmed_is_never_green(saved: Offline) -> None:
    """As long as nobody says where the key came from, what holds is neutral."""
    found = saved.check({"receipt": TREE.receipt(1, 13), "line": LINE, "enrolled": KEY_EVENT}, confirmed=False)

    assert {"unpinned"} == {*found.values()}
    assert 0 == saved.page.locator(".verdict.verified").count()


def test_no_key(saved: Offline) -> None:
    """Without a key nothing is checked, and it says what is missing."""
    saved.page.get_by_role("button", name="Check", exact=True).click()

    expect(saved.page.locator("[data-outcomes]")).to_contain_text("type the log's key first")


def test_tampered(saved: Offline) -> None:
    """A tampered line, receipt, checkpoint and proof are broken; what is beside them is not touched by it."""
    receipt, update = TREE.receipt(1, 13), TREE.add_checkpoint(6, 11)
    line = LINE[:-80] + bytes([LINE[-80] ^ 1]) + LINE[-79:]
    files = {
        "line": line,
        "another line": ACK_LINE,
        "receipt": receipt.replace(b"index 1\n", b"index 2\n"),
        "checkpoint": TREE.checkpoint(9).replace(b"\n9\n", b"\n8\n"),
        "known": TREE.checkpoint(6),
        "update": update.replace(b"\n\n", b"\nAAAA" + b"A" * 39 + b"=\n\n", 1),
        "enrolled": KEY_EVENT,
    }
    found = saved.check(files)

    assert {"line", "receipt", "checkpoint", "update"} == {name for name, is_ in found.items() if is_ == "broken"}
    assert ("verified", "unchecked") == (found["known"], found["another line"])


def test_receipt_for_another_line(saved: Offline) -> None:
    """A receipt beside a line that it is not about does not hold."""
    found = saved.check({"receipt": TREE.receipt(1, 13), "line": ACK_LINE})

    assert "broken" == found["receipt"]


def test_record_that_nobody_proved(saved: Offline) -> None:
    """A line by a key record without a receipt is never green."""
    found = saved.check({"line": LINE, "record": json.dumps(RECORD).encode()})

    assert ("unpinned", "unpinned") == (found["line"], found["record"])


def test_too_few_witnesses(saved: Offline) -> None:
    """A checkpoint that the policy's quorum did not cosign is not witnessed."""
    found = saved.check({"checkpoint": cosigned(TREE.checkpoint(5), WITNESSES[0], time=NOW), "policy": TWO_OF_THREE})

    assert "broken" == found["checkpoint"]


def test_evidence(saved: Offline) -> None:
    """The evidence that the Integrity page saves is judged: a fork is proven, a smaller log is a reason to ask."""

    def kept(known: bytes, shown: bytes) -> bytes:
        return json.dumps({"why": "FICTIONAL", "at": 1, "known": known.decode(), "shown": b64(shown)}).encode()

    fork = kept(TREE.checkpoint(6), FORKED.add_checkpoint(6, 11))
    rolled = kept(TREE.checkpoint(11), b"old 0\n\n" + TREE.checkpoint(6))
    found = saved.check({"fork": fork, "rolled back": rolled})

    assert ("broken", "unchecked") == (found["fork"], found["rolled back"])
    expect(saved.page.locator("[data-outcomes]")).to_contain_text("This proves it to everybody")


def test_other_key(saved: Offline) -> None:
    """By the key of another log nothing holds."""
    found = saved.check({"receipt": TREE.receipt(1, 13), "checkpoint": TREE.checkpoint(3)}, OTHER.verifier.text())

    assert ("broken", "broken") == (found["receipt"], found["checkpoint"])


def test_hostile_names(saved: Offline) -> None:
    """Markup in the name of a file, or in what it holds, is shown and does nothing."""
    name = "<img src=x onerror=alert(1)>.txt"
    evil = Tree(body_of(0, "view.read", party="<b>x</b>")).receipt(0, 1)
    saved.check({name: b"<script>alert(1)</script>", "receipt": evil})

    expect(saved.page.locator("[data-outcomes]")).to_contain_text(name)
    assert 0 == saved.page.locator("main img, main b").count()


def test_paste_by_keyboard(saved: Offline) -> None:
    """A receipt is pasted, added, checked, removed with the keyboard alone."""
    page = saved.page
    page.get_by_label("The log's key", exact=True).fill(LOG.verifier.text())
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.insert_text(TREE.receipt(1, 13).decode())
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("[data-loaded] li")).to_have_count(1)
    page.get_by_role("button", name="Check", exact=True).press("Enter")
    expect(page.locator("[data-outcomes] section")).to_have_count(2)
    verdicts = [each.get_attribute("data-verdict") for each in page.locator("[data-outcomes] [data-verdict]").all()]
    page.get_by_role("button", name="Remove").press("Enter")

    assert ["verified", "verified"] == verdicts
    expect(page.locator("[data-loaded] li")).to_have_count(0)


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_accessible(size: str, scheme: Any, saved: Offline) -> None:
    """Axe finds nothing with outcomes of every colour shown, and nothing is wider than the window."""
    width, height = SIZES[size]
    saved.page.set_viewport_size({"width": width, "height": height})
    saved.page.emulate_media(color_scheme=scheme)
    saved.check({"line": LINE, "receipt": TREE.receipt(1, 13), "checkpoint": TREE.checkpoint(5, OTHER)})

    assert ([], True) == (violations(saved.page), fits(saved.page))


def test_same_from_anywhere(console: Console) -> None:
    """What the hub gives is what the package makes without any hub, to the byte."""
    answer = console.http.get(f"{console.url}/console/verify.html", headers={"Sec-Fetch-Site": "none"})
    made = subprocess.run([sys.executable, "-m", "broker.web.console.offline"], capture_output=True, check=True).stdout

    assert made == answer.content
    assert 'attachment; filename="verify.html"' == answer.headers["content-disposition"]
    assert hashlib.sha256(made).hexdigest() == offline.read().sha256


def test_checks_are_those_of_the_console() -> None:
    """The file holds verify.js word for word but for the marks of a module, and nothing that reaches out."""
    page = offline.read().data.decode()
    checks = (ROOT / "broker/web/console/static/verify.js").read_text()

    assert re.sub(r"^export (?=async|class|const|function)", "", checks, flags=re.MULTILINE) in page
    assert [] == [
        word
        for word in ("fetch(", "http:", "https:", "XMLHttpRequest", "localStorage", "innerHTML", "<!--")
        if word in page
    ]
