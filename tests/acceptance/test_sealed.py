"""Sealed bulletins from the command line: three agencies, a hub, a lost key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner

from clients.cli import cli as agency_command
from lintas.client import Client
from lintas.decide import OPENINGS_A_DAY_MAX
from lintas.errors import MalformedPayload, NotFound, SealedToOldKey, TlpAboveCeiling
from lintas.header import KEY
from lintas.keys import Identity, fresh_opening, load_identity, save_identity
from lintas.line import parse
from lintas.opening import OpeningKey
from lintas.strict import b64u, canonical
from lintas.wire import post_key
from tests.acceptance.test_slice import ADMIN, DRAFT, ISSUER, OUTSIDER, READER, WHY, Region, new_region

DAY = 86_400
TITLE = "Fictional: a source is in danger"
PAYLOAD: dict[str, Any] = {
    "title": TITLE,
    "summary": "FICTIONAL. Do not approach.",
    "named_recipients": [f"{READER}/duty-officer"],
    "marking_reason": "FICTIONAL. Only one person could have told this.",
}


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    """A new hub with three agencies, of which two may publish RED."""
    with new_region(tmp_path_factory.mktemp("region"), ISSUER, READER, OUTSIDER) as found:
        for agency in (ISSUER, READER):
            found.lintas(ADMIN, "admin", "ceiling", agency, "RED")
        yield found


def publish(region: Region, **changes: Any) -> str:
    """Publish RED from issuer to reader; return the id."""
    payload = PAYLOAD | {"case_ref": b64u(fresh_opening().seed)[:20]}
    return region.publish(ISSUER, **({"tlp": "TLP:RED", "payload": payload} | changes))


def passphrase(region: Region) -> bytes:
    """Return the passphrase that opens every identity."""
    return (region.folder / "hub" / "passphrase").read_bytes().strip()


def identity(region: Region, party: str) -> Identity:
    """Return the identity of a party as its file has it now."""
    return load_identity(region.identity(party), passphrase(region))


def lose_keys(region: Region, party: str) -> None:
    """Lose every opening key of a party."""
    save_identity(region.identity(party), replace(identity(region, party), openings=()), passphrase(region))


def tell(region: Region, party: str, life_s: int) -> OpeningKey:
    """Tell an opening key that lives only so long, its seed in the identity file."""
    key, found = fresh_opening(), identity(region, party)
    save_identity(region.identity(party), replace(found, openings=(*found.openings, key)), passphrase(region))
    with Client.open(region.identity(party), passphrase(region), hub=region.url) as client:
        members = {"act": "opening", "public": b64u(key.public), "not_after": client.session.now() + life_s}
        line = client.session.sign_line(KEY, canonical(members))
        client.run(post_key(client.session, line))
    return key


def current_kid(region: Region, agency: str) -> str:
    """Return the kid of an agency's current opening key, as the issuer proves it."""
    with Client.open(region.identity(ISSUER), passphrase(region), hub=region.url) as client:
        client.sync()
        record = client.directory.opening_key(agency, client.session.now())
        assert record is not None
        return record.kid


def test_red(region: Region) -> None:
    """RED is sealed without being told to, read by whom it names, and shown as sealed; nobody else finds it."""
    line_id = publish(region)

    shown = region.lintas(READER, "show", line_id, *WHY)
    [row] = [row for row in region.follow(READER) if row["id"] == line_id]

    assert (True, None, TITLE) == (row["sealed"], row["unopened"], row["payload"]["title"])
    assert "[sealed]" in shown
    assert [text for text in PAYLOAD["named_recipients"] if text not in shown] == []
    assert PAYLOAD["marking_reason"] in shown
    assert TITLE not in json.dumps({name: value for name, value in row.items() if name != "payload"})
    with pytest.raises(NotFound):
        region.lintas(OUTSIDER, "show", line_id, *WHY)


def test_issuer_reads_its_own(region: Region) -> None:
    """The originator opens its own copy."""
    assert TITLE in region.lintas(ISSUER, "show", publish(region))


def test_red_above_the_ceiling(region: Region) -> None:
    """Sealing lifts no ceiling."""
    payload = PAYLOAD | {"named_recipients": [f"{READER}/duty-officer"]}

    with pytest.raises(TlpAboveCeiling):
        region.publish(OUTSIDER, tlp="RED", release_to=[READER], payload=payload)


def test_sealed_on_wish(region: Region) -> None:
    """What is not RED is sealed if the draft says so."""
    line_id = region.publish(ISSUER, seal=True)

    assert "[sealed]" in region.lintas(READER, "show", line_id, *WHY)
    line = json.loads(region.lintas(READER, "show", line_id, "--json", *WHY))["line"]
    assert "hpke" == parse(line.encode()).header.enc


def test_partial_recall_goes_clear(region: Region) -> None:
    """A recall of single indicators cannot be sealed: the hub would withdraw the whole."""
    line_id = region.publish(ISSUER, seal=True)
    indicators = [{"type": "ip", "value": "203.0.113.77", "role": "withdrawn"}]
    content = {"title": "Recall", "summary": "FICTIONAL.", "reason": "false-positive", "indicators": indicators}

    with pytest.raises(MalformedPayload):
        region.publish(ISSUER, kind="recall", refs=[f"recalls:{line_id}"], payload=content, seal=True)


def test_lost_key(region: Region) -> None:
    """A reader that lost its key is told what to do, and after renewal and resealing reads it under its new id."""
    line_id = publish(region)
    lose_keys(region, READER)
    with pytest.raises(SealedToOldKey, match="reseal"):
        region.lintas(READER, "show", line_id, *WHY)
    [lost] = [row for row in region.follow(READER) if row["id"] == line_id]
    feed = region.lintas(READER, "follow", "--once", "--from-start")
    region.lintas(READER, "rotate", "--opening")

    answer = region.lintas(ISSUER, "reseal", line_id, "--to", READER)

    assert (None, "sealed-to-old-key") == (lost["payload"], lost["unopened"]["code"])
    assert "not opened" in feed
    new_id = answer.split()[0]
    assert TITLE in region.lintas(READER, "show", new_id, *WHY)
    [old] = [row for row in region.follow(READER) if row["id"] == line_id]
    assert ("superseded", new_id) == (old["state"], old["by"])


def test_show_in_json_tells_why(region: Region) -> None:
    """A script gets the reason with the verified header."""
    line_id = publish(region)
    kept = identity(region, READER)
    lose_keys(region, READER)

    row = json.loads(region.lintas(READER, "show", line_id, "--json", *WHY))

    save_identity(region.identity(READER), kept, passphrase(region))
    assert ("sealed-to-old-key", ISSUER, True) == (row["unopened"]["code"], row["issuer"], row["verified"])


def test_renewal_alone(region: Region) -> None:
    """`rotate --opening` tells a new key and keeps the old one, which still opens what was sealed to it."""
    line_id, before = publish(region), identity(region, READER).openings

    region.lintas(READER, "rotate", "--opening")

    after = identity(region, READER).openings
    assert before == after[:-1]
    assert after[-1].kid == current_kid(region, READER)
    assert TITLE in region.lintas(READER, "show", line_id, *WHY)


def test_rotation_renews_too(region: Region) -> None:
    """`rotate` tells an opening key with the new signing key; both count once it is approved, and both are kept."""
    before = current_kid(region, OUTSIDER)
    fingerprint = region.lintas(OUTSIDER, "rotate").split()[2]
    waiting = current_kid(region, OUTSIDER)
    region.lintas(ADMIN, "admin", "approve", OUTSIDER, fingerprint)
    region.lintas(OUTSIDER, "rotate")

    found = identity(region, OUTSIDER)
    assert (before, found.openings[-1].kid) == (waiting, current_kid(region, OUTSIDER))
    assert (fingerprint, None) == (found.key.kid, found.next_key)
    assert found.openings[-1].kid in region.lintas(ISSUER, "keys", "--party", OUTSIDER)


def test_administrator_has_no_opening_key(region: Region) -> None:
    """An administrator rotates its signing key alone."""
    region.lintas(ADMIN, "rotate")

    assert () == identity(region, ADMIN).openings


@pytest.mark.parametrize("command", [("follow", "--once"), ("publish", "--yes", "-")])
def test_renewed_in_time(region: Region, command: tuple[str, ...]) -> None:
    """An opening key with less than two weeks left is renewed by the way, before it is needed."""
    short = tell(region, ISSUER, 13 * DAY)
    region.lintas(ISSUER, *command, text=json.dumps(DRAFT | {"payload": DRAFT["payload"] | {"case_ref": short.kid}}))

    kid = current_kid(region, ISSUER)

    assert kid != short.kid
    assert kid == identity(region, ISSUER).openings[-1].kid
    assert short in identity(region, ISSUER).openings


def test_renewal_that_is_refused(region: Region) -> None:
    """What stands in the way of a renewal is said, and the command goes on."""
    region.join("vn-police")
    for _ in range(OPENINGS_A_DAY_MAX - 1):
        tell(region, "vn-police", DAY)
    environment = {
        "LINTAS_IDENTITY": str(region.identity("vn-police")),
        "LINTAS_PASSPHRASE_FILE": str(region.folder / "hub" / "passphrase"),
        "LINTAS_HUB": region.url,
    }
    before = identity(region, "vn-police").openings

    result = CliRunner().invoke(agency_command, ["follow", "--once"], env=environment)

    assert (0, True) == (result.exit_code, "quota-exceeded" in result.stderr)
    assert before == identity(region, "vn-police").openings[:-1]
