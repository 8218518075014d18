"""The order `webhook` on paper: what an agency may order for itself, and what the log is told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lintas.errors import ForeignLine, KeyNotActive, MalformedPayload, NotAllowed, PartnerSuspended, Refusal
from lintas.header import ORDER
from lintas.line import Line
from lintas.strict import canonical

if TYPE_CHECKING:
    from tests.lintas.conftest import Ledger

AGENCY = "sg-fiu"
URL = "https://receiver.example/s3cr3t?key=s3cr3t"


def order(ledger: Ledger, party: str = AGENCY, *, url: str | None = URL, **members: Any) -> Line:
    """Sign the order of a webhook."""
    payload = {"act": "webhook", "subscription": "feed", "url": url}
    return ledger.line(ORDER, party, canonical(payload | members.pop("payload", {})), **members)


@pytest.mark.parametrize(("url", "host"), [(URL, "receiver.example"), (None, None)])
def test_effect(ledger: Ledger, url: str | None, host: str | None) -> None:
    """An agency's order causes its own event with subscription and host, then the record of the order."""
    effect, record = ledger.decide(order(ledger, url=url))

    assert ("webhook.changed", AGENCY, {"subscription": "feed", "host": host}) == (
        effect.kind,
        effect.party,
        effect.detail,
    )
    assert ("order.accepted", AGENCY, {"act": "webhook"}) == (record.kind, record.party, record.detail)


def test_directory_is_the_same(ledger: Ledger) -> None:
    """A webhook changes nothing that partners can see."""
    before = ledger.directory

    ledger.post(order(ledger))

    assert before == ledger.directory


def test_not_by_two(ledger: Ledger) -> None:
    """Nobody countersigns what an agency orders for itself."""
    with pytest.raises(NotAllowed):
        ledger.decide(ledger.line(ORDER, "admin/one", order(ledger).raw))


def test_not_by_an_administrator(ledger: Ledger) -> None:
    """An administrator has no webhooks."""
    with pytest.raises(NotAllowed):
        ledger.decide(order(ledger, "admin/one"))


def test_not_while_suspended(ledger: Ledger) -> None:
    """A suspended agency orders nothing."""
    ledger.post(ledger.order("suspend", agency=AGENCY, reason="audit"))

    with pytest.raises(PartnerSuspended):
        ledger.decide(order(ledger))


def test_not_with_a_revoked_key(ledger: Ledger) -> None:
    """A revoked key orders nothing."""
    ledger.post(ledger.revocation(AGENCY))

    with pytest.raises(KeyNotActive):
        ledger.decide(order(ledger))


def test_not_for_another_hub(ledger: Ledger) -> None:
    """An order for another hub does nothing here."""
    with pytest.raises(ForeignLine):
        ledger.decide(order(ledger, aud="other.example-abcd1234"))


@pytest.mark.parametrize(
    "payload", [{"more": 1}, {"url": ""}, {"url": 7}, {"url": "https://a@b.example/"}, {"subscription": "a/b"}]
)
def test_malformed(ledger: Ledger, payload: dict[str, Any]) -> None:
    """The payload is a closed set of valid members."""
    with pytest.raises(MalformedPayload):
        ledger.decide(order(ledger, payload=payload))


def test_errors_do_not_show_the_address(ledger: Ledger) -> None:
    """A refusal does not repeat an address: it may be logged where its secret must not be."""
    with pytest.raises(Refusal) as refusal:
        ledger.decide(order(ledger, url="ftp://receiver.example/s3cr3t"))

    assert "s3cr3t" not in str(refusal.value)
