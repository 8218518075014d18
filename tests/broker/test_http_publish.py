"""Publishing over HTTP: receipts, retries, batches."""

from __future__ import annotations

import json
from typing import Any

import httpx

from lintas import note
from lintas.errors import LogHalted
from lintas.header import BULLETIN
from lintas.line import line_id
from lintas.receipt import Logged, check_receipt, parse_receipt
from lintas.strict import canonical
from tests.broker.conftest import AUDITOR, PAYLOAD, Desks, problem_of

ISSUER, READER, OTHER = "my-police", "sg-fiu", "th-cert"


def check(desks: Desks, receipt: bytes, wanted: str) -> Logged:
    """Check a receipt as a partner would, with the log key it pinned."""
    key = note.parse_vkey(desks.session(ISSUER).identity.hub.log_key)
    return check_receipt(parse_receipt(receipt), line_id=wanted, origin=key.name, key=key)


def post_batch(desks: Desks, *raws: bytes, media: str = "application/jsonl") -> list[dict[str, Any]]:
    """Post lines together and return one result each."""
    answer = httpx.post(
        desks.url + "/v1/bulletins", content=b"\n".join(raws), headers={"Content-Type": media}, timeout=30
    )
    assert 200 == answer.status_code, answer.text
    return [json.loads(row) for row in answer.text.splitlines()]


def test_accepted(shared: Desks) -> None:
    """A line that is accepted answers 201 with its receipt, its address and its id as strong ETag."""
    line = shared.bulletin(ISSUER, [READER])

    answer = shared.post(line)

    assert 201 == answer.status_code
    assert (f"/v1/bulletins/{line.id}", f'"{line.id}"') == (answer.headers["location"], answer.headers["etag"])
    assert "bulletin.accepted" == check(shared, answer.content, line.id).event["kind"]


def test_accepted_event(shared: Desks) -> None:
    """The event of an acceptance holds routing facts and digests, nothing of the content."""
    line = shared.publish(ISSUER, [READER])

    [event] = shared.events(object=line.id)
    body = json.loads(event.body or b"")

    assert {
        "kind": "alert",
        "topic": "cyber.scam",
        "tlp": "AMBER",
        "released": [READER],
        "withheld": {},
        "refs": [],
    } == body["detail"]
    assert PAYLOAD["title"].encode() not in (event.body or b"")


def test_released_event(shared: Desks) -> None:
    """Each recipient gets an event of its own that names what was released to it."""
    line = shared.publish(ISSUER, [READER, OTHER])

    for agency in (READER, OTHER):
        newest = shared.details(kind="bulletin.released", party=agency)[0]
        [accepted] = shared.events(kind="bulletin.accepted", object=line.id)
        assert {
            "ids": [line.id],
            "topics": ["cyber.scam"],
            "tlps": ["AMBER"],
            "exps": [line.header.exp],
            "seqs": [accepted.seq],
        } == newest


def test_same_line_again(shared: Desks) -> None:
    """The same bytes again answer 200 with the same receipt and add nothing."""
    line = shared.bulletin(ISSUER, [READER])
    first = shared.post(line)
    shared.publish(ISSUER, [READER])
    before = shared.stored()

    again = shared.post(line)

    assert (200, first.content, f'"{line.id}"') == (again.status_code, again.content, again.headers["etag"])
    assert before == shared.stored()


def test_withheld(desks: Desks) -> None:
    """The issuer's receipt says from whom a bulletin was withheld, and why in one word."""
    desks.order("grant", agency=READER, publish=["*"], read=["drugs"])
    desks.order("suspend", agency=OTHER, reason="test")
    line = desks.bulletin(ISSUER, [READER, OTHER, "vn-police"])

    answer = desks.post(line)

    detail = check(desks, answer.content, line.id).event["detail"]
    assert ({READER: "not-entitled", OTHER: "suspended"}, ["vn-police"]) == (detail["withheld"], detail["released"])
    assert 404 == desks.get(f"/v1/bulletins/{line.id}", READER).status_code


def test_batch(shared: Desks) -> None:
    """Many lines get one result each, in their order, with the index of each."""
    lines = [shared.bulletin(ISSUER, [READER]) for _ in range(3)]

    rows = post_batch(shared, *(line.raw for line in lines))

    assert [(line.id, 201) for line in lines] == [(row["id"], row["status"]) for row in rows]
    assert [row["seq"] for row in rows] == sorted(row["seq"] for row in rows)
    assert [lines[0].id] == [event.object for event in shared.events(object=lines[0].id, kind="bulletin.accepted")]


def test_batch_shares_one_release(shared: Desks) -> None:
    """A batch makes one release event for each recipient, not one for each line."""
    lines = [shared.bulletin(ISSUER, ["mm-police"]) for _ in range(5)]
    before = len(shared.events(kind="bulletin.released", party="mm-police"))

    post_batch(shared, *(line.raw for line in lines))

    assert before + 1 == len(shared.events(kind="bulletin.released", party="mm-police"))
    assert [line.id for line in lines] == shared.details(kind="bulletin.released", party="mm-police")[0]["ids"]


def test_batch_with_faults(shared: Desks) -> None:
    """A faulty line is refused in its place and harms none of its neighbours."""
    good, bad = shared.bulletin(ISSUER, [READER]), shared.bulletin(ISSUER, ["xx-police"])
    later = shared.bulletin(ISSUER, [READER])

    rows = post_batch(shared, good.raw, b"no line", bad.raw, b"", later.raw)

    assert [201, 400, 422, 400, 201] == [row["status"] for row in rows]
    assert [line_id(b"no line"), bad.id] == [rows[1]["id"], rows[2]["id"]]
    assert "malformed-line" in rows[1]["problem"]["type"]
    assert ("release_to", 422) == (rows[2]["problem"]["member"], rows[2]["problem"]["status"])


def test_batch_counts_strangers(shared: Desks) -> None:
    """What no key stands behind is counted in a batch too."""
    forged = shared.bulletin(ISSUER, [READER], iss="sg-police")

    rows = post_batch(shared, forged.raw)
    shared.get("/v1/admin/stats", AUDITOR)

    assert 403 == rows[0]["status"]
    assert any(detail["codes"].get("unknown-key") for detail in shared.details(kind="auth.refused"))


def test_batch_with_a_line_twice(shared: Desks) -> None:
    """A line twice in one batch is accepted once, and the second place gets the same index."""
    line = shared.bulletin(ISSUER, [READER])

    first, second = post_batch(shared, line.raw, line.raw)

    assert (201, 200, first["seq"]) == (first["status"], second["status"], second["seq"])
    assert 1 == len(shared.events(kind="bulletin.accepted", object=line.id))


def test_batch_refers_within_itself(shared: Desks) -> None:
    """A line may refer to one before it in the same batch, and its reach is checked against it."""
    line = shared.bulletin(ISSUER, [OTHER, READER][::-1])
    narrow = shared.recall(ISSUER, line.id, [READER])
    recall = shared.recall(ISSUER, line.id, [READER, OTHER])

    rows = post_batch(shared, line.raw, narrow.raw, recall.raw)

    assert [201, 422, 201] == [row["status"] for row in rows]
    assert "recipients-too-few" in rows[1]["problem"]["type"]


def test_empty_batch(shared: Desks) -> None:
    """A batch of nothing has no results."""
    assert [] == post_batch(shared, b"")


def test_batch_as_other_text(shared: Desks) -> None:
    """Lines may come as plain text or NDJSON."""
    for media in ("text/plain", "application/x-ndjson"):
        [row] = post_batch(shared, shared.bulletin(ISSUER, [READER]).raw + b"\n", media=media)
        assert 201 == row["status"]


def test_line_of_the_largest_size(shared: Desks) -> None:
    """A bulletin near the largest size is accepted and given out byte for byte."""
    payload = canonical(
        PAYLOAD | {"summary": "x" * 16_000, "stix": {"objects": [{"type": "note", "id": "n", "t": "y" * 170_000}]}}
    )
    line = shared.publish(ISSUER, [READER], payload=payload)

    answer = shared.get(f"/v1/bulletins/{line.id}", READER)

    assert len(line.raw) > 240_000
    assert line.raw == answer.content


def test_partial_recall_event(shared: Desks) -> None:
    """The event of a recall says what it recalls, and whether only in part."""
    line = shared.publish(ISSUER, [READER])
    part = shared.recall(ISSUER, line.id, [READER], indicators=[{"type": "ip", "value": "203.0.113.7", "role": "host"}])
    assert 201 == shared.post(part).status_code

    assert {"by": part.id, "part": True} == shared.details(kind="bulletin.recalled", object=line.id)[0]


def test_read_only(desks: Desks) -> None:
    """A hub whose log is halted accepts nothing, says so, and is not ready."""
    line = desks.publish(ISSUER, [READER])
    desks.hub.writer._halted = LogHalted("test")

    answers = [desks.post(line), desks.post(desks.bulletin(ISSUER, [READER])), desks.get("/readyz")]

    assert [(503, "read-only", None)] * 3 == [problem_of(answer) for answer in answers]


def test_wrong_media_of_a_batch(shared: Desks) -> None:
    """A single line under the media type of a batch is a batch of one."""
    [row] = post_batch(shared, shared.bulletin(ISSUER, [READER]).raw)

    assert {"id", "status", "seq"} == set(row)
    assert BULLETIN not in json.dumps(row)
