"""Tests of orders that an agency gives for itself: what the log tells of them, who may give them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lintas.decide import AGENCY_ACTS
from lintas.directory import CONTROL_KINDS, Change
from lintas.errors import InconsistentLog, KeyNotActive, LintasError, NotAllowed, PartnerSuspended, UnknownKey
from lintas.event import KINDS, US_PER_S, Event
from lintas.header import ORDER
from lintas.replay import Replay

if TYPE_CHECKING:
    from tests.lintas.conftest import Ledger

ID = "A" * 43
NOW = 1_795_467_600
VALUES = [{"type": "domain", "value": "lotustrade.example"}, {"type": "phone", "value": "+6542995883"}]
ORDERS: dict[str, dict[str, Any]] = {
    "interest": {"mode": "silent", "case_ref": "SIM-26-7", "until": NOW + 86_400, "indicators": VALUES},
    "interest-end": {"interest": ID},
    "watch": {"name": "case-26-7", "indicators": VALUES},
}
TOLD: dict[str, tuple[str, dict[str, Any]]] = {
    "interest": ("interest.registered", {"mode": "silent", "until": NOW + 86_400, "count": 2}),
    "interest-end": ("interest.ended", {"interest": ID}),
    "watch": ("watch.changed", {"name": "case-26-7", "count": 2}),
}


def test_table() -> None:
    """Every act of an agency is known here, causes an event; those on read tokens alone change a directory."""
    kinds = {kind for kind, _ in AGENCY_ACTS.values()}

    assert set(ORDERS) <= set(AGENCY_ACTS)
    assert {"accepted"} == {KINDS[kind] for kind in kinds}
    assert {"token.issued", "token.ended"} == CONTROL_KINDS & kinds


@pytest.mark.parametrize("act", ORDERS)
def test_effect(ledger: Ledger, act: str) -> None:
    """The effect is the agency's own event, without values or case, then the record of the order."""
    effect, accepted = ledger.decide(ledger.order(act, "sg-fiu", **ORDERS[act]))

    kind, detail = TOLD[act]
    assert Change(kind, "sg-fiu", detail) == effect
    assert Change("order.accepted", "sg-fiu", {"act": act}) == accepted


@pytest.mark.parametrize("act", ORDERS)
@pytest.mark.parametrize(
    ("by", "fault"),
    [
        (("admin/one",), NotAllowed),
        (("sg-fiu", "my-police"), NotAllowed),
        (("sg-fiu", "admin/one"), NotAllowed),
        (("id-police",), UnknownKey),
    ],
)
def test_who_may_not(ledger: Ledger, act: str, by: tuple[str, ...], fault: type[LintasError]) -> None:
    """No administrator, no second person and no stranger gives an agency's order."""
    with pytest.raises(fault):
        ledger.decide(ledger.order(act, *by, **ORDERS[act]))


@pytest.mark.parametrize("act", ORDERS)
def test_suspended(ledger: Ledger, act: str) -> None:
    """A suspended agency gives none."""
    ledger.post(ledger.order("suspend", agency="sg-fiu", reason="audit"))

    with pytest.raises(PartnerSuspended):
        ledger.decide(ledger.order(act, "sg-fiu", **ORDERS[act]))


def test_revoked(ledger: Ledger) -> None:
    """A revoked key gives none."""
    ledger.post(ledger.revocation("sg-fiu"))

    with pytest.raises(KeyNotActive):
        ledger.decide(ledger.order("watch", "sg-fiu", **ORDERS["watch"]))


@pytest.mark.parametrize("act", ORDERS)
def test_replay(ledger: Ledger, act: str) -> None:
    """The agency's client replays the record of its order from the line alone, and believes no other."""
    line = ledger.order(act, "sg-fiu", **ORDERS[act])
    before = Replay(ledger.directory, frozenset({"sg-fiu", "*"}))
    event = Event("order.accepted", NOW * US_PER_S, "sg-fiu", 9, line.id, {"act": act})

    after = before.step(event, seq=100, line=line)

    assert (ledger.directory, line.id, ()) == (after.directory, after.line_id, after.expected)
    forged = ledger.line(ORDER, "sg-fiu", line.payload, key="thief")
    with pytest.raises(InconsistentLog):
        before.step(Event(event.kind, event.time, event.party, 9, forged.id, event.detail), seq=100, line=forged)
