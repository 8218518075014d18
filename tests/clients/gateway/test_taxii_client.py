"""The gateway's TAXII server, asked by the client of OASIS."""

from __future__ import annotations

from typing import Any

import pytest
from taxii2client.exceptions import TAXIIServiceException  # type: ignore[import-untyped]
from taxii2client.v21 import Server, as_pages  # type: ignore[import-untyped]

from lintas.stix.fixed import TLP_MARKINGS
from tests.gateways import TAXII, Beside, alert, domain

OBJECTS = {
    "objects": [
        {
            "type": "indicator",
            "spec_version": "2.1",
            "id": "indicator--11111111-1111-4111-8111-111111111111",
            "created": "2026-11-20T03:00:00.000Z",
            "modified": "2026-11-20T03:00:00.000Z",
            "name": "Fictional: a domain",
            "pattern": "[domain-name:value = 'lotus-loan.example']",
            "pattern_type": "stix",
            "valid_from": "2026-11-20T03:00:00Z",
            "object_marking_refs": [TLP_MARKINGS["GREEN"]],
        }
    ]
}


def server(found: Beside, token: str) -> Any:
    """Return the server as the client sees it."""
    return Server(f"{found.url}/taxii2/", user="tool", password=token)


def collections(found: Beside, token: str) -> dict[str, Any]:
    """Return the collections by their title."""
    return {each.title: each for each in server(found, token).default.collections}


def test_discovery(beside_hub: Beside) -> None:
    """From its address alone the client finds a collection that can be read and one that can be written."""
    beside_hub.start()

    rights = {
        name: (each.can_read, each.can_write) for name, each in collections(beside_hub, beside_hub.tokens.read).items()
    }
    assert {"Lintas received": (True, False), "Lintas publish": (False, True)} == rights


def test_poll_in_pages(beside_hub: Beside) -> None:
    """Page by page the client gets every object once; a poll from the last one brings nothing."""
    beside_hub.start()
    beside_hub.publish(alert("Fictional: one", indicators=[domain("lotus-loan.example"), domain("other.example")]))
    received = collections(beside_hub, beside_hub.tokens.read)["Lintas received"]
    pages = list(as_pages(received.get_objects, per_request=3))
    manifest = received.get_manifest()["objects"]

    ids = [each["id"] for page in pages for each in page["objects"]]
    assert [each["id"] for each in manifest] == ids
    assert len(set(ids)) == len(ids) > 6
    assert {} == received.get_objects(added_after=manifest[-1]["date_added"])
    assert ["report"] == [each["type"] for each in received.get_objects(type="report")["objects"]]
    assert ids[:1] == [each["id"] for each in received.get_object(ids[0])["objects"]]


def test_filters_by_version(beside_hub: Beside) -> None:
    """Of an object only its newest version is there, by whatever word it is asked for."""
    beside_hub.start()
    beside_hub.publish(alert("Fictional: one"))
    received = collections(beside_hub, beside_hub.tokens.read)["Lintas received"]
    (report,) = received.get_objects(type="report")["objects"]

    found = [received.get_objects(type="report", version=each) for each in ("first", "all", report["modified"])]
    assert [[report]] * 3 == [each["objects"] for each in found]
    assert {} == received.get_objects(type="report", version="2020-01-01T00:00:00Z")
    assert [[report], None] == [
        received.get_objects(type="report", spec_version=each).get("objects") for each in ("2.1", "2.0")
    ]
    assert [report["modified"]] == received.object_versions(report["id"])["versions"]


def test_post_and_wait(beside_hub: Beside) -> None:
    """The client posts objects and waits until they are published."""
    beside_hub.start(publishes=True)
    publish = collections(beside_hub, beside_hub.tokens.post)["Lintas publish"]
    status = publish.add_objects(OBJECTS, wait_for_completion=True, poll_interval=0.2, timeout=20)

    assert ("complete", 1, 0, 0) == (status.status, status.success_count, status.failure_count, status.pending_count)


def test_rights(beside_hub: Beside) -> None:
    """What a collection or a token is not for is refused with an error of TAXII."""
    beside_hub.start()
    collection = "/taxii2/api/collections/{}/objects/"
    token = beside_hub.tokens.read
    answers = [
        beside_hub.ask("GET", collection.format("publish")),
        beside_hub.ask("POST", collection.format("received"), OBJECTS),
        beside_hub.ask("POST", collection.format("publish"), OBJECTS, token=token),
        beside_hub.ask("GET", collection.format("received"), token="x" * 40),
        beside_hub.ask("GET", collection.format("nothing")),
        beside_hub.ask("GET", "/taxii2/api/status/11111111-1111-4111-8111-111111111111/"),
        beside_hub.ask("GET", collection.format("received") + "?added_after=yesterday"),
    ]

    assert [403, 403, 403, 401, 404, 404, 400] == [each.status_code for each in answers]
    assert {TAXII} == {each.headers["content-type"] for each in answers}
    assert [str(each.status_code) for each in answers] == [each.json()["http_status"] for each in answers]
    with pytest.raises(TAXIIServiceException):
        collections(beside_hub, token)["Lintas publish"].get_objects()
