"""Acknowledgements in, the originator's view out, and the purpose for which person data is opened."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from sqlalchemy import update

from broker.acks import Acked, admit_ack, open_posted
from broker.fsck import check_everything
from broker.store import tables
from broker.web.http import rfc3339
from lintas.directory import FRESH_S
from lintas.errors import LogHalted
from lintas.event import US_PER_S
from lintas.header import ACK, BULLETIN, ORDER, TOKEN
from lintas.line import Line, sign
from lintas.receipt import check_receipt, parse_receipt
from lintas.strict import b64u, canonical
from tests.broker.conftest import AUDITOR, FEW, PAYLOAD, UNKNOWN_ID, Desks, problem_of

ISSUER, READER, OTHER, THIRD, *_ = FEW
PERSONAL = canonical(PAYLOAD | {"indicators": [{"type": "phone", "value": "+60123456789", "role": "caller"}]})
WHY = {"purpose": "investigation", "case_ref": "SIM-12"}


def acked(desks: Desks, line: Line, ack: Line) -> dict[str, Any]:
    """Post an acknowledgement that must be taken."""
    answer = desks.post_ack(line, ack)
    assert answer.status_code in (200, 201), answer.text
    found: dict[str, Any] = answer.json()
    return found


def readers(desks: Desks, line: Line, party: str = ISSUER) -> dict[str, dict[str, Any]]:
    """Return the readers of a bulletin by agency."""
    answer = desks.get(f"/v1/bulletins/{line.id}/readers", party)
    assert answer.status_code == 200, answer.text
    return {each["agency"]: each for each in answer.json()["readers"]}


def seq_of(desks: Desks, line: Line) -> int:
    """Return the log index of an accepted bulletin."""
    [event] = desks.events(kind="bulletin.accepted", object=line.id)
    return event.seq


@pytest.mark.parametrize("state", ["opened", "acknowledged"])
def test_taken(desks: Desks, state: str) -> None:
    """An acknowledgement is an event of its reader about the bulletin, with a receipt that names the signed line."""
    line = desks.publish(ISSUER, [READER])
    ack = desks.ack(READER, line, payload={"id": line.id, "state": state, "seq": seq_of(desks, line)})

    answer = desks.post_ack(line, ack)

    [event] = desks.events(kind=f"bulletin.{state}")
    members = answer.json()
    verifier = desks.hub.signer.verifier
    receipt = parse_receipt(members.pop("receipt").encode())
    for named in (ack.id, line.id):
        assert event.seq == check_receipt(receipt, line_id=named, origin=verifier.name, key=verifier).seq
    assert (201, {"id": ack.id, "state": state, "seq": event.seq}) == (answer.status_code, members)
    assert (READER, line.id) == (event.party, event.object)
    assert [{"ack": ack.id, "seq": seq_of(desks, line)}] == desks.details(kind=f"bulletin.{state}")


def test_same_bytes(desks: Desks) -> None:
    """The same line again answers 200 with the same receipt, though its key was revoked since."""
    line = desks.publish(ISSUER, [READER])
    ack = desks.ack(READER, line)
    first = desks.post_ack(line, ack)
    kid = desks.session(READER).identity.key.kid
    desks.order("revoke", agency=READER, kid=kid, reason="unspecified", since=desks.hub.now())

    again = desks.post_ack(line, ack)

    assert (201, 200, first.json()) == (first.status_code, again.status_code, again.json())
    assert 1 == len(desks.events(kind="bulletin.opened"))


def test_first_word_stands(desks: Desks) -> None:
    """A later line that says no more makes no event: the answer is the line that said it first."""
    line = desks.publish(ISSUER, [READER])
    opened = acked(desks, line, desks.ack(READER, line))
    again = desks.post_ack(line, desks.ack(READER, line, sub="desk-2"))
    noted = acked(desks, line, desks.ack(READER, line, "acknowledged"))
    late = desks.post_ack(line, desks.ack(READER, line, sub="desk-3"))

    assert (200, opened) == (again.status_code, again.json())
    assert noted["id"] != opened["id"]
    assert (200, opened) == (late.status_code, late.json())
    assert [1, 1] == [len(desks.events(kind=f"bulletin.{state}")) for state in ("opened", "acknowledged")]


def test_acknowledged_without_opened(desks: Desks) -> None:
    """Who acknowledges has opened; that is not said a second time."""
    line = desks.publish(ISSUER, [READER])
    acked(desks, line, desks.ack(READER, line, "acknowledged"))

    late = desks.post_ack(line, desks.ack(READER, line))

    assert (200, "acknowledged") == (late.status_code, late.json()["state"])
    assert [] == desks.events(kind="bulletin.opened")


def test_not_released(desks: Desks) -> None:
    """To whom a bulletin was not released it does not exist: the answer is that for an unknown one, and is logged."""
    line = desks.publish(ISSUER, [READER])
    unknown = {"id": UNKNOWN_ID, "state": "opened"}
    hidden = desks.post_ack(line, desks.ack(OTHER, line))
    path = f"{desks.url}/v1/bulletins/{UNKNOWN_ID}/ack"
    nothing = httpx.post(
        path, content=desks.ack(OTHER, line, payload=unknown).raw, headers={"Content-Type": f"application/{ACK}"}
    )

    assert (404, nothing.content) == (hidden.status_code, hidden.content)
    assert [{"code": "not-found"}] * 2 == desks.details(kind="ack.refused", party=OTHER)


def test_everyone(desks: Desks) -> None:
    """What went to everyone is acknowledged by those who may read it, not by those who may not."""
    line = desks.publish(ISSUER, ["*"], tlp="GREEN")
    desks.order("grant", agency=OTHER, publish=["*"], read=["drugs"])

    assert 201 == desks.post_ack(line, desks.ack(READER, line)).status_code
    assert 404 == desks.post_ack(line, desks.ack(OTHER, line)).status_code


def test_narrowed_grant(desks: Desks) -> None:
    """What was sent before a grant was narrowed may still be acknowledged; what was not sent may not."""
    sent, unsent = desks.publish(ISSUER, [READER]), desks.publish(ISSUER, [READER, OTHER])
    desks.get(f"/v1/bulletins/{sent.id}", READER)
    desks.order("grant", agency=READER, publish=[], read=["drugs"])

    assert 201 == desks.post_ack(sent, desks.ack(READER, sent)).status_code
    assert 404 == desks.post_ack(unsent, desks.ack(READER, unsent)).status_code


def test_suspended(desks: Desks) -> None:
    """A suspended agency acknowledges recalls and nothing else."""
    line, other = desks.publish(ISSUER, [READER]), desks.publish(ISSUER, [READER])
    desks.get(f"/v1/bulletins/{line.id}", READER)
    desks.order("suspend", agency=READER, reason="test")
    recall = desks.recall(ISSUER, line.id, [READER])
    desks.post(recall)

    successor = desks.publish(ISSUER, [READER], refs=[f"supersedes:{other.id}"])

    assert 404 == desks.post_ack(line, desks.ack(READER, line)).status_code
    assert 404 == desks.post_ack(successor, desks.ack(READER, successor)).status_code
    assert 201 == desks.post_ack(recall, desks.ack(READER, recall, "acknowledged")).status_code


def test_withdrawn(desks: Desks) -> None:
    """A bulletin that was recalled may still be acknowledged, and its originator still sees its readers."""
    line = desks.publish(ISSUER, [READER])
    desks.post(desks.recall(ISSUER, line.id, [READER]))

    assert 201 == desks.post_ack(line, desks.ack(READER, line)).status_code
    assert {"released", "opened"} < readers(desks, line)[READER].keys()


def test_own(desks: Desks) -> None:
    """One's own bulletin is not acknowledged."""
    line = desks.publish(ISSUER, [READER])

    assert (403, "not-allowed", "id") == problem_of(desks.post_ack(line, desks.ack(ISSUER, line)))


def test_administrator(desks: Desks) -> None:
    """An administrator acknowledges nothing and learns nothing."""
    line = desks.publish(ISSUER, [READER])

    assert (403, "not-allowed", "iss") == problem_of(desks.post_ack(line, desks.ack(AUDITOR, line)))


@pytest.mark.parametrize(
    ("payload", "member"),
    [
        ({"state": "opened"}, "id"),
        ({"id": "THIS"}, "state"),
        ({"id": "THIS", "state": "read"}, "state"),
        ({"id": "short", "state": "opened"}, "id"),
        ({"id": UNKNOWN_ID, "state": "opened"}, "id"),
        ({"id": "THIS", "state": "opened", "seq": 1}, "seq"),
        ({"id": "THIS", "state": "opened", "seq": -1}, "seq"),
        ({"id": "THIS", "state": "opened", "seq": True}, "seq"),
        ({"id": "THIS", "state": "opened", "more": 1}, "more"),
    ],
)
def test_malformed(desks: Desks, payload: dict[str, Any], member: str) -> None:
    """What says nothing of this bulletin is refused with the member at fault; the refusal is its issuer's event."""
    line = desks.publish(ISSUER, [READER])
    said = {name: line.id if value == "THIS" else value for name, value in payload.items()}

    answer = desks.post_ack(line, desks.ack(READER, line, payload=said))

    assert (400, "malformed-payload", member) == problem_of(answer)
    assert [{"code": "malformed-payload", "member": member}] == desks.details(kind="ack.refused")
    assert [] == desks.events(kind="bulletin.opened")


def test_forged(desks: Desks) -> None:
    """A word in another agency's name, by another key, or altered on its way is none; strangers are counted only."""
    line = desks.publish(ISSUER, [READER, OTHER])
    ack = desks.ack(READER, line)
    other = desks.session(OTHER)
    named = {"typ": ACK, "iss": READER, "aud": desks.hub.name, "iat": other.now()}
    foreign = sign(named, ack.payload, other.identity.key)
    head, _, tail = ack.raw.split(b".")
    noted = desks.ack(READER, line, "acknowledged").raw.split(b".")[1]

    assert (403, "unknown-key", "kid") == problem_of(desks.post_ack(line, foreign))
    assert (403, "bad-signature", "signature") == problem_of(desks.post_ack(line, b".".join((head, noted, tail))))
    assert [] == desks.events(kind="ack.refused") == desks.events(kind="bulletin.opened")


@pytest.mark.parametrize("typ", [BULLETIN, ORDER])
def test_another_kind_of_line(desks: Desks, typ: str) -> None:
    """Another kind of line is no acknowledgement, and an acknowledgement is no bulletin or order."""
    line = desks.publish(ISSUER, [READER])
    ack = desks.ack(READER, line)
    order = desks.session(READER).sign_order("webhook", {"subscription": "feed", "url": None})

    assert (400, "wrong-type", "typ") == problem_of(desks.post_ack(line, order))
    assert (400, "wrong-type", "typ") == problem_of(desks.post(ack.raw, typ))


def test_freshness(desks: Desks) -> None:
    """An acknowledgement of long ago, of the future or for another hub is refused; it must be signed anew."""
    line = desks.publish(ISSUER, [READER])
    now = desks.hub.now()
    for changes, code in (
        ({"iat": now - FRESH_S - 60}, "stale"),
        ({"iat": now + 600}, "from-the-future"),
        ({"aud": "other.example-aaaaaaaa"}, "foreign-line"),
    ):
        assert code == problem_of(desks.post_ack(line, desks.ack(READER, line, **changes)))[1]


def test_replayed_elsewhere(desks: Desks) -> None:
    """A word on one bulletin says nothing of another."""
    line, other = desks.publish(ISSUER, [READER]), desks.publish(ISSUER, [READER])

    answer = desks.post_ack(other, desks.ack(READER, line))

    assert (400, "malformed-payload", "id") == problem_of(answer)


def test_two_at_once(desks: Desks) -> None:
    """Two first words that meet in one commit become one event; both are answered with the one that stands."""
    line = desks.publish(ISSUER, [READER])
    acks = [desks.ack(READER, line, sub=f"desk-{number}") for number in range(2)]
    words = [open_posted(ack.raw, desks.hub.directory, line.id) for ack in acks]
    done = desks.hub.writer.submit(lambda batch: [admit_ack(batch, word) for word in words])
    first, second = done.result(20).value

    assert isinstance(first, Acked)
    assert isinstance(second, Acked)
    assert acks[0].id == first.id == second.id
    assert 1 == len(desks.events(kind="bulletin.opened"))


def test_fsck(desks: Desks) -> None:
    """The log derives from its rows with acknowledgements in it."""
    line = desks.publish(ISSUER, [READER])
    acked(desks, line, desks.ack(READER, line))
    acked(desks, line, desks.ack(READER, line, "acknowledged"))

    report = check_everything(desks.hub.store, desks.hub.signer.verifier, lambda _done, _all: None)

    assert desks.stored() == report.lines


def test_fsck_finds_a_word_out_of_place(desks: Desks) -> None:
    """A reader's line that stands at another event than its own is found."""
    line = desks.publish(ISSUER, [READER])
    ack = desks.ack(READER, line)
    acked(desks, line, ack)
    [released] = desks.events(kind="bulletin.released")
    with desks.hub.store.write() as conn:
        moved = {"seq": released.seq, "at": released.time // US_PER_S}
        conn.execute(update(tables.line).where(tables.line.c.id == ack.id).values(moved))

    with pytest.raises(LogHalted, match="is of another line"):
        check_everything(desks.hub.store, desks.hub.signer.verifier, lambda _done, _all: None)


# --- readers ---


def test_every_step(desks: Desks) -> None:
    """The originator sees each step of each recipient with the index and time of its first event."""
    desks.order("grant", agency=OTHER, publish=[], read=["drugs"])
    line = desks.publish(ISSUER, [READER, OTHER, THIRD])
    cursor = int(desks.get("/v1/bulletins", READER).headers["lintas-cursor"])
    desks.get(f"/v1/bulletins/{line.id}", READER)
    desks.change("POST", "/v1/subscriptions/feed/cursor", READER, {"cursor": cursor})
    opened, noted = desks.ack(READER, line), desks.ack(READER, line, "acknowledged")
    acked(desks, line, opened)
    acked(desks, line, noted)

    found = readers(desks, line)

    def step(kind: str, **more: Any) -> dict[str, Any]:
        event = desks.events(kind=f"bulletin.{kind}", party=READER)[-1]
        return {"seq": event.seq, "time": rfc3339(event.time), **more}

    assert {
        "agency": READER,
        "state": "released",
        "released": step("released"),
        "sent": step("sent", ways=["feed", "fetch"]),
        "received": step("received"),
        "opened": step("opened", line=opened.raw.decode()),
        "acknowledged": step("acknowledged", line=noted.raw.decode()),
    } == found[READER]
    assert {"agency": OTHER, "state": "not-entitled"} == found[OTHER]
    assert {"agency", "state", "released"} == found[THIRD].keys()
    assert {READER, OTHER, THIRD} == found.keys()


def test_steps_only_rise(desks: Desks) -> None:
    """A step that was taken stays as it was, whatever is sent, moved back or narrowed later."""
    line = desks.publish(ISSUER, [READER])
    cursor = int(desks.get("/v1/bulletins", READER).headers["lintas-cursor"])
    desks.change("POST", "/v1/subscriptions/feed/cursor", READER, {"cursor": cursor})
    before = readers(desks, line)[READER]
    desks.get("/v1/bulletins", READER)
    desks.change("PUT", "/v1/subscriptions/mine", READER, {"filter": {}, "start": "beginning"})
    desks.get("/v1/subscriptions/mine/bulletins", READER)
    desks.order("grant", agency=READER, publish=[], read=["drugs"])

    after = readers(desks, line)[READER]

    assert ["feed", "subscription/mine"] == after["sent"].pop("ways")
    assert ["feed"] == before["sent"].pop("ways")
    assert before == after


def test_readers_of_everyone(desks: Desks) -> None:
    """What went to everyone shows who may read it now, with those who have it though they may no longer."""
    line = desks.publish(ISSUER, ["*"], tlp="GREEN")
    desks.get(f"/v1/bulletins/{line.id}", OTHER)
    for agency in (OTHER, THIRD):
        desks.order("grant", agency=agency, publish=[], read=["drugs"])

    found = readers(desks, line)

    assert {READER, OTHER, *FEW[4:]} == found.keys()
    assert {"released"} == {each["state"] for each in found.values()}
    assert "sent" in found[OTHER]


def test_readers_of_others(desks: Desks) -> None:
    """Nobody but its originator sees who has a bulletin: to its readers too it is as if there were none."""
    line = desks.publish(ISSUER, [READER])
    unknown = desks.get(f"/v1/bulletins/{UNKNOWN_ID}/readers", READER)

    for party in (READER, OTHER):
        answer = desks.get(f"/v1/bulletins/{line.id}/readers", party)
        assert (404, unknown.content) == (answer.status_code, answer.content)
    assert 403 == desks.get(f"/v1/bulletins/{line.id}/readers", AUDITOR).status_code
    assert [] == desks.details(kind="view.read", object=line.id)


def test_readers_are_recorded(desks: Desks) -> None:
    """Looking who has a bulletin is an event of the looker."""
    line = desks.publish(ISSUER, [READER])
    readers(desks, line)

    assert [{"view": "readers"}] == desks.details(kind="view.read", object=line.id)


def test_readers_when_over(desks: Desks) -> None:
    """Who has a bulletin is shown after its validity too."""
    line = desks.publish(ISSUER, [READER])
    desks.clock.advance(8 * 86_400)

    assert READER in readers(desks, line)


# --- purpose ---


def test_purpose_demanded(desks: Desks) -> None:
    """Person data is given for a stated purpose and case alone; both, and the officer, stand in the record."""
    line = desks.publish(ISSUER, [READER], payload=PERSONAL)
    path = f"/v1/bulletins/{line.id}"
    officer = {"sub": "desk/duty"}

    assert (403, "purpose-needed", None) == problem_of(desks.get(path, READER))
    for half in ({"purpose": WHY["purpose"]}, {"case_ref": WHY["case_ref"]}, officer):
        assert 403 == desks.change("GET", path, READER, scope="read", **half).status_code
    assert [] == desks.events(kind="bulletin.sent")

    answer = desks.change("GET", path, READER, scope="read", **WHY, **officer)

    assert line.raw == answer.content
    [detail] = desks.details(kind="bulletin.sent")
    assert {**WHY, **officer}.items() <= detail.items()


def test_purpose_not_demanded(desks: Desks) -> None:
    """What holds no person data, and one's own bulletin, are given without a purpose."""
    plain, personal = desks.publish(ISSUER, [READER]), desks.publish(ISSUER, [READER], payload=PERSONAL)

    assert 200 == desks.get(f"/v1/bulletins/{plain.id}", READER).status_code
    assert 200 == desks.get(f"/v1/bulletins/{personal.id}", ISSUER).status_code


def test_purpose_tells_nothing(desks: Desks) -> None:
    """To whom a bulletin was not released it does not exist, with or without a purpose; withdrawn ones say so."""
    line = desks.publish(ISSUER, [READER], payload=PERSONAL)

    for found in (desks.get(f"/v1/bulletins/{line.id}", OTHER), desks.get(f"/v1/bulletins/{UNKNOWN_ID}", OTHER)):
        assert 404 == found.status_code
    desks.post(desks.recall(ISSUER, line.id, [READER]))
    assert 410 == desks.get(f"/v1/bulletins/{line.id}", READER).status_code


def test_purpose_of_pages(desks: Desks) -> None:
    """A page is delivery to the agency and needs no purpose; one that is given stands in its record."""
    line = desks.publish(ISSUER, [READER], payload=PERSONAL)
    [row] = desks.rows("/v1/bulletins", READER)
    desks.change("GET", "/v1/bulletins", READER, scope="read", **WHY)
    desks.change("GET", f"/v1/bulletins/{line.id}/receipt", READER, scope="read", **WHY)

    assert line.raw.decode() == row["line"]
    with_purpose, without = desks.details(kind="bulletin.sent")
    assert (True, False) == (WHY.items() <= with_purpose.items(), "purpose" in without)
    assert [{"view": "receipt", **WHY}] == desks.details(kind="view.read", object=line.id)


def test_purpose_well_formed(desks: Desks) -> None:
    """A token whose purpose, case or officer is not well formed is none."""
    session = desks.session(READER)
    members: dict[str, Any] = {
        "alg": "Ed25519",
        "typ": TOKEN,
        "kid": session.identity.key.kid,
        "iss": READER,
        "aud": desks.hub.name,
    }
    members |= {"iat": session.now(), "exp": session.now() + 300, "scope": "read", **WHY}

    def token(**changes: str) -> str:
        signed = f"{b64u(canonical(members | changes))}."
        return f"Bearer {signed}.{b64u(session.identity.key.sign(signed.encode()))}"

    assert 200 == desks.get("/v1/bulletins", Authorization=token()).status_code
    for changes in ({"purpose": "curiosity"}, {"case_ref": ""}, {"sub": "A Name"}):
        assert 401 == desks.get("/v1/bulletins", Authorization=token(**changes)).status_code
