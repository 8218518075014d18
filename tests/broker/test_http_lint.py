"""Data protection at the hub's door: what is refused, what is only told, that a recall always passes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lintas.strict import canonical
from tests.broker.conftest import PAYLOAD, Desks, problem_of, sign_bulletin

ISSUER, READER = "my-police", "sg-fiu"
CARD = "4111 1111 1111 1111"
PASSPORT = "Passport no. X90217734 was shown."
VICTIM = {"type": "person", "value": "FICTIONAL<<ARJUNA|1988-04-01|UTO", "role": "rescued", "person_role": "victim"}


def payload(**members: Any) -> bytes:
    """Write a payload."""
    return canonical(PAYLOAD | members)


def test_refused(desks: Desks) -> None:
    """A card number in text is refused with rule, member and reason, never with the number; the refusal is logged."""
    answer = desks.post(desks.bulletin(ISSUER, [READER], payload=payload(summary=f"Pay with {CARD} today.")))

    assert (422, "data-protection", "summary") == problem_of(answer)
    assert "card-in-text" == answer.json()["rule"]
    assert "payment-card" in answer.json()["detail"]
    assert "4111" not in answer.text
    assert [{"code": "data-protection", "member": "summary"}] == desks.details(kind="bulletin.refused")
    assert [] == desks.events(kind="bulletin.accepted")


def test_warned(desks: Desks) -> None:
    """What only warns is accepted; the answer and the issuer's event name the codes, sorted."""
    line = desks.bulletin(ISSUER, [READER], payload=payload(summary=PASSPORT, indicators=[VICTIM]))

    first, again = desks.post(line), desks.post(line)

    assert (201, "document-in-text, protected-person") == (first.status_code, first.headers["Lintas-Warnings"])
    assert (200, None) == (again.status_code, again.headers.get("Lintas-Warnings"))
    assert ["document-in-text", "protected-person"] == desks.details(kind="bulletin.accepted")[0]["lint"]


def test_nothing_found(desks: Desks) -> None:
    """An ordinary bulletin has neither the header nor the member of the event."""
    answer = desks.post(desks.bulletin(ISSUER, [READER]))

    assert "Lintas-Warnings" not in answer.headers
    assert "lint" not in desks.details(kind="bulletin.accepted")[0]


def test_batch(desks: Desks) -> None:
    """In a batch each row tells its own warnings or refusal."""
    summaries = ("All is well.", PASSPORT, CARD)
    lines = [desks.bulletin(ISSUER, [READER], payload=payload(summary=summary)) for summary in summaries]

    answer = desks.http.post(
        desks.url + "/v1/bulletins",
        content=b"\n".join(line.raw for line in lines),
        headers={"Content-Type": "application/jsonl"},
    )

    rows = [json.loads(row) for row in answer.text.splitlines()]
    assert [201, 201, 422] == [row["status"] for row in rows]
    assert [None, ["document-in-text"], None] == [row.get("warnings") for row in rows]
    assert "card-in-text" == rows[2]["problem"]["rule"]


def test_policy_comes_first(desks: Desks) -> None:
    """Who may not publish at all learns that, not what the rules would say."""
    desks.order("grant", agency=ISSUER, publish=[], read=["*"])

    answer = desks.post(desks.bulletin(ISSUER, [READER], payload=payload(summary=CARD)))

    assert (403, "topic-not-granted", "topic") == problem_of(answer)


@pytest.mark.parametrize(("tlp", "status"), [("GREEN", 422), ("AMBER", 201), ("AMBER+STRICT", 201)])
def test_victim(desks: Desks, tlp: str, status: int) -> None:
    """A victim is named to nobody but need-to-know readers, and then with a warning."""
    answer = desks.post(desks.bulletin(ISSUER, [READER], tlp=tlp, payload=payload(indicators=[VICTIM])))

    assert status == answer.status_code
    assert (answer.headers.get("Lintas-Warnings") == "protected-person") == (status == 201)


@pytest.mark.parametrize(
    ("original", "tlp", "expected"),
    [
        ("AMBER", "GREEN", (422, None)),
        ("AMBER+STRICT", "AMBER", (201, "narrower-quoted")),
        ("AMBER", "AMBER", (201, None)),
        ("GREEN", "AMBER", (201, None)),
    ],
)
def test_comment(desks: Desks, original: str, tlp: str, expected: tuple[int, str | None]) -> None:
    """A wide comment on a narrower bulletin is refused, one not so wide warns."""
    target = desks.publish(ISSUER, [READER], tlp=original)

    answer = desks.post(desks.bulletin(ISSUER, [READER], tlp=tlp, kind="comment", refs=[f"comments:{target.id}"]))

    assert expected == (answer.status_code, answer.headers.get("Lintas-Warnings"))


def test_comment_names_the_member(desks: Desks) -> None:
    """What carries on a narrower bulletin is refused at `refs`."""
    target = desks.publish(ISSUER, [READER], tlp="AMBER")
    line = desks.bulletin(ISSUER, [READER], tlp="GREEN", kind="comment", refs=[f"comments:{target.id}"])

    assert (422, "data-protection", "refs") == problem_of(desks.post(line))


def test_marked_anew(desks: Desks) -> None:
    """The originator alone may supersede its bulletin with a wider marking."""
    target = desks.publish(ISSUER, [READER], tlp="AMBER")

    answer = desks.post(desks.bulletin(ISSUER, [READER], tlp="GREEN", refs=[f"supersedes:{target.id}"]))

    assert (201, None) == (answer.status_code, answer.headers.get("Lintas-Warnings"))


def test_recall_passes(desks: Desks) -> None:
    """A recall is accepted whatever its text holds, with the codes as a warning: nothing may stop it."""
    target = desks.publish(ISSUER, [READER])
    text = payload(summary=f"{CARD} TLP:RED", reason="legal")

    answer = desks.post(
        desks.recall(ISSUER, target.id, [READER], tlp="GREEN", payload=text),
    )

    assert (201, "card-in-text, narrower-quoted") == (answer.status_code, answer.headers["Lintas-Warnings"])


def test_schema_comes_first(desks: Desks) -> None:
    """A payload that breaks its schema is told so."""
    line = sign_bulletin(desks.session(ISSUER), [READER], payload=payload(summary=CARD, gossip=1))

    assert (400, "malformed-payload", "gossip") == problem_of(desks.post(line))
