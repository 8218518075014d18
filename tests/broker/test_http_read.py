"""Reading over HTTP: feed pages, one bulletin, its receipt, and what withdrawal does to each."""

from __future__ import annotations

import json
from typing import Any

import pytest

from broker.web import bulletins
from lintas import note
from lintas.header import KEY
from lintas.line import Line
from lintas.receipt import check_receipt, parse_receipt
from tests.broker.conftest import AUDITOR, UNKNOWN_ID, Desks, problem_of

ISSUER, READER, OTHER = "my-police", "sg-fiu", "th-cert"
PART = [{"type": "ip", "value": "203.0.113.7", "role": "host"}]


def seq_of(desks: Desks, line: Line) -> int:
    """Return the log index of an accepted line."""
    [event] = desks.events(kind="bulletin.accepted", object=line.id)
    return event.seq


def row_of(desks: Desks, line: Line) -> dict[str, Any]:
    """Return the row of a feed where the line stands undisturbed."""
    return {"seq": seq_of(desks, line), "line": line.raw.decode()}


def test_feed_rows(shared: Desks) -> None:
    """A page gives stored bytes with their log index, and the cursor of the next one."""
    line = shared.publish(ISSUER, [READER])
    seq = seq_of(shared, line)

    answer = shared.get(f"/v1/bulletins?after={seq - 1}", READER)

    assert row_of(shared, line) == json.loads(answer.text.splitlines()[0])
    assert int(answer.headers["lintas-cursor"]) >= seq
    assert "link" not in answer.headers


def test_feed_of_others(shared: Desks) -> None:
    """A page holds nothing that was not released to its reader, its own bulletins neither."""
    line = shared.publish(ISSUER, [READER])
    after = seq_of(shared, line) - 1

    assert [] == [row for row in shared.rows(f"/v1/bulletins?after={after}", OTHER) if row["seq"] == after + 1]
    assert [] == [row for row in shared.rows(f"/v1/bulletins?after={after}", ISSUER) if row["seq"] == after + 1]


def test_own_bulletins(shared: Desks) -> None:
    """Asking for what one issued gives one's own, also to everyone."""
    first = shared.publish("ph-cert", [READER])
    second = shared.publish("ph-cert", ["*"], tlp="GREEN")

    rows = shared.rows("/v1/bulletins?from=ph-cert", "ph-cert")

    assert [row_of(shared, first), row_of(shared, second)] == rows
    assert second.raw.decode() not in [row.get("line") for row in shared.rows("/v1/bulletins?limit=1000", "ph-cert")]


def test_feed_pages(shared: Desks) -> None:
    """Pages follow one another without gap or repeat, own and everyone's merged in log order."""
    lines = [
        shared.publish(ISSUER, ["th-police"]) if number % 2 else shared.publish(ISSUER, ["*"], tlp="CLEAR")
        for number in range(7)
    ]
    path: str | None = f"/v1/bulletins?after={seq_of(shared, lines[0]) - 1}&limit=3&from={ISSUER}"
    found, pages = [], 0
    while path is not None:
        answer = shared.get(path, "th-police")
        found += [json.loads(row)["line"] for row in answer.text.splitlines()]
        pages += 1
        path = answer.links["next"]["url"] if "next" in answer.links else None

    assert [line.raw.decode() for line in lines] == found
    assert 3 == pages


def test_full_page_at_the_end(shared: Desks) -> None:
    """A page that is exactly full names a next one, which is empty."""
    line = shared.publish(ISSUER, ["la-police"])

    full = shared.get(f"/v1/bulletins?after={seq_of(shared, line) - 1}&limit=1", "la-police")
    rest = shared.get(full.links["next"]["url"], "la-police")

    assert str(seq_of(shared, line)) == full.headers["lintas-cursor"]
    assert (200, b"") == (rest.status_code, rest.content)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("topic=cyber", [0, 1]),
        ("topic=cyber.malware", [1]),
        ("kind=advisory", [2]),
        ("from=id-police", [0, 1, 2]),
        ("from=th-cert", []),
        ("topic=cyber&kind=alert", [0, 1]),
        ("topic=wildlife", []),
    ],
)
def test_feed_filters(shared: Desks, query: str, expected: list[int]) -> None:
    """A filter keeps what it names; a topic covers its sub-topics."""
    lines = [
        shared.publish("id-police", ["tl-customs"]),
        shared.publish("id-police", ["tl-customs"], topic="cyber.malware"),
        shared.publish("id-police", ["tl-customs"], topic="drugs", kind="advisory"),
    ]
    after = seq_of(shared, lines[0]) - 1

    rows = shared.rows(f"/v1/bulletins?after={after}&{query}", "tl-customs")

    assert [row_of(shared, lines[number]) for number in expected] == rows


def test_feed_filter_by_reference(shared: Desks) -> None:
    """Asking for what refers to a bulletin gives answers and comments to it."""
    line = shared.publish(ISSUER, [READER])
    comment = shared.publish(READER, [ISSUER], kind="comment", refs=[f"comments:{line.id}"])

    assert [row_of(shared, comment)] == shared.rows(f"/v1/bulletins?ref={line.id}", ISSUER)


def test_sending_is_recorded(shared: Desks) -> None:
    """Every page that carries something is the reader's event before it leaves; an empty one makes none."""
    line = shared.publish(ISSUER, ["ph-cert"])
    seq = seq_of(shared, line)

    shared.get(f"/v1/bulletins?after={seq - 1}", "ph-cert")
    shared.get("/v1/bulletins?from=th-police", "ph-cert")

    [detail, *_] = shared.details(kind="bulletin.sent", party="ph-cert")
    assert {"way": "feed", "from": seq, "to": seq, "count": 1} == detail
    assert 1 == len([each for each in shared.details(kind="bulletin.sent", party="ph-cert") if each["from"] == seq])


def test_filtered_sending_names_what_was_sent(shared: Desks) -> None:
    """Behind a filter the range does not tell what was sent, so the record names the ids."""
    line = shared.publish(ISSUER, ["mm-police"])

    shared.get(f"/v1/bulletins?after={seq_of(shared, line) - 1}&topic=cyber", "mm-police")

    detail = shared.details(kind="bulletin.sent", party="mm-police")[0]
    assert [line.id] == detail["ids"]
    assert 64 == len(detail["filter"])


def test_one(shared: Desks) -> None:
    """A bulletin is given as it was signed, with its id as ETag and its log index, and the sending recorded."""
    line = shared.publish(ISSUER, [READER])

    answer = shared.get(f"/v1/bulletins/{line.id}", READER)

    assert (200, line.raw) == (answer.status_code, answer.content)
    assert (f'"{line.id}"', str(seq_of(shared, line))) == (answer.headers["etag"], answer.headers["lintas-seq"])
    assert "application/vnd.lintas.bulletin" == answer.headers["content-type"]
    seq = seq_of(shared, line)
    assert {"way": "fetch", "from": seq, "to": seq, "count": 1} == shared.details(kind="bulletin.sent", object=line.id)[
        0
    ]


def test_issuer_reads_its_own(shared: Desks) -> None:
    """The issuer may always read."""
    line = shared.publish(ISSUER, [READER])

    assert line.raw == shared.get(f"/v1/bulletins/{line.id}", ISSUER).content


@pytest.mark.parametrize("tag", ['"{}"', "*", '"other", "{}"'])
def test_unchanged(shared: Desks, tag: str) -> None:
    """Whoever has the bytes already gets 304 without a body."""
    line = shared.publish(ISSUER, [READER])

    answer = shared.get(f"/v1/bulletins/{line.id}", READER, **{"If-None-Match": tag.format(line.id)})

    assert (304, b"", f'"{line.id}"') == (answer.status_code, answer.content, answer.headers["etag"])


@pytest.mark.parametrize("tag", ['"other"', "{}"])
def test_changed(shared: Desks, tag: str) -> None:
    """Another ETag, or one not quoted, gives the bytes."""
    line = shared.publish(ISSUER, [READER])

    answer = shared.get(f"/v1/bulletins/{line.id}", READER, **{"If-None-Match": tag.format(line.id)})

    assert 200 == answer.status_code


def test_receipt_of_the_issuer(shared: Desks) -> None:
    """The issuer's receipt proves the acceptance, the same bytes as when it was posted."""
    line = shared.bulletin(ISSUER, [READER])
    posted = shared.post(line)

    assert posted.content == shared.get(f"/v1/bulletins/{line.id}/receipt", ISSUER).content


def test_receipt_of_a_recipient(shared: Desks) -> None:
    """A recipient's receipt proves its release, never the issuer's event."""
    line = shared.publish(ISSUER, [READER, OTHER])
    key = note.parse_vkey(shared.session(READER).identity.hub.log_key)

    body = shared.get(f"/v1/bulletins/{line.id}/receipt", READER).content

    logged = check_receipt(parse_receipt(body), line_id=line.id, origin=key.name, key=key)
    assert ("bulletin.released", READER) == (logged.event["kind"], logged.event["party"])
    assert {"view": "receipt"} == shared.details(kind="view.read", object=line.id)[0]


def test_receipt_for_everyone(shared: Desks) -> None:
    """The receipt of a bulletin to everyone proves its release to all."""
    line = shared.publish(ISSUER, ["*"], tlp="CLEAR")

    body = shared.get(f"/v1/bulletins/{line.id}/receipt", OTHER).content

    assert "*" == json.loads(parse_receipt(body).extra or b"")["party"]


def withdraw(shared: Desks, line: Line, relation: str) -> Line:
    """Recall or supersede a bulletin for its reader."""
    if relation == "recalls":
        by = shared.recall(ISSUER, line.id, [READER])
    else:
        by = shared.bulletin(ISSUER, [READER], refs=[f"supersedes:{line.id}"])
    assert 201 == shared.post(by).status_code
    return by


@pytest.mark.parametrize(("relation", "state"), [("recalls", "recalled"), ("supersedes", "superseded")])
def test_withdrawn(shared: Desks, relation: str, state: str) -> None:
    """A recall or supersede hides the original at once; its place in the feed shows the state and what did it."""
    line = shared.publish(ISSUER, [READER])

    by = withdraw(shared, line, relation)

    seq = seq_of(shared, line)
    rows = shared.rows(f"/v1/bulletins?after={seq - 1}", READER)
    assert [{"seq": seq, "id": line.id, "state": state, "by": by.id}, row_of(shared, by)] == rows
    for reader in (READER, ISSUER):
        answer = shared.get(f"/v1/bulletins/{line.id}", reader)
        assert (410, state, None) == problem_of(answer)
        assert by.id == answer.json()["by"]
        assert line.raw not in answer.content


@pytest.mark.parametrize(("relation", "state"), [("recalls", "recalled"), ("supersedes", "superseded")])
def test_withdrawn_to_the_cache(shared: Desks, relation: str, state: str) -> None:
    """One who asks whether the bytes changed is told of the withdrawal, not that nothing changed."""
    line = shared.publish(ISSUER, [READER])
    withdraw(shared, line, relation)

    answer = shared.get(f"/v1/bulletins/{line.id}", READER, **{"If-None-Match": f'"{line.id}"'})

    assert (410, state, None) == problem_of(answer)


def test_recall_beats_supersede(shared: Desks) -> None:
    """A bulletin that was superseded and then recalled counts as recalled."""
    line = shared.publish(ISSUER, [READER])
    withdraw(shared, line, "supersedes")
    recall = withdraw(shared, line, "recalls")

    answer = shared.get(f"/v1/bulletins/{line.id}", READER)

    assert (410, "recalled", recall.id) == (*problem_of(answer)[:2], answer.json()["by"])


def test_superseded_when_asked(shared: Desks) -> None:
    """Who had a bulletin that was replaced gets it on asking, with its successor named; the giving is recorded."""
    line = shared.publish(ISSUER, [READER])
    by = withdraw(shared, line, "supersedes")

    answer = shared.get(f"/v1/bulletins/{line.id}?superseded=1", READER)
    stranger = shared.get(f"/v1/bulletins/{line.id}?superseded=1", OTHER)

    assert (200, line.raw) == (answer.status_code, answer.content)
    assert ("superseded", by.id) == (answer.headers["Lintas-State"], answer.headers["Lintas-By"])
    assert ["fetch"] == [detail["way"] for detail in shared.details(kind="bulletin.sent", object=line.id)]
    assert (404, "not-found", None) == problem_of(stranger)


def test_superseded_then_recalled(shared: Desks) -> None:
    """What was recalled is not given on asking for what was superseded."""
    line = shared.publish(ISSUER, [READER])
    withdraw(shared, line, "supersedes")
    withdraw(shared, line, "recalls")

    assert (410, "recalled", None) == problem_of(shared.get(f"/v1/bulletins/{line.id}?superseded=1", READER))


def test_standing_though_superseded_is_asked_for(shared: Desks) -> None:
    """Asked for either way, a standing bulletin is given as it is; other values of the parameter are refused."""
    line = shared.publish(ISSUER, [READER])

    answers = [shared.get(f"/v1/bulletins/{line.id}?superseded={value}", READER) for value in ("1", "0", "2")]

    assert [200, 200, 400] == [answer.status_code for answer in answers]
    assert "Lintas-State" not in answers[0].headers
    assert (400, "bad-request", "superseded") == problem_of(answers[2])


def test_partial_recall_names_itself(shared: Desks) -> None:
    """A single bulletin that was recalled in part names its recalls."""
    line = shared.publish(ISSUER, [READER])
    by = shared.recall(ISSUER, line.id, [READER], indicators=PART)
    assert 201 == shared.post(by).status_code

    assert by.id == shared.get(f"/v1/bulletins/{line.id}", READER).headers["Lintas-Recalled-By"]


def test_partial_recall(shared: Desks) -> None:
    """A recall in part leaves the bulletin, marked, with the recall named beside it."""
    line = shared.publish(ISSUER, [READER])
    part = shared.recall(ISSUER, line.id, [READER], indicators=PART)
    assert 201 == shared.post(part).status_code

    first = shared.rows(f"/v1/bulletins?after={seq_of(shared, line) - 1}", READER)[0]
    one = shared.get(f"/v1/bulletins/{line.id}", READER)

    assert row_of(shared, line) | {"marks": ["recalled-in-part"], "recalled_by": [part.id]} == first
    assert (200, "recalled-in-part", line.raw) == (one.status_code, one.headers["lintas-marks"], one.content)


def test_expired(desks: Desks) -> None:
    """A bulletin whose validity is over is no longer given out; its place shows it."""
    line = desks.publish(ISSUER, [READER], exp=desks.session(ISSUER).now() + 60)
    desks.clock.advance(61)

    answer = desks.get(f"/v1/bulletins/{line.id}", READER)

    assert (410, "no-longer-valid", None) == problem_of(answer)
    assert [{"seq": seq_of(desks, line), "id": line.id, "state": "expired"}] == desks.rows("/v1/bulletins", READER)


def test_suspect(desks: Desks) -> None:
    """What was accepted after its key was compromised is marked, not deleted; what came before is not."""
    before = desks.publish(ISSUER, [READER])
    desks.clock.advance(100)
    line = desks.publish(ISSUER, [READER])
    desks.post(desks.session(ISSUER).sign_revocation("keyCompromise", desks.session(ISSUER).now() - 50), KEY)

    rows = desks.rows("/v1/bulletins", READER)
    one = desks.get(f"/v1/bulletins/{line.id}", READER)

    assert [row_of(desks, before), row_of(desks, line) | {"marks": ["suspect"]}] == rows
    assert "suspect" == one.headers["lintas-marks"]


def test_narrowed_grant(desks: Desks) -> None:
    """A grant that is narrowed takes away what was released before; a recall still comes."""
    line = desks.publish(ISSUER, [READER])
    desks.order("grant", agency=READER, publish=["*"], read=["drugs"])

    gone = desks.get(f"/v1/bulletins/{line.id}", READER)
    empty = desks.rows("/v1/bulletins", READER)
    recall = desks.recall(ISSUER, line.id, [READER])
    desks.post(recall)

    assert (404, desks.get(f"/v1/bulletins/{UNKNOWN_ID}", READER).content) == (gone.status_code, gone.content)
    assert [] == empty
    assert [row_of(desks, recall)] == desks.rows("/v1/bulletins", READER)


def test_narrowed_ceiling(desks: Desks) -> None:
    """A ceiling that is lowered takes away what was released before; raised again, it is back."""
    line = desks.publish(ISSUER, [READER])
    desks.order("ceiling", agency=READER, tlp="GREEN")
    empty = desks.rows("/v1/bulletins", READER)
    desks.order("ceiling", agency=READER, tlp="AMBER")

    assert [] == empty
    assert [row_of(desks, line)] == desks.rows("/v1/bulletins", READER)


def test_later_partner_reads_what_is_for_everyone(desks: Desks) -> None:
    """What goes to everyone is decided at each read."""
    line = desks.publish(ISSUER, ["*"], tlp="GREEN")
    desks.order("grant", agency=OTHER, publish=[], read=["drugs"])

    assert [row_of(desks, line)] == desks.rows("/v1/bulletins", READER)
    assert [] == desks.rows("/v1/bulletins", OTHER)


def test_suspended_reader(desks: Desks) -> None:
    """A suspended agency gets recalls and nothing else."""
    first, second = desks.publish(ISSUER, [READER]), desks.publish(ISSUER, [READER])
    desks.order("suspend", agency=READER, reason="test")
    recall = desks.recall(ISSUER, first.id, [READER])
    desks.post(recall)

    assert [row_of(desks, recall)] == desks.rows("/v1/bulletins", READER)
    assert 404 == desks.get(f"/v1/bulletins/{second.id}", READER).status_code
    assert recall.raw == desks.get(f"/v1/bulletins/{recall.id}", READER).content


def test_revoked_key_reads_nothing(desks: Desks) -> None:
    """A revocation ends tokens that were used before."""
    session = desks.session(READER)
    assert 200 == desks.get("/v1/bulletins", READER).status_code
    desks.post(session.sign_revocation("unspecified", session.now()), KEY)

    answer = desks.get("/v1/bulletins", READER)

    assert (401, "unauthorized", None) == problem_of(answer)


@pytest.mark.parametrize(
    "path", ["/v1/bulletins", f"/v1/bulletins/{UNKNOWN_ID}", f"/v1/bulletins/{UNKNOWN_ID}/receipt"]
)
def test_administrators_read_no_content(shared: Desks, path: str) -> None:
    """An administrator's token opens no bulletin."""
    assert (403, "not-allowed", "scope") == problem_of(shared.get(path, AUDITOR))


@pytest.mark.parametrize(
    "path",
    [
        *("/v1/bulletins", f"/v1/bulletins/{UNKNOWN_ID}", f"/v1/bulletins/{UNKNOWN_ID}/receipt", "/v1/partners"),
        *("/v1/communities", "/v1/keys", "/v1/log/proof/1", "/v1/log/witness", "/v1/log/events", "/v1/log/tile/0/000"),
    ],
)
def test_nothing_without_a_token(shared: Desks, path: str) -> None:
    """Without a token nothing is read."""
    assert (401, "unauthorized", None) == problem_of(shared.get(path))


def test_page_sizes_are_told(shared: Desks) -> None:
    """The largest page is the one that clients are told."""
    limits = shared.get("/.well-known/lintas").json()["limits"]

    assert bulletins.PAGE_MAX == limits["page_max"]
