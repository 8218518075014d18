"""The pages of partners, keys, approvals, and of the system."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from broker import exercise
from broker.hub import open_hub
from broker.web.console.partners import countersign
from broker.web.console.system import SHOWN, digest_of, settings_of
from clients.cli import cli
from lintas.client import Client
from lintas.header import ORDER
from lintas.keys import Identity, SigningKey, save_identity
from lintas.state import State
from tests.conftest import ShiftedClock, served
from tests.console.conftest import AUDITOR, REGISTRAR, Console
from tests.console.reading import Reading, sign_in
from tests.databases import Databases

AGENCY, OTHER = "my-police", "sg-fiu"


@pytest.fixture(scope="module")
def operator(console: Console) -> Reading:
    """An administrator who signed in as operator. A key has one session: no test signs it in again."""
    return sign_in(console, AUDITOR, "operator")


@pytest.fixture(scope="module")
def officer(console: Console) -> Reading:
    """An officer of an agency."""
    return sign_in(console, AGENCY)


def waiting_order(console: Console, act: str, **arguments: object) -> str:
    """Give an order that waits for a second administrator; return its id."""
    line = console.session(REGISTRAR).sign_order(act, arguments)
    console.post(line, ORDER, "/v1/orders")
    return line.id


def run(console: Console, command: str, party: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a command as the page has it, as this party; return what it says."""
    identity, phrase = folder / "identity.json", folder / "passphrase"
    save_identity(identity, console.identity_of(party).with_url(console.url), b"a test")
    phrase.write_bytes(b"a test")
    phrase.chmod(0o600)
    monkeypatch.setenv("LINTAS_IDENTITY", str(identity))
    monkeypatch.setenv("LINTAS_PASSPHRASE_FILE", str(phrase))
    program, *arguments = shlex.split(command)
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False, standalone_mode=False)
    assert ("lintas", 0) == (program, done.exit_code)
    return done.output


def test_command_of_an_order_is_exact(
    console: Console, operator: Reading, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command beside a waiting order, run as it stands, signs that order; then nothing waits."""
    order = waiting_order(console, "ceiling", agency="vn-police", tlp="GREEN")
    page = operator.words("/console/partners")
    found = re.search(rf"lintas admin countersign {re.escape(order)}", page)
    assert found is not None

    said = run(console, found[0] + " --yes", AUDITOR, tmp_path, monkeypatch)

    assert "done at index" in said
    assert "GREEN" == console.hub.directory.grant("vn-police").ceiling
    assert order not in operator.words("/console/partners")


def test_reviewer_sees_no_command(console: Console, operator: Reading) -> None:
    """A reviewer sees what waits, an operator also the command."""
    order = waiting_order(console, "ceiling", agency="th-cert", tlp="AMBER")
    page = sign_in(console, REGISTRAR, "reviewer").words("/console/partners")

    assert "order: ceiling" in page
    assert order not in page
    assert order in operator.words("/console/partners")
    assert order in operator.words("/console/partners/th-cert")


def test_key_to_approve(console: Console, operator: Reading) -> None:
    """A pending key stands with its whole fingerprint, and the command that approves exactly it."""
    invited = console.http.post(
        f"{console.url}/v1/orders",
        content=console.session(REGISTRAR).sign_order("invite", {"agency": OTHER}).raw,
        headers={"Content-Type": f"application/{ORDER}"},
    ).json()
    hub = console.identity_of(OTHER).with_url(console.url).hub
    new = Identity(OTHER, SigningKey.generate(), hub)
    with Client(new, State(":memory:", log_key=hub.log_key), clock=console.clock) as client:
        client.enrol(invite=invited["invite"], code=invited["code"], holder="second desk")

    page = operator.words("/console/partners")

    assert f"lintas admin approve {OTHER} {new.key.kid}" in page
    assert "second desk" in operator.words(f"/console/partners/{OTHER}")


def test_invitation_is_written_to_a_file() -> None:
    """An invitation's command says where its code goes: the hub gives it once."""
    assert "lintas admin countersign ID --out invite.json" == countersign("ID", {"act": "invite"})
    assert "lintas admin countersign ID" == countersign("ID", {"act": "grant"})


def test_one_partner_shows_its_keys(console: Console, operator: Reading) -> None:
    """A partner's page has fingerprint, window, first and last use of each key, grant, opening key."""
    console.publish("tl-customs", [AGENCY])
    page = operator.words("/console/partners/tl-customs")

    kid = console.identity_of("tl-customs").key.kid
    assert kid in page
    assert re.search(r"Signed first \d+ \w+ [\d:]+ , last", page)
    assert "Publishes everything" in page
    assert "Up to TLP:RED" in page


def test_revoked_key_says_why(console: Console, operator: Reading) -> None:
    """A revoked key stands with reason and log index."""
    kid = console.identity_of("id-police").key.kid
    now = console.session(REGISTRAR).now()
    console.order("revoke", agency="id-police", kid=kid, reason="keyCompromise", since=now - 60)

    page = operator.words("/console/partners/id-police")

    assert re.search(r"Revoked keyCompromise at log index \d", page)
    assert "no active key" in operator.words("/console/partners")


def test_officer_sees_no_grant_of_others(officer: Reading) -> None:
    """An officer sees its own grant, webhooks and use; of others what every partner may know; no administrators."""
    own, others, listed = (officer.words(f"/console/partners{path}") for path in (f"/{AGENCY}", f"/{OTHER}", ""))

    assert "Publishes everything" in own
    assert "Publishes" not in others
    assert "Last seen" not in others
    assert "Signed first" not in others
    assert "Waiting for an administrator" not in listed
    assert "Administrators" not in listed


@pytest.mark.parametrize("path", ["/xx-none", "/admin/registrar", "/admin/none", "/None", "/%3Cb%3E"])
def test_partner_that_one_may_not_see(officer: Reading, path: str) -> None:
    """To officers administrators are like parties that do not exist."""
    assert 404 == officer.get(f"/console/partners{path}").status_code


def test_admin_sees_administrators(operator: Reading) -> None:
    """Administrators see each other's keys."""
    assert "Signing keys active" in operator.words("/console/partners/admin/registrar")


def test_two_person_rule_is_on(operator: Reading) -> None:
    """With two administrators nothing says that one person decides."""
    assert "One person decides" not in operator.words("/console/partners")
    assert "one person" not in operator.words("/console/")


@pytest.fixture
def alone(tmp_path: Path, databases: Databases, clock: ShiftedClock) -> Iterator[Console]:
    """A hub with one administrator."""
    settings = databases.settings(tmp_path / "alone")
    kept: list[Identity] = []
    exercise.create(settings, origin="alone.lintas.example", keep=kept.append)
    hub = open_hub(settings, clock)
    hub.start()
    with served(hub) as url:
        found = Console(hub, url, clock, lambda _party: kept[0])
        yield found
        found.close()
    hub.stop()


def test_one_person_decides_in_red(alone: Console) -> None:
    """With one administrator the overview and the partners' page say so as what is worst."""
    admin = sign_in(alone, REGISTRAR, "operator")

    assert '<h2 class="refused">' in admin.page("/console/partners")
    assert "One person decides" in admin.words("/console/partners")
    assert re.search(r'<li class="bad">\s*<span class="word">.*?one person', admin.page("/console/"), re.DOTALL)


def test_system_is_for_operators(console: Console, operator: Reading, officer: Reading) -> None:
    """The system page is for operators alone, and looking at it is an event."""
    assert 403 == officer.get("/console/system").status_code
    assert 403 == sign_in(console, REGISTRAR, "reviewer").get("/console/system").status_code
    page = operator.words("/console/system")

    assert "accepting and serving" in page
    assert "Schema 00" in page
    assert {"view": "system", "by": "console"} == console.events(kind="admin.viewed", party=AUDITOR)[0]


def test_settings_show_no_secret(console: Console, operator: Reading) -> None:
    """A setting that could hold a password, a path or an address is named with a digest; every one is there."""
    page = operator.page("/console/system")
    settings = console.hub.settings

    assert settings.database not in page
    assert str(settings.data) not in page
    assert not {"data", "database", "checkpoint", "metrics", "witnesses", "host"} & SHOWN
    for each in settings_of(settings, b"key"):
        assert each.name in page


def test_digest_tells_settings_apart(console: Console) -> None:
    """The digest of all settings is the same for the same ones, another for others or under another key."""
    one = settings_of(console.hub.settings, b"key")

    assert digest_of(one, b"key") == digest_of(settings_of(console.hub.settings, b"key"), b"key")
    assert digest_of(one, b"key") != digest_of(settings_of(console.hub.settings, b"other"), b"key")
