"""TAXII 2.1 over HTTP: what the standard asks of a server, by the client of OASIS and by raw requests."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
from stix2validator import ValidationOptions, validate_parsed_json  # type: ignore[import-untyped]
from taxii2client.v21 import ApiRoot, Collection, Server, as_pages  # type: ignore[import-untyped]

from broker.additions import areas
from broker.hub import open_hub
from broker.settings import read_settings
from broker.taxii import PAGE_MAX
from lintas.stix import bundle
from lintas.taxii import MEDIA
from lintas.taxii.filters import write_position
from tests.broker.conftest import FEW, Desks, Template
from tests.broker.test_taxii import Fresh, publish
from tests.broker.tools import API, SECRET, Tool
from tests.conftest import ShiftedClock, served

READER, OTHER = "sg-fiu", "th-cert"
COUNT = 6
"""Bulletins with six objects each."""

UNKNOWN = "00000000-0000-4000-8000-000000000000"
ALL = "collections/all/"
EVERY_PATH = (
    "",
    "collections/",
    ALL,
    f"{ALL}objects/",
    f"{ALL}manifest/",
    f"{ALL}objects/report--{UNKNOWN}/",
    f"{ALL}objects/report--{UNKNOWN}/versions/",
    f"status/{UNKNOWN}/",
    "nothing/here/",
)


@pytest.fixture(scope="module")
def tool(few: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tool]:
    """A tool at a served hub with bulletins in it, which the tests of this module only read."""
    clock = ShiftedClock()
    hub = open_hub(read_settings({}, data=str(few.copy(tmp_path_factory.mktemp("taxii") / "hub"))), clock)
    hub.start()
    with served(hub) as url:
        desks = Desks(hub, few.identities.__getitem__, clock, url)
        shared = Fresh()
        for _ in range(COUNT):
            publish(desks, Fresh().phone, shared.ip, shared.domain, shared.person)
        yield Tool(desks, token="k3v5q2xatz7m", is_new=True)
        desks.close()
    hub.stop()


@pytest.fixture
def root(tool: Tool) -> ApiRoot:
    """The API root as the client of OASIS finds it."""
    user, password = tool.auth
    found: ApiRoot = Server(f"{tool.desks.url}/taxii2/", user=user, password=password).default
    return found


@pytest.fixture
def everything(root: ApiRoot) -> Collection:
    """The collection of everything, as that client finds it."""
    found: Collection = next(each for each in root.collections if each.alias == "all")
    return found


def error_of(answer: httpx.Response) -> tuple[int, str]:
    """Return status and code of an error message; it must be a whole one of TAXII."""
    members = answer.json()
    assert answer.headers["content-type"] == MEDIA
    assert members["http_status"] == str(answer.status_code)
    assert members["title"]
    return answer.status_code, members["error_code"]


# --- by the client of OASIS ---


def test_discovered(root: ApiRoot, tool: Tool) -> None:
    """The client finds the API root, its version, the collections."""
    assert ("Lintas", [MEDIA]) == (root.title, root.versions)
    assert root.max_content_length > 0
    assert ["all", *areas()] == [each.alias for each in root.collections]
    assert {(True, False)} == {(each.can_read, each.can_write) for each in root.collections}
    assert tool.desks.url in root.url


def test_pages_by_the_client(everything: Collection) -> None:
    """Pages of any size have every object once, and a manifest the same."""
    whole = everything.get_objects()["objects"]
    for size in (2, 50):
        paged = [each for page in as_pages(everything.get_objects, per_request=size) for each in page["objects"]]
        listed = [each for page in as_pages(everything.get_manifest, per_request=size) for each in page["objects"]]
        assert whole == paged
        assert [each["id"] for each in whole] == [each["id"] for each in listed]
    assert len(whole) > COUNT * 3


def test_filters_by_the_client(everything: Collection) -> None:
    """The client's filters narrow what it gets."""
    reports = everything.get_objects(type="report")["objects"]
    one = everything.get_objects(id=reports[3]["id"])["objects"]
    dated = everything.get_objects(type=["report", "note"], version=reports[3]["modified"])["objects"]
    listed = everything.get_manifest(type="report")["objects"]
    later = everything.get_objects(type="report", added_after=listed[3]["date_added"])["objects"]

    assert COUNT == len(reports)
    assert [reports[3:4]] * 2 == [one, dated]
    assert reports[4:] == later


def test_one_object_by_the_client(everything: Collection) -> None:
    """One object comes alone, with its versions."""
    report = everything.get_objects(type="report")["objects"][0]

    assert [report] == everything.get_object(report["id"])["objects"]
    assert [report["modified"]] == everything.object_versions(report["id"])["versions"]


def test_no_writing_by_the_client(everything: Collection) -> None:
    """The client knows that nothing can be written, and a stubborn one is refused."""
    url = everything.objects_url
    with pytest.raises(requests.HTTPError) as refusal:
        everything._conn.post(url, headers={"Accept": MEDIA, "Content-Type": MEDIA}, data=b'{"objects":[]}')

    answer = refusal.value.response
    assert answer is not None
    assert (403, "not-allowed") == (answer.status_code, answer.json()["error_code"])


def test_valid_stix(everything: Collection) -> None:
    """What a collection gives is valid STIX as a bundle, and whole: whatever is referred to is in it."""
    found = everything.get_objects()["objects"]
    result = validate_parsed_json(
        json.loads(json.dumps(bundle(found))), ValidationOptions(version="2.1", silent=True, enforce_refs=False)
    )

    assert [] == [str(each) for part in getattr(result, "object_results", [result]) for each in part.errors]


# --- by raw requests ---


@pytest.mark.parametrize("path", EVERY_PATH)
def test_strangers(tool: Tool, path: str) -> None:
    """Without a good token every path answers alike, and says by which schemes to call."""
    http, url = tool.desks.http, f"{tool.desks.url}{API}{path}"
    wrong = [None, ("sg-fiu", "lts_wrong"), (tool.agency, tool.auth[1].replace("k3v5", "k3v6"))]

    for auth in wrong:
        answer = http.get(url, auth=auth) if auth else http.get(url)
        assert (401, "unauthorized") == error_of(answer)
        assert 'Basic realm="Lintas", charset="UTF-8", Bearer' == answer.headers["www-authenticate"]


def test_bearer(tool: Tool) -> None:
    """A read token also comes as Bearer."""
    headers = {"Authorization": f"Bearer {tool.auth[1]}"}

    assert 200 == tool.desks.http.get(f"{tool.desks.url}/taxii2/", headers=headers).status_code


@pytest.mark.parametrize("path", EVERY_PATH)
@pytest.mark.parametrize("accept", ["application/json", "application/taxii+json;version=2.0", "*/*;q=0"])
def test_not_acceptable(tool: Tool, path: str, accept: str) -> None:
    """A caller that takes no TAXII 2.1 is told so, wherever there is something."""
    answer = tool.desks.http.get(f"{tool.desks.url}{API}{path}", auth=tool.auth, headers={"Accept": accept})

    assert ((404, "not-found") if path == "nothing/here/" else (406, "not-acceptable")) == error_of(answer)


@pytest.mark.parametrize("accept", [MEDIA, "application/taxii+json", "*/*", "text/html, */*;q=0.1", ""])
def test_acceptable(tool: Tool, accept: str) -> None:
    """Whoever takes it gets it, by its full name."""
    answer = tool.desks.http.get(f"{tool.desks.url}{API}", auth=tool.auth, headers={"Accept": accept})

    assert (200, MEDIA) == (answer.status_code, answer.headers["content-type"])


@pytest.mark.parametrize("path", [path for path in EVERY_PATH if UNKNOWN in path or "nothing" in path])
def test_not_found(tool: Tool, path: str) -> None:
    """What is not there is not found, with an error message."""
    assert (404, "not-found") == error_of(tool.get(path))


@pytest.mark.parametrize("collection", [UNKNOWN, "nonsense", "ALL", "..%2fall", "%00", "all%0d%0a"])
@pytest.mark.parametrize("path", ["", "objects/", "manifest/", f"objects/report--{UNKNOWN}/"])
def test_no_such_collection(tool: Tool, collection: str, path: str) -> None:
    """A collection that is not there is not found."""
    assert (404, "not-found") == error_of(tool.get(f"collections/{collection}/{path}"))


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", f"{ALL}objects/", (403, "not-allowed")),
        ("DELETE", f"{ALL}objects/report--{UNKNOWN}/", (403, "not-allowed")),
        ("POST", f"collections/{UNKNOWN}/objects/", (404, "not-found")),
        ("POST", "collections/", (405, "method-not-allowed")),
        ("PUT", f"{ALL}objects/", (405, "method-not-allowed")),
        ("PATCH", ALL, (405, "method-not-allowed")),
        ("OPTIONS", "", (405, "method-not-allowed")),
        ("DELETE", ALL, (405, "method-not-allowed")),
    ],
)
def test_writing(tool: Tool, method: str, path: str, expected: tuple[int, str]) -> None:
    """Nothing is written here, by any method."""
    headers = {"Content-Type": MEDIA, "Accept": MEDIA}
    answer = tool.desks.http.request(method, f"{tool.desks.url}{API}{path}", auth=tool.auth, headers=headers)

    assert expected == error_of(answer)
    assert ("allow" in answer.headers) == (answer.status_code == 405)


def test_posted_as_something_else(tool: Tool) -> None:
    """A post of another type is refused for that."""
    answer = tool.desks.http.post(f"{tool.desks.url}{API}{ALL}objects/", auth=tool.auth, json={"objects": []})

    assert (415, "unsupported-media-type") == error_of(answer)


def test_head(tool: Tool) -> None:
    """HEAD is answered as GET, without a body."""
    answer = tool.desks.http.head(f"{tool.desks.url}{API}{ALL}objects/?limit=1", auth=tool.auth)

    assert (200, b"", True) == (answer.status_code, answer.content, "x-taxii-date-added-last" in answer.headers)


@pytest.mark.parametrize(
    "query",
    [
        "added_after=now",
        "limit=0",
        "limit=x",
        "next=AAAA",
        f"next={write_position(5)[::-1]}",
        "next=%ff%00",
        "match[id]=x",
        "match[colour]=red",
        "match[version]=new",
        "limit=1&limit=2",
        "limit=9" + "9" * 400,
        "next=" + "A" * 4_000,
        "%5B%5D=1",
        "offset=1",
    ],
)
@pytest.mark.parametrize("path", [f"{ALL}objects/", f"{ALL}manifest/", f"{ALL}objects/report--{UNKNOWN}/versions/"])
def test_hostile_queries(tool: Tool, path: str, query: str) -> None:
    """A parameter that is none is refused, wherever it stands."""
    answer = tool.desks.http.get(f"{tool.desks.url}{API}{path}?{query}", auth=tool.auth)

    assert (400, "bad-request") == error_of(answer)


def test_dates_of_a_page(tool: Tool) -> None:
    """Dates are strictly rising to the microsecond; the headers have those of the first and the last."""
    answer = tool.get(f"{ALL}manifest/", limit=20, match_type="report,phone-number")
    dates = [each["date_added"] for each in answer.json()["objects"]]

    assert dates == sorted({*dates})
    assert all(len(each) == len("2026-11-24T00:00:00.000000Z") for each in dates)
    assert (dates[0], dates[-1]) == tuple(answer.headers[f"x-taxii-date-added-{each}"] for each in ("first", "last"))


@pytest.mark.parametrize("path", [f"{ALL}objects/", f"{ALL}manifest/"])
def test_next_holds(tool: Tool, path: str) -> None:
    """A `next` gives the same each time, to any tool, with any limit."""
    following = tool.get(path, limit=5).json()["next"]
    pages = [tool.get(path, limit=limit, next=following).json()["objects"][:4] for limit in (4, 4, 9)]

    assert pages[0] == pages[1] == pages[2]
    assert 4 == len(pages[0])


def test_added_after_goes_on_like_next(tool: Tool) -> None:
    """The date of the last object leads to the same page as `next`."""
    first = tool.get(f"{ALL}objects/", limit=9)
    by_date = tool.get(f"{ALL}objects/", limit=9, added_after=first.headers["x-taxii-date-added-last"])

    assert tool.get(f"{ALL}objects/", limit=9, next=first.json()["next"]).content == by_date.content


def test_huge_limit(tool: Tool) -> None:
    """A limit beyond what a page may have is answered with what it may have."""
    found = tool.page(limit=9_999_999_999_999_999)["objects"]

    assert COUNT * 3 < len(found) <= PAGE_MAX


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"match_type": "report"}, COUNT),
        ({"match_type": "report,identity"}, 2 * COUNT + len(FEW) + 1),
        ({"match_type": "report", "match_version": "all"}, COUNT),
        ({"match_type": "report", "match_version": "first"}, COUNT),
        ({"match_type": "report", "match_version": "2020-01-01T00:00:00Z"}, 0),
        ({"match_type": "report", "match_version": "2020-01-01T00:00:00Z,last"}, COUNT),
        ({"match_type": "marking-definition", "match_version": "2022-10-01T00:00:00Z"}, 3),
        ({"match_type": "report", "match_spec_version": "2.1"}, COUNT),
        ({"match_type": "report", "match_spec_version": "2.0"}, 0),
        ({"match_type": "report", "match_spec_version": "2.0,2.1"}, COUNT),
        ({"match_type": "ipv4-addr"}, 1),
        ({"match_type": "unheard-of"}, 0),
        ({"match_type": "report", "added_after": "2100-01-01T00:00:00Z"}, 0),
        ({"match_type": "report", "added_after": "1970-01-01T00:00:00Z"}, COUNT),
        ({"match_type": "report", "added_after": "0001-01-01T00:00:00Z"}, COUNT),
    ],
)
def test_filters(tool: Tool, query: dict[str, str], count: int) -> None:
    """Each filter narrows, values of one widen; nothing found is an empty envelope."""
    found, listed = tool.page(**query), tool.page("manifest", **query)

    assert [count, count] == [len(each.get("objects", ())) for each in (found, listed)]
    assert (found == {}) == (count == 0)


def test_version_of_an_observable(tool: Tool) -> None:
    """What has no version has when it was added, also as a filter."""
    (listed,) = tool.page("manifest", match_type="ipv4-addr")["objects"]
    by_version = tool.page(match_id=listed["id"], match_version=listed["date_added"])["objects"]
    versions = tool.get(f"{ALL}objects/{listed['id']}/versions/").json()["versions"]

    assert ([listed["date_added"]], [listed["id"]], listed["version"]) == (
        versions,
        [each["id"] for each in by_version],
        listed["date_added"],
    )


def test_manifest_agrees(tool: Tool) -> None:
    """A manifest lists what the objects are, version for version."""
    objects, listed = tool.page()["objects"], tool.page("manifest")["objects"]
    dates = {each["id"]: each["date_added"] for each in listed}

    assert [(each["id"], each.get("modified") or each.get("created") or dates[each["id"]]) for each in objects] == [
        (each["id"], each["version"]) for each in listed
    ]
    assert {"application/stix+json;version=2.1"} == {each["media_type"] for each in listed}


def test_aliases(tool: Tool) -> None:
    """A collection has one content under its id as under its alias."""
    (found,) = (each for each in tool.get("collections/").json()["collections"] if each["alias"] == "cyber")
    by_alias, by_id = (tool.get(f"collections/{found[name]}/objects/").content for name in ("alias", "id"))

    assert (by_alias, found) == (by_id, tool.get("collections/cyber/").json())


def test_discovery_behind_a_proxy(tool: Tool) -> None:
    """Behind TLS the API root is reached by TLS, under the name that was called."""
    headers = {"X-Forwarded-Proto": "https", "Host": "hub.example"}
    answer = tool.desks.http.get(f"{tool.desks.url}/taxii2/", auth=tool.auth, headers=headers)

    assert ["https://hub.example/taxii2/api/"] == answer.json()["api_roots"]


def test_administrators(tool: Tool) -> None:
    """Administrators read no content here either."""
    answer = tool.desks.get("/taxii2/api/collections/", "admin/registrar")

    assert (403, "not-allowed") == error_of(answer)


def test_many_ids(tool: Tool) -> None:
    """Objects that are named come in the order they were added, whatever the order of the names."""
    listed: list[dict[str, Any]] = tool.page("manifest", match_type="report")["objects"]
    wanted = [each["id"] for each in listed[:4]]

    assert wanted == [each["id"] for each in tool.page(match_id=",".join(reversed(wanted)))["objects"]]
    page = tool.page(match_id=",".join(wanted), limit=2)
    assert (True, 2) == (page["more"], len(page["objects"]))


def test_dates_are_dates(tool: Tool) -> None:
    """A date in a header is one that a parser of RFC 3339 reads."""
    answer = tool.get(f"{ALL}objects/", limit=1)

    assert datetime.fromisoformat(answer.headers["x-taxii-date-added-first"]).tzinfo is not None
    assert SECRET not in answer.text
    assert OTHER in FEW


def test_tests_of_the_table() -> None:
    """Every test that the specification names is there."""
    root = Path(__file__).parents[1]
    named = set(re.findall(r"`(test_\w+)`", (root.parent / "docs/spec/taxii.md").read_text()))
    files = (root / "lintas/test_taxii.py", *(root / "broker").glob("test*taxii*.py"))
    written = {name for path in files for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)}

    assert named <= written
    assert len(named) > 40
