"""The Integrity page in a real browser: what the hub shows is held to a pinned key and to what was seen before."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Page, Route, expect

from broker import keyfile
from broker.store import log
from broker.store.engine import Connection
from lintas.checkpoint import Checkpoint, format_checkpoint, parse_add_checkpoint
from lintas.evidence import Conflict, judge_conflict
from lintas.note import parse_vkey, sign_note, unb64
from tests.console.conftest import LOOKS, REGISTRAR, Console, Pages, fits, violations
from tests.vectors.make import FILES, OTHER

ROOT = Path(__file__).resolve().parents[2]
AGENCY = "my-police"
PAGE = "/console/integrity"
DAY = 86_400


@pytest.fixture
def page(console: Console, pages: Pages) -> Page:
    """The Integrity page as an administrator sees it first, nothing pinned."""
    found = pages.signed_in(REGISTRAR)
    found.goto(PAGE)
    return found


def outcome(page: Page, verdict: str) -> None:
    """Wait for the outcome of the check of the log."""
    expect(page.locator("[data-outcome]")).to_have_attribute("data-verdict", verdict)


def pin(page: Page, console: Console) -> None:
    """Pin the log's key as from an invitation; the check holds."""
    page.get_by_label("Pin the log's key").fill(console.hub.signer.verifier.text())
    page.get_by_role("button", name="Pin and check").click()
    outcome(page, "verified")


def read(console: Console, job: Callable[[Connection], Any]) -> Any:
    """Read in the hub's database."""
    with console.hub.store.read() as conn:
        return job(conn)


def replace_answer(page: Page, pattern: str, change: Callable[[bytes], bytes]) -> None:
    """Let a hostile hub alter its answers at this address."""

    def alter(route: Route) -> None:
        answer = route.fetch(headers={**route.request.headers, "sec-fetch-site": "same-origin"})
        route.fulfill(response=answer, body=change(answer.body()))

    page.route(re.compile(pattern), alter)


@pytest.mark.parametrize("name", FILES)
def test_vectors(name: str, console: Console, pages: Pages) -> None:
    """verify.js takes and refuses in this browser what the shared vectors say."""
    runner = (ROOT / "tests/independent/vectors.mjs").read_text().replace("export async", "async")
    file = json.loads((ROOT / f"tests/vectors/{name}.json").read_text())
    page = pages.new()
    page.goto("/console/static/icon.svg")

    script = (
        f"async (file) => {{ {runner}; "
        "return JSON.stringify(await outcomesOf(await import('/console/static/verify.js'), JSON.parse(file))); }"
    )
    found = json.loads(page.evaluate(script, json.dumps(file)))

    wanted = [{"gives": each["gives"]} if each["holds"] else "refused" for each in file["cases"]]
    assert wanted == ["refused" if "fault" in each else each for each in found]


def test_unpinned_is_never_green(page: Page) -> None:
    """By a key that the hub itself shows everything may hold, and still nothing turns green."""
    outcome(page, "unpinned")

    expect(page.locator("[data-outcome]")).to_contain_text("not pinned")
    assert 0 == page.locator(".verdict.verified").count()


def test_pinned_key_verifies(page: Page, console: Console) -> None:
    """With the key from the invitation the checkpoint holds; at the next visit it extends what was seen."""
    pin(page, console)
    page.reload()
    outcome(page, "verified")

    expect(page.locator("[data-outcome]")).to_contain_text("It extends what this browser saw before")


def test_another_key_alarms(page: Page) -> None:
    """A log that the pinned key did not sign is an alarm, and stays one."""
    page.get_by_label("Pin the log's key").fill(OTHER.verifier.text())
    page.get_by_role("button", name="Pin and check").click()
    outcome(page, "broken")

    expect(page.locator("[data-evidence]")).to_be_visible()


def test_mistyped_key_is_refused(page: Page, console: Console) -> None:
    """A key with one letter changed is not pinned; the field says why and has the focus."""
    field = page.get_by_label("Pin the log's key")
    field.fill(console.hub.signer.verifier.text().replace("+", "x+", 1))
    page.get_by_role("button", name="Pin and check").click()

    expect(page.locator("[data-pin-fault]")).to_contain_text("mistyped")
    expect(field).to_be_focused()


def test_rolled_back_hub_alarms(page: Page, console: Console) -> None:
    """A hub that shows less than this browser saw is caught, with the evidence kept and the seal red."""
    _, older = read(console, log.newest_checkpoint)
    pin(page, console)
    page.route(
        re.compile("/update"),
        lambda route: (
            route.fulfill(status=404) if "old=0" not in route.request.url else route.fulfill(body=b"old 0\n\n" + older)
        ),
    )
    page.get_by_role("button", name="Check again").click()
    outcome(page, "broken")

    expect(page.locator("[data-outcome]")).to_contain_text("rolled back")
    expect(page.locator("[data-evidence]")).to_be_visible()
    assert "broken" == page.evaluate("async () => (await import('/console/static/integrity.js')).sealState().state")


def test_evidence_lasts_until_forgotten(page: Page, console: Console) -> None:
    """After an alarm a good check does not turn the seal green again; forgetting by hand does."""
    test_rolled_back_hub_alarms(page, console)
    page.unroute(re.compile("/update"))
    page.get_by_role("button", name="Check again").click()
    outcome(page, "verified")
    seal = "async () => (await import('/console/static/integrity.js')).sealState().state"
    before = page.evaluate(seal)
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Forget it").click()

    assert ("broken", "verified") == (before, page.evaluate(seal))


def test_fork_alarms(page: Page, console: Console, tmp_path: Path) -> None:
    """A second history signed with the log's own key is caught; the saved evidence proves it to whoever has the key."""
    pin(page, console)
    key = keyfile.read_log_keys(console.hub.settings.log_key_file)[-1]

    def fork(route: Route) -> None:
        size = int(route.request.url.rpartition("=")[2])
        note = sign_note(format_checkpoint(Checkpoint(key.name, size, bytes(32))), key)
        route.fulfill(body=f"old {size}\n\n".encode() + note)

    page.route(re.compile("/update"), fork)
    page.get_by_role("button", name="Check again").click()
    outcome(page, "broken")
    with page.expect_download() as download:
        page.get_by_role("link", name="Save the evidence").click()
    download.value.save_as(tmp_path / "evidence.json")

    kept = json.loads((tmp_path / "evidence.json").read_text())
    shown = unb64(kept["shown"])
    conflict = Conflict(kept["known"].encode(), parse_add_checkpoint(shown)[2], shown)
    assert "Two roots of one size: the log has forked." == kept["why"]
    assert judge_conflict(conflict, *map(parse_vkey, kept["keys"])).is_proven


@pytest.mark.parametrize("line", [1, -1])
def test_forged_proof_alarms(page: Page, console: Console, line: int) -> None:
    """A proof that does not lead from what was seen is an alarm, as is a checkpoint with an altered size."""
    pin(page, console)
    console.publish(AGENCY, ["sg-fiu"])

    def forge(body: bytes) -> bytes:
        head, note = body.split(b"\n\n", 1)
        if line < 0:
            origin, size, rest = note.split(b"\n", 2)
            return head + b"\n\n" + b"\n".join([origin, b"%d" % (int(size) + 1), rest])
        rows = head.split(b"\n")
        rows[1] = (b"B" if rows[1][:1] == b"A" else b"A") + rows[1][1:]
        return b"\n".join(rows) + b"\n\n" + note

    replace_answer(page, "/update", forge)
    page.get_by_role("button", name="Check again").click()

    outcome(page, "broken")


def test_silent_hub_is_neutral(page: Page, console: Console) -> None:
    """Where the hub gives no proof, nothing is green and nothing is an alarm."""
    pin(page, console)
    page.route(re.compile("/update"), lambda route: route.fulfill(status=403))
    page.get_by_role("button", name="Check again").click()

    outcome(page, "unchecked")
    expect(page.locator("[data-evidence]")).to_be_hidden()


def test_seal_fades(page: Page, console: Console) -> None:
    """The seal is neutral before a key is pinned, green after a check that held, neutral again some minutes later."""
    outcome(page, "unpinned")
    expect(page.locator("[data-seal]")).to_have_attribute("data-state", "unpinned")
    pin(page, console)
    expect(page.locator("[data-seal]")).to_have_attribute("data-state", "verified")
    expect(page.locator("[data-seal]")).to_contain_text("UTC")
    seal = "async (ms) => (await import('/console/static/integrity.js')).sealState(Date.now() + ms).state"

    assert ["verified", "stale"] == [page.evaluate(seal, ms) for ms in (9 * 60_000, 11 * 60_000)]


def test_seal_looks_by_itself_where_it_may(page: Page, console: Console) -> None:
    """A seal with `data-auto` makes a check where the last one is missing; one without shows that there is none."""
    pin(page, console)
    script = """async (isAuto) => {
        const { pinned, showSeal } = await import('/console/static/integrity.js');
        localStorage.removeItem('lintas:result:' + pinned());
        const seal = document.querySelector('[data-seal]').cloneNode(true);
        seal.id = isAuto ? 'auto' : 'still';
        if (isAuto) seal.dataset.auto = '';
        document.getElementById('main').append(seal);
        showSeal(seal);
        return seal.dataset.state;
    }"""
    states = [page.evaluate(script, is_auto) for is_auto in (False, True)]

    assert ["unchecked", "unchecked"] == states
    expect(page.locator("#auto")).to_have_attribute("data-state", "verified")


def rotate(console: Console) -> None:
    """Give the log another key, and let the overlap end."""
    key = keyfile.add_log_key(console.hub.settings.log_key_file).verifier
    console.order("log-key", log_key=key.text(), overlap_s=DAY)
    console.clock.advance(2 * DAY)
    console.publish(AGENCY, ["sg-fiu"])


def test_rotation_is_crossed_not_pinned(page: Page, console: Console) -> None:
    """A key that followed the pinned one is followed by its announcement, but green only once it is pinned itself."""
    pin(page, console)
    rotate(console)
    page.goto(console.link(REGISTRAR))
    page.locator("main button").click()
    page.goto(PAGE)
    outcome(page, "unpinned")
    expect(page.locator("[data-outcome]")).to_contain_text("It extends what this browser saw before")
    page.get_by_role("button", name="Pin another key").click()
    pin(page, console)

    expect(page.locator("[data-outcome]")).to_contain_text("It extends what this browser saw before")


def test_entry_checks(page: Page, console: Console) -> None:
    """An entry is proven by the pinned key; the button of the page does it, and is reached by keyboard alone."""
    pin(page, console)
    page.locator("#seq").fill("1")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Check in this browser").focus()
    page.keyboard.press("Enter")

    expect(page.locator("#entry-outcome")).to_have_attribute("data-verdict", "verified")
    expect(page.locator("#entry-outcome")).to_contain_text("The entry is in that log")


def test_entry_is_not_green_unpinned(page: Page) -> None:
    """The same entry by the key that the hub shows is not green."""
    page.goto(f"{PAGE}?seq=1")
    page.get_by_role("button", name="Check in this browser").click()

    expect(page.locator("#entry-outcome")).to_have_attribute("data-verdict", "unpinned")


def test_tampered_proof_is_broken(page: Page, console: Console) -> None:
    """A receipt with one hash altered on its way is shown as broken, and says which check failed."""
    pin(page, console)
    page.goto(f"{PAGE}?seq=1")

    def tamper(body: bytes) -> bytes:
        rows = body.split(b"\n")
        rows[3] = (b"B" if rows[3][:1] == b"A" else b"A") + rows[3][1:]
        return b"\n".join(rows)

    replace_answer(page, "/proof/1$", tamper)
    page.get_by_role("button", name="Check in this browser").click()

    expect(page.locator("#entry-outcome")).to_have_attribute("data-verdict", "broken")
    expect(page.locator(".step.broken")).to_contain_text("leads to another root")


def test_page_that_shows_other_bytes(page: Page, console: Console) -> None:
    """`attach` holds the bytes that a page shows to those of the receipt."""
    pin(page, console)
    script = """async () => {
        const { attach } = await import('/console/static/integrity.js');
        const shown = document.createElement('pre'), button = document.createElement('button');
        shown.id = 'shown'; shown.textContent = '{"forged":1}'; button.textContent = 'Check these bytes';
        const data = {receipt: '/console/integrity/proof/1', body: '#shown', into: '[data-files-outcome]'};
        Object.assign(button.dataset, data);
        document.getElementById('main').append(shown, button); attach(button);
    }"""
    page.evaluate(script)
    page.get_by_role("button", name="Check these bytes").click()

    expect(page.locator("[data-files-outcome]")).to_contain_text("other bytes than the log holds")


def test_audit_log_checks_an_entry(page: Page, console: Console) -> None:
    """The button beside an entry of the audit log checks it in the drawer, and that the shown bytes are proven."""
    pin(page, console)
    page.goto("/console/audit?kind=key.enrolled")
    page.locator("a[data-row]").first.click()
    page.locator("[data-entry]").get_by_role("button", name="Check in this browser").click()

    expect(page.locator("#entry-check")).to_have_attribute("data-verdict", "verified")
    expect(page.locator("#entry-check")).to_contain_text("It is the event that this page shows")
    assert ([], True) == (violations(page), fits(page))


def test_audit_log_without_a_pin(page: Page) -> None:
    """Without a pinned key the audit log checks nothing and says where to pin one."""
    page.goto("/console/audit/1")
    page.get_by_role("button", name="Check in this browser").click()

    expect(page.locator("#entry-check")).to_have_attribute("data-verdict", "unchecked")
    expect(page.locator("#entry-check")).to_contain_text("Pin it on the page Integrity")


def test_saved_receipt(page: Page, console: Console, tmp_path: Path) -> None:
    """A receipt that was saved is checked with its line; with another line it does not hold."""
    pin(page, console)
    line, other = (console.publish(AGENCY, ["sg-fiu"]) for _ in range(2))
    receipt = console.http.get(
        f"{console.url}/v1/bulletins/{line.id}/receipt",
        headers={"Authorization": f"Bearer {console.session(AGENCY).token()}"},
    )
    assert 200 == receipt.status_code
    verdicts = []
    for each in (line, other):
        page.get_by_label("Receipt (.tlog-proof)").set_input_files(
            {"name": "r", "mimeType": "", "buffer": receipt.content}
        )
        page.get_by_label("Its line").set_input_files({"name": "l", "mimeType": "", "buffer": each.raw + b"\n"})
        page.get_by_role("button", name="Check", exact=True).click()
        expect(page.locator("[data-files-outcome]")).to_contain_text(line.id if each is line else "another line")
        verdicts.append(page.locator("[data-files-outcome]").get_attribute("data-verdict"))

    assert ["verified", "broken"] == verdicts


def test_officer_takes_no_foreign_event(console: Console, pages: Pages) -> None:
    """An officer gets the receipt of an event of its agency; of another's the bare proof, without a word of it."""
    console.publish("th-cert", ["sg-fiu"])
    own = console.publish(AGENCY, ["sg-fiu"])
    seqs = {row.party: row.seq for row in search(console, "bulletin.accepted")}
    page = pages.signed_in(AGENCY)

    mine, foreign = (
        page.request.get(f"{PAGE}/proof/{seqs[party]}", headers={"Sec-Fetch-Site": "same-origin"}).text()
        for party in (AGENCY, "th-cert")
    )

    assert own.id in read(console, lambda conn: log.event_at(conn, seqs[AGENCY])).body.decode()
    assert (True, False) == ("\nextra " in mine, "\nextra " in foreign)


def search(console: Console, kind: str) -> list[log.EventRow]:
    """Return the newest events of a kind, oldest first."""
    rows = read(console, lambda conn: log.search(conn, log.EventFilter(kinds=frozenset({kind})), before=None, limit=50))
    return list(reversed(rows))


def test_views_are_recorded(page: Page, console: Console) -> None:
    """The page, each update and each proof is an event of whoever took it."""
    outcome(page, "unpinned")
    page.goto(f"{PAGE}?seq=3")
    outcome(page, "unpinned")
    with page.expect_download():
        page.get_by_role("link", name="Receipt").click()

    found = [(each["view"], each.get("asked")) for each in console.events(party=REGISTRAR, kind="admin.viewed")]
    assert [("proof", {"entry": "3"}), ("update", {"old": "0"}), ("integrity", {"seq": "3"})] == found[:3]


def test_strangers_get_nothing(console: Console, pages: Pages) -> None:
    """Without a session there is no page and no proof; verify.html is for everybody."""
    page = pages.new()
    found = [
        page.request.get(path, headers={"Sec-Fetch-Site": "same-origin"}).status
        for path in (PAGE, f"{PAGE}/update?old=0", f"{PAGE}/proof/1", f"{PAGE}/key/00000000", "/console/verify.html")
    ]

    assert [401, 401, 401, 401, 200] == found


@pytest.mark.parametrize("asked", ["x", "-1", "9" * 17])
def test_odd_index(asked: str, console: Console, pages: Pages) -> None:
    """An index that is none is refused with a page; one beyond the log is told."""
    page = pages.signed_in(REGISTRAR)
    answer = page.goto(f"{PAGE}?seq={asked}")
    assert answer is not None
    page.goto(f"{PAGE}?seq={'9' * 15}")

    assert 400 == answer.status
    expect(page.locator("main")).to_contain_text("The log has")


def test_without_script(console: Console, pages: Pages) -> None:
    """Without script the page shows checkpoint, keys and the proof of an entry, and says that nothing is checked."""
    page = pages.signed_in(REGISTRAR, script=False)
    page.goto(f"{PAGE}?seq=1")

    expect(page.locator("main")).to_contain_text("nothing is checked here")
    expect(page.get_by_role("link", name="Receipt")).to_be_visible()
    expect(page.get_by_role("button", name="Check in this browser")).to_be_hidden()


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_accessible(size: str, scheme: Literal["light", "dark"], console: Console, pages: Pages) -> None:
    """Axe finds nothing, and nothing is wider than the window: pinned and checked, with an entry."""
    page = pages.signed_in(REGISTRAR, size=size, scheme=scheme)
    page.goto(f"{PAGE}?seq=1")
    outcome(page, "unpinned")
    before = violations(page) if size == "phone" else []
    pin(page, console)
    page.get_by_role("button", name="Check in this browser").click()
    expect(page.locator("#entry-outcome")).to_have_attribute("data-verdict", "verified")

    assert ([], [], True) == (before, violations(page), fits(page))
