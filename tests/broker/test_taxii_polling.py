"""Polls over TAXII while bulletins come in: nothing missed, nothing twice; after a restart; at two replicas."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from broker.hub import Hub, open_hub
from broker.settings import read_settings
from broker.web import current, taxii
from broker.web.http import PROBLEM_MEDIA
from lintas.errors import StorageUnreachable
from lintas.header import BULLETIN
from lintas.stix.ids import report_id
from lintas.taxii import MEDIA
from tests.broker.conftest import Desks, Template
from tests.broker.replicas import Replicas, served_pair
from tests.broker.test_taxii import ISSUER, READER, Fresh, publish, types
from tests.broker.tools import Tool
from tests.conftest import ShiftedClock, served

BATCHES, LINES = 12, 10


def post_batches(desks: Desks, found: list[str]) -> None:
    """Publish bulletins in batches; put their ids into a list."""
    for _ in range(BATCHES):
        lines = [desks.bulletin(ISSUER, [READER]) for _ in range(LINES)]
        body = b"".join(line.raw + b"\n" for line in lines)
        answer = desks.http.post(f"{desks.url}/v1/bulletins", content=body, headers={"Content-Type": "text/plain"})
        assert answer.text.count('"status":201') == LINES, answer.text
        found += [line.id for line in lines]


@pytest.mark.parametrize("limit", [3, 1_000])
def test_while_publishing(desks: Desks, limit: int) -> None:
    """Who polls by `added_after` and `next` while others publish has every bulletin once, in the order of the log."""
    tool, writing = Tool(desks), Desks(desks.hub, desks.identity_of, desks.clock, desks.url)
    published: list[str] = []
    thread = threading.Thread(target=post_batches, args=(writing, published))
    thread.start()
    while thread.is_alive():
        tool.poll(limit=limit)
    thread.join()
    tool.poll(limit=limit)
    writing.close()

    held = [each["id"] for each in tool.held if each["type"] == "report"]
    assert BATCHES * LINES == len(published)
    assert Counter(held) == Counter(map(report_id, published))


def test_after_a_restart(few: Template, tmp_path: Path, clock: ShiftedClock) -> None:
    """A tool goes on after the hub was restarted where it was: by date, by `next`, under the same addresses."""
    data = few.copy(tmp_path / "hub")
    held, following, collections = [], "", []
    for number in range(2):
        hub = open_hub(read_settings({}, data=str(data)), clock)
        hub.start()
        with served(hub) as url:
            desks = Desks(hub, few.identities.__getitem__, clock, url)
            lines = [publish(desks, Fresh().phone) for each in range(3)]
            tool = Tool(desks, is_new=True)
            collections.append(tool.get("collections/").text)
            params = {"next": following} if following else {}
            page = tool.page(limit=1_000, match_type="report", **params)
            held.append([each["id"] for each in page["objects"]])
            following = tool.page(limit=2, match_type="report").get("next", "")
            assert [report_id(each) for each in lines] == held[number][-3:]
            desks.close()
        hub.stop()

    assert (3, 4) == (len(held[0]), len(held[1]))
    assert collections[0] == collections[1]


@pytest.fixture
def pair(few: Template, tmp_path: Path, clock: ShiftedClock) -> Iterator[Replicas]:
    """Two replicas of one hub."""
    with served_pair(few, tmp_path, clock) as found:
        yield found


def test_replicas(pair: Replicas) -> None:
    """A tool that is sent to either replica, poll by poll, has everything once, also what was published elsewhere."""
    tool, both = Tool(pair.first), (pair.first, pair.second)
    published = []
    for number in range(6):
        published.append(publish(both[number % 2], Fresh().phone))
        tool.desks = both[(number + 1) % 2]
        tool.poll()
    pair.second.post(pair.second.recall(ISSUER, published[0], [READER]), BULLETIN)

    assert [report_id(each) for each in published] == [each["id"] for each in tool.held if each["type"] == "report"]
    assert ["-report", "note"] == types(tool.poll())
    assert pair.check_log() > 0


def test_replicas_fill_at_once(pair: Replicas) -> None:
    """Two replicas that fill the collections at the same time fill them once."""
    lines = [publish(pair.first, Fresh().ip) for number in range(40)]
    tools = [Tool(pair.first, is_new=True), Tool(pair.second, is_new=True)]
    threads = [threading.Thread(target=tool.poll, kwargs={"limit": 9}) for tool in tools]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    for tool in tools:
        tool.poll()

    for tool in tools:
        assert [report_id(each) for each in lines] == [each["id"] for each in tool.held if each["type"] == "report"]


def test_counted(pair: Replicas) -> None:
    """Postgres has counted the tables once they are filled: it would plan a page for empty ones."""
    publish(pair.first, Fresh().phone)
    Tool(pair.first)
    with pair.first.hub.store.read() as conn:
        rows = conn.execute(text("SELECT relname, reltuples FROM pg_class WHERE reltuples > 0"))
        counted = {row.relname for row in rows}

    assert {"taxii_addition", "taxii_object", "taxii_reader"} <= counted


def test_replica_without_its_database(pair: Replicas, monkeypatch: pytest.MonkeyPatch) -> None:
    """A replica that cannot look at the log says so in the form of TAXII, elsewhere as a problem."""

    async def fail(_hub: Hub) -> bool:
        raise StorageUnreachable(retry_after=1)

    monkeypatch.setattr(current, "catch_up", fail)
    headers = {"Authorization": "Bearer unknown"}
    answers = [pair.first.http.get(pair.first.url + path, headers=headers) for path in ("/taxii2/", "/v1/partners")]

    assert [(503, "1")] * 2 == [(answer.status_code, answer.headers["retry-after"]) for answer in answers]
    assert [MEDIA, PROBLEM_MEDIA] == [answer.headers["content-type"] for answer in answers]


@pytest.mark.parametrize(
    ("path", "is_below"), [("/taxii2", True), ("/taxii2/api/", True), ("/taxii22/", False), ("/v1/taxii2/", False)]
)
def test_below(path: str, *, is_below: bool) -> None:
    """What stands below `/taxii2/` is answered in its form."""
    assert is_below == taxii.is_below(path)
