"""Watch lists over HTTP: saved indicators against what the agency may read, each page recorded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from broker import matching
from lintas.header import LINE_BYTES_MAX, ORDER
from lintas.line import Line, line_id
from lintas.strict import canonical
from tests.broker.conftest import PAYLOAD, Desks, problem_of

ISSUER, READER, OTHER = "my-police", "sg-fiu", "vn-police"
PHONE, OTHER_PHONE, EMAIL = "+6542995883", "+6542995884", "support@lotustrade.example"


def listed(*values: str) -> list[dict[str, str]]:
    """Return telephone numbers and addresses as an order has them."""
    found = [{"type": "email" if "@" in value else "phone", "value": value} for value in values]
    return sorted(found, key=lambda each: (each["type"], each["value"]))


def watch(desks: Desks, name: str, *values: str, party: str = READER) -> httpx.Response:
    """Set a watch list."""
    # Two orders of one second that say the same are one line.
    desks.clock.advance(1)
    return desks.post(desks.session(party).sign_order("watch", {"name": name, "indicators": listed(*values)}), ORDER)


def publish(desks: Desks, *values: str, to: Sequence[str] = (READER,), **changes: Any) -> Line:
    """Publish a bulletin with these indicators."""
    indicators = [each | {"role": "caller"} for each in listed(*values)]
    payload = canonical(PAYLOAD | {"indicators": indicators, "case_ref": f"SIM-{desks.stored()}"})
    return desks.publish(ISSUER, to, payload=payload, **changes)


def watched(desks: Desks, name: str, party: str = READER, query: str = "") -> list[str]:
    """Return the ids on a page of what a list matches."""
    rows = desks.rows(f"/v1/watches/{name}/bulletins{query}", party)
    return [row["id"] if "id" in row else id_of(row["line"]) for row in rows]


def id_of(raw: str) -> str:
    """Return the id of a line as it came."""
    return line_id(raw.encode())


def test_matches_in_log_order(desks: Desks) -> None:
    """A page has the bulletins with any value of the list, older ones too, each once, in log order."""
    first = publish(desks, PHONE, EMAIL)
    publish(desks, OTHER_PHONE)
    watch(desks, "case-1", PHONE, EMAIL)
    second = publish(desks, EMAIL)
    publish(desks)

    assert [first.id, second.id] == watched(desks, "case-1")


def test_nothing_beyond_the_feed(desks: Desks) -> None:
    """A list finds nothing that was not released to its agency, or that its grant no longer covers."""
    publish(desks, PHONE, to=[OTHER])
    watch(desks, "case-1", PHONE)
    mine = publish(desks, PHONE)
    assert [mine.id] == watched(desks, "case-1")

    desks.order("grant", agency=READER, publish=[], read=["drugs"])

    assert [] == watched(desks, "case-1")


def test_page_is_recorded(desks: Desks) -> None:
    """Each page that leaves is recorded with its way, its list and the ids; an empty one is not."""
    watch(desks, "case-1", PHONE)
    assert [] == watched(desks, "case-1")
    line = publish(desks, PHONE)
    desks.rows("/v1/watches/case-1/bulletins", READER)

    seq = desks.events(kind="bulletin.accepted")[0].seq
    (sent,) = desks.details(kind="bulletin.sent")
    assert {"way": "watch/case-1", "from": seq, "to": seq, "count": 1, "ids": [line.id]} == {
        name: value for name, value in sent.items() if name != "filter"
    }


def test_pages(desks: Desks) -> None:
    """A full page names the next one; the cursor moves past what does not match."""
    watch(desks, "case-1", PHONE)
    lines = [publish(desks, PHONE) for _ in range(3)]

    first = desks.get("/v1/watches/case-1/bulletins?limit=2", READER)
    after = first.headers["Lintas-Cursor"]
    rest = desks.get(f"/v1/watches/case-1/bulletins?after={after}", READER)

    assert f"after={after}" in first.headers["Link"]
    assert [lines[2].raw.decode()] == [json.loads(row)["line"] for row in rest.text.splitlines()]
    assert "Link" not in rest.headers
    assert int(rest.headers["Lintas-Cursor"]) > int(after)


def test_recalled(desks: Desks) -> None:
    """A bulletin that was recalled stands in its place as its state alone, and the recall comes after it."""
    watch(desks, "case-1", PHONE)
    line = publish(desks, PHONE)
    recall = desks.recall(ISSUER, line.id, [READER])
    desks.post(recall)

    rows = desks.rows("/v1/watches/case-1/bulletins", READER)

    assert [(line.id, "recalled"), (None, None)] == [(row.get("id"), row.get("state")) for row in rows]
    assert recall.raw.decode() == rows[1]["line"]


def test_feed_takes_the_filter(desks: Desks) -> None:
    """The feed itself takes `watch` with other filters; a list that is another's, or none, matches nothing."""
    line = publish(desks, PHONE, to=[READER, OTHER])
    publish(desks, EMAIL)
    watch(desks, "case-1", PHONE)

    found = [
        [id_of(row["line"]) for row in desks.rows(f"/v1/bulletins?{query}", party)]
        for query, party in (
            ("watch=case-1", READER),
            ("watch=case-1&kind=alert", READER),
            ("watch=case-1&kind=rfi", READER),
            ("watch=case-2", READER),
            ("watch=case-1", OTHER),
        )
    ]

    assert [[line.id], [line.id], [], [], []] == found
    assert (400, "bad-request", "watch") == problem_of(desks.get("/v1/bulletins?watch=a/b", READER))


def test_replace_and_remove(desks: Desks) -> None:
    """Setting a list again replaces it; set to nothing it is gone."""
    line = publish(desks, OTHER_PHONE)
    watch(desks, "case-1", PHONE)
    watch(desks, "case-1", OTHER_PHONE, EMAIL)
    assert [line.id] == watched(desks, "case-1")
    assert {"watches": [{"name": "case-1", "count": 2}]} == desks.get("/v1/watches", READER).json()

    watch(desks, "case-1")

    assert {"watches": []} == desks.get("/v1/watches", READER).json()
    assert (404, "not-found", None) == problem_of(desks.get("/v1/watches/case-1/bulletins", READER))
    changed = [detail | {"name": detail["name"]} for detail in desks.details(kind="watch.changed")]
    assert [{"name": "case-1", "count": count} for count in (0, 2, 1)] == changed


def test_lists_are_ones_own(desks: Desks) -> None:
    """Another agency's list and an unknown one give the same 404; lists of one name do not mix."""
    publish(desks, PHONE, to=[READER, OTHER])
    watch(desks, "case-1", PHONE)
    watch(desks, "theirs", PHONE, party=OTHER)
    watch(desks, "case-1", EMAIL, party=OTHER)

    answers = [desks.get(f"/v1/watches/{name}/bulletins", READER) for name in ("theirs", "nothing", "%2e%2e")]

    assert [] == watched(desks, "case-1", OTHER)
    assert {(404, answers[0].content)} == {(answer.status_code, answer.content) for answer in answers}


def test_longest_list(desks: Desks) -> None:
    """A list of a thousand file hashes is one order within the limit of a line, and matches."""
    hashes = [{"type": "file-hash", "value": f"{number:064x}"} for number in range(1_000)]
    line = desks.session(READER).sign_order("watch", {"name": "hashes", "indicators": hashes})

    answer = desks.post(line, ORDER)

    assert 201 == answer.status_code
    assert 100_000 < len(line.raw) <= LINE_BYTES_MAX[ORDER]
    assert {"watches": [{"name": "hashes", "count": 1_000}]} == desks.get("/v1/watches", READER).json()
    one_more = [*hashes, {"type": "file-hash", "value": "f" * 64}]
    line = desks.session(READER).sign_order("watch", {"name": "hashes", "indicators": one_more})
    assert (400, "malformed-payload", "indicators") == problem_of(desks.post(line, ORDER))


def test_number_of_lists(desks: Desks) -> None:
    """An agency has twenty lists; it may still replace or remove one, and another agency has its own twenty."""
    for number in range(matching.WATCHES_MAX):
        watch(desks, f"list-{number}", PHONE)

    refused = watch(desks, "one-more", PHONE)

    assert (429, "quota-exceeded", "name") == problem_of(refused)
    assert 201 == watch(desks, "list-0", EMAIL).status_code
    assert 201 == watch(desks, "one-more", PHONE, party=OTHER).status_code
    assert 201 == watch(desks, "list-1").status_code
    assert 201 == watch(desks, "one-more", PHONE).status_code


@pytest.mark.parametrize("name", ["", "a b", "a/b", "x" * 65, "ä"])
def test_name(desks: Desks, name: str) -> None:
    """The name of a list is letters, digits and hyphens."""
    assert (400, "malformed-payload", "name") == problem_of(watch(desks, name, PHONE))


def test_parameters(desks: Desks) -> None:
    """A page takes `after` and `limit`, nothing else."""
    watch(desks, "case-1", PHONE)

    assert (400, "bad-request", "topic") == problem_of(desks.get("/v1/watches/case-1/bulletins?topic=drugs", READER))
    assert (400, "bad-request", "limit") == problem_of(desks.get("/v1/watches/case-1/bulletins?limit=0", READER))
